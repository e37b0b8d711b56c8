"""Reductions: mean, min and max, computed level by level from exact accumulators."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .footprints import Array, Factor, effective_factor, extent
from .values import canonical, make_nan_canonical, prepared, same

_LOW_HALF = np.uint64(0xFFFFFFFF)


def reduce_levels(
    array: Array, factors: Sequence[Factor], method: str, ignore: Any, rounding: str, voxel_offset: Factor
) -> tuple[list[Array], Reduction]:
    """Return levels of mean, min or max, and the reduction from which levels above the last one are computed."""
    array, ignore = prepared(array, method, ignore)
    reduction = Reduction.of(array, method, ignore, rounding, voxel_offset)
    return reduction.levels(factors), reduction


class Reduction:
    """A reduction at some level: its accumulator, and the number of base voxels that count per voxel.

    Parameters
    ----------
    statistic : Mean or Extreme
        The statistic, whose ``parts`` are the accumulator.
    counts : numpy.ndarray
        The number of base voxels per voxel that are not ignored.
    voxel_offset : tuple of int
        The offset of the level.
    ignore : scalar or None
        The value that is ignored.
    """

    def __init__(self, statistic: Mean | Extreme, counts: Array, voxel_offset: Factor, ignore: Any) -> None:
        self.statistic, self.counts, self.voxel_offset, self.ignore = statistic, counts, voxel_offset, ignore

    @classmethod
    def of(cls, array: Array, method: str, ignore: Any, rounding: str, voxel_offset: Factor) -> Reduction:
        """Return the reduction at level 0, which is the array."""
        counted = np.ones(array.shape, bool) if ignore is None else ~same(array, ignore)
        statistic = Mean.of(array, counted, rounding) if method == "mean" else Extreme(array, counted, method)
        return cls(statistic, counted.astype(np.int64), voxel_offset, ignore)

    @property
    def accumulator(self) -> list[Array]:
        """The arrays from which the levels above can be computed: the counts, then the parts of the statistic."""
        return [self.counts, *self.statistic.parts]

    def levels(self, factors: Sequence[Factor]) -> list[Array]:
        """Return the next levels, and advance to the last of them."""
        levels = []
        with np.errstate(all="ignore"):  # inf - inf and overflow are valid results here
            for factor in factors:
                self.advance(factor)
                levels.append(self.level())
        return levels

    def advance(self, factor: Factor) -> None:
        """Advance to the next level."""
        for axis, f in enumerate(factor):
            n, phase = self.counts.shape[axis], self.voxel_offset[axis] % f
            if n == 0 or f == 1:
                continue
            fold = functools.partial(_fold_axis, axis=axis, factor=f, phase=phase)
            self.statistic.parts = [fold(part, combine=self.statistic.combine) for part in self.statistic.parts]
            self.counts = fold(self.counts, combine=np.add)
        self.voxel_offset = tuple(o // f for o, f in zip(self.voxel_offset, factor, strict=True))

    def level(self) -> Array:
        """Return the voxels of the current level."""
        level = self.statistic.finish(self.counts)
        if self.ignore is not None:
            level = np.where(self.counts > 0, level, self.ignore).astype(self.statistic.dtype)
        return level


def _fold_axis(part: Array, axis: int, factor: int, phase: int, combine: Callable[..., Array]) -> Array:
    """Combine the voxels of each footprint along one axis, in sequence. The first one lacks its first ``phase``."""
    source = np.moveaxis(part, axis, 0)
    n = source.shape[0]
    count, _ = extent(n, factor, phase)
    factor, phase = effective_factor(n, factor, phase)
    folded = np.empty((count, *source.shape[1:]), part.dtype)
    for step in range(min(factor, phase + n)):
        # the step-th voxel of footprint j is source[j * factor - phase + step]; footprint 0 may lack it
        first = 1 if step < phase else 0
        voxels = source[first * factor - phase + step :: factor]
        target = folded[first : first + len(voxels)]
        if step == 0:
            target[...] = voxels
        elif step == phase:  # footprint 0 begins here, the others began at step 0
            target[:1] = voxels[:1]
            target[1:] = combine(target[1:], voxels[1:])
        else:
            target[...] = combine(target, voxels)
    return np.moveaxis(folded, 0, axis)


class Extreme:
    """The minimum or the maximum. Its accumulator is the extreme; ignored voxels get a value that never wins."""

    def __init__(self, array: Array, counted: Array, method: str) -> None:
        self.combine: Callable[..., Array] = np.minimum if method == "min" else np.maximum  # NaN propagates
        self.dtype = array.dtype
        self.parts = [np.where(counted, canonical(array), _worst(array.dtype, method)).astype(array.dtype)]

    def finish(self, counts: Array) -> Array:
        """Return the voxels of the level."""
        return self.parts[0].copy()


def _worst(dtype: np.dtype[Any], method: str) -> Any:
    """Return the value of a dtype that every other one replaces."""
    if dtype.kind == "b":
        return method == "min"
    if dtype.kind in "fc":
        worst = np.inf if method == "min" else -np.inf
        return dtype.type(complex(worst, worst) if dtype.kind == "c" else worst)
    return np.iinfo(dtype).max if method == "min" else np.iinfo(dtype).min


class Mean:
    """The mean. Its accumulator is an exact sum for integers (64 bits: of high and low halves), a double for floats."""

    combine = staticmethod(np.add)

    def __init__(self, parts: list[Array], dtype: np.dtype[Any], rounding: str) -> None:
        self.parts, self.dtype, self.rounding = parts, dtype, rounding

    @classmethod
    def of(cls, array: Array, counted: Array, rounding: str) -> Mean:
        """Return the mean at level 0, where the sums are the voxels that count."""
        if array.dtype.kind in "fc":
            wide = np.result_type(array.dtype, np.float64)
            # -0.0 is the only number that leaves every sum unchanged, the sign of a zero included
            parts = [np.where(counted, array, -wide.type(0)).astype(wide)]
        elif array.dtype.itemsize < 8:
            parts = [np.where(counted, array, 0).astype(np.int64)]
        else:
            voxels = np.where(counted, array, array.dtype.type(0))
            low = (voxels.astype(np.uint64) & _LOW_HALF).astype(np.int64)
            parts = [(voxels >> np.asarray(32, voxels.dtype)).astype(np.int64), low]
        return cls(parts, array.dtype, rounding)

    def finish(self, counts: Array) -> Array:
        """Return the voxels of the level."""
        counts = np.maximum(counts, 1)
        if self.dtype.kind in "fc":
            level = np.asarray(self.parts[0] / counts).astype(self.dtype)
            make_nan_canonical(level)
            return level
        if len(self.parts) == 1:
            return self._divide(self.parts[0], counts).astype(self.dtype)
        high, low = (part.astype(object) for part in self.parts)  # Python integers, which do not overflow
        return self._divide(high * 2**32 + low, counts.astype(object)).astype(self.dtype)

    def _divide(self, total: Array, counts: Array) -> Array:
        """Divide integers and round once."""
        quotient = np.asarray(total // counts)
        if self.rounding == "floor":
            return quotient
        twice = 2 * (total - quotient * counts)
        up = (twice > counts) | ((twice == counts) & (quotient % 2 == 1))
        return np.asarray(quotient + np.where(up, 1, 0))
