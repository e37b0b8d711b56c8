"""Computed at low resolution, applied at full: ramps come back exactly, nothing depends on cuts, integers are kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinypyr
from strategies import Counting
from tinypyr import Grid
from tinypyr.multires import (
    Applied,
    BackgroundSubtraction,
    GaussianBiasFieldCorrection,
    PluginError,
    ScaledProcessingPlugin,
    apply_scaled_processing,
)

Array = np.ndarray[Any, Any]


class Identity(ScaledProcessingPlugin):
    """The field itself."""

    def lowres_func(self, lowres: Array) -> Array:
        return lowres

    def highres_func(self, fullres: Array, upsampled: Array) -> Array:
        return upsampled


def ramp(shape: tuple[int, ...]) -> Array:
    along = [weight * np.arange(n, dtype=np.float64) for n, weight in zip(shape, (16, -8, 4), strict=False)]
    return np.asarray(sum(np.ix_(*along)))


@pytest.mark.parametrize("factor", [2, 4, 8, (1, 2, 4), 3, 5, (3, 1, 2)])
@pytest.mark.parametrize("shape", [(40, 48, 56), (37, 41, 43)])
def test_a_ramp_comes_back(factor: Any, shape: tuple[int, ...]) -> None:
    """The half voxel between levels, factors that are no powers of two, one per axis, partial blocks at the end."""
    volume = ramp(shape)
    back = apply_scaled_processing(volume, Identity, factor)
    factors = (factor,) * 3 if isinstance(factor, int) else factor
    # where the field has voxels of whole blocks on both sides
    inner = tuple(slice(f - 1, n // f * f - f + 1) for n, f in zip(shape, factors, strict=True))
    exact = all(f & (f - 1) == 0 for f in factors)
    np.testing.assert_allclose(back[inner], volume[inner], rtol=0, atol=0 if exact else 1e-9)


def test_no_seams() -> None:
    """Whatever box is asked for, it is that of the whole."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 4096, (33, 47, 29), dtype=np.uint16)
    made = Applied(image, GaussianBiasFieldCorrection(sigma=2, normalize=True), (2, 4, 3))
    whole = made[...]
    assert whole.dtype == image.dtype
    np.testing.assert_array_equal(apply_scaled_processing(image, made._plugin.given, (2, 4, 3)), whole)
    for _ in range(30):
        box = tuple(slice(*sorted(rng.choice(n + 1, 2, replace=False).tolist())) for n in image.shape)
        np.testing.assert_array_equal(made[box], whole[box])
    np.testing.assert_array_equal(made[5, ..., -3], whole[5, ..., -3])


@pytest.mark.parametrize("chunks", [(8, 8, 8), (16, 5, 30)])
def test_of_dask_comes_dask(chunks: tuple[int, ...]) -> None:
    da = pytest.importorskip("dask.array", reason="an extra of its own")
    image = np.random.default_rng(1).integers(0, 255, (20, 30, 30), dtype=np.uint8)
    want = apply_scaled_processing(image, GaussianBiasFieldCorrection, 2, sigma=3, normalize=True)
    got = apply_scaled_processing(
        da.from_array(image, chunks=chunks), GaussianBiasFieldCorrection, 2, sigma=3, normalize=True
    )
    assert isinstance(got, da.Array)
    assert got.chunksize == chunks
    np.testing.assert_array_equal(got.compute(), want)


def test_a_store_with_its_own_levels(tmp_path: Path) -> None:
    """The level that matches is read; what comes out has a pyramid; the bits of the array's."""
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
        tmp_path / "image", Looks, (1, 4, 4), target=tmp_path / "made", sigma=12, units="world", normalize=True,
        levels=1, chunk_size=(8, 16, 24), progress=False,
    )  # fmt: skip
    assert isinstance(report, store.Report)
    stored = [level.array.read().result() for level in store.levels(tmp_path / "image")]
    np.testing.assert_array_equal(seen[0], stored[2])
    levels = [level.array.read().result() for level in store.levels(tmp_path / "made")]
    want = apply_scaled_processing(
        image, GaussianBiasFieldCorrection, (1, 4, 4), lowres=stored[2], sigma=(4, 3, 3), normalize=True
    )
    np.testing.assert_array_equal(levels[0], want)
    assert store.levels(tmp_path / "made")[0].grid == grid
    assert not store.check(tmp_path / "made")
    again = apply_scaled_processing(tmp_path / "image", Looks, 2, lowres=1, sigma=1)
    assert isinstance(again, Applied)
    np.testing.assert_array_equal(seen[-1], stored[1])
    assert again.field_grid == grid.level((1, 2, 2))


class Tens(ScaledProcessingPlugin):
    """A field of one number everywhere."""

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
    made = apply_scaled_processing(image, Tens(value, operation), 2)
    np.testing.assert_array_equal(made, np.ones((4, 1), np.uint8) * np.array(want, np.uint8))
    floats = apply_scaled_processing(image, Tens(value, operation), 2, preserve_dtype=False)
    assert floats.dtype == (np.uint8 if operation == "mask" else np.float64)


def test_a_known_field_is_taken_away() -> None:
    """Shading that is smooth at low resolution, on texture; what is left is flat to a hundredth."""
    rng = np.random.default_rng(3)
    texture = 1000 + 30 * rng.normal(size=(16, 128, 128))
    y, x = np.ix_(np.linspace(-1, 1, 128), np.linspace(-1, 1, 128))
    shading = 1 + 0.3 * x - 0.2 * y * y
    image = np.rint(texture * shading).astype(np.uint16)
    made = apply_scaled_processing(image, GaussianBiasFieldCorrection, (1, 4, 4), sigma=(8, 1.5, 1.5), normalize=True)
    ratio = made[:, 16:-16, 16:-16].mean(0) / texture[:, 16:-16, 16:-16].mean(0)
    left = tinypyr.downsample(ratio / ratio.mean(), 8)
    assert abs(left - 1).max() < 0.01
    assert abs(made.mean() / image.mean() - 1) < 0.01, "the volume keeps its own mean"


def test_a_background_is_subtracted() -> None:
    volume = np.full((24, 64, 64), 100, np.uint16) + np.arange(64, dtype=np.uint16)
    volume[12, 32, 32] = 500
    made = apply_scaled_processing(volume, BackgroundSubtraction, 4, size=3, sigma=0)
    assert 360 <= made[12, 32, 32] <= 400
    assert np.median(made) <= 8


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
        ("plugin: 3 is no plugin", lambda: apply_scaled_processing(IMAGE, 3)),
        ("plugin: dict has no lowres_func", lambda: apply_scaled_processing(IMAGE, dict)),
        ("plugin: its operation 'add'", lambda: apply_scaled_processing(IMAGE, (np.copy, "add"))),
        ("sigma: parameters are for a class", lambda: apply_scaled_processing(IMAGE, (np.copy, "divide"), sigma=1)),
        ("sigma: -1", lambda: apply_scaled_processing(IMAGE, GaussianBiasFieldCorrection, sigma=-1)),
        ("source: of shape .8,.; two axes", lambda: apply_scaled_processing(IMAGE[0], Identity)),
        ("source: of shape .0, 8.", lambda: apply_scaled_processing(IMAGE[:0], Identity)),
        ("source: of complex128", lambda: apply_scaled_processing(IMAGE * 1j, Identity)),
        ("downsample_factor: .* 0", lambda: apply_scaled_processing(IMAGE, Identity, 0)),
        ("downsample_factor: ", lambda: apply_scaled_processing(IMAGE, Identity, 1.5)),
        ("lowres: of shape .3, 3.", lambda: apply_scaled_processing(IMAGE, Identity, 2, lowres=np.ones((3, 3)))),
        ("lowres: 1, but there are levels 0 to 0", lambda: apply_scaled_processing(IMAGE, Identity, 2, lowres=1)),
        (
            "preserve_dtype: 2",
            lambda: apply_scaled_processing(IMAGE, Identity, 2, preserve_dtype=2),  # type: ignore[arg-type]
        ),
        ("levels, chunk_size: of a target", lambda: apply_scaled_processing(IMAGE, Identity, 2, levels=1)),
        ("order: 9", lambda: apply_scaled_processing(IMAGE, Identity, 2, order=9)),
        ("failing: lowres_func failed: ZeroDivisionError", lambda: apply_scaled_processing(IMAGE, (failing, "divide"))),
        ("lowres_func made float64 of shape ..", lambda: apply_scaled_processing(IMAGE, (np.mean, "divide"))),
        (
            r"highres_func failed at \[0:8, 0:8\]: ValueError",
            lambda: apply_scaled_processing(IMAGE, (np.copy, lambda full, up: full.reshape(3))),
        ),
        (
            r"highres_func made shape \(8,\) at \[0:8, 0:8\]",
            lambda: apply_scaled_processing(IMAGE, (np.copy, lambda full, up: full[0])),
        ),
    ],
)
def test_bad_arguments_are_refused_by_name(message: str, call: Callable[[], Any]) -> None:
    with pytest.raises((ValueError, TypeError, PluginError), match=message):
        call()


def test_what_is_read_at_once_does_not_grow_with_the_volume() -> None:
    source = Counting((2048, 1024, 1024))
    made = Applied(source, (np.copy, "multiply"), 16)
    assert source.most <= 1 << 24
    source.most = 0
    assert (made[100:400, 200:600, 0:50] == 1).all()
    assert source.most <= 1 << 20
