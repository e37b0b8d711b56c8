"""Sources that change or vanish for a while, updates that are interrupted, metadata that arguments override."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinypyr
from tinypyr import Grid

ts = pytest.importorskip("tensorstore", reason="stores are read and written through TensorStore")
from support.stores import Array, entries_of, listed_axes, raw, raw_levels, write_ome  # noqa: E402
from tinypyr import store  # noqa: E402
from tinypyr.store.tuning import tuned  # noqa: E402

ZYX = ["z", "y", "x"]
BLOCKS: dict[str, Any] = {"factor": 2, "levels": 1, "block": "32KiB", "workers": 1}


@pytest.fixture(autouse=True)
def many_blocks() -> Iterator[None]:
    """Divide small volumes into many blocks, and skip fsync."""
    with tuned(small_block=0, sync_files=False):
        yield


def noise(*shape: int) -> Array:
    return np.random.default_rng(0).integers(1, 200, shape).astype(np.uint8)


def written(where: Path, array: Array, version: str = "0.5") -> Path:
    return write_ome(where, array, ZYX, version, chunks=(8, 16, 16))


class Acts:
    """A progress function that acts after given numbers of blocks."""

    def __init__(self, **actions: Any) -> None:
        self.actions = {int(key.removeprefix("after_")): action for key, action in actions.items()}
        self.count = 0

    def __call__(self, progress: store.Progress) -> None:
        self.count += 1
        if self.count in self.actions:
            self.actions[self.count]()


def overwrite(where: Path) -> None:
    handle = ts.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{where}/0/"}}).result()
    handle.write(np.full(handle.shape, 7, np.uint8)).result()


def interrupt() -> None:
    raise KeyboardInterrupt


def test_a_source_restored_from_a_backup_after_an_interruption_is_not_resumed(tmp_path: Path) -> None:
    """The restored files have the names, sizes and times of before; blocks may have read other files meanwhile."""
    volume = noise(40, 64, 64)
    where = written(tmp_path / "s", volume)
    subprocess.run(["cp", "-a", str(where), str(tmp_path / "backup")], check=True)
    acts = Acts(after_2=lambda: overwrite(where), after_6=interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.build(where, tmp_path / "t", progress=acts, **BLOCKS)
    shutil.rmtree(where)
    subprocess.run(["cp", "-a", str(tmp_path / "backup"), str(where)], check=True)
    with pytest.raises(store.StoreError, match="resume=False"):
        store.build(where, tmp_path / "t", progress=False, **BLOCKS)
    store.build(where, tmp_path / "t", progress=False, resume=False, **BLOCKS)
    np.testing.assert_array_equal(raw_levels(tmp_path / "t")[0], volume)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("part", ["", "0", "0/c"])
def test_a_source_that_vanishes_for_a_while_is_an_error(part: str, lazy: bool, tmp_path: Path) -> None:
    """Missing chunks are read as the fill value; afterwards every file is as it was."""
    volume = noise(40, 64, 64)
    where = written(tmp_path / "s", volume)
    moved, away = where / part, tmp_path / "away"
    source: Any = where
    if lazy:
        source = tinypyr.Resampled(where, Grid(volume.shape, "zyx"))
    acts = Acts(after_2=lambda: moved.rename(away), after_5=lambda: away.rename(moved))
    with pytest.raises(store.StoreError):
        store.build(source, tmp_path / "t", progress=acts, chunks=(8, 16, 16), **BLOCKS)
    assert acts.count >= 5
    assert not (tmp_path / "t" / "zarr.json").exists(), "no metadata calls it finished"


def test_an_interrupted_update_of_a_region_is_not_forgotten(tmp_path: Path) -> None:
    volume = noise(64, 64, 64)
    where = written(tmp_path / "s", volume)
    store.build(where, progress=False, **BLOCKS)
    overwrite(where)
    with pytest.raises(KeyboardInterrupt):
        store.build(
            where, region=[(0, 32), (0, 64), (0, 64)], block="32KiB", workers=1, progress=Acts(after_1=interrupt)
        )
    with pytest.raises(store.StoreError, match=r"an update of the region .* has begun"):
        store.build(where, region=[(32, 64), (0, 64), (0, 64)], progress=False)
    store.build(where, region=[(0, 64), (0, 64), (0, 64)], progress=False)
    assert store.check(where).problems == []


@pytest.mark.parametrize("target", [None, "t"])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_units_and_types_of_a_given_grid_are_written(version: str, target: str | None, tmp_path: Path) -> None:
    where = written(tmp_path / "s", noise(8, 16, 16), version)
    grid = Grid((8, 16, 16), [("z", "channel"), "y", "x"], (1, 4, 4), units="nanometer")
    there = None if target is None else tmp_path / target
    store.build(where, there, format=f"ome-zarr-{version}", grid=grid, levels=1, factor=2, progress=False)
    axes = listed_axes(there or where)
    assert [axis.get("type") for axis in axes] == ["channel", "space", "space"]
    assert [axis.get("unit") for axis in axes] == [None, "nanometer", "nanometer"]


def test_the_metadata_of_axes_is_kept_where_no_grid_is_given(tmp_path: Path) -> None:
    where = written(tmp_path / "s", noise(8, 16, 16), "0.4")
    attributes = json.loads((where / ".zattrs").read_text())
    attributes["multiscales"][0]["axes"][1] |= {"unit": "um", "orientation": "up"}
    (where / ".zattrs").write_text(json.dumps(attributes))
    before = listed_axes(where)
    store.build(where, levels=1, factor=2, progress=False)
    assert listed_axes(where) == before


def test_compressed_chunks_behind_http_are_refused(tmp_path: Path) -> None:
    store.build(noise(32, 32, 32), tmp_path / "s", format="precomputed", levels=0, chunks=(16, 16, 16), progress=False)
    for chunk in (tmp_path / "s" / "1_1_1").iterdir():
        chunk.rename(chunk.with_name(chunk.name + ".gz"))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "s"))
    handler.func.log_message = lambda *_: None  # type: ignore[attr-defined]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            with pytest.raises(store.StoreError, match=r"\.gz: chunks compressed"):
                store.build(f"http://127.0.0.1:{server.server_port}/", tmp_path / "t", levels=1, progress=False)
        finally:
            server.shutdown()


def test_entries_of_an_n5_root_that_list_other_arrays_are_kept(tmp_path: Path) -> None:
    store.build(noise(16, 16, 16), tmp_path / "t", format="n5", levels=0, progress=False)
    attributes = json.loads((tmp_path / "t/attributes.json").read_text())
    others = [{"name": "other", "datasets": [{"path": "raw/s0"}]}, {"name": "third", "datasets": []}]
    attributes["multiscales"] = others
    (tmp_path / "t/attributes.json").write_text(json.dumps(attributes))
    store.build(tmp_path / "t", levels=1, factor=2, progress=False)
    kept = json.loads((tmp_path / "t/attributes.json").read_text())["multiscales"]
    assert kept[1:] == others
    assert [dataset["path"] for dataset in kept[0]["datasets"]] == ["s0", "s1"]


def test_a_precomputed_level_takes_another_key_than_its_base(tmp_path: Path) -> None:
    """Keys are free: a base may have the one that a level would get by its resolution."""
    grid = Grid((32, 32, 32), "xyz", (4, 4, 4), units="nm")
    store.build(noise(32, 32, 32), tmp_path / "t", format="precomputed", levels=0, grid=grid, progress=False)
    (tmp_path / "t/4_4_4").rename(tmp_path / "t/8_8_8")
    info = json.loads((tmp_path / "t/info").read_text())
    info["scales"][0]["key"] = "8_8_8"
    (tmp_path / "t/info").write_text(json.dumps(info))
    store.build(tmp_path / "t", levels=1, factor=2, progress=False)
    assert [scale["key"] for scale in json.loads((tmp_path / "t/info").read_text())["scales"]] == ["8_8_8", "8_8_8_1"]
    assert store.check(tmp_path / "t").problems == []


def test_a_file_at_the_path_of_a_level_is_refused_in_the_plan(tmp_path: Path) -> None:
    where = written(tmp_path / "s", noise(8, 16, 16))
    (where / "1").write_text("mine")
    with pytest.raises(store.StoreError, match=r"s/1: level 1 would be written there, but .* already"):
        store.plan(where, levels=1, factor=2)


def test_a_slash_at_the_end_of_a_listed_path_is_no_part_of_it(tmp_path: Path) -> None:
    volume = noise(8, 16, 16)
    where = written(tmp_path / "s", volume, "0.4")
    attributes = json.loads((where / ".zattrs").read_text())
    attributes["multiscales"][0]["datasets"][0]["path"] = "0/"
    (where / ".zattrs").write_text(json.dumps(attributes))
    store.build(where, levels=1, factor=2, progress=False)
    assert [dataset["path"] for dataset in entries_of(where)[0]["datasets"]] == ["0", "1"]
    np.testing.assert_array_equal(raw(where / "1", "zarr"), tinypyr.downsample(volume, 2))
