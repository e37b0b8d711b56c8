"""Every encoding of precomputed, written and read by cloud-volume itself."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinypyr

pytest.importorskip("tensorstore", reason="stores are read and written through TensorStore")
from support.stores import Array, read
from tinypyr import Grid, store
from tinypyr.store.tuning import tuned

PYTHON = os.environ.get("TINYPYR_CLOUDVOLUME")
SCRIPT = Path(__file__).parents[1] / "support" / "cloud_volume.py"
pytestmark = pytest.mark.skipif(PYTHON is None, reason="TINYPYR_CLOUDVOLUME does not name a python with cloud-volume")

#: Encodings with the volumes that they can hold.
ENCODINGS = {
    "raw": "image",
    "jpeg": "image",
    "png": "image",
    "jxl": "image",
    "compressed_segmentation": "labels",
    "compresso": "labels",
    "crackle": "labels",
    "fpzip": "floats",
    "kempressed": "floats",
    "zfpc": "floats",
}
READABLE = ("raw", "jpeg", "png", "compressed_segmentation")
WRITTEN = {
    f"{encoding}{' sharded' if sharded else ''}": {"encoding": encoding, "sharded": sharded, "compress": False}
    for encoding in ENCODINGS
    for sharded in (False, True)
} | {f"raw as {code}": {"encoding": "raw", "sharded": False, "compress": code} for code in ("gzip", "br", "zstd")}
NEW = {f"new {kind}{' sharded' if sharded else ''}": (kind, sharded) for kind in ("image", "labels", "floats")
       for sharded in (False, True)}  # fmt: skip


def source(kind: str) -> Array:
    """Return a volume of noise, an eighth of which is empty."""
    random = np.random.default_rng(0)
    volume = random.integers(1, 255, (64, 64, 32)).astype({"labels": "uint32", "floats": "float32"}.get(kind, "uint8"))
    if kind == "labels":
        volume = np.repeat(np.repeat(volume[::8, ::8], 8, axis=0), 8, axis=1)
    volume[:32, :32, :16] = 0
    return volume


def run(command: str, folder: Path, volumes: list[Any]) -> dict[str, str]:
    """Run cloud-volume on all volumes, and return its errors."""
    (folder / "volumes.json").write_text(json.dumps(volumes))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([str(PYTHON), str(SCRIPT), command, str(folder)], check=True, env=environment)
    errors: dict[str, str] = json.loads((folder / "errors.json").read_text())
    return errors


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Build levels in all volumes, let cloud-volume read them, and return our errors."""
    folder, errors = tmp_path_factory.mktemp("volumes"), {}
    for kind in set(ENCODINGS.values()):
        np.save(folder / f"{kind}.npy", source(kind))
    volumes = []
    for name, volume in WRITTEN.items():
        kind = ENCODINGS[str(volume["encoding"])]
        kind_of_layer = "segmentation" if kind == "labels" else "image"
        volumes.append({"name": name, **volume, "source": f"{kind}.npy", "type": kind_of_layer, "chunks": [32, 32, 16]})
    assert run("write", folder, volumes) == {}
    with tuned(sync_files=False):
        for name in WRITTEN:
            try:
                store.build(folder / name, factor=(2, 2, 1), levels=1, progress=False)
            except store.StoreError as error:
                errors[name] = str(error)
        for name, (kind, sharded) in NEW.items():
            grid = Grid((64, 64, 32), "xyz", (4, 4, 40), units="nanometer")
            options: dict[str, Any] = {"shards": (64, 64, 32)} if sharded else {}
            options |= {"method": "mode" if kind == "labels" else "mean", "chunks": (32, 32, 16), "grid": grid}
            store.build(
                source(kind), folder / name, format="precomputed", factor=(2, 2, 1), levels=1, progress=False, **options
            )
    names = [name for name in [*WRITTEN, *NEW] if name not in errors]
    assert run("read", folder, names) == {}
    return folder, errors


@pytest.mark.parametrize("name", WRITTEN)
def test_levels_equal_those_of_the_voxels_that_cloud_volume_reads_or_one_sentence_says_why_not(
    name: str, built: tuple[Path, dict[str, str]]
) -> None:
    folder, errors = built
    volume = WRITTEN[name]
    if volume["compress"]:
        suffix = {"gzip": "gz"}.get(str(volume["compress"]), volume["compress"])
        assert f".{suffix}: chunks compressed under another name" in errors[name]
        return
    if volume["encoding"] not in READABLE:
        assert f"{name}/info: the encoding '{volume['encoding']}' is one that TensorStore" in errors[name]
        assert "{" not in errors[name]
        return
    base = np.load(folder / f"{name}.0.npy")
    np.testing.assert_array_equal(read(folder / name, "xyz")[0], base)
    level, seen = read(folder / name, "xyz")[1], np.load(folder / f"{name}.1.npy")
    np.testing.assert_array_equal(level, seen)
    result = store.check(folder / name)
    assert result.problems == []
    expected = tinypyr.downsample(base, (2, 2, 1), "mode" if ENCODINGS[volume["encoding"]] == "labels" else "mean")
    if volume["encoding"] == "jpeg":
        assert "level 1: voxels in the lossy encoding jpeg differ by up to" in str(result)
        assert np.abs(level.astype(int) - expected).mean() < 8
    else:
        np.testing.assert_array_equal(level, expected)


@pytest.mark.parametrize("name", NEW)
def test_cloud_volume_reads_new_volumes_without_filling_missing_chunks(
    name: str, built: tuple[Path, dict[str, str]]
) -> None:
    folder, _ = built
    for number, level in enumerate(read(folder / name, "xyz")):
        np.testing.assert_array_equal(np.load(folder / f"{name}.{number}.npy"), level)
