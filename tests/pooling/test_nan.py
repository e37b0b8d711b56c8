"""Every NaN that is computed is the canonical quiet NaN of its dtype: positive, and without a payload."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import tinypyr
from support.strategies import METHODS
from tinypyr import _reference
from tinypyr._pooling.run import mean_levels

ORDERS: Any = "CF"  # (numpy's types know the letters only as literals)
#: By item size: the canonical NaN; then NaN of either sign with and without a payload, and a signalling NaN.
CANONICAL = {2: 0x7E00, 4: 0x7FC00000, 8: 0x7FF8000000000000}
PAYLOADS = {
    2: (0x7E00, 0xFE00, 0x7E12, 0xFE34, 0x7C01),
    4: (0x7FC00000, 0xFFC00000, 0x7FC12345, 0xFFC00001, 0x7F800001),
    8: (0x7FF8000000000000, 0xFFF8000000000000, 0x7FF8000000012345, 0xFFF8000000000001, 0x7FF0000000000001),
}


def special(dtype: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return an array of ones, infinities of both signs, zeros, and NaN of every kind."""
    dtype = np.dtype(dtype)
    bits = np.array(PAYLOADS[dtype.itemsize], f"u{dtype.itemsize}").view(dtype)
    values = np.concatenate([bits, np.array([np.inf, -np.inf, 0.0, -0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0], dtype)])
    return np.random.default_rng(1).choice(values, shape)


def assert_canonical(array: np.ndarray, where: Any) -> None:
    native = np.array(array, array.dtype.newbyteorder("="), ndmin=1)
    bits = native.view(f"u{native.itemsize}")[np.isnan(native)]
    assert bits.size > 0, where
    assert set(bits.tolist()) == {CANONICAL[native.itemsize]}, where


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
@pytest.mark.parametrize("method", [method for method in METHODS if method != "stride"])
def test_levels(method: str, dtype: str, isa: str) -> None:
    volume = special(np.dtype(dtype).newbyteorder("="), (23, 18, 35)).astype(dtype)
    factors: list[Any] = [(2, 2, 1), (2, 2, 2), (1, 2, 2), (1, 1, 2), (3, 1, 2)]
    for factor, order, ignore in itertools.product(factors, ORDERS, (None, 1.0, "nan")):
        levels = 1 if method == "median" else 2
        left_out = -volume[np.isnan(volume)][0] if ignore == "nan" else ignore
        array = np.full_like(volume, -np.inf) if ignore == "nan" else volume.copy()
        if ignore == "nan":  # the only source of NaN is a footprint that holds nothing else
            array[:16, :16, :16] = volume[np.isnan(volume)][: 16**3].reshape(16, 16, 16)
        array = np.asarray(array, order=order)
        for level in tinypyr.pyramid(array, factor, method, levels=levels, ignore=left_out):  # type: ignore[arg-type]
            assert_canonical(level, (factor, order, ignore, level.shape))


def test_infinities_of_both_signs(isa: str) -> None:
    for dtype in ("float16", "float32", "float64"):
        for n in (2, 3, 4, 64, 1000):
            array = np.tile(np.array([np.inf, -np.inf, 1.0], dtype), (n, 100))
            for axis, order in itertools.product((0, 1), ORDERS):
                factor = (n, 1) if axis == 0 else (1, n)
                level = tinypyr.downsample(np.asarray(array, order=order), factor)
                if axis == 1:
                    assert_canonical(level, (dtype, n, order))
                columns = tinypyr.downsample(np.asarray(array.T * 1.0, order=order), (n, 1), ignore=1.0)
                assert_canonical(columns, (dtype, n, order))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums(dtype: str, isa: str) -> None:
    volume = special(dtype, (24, 18, 35))
    for factors, ignore in itertools.product([[(2, 2, 2)], [(3, 1, 2)], [(2, 2, 1)] * 2], (None, 1.0)):
        total = mean_levels(volume, factors, ignore, "half-even", (0, 0, 0))[1]
        assert isinstance(total.statistic, _reference.Mean)
        assert_canonical(total.statistic.parts[0], (factors, ignore))


def test_sums_of_long_footprints(isa: str) -> None:
    long = special("float32", (2, 3_000_000))
    total = mean_levels(long, [(2, 3_000_000)], None, "half-even", (0, 0))[1]
    assert_canonical(total.statistic.parts[0], "streaming")


@pytest.mark.parametrize("kind", ["complex64", "complex128"])
def test_complex(kind: str) -> None:
    """All complex NaN are one value wherever values are compared."""
    part = np.dtype(f"f{np.dtype(kind).itemsize // 2}")
    volume = np.ones((12, 12), kind)
    volume.real, volume.imag = special(part, (12, 12)), 1
    for method in ("mode", "median", "min", "max"):
        level = tinypyr.downsample(volume, 3, method)
        assert_canonical(level.real, method)
        assert (level.imag[np.isnan(level.real)] == 0).all(), method
    assert_canonical(tinypyr.downsample(volume, 3).real, "mean")
    assert_canonical(tinypyr.downsample(volume, 3).imag, "mean")


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_interpolation(dtype: str, order: int, isa: str) -> None:
    volume = special(dtype, (20, 21, 40))
    grid = tinypyr.Grid((31, 17, 55), axes="zyx", scale=(0.6, 0.6, 0.6))
    with np.errstate(invalid="ignore"):  # signalling NaN, converted for order 3
        values = tinypyr.resample(volume, grid, order=order, prefilter=False, anti_aliasing=False)
    assert_canonical(values, "resample")
