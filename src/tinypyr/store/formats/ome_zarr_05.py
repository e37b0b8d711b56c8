"""OME-Zarr 0.5 on Zarr v3: https://ngff.openmicroscopy.org/0.5/."""

from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np

from ...errors import StoreError
from ...grid import Grid
from ..location import Location
from ..volume import CODECS, Layout, LevelMetadata, Volume, array_per_folder, same_layout, stored_as_any
from . import _ome

axes_order = _ome.axes_order
at_level = same_layout
zeros_of = stored_as_any
DRIVER = "zarr3"
open_spec = array_per_folder(DRIVER)
FAMILY = "ome-zarr"
KEEPS = frozenset[str]()
FIXED_AXES: tuple[str, ...] = ()
DESCRIBES_IN_LEVELS = False
SKIPS_EMPTY = True
STORAGE_KEYS = ("shape", "data_type", "chunk_grid", "chunk_key_encoding", "codecs", "fill_value")


def detect(location: Location) -> bool:
    """Return whether there is a group or an array of Zarr v3."""
    return location.read("zarr.json") is not None


def read(location: Location) -> Volume:
    """Return the volume of a group of levels, or of a single array."""
    root = location.json("zarr.json") or {}
    if root.get("node_type") == "array":
        grid = Grid(root["shape"], axes=_names(root.get("dimension_names"), len(root["shape"])))
        return Volume("ome-zarr-0.5", location, [grid], [""], root["data_type"], layout_of(root), None, {"array": True})
    attributes = root.get("attributes", {})
    ome = attributes.get("ome", {}) if isinstance(attributes, dict) else {}
    grids, paths, notes = _ome.levels(ome, location, lambda path: _array(location, path), STORAGE_KEYS)
    meta = _array(location, paths[0])
    dtype = str(meta["data_type"])
    return Volume("ome-zarr-0.5", location, grids, paths, dtype, layout_of(meta), _ome.kind(ome), attributes, notes)


def _array(location: Location, path: str) -> dict[str, Any]:
    meta = location.child(path).json("zarr.json")
    if meta is None or meta.get("node_type") != "array":
        raise StoreError(f"{location.name}/{path}: the metadata lists this level, but its array is missing")
    return meta


def first_chunk(location: Location, path: str) -> str | None:
    """Return None: no other tool names chunks differently."""
    return None


def chunk_pattern(location: Location, path: str) -> re.Pattern[str]:
    """Return a pattern of the keys of a level's chunks."""
    meta = _array(location, path)
    encoding = meta.get("chunk_key_encoding") or {}
    v2 = encoding.get("name") == "v2"
    separator = (encoding.get("configuration") or {}).get("separator") or ("." if v2 else "/")
    return _ome.separated(separator, len(meta["shape"]), "" if v2 else "c")


def _names(names: Any, ndim: int) -> Any:
    return names if isinstance(names, list) and all(names) and len(set(names)) == ndim else None


def layout_of(meta: dict[str, Any]) -> Layout:
    """Return the layout of an array from its zarr.json."""
    outer_chunks, shards, codecs = tuple(meta["chunk_grid"]["configuration"]["chunk_shape"]), None, meta["codecs"]
    for codec in codecs:
        if codec["name"] == "sharding_indexed":
            inner_chunks, shards = tuple(codec["configuration"]["chunk_shape"]), outer_chunks
            codecs = codec["configuration"]["codecs"]
    names = [codec["name"] for codec in codecs if codec["name"] in CODECS]
    return Layout(
        inner_chunks if shards else outer_chunks, shards, names[0] if names else "raw", meta["fill_value"], meta
    )


def new_spec(location: Location, path: str, grid: Grid, dtype: str, layout: Layout, kind: str | None) -> dict[str, Any]:
    """Return a TensorStore specification to create a level; raise StoreError if the format cannot store it."""
    if layout.native is not None:
        meta = copy.deepcopy(layout.native)
        meta["shape"] = list(grid.shape)
    else:
        to_bytes = {"name": "bytes", "configuration": {"endian": "little"}}
        inner = [to_bytes, *_compressor(layout.codec or "zstd", dtype), {"name": "crc32c"}]
        if layout.shards is not None:
            sharding = {
                "chunk_shape": list(layout.chunks),
                "codecs": inner,
                "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
                "index_location": "end",
            }
            inner = [{"name": "sharding_indexed", "configuration": sharding}]
        meta = {
            "shape": list(grid.shape),
            "data_type": dtype,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(layout.unit)}},
            "chunk_key_encoding": {"name": "default"},
            "codecs": inner,
            "fill_value": layout.fill,
        }
    meta["dimension_names"] = list(grid.axes)
    unsupported = ("zarr_format", "node_type", "storage_transformers", "consolidated_metadata")  # by TensorStore
    return {
        **open_spec(location, path),
        "metadata": {key: value for key, value in meta.items() if key not in unsupported},
    }


def _compressor(codec: str, dtype: str) -> list[dict[str, Any]]:
    if codec == "raw":
        return []
    if codec == "blosc":
        options = {"cname": "zstd", "clevel": 3, "shuffle": "bitshuffle" if dtype == "bool" else "shuffle"}
        return [{"name": "blosc", "configuration": {**options, "typesize": np.dtype(dtype).itemsize, "blocksize": 0}}]
    if codec == "gzip":
        return [{"name": "gzip", "configuration": {"level": 5}}]
    return [{"name": "zstd", "configuration": {"level": 3, "checksum": False}}]


def create_group(location: Location) -> None:
    """Write the metadata of a group unless there is one."""
    if location.read("zarr.json") is None:
        location.write_json("zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": {}})


def describe(location: Location, levels: LevelMetadata) -> None:
    """Write the group's zarr.json."""
    root = location.json("zarr.json") or {"zarr_format": 3, "node_type": "group", "attributes": {}}
    own = root.get("attributes", {})
    attributes = {**levels.attributes, **own}
    ome = dict(attributes.get("ome", {}))
    ome["version"] = "0.5"
    notes = {
        **levels.notes,
        "arrays": {path: _ome.digest(_array(location, path), STORAGE_KEYS) for path in levels.paths},
    }
    ome["multiscales"] = _ome.multiscales(levels, own.get("ome", {}).get("multiscales"), notes, {})
    if levels.kind == "labels":
        ome.setdefault("image-label", {"version": "0.5"})
    root["attributes"] = {**attributes, "ome": ome}
    root.pop("consolidated_metadata", None)  # (it does not list the new levels)
    location.write_json("zarr.json", root)
