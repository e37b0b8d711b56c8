"""Harmful metadata gives a clear error in little time and memory; nothing outside the store is read or written."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorstore", reason="stores need TensorStore")

from tinypyr import store

NAN, INF = float("nan"), float("inf")
ENTRY = ("attributes", "ome", "multiscales", 0)
SCALE = (*ENTRY, "datasets", 0, "coordinateTransformations", 0, "scale")

Way = tuple[Any, ...]
#: A file of a store, the path of a value in it, and the harmful value.
CHANGES: list[tuple[str, Way, list[Any]]] = [
    (
        "0/zarr.json",
        ("shape",),
        [
            [2**62, 2**62], [10**30, 64], [0, 64], [-5, 64], [64.5, 64], [NAN, 64], [INF, 64], ["64", 64], [64],
            [64] * 33, [9, *[1e308] * 40], [1] * 10**6, None, {}, [[64], 64], [True, 64],
        ],
    ),
    (
        "0/zarr.json",
        ("chunk_grid", "configuration", "chunk_shape"),
        [None, [], [2**40, 2**40], [2**20, 2**20], [0, 16], [-1, 16], [16], [1.5, 16], ["a", 2]],
    ),
    ("0/zarr.json", ("data_type",), ["object", "|O", "r8", "string", None, 5, "uint7", {"name": "numpy.datetime64"}]),
    ("0/zarr.json", ("codecs",), [[], [{"name": "of_my_own"}]]),
    ("0/zarr.json", ("fill_value",), ["NaN"]),
    (
        "zarr.json",
        (*ENTRY, "datasets", 0, "path"),
        ["../outside", "..", "0/../../outside", "/etc", "a\0b", "\\..\\outside", "", 5, None, "x" * 5000],
    ),
    ("zarr.json", SCALE, [[NAN, 1], [0, 0], [-1, 1], [INF, 1], ["a", 1], [1], None]),
    ("zarr.json", (*ENTRY, "axes"), [[], [{"name": "x"}] * 2, [{"name": "x"}] * 10**5]),
    ("zarr.json", (*ENTRY, "axes", 0, "name"), ["\ud800"]),
    ("zarr.json", (*ENTRY, "datasets"), [[], {}, [{"path": "0"}] * 10**5]),
    ("zarr.json", (*ENTRY, "metadata", "voxel_offset"), [{"y": 2**70, "x": -1}, [1, 2]]),
]  # fmt: skip
CASES = [(file, way, value) for file, way, values in CHANGES for value in values]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("hostile") / "good"
    array = (np.arange(64 * 64) % 251).astype(np.uint8).reshape(64, 64)
    store.build(array, where, levels=1, factor=2, chunks=(16, 16))
    return where


def spoil(where: Path, file: str, way: tuple[Any, ...], value: Any) -> None:
    """Replace a value in a JSON file of a store, after removing the checksums."""
    root = json.loads((where / "zarr.json").read_text())
    root["attributes"]["ome"]["multiscales"][0]["metadata"].pop("arrays")
    (where / "zarr.json").write_text(json.dumps(root))
    content = json.loads((where / file).read_text())
    inner = content
    for step in way[:-1]:
        inner = inner[step]
    inner[way[-1]] = value
    (where / file).write_text(json.dumps(content))


PROGRAM = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from tinypyr import store

held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + (1 << 30),) * 2)
for where in map(Path, sys.argv[1:]):
    out = where.with_name("out")
    for refuses in (store.plan, store.build):
        signal.alarm(20)  # (ends the process, should one of them go on for ever)
        try:
            refuses(where, out, factor=2, levels=1)
        except (store.StoreError, ValueError, TypeError) as error:
            assert "Traceback" not in str(error) and len(str(error)) < 2000, str(error)[:500]
        else:
            raise AssertionError(f"{where}: accepted by {refuses.__name__}")
    assert not out.exists(), where
"""


def test_harmful_metadata_is_refused_in_little_time_and_memory(good: Path, tmp_path: Path) -> None:
    """All cases run in one process that may allocate 1 GiB."""
    secret = good.parent / "outside"
    shutil.copytree(good / "0", secret, dirs_exist_ok=True)
    shutil.copytree(secret, tmp_path / "outside")
    places = []
    for number, (file, way, value) in enumerate(CASES):
        where = tmp_path / str(number)
        shutil.copytree(good, where)
        spoil(where, file, way, value)
        places.append(where)
    for name, text in (
        ("deep", '{"a":' * 10**5 + "1" + "}" * 10**5),
        ("cut", '{"zarr_format": 3, "node'),
        ("none", ""),
    ):
        shutil.copytree(good, tmp_path / name)
        (tmp_path / name / "zarr.json").write_text(text)
        places.append(tmp_path / name)
    assert len(places) >= 40
    done = subprocess.run([sys.executable, "-c", PROGRAM, *map(str, places)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("noted", [2**62, -1, "many", 1.5, [3]])
def test_a_recorded_ignore_that_is_not_of_the_dtype_is_an_error(noted: Any, good: Path, tmp_path: Path) -> None:
    shutil.copytree(good, tmp_path / "store")
    spoil(tmp_path / "store", "zarr.json", (*ENTRY, "metadata", "ignore"), noted)
    with pytest.raises(store.StoreError, match=r"levels ignore .*, which is not a value of uint8"):
        store.check(tmp_path / "store")


@pytest.mark.parametrize("noted", [None, 5, "yx", [3, None, "y"], ["x", "x", "q"]])
def test_an_invalid_recorded_order_is_replaced_by_the_axes(noted: Any, good: Path, tmp_path: Path) -> None:
    shutil.copytree(good, tmp_path / "store")
    spoil(tmp_path / "store", "zarr.json", (*ENTRY, "metadata", "order"), noted)
    assert store.check(tmp_path / "store").ok


def test_a_decompression_bomb_is_an_error(tmp_path: Path) -> None:
    """A chunk of 4 KiB decompresses to 3 GiB."""
    array = np.ones((64, 64), np.uint8)
    store.build(array, tmp_path / "in", levels=0, chunks=(64, 64), codec="gzip", format="ome-zarr-0.4")
    packer = zlib.compressobj(1, wbits=31)
    packed = b"".join(packer.compress(bytes(1 << 24)) for _ in range(192)) + packer.flush()
    (tmp_path / "in" / "0" / "0" / "0").write_bytes(packed)
    program = PROGRAM.replace("(store.plan, store.build)", "(store.build,)").replace("assert not out", "assert out")
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "in")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("name", ["1", ".tinypyr"])
def test_links_that_lead_out_are_not_written_through(name: str, tmp_path: Path) -> None:
    where, outside = tmp_path / "in", tmp_path / "outside"
    store.build(np.ones((64, 64), np.uint8), where, levels=0, chunks=(16, 16))
    outside.mkdir()
    (where / name).symlink_to(outside)
    with pytest.raises(store.StoreError, match=rf"{name} is a link that leads out of the store"):
        store.build(where, levels=1, factor=2)
    assert not list(outside.iterdir())
    (where / name).unlink()
    assert store.build(where, levels=1, factor=2).blocks_done > 0


def test_a_level_whose_chunks_exceed_memory_is_refused(tmp_path: Path) -> None:
    """TensorStore would end the process when it decodes such a chunk."""
    volume = np.random.default_rng(0).integers(0, 40, (12, 20, 17)).astype(np.uint32)
    where = tmp_path / "t"
    store.build(volume, where, format="precomputed", factor=2, levels=2, chunks=(8, 8, 8), progress=False)
    info = json.loads((where / "info").read_text())
    info["scales"][2]["chunk_sizes"] = [[2**53, 6, 5]]
    (where / "info").write_text(json.dumps(info))
    with pytest.raises(store.StoreError, match=r"has chunks of .* voxels, more than the whole array"):
        store.check(where)
