"""Choice of the leaves and blocks of a plan, and of the levels that each of them completes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from .._util.sizes import size_text
from ..errors import StoreError
from ..grid import Grid
from .source import Source
from .tuning import Tuning
from .volume import Layout

Extents = tuple[int, ...]

#: Default size of a block in bytes of the base: a 32nd of the volume, between Tuning.small_block and the first number,
#: and larger if there would be more blocks than the second.
LARGE_BLOCK, MAX_BLOCKS = 1 << 32, 1 << 20
#: Bytes of a leaf above which larger leaves are not read faster.
GOOD_LEAF = 1 << 24
#: Memory for a leaf divided by its bytes: it holds the leaf, the next one that is being read, decoded chunks, levels,
#: and pending writes.
LEAF_SHARE = 6
#: The same for a lazy array, whose inputs are in memory too.
VIEW_SHARE = 12


@dataclass(frozen=True)
class Partition:
    """Sizes of leaves and blocks, and the levels that they complete.

    Attributes
    ----------
    leaf_shape, block_shape : tuple of int
        Extents in base voxels.
    whole_levels : int
        Blocks write whole chunks of levels 1 to this one. Chunks of coarser levels span blocks and are merged.
    leaf_levels : int
        Leaves complete levels 1 to this one. Coarser levels are pooled from its accumulators.
    stages : bool
        Whether blocks are copied to temporary files, because leaves of whole chunks of the source do not fit in memory.
    """

    leaf_shape: Extents
    block_shape: Extents
    whole_levels: int
    leaf_levels: int
    stages: bool


def choose_blocks(
    base: Grid,
    source: Source,
    layouts: list[Layout],
    totals: list[Extents],
    copies_base: bool,
    budget: int,
    accumulates: bool,
    block_bytes: int | None,
    tuning: Tuning,
) -> Partition:
    """Choose the leaves and blocks of a plan.

    Parameters
    ----------
    base : Grid
        Grid of level 0.
    source : Source
        Level 0.
    layouts : list of Layout
        Layouts of all levels, axes as in the source.
    totals : list of tuple of int
        Cumulative factors of all levels.
    copies_base : bool
        Whether level 0 is written, too.
    budget : int
        Memory of one worker in bytes.
    accumulates : bool
        Whether the method has accumulators, so that leaves need not hold whole footprints of the last level.
    block_bytes : int, optional
        Approximate number of bytes of the base in a block; by default it depends on the size of the volume.
    tuning : Tuning
        Smallest block and largest footprint.
    """
    chooser = _Chooser(base, source, layouts, totals, copies_base, budget, accumulates, tuning.max_footprint)
    leaf_shape = chooser.smallest_leaf()
    if block_bytes is None:
        volume_bytes = math.prod(base.shape) * source.dtype.itemsize
        block_bytes = max(tuning.small_block, min(volume_bytes // 32, LARGE_BLOCK), volume_bytes // MAX_BLOCKS)
    whole_levels = chooser.whole_levels(leaf_shape, block_bytes)
    block_shape = chooser.grown_block(chooser.smallest_block(leaf_shape, whole_levels), block_bytes)
    leaf_shape = chooser.grown_leaf(leaf_shape, block_shape)
    return Partition(tuple(leaf_shape), tuple(block_shape), whole_levels, chooser.leaf_levels, chooser.stages)


class _Chooser:
    """Steps of :func:`choose_blocks`."""

    def __init__(
        self,
        base: Grid,
        source: Source,
        layouts: list[Layout],
        totals: list[Extents],
        copies_base: bool,
        budget: int,
        accumulates: bool,
        max_footprint: int,
    ) -> None:
        self._totals, self._copies_base, self._budget = totals, copies_base, budget
        self._chunks = source.chunks
        self._shapes = [base.level(total).shape for total in totals]
        #: extents of a chunk or shard of every level, without the voxels that do not exist
        self._units = [
            [min(u, n) for u, n in zip(layout.unit, shape, strict=True)]
            for layout, shape in zip(layouts, self._shapes, strict=True)
        ]
        self._itemsize = source.dtype.itemsize
        self._share = LEAF_SHARE if source.recipe is None else VIEW_SHARE
        self.stages = False
        self.leaf_levels = len(totals) - 1
        while True:
            self._top = totals[self.leaf_levels]
            #: extents of the base, from the first footprint of the last level that leaves complete
            self._reach = [n + o % f for n, o, f in zip(base.shape, base.voxel_offset, self._top, strict=True)]
            footprint = self._voxels(self._top)
            needed_bytes = self._memory_of_leaf(self._top)
            fits = needed_bytes <= budget and footprint <= max_footprint
            if fits or self.leaf_levels <= 1 or not accumulates:
                break
            self.leaf_levels -= 1
        if needed_bytes > budget:
            raise StoreError(
                f"memory: these levels need {size_text(needed_bytes)} per worker, but {size_text(budget)} are allowed, "
                "the memory divided by the workers; allow more memory, or fewer workers, or build fewer levels"
            )
        self._aligned = [o % f == 0 for o, f in zip(base.voxel_offset, self._top, strict=True)]

    def _voxels(self, extents: Sequence[int]) -> int:
        return math.prod(min(e, r) for e, r in zip(extents, self._reach, strict=True))

    def _bytes(self, extents: Sequence[int]) -> int:
        return self._voxels(extents) * self._itemsize

    def _memory_of_leaf(self, leaf_shape: Sequence[int]) -> int:
        """Return the memory for a leaf, and for the chunks and shards that it and its neighbours complete together."""
        voxels = self._voxels(leaf_shape) * self._share
        for total, unit, shape in zip(self._totals, self._units, self._shapes, strict=True):
            part = [min(-(-e // f), n) for e, f, n in zip(leaf_shape, total, shape, strict=True)]
            whole = all(p % u == 0 or p == n for p, u, n in zip(part, unit, shape, strict=True))
            touched = [u if whole else min(-(-p // u) * u, n) for p, u, n in zip(part, unit, shape, strict=True)]
            voxels += math.prod(touched)
        return voxels * self._itemsize

    def _leaf_fits(self, leaf_shape: Sequence[int]) -> bool:
        return self._memory_of_leaf(leaf_shape) <= self._budget

    def smallest_leaf(self) -> list[int]:
        """Return the extents of a leaf of whole chunks and footprints; of whole footprints only, if memory is short.

        Leaves of parts of chunks would decode every chunk several times, so blocks are then staged.
        """
        leaf_shape = [
            math.lcm(f, c) if c < r else -(-r // f) * f
            for f, c, r in zip(self._top, self._chunks or self._top, self._reach, strict=True)
        ]
        if self._leaf_fits(leaf_shape):
            return leaf_shape
        self.stages = self._chunks is not None
        return list(self._top)

    def smallest_block(self, leaf_shape: list[int], whole_levels: int) -> list[int]:
        """Return the extents of the smallest block of whole leaves, and of whole chunks or shards of these levels."""
        block_shape = []
        for axis, (reach, top) in enumerate(zip(self._reach, self._top, strict=True)):
            edge = math.lcm(leaf_shape[axis], top)
            if self.stages and self._chunks is not None:
                edge = math.lcm(edge, self._chunks[axis]) if self._chunks[axis] < reach else max(edge, reach)
            for k in range(0 if self._copies_base else 1, whole_levels + 1):
                unit, total = self._units[k][axis], self._totals[k][axis]
                edge = math.lcm(edge, unit * total) if unit < -(-reach // total) else max(edge, reach)
            block_shape.append(edge if self._aligned[axis] and edge < reach else -(-reach // top) * top)
        return block_shape

    def whole_levels(self, leaf_shape: list[int], block_bytes: int) -> int:
        """Return the number of levels of which blocks of about this size write whole chunks."""
        limit = max(block_bytes, self._bytes(self.smallest_block(leaf_shape, 0)))
        levels = range(self.leaf_levels + 1)
        return max(level for level in levels if self._bytes(self.smallest_block(leaf_shape, level)) <= limit)

    def grown_block(self, block_shape: list[int], block_bytes: int) -> list[int]:
        """Return the extents of a block, doubled along the last axes first, up to about this size."""
        block_shape, ndim = list(block_shape), len(block_shape)
        for axis in itertools.cycle(range(ndim - 1, -1, -1)):
            small = 2 * self._bytes(block_shape) <= block_bytes
            growable = [small and self._aligned[a] and 2 * block_shape[a] < self._reach[a] for a in range(ndim)]
            if not any(growable):
                return block_shape
            if growable[axis]:
                block_shape[axis] *= 2
        raise AssertionError

    def grown_leaf(self, leaf_shape: list[int], block_shape: list[int]) -> list[int]:
        """Return the extents of a leaf, doubled within the block, as far as memory allows, for faster reads."""
        grown = True
        while grown:
            grown = False
            for axis in range(len(leaf_shape) - 1, -1, -1):
                wider = [2 * e if a == axis else e for a, e in enumerate(leaf_shape)]
                fits = self._leaf_fits(wider) and self._bytes(wider) <= GOOD_LEAF
                divides = block_shape[axis] % wider[axis] == 0 or block_shape[axis] >= self._reach[axis]
                if fits and wider[axis] <= block_shape[axis] and divides:
                    leaf_shape, grown = wider, True
        return leaf_shape
