"""Every kind of numpy array gives correct results, for any memory layout, shape, byte order or class."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinypyr
from support import oracle
from support.strategies import DTYPES, INTEGERS, LAYOUTS, METHODS, assert_same_bits, lay_out, voxels


def assert_exact(array: np.ndarray, factor: tuple[int, ...], got: np.ndarray, method: str, **rules: Any) -> None:
    (want,) = oracle.pyramid(array, [factor], method, **rules)
    oracle.check(got, want, method, ignore=rules.get("ignore"))


def a_volume(dtype: str = "uint16", shape: tuple[int, ...] = (7, 6, 5), seed: int = 0) -> np.ndarray:
    return voxels(np.random.default_rng(seed), shape, dtype, "labels")


# --------------------------------------------------------------------- memory


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("layout", [*LAYOUTS, "swapped", "unaligned", "read-only", "permuted 1,2,0"])
def test_every_layout_gives_exact_values_and_the_input_is_unchanged(layout: str, method: Any, isa: str) -> None:
    for dtype in DTYPES:
        array = lay_out(a_volume(dtype), layout)
        before, flags = array.tobytes(), str(array.flags)
        got = tinypyr.downsample(array, 2, method)
        assert got.dtype == array.dtype  # converts the byte order, too
        assert_exact(array, (2, 2, 2), got, method)
        tinypyr.pyramid(array, (2, 2, 1), method, levels=2, ignore=array.flat[0].item())
        assert array.tobytes() == before
        assert str(array.flags) == flags


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_other_byte_orders_give_the_same_values(dtype: str, method: Any) -> None:
    native = a_volume(dtype, seed=1)
    foreign = lay_out(native, "swapped")
    want = tinypyr.downsample(native, 2, method)
    out = np.zeros_like(want, dtype=foreign.dtype)
    for got in (tinypyr.downsample(foreign, 2, method), tinypyr.downsample(foreign, 2, method, out=out)):
        assert got.dtype == foreign.dtype
        assert_same_bits(got.astype(dtype), want)
    ignore = native.flat[3]
    assert_same_bits(
        tinypyr.downsample(foreign, 2, method, ignore=ignore).astype(dtype),
        tinypyr.downsample(native, 2, method, ignore=ignore),
    )


def test_memory_mapped_files_are_read_and_written(tmp_path: Path) -> None:
    array = a_volume("uint32", (20, 13, 9))
    for order in ("C", "F"):
        path = tmp_path / f"{order}.raw"
        path.write_bytes(b"odd" + array.tobytes(order=order))
        mapped = np.memmap(path, np.uint32, "r", offset=3, shape=array.shape, order=order)
        for method in METHODS:
            got = tinypyr.downsample(mapped, 2, method)
            assert type(got) is np.ndarray
            assert_exact(array, (2, 2, 2), got, method)
        saved = tmp_path / f"{order}.npy"
        np.save(saved, array)
        assert_exact(array, (2, 2, 2), tinypyr.downsample(np.load(saved, mmap_mode="r"), 2), "mean")
        out = np.memmap(tmp_path / f"{order}.out", np.uint32, "w+", shape=(10, 7, 5), order=order)
        assert tinypyr.downsample(mapped, 2, out=out) is out
        assert_exact(array, (2, 2, 2), np.asarray(out), "mean")


def test_a_field_of_packed_records_is_read_and_written_alone(isa: str) -> None:
    """Strides are no multiples of the item size, and items straddle words."""
    for dtype in DTYPES:
        records = np.zeros((6, 5, 4), [("flag", "u1"), ("value", dtype), ("rest", "u1", 2)])
        records["flag"] = 255
        records["value"] = a_volume(dtype, (6, 5, 4))
        for method in METHODS:
            got = tinypyr.downsample(records["value"], (2, 2, 1), method)
            assert_exact(records["value"], (2, 2, 1), got, method)
        out = records[:3, :3]["value"]
        untouched = records.copy()
        tinypyr.downsample(a_volume(dtype, (6, 5, 4), 2), (2, 2, 1), out=out)
        assert (records["flag"] == 255).all()
        assert (records["rest"] == 0).all()
        assert records[3:].tobytes() == untouched[3:].tobytes()
        assert_exact(a_volume(dtype, (6, 5, 4), 2), (2, 2, 1), out, "mean")


def test_parts_of_complex_arrays_give_exact_values() -> None:
    both = (a_volume("float32", seed=3) + 1j * a_volume("float32", seed=4)).astype(np.complex64)
    for part in (both.real, both.imag):
        for method in METHODS:
            assert_exact(part, (2, 2, 2), tinypyr.downsample(part, 2, method), method)


@pytest.mark.parametrize("method", METHODS)
def test_arrays_with_zero_strides_give_exact_values(method: Any, isa: str) -> None:
    row = a_volume("int16", (9, 1, 1))
    for shape, source in (((9, 8, 7), row), ((9, 8, 7), row[:1]), ((4, 9, 8, 7), row)):
        spread = np.broadcast_to(source, shape)
        assert 0 in spread.strides
        got = tinypyr.downsample(spread, 2, method)
        assert got.flags.writeable
        assert 0 not in got.strides
        assert_exact(spread, (2,) * spread.ndim, got, method)


def test_rows_that_overlap_give_exact_values() -> None:
    """Input voxels may share memory in any way, as in a sliding window."""
    windows = np.lib.stride_tricks.sliding_window_view(np.arange(40, dtype=np.uint8), 9)
    for method in METHODS:
        assert_exact(windows, (2, 3), tinypyr.downsample(windows, (2, 3), method), method)


@pytest.mark.parametrize("layout", [*LAYOUTS, "unaligned", "permuted 2,0,1"])
def test_out_in_any_layout_gets_the_values_and_its_gaps_are_unchanged(layout: str, isa: str) -> None:
    for dtype, method in itertools.product(("uint8", "uint16", "float32", "uint64", "float16"), METHODS):
        array = a_volume(dtype, (19, 12, 5))
        want = tinypyr.downsample(array, (2, 2, 1), method)
        out = lay_out(np.zeros_like(want), layout)
        memory = out if out.base is None else out.base
        others = np.ones(memory.shape, bool)
        if layout == "gapped":
            others[1::2, 1::3, 1::2] = False
            others[out.shape[0] * 2 :], others[:, out.shape[1] * 3 :], others[:, :, out.shape[2] * 2 :] = (
                True,
                True,
                True,
            )
            gaps = memory[others].copy()
            assert gaps.size > out.size
        tinypyr.downsample(array, (2, 2, 1), method, out=out)
        assert_same_bits(out, want)
        if layout == "gapped":
            assert_same_bits(memory[others], gaps)


# --------------------------------------------------------------------- shapes


@pytest.mark.parametrize("method", METHODS)
def test_arrays_without_voxels_give_levels_without_voxels(method: Any, isa: str) -> None:
    for dtype in DTYPES:
        for shape in ((0,), (0, 5), (5, 0), (3, 0, 4), (0, 0, 0), (1, 2, 3, 0)):
            want = tuple(-(-n // 2) for n in shape)
            for voxel_offset in (None, (1,) * len(shape), (-3,) * len(shape)):
                wanted = tuple(n // 2 + 1 if voxel_offset and n else w for n, w in zip(shape, want, strict=True))
                for order in ("C", "F"):
                    array = np.zeros(shape, dtype, order=order)
                    levels = tinypyr.pyramid(
                        array, 2, method, levels=2, voxel_offset=voxel_offset, ignore=array.dtype.type(0)
                    )
                    assert levels[0].shape == wanted
                    assert levels[0].dtype == array.dtype
                    assert [0 in level.shape for level in levels] == [True, True]


def test_arrays_without_axes_are_copied(isa: str) -> None:
    for dtype, method in itertools.product(DTYPES, METHODS):
        array = a_volume(dtype, ())
        for value in (array, np.broadcast_to(array, ()), array.astype(array.dtype.newbyteorder())):
            factors: tuple[Any, ...] = (1, 2, (), [])
            for factor in factors:
                got = tinypyr.downsample(value, factor, method)
                assert isinstance(got, np.ndarray)
                assert got.shape == ()
                assert not np.shares_memory(got, value)
                np.testing.assert_array_equal(got, array)
            assert [level.shape for level in tinypyr.pyramid(value, 2, method, levels=3)] == [()] * 3
            assert tinypyr.downsample(value, (), method, ignore=array[()]) == array or array != array


@pytest.mark.parametrize("method", METHODS)
def test_axes_of_one_voxel_give_exact_values(method: Any, isa: str) -> None:
    for dtype in ("uint8", "int32", "uint64", "float32"):
        for shape in ((1,), (1, 1), (1, 1, 1), (1, 33, 1), (33, 1, 1), (1, 1, 33), (1, 5, 7), (5, 1, 7), (5, 7, 1)):
            array = a_volume(dtype, shape)
            for order, factor in itertools.product("CF", (1, 2, 3)):
                laid_out = lay_out(array, order)
                got = tinypyr.downsample(laid_out, factor, method)
                assert_exact(array, (factor,) * array.ndim, got, method)
    # strides of axes with one voxel are meaningless, and numpy allows any value
    odd = np.lib.stride_tricks.as_strided(np.arange(8, dtype=np.uint16), (1, 8, 1), (-(2**40), 2, 2**50))
    assert_exact(odd, (2, 2, 2), tinypyr.downsample(odd, 2, method), method)


@pytest.mark.parametrize("method", METHODS)
def test_six_dimensions_give_exact_values(method: Any, isa: str) -> None:
    for dtype in ("uint8", "uint64", "float32"):
        array = a_volume(dtype, (3, 4, 2, 3, 2, 5))
        for factor in ((2, 2, 1, 1, 1, 1), (1, 1, 1, 1, 2, 2), (2, 2, 2, 2, 2, 2), (3, 1, 2, 1, 2, 1)):
            for layout in ("C", "F", "permuted 3,1,5,0,2,4"):
                got = tinypyr.downsample(lay_out(array, layout), factor, method)
                assert_exact(array, factor, got, method)


@pytest.mark.parametrize("method", METHODS)
def test_thirty_two_dimensions_give_exact_values(method: Any, isa: str) -> None:
    array = a_volume("int32", (1,) * 20 + (3,) + (1,) * 9 + (2, 5))
    assert array.ndim == 32
    for order in ("C", "F"):
        got = tinypyr.downsample(lay_out(array, order), 2, method)
        assert got.shape == (1,) * 20 + (2,) + (1,) * 9 + (1, 3)
        assert_exact(array.reshape(3, 2, 5), (2, 2, 2), got.reshape(2, 1, 3), method)
    many = np.arange(2**16, dtype=np.uint16).reshape((2,) * 16)
    halves = tinypyr.downsample(many, (1,) * 14 + (2, 2), method)
    assert_exact(many.reshape(-1, 2, 2)[:99], (1, 2, 2), halves.reshape(-1, 1, 1)[:99], method)


@pytest.mark.parametrize("method", METHODS)
def test_factors_beyond_the_array_pool_it_as_a_whole(method: Any, isa: str) -> None:
    array = a_volume("uint8", (5, 4, 3))
    for factor in ((5, 4, 3), (2**31, 1, 2**31), (2**60,) * 3, (10**30, 2, 2), (1, 2**62, 1)):
        capped = tuple(min(f, 8) for f in factor)
        assert_exact(array, capped, tinypyr.downsample(array, factor, method), method)
    for level in tinypyr.pyramid(array, 2**33, method, levels=64):
        assert_exact(array, (5, 4, 3), level, method)


# --------------------------------------------------------------------- classes


class Tagged(np.ndarray):
    """A subclass whose operators raise, because arithmetic with it would be a fault."""

    def __array_ufunc__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("a ufunc ran on a subclass")

    def __array_function__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("a numpy function ran on a subclass")

    def __getitem__(self, key: Any) -> Any:
        raise RuntimeError("a subclass was indexed")


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float16"])
@pytest.mark.parametrize("method", METHODS)
def test_subclasses_of_arrays_give_plain_arrays_of_the_same_values(method: Any, dtype: str) -> None:
    array = a_volume(dtype, (6, 5))
    for subclass in (array.view(Tagged), np.matrix(array), array.view(np.recarray), np.rec.array(array)):
        for got in (tinypyr.downsample(subclass, 2, method), *tinypyr.pyramid(subclass, 2, method, levels=1)):
            assert type(got) is np.ndarray
            assert got.shape == (3, 3)
            assert_exact(array, (2, 2), got, method)


def test_objects_that_convert_to_an_array_are_accepted() -> None:
    class Offers:
        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            return np.array([[1, 3], [5, 7]], np.uint8)

    got = tinypyr.downsample(Offers(), 2)
    assert got.dtype == np.uint8
    assert got.tolist() == [[4]]


# --------------------------------------------------------------------- dtypes without a compiled path


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128, np.clongdouble])
def test_complex_numbers_are_averaged_by_part_and_ordered_as_in_numpy(dtype: Any) -> None:
    rng = np.random.default_rng(5)
    real, imag = rng.integers(-4, 4, (2, 7, 6))
    array = (real + 1j * imag).astype(dtype)
    mean = tinypyr.downsample(array, 2)
    assert mean.dtype == dtype
    # parts are small integers: their means as doubles, rounded once, are exact for blocks of 1, 2 and 4
    for part, got in ((real, mean.real), (imag, mean.imag)):
        assert_exact(part.astype(np.float64), (2, 2), got.astype(np.float64), "mean")
    # label every distinct number, and compute the mode or the first voxel of the labels
    labels = (real * 16 + imag).astype(np.int16)
    copying: tuple[Any, ...] = ("mode", "stride")
    for method in copying:
        (want,) = oracle.pyramid(labels, [(2, 2)], method)
        chosen = want.array(np.int16).astype(int)
        got = tinypyr.downsample(array, 2, method)
        assert got.dtype == dtype
        np.testing.assert_array_equal(np.rint(got.real * 16 + got.imag).astype(int), chosen)
    # complex numbers are ordered by the real part first, as in numpy, which is the order of these labels
    ordering: tuple[Any, ...] = ("min", "max", "median")
    for method in ordering:
        (want,) = oracle.pyramid((real * 16 + imag + 4).astype(np.int16), [(2, 2)], method)
        got = tinypyr.downsample(array, 2, method)
        np.testing.assert_array_equal(np.rint(got.real * 16 + got.imag + 4).astype(int), want.array(np.int16))


def test_long_doubles_keep_their_precision() -> None:
    small = a_volume("int16", (7, 6, 5), 6)
    for method in METHODS:
        got = tinypyr.downsample(small.astype(np.longdouble), 2, method)
        assert got.dtype == np.longdouble
        assert_exact(small.astype(np.float64), (2, 2, 2), got.astype(np.float64), method)
    if np.finfo(np.longdouble).nmant > 52:
        fine = np.full(4, 1 + np.finfo(np.longdouble).eps)
        assert tinypyr.downsample(fine, 4)[0] == fine[0]  # without a conversion to doubles


def test_every_name_of_a_dtype_gives_exact_values() -> None:
    """intc, long and longlong have two widths with three names; each takes the path of its width."""
    for name in "bBhHiIlLqQpP?fd":
        array = a_volume("uint8", (6, 5)).astype(name)
        got = tinypyr.downsample(array, 2, "mode")
        assert got.dtype == np.dtype(name)
        assert_exact(array, (2, 2), got, "mode")


@pytest.mark.parametrize("dtype", INTEGERS)
def test_ignored_values_may_be_at_the_ends_of_the_range(dtype: str, isa: str) -> None:
    info = np.iinfo(dtype)
    array = a_volume(dtype, (9, 8, 7))
    for method, ignore in itertools.product(
        METHODS, (info.min, info.max, np.dtype(dtype).type(info.max), float(3), True)
    ):
        got = tinypyr.downsample(array, 2, method, ignore=ignore)
        assert_exact(array, (2, 2, 2), got, method, ignore=int(ignore))
