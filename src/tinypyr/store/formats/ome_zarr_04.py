"""OME-Zarr 0.4 on Zarr v2: https://ngff.openmicroscopy.org/0.4/."""

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
DRIVER = "zarr"
open_spec = array_per_folder(DRIVER)
FAMILY = "ome-zarr"
KEEPS = frozenset[str]()
FIXED_AXES: tuple[str, ...] = ()
DESCRIBES_IN_LEVELS = False
SKIPS_EMPTY = True
STORAGE_KEYS = ("shape", "chunks", "dtype", "order", "compressor", "filters", "fill_value", "dimension_separator")


def detect(location: Location) -> bool:
    """Return whether there is a group or an array of Zarr v2."""
    return any(location.read(key) is not None for key in (".zgroup", ".zattrs", ".zarray"))


def read(location: Location) -> Volume:
    """Return the volume of a group of levels, or of a single array."""
    single = location.json(".zarray")
    if single is not None:
        grid = Grid(single["shape"])
        return Volume(
            "ome-zarr-0.4",
            location,
            [grid],
            [""],
            _dtype(single, location.name),
            layout_of(single),
            None,
            {"array": True},
        )
    attributes = location.json(".zattrs") or {}
    grids, paths, notes = _ome.levels(attributes, location, lambda path: _array(location, path), STORAGE_KEYS)
    meta = _array(location, paths[0])
    dtype, kind = _dtype(meta, location.name), _ome.kind(attributes)
    return Volume("ome-zarr-0.4", location, grids, paths, dtype, layout_of(meta), kind, attributes, notes)


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
            "fill_value": layout.fill,
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


def create_group(location: Location) -> None:
    """Write the metadata of a group unless there is one."""
    if location.read(".zgroup") is None:
        location.write_json(".zgroup", {"zarr_format": 2})


def describe(location: Location, levels: LevelMetadata) -> None:
    """Write the group's .zgroup and .zattrs, the latter last, because it marks the build as finished."""
    own = location.json(".zattrs") or {}
    attributes = {**levels.attributes, **own}
    notes = {
        **levels.notes,
        "arrays": {path: _ome.digest(_array(location, path), STORAGE_KEYS) for path in levels.paths},
    }
    attributes["multiscales"] = _ome.multiscales(levels, own.get("multiscales"), notes, {"version": "0.4"})
    if levels.kind == "labels":
        attributes.setdefault("image-label", {"version": "0.4"})
    location.write_json(".zgroup", {"zarr_format": 2})
    location.write(".zmetadata", None)  # (consolidated metadata does not list the new levels)
    location.write_json(".zattrs", attributes)
