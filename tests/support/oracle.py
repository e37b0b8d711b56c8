"""Reference pyramids, computed one voxel at a time in exact arithmetic.

This file is the first of the two independent oracles. It is written from the rules alone (footprints, rounding, ties,
``ignore``), imports nothing of the package, and uses numpy only to read arrays and to convert results to dtypes.
Every value is a Python ``int``, ``bool``, ``float`` or ``Fraction``, so nothing here can overflow or round by accident.
It is written to be compared with the rules, not to be fast.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

Index = tuple[int, ...]

METHODS = ("mean", "mode", "median", "min", "max", "stride")


# ---------------------------------------------------------------------------------------------------- geometry


def cumulative(schedule: Sequence[Index]) -> list[Index]:
    """Return the factor of every level relative to the base."""
    total, out = tuple(1 for _ in schedule[0]), []
    for factor in schedule:
        total = tuple(t * f for t, f in zip(total, factor, strict=True))
        out.append(total)
    return out


def level_range(extent: int, voxel_offset: int, factor: int) -> range:
    """Return the global indices of one axis of a level; an axis of size zero remains so for any offset."""
    if extent == 0:
        return range(0)
    return range(math.floor(Fraction(voxel_offset, factor)), math.ceil(Fraction(voxel_offset + extent, factor)))


def raster(ranges: Sequence[range]) -> Iterator[Index]:
    """Return all indices of a box, axis 0 fastest."""
    for reverse in itertools.product(*reversed(ranges)):
        yield tuple(reversed(reverse))


def footprint(voxel: Index, factor: Index, shape: Index, voxel_offset: Index) -> list[Index]:
    """Return the base indices of the footprint of one voxel of a level, axis 0 fastest."""
    ranges = []
    for j, f, n, o in zip(voxel, factor, shape, voxel_offset, strict=True):
        ranges.append(range(max(j * f - o, 0), min((j + 1) * f - o, n)))
    return list(raster(ranges))


# ---------------------------------------------------------------------------------------------------- one footprint


def same(a: Any, b: Any) -> bool:
    """Return True for equal values, where NaN equals NaN and 0.0 equals -0.0."""
    return bool(a == b or (a != a and b != b))


def order_key(value: Any) -> tuple[bool, Any]:
    """Return a sort key that places NaN above all other values."""
    return (True, 0) if value != value else (False, value)


def plus_zero(value: Any) -> Any:
    """Return +0.0 for both zeros, and other values unchanged."""
    return 0.0 if isinstance(value, float) and value == 0 else value


def round_half_even(value: Fraction) -> int:
    below = value.numerator // value.denominator
    rest = value - below
    if rest < Fraction(1, 2):
        return below
    if rest > Fraction(1, 2):
        return below + 1
    return below if below % 2 == 0 else below + 1


def mean_of_integers(values: list[int], rounding: str) -> int:
    exact = Fraction(sum(values), len(values))
    if rounding == "floor":
        return exact.numerator // exact.denominator
    assert rounding == "half-even"
    return round_half_even(exact)


def mode_of(values: list[Any], ties: str) -> Any:
    """Return the mode; ``values`` are in raster order, so ties="first" selects the first of the most frequent ones."""
    distinct: list[Any] = []
    counts: list[int] = []
    for value in values:
        for i, known in enumerate(distinct):
            if same(known, value):
                counts[i] += 1
                break
        else:
            distinct.append(value)
            counts.append(1)
    tied = [value for value, count in zip(distinct, counts, strict=True) if count == max(counts)]
    if ties == "lowest":
        return min(tied, key=order_key)
    assert ties == "first"
    return tied[0]


def order_statistic(values: list[Any], method: str) -> Any:
    if any(value != value for value in values):
        return math.nan
    ordered = sorted(values)
    return {"min": ordered[0], "max": ordered[-1], "median": ordered[(len(ordered) - 1) // 2]}[method]


def pool(values: list[Any], method: str, ignore: Any, rounding: str, ties: str) -> Any:
    """Return one voxel of a level from the voxels of its footprint (in raster order); a mean of floats is exact.

    A mean of floats without an exact value is the float nan, inf or -inf.
    """
    if ignore is not None:
        kept = [value for value in values if not same(value, ignore)]
        if not kept:
            return ignore
        values = kept
    if method == "stride":
        return values[0]
    if method == "mode":
        return plus_zero(mode_of(values, ties))
    if method in ("min", "max", "median"):
        return plus_zero(order_statistic(values, method))
    assert method == "mean"
    if isinstance(values[0], bool):
        return bool(mean_of_integers([int(value) for value in values], rounding))
    if isinstance(values[0], int):
        return mean_of_integers(values, rounding)
    special = {value for value in values if not math.isfinite(value)}
    if special:  # infinities of one sign win; of both signs, or with NaN, the mean is NaN
        return special.pop() if special in ({math.inf}, {-math.inf}) else math.nan
    return sum((Fraction(value) for value in values), Fraction(0)) / len(values)


# ---------------------------------------------------------------------------------------------------- levels


@dataclass(frozen=True)
class Level:
    """A level: global index of its first voxel, shape; by voxel (C order), its value and those of its footprint."""

    start: Index
    shape: Index
    values: list[Any]
    footprints: list[list[Any]]

    def array(self, dtype: Any) -> np.ndarray:
        """Return the values as an array; not for means of floats, which need `check`."""
        out = np.empty(len(self.values), dtype)
        for i, value in enumerate(self.values):
            assert not isinstance(value, Fraction)
            out[i] = value
        return out.reshape(self.shape)


def pyramid(
    array: np.ndarray,
    schedule: Sequence[Index],
    method: str,
    *,
    ignore: Any = None,
    rounding: str = "half-even",
    ties: str = "first",
    voxel_offset: Index | None = None,
) -> list[Level]:
    """Return every level of ``array``, each computed from the base voxels of its footprints."""
    array = np.asarray(array)
    if ignore is not None:
        ignore = (array.dtype.type(ignore) + array.dtype.type(0)).item()  # -0.0 is 0.0
    start = tuple(0 for _ in array.shape) if voxel_offset is None else voxel_offset
    base = {index: array[index].item() for index in itertools.product(*map(range, array.shape))}
    levels = []
    for factor in cumulative(schedule):
        ranges = [level_range(n, o, f) for n, o, f in zip(array.shape, start, factor, strict=True)]
        footprints = [
            [base[index] for index in footprint(voxel, factor, array.shape, start)]
            for voxel in itertools.product(*ranges)
        ]
        levels.append(
            Level(
                start=tuple(r.start for r in ranges),
                shape=tuple(len(r) for r in ranges),
                values=[pool(values, method, ignore, rounding, ties) for values in footprints],
                footprints=footprints,
            )
        )
    return levels


# ---------------------------------------------------------------------------------------------------- comparison

# Digits of the significand and smallest exponent of the spacing, by item size, from IEEE 754.
_SIGNIFICAND = {2: (11, -24), 4: (24, -149), 8: (53, -1074)}


def ulp(value: Fraction, itemsize: int) -> Fraction:
    """Return the distance between adjacent floats of an item size near ``value``."""
    digits, least = _SIGNIFICAND[itemsize]
    if value == 0:
        return Fraction(2) ** least
    magnitude = abs(value)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    if Fraction(2) ** exponent > magnitude:
        exponent -= 1
    return Fraction(2) ** max(exponent - digits + 1, least)


def float_mean_bound(exact: Fraction, kept: list[float], itemsize: int) -> Fraction:
    """Return a bound of the error of a mean computed in doubles and rounded once to the dtype.

    Adding n doubles in any order is off by at most (n - 1) u' sum|x|, u' = u / (1 - n u), u = 2^-53; the division adds
    a relative u (or half a subnormal step); rounding to the dtype adds half a unit in the last place there.
    """
    u = Fraction(1, 2**53)
    total = sum((abs(Fraction(value)) for value in kept), Fraction(0))
    mean_error = (len(kept) - 1) * u / (1 - len(kept) * u) * total / len(kept)
    division = (abs(exact) + mean_error) * u + Fraction(1, 2**1075)
    in_double = mean_error + division
    if itemsize == 8:
        return in_double
    return in_double + ulp(abs(exact) + in_double, itemsize) / 2


def sum_may_overflow(values: list[float]) -> bool:
    """Return True if the sum of the finite values as doubles could overflow at an intermediate step."""
    total = sum((abs(Fraction(value)) for value in values if math.isfinite(value)), Fraction(0))
    return total > Fraction(np.finfo(np.float64).max)


def check(got: np.ndarray, want: Level, method: str, *, ignore: Any = None, where: str = "") -> None:
    """Raise AssertionError with the first voxel of ``got`` that differs from ``want``."""
    assert got.shape == want.shape, f"{where}: shape {got.shape} instead of {want.shape}"
    got = np.asarray(got)
    if ignore is not None:
        ignore = got.dtype.type(ignore).item()
    for index, value, values in zip(np.ndindex(got.shape), want.values, want.footprints, strict=True):
        have = got[index].item()
        kept = [v for v in values if ignore is None or not same(v, ignore)]
        if method == "mean" and got.dtype.kind == "f" and sum_may_overflow(kept):
            continue  # `mean_in_doubles` computes these means
        if isinstance(value, Fraction):
            bound = float_mean_bound(value, kept, got.dtype.itemsize)
            good = math.isfinite(have) and abs(Fraction(have) - value) <= bound
        else:
            good = same(have, value)
            if good and isinstance(value, float) and method != "mean" and not same(value, ignore):
                good = value != value or math.copysign(1, have) == math.copysign(1, value)
        assert good, f"{where}: {method} at {index} is {have!r} instead of {value!r}, out of {values[:64]!r}"


# ---------------------------------------------------------------------------------------------------- float means


def to_dtype(value: float, itemsize: int) -> float:
    """Return a double rounded once to a smaller float (``struct`` rounds half to even)."""
    code = {2: "<e", 4: "<f", 8: "<d"}[itemsize]
    try:
        return float(struct.unpack(code, struct.pack(code, value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def mean_in_doubles(
    array: np.ndarray, schedule: Sequence[Index], *, ignore: Any = None, voxel_offset: Index | None = None
) -> list[np.ndarray]:
    """Return means of floats with the documented order of additions, which are equal to the bit.

    Python's floats are doubles. On each level the accumulators of a footprint are added along axis 0, in sequence, then
    these sums along axis 1, and so on. The last sum is divided by the number of voxels and rounded to the dtype.
    """
    array = np.asarray(array)
    if ignore is not None:
        ignore = (array.dtype.type(ignore) + array.dtype.type(0)).item()  # -0.0 is 0.0
    start = tuple(0 for _ in array.shape) if voxel_offset is None else voxel_offset
    sums: dict[Index, float] = {}
    counts: dict[Index, int] = {}
    for index in itertools.product(*map(range, array.shape)):
        voxel = tuple(i + o for i, o in zip(index, start, strict=True))
        value = array[index].item()
        left_out = ignore is not None and same(value, ignore)
        # -0.0 is the number that changes no sum, including the sign of a zero
        sums[voxel], counts[voxel] = (-0.0, 0) if left_out else (value, 1)
    levels = []
    done = tuple(1 for _ in array.shape)
    for factor in schedule:
        done = tuple(d * f for d, f in zip(done, factor, strict=True))
        for axis, f in enumerate(factor):
            next_sums: dict[Index, float] = {}
            next_counts: dict[Index, int] = {}
            for voxel in sorted(sums):
                parent = (*voxel[:axis], voxel[axis] // f, *voxel[axis + 1 :])
                next_sums[parent] = next_sums[parent] + sums[voxel] if parent in next_sums else sums[voxel]
                next_counts[parent] = next_counts.get(parent, 0) + counts[voxel]
            sums, counts = next_sums, next_counts
        ranges = [level_range(n, o, d) for n, o, d in zip(array.shape, start, done, strict=True)]
        out = np.empty([len(r) for r in ranges], array.dtype)
        for index, voxel in zip(np.ndindex(out.shape), itertools.product(*ranges), strict=True):
            mean = sums[voxel] / counts[voxel] if counts[voxel] else ignore
            # (The sign of a NaN that the processor makes differs between processors.)
            out[index] = math.nan if mean != mean else to_dtype(mean, array.dtype.itemsize)
        levels.append(out)
    return levels
