"""Reading of metadata in all versions of OME-Zarr: axes, levels and their world coordinates.

Specifications: https://ngff.openmicroscopy.org. An entry of ``multiscales`` lists its axes in one of four styles: none
(0.1 and 0.2, whose axes are t, c, z, y, x), names (0.3), objects (0.4 and 0.5), or within coordinate systems (0.6).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..._pooling.arguments import MAX_LEVELS
from ..._reference import extent
from ..._util.units import long_name
from ...errors import UNREADABLE, StoreError, brief
from ...grid import Grid, grid_from
from ..location import Location
from ..volume import checked_path
from ._ome_places import namespace, record_of
from ._ome_transformations import Placement, composed, intrinsic_system, named_transformations, steps_of

#: Number of axes above which nothing can be pooled; the axes of such arrays are not listed.
MAX_AXES = 32

#: Keys of groups that contain images, what such a group is, and the usual path of an image in it.
COLLECTIONS = (
    ("plate", "a plate", "A/1/0"),
    ("well", "a well of a plate", "0"),
    ("bioformats2raw.layout", "a collection of images (bioformats2raw)", "0"),
    ("labels", "a group of labels", "the names that it lists"),
)


@dataclass(frozen=True)
class Levels:
    """The levels that a group lists, with what :class:`StoredVolume` says of their geometry."""

    grids: list[Grid]
    paths: list[str]
    notes: dict[str, Any]
    unreadable: str = ""
    assumed: tuple[str, ...] = ()
    contradictions: tuple[str, ...] = ()

    @property
    def geometry(self) -> dict[str, Any]:
        """Arguments of :class:`StoredVolume`."""
        return {"unreadable": self.unreadable, "assumed": self.assumed, "contradictions": self.contradictions}


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


def kind(
    attributes: dict[str, Any], notes: dict[str, Any], location: Location, dtype: str
) -> Literal["image", "labels"] | None:
    """Return the kind of the voxels according to the metadata, or to the group of labels that contains the store."""
    ome = namespace(attributes)
    if "image-label" in ome or may_be_labels(dtype, location):
        return "labels"
    recorded = notes.get("kind")
    if recorded in ("image", "labels"):
        return "labels" if recorded == "labels" else "image"
    return "image" if "omero" in ome else None


def may_be_labels(dtype: str, location: Location, depth: int = 1) -> bool:
    """Return whether voxels are integers, and one of the ``depth`` folders above is the group of labels of an image."""
    if not dtype.lstrip("u").startswith(("int", "bool")):
        return False
    for _ in range(depth):
        parent = location.parent
        if parent is None:
            return False
        if parent.folder_name == "labels":
            return any(parent.read(key) is not None for key in (".zgroup", ".zattrs", "zarr.json"))
        location = parent
    return False


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
    attributes: Any,
    location: Location,
    meta_of: Callable[[str], dict[str, Any]],
    names_of: Callable[[str], Any],
    keys: tuple[str, ...],
) -> Levels:
    """Return the levels that the attributes of a group list. A group that lists none may have an array 0.

    ``names_of`` returns the names of an array's dimensions as the array itself has them, None if it has none. Raise
    StoreError if the metadata of an array has changed since the levels were built.
    """
    metas: dict[str, dict[str, Any]] = {}

    def shape_of(path: str) -> list[int]:
        metas[path] = meta_of(path)
        shape: list[int] = metas[path]["shape"]
        return shape

    ome = namespace(attributes)
    if "multiscales" in ome:
        levels = parse(ome["multiscales"], shape_of, names_of, location.name)
        digests = levels.notes.get("arrays")
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
            f"{_advice(attributes)}"
        ) from None
    return Levels([Grid(shape)], ["0"], {})


def _advice(attributes: Any) -> str:
    """Return which path to give instead of that of a group that contains images."""
    ome = attributes.get("ome") if isinstance(attributes, dict) else None
    keys = {*(attributes if isinstance(attributes, dict) else ()), *(ome if isinstance(ome, dict) else ())}
    for key, kind, example in COLLECTIONS:
        if key in keys:
            return f"; it is {kind}, so give the path of an image in it, such as {example}"
    return ""


def parse(multiscales: Any, shape_of: Callable[[str], list[int]], names_of: Callable[[str], Any], name: str) -> Levels:
    """Return the levels in a list of multiscales; their grids have extents only if the geometry is unreadable."""
    try:
        entry = multiscales[0]
        if len(entry["datasets"]) > MAX_LEVELS:
            raise StoreError(f"{name}: has {len(entry['datasets'])} levels; up to {MAX_LEVELS} can be read")
        paths = [checked_path(str(dataset["path"]), name) for dataset in entry["datasets"]]
        paths[0]  # (raises if there is no level)
        shapes = [shape_of(path) for path in paths]
        notes = {**record_of(entry), "method": entry.get("type")}
    except UNREADABLE as error:
        raise StoreError(f"{name}: the multiscales metadata cannot be understood: {brief(error)}") from None
    try:
        grids, assumed = entry_grids(entry, shapes)
    except (StoreError, *UNREADABLE) as error:
        text = str(error) if isinstance(error, StoreError) else brief(error)
        reason = f"{name}: the multiscales metadata cannot be understood: {text}"
        return Levels([_extents_only(shape) for shape in shapes], paths, notes, reason)
    names = names_of(paths[0])
    contradictions = []
    if isinstance(names, list) and tuple(names) != grids[0].axes and sorted(map(str, names)) == sorted(grids[0].axes):
        contradictions = [
            f"level 0: its dimensions are named {', '.join(map(str, names))}, but the axes listed for it are "
            f"{', '.join(grids[0].axes)}; correct the one that is wrong"
        ]
    return Levels(grids, paths, notes, "", assumed, tuple(contradictions))


def entry_grids(entry: dict[str, Any], shapes: Sequence[Sequence[int]]) -> tuple[list[Grid], tuple[str, ...]]:
    """Return the grids of an entry's levels, and the axes along which a scale of 0 was read as 1.

    Raise StoreError, or one of UNREADABLE, if the world coordinates cannot be understood.
    """
    axes = entry_axes(entry, len(shapes[0]))
    names = [(str(axis["name"]), axis.get("type") or None) for axis in axes]
    units = [axis.get("unit") for axis in axes]
    if any(not isinstance(unit, (str, type(None))) for unit in units):
        raise TypeError(f"units {units!r} are not texts")
    named = named_transformations(entry)
    placements = []
    for dataset, shape in zip(entry["datasets"], shapes, strict=True):
        steps = steps_of(entry, dataset)
        implied = steps is None
        placements.append(_implied(shapes[0], shape) if implied else composed(steps or [], len(axes), named))
    zero = [axis for axis in range(len(axes)) if any(placement.scale[axis] == 0 for placement in placements)]
    grids = []
    for placement, shape in zip(placements, shapes, strict=True):
        scale = [(s or placements[0].scale[axis] or 1.0) for axis, s in enumerate(placement.scale)]
        world = {"axes": names, "scale": scale, "translation": placement.translation, "units": map(long_name, units)}
        grids.append(grid_from({"shape": shape, **world}))
    return grids, tuple(names[axis][0] for axis in zero)


def entry_axes(entry: dict[str, Any], ndim: int) -> list[dict[str, Any]]:
    """Return the axes of an entry as objects, whatever its style."""
    if "coordinateSystems" in entry:
        axes = intrinsic_system(entry)["axes"]
    elif "axes" in entry:
        axes = entry["axes"]
    else:  # 0.1 and 0.2: five axes
        axes = list("tczyx"[5 - ndim :]) if ndim <= 5 else []
    objects = [axis if isinstance(axis, dict) else {"name": axis} for axis in axes]
    if len(objects) != ndim:
        raise ValueError(f"{len(objects)} axes are listed for an array of {ndim} dimensions")
    return objects


def _implied(base: Sequence[int], shape: Sequence[int]) -> Placement:
    """Return where a level without transformations lies if its footprints are centred, from the ratio of extents."""
    factors = []
    for n, m in zip(base, shape, strict=True):
        ratio = max(1, round(n / m)) if m else 1
        near = (ratio, ratio + 1, max(1, ratio - 1))
        factors.append(next((f for f in near if extent(n, f, 0)[0] == m), ratio))
    return Placement([float(f) for f in factors], [(f - 1) / 2 for f in factors])


def _extents_only(shape: Sequence[int]) -> Grid:
    if len(shape) > MAX_AXES:
        raise ValueError(f"an array has {len(shape)} dimensions")
    return Grid(shape, None if len(shape) <= 5 else [f"dim_{axis}" for axis in range(len(shape))])
