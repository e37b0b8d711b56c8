"""OME-Zarr 0.5 on Zarr v3: https://ngff.openmicroscopy.org/0.5/.

Groups of Zarr v3 whose attributes are written as in 0.4, without the key ``ome``, are read as well, and keep that style
when levels are added.
"""

from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np

from ...errors import StoreError
from ...grid import Grid
from ..location import Location
from ..volume import (
    CODECS,
    Layout,
    LevelMetadata,
    StoredVolume,
    array_per_folder,
    numbered_paths,
    same_layout,
    stored_as_any,
)
from . import _consolidated, _ome, _ome_places
from ._ome_writing import described
from ._traits import Traits

axes_order = _ome.axes_order
at_level = same_layout
zeros_of = stored_as_any
NAME = "ome-zarr-0.5"
DRIVER = "zarr3"
open_spec = array_per_folder(DRIVER)
FAMILY = _ome_places.FAMILY
KEEPS = frozenset({"name", "channels", "labels", "user"})
HAS_FILL_VALUE = True
FIXED_AXES: tuple[str, ...] = ()
DESCRIBES_IN_LEVELS = False
TRAITS = Traits(("zarr.json",), "zarr3", has_shards=True, takes_shards=True, can_link=True)
level_paths = numbered_paths("")
STORAGE_KEYS = ("shape", "data_type", "chunk_grid", "chunk_key_encoding", "codecs", "fill_value")


def detect(location: Location) -> bool:
    """Return whether there is a group or an array of Zarr v3, but not of a later version of OME-Zarr."""
    return has_systems(location) is False


def has_systems(location: Location) -> bool | None:
    """Return whether Zarr v3 has the version 0.6 of OME-Zarr, or coordinate systems; None if there is no Zarr v3."""
    try:
        root = location.json("zarr.json")
    except StoreError:  # (damaged: reading it says so)
        return False
    if root is None:
        return None
    ome = _ome_places.namespace(root.get("attributes"))
    entries = ome.get("multiscales")
    entry = entries[0] if isinstance(entries, list) and entries else None
    return str(ome.get("version")).startswith("0.6") or (isinstance(entry, dict) and "coordinateSystems" in entry)


def read(location: Location) -> StoredVolume:
    """Return the volume of a group of levels, or of a single array."""
    return read_as(NAME, location)


def read_as(name: str, location: Location) -> StoredVolume:
    """Return the volume of a group of levels, or of a single array, as one of the format with this name."""
    root = location.json("zarr.json") or {}
    if root.get("node_type") == "array":
        return _single_array(root, location)
    attributes = root.get("attributes", {})
    metas: dict[str, dict[str, Any]] = {}

    def meta_of(path: str) -> dict[str, Any]:
        metas[path] = _array(location, path)
        return metas[path]

    def names_of(path: str) -> Any:
        return metas[path].get("dimension_names")

    levels = _ome.levels(attributes, location, meta_of, names_of, STORAGE_KEYS)
    meta = metas[levels.paths[0]]
    array, dtype = meta.get("attributes") or {}, str(meta["data_type"])
    attributes = attributes if isinstance(attributes, dict) else {}
    labels = location.child("labels").read("zarr.json")
    return StoredVolume(
        format=name,
        location=location,
        grids=levels.grids,
        paths=levels.paths,
        dtype=dtype,
        layout=layout_of(meta),
        kind=_ome.kind(attributes, levels.notes, location, dtype),
        attributes=attributes,
        notes=levels.notes,
        metadata=_ome_places.metadata_of(attributes, labels, array, levels.grids[0].axes),
        **levels.geometry,
    )


def _single_array(root: dict[str, Any], location: Location) -> StoredVolume:
    grid = Grid(root["shape"], axes=_names(root.get("dimension_names"), len(root["shape"])))
    dtype = root["data_type"]
    kind: Any = "labels" if _ome.may_be_labels(str(dtype), location, 2) else None
    metadata = _ome_places.metadata_of({}, None, root.get("attributes") or {}, grid.axes)
    return StoredVolume(NAME, location, [grid], [""], dtype, layout_of(root), kind, {"array": True}, {}, metadata)


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
        inner_chunks if shards else outer_chunks, shards, names[0] if names else "raw", _fill(meta["fill_value"]), meta
    )


def _fill(value: Any) -> Any:
    """Return a fill value from its JSON; a complex number is a pair there."""
    return complex(float(value[0]), float(value[1])) if isinstance(value, list) and len(value) == 2 else value


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
            "fill_value": [0.0, 0.0] if np.dtype(dtype).kind == "c" else layout.fill,
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


def label_names(location: Location) -> list[str]:
    """Return the names of the volumes of labels below an image."""
    attributes = (location.json("labels/zarr.json") or {}).get("attributes") or {}
    ome = attributes.get("ome", attributes) if isinstance(attributes, dict) else {}
    return _ome.label_names(ome if isinstance(ome, dict) else {}, location)


def create_group(location: Location) -> None:
    """Write the metadata of a group unless there is one."""
    if location.read("zarr.json") is None:
        location.write_json("zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": {}})


def describe(location: Location, levels: LevelMetadata) -> None:
    """Write the group's zarr.json."""
    describe_as("0.5", location, levels)


def describe_as(version: str, location: Location, levels: LevelMetadata) -> None:
    """Write the group's zarr.json with a version of OME-Zarr, unless it has one."""
    root = location.json("zarr.json") or {"zarr_format": 3, "node_type": "group", "attributes": {}}
    arrays = {path: _array(location, path) for path in levels.paths}
    inherited = _ome_places.array_attributes(levels.metadata, levels.grids[0].axes)
    inherited |= arrays[levels.paths[0]].get("attributes") or {}
    for path, meta in arrays.items():
        stored = meta.get("attributes") or {}
        attributes = {**inherited, **stored}
        if attributes != stored:
            meta["attributes"] = attributes
            location.child(path).write_json("zarr.json", meta)
    digests = {path: _ome.digest(meta, STORAGE_KEYS) for path, meta in arrays.items()}
    own = root.get("attributes")
    root["attributes"] = described(own if isinstance(own, dict) else {}, levels, digests, version, nested=True)
    _consolidated.update_own_v3(root, location, arrays)
    _consolidated.update_v3(location, {"": root, **arrays})
    location.write_json("zarr.json", root)
