"""What a pyramid must contain, computed one voxel at a time in exact arithmetic.

This file is the first of the two independent oracles. It is written from the rules alone (footprints, rounding, ties,
``ignore``), imports nothing of the package, and uses numpy only to take arrays apart and to put dtypes back together.
Every value is a Python ``int``, ``bool``, ``float`` or ``Fraction``, so nothing here can overflow or round by accident.
It is meant to be read next to the rules, never to be fast.
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
    """Factor of every level against the base."""
    total, out = tuple(1 for _ in schedule[0]), []
    for factor in schedule:
        total = tuple(t * f for t, f in zip(total, factor, strict=True))
        out.append(total)
    return out


def level_range(extent: int, voxel_offset: int, factor: int) -> range:
    """Global indices of one axis of a level; a zero-size axis stays zero-size wherever it begins."""
    if extent == 0:
        return range(0)
    return range(math.floor(Fraction(voxel_offset, factor)), math.ceil(Fraction(voxel_offset + extent, factor)))


def raster(ranges: Sequence[range]) -> Iterator[Index]:
    """All indices of a box, axis 0 fastest."""
    for reverse in itertools.product(*reversed(ranges)):
        yield tuple(reversed(reverse))


def footprint(voxel: Index, factor: Index, shape: Index, voxel_offset: Index) -> list[Index]:
    """Indices into the base array of the voxels under one voxel of a level, axis 0 fastest."""
    ranges = []
    for j, f, n, o in zip(voxel, factor, shape, voxel_offset, strict=True):
        ranges.append(range(max(j * f - o, 0), min((j + 1) * f - o, n)))
    return list(raster(ranges))


# ---------------------------------------------------------------------------------------------------- one footprint


def same(a: Any, b: Any) -> bool:
    """Equality in which all NaN are one value (and, as always, 0.0 equals -0.0)."""
    return bool(a == b or (a != a and b != b))


def order_key(value: Any) -> tuple[bool, Any]:
    """Sorts NaN above everything else."""
    return (True, 0) if value != value else (False, value)


def plus_zero(value: Any) -> Any:
    """Both zeros are reported as +0.0."""
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
    """``values`` are in raster order, so the first of the most frequent ones is the one seen first."""
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
    """One voxel of a level out of its footprint's voxels (in raster order); a float mean comes out exact.

    A mean of floats that has no exact value comes out as the float nan, inf or -inf.
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
    if special:  # infinities of one sign win; of both signs, or with a NaN, there is no mean
        return special.pop() if special in ({math.inf}, {-math.inf}) else math.nan
    return sum((Fraction(value) for value in values), Fraction(0)) / len(values)


# ---------------------------------------------------------------------------------------------------- levels


@dataclass(frozen=True)
class Level:
    """One level: global index of its first voxel, shape; per voxel (C order) the value and the footprint's values."""

    start: Index
    shape: Index
    values: list[Any]
    footprints: list[list[Any]]

    def array(self, dtype: Any) -> np.ndarray:
        """The values as an array; not for means of floats, which need `check`."""
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
    """Every level of ``array``, each one a function of the base voxels in its footprint."""
    array = np.asarray(array)
    if ignore is not None:
        ignore = array.dtype.type(ignore).item()
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

# Digits of the significand and least exponent of the spacing, per item size, as IEEE 754 has them.
_SIGNIFICAND = {2: (11, -24), 4: (24, -149), 8: (53, -1074)}


def ulp(value: Fraction, itemsize: int) -> Fraction:
    """Distance between neighbouring floats of a size around ``value``."""
    digits, least = _SIGNIFICAND[itemsize]
    if value == 0:
        return Fraction(2) ** least
    magnitude = abs(value)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    if Fraction(2) ** exponent > magnitude:
        exponent -= 1
    return Fraction(2) ** max(exponent - digits + 1, least)


def float_mean_bound(exact: Fraction, kept: list[float], itemsize: int) -> Fraction:
    """How far a mean of doubles, rounded once to the dtype, may be from the exact mean.

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
    """Whether adding the finite ones of these as doubles could leave the range of a double on the way."""
    total = sum((abs(Fraction(value)) for value in values if math.isfinite(value)), Fraction(0))
    return total > Fraction(np.finfo(np.float64).max)


def check(got: np.ndarray, want: Level, method: str, *, ignore: Any = None, where: str = "") -> None:
    """Raise AssertionError naming the first voxel of ``got`` that is not what ``want`` says."""
    assert got.shape == want.shape, f"{where}: shape {got.shape} instead of {want.shape}"
    got = np.asarray(got)
    if ignore is not None:
        ignore = got.dtype.type(ignore).item()
    for index, value, values in zip(np.ndindex(got.shape), want.values, want.footprints, strict=True):
        have = got[index].item()
        kept = [v for v in values if ignore is None or not same(v, ignore)]
        if method == "mean" and got.dtype.kind == "f" and sum_may_overflow(kept):
            continue  # `mean_in_doubles` says what these are
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
    """A double rounded once to a smaller float (``struct`` rounds half to even)."""
    code = {2: "<e", 4: "<f", 8: "<d"}[itemsize]
    try:
        return float(struct.unpack(code, struct.pack(code, value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def mean_in_doubles(
    array: np.ndarray, schedule: Sequence[Index], *, ignore: Any = None, voxel_offset: Index | None = None
) -> list[np.ndarray]:
    """Means of floats with the promised order of additions, so that they can be compared bit for bit.

    Python's floats are doubles. Per level: the carried sums of a footprint are added along axis 0 first, in sequence,
    then those sums along axis 1, and so on; the last sum is divided by the number of voxels and rounded to the dtype.
    """
    array = np.asarray(array)
    if ignore is not None:
        ignore = array.dtype.type(ignore).item()
    start = tuple(0 for _ in array.shape) if voxel_offset is None else voxel_offset
    sums: dict[Index, float] = {}
    counts: dict[Index, int] = {}
    for index in itertools.product(*map(range, array.shape)):
        voxel = tuple(i + o for i, o in zip(index, start, strict=True))
        value = array[index].item()
        left_out = ignore is not None and same(value, ignore)
        # -0.0 is the number that adds nothing, not even a sign
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
            if counts[voxel] == 0:
                out[index] = ignore
            else:
                out[index] = to_dtype(sums[voxel] / counts[voxel], array.dtype.itemsize)
        levels.append(out)
    return levels
