"""Modes of several levels that are proven from bounds equal the modes of the base.

The expected levels are computed one at a time, by their cumulative factor from the base, which uses no bounds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from test_mode_levels import patches

import tinypyr
from support.strategies import assert_same_bits, lay_out


def check(array: NDArray[Any], factor: tuple[int, ...], levels: int, ties: str = "first", **call: Any) -> None:
    call["ties"] = ties
    made = tinypyr.pyramid(array, [factor] * levels, "mode", **call)
    call.pop("workers", None)
    for k, level in enumerate(made, 1):
        whole = tuple(f**k for f in factor)
        want = tinypyr.downsample(array, whole, "mode", **call)
        assert_same_bits(level, want, (array.shape, array.strides, array.dtype, factor, k, call))


def blobs(rng: np.random.Generator, shape: tuple[int, ...], dtype: str, labels: int) -> NDArray[Any]:
    """Return labels of the nearest of some points: smooth borders at all angles, three or more of which meet."""
    points = rng.random((labels, len(shape))) * shape
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    nearest = ((grid[..., None, :] - points) ** 2).sum(-1).argmin(-1)
    ids = rng.permutation(np.unique(rng.integers(1, 100 if np.dtype(dtype).itemsize == 1 else 30_000, 4 * labels)))
    made: NDArray[Any] = ids[nearest % len(ids)].astype(dtype)
    return made


@pytest.mark.parametrize("ties", ["first", "lowest"])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", ">i2", "uint32", "int32", "uint64", "<i8"])
def test_borders_of_smooth_labels_equal_levels_pooled_alone(dtype: str, ties: str, isa: str) -> None:
    rng = np.random.default_rng(3)
    for shape, factor, levels in (
        ((160, 144, 6), (2, 2, 1), 4),
        ((96, 64, 64), (2, 2, 2), 4),
        ((70, 128, 48), (1, 2, 2), 3),
        ((256, 130), (2, 2), 5),
        ((4096,), (2,), 7),
    ):
        array = blobs(rng, shape, dtype, 12)
        for layout in ("C", "F", "negative", "gapped", "unaligned"):
            check(lay_out(array, layout), factor, levels, ties)


@pytest.mark.parametrize("order", ["C", "F"])
def test_ties_of_halves_and_quarters_equal_levels_pooled_alone(order: str, isa: str) -> None:
    """Two and four labels in equal shares tie at every level."""
    for period in (1, 2, 4, 8, 16):
        x, y, z = np.meshgrid(*[np.arange(64) // period % 2] * 3, indexing="ij")
        for array in (x, x ^ y, x ^ y ^ z, 2 * x + y, 1 - y, 3 - 2 * y - z):
            array = np.array(array, np.uint32, order=order)  # type: ignore[call-overload]
            for factor in ((2, 2, 1), (2, 2, 2), (1, 2, 2)):
                for ties in ("first", "lowest"):
                    check(array, factor, 4, ties)


@pytest.mark.parametrize("order", ["C", "F"])
def test_modes_that_no_child_has_equal_levels_pooled_alone(order: str, isa: str) -> None:
    """A label has the most votes of a footprint, but is the mode of none of its children."""
    rng = np.random.default_rng(9)
    array = np.zeros((128, 96, 16), np.uint32, order=order)  # type: ignore[call-overload]
    flat = rng.integers(1, 2**31, array.shape, np.uint32)
    cells = np.repeat(np.repeat(flat[::2, ::2], 2, 0), 2, 1)  # two voxels of each 2x2 cell have a label of their own
    two = np.add.outer(np.arange(128), np.arange(96))[..., None] % 2 == 0
    array[...] = np.where(two, cells, 7)
    array[64:] = np.where(rng.random(array[64:].shape) < 0.05, flat[64:], 5)
    for factor in ((2, 2, 1), (2, 2, 2)):
        check(array, factor, 4)


def test_edges_voxel_offsets_and_threads_equal_levels_pooled_alone(isa: str) -> None:
    rng = np.random.default_rng(5)
    for shape in ((129, 131, 18), (127, 65, 33), (40, 500, 3), (33, 17, 64)):
        for dtype in ("uint32", "uint64"):
            for order in ("C", "F"):
                array = np.array(blobs(rng, shape, dtype, 20), order=order)  # type: ignore[call-overload,unused-ignore]
                for voxel_offset in ((0, 0, 0), (-7, 3, 1), (16, 32, -8)):
                    check(array, (2, 2, 1), 4, voxel_offset=voxel_offset, workers=2)
                    check(array, (2, 2, 2), 4, voxel_offset=voxel_offset)


def test_tiles_of_many_labels_among_others_equal_levels_pooled_alone(isa: str) -> None:
    """Noise, and footprints with more labels than are ranked, use another strategy than the tiles around them."""
    rng = np.random.default_rng(7)
    array = np.array(blobs(rng, (512, 512, 4), "uint32", 30), order="F")
    array[:, 256:384, 1] = rng.integers(0, 2**32, (512, 128), np.uint32)
    array[100:400, :64, 2] = np.repeat(np.repeat(rng.integers(0, 9999, (100, 16)), 3, 0), 4, 1)
    check(array, (2, 2, 1), 6, workers=2)
    small = patches(rng, (96, 96, 96), "uint64", 3, 2**31)
    check(small, (2, 2, 2), 4)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64"])
def test_rows_of_every_length_equal_levels_pooled_alone(dtype: str, isa: str) -> None:
    """The remainders of vectorised loops are correct for every length."""
    rng = np.random.default_rng(11)
    for dims, factor in ((2, (2, 1)), (2, (2, 2)), (3, (2, 2, 1)), (3, (2, 2, 2)), (4, (2, 2, 2, 1))):
        for n in range(16, 140):
            slopes = rng.integers(0, 3, dims)
            ramp = sum(at * slope for at, slope in zip(np.indices((4,) * (dims - 1) + (n,)), slopes, strict=True))
            check((ramp // rng.integers(2, 9)).astype(dtype), factor, 2)
