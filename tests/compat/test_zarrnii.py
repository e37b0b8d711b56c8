"""The names and keywords of zarrnii's multi-resolution plugins, with the values of tinypyr.multires."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinypyr
from tinypyr import multires

pytest.importorskip("tensorstore", reason="an extra of its own")
pytest.importorskip("scipy", reason="an extra of its own")
pytest.importorskip("dask.array", reason="an extra of its own")

import dask.array as da

from tinypyr import store
from tinypyr.compat import zarrnii
from tinypyr.compat.zarrnii import (
    GaussianBiasFieldCorrection,
    N4BiasFieldCorrection,
    ScaledProcessingPlugin,
    SegmentationCleaner,
    ZarrNii,
)

Array = np.ndarray[Any, Any]
IMAGE = np.random.default_rng(0).integers(1, 255, (12, 20, 24), dtype=np.uint8)
WANT = multires.apply_scaled_processing(
    IMAGE, multires.GaussianBiasFieldCorrection(sigma=2), 4, preserve_dtype=False, progress=False
)


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    store.build(IMAGE, tmp_path / "volume", levels=0, chunks=(8, 8, 8), progress=False)
    return tmp_path / "volume"


@pytest.mark.parametrize("use_temp_zarr", [True, False])
def test_a_store_an_array_and_a_dask_array_give_the_values_of_multires(volume: Path, use_temp_zarr: bool) -> None:
    sources = [ZarrNii.from_ome_zarr(volume), ZarrNii(IMAGE)]
    for source in sources:
        assert (source.shape, source.dtype) == (IMAGE.shape, IMAGE.dtype)
        result = source.apply_scaled_processing(
            GaussianBiasFieldCorrection(sigma=2.0), downsample_factor=4, use_temp_zarr=use_temp_zarr
        )
        assert isinstance(result, ZarrNii)
        assert result.dtype == np.float32, "the dtype that the plugin returns, not the source's"
        np.testing.assert_array_equal(result.data[...], WANT)
        np.testing.assert_array_equal(result.darr.compute(), WANT)


def test_a_class_takes_its_parameters_as_keywords() -> None:
    result = ZarrNii(IMAGE).apply_scaled_processing(GaussianBiasFieldCorrection, 4, (1, 32, 32, 32), sigma=2)
    np.testing.assert_array_equal(result.data[...], WANT)


def test_calls_can_be_chained_and_written(tmp_path: Path) -> None:
    plugin = GaussianBiasFieldCorrection(sigma=2.0)
    twice = ZarrNii(IMAGE).apply_scaled_processing(plugin).apply_scaled_processing(plugin, 2)
    want = multires.apply_scaled_processing(WANT, multires.GaussianBiasFieldCorrection(sigma=2), 2, progress=False)
    np.testing.assert_array_equal(twice.data[...], want)
    twice.to_ome_zarr(tmp_path / "made.ome.zarr", max_layer=1)
    levels = store.levels(tmp_path / "made.ome.zarr")
    assert len(levels) <= 2
    np.testing.assert_array_equal(levels[0].array.read().result(), want)


def test_the_grid_of_a_volume_is_kept(tmp_path: Path) -> None:
    grid = tinypyr.Grid(IMAGE.shape, scale=(4, 1, 1), units=["micrometer"] * 3)
    corrected = ZarrNii(IMAGE, grid).apply_scaled_processing(GaussianBiasFieldCorrection(2.0))
    assert corrected.grid == grid
    corrected.to_ome_zarr(tmp_path / "made", max_layer=0)
    (level,) = store.levels(tmp_path / "made")
    assert level.grid == grid


def test_the_field_is_kept_where_temp_zarr_path_says(volume: Path, tmp_path: Path) -> None:
    ZarrNii.from_ome_zarr(volume).apply_scaled_processing(
        GaussianBiasFieldCorrection(2.0), temp_zarr_path=tmp_path / "field"
    )
    (level,) = store.levels(tmp_path / "field")
    assert level.grid.shape == (3, 5, 6)


def test_temporary_fields_are_removed_with_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # (tempfile reads TMPDIR only once)
    result = ZarrNii(IMAGE).apply_scaled_processing(GaussianBiasFieldCorrection(2.0))
    assert list(tmp_path.iterdir())
    assert result.data[0, 0, 0] > 0
    del result
    assert not list(tmp_path.iterdir())


def test_nifti_files_are_read(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel", reason="an extra of its own")
    nibabel.save(nibabel.Nifti1Image(IMAGE.astype(np.int16), np.eye(4)), tmp_path / "volume.nii")
    result = ZarrNii.from_nifti(tmp_path / "volume.nii").apply_scaled_processing(GaussianBiasFieldCorrection(2.0))
    np.testing.assert_array_equal(result.data[...], WANT)


class Custom(ScaledProcessingPlugin):
    """Multiply by a constant.

    The second paragraph is not part of the description.
    """

    def __init__(self, param1: float = 1.0, **kwargs: Any) -> None:
        super().__init__(param1=param1, **kwargs)
        self.param1 = param1

    def lowres_func(self, lowres_array: Array) -> Array:
        return np.ones(lowres_array.shape) * self.param1

    def highres_func(self, fullres_array: Any, upsampled_output: Any) -> Any:
        return fullres_array * upsampled_output


def test_plugins_of_ones_own_have_name_description_and_params() -> None:
    plugin = Custom(param1=2.0)
    assert (plugin.name, plugin.description, plugin.params) == ("Custom", "Multiply by a constant.", {"param1": 2.0})
    assert repr(plugin) == "Custom(param1=2.0)"
    np.testing.assert_array_equal(ZarrNii(IMAGE).apply_scaled_processing(plugin).data[...], IMAGE * 2.0)


def test_built_in_plugins_have_attributes_and_reprs() -> None:
    gaussian, n4 = GaussianBiasFieldCorrection(3.0, "nearest"), N4BiasFieldCorrection(50.0, {"iters": [10]}, 2)
    assert zarrnii.BiasFieldCorrection is GaussianBiasFieldCorrection
    assert (gaussian.sigma, gaussian.mode) == (3.0, "nearest")
    assert repr(gaussian) == "GaussianBiasFieldCorrection(sigma=3.0, mode=nearest)"
    assert (n4.spline_spacing, n4.convergence, n4.shrink_factor) == (50.0, {"iters": [10], "tol": 1e-3}, 2)
    assert repr(n4) == (
        "N4BiasFieldCorrection(spline_spacing=50.0, convergence={'iters': [10], 'tol': 0.001}, shrink_factor=2)"
    )
    for plugin, name in ((gaussian, "Gaussian Bias Field Correction"), (n4, "N4 Bias Field Correction")):
        assert plugin.name == name
        assert plugin.scaled_processing_plugin_name() == name
        assert plugin.description == plugin.scaled_processing_plugin_description()
        assert plugin.description.startswith("Multi-resolution ")
        assert pickle.loads(pickle.dumps(plugin)).params == plugin.params


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("downsample_factor: 0 must be", lambda: ZarrNii(IMAGE).apply_scaled_processing(Custom, 0)),
        ("use_temp_zarr: 2 is neither", lambda: ZarrNii(IMAGE).apply_scaled_processing(Custom, use_temp_zarr=2)),  # type: ignore[arg-type]
        (
            "temp_zarr_path: no store is used",
            lambda: ZarrNii(IMAGE).apply_scaled_processing(Custom, use_temp_zarr=False, temp_zarr_path="x"),
        ),
        ("chunk_size: .0, 1.", lambda: ZarrNii(IMAGE).apply_scaled_processing(Custom, chunk_size=(0, 1))),
        ("params: .'sigma': 1. only applies", lambda: ZarrNii(IMAGE).apply_scaled_processing(Custom(), sigma=1)),
        ("plugin: 3 is not a plugin", lambda: ZarrNii(IMAGE).apply_scaled_processing(3)),
        ("source: list", lambda: ZarrNii([1, 2])),
        ("max_layer: -1", lambda: ZarrNii(IMAGE).to_ome_zarr("nowhere", max_layer=-1)),
        ("scaling_method: 'zoom'", lambda: ZarrNii(IMAGE).to_ome_zarr("nowhere", scaling_method="zoom")),
    ],
)
def test_bad_arguments_are_refused_by_name(message: str, call: Callable[[], Any]) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        call()


@pytest.mark.parametrize("plugin", ["name", 3, object(), np.sum])
def test_the_message_about_an_object_that_is_no_plugin_is_zarrniis(plugin: Any) -> None:
    message = "Plugin must have callable 'lowres_func' and 'highres_func' methods"
    with pytest.raises(TypeError, match=message):
        ZarrNii(IMAGE).apply_scaled_processing(plugin)


@pytest.mark.parametrize("plugin", [GaussianBiasFieldCorrection, N4BiasFieldCorrection, SegmentationCleaner])
@pytest.mark.parametrize(
    ("shape", "message"), [((0,), "is empty"), ((4, 0), "is empty"), ((3,), "must be at least 2D")]
)
def test_functions_called_alone_refuse_what_zarrnii_refuses(
    plugin: Callable[[], Any], shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=f"Input array {message}"):
        plugin().lowres_func(np.ones(shape))


@pytest.mark.parametrize("shape", [(20, 24), (10, 20, 24), (2, 10, 20, 24)])
def test_n4_alone_returns_a_positive_field_of_the_shape_of_its_argument(shape: tuple[int, ...]) -> None:
    pytest.importorskip("SimpleITK", reason="an extra of its own")
    image = np.full(shape, 100, np.float32)
    image[..., :12] = 50
    plugin = N4BiasFieldCorrection(convergence={"iters": [5], "tol": 0.01})
    field = plugin.lowres_func(image)
    assert field.shape == shape
    assert np.isfinite(field).all()
    assert (field > 0).all()
    np.testing.assert_array_equal(plugin.highres_func(image, field), image / field)


def test_n4_in_a_volume_evaluates_the_spline_of_multires() -> None:
    pytest.importorskip("SimpleITK", reason="an extra of its own")
    convergence = {"iters": [5], "tol": 0.01}
    want = multires.apply_scaled_processing(
        IMAGE, multires.N4BiasFieldCorrection(convergence=convergence), 2, preserve_dtype=False, progress=False
    )
    plugins: list[tuple[Any, dict[str, Any]]] = [
        (N4BiasFieldCorrection(convergence=convergence), {}),
        (N4BiasFieldCorrection, {"convergence": convergence}),
    ]
    for plugin, params in plugins:
        result = ZarrNii(IMAGE).apply_scaled_processing(plugin, 2, **params)
        np.testing.assert_array_equal(result.data.compute(), want)


@pytest.mark.parametrize("kind", [GaussianBiasFieldCorrection, N4BiasFieldCorrection])
def test_highres_functions_alone_are_lazy_and_leave_voxels_where_the_field_is_0(kind: Callable[[], Any]) -> None:
    voxels, field = np.full((8, 8), 100, np.float32), np.full((8, 8), 2, np.float32)
    field[0] = 0
    lazy = kind().highres_func(da.from_array(voxels, chunks=4), da.from_array(field, chunks=4))
    assert isinstance(lazy, da.Array)
    want = np.where(field == 0, 100, 50)
    np.testing.assert_array_equal(lazy.compute(), want)
    np.testing.assert_array_equal(kind().highres_func(voxels, field), want)


def test_sparse_objects_are_removed_and_compact_ones_kept() -> None:
    image = np.zeros((40, 40), np.uint8)
    image[4:8, 4:8] = 100
    image[12:36, 12] = image[12:36, 35] = image[12, 12:36] = image[35, 12:36] = 100
    want = np.where(np.arange(40)[:, np.newaxis] < 10, image, 0)
    plugin = SegmentationCleaner(mask_threshold=60, max_extent=0.2)
    assert repr(plugin) == "SegmentationCleaner(mask_threshold=60, max_extent=0.2, exclusion_threshold=50)"
    lazy = plugin.highres_func(da.from_array(image), da.from_array(plugin.lowres_func(image)))
    assert lazy.dtype == np.uint8
    np.testing.assert_array_equal(lazy.compute(), want)
    np.testing.assert_array_equal(ZarrNii(image).apply_scaled_processing(plugin, 1).data.compute(), want)
    channels = np.stack([image, np.full_like(image, 100)])
    volume = ZarrNii.from_darr(channels, axes_order="YX", spacing=(1, 1), origin=(0, 0))
    result = volume.apply_scaled_processing(plugin, 1).data.compute()
    np.testing.assert_array_equal(result, np.stack([want, channels[1]]), "each channel has objects of its own")


@pytest.mark.parametrize("params", [{"max_extent": 2}, {"max_extent": float("nan")}, {"mask_threshold": "a"}])
def test_bad_parameters_of_the_segmentation_cleaner_are_refused_by_name(params: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(params))}: "):
        SegmentationCleaner(**params)


def test_plugins_need_no_base_class() -> None:
    class Plain:
        @zarrnii.hookimpl
        def lowres_func(self, lowres: Array) -> Array:
            return np.full(lowres.shape, 3.0)

        @zarrnii.hookimpl
        def highres_func(self, full: Any, upsampled: Any) -> Any:
            return full * upsampled

    result = ZarrNii(IMAGE).apply_scaled_processing(Plain())
    np.testing.assert_array_equal(result.data.compute(), IMAGE * 3.0)


@pytest.mark.parametrize("chunk_size", [None, (16, 16, 16)])
def test_axes_spacing_and_orientation_of_arrays_are_kept(chunk_size: tuple[int, ...] | None) -> None:
    volume = ZarrNii.from_darr(
        da.from_array(IMAGE[np.newaxis, np.newaxis], chunks=(1, 1, 6, 10, 12)),
        spacing=(4, 1, 2),
        origin=(8, 0, 1),
        orientation="LPI",
    )
    result = volume.apply_scaled_processing(GaussianBiasFieldCorrection(2.0), 4, chunk_size=chunk_size)
    assert result.dims == ["t", "c", "z", "y", "x"]
    assert (result.axes_order, result.orientation) == ("ZYX", "LPI")
    assert (result.grid.scale[2:], result.grid.translation[2:]) == ((4, 1, 2), (8, 0, 1))
    np.testing.assert_array_equal(result.data.compute()[0, 0], WANT)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"dims": ["z", "y"]}, "dims"),
        ({"axes_order": "YX"}, "axes_order"),
        ({"spacing": (1, 1)}, "spacing"),
        ({"origin": (0,)}, "origin"),
    ],
)
def test_geometry_that_does_not_fit_an_array_is_refused_by_name(arguments: dict[str, Any], name: str) -> None:
    shape = (2, 2, 2, 8, 8) if name == "axes_order" else IMAGE.shape
    with pytest.raises(ValueError, match=f"{name}: "):
        ZarrNii.from_darr(np.zeros(shape), **arguments)


def test_the_field_of_an_array_is_kept_where_temp_zarr_path_says(tmp_path: Path) -> None:
    for source in (IMAGE, da.from_array(IMAGE, chunks=8)):
        path = tmp_path / type(source).__name__
        result = ZarrNii(source).apply_scaled_processing(GaussianBiasFieldCorrection(2.0), temp_zarr_path=path)
        (level,) = store.levels(path)
        assert level.grid.shape == (3, 5, 6)
        np.testing.assert_array_equal(result.data.compute(), WANT)
