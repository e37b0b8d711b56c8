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

from tinypyr import store
from tinypyr.compat import zarrnii
from tinypyr.compat.zarrnii import (
    GaussianBiasFieldCorrection,
    N4BiasFieldCorrection,
    ScaledProcessingPlugin,
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
    assert repr(gaussian) == "GaussianBiasFieldCorrection(sigma=3.0, mode='nearest')"
    assert (n4.spline_spacing, n4.convergence, n4.shrink_factor) == (50.0, {"iters": [10], "tol": 1e-3}, 2)
    assert repr(n4) == (
        "N4BiasFieldCorrection(spline_spacing=50.0, convergence={'iters': [10], 'tol': 0.001}, shrink_factor=2)"
    )
    for plugin, name in ((gaussian, "Gaussian Bias Field Correction"), (n4, "N4 Bias Field Correction")):
        assert plugin.name == name
        assert plugin.description.startswith("Divide a volume by")
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


@pytest.mark.parametrize(
    ("shape", "message"), [((0,), "is empty"), ((4, 0), "is empty"), ((3,), "must be at least 2D")]
)
def test_functions_called_alone_refuse_what_zarrnii_refuses(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=f"Input array {message}"):
        GaussianBiasFieldCorrection().lowres_func(np.ones(shape))
