"""How a volume is cut into leaves and blocks, and how many levels each of them makes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from .._util.sizes import size_text
from ..errors import StoreError
from ..grid import Grid
from .source import Source
from .volume import Layout

Extents = tuple[int, ...]


@dataclass(frozen=True)
class Partition:
    """Sizes of leaves and blocks in base voxels, and the number of levels that each of them completes."""

    leaf: Extents
    block: Extents
    whole_levels: int
    leaf_levels: int


#: Bytes of the base in a block, unless the user says: a 32nd of the volume, but no less than the first of these and no
#: more than the second; and never more blocks than the third.
SMALL_BLOCK, LARGE_BLOCK, MOST_BLOCKS = 1 << 26, 1 << 32, 1 << 20
#: Less than this is not worth a read of its own.
GOOD_LEAF = 1 << 24
#: The core counts to so many voxels below one.
MAX_FOOTPRINT = 1 << 31
#: Buffers of a leaf at work, over its bytes: itself, the next one being read, decoded chunks, its levels; and what
#: is being written.
LEAF_SHARE = 6
#: The same of an array that is made where it is read: what it is made of, too.
VIEW_SHARE = 12


def choose_blocks(
    base: Grid,
    read: Source,
    layouts: list[Layout],
    totals: list[Extents],
    copies: bool,
    budget: int,
    carries: bool,
    wanted: int | None,
) -> Partition:
    """Leaf, block, how many levels blocks write whole, and how many leaves make.

    ``wanted``: about how many bytes of the base a block should have; None: as suits the volume.
    """
    size, share = read.dtype.itemsize, LEAF_SHARE if read.recipe is None else VIEW_SHARE
    ndim = base.ndim
    open_units = sum(math.prod(layout.unit) for layout in layouts) * size
    by_leaves = len(totals) - 1
    while True:
        top = totals[by_leaves]
        reach = [n + o % f for n, o, f in zip(base.shape, base.voxel_offset, top, strict=True)]
        # what must be whole in memory: one voxel of the last level that leaves make
        footprint = math.prod(min(f, r) for f, r in zip(top, reach, strict=True))
        least = footprint * size * share + open_units
        if (least <= budget and footprint <= MAX_FOOTPRINT) or by_leaves <= 1 or not carries:
            break
        by_leaves -= 1

    def voxels(extents: Sequence[int]) -> int:
        return math.prod(min(e, r) for e, r in zip(extents, reach, strict=True))

    if least > budget:
        raise StoreError(
            f"memory: {size_text(least)} per worker needed for these levels, {size_text(budget)} allowed; allow more "
            "memory, or fewer workers, or make fewer levels"
        )
    leaf = [math.lcm(f, c) if c < r else -(-r // f) * f for f, c, r in zip(top, read.chunks or top, reach, strict=True)]
    if voxels(leaf) * size * share + open_units > budget:
        leaf = list(top)  # (chunks are read several times then)
    aligned = [o % f == 0 for o, f in zip(base.voxel_offset, top, strict=True)]

    def edges(whole: int) -> Extents:
        made = []
        for axis in range(ndim):
            edge = math.lcm(leaf[axis], top[axis])
            for k in range(0 if copies else 1, whole + 1):
                unit = layouts[k].unit[axis]
                if unit < -(-reach[axis] // totals[k][axis]):
                    edge = math.lcm(edge, unit * totals[k][axis])
                else:
                    edge = max(edge, reach[axis])
            made.append(edge if aligned[axis] and edge < reach[axis] else -(-reach[axis] // top[axis]) * top[axis])
        return tuple(made)

    if wanted is None:
        everything = math.prod(base.shape) * size
        wanted = max(SMALL_BLOCK, min(everything // 32, LARGE_BLOCK), everything // MOST_BLOCKS)
    # as many levels as blocks of that size can write; failing that, as many as do not make the smallest blocks larger
    least = max(wanted, voxels(edges(0)) * size)
    whole = max(level for level in range(by_leaves + 1) if voxels(edges(level)) * size <= least)
    block = list(edges(whole))
    for axis in itertools.cycle(range(ndim - 1, -1, -1)):
        may = [aligned[a] and 2 * block[a] < reach[a] and 2 * voxels(block) * size <= wanted for a in range(ndim)]
        if not any(may):
            break
        if may[axis]:
            block[axis] *= 2
    # larger leaves are read faster, as long as they fit
    grown = True
    while grown:
        grown = False
        for axis in range(ndim - 1, -1, -1):
            wider = [2 * e if a == axis else e for a, e in enumerate(leaf)]
            fits = voxels(wider) * size * share + open_units <= budget and voxels(wider) * size <= GOOD_LEAF
            if fits and wider[axis] <= block[axis] and block[axis] % wider[axis] == 0:
                leaf, grown = wider, True
    return Partition(tuple(leaf), tuple(block), whole, by_leaves)
