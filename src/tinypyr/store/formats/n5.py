"""N5, whose arrays have the x axis first: https://github.com/saalfeldlab/n5.

Levels are s0, s1, .... World coordinates are written twice: as viewers of the COSEM project read them (``transform``,
``multiscales``), and as BigDataViewer and Neuroglancer do (``downsamplingFactors``, ``resolution``).
"""

from __future__ import annotations

import copy
import re
from typing import Any

from ..._util.units import ABBREVIATIONS, long_name
from ...errors import UNREADABLE, StoreError, brief
from ...grid import Grid, implied_type, replace_grid, typed_axes
from ..location import Location
from ..metadata import Metadata
from ..volume import (
    CODECS,
    Layout,
    LevelMetadata,
    Volume,
    array_per_folder,
    no_label_names,
    numbered_paths,
    same_layout,
)
from ._traits import Traits

at_level = same_layout
DRIVER = "n5"
open_spec = array_per_folder(DRIVER)
FAMILY = "n5"
KEEPS = frozenset[str]()
HAS_FILL_VALUE = False
FIXED_AXES: tuple[str, ...] = ()
DESCRIBES_IN_LEVELS = True
TRAITS = Traits(("attributes.json",), "n5")
level_paths = numbered_paths("s")
label_names = no_label_names
ATTRIBUTES = "attributes.json"
DESCRIBED = ("n5", "downsamplingFactors", "scales", "resolution", "units", "axes", "multiscales", "pixelResolution")
DTYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64")

#: Units that readers of N5 know by their abbreviation. Neuroglancer refuses all others.
KNOWN_UNITS = ("picometer", "nanometer", "micrometer", "millimeter", "centimeter", "meter",
        "nanosecond", "microsecond", "millisecond", "second")  # fmt: skip


def _long(unit: str | None) -> str | None:
    return long_name(unit or None)


def _short(unit: str | None) -> str:
    """Return the abbreviation of a unit; empty for units that viewers do not know (``transform`` has them)."""
    return ABBREVIATIONS[unit] if unit in KNOWN_UNITS else ""


def axes_order(grid: Grid) -> tuple[str, ...]:
    """Return x first and time last; raise StoreError for types of axes that N5 cannot record."""
    for name, kind in typed_axes(grid):
        if kind != implied_type(name):
            raise StoreError(
                f"N5 records no types of axes, so {name!r} would be read as {implied_type(name)}, not {kind}; "
                "choose another format (or, for an array, a grid that names it c or t)"
            )
    all_known = all(axis in "xyzct" for axis in grid.axes)
    return tuple(sorted(grid.axes, key="xyzct".index)) if all_known else tuple(reversed(grid.axes))


def _own_entry(root: dict[str, Any]) -> dict[str, Any] | None:
    """Return the entry of multiscales that lists level 0; None if there is none."""
    for entry in root.get("multiscales") or []:
        if any(str(dataset.get("path")).strip("/") == "s0" for dataset in entry.get("datasets", [])):
            own_entry: dict[str, Any] = entry
            return own_entry
    return None


def detect(location: Location) -> bool:
    """Return whether there are attributes, of a group or of a first level."""
    return location.read(ATTRIBUTES) is not None or location.child("s0").read(ATTRIBUTES) is not None


def read(location: Location) -> Volume:
    """Return the volume of a group of levels, or of a single array."""
    root = location.json(ATTRIBUTES) or {}
    if "dimensions" in root:
        grid = Grid(root["dimensions"], "xyzct"[: len(root["dimensions"])])
        return Volume("n5", location, [grid], [""], root["dataType"], layout_of(root), None, {"array": True})
    metas: list[dict[str, Any]] = []
    while (meta := location.child(f"s{len(metas)}").json(ATTRIBUTES)) is not None and "dimensions" in meta:
        metas.append(meta)
    if not metas:
        raise StoreError(f"{location.name}: neither an N5 array nor a group of levels s0, s1, ...")
    base, ndim = metas[0], len(metas[0]["dimensions"])
    try:
        first = _with_world_coordinates(root, base, Grid(base["dimensions"], "xyzct"[:ndim]))
        grids = [first]
        factors = root.get("downsamplingFactors") or root.get("scales") or []
        for k, meta in enumerate(metas[1:], 1):
            factor = meta.get("downsamplingFactors") or (factors[k] if k < len(factors) else None)
            level_grid = first.level(factor) if factor else first
            grids.append(_with_world_coordinates({}, meta, replace_grid(level_grid, shape=meta["dimensions"])))
        entry = _own_entry(root) or {}
        notes = {**(entry.get("metadata") or {}), "method": entry.get("type")}
    except UNREADABLE as error:
        raise StoreError(
            f"{location.name}: the metadata of the resolution cannot be understood: {brief(error)}"
        ) from None
    paths = [f"s{k}" for k in range(len(metas))]
    metadata = Metadata(FAMILY, foreign={key: root[key] for key in root if key not in DESCRIBED})
    return Volume("n5", location, grids, paths, base["dataType"], layout_of(base), None, root, notes, metadata)


def _with_world_coordinates(root: dict[str, Any], meta: dict[str, Any], grid: Grid) -> Grid:
    """Return a grid with the world coordinates in the attributes of its level, or else of the group."""
    transform = meta.get("transform")
    if transform is not None:  # (x last)
        scale, translation, units = (list(reversed(transform[key])) for key in ("scale", "translate", "units"))
        axes = list(reversed(transform["axes"]))
        return replace_grid(grid, axes=axes, scale=scale, translation=translation, units=[_long(u) for u in units])
    resolution = root.get("pixelResolution") or meta.get("pixelResolution")
    if "resolution" in root:
        return replace_grid(
            grid, scale=root["resolution"], units=[_long(unit) for unit in root.get("units", grid.units)]
        )
    if isinstance(resolution, dict) and root:
        return replace_grid(grid, scale=resolution["dimensions"], units=[_long(resolution.get("unit"))] * grid.ndim)
    return grid


def first_chunk(location: Location, path: str) -> str | None:
    """Return None: no other tool names chunks differently."""
    return None


def chunk_pattern(location: Location, path: str) -> re.Pattern[str]:
    """Return a pattern of the keys of a level's chunks."""
    meta = location.child(path).json(ATTRIBUTES) or {}
    return re.compile("/".join([r"\d+"] * len(meta["dimensions"])))


def layout_of(meta: dict[str, Any]) -> Layout:
    """Return the layout of an array from its attributes.json."""
    codec = (meta.get("compression") or {}).get("type")
    return Layout(tuple(meta["blockSize"]), None, codec if codec in CODECS else None, 0, meta)


def new_spec(location: Location, path: str, grid: Grid, dtype: str, layout: Layout, kind: str | None) -> dict[str, Any]:
    """Return a TensorStore specification to create a level; raise StoreError if the format cannot store it."""
    if dtype not in DTYPES:
        raise StoreError(
            f"N5 stores integers and floats of 8 to 64 bits, not {dtype}; convert, or choose another format"
        )
    if layout.fill not in (0, 0.0, False, None):
        raise StoreError(f"N5 has the fill value 0, not {layout.fill!r}; choose another format")
    if layout.native is not None:
        compression = copy.deepcopy(layout.native["compression"])
    else:
        codec = layout.codec or "gzip"
        compression = {"type": codec}
        if codec == "gzip":
            compression |= {"level": 5}
        elif codec == "zstd":
            compression |= {"level": 3}
        elif codec == "blosc":
            compression |= {"cname": "zstd", "clevel": 3, "shuffle": 1}
    meta = {
        "dimensions": list(grid.shape),
        "blockSize": [min(chunk, max(1, n)) for chunk, n in zip(layout.chunks, grid.shape, strict=True)]
        if layout.native is None
        else list(layout.native["blockSize"]),
        "dataType": dtype,
        "compression": compression,
    }
    return {**open_spec(location, path), "metadata": meta}


def describe(location: Location, levels: LevelMetadata) -> None:
    """Write the attributes of the group and of every level."""
    base = levels.grids[0]
    factors = [[round(s / b) for s, b in zip(grid.scale, base.scale, strict=True)] for grid in levels.grids]
    transforms = [
        {
            "axes": list(reversed(grid.axes)),
            "scale": list(reversed(grid.scale)),
            "translate": list(reversed(grid.translation)),
            "units": [_short(unit) or unit or "" for unit in reversed(grid.units)],
        }
        for grid in levels.grids
    ]
    for path, factor, transform, grid in zip(levels.paths, factors, transforms, levels.grids, strict=True):
        level = location.child(path)
        meta = level.json(ATTRIBUTES) or {}
        meta["transform"] = transform
        meta["downsamplingFactors"] = factor
        meta["pixelResolution"] = {"dimensions": list(grid.scale), "unit": _short(grid.units[0]) or "pixel"}
        level.write_json(ATTRIBUTES, meta)
    own = location.json(ATTRIBUTES) or {}
    root = {"n5": "4.0.0", **(levels.metadata.foreign if levels.metadata.family == FAMILY else {}), **own}
    root["downsamplingFactors"] = root["scales"] = factors
    root["resolution"] = list(base.scale)
    root["units"] = [_short(unit) for unit in base.units]
    root["axes"] = list(base.axes)
    datasets = [
        {"path": path, "transform": transform} for path, transform in zip(levels.paths, transforms, strict=True)
    ]
    entry = {"name": "", "datasets": datasets, "type": levels.method, "metadata": levels.notes}
    previous = _own_entry(own)
    root["multiscales"] = [entry, *(other for other in own.get("multiscales", []) if other is not previous)]
    location.write_json(ATTRIBUTES, root)
