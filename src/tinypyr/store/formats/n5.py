"""N5, whose arrays have the x axis first: https://github.com/saalfeldlab/n5.

Levels are s0, s1, .... Attributes with world coordinates are those of :mod:`._n5_world`; the kind of the voxels, and
how levels were made, are in the record of :mod:`._record`.
"""

from __future__ import annotations

import copy
import re
import warnings
from typing import Any, Literal

from ...errors import UNREADABLE, StoreError, brief
from ...grid import Grid, implied_type, typed_axes
from ..location import Location
from ..metadata import Metadata
from ..volume import (
    CODECS,
    Layout,
    LevelMetadata,
    StoredVolume,
    array_per_folder,
    no_label_names,
    numbered_paths,
    same_layout,
    stored_as_any,
)
from . import _n5_world, _record
from ._traits import Traits

at_level = same_layout
zeros_of = stored_as_any
DRIVER = "n5"
open_spec = array_per_folder(DRIVER)
FAMILY = "n5"
KEEPS = frozenset({"name", "user"})
HAS_FILL_VALUE = False
FIXED_AXES: tuple[str, ...] = ()
DESCRIBES_IN_LEVELS = True
TRAITS = Traits(("attributes.json",), "n5")
level_paths = numbered_paths("s")
label_names = no_label_names
ATTRIBUTES = "attributes.json"
DTYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64")
#: Attributes that define how an array is stored.
OF_STORAGE = ("dimensions", "blockSize", "dataType", "compression")
#: Attributes with a meaning in this format, so that user attributes cannot have these names.
RESERVED = frozenset([*OF_STORAGE, *_n5_world.ATTRIBUTES, "n5"])
#: User attribute that holds those of level 0.
OF_LEVEL_0 = "s0"


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


def detect(location: Location) -> bool:
    """Return whether there are attributes, of a group or of a first level."""
    return location.read(ATTRIBUTES) is not None or location.child("s0").read(ATTRIBUTES) is not None


def read(location: Location) -> StoredVolume:
    """Return the volume of a group of levels, or of a single array."""
    group = location.json(ATTRIBUTES) or {}
    single = "dimensions" in group
    arrays = [group] if single else _arrays_of(location)
    if not arrays:
        raise StoreError(f"{location.name}: neither an N5 array nor a group of levels s0, s1, ...{_advice(location)}")
    if any(array.get("isLabelMultiset") for array in (group, arrays[0])):
        raise StoreError(
            f"{location.name}: holds label multisets (isLabelMultiset) of Paintera, which cannot be read; convert it "
            "to an array of labels first"
        )
    above = _attributes_above(location)
    try:
        entry = {} if single else _n5_world.own_entry(group) or {}
        notes = _record.record_of(group) or {**(entry.get("metadata") or {}), "method": entry.get("type")}
        listed = {} if single else group
        grids = _n5_world.grids_of(listed, arrays, notes.get("method"), above.get("downsamplingFactors"))
        kind = _record.kind_of(notes) or _kind_by_others(above, group, arrays[0])
        metadata = _metadata(group, {} if single else arrays[0], entry)
    except UNREADABLE as error:
        raise StoreError(
            f"{location.name}: the metadata of the resolution cannot be understood: {brief(error)}"
        ) from None
    paths = [""] if single else [f"s{k}" for k in range(len(arrays))]
    attributes = {"array": True} if single else {}
    layout, dtype = layout_of(arrays[0]), arrays[0]["dataType"]
    return StoredVolume("n5", location, grids, paths, dtype, layout, kind, attributes, notes, metadata)


def _arrays_of(location: Location) -> list[dict[str, Any]]:
    """Return the attributes of the arrays s0, s1, ...."""
    arrays: list[dict[str, Any]] = []
    while (array := location.child(f"s{len(arrays)}").json(ATTRIBUTES)) is not None and "dimensions" in array:
        arrays.append(array)
    return arrays


def _advice(location: Location) -> str:
    """Return where the levels are in containers of other tools, as the end of a message."""
    for path in ("setup0/timepoint0", "data"):
        if location.child(f"{path}/s0").read(ATTRIBUTES) is not None:
            return f"; name a group inside it, such as {location.name.rstrip('/')}/{path}"
    return ""


def _attributes_above(location: Location) -> dict[str, Any]:
    """Return the attributes of the group above, where BigDataViewer lists factors, and Paintera what a group holds."""
    name, above = location.folder_name, location.parent
    if above is None or (name != "data" and re.fullmatch(r"timepoint\d+", name) is None):
        return {}
    return above.json(ATTRIBUTES) or {}


def _kind_by_others(*attributes: dict[str, Any]) -> Literal["image", "labels"] | None:
    """Return the kind of the voxels that attributes of Paintera or CellMap tell."""
    for entries in attributes:
        painted, mapped = entries.get("painteraData"), entries.get("cellmap")
        if isinstance(painted, dict) and painted.get("type") in ("raw", "channel"):
            return "image"
        labels = isinstance(painted, dict) and painted.get("type") == "label"
        annotated = isinstance(mapped, dict) and "annotation" in mapped
        if labels or annotated or entries.get("isLabelMultiset") is False or "maxId" in entries:
            return "labels"
    return None


def _metadata(group: dict[str, Any], level_0: dict[str, Any], entry: dict[str, Any]) -> Metadata:
    """Return metadata whose attribute s0 holds the user attributes of level 0.

    Entries of multiscales that list other arrays stay with them.
    """
    others = [other for other in group.get("multiscales") or [] if other is not entry]
    names = [f"multiscales ({other.get('name') or 'of other arrays'})" for other in others]
    metadata = _record.metadata_of(group, RESERVED, str(entry.get("name") or ""), names)
    of_level = {key: value for key, value in level_0.items() if key not in RESERVED}
    if of_level:
        metadata.user.setdefault(OF_LEVEL_0, of_level)
    return metadata


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
    """Write the attributes of every level, and those of the group last, because they mark the build as finished."""
    group = location.json(ATTRIBUTES) or {}
    arrays = [location.child(path).json(ATTRIBUTES) or {} for path in levels.paths]
    user = dict(levels.metadata.user)
    of_level = user.pop(OF_LEVEL_0, None) if isinstance(user.get(OF_LEVEL_0), dict) else None
    of_level = {key: value for key, value in (of_level or {}).items() if key not in RESERVED}
    group, described = _n5_world.described(group, [{**of_level, **array} for array in arrays], levels)
    for path, array, previous in reversed(list(zip(levels.paths, described, arrays, strict=True))):
        if array != previous:
            location.child(path).write_json(ATTRIBUTES, array)
    group = {"n5": "4.0.0", **group}
    _record.add_to(group, levels, user, RESERVED)
    location.write_json(ATTRIBUTES, group)
    _warn_of_list_above(location, levels)


def _warn_of_list_above(location: Location, levels: LevelMetadata) -> None:
    """Warn of a list of levels outside the store, which BigDataViewer reads, and which is not changed."""
    listed = _attributes_above(location).get("downsamplingFactors")
    if isinstance(listed, list) and len(listed) < len(levels.paths):
        warnings.warn(
            f"{location.name}: BigDataViewer reads the factors of levels from {ATTRIBUTES} of the folder above, which "
            f"lists {len(listed)} of {len(levels.paths)} levels; add the others once all timepoints have them",
            stacklevel=2,
        )
