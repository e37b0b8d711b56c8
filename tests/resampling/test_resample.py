"""Resampling between grids: choice of levels, exact ramps, borders of half a voxel."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinypyr
from support.strategies import Counting
from tinypyr import Grid

ndimage = pytest.importorskip("scipy.ndimage", reason="an extra of its own", exc_type=ImportError)

Array = np.ndarray[Any, Any]
SCALES = [(0.5, 0.25, 1), (1, 1, 1), (2, 2, 1), (3, 4, 5), (4, 8, 2), (8, 8, 8), (2.5, 3.5, 6)]


def ramp(grid: Grid) -> Array:
    """Return voxels that are a linear function of their world coordinates."""
    axes = [t + s * np.arange(n) for n, s, t in zip(grid.shape, grid.scale, grid.translation, strict=True)]
    return np.asarray(sum(np.ix_(*(w * axis for w, axis in zip((3, -2, 5), axes, strict=False)))))


def within(values: Array, grid: Grid, base: Grid, margin: float, deep: float = 0) -> Array:
    """Return the voxels of a grid that are a number of its own, and of the other grid's, voxels inside the other."""
    inside = []
    for n, s, t, m, u, v in zip(
        grid.shape, grid.scale, grid.translation, base.shape, base.scale, base.translation, strict=True
    ):
        at = t + s * np.arange(n)
        edge = margin * s + deep * max(s, u)
        inside.append((at >= v + edge) & (at <= v + u * (m - 1) - edge))
    return values[np.ix_(*inside)]


@pytest.mark.parametrize(("order", "scale"), [*itertools.product([1], SCALES), *itertools.product([3], SCALES[:3])])
@pytest.mark.parametrize("shift", [0.0, 0.75])
def test_ramps_are_exact_with_and_without_pooling(order: int, scale: tuple[float, ...], shift: float) -> None:
    base = Grid((60, 64, 56), scale=(1, 0.5, 2), translation=(10, -3, 0.5))
    scales = [a * b for a, b in zip(scale, base.scale, strict=True)]
    shape = [int(n / f) for n, f in zip(base.shape, scale, strict=True)]
    at = [t + (s - b) / 2 + shift * b for t, s, b in zip(base.translation, scales, base.scale, strict=True)]
    grid = Grid(shape, scale=scales, translation=at)
    got = tinypyr.resample(ramp(base), grid, order=order, source_grid=base)
    want = ramp(grid)
    # a spline deviates at the border, where the ramp ends: by its slope, less with every voxel
    deep = 0 if order == 1 else 6
    error = np.abs(within(got, grid, base, 1, deep) - within(want, grid, base, 1, deep))
    assert error.size > 0
    bent = 3 * sum(a * b for a, b in zip((3, 2, 5), scales, strict=True)) * 0.268**deep
    dyadic = all(f in (0.25, 0.5, 1, 2, 4, 8) for f in scale)
    assert error.max() <= (0 if order == 1 and dyadic else 1e-12 if order == 1 else bent)


@pytest.mark.parametrize("factor", [(2, 2, 1), (3, 1, 4), (5, 5, 5)])
@pytest.mark.parametrize("offset", [(0, 0, 0), (1, 2, 3)])
def test_a_levels_own_grid_gives_that_level(factor: tuple[int, ...], offset: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (31, 30, 29), dtype=np.uint8)
    base = Grid(image.shape, scale=(4, 4, 40), voxel_offset=offset)
    grid = base.level(factor)
    mean = tinypyr.downsample(image, factor, voxel_offset=offset)
    np.testing.assert_array_equal(tinypyr.resample(image, grid, source_grid=base), mean)
    mode = tinypyr.downsample(image // 50, factor, "mode", voxel_offset=offset)
    np.testing.assert_array_equal(tinypyr.resample(image // 50, grid, order=0, source_grid=base), mode)


def test_without_anti_aliasing_the_values_are_scipys() -> None:
    rng = np.random.default_rng(1)
    image = rng.normal(size=(20, 24, 22))
    base = Grid(image.shape, scale=(2, 1, 0.5), translation=(1, 2, 3))
    grid = Grid((15, 16, 17), scale=(1.5, 1, 1), translation=(5, 6, 7))
    turn = np.concatenate([np.linalg.qr(rng.normal(size=(3, 3)))[0], [[3], [9], [4]]], axis=1)
    matrix = np.diag(1 / np.array(base.scale)) @ turn[:, :3] @ np.diag(grid.scale)
    offset = (turn[:, :3] @ grid.translation + turn[:, 3] - base.translation) / base.scale
    for order, mode in itertools.product((0, 1, 3), ("constant", "mirror")):
        got = tinypyr.resample(image, grid, turn, order, False, source_grid=base, mode=mode, cval=7)
        want = ndimage.affine_transform(image, matrix, offset, grid.shape, order=order, mode=mode, cval=7)
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-9)


@pytest.mark.parametrize("order", [0, 1, 3])
def test_values_do_not_depend_on_the_parts_of_the_output(order: int) -> None:
    class InParts(tinypyr.Resampled):
        _at_once = 500

    rng = np.random.default_rng(2)
    image = rng.integers(0, 255, (40, 44, 48)).astype(np.uint16)
    grid = Grid((30, 31, 32), scale=(1.2, 2.1, 1.4), translation=(-3, 1, 2))
    turn = np.concatenate([np.linalg.qr(rng.normal(size=(3, 3)))[0], [[20], [22], [24]]], axis=1)
    whole = tinypyr.resample(image, grid, turn, order)
    parts = InParts(image, grid, turn, order)[...]
    assert np.abs(whole.astype(int) - parts).max() <= (order > 1)


def test_the_border_mode_extends_voxels_by_half_their_length() -> None:
    image = np.array([10.0, 20, 30])
    fine = Grid((16,), scale=[0.25], translation=[-0.75])
    got = tinypyr.resample(image, fine, cval=-1)
    at = -0.75 + 0.25 * np.arange(16)
    want = np.where((at < -0.5) | (at > 2.5), -1, 10 + 10 * np.clip(at, 0, 2))
    np.testing.assert_array_equal(got, want)
    labels = np.array([[1, 2], [3, 2**64 - 1]], np.uint64)
    twice = tinypyr.resample(labels, Grid((4, 4), scale=(0.5, 0.5), translation=(-0.25, -0.25)), order=0)
    np.testing.assert_array_equal(twice, np.repeat(np.repeat(labels, 2, 0), 2, 1))


def test_axes_are_matched_by_name() -> None:
    image = np.random.default_rng(5).normal(size=(10, 11, 12))
    base = Grid(image.shape, axes="zyx", scale=(2, 1, 0.5))
    turn = np.array([[0.9, 0.1, 0, 1], [-0.1, 0.9, 0, 2], [0, 0.1, 1.1, 0]])
    grid = Grid((6, 7, 8), axes="zyx", scale=(3, 2, 1))
    want = tinypyr.resample(image, grid, turn, source_grid=base)
    other = Grid((8, 7, 6), axes="xyz", scale=(1, 2, 3))
    swap = np.eye(4)[[2, 1, 0, 3]]
    got = tinypyr.resample(image, other, (swap @ np.vstack([turn, [0, 0, 0, 1]]) @ swap)[:3], source_grid=base)
    np.testing.assert_allclose(got, want.transpose(), rtol=0, atol=1e-12)


def test_channels_stay_apart() -> None:
    """An identity axis is not interpolated: NaN in one channel stays there."""
    image = np.random.default_rng(3).normal(size=(3, 20, 20))
    image[1] = np.nan
    base = Grid(image.shape, axes="cyx")
    grid = Grid((3, 10, 10), axes="cyx", scale=(1, 1, 1), translation=(0, 5.25, 5.5))
    got = tinypyr.resample(image, grid, source_grid=base)
    assert np.isnan(got[1]).all()
    assert np.isfinite(got[[0, 2]]).all()


def test_a_coarse_view_reads_a_coarse_level(tmp_path: Path) -> None:
    """An oblique view at an eighth of the resolution, after all voxels of levels 0 and 1 were removed."""
    pytest.importorskip("tensorstore", reason="an extra of its own")
    from tinypyr import store

    rng = np.random.default_rng(4)
    image = ndimage.uniform_filter(rng.integers(0, 255, (64, 96, 96)).astype(float), 5).astype(np.uint8) + 1
    base = Grid(image.shape, axes="zyx", scale=(4, 4, 4), units=["nanometer"] * 3)
    where = tmp_path / "image.ome.zarr"
    store.build(image, where, grid=base, factor=2, levels=3, chunks=(16, 16, 16), progress=False)
    turn = np.concatenate([np.linalg.qr(rng.normal(size=(3, 3)))[0], [[120], [180], [180]]], axis=1)
    grid = Grid((8, 12, 12), axes="zyx", scale=(32, 32, 32), translation=(-112, -176, -176))
    before = tinypyr.resample(where, grid, turn)
    assert (before > 0).any()
    direct = tinypyr.resample(where, grid, turn, anti_aliasing=False)
    names = [dataset["path"] for dataset in _datasets(where)]
    for name in names[:2]:
        shutil.rmtree(where / name / "c")
    np.testing.assert_array_equal(tinypyr.resample(where, grid, turn), before)
    assert (direct > 0).any()
    assert (tinypyr.resample(where, grid, turn, anti_aliasing=False) == 0).all()
    like = tinypyr.resample_like(image, where, source_grid=base)
    np.testing.assert_array_equal(like, image)


def test_labels_are_not_averaged(tmp_path: Path) -> None:
    pytest.importorskip("tensorstore", reason="an extra of its own")
    from tinypyr import store

    labels = np.repeat(np.repeat(np.arange(64, dtype=np.uint64).reshape(8, 8) + 2**60, 8, 0), 8, 1)
    base = Grid(labels.shape)
    store.build(labels, tmp_path / "labels.ome.zarr", grid=base, factor=2, levels=2, chunks=(16, 16), progress=False)
    half = base.level(2)
    with pytest.raises(ValueError, match="order: 1 would produce labels"):
        tinypyr.resample(tmp_path / "labels.ome.zarr", half)
    got = tinypyr.resample(tmp_path / "labels.ome.zarr", half, order=0)
    np.testing.assert_array_equal(got, tinypyr.downsample(labels, 2, "mode"))


def test_a_view_is_written_block_by_block(tmp_path: Path) -> None:
    """Bit-identical to resampling the whole in memory, and to its pyramid."""
    pytest.importorskip("tensorstore", reason="an extra of its own")
    from tinypyr import store

    rng = np.random.default_rng(9)
    image = rng.integers(0, 255, (40, 50, 60), dtype=np.uint8)
    grid = Grid((48, 70, 66), scale=(0.7, 0.8, 1.1), translation=(-2, 1, 3))
    turn = np.concatenate([np.linalg.qr(rng.normal(size=(3, 3)))[0], [[20], [22], [30]]], axis=1)
    view = tinypyr.Resampled(image, grid, turn)
    where = tmp_path / "turned.ome.zarr"
    store.build(view, where, factor=2, levels=2, chunks=(16, 16, 16), memory="4MiB", progress=False)
    levels = [level.array.read().result() for level in store.levels(where)]
    whole = tinypyr.resample(image, grid, turn)
    np.testing.assert_array_equal(levels[0], whole)
    for got, want in zip(levels[1:], tinypyr.pyramid(whole, 2, levels=2), strict=True):
        np.testing.assert_array_equal(got, want)
    assert [level.grid.scale for level in store.levels(where)][1] == pytest.approx((1.4, 1.6, 2.2))


def test_memory_does_not_grow_with_the_source() -> None:
    class InParts(tinypyr.Resampled):
        _read_at_once = 1 << 18

    coarse = Counting((512, 512, 512))
    assert (InParts(coarse, Grid((32,) * 3, scale=(16,) * 3, translation=(7.5,) * 3))[...] == 1).all()
    assert coarse.most <= 1 << 18
    half = 0.5**0.5
    oblique = Counting((512, 512, 512))
    turn = np.array([[half, 0, half, 0], [0, 1, 0, 0], [-half, 0, half, 256]])
    assert InParts(oblique, Grid((1, 512, 512)), turn)[...].shape == (1, 512, 512)
    assert oblique.most <= 1 << 18


def test_a_view_is_indexed_like_an_array() -> None:
    view = tinypyr.Resampled(np.arange(24.0).reshape(4, 6), Grid((8, 12), scale=(0.5, 0.5)))
    whole = tinypyr.resample(np.arange(24.0).reshape(4, 6), view.grid)
    for box in (np.s_[:], np.s_[2:5], np.s_[..., 3], np.s_[-1, 2:9], np.s_[3, -2], np.s_[5:5, :], np.s_[-3:, ...]):
        np.testing.assert_array_equal(view[box], whole[box])
    for wrong in (np.s_[::2], np.s_[9], np.s_[0, 0, 0], np.s_[None], np.s_[True], np.s_[..., ...]):
        with pytest.raises(IndexError):
            view[wrong]
    np.testing.assert_array_equal(np.asarray(view), whole)


def _datasets(where: Path) -> list[dict[str, Any]]:
    import json

    values: list[dict[str, Any]] = json.loads((where / "zarr.json").read_text())["attributes"]["ome"]["multiscales"][0][
        "datasets"
    ]
    return values


def test_levels_of_a_store_are_exact_on_ramps(tmp_path: Path) -> None:
    pytest.importorskip("tensorstore", reason="an extra of its own")
    from tinypyr import store

    base = Grid((48, 64, 64), axes="zyx", scale=(2, 1, 1), translation=(10, 20, 30))
    where = tmp_path / "ramp.ome.zarr"
    store.build(ramp(base), where, grid=base, factor=2, levels=3, chunks=(16, 16, 16), progress=False)
    for step in (0.5, 1, 2, 3, 4, 6, 8, 12):
        grid = Grid((8, 9, 10), axes="zyx", scale=(2 * step, step, step), translation=(10 + 1.5 * step, 24, 34.5))
        got = tinypyr.resample(where, grid)
        error = np.abs(within(got, grid, base, 1) - within(ramp(grid), grid, base, 1))
        assert error.size > 0
        assert error.max() <= (0 if np.log2(step) % 1 == 0 else 1e-11), step


IMAGE = np.zeros((4, 4), np.uint8)
GRID = Grid((3, 3))
BAD: list[tuple[str, Callable[[], Any]]] = [
    ("grid: tuple is not a Grid", lambda: tinypyr.resample(IMAGE, (3, 3))),  # type: ignore[arg-type]
    ("grid: its axes are .* but source has 2 axes", lambda: tinypyr.resample(IMAGE, Grid((3, 3, 3)))),
    (
        "grid: the unit of axis y is micrometer, but the source has nanometer",
        lambda: tinypyr.resample(
            IMAGE, Grid((3, 3), units=["micrometer"] * 2), source_grid=Grid((4, 4), units=["nanometer"] * 2)
        ),
    ),
    ("transform: its shape is .2, 2.", lambda: tinypyr.resample(IMAGE, GRID, np.eye(2))),
    ("transform: .* not finite", lambda: tinypyr.resample(IMAGE, GRID, np.array([[1, 0, np.nan], [0, 1, 0]]))),
    ("transform: its last row", lambda: tinypyr.resample(IMAGE, GRID, np.ones((3, 3)))),
    ("order: 7", lambda: tinypyr.resample(IMAGE, GRID, order=7)),
    ("mode: 'bogus'", lambda: tinypyr.resample(IMAGE, GRID, mode="bogus")),
    ("anti_aliasing: 3", lambda: tinypyr.resample(IMAGE, GRID, anti_aliasing=3)),  # type: ignore[arg-type]
    (
        "source_grid: its shape is .3, 3.",
        lambda: tinypyr.resample(IMAGE, GRID, source_grid=GRID),
    ),
    ("source: list", lambda: tinypyr.resample([1, 2], GRID)),
    (
        "grid: its voxels have no finite coordinates in the source",
        lambda: tinypyr.resample(np.arange(5.0), Grid((3,), scale=[1e300]), source_grid=Grid((5,), scale=[1e-300])),
    ),
    ("grid: its axes are .* but source has 3 axes", lambda: tinypyr.resample(np.zeros((2,) * 3), Grid((2, 2)))),
    ("source: an array without dimensions", lambda: tinypyr.resample(np.array(3), Grid(()))),
    ("out: it shares memory with the source", lambda: tinypyr.resample(IMAGE, Grid((4, 4)), out=IMAGE)),
    ("out: ", lambda: tinypyr.resample(IMAGE, GRID, out=np.zeros((3, 3)))),
]


@pytest.mark.parametrize(("message", "call"), BAD)
def test_bad_arguments_are_refused_by_name(message: str, call: Callable[[], Any]) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_out_is_filled_and_returned() -> None:
    image = np.arange(16, dtype=np.uint8).reshape(4, 4)
    out = np.zeros((2, 2), np.uint8)
    assert tinypyr.resample(image, Grid((2, 2), translation=(1, 2)), out=out) is out
    assert out.tolist() == [[6, 7], [10, 11]]
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        tinypyr.resample(image, Grid((2, 2)), out=out)


def a_turn(tmp_path: Path) -> tuple[Path, Grid, Array]:
    """Return a store, a grid, and a matrix from the world of the grid to that of the store."""
    from tinypyr import store

    rng = np.random.default_rng(11)
    image = rng.integers(0, 255, (40, 50, 60), dtype=np.uint8)
    where = tmp_path / "image.ome.zarr"
    store.build(image, where, factor=2, levels=1, chunks=(16, 16, 16), progress=False)
    grid = Grid((24, 35, 33), scale=(1.5, 1.3, 2.1), translation=(-2, 1, 3))
    return where, grid, np.concatenate([np.linalg.qr(rng.normal(size=(3, 3)))[0], [[20], [22], [30]]], axis=1)


def test_other_processes_recreate_a_view(tmp_path: Path) -> None:
    """A saved plan of a view, run in parts and by processes, gives the voxels of the whole."""
    pytest.importorskip("tensorstore", reason="an extra of its own")
    from tinypyr import store

    source, grid, turn = a_turn(tmp_path)
    view = tinypyr.Resampled(source, grid, turn, cval=7)
    whole = tinypyr.resample(source, grid, turn, cval=7)
    plan = store.plan(view, tmp_path / "parts", factor=2, levels=1, chunks=(8, 8, 8), block=1, workers=1)
    plan.save(tmp_path / "plan.json")
    for part in (2, 1):
        command = [sys.executable, "-m", "tinypyr", "run", str(tmp_path / "plan.json"), "--part", f"{part}/2"]
        subprocess.run(command, check=True)
    store.finalize(store.Plan.load(tmp_path / "plan.json"))
    cut: dict[str, Any] = {"factor": 2, "levels": 1, "chunks": (8, 8, 8), "block": 1, "progress": False}
    store.build(view, tmp_path / "processes", engine="processes", **cut)
    for name in ("parts", "processes"):
        levels = store.levels(tmp_path / name)
        np.testing.assert_array_equal(levels[0].array.read().result(), whole)
        assert levels[0].grid == grid
        assert store.check(tmp_path / name).ok
    with pytest.raises(store.StoreError, match="array in memory"):
        store.plan(tinypyr.Resampled(np.ones((4, 4, 4)), grid), tmp_path / "no").save(tmp_path / "no.json")


def test_another_view_does_not_resume_a_build(tmp_path: Path) -> None:
    pytest.importorskip("tensorstore", reason="an extra of its own")
    from tinypyr import store

    source, grid, turn = a_turn(tmp_path)
    cut: dict[str, Any] = {"factor": 2, "levels": 1, "chunks": (8, 8, 8), "block": 1}
    target = tmp_path / "turned"
    plan = store.plan(tinypyr.Resampled(source, grid, turn), target, **cut)
    plan.save(tmp_path / "plan.json")
    store.run(plan, part=(1, 2))
    with pytest.raises(store.StoreError, match=r"another build has begun there .anti_aliasing: True there, False here"):
        store.build(tinypyr.Resampled(source, grid, turn, anti_aliasing=False), target, **cut)
    level = next(path for path in source.rglob("c/0/0/0") if path.is_file())
    level.write_bytes(level.read_bytes() + b"\0")
    with pytest.raises(store.StoreError, match="a source that has changed"):
        store.Plan.load(tmp_path / "plan.json")
    with pytest.raises(store.StoreError, match="choose another target"):
        store.plan(tinypyr.Resampled(source, grid), source / "inside")


def test_a_plan_is_out_of_date_if_the_grid_or_levels_of_its_source_changed(tmp_path: Path) -> None:
    pytest.importorskip("tensorstore", reason="an extra of its own")
    from tinypyr import store

    image = np.random.default_rng(12).integers(0, 255, (32, 32), dtype=np.uint8)
    source, grid = tmp_path / "image", Grid((16, 16), scale=(2, 2), translation=(0.5, 0.5))
    store.build(image, source, levels=0, progress=False)
    view = tinypyr.Resampled(source, grid)
    store.plan(view, tmp_path / "made").save(tmp_path / "plan.json")
    store.plan(image, tmp_path / "masked", mask=tinypyr.Resampled(source, Grid((32, 32)), order=0))
    before = (source / "zarr.json").read_text()
    (source / "zarr.json").write_text(before.replace('"scale": [\n', '"scale": [\n', 1).replace("1.0", "3.0", 1))
    assert (source / "zarr.json").read_text() != before
    with pytest.raises(store.StoreError, match="out of date"):
        store.Plan.load(tmp_path / "plan.json")
    (source / "zarr.json").write_text(before)
    store.Plan.load(tmp_path / "plan.json")
    store.build(source, factor=2, levels=1, method="max", progress=False)  # level 1 fits from here on
    with pytest.raises(store.StoreError, match=r"out of date .source: .* its levels have changed"):
        store.Plan.load(tmp_path / "plan.json")
    assert store.plan(view, tmp_path / "made").fingerprint != (
        store.plan(tinypyr.Resampled(source, grid), tmp_path / "made").fingerprint
    )


def test_a_view_can_be_a_mask(tmp_path: Path) -> None:
    pytest.importorskip("tensorstore", reason="an extra of its own")
    from tinypyr import store

    rng = np.random.default_rng(13)
    image = rng.integers(1, 255, (32, 32), dtype=np.uint8)
    store.build(image, tmp_path / "image", levels=0, progress=False)
    store.build(rng.integers(0, 2, (16, 16), dtype=np.uint8), tmp_path / "hidden", levels=0, progress=False)
    fine = Grid((32, 32), scale=(0.5, 0.5), translation=(-0.25, -0.25))
    masks = [tinypyr.Resampled(tmp_path / "hidden", grid, order=0) for grid in (fine, Grid((32, 32)))]
    plans = [store.plan(tmp_path / "image", tmp_path / "made", mask=mask, factor=2, levels=1) for mask in masks]
    assert plans[0].fingerprint != plans[1].fingerprint
    plans[0].save(tmp_path / "plan.json")
    loaded = store.Plan.load(tmp_path / "plan.json")
    store.run(loaded)
    store.finalize(loaded)
    want = np.zeros((16, 16), np.uint8)
    kept = np.asarray(masks[0]) != 0
    shown = kept[::2, ::2]  # all four voxels of a footprint are masked together
    want[shown] = tinypyr.downsample(image, 2)[shown]
    np.testing.assert_array_equal(store.levels(tmp_path / "made")[1].array.read().result(), want)


def test_an_array_without_a_grid_has_the_axes_of_the_output() -> None:
    image = np.random.default_rng(14).integers(0, 255, (7, 8, 9), dtype=np.uint8)
    for axes in ("xyz", "zyx", "abc"):
        np.testing.assert_array_equal(tinypyr.resample(image, Grid(image.shape, axes)), image)


def test_a_rotation_of_anisotropic_voxels_does_not_blur() -> None:
    """Voxels five times as long along z, rotated onto voxels of the same size, have scipy's values."""
    image = np.random.default_rng(15).normal(size=(20, 40, 30))
    grid, size = Grid(image.shape, scale=(40, 8, 8)), np.diag([40.0, 8, 8])
    cosine, sine = np.cos(0.5), np.sin(0.5)
    turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    shift = np.array([400.0, 160, 120]) - turn @ [400, 160, 120]
    got = tinypyr.resample(image, grid, np.column_stack([turn, shift]), source_grid=grid, mode="constant")
    want = ndimage.affine_transform(image, np.linalg.inv(size) @ turn @ size, np.linalg.inv(size) @ shift, order=1)
    np.testing.assert_allclose(got, want, atol=1e-9)
    coarse = Grid((8, 8, 8), scale=(40, 40, 40))
    view = tinypyr.Resampled(image, coarse, np.column_stack([turn, shift]), source_grid=grid)
    assert "pooled by 1 x 5 x 5" in repr(view)


def test_numpy_scalars_give_the_voxels_of_python_numbers(tmp_path: Path) -> None:
    pytest.importorskip("tensorstore", reason="an extra of its own")
    from tinypyr import store

    view = tinypyr.Resampled(np.ones((8, 8)), Grid((4, 4)), order=np.int64(1), cval=np.float32(2))  # type: ignore[arg-type]
    store.build(view, tmp_path / "built", levels=0, progress=False)
    (level,) = store.levels(tmp_path / "built")
    np.testing.assert_array_equal(level.array.read().result(), tinypyr.resample(np.ones((8, 8)), Grid((4, 4)), cval=2))


def test_the_command_resamples_a_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorstore", reason="an extra of its own")
    from tinypyr import cli, store

    source, grid, turn = a_turn(tmp_path)
    np.savetxt(tmp_path / "turn.txt", turn)
    store.build(np.zeros(grid.shape, np.uint8), tmp_path / "atlas", grid=grid, levels=0, progress=False)
    spacing = (["--target-voxel-size", "2,2,2"], tinypyr.resample(source, Grid((40, 50, 60)).level(2)))
    like = (["--like", str(tmp_path / "atlas"), "--transform", str(tmp_path / "turn.txt"), "--order", "0"],)
    for number, (options, want) in enumerate([spacing, (*like, tinypyr.resample(source, grid, turn, order=0))]):
        where = str(tmp_path / f"made{number}")
        assert cli.main(["build", str(source), where, *options, "--levels=1", "--progress=none"]) == 0
        np.testing.assert_array_equal(store.levels(where)[0].array.read().result(), want)
    cells = np.repeat(np.array([[1000, 2000]], np.uint64), 8, 1)
    zarr = pytest.importorskip("zarr", reason="optional")
    zarr.create_array(tmp_path / "cells", shape=(1, 16), chunks=(1, 16), dtype="u8")[:] = cells
    where = str(tmp_path / "fine")
    assert cli.main(["build", str(tmp_path / "cells"), where, "--target-voxel-size", "1,0.7", "--progress=none"]) == 0
    assert set(np.unique(store.levels(where)[0].array.read().result())) == {1000, 2000}, "wide labels are not averaged"
    for options, message in (
        (["--order", "0"], "--like, --target-voxel-size: give one of them"),
        (
            ["--target-voxel-size", "2,2"],
            "[2.0, 2.0] does not have one number for each of the axes z, y, x",
        ),
        (["--target-voxel-size", "2,2,2", "--transform", "nowhere.txt"], "--transform: nowhere.txt"),
    ):
        capsys.readouterr()
        assert cli.main(["build", str(source), str(tmp_path / "no"), *options]) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "no").exists()


def test_a_view_of_labels_is_recorded_as_labels(tmp_path: Path) -> None:
    pytest.importorskip("tensorstore", reason="an extra of its own")
    from tinypyr import store

    labels = np.random.default_rng(0).integers(0, 5, (16, 16), dtype=np.uint8)
    where = tmp_path / "labels.ome.zarr"
    store.build(labels, where, factor=2, levels=1, method="mode", progress=False)
    view = tinypyr.Resampled(where, Grid((32, 32), scale=(0.5, 0.5), translation=(-0.25, -0.25)), order=0)
    assert store.plan(view, tmp_path / "fine").method == "mode"


def test_a_repr_names_source_level_and_interpolation(tmp_path: Path) -> None:
    pytest.importorskip("tensorstore", reason="an extra of its own")
    source, grid, turn = a_turn(tmp_path)
    assert repr(tinypyr.Resampled(source, grid, turn)) == (
        f"Resampled({source}, level 0, at 24 x 35 x 33 voxels, uint8, order=1, mode='border')"
    )
    coarse = Grid((10, 12, 15), scale=(4, 4, 4))
    assert repr(tinypyr.Resampled(source, coarse, order=0, mode="nearest")) == (
        f"Resampled({source}, level 1 pooled by 2 x 2 x 2, at 10 x 12 x 15 voxels, uint8, order=0, mode='nearest')"
    )


def test_resample_like_takes_every_option_of_resample() -> None:
    image = np.random.default_rng(16).random((8, 8))
    grid, turn = Grid((3, 4), scale=(3, 3), translation=(-2, 1)), [[0.8, -0.6, 1], [0.6, 0.8, 2]]
    options: dict[str, Any] = {"source_grid": Grid((8, 8), scale=(0.5, 1)), "mode": "constant", "cval": 7.0}
    want = tinypyr.resample(image, grid, turn, 0, False, **options)
    out = np.empty((3, 4))
    assert tinypyr.resample_like(image, grid, turn, 0, False, **options, out=out) is out
    np.testing.assert_array_equal(out, want)
    assert (out == 7).any()
