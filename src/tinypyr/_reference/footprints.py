"""Geometry of footprints along one axis: their number, their bounds, and the voxels that exist in each."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Factor = tuple[int, ...]


def extent(n: int, factor: int, voxel_offset: int) -> tuple[int, int]:
    """Return the number of footprints that n voxels touch, and the number of voxels that the first one lacks."""
    if n == 0:
        return 0, 0
    return -((voxel_offset + n) // -factor) - voxel_offset // factor, voxel_offset % factor


def edges(n: int, factor: int, voxel_offset: int) -> list[int]:
    """Return the first voxel of each footprint of n voxels, and the end of the last one."""
    first = voxel_offset // factor
    return [
        min(max(block * factor - voxel_offset, 0), n)
        for block in range(first, first + extent(n, factor, voxel_offset)[0] + 1)
    ]


def present(shape: Factor, factor: Factor, voxel_offset: Factor) -> Array:
    """Return the number of voxels of an array that each footprint contains."""
    counts: Array = np.ones((1,) * len(shape), np.int64)
    for axis, (n, f, o) in enumerate(zip(shape, factor, voxel_offset, strict=True)):
        along = np.diff(np.array(edges(n, f, o), np.int64))
        counts = counts * along.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return counts


def effective_factor(n: int, factor: int, phase: int) -> tuple[int, int]:
    """Return a factor and a phase that give the same footprints with as little padding as possible.

    A factor of a million on nine voxels is a factor of 9. The phase is the number of voxels that the first footprint
    lacks.
    """
    if n == 0 or phase + n <= factor:
        return max(n, 1), 0
    if phase and phase + n <= 2 * factor:  # two footprints, both of which may be partial
        head = factor - phase
        length = max(head, n - head)
        return length, length - head
    return factor, phase
