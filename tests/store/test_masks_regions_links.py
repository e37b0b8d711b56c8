"""Masks, updates of regions, recursive medians, linked bases and previews."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinypyr
from tinypyr import Grid, cli

ts = pytest.importorskip("tensorstore", reason="stores are read and written through TensorStore")
from support.stores import FORMATS, Array, in_memory, read  # noqa: E402
from tinypyr import store  # noqa: E402
from tinypyr.store.location import Location, open_array  # noqa: E402
from tinypyr.store.source import open_volume  # noqa: E402
from tinypyr.store.tuning import tuned  # noqa: E402


@pytest.fixture(autouse=True)
def many_blocks() -> Iterator[None]:
    """Divide small volumes into many blocks, and skip fsync."""
    with tuned(small_block=0, sync_files=False):
        yield


@pytest.fixture(params=[1 << 31, 40], ids=["leaves", "accumulators"])
def footprint(request: pytest.FixtureRequest) -> Iterator[None]:
    """Pool levels in leaves, and from accumulators."""
    with tuned(max_footprint=request.param):
        yield


@pytest.mark.parametrize("ignore", [None, 0])
@pytest.mark.parametrize("method", ["mean", "mode", "median", "min", "max", "stride"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint64", "float32", "bool"])
def test_excluded_voxels_do_not_count(
    dtype: str, method: str, ignore: int | None, footprint: None, tmp_path: Path
) -> None:
    """Excluded voxels behave like voxels of a value that the volume does not have, and that is ignored."""
    rng = np.random.default_rng(3)
    volume = rng.integers(0, 256 if dtype == "uint8" else 5, (21, 33, 17)).astype(dtype)
    excluded = rng.random(volume.shape) < 0.4
    excluded[:16, :16] = True
    arguments: dict[str, Any] = {"factor": 2, "levels": 3, "chunks": (8, 8, 8), "force": True}
    plan = store.plan(volume, tmp_path / "t", method=method, ignore=ignore, exclude=excluded, **arguments)
    store.running.complete(plan)
    wide = np.where(excluded, -77, volume.astype(np.float64 if dtype == "float32" else np.int32))
    if ignore is not None:
        wide = np.where(volume == ignore, -77, wide)
    known: Any = method
    want = tinypyr.pyramid(wide, (2, 2, 2), known, levels=3, ignore=-77)
    for got, wanted in zip(read(tmp_path / "t", "zyx")[1:], want, strict=True):
        np.testing.assert_array_equal(got, np.where(wanted == -77, 0, wanted).astype(dtype))
    with pytest.raises(store.StoreError, match="built with exclude an array; pass exclude="):
        store.check(tmp_path / "t")
    assert store.check(tmp_path / "t", exclude=excluded).ok
    assert store.check(tmp_path / "t", mask=~excluded).ok
    assert not store.check(tmp_path / "t", mask=excluded).ok


@pytest.mark.parametrize("dtype", ["bool", "uint8", "float32"])
def test_exclude_is_the_inverse_of_mask(dtype: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    volume, counts = rng.integers(1, 255, (24, 24, 24)).astype(np.uint8), rng.random((24, 24, 24)) < 0.5
    more: dict[str, Any] = {"factor": 2, "levels": 2, "chunks": (8, 8, 8)}
    store.build(volume, tmp_path / "mask", mask=counts.astype(dtype), **more)
    store.build(volume, tmp_path / "exclude", exclude=(~counts).astype(dtype), **more)
    assert not read(tmp_path / "mask", "zyx")[1][~tinypyr.downsample(counts, 2, "max")].any()
    for one, other in zip(read(tmp_path / "mask", "zyx"), read(tmp_path / "exclude", "zyx"), strict=True):
        np.testing.assert_array_equal(one, other)
    for name in ("mask", "exclude"):
        notes = open_volume(Location.at(tmp_path / name)).notes
        assert {key: notes[key] for key in ("mask", "exclude")} == {"mask": None, "exclude": None, name: "an array"}
        with pytest.raises(store.StoreError, match=f"built with {name} an array; pass {name}="):
            store.check(tmp_path / name)
        with pytest.raises(store.StoreError, match=f"built with {name} an array"):
            store.plan(tmp_path / name, region=[(0, 8)] * 3)


def test_mask_and_exclude_together_are_an_error(tmp_path: Path) -> None:
    volume = np.ones((8, 8), np.uint8)
    store.build(volume, tmp_path / "t", levels=0)
    with pytest.raises(ValueError, match="mask: exclude, its inverse, is given as well"):
        store.build(volume, tmp_path / "new", mask=volume, exclude=volume)
    with pytest.raises(ValueError, match="mask: exclude, its inverse, is given as well"):
        store.check(tmp_path / "t", method="mean", mask=volume, exclude=volume)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("parameter", ["mask", "exclude"])
def test_saved_plans_keep_mask_and_exclude_apart(parameter: str, tmp_path: Path) -> None:
    volume = np.arange(256, dtype=np.uint8).reshape(16, 16)
    store.build(volume, tmp_path / "base", levels=0)
    store.build((volume % 3 == 0).astype(np.uint8), tmp_path / "voxels", levels=0)
    more: dict[str, Any] = {"factor": 2, "levels": 1, parameter: tmp_path / "voxels"}
    saved = store.plan(tmp_path / "base", tmp_path / "t", **more)
    saved.save(tmp_path / "plan.json")
    plan = store.Plan.load(tmp_path / "plan.json")
    assert plan.mask is not None
    assert plan.mask.parameter == parameter
    other: dict[str, Any] = {
        "factor": 2,
        "levels": 1,
        {"mask": "exclude", "exclude": "mask"}[parameter]: tmp_path / "voxels",
    }
    assert plan.fingerprint == saved.fingerprint != store.plan(tmp_path / "base", tmp_path / "t", **other).fingerprint


def opened(where: Path) -> Any:
    """Return level 0, opened for writing."""
    volume = open_volume(Location.at(where))
    from tinypyr.store.formats import FORMATS as known

    spec = known[volume.format].open_spec(volume.location, volume.paths[0])
    handle = open_array(spec, "level 0", read=True, write=True, open=True)
    return handle.translate_to[(0,) * handle.rank]


@pytest.mark.parametrize("method", ["mean", "mode", "median"])
@pytest.mark.parametrize("format", FORMATS)
def test_only_voxels_above_a_region_are_written_again(
    format: str, method: str, footprint: None, tmp_path: Path
) -> None:
    rng = np.random.default_rng(4)
    volume = rng.integers(0, 6, (64, 40, 50)).astype(np.uint32)
    where, once = tmp_path / "t", tmp_path / "once"
    arguments: dict[str, Any] = {"factor": 2, "levels": 3, "method": method, "chunks": (8, 8, 8), "format": format}
    arguments |= {"grid": Grid(volume.shape, "xyz"), "force": True}
    store.build(volume, where, **arguments)
    changed = {"x": (5, 20), "y": (30, 39), "z": (0, 9)}
    volume[tuple(slice(*changed[axis]) for axis in "xyz")] = rng.integers(0, 6, (15, 9, 9))
    axes = open_volume(Location.at(where)).grids[0].axes
    region = [changed.get(axis, (0, 1)) for axis in axes]
    part = volume[tuple(slice(*changed[axis]) for axis in "xyz")]
    part = part.transpose(["xyz".index(axis) for axis in axes if axis in "xyz"])
    opened(where)[tuple(slice(*span) for span in region)].write(part.reshape([b - a for a, b in region])).result()
    before = {path: path.stat().st_mtime_ns for path in where.rglob("*") if path.is_file()}
    plan = store.plan(where, region=region)
    assert len(plan.numbers) < plan.blocks
    report, told = store.running.complete(plan), plan.describe()
    assert (report.bytes_read, report.bytes_written) == (told["bytes_to_read"], told["bytes_to_write"])
    assert told["bytes_to_read"] < volume.nbytes
    same = [path for path, time in before.items() if path.stat().st_mtime_ns == time]
    assert len(same) > len(before) * 0.5, "far from the change nothing was written"
    store.build(volume, once, **arguments)
    for got, want in zip(read(where, "xyz"), read(once, "xyz"), strict=True):
        np.testing.assert_array_equal(got, want)
    assert store.check(where).ok


def test_invalid_regions_and_masks_are_errors(tmp_path: Path) -> None:
    volume = np.zeros((32, 32), np.uint8)
    store.build(volume, tmp_path / "t", levels=1, factor=2, chunks=(8, 8))
    store.build(volume, tmp_path / "bare", levels=0, chunks=(8, 8))
    for source, more, match in (
        (tmp_path / "t", {"region": [(0, 33), (0, 4)]}, "region: .* does not lie within"),
        (tmp_path / "t", {"region": [(0, 4)]}, "region"),
        (tmp_path / "t", {"region": 5}, "region: 5 is not"),
        (tmp_path / "bare", {"region": [(0, 4), (0, 4)]}, "region: needs a store that has levels already"),
        (tmp_path / "t", {"region": [(0, 4), (0, 4)], "mask": volume}, "mask: not with a region"),
        (volume, {"target": tmp_path / "new", "mask": volume[:5]}, "mask: has shape"),
        (volume, {"target": tmp_path / "new", "recursive": True}, "recursive: allowed for medians only"),
        (volume, {"target": tmp_path / "new", "link": True}, "link: needs a store as source"),
    ):
        given: dict[str, Any] = dict(more)
        with pytest.raises(ValueError, match=match):
            store.plan(source, **given)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("format", FORMATS)
def test_updating_an_unchanged_region_changes_nothing(format: str, tmp_path: Path) -> None:
    """The store records how its levels were made, including voxel_offset."""
    volume = np.random.default_rng(9).integers(0, 255, (17, 18, 19)).astype(np.uint8)
    grid = Grid(volume.shape, "xyz", voxel_offset=(5, 3, 1))
    for number, more in enumerate(({"method": "median", "recursive": True}, {"rounding": "floor", "ignore": 7})):
        where = tmp_path / str(number)
        given: dict[str, Any] = dict(more)
        store.build(volume, where, factor=2, levels=3, chunks=(8, 8, 8), format=format, grid=grid, **given)
        assert store.check(where).ok
        before = read(where, "xyz")
        axes = open_volume(Location.at(where)).grids[0].axes
        store.build(where, region=[(0, 4) if axis in "xyz" else (0, 1) for axis in axes])
        for got, want in zip(read(where, "xyz"), before, strict=True):
            np.testing.assert_array_equal(got, want)
        assert store.check(where).ok
        for name, value in (
            ("factor", (2, 2, 1)),
            ("levels", 2),
            ("method", "max"),
            ("ignore", 3),
            ("chunks", (4, 4, 4)),
        ):
            wrong: dict[str, Any] = {name: value}
            with pytest.raises(ValueError, match=f"{name}: not with a region"):
                store.build(where, region=[(0, 1)] * len(axes), **wrong)


def test_a_region_needs_a_method_if_the_store_records_none(tmp_path: Path) -> None:
    volume = np.random.default_rng(9).integers(0, 255, (20, 20)).astype(np.uint8)
    store.build(volume, tmp_path / "t", factor=2, levels=2, method="max", chunks=(8, 8))
    meta = json.loads((tmp_path / "t" / "zarr.json").read_text())
    for name in ("type", "metadata"):
        del meta["attributes"]["ome"]["multiscales"][0][name]
    (tmp_path / "t" / "zarr.json").write_text(json.dumps(meta))
    with pytest.raises(ValueError, match=r"method: .* does not say how"):
        store.plan(tmp_path / "t", region=[(0, 4), (0, 4)])
    store.build(tmp_path / "t", region=[(0, 4), (0, 4)], method="max")
    assert store.check(tmp_path / "t").ok


@pytest.mark.parametrize("parameter", ["mask", "exclude"])
def test_axes_of_a_mask_are_matched_by_name(parameter: str, tmp_path: Path) -> None:
    """The same voxels in every format, and as the array that they came from, give the same levels."""
    rng = np.random.default_rng(10)
    volume, mask = rng.integers(0, 255, (12, 12, 12)).astype(np.uint8), np.zeros((12, 12, 12), np.uint8)
    mask[:5, :, 3:] = 1
    masks: list[Any] = [mask, mask.astype(bool)]
    for format in FORMATS:
        store.build(mask, tmp_path / f"mask-{format}", levels=0, format=format, method="mean")
        masks.append(tmp_path / f"mask-{format}")
    store.build(volume, tmp_path / "base", levels=0)
    want = read_after(tmp_path / "want", tmp_path / "base", parameter, mask, "ome-zarr-0.5")
    for number, given in enumerate(masks):
        for format in FORMATS:
            where = tmp_path / f"{number}-{format}"
            for got, wanted in zip(read_after(where, tmp_path / "base", parameter, given, format), want, strict=True):
                np.testing.assert_array_equal(got, wanted)
            for other in masks:
                options: dict[str, Any] = {parameter: other}
                assert store.check(where, **options).ok
    for wrong, kind in ((5, TypeError), (mask[:3], ValueError), (mask.astype("U1"), store.StoreError)):
        options = {parameter: wrong}
        with pytest.raises(kind, match=f"^{parameter}: "):
            store.plan(tmp_path / "base", tmp_path / "new", **options)


def read_after(where: Path, source: Path, parameter: str, voxels: Any, format: str) -> list[Array]:
    options: dict[str, Any] = {parameter: voxels}
    store.build(source, where, format=format, factor=2, levels=2, **options)
    return read(where, "zyx")


def test_recursive_medians_are_built_and_recorded(footprint: None, tmp_path: Path) -> None:
    """They are built only with recursive=True, where the median of the base needs too much memory."""
    volume = np.random.default_rng(5).integers(0, 200, (40, 50, 33)).astype(np.uint8)
    target = tmp_path / "t"
    store.build(volume, target, factor=2, levels=3, method="median", recursive=True, chunks=(8, 8, 8))
    want: Array = volume
    for got in read(target, "zyx"):
        np.testing.assert_array_equal(got, want)
        want = tinypyr.downsample(want, 2, "median")
    assert open_volume(Location.at(target)).notes["recursive"] is True
    assert store.check(target).ok


@pytest.mark.parametrize("format", ["ome-zarr-0.5", "ome-zarr-0.4"])
def test_a_linked_base_is_not_copied(format: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    volume = np.random.default_rng(6).integers(0, 200, (40, 50)).astype(np.uint8)
    source, target = tmp_path / "s", tmp_path / "t"
    store.build(volume, source, levels=0, chunks=(8, 8), format=format)
    before = {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    assert cli.main(["build", str(source), str(target), "--link", "--format", format, "--factor", "2"]) == 0
    assert (target / "0").is_symlink()
    for got, want in zip(read(target, "yx"), in_memory(volume, store.plan(source)), strict=True):
        np.testing.assert_array_equal(got, want)
    assert store.check(target).ok
    assert {path: path.read_bytes() for path in source.rglob("*") if path.is_file()} == before
    capsys.readouterr()
    assert cli.main(["build", str(source), str(tmp_path / "n5"), "--link", "--format", "n5"]) == 2
    assert "link" in capsys.readouterr().err
    assert not (tmp_path / "n5").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder in a file system of 1 MiB."""
    where = tmp_path / "disk"
    where.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(where)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small file system needs the rights to do so")
    yield where
    subprocess.run(["umount", str(where)], check=True)


def test_a_full_disk_is_an_error_and_the_build_resumes(small_disk: Path) -> None:
    volume = np.random.default_rng(0).integers(0, 255, (128, 128, 128)).astype(np.uint8)
    target = small_disk / "t"
    arguments: dict[str, Any] = {"chunks": (32, 32, 32), "factor": 2, "levels": 2}
    with pytest.raises(store.StoreError, match="No space left on device"):
        store.build(volume, target, **arguments)
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    store.build(volume, target, **arguments)
    assert store.check(target).ok
    for got, want in zip(
        read(target, "zyx"), in_memory(volume, store.plan(volume, "memory://n", **arguments)), strict=True
    ):
        np.testing.assert_array_equal(got, want)


def test_panels_of_a_preview_show_the_same_part_of_the_world(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All levels of boxes of 8 voxels give the same picture."""
    rng = np.random.default_rng(7)
    labels = np.repeat(np.repeat(rng.integers(1, 9, (8, 6)), 8, axis=0), 8, axis=1).astype(np.uint32)
    volume = np.repeat(labels[np.newaxis], 4, axis=0)
    grid = Grid(volume.shape, "zyx", scale=(30, 4, 4), translation=(5, 6, 7), units=["nanometer"] * 3)
    for format in FORMATS:
        where, out = tmp_path / format, tmp_path / f"{format}.png"
        store.build(volume, where, factor=(1, 2, 2), levels=3, format=format, grid=grid, chunks=(8, 8, 8))
        assert cli.main(["preview", str(where), "--out", str(out)]) == 0
        picture = store.preview(where)
        assert out.read_bytes().startswith(b"\x89PNG")
        high, wide = 64 * 6, 48 * 6  # each voxel is 6 pixels
        panels = [picture[-high - 12 : -12, 12 + k * (wide + 12) :][:, :wide] for k in range(4)]
        assert np.unique(panels[0].reshape(-1, 3), axis=0).shape[0] == np.unique(labels).size
        for panel in panels:
            np.testing.assert_array_equal(panel, panels[0])
        np.testing.assert_array_equal(panels[0][:48:6, :48:6], np.broadcast_to(panels[0][0, 0], (8, 8, 3)))
    meta = tmp_path / "ome-zarr-0.5" / "zarr.json"
    meta.write_text(meta.read_text().replace('"type": "translation"', '"type": "identity"'))
    picture = store.preview(tmp_path / "ome-zarr-0.5")
    first, last = (picture[-high - 12 : -12, 12 + k * (wide + 12) :][:, :wide] for k in (0, 3))
    assert (first != last).any()
    assert cli.main(["preview", str(tmp_path / "nowhere")]) == 1
    assert "nothing here" in capsys.readouterr().err


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize("axes", ["x", "yx", "tcyx", "tczyx"])
def test_previews_of_any_axes_and_dtypes_have_three_channels(axes: str, dtype: str) -> None:
    shape = [2 if axis in "tc" else 40 for axis in axes]
    volume = np.random.default_rng(8).random(shape).astype(dtype)
    factor = [1 if axis in "tc" else 2 for axis in axes]
    where = f"memory://preview-{axes}-{dtype}"
    store.build(volume, where, factor=factor, levels=2, format="n5", grid=Grid(shape, axes))
    picture = store.preview(where)
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3


def test_sample_stores_of_the_demo_are_built_by_their_method(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "sample"
    assert cli.main(["demo", "--shape", "70", "50", "9", "--store", str(folder)]) == 0
    for name, method in (("image", "mean"), ("labels", "mode")):
        where = folder / f"{name}.ome.zarr"
        assert cli.main(["build", str(where), "--levels", "2"]) == 0
        assert cli.main(["check", str(where)]) == 0
        assert open_volume(Location.at(where)).notes["method"] == method
    capsys.readouterr()
    assert cli.main(["demo", "--shape", "70", "50", "9", "--store", str(folder)]) == 1
    assert "exists already" in capsys.readouterr().err
