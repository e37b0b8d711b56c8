"""Stores of other tools, and stores that change during a build: foreign files are kept, missing chunks are noticed."""

from __future__ import annotations

import gzip
import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinypyr

ts = pytest.importorskip("tensorstore", reason="stores are read and written through TensorStore")
from support.stores import FORMATS, Array, entries_of, files, raw, raw_levels, write_array, write_ome  # noqa: E402
from tinypyr import store  # noqa: E402
from tinypyr.store.tuning import tuned  # noqa: E402

ZYX = ["z", "y", "x"]


@pytest.fixture(autouse=True)
def unsynced() -> Iterator[None]:
    """Skip fsync, because these stores need not survive a crash."""
    with tuned(sync_files=False):
        yield


@pytest.fixture
def many_blocks() -> Iterator[None]:
    """Divide small volumes into many blocks."""
    with tuned(small_block=0):
        yield


def noise(*shape: int, dtype: str = "uint8") -> Array:
    return np.random.default_rng(0).integers(1, 200, shape).astype(dtype)


# --- foreign files at the places of levels ---


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("listed", [False, True])
def test_an_array_that_is_not_a_level_is_not_overwritten(listed: bool, version: str, tmp_path: Path) -> None:
    other = {"name": "second", "axes": [{"name": axis, "type": "space"} for axis in ZYX]}
    other["datasets"] = [{"path": "1", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1]}]}]
    where = write_ome(tmp_path / "t", noise(32, 32, 32), ZYX, version, entries=[other] if listed else [])
    write_array(where / "1", noise(16, 16, 16), version=version)
    before = files(where)
    with pytest.raises(store.StoreError, match=r"t/1: level 1 would be written there, but it holds .* already"):
        store.build(where, factor=2, levels=1, progress=False)
    assert files(where) == before


@pytest.mark.parametrize("name", [".zgroup", "0/.zarray", "notes.txt"])
def test_a_group_or_a_file_where_a_level_belongs_is_refused(name: str, tmp_path: Path) -> None:
    where = write_ome(tmp_path / "t", noise(32, 32), ["y", "x"])
    (where / "2" / name).parent.mkdir(parents=True)
    (where / "2" / name).write_text("{}")
    with pytest.raises(store.StoreError, match=f"t/2: level 2 would be written there, but it holds {name}"):
        store.plan(where, factor=2, levels=2)


@pytest.mark.parametrize("format", FORMATS)
def test_foreign_files_in_a_new_target_are_not_overwritten(format: str, tmp_path: Path) -> None:
    path = store.plan(noise(8, 8, 8), tmp_path / "t", format=format, levels=1, factor=2).paths[1]
    (tmp_path / "t" / path).mkdir(parents=True)
    (tmp_path / "t" / path / "mine.txt").write_text("kept")
    with pytest.raises(store.StoreError, match=r"level 1 would be written there, but it holds mine\.txt already"):
        store.build(noise(8, 8, 8), tmp_path / "t", format=format, levels=1, factor=2, progress=False)
    assert files(tmp_path / "t") == {path: None, f"{path}/mine.txt": b"kept"}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_other_entries_of_multiscales_are_kept_as_they_are(version: str, tmp_path: Path) -> None:
    other = {"name": "second", "mine": [1, {"two": 3}], "axes": [], "datasets": [{"path": "elsewhere"}]}
    where = write_ome(tmp_path / "t", noise(32, 32, 32), ZYX, version, entries=[other])
    write_array(where / "elsewhere", noise(4, 4, 4), version=version)
    kept = entries_of(where)[1]
    store.build(where, factor=2, levels=1, progress=False)
    entries = entries_of(where)
    assert entries[1:] == [kept]
    assert [dataset["path"] for dataset in entries[0]["datasets"]] == ["0", "1"]
    np.testing.assert_array_equal(raw(where / "elsewhere", "zarr3" if version == "0.5" else "zarr"), noise(4, 4, 4))


def test_other_entries_are_not_listed_by_a_copy_without_their_arrays(tmp_path: Path) -> None:
    where = write_ome(tmp_path / "t", noise(8, 8), ["y", "x"], entries=[{"name": "second", "datasets": [], "axes": []}])
    store.build(where, tmp_path / "copy", format="ome-zarr-0.4", levels=0, progress=False)
    assert len(entries_of(tmp_path / "copy")) == 1


# --- chunks that would be read as empty ---


def precomputed(where: Path, labels: Array, encoding: str = "raw") -> Path:
    """Write a volume with one level, and return the folder of its chunks."""
    scale: dict[str, Any] = {"size": labels.shape, "encoding": encoding, "chunk_size": [32, 32, 16]}
    scale |= {"resolution": [4, 4, 40], "voxel_offset": [0, 0, 0]}
    if encoding != "raw":
        scale["compressed_segmentation_block_size"] = [8, 8, 8]
    spec = {"driver": "neuroglancer_precomputed", "kvstore": {"driver": "file", "path": f"{where}/"}}
    whole = {"data_type": "uint64", "num_channels": 1, "type": "segmentation"}
    handle = ts.open({**spec, "multiscale_metadata": whole, "scale_metadata": scale}, create=True).result()
    handle.write(labels[..., np.newaxis]).result()
    return where


@pytest.mark.parametrize("encoding", ["raw", "compressed_segmentation"])
@pytest.mark.parametrize("suffix", [".gz", ".br", ".zstd"])
@pytest.mark.parametrize("all_of_them", [True, False])
def test_chunks_under_names_of_compressed_files_are_refused(
    all_of_them: bool, suffix: str, encoding: str, tmp_path: Path
) -> None:
    where = precomputed(tmp_path / "t", noise(64, 64, 32, dtype="uint64"), encoding)
    chunks = sorted((where / "4_4_40").iterdir())
    for chunk in chunks if all_of_them else chunks[-1:]:
        chunk.with_name(chunk.name + suffix).write_bytes(gzip.compress(chunk.read_bytes()))
        chunk.unlink()
    before = files(where)
    for read in (lambda: store.build(where, progress=False), lambda: store.levels(where), lambda: store.preview(where)):
        with pytest.raises(store.StoreError, match=rf"4_4_40/\d.*\{suffix}: chunks compressed .* decompress them"):
            read()
    assert files(where) == before


def test_zarr_whose_metadata_does_not_say_how_chunks_are_named_is_refused(tmp_path: Path) -> None:
    """Some writers omitted dimension_separator for nested chunks; readers use the default "." then."""
    where = write_ome(tmp_path / "t", noise(32, 32, 32), ZYX, chunks=(16, 16, 16))
    meta = json.loads((where / "0/.zarray").read_text())
    del meta["dimension_separator"]
    (where / "0/.zarray").write_text(json.dumps(meta))
    with pytest.raises(store.StoreError, match=r"no file is named as its metadata .* there is ./././?; the volume"):
        store.plan(where, levels=1)


@pytest.mark.parametrize(("version", "name"), [("0.4", "0.0.0"), ("0.5", "0.0.0"), ("0.5", "c.0.0.0")])
def test_flat_chunk_files_of_a_nested_array_are_refused(version: str, name: str, tmp_path: Path) -> None:
    where = write_ome(tmp_path / "t", noise(8, 8, 8), ZYX, version)
    (where / "0" / ("c/0/0/0" if version == "0.5" else "0/0/0")).rename(where / "0" / name)
    with pytest.raises(store.StoreError, match=f"there is {name}; the volume would be read as empty"):
        store.plan(where, levels=1)


@pytest.mark.parametrize("format", FORMATS)
def test_an_empty_volume_is_built_with_a_warning(format: str, tmp_path: Path) -> None:
    """Chunks of the fill value need not be stored, so that the volume may be valid."""
    store.build(np.zeros((8, 8, 8), np.uint8), tmp_path / "t", format=format, levels=0, progress=False, skip_empty=True)
    with pytest.warns(UserWarning, match="source: .* has no chunks, so every voxel of it is the fill value"):
        store.build(tmp_path / "t", levels=1, factor=2, progress=False)
    assert store.check(tmp_path / "t").ok


def test_an_empty_mask_gives_a_warning(tmp_path: Path) -> None:
    store.build(np.zeros((8, 8, 8), np.uint8), tmp_path / "mask", levels=0, progress=False)
    with pytest.warns(UserWarning, match="mask: .* has no chunks"):
        store.plan(noise(8, 8, 8), tmp_path / "t", levels=1, factor=2, mask=tmp_path / "mask")


@pytest.mark.parametrize("format", FORMATS)
def test_some_missing_chunks_give_no_warning(format: str, tmp_path: Path) -> None:
    volume = np.zeros((16, 16, 16), np.uint8)
    volume[8:, 8:, 8:] = 1
    store.build(volume, tmp_path / "t", format=format, chunks=(8, 8, 8), levels=0, progress=False)
    with warnings.catch_warnings(record=True) as caught:
        store.build(tmp_path / "t", levels=1, factor=2, method="mean", progress=False)
    assert caught == []


# --- a source that changes during a build ---


def rewrite(where: Path) -> None:
    handle = ts.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{where}/0/"}}).result()
    handle.write(np.full(handle.shape, 7, np.uint8)).result()


def remove_metadata(where: Path) -> None:
    (where / "0" / "zarr.json").unlink()


CHANGES: dict[str, Callable[[Path], None]] = {
    "overwritten": rewrite,
    "removed": shutil.rmtree,
    "without metadata": remove_metadata,
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("in_place", [False, True])
def test_a_source_that_changes_during_a_build_is_an_error(
    in_place: bool, change: str, tmp_path: Path, many_blocks: None
) -> None:
    where = write_ome(tmp_path / "s", noise(40, 64, 64), ZYX, "0.5", chunks=(8, 16, 16))
    target = None if in_place else tmp_path / "t"
    told = list[store.Progress]()

    def watch(progress: store.Progress) -> None:
        if not told:
            CHANGES[change](where)
        told.append(progress)

    arguments: dict[str, Any] = {"factor": 2, "levels": 2, "workers": 1, "block": "32KiB"}
    with pytest.raises(store.StoreError):
        store.build(where, target, progress=watch, **arguments)
    assert len(told) > 2
    written = where if in_place else tmp_path / "t"
    assert not (written / "zarr.json").exists() or len(entries_of(written)[0]["datasets"]) == 1, "called finished"


def test_without_resume_a_changed_source_is_built_again(tmp_path: Path, many_blocks: None) -> None:
    where = write_ome(tmp_path / "s", noise(40, 64, 64), ZYX, "0.5", chunks=(8, 16, 16))
    arguments: dict[str, Any] = {"factor": 2, "levels": 2, "workers": 1, "block": "32KiB"}
    told = list[store.Progress]()

    def watch(progress: store.Progress) -> None:
        if not told:
            rewrite(where)
        told.append(progress)

    with pytest.raises(store.StoreError, match=r"changed or was removed during the build.*resume=False"):
        store.build(where, progress=watch, **arguments)
    with pytest.raises(store.StoreError, match="source that has changed since"):
        store.build(where, progress=False, **arguments)
    report = store.build(where, progress=False, resume=False, **arguments)
    assert report.blocks_kept == 0
    assert [np.unique(level).tolist() for level in raw_levels(where)] == [[7], [7], [7]]


def test_blocks_from_a_source_that_was_removed_are_not_kept(tmp_path: Path, many_blocks: None) -> None:
    """A source that was removed and restored was read as empty meanwhile."""
    volume = noise(40, 64, 64)
    where = write_ome(tmp_path / "s", volume, ZYX, "0.5", chunks=(8, 16, 16))
    arguments: dict[str, Any] = {"factor": 2, "levels": 2, "workers": 1, "block": "32KiB"}
    told = list[store.Progress]()

    def watch(progress: store.Progress) -> None:
        if not told:
            where.rename(tmp_path / "away")
        told.append(progress)

    with pytest.raises(store.StoreError):
        store.build(where, tmp_path / "t", progress=watch, **arguments)
    (tmp_path / "away").rename(where)
    store.build(where, tmp_path / "t", progress=False, **arguments)
    for level, expected in zip(raw_levels(tmp_path / "t")[1:], tinypyr.pyramid(volume, 2, levels=2), strict=True):
        np.testing.assert_array_equal(level, expected)


# --- updates of levels written by other tools ---


@pytest.mark.parametrize(("scale", "shape"), [(2.0, (6, 31, 31)), (3.0, (6, 32, 32))])
def test_a_region_is_refused_if_a_level_has_not_the_shape_of_its_scale(
    scale: float, shape: tuple[int, ...], tmp_path: Path
) -> None:
    """Extents are rounded down, or the scale is not the factor, so that blocks would not match voxels."""
    where = write_ome(tmp_path / "t", noise(6, 63, 63), ZYX, chunks=(6, 16, 16))
    write_array(where / "1", noise(*shape), [6, 16, 16])
    attributes = json.loads((where / ".zattrs").read_text())
    step = {"type": "scale", "scale": [1.0, scale, scale]}
    attributes["multiscales"][0]["datasets"].append({"path": "1", "coordinateTransformations": [step]})
    (where / ".zattrs").write_text(json.dumps(attributes))
    before = files(where)
    with pytest.raises(store.StoreError, match=r"t/1: level 1 has shape .* but its scale .* implies"):
        store.build(where, region=[(0, 6), (0, 63), (0, 63)], method="mean", progress=False)
    assert files(where) == before
