"""What OME-Zarr 0.4 and 0.5 share: the list of levels with their transformations.

Formats: https://ngff.openmicroscopy.org/0.4/ and https://ngff.openmicroscopy.org/0.5/.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any, Literal

from ...grid import Grid
from ...pooling import MAX_LEVELS
from .._errors import UNREADABLE, StoreError, brief
from .._place import Place
from .._volume import inside

ORDER = "tczyx"
KINDS = {"t": "time", "c": "channel"}


def axes_order(axes: tuple[str, ...]) -> tuple[str, ...]:
    """Time, channel, then space with x last, as the format asks."""
    known = all(axis in ORDER for axis in axes)
    return tuple(sorted(axes, key=ORDER.index)) if known else axes


def kind(ome: dict[str, Any]) -> Literal["image", "labels"] | None:
    """What the metadata says that the voxels are."""
    return "labels" if "image-label" in ome else "image" if "omero" in ome else None


def digest(meta: dict[str, Any], keys: tuple[str, ...]) -> str:
    """A checksum of what an array's metadata says about how its voxels are stored."""
    said = json.dumps({key: meta.get(key) for key in keys}, sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def levels(
    ome: Any, place: Place, meta_of: Callable[[str], dict[str, Any]], keys: tuple[str, ...]
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
        names, units = [str(axis["name"]) for axis in axes], [axis.get("unit") for axis in axes]
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
            grids.append(Grid(shapes_of(paths[-1]), names, scale, translation, units))
        grids[0], paths[0]  # at least one
        notes = entry.get("metadata") if isinstance(entry.get("metadata"), dict) else {}
        return grids, paths, {**notes, "method": entry.get("type")}
    except UNREADABLE as error:
        raise StoreError(f"{name}: its multiscales metadata cannot be understood: {brief(error)}") from None


def multiscales(
    grids: list[Grid], paths: list[str], method: str, before: dict[str, Any] | None, notes: dict[str, Any]
) -> dict[str, Any]:
    """The entry that lists these levels; what else it held before is kept."""
    entry = {
        key: value for key, value in (before or {}).items() if key not in ("datasets", "coordinateTransformations")
    }
    if "axes" not in entry:
        entry["axes"] = [
            {"name": name, "type": KINDS.get(name, "space"), **({"unit": unit} if unit else {})}
            for name, unit in zip(grids[0].axes, grids[0].units, strict=True)
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
    entry["type"] = method
    entry["metadata"] = {"description": "every level exact from the base", "made_by": "tinypyr.pyramid", **notes}
    return entry
