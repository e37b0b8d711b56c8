"""Accumulators of means, from which further levels are computed: the sums and counts equal those of the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from support.strategies import lay_out
from tinypyr import _reference
from tinypyr._pooling.run import distinct, mean_levels

DTYPES = (
    "bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64", "float16",
)  # fmt: skip


def volume(dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return a volume of random values that include the extremes of the dtype."""
    rng = np.random.default_rng(len(dtype))
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if np.dtype(dtype).kind == "f":
        made = (rng.standard_normal(shape) * 100).astype(dtype)
        made[rng.random(shape) < 0.1] = -0.0
        return made
    limits = np.iinfo(dtype)
    made = rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    made[rng.random(shape) < 0.2] = limits.max
    made[rng.random(shape) < 0.2] = limits.min
    return made


@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_are_those_of_the_reference(dtype: str, isa: str) -> None:
    factors = [(2, 2, 2), (2, 2, 1), (1, 3, 2)]
    for shape, voxel_offset in (((41, 23, 14), (0, 0, 0)), ((40, 9, 7), (-3, 5, 1)), ((8, 12, 4), (0, 0, 0))):
        array = volume(dtype, shape)
        for ignore in (None, array[0, 0, 0], array.max()):
            for order in ("C", "F", "negative", "swapped", "permuted 1,0,2"):
                for levels in (1, 3):
                    given = lay_out(array, order)
                    got, fold = mean_levels(given, factors[:levels], ignore, "half-even", voxel_offset)
                    want, exact = _reference.reduce_levels(
                        array, factors[:levels], "mean", ignore, "half-even", voxel_offset
                    )
                    case = (shape, voxel_offset, ignore, order, levels)
                    for level, wanted in zip(got, want, strict=True):
                        np.testing.assert_array_equal(level, wanted, err_msg=str(case))
                    np.testing.assert_array_equal(fold.counts, exact.counts, err_msg=str(case))
                    assert fold.voxel_offset == exact.voxel_offset
                    if dtype in ("int64", "uint64"):  # the two halves may differ if the sum is the same
                        high, low, exact_high, exact_low = (
                            part.astype(object) for part in (*fold.statistic.parts, *exact.statistic.parts)
                        )
                        assert ((high << 32) + low == (exact_high << 32) + exact_low).all(), case
                    else:
                        np.testing.assert_array_equal(
                            fold.statistic.parts[0], exact.statistic.parts[0], err_msg=str(case)
                        )


def test_levels_above_an_accumulator_equal_those_of_the_whole_array(isa: str) -> None:
    array = volume("int64", (24, 18, 8))
    _, fold = mean_levels(array, [(2, 2, 2), (2, 1, 2)], None, "half-even", (1, 0, 0))
    above = fold.levels([(3, 2, 1), (1, 3, 2)])
    whole = _reference.pyramid(
        array, [(2, 2, 2), (2, 1, 2), (3, 2, 1), (1, 3, 2)], method="mean", ignore=None, rounding="half-even",
        ties="first", voxel_offset=(1, 0, 0),
    )  # fmt: skip
    for got, want in zip(above, whole[2:], strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "uint16", "int32", "uint64", "int64", "float32", ">u4"])
def test_distinct_equals_numpy_unique(dtype: str) -> None:
    """Runs and noise, more values than the initial table holds, 0 and the maximum, in every memory order."""
    rng = np.random.default_rng(2)
    runs = np.repeat(rng.integers(0, 200, 700), rng.integers(1, 90, 700))
    for array in (runs, rng.integers(0, 1 << 17, 300_000), np.zeros(1000), np.zeros(1), np.array([0, 1, 0]), runs[:0]):
        given = array.astype(dtype)
        if np.dtype(dtype).kind in "iu" and given.size:
            given[-1] = np.iinfo(dtype).max
        np.testing.assert_array_equal(distinct(given), np.unique(given))
    volume = rng.integers(0, 9, (7, 6, 5)).astype(dtype)
    for order in ("C", "F", "negative", "gapped", "permuted 1,0,2"):
        np.testing.assert_array_equal(distinct(lay_out(volume, order)), np.unique(volume))
