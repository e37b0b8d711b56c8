"""OME-Zarr 0.4 on Zarr v2: https://ngff.openmicroscopy.org/0.4/."""

from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np

from ...errors import StoreError
from ...grid import Grid
from ..location import Location
from ..volume import CODECS, Layout, LevelMetadata, Volume, array_per_folder, as_the_base
from . import _ome

axes_order = _ome.axes_order
at_level = as_the_base
DRIVER = "zarr"
open_spec = array_per_folder(DRIVER)
FIXED: tuple[str, ...] = ()
STORED = ("shape", "chunks", "dtype", "order", "compressor", "filters", "fill_value", "dimension_separator")


def detect(place: Location) -> bool:
    """Whether this is a group or an array of Zarr v2."""
    return any(place.read(key) is not None for key in (".zgroup", ".zattrs", ".zarray"))


def read(place: Location) -> Volume:
    """The volume whose group this is, or which this single array is."""
    single = place.json(".zarray")
    if single is not None:
        grid = Grid(single["shape"])
        return Volume(
            "ome-zarr-0.4", place, [grid], [""], _dtype(single, place.name), layout_of(single), None, {"array": True}
        )
    attributes = place.json(".zattrs") or {}
    grids, paths, notes = _ome.levels(attributes, place, lambda path: _array(place, path), STORED)
    meta = _array(place, paths[0])
    dtype, kind = _dtype(meta, place.name), _ome.kind(attributes)
    return Volume("ome-zarr-0.4", place, grids, paths, dtype, layout_of(meta), kind, attributes, notes)


def _array(place: Location, path: str) -> dict[str, Any]:
    meta = place.child(path).json(".zarray")
    if meta is None:
        raise StoreError(f"{place.name}/{path}: the metadata lists this level, but there is no array")
    return meta


def chunk_pattern(place: Location, path: str) -> re.Pattern[str]:
    """What the keys of a level's chunks look like."""
    meta = _array(place, path)
    return _ome.separated(meta.get("dimension_separator") or ".", len(meta["shape"]))


def _dtype(meta: dict[str, Any], name: str) -> str:
    if not isinstance(meta["dtype"], str):
        raise StoreError(f"{name}: records of several fields cannot be pooled")
    return np.dtype(meta["dtype"]).newbyteorder("=").name


def layout_of(meta: dict[str, Any]) -> Layout:
    """How an array is stored, from its .zarray."""
    compressor = meta.get("compressor")
    codec = "raw" if compressor is None else compressor.get("id")
    return Layout(tuple(meta["chunks"]), None, codec if codec in CODECS else None, meta["fill_value"] or 0, meta)


def new_spec(place: Location, path: str, grid: Grid, dtype: str, layout: Layout, kind: str | None) -> dict[str, Any]:
    """For TensorStore, to create a level."""
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
    return {**open_spec(place, path), "metadata": meta}


def _compressor(codec: str) -> dict[str, Any] | None:
    if codec == "raw":
        return None
    if codec == "blosc":
        return {"id": "blosc", "cname": "zstd", "clevel": 3, "shuffle": -1, "blocksize": 0}
    return {"id": codec, "level": 5 if codec == "gzip" else 3}


def create_group(place: Location) -> None:
    """Make sure that there is a group."""
    if place.read(".zgroup") is None:
        place.write_json(".zgroup", {"zarr_format": 2})


def describe(place: Location, made: LevelMetadata) -> None:
    """Write the group's .zgroup and .zattrs."""
    own = place.json(".zattrs") or {}
    kept = {**made.attributes, **own}
    notes = {**made.notes, "arrays": {path: _ome.digest(_array(place, path), STORED) for path in made.paths}}
    kept["multiscales"] = _ome.multiscales(made, own.get("multiscales"), notes, {"version": "0.4"})
    if made.kind == "labels":
        kept.setdefault("image-label", {"version": "0.4"})
    place.write_json(".zgroup", {"zarr_format": 2})
    place.write(".zmetadata", None)  # consolidated metadata would hide the new levels
    place.write_json(".zattrs", kept)  # the last: by it a build is known to have ended
