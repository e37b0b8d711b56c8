"""What OME-Zarr 0.4 and 0.5 share: the list of levels with their transformations.

Formats: https://ngff.openmicroscopy.org/0.4/ and https://ngff.openmicroscopy.org/0.5/.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any, Literal

from ..._pooling.arguments import MAX_LEVELS
from ...errors import UNREADABLE, StoreError, brief
from ...grid import Grid, grid_from
from ..location import Location
from ..volume import LevelMetadata, inside


def axes_order(grid: Grid) -> tuple[str, ...]:
    """Time, then channels and other types, then space with x last, as the format asks."""
    usual = all(grid.axes[axis].lower() in ("z", "y", "x") for axis in grid.spatial)

    def rank(axis: int) -> tuple[int, int]:
        if axis not in grid.spatial:
            return (0 if grid.types[axis] == "time" else 1), 0
        return 2, "zyx".index(grid.axes[axis].lower()) if usual else 0

    return tuple(grid.axes[axis] for axis in sorted(range(grid.ndim), key=rank))


def separated(separator: str, ndim: int, first: str = "") -> re.Pattern[str]:
    """The pattern of chunk keys: numbers with separators between, and maybe something before them."""
    numbers = [r"\d+"] * (ndim if ndim or first else 1)
    return re.compile(re.escape(separator).join([first, *numbers] if first else numbers))


def kind(ome: dict[str, Any]) -> Literal["image", "labels"] | None:
    """What the metadata says that the voxels are."""
    return "labels" if "image-label" in ome else "image" if "omero" in ome else None


def digest(meta: dict[str, Any], keys: tuple[str, ...]) -> str:
    """A checksum of what an array's metadata says about how its voxels are stored."""
    said = json.dumps({key: meta.get(key) for key in keys}, sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def levels(
    ome: Any, place: Location, meta_of: Callable[[str], dict[str, Any]], keys: tuple[str, ...]
) -> tuple[list[Grid], list[str], dict[str, Any]]:
    """The grids and paths of all levels, and how they were made. A group that says nothing may hold an array 0.

    Arrays whose metadata is not what it was when their levels were made are refused.
    """
    metas: dict[str, dict[str, Any]] = {}

    def shape_of(path: str) -> list[int]:
        metas[path] = meta_of(path)
        shape: list[int] = metas[path]["shape"]
        return shape

    if isinstance(ome, dict) and "multiscales" in ome:
        found = parse(ome["multiscales"], shape_of, place.name)
        known = found[2].get("arrays")
        for path, noted in known.items() if isinstance(known, dict) else ():
            if path not in metas:
                raise StoreError(f"{place.name}: level {path} was made, but the metadata does not list it any more")
            if digest(metas[path], keys) != noted:
                raise StoreError(
                    f"{place.name}/{path}: its metadata is not what it was when the levels were made; it is damaged, "
                    "or somebody has changed how it is stored: remove the levels and build them again"
                )
        return found
    try:
        shape = shape_of("0")
    except StoreError:
        raise StoreError(
            f"{place.name}: its attributes have no multiscales, so its levels are unknown, and it has no array 0"
        ) from None
    return [Grid(shape)], ["0"], {}


def parse(
    multiscales: Any, shapes_of: Callable[[str], list[int]], name: str
) -> tuple[list[Grid], list[str], dict[str, Any]]:
    """The grids and paths of all levels, and how they were made, as far as it says."""
    try:
        entry = multiscales[0]
        axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in entry["axes"]]
        names, units = (
            [(str(axis["name"]), axis.get("type") or None) for axis in axes],
            [axis.get("unit") for axis in axes],
        )
        if len(entry["datasets"]) > MAX_LEVELS:
            raise StoreError(f"{name}: lists {len(entry['datasets'])} levels; up to {MAX_LEVELS} can be read")
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
                        f"{name}: a level is placed by {step['type']!r}; scale and translation can be read"
                    )
            paths.append(inside(str(dataset["path"]), name))
            placed = {"axes": names, "scale": scale, "translation": translation, "units": units}
            grids.append(grid_from({"shape": shapes_of(paths[-1]), **placed}))
        grids[0], paths[0]  # at least one
        notes = entry.get("metadata") if isinstance(entry.get("metadata"), dict) else {}
        return grids, paths, {**notes, "method": entry.get("type")}
    except UNREADABLE as error:
        raise StoreError(f"{name}: its multiscales metadata cannot be understood: {brief(error)}") from None


def multiscales(made: LevelMetadata, own: Any, notes: dict[str, Any], version: dict[str, str]) -> list[dict[str, Any]]:
    """The list of multiscales, whose first entry is of these levels.

    ``own`` is the list that the store itself has had so far, whose other entries are kept as they are. Of the first
    entry (in a copy, of the source's) everything is kept but what places the levels; its axes are put in the order of
    the arrays.
    """
    inherited = own or (made.attributes.get("ome") or made.attributes).get("multiscales")
    before = inherited[0] if inherited else {}
    grids, paths = made.grids, made.paths
    entry = {key: value for key, value in before.items() if key not in ("datasets", "coordinateTransformations")}
    listed = {axis["name"]: axis for axis in entry.get("axes", []) if isinstance(axis, dict)}
    entry["axes"] = [
        listed.get(name, {"name": name, "type": kind, **({"unit": unit} if unit else {})})
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
    entry["type"] = made.method
    entry["metadata"] = {"description": "every level exact from the base", "made_by": "tinypyr.pyramid", **notes}
    return [{**entry, **version}, *(own or [])[1:]]
