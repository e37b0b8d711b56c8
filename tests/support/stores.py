"""Helpers for tests of stores: reading levels, and levels in memory to compare with."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

import tinypyr
from tinypyr import store
from tinypyr.store.engines import Threads
from tinypyr.store.location import Location
from tinypyr.store.source import level_array, open_volume

Array = np.ndarray[Any, Any]
Files = dict[str, bytes | None]
FORMATS = ("ome-zarr-0.5", "ome-zarr-0.4", "n5", "precomputed")


def threads_after(before_block: Callable[[int], None]) -> type[Threads]:
    """Return an engine of threads that call a function with the number of each block first; it may raise an error."""

    class ThreadsAfter(Threads):
        def run(self, number: int) -> int:
            before_block(number)
            return super().run(number)

    return ThreadsAfter


def small_labels() -> Array:
    """Return a small volume of labels."""
    return np.random.default_rng(3).integers(0, 30, (24, 80, 66)).astype(np.uint16)


def files(where: Path) -> Files:
    """Return the files below a folder by name, with None for folders; empty if it does not exist."""
    if not where.exists():
        return {}
    return {
        path.relative_to(where).as_posix(): path.read_bytes() if path.is_file() else None for path in where.rglob("*")
    }


def read(where: Path, axes: str) -> list[Array]:
    """Return all levels of a store with axes in this order, and index 0 along all other axes."""
    volume = open_volume(Location.at(where))
    levels = []
    for number, grid in enumerate(volume.grids):
        voxels = level_array(volume, number).read().result()
        voxels = voxels[tuple(slice(None) if name in axes else 0 for name in grid.axes)]
        names = [name for name in grid.axes if name in axes]
        levels.append(voxels.transpose([names.index(name) for name in axes]))
    return levels


def in_memory(array: Array, made: store.Plan, ignore: Any = None) -> list[Array]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        method: Any = made.method
        return [
            array,
            *tinypyr.pyramid(array, made.factors, method, ignore=ignore, voxel_offset=made.grids[0].voxel_offset),
        ]


def write_ome(where: Path, array: Array, axes: list[Any], version: str = "0.4", **options: Any) -> Path:
    """Write level 0 of an OME-Zarr without tinypyr; ``axes`` are names or (name, type).

    Options: ``scale``; ``chunks``; ``path`` of the array; ``entries``, further entries of multiscales; ``separator``.
    """
    path: str = options.get("path", "0")
    chunks: Sequence[int] = options.get("chunks") or array.shape
    listed = [{"name": a[0], "type": a[1]} if isinstance(a, tuple) else {"name": a, "type": "space"} for a in axes]
    scale = {"type": "scale", "scale": list(options.get("scale", [1.0] * array.ndim))}
    entry: dict[str, Any] = {"name": "image", "axes": listed}
    entry["datasets"] = [{"path": path, "coordinateTransformations": [scale]}]
    entries = [entry, *options.get("entries", [])]
    where.mkdir(parents=True)
    if version == "0.5":
        group: Any = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": {"version": "0.5"}}}
        group["attributes"]["ome"]["multiscales"] = entries
        (where / "zarr.json").write_text(json.dumps(group))
    else:
        (where / ".zgroup").write_text('{"zarr_format": 2}')
        (where / ".zattrs").write_text(json.dumps({"multiscales": [{**e, "version": "0.4"} for e in entries]}))
    write_array(where / path, array, chunks, version)
    return where


def write_array(where: Path, array: Array, chunks: Sequence[int] | None = None, version: str = "0.4") -> None:
    """Write an array of Zarr v2 (OME-Zarr 0.4) or v3 (0.5)."""
    cut = list(array.shape if chunks is None else chunks)
    spec: dict[str, Any] = {"kvstore": {"driver": "file", "path": f"{where}/"}}
    if version == "0.5":
        grid = {"name": "regular", "configuration": {"chunk_shape": cut}}
        spec |= {"driver": "zarr3", "metadata": {"chunk_grid": grid}}
    else:
        spec |= {"driver": "zarr", "metadata": {"chunks": cut, "dimension_separator": "/"}}
    handle = ts.open(spec, create=True, dtype=array.dtype.name, shape=array.shape).result()
    handle.write(array).result()


def listed_axes(where: Path) -> list[dict[str, Any]]:
    """Return the axes in the first entry of multiscales."""
    axes: list[dict[str, Any]] = entries_of(where)[0]["axes"]
    return axes


def entries_of(where: Path) -> list[dict[str, Any]]:
    """Return the entries of multiscales."""
    new = where / "zarr.json"
    told = json.loads(new.read_text())["attributes"]["ome"] if new.exists() else {}
    entries: list[dict[str, Any]] = (told or json.loads((where / ".zattrs").read_text()))["multiscales"]
    return entries


def raw_levels(where: Path) -> list[Array]:
    """Return all levels with axes as stored, read without tinypyr."""
    driver = "zarr3" if (where / "zarr.json").exists() else "zarr"
    paths = [dataset["path"] for dataset in entries_of(where)[0]["datasets"]]
    return [raw(where / path, driver) for path in paths]


def raw(where: Path, driver: str) -> Array:
    """Return an array, read without tinypyr."""
    voxels: Array = (
        ts.open({"driver": driver, "kvstore": {"driver": "file", "path": f"{where}/"}}).result()[...].read().result()
    )
    return voxels
