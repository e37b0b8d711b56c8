"""Geometry of a plan: the boxes of the base that are read and processed together.

Along each axis, global base coordinates are cut at multiples of a level's cumulative factor. The piece between two cuts
then holds whole footprints of this level and of all finer ones, so that their voxels depend on this piece alone. The
level is the last one, or the last one whose footprints fit in memory; coarser levels are pooled from its accumulators
(accumulators.py) at the end. Every level is therefore bit-identical to that of the whole volume in memory.

A *leaf* is read at once. A *block* is a box of leaves that fills whole chunks or shards of the first levels, so that no
two blocks write to the same file. Its voxels of coarser levels are saved as pieces, and merged at the end.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..grid import Cuts, Grid, cumulative, region_above
from .block_numbers import BlockNumbers
from .partition import Partition

Extents = tuple[int, ...]
Box = Sequence[tuple[int, int]]

#: Number of voxels whose accumulators are in memory at the same time when coarse levels are pooled.
ACCUMULATED_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class BlockGeometry:
    """Blocks and leaves of a plan, in array coordinates of the base.

    Attributes
    ----------
    base : Grid
        Grid of level 0.
    factors : list of tuple of int
        Factors from each level to the next.
    units : list of tuple of int
        Extents of the chunks or shards of all levels.
    partition : Partition
        Sizes of blocks and leaves, and the levels that they complete.
    changed_box : sequence of (int, int), optional
        The region to update. None for a whole volume.
    """

    base: Grid
    factors: list[Extents]
    units: list[Extents]
    partition: Partition
    changed_box: Box | None

    @functools.cached_property
    def totals(self) -> list[Extents]:
        """Cumulative factors of all levels, the base first."""
        return [(1,) * self.base.ndim, *cumulative(self.factors, self.base.ndim)]

    @property
    def leaf_levels(self) -> int:
        """Number of levels above the base that leaves complete."""
        return self.partition.leaf_levels

    @property
    def whole_levels(self) -> int:
        """Number of levels above the base of which blocks write whole chunks."""
        return self.partition.whole_levels

    def cuts(self, axis: int, step: int, level: int | None = None) -> Cuts:
        """Return pieces of the base along an axis, cut at whole voxels of a level (by default ``leaf_levels``)."""
        n, o = self.base.shape[axis], self.base.voxel_offset[axis]
        return Cuts(n, o, step, self.totals[self.leaf_levels if level is None else level][axis])

    @functools.cached_property
    def affected_box(self) -> Box:
        """The region to update, extended to whole footprints of the last level."""
        base = self.base
        box = [(0, n) for n in base.shape] if self.changed_box is None else self.changed_box
        return [
            (max(0, (o + start) // f * f - o), min(n, -((o + stop) // -f) * f - o))
            for (start, stop), n, o, f in zip(box, base.shape, base.voxel_offset, self.totals[-1], strict=True)
        ]

    @functools.cached_property
    def numbers(self) -> BlockNumbers:
        """Numbers of the blocks to process."""
        return self.blocks_in(self.affected_box)

    @functools.cached_property
    def covered_box(self) -> Box:
        """Bounding box of the blocks to process."""
        first, last = self.box(self.numbers[0]), self.box(self.numbers[-1])
        return [(start, stop) for (start, _), (_, stop) in zip(first, last, strict=True)]

    def written_box(self, level: int) -> Box:
        """Return the box of the base above which a level is written."""
        return self.covered_box if level <= self.leaf_levels else self.affected_box

    @functools.cached_property
    def _block_cuts(self) -> list[Cuts]:
        return [self.cuts(axis, step) for axis, step in enumerate(self.partition.block_shape)]

    @property
    def blocks(self) -> int:
        """Number of blocks of the whole volume."""
        return math.prod(map(len, self._block_cuts))

    def box(self, number: int) -> list[tuple[int, int]]:
        """Return the base voxels of a block."""
        if not 0 <= number < self.blocks:
            raise IndexError(f"block {number} does not exist: there are {self.blocks} blocks, counted from 0")
        box = []
        for cuts in reversed(self._block_cuts):
            number, index = divmod(number, len(cuts))
            box.append(cuts[index])
        return box[::-1]

    def blocks_in(self, box: Box) -> BlockNumbers:
        """Return the numbers of the blocks that share voxels with a box of the base."""
        ranges = [cuts.touching(low, high) for cuts, (low, high) in zip(self._block_cuts, box, strict=True)]
        return BlockNumbers([len(cuts) for cuts in self._block_cuts], ranges)

    def accumulated_boxes(self) -> Iterator[list[tuple[int, int]]]:
        """Yield boxes of the base whose levels above ``leaf_levels`` are pooled at once."""
        top, below = self.totals[-1], self.totals[self.leaf_levels]
        if self.leaf_levels == len(self.factors):
            return
        steps, voxels_left = (
            list(top),
            ACCUMULATED_AT_ONCE // math.prod(a // b for a, b in zip(top, below, strict=True)),
        )
        for axis in range(self.base.ndim - 1, -1, -1):
            count = min(max(1, voxels_left), -(-self.base.shape[axis] // top[axis]) + 1)
            steps[axis] *= count
            voxels_left //= count
        last = len(self.totals) - 1
        for box in itertools.product(*(self.cuts(axis, step, last) for axis, step in enumerate(steps))):
            part = [(max(a, low), min(b, high)) for (a, b), (low, high) in zip(box, self.affected_box, strict=True)]
            if all(a < b for a, b in part):
                yield part

    def leaves(self, box: Box) -> Iterator[list[tuple[int, int]]]:
        """Return the leaves of a box of the base, in an order that completes chunks and shards early."""
        clipped_pieces = []
        for axis, (low, high) in enumerate(box):
            along = self.cuts(axis, self.partition.leaf_shape[axis])
            pieces = [along[i] for i in along.touching(low, high)]
            clipped_pieces.append([(max(a, low), min(b, high)) for a, b in pieces])
        units = [
            [u * f for u, f in zip(unit, total, strict=True)]
            for unit, total in zip(self.units, self.totals, strict=True)
        ]

        def index_of_units(leaf: Box) -> tuple[int, ...]:
            return tuple(start // u for unit in reversed(units) for (start, _), u in zip(leaf, unit, strict=True))

        return iter(sorted((list(leaf) for leaf in itertools.product(*clipped_pieces)), key=index_of_units))

    def region(self, level: int, box: Box) -> list[tuple[int, int]]:
        """Return the voxels of a level above a box of the base, in that level's array coordinates."""
        return region_above(box, self.totals[level], self.base.voxel_offset)
