"""Interpolation in chunked arrays: the values of scipy.ndimage for the whole array, whatever the chunks."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

da = pytest.importorskip("dask.array", reason="an extra of its own", exc_type=ImportError)
ndimage = pytest.importorskip("scipy.ndimage", reason="an extra of its own", exc_type=ImportError)
import dask  # noqa: E402

from tinypyr import ndinterp  # noqa: E402
from tinypyr.resampling.sampler import BOUNDARY_MODES  # noqa: E402

Array = np.ndarray[Any, Any]
NUMBERS = ("bool", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "c8", "c16", ">u2", ">f4")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with dask.config.set(scheduler="synchronous"):
        yield


Hold = Callable[[Array, tuple[int, ...]], Any]


def in_zarr(array: Array, chunks: tuple[int, ...]) -> Any:
    zarr = pytest.importorskip("zarr", reason="a reader of its own")
    held = zarr.create_array({}, shape=array.shape, chunks=chunks, dtype=array.dtype)
    held[...] = array
    return held


def in_tensorstore(array: Array, chunks: tuple[int, ...]) -> Any:
    ts = pytest.importorskip("tensorstore", reason="an extra of its own")
    spec = {"driver": "zarr", "kvstore": "memory://", "metadata": {"chunks": list(chunks)}}
    held = ts.open(spec, create=True, dtype=array.dtype.name, shape=array.shape).result()
    held.write(array).result()
    return held


HOLDERS: dict[str, Hold] = {
    "numpy": lambda array, chunks: array,
    "dask": lambda array, chunks: da.from_array(array, chunks=chunks),
    "zarr": in_zarr,
    "tensorstore": in_tensorstore,
}


@pytest.fixture(params=HOLDERS)
def hold(request: pytest.FixtureRequest) -> Hold:
    return HOLDERS[request.param]


def voxels(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    kind = np.dtype(dtype).kind
    if kind == "b":
        return rng.random(shape) < 0.5
    if kind == "c":
        return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)
    if kind == "f":
        return rng.normal(size=shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(max(int(limits.min), -(2**40)), min(int(limits.max), 2**40), shape).astype(dtype)


def matrix_of(rng: np.random.Generator, ndim: int) -> tuple[Array, Array]:
    """Return a matrix of some kind and an offset."""
    kind = rng.choice(["any", "diagonal", "swapped", "shift", "integer"])
    offset = rng.uniform(-10, 20, ndim)
    if kind == "diagonal":
        return np.diag(rng.uniform(-2, 2, ndim)), offset
    if kind == "swapped":
        return np.eye(ndim)[rng.permutation(ndim)] * rng.uniform(0.3, 2), offset
    if kind == "shift":
        return np.eye(ndim), offset
    if kind == "integer":  # coordinates halfway between voxels and on borders
        return rng.integers(-2, 3, (ndim, ndim)) / rng.choice([1, 2]), np.round(offset)
    return rng.uniform(-1.5, 1.5, (ndim, ndim)), offset


def assert_is_scipys(got: Array, want: Array, exact: Array, source: Array, order: int) -> None:
    """Assert equality with scipy; of integers, except where its value is near a tie or out of range."""
    assert got.dtype == source.dtype.newbyteorder("=")
    assert got.shape == want.shape
    scale = max(1.0, float(np.abs(source.astype(complex)).max(initial=0)), 3.0)
    loss = (1e-6 if order > 1 else 1e-12) * scale
    if source.dtype.kind in "fc":
        loss += np.finfo(source.dtype).eps * scale * 2
        np.testing.assert_allclose(got.astype(complex), exact, rtol=0, atol=loss)
    elif source.dtype.kind == "b":  # scipy: True from 1 on; below -1 and above 255 it wraps
        sure = (np.abs(exact - 1) > loss) & (exact > -0.9) & (exact < 255)
        np.testing.assert_array_equal(got[sure], want[sure])
    elif order == 0:
        np.testing.assert_array_equal(got, want)
    else:
        limits = np.iinfo(source.dtype)
        ties = np.abs(np.abs(exact - np.trunc(exact)) - 0.5) <= loss
        sure = ~ties & (exact <= float(limits.max)) & (exact >= float(limits.min))
        np.testing.assert_array_equal(got[sure], want[sure])
        assert np.all(np.abs(got.astype(float) - np.clip(exact, float(limits.min), float(limits.max))) <= 0.5 + loss)


def wide(source: Array) -> Array:
    return source.astype(np.complex128 if source.dtype.kind == "c" else np.float64)


@pytest.mark.parametrize("seed", range(25))
def test_affine_maps_are_scipys_whatever_the_chunks(seed: int) -> None:
    """25 x 80 random cases: dimensions, dtypes, orders, modes, maps, chunks of both, one in five unfiltered."""
    rng = np.random.default_rng(seed)
    for _ in range(80):
        ndim = int(rng.integers(1, 5))
        longest = {1: 40, 2: 24, 3: 12, 4: 7}[ndim]
        shape, out = (tuple(int(n) for n in rng.integers(1, longest, ndim)) for _ in range(2))
        source = voxels(rng, shape, str(rng.choice(NUMBERS)))
        matrix, offset = matrix_of(rng, ndim)
        order, mode = int(rng.integers(0, 6)), str(rng.choice(list(BOUNDARY_MODES)))
        how: dict[str, Any] = {"order": order, "mode": mode, "cval": float(rng.choice([0, 3, 2.25]))}
        how["cval"] = min(how["cval"], 1.0) if source.dtype.kind == "b" else how["cval"]
        how["prefilter"] = bool(rng.random() < 0.8)
        chunks = tuple(int(rng.integers(1, n + 1)) for n in shape)
        cut = tuple(int(rng.integers(max(1, n // 3), n + 1)) for n in out)
        held = da.from_array(source, chunks=chunks)
        got = ndinterp.affine_transform(held, matrix, offset, out, output_chunks=cut, **how).compute()
        known = source.astype("f4") if source.dtype == np.float16 else source  # scipy does not support float16
        want = ndimage.affine_transform(known, matrix, offset, out, **how)
        exact = ndimage.affine_transform(wide(source), matrix, offset, out, **how)
        if source.dtype.kind in "iu" and how["cval"] % 1 and mode == "grid-constant" and order > 1:
            exact = want.astype(float)  # scipy pads integers with the integer part of cval
        assert_is_scipys(got, want.astype(got.dtype) if known is not source else want, exact, source, order)
        whole = ndinterp.affine_transform(source, matrix, offset, out, output_chunks=out, **how).compute()
        if order < 2:
            np.testing.assert_array_equal(got, whole)
        else:
            loss = 1e-6 * max(1.0, float(np.abs(wide(source)).max())) + 1.0 * (source.dtype.kind in "biu")
            loss += np.finfo(source.dtype).eps * 3 if source.dtype.kind in "fc" else 0
            np.testing.assert_allclose(wide(got), wide(whole), rtol=0, atol=loss)


@pytest.mark.parametrize("seed", range(8))
def test_coordinates_filters_and_rotations_are_scipys(seed: int) -> None:
    """8 x 60 random cases of map_coordinates, spline_filter, spline_filter1d and rotate."""
    rng = np.random.default_rng(1000 + seed)
    for _ in range(60):
        ndim = int(rng.integers(1, 5))
        shape = tuple(int(n) for n in rng.integers(1, {1: 60, 2: 30, 3: 14, 4: 8}[ndim], ndim))
        source = rng.normal(size=shape)
        held = da.from_array(source, chunks=tuple(int(rng.integers(1, n + 1)) for n in shape))
        order, mode = int(rng.integers(0, 6)), str(rng.choice(list(BOUNDARY_MODES)))
        how: dict[str, Any] = {"order": order, "mode": mode, "cval": float(rng.choice([0, 3]))}
        loss = 1e-7 if order > 1 else 1e-12

        places = rng.uniform(-1, 2, (ndim, int(rng.integers(0, 9)), int(rng.integers(1, 9))))
        places *= np.array(shape).reshape(-1, 1, 1)
        if rng.random() < 0.3:
            places = np.round(places * 2) / 2
        got = ndinterp.map_coordinates(held, places, **how).compute()
        want = ndimage.map_coordinates(source, places, **how)
        np.testing.assert_allclose(got, want, rtol=0, atol=loss)
        if order < 2:
            np.testing.assert_array_equal(got, ndinterp.map_coordinates(source, places, **how).compute())

        filtered = ndinterp.spline_filter(held, order, mode=mode).compute()
        np.testing.assert_allclose(
            filtered, ndimage.spline_filter(source, order, mode=mode) if order > 1 else source, rtol=0, atol=1e-6
        )
        axis = int(rng.integers(-ndim, ndim))
        filtered = ndinterp.spline_filter1d(held, order, axis, mode=mode).compute()
        np.testing.assert_allclose(filtered, ndimage.spline_filter1d(source, order, axis, mode=mode), rtol=0, atol=1e-6)

        if ndim > 1:
            angle = float(rng.choice([0, 90, 180, -90, rng.uniform(-400, 400)]))
            plane, grows = tuple(int(a) for a in rng.permutation(ndim)[:2]), bool(rng.random() < 0.5)
            turned = ndinterp.rotate(held, angle, plane, grows, **how).compute()
            np.testing.assert_allclose(turned, ndimage.rotate(source, angle, plane, grows, **how), rtol=0, atol=1e-6)


def test_every_kind_of_input_gives_the_same_bits(hold: Hold, isa: str) -> None:
    """The same bits from numpy, dask, zarr and TensorStore, and with every instruction set."""
    rng = np.random.default_rng(5)
    source = rng.integers(0, 255, (40, 33, 50), dtype=np.uint8)
    held = hold(source, (16, 16, 16))
    matrix = np.linalg.qr(rng.normal(size=(3, 3)))[0]  # no value is halfway between two integers
    places = rng.uniform(-3, 50, (3, 7, 30))
    for order in (0, 1, 3):
        for mode in ("constant", "mirror", "grid-wrap"):
            got = ndinterp.affine_transform(held, matrix, (20, 2, -3), order=order, mode=mode).compute()
            want = ndimage.affine_transform(source, matrix, (20, 2, -3), order=order, mode=mode)
            np.testing.assert_array_equal(got, want)
            got = ndinterp.map_coordinates(held, places, order, mode).compute()
            np.testing.assert_array_equal(got, ndimage.map_coordinates(source, places, order=order, mode=mode))
    turned = ndinterp.rotate(held, 30, (0, 2), order=1).compute()
    np.testing.assert_array_equal(turned, ndimage.rotate(source, 30, (0, 2), order=1))
    coefficients = ndinterp.spline_filter(held).compute()
    np.testing.assert_allclose(coefficients, ndimage.spline_filter(source), rtol=0, atol=1e-6 * 255)


@pytest.mark.parametrize("order", range(6))
def test_instruction_sets_agree_to_the_bit(order: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import tinypyr

    rng = np.random.default_rng(order)
    for ndim, dtype in itertools.product((1, 2, 3), ("u1", "i2", "u4", "i8", "f4", "f8", "bool")):
        source = voxels(rng, (300, 40, 20)[:ndim], dtype)
        matrix = np.eye(ndim) if ndim == 1 else np.linalg.qr(rng.normal(size=(ndim, ndim)))[0]
        answers = []
        for name in tinypyr.instruction_sets():
            monkeypatch.setenv("TINYPYR_ISA", name)
            moved = ndinterp.affine_transform(source, matrix, 5.3, order=order, mode="reflect", output_chunks=-1)
            scaled = ndinterp.affine_transform(source, np.diag([0.7] * ndim), order=order, output_chunks=-1)
            answers.append((moved.compute(), scaled.compute()))
        for other in answers[1:]:
            for result, first in zip(other, answers[0], strict=True):
                np.testing.assert_array_equal(result.view(np.uint8), first.view(np.uint8))


# --- known faults of dask-image -----------------------------------------------------------------------------------


def test_order_0_keeps_64_bit_labels_exact(hold: Hold) -> None:
    labels = np.array([[2**64 - 1, 2**64 - 5, 2**53 + 1], [720575940621039145, 2**63 + 5, 7]], np.uint64)
    held = hold(labels, (1, 2))
    twice = ndinterp.affine_transform(held, [0.5, 0.5], -0.25, (4, 6), order=0, mode="nearest").compute()
    np.testing.assert_array_equal(twice, np.repeat(np.repeat(labels, 2, 0), 2, 1))
    np.testing.assert_array_equal(
        ndinterp.map_coordinates(held, [[0, 1], [1, 0]], 0).compute(), [labels[0, 1], labels[1, 0]]
    )
    assert (
        ndinterp.affine_transform(held, np.eye(2), 50, order=0, cval=2**64 - 1).compute().tolist()
        == [[2**64 - 1] * 3] * 2
    )
    negative = np.array([-(2**63), -(2**53) - 1, 2**63 - 1], np.int64)
    np.testing.assert_array_equal(ndinterp.affine_transform(negative, [1], order=0).compute(), negative)


def test_results_that_differ_only_in_order_have_different_names() -> None:
    image = da.from_array(np.random.default_rng(0).normal(size=(20, 20)), chunks=10)
    result = [ndinterp.affine_transform(image, np.eye(2), 0.4, order=order) for order in range(6)]
    result += [ndinterp.affine_transform(image, np.eye(2), 0.4, mode=mode, cval=1) for mode in ("mirror", "constant")]
    assert len({array.name for array in result}) == len(result)
    for together, array in zip(dask.compute(*result), result, strict=True):
        np.testing.assert_array_equal(together, array.compute())
    again = ndinterp.affine_transform(image, np.eye(2), 0.4, order=3)
    assert again.name == result[3].name


@pytest.mark.parametrize("grid", [(2, 1), (3, 2), (6, 2, 2), (2, 3)])
@pytest.mark.parametrize("mode", BOUNDARY_MODES)
def test_map_coordinates_works_for_any_grid_of_chunks(grid: tuple[int, ...], mode: str) -> None:
    rng = np.random.default_rng(1)
    source = rng.normal(size=tuple(6 * n for n in grid))
    places = rng.uniform(-10, 70, (len(grid), 500))
    for order in (0, 1, 3):
        got = ndinterp.map_coordinates(da.from_array(source, chunks=6), places, order, mode).compute()
        np.testing.assert_allclose(
            got, ndimage.map_coordinates(source, places, order=order, mode=mode), rtol=0, atol=1e-7
        )


def test_prefiltered_values_have_no_seams() -> None:
    rng = np.random.default_rng(2)
    source = rng.normal(size=(40, 40, 40))
    places = rng.uniform(0, 39, (3, 2000))
    got = ndinterp.map_coordinates(da.from_array(source, chunks=10), places).compute()
    np.testing.assert_allclose(got, ndimage.map_coordinates(source, places), rtol=0, atol=1e-7)


def test_filters_of_order_0_and_1_copy() -> None:
    image = np.arange(12).reshape(3, 4)
    for order in (0, 1):
        assert ndinterp.spline_filter(image, order).compute().tolist() == image.tolist()
        assert ndinterp.spline_filter1d(image, order, output=np.float32).compute().dtype == np.float32


def test_a_small_depth_makes_chunks_visible() -> None:
    image = da.from_array(np.random.default_rng(3).normal(size=(64, 64)), chunks=16)
    exact = ndimage.spline_filter(image.compute())
    assert 1e-5 < np.abs(ndinterp.spline_filter(image, depth=6).compute() - exact).max() < 1e-2
    assert np.abs(ndinterp.spline_filter(image).compute() - exact).max() < 1e-7


def test_float16_and_bool_are_supported() -> None:
    half = np.linspace(0, 8, 9).astype(np.float16)
    assert ndinterp.affine_transform(half, [1], 0.5).compute().tolist() == [*(i + 0.5 for i in range(8)), 0.0]
    truth = np.array([False, True, True, True])
    for order in (0, 1):
        want = ndimage.affine_transform(truth, [[1.0]], 0.4, order=order)
        assert ndinterp.affine_transform(truth, [[1.0]], 0.4, order=order).compute().tolist() == want.tolist()


def test_output_chunks_follow_the_input() -> None:
    image = da.zeros((30, 50), chunks=((10, 20), (25, 25)))
    assert ndinterp.affine_transform(image, np.eye(2)).chunks == image.chunks
    assert ndinterp.rotate(image, 90).chunks == ((20, 20, 10), (25, 5))
    assert ndinterp.affine_transform(image, np.eye(2), output_chunks=(7, 50)).chunksize == (7, 50)
    assert ndinterp.spline_filter(image).chunks == image.chunks
    large = np.broadcast_to(np.float32(0), (4096, 4096))
    assert ndinterp.affine_transform(large, np.eye(2)).npartitions > 1


@pytest.mark.parametrize("mode", BOUNDARY_MODES)
def test_integers_are_clipped_to_their_range(mode: str) -> None:
    """Splines overshoot, and no value wraps."""
    steps = np.repeat([0, 255, 0, 255], 6).astype(np.uint8)
    got = ndinterp.affine_transform(steps, [0.3], order=3, mode=mode, output_shape=(80,)).compute()
    exact = ndimage.affine_transform(steps.astype(float), [[0.3]], order=3, mode=mode, output_shape=(80,))
    np.testing.assert_allclose(got, np.clip(exact, 0, 255), rtol=0, atol=0.5 + 1e-4)
    assert exact.max() > 256


def test_memory_order_does_not_matter() -> None:
    image = np.random.default_rng(6).normal(size=(14, 15, 16))
    matrix = np.linalg.qr(np.random.default_rng(7).normal(size=(3, 3)))[0]
    for order in range(6):
        result = [
            ndinterp.affine_transform(held, matrix, (3, 9, 4), order=order).compute()
            for held in (
                image,
                np.asfortranarray(image),
                image[::-1].copy()[::-1],
                image.transpose(1, 2, 0).copy().transpose(2, 0, 1),
            )
        ]
        for other in result[1:]:
            np.testing.assert_array_equal(other, result[0])


def test_nan_does_not_propagate_where_its_weight_is_0() -> None:
    """The last voxel depends on itself and, in some modes, on the one before it."""
    image = np.arange(6.0)
    for bad in (0, 4):
        held = image.copy()
        held[bad] = np.nan
        for mode in BOUNDARY_MODES:
            for order in (0, 1):
                got = ndinterp.map_coordinates(held, [[5.0, 0.0]], order, mode).compute()
                want = ndimage.map_coordinates(held, [[5.0, 0.0]], order=order, mode=mode)
                np.testing.assert_array_equal(got, want, err_msg=f"{mode} {order} {bad}")


def test_coordinates_far_outside_equal_those_a_little_outside() -> None:
    image = np.random.default_rng(4).normal(size=20)
    places = [[3e15, -3e15, 1e16, -1e300, 40.0]]
    for order in range(6):
        got = ndinterp.map_coordinates(image, places, order, "nearest", 7).compute()
        want = ndimage.map_coordinates(image, [[60.0, -60, 60, -60, 40]], order=order, mode="nearest")
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)
    assert (ndinterp.affine_transform(image, [1], 1e17, order=3, mode="nearest", cval=7).compute() != 7).all()


def test_diagonal_and_permutation_matrices_of_many_dimensions() -> None:
    rng = np.random.default_rng(5)
    for ndim in (4, 5, 6):
        image = rng.integers(0, 255, (2,) * (ndim - 1) + (40,), dtype=np.uint8)
        matrix = np.diag([0.9] * (ndim - 1) + [0.83])
        for order in (0, 1):
            got = ndinterp.affine_transform(image, matrix, 0.04, order=order, mode="nearest").compute()
            want = ndimage.affine_transform(image, matrix, 0.04, order=order, mode="nearest")
            np.testing.assert_array_equal(got, want)


def test_tensorstore_arrays_may_start_at_any_index() -> None:
    handle = in_tensorstore(np.arange(120.0).reshape(10, 12), (5, 5))
    for view in (handle[2:8, 3:], handle[::2, ::-1], handle.translate_to[100, -7]):
        want = view.read().result()
        np.testing.assert_array_equal(ndinterp.affine_transform(view, [1, 1]).compute(), want)


def test_empty_chunks_and_filters_are_supported() -> None:
    assert ndinterp.spline_filter(np.zeros((0, 4))).compute().shape == (0, 4)
    assert ndinterp.spline_filter1d(da.zeros((4, 0)), axis=0).compute().shape == (4, 0)
    result = ndinterp.affine_transform(da.zeros((0, 4)), [1, 1], output_shape=(2, 3), cval=3)
    assert (result.compute() == 3).all()


def test_graphs_can_be_pickled() -> None:
    image = np.random.default_rng(8).normal(size=(20, 30))
    lazy = ndinterp.affine_transform(da.from_array(image, chunks=10), np.eye(2), 0.3, order=3, mode="mirror")
    places = ndinterp.map_coordinates(image, [[3.5, 10.25], [4, 5]])
    with dask.config.set(scheduler="processes", num_workers=2):
        moved, values = dask.compute(lazy, places)
    np.testing.assert_allclose(
        moved, ndimage.affine_transform(image, np.eye(2), 0.3, order=3, mode="mirror"), atol=1e-7
    )
    np.testing.assert_allclose(values, ndimage.map_coordinates(image, [[3.5, 10.25], [4, 5]]), rtol=0, atol=1e-9)


def test_homogeneous_matrices_override_the_offset() -> None:
    image = np.random.default_rng(0).normal(size=(9, 8))
    full = np.array([[0.9, 0.1, 1.5], [-0.1, 0.9, 2.5], [0, 0, 1]])
    want = ndimage.affine_transform(image, full, order=1)
    for arguments in (full, full[:2]):
        got = ndinterp.affine_transform(image, arguments, offset=99).compute()
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)


def test_nan_propagates_as_in_scipy() -> None:
    image = np.random.default_rng(0).normal(size=(12, 12))
    image[4, 5], image[8, 2], image[9, 9] = np.nan, np.inf, -np.inf
    for order in (0, 1):
        for offset in (0.0, 0.3):
            want = ndimage.affine_transform(image, np.eye(2), offset, order=order, mode="mirror")
            held = da.from_array(image, chunks=5)
            got = ndinterp.affine_transform(held, np.eye(2), offset, order=order, mode="mirror")
            np.testing.assert_allclose(got.compute(), want, rtol=0, atol=1e-12)


IMAGE = np.zeros((8, 8), np.uint8)
BAD: list[tuple[str, Callable[[], Any]]] = [
    ("order: 6", lambda: ndinterp.affine_transform(IMAGE, np.eye(2), order=6)),
    ("order: True", lambda: ndinterp.affine_transform(IMAGE, np.eye(2), order=True)),
    ("order: 1.5", lambda: ndinterp.map_coordinates(IMAGE, [[0], [0]], order=1.5)),  # type: ignore[arg-type]
    ("mode: 'bogus'", lambda: ndinterp.rotate(IMAGE, 3, mode="bogus")),
    ("mode: 'bogus'", lambda: ndinterp.spline_filter(IMAGE, mode="bogus")),
    ("prefilter: 1", lambda: ndinterp.affine_transform(IMAGE, np.eye(2), prefilter=1)),  # type: ignore[arg-type]
    ("cval: 'a'", lambda: ndinterp.affine_transform(IMAGE, np.eye(2), cval="a")),  # type: ignore[arg-type]
    ("cval: 1j", lambda: ndinterp.affine_transform(IMAGE, np.eye(2), cval=1j)),
    ("matrix: shape .4, 4. does not fit", lambda: ndinterp.affine_transform(IMAGE, np.eye(4))),
    ("matrix: .* not finite", lambda: ndinterp.affine_transform(IMAGE, np.array([[1, np.nan], [0, 1]]))),
    ("matrix: its last row", lambda: ndinterp.affine_transform(IMAGE, np.ones((3, 3)))),
    ("matrix: (?s:.*) real numbers", lambda: ndinterp.affine_transform(IMAGE, np.array([["a", "1"], ["0", "1"]]))),
    ("offset: ", lambda: ndinterp.affine_transform(IMAGE, np.eye(2), (1, 2, 3))),
    ("offset: .* not finite", lambda: ndinterp.affine_transform(IMAGE, np.eye(2), np.inf)),
    ("output_shape: ", lambda: ndinterp.affine_transform(IMAGE, np.eye(2), output_shape=(3,))),
    ("output_shape: ", lambda: ndinterp.affine_transform(IMAGE, np.eye(2), output_shape=(3, -1))),
    ("output_shape: ", lambda: ndinterp.affine_transform(IMAGE, np.eye(2), output_shape=(3, 2.5))),  # type: ignore
    ("output_chunks: ", lambda: ndinterp.affine_transform(IMAGE, np.eye(2), output_chunks=(3, 4, 5))),
    ("image: voxels of dtype object", lambda: ndinterp.affine_transform(np.array([[None]]), np.eye(2))),
    (
        "image: voxels of dtype (long|float128)",
        lambda: ndinterp.affine_transform(IMAGE.astype(np.longdouble), np.eye(2)),
    ),
    ("image: str", lambda: ndinterp.affine_transform("x.zarr", np.eye(2))),
    ("without dimensions", lambda: ndinterp.affine_transform(np.array(3.0), np.eye(1))),
    ("axes: ", lambda: ndinterp.rotate(IMAGE, 3, axes=(0,))),
    ("axes: ", lambda: ndinterp.rotate(IMAGE, 3, axes=(0, 5))),
    ("axes: .* same axis", lambda: ndinterp.rotate(IMAGE, 3, axes=(1, -1))),
    ("axes: ", lambda: ndinterp.rotate(IMAGE, 3, axes=(0, 0.5))),  # type: ignore[arg-type]
    ("cval: None", lambda: ndinterp.affine_transform(IMAGE, np.eye(2), cval=None)),  # type: ignore[arg-type]
    ("cval: 10+ ", lambda: ndinterp.affine_transform(IMAGE, np.eye(2), cval=10**400)),
    ("mode: ", lambda: ndinterp.affine_transform(IMAGE, np.eye(2), mode=["mirror"])),  # type: ignore[arg-type]
    ("matrix: .* not finite", lambda: ndinterp.affine_transform(IMAGE, np.array([[1e308, -1e308], [1, 1]]))),
    ("output_chunks: ", lambda: ndinterp.affine_transform(IMAGE, np.eye(2), output_chunks=(0, 0))),
    ("image: .*inhomogeneous", lambda: ndinterp.affine_transform([[1, 2], [3]], np.eye(2))),
    ("coordinates: .*inhomogeneous", lambda: ndinterp.map_coordinates(IMAGE, [[1, 2], [3]])),
    ("image: masked", lambda: ndinterp.affine_transform(np.ma.masked_greater(IMAGE, 4), np.eye(2))),
    (
        "image: the chunks of",
        lambda: ndinterp.affine_transform(da.ma.masked_greater(da.zeros((4, 4)), 4), np.eye(2)),
    ),
    ("angle: ", lambda: ndinterp.rotate(IMAGE, np.nan)),
    ("angle: ", lambda: ndinterp.rotate(IMAGE, "right")),  # type: ignore[arg-type]
    ("reshape: ", lambda: ndinterp.rotate(IMAGE, 3, reshape="no")),  # type: ignore[arg-type]
    ("input_arr: ", lambda: ndinterp.rotate(np.zeros(5), 3)),
    ("coordinates: shape .1, 2. does not fit", lambda: ndinterp.map_coordinates(IMAGE, [[0, 1]])),
    ("coordinates: .* finite", lambda: ndinterp.map_coordinates(IMAGE, [[0, np.nan], [0, 1]])),
    ("coordinates: dtype <U1", lambda: ndinterp.map_coordinates(IMAGE, [["a"], ["b"]])),
    ("axis: 2", lambda: ndinterp.spline_filter1d(IMAGE, axis=2)),
    ("depth: ", lambda: ndinterp.spline_filter(IMAGE, depth=-1)),
    ("depth: ", lambda: ndinterp.spline_filter(IMAGE, depth={3: 1})),
    ("output: ", lambda: ndinterp.spline_filter(IMAGE, output=np.zeros((8, 8)))),
    ("unexpected keyword", lambda: ndinterp.affine_transform(IMAGE, np.eye(2), bogus=1)),  # type: ignore[call-arg]
    ("unexpected keyword", lambda: ndinterp.spline_filter(IMAGE, bogus=1)),  # type: ignore[call-arg]
]


@pytest.mark.parametrize(("message", "call"), BAD)
def test_bad_arguments_are_refused_at_the_call_by_name(message: str, call: Callable[[], Any]) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        call()


@pytest.mark.parametrize("empty", [(0,), (3, 0), (0, 0, 2)])
def test_empty_arrays_are_supported(empty: tuple[int, ...]) -> None:
    result = ndinterp.affine_transform(np.zeros(empty), np.eye(len(empty)), output_shape=(2,) * len(empty), cval=7)
    assert (result.compute() == 7).all()
    none = ndinterp.affine_transform(np.zeros((3,) * len(empty)), np.eye(len(empty)), output_shape=empty)
    assert none.compute().shape == empty
    assert ndinterp.map_coordinates(np.zeros(4), np.zeros((1, 0))).compute().shape == (0,)


class Counting:
    """An array larger than memory that counts the voxels that are read."""

    def __init__(self, shape: tuple[int, ...], chunks: tuple[int, ...]) -> None:
        self.shape, self.chunks, self.dtype = shape, chunks, np.dtype(np.uint8)
        self.reads: list[tuple[slice, ...]] = []

    def __getitem__(self, box: tuple[slice, ...]) -> Array:
        self.reads.append(box)
        return np.ones([s.stop - s.start for s in box], np.uint8)


def test_each_chunk_with_coordinates_is_read_once() -> None:
    source = Counting((4096, 4096, 4096), (64, 64, 64))
    places = np.random.default_rng(0).uniform(1000, 1100, (3, 5000))
    got = ndinterp.map_coordinates(source, places, 1).compute()
    assert (got == 1).all()
    boxes = [tuple(s.start for s in box) for box in source.reads]
    assert len(boxes) == len(set(boxes)) == 27
    assert all(s.stop - s.start == 64 for box in source.reads for s in box)


def test_a_large_map_has_a_small_graph_and_takes_little_memory() -> None:
    """1024**3 voxels in chunks of 64**3: fewer than 10,000 tasks, and each holds only the part that it needs."""
    source = Counting((1024, 1024, 1024), (64, 64, 64))
    turn = np.array([[0.9, -0.3, 0.1], [0.3, 0.9, 0], [-0.1, 0, 1]])
    lazy = ndinterp.affine_transform(source, turn, (5, -7, 3), output_chunks=(64, 64, 64))
    assert lazy.npartitions == 16**3
    assert len(lazy.__dask_graph__()) < 10_000
    assert source.reads == []
    part = lazy.blocks[7, 7, 7]
    tracemalloc.start()
    part.compute()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    (box,) = source.reads
    needed = int(np.prod([s.stop - s.start for s in box]))
    assert needed < 4 * 64**3
    assert peak < 2 * needed + 4 * 64**3
    inside = da.from_array(np.zeros((256, 256, 256), np.uint8), chunks=32)
    tasks = ndinterp.affine_transform(inside, turn).__dask_graph__()
    assert len(tasks) < 2 * 8**3 + 10


def test_modes_that_reflect_or_wrap_read_little() -> None:
    """A chunk at the border reads the few voxels that those outside map to, not the whole axis."""
    for mode in BOUNDARY_MODES:
        source = Counting((100_000,), (1000,))
        ndinterp.affine_transform(source, [1.0], -500.0, (1000,), order=1, mode=mode).compute()
        assert sum(box[0].stop - box[0].start for box in source.reads) < 1200, mode
        source.reads.clear()
        ndinterp.affine_transform(source, [1.0], -50_500.0, (100,), order=3, mode=mode).compute()
        assert sum(box[0].stop - box[0].start for box in source.reads) < 300, mode


@pytest.mark.parametrize("depth", [[18], [18, 18, 18], (), np.array([18])])
def test_a_depth_of_another_length_is_refused(depth: Any) -> None:
    for function in (ndinterp.spline_filter, ndinterp.spline_filter1d):
        with pytest.raises(ValueError, match=r"depth: .* entries for an input of 2 dimensions"):
            function(da.zeros((32, 32), chunks=8), depth=depth)


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("chunks", [4, 7, None])
def test_a_matrix_with_fewer_columns_makes_an_output_of_fewer_dimensions(columns: int, order: int, chunks: Any) -> None:
    rng = np.random.default_rng(columns)
    image, matrix, offset = rng.random((12, 11, 10)), rng.random((3, columns)), rng.random(3)
    arguments: dict[str, Any] = {"offset": offset, "output_shape": (9, 8)[:columns], "order": order}
    source = image if chunks is None else da.from_array(image, chunks=chunks)
    got = ndinterp.affine_transform(source, matrix, **arguments)
    assert got.shape == (9, 8)[:columns]
    np.testing.assert_allclose(got.compute(), ndimage.affine_transform(image, matrix, **arguments), atol=1e-7)


def test_an_output_of_fewer_dimensions_needs_a_shape() -> None:
    with pytest.raises(ValueError, match=r"output_shape: \(4, 4\) has 2 entries for 1 axes"):
        ndinterp.affine_transform(np.zeros((4, 4)), [[1.0], [0.0]])


@pytest.mark.parametrize("order", range(6))
@pytest.mark.parametrize("dtype", ["float64", "uint8", "complex64"])
def test_the_coefficient_of_an_array_without_dimensions_is_its_voxel(order: int, dtype: str) -> None:
    got = ndinterp.spline_filter(np.array(7, dtype), order)
    assert got.shape == ()
    assert got.compute() == 7
