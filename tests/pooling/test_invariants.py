"""Settings that must not change results, and results that are known without a computation."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import tinypyr
from support import oracle
from support.strategies import (
    COMPILED,
    DTYPES,
    INTEGERS,
    LAYOUTS,
    METHODS,
    assert_same_bits,
    each_isa,
    lay_out,
    limits,
    voxels,
)

FACTORS = ((2, 2, 1), (2, 2, 2), (1, 2, 2))


# --------------------------------------------------------------------- memory order, threads and instruction sets


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", METHODS)
def test_memory_order_threads_and_instruction_set_do_not_change_a_bit(method: Any, dtype: str) -> None:
    """Every memory order of three axes, layout, thread count and instruction set gives the same bits."""
    rng = np.random.default_rng(7)
    orders = ["permuted " + ",".join(map(str, order)) for order in itertools.permutations(range(3))]
    flavours = ("noise", "labels", "special") if np.dtype(dtype).kind == "f" else ("noise", "labels")
    for flavour, factor in itertools.product(flavours, (*FACTORS, (3, 2, 1), (2, 5, 3))):
        array = voxels(rng, (35, 18, 11), dtype, flavour)
        call: dict[str, Any] = {"levels": 2, "ignore": array[0, 0, 0].item() if factor == (2, 2, 2) else None}
        want = None
        for isa in each_isa():
            for layout in (*LAYOUTS, *orders, "swapped", "unaligned"):
                for workers in (1, 3) if layout in ("C", "F") else (1,):
                    got = tinypyr.pyramid(lay_out(array, layout), factor, method, workers=workers, **call)
                    native = [level.astype(dtype) for level in got]
                    want = want or native
                    for level, wanted in zip(native, want, strict=True):
                        assert_same_bits(level, wanted, (flavour, factor, isa, layout, workers))


@pytest.mark.parametrize("method", METHODS)
def test_four_axes_in_every_memory_order_give_exact_values(method: Any) -> None:
    rng = np.random.default_rng(8)
    for dtype in ("uint8", "uint64", "float32"):
        array = voxels(rng, (9, 8, 7, 5), dtype, "labels" if method == "mode" else "noise")
        for factor in ((2, 2, 1, 1), (1, 2, 2, 1), (2, 2, 2, 1), (1, 1, 2, 2), (2, 1, 1, 2), (2, 2, 2, 2)):
            want = tinypyr.downsample(array, factor, method)
            (exact,) = oracle.pyramid(array, [factor], method)
            oracle.check(want, exact, method)
            for order in itertools.permutations(range(4)):
                layout = "permuted " + ",".join(map(str, order))
                assert_same_bits(tinypyr.downsample(lay_out(array, layout), factor, method), want, (factor, layout))


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_output_keeps_the_memory_order(order: tuple[int, ...]) -> None:
    array = lay_out(np.zeros((8, 12, 10), np.uint16), "permuted " + ",".join(map(str, order)))
    for level in tinypyr.pyramid(array, 2, levels=2):
        slowest_first = tuple(int(axis) for axis in np.argsort([-stride for stride in level.strides]))
        assert slowest_first == order
        assert level.nbytes == 2 * level.size
        assert level.transpose(order).flags.c_contiguous
        assert type(level) is np.ndarray


# --------------------------------------------------------------------- constants


def constants(dtype: str) -> list[Any]:
    """Return values to fill arrays with; for floats, values whose sums are exact in doubles."""
    if np.dtype(dtype).kind != "f":
        return [value.item() for value in limits(dtype)]
    real = np.finfo(dtype)
    tops = [] if dtype == "float64" else [real.max, real.min]  # sums of the largest doubles overflow
    ends: list[Any] = [*tops, real.smallest_subnormal, real.tiny, 0.0, -0.0, 1.0, -3.0, math.nan, math.inf, -math.inf]
    return [float(value) for value in ends]


def assert_constant(levels: list[np.ndarray], shape: tuple[int, ...], factor: tuple[int, ...], constant: Any) -> None:
    for level in levels:
        shape = tuple(-(-n // f) for n, f in zip(shape, factor, strict=True))
        good = (level != level).all() if constant != constant else (level == constant).all()
        assert level.shape == shape, (level.shape, shape)
        assert good, f"{level} instead of {constant} everywhere"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", METHODS)
def test_constants_stay_constant(method: Any, dtype: str) -> None:
    """Every shape up to 9 x 9 x 9, at three levels, with no ignored value, another one, or the constant itself."""
    values = itertools.cycle(constants(dtype))
    for number, shape in enumerate(itertools.product(range(1, 10), repeat=3)):
        constant = next(values)
        order: Any = "CF"[number % 2]
        array = np.full(shape, constant, dtype, order=order)
        for factor in FACTORS:
            for ignore in (None, constant, not constant if dtype == "bool" else 7):
                levels = tinypyr.pyramid(array, factor, method, levels=3, ignore=ignore)
                assert_constant(levels, shape, factor, constant)


def test_constants_of_every_dtype_stay_constant_at_2x2x1() -> None:
    """The factors alternate above; here the most common one is tested for every shape and constant."""
    for dtype in COMPILED:
        for x, y in itertools.product(range(1, 10), repeat=2):
            for constant in constants(dtype):
                array = np.full((x, y, 3), constant, dtype, order="F")
                assert_constant([tinypyr.downsample(array, (2, 2, 1))], (x, y, 3), (2, 2, 1), constant)


# --------------------------------------------------------------------- known faults of older tools


@pytest.fixture(params=["C", "F"])
def order(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_odd_widths_do_not_end_in_zeros(order: Any) -> None:
    for shape in ((5, 4, 1), (129, 128, 3), (3, 2, 2), (5, 1, 1)):
        assert (tinypyr.downsample(np.full(shape, 100, np.uint8, order=order), (2, 2, 1)) == 100).all()
    rows = np.array([10, 10, 10, 10, 99], np.uint8)[:, None, None] * np.ones((1, 4, 1), np.uint8)
    assert tinypyr.downsample(np.array(rows, order=order), (2, 2, 1))[:, 0, 0].tolist() == [10, 10, 99]


def test_odd_heights_do_not_read_the_next_slice(order: Any) -> None:
    slices = np.array([10, 200, 90], np.uint8) * np.ones((4, 5, 1), np.uint8)
    for sparse in (False, True):
        (level,) = tinypyr.downsample_with_averaging(np.array(slices, order=order), (2, 2, 1), sparse=sparse)
        assert (level == np.array([10, 200, 90])).all()
    for sparse in (False, True):
        for level in tinypyr.downsample_with_averaging(np.full((5, 5), 100, np.uint8, order=order), 2, 3, sparse):
            assert (level == 100).all()


def test_modes_of_views_equal_the_oracle() -> None:
    labels = np.random.default_rng(3).integers(1, 4, (17, 12, 9)).astype(np.uint32)
    (want,) = oracle.pyramid(labels, [(2, 2, 2)], "mode")
    wanted = want.array(np.uint32)
    for layout in (*LAYOUTS, "read-only", "unaligned"):
        np.testing.assert_array_equal(tinypyr.downsample_segmentation(lay_out(labels, layout), (2, 2, 2))[0], wanted)


def test_modes_of_four_axes_equal_the_oracle(order: Any) -> None:
    labels = np.random.default_rng(4).integers(0, 3, (8, 8, 8, 2)).astype(np.uint8)
    (want,) = oracle.pyramid(labels, [(2, 2, 2, 1)], "mode")
    got = tinypyr.downsample_segmentation(np.array(labels, order=order), (2, 2, 2))[0]
    np.testing.assert_array_equal(got, want.array(np.uint8))


def test_sparse_means_of_a_constant_stay_constant_at_six_levels(order: Any) -> None:
    for shape, factor, constant, dtype in (
        ((65, 63, 3), (2, 2, 1), 200, np.uint8),
        ((64, 64), (2, 2), 200, np.uint8),
        ((65, 33, 17), (2, 2, 2), 65535, np.uint16),
    ):
        for level in tinypyr.downsample_with_averaging(np.full(shape, constant, dtype, order=order), factor, 6, True):
            assert (level == constant).all()
    lattice = np.zeros((64, 64, 64), np.uint16, order=order)
    lattice[::4, ::4, ::4] = 1000
    levels = tinypyr.downsample_with_averaging(lattice, (2, 2, 2), num_mips=6, sparse=True)
    assert [int(level.max()) for level in levels] == [1000] * 6
    assert (levels[1] == 1000).all()
    assert levels[5].item() == 1000


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (2**63, np.uint64),
        (2**64 - 1, np.uint64),
        (2**62, np.int64),
        (-(2**63), np.int64),
        (2**32 - 1, np.uint32),
        (16777217, np.uint32),
        (123456789.0, np.float64),
    ],
)
def test_means_of_wide_values_are_exact(value: Any, dtype: Any, order: Any) -> None:
    for factor in ((2, 2, 1), (2, 2, 2), (4, 4, 1)):
        for level in tinypyr.downsample_with_averaging(np.full((9, 8, 4), value, dtype, order=order), factor, 2):
            assert (level == value).all()


def test_labels_at_the_top_of_the_range_are_kept(order: Any) -> None:
    for dtype in INTEGERS:
        top = np.iinfo(dtype).max
        block = np.array([top, 6, top, 5, top, 4, 3, top], dtype).reshape(2, 2, 2)
        labels = np.tile(block, (4, 4, 4)).copy(order=order)
        before = labels.copy()
        for factor in ((2, 2, 2), (4, 4, 4)):
            assert (tinypyr.downsample_segmentation(labels, factor)[0] == top).all()
        np.testing.assert_array_equal(labels, before)
        pair = np.array([[top, top - 1]], dtype)
        assert tinypyr.downsample_segmentation(pair, (1, 2))[0].item() == top


def test_sparse_labels_survive_every_level(order: Any) -> None:
    labels = np.zeros((16, 16, 4), np.uint64, order=order)
    labels[5, 9, 2] = 2**64 - 1
    for factor in ((2, 2, 1), (4, 4, 1), (4, 4, 4), (2, 2, 2)):
        for level in tinypyr.downsample_segmentation(labels, factor, sparse=True, num_mips=2):
            assert int((level == 2**64 - 1).sum()) == 1
    floats = np.zeros((4, 4), np.float32, order=order)
    floats[3, 3] = 2.5
    assert tinypyr.downsample_with_averaging(floats, 2, 2, True)[1].item() == 2.5


@pytest.mark.parametrize(
    ("shape", "factor", "num_mips", "last"),
    [
        ((8, 8, 8), (2, 1, 1), 1, (4, 8, 8)),
        ((8, 8, 8), (4, 2, 1), 1, (2, 4, 8)),
        ((8, 8, 8), (2, 2, 4), 1, (4, 4, 2)),
        ((1, 100, 1), (2, 2, 1), 1, (1, 50, 1)),
        ((64, 64, 4), (2, 2, 2), 3, (8, 8, 1)),
        ((4, 4, 4, 4, 4), (2, 2, 2), 2, (1, 1, 1, 4, 4)),
        ((8, 8, 8), (1, 1, 1), 2, (8, 8, 8)),
        ((0, 8, 8), (2, 2, 2), 2, (0, 2, 2)),
    ],
)
@pytest.mark.parametrize("dtype", [*DTYPES, ">u2", ">f4"])
def test_calls_that_older_tools_refuse_give_levels(
    shape: tuple[int, ...], factor: tuple[int, ...], num_mips: int, last: tuple[int, ...], dtype: str
) -> None:
    array = voxels(np.random.default_rng(5), shape, np.dtype(dtype).newbyteorder("="), "noise").astype(dtype)
    array.flags.writeable = False
    for function in (
        tinypyr.downsample_with_averaging,
        tinypyr.downsample_segmentation,
        tinypyr.downsample_with_min_pooling,
        tinypyr.downsample_with_max_pooling,
        tinypyr.downsample_with_striding,
    ):
        for sparse in (False, True):
            levels = function(array, factor, num_mips=num_mips, sparse=sparse)
            assert len(levels) == num_mips
            assert levels[-1].shape == last
            assert all(level.dtype == array.dtype and not np.shares_memory(level, array) for level in levels)


# --------------------------------------------------------------------- many levels


def assert_levels_are_exact(got: list[np.ndarray], array: np.ndarray, schedule: Any, method: str, rules: Any) -> None:
    want = oracle.pyramid(array, schedule, method, **rules)
    assert len(got) == len(want)
    for k, (level, wanted) in enumerate(zip(got, want, strict=True), 1):
        oracle.check(level, wanted, method, ignore=rules.get("ignore"), where=f"level {k}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", METHODS)
def test_six_levels_are_exact_and_independent_of_each_other(method: Any, dtype: str) -> None:
    """Each of six levels is exact for its footprints in the base, independently of the other levels."""
    turn = METHODS.index(method) + DTYPES.index(dtype)
    factor, shape = (((2, 2, 1), (67, 34, 2)), ((2, 2, 2), (37, 18, 9)), ((1, 2, 2), (3, 35, 66)))[turn % 3]
    rules: dict[str, Any] = ({}, {"ignore": 0}, {"voxel_offset": (5, -3, 1)}, {"rounding": "floor", "ties": "lowest"})[
        turn % 4
    ]
    if dtype == "bool" and "ignore" in rules:
        rules = {"ignore": False}
    array = voxels(np.random.default_rng(turn), shape, dtype, "labels" if method == "mode" else "noise")
    for layout in ("C", "F"):
        six = tinypyr.pyramid(lay_out(array, layout), factor, method, levels=6, **rules)
        if layout == "C":
            assert_levels_are_exact(six, array, [factor] * 6, method, rules)
            first = six
        three = tinypyr.pyramid(lay_out(array, layout), factor, method, levels=3, **rules)
        for level, again, in_c in zip(three, six, first, strict=False):
            assert_same_bits(level, again)
            assert_same_bits(again, in_c)
        assert len(three) == 3
        for k, level in enumerate(six, 1):
            at_once = tinypyr.downsample(array, tuple(f**k for f in factor), method, **rules)
            if method != "mean" or array.dtype.kind != "f":  # sums of floats may round differently
                assert_same_bits(level, at_once, f"level {k}")


SCHEDULES: list[list[tuple[int, ...]]] = [
    [(2, 2, 1), (2, 2, 1), (2, 2, 2)],
    [(2, 2, 1), (1, 1, 1), (1, 2, 2), (2, 1, 2)],
    [(3, 1, 2), (2, 2, 2)],
    [(1, 1, 1), (2, 2, 2)],
    [(4, 4, 1), (2, 2, 2), (1, 1, 5)],
    [(50, 1, 1), (1, 50, 1), (1, 1, 50)],
]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("method", METHODS)
def test_levels_of_schedules_with_voxel_offsets_are_exact(method: Any, schedule: list[tuple[int, ...]]) -> None:
    rng = np.random.default_rng(11)
    for dtype, voxel_offset in itertools.product(("uint8", "int64", "float32"), (None, (1, 2, 3), (-7, 13, -1))):
        array = voxels(rng, (14, 11, 9), dtype, "labels" if method == "mode" else "noise")
        for layout in ("C", "F"):
            got = tinypyr.pyramid(lay_out(array, layout), schedule, method, voxel_offset=voxel_offset)
            assert_levels_are_exact(got, array, schedule, method, {"voxel_offset": voxel_offset})


def test_means_keep_the_brightness() -> None:
    """Six levels of an image with full blocks have the mean of the image, within the rounding of a voxel."""
    image = np.random.default_rng(12).integers(0, 256, (512, 256), np.uint8)
    exact = image.mean()
    for level in tinypyr.pyramid(image, 2, levels=6):
        assert abs(level.mean() - exact) < 0.25  # rounding to even is unbiased; a voxel's mean absolute error is 0.25
