"""OME-Zarr 0.4 on Zarr v2: https://ngff.openmicroscopy.org/0.4/.

Stores of the versions 0.1 to 0.3 are read as well, and keep their version when levels are added.
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
NAME = "ome-zarr-0.4"
DRIVER = "zarr"
open_spec = array_per_folder(DRIVER)
FAMILY = _ome_places.FAMILY
KEEPS = frozenset({"name", "channels", "labels", "user"})
HAS_FILL_VALUE = True
FIXED_AXES: tuple[str, ...] = ()
DESCRIBES_IN_LEVELS = False
TRAITS = Traits((".zattrs", ".zarray"), "zarr2", can_link=True)
level_paths = numbered_paths("")
STORAGE_KEYS = ("shape", "chunks", "dtype", "order", "compressor", "filters", "fill_value", "dimension_separator")


def detect(location: Location) -> bool:
    """Return whether there is a group or an array of Zarr v2."""
    return any(location.read(key) is not None for key in (".zgroup", ".zattrs", ".zarray"))


def read(location: Location) -> StoredVolume:
    """Return the volume of a group of levels, or of a single array."""
    single = location.json(".zarray")
    if single is not None:
        grid, attributes = Grid(single["shape"]), location.json(".zattrs") or {}
        dtype = _dtype(single, location.name)
        kind: Any = "labels" if _ome.may_be_labels(dtype, location, 2) else None
        metadata = _ome_places.metadata_of({}, None, attributes, grid.axes)
        return StoredVolume(NAME, location, [grid], [""], dtype, layout_of(single), kind, {"array": True}, {}, metadata)
    attributes = location.json(".zattrs") or {}
    arrays: dict[str, dict[str, Any]] = {}

    def names_of(path: str) -> Any:
        arrays[path] = location.child(path).json(".zattrs") or {}
        return arrays[path].get(_ome_places.DIMENSIONS)

    levels = _ome.levels(attributes, location, lambda path: _array(location, path), names_of, STORAGE_KEYS)
    base = levels.paths[0]
    meta = _array(location, base)
    array = arrays[base] if base in arrays else location.child(base).json(".zattrs") or {}
    labels = location.child("labels").read(".zgroup")
    dtype = _dtype(meta, location.name)
    return StoredVolume(
        format=NAME,
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


def _array(location: Location, path: str) -> dict[str, Any]:
    meta = location.child(path).json(".zarray")
    if meta is None:
        raise StoreError(f"{location.name}/{path}: the metadata lists this level, but its array is missing")
    return meta


def first_chunk(location: Location, path: str) -> str | None:
    """Return None: no other tool names chunks differently."""
    return None


def chunk_pattern(location: Location, path: str) -> re.Pattern[str]:
    """Return a pattern of the keys of a level's chunks."""
    meta = _array(location, path)
    return _ome.separated(meta.get("dimension_separator") or ".", len(meta["shape"]))


def _dtype(meta: dict[str, Any], name: str) -> str:
    if not isinstance(meta["dtype"], str):
        raise StoreError(f"{name}: a structured dtype cannot be pooled")
    return np.dtype(meta["dtype"]).newbyteorder("=").name


def layout_of(meta: dict[str, Any]) -> Layout:
    """Return the layout of an array from its .zarray."""
    compressor = meta.get("compressor")
    codec = "raw" if compressor is None else compressor.get("id")
    return Layout(tuple(meta["chunks"]), None, codec if codec in CODECS else None, meta["fill_value"] or 0, meta)


def new_spec(location: Location, path: str, grid: Grid, dtype: str, layout: Layout, kind: str | None) -> dict[str, Any]:
    """Return a TensorStore specification to create a level; raise StoreError if the format cannot store it."""
    if layout.native is not None:
        meta = copy.deepcopy(layout.native)
        meta["shape"] = list(grid.shape)
    else:
        meta = {
            "shape": list(grid.shape),
            "chunks": list(layout.chunks),
            "dtype": np.dtype(dtype).newbyteorder("<").str,
            "compressor": _compressor(layout.codec or "zstd"),
            "fill_value": None if np.dtype(dtype).kind == "c" else layout.fill,
            "order": "C",
            "filters": None,
            "dimension_separator": "/",
        }
    meta.setdefault("dimension_separator", ".")
    return {**open_spec(location, path), "metadata": meta}


def _compressor(codec: str) -> dict[str, Any] | None:
    if codec == "raw":
        return None
    if codec == "blosc":
        return {"id": "blosc", "cname": "zstd", "clevel": 3, "shuffle": -1, "blocksize": 0}
    return {"id": codec, "level": 5 if codec == "gzip" else 3}


def label_names(location: Location) -> list[str]:
    """Return the names of the volumes of labels below an image."""
    return _ome.label_names(location.json("labels/.zattrs") or {}, location)


def create_group(location: Location) -> None:
    """Write the metadata of a group unless there is one."""
    if location.read(".zgroup") is None:
        location.write_json(".zgroup", {"zarr_format": 2})


def describe(location: Location, levels: LevelMetadata) -> None:
    """Write the group's .zgroup and .zattrs, the latter last, because it marks the build as finished."""
    arrays = {path: _array(location, path) for path in levels.paths}
    documents: dict[str, Any] = {f"{path}/.zarray": meta for path, meta in arrays.items()}
    inherited = _ome_places.array_attributes(levels.metadata, levels.grids[0].axes)
    inherited |= location.child(levels.paths[0]).json(".zattrs") or {}
    for path in levels.paths:
        level = location.child(path)
        stored = level.json(".zattrs") or {}
        attributes = {**inherited, **stored}
        if attributes != stored:
            level.write_json(".zattrs", attributes)
        if attributes:
            documents[f"{path}/.zattrs"] = attributes
    digests = {path: _ome.digest(meta, STORAGE_KEYS) for path, meta in arrays.items()}
    attributes = described(location.json(".zattrs") or {}, levels, digests, "0.4", nested=False)
    group = location.json(".zgroup") or {"zarr_format": 2}
    location.write_json(".zgroup", group)
    _consolidated.update_v2(location, {".zgroup": group, ".zattrs": attributes, **documents})
    location.write_json(".zattrs", attributes)
