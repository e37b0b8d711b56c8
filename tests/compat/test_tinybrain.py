"""tinypyr.compat.tinybrain equals tinybrain where tinybrain is correct, and plain loops where it is not."""

from __future__ import annotations

import contextvars
import itertools
import math
import os
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import tinypyr.compat.tinybrain as tinybrain
from tinypyr.compat.tinybrain import _rules

Array = np.ndarray[Any, np.dtype[Any]]
Factor = tuple[int, ...]

FIVE = (
    "downsample_with_averaging",
    "downsample_segmentation",
    "downsample_with_striding",
    "downsample_with_max_pooling",
    "downsample_with_min_pooling",
)
INTEGERS = ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8")

average = tinybrain.downsample_with_averaging
segment = tinybrain.downsample_segmentation


def random_array(dtype: str, shape: Factor, low: int = 0, high: int = 9, zeros: float = 0.0) -> Array:
    rng = np.random.default_rng(math.prod(shape) + high)
    array = rng.integers(low, high, shape)
    array[rng.random(shape) < zeros] = 0
    return np.asfortranarray(array.astype(dtype))


def assert_same(ours: Sequence[Array], theirs: Sequence[Array]) -> None:
    assert isinstance(ours, list)
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.dtype == other.dtype
        assert mine.flags.f_contiguous
        np.testing.assert_array_equal(mine, other, strict=True)


# --- plain loops --------------------------------------------------------------------------------------------


def blocks(array: Array, factor: Factor) -> Iterator[tuple[Factor, list[Any]]]:
    """Yield the index of every block and its voxels as Python numbers, axis 0 fastest."""
    full = factor + (1,) * (array.ndim - len(factor))
    for index in np.ndindex(*(-(-n // f) for n, f in zip(array.shape, full, strict=True))):
        part = array[tuple(slice(i * f, (i + 1) * f) for i, f in zip(index, full, strict=True))]
        yield index, part.ravel(order="F").tolist()


def looped(array: Array, factor: Factor, choose: Callable[[list[Any]], Any]) -> Array:
    full = factor + (1,) * (array.ndim - len(factor))
    out = np.empty([-(-n // f) for n, f in zip(array.shape, full, strict=True)], array.dtype)
    for index, voxels in blocks(array, full):
        out[index] = choose(voxels)
    return out


def truncated(voxels: list[int]) -> int:
    return math.trunc(Fraction(sum(voxels), len(voxels)))


def truncated_sparse(voxels: list[int]) -> int:
    kept = [v for v in voxels if v]
    return truncated(kept) if kept else 0


def first_mode(voxels: list[Any]) -> Any:
    return Counter(voxels).most_common(1)[0][0]  # Counter preserves insertion order


def first_mode_sparse(voxels: list[Any]) -> Any:
    kept = [v for v in voxels if v]
    return first_mode(kept) if kept else 0


def countless(voxels: list[Any]) -> Any:
    if len(voxels) < 4:  # a partial block
        return voxels[0]
    a, b, c, d = voxels
    return a if a in (b, c) else b if b == c else d


def countless_sparse(voxels: list[Any]) -> Any:
    if len(voxels) < 4:
        return next((v for v in voxels if v), 0)
    a, b, c, d = voxels
    if a and a in (b, c):
        return a
    if b and b == c:
        return b
    return next((v for v in (d, a, c, b) if v), 0)


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "negative": lambda a: np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1],
    "gapped": lambda a: np.repeat(np.repeat(a, 2, axis=0), 3, axis=1)[::2, ::3],
}


# --- against the real tinybrain -----------------------------------------------------------------------------
# Arrays are in Fortran order and have even extents for averages, so that tinybrain does not read out of bounds.


@pytest.fixture(scope="module")
def peer() -> Any:
    return pytest.importorskip("tinybrain", reason="tinybrain, an optional peer, is not installed")


SHAPES_2X2 = [(64, 32), (64, 32, 3), (64, 32, 3, 2), (32, 64, 1, 1)]


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("shape", SHAPES_2X2)
@pytest.mark.parametrize("dtype", [*INTEGERS, "f4", "f8"])
def test_averages_2x2_equal_tinybrain(peer: Any, dtype: str, shape: Factor, sparse: bool) -> None:
    low, high = (-100, 128) if dtype[0] in "if" else (0, 256)
    array = random_array(dtype, shape, low, high, zeros=0.4)
    for factor in ((2, 2), (2, 2, 1), (2, 2, 1, 1))[: max(1, len(shape) - 1)]:
        for num_mips in (1, 2, 4):
            expected = peer.downsample_with_averaging(array, factor, num_mips=num_mips, sparse=sparse)
            assert_same(average(array, factor, num_mips=num_mips, sparse=sparse), expected)
    expected = peer.accelerated.average_pooling_2x2(array, 1, sparse)
    assert_same(tinybrain.accelerated.average_pooling_2x2(array, 1, sparse), expected)


@pytest.mark.parametrize("shape", [(32, 16, 8), (16, 16, 32, 2)])
@pytest.mark.parametrize("num_mips", [1, 2, 3])
@pytest.mark.parametrize(
    ("dtype", "sparse"),
    [(d, False) for d in ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8")]
    + [("u1", True), ("u2", True), ("u4", True), ("u8", True), ("i4", True), ("i8", True)],
)
def test_averages_2x2x2_equal_tinybrain(peer: Any, dtype: str, sparse: bool, num_mips: int, shape: Factor) -> None:
    if num_mips == 1 and (dtype in ("i4", "i8") or (sparse and dtype not in ("u1", "u2"))):
        pytest.skip("tinybrain refuses this dtype at one level")
    if num_mips > 1 and dtype == "i2":
        pytest.skip("tinybrain refuses int16 at several levels")
    low, high = (-100, 128) if dtype[0] in "if" else (0, 256)
    array = random_array(dtype, shape, low, high, zeros=0.4)
    expected = peer.downsample_with_averaging(array, (2, 2, 2), num_mips=num_mips, sparse=sparse)
    assert_same(average(array, (2, 2, 2), num_mips=num_mips, sparse=sparse), expected)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i1", "i2"])
def test_sums_2x2_restart_as_in_tinybrain(peer: Any, dtype: str) -> None:
    info = np.iinfo(dtype)
    array = random_array(dtype, (512, 512, 2), info.min, int(info.max) + 1)
    assert_same(average(array, (2, 2, 1), num_mips=9), peer.downsample_with_averaging(array, (2, 2, 1), num_mips=9))


@pytest.mark.parametrize("dtype", ["u1", "u2", "i1"])
def test_sums_2x2x2_restart_as_in_tinybrain(peer: Any, dtype: str) -> None:
    info = np.iinfo(dtype)
    array = random_array(dtype, (128, 128, 128), max(info.min, -3), 4)
    expected = peer.downsample_with_averaging(array, (2, 2, 2), num_mips=7)
    assert_same(average(array, (2, 2, 2), num_mips=7), expected)


@pytest.mark.parametrize("dtype", [*INTEGERS, ">u2", ">i4"])
@pytest.mark.parametrize("factor", [(1, 2, 2), (2, 1, 1), (2,), (4, 4, 1), (2, 2, 4), (1, 1, 2), (3, 3, 1), (5, 3, 2)])
def test_averages_of_other_factors_equal_tinybrain(peer: Any, dtype: str, factor: Factor) -> None:
    shape = tuple(f * f * 2 for f in factor + (1,) * (3 - len(factor)))
    array = random_array(dtype, shape, -90 if "i" in dtype else 0, 128, zeros=0.3)
    power_of_two = all(f in (1, 2, 4) for f in factor)
    wide = np.dtype(dtype).itemsize > 2
    for sparse in (False, True):
        # from level 2 on, tinybrain passes float32 means of narrow integers, which are exact for powers of two if dense
        for num_mips in (1, 2) if wide or (power_of_two and not sparse) else (1,):
            theirs = peer.downsample_with_averaging(array, factor, num_mips=num_mips, sparse=sparse)
            assert_same(average(array, factor, num_mips=num_mips, sparse=sparse), theirs)
    odd = array[1:, :, 1:]
    assert_same(average(odd, factor), peer.downsample_with_averaging(odd, factor))


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("shape", [(32, 32), (17, 31), (16, 24, 5), (9, 15, 3), (16, 8, 3, 2), (1, 9, 2), (9, 1, 2)])
def test_labels_2x2_equal_tinybrain(peer: Any, dtype: str, shape: Factor) -> None:
    array = random_array(dtype, shape, -1 if dtype[0] == "i" else 0, 4)
    for factor in ((2, 2), (2, 2, 1))[: len(shape) - 1]:
        for num_mips in (1, 3):
            expected = peer.downsample_segmentation(array.copy(order="F"), factor, num_mips=num_mips)
            assert_same(segment(array, factor, num_mips=num_mips), expected)
    expected = peer.accelerated.mode_pooling_2x2(array.copy(order="F"), 2)
    assert_same(tinybrain.accelerated.mode_pooling_2x2(array, 2), expected)
    if len(shape) > 2:
        expected = peer.downsample_segmentation(array.copy(order="F"), (2, 2, 1), sparse=True, num_mips=2)
        assert_same(segment(array, (2, 2, 1), True, 2), expected)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("dtype", [*INTEGERS, "f4", "f8"])
@pytest.mark.parametrize("shape", [(16, 16, 16), (17, 16, 9), (5, 7, 3), (1, 8, 2), (8, 8, 1)])
def test_labels_2x2x2_equal_tinybrain(peer: Any, dtype: str, shape: Factor, sparse: bool) -> None:
    array = random_array(dtype, shape, 0, 5)
    for num_mips in (1, 2):
        expected = peer.downsample_segmentation(array.copy(order="F"), (2, 2, 2), sparse=sparse, num_mips=num_mips)
        assert_same(segment(array, (2, 2, 2), sparse, num_mips), expected)
        expected = peer.accelerated.mode_pooling_2x2x2(array.copy(order="F"), num_mips, sparse)
        assert_same(tinybrain.accelerated.mode_pooling_2x2x2(array, num_mips, sparse), expected)


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i2", ">u2"])
@pytest.mark.parametrize(
    "factor", [(1, 2, 2), (2, 1, 2), (4, 4, 1), (8, 8, 1), (1, 4, 4), (3, 3, 1), (6, 6, 1), (3, 1, 1)]
)
def test_labels_of_other_planes_equal_tinybrain(peer: Any, dtype: str, factor: Factor) -> None:
    shape = tuple(f * 4 if f > 1 else 3 for f in factor)
    for odd in (0, 1):
        array = random_array(dtype, tuple(n + odd for n in shape), 0, 5)
        for sparse in (False, True) if max(factor) < 4 else (False,):
            theirs = peer.downsample_segmentation(array.copy(order="F"), factor, sparse=sparse, num_mips=2)
            assert_same(segment(array, factor, sparse, 2), theirs)


@pytest.mark.parametrize("dtype", ["u1", "u4", "u8", "i2"])
@pytest.mark.parametrize("factor", [(4, 4, 4), (2, 4, 4), (8, 8, 8)])
@pytest.mark.parametrize("high", [3, 9, 100])
def test_labels_4x4x4_equal_tinybrain(peer: Any, dtype: str, factor: Factor, high: int) -> None:
    array = random_array(dtype, tuple(f * 2 for f in factor), 0, high)
    assert_same(segment(array, factor), peer.downsample_segmentation(array.copy(order="F"), factor))


def test_labels_of_floats_equal_tinybrain(peer: Any) -> None:
    array = random_array("f4", (16, 16, 4), -2, 3)
    array[::3, ::5] = np.nan
    for factor in ((2, 2, 1), (4, 4, 1), (1, 2, 2), (3, 3, 1), (2, 1, 1)):
        assert_same(segment(array, factor, num_mips=2), peer.downsample_segmentation(array, factor, num_mips=2))


def test_every_2x2_pattern_equals_tinybrain(peer: Any) -> None:
    """All 5**4 blocks of labels 0 to 4, sparse and not, equal tinybrain and the documented rule."""
    array = np.zeros((2 * 5**4, 2, 1), np.uint8, order="F")
    for i, (a, b, c, d) in enumerate(itertools.product(range(5), repeat=4)):
        array[2 * i : 2 * i + 2, :, 0] = [[a, c], [b, d]]
    for sparse, rule in ((False, countless), (True, countless_sparse)):
        ours = segment(array, (2, 2, 1), sparse)
        assert_same(ours, peer.downsample_segmentation(array.copy(order="F"), (2, 2, 1), sparse=sparse))
        np.testing.assert_array_equal(ours[0], looped(array, (2, 2, 1), rule))


def test_countless_functions_equal_tinybrain(peer: Any) -> None:
    array = random_array("u4", (12, 12, 12), 1, 9)
    ours, theirs = tinybrain.downsample, peer.downsample
    for factor in ((2, 2, 1), (2, 2, 2), (3, 2, 1), (3, 3, 1), (4, 2, 1), (3, 1, 1)):
        expected = theirs.countless(array.copy(order="F"), factor)
        np.testing.assert_array_equal(ours.countless(array, factor), expected)
    np.testing.assert_array_equal(ours.countless2d(array), theirs.countless2d(array.copy(order="F")))
    np.testing.assert_array_equal(ours.countless3d(array), theirs.countless3d(array.copy(order="F")))
    holes = random_array("u4", (12, 12, 3), 0, 4)
    np.testing.assert_array_equal(ours.stippled_countless2d(holes), theirs.stippled_countless2d(holes.copy(order="F")))
    expected = theirs.downsample_with_averaging_numpy(array, (3, 2, 2))
    np.testing.assert_array_equal(ours.downsample_with_averaging_numpy(array, (3, 2, 2)), expected)


@pytest.mark.filterwarnings("ignore:Passing more than 2 positional arguments:DeprecationWarning")  # by tinybrain
@pytest.mark.parametrize("dtype", [*INTEGERS, "f2", "f4", "f8", "?", ">u2"])
def test_extremes_and_strides_equal_tinybrain(peer: Any, dtype: str) -> None:
    array = random_array(dtype, (36, 36, 4, 2), -5 if dtype[0] in "if" else 0, 9)
    if array.dtype.kind == "f":
        array[::7, ::5] = np.nan
    for factor in ((2, 2, 1), (2, 2), (2, 2, 2), (3, 3, 1), (1, 2, 2), (2, 1, 1, 1)):
        for name in FIVE[2:]:
            ours = getattr(tinybrain, name)(array, factor, num_mips=2)
            assert_same(ours, getattr(peer.downsample, name)(array, factor, num_mips=2))


def test_modules_have_the_functions_of_tinybrain(peer: Any) -> None:
    for module, other in ((tinybrain, peer), (tinybrain.downsample, peer.downsample)):
        for name in FIVE:
            assert callable(getattr(module, name)), name
            if name != "downsample_with_min_pooling":
                assert callable(getattr(other, name)), name
    for name in ("average_pooling_2x2", "average_pooling_2x2x2", "mode_pooling_2x2", "mode_pooling_2x2x2"):
        assert callable(getattr(tinybrain.accelerated, name)), name
        assert callable(getattr(peer.accelerated, name)), name
    for name in tinybrain.downsample.__all__:
        assert hasattr(peer.downsample, name), name


# --- corrected defects of tinybrain 1.7 ---------------------------------------------------------------------


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("factor", [(2, 2, 1), (2, 2, 2), (1, 2, 2), (3, 3, 1)])
def test_constant_stays_constant(factor: Factor, sparse: bool) -> None:
    """tinybrain: black columns, voxels of the next slice, sparse sums that wrap around."""
    for shape in itertools.product((1, 2, 5), (1, 4, 5), (1, 3)):
        for dtype, value in (("u1", 200), ("u2", 65535), ("i2", -32768)):
            array = np.full(shape, value, dtype, order="F")
            for level in average(array, factor, num_mips=6, sparse=sparse):
                assert (level == value).all(), (shape, dtype)


def test_the_last_column_of_odd_x_is_a_mean_of_its_own_voxels() -> None:
    assert (average(np.full((5, 4, 1), 100, np.uint8), (2, 2, 1))[0] == 100).all()
    column = np.array([10, 10, 10, 10, 99], np.uint8).reshape(5, 1)
    assert average(column, (2, 2))[0].ravel().tolist() == [10, 10, 99]


def test_the_last_row_of_odd_y_is_a_mean_of_its_own_voxels() -> None:
    array = np.empty((4, 5, 3), np.uint8, order="F")
    array[...] = [10, 200, 90]
    for sparse in (False, True):
        assert (average(array, (2, 2, 1), sparse=sparse)[0] == [10, 200, 90]).all()
    for shape in ((129, 128, 2), (128, 129, 2)):
        assert (average(np.full(shape, 100, np.uint8, order="F"), (2, 2, 1))[0] == 100).all()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_labels_do_not_depend_on_memory_order(layout: str) -> None:
    labels = random_array("u8", (7, 6, 5), 1, 4)
    array = LAYOUTS[layout](labels)
    np.testing.assert_array_equal(array, labels)
    np.testing.assert_array_equal(segment(array, (2, 2, 2))[0], looped(labels, (2, 2, 2), first_mode))
    np.testing.assert_array_equal(segment(array, (2, 2, 1))[0], looped(labels, (2, 2, 1), countless))
    np.testing.assert_array_equal(segment(array, (2, 2, 1), True)[0], looped(labels, (2, 2, 1), countless_sparse))
    np.testing.assert_array_equal(average(array, (2, 2, 1))[0], looped(labels, (2, 2, 1), truncated))
    np.testing.assert_array_equal(segment(array, (4, 4, 4))[0], segment(labels, (4, 4, 4))[0])


@pytest.mark.parametrize("shape", [(8, 8, 8, 2), (5, 3, 3, 3), (4, 4, 4, 1, 2)])
def test_labels_with_channels_are_pooled_by_the_documented_rules(shape: Factor) -> None:
    labels = random_array("u4", shape, 0, 4)
    for sparse, rule in ((False, first_mode), (True, first_mode_sparse)):
        levels = segment(labels, (2, 2, 2), sparse, num_mips=2)
        np.testing.assert_array_equal(levels[0], looped(labels, (2, 2, 2), rule))
        np.testing.assert_array_equal(levels[1], looped(levels[0], (2, 2, 2), rule))
    np.testing.assert_array_equal(segment(labels, (2, 2))[0], looped(labels, (2, 2), countless))


def test_sparse_sums_of_a_constant_stay_constant_after_their_restart() -> None:
    flat = np.full((64, 64, 1), 200, np.uint8, order="F")
    assert [int(level.min()) for level in average(flat, (2, 2, 1), num_mips=6, sparse=True)] == [200] * 6
    lattice = np.zeros((64, 64, 64), np.uint16, order="F")
    lattice[::2, ::2, ::2] = 40000
    assert [int(level.min()) for level in average(lattice, (2, 2, 2), num_mips=6, sparse=True)] == [40000] * 6


def test_memory_is_valid_under_a_debugging_allocator() -> None:
    code = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "import numpy as np, tinypyr.compat.tinybrain as t\n"
        "a = np.full((16, 16, 3), 5, np.uint8)\n"
        "print(sum(int(m.sum()) for m in t.downsample_with_averaging(a, (2, 2, 1), 2, True)))"
    )
    environment = {**os.environ, "PYTHONMALLOC": "debug", "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    # an editable installation may print build messages first
    assert run.stdout.splitlines()[-1] == str(5 * (8 * 8 + 4 * 4) * 3)


@pytest.mark.parametrize(
    ("dtype", "value", "factor", "num_mips"),
    [
        ("u8", 2**63, (2, 2), 1),
        ("u8", 2**64 - 1, (2, 2), 3),
        ("i8", 2**62, (2, 2), 1),
        ("i8", -(2**63), (2, 2), 2),
        ("u4", 2**32 - 1, (2, 2), 2),
        ("u4", 16777217, (4, 4), 1),
        ("f8", 123456789.0, (4, 4), 1),
    ],
)
def test_wide_values_are_exact(dtype: str, value: float, factor: Factor, num_mips: int) -> None:
    for level in average(np.full((16, 16), value, dtype), factor, num_mips=num_mips):
        assert (level == value).all()


@pytest.mark.parametrize(("dtype", "top"), [("u1", 255), ("u2", 65535), ("u8", 2**64 - 1), ("i8", -1)])
def test_labels_at_the_top_of_the_range_are_kept(dtype: str, top: int) -> None:
    block = np.array([6, 1, top, top, top, top, 6, 2], dtype).reshape((2, 2, 2), order="F")
    array = np.asfortranarray(np.tile(block, (2, 2, 2)))
    before = array.copy()
    array.flags.writeable = False
    for factor in ((2, 2, 2), (4, 4, 4)):
        assert (segment(array, factor)[0] == np.array(top, dtype)).all()
    pair = np.array([[6, top], [top, 5]], dtype)
    assert segment(pair, (2, 2))[0].item() == pair[0, 1]
    np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize("dtype", ["u1", "f4", "?", ">i8"])
def test_a_single_label_survives_if_sparse(dtype: str) -> None:
    for position in ((0, 0, 0), (3, 2, 1), (1, 3, 3)):
        array = np.zeros((4, 4, 4), dtype)
        array[position] = 1
        for factor, num_mips in (((2, 2, 2), 2), ((4, 4, 4), 1), ((2, 4, 4), 1), ((2, 2, 4), 1)):
            assert segment(array, factor, True, num_mips)[-1].sum() == 1, factor
        for factor, num_mips in (((2, 2, 1), 2), ((4, 4, 1), 1), ((4, 2, 1), 1), ((2, 1, 1), 2)):
            level = segment(array, factor, True, num_mips)[-1]
            assert level[tuple(p // (4 // n) if n < 4 else p for p, n in zip(position, level.shape, strict=True))]


def test_sums_passed_between_levels_of_odd_arrays_are_exact() -> None:
    width = np.array([0, 0, 0, 0, 0, 0, 12], np.uint8).reshape(7, 1)
    assert average(width, (2, 2), num_mips=2)[1].ravel().tolist() == [0, 4]  # (0 + 0 + 12) / 3
    array = random_array("u1", (13, 11, 3), 0, 256)
    first, second = average(array, (2, 2, 1), num_mips=2)
    np.testing.assert_array_equal(first, looped(array, (2, 2, 1), truncated))
    np.testing.assert_array_equal(second, looped(array, (4, 4, 1), truncated))


@pytest.mark.parametrize(("dtype", "carried"), [("u1", 8), ("u2", 5), ("i1", 8), ("i2", 5)])
def test_2x2x2_sums_restart_at_the_documented_level(dtype: str, carried: int) -> None:
    # two halves with means of 0.5 and 1.875: exact sums give 1, rounded levels give (0 + 1) / 2 = 0
    half = 2**carried
    array = np.zeros((2 * half, 1, 1), dtype)
    array[:half:2] = 1
    array[half:] = 2
    array[half::8] = 1
    levels = average(array, (2, 2, 2), num_mips=carried + 1)
    assert levels[carried - 1].ravel().tolist() == [0, 1]
    assert levels[carried].item() == 0
    if dtype[0] == "i":
        # floors of -0.5 and -1.875: (-1 - 2) / 2 is -1 towards zero; the levels returned before are 0 and -1
        levels = average(-array, (2, 2, 2), num_mips=carried + 1)
        assert levels[carried - 1].ravel().tolist() == [0, -1]
        assert levels[carried].item() == -1


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("factor", [(2, 2, 1), (2, 2, 2), (3, 2, 1), (1, 1, 5)])
def test_averages_of_odd_arrays_equal_plain_loops(dtype: str, factor: Factor) -> None:
    info = np.iinfo(dtype)
    rng = np.random.default_rng(7)
    array = rng.integers(info.min, info.max, (7, 5, 3), np.dtype(dtype).type, endpoint=True)
    array[rng.random(array.shape) < 0.5] = 0
    narrow = array.dtype.itemsize <= 2
    for sparse, rule in ((False, truncated), (True, truncated_sparse)):
        levels = average(array, factor, num_mips=2, sparse=sparse)
        assert_same(levels[:1], [looped(array, factor, rule)])
        squared = tuple(f * f for f in factor)
        assert_same(levels[1:], [looped(array, squared, rule) if narrow else looped(levels[0], factor, rule)])


def in_small_pieces(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return the result of a function that divides arrays into pieces of 700 bytes."""
    context = contextvars.copy_context()
    context.run(_rules.PIECE.set, 700)
    return context.run(function, *arguments)


def test_piece_size_does_not_change_negative_means() -> None:
    array = random_array("i2", (33, 9, 30), -50, 60, zeros=0.2)
    whole = [average(array, (2, 2, 1), 6, sparse) for sparse in (False, True)]
    labels = [segment(array, factor) for factor in ((2, 2, 1), (1, 2, 2), (4, 4, 4))]
    for sparse in (False, True):
        assert_same(in_small_pieces(average, array, (2, 2, 1), 6, sparse), whole[sparse])
        assert_same(in_small_pieces(average, np.ascontiguousarray(array), (2, 2, 1), 6, sparse), whole[sparse])
    for factor, expected in zip(((2, 2, 1), (1, 2, 2), (4, 4, 4)), labels, strict=True):
        assert_same(in_small_pieces(segment, array, factor), expected)


# --- supported inputs ---------------------------------------------------------------------------------------


def test_power_of_two_factors_halve_axis_by_axis() -> None:
    labels = random_array("u4", (8, 8, 8), 0, 3)
    np.testing.assert_array_equal(segment(labels, (2, 1, 1))[0], looped(labels, (2, 1, 1), first_mode))
    expected = looped(looped(labels, (2, 2, 1), countless), (2, 1, 1), first_mode)
    np.testing.assert_array_equal(segment(labels, (4, 2, 1))[0], expected)
    halved = tinybrain.downsample.countless3d(labels)
    np.testing.assert_array_equal(segment(labels, (2, 2, 4))[0], looped(halved, (1, 1, 2), first_mode))


def test_factors_of_other_lengths_and_types_are_accepted_or_named() -> None:
    array = random_array("u1", (8, 6, 4))
    for function in (getattr(tinybrain, name) for name in FIVE):
        for equivalent in (
            [2, 2, 1],
            np.array([2, 2, 1]),
            (2.0, 2.0, 1.0),
            (2, 2),
            (2, 2, 1, 1, 1),
            np.array([2, 2, 1, 1]),
        ):
            assert_same(function(array, equivalent), function(array, (2, 2, 1)))
        assert function(array, (2,))[0].shape == (4, 6, 4)
        for invalid in ((2, 2, 1, 2), (0, 2, 1), (-2, 2, 1), (1.5, 2, 1)):
            with pytest.raises(ValueError, match="factor"):
                function(array, invalid)
        with pytest.raises(ValueError, match="num_mips"):
            function(array, (2, 2), num_mips=-1)
        assert function(array, (2, 2), num_mips=0) == []


def test_small_arrays_and_many_levels_have_the_shapes_of_ceiling_division() -> None:
    for function in (getattr(tinybrain, name) for name in FIVE):
        assert [level.shape for level in function(np.ones((1, 100, 1), "u1"), (2, 2, 1), num_mips=2)] == [
            (1, 50, 1),
            (1, 25, 1),
        ]
        levels = function(np.full((512, 2, 4), 3, "u1"), (2, 2, 2), num_mips=4)
        assert [level.shape for level in levels] == [(256, 1, 2), (128, 1, 1), (64, 1, 1), (32, 1, 1)]
        assert all((level == 3).all() for level in levels)
        for shape in ((0, 4, 4), (4, 0, 3), (4, 4, 0)):
            for factor in ((2, 2, 1), (2, 2, 2), (4, 4, 4)):
                (level,) = function(np.zeros(shape, "i2"), factor)
                assert level.shape == tuple(-(-n // f) for n, f in zip(shape, factor, strict=True))


@pytest.mark.parametrize("factor", [(2, 2, 1), (2, 2, 2), (4, 4, 1)])
def test_dtypes_that_tinybrain_refuses_give_the_values_of_wider_ones(factor: Factor) -> None:
    native = random_array("u2", (6, 5, 4), 0, 60000)
    for function in (getattr(tinybrain, name) for name in FIVE):
        for sparse in (False, True):
            swapped = function(native.astype(">u2"), factor, num_mips=2, sparse=sparse)
            assert all(level.dtype == ">u2" for level in swapped)
            expected = function(native, factor, num_mips=2, sparse=sparse)
            for ours, other in zip(swapped, expected, strict=True):
                np.testing.assert_array_equal(ours, other)
    small = random_array("f2", (6, 5, 4), -9, 9)
    np.testing.assert_array_equal(average(small, factor)[0], average(small.astype("f8"), factor)[0].astype("f2"))
    np.testing.assert_array_equal(segment(small, factor)[0], segment(small.astype("f4"), factor)[0])
    mask = random_array("?", (6, 5, 4), 0, 2)
    np.testing.assert_array_equal(average(mask, factor)[0], looped(mask, factor, lambda v: 2 * sum(v) > len(v)))
    if factor == (2, 2, 2):
        np.testing.assert_array_equal(segment(mask, factor)[0], looped(mask, factor, first_mode))
    with pytest.raises(TypeError):
        average(np.array(["a", "b"]), (2,))
    with pytest.raises(TypeError):
        segment(np.ma.masked_array([1, 2], [True, False]), (2,))


def test_memory_mapped_inputs_give_the_same_levels(tmp_path: Any) -> None:
    array = random_array("u2", (9, 8, 7), 0, 3)
    np.save(tmp_path / "array.npy", array)
    mapped = np.load(tmp_path / "array.npy", mmap_mode="r")
    for function in (getattr(tinybrain, name) for name in FIVE):
        for factor in ((2, 2, 1), (2, 2, 2), (4, 4, 1), (4, 4, 4), (1, 1, 1)):
            levels = function(mapped, factor, num_mips=2)
            assert all(type(level) is np.ndarray and level.flags.writeable for level in levels)
            assert_same(levels, function(array, factor, num_mips=2))
    with pytest.raises(ValueError, match="read-only"):
        mapped[0] = 1


# --- the interface ------------------------------------------------------------------------------------------


def test_factors_of_one_are_copies() -> None:
    array = random_array("u1", (4, 3, 2))
    for function in (getattr(tinybrain, name) for name in FIVE):
        levels = function(array, (1, 1, 1), num_mips=2)
        assert_same(levels, [array, array])
        assert not any(np.shares_memory(a, b) for a, b in itertools.combinations([array, *levels], 2))


@pytest.mark.parametrize("dtype", ["u1", "i4", "f4"])
def test_levels_are_new_writable_and_fortran_ordered(dtype: str) -> None:
    for order in ("C", "F"):
        array = np.array(random_array(dtype, (9, 8, 7, 2)), order=order)
        before = array.copy()
        for function in (getattr(tinybrain, name) for name in FIVE):
            for factor in ((2, 2, 1), (2, 2, 2), (1, 2, 2), (3, 3, 1), (4, 4, 1), (4, 4, 4)):
                for sparse in (False, True):
                    mips = function(array, factor, num_mips=2, sparse=sparse)
                    first = mips.pop(0)
                    assert first.flags.f_contiguous
                    assert mips[0].flags.f_contiguous
                    assert first.flags.writeable
                    assert not np.shares_memory(first, array)
        np.testing.assert_array_equal(array, before)


def test_float_means_do_not_depend_on_num_mips() -> None:
    array = np.random.default_rng(3).standard_normal((19, 14, 5)) * 1e3
    for dtype in ("f4", "f8"):
        values = array.astype(dtype)
        three = average(values, (2, 2, 1), num_mips=3)
        assert_same(three[:1], average(values, (2, 2, 1)))
        expected = looped(values, (8, 8, 1), lambda v: float(sum(map(Fraction, v)) / len(v)))
        np.testing.assert_allclose(three[2], expected, rtol=1e-6 if dtype == "f4" else 1e-12)


def test_module_has_the_names_of_tinybrain() -> None:
    assert tinybrain.__version__ == "1.7.0"
    assert set(FIVE) <= set(tinybrain.__all__)
    assert issubclass(tinybrain.DimensionError, Exception)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        tinybrain.downsample_with_max_pooling(np.zeros((4, 4), "u1"), (2, 2))
