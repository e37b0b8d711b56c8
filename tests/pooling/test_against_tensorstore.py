"""TensorStore's downsample driver, the second oracle, for the cases that it defines.

It defines mean (half to even), min, max, lower median, mode with ties to the lowest value, and stride, over partial
blocks and voxel_offsets. Excluded here, and compared with the other oracle instead:

- NaN in min, max, median and mode, which it skips or does not order, and the sign of zero;
- float means to the last bit;
- stride with a partial first block: it takes the voxels at multiples of the factor, and drops this block;
- an axis with one block that is cut at both ends: version 0.1.86 reads into the next row, for every method;
- a zero-size axis with a voxel_offset inside a block, for which it returns a block; and non-native byte orders,
  which it misreads.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinypyr
from support.strategies import DTYPES, METHODS, each_isa, lay_out, voxels

ts = pytest.importorskip("tensorstore", reason="TensorStore, an optional oracle, is not installed")

SHAPES = (
    (),
    (1,),
    (9,),
    (64,),
    (5, 4),
    (7, 6, 5),
    (33, 4, 3),
    (2, 3, 35),
    (16, 16, 8),
    (3, 4, 2, 5),
    (0, 4),
    (3, 2, 1, 2, 4, 3),
)
FACTORS = ((2, 2, 2, 2, 2, 2), (2, 2, 1, 1, 1, 1), (1, 2, 2, 1, 1, 1), (3, 5, 2, 1, 2, 2), (9, 9, 9, 9, 9, 9))
ORIGINS = ((0, 0, 0, 0, 0, 0), (1, 2, 3, 4, 5, 6), (-3, 4, -1, 7, 0, -2), (-18, 90, 180, 0, 270, -90))


def tensorstore_downsample(
    array: np.ndarray, factor: tuple[int, ...], method: str, voxel_offset: tuple[int, ...]
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return the result and the global index of its first voxel."""
    source = ts.array(array)
    if array.ndim:
        source = source[ts.d[:].translate_to[voxel_offset]]
    pooled = ts.downsample(source, list(factor), method)
    return np.asarray(pooled.read().result()), tuple(pooled.domain.inclusive_min)


def defined(method: str, shape: tuple[int, ...], factor: tuple[int, ...], voxel_offset: tuple[int, ...]) -> bool:
    for n, f, o in zip(shape, factor, voxel_offset, strict=True):
        inside = o % f > 0
        if inside and (method == "stride" or n == 0 or o % f + n < f):
            return False
    return True


def inputs(dtype: str, method: str) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(METHODS.index(method) * 100 + DTYPES.index(dtype))
    for shape, flavour in itertools.product(SHAPES, ("noise", "labels")):
        array = voxels(rng, shape, dtype, flavour)
        if np.dtype(dtype).kind == "f":
            array = np.where(np.isnan(array), array.dtype.type(2), array)
            if method == "mean":  # sums in the dtype itself stay within its range
                array = np.clip(array, -100, 100)
        yield array
        if array.size > 40:
            yield lay_out(array, "F")


def assert_agrees(got: np.ndarray, want: np.ndarray, array: np.ndarray, block: int, method: str, where: Any) -> None:
    assert (got.shape, got.dtype) == (want.shape, want.dtype), where
    if got.dtype.kind == "f" and method == "mean":
        # TensorStore may add the n voxels of a block in the dtype itself. Each addition and the division then round
        # once: the error of the mean is at most n eps max|x|, and one more rounding in tinypyr.
        bound = (block + 1) * float(np.finfo(got.dtype).eps) * float(np.abs(array).max(initial=0))
        np.testing.assert_allclose(got.astype(float), want.astype(float), rtol=0, atol=bound, err_msg=str(where))
    else:
        np.testing.assert_array_equal(got, want, err_msg=str(where))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", METHODS)
def test_one_level_equals_tensorstores(method: Any, dtype: str) -> None:
    compared = 0
    for array in inputs(dtype, method):
        n = array.ndim
        for factor, voxel_offset in dict.fromkeys((f[:n], o[:n]) for f, o in itertools.product(FACTORS, ORIGINS)):
            if not defined(method, array.shape, factor, voxel_offset):
                continue
            want, start = tensorstore_downsample(array, factor, method, voxel_offset)
            assert start == tuple(o // f for o, f in zip(voxel_offset, factor, strict=True))
            for isa in each_isa():
                got = tinypyr.downsample(array, factor, method, voxel_offset=voxel_offset, ties="lowest")
                block = min(math.prod(factor), array.size)
                assert_agrees(got, want, array, block, method, (isa, array.shape, factor, voxel_offset))
            compared += 1
    assert compared > 200


@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if np.dtype(dtype).kind != "f"])
@pytest.mark.parametrize("method", METHODS)
def test_every_level_equals_tensorstores_from_the_base(method: Any, dtype: str) -> None:
    """Every level of one call equals TensorStore's result from the base with the cumulative factor."""
    rng = np.random.default_rng(5)
    array = voxels(rng, (37, 22, 9), dtype, "labels" if method == "mode" else "noise")
    for factor, layout in itertools.product(((2, 2, 1), (2, 2, 2), (1, 2, 2), (3, 2, 1)), ("C", "F")):
        levels = tinypyr.pyramid(lay_out(array, layout), factor, method, levels=4, ties="lowest")
        for k, level in enumerate(levels, 1):
            want, _ = tensorstore_downsample(array, tuple(f**k for f in factor), method, (0, 0, 0))
            np.testing.assert_array_equal(level, want, err_msg=f"{factor} {layout} level {k}")
