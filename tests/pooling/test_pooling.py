"""Results of each method and argument for examples that are small enough to compute by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinypyr
from support.strategies import COMPILED, METHODS

nan, inf = math.nan, math.inf

# (method, dtype, voxels of one footprint, keyword arguments, result)
BLOCKS: list[tuple[str, str, list[Any], dict[str, Any], Any]] = [
    ("mean", "uint8", [1, 2], {}, 2),  # 1.5: half to even
    ("mean", "uint8", [2, 3], {}, 2),  # 2.5
    ("mean", "uint8", [1, 2], {"rounding": "floor"}, 1),
    ("mean", "uint8", [255, 255, 255, 254], {}, 255),
    ("mean", "uint8", [255, 255, 255, 254], {"rounding": "floor"}, 254),
    ("mean", "uint8", [1, 1, 2], {}, 1),
    ("mean", "uint8", [1, 2, 2], {}, 2),
    ("mean", "int8", [-1, -2], {}, -2),  # -1.5
    ("mean", "int8", [-2, -3], {}, -2),  # -2.5
    ("mean", "int8", [-1, -2], {"rounding": "floor"}, -2),
    ("mean", "int8", [-1, 0, 0, 0], {"rounding": "floor"}, -1),
    ("mean", "int8", [-128] * 8, {}, -128),
    ("mean", "int16", [-32768, 32767], {}, 0),  # -0.5
    ("mean", "int16", [-32768, 32767], {"rounding": "floor"}, -1),
    ("mean", "uint64", [2**64 - 1] * 8, {}, 2**64 - 1),
    ("mean", "uint64", [2**64 - 1, 2**64 - 2], {}, 2**64 - 2),
    ("mean", "uint64", [2**53 + 1, 2**53 + 1, 2**53 + 1, 2**53 + 5], {}, 2**53 + 2),
    ("mean", "int64", [-(2**63)] * 4, {}, -(2**63)),
    ("mean", "int64", [2**63 - 1, 2**63 - 1, 2**63 - 1, -(2**63)], {}, 2**62 - 1),  # 2^62 - 1
    ("mean", "bool", [True, False], {}, False),
    ("mean", "bool", [True, True, False], {}, True),
    ("mean", "bool", [True, True, False], {"rounding": "floor"}, False),
    ("mean", "bool", [True, True], {"rounding": "floor"}, True),
    ("mean", "float32", [1, 2], {"rounding": "floor"}, 1.5),
    ("mean", "float32", [3e38, 3e38, 3e38], {}, np.float32(3e38)),
    ("mean", "float32", [2.0**24, 1, 1, 2], {}, 2.0**22 + 1),
    ("mean", "float32", [16777216.0, 1, 1], {}, 5592406.0),
    ("mean", "float64", [0.1, 0.2], {}, (0.1 + 0.2) / 2),
    ("mean", "float64", [1, nan], {}, nan),
    ("mean", "float64", [1, nan, 2], {"ignore": nan}, 1.5),
    ("mean", "float64", [inf, 1], {}, inf),
    ("mean", "float64", [inf, -inf], {}, nan),
    ("mean", "uint8", [0, 6, 0, 0], {"ignore": 0}, 6),
    ("mean", "uint8", [0, 0], {"ignore": 0}, 0),
    ("mean", "uint8", [255, 255, 1], {"ignore": 255}, 1),
    ("mean", "uint8", [255, 255], {"ignore": 255}, 255),
    ("mode", "uint8", [7, 5, 5, 7], {}, 7),  # a tie: 7 is first
    ("mode", "uint8", [7, 5, 5, 7], {"ties": "lowest"}, 5),
    ("mode", "uint8", [1, 2, 3, 4], {}, 1),
    ("mode", "uint8", [4, 3, 2, 1], {}, 4),
    ("mode", "uint8", [4, 3, 2, 1], {"ties": "lowest"}, 1),
    ("mode", "uint8", [3, 1, 1, 2], {}, 1),
    ("mode", "uint8", [0, 0, 0, 9], {"ignore": 0}, 9),
    ("mode", "uint8", [0, 9, 8, 0, 0], {"ignore": 0}, 9),
    ("mode", "uint8", [255, 255, 255, 255, 1, 1, 1, 2], {}, 255),
    ("mode", "int8", [3, -128, 127, -128, 127, 3], {"ties": "lowest"}, -128),
    ("mode", "int8", [3, -128, 127, -128, 127, 3], {"ties": "first"}, 3),
    ("mode", "uint64", [2**64 - 1, 2**64 - 2, 2**64 - 2], {}, 2**64 - 2),
    ("mode", "bool", [True, False], {}, True),
    ("mode", "bool", [True, False], {"ties": "lowest"}, False),
    ("mode", "float32", [nan, 1, nan], {}, nan),
    ("mode", "float32", [nan, 1, 2], {"ties": "lowest"}, 1),
    ("mode", "float32", [nan, inf], {"ties": "lowest"}, inf),
    ("mode", "float32", [nan, nan, 4], {"ignore": nan}, 4),
    ("mode", "float32", [-0.0, 1, 0.0, 1, -0.0], {}, 0.0),
    ("median", "uint8", [9, 1, 5], {}, 5),
    ("median", "uint8", [9, 1, 5, 3], {}, 3),  # the lower of the two middle values
    ("median", "uint8", [9, 1], {}, 1),
    ("median", "uint8", [0, 0, 0, 8, 9], {"ignore": 0}, 8),
    ("median", "int8", [-128, 127, -1, 0], {}, -1),
    ("median", "uint64", [2**60 + 1, 2**60 + 1], {}, 2**60 + 1),
    ("median", "bool", [True, False], {}, False),
    ("median", "float64", [1, nan, 2], {}, nan),
    ("median", "float64", [1, nan, 2], {"ignore": nan}, 1),
    ("median", "float64", [inf, -inf, 0], {}, 0.0),
    ("min", "uint8", [3, 2, 9], {}, 2),
    ("min", "uint8", [3, 0, 9], {"ignore": 0}, 3),
    ("min", "uint8", [255, 255], {"ignore": 0}, 255),
    ("min", "int8", [127, -128], {}, -128),
    ("min", "float32", [1, nan, 2], {}, nan),
    ("min", "float32", [inf, nan, 2], {"ignore": nan}, 2),
    ("min", "float32", [inf, inf], {}, inf),
    ("max", "uint8", [3, 2, 9], {}, 9),
    ("max", "uint8", [3, 2, 9], {"ignore": 9}, 3),
    ("max", "uint8", [0, 0], {"ignore": 9}, 0),
    ("max", "int64", [-(2**63), -(2**63) + 1], {}, -(2**63) + 1),
    ("max", "float64", [1, nan, 2], {}, nan),
    ("max", "float64", [-inf, -inf, nan], {"ignore": nan}, -inf),
    ("max", "bool", [True, False], {}, True),
    ("max", "bool", [True, False], {"ignore": True}, False),
    ("stride", "uint8", [3, 2, 9], {}, 3),
    ("stride", "uint8", [0, 0, 2, 9], {"ignore": 0}, 2),
    ("stride", "float64", [nan, 2], {}, nan),
    ("stride", "float64", [nan, 2], {"ignore": nan}, 2),
]


@pytest.mark.parametrize(("method", "dtype", "voxels", "rules", "answer"), BLOCKS)
def test_a_block_gives_the_documented_value_in_any_arrangement(
    method: Any, dtype: str, voxels: list[Any], rules: dict[str, Any], answer: Any, isa: str
) -> None:
    """The result does not depend on the axes along which the voxels of the block are arranged."""
    want = np.array([answer], dtype)
    n = len(voxels)
    flat = np.array(voxels, dtype)
    shapes = [(n,), (1, n), (n, 1, 1), (1, 1, n)] + [(2, n // 2), (n // 2, 2)] * (n % 2 == 0 and n > 0)
    for shape in shapes:
        # raster order with axis 0 fastest is Fortran order
        block = flat.reshape(shape, order="F")
        got = tinypyr.downsample(block, shape, method, **rules)
        assert got.shape == (1,) * len(shape)
        np.testing.assert_array_equal(got.ravel(), want, err_msg=f"{shape}")
        # the same block next to others, in a row long enough for vector instructions
        row = np.concatenate([block] * 37, axis=-1)
        np.testing.assert_array_equal(tinypyr.downsample(row, shape, method, **rules).ravel(), np.repeat(want, 37))


def test_comparisons_return_positive_zero_and_copies_keep_the_sign(isa: str) -> None:
    zeros = np.array([-0.0, 0.0, -0.0, -0.0])
    comparing: tuple[Any, ...] = ("mode", "median", "min", "max")
    for method in comparing:
        assert not np.signbit(tinypyr.downsample(zeros, 4, method)[0])
        assert not np.signbit(tinypyr.downsample(zeros[2:], 2, method)[0])
    assert np.signbit(tinypyr.downsample(zeros, 4, "stride")[0])  # a copy of the voxel's bits
    for dtype in ("float32", "float64"):
        for n in (1, 2, 3, 4, 9):
            # an ignored voxel changes nothing, including the sign of a zero, which +0.0 would change
            for hole in range(n - 1):
                block = np.full(n, -0.0, dtype)
                block[hole] = 5
                adding: tuple[Any, ...] = ("mean", "stride")
                for method in adding:
                    assert np.signbit(tinypyr.downsample(block, n, method, ignore=5.0)[0])
            assert np.signbit(tinypyr.downsample(np.full(n, -0.0, dtype), n)[0])
            # v itself if there is no other voxel: both zeros are one value, returned as +0.0
            for method in METHODS:
                assert not np.signbit(tinypyr.downsample(np.full(n, -0.0, dtype), n, method, ignore=-0.0)[0])
    # ignoring one zero also ignores the other
    assert tinypyr.downsample(np.array([-0.0, 3.0]), 2, ignore=0)[0] == 3.0


def test_stride_copies_bits() -> None:
    payload = np.array([0x7FC12345, 0x3F800000], np.uint32).view(np.float32)  # a NaN with a payload
    assert tinypyr.downsample(payload, 2, "stride").view(np.uint32)[0] == 0x7FC12345


def test_ties_are_settled_in_raster_order_with_axis_0_fastest() -> None:
    block = np.array([[1, 2], [3, 4]], np.uint8)  # raster order: 1, 3, 2, 4
    assert tinypyr.downsample(block, 2, "mode", ignore=1)[0, 0] == 3
    assert tinypyr.downsample(block, 2, "stride", ignore=1)[0, 0] == 3
    assert tinypyr.downsample(np.asfortranarray(block), 2, "mode", ignore=1)[0, 0] == 3
    # In the 4 x 2 footprint 5 precedes 6, although 6 is in the first and 5 in the second 2 x 2 block.
    base = np.array([[7, 8, 5, 5], [6, 6, 9, 10]], np.uint8).T
    assert tinypyr.downsample(base, (4, 2), "mode")[0, 0] == 5
    assert tinypyr.pyramid(base, 2, "mode", levels=2)[1][0, 0] == 5
    assert tinypyr.pyramid(base, [(1, 2), (4, 1)], "mode")[1][0, 0] == 5


def test_partial_blocks_consist_of_the_voxels_that_exist() -> None:
    row = np.array([10, 10, 10, 10, 99], np.uint8)
    assert tinypyr.downsample(row, 2).tolist() == [10, 10, 99]
    assert tinypyr.downsample(row, 4).tolist() == [10, 99]
    assert tinypyr.downsample(row, 100, "max").tolist() == [99]
    assert tinypyr.downsample(row, 2**60, "min").tolist() == [10]
    last = np.array([0, 0, 0, 0, 0, 0, 12], np.uint8)
    assert [level.tolist() for level in tinypyr.pyramid(last, 2, levels=2)] == [[0, 0, 0, 12], [0, 4]]


def test_levels_are_computed_from_the_base() -> None:
    """Levels are not rounded in between, which would make the first voxel of every level 0."""
    row = np.array([0, 1, 1, 1, 1, 1, 1, 1], np.uint8)
    assert [level.tolist() for level in tinypyr.pyramid(row, 2, levels=3)] == [[0, 1, 1, 1], [1, 1], [1]]
    # the mode of modes is 1, the mode is 2
    labels = np.array([1, 1, 2, 1, 1, 2, 2, 2, 2], np.uint8)
    assert [level.tolist() for level in tinypyr.pyramid(labels, 3, "mode", levels=2)] == [[1, 1, 2], [2]]
    # a single label remains at every level if all others are ignored
    lone = np.zeros((8, 8), np.uint8)
    lone[5, 2] = 3
    for level in tinypyr.pyramid(lone, 2, "mode", levels=3, ignore=0):
        assert int((level == 3).sum()) == 1


def test_blocks_are_anchored_at_global_coordinate_zero() -> None:
    row = np.arange(7, dtype=np.uint8)
    assert tinypyr.downsample(row, 4, "stride", voxel_offset=(1,)).tolist() == [0, 3]  # [1, 4) and [4, 8)
    assert tinypyr.downsample(row, 4, "max", voxel_offset=(-3,)).tolist() == [2, 6]  # [-3, 0) and [0, 4)
    assert tinypyr.downsample(row, 4, "mean", voxel_offset=(3,)).tolist() == [
        0,
        2,
        6,
    ]  # 0 | 1 2 3 4 -> 2.5 | 5 6 -> 5.5
    assert tinypyr.downsample(row, 4, "min", voxel_offset=(8,)).tolist() == [0, 4]
    levels = tinypyr.pyramid(row, 2, "min", levels=2, voxel_offset=(3,))
    assert [level.tolist() for level in levels] == [[0, 1, 3, 5], [0, 1, 5]]
    # a level need not contain the block at global coordinate zero
    assert tinypyr.downsample(row, 2, "max", voxel_offset=(1001,)).tolist() == [0, 2, 4, 6]
    assert tinypyr.downsample(row, 2, "max", voxel_offset=(-1001,)).tolist() == [0, 2, 4, 6]


@pytest.mark.parametrize("dtype", COMPILED)
def test_factor_one_is_a_copy(dtype: str) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    for method in METHODS:
        for factor in (1, (), (1,), (1, 1, 1)):
            got = tinypyr.downsample(array, factor, method)
            assert not np.shares_memory(got, array)
            np.testing.assert_array_equal(got, array)


@pytest.mark.parametrize(
    ("factor", "shape"),
    [
        (2, (3, 2, 4)),
        ((2,), (3, 4, 7)),
        ((1, 3), (5, 2, 7)),
        ([2, 2, 2], (3, 2, 4)),
        ((2.0, 1.0, 4.0), (3, 4, 2)),
        (np.array([2, 2, 1]), (3, 2, 7)),
        (np.array([2.0, 1, 7]), (3, 4, 1)),
        (np.int8(2), (3, 2, 4)),
        (np.float32(3), (2, 2, 3)),
        ((np.uint64(5), np.int16(1), np.float64(2)), (1, 4, 4)),
        (np.array(2), (3, 2, 4)),
        (2.0, (3, 2, 4)),
    ],
)
def test_ints_and_shorter_tuples_are_factors(factor: Any, shape: tuple[int, ...]) -> None:
    array = np.arange(5 * 4 * 7, dtype=np.int32).reshape(5, 4, 7)
    assert tinypyr.downsample(array, factor).shape == shape
    assert [level.shape for level in tinypyr.pyramid(array, factor)] == [shape]


def test_a_factor_per_level_gives_the_shapes_of_its_levels() -> None:
    array = np.zeros((64, 64, 9), np.uint16)
    shapes = [(32, 32, 9), (16, 16, 5)]
    schedules: list[Any] = [
        [(2, 2, 1), (2, 2, 2)],
        [[2, 2], [2, 2, 2]],
        ((2, 2, 1), (2, 2, 2)),
        [(2.0, 2), np.array([2, 2, 2])],
    ]
    for schedule in schedules:
        assert [level.shape for level in tinypyr.pyramid(array, schedule)] == shapes
        assert [level.shape for level in tinypyr.pyramid(array, schedule, levels=2)] == shapes
    assert [level.shape for level in tinypyr.pyramid(array, [(2, 2, 2)])] == [(32, 32, 5)]
    assert len(tinypyr.pyramid(array, 2, levels=64)) == 64  # the maximum
    assert tinypyr.pyramid(array, 2, levels=64)[-1].shape == (1, 1, 1)


@pytest.mark.parametrize(
    ("function", "method"),
    [
        (tinypyr.downsample_with_averaging, "mean"),
        (tinypyr.downsample_segmentation, "mode"),
        (tinypyr.downsample_with_min_pooling, "min"),
        (tinypyr.downsample_with_max_pooling, "max"),
        (tinypyr.downsample_with_striding, "stride"),
    ],
)
def test_named_functions_equal_downsample(function: Any, method: Any) -> None:
    """The result is a mutable list of num_mips arrays, finest first; sparse ignores zeros."""
    array = np.random.default_rng(1).integers(0, 3, (13, 12, 5), np.uint8)
    for sparse in (False, True):
        ignore = 0 if sparse else None
        levels = function(array, (2, 2, 1), num_mips=3, sparse=sparse)
        assert type(levels) is list
        assert [level.shape for level in levels] == [(7, 6, 5), (4, 3, 5), (2, 2, 5)]
        for k, level in enumerate(levels, 1):
            want = tinypyr.downsample(array, (2**k, 2**k, 1), method, ignore=ignore)
            np.testing.assert_array_equal(level, want)
        (only,) = function(array, (2, 2, 1), sparse=sparse)
        np.testing.assert_array_equal(only, levels[0])
    # positional arguments in the order of tinybrain
    positional = (True, 2) if method == "mode" else (2, True)
    for got, want in zip(function(array, 2, *positional), function(array, 2, num_mips=2, sparse=True), strict=True):
        np.testing.assert_array_equal(got, want)


def test_out_is_filled_and_returned(isa: str) -> None:
    array = np.random.default_rng(2).integers(0, 255, (9, 7, 5), np.uint8)
    for order in ("C", "F"):
        out = np.full((5, 4, 5), 77, np.uint8, order=order)
        assert tinypyr.downsample(array, (2, 2), "max", out=out) is out
        np.testing.assert_array_equal(out, tinypyr.downsample(array, (2, 2), "max"))
    outs = [np.zeros((5, 4, 3), np.uint8), np.zeros((3, 2, 2), np.uint8, order="F")]
    got = tinypyr.pyramid(array, 2, "mode", levels=2, out=outs)
    assert got[0] is outs[0]
    assert got[1] is outs[1]
    for a, b in zip(outs, tinypyr.pyramid(array, 2, "mode", levels=2), strict=True):
        np.testing.assert_array_equal(a, b)


def test_lists_and_scalars_are_accepted() -> None:
    assert tinypyr.downsample([[1, 3], [5, 7]], 2).tolist() == [[4]]
    assert tinypyr.downsample(5, 2).item() == 5
    assert tinypyr.downsample(np.float32(2.5), ()).dtype == np.float32


def test_dropped_labels_are_reported(isa: str) -> None:
    """With more than 1,024 labels in a footprint, the most frequent ones are kept, and unproven modes are counted."""
    if isa == "reference":
        pytest.skip("the reference sees the whole footprint and drops nothing")
    labels = np.arange(128 * 256, dtype=np.uint32).reshape(128, 256, 1)
    with pytest.warns(RuntimeWarning, match=r"1,024.*: 2 at level 7;") as caught:
        levels = tinypyr.pyramid(labels, (2, 2, 1), "mode", levels=7)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert levels[6].shape == (1, 2, 1)
    assert np.isin(levels[6], labels).all()
    # the levels below are not affected: every label occurs once, so the first one wins
    np.testing.assert_array_equal(levels[5], labels[::64, ::64])
    # one call with the cumulative factor counts all labels
    np.testing.assert_array_equal(tinypyr.downsample(labels, (128, 128, 1), "mode"), labels[:, ::128][:1])
    # a lead that dropped labels cannot exceed is proven, so nothing is reported
    labels[::7, ::5] = 7
    for level in tinypyr.pyramid(labels, (2, 2, 1), "mode", levels=7)[5:]:
        assert (level == 7).all()


@pytest.mark.parametrize("method", ["mean", "mode", "median", "min", "max", "stride"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_levels_pooled_by_1_equal_the_level_below(method: Any, order: Any) -> None:
    """Levels with factor 1, up to the maximum number, alone and between other levels."""
    array = np.asarray(np.random.default_rng(0).integers(0, 5, (12, 20, 17)).astype(np.uint32), order=order)
    for level in tinypyr.pyramid(array, 1, method, levels=64):
        np.testing.assert_array_equal(level, array)
    half = tinypyr.downsample(array, 2, method)
    for level in tinypyr.pyramid(array, [(1, 1, 1)] * 20 + [(2, 2, 2)] + [(1, 1, 1)] * 20, method, levels=41)[20:]:
        np.testing.assert_array_equal(level, half)
    steps = [(2, 1, 1), (1, 1, 1), (1, 2, 1), (1, 1, 1), (1, 1, 2)]
    np.testing.assert_array_equal(tinypyr.pyramid(array, steps, method, levels=5)[4], half)
