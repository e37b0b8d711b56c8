"""Writing of OME-Zarr metadata: levels are added to what a store says already, or to what a copy keeps of its source.

In place everything else stays verbatim, also the version and the style in which axes and transformations are written.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from ..._util.units import long_name
from ...errors import UNREADABLE, StoreError
from ...grid import FLOAT32_PRECISION, SCALE_TOLERANCE, Grid, implied_type
from ..metadata import Metadata
from ..volume import LevelMetadata
from ._ome import entry_grids
from ._ome_places import (
    DATASET,
    ENTRY,
    FAMILY,
    MADE_BY,
    NAMESPACE,
    is_nested,
    is_record,
    namespace,
    record_key,
    record_of,
)
from ._ome_transformations import Placement, composed, end_name, intrinsic_system, named_transformations

#: Name of the coordinate system of new stores.
INTRINSIC = "physical"


def described(
    own: dict[str, Any], levels: LevelMetadata, digests: dict[str, str], version: str, *, nested: bool
) -> dict[str, Any]:
    """Return the attributes of a group with these levels.

    Parameters
    ----------
    own : dict
        The attributes that the group has.
    levels : LevelMetadata
        The levels.
    digests : dict of str to str
        Checksums of the metadata of their arrays, by path.
    version : str
        Version to write, unless the group has one.
    nested : bool
        Whether new metadata goes into the key ``ome``.
    """
    in_place = bool(namespace(own).get("multiscales"))
    if in_place:
        attributes, nested = copy.deepcopy(own), is_nested(own)
    else:
        attributes = _with_copied(own, levels.metadata, version, nested=nested)
    ome = attributes["ome"] if nested else attributes
    entries = ome["multiscales"] if in_place else [_copied_entry(levels.metadata)]
    with_systems = "coordinateSystems" in entries[0] or (not in_place and version.startswith("0.6"))
    entry = _with_levels(entries[0], levels, with_systems=with_systems, in_place=in_place)
    if not nested and not in_place:
        entry["version"] = version
    record = {"description": "every level exact from the base", "made_by": MADE_BY, **levels.notes, "arrays": digests}
    ome["multiscales"] = [_with_record(entry, levels.method, record), *entries[1:]]
    if levels.kind == "labels":
        ome.setdefault("image-label", {"version": version})
    return attributes


def _with_copied(own: dict[str, Any], metadata: Metadata, version: str, *, nested: bool) -> dict[str, Any]:
    """Return the attributes of a group, with those that a copy keeps of its source."""
    attributes = _copied(metadata, version, nested)
    for key, value in own.items():
        if key != "ome" or not nested:
            attributes[key] = value
        elif isinstance(value, dict):
            attributes["ome"] |= value
    return attributes


def _copied(metadata: Metadata, version: str, nested: bool) -> dict[str, Any]:
    """Return the attributes that a copy keeps of its source, apart from those of the levels."""
    ome: dict[str, Any] = {}
    for key, value in (("omero", metadata.channels), ("image-label", metadata.labels)):
        if value is not None:
            ome[key] = {**value, **({"version": version} if "version" in value else {})}
    if metadata.family == FAMILY:
        for place, value in metadata.foreign.items():
            if place.startswith(NAMESPACE):
                key = place.removeprefix(NAMESPACE)
                ome[key if nested or key not in metadata.user else place] = value
    return {**metadata.user, "ome": {"version": version, **ome}} if nested else {**metadata.user, **ome}


def _copied_entry(metadata: Metadata) -> dict[str, Any]:
    """Return the entry of multiscales that a copy keeps of its source, without levels."""
    entry: dict[str, Any] = {"name": metadata.name} if metadata.name else {}
    base: dict[str, Any] = {}
    if metadata.family == FAMILY:
        for place, value in metadata.foreign.items():
            key = place.removeprefix(ENTRY)
            if key.startswith(DATASET):
                base[key.removeprefix(DATASET)] = value
            elif key == "axes":
                entry["axes"] = list(value.values())
            elif key != place:
                entry[key] = value
    return {**entry, "datasets": [base]} if base else entry


def _with_record(entry: dict[str, Any], method: str, record: dict[str, Any]) -> dict[str, Any]:
    """Return an entry with our record of the levels, beside the metadata of others."""
    previous = record_of(entry)
    previous_type = previous.get("previous_type") if previous else entry.get("type")
    if previous_type is not None:
        record["previous_type"] = previous_type
    theirs = entry.get("metadata")
    entry["type"] = method
    if is_record(theirs):
        entry["metadata"] = {**theirs, **record}  # (and what others added to it)
    elif theirs in (None, {}):
        entry["metadata"] = record
    elif isinstance(theirs, dict):
        entry["metadata"] = {**theirs, record_key(theirs): record}
    else:
        entry[record_key(entry)] = record
    return entry


def _with_levels(entry: dict[str, Any], levels: LevelMetadata, *, with_systems: bool, in_place: bool) -> dict[str, Any]:
    """Return an entry that lists the levels. What it says of levels that it lists already, and is true, stays."""
    grids, paths, systems = levels.grids, levels.paths, levels.metadata.systems
    previous = {str(d.get("path", paths[0])).rstrip("/"): d for d in entry.get("datasets", [])}
    listed = _listed_grids(entry, grids, previous, paths)
    base_stays = _same(listed.get(paths[0]), grids[0])
    result = {key: value for key, value in entry.items() if key != "datasets"}
    overall, inner_base = None, None
    if not with_systems:
        overall = _overall(entry, grids[0].ndim)
        if overall is None or (0.0 in overall.scale and not base_stays):
            overall = None
            result.pop("coordinateTransformations", None)
    if base_stays:
        inner_base = _inner_base(previous[paths[0]], entry, grids[0])
    name = ""
    if not with_systems:
        _put_axes(result, grids[0], in_place=in_place)
    elif in_place:
        name = _put_axes_of_system(result, intrinsic_system(entry), grids[0])
    else:
        name = _put_systems(result, systems, grids[0])
    result["datasets"] = []
    for grid, path in zip(grids, paths, strict=True):
        dataset = {**previous.get(path, {}), "path": path}
        if not _same(listed.get(path), grid):
            placement = _inner(grid, grids[0], overall, inner_base)
            dataset["coordinateTransformations"] = _transformations(placement, path, name, previous.get(paths[0], {}))
        result["datasets"].append(dataset)
    return result


def _listed_grids(
    entry: dict[str, Any], grids: list[Grid], previous: dict[str, Any], paths: list[str]
) -> dict[str, Grid]:
    """Return the grids that an entry lists for levels, by path; none if it lists none that can be read."""
    shapes = {path: grid.shape for path, grid in zip(paths, grids, strict=True)}
    known = {path: dataset for path, dataset in previous.items() if path in shapes and "path" in dataset}
    if not known:
        return {}
    try:
        listed, _ = entry_grids({**entry, "datasets": list(known.values())}, [shapes[path] for path in known])
    except (StoreError, *UNREADABLE):
        return {}
    return dict(zip(known, listed, strict=True))


def _same(listed: Grid | None, grid: Grid) -> bool:
    """Return whether the world coordinates that are listed for a level are those of its grid, or their float32."""
    if listed is None:
        return False
    along = zip(listed.scale, grid.scale, listed.translation, grid.translation, strict=True)
    return all(
        abs(a - b) <= SCALE_TOLERANCE * b and abs(c - d) <= SCALE_TOLERANCE * b + FLOAT32_PRECISION * abs(d)
        for a, b, c, d in along
    )


def _overall(entry: dict[str, Any], ndim: int) -> Placement | None:
    """Return the transformation that an entry applies to all levels; None if it cannot be read."""
    try:
        steps = entry.get("coordinateTransformations") or []
        return composed(steps, ndim, named_transformations({**entry, "datasets": []}))
    except (StoreError, *UNREADABLE):
        return None


def _inner_base(base: dict[str, Any], entry: dict[str, Any], grid: Grid) -> Placement:
    """Return where the base lies before the transformations of the entry."""
    steps = base.get("coordinateTransformations") or []
    return composed(steps[:1] if "coordinateSystems" in entry else steps, grid.ndim, named_transformations(entry))


def _inner(grid: Grid, base: Grid, overall: Placement | None, inner_base: Placement | None) -> Placement:
    """Return where a level lies before the transformations of its entry.

    Along axes that are not pooled, that is where the base lies, even with a scale of 0.
    """
    scale, translation = list(grid.scale), list(grid.translation)
    for axis, (s, t) in enumerate(zip(grid.scale, grid.translation, strict=True)):
        if inner_base is not None and (s, t) == (base.scale[axis], base.translation[axis]):
            scale[axis], translation[axis] = inner_base.scale[axis], inner_base.translation[axis]
        elif overall is not None:
            scale[axis] = s / overall.scale[axis]
            translation[axis] = (t - overall.translation[axis]) / overall.scale[axis]
    return Placement(scale, translation)


def _transformations(placement: Placement, path: str, system: str, base: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the transformations of a level; with the name of a coordinate system, in the style of the base."""
    steps: list[dict[str, Any]] = [
        {"type": "scale", "scale": placement.scale},
        {"type": "translation", "translation": placement.translation},
    ]
    if not system:
        return steps
    of_base = (base.get("coordinateTransformations") or [{}])[0]
    as_text = isinstance(of_base, dict) and isinstance(of_base.get("output"), str)
    ends = {"input": path, "output": system} if as_text else {"input": {"path": path}, "output": {"name": system}}
    return [{"type": "sequence", **ends, "transformations": steps}]


def _put_axes(entry: dict[str, Any], grid: Grid, *, in_place: bool) -> None:
    """Set the axes of an entry, in the order of the arrays; those that say the same already stay verbatim."""
    implied = list("tczyx"[5 - grid.ndim :]) if grid.ndim <= 5 else []
    if not in_place or entry.get("axes", implied) != list(grid.axes):  # (0.1 to 0.3 have no types and units)
        entry["axes"] = _axes(entry.get("axes") or [], grid)


def _put_axes_of_system(entry: dict[str, Any], system: dict[str, Any], grid: Grid) -> str:
    """Set the axes of a coordinate system of an entry, and return its name."""
    axes = _axes(system.get("axes") or [], grid)
    entry["coordinateSystems"] = [{**s, "axes": axes} if s is system else s for s in entry["coordinateSystems"]]
    name: str = system["name"]
    return name


def _put_systems(entry: dict[str, Any], systems: dict[str, Any], grid: Grid) -> str:
    """Add coordinate systems, those of the source first, and return the name of the system of the levels."""
    name: str = systems.get("intrinsic") or INTRINSIC
    entry["coordinateSystems"] = [
        *systems.get("others", []),
        {"name": name, "axes": _axes(entry.pop("axes", []), grid)},
    ]
    if systems.get("transformations"):
        entry["coordinateTransformations"] = [
            _reordered(step, name, systems["axes"], grid.axes) for step in systems["transformations"]
        ]
    return name


def _reordered(step: dict[str, Any], name: str, axes: Sequence[str], stored: Sequence[str]) -> dict[str, Any]:
    """Return a transformation that is true when the coordinate system ``name`` has its axes in the stored order."""
    ends: dict[str, Any] = {key: step[key] for key in ("input", "output", "name") if key in step}
    steps = [{key: value for key, value in step.items() if key not in ends}]
    if end_name(ends.get("input")) == name:
        steps.insert(0, {"type": "mapAxis", "mapAxis": [list(stored).index(axis) for axis in axes]})
    if end_name(ends.get("output")) == name:
        steps.append({"type": "mapAxis", "mapAxis": [list(axes).index(axis) for axis in stored]})
    if list(axes) == list(stored) or len(steps) == 1:
        return step
    return {"type": "sequence", **ends, "transformations": steps}


def _axes(listed: list[Any], grid: Grid) -> list[dict[str, Any]]:
    by_name = {axis.get("name"): axis for axis in listed if isinstance(axis, dict)}
    return [
        _axis(by_name.get(name, {"name": name, "type": kind}), kind, unit)
        for name, kind, unit in zip(grid.axes, grid.types, grid.units, strict=True)
    ]


def _axis(metadata: dict[str, Any], kind: str, unit: str | None) -> dict[str, Any]:
    """Return the metadata of an axis, changed only where its type or unit means something else."""
    axis = dict(metadata)
    if (axis.get("type") or implied_type(axis["name"])) != kind:
        axis["type"] = kind
    listed = axis.get("unit")
    if (long_name(listed) if isinstance(listed, str) else listed) != unit:
        axis.pop("unit", None)
        axis |= {} if unit is None else {"unit": unit}
    return axis
