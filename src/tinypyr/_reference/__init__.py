"""The numpy twin of the compiled core: every method, every dtype, slow and obvious.

This file is the contract in executable form. Compiled kernels are tested against it bit for bit, and it is what
runs for dtypes the core has no row for (float16, complex, long double) and when the extension is missing.
Arguments are checked in :mod:`tinypyr.pooling`, never here.

Two ideas carry everything:

- *reduction*: ``mean``, ``min`` and ``max`` have a small accumulator (sums and counts, or the extreme itself). The
  accumulator of a level is that of the level below, reduced along axis 0, then axis 1, and so on; an output voxel is
  computed from its accumulator.
- *planes*: ``mode``, ``median`` and ``stride`` must see every voxel of the footprint. The volume is laid out as one
  plane per position in the footprint, in raster order with axis 0 fastest, and the answer is chosen across planes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Factor = tuple[int, ...]

_LOW_HALF = np.uint64(0xFFFFFFFF)


def pyramid(
    array: Array,
    factors: Sequence[Factor],
    *,
    method: str,
    ignore: Any,
    rounding: str,
    ties: str,
    voxel_offset: Factor,
) -> list[Array]:
    """Every level of a pyramid, finest first, in C order and native byte order.

    ``factors`` holds one full-length tuple per level (relative to the level before), ``ignore`` is None or a scalar
    of the array's dtype.
    """
    if array.ndim == 0:  # numpy turns 0-d results into scalars, with rules of their own
        lone = pyramid(
            array.reshape(1),
            [(1,)] * len(factors),
            method=method,
            ignore=ignore,
            rounding=rounding,
            ties=ties,
            voxel_offset=(0,),
        )
        return [level.reshape(()) for level in lone]
    if method in ("mean", "min", "max"):
        return reduce_levels(array, factors, method, ignore, rounding, voxel_offset)[0]
    array, ignore = _prepared(array, method, ignore)
    with np.errstate(all="ignore"):
        choose = functools.partial(_CHOOSE[method], dtype=array.dtype, ties=ties)
        levels = []
        cumulative = (1,) * array.ndim
        for factor in factors:
            cumulative = tuple(min(c * f, 2**62) for c, f in zip(cumulative, factor, strict=True))
            # "stride" hands on a voxel as it is; the others make a value
            level = array if method == "stride" else _canonical_zero(array)
            planes, valid = _planes(level, cumulative, voxel_offset)
            if ignore is not None:
                valid = valid & ~_same(planes, ignore)
            answer = choose(planes, valid)
            if ignore is not None:
                answer = np.where(valid.any(axis=0), answer, ignore).astype(array.dtype)
            levels.append(answer)
        return levels


def _prepared(array: Array, method: str, ignore: Any) -> tuple[Array, Any]:
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype.kind == "b" and (method != "stride" or ignore is not None):
        array = array.view(np.uint8) != 0  # any byte but 0 is True, though numpy itself only writes 1
    return array, None if ignore is None else _canonical_zero(np.asarray(ignore))[()]


# --- geometry ---------------------------------------------------------------------------------------------------


def extent(n: int, factor: int, voxel_offset: int) -> tuple[int, int]:
    """Number of blocks that n voxels starting at ``voxel_offset`` touch, and how many voxels the first block lacks."""
    if n == 0:
        return 0, 0
    return -((voxel_offset + n) // -factor) - voxel_offset // factor, voxel_offset % factor


def edges(n: int, factor: int, voxel_offset: int) -> list[int]:
    """Where each block of n voxels that start at ``voxel_offset`` begins, and where the last ends."""
    first = voxel_offset // factor
    return [
        min(max(block * factor - voxel_offset, 0), n)
        for block in range(first, first + extent(n, factor, voxel_offset)[0] + 1)
    ]


def present(shape: Factor, factor: Factor, voxel_offset: Factor) -> Array:
    """How many voxels of an array each of its blocks holds."""
    counts: Array = np.ones((1,) * len(shape), np.int64)
    for axis, (n, f, o) in enumerate(zip(shape, factor, voxel_offset, strict=True)):
        along = np.diff(np.array(edges(n, f, o), np.int64))
        counts = counts * along.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return counts


def _same(a: Array, b: Any) -> Array:
    """Elementwise equality in which NaN equals NaN."""
    equal: Array = np.asarray(a == b)
    if np.asarray(a).dtype.kind in "fc":
        equal = equal | ((a != a) & (b != b))
    return equal


def _canonical_zero(array: Array) -> Array:
    """-0.0 and 0.0 are one value wherever values are compared; the answer is then 0.0."""
    return np.asarray(array + array.dtype.type(0)) if array.dtype.kind in "fc" else array


# --- fold: mean, min, max ---------------------------------------------------------------------------------------


def _fold_axis(accumulator: Array, axis: int, factor: int, phase: int, combine: Callable[..., Array]) -> Array:
    """Combine the voxels of each block along one axis, in sequence. The first block lacks its first ``phase``."""
    source = np.moveaxis(accumulator, axis, 0)
    n = source.shape[0]
    blocks, _ = extent(n, factor, phase)
    factor, phase = _block_length(n, factor, phase)
    folded = np.empty((blocks, *source.shape[1:]), accumulator.dtype)
    for step in range(min(factor, phase + n)):
        # the step-th voxel of block j is source[j * factor - phase + step]; block 0 may lack it
        first = 1 if step < phase else 0
        part = source[first * factor - phase + step :: factor]
        target = folded[first : first + len(part)]
        if step == 0:
            target[...] = part
        elif step == phase:  # block 0 begins here, the others began at step 0
            target[:1] = part[:1]
            target[1:] = combine(target[1:], part[1:])
        else:
            target[...] = combine(target, part)
    return np.moveaxis(folded, 0, axis)


class Reduction:
    """Reduces level after level: holds the accumulator of the current level and the number of base voxels per voxel."""

    def __init__(self, make: Mean | _Extreme, counts: Array, voxel_offset: Factor, ignore: Any) -> None:
        self.make, self.counts, self.voxel_offset, self.ignore = make, counts, voxel_offset, ignore

    @classmethod
    def of(cls, array: Array, method: str, ignore: Any, rounding: str, voxel_offset: Factor) -> Reduction:
        """Level 0, which is the array."""
        counted = np.ones(array.shape, bool) if ignore is None else ~_same(array, ignore)
        make = Mean.of(array, counted, rounding) if method == "mean" else _Extreme(array, counted, method)
        return cls(make, counted.astype(np.int64), voxel_offset, ignore)

    def levels(self, factors: Sequence[Factor]) -> list[Array]:
        """The next levels."""
        made = []
        with np.errstate(all="ignore"):  # inf - inf and overflow are answers here, not accidents
            for factor in factors:
                self.up(factor)
                made.append(self.level())
        return made

    def up(self, factor: Factor) -> None:
        """Go on to the next level."""
        for axis, f in enumerate(factor):
            n, phase = self.counts.shape[axis], self.voxel_offset[axis] % f
            if n == 0 or f == 1:
                continue
            fold = functools.partial(_fold_axis, axis=axis, factor=f, phase=phase)
            self.make.accumulator = [fold(part, combine=self.make.combine) for part in self.make.accumulator]
            self.counts = fold(self.counts, combine=np.add)
        self.voxel_offset = tuple(o // f for o, f in zip(self.voxel_offset, factor, strict=True))

    def level(self) -> Array:
        """The voxels of the level at hand."""
        level = self.make.finish(self.counts)
        if self.ignore is not None:
            level = np.where(self.counts > 0, level, self.ignore).astype(self.make.dtype)
        return level


def reduce_levels(
    array: Array, factors: Sequence[Factor], method: str, ignore: Any, rounding: str, voxel_offset: Factor
) -> tuple[list[Array], Reduction]:
    """Levels of mean, min or max, and the fold that can go on from the last of them."""
    array, ignore = _prepared(array, method, ignore)
    fold = Reduction.of(array, method, ignore, rounding, voxel_offset)
    return fold.levels(factors), fold


class _Extreme:
    """min and max: the accumulator is the extreme itself; left-out voxels accumulator the value that never wins."""

    def __init__(self, array: Array, counted: Array, method: str) -> None:
        self.combine: Callable[..., Array] = np.minimum if method == "min" else np.maximum  # NaN propagates
        self.dtype = array.dtype
        self.accumulator = [np.where(counted, _canonical_zero(array), _worst(array.dtype, method)).astype(array.dtype)]

    def finish(self, counts: Array) -> Array:
        return self.accumulator[0].copy()


def _worst(dtype: np.dtype[Any], method: str) -> Any:
    if dtype.kind == "b":
        return method == "min"
    if dtype.kind in "fc":
        worst = np.inf if method == "min" else -np.inf
        return dtype.type(complex(worst, worst) if dtype.kind == "c" else worst)
    return np.iinfo(dtype).max if method == "min" else np.iinfo(dtype).min


class Mean:
    """The mean. Integers accumulate exact sums (64-bit values as sums of high and low halves), floats doubles."""

    combine = staticmethod(np.add)

    def __init__(self, accumulator: list[Array], dtype: np.dtype[Any], rounding: str) -> None:
        self.accumulator, self.dtype, self.rounding = accumulator, dtype, rounding

    @classmethod
    def of(cls, array: Array, counted: Array, rounding: str) -> Mean:
        if array.dtype.kind in "fc":
            wide = np.result_type(array.dtype, np.float64)
            # -0.0 is the one number that leaves every sum as it was, the sign of a zero included
            accumulator = [np.where(counted, array, -wide.type(0)).astype(wide)]
        elif array.dtype.itemsize < 8:
            accumulator = [np.where(counted, array, 0).astype(np.int64)]
        else:
            kept = np.where(counted, array, array.dtype.type(0))
            low = (kept.astype(np.uint64) & _LOW_HALF).astype(np.int64)
            accumulator = [(kept >> np.asarray(32, kept.dtype)).astype(np.int64), low]
        return cls(accumulator, array.dtype, rounding)

    def finish(self, counts: Array) -> Array:
        counts = np.maximum(counts, 1)
        if self.dtype.kind in "fc":
            return np.asarray(self.accumulator[0] / counts).astype(self.dtype)
        if len(self.accumulator) == 1:
            return self._divide(self.accumulator[0], counts).astype(self.dtype)
        high, low = (part.astype(object) for part in self.accumulator)  # Python integers: as wide as it takes
        return self._divide(high * 2**32 + low, counts.astype(object)).astype(self.dtype)

    def _divide(self, total: Array, counts: Array) -> Array:
        quotient = np.asarray(total // counts)
        if self.rounding == "floor":
            return quotient
        twice = 2 * (total - quotient * counts)
        up = (twice > counts) | ((twice == counts) & (quotient % 2 == 1))
        return np.asarray(quotient + np.where(up, 1, 0))


# --- planes: mode, median, stride -------------------------------------------------------------------------------


def _block_length(n: int, factor: int, phase: int) -> tuple[int, int]:
    """The same blocks with no more empty room than needed: a factor of a million on nine voxels is a factor of 9."""
    if n == 0 or phase + n <= factor:
        return max(n, 1), 0
    if phase and phase + n <= 2 * factor:  # two blocks: both of them may be cut
        head = factor - phase
        length = max(head, n - head)
        return length, length - head
    return factor, phase


def _planes(array: Array, factor: Factor, voxel_offset: Factor) -> tuple[Array, Array]:
    """(planes, valid): one plane per position in the footprint, axis 0 fastest; valid marks voxels that exist."""
    blocks = []
    for n, f, o in zip(array.shape, factor, voxel_offset, strict=True):
        count, phase = extent(n, f, o)
        blocks.append((count, *_block_length(n, f, phase)))
    inside = tuple(slice(phase, phase + n) for n, (_, _, phase) in zip(array.shape, blocks, strict=True))
    padded_shape = [count * length for count, length, _ in blocks]
    split_shape = [part for count, length, _ in blocks for part in (count, length)]
    ndim = array.ndim
    # footprint axes first, the last axis slowest, so that flattening them in C order puts axis 0 fastest
    order = [2 * axis + 1 for axis in reversed(range(ndim))] + [2 * axis for axis in range(ndim)]

    def split(values: Array) -> Array:
        padded = np.zeros(padded_shape, values.dtype)
        padded[inside] = values
        by_position: Array = padded.reshape(split_shape).transpose(order)
        return by_position.reshape(-1, *(count for count, _, _ in blocks))

    if 0 in array.shape:
        empty = (1, *(count for count, _, _ in blocks))
        return np.zeros(empty, array.dtype), np.zeros(empty, bool)
    return split(array), split(np.ones(array.shape, bool))


def _first_valid(planes: Array, valid: Array, *, dtype: np.dtype[Any], ties: str) -> Array:
    return _pick(planes, valid.argmax(axis=0)).astype(dtype)


def _pick(planes: Array, index: Array) -> Array:
    picked: Array = np.take_along_axis(planes, index[np.newaxis], axis=0)
    return picked[0, ...]


def _lower_middle(planes: Array, valid: Array, *, dtype: np.dtype[Any], ties: str) -> Array:
    if dtype.kind == "b":
        return _lower_middle(planes.view(np.uint8), valid, dtype=np.dtype(np.uint8), ties=ties).astype(bool)
    order = np.argsort(planes, axis=0, kind="stable")
    # left-out voxels after all others, the rest still sorted
    order = np.take_along_axis(order, np.argsort(~np.take_along_axis(valid, order, 0), axis=0, kind="stable"), 0)
    count = valid.sum(axis=0)
    middle = _pick(np.take_along_axis(planes, order, 0), np.maximum(count - 1, 0) // 2)
    if dtype.kind in "fc":
        middle = np.where(((planes != planes) & valid).any(axis=0), dtype.type(np.nan), middle)
    return middle.astype(dtype)


def _most_frequent(planes: Array, valid: Array, *, dtype: np.dtype[Any], ties: str) -> Array:
    planes = planes.view(np.uint8) if dtype.kind == "b" else planes
    labels, ranks = _renumber(planes)
    # Sort each footprint (stable, so equal labels stay in raster order) and walk its runs of equal labels.
    order = np.argsort(ranks, axis=0, kind="stable")
    ranks = np.take_along_axis(ranks, order, 0)
    valid = np.take_along_axis(valid, order, 0)
    shape = ranks.shape[1:]
    run, start = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    best, best_count, best_start = (
        np.zeros(shape, np.intp),
        np.zeros(shape, np.int64),
        np.zeros(shape, np.int64),
    )
    for i in range(len(ranks)):
        if i:
            run = np.where(ranks[i] == ranks[i - 1], run, 0)
        start = np.where(run == 0, order[i], start)
        run = run + valid[i]
        better = run > best_count
        if ties == "first":
            better |= (run == best_count) & (start < best_start)
        better &= valid[i]
        best = np.where(better, ranks[i], best)
        best_count = np.where(better, run, best_count)
        best_start = np.where(better, start, best_start)
    return labels[best].astype(dtype)


def _renumber(planes: Array) -> tuple[Array, Array]:
    """Sorted labels and the rank of every voxel in them: wide labels become numbers small enough to sort fast."""
    labels: Array
    ranks: Array
    if planes.dtype.kind in "ui" and planes.dtype.itemsize >= 4:
        # as unsigned, because fastremap (1.21) overruns its buffers when max - min overflows a signed dtype
        unsigned = np.dtype(f"u{planes.dtype.itemsize}")
        sign = unsigned.type(0 if planes.dtype.kind == "u" else 1 << (8 * unsigned.itemsize - 1))
        labels, ranks = _integer_unique()(planes.ravel().view(unsigned) ^ sign, return_inverse=True)
        labels = (labels ^ sign).view(planes.dtype)
    else:
        labels, ranks = np.unique(planes.ravel(), return_inverse=True)  # NaN last, and all NaN are one label
    for small in (np.uint8, np.uint16, np.uint32):
        if len(labels) <= np.iinfo(small).max:
            ranks = ranks.astype(small)
            break
    if len(labels) == 0:
        labels = np.zeros(1, planes.dtype)
    return labels, ranks.reshape(planes.shape)


@functools.cache
def _integer_unique() -> Callable[..., Any]:
    """fastremap counts labels several times faster than numpy sorts them; a vendored copy works without it."""
    try:
        import fastremap
    except ImportError:
        return np.unique
    unique: Callable[..., Any] = fastremap.unique
    return unique


_CHOOSE: dict[str, Callable[..., Array]] = {
    "mode": _most_frequent,
    "median": _lower_middle,
    "stride": _first_valid,
}
