"""Expected results, computed with numpy alone and independently of the package.

Packages define the same methods differently; a `rule` names one definition:

==============  =====================================================================================
exact           tinypyr's: means rounded once, half to even; ties of modes resolved to the first value
floor           means rounded down
half-up         means rounded to nearest, halves up
unrounded       means in floating point, not rounded back to the integer type
near            means of floats up to a few units in the last place
within 1        means of integers that differ by no more than 1
a mode          any most frequent value: as frequent in the footprint as tinypyr's
lowest mode     the lowest of the most frequent values
middle mean     medians of an even count: the mean of the middle two, rounded down
==============  =====================================================================================
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workloads import Row

Array = NDArray[Any]

CHECKED_VOXELS = 1_000_000  # per end of the volume


def slow_axis(array: Array) -> int:
    return int(np.argmax([abs(stride) for stride in array.strides]))


def slab(shape: tuple[int, ...], factor: tuple[int, ...], axis: int, voxels: int) -> int:
    """Return the number of layers along `axis`, in whole blocks, that hold about this many voxels."""
    per_layer = max(1, math.prod(shape) // max(1, shape[axis]))
    blocks = max(1, voxels // (per_layer * factor[axis]))
    return min(shape[axis], blocks * factor[axis])


def check(levels: list[Array], array: Array, row: Row, rule: str) -> str:
    """Return the reason why these levels are wrong, checked at both ends of the volume; empty if they are right."""
    if len(levels) != row.levels:
        return f"{len(levels)} levels instead of {row.levels}"
    for number, level in enumerate(levels, 1):
        factor = tuple(f**number for f in row.factor)
        shape = tuple(-(-n // f) for n, f in zip(array.shape, factor, strict=True))
        if level.shape != shape:
            return f"level {number}: shape {level.shape} instead of {shape}"
        axis = slow_axis(array)
        thick = slab(array.shape, factor, axis, CHECKED_VOXELS)
        last = max(0, (array.shape[axis] - thick) // factor[axis] * factor[axis])
        for start, stop in {(0, thick), (last, array.shape[axis])}:
            inside = tuple(slice(start, stop) if i == axis else slice(None) for i in range(array.ndim))
            f = factor[axis]
            answer = tuple(slice(start // f, -(-stop // f)) if i == axis else slice(None) for i in range(array.ndim))
            why = wrong(level[answer], array[inside], row, rule, number)
            if why:
                return f"level {number}: {why}"
    return ""


def wrong(answer: Array, block: Array, row: Row, rule: str, level: int = 1) -> str:
    """Return the reason why `answer` is not the pooled `block` under the rule; empty if it is."""
    factor = tuple(f**level for f in row.factor)
    shape = tuple(-(-n // f) for n, f in zip(block.shape, factor, strict=True))
    if answer.shape != shape:
        return f"shape {answer.shape} instead of {shape}"
    if rule != "unrounded" and answer.dtype != block.dtype:
        return f"dtype {answer.dtype} instead of {block.dtype}"
    if row.method == "mode" and math.prod(factor) <= 64:
        bad = _mode_errors(answer, block, factor, rule, row.ignore)
    elif rule == "middle mean":
        bad = _median_errors(answer, block, factor)
    elif row.ignore is not None or (row.method not in ("mean", "min", "max", "stride")):
        bad = answer != _by_reference(block, row, factor, rule)
    elif row.method == "mean":
        bad = _mean_errors(answer, block, factor, rule)
    elif row.method == "stride":
        bad = answer != block[tuple(slice(None, None, f) for f in factor)]
    else:
        expected = block
        for axis, f in enumerate(factor):
            ufunc = np.minimum if row.method == "min" else np.maximum
            expected = ufunc.reduceat(expected, np.arange(0, block.shape[axis], f), axis=axis)
        bad = answer != expected
    count = int(np.count_nonzero(bad))
    if not count:
        return ""
    first = tuple(int(i[0]) for i in np.nonzero(bad))
    return f"{count} of {bad.size} voxels checked are not {rule!r}, the first at {first}: {answer[first]}"


def _by_reference(block: Array, row: Row, factor: tuple[int, ...], rule: str) -> Array:
    from tinypyr import _reference

    ignore = None if row.ignore is None else block.dtype.type(row.ignore)
    levels = _reference.pyramid(
        block,
        [factor],
        method=row.method,
        ignore=ignore,
        rounding="floor" if rule == "floor" else "half-even",
        ties="lowest" if rule == "lowest mode" else "first",
        voxel_offset=(0,) * block.ndim,
    )
    return levels[0]


def _sums(block: Array, factor: tuple[int, ...]) -> Array:
    for axis, f in enumerate(factor):
        block = np.add.reduceat(block, np.arange(0, block.shape[axis], f), axis=axis)
    return block


def _mean_errors(answer: Array, block: Array, factor: tuple[int, ...], rule: str) -> Array:
    count = _sums(np.ones(block.shape, np.int64), factor)
    if block.dtype.kind == "f":
        mean = _sums(block.astype(np.float64), factor) / count
        if rule == "exact":
            return np.asarray(answer != mean.astype(block.dtype))
        return np.asarray(np.abs(answer - mean) > 8 * np.finfo(block.dtype).eps * np.maximum(np.abs(mean), 1e-30))
    largest = max(abs(int(block.max())), abs(int(block.min())))
    if largest * math.prod(factor) >= 2**62:
        raise OverflowError("the sums of this check do not fit 64 bits: give the row smaller values")
    total = _sums(block.astype(np.int64), factor)
    below, rest = np.divmod(total, count)
    if rule == "unrounded":
        return np.asarray(np.abs(answer - total / count) > 1e-6 * np.maximum(1, np.abs(below)))
    if rule == "floor":
        mean = below
    elif rule == "half-up":
        mean = below + (2 * rest >= count)
    else:
        mean = below + ((2 * rest > count) | ((2 * rest == count) & (below % 2 == 1)))
    return np.asarray(np.abs(answer.astype(np.int64) - mean) > (1 if rule == "within 1" else 0))


def _planes(block: Array, factor: tuple[int, ...]) -> list[Array]:
    """Return one array per position in the footprint, in raster order with axis 0 fastest."""
    return [
        block[tuple(slice(o, None, f) for o, f in zip(reversed(offset), factor, strict=True))]
        for offset in np.ndindex(*reversed(factor))
    ]


def _median_errors(answer: Array, block: Array, factor: tuple[int, ...]) -> Array:
    ordered = np.sort(np.stack(_planes(block, factor)), axis=0)
    middle = (len(ordered) - 1) // 2
    low, high = ordered[middle], ordered[-1 - middle]
    return np.asarray(answer != low + (high - low) // 2)


def _mode_errors(answer: Array, block: Array, factor: tuple[int, ...], rule: str, ignore: int | None) -> Array:
    padding = [(0, -n % f) for n, f in zip(block.shape, factor, strict=True)]
    planes = _planes(np.pad(block, padding), factor)
    present = np.ones(block.shape, bool) if ignore is None else block != ignore
    inside = _planes(np.pad(present, padding), factor)

    def frequency(value: Array) -> NDArray[np.int8]:
        total = np.zeros(answer.shape, np.int8)
        for plane, here in zip(planes, inside, strict=True):
            total += (plane == value) & here
        return total

    counts = [np.where(here, frequency(plane), 0) for plane, here in zip(planes, inside, strict=True)]
    best = np.max(counts, axis=0)
    nobody = best == 0  # all voxels are ignored
    if rule == "a mode":
        return np.asarray(np.where(nobody, answer != ignore, frequency(answer) != best))
    expected = np.zeros_like(answer)
    known = nobody.copy()
    if ignore is not None:
        expected[nobody] = ignore
    for plane, count in zip(planes, counts, strict=True):
        winner = (count == best) & ~nobody
        take = winner & (~known | (plane < expected)) if rule == "lowest mode" else winner & ~known
        expected[take] = plane[take]
        known |= winner
    return np.asarray(answer != expected)
