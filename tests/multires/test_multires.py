"""Multi-resolution processing: ramps are reproduced exactly, results do not depend on blocks, integers are exact."""

from __future__ import annotations

import gzip
import inspect
import os
import pickle
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinypyr
from support.strategies import Counting
from tinypyr import Grid
from tinypyr.multires import (
    Applied,
    BackgroundSubtraction,
    Field,
    GaussianBiasFieldCorrection,
    N4BiasFieldCorrection,
    PercentileNormalization,
    PluginError,
    ScaledProcessingPlugin,
    apply_scaled_processing,
)
from tinypyr.multires.processing import plan_applied

Array = np.ndarray[Any, Any]

# these tests do not need the mean to be preserved
pytestmark = pytest.mark.filterwarnings("ignore:normalize. False leaves:UserWarning")


class Identity(ScaledProcessingPlugin):
    """A plugin that returns the field."""

    def lowres_func(self, lowres: Array) -> Array:
        return lowres

    def highres_func(self, fullres: Array, upsampled: Array) -> Array:
        return upsampled


def ramp(shape: tuple[int, ...]) -> Array:
    along = [weight * np.arange(n, dtype=np.float64) for n, weight in zip(shape, (16, -8, 4), strict=False)]
    return np.asarray(sum(np.ix_(*along)))


@pytest.mark.parametrize("factor", [2, 4, 8, (1, 2, 4), 3, 5, (3, 1, 2)])
@pytest.mark.parametrize("shape", [(40, 48, 56), (37, 41, 43)])
def test_a_ramp_is_reproduced_for_every_factor(factor: Any, shape: tuple[int, ...]) -> None:
    """The factors include other numbers than powers of two and one factor per axis; the last footprints are partial."""
    volume = ramp(shape)
    back = apply_scaled_processing(volume, Identity, factor)
    factors = (factor,) * 3 if isinstance(factor, int) else factor
    # where the field has voxels of whole footprints on both sides
    inner = tuple(slice(f - 1, n // f * f - f + 1) for n, f in zip(shape, factors, strict=True))
    exact = all(f & (f - 1) == 0 for f in factors)
    np.testing.assert_allclose(back[inner], volume[inner], rtol=0, atol=0 if exact else 1e-9)


def test_every_box_equals_that_part_of_the_whole() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 4096, (33, 47, 29), dtype=np.uint16)
    result = Applied(image, GaussianBiasFieldCorrection(sigma=2, normalize=True), (2, 4, 3))
    whole = result[...]
    assert whole.dtype == image.dtype
    np.testing.assert_array_equal(apply_scaled_processing(image, result._plugin.instance, (2, 4, 3)), whole)
    for _ in range(30):
        box = tuple(slice(*sorted(rng.choice(n + 1, 2, replace=False).tolist())) for n in image.shape)
        np.testing.assert_array_equal(result[box], whole[box])
    np.testing.assert_array_equal(result[5, ..., -3], whole[5, ..., -3])


@pytest.mark.parametrize("chunks", [(8, 8, 8), (16, 5, 30)])
def test_a_dask_array_gives_a_dask_array(chunks: tuple[int, ...]) -> None:
    da = pytest.importorskip("dask.array", reason="an extra of its own")
    image = np.random.default_rng(1).integers(0, 255, (20, 30, 30), dtype=np.uint8)
    want = apply_scaled_processing(image, GaussianBiasFieldCorrection, 2, params={"sigma": 3, "normalize": True})
    got = apply_scaled_processing(
        da.from_array(image, chunks=chunks), GaussianBiasFieldCorrection, 2, params={"sigma": 3, "normalize": True}
    )
    assert isinstance(got, da.Array)
    assert got.chunksize == chunks
    np.testing.assert_array_equal(got.compute(), want)


def test_a_matching_level_of_the_store_is_read_and_the_target_has_a_pyramid(tmp_path: Path) -> None:
    store = pytest.importorskip("tinypyr.store", reason="an extra of its own", exc_type=ImportError)
    image = np.random.default_rng(2).integers(0, 255, (40, 48, 56), dtype=np.uint8)
    grid = Grid(image.shape, scale=(3, 1, 1), units=["micrometer"] * 3)
    store.build(image, tmp_path / "image", grid=grid, factor=(1, 2, 2), levels=2, chunks=(16, 16, 16), progress=False)
    seen: list[Array] = []

    class Looks(GaussianBiasFieldCorrection):
        def lowres_func(self, lowres: Array) -> Array:
            assert self.lowres_grid is not None
            assert self.lowres_grid.shape == lowres.shape
            seen.append(lowres)
            return super().lowres_func(lowres)

    report = apply_scaled_processing(
        tmp_path / "image", Looks, (1, 4, 4), target=tmp_path / "made",
        levels=1, chunks=(8, 16, 24), progress=False, params={"sigma": 12, "units": "world", "normalize": True},
    )  # fmt: skip
    assert isinstance(report, store.Report)
    stored = [level.array.read().result() for level in store.levels(tmp_path / "image")]
    np.testing.assert_array_equal(seen[0], stored[2])
    levels = [level.array.read().result() for level in store.levels(tmp_path / "made")]
    want = apply_scaled_processing(
        image, GaussianBiasFieldCorrection, (1, 4, 4), lowres=stored[2], params={"sigma": (4, 3, 3), "normalize": True}
    )
    np.testing.assert_array_equal(levels[0], want)
    assert store.levels(tmp_path / "made")[0].grid == grid
    assert store.check(tmp_path / "made").ok
    again = apply_scaled_processing(tmp_path / "image", Looks, 2, lowres=1, params={"sigma": 1})
    assert isinstance(again, Applied)
    np.testing.assert_array_equal(seen[-1], stored[1])
    assert isinstance(again.field, Field)
    assert again.field.grid == grid.level((1, 2, 2))


class Tens(ScaledProcessingPlugin):
    """A plugin with a constant field."""

    def __init__(self, value: float, operation: str) -> None:
        super().__init__(value=value)
        self.operation = operation

    def lowres_func(self, lowres: Array) -> Array:
        return np.full(lowres.shape, self.params["value"])


@pytest.mark.parametrize(
    ("operation", "value", "want"),
    [
        ("multiply", 1.5, [0, 2, 3, 4, 255, 255]),  # 1.5 and 4.5 go to the even neighbour
        ("multiply", -1.0, [0, 0, 0, 0, 0, 0]),
        ("divide", 2.0, [0, 0, 1, 2, 100, 128]),
        ("divide", 0.0, [0, 1, 2, 3, 200, 255]),
        ("subtract", 2.5, [0, 0, 0, 0, 198, 252]),
        ("mask", 0.5, [0, 1, 2, 3, 200, 255]),
        ("mask", 0.49, [0, 0, 0, 0, 0, 0]),
    ],
)
def test_integers_are_rounded_half_to_even_and_stay_within_their_range(
    operation: str, value: float, want: list[int]
) -> None:
    values = np.array([0, 1, 2, 3, 200, 255], np.uint8)
    image = np.ones((4, 1), np.uint8) * values
    result = apply_scaled_processing(image, Tens(value, operation), 2)
    np.testing.assert_array_equal(result, np.ones((4, 1), np.uint8) * np.array(want, np.uint8))
    floats = apply_scaled_processing(image, Tens(value, operation), 2, preserve_dtype=False)
    assert floats.dtype == (np.uint8 if operation == "mask" else np.float32)


def test_a_known_field_is_removed() -> None:
    """The shading is smooth at low resolution; the result differs from the texture by less than a hundredth."""
    rng = np.random.default_rng(3)
    texture = 1000 + 30 * rng.normal(size=(16, 128, 128))
    y, x = np.ix_(np.linspace(-1, 1, 128), np.linspace(-1, 1, 128))
    shading = 1 + 0.3 * x - 0.2 * y * y
    image = np.rint(texture * shading).astype(np.uint16)
    result = apply_scaled_processing(
        image, GaussianBiasFieldCorrection, (1, 4, 4), params={"sigma": (8, 1.5, 1.5), "normalize": True}
    )
    ratio = result[:, 16:-16, 16:-16].mean(0) / texture[:, 16:-16, 16:-16].mean(0)
    remainder = tinypyr.downsample(ratio / ratio.mean(), 8)
    assert abs(remainder - 1).max() < 0.01
    assert abs(result.mean() / image.mean() - 1) < 0.01, "the volume keeps its own mean"


def test_a_background_is_subtracted() -> None:
    volume = np.full((24, 64, 64), 100, np.uint16) + np.arange(64, dtype=np.uint16)
    volume[12, 32, 32] = 500
    result = apply_scaled_processing(volume, BackgroundSubtraction, 4, params={"size": 3, "sigma": 0})
    assert 360 <= result[12, 32, 32] <= 400
    assert np.median(result) <= 8


@pytest.mark.parametrize(
    "plugin",
    [
        (lambda low: low * 0 + 2, lambda full, up: full / up),
        (lambda low: low * 0 + 2, "divide"),
        type("Hooks", (), {"lowres_func": lambda _, low: low * 0 + 2, "highres_func": lambda _, full, up: full / up})(),
        type("Hooks", (), {"lowres_func": lambda _, low: low * 0 + 2, "highres_func": lambda _, full, up: full / up}),
    ],
)
def test_anything_with_two_functions_is_a_plugin(plugin: Any) -> None:
    image = np.full((8, 8), 10, np.uint8)
    np.testing.assert_array_equal(apply_scaled_processing(image, plugin, 2), image // 2)


IMAGE = np.ones((8, 8), np.uint8)


def failing(low: Array) -> Array:
    raise ZeroDivisionError("nothing there")


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("plugin: 3 is not a plugin", lambda: apply_scaled_processing(IMAGE, 3)),
        ("plugin: dict has no lowres_func", lambda: apply_scaled_processing(IMAGE, dict)),
        ("plugin: its operation 'add'", lambda: apply_scaled_processing(IMAGE, (np.copy, "add"))),
        (
            "params: .* only applies to a class of plugins, but .* is an object",
            lambda: apply_scaled_processing(IMAGE, (np.copy, "divide"), params={"sigma": 1}),
        ),
        ("sigma: -1", lambda: apply_scaled_processing(IMAGE, GaussianBiasFieldCorrection, params={"sigma": -1})),
        ("source: shape .8,. is not supported", lambda: apply_scaled_processing(IMAGE[0], Identity)),
        ("source: shape .0, 8. is not supported", lambda: apply_scaled_processing(IMAGE[:0], Identity)),
        ("source: dtype complex128 is not supported", lambda: apply_scaled_processing(IMAGE * 1j, Identity)),
        ("factor: 0 must be 1 or more", lambda: apply_scaled_processing(IMAGE, Identity, 0)),
        ("factor: ", lambda: apply_scaled_processing(IMAGE, Identity, 1.5)),
        (
            "lowres: its shape is .3, 3., but factor .2, 2. gives .4, 4.",
            lambda: apply_scaled_processing(IMAGE, Identity, 2, lowres=np.ones((3, 3))),
        ),
        (
            "lowres: there is no level 1",
            lambda: apply_scaled_processing(IMAGE, Identity, 2, lowres=1),
        ),
        (
            "preserve_dtype: 2",
            lambda: apply_scaled_processing(IMAGE, Identity, 2, preserve_dtype=2),  # type: ignore[arg-type]
        ),
        ("levels: 1 needs a target", lambda: apply_scaled_processing(IMAGE, Identity, 2, levels=1)),
        ("codec: 'zstd' needs a target", lambda: apply_scaled_processing(IMAGE, Identity, 2, codec="zstd")),
        ("chunks: .* needs a target", lambda: apply_scaled_processing(IMAGE, Identity, 2, chunks=(4, 4))),
        ("engine: 'processes' needs a target", lambda: apply_scaled_processing(IMAGE, Identity, engine="processes")),
        ("field: 3 is neither a path", lambda: apply_scaled_processing(IMAGE, Identity, field=3)),  # type: ignore[arg-type]
        ("params: 3 is not a dict", lambda: apply_scaled_processing(IMAGE, Identity, params=3)),  # type: ignore[arg-type]
        ("mask, exclude: only one", lambda: apply_scaled_processing(IMAGE, Identity, 1, mask=IMAGE, exclude=IMAGE)),
        ("mask: its shape is .3, 3.", lambda: apply_scaled_processing(IMAGE, Identity, 2, mask=np.ones((3, 3)))),
        ("exclude: its shape is .3, 3.", lambda: apply_scaled_processing(IMAGE, Identity, 2, exclude=np.ones((3, 3)))),
        ("order: 9", lambda: apply_scaled_processing(IMAGE, Identity, 2, order=9)),
        ("failing: lowres_func failed: ZeroDivisionError", lambda: apply_scaled_processing(IMAGE, (failing, "divide"))),
        ("lowres_func returned float64 of shape ..", lambda: apply_scaled_processing(IMAGE, (np.mean, "divide"))),
        (
            r"highres_func failed at \[0:8, 0:8\]: ValueError",
            lambda: apply_scaled_processing(IMAGE, (np.copy, lambda full, up: full.reshape(3))),
        ),
        (
            r"highres_func returned uint8 of shape \(8,\) at \[0:8, 0:8\]; it must return real numbers",
            lambda: apply_scaled_processing(IMAGE, (np.copy, lambda full, up: full[0])),
        ),
    ],
)
def test_bad_arguments_are_refused_by_name(message: str, call: Callable[[], Any]) -> None:
    with pytest.raises((ValueError, TypeError, PluginError), match=message):
        call()


def test_reads_are_limited_for_a_large_volume() -> None:
    source = Counting((2048, 1024, 1024))
    result = Applied(source, (np.copy, "multiply"), 16)
    assert source.most == 0
    result.prepare()
    assert source.most <= 1 << 24
    source.most = 0
    assert (result[100:400, 200:600, 0:500] == 1).all()
    assert source.most <= 1 << 24


# ------------------------------------------------------------------------------- the core's pass, and numpy's

ROUNDED = ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32")


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("operation", ["divide", "multiply", "subtract", "mask"])
@pytest.mark.parametrize("dtype", [*ROUNDED, "float64"])
def test_the_core_equals_numpy_to_the_bit(dtype: str, operation: str, order: int) -> None:
    """Results are computed in doubles, rounded half to even and clipped, for any memory order and fields with zeros."""
    if order > 1:
        pytest.importorskip("scipy", reason="its filters make splines")
    rng = np.random.default_rng(4)
    image = (rng.random((21, 30, 70)) * (1 if dtype == "bool" else 120)).round().astype(dtype)
    field = rng.random((6, 8, 18)) * 3 - 0.5
    field[2, 3, 4:9] = 0
    plugin = lambda low: field, operation
    for source in (image, np.asfortranarray(image), image[::-1, :, ::-1]):
        result = Applied(source, plugin, 4, order=order)
        got, up = result[...], result.upsampled[0][...]
        full = source.astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            exact = {
                "divide": np.where(up == 0, full, full / up),
                "multiply": full * up,
                "subtract": full - up,
                "mask": np.where(up >= 0.5, full, 0),
            }[operation]
            if np.dtype(dtype).kind in "iu":
                info = np.iinfo(dtype)
                exact = np.clip(np.rint(exact), float(info.min), float(info.max))
            want = exact >= 1 if dtype == "bool" and operation == "mask" else exact
            want = np.rint(exact) >= 1 if dtype == "bool" else want.astype(dtype)
        np.testing.assert_array_equal(got, want)


def test_a_mask_keeps_64_bit_labels_exact() -> None:
    labels = np.full((8, 8), 2**64 - 5, np.uint64)
    result = apply_scaled_processing(labels, (lambda low: np.indices(low.shape)[1] % 2, "mask"), 2, order=0)
    np.testing.assert_array_equal(result[0], np.repeat(np.array([0, 2**64 - 5, 0, 2**64 - 5], np.uint64), 2))


@pytest.mark.parametrize("factor", [2, 3, 4, 8, (1, 2, 4)])
def test_a_ramp_of_integers_is_reproduced_exactly(factor: Any) -> None:
    """The result is exact even for a factor of three, although a third is not a float."""
    volume = np.asarray(sum(np.ix_(*(24 * np.arange(n) for n in (48, 53, 61)))), np.uint16)
    factors = (factor,) * 3 if isinstance(factor, int) else factor
    inner = tuple(slice(f - 1, n // f * f - f + 1) for n, f in zip(volume.shape, factors, strict=True))
    low = tinypyr.downsample(volume.astype(np.float64), factors)
    back = apply_scaled_processing(volume, Identity, factor, lowres=low)
    np.testing.assert_array_equal(back[inner], volume[inner])


def test_one_factor_and_one_sigma_leave_channels_separate() -> None:
    rng = np.random.default_rng(5)
    image = rng.integers(1, 255, (3, 24, 24), dtype=np.uint8)
    grid = Grid(image.shape, axes="cyx")
    result = Applied(image, GaussianBiasFieldCorrection(sigma=2), 4, source_grid=grid, preserve_dtype=False)
    assert isinstance(result.field, Field)
    assert result.field.grid.shape == (3, 6, 6)
    for channel in range(3):
        alone = apply_scaled_processing(image[channel], GaussianBiasFieldCorrection(sigma=2), 4, preserve_dtype=False)
        np.testing.assert_array_equal(result[channel], alone)


# ------------------------------------------------------------------------------------------ the other plugins


def test_percentiles_are_mapped_to_the_given_values() -> None:
    rng = np.random.default_rng(6)
    volume = rng.integers(1000, 3000, (12, 40, 40), dtype=np.uint16)
    volume[6:] //= 2
    result = apply_scaled_processing(
        volume, PercentileNormalization, (1, 1, 1), params={"low": 2, "high": 98, "to": (100, 200)}
    )
    ends = np.percentile(volume, (2, 98))
    want = np.rint(np.clip(100 + (volume - ends[0]) / (ends[1] - ends[0]) * 100, 0, None))
    np.testing.assert_array_equal(result, want.astype(np.uint16))
    each = apply_scaled_processing(
        volume,
        PercentileNormalization,
        1,
        preserve_dtype=False,
        params={"low": 2, "high": 98, "to": (0, 1), "along": "z"},
    )
    np.testing.assert_allclose(np.percentile(each, (2, 98), axis=(1, 2)), np.outer([0, 1], np.ones(12)), atol=1e-12)
    masked = apply_scaled_processing(
        volume,
        PercentileNormalization,
        1,
        preserve_dtype=False,
        mask=volume * 0 + (volume < 1200),
        params={"to": (0, 1)},
    )
    inside = np.percentile(volume[volume < 1200], (1, 99))
    np.testing.assert_allclose(masked, (volume - inside[0]) / (inside[1] - inside[0]))


def test_voxels_outside_a_mask_do_not_contribute() -> None:
    pytest.importorskip("scipy", reason="an extra of its own")
    image = np.full((32, 64), 100, np.uint8)
    image[:, 32:] = 0  # no tissue there
    mask = image > 0
    result = Applied(image, GaussianBiasFieldCorrection(sigma=3), 1, mask=mask)
    assert isinstance(result.field, Field)
    np.testing.assert_allclose(result.field.values[:, :32], 100, rtol=1e-5)
    floor = Applied(image, BackgroundSubtraction(size=9, sigma=0), 1, mask=mask)
    np.testing.assert_array_equal(floor[:, :32], 0)


def test_exclude_is_the_inverse_of_mask(tmp_path: Path) -> None:
    """Both arguments give the same voxels, for arrays and for stores."""
    store = pytest.importorskip("tinypyr.store", reason="an extra of its own", exc_type=ImportError)
    image = np.random.default_rng(17).random((16, 16))
    counts = (image > 0.5).astype(np.uint8) * 7
    excluded = (counts == 0).astype(np.uint8) * 3
    want = apply_scaled_processing(image, PercentileNormalization, 1, mask=counts)
    assert (want != apply_scaled_processing(image, PercentileNormalization, 1)).any()
    np.testing.assert_array_equal(apply_scaled_processing(image, PercentileNormalization, 1, exclude=excluded), want)
    store.build(excluded, tmp_path / "excluded", levels=0, progress=False)
    got = apply_scaled_processing(image, PercentileNormalization, 1, exclude=tmp_path / "excluded")
    np.testing.assert_array_equal(got, want)


def test_a_pair_of_functions_gets_the_mask_as_an_argument() -> None:
    image = np.arange(64, dtype=np.float64).reshape(8, 8)
    mask = np.zeros((4, 4), bool)
    mask[1, 1] = True

    def takes(low: Array, lowres_mask: Array) -> Array:
        return np.full(low.shape, low[lowres_mask].mean())

    result = apply_scaled_processing(image, (takes, lambda full, up: up), 2, mask=mask)
    np.testing.assert_array_equal(result, image[2:4, 2:4].mean())
    with pytest.raises(TypeError, match="mask: lowres_func of copy has no parameter lowres_mask"):
        apply_scaled_processing(image, (np.copy, "divide"), 2, mask=mask)


def test_a_plugin_may_use_methods_of_dask_arrays() -> None:
    pytest.importorskip("dask.array", reason="an extra of its own")
    image = np.full((16, 16), 8, np.uint8)

    def low(lowres: Array) -> Array:
        return lowres * 0 + 2

    def high(full: Any, up: Any) -> Any:
        return full.map_blocks(lambda a, b: a / b, up, dtype=np.float64)

    np.testing.assert_array_equal(apply_scaled_processing(image, (low, high), 2), image // 2)
    with pytest.raises(PluginError, match="object has no attribute 'nothing'"):
        apply_scaled_processing(image, (low, lambda full, up: full.nothing()), 2)


def test_a_dask_array_is_read_only_when_it_is_computed() -> None:
    da = pytest.importorskip("dask.array", reason="an extra of its own")
    image = np.random.default_rng(7).integers(1, 255, (20, 33, 41), dtype=np.uint8)
    read: list[int] = []

    def noted(block: Array) -> Array:
        read.append(block.size)
        return block

    for chunks in ((20, 33, 41), (7, 11, 41), (3, 5, 8)):
        for factor in (1, 4, (2, 3, 5)):
            source = da.from_array(image, chunks=chunks).map_blocks(noted, dtype=image.dtype, meta=image[:0])
            result = apply_scaled_processing(source, (lambda low: low + 1.0, "divide"), factor)
            read.clear()
            assert result.chunks == source.chunks
            assert not read
            want = apply_scaled_processing(image, (lambda low: low + 1.0, "divide"), factor)
            np.testing.assert_array_equal(result.compute(scheduler="threads"), want)
            assert read
    cut = apply_scaled_processing(source, (np.copy, "divide"), 2, chunks=(5, 33, 20))
    assert cut.chunksize == (5, 33, 20)


# ---------------------------------------------------------------------------------------------------------- N4


def shading(shape: tuple[int, ...], strength: float = 0.2) -> Array:
    """Return a smooth field with a mean near 1."""
    z, y, x = np.ix_(*(np.linspace(-1, 1, n) for n in shape))
    return np.asarray(np.exp(strength * (x - 0.5 * y * y + 0.4 * z * x + 0.3 * np.sin(2 * y))))


def test_n4_evaluates_the_spline_of_simpleitk() -> None:
    """At the voxels of the low resolution, and between them."""
    sitk = pytest.importorskip("SimpleITK", reason="an extra of its own")
    rng = np.random.default_rng(8)
    shape = (16, 40, 48)
    image = (1000 + 30 * rng.normal(size=shape) + 400 * (rng.random(shape) > 0.5)) * shading(shape)
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    low = sitk.GetImageFromArray(image.astype(np.float32))
    n4.SetMaximumNumberOfIterations([20, 20])
    n4.SetConvergenceThreshold(1e-4)
    n4.SetNumberOfControlPoints([6, 5, 4])
    n4.Execute(low)
    log = sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(low))
    params: dict[str, Any] = {"spline_spacing": 20, "convergence": {"iters": [20, 20], "tol": 1e-4}}
    result = Applied(image, N4BiasFieldCorrection(**params), 1)
    np.testing.assert_allclose(result.upsampled[0][...], log, atol=2e-5)
    np.testing.assert_allclose(result[...], image / np.exp(log), rtol=2e-5)
    # samples at half the distance, which SimpleITK evaluates for a larger image
    fine = Grid([2 * n - 1 for n in shape], scale=(0.5,) * 3)
    assert isinstance(result.field, Field)
    ours = tinypyr.resample(
        result.field.values, fine, order=3, anti_aliasing=False, source_grid=result.field.grid, prefilter=False
    )
    large = sitk.Image([2 * n - 1 for n in reversed(shape)], sitk.sitkFloat32)
    np.testing.assert_allclose(ours, sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(large)), atol=5e-5)


@pytest.mark.parametrize("shape", [(16, 96, 96), (96, 96), (1, 96, 96)])
def test_n4_removes_a_known_field(shape: tuple[int, ...]) -> None:
    pytest.importorskip("SimpleITK", reason="an extra of its own")
    rng = np.random.default_rng(9)
    texture = 1000 + 20 * rng.normal(size=shape) + 300 * (rng.random(shape) > 0.5)
    field = shading((1, *shape)[-3:]).reshape(shape)
    factor = tuple(min(2, n) for n in shape)
    n4 = N4BiasFieldCorrection(spline_spacing=50, convergence={"iters": [50, 50, 50], "tol": 1e-6})
    result = apply_scaled_processing(texture * field, n4, factor)
    remainder = result / apply_scaled_processing(texture, n4, factor)  # the texture is not uniform, either
    assert np.std(remainder) / np.mean(remainder) < 0.005
    assert np.std(field) / np.mean(field) > 0.05


def test_n4_refuses_volumes_and_parameters_by_name() -> None:
    pytest.importorskip("SimpleITK", reason="an extra of its own")
    image = np.ones((8, 8, 8, 8))
    with pytest.raises(ValueError, match="N4 needs two or three axes"):
        apply_scaled_processing(image, N4BiasFieldCorrection, 2, source_grid=Grid(image.shape, axes="wzyx"))
    with pytest.raises(ValueError, match=r"spline_spacing: 0\.1 needs"):
        apply_scaled_processing(image[0], N4BiasFieldCorrection, 2, params={"spline_spacing": 0.1})
    with pytest.raises(PluginError, match="no voxel above 0"):
        apply_scaled_processing(image[0] * 0, N4BiasFieldCorrection, 2)
    bad: list[dict[str, Any]] = [{"spline_spacing": -1}, {"shrink_factor": 0}, {"convergence": {"iters": []}}]
    for params in bad:
        with pytest.raises(ValueError, match=next(iter(params))):
            N4BiasFieldCorrection(**params)


# ------------------------------------------------------------------------------------------------- out of core


def stored(path: Any, number: int = 0) -> Array:
    from tinypyr import store

    return np.asarray(store.levels(path)[number].array.read().result())


@pytest.fixture
def em(tmp_path: Path) -> tuple[Path, Array]:
    """Return a store without levels, and its voxels."""
    store = pytest.importorskip("tinypyr.store", reason="an extra of its own", exc_type=ImportError)
    image = np.random.default_rng(10).integers(1, 4000, (40, 52, 61), dtype=np.uint16)
    store.build(image, tmp_path / "em", levels=0, chunks=(16, 16, 16), progress=False)
    return tmp_path / "em", image


CASES: list[tuple[Any, dict[str, Any]]] = [
    (GaussianBiasFieldCorrection, {"sigma": 2.0, "normalize": True}),
    (PercentileNormalization, {"along": "z"}),
    (BackgroundSubtraction, {"size": 3}),
]


@pytest.mark.parametrize("engine", ["threads", "processes"])
@pytest.mark.parametrize(("plugin", "params"), CASES, ids=lambda case: getattr(case, "__name__", ""))
def test_results_are_bit_identical_for_every_engine_and_chunk(
    em: tuple[Path, Array], tmp_path: Path, engine: str, plugin: Any, params: dict[str, Any]
) -> None:
    source, image = em
    want = apply_scaled_processing(image, plugin, (2, 4, 3), params=params)
    cases: list[tuple[Any, dict[str, Any]]] = [((16, 16, 16), {"block": "64KiB"}), ((7, 52, 9), {"codec": "raw"})]
    for number, (chunks, options) in enumerate(cases):
        target = tmp_path / f"made{number}"
        report = apply_scaled_processing(
            source, plugin, (2, 4, 3), target=target, chunks=chunks, engine=engine, levels=1,
            progress=False, params=params, **options,
        )  # fmt: skip
        np.testing.assert_array_equal(stored(target), want)
        np.testing.assert_array_equal(stored(target, 1), tinypyr.downsample(want, report.plan.factors[0]))
        assert sorted(path.name for path in target.iterdir()) == ["0", "1", "zarr.json"], "nothing is left behind"


def test_a_saved_plan_is_run_in_parts(em: tuple[Path, Array], tmp_path: Path) -> None:
    """The commands run the parts; the field is computed once, by the process that creates the plan."""
    from tinypyr.cli import main

    source, image = em
    target, file = tmp_path / "made", tmp_path / "plan.json"
    command = ["apply", str(source), str(target), "--plugin", "percentile", "--factor", "2", "--block", "64KiB"]
    command += ["--chunks", "16,16,16", "--param", "low=5"]
    assert main([*command, "--plan"]) == 0
    assert not target.exists()
    assert main([*command, "--plan-file", str(file), "--progress", "none"]) == 0
    for part in ("1/2", "2/2"):
        assert main(["run", str(file), "--part", part, "--progress", "none"]) == 0
    assert main(["finalize", str(file)]) == 0
    want = apply_scaled_processing(image, PercentileNormalization, 2, params={"low": 5})
    np.testing.assert_array_equal(stored(target), want)
    assert main([*command, "--progress", "none"]) == 0, "made before"


TIMES: list[int] = []


class Counted(GaussianBiasFieldCorrection):
    def lowres_func(self, lowres: Array) -> Array:
        TIMES.append(1)
        return super().lowres_func(lowres)


def test_an_interrupted_build_resumes(em: tuple[Path, Array], tmp_path: Path) -> None:
    """The field and finished blocks are not computed again, and another plugin is refused."""
    from support.stores import threads_after
    from tinypyr import store

    source, image = em
    options: dict[str, Any] = {"target": tmp_path / "made", "chunks": (16, 16, 16), "progress": False}
    options["block"] = "64KiB"
    TIMES.clear()
    blocks: list[int] = []

    def interrupt(number: int) -> None:
        if len(blocks) == 3:
            raise KeyboardInterrupt
        blocks.append(number)

    engine = threads_after(interrupt)
    with pytest.raises(KeyboardInterrupt):
        apply_scaled_processing(source, Counted, 4, workers=1, engine=engine, **options, params={"sigma": 2})
    with pytest.raises(store.StoreError, match=r"another build has begun there .params: .*'sigma': 2"):
        apply_scaled_processing(source, Counted, 4, **options, params={"sigma": 3})
    report = apply_scaled_processing(source, Counted, 4, **options, params={"sigma": 2})
    assert len(TIMES) == 1
    assert report.blocks_kept == 3
    want = apply_scaled_processing(image, GaussianBiasFieldCorrection, 4, params={"sigma": 2})
    np.testing.assert_array_equal(stored(tmp_path / "made"), want)
    second = apply_scaled_processing(source, Counted, 4, **options, params={"sigma": 2})
    assert second.already_complete
    assert len(TIMES) == 1


def test_a_kept_field_is_reused_for_the_same_source_and_plugin(em: tuple[Path, Array], tmp_path: Path) -> None:
    from tinypyr import store

    source, image = em
    kept = tmp_path / "field"
    options: dict[str, Any] = {"field": kept, "params": {"sigma": 2.0}}
    result = apply_scaled_processing(source, GaussianBiasFieldCorrection, 4, progress=False, **options)
    want = apply_scaled_processing(image, GaussianBiasFieldCorrection, 4, params={"sigma": 2.0})
    np.testing.assert_array_equal(result[...], want)
    (level,) = store.levels(kept)
    assert level.grid == result.grid.level(4)
    second = Applied(source, (np.copy, "divide"), 4, field=kept)
    with pytest.raises(store.StoreError, match="holds the field of another"):
        second.prepare()
    source_again = apply_scaled_processing(source, GaussianBiasFieldCorrection, 4, progress=False, **options)
    np.testing.assert_array_equal(source_again[3:9, 4, :], want[3:9, 4, :])
    chunk = next(path for path in (source / "0").rglob("*") if path.is_file() and path.name != "zarr.json")
    chunk.write_bytes(chunk.read_bytes())
    with pytest.raises(store.StoreError, match="holds the field of another"):
        apply_scaled_processing(source, GaussianBiasFieldCorrection, 4, progress=False, **options)


def test_temporary_fields_are_removed(em: tuple[Path, Array], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, image = em
    (tmp_path / "temp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temp"))  # (tempfile reads TMPDIR only once)
    result = apply_scaled_processing(source, GaussianBiasFieldCorrection, 4, field=True, progress=False)
    assert list((tmp_path / "temp").iterdir())
    assert result[0, 0, 0] >= 0
    del result
    assert not list((tmp_path / "temp").iterdir())
    apply_scaled_processing(image, GaussianBiasFieldCorrection, 4, field=True)
    assert not list((tmp_path / "temp").iterdir())


def test_a_field_may_be_held_in_memory_during_a_build(em: tuple[Path, Array], tmp_path: Path) -> None:
    from tinypyr import store

    source, image = em
    result = Applied(source, GaussianBiasFieldCorrection, 4, field=False, target=tmp_path / "made")
    assert result.recipe()["field"] is None
    assert Applied(source, GaussianBiasFieldCorrection, 4, target=tmp_path / "made").recipe()["field"] is not None
    apply_scaled_processing(
        source, GaussianBiasFieldCorrection, 4, field=False, target=tmp_path / "made", levels=0, progress=False
    )
    np.testing.assert_array_equal(
        stored(tmp_path / "made"), apply_scaled_processing(image, GaussianBiasFieldCorrection, 4)
    )
    with pytest.raises(store.StoreError, match="field: other processes need the field in a store"):
        apply_scaled_processing(
            source, GaussianBiasFieldCorrection, 4, field=False, target=tmp_path / "t", engine="processes"
        )


def test_other_processes_need_an_importable_plugin(em: tuple[Path, Array], tmp_path: Path) -> None:
    from tinypyr import store

    source, _ = em
    for plugin in ((np.copy, lambda full, up: full), Identity(array=np.ones(3))):
        with pytest.raises(store.StoreError, match="cannot be recreated by other processes"):
            apply_scaled_processing(source, plugin, 4, target=tmp_path / "made", engine="processes")
    with pytest.raises(store.StoreError, match="an array in memory"):
        apply_scaled_processing(np.ones((8, 8)), Identity, 2, target=tmp_path / "made", engine="processes")
    assert not (tmp_path / "made" / "zarr.json").exists()


def test_a_low_resolution_larger_than_the_memory_is_mapped_from_a_file(
    em: tuple[Path, Array], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, image = em
    seen: list[bool] = []

    class Looks(GaussianBiasFieldCorrection):
        def lowres_func(self, lowres: Array) -> Array:
            result = super().lowres_func(lowres)
            seen.append(isinstance(lowres, np.memmap) and isinstance(result, np.memmap))
            return result

    result = Applied(source, Looks(sigma=2, normalize=True), 1, memory="1MiB")
    want = apply_scaled_processing(image, GaussianBiasFieldCorrection, 1, params={"sigma": 2, "normalize": True})
    np.testing.assert_array_equal(result[...], want)
    assert seen == [True]


def test_nifti_files_are_read_with_their_grid_and_scaling(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel", reason="an extra of its own")
    store = pytest.importorskip("tinypyr.store", reason="an extra of its own", exc_type=ImportError)
    voxels = np.random.default_rng(11).integers(1, 4000, (30, 36, 42)).astype(np.int16)
    image = nibabel.Nifti1Image(voxels, np.array([[0.5, 0, 0, 7], [0, 0.5, 0, -3], [0, 0, 2, 1], [0, 0, 0, 1]]))
    image.header.set_xyzt_units("mm", "sec")
    want = apply_scaled_processing(voxels, GaussianBiasFieldCorrection, (2, 2, 1), params={"sigma": 2})
    for name in ("volume.nii", "volume.nii.gz"):
        nibabel.save(image, tmp_path / name)
        result = apply_scaled_processing(tmp_path / name, GaussianBiasFieldCorrection, (2, 2, 1), params={"sigma": 2})
        assert (result.grid.scale, result.grid.translation) == ((0.5, 0.5, 2), (7, -3, 1))
        assert result.grid.units == ("millimeter",) * 3
        np.testing.assert_array_equal(result[...], want)
        target = tmp_path / f"{name}.ome.zarr"
        apply_scaled_processing(
            tmp_path / name, GaussianBiasFieldCorrection, (2, 2, 1), target=target, engine="processes",
            progress=False, params={"sigma": 2},
        )  # fmt: skip
        axes = store.levels(target)[0].grid.axes
        np.testing.assert_array_equal(stored(target).transpose([axes.index(axis) for axis in "xyz"]), want)
    np.testing.assert_array_equal(apply_scaled_processing(image, Identity, 1)[...], voxels)
    report = store.build(tmp_path / "volume.nii", tmp_path / "built", levels=1, progress=False)
    assert report.plan.grids[0].units == ("millimeter",) * 3
    scaled = nibabel.Nifti1Image(voxels, np.diag([-1.0, 1, 1, 1]))
    scaled.header.set_slope_inter(0.5, 10)
    nibabel.save(scaled, tmp_path / "scaled.nii")
    result = Applied(tmp_path / "scaled.nii", Identity, 1)
    assert result.dtype == np.float64
    np.testing.assert_allclose(result[...], np.asanyarray(nibabel.load(tmp_path / "scaled.nii").dataobj))
    (tmp_path / "none.nii").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"source: .*none.nii cannot be read as NIfTI"):
        Applied(tmp_path / "none.nii", Identity)


def test_damaged_nifti_files_are_refused(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel", reason="an extra of its own")
    store = pytest.importorskip("tinypyr.store", reason="an extra of its own", exc_type=ImportError)
    voxels = np.random.default_rng(11).integers(1, 4000, (20, 20, 20)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / "whole.nii")
    raw = (tmp_path / "whole.nii").read_bytes()
    packed = bytearray(gzip.compress(raw, 0))
    packed[len(packed) // 2] ^= 4  # stored, not deflated, so that only the checksum detects the change
    (tmp_path / "flipped.nii.gz").write_bytes(packed)
    (tmp_path / "cut.nii.gz").write_bytes(gzip.compress(raw)[:-200])
    for name in ("flipped.nii.gz", "cut.nii.gz"):
        with pytest.raises(store.StoreError, match=f"{name} is damaged"):
            store.build(tmp_path / name, tmp_path / "t", levels=0, progress=False)
        shutil.rmtree(tmp_path / "t")
    (tmp_path / "short.nii").write_bytes(raw[:1000])
    with pytest.raises(ValueError, match=r"short\.nii has 1000 bytes, but its header describes \(20, 20, 20\) voxels"):
        store.plan(tmp_path / "short.nii", tmp_path / "t")
    view = tinypyr.Resampled(tmp_path / "whole.nii", tinypyr.Grid((10, 10, 10), "xyz", (2.0,) * 3, (0.5,) * 3))
    assert store.build(view, tmp_path / "t", levels=0, progress=False).blocks_done == 1


class Exits(ScaledProcessingPlugin):
    """A plugin that calls sys.exit."""

    def lowres_func(self, lowres: Array) -> Any:
        if self.params["early"]:
            sys.exit("early")
        return np.ones_like(lowres)

    def highres_func(self, fullres: Array, upsampled: Any) -> Array:
        sys.exit(3)


@pytest.mark.parametrize("engine", ["threads", "processes"])
def test_a_plugin_that_exits_is_a_failed_block(engine: str, em: tuple[Path, Array], tmp_path: Path) -> None:
    store = pytest.importorskip("tinypyr.store", reason="an extra of its own", exc_type=ImportError)
    with pytest.raises(PluginError, match="lowres_func failed: SystemExit: early"):
        apply_scaled_processing(
            em[0], Exits, target=tmp_path / "t", progress=False, engine=engine, params={"early": True}
        )
    with pytest.raises(store.BuildError) as raised:
        apply_scaled_processing(
            em[0], Exits, target=tmp_path / "u", progress=False, engine=engine, params={"early": False}
        )
    assert all(
        "highres_func failed at" in why and "SystemExit: 3" in why for why in raised.value.report.failed.values()
    )


def test_the_command_applies_plugins(
    em: tuple[Path, Array], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tinypyr.cli import main

    source, image = em
    target, png = tmp_path / "made", tmp_path / "made.png"
    command = ["apply", str(source), str(target), "--plugin", "gaussian-bias", "--progress", "none"]
    assert main([*command, "--param", "sigma=[2,3,3]", "--param", "normalize=true", "--picture", str(png)]) == 0
    np.testing.assert_array_equal(
        stored(target),
        apply_scaled_processing(image, GaussianBiasFieldCorrection, params={"sigma": (2, 3, 3), "normalize": True}),
    )
    assert png.read_bytes().startswith(b"\x89PNG")
    own = [*command[:2], str(tmp_path / "own"), "--plugin", f"{__name__}:Identity", "--factor", "1"]
    assert main([*own, "--order", "0", "--no-preserve-dtype"]) == 0
    np.testing.assert_array_equal(stored(tmp_path / "own"), image)
    capsys.readouterr()
    for arguments, status, message in [
        (["--plugin", "tiles"], 2, "--plugin: 'tiles' is not one of gaussian-bias, n4"),
        (["--plugin", "no.such:Plugin"], 2, "--plugin: no.such:Plugin cannot be imported"),
        (["--plugin", "background", "--param", "sizes=3"], 2, "unexpected keyword argument 'sizes'"),
        (["--plugin", "background", "--param", "size=0"], 2, "size: 0 is not a number of voxels"),
        (["--plugin", "gaussian-bias", "--factor", "0"], 2, "factor: "),
        (["--plugin", "percentile", "--param", "along=q"], 2, "along: 'q' is not one of the axes"),
    ]:
        assert main(["apply", str(source), str(tmp_path / "bad"), *arguments]) == status
        assert message in capsys.readouterr().err
        assert not (tmp_path / "bad" / "zarr.json").exists()


def test_workers_of_a_cluster_give_the_same_voxels(em: tuple[Path, Array], tmp_path: Path) -> None:
    """They read the field from its store, and import the plugin by name."""
    distributed = pytest.importorskip("distributed", reason="an optional engine")
    source, image = em
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        for number, (plugin, params) in enumerate(CASES):
            apply_scaled_processing(
                source, plugin, (2, 4, 3), target=tmp_path / f"{number}", engine=client, progress=False, params=params,
                block="64KiB",
            )  # fmt: skip
            want = apply_scaled_processing(image, plugin, (2, 4, 3), params=params)
            np.testing.assert_array_equal(stored(tmp_path / f"{number}"), want)


def test_memory_stays_within_the_limit(tmp_path: Path) -> None:
    """A volume of twenty times the limit; anonymous memory is counted by the kernel."""
    pytest.importorskip("tinypyr.store", reason="an extra of its own", exc_type=ImportError)
    if not Path("/proc/self/status").exists():
        pytest.skip("memory is counted by Linux")
    script = """
import sys, threading, time
import numpy as np
from tinypyr.multires import GaussianBiasFieldCorrection, apply_scaled_processing

def anonymous():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))

class Volume:
    shape, dtype, chunks = (320, 1024, 1024), np.dtype(np.uint16), (64, 64, 64)
    def __getitem__(self, box):
        z, y, x = (np.arange(s.start, s.stop).astype(np.uint16) for s in box)
        return 1000 + (z[:, None, None] // 8 + y[:, None] // 16 + x // 16)

def correct(volume, target, **how):
    apply_scaled_processing(
        volume, GaussianBiasFieldCorrection(sigma=2), 4, target=sys.argv[1] + target, progress=False, workers=2,
        levels=1, **how,
    )

correct(np.ones((64, 64, 64), np.uint16), "/small")
before, most, ended = anonymous(), 0, False

def watch():
    global most
    while not ended:
        most = max(most, anonymous())
        time.sleep(0.002)

watcher = threading.Thread(target=watch)
watcher.start()
correct(Volume(), "/large", memory="32MiB")
ended = True
watcher.join()
print(most - before)
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, capture_output=True, text=True)
    # TensorStore has a few MiB of buffers of its own
    assert int(done.stdout) < (32 << 20) + (16 << 20)


# -------------------------------------------------------------------------------------------------- regressions


class Times(ScaledProcessingPlugin):
    """A plugin with state that is not in its params."""

    def __init__(self, k: float = 1) -> None:
        super().__init__()
        self.k = k

    def lowres_func(self, lowres: Array) -> Array:
        return np.ones(lowres.shape)

    def highres_func(self, fullres: Array, upsampled: Array) -> Array:
        return fullres * upsampled * self.k


def test_state_outside_params_is_part_of_the_identity(em: tuple[Path, Array], tmp_path: Path) -> None:
    """Other processes cannot recreate it, and another state is another build."""
    from tinypyr import store

    source, image = em
    with pytest.raises(store.StoreError, match="Times cannot be recreated by other processes"):
        apply_scaled_processing(source, Times(3), 2, target=tmp_path / "made", engine="processes")
    apply_scaled_processing(source, Times(3), 2, target=tmp_path / "made", progress=False, levels=1)
    np.testing.assert_array_equal(stored(tmp_path / "made"), image * 3)
    with pytest.raises(store.StoreError, match="exists already"):
        apply_scaled_processing(source, Times(2), 2, target=tmp_path / "made", progress=False, levels=1)
    kept = tmp_path / "field"
    for k in (2.0, 5.0):
        plugin = (lambda low, k=k: np.full(low.shape, k)), "multiply"
        if k == 2:
            result = apply_scaled_processing(source, plugin, 2, field=kept, progress=False)
            np.testing.assert_array_equal(result[...], image * 2)
        else:
            with pytest.raises(store.StoreError, match="holds the field of another"):
                apply_scaled_processing(source, plugin, 2, field=kept, progress=False)


def test_a_plugin_cannot_write_to_the_callers_array() -> None:
    volume = np.ones((8, 8))

    def doubles(full: Array, up: Array) -> Array:
        full *= 2
        return full

    with pytest.raises(PluginError, match="read-only"):
        apply_scaled_processing(volume, (np.copy, doubles), 2)
    assert (volume == 1).all()


def test_a_field_is_not_kept_inside_another_store(em: tuple[Path, Array], tmp_path: Path) -> None:
    from tinypyr import store

    source, _ = em
    before = sorted(path for path in source.rglob("*"))
    for place in (source, source / "0" / "field"):
        with pytest.raises(ValueError, match=r"field: .* is inside the source, or contains it"):
            Applied(source, Identity, 2, field=place)
    with pytest.raises(ValueError, match=r"field: .* is inside the target, or contains it"):
        apply_scaled_processing(source, Identity, 2, target=tmp_path / "t", field=tmp_path / "t")
    store.build(np.ones((8, 8)), tmp_path / "other", levels=0, progress=False)
    for _ in range(2):
        with pytest.raises(store.StoreError, match="exists already and is not a field"):
            Applied(source, Identity, 2, field=tmp_path / "other").prepare()
    assert sorted(path for path in source.rglob("*")) == before
    Applied(source, Identity, 2, field=tmp_path / "field").prepare()
    next(path for path in (tmp_path / "field" / "0" / "c").rglob("*") if path.is_file()).unlink()
    with pytest.raises(store.StoreError, match="chunks of the field are missing"):
        Applied(source, Identity, 2, field=tmp_path / "field").prepare()


def test_a_temporary_field_exists_as_long_as_it_is_referenced() -> None:
    pytest.importorskip("tinypyr.store", reason="an extra of its own", exc_type=ImportError)
    image = np.ones((8, 8))
    plugin = (lambda low: np.full(low.shape, 2.0)), "divide"
    field = Applied(image, plugin, 4, field=True).field
    assert isinstance(field, Field)
    assert (field.values.read().result() == 2).all()
    assert (Applied(image, plugin, 4, field=True).upsampled[0][...] == 2).all()


def test_threads_share_one_computation_of_the_field() -> None:
    result: list[int] = []

    def low(lowres: Array) -> Array:
        result.append(1)
        return lowres

    applied = Applied(np.ones((32, 32)), (low, "multiply"), 2)
    threads = [threading.Thread(target=lambda: applied[0:8]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(result) == 1


def test_a_voxel_offset_aligns_the_low_resolution() -> None:
    grid = Grid((16, 18), voxel_offset=(5, 3))
    image = np.random.default_rng(12).random((16, 18))
    result = Applied(image, (lambda low: low, lambda full, up: up), 4, source_grid=grid)
    assert isinstance(result.field, Field)
    np.testing.assert_allclose(result.field.values, tinypyr.downsample(image, 4, voxel_offset=(5, 3)))
    want = tinypyr.resample(
        result.field.values, grid, source_grid=result.field.grid, anti_aliasing=False, mode="nearest"
    )
    np.testing.assert_allclose(result[...], want)


def test_32_bit_images_are_averaged_if_the_store_records_them_as_images(tmp_path: Path) -> None:
    """An array without such a record is taken for labels, as in build."""
    store = pytest.importorskip("tinypyr.store", reason="an extra of its own", exc_type=ImportError)
    image = np.full((16, 16, 4), 1000, np.uint32)
    image[::2] = 3000
    store.build(image, tmp_path / "image", levels=0, method="mean", format="precomputed", progress=False)
    report = apply_scaled_processing(
        tmp_path / "image",
        (lambda low: low / low.mean(), "divide"),
        2,
        target=tmp_path / "made",
        levels=1,
        progress=False,
    )
    assert report.plan.method == "mean"
    assert (stored(tmp_path / "made") > 0).all()
    seen: list[Array] = []
    apply_scaled_processing(image, (lambda low: seen.append(low) or low, "divide"), 2)  # type: ignore[func-returns-value]
    assert (seen[0] == 3000).all(), "of an array, modes (the first of two as frequent)"


def test_voxels_outside_a_mask_may_be_nan() -> None:
    image = np.random.default_rng(13).random((32, 32)).astype(np.float32) + 1
    image[:8] = np.nan
    for plugin in (GaussianBiasFieldCorrection(2.0), BackgroundSubtraction(3), PercentileNormalization()):
        result = apply_scaled_processing(image, plugin, 1, mask=np.isfinite(image))
        assert np.isfinite(result[8:]).all()


@pytest.mark.parametrize("value", [1, 255])
def test_level_0_of_a_mask_in_a_store_is_read(value: int, tmp_path: Path) -> None:
    store = pytest.importorskip("tinypyr.store", reason="an extra of its own", exc_type=ImportError)
    mask = np.zeros((32, 32), np.uint8)
    mask[:, 16:] = value
    store.build(mask, tmp_path / "mask", levels=3, factor=2, chunks=(16, 16), method="mean", progress=False)
    seen: list[Array] = []

    def low(lowres: Array, lowres_mask: Array) -> Array:
        seen.append(lowres_mask)
        return lowres

    apply_scaled_processing(np.ones((32, 32)), (low, "divide"), 4, mask=tmp_path / "mask")
    np.testing.assert_array_equal(seen[0], np.arange(8) >= np.full((8, 1), 4))


def test_n4_estimates_a_field_for_each_channel() -> None:
    pytest.importorskip("SimpleITK", reason="an extra of its own")
    rng = np.random.default_rng(14)
    image = np.stack([(1000 + 20 * rng.normal(size=(48, 56))) * shading((1, 48, 56), s)[0] for s in (0.1, 0.4, 0.2)])
    n4 = N4BiasFieldCorrection(spline_spacing=40, convergence={"iters": [20], "tol": 1e-4})
    result = Applied(image, n4, 2, source_grid=Grid(image.shape, axes="cyx"))[...]
    for channel, alone in zip(result, image, strict=True):
        np.testing.assert_allclose(channel, apply_scaled_processing(alone, n4, 2), rtol=1e-6)


def test_each_channel_keeps_its_own_mean() -> None:
    image = np.stack([np.full((32, 32), mean) for mean in (50.0, 200.0)])
    result = Applied(
        image, GaussianBiasFieldCorrection(2.0, normalize=True), 2, source_grid=Grid(image.shape, axes="cyx")
    )
    np.testing.assert_allclose(result[...], image, rtol=1e-6)


def test_a_warning_says_that_integers_become_near_1() -> None:
    with pytest.warns(UserWarning, match="normalize: False leaves uint8 near 1"):
        apply_scaled_processing(IMAGE, GaussianBiasFieldCorrection, 2)


@pytest.mark.parametrize("dtype", ["float16", "bool"])
@pytest.mark.parametrize("plugin", [GaussianBiasFieldCorrection, BackgroundSubtraction, PercentileNormalization])
def test_rare_dtypes_get_the_values_of_float32(plugin: Any, dtype: str) -> None:
    image = (np.random.default_rng(15).random((16, 16)) > 0.5).astype(dtype)
    result = apply_scaled_processing(image, plugin, 1)
    assert result.dtype == image.dtype
    want = apply_scaled_processing(image.astype(np.float32), plugin, 1)
    np.testing.assert_allclose(result.astype(np.float32), want > 0.5 if dtype == "bool" else want, atol=2e-3)


def test_a_lazy_view_as_source_keeps_its_grid(tmp_path: Path) -> None:
    image = np.random.default_rng(16).random((16, 16))
    grid = Grid((16, 16), scale=(4, 4))
    view = tinypyr.Resampled(image, grid, source_grid=grid)
    result = Applied(Applied(view, (lambda low: low * 0 + 2, "divide"), 2), (lambda low: low * 0 + 2, "divide"), 4)
    assert result.grid == grid
    np.testing.assert_array_equal(result[...], image / 4)


def test_tasks_of_dask_do_not_contain_the_source() -> None:
    da = pytest.importorskip("dask.array", reason="an extra of its own")
    cloudpickle = pytest.importorskip("cloudpickle", reason="comes with dask")
    image = np.zeros((64, 256, 256), np.uint8)
    result = apply_scaled_processing(da.from_array(image, chunks=(16, 128, 128)), (np.copy, "divide"), 2)
    last = [task for key, task in dict(result.__dask_graph__()).items() if key[0] == result.name]
    assert len(last) == 16
    assert max(len(cloudpickle.dumps(task)) for task in last) < 100_000
    whole = Applied(image[:2], (np.copy, "divide"), 1)
    assert pickle.loads(pickle.dumps(Applied(image[:2], GaussianBiasFieldCorrection(1.0), 1))).shape == whole.shape


def test_nan_becomes_0_in_integers() -> None:
    image = np.ones((8, 8), np.int32)
    result = apply_scaled_processing(image, (np.copy, lambda full, up: np.where(full > 0, np.nan, 1.0)), 2)
    assert (result == 0).all()
    with pytest.raises(PluginError, match="highres_func returned complex128"):
        apply_scaled_processing(image, (np.copy, lambda full, up: full * 1j), 2)


def test_an_incomplete_field_of_a_random_plugin_is_replaced(em: tuple[Path, Array], tmp_path: Path) -> None:
    from tinypyr.store import running

    source, image = em
    plugin = (lambda low: 2 + np.random.default_rng().random(low.shape) * 1e-9), "divide"

    def interrupted(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "merge", interrupted)
        with pytest.raises(KeyboardInterrupt):
            Applied(source, plugin, 2, field=tmp_path / "field").prepare()
    result = Applied(source, plugin, 2, field=tmp_path / "field")
    np.testing.assert_allclose(result[...], image / 2, atol=0.5)


def test_the_command_creates_nothing_on_errors(
    em: tuple[Path, Array], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Modules of the current folder can be imported."""
    from tinypyr.cli import main

    source, image = em
    target = tmp_path / "made"
    own = tmp_path / "here"
    own.mkdir()
    (own / "halves.py").write_text(
        "from tinypyr.multires import ScaledProcessingPlugin\n"
        "class Halves(ScaledProcessingPlugin):\n"
        "    def lowres_func(self, lowres):\n"
        "        return lowres * 0.0 + 2\n"
        "    def highres_func(self, fullres, upsampled):\n"
        "        return fullres / upsampled\n"
    )
    (own / "broken.py").write_text("def :\n")
    command = [sys.executable, "-c", "import sys; sys.path.remove(''); from tinypyr.cli import main; sys.exit(main())"]
    command += ["apply", str(source), str(target), "--levels", "0", "--engine", "processes", "--plugin"]
    done = subprocess.run([*command, "broken:Plugin"], cwd=own, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--plugin: broken:Plugin cannot be imported: SyntaxError" in done.stderr
    subprocess.run([*command, "halves:Halves"], cwd=own, check=True, capture_output=True)
    np.testing.assert_array_equal(stored(target), np.rint(image / 2).astype(np.uint16))
    for arguments, message in [
        (["--picture", str(tmp_path / "none" / "x.png")], "--picture: .* cannot be written"),
        (["--picture", str(tmp_path / "x.jpg")], "--picture: .* does not end in .png"),
        (["--plan-file", str(tmp_path / "none" / "plan.json")], "--plan-file: .* cannot be written"),
        (["--plan", "--plan-file", str(tmp_path / "plan.json")], "--plan, --plan-file"),
        (["--blocks", "99"], "blocks: 99 is none of"),
        (["--scheduler", "tcp://127.0.0.1:1"], "--scheduler: only dask has a scheduler"),
        (["--param", "sigma=1,2"], "sigma: .1, 2. has 2 numbers, but the volume has 3 axes"),
        (["--param", "normalize=yes"], "normalize: 'yes' is neither True nor False"),
        (["--param", "mode=foo"], "mode: 'foo' is not a boundary mode"),
        (["--factor", "4,4"], "factor: .4, 4. is not one number for each"),
    ]:
        assert main(["apply", str(source), str(tmp_path / "bad"), "--plugin", "gaussian-bias", *arguments]) == 2
        assert re.search(message, capsys.readouterr().err), arguments
        assert not (tmp_path / "bad").exists(), arguments
    with pytest.raises(ValueError, match=r"target: .*x\.nii\.gz: NIfTI is read, and not written"):
        apply_scaled_processing(source, Identity, 2, target=tmp_path / "x.nii.gz")


class Keeps(ScaledProcessingPlugin):
    """A plugin with a set among its constants."""

    def lowres_func(self, lowres: Array) -> Array:
        return lowres * (1.0 if self.params["a"] in {"one", "two", "three", "four"} else 2.0)

    def highres_func(self, fullres: Array, upsampled: Array) -> Array:
        return upsampled


def test_the_identity_of_a_plugin_is_the_same_in_other_processes() -> None:
    """It does not depend on the order of sets, or on whether equal strings are one object."""
    script = (
        "import sys; sys.path[:0] = sys.argv[1:]; from test_multires import Keeps; "
        "from tinypyr.multires.adapter import PluginAdapter; "
        "plugin = PluginAdapter.of(Keeps, {'a': 'one', 'b': 'one'}); print(plugin.identity, plugin.code)"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script, str(Path(__file__).parent), str(Path(__file__).parents[1])],
            check=True, capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2", "3")
    }  # fmt: skip
    assert len(outputs) == 1
    assert outputs.pop().split()[1] == "test_multires:Keeps"


def test_reprs_are_readable(tmp_path: Path) -> None:
    image = np.ones((8, 6), np.uint8)
    plugin = GaussianBiasFieldCorrection(sigma=2.0, normalize=True)
    assert repr(plugin) == "GaussianBiasFieldCorrection(sigma=2.0, mode='reflect', units='voxel', normalize=True)"
    assert repr(Applied(image, plugin, (2, 3))) == (
        "Applied(GaussianBiasFieldCorrection, an array, factor=(2, 3), 8 x 6 voxels, uint8)"
    )


def test_no_parameter_is_hidden() -> None:
    """Editors and type checkers see every parameter, and `Applied` has those of the function that it needs."""
    for function in (apply_scaled_processing, Applied, tinypyr.resample, tinypyr.resample_like, tinypyr.Resampled):
        kinds = {parameter.kind for parameter in inspect.signature(function).parameters.values()}
        assert not kinds & {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}, function
    names = set(inspect.signature(apply_scaled_processing).parameters)
    assert set(inspect.signature(Applied).parameters) <= names
    assert list(inspect.signature(plan_applied).parameters) == [
        name for name in inspect.signature(plan_applied).parameters if name in names
    ]
    like = dict(inspect.signature(tinypyr.resample_like).parameters)
    other, like["grid"] = like.pop("other"), inspect.signature(tinypyr.resample).parameters["grid"]
    assert other.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert like == dict(inspect.signature(tinypyr.resample).parameters)
