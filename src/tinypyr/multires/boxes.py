"""Division of a box of voxels into smaller ones."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

Box = tuple[slice, ...]


def split_box(box: Box, max_voxels: int) -> Iterator[Box]:
    """Split a box along its first axes into boxes of at most about ``max_voxels`` voxels."""
    voxels_left, steps = max_voxels, []
    for s in reversed(box):
        steps.append(max(1, min(s.stop - s.start, voxels_left)))
        voxels_left //= steps[-1]
    return tile_box(box, steps[::-1])


def tile_box(box: Box, steps: Sequence[int]) -> Iterator[Box]:
    """Split a box into tiles of ``steps`` voxels along each axis."""
    along = [
        [slice(a, min(s.stop, a + step)) for a in range(s.start, s.stop, step)]
        for s, step in zip(box, steps, strict=True)
    ]
    return itertools.product(*along)
