"""Metadata that OME-Zarr 0.4 and 0.5 share: the list of levels with their transformations.

Specifications: https://ngff.openmicroscopy.org/0.4/ and https://ngff.openmicroscopy.org/0.5/.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any, Literal

from ..._pooling.arguments import MAX_LEVELS
from ..._util.units import long_name
from ...errors import UNREADABLE, StoreError, brief
from ...grid import Grid, grid_from, implied_type
from ..location import Location
from ..volume import LevelMetadata, checked_path


def axes_order(grid: Grid) -> tuple[str, ...]:
    """Return time first, then channels and other types, then space with x last, as the specification requires."""
    named_zyx = all(grid.axes[axis].lower() in ("z", "y", "x") for axis in grid.spatial)

    def rank(axis: int) -> tuple[int, int]:
        if axis not in grid.spatial:
            return (0 if grid.types[axis] == "time" else 1), 0
        return 2, "zyx".index(grid.axes[axis].lower()) if named_zyx else 0

    return tuple(grid.axes[axis] for axis in sorted(range(grid.ndim), key=rank))


def separated(separator: str, ndim: int, first: str = "") -> re.Pattern[str]:
    """Return a pattern of chunk keys: numbers with a separator between them, after an optional first part."""
    numbers = [r"\d+"] * (ndim if ndim or first else 1)
    return re.compile(re.escape(separator).join([first, *numbers] if first else numbers))


def kind(ome: dict[str, Any]) -> Literal["image", "labels"] | None:
    """Return the kind of the voxels according to the metadata."""
    return "labels" if "image-label" in ome else "image" if "omero" in ome else None


def label_names(attributes: dict[str, Any], location: Location) -> list[str]:
    """Return the names that the attributes of the group ``labels`` list; raise StoreError if they are not names."""
    names = attributes.get("labels") or []
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip("/") for name in names):
        raise StoreError(f"{location.name}/labels: the metadata lists labels that are not names; correct it")
    return [checked_path(name, location.name) for name in names]


def digest(meta: dict[str, Any], keys: tuple[str, ...]) -> str:
    """Return a checksum of the entries of an array's metadata that define how its voxels are stored."""
    entries = json.dumps({key: meta.get(key) for key in keys}, sort_keys=True)
    return hashlib.sha256(entries.encode()).hexdigest()[:16]


def levels(
    ome: Any, location: Location, meta_of: Callable[[str], dict[str, Any]], keys: tuple[str, ...]
) -> tuple[list[Grid], list[str], dict[str, Any]]:
    """Return the grids and paths of all levels, and the record of how they were made.

    A group without such metadata may have an array 0. Raise StoreError if the metadata of an array has changed since
    the levels were built.
    """
    metas: dict[str, dict[str, Any]] = {}

    def shape_of(path: str) -> list[int]:
        metas[path] = meta_of(path)
        shape: list[int] = metas[path]["shape"]
        return shape

    if isinstance(ome, dict) and "multiscales" in ome:
        levels = parse(ome["multiscales"], shape_of, location.name)
        digests = levels[2].get("arrays")
        for path, recorded in digests.items() if isinstance(digests, dict) else ():
            if path not in metas:
                raise StoreError(
                    f"{location.name}: the metadata does not list level {path} any more, which was built; correct "
                    "it, or remove the levels and build them again"
                )
            if digest(metas[path], keys) != recorded:
                raise StoreError(
                    f"{location.name}/{path}: the metadata of this array has changed since the levels were built, so "
                    "that its chunks may be read wrongly; restore it, or remove the levels and build them again"
                )
        return levels
    try:
        shape = shape_of("0")
    except StoreError:
        raise StoreError(
            f"{location.name}: neither multiscales in its attributes nor an array 0, so its levels are unknown"
        ) from None
    return [Grid(shape)], ["0"], {}


def parse(
    multiscales: Any, shapes_of: Callable[[str], list[int]], name: str
) -> tuple[list[Grid], list[str], dict[str, Any]]:
    """Return the grids and paths in a list of multiscales, and the record of how the levels were made."""
    try:
        entry = multiscales[0]
        axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in entry["axes"]]
        names = [(str(axis["name"]), axis.get("type") or None) for axis in axes]
        units = [axis.get("unit") for axis in axes]
        if any(not isinstance(unit, (str, type(None))) for unit in units):
            raise TypeError(f"units {units!r} are not texts")
        units = [long_name(unit) for unit in units]
        if len(entry["datasets"]) > MAX_LEVELS:
            raise StoreError(f"{name}: has {len(entry['datasets'])} levels; up to {MAX_LEVELS} can be read")
        overall = entry.get("coordinateTransformations", [])
        grids, paths = [], []
        for dataset in entry["datasets"]:
            scale, translation = [1.0] * len(axes), [0.0] * len(axes)
            for step in [*dataset.get("coordinateTransformations", []), *overall]:
                if step["type"] == "scale":
                    scale = [a * float(b) for a, b in zip(scale, step["scale"], strict=True)]
                    translation = [a * float(b) for a, b in zip(translation, step["scale"], strict=True)]
                elif step["type"] == "translation":
                    translation = [a + float(b) for a, b in zip(translation, step["translation"], strict=True)]
                elif step["type"] != "identity":
                    raise StoreError(
                        f"{name}: a level has a transformation of type {step['type']!r}; only scale and translation "
                        "can be read"
                    )
            paths.append(checked_path(str(dataset["path"]), name))
            world = {"axes": names, "scale": scale, "translation": translation, "units": units}
            grids.append(grid_from({"shape": shapes_of(paths[-1]), **world}))
        grids[0], paths[0]  # (raises if there is no level)
        notes = entry.get("metadata") if isinstance(entry.get("metadata"), dict) else {}
        return grids, paths, {**notes, "method": entry.get("type")}
    except UNREADABLE as error:
        raise StoreError(f"{name}: the multiscales metadata cannot be understood: {brief(error)}") from None


def _axis(metadata: dict[str, Any], kind: str, unit: str | None) -> dict[str, Any]:
    """Return the metadata of an axis, changed only where its type or unit means something else."""
    axis = dict(metadata)
    if (axis.get("type") or implied_type(axis["name"])) != kind:
        axis["type"] = kind
    if long_name(axis.get("unit")) != unit:
        axis.pop("unit", None)
        axis |= {} if unit is None else {"unit": unit}
    return axis


def multiscales(
    metadata: LevelMetadata, own: Any, notes: dict[str, Any], version: dict[str, str]
) -> list[dict[str, Any]]:
    """Return a list of multiscales whose first entry has these levels.

    ``own`` is the current list of the store, whose other entries are kept. The first entry (of the source's list in a
    new store) is kept without its transformations, with the axes in the order of the arrays.
    """
    inherited = own or (metadata.attributes.get("ome") or metadata.attributes).get("multiscales")
    previous = inherited[0] if inherited else {}
    grids, paths = metadata.grids, metadata.paths
    entry = {key: value for key, value in previous.items() if key not in ("datasets", "coordinateTransformations")}
    axes_by_name = {axis["name"]: axis for axis in entry.get("axes", []) if isinstance(axis, dict)}
    entry["axes"] = [
        _axis(axes_by_name.get(name, {"name": name, "type": kind}), kind, unit)
        for name, kind, unit in zip(grids[0].axes, grids[0].types, grids[0].units, strict=True)
    ]
    entry["datasets"] = [
        {
            "path": path,
            "coordinateTransformations": [
                {"type": "scale", "scale": list(grid.scale)},
                {"type": "translation", "translation": list(grid.translation)},
            ],
        }
        for grid, path in zip(grids, paths, strict=True)
    ]
    entry["type"] = metadata.method
    entry["metadata"] = {"description": "every level exact from the base", "made_by": "tinypyr.pyramid", **notes}
    return [{**entry, **version}, *(own or [])[1:]]
