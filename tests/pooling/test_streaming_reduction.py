"""Means and extremes of footprints of millions of voxels along one axis, which are summed piece by piece."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tinypyr


def sums(array: NDArray[Any], axes: tuple[int, ...]) -> NDArray[Any]:
    """Return sums in doubles: in sequence along axis 0, then these sums along axis 1, and so on."""
    made = array.astype(np.float64)
    for axis in axes:
        made = np.add.accumulate(made, axis).take([-1], axis)
    return made


def mean_of(array: NDArray[Any]) -> Any:
    """Return the mean from an exact sum, rounded half to even."""
    total, count = int(array.sum(dtype=np.int64)), array.size
    floor, rest = divmod(total, count)
    return floor + (2 * rest > count or (2 * rest == count and floor % 2))


LONG = 6_400_001  # odd; a row of bytes exceeds 6 MiB
SHAPES: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((LONG,), (LONG,)),
    ((2, LONG), (2, LONG)),
    ((LONG, 3), (LONG, 2)),
    ((3, LONG), (1, LONG)),
    ((2, LONG, 2), (2, LONG, 2)),
)


@pytest.mark.parametrize("dtype", ["int8", ">i2"])
@pytest.mark.parametrize(("shape", "factor"), SHAPES)
@pytest.mark.parametrize("order", ["C", "F"])
def test_means_and_extremes_of_integers_are_exact(
    order: Any, shape: tuple[int, ...], factor: tuple[int, ...], dtype: str
) -> None:
    array = np.empty(shape, dtype, order)
    array[...] = np.random.default_rng(1).integers(-100, 120, shape, np.int8)
    made = {method: tinypyr.downsample(array, factor, method) for method in ("mean", "min", "max")}
    for at in np.ndindex(made["mean"].shape):
        part = array[tuple(slice(i * f, (i + 1) * f) for i, f in zip(at, factor, strict=True))]
        assert made["mean"][at] == mean_of(part)
        assert (made["min"][at], made["max"][at]) == (part.min(), part.max())
    kept = tinypyr.downsample(array, factor, "mean", ignore=7)
    if kept.size == 1:
        assert kept.item() == mean_of(array[array != 7])


@pytest.mark.parametrize("dtype", [">f4", "float64"])
@pytest.mark.parametrize(("shape", "factor"), SHAPES)
@pytest.mark.parametrize("order", ["C", "F"])
def test_floats_are_added_in_the_documented_order(
    order: Any, shape: tuple[int, ...], factor: tuple[int, ...], dtype: str
) -> None:
    array = np.empty(shape, dtype, order)
    array[...] = np.random.default_rng(2).random(shape, np.float32)
    got = tinypyr.downsample(array, factor, "mean")
    for at in np.ndindex(got.shape):
        part = array[tuple(slice(i * f, (i + 1) * f) for i, f in zip(at, factor, strict=True))]
        want = (sums(part, tuple(range(array.ndim))) / part.size).astype(dtype).item()
        assert got[at] == want


@pytest.mark.parametrize("dtype", ["int8", ">u2", ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_levels_below_and_above_a_long_factor_are_exact(order: Any, dtype: str) -> None:
    """A level with a long factor above one with factor 3, and a last level of one voxel."""
    n = 1_700_000
    array = np.empty((2, 6 * n, 2), dtype, order)
    array[...] = np.random.default_rng(3).integers(0, 100, array.shape, np.int8)
    factors = [(1, 3, 1), (2, n, 1), (1, 2, 2)]
    made = tinypyr.pyramid(array, factors, "mean")
    for level, alone in zip(made, tinypyr.pyramid(array, factors[:1], "mean"), strict=False):
        assert level.tobytes() == alone.tobytes()
    total = np.cumprod(factors, 0)
    for level, whole in zip(made, total, strict=True):
        part = array[tuple(slice(f) for f in whole)]
        if np.dtype(dtype).kind == "f":
            np.testing.assert_allclose(level[0, 0, 0], part.mean(dtype=np.float64), rtol=1e-6)
        else:
            assert level[0, 0, 0] == mean_of(part)
    largest = tinypyr.pyramid(array, factors, "max")
    for level, whole in zip(largest, total, strict=True):
        assert level[-1, -1, -1] == array[tuple(slice(-f, None) for f in whole)].max()


def test_rows_that_just_fit_in_the_cache_give_exact_levels() -> None:
    """A row with its accumulators has just under 6 MiB, which must include the rows of the levels above."""
    for long in range(786_410, 786_432):
        array = np.ones(4 * long, np.float64)[::2]
        assert [level.tolist() for level in tinypyr.pyramid(array, [(long,), (2,)], "mean")] == [[1, 1], [1]]
