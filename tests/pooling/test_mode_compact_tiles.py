"""Modes of 64-bit labels that are computed as 32-bit labels, and of rows that are copied and joined."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tinypyr
from support.strategies import assert_same_bits, lay_out
from tinypyr import _reference


def blobs(rng: np.random.Generator, shape: tuple[int, ...], labels: int, side: int) -> NDArray[Any]:
    """Return labels in patches of about `side` voxels with ragged edges."""
    volume = rng.integers(0, labels, tuple(-(-n // side) for n in shape))
    for axis, n in enumerate(shape):
        volume = np.repeat(volume, side, axis)
        at = np.clip(np.arange(n) + rng.integers(-2, 3, n), 0, volume.shape[axis] - 1)
        volume = np.take(volume, at, axis)
    return volume


def check(array: NDArray[Any], factors: Sequence[tuple[int, ...]], layouts: Sequence[str], **call: Any) -> None:
    """Assert that compiled levels equal the reference, bit for bit, in every memory layout."""
    given = {"ignore": None, "ties": "first", "voxel_offset": (0,) * array.ndim, **call}
    given.pop("workers", None)
    want = _reference.pyramid(array, factors, method="mode", rounding="half-even", **given)
    for layout in layouts:
        got = tinypyr.pyramid(lay_out(array, layout), factors, "mode", **call)
        for k, (level, wanted) in enumerate(zip(got, want, strict=True)):
            assert_same_bits(level.astype(array.dtype), wanted, (array.shape, layout, factors, call, k))


@pytest.mark.parametrize("ties", ["first", "lowest"])
@pytest.mark.parametrize(("dtype", "upper"), [("uint64", 0), ("uint64", 2**63 + 2**40), ("int64", -(2**50))])
def test_labels_with_equal_upper_halves_equal_the_reference(dtype: str, upper: int, ties: str, isa: str) -> None:
    rng = np.random.default_rng(1)
    array = (blobs(rng, (64, 48, 32), 9, 7) * 2**28).astype(dtype) + np.dtype(dtype).type(upper)
    layouts = ("C", "F", "permuted 1,0,2", "negative", "gapped", "swapped", "unaligned")
    for factor in ((2, 2, 1), (2, 2, 2), (1, 2, 2)):
        check(array, [factor] * 4, layouts, ties=ties)


def test_labels_that_differ_in_their_upper_halves_equal_the_reference(isa: str) -> None:
    """Some tiles can be narrowed, others differ in the last voxel, and labels with equal lower halves are distinct."""
    rng = np.random.default_rng(2)
    array = blobs(rng, (128, 128, 40), 5, 6).astype(np.uint64)
    array[-1, -1, :] = 2**32 + 1
    array[:, :, 20:24] |= np.uint64(2**32) * rng.integers(0, 2, (128, 128, 4), dtype=np.uint64)
    for order in ("C", "F"):
        for factor in ((2, 2, 1), (2, 2, 2)):
            check(array, [factor] * 4, (order,))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64"])
def test_fastest_axes_of_one_to_nine_voxels_equal_the_reference(dtype: str, isa: str) -> None:
    rng = np.random.default_rng(3)
    for length, (factor, levels) in itertools.product(range(1, 10), (((2, 2, 1), 4), ((2, 2, 2), 3), ((1, 2, 1), 4))):
        array = blobs(rng, (96, 80, length), 6, 5).astype(dtype)
        check(array, [factor] * levels, ("C", "negative", "gapped"))


def test_cut_footprints_and_voxel_offsets_equal_the_reference(isa: str) -> None:
    rng = np.random.default_rng(4)
    for shape, offset in (((65, 48, 16), (0, 0, 0)), ((64, 47, 17), (16, 0, -32)), ((80, 80, 9), (3, -5, 8))):
        array = blobs(rng, shape, 6, 5).astype(np.uint64)
        for factor in ((2, 2, 1), (2, 2, 2), (2, 1, 1)):
            check(array, [factor] * 4, ("C", "F"), voxel_offset=offset)
            check(array, [factor] * 4, ("F",), voxel_offset=offset, workers=2, ties="lowest")


def test_outputs_with_gaps_equal_contiguous_ones(isa: str) -> None:
    rng = np.random.default_rng(5)
    for dtype, layout in itertools.product(("uint32", "uint64"), ("C", "F")):
        array = lay_out(blobs(rng, (64, 64, 12), 6, 5).astype(dtype), layout)
        want = tinypyr.pyramid(array, (2, 2, 1), "mode", levels=4)
        out = [lay_out(np.zeros([2 * n for n in level.shape], dtype), layout)[::2, ::-2, ::2] for level in want]
        tinypyr.pyramid(array, (2, 2, 1), "mode", levels=4, out=out)
        for level, wanted in zip(out, want, strict=True):
            np.testing.assert_array_equal(level, wanted)


def test_random_labels_equal_the_reference(isa: str) -> None:
    rng = np.random.default_rng(6)
    array = rng.integers(0, 255, (64, 64, 16)).astype(np.uint64)
    for factor in ((2, 2, 1), (2, 2, 2)):
        check(array, [factor] * 3, ("C", "F"))
