"""Modes by blocks: blocks of one label, few labels, and more labels than are ranked; partial blocks; ties."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tinypyr
from support import oracle
from support.strategies import assert_same_bits, lay_out
from tinypyr import _reference

ORDERS = ("C", "F", "permuted 1,0,2", "permuted 2,0,1", "negative", "gapped", "swapped", "unaligned")


def patches(rng: np.random.Generator, shape: tuple[int, ...], dtype: str, side: int, labels: int) -> NDArray[Any]:
    """Return labels in boxes of about `side` voxels, like a segmentation, with `labels` distinct values."""
    coarse = rng.integers(0, labels, tuple(-(-n // side) for n in shape))
    for axis, n in enumerate(shape):
        coarse = np.repeat(coarse, side, axis)
        at = np.clip(np.arange(n) + rng.integers(-1, 2, n), 0, coarse.shape[axis] - 1)  # ragged edges
        coarse = np.take(coarse, at, axis)
    return coarse.astype(dtype)


def check(
    array: NDArray[Any], factors: Sequence[tuple[int, ...]], layouts: tuple[str, ...] = ("C",), **call: Any
) -> None:
    """Assert that compiled levels equal the reference, bit for bit, in every memory layout."""
    given = {"ignore": None, "ties": "first", "voxel_offset": (0,) * array.ndim, **call}
    given.pop("workers", None)
    want = _reference.pyramid(array, factors, method="mode", rounding="half-even", **given)
    for layout in layouts:
        got = tinypyr.pyramid(lay_out(array, layout), factors, "mode", **call)
        for k, (level, wanted) in enumerate(zip(got, want, strict=True)):
            assert_same_bits(level.astype(array.dtype), wanted, (array.shape, layout, factors, call, k))


@pytest.mark.parametrize("ties", ["first", "lowest"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int64", "uint64", "float32", "float64", "bool"])
def test_levels_of_patches_equal_the_reference(dtype: str, ties: str, isa: str) -> None:
    rng = np.random.default_rng(21)
    for side, labels in ((9, 2), (5, 6), (3, 200), (1, 4), (40, 3)):
        array = patches(rng, (53, 38, 19), dtype, side, labels)
        for factor in ((2, 2, 1), (2, 2, 2), (1, 2, 2), (3, 2, 1)):
            check(array, [factor] * 4, ORDERS, ties=ties)
        check(array, [(2, 2, 2)] * 3, ties=ties, ignore=array[0, 0, 0].item(), voxel_offset=(-3, 5, 7), workers=2)


@pytest.mark.parametrize("labels", [31, 32, 33, 64, 300])
def test_more_labels_than_a_block_ranks_equal_the_reference(labels: int, isa: str) -> None:
    """A block with too many labels uses another strategy than the blocks next to it."""
    rng = np.random.default_rng(labels)
    array = np.zeros((64, 64, 8), np.uint32)
    array[:32, 16:48] = rng.integers(0, labels, (32, 32, 8))
    for factors in ([(2, 2, 1)] * 4, [(2, 2, 2)] * 3, [(4, 4, 4)], [(4, 4, 4), (2, 2, 2)], [(8, 8, 1)], [(9, 9, 1)]):
        check(array, factors, ("C", "F"))
        check(array, factors, ("F",), ties="lowest")
        check(array, factors, ("C", "F"), ignore=0)


@pytest.mark.parametrize("factors", [[(3, 3, 1)], [(3, 3, 3)], [(5, 1, 2)], [(2, 2, 1)] * 4, [(2, 2, 2)] * 4])
def test_several_tiles_equal_the_reference(factors: list[tuple[int, ...]], isa: str) -> None:
    """Several tiles, with noise in one corner: no state of one tile affects the next one."""
    rng = np.random.default_rng(31)
    array = patches(rng, (301, 187, 23), "uint16", 11, 40)
    array[200:, :90, 5:9] = rng.integers(0, 500, (101, 90, 4))
    assert array.nbytes > 2**21
    check(array, factors, ("C", "F"))
    check(array, factors, ("F",), ignore=3, ties="lowest", voxel_offset=(-5, 3, 1), workers=2)


@pytest.mark.parametrize(
    ("shape", "factors"),
    [
        ((32, 32, 32), [(2, 2, 2)] * 12),
        ((32, 32, 32), [(2, 2, 2)] * 20),
        ((32, 32), [(2, 2)] * 40),
        ((3000,), [(2,)] * 62),
        ((64, 2, 64), [(2, 2, 2), (2**32,) * 3]),
        ((32, 32, 32), [(2, 2, 2), (2**22,) * 3]),
    ],
)
def test_factors_far_beyond_the_array_equal_the_reference(
    shape: tuple[int, ...], factors: list[tuple[int, ...]], isa: str
) -> None:
    """Memory for a tile depends on the voxels that exist, not on the factor."""
    array = patches(np.random.default_rng(8), shape, "uint8", 5, 6)
    check(array, factors, ("C", "F"))


def test_levels_equal_the_oracle(isa: str) -> None:
    rng = np.random.default_rng(5)
    array = patches(rng, (21, 18, 9), "uint64", 4, 5)
    factors = [(2, 2, 2), (2, 2, 1), (3, 1, 2)]
    for order in ("C", "F"):
        got = tinypyr.pyramid(lay_out(array, order), factors, "mode")
        for level, exact in zip(got, oracle.pyramid(array, factors, "mode"), strict=True):
            oracle.check(level, exact, "mode")


def test_one_level_of_large_footprints_equals_the_reference(isa: str) -> None:
    """Footprints exceed the size that has a fast path: 6x6x1, 4x4x4, up to one for the whole array."""
    rng = np.random.default_rng(6)
    for dtype in ("uint8", "uint64", "float32"):
        array = patches(rng, (50, 41, 22), dtype, 5, 9)
        for factor in ((6, 6, 1), (4, 4, 4), (7, 5, 3), (1, 1, 40), (16, 16, 2), (23, 23, 1), (60, 60, 60)):
            check(array, [factor], ("C", "F"), voxel_offset=(1, 0, -2))


def test_ties_at_every_level_equal_the_reference(isa: str) -> None:
    """Every level of halves, quarters and checkerboards has ties."""
    for shape in ((16, 16), (32, 8), (8, 32)):
        x, y = np.indices(shape)
        for array in (x % 2, y % 2, (x + y) % 2, x // 8, y // 4, (x // 2 + y // 2) % 2, 3 - x % 4, (7 * x + 3 * y) % 4):
            labels = array.astype(np.uint32)
            check(labels, [(2, 2)] * 3, ("C", "F"))
            check(labels, [(2, 2)] * 3, ("C", "F"), ties="lowest")
            check(labels[::-1, ::-1], [(2, 2)] * 3, ("C", "F"), ignore=1)
