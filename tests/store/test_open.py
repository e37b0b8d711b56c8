"""tinypyr.open: volumes with lazy levels, metadata and labels, of stores and of files that have a reader."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

ts = pytest.importorskip("tensorstore", reason="reads and writes stores (the extra 'store')")

import tinypyr  # noqa: E402
from support.stores import FORMATS  # noqa: E402
from tinypyr import store  # noqa: E402

VOXELS = np.random.default_rng(5).integers(1, 200, (20, 24, 28), dtype=np.uint8)
GRID = tinypyr.Grid(VOXELS.shape, axes="xyz", scale=(4, 4, 8), units="nanometer")


def built(path: Path, format: str = "ome-zarr-0.5") -> Path:
    store.build(VOXELS, path, factor=2, levels=2, format=format, grid=GRID, chunks=(16, 16, 16), progress=False)
    return path


@pytest.mark.parametrize("format", FORMATS)
def test_levels_are_lazy_arrays_with_the_grids_of_the_store(format: str, tmp_path: Path) -> None:
    volume = tinypyr.open(built(tmp_path / "volume", format))
    assert volume.format == format
    assert [level.grid for level in volume.levels] == [level.grid for level in store.levels(tmp_path / "volume")]
    for level, expected in zip(volume.levels, [VOXELS, *tinypyr.pyramid(VOXELS, [(2, 2, 2)] * 2)], strict=True):
        names = level.grid.axes
        index = tuple(slice(None) if name in "xyz" else 0 for name in names)
        kept = [name for name in names if name in "xyz"]
        voxels = level[index].transpose([kept.index(name) for name in "xyz"])
        np.testing.assert_array_equal(voxels, expected)
        assert type(level[index]) is np.ndarray
        assert level.dtype == np.uint8
        assert (level.ndim, level.shape) == (len(names), level.grid.shape)


def test_a_level_returns_slices_integers_and_whole_arrays(tmp_path: Path) -> None:
    level = tinypyr.open(built(tmp_path / "volume", "n5")).levels[0]
    np.testing.assert_array_equal(level[2:5, 3], VOXELS[2:5, 3])
    np.testing.assert_array_equal(level[..., -1], VOXELS[..., -1])
    np.testing.assert_array_equal(np.asarray(level), VOXELS)
    np.testing.assert_array_equal(level.read((slice(1, 3), ...)).result(), VOXELS[1:3])
    assert level.chunks == (16, 16, 16)
    assert level.shards is None
    assert isinstance(level.array, ts.TensorStore)
    with pytest.raises(IndexError, match="step other than 1"):
        level[::2]


def test_the_repr_is_the_table_of_levels(tmp_path: Path) -> None:
    lines = repr(tinypyr.open(built(tmp_path / "volume", "n5"))).splitlines()
    assert lines[0] == f"{tmp_path / 'volume'}: n5, uint8, image"
    assert lines[1].split("  ")[0] == "level"
    assert "scale, nanometer" in lines[1]
    assert [line.split()[0] for line in lines[2:]] == ["s0", "s1", "s2"]
    assert "10 x 12 x 14" in lines[3]


@pytest.mark.parametrize("format", ["ome-zarr-0.5", "ome-zarr-0.4"])
def test_labels_below_an_image_are_opened_by_name(format: str, tmp_path: Path) -> None:
    path = built(tmp_path / "image", format)
    assert dict(tinypyr.open(path).labels) == {}
    store.build(VOXELS, path / "labels" / "cells", factor=2, levels=1, format=format, method="mode", progress=False)
    if format == "ome-zarr-0.4":
        (path / "labels" / ".zgroup").write_text('{"zarr_format": 2}')
        (path / "labels" / ".zattrs").write_text(json.dumps({"labels": ["cells", "gone"]}))
    else:
        attributes = {"ome": {"version": "0.5", "labels": ["cells", "gone"]}}
        group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        (path / "labels" / "zarr.json").write_text(json.dumps(group))
    volume = tinypyr.open(path)
    assert list(volume.labels) == ["cells", "gone"]
    assert repr(volume).endswith("labels: cells, gone")
    cells = volume.labels["cells"]
    assert cells.kind == "labels"
    np.testing.assert_array_equal(cells.levels[0][...], VOXELS)
    with pytest.raises(store.StoreError, match="nothing here"):
        volume.labels["gone"]
    with pytest.raises(KeyError, match="nuclei"):
        volume.labels["nuclei"]


@pytest.mark.parametrize("listed", [["../../image"], [""], [3], "cells", {"cells": 1}])
def test_labels_that_are_no_names_are_refused(listed: object, tmp_path: Path) -> None:
    path = built(tmp_path / "image", "ome-zarr-0.4")
    (path / "labels").mkdir()
    (path / "labels" / ".zattrs").write_text(json.dumps({"labels": listed}))
    volume = tinypyr.open(path)
    with pytest.raises(store.StoreError, match=r"labels|leads out"):
        list(volume.labels)
    assert "cannot be listed" in repr(volume)


def test_a_volume_and_its_levels_are_sources_in_this_and_other_processes(tmp_path: Path) -> None:
    volume = tinypyr.open(built(tmp_path / "volume", "n5"))
    store.build(volume, tmp_path / "copy", factor=2, levels=0, progress=False)
    np.testing.assert_array_equal(store.levels(tmp_path / "copy")[0].array.read().result().T, VOXELS)
    plan = store.plan(volume.levels[1], tmp_path / "coarse", factor=2, levels=1)
    assert plan.grids[0] == volume.levels[1].grid
    plan.save(tmp_path / "plan.json")
    loaded = store.Plan.load(tmp_path / "plan.json")
    store.run(loaded, progress=False)
    store.finalize(loaded)
    coarse = tinypyr.open(tmp_path / "coarse").levels[1]
    expected = tinypyr.downsample(tinypyr.downsample(VOXELS, 2), 2)
    np.testing.assert_array_equal(coarse[...].T, expected)
    fine = tinypyr.Grid(VOXELS.shape, axes="xyz", scale=(4, 4, 8))
    np.testing.assert_array_equal(tinypyr.resample(volume, fine), VOXELS)
    assert tinypyr.Resampled(volume, fine).recipe()["source"] == volume.url
    masked = store.build(VOXELS, tmp_path / "masked", grid=GRID, factor=2, levels=1, mask=volume, progress=False)
    assert masked.plan.mask is not None
    np.testing.assert_array_equal(tinypyr.resample(volume.levels[0], fine), VOXELS)


def test_a_file_that_a_reader_opens_has_one_level(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel", reason="reads NIfTI files (the extra 'nifti')")
    nibabel.save(nibabel.Nifti1Image(VOXELS, np.diag([0.5, 0.5, 2, 1])), tmp_path / "volume.nii.gz")
    volume = tinypyr.open(tmp_path / "volume.nii.gz")
    assert (volume.format, volume.kind, len(volume.levels)) == ("NIfTI", None, 1)
    assert volume.levels[0].grid.scale == (0.5, 0.5, 2)
    np.testing.assert_array_equal(volume.levels[0][3:9, 2], VOXELS[3:9, 2])
    assert repr(volume).startswith(f"{tmp_path / 'volume.nii.gz'}: NIfTI, uint8")


def test_everything_that_cannot_be_opened_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "damaged.nii").write_bytes(b"no NIfTI")
    paths: list[str | Path] = [tmp_path / "nothing", tmp_path, "unknown://scheme"]
    if importlib.util.find_spec("nibabel"):
        paths += [tmp_path / "damaged.nii", tmp_path / "missing.nii.gz"]
    for path in paths:
        with pytest.raises(store.StoreError):
            tinypyr.open(path)
    with pytest.raises(TypeError, match="neither a path nor a URL"):
        tinypyr.open(3)  # type: ignore[arg-type]


def test_an_array_that_is_missing_is_an_error_when_it_is_read(tmp_path: Path) -> None:
    path = built(tmp_path / "volume")
    volume = tinypyr.open(path)
    for file in (path / "1" / "c").rglob("*"):
        if file.is_file():
            file.write_bytes(b"damaged")
    with pytest.raises(store.StoreError, match=r"volume/1: voxels \[0:1"):
        volume.levels[1][0]
