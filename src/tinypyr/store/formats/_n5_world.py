"""World coordinates in the attributes of N5, in the conventions of the tools that write them.

====================================  ====================  ======================================================
attributes                            of                    written by
====================================  ====================  ======================================================
``transform``                         arrays                COSEM: axes with x last, or x first if ``order`` is ``F``
``multiscales``                       the group             COSEM: the levels, with their ``transform``
``pixelResolution``                   arrays, the group     n5-viewer, COSEM: ``{dimensions, unit}``; others: a list
``downsamplingFactors``, ``scales``   arrays, the group     n5-viewer, BigDataViewer, Paintera, Neuroglancer
``axes``, ``units``, ``resolution``   arrays, the group     Neuroglancer, TensorStore, BigDataViewer
``offset``                            arrays, the group     Paintera, beside ``resolution``
====================================  ====================  ======================================================

Levels are described by the attributes that level 0 and its group have. A volume without any of them gets all but the
last row, and so does one whose attributes have no place for its coordinates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..._util.units import ABBREVIATIONS, long_name
from ...grid import Grid, factors_between, replace_grid
from ..volume import LevelMetadata

Attributes = dict[str, Any]

#: Attributes of arrays that new stores get.
OF_ARRAYS = ("transform", "downsamplingFactors", "pixelResolution")
#: Attributes of the group that list the factors of all levels.
OF_FACTORS = ("downsamplingFactors", "scales")
#: Attributes that hold one entry per axis.
PER_AXIS = ("axes", "units", "resolution", "offset")
#: All of the above.
ATTRIBUTES = frozenset([*OF_ARRAYS, *OF_FACTORS, *PER_AXIS, "multiscales"])

#: Units that readers of N5 know by their abbreviation. Neuroglancer refuses all others.
KNOWN_UNITS = ("picometer", "nanometer", "micrometer", "millimeter", "centimeter", "meter",
        "nanosecond", "microsecond", "millisecond", "second")  # fmt: skip


def grids_of(group: Attributes, arrays: Sequence[Attributes], method: Any, above: Any = None) -> list[Grid]:
    """Return the grids of all levels.

    Parameters
    ----------
    group, arrays : dict, list of dict
        Attributes of the group and of its arrays.
    method : str
        Method by which levels were made, for voxels whose position no attribute tells.
    above : list, optional
        Factors of all levels in the group above, as BigDataViewer has them.
    """
    base = _base_grid(group, arrays[0])
    levels = range(1, len(arrays))
    return [base, *(_level_grid(group, arrays[k], k, base, str(method), above) for k in levels)]


def own_entry(group: Attributes) -> Attributes | None:
    """Return the entry of multiscales that lists level 0; None if there is none."""
    for entry in group.get("multiscales") or []:
        if any(str(dataset.get("path")).strip("/") == "s0" for dataset in entry.get("datasets", [])):
            found: Attributes = entry
            return found
    return None


def _transform_of(group: Attributes, array: Attributes, number: int) -> Attributes | None:
    """Return the transform of a level, from its own attributes or from the list of its group."""
    if "transform" in array:
        own: Attributes = array["transform"]
        return own
    for dataset in (own_entry(group) or {}).get("datasets", []):
        if str(dataset.get("path")).strip("/") == f"s{number}":
            listed: Attributes | None = dataset.get("transform")
            return listed
    return None


def _base_grid(group: Attributes, array: Attributes) -> Grid:
    """Return the grid of level 0."""
    shape = array["dimensions"]
    transform = _transform_of(group, array, 0)
    if transform is not None:
        return _transformed(shape, transform)

    def attribute(name: str) -> Any:
        return array[name] if name in array else group.get(name)

    grid = Grid(shape, attribute("axes") or "xyzct"[: len(shape)])
    scale, units, offset = attribute("resolution"), attribute("units"), attribute("offset")
    dimensions, unit = _pixel_resolution(attribute("pixelResolution"))
    if scale is None:
        scale = dimensions
        units = [unit] * len(dimensions or []) if units is None and unit else units
    changes: dict[str, Any] = {}
    if scale is not None:
        changes["scale"] = _spread(scale, grid, 1.0)
    if units is not None:
        changes["units"] = [_unit(unit) for unit in _spread(units, grid, None)]
    if offset is not None:
        changes["translation"] = _spread(offset, grid, 0.0)
    return replace_grid(grid, **changes)


def _level_grid(group: Attributes, array: Attributes, number: int, base: Grid, method: str, above: Any) -> Grid:
    """Return the grid of a level above the base."""
    shape = array["dimensions"]
    transform = _transform_of(group, array, number)
    if transform is not None:
        return _transformed(shape, transform)
    listed = group.get("downsamplingFactors") or group.get("scales") or above or []
    factor = array.get("downsamplingFactors") or (listed[number] if number < len(listed) else None)
    if factor is None:
        scale = array.get("resolution") or _pixel_resolution(array.get("pixelResolution"))[0]
        own = base if scale is None else replace_grid(base, scale=_spread(scale, base, 1.0))
        factor = factors_between(base, own)
        if factor is None:
            return replace_grid(own, shape=shape)
        if set(factor) == {1}:
            factor = _factor_of_extents(base.shape, shape)
    return replace_grid(base.level(factor, method), shape=shape)


def _factor_of_extents(base: Sequence[int], level: Sequence[int]) -> list[int]:
    """Return the factor by which extents became those of a level, rounded up or down; 1 where none explains them."""
    factors = []
    for n, m in zip(base, level, strict=True):
        factor = max(1, round(n / m)) if m else 1
        factors.append(factor if m in (-(-n // factor), n // factor) else 1)
    return factors


def _transformed(shape: Sequence[int], transform: Attributes) -> Grid:
    def entries(key: str) -> list[Any]:
        return _reordered(transform[key], transform)

    grid = Grid(shape, entries("axes"), entries("scale"), entries("translate"))
    return replace_grid(grid, units=[_unit(unit) for unit in entries("units")])


def _reordered(values: Iterable[Any], transform: Attributes) -> list[Any]:
    """Return entries of a transform, or entries for it, in the opposite order unless it lists x first."""
    return list(values) if transform.get("order") == "F" else list(values)[::-1]


def _pixel_resolution(value: Any) -> tuple[list[float] | None, str | None]:
    """Return the size of voxels, and its unit, from an object, or from a list of sizes alone."""
    if not isinstance(value, dict):
        return value, None
    unit = value.get("unit")
    return value["dimensions"], None if unit in ("pixel", "pixels") else unit


def _spread(values: Iterable[Any], grid: Grid, missing: Any) -> list[Any]:
    """Return one entry per axis, from one entry per axis or per spatial axis."""
    entries = list(values)
    if len(entries) == grid.ndim or len(entries) != len(grid.spatial):
        return entries
    by_axis = dict(zip(grid.spatial, entries, strict=True))
    return [by_axis.get(axis, missing) for axis in range(grid.ndim)]


def _gathered(values: Sequence[Any], grid: Grid, like: Any) -> list[Any]:
    """Return values of axes as a list of the length of ``like``: of all axes, or of the spatial ones."""
    if isinstance(like, list) and len(like) != grid.ndim and len(like) == len(grid.spatial):
        return [values[axis] for axis in grid.spatial]
    return list(values)


def _unit(unit: str | None) -> str | None:
    return long_name(unit or None)


def _short(unit: str | None) -> str:
    """Return the abbreviation of a unit; empty for units that viewers do not know (``transform`` has them)."""
    return ABBREVIATIONS[unit] if unit in KNOWN_UNITS else ""


# --- writing ---


def described(
    group: Attributes, arrays: Sequence[Attributes], levels: LevelMetadata
) -> tuple[Attributes, list[Attributes]]:
    """Return the attributes of a group and its arrays, with the world coordinates of levels.

    A call with a part of its results in place of the arguments has the same result, so that an interrupted one can be
    repeated.
    """
    base = arrays[0]
    complete = all(name in base for name in OF_ARRAYS) or not ATTRIBUTES & (group.keys() | base.keys())
    if not complete:
        result = _Writer(group, arrays, levels, complete=False).result()
        if _same_world(grids_of(*result, levels.method), levels.grids):
            return result
    return _Writer(group, arrays, levels, complete=True).result()


def _same_world(one: Sequence[Grid], other: Sequence[Grid]) -> bool:
    def world(grid: Grid) -> tuple[Any, ...]:
        return grid.axes, grid.scale, grid.translation, grid.units

    return list(map(world, one)) == list(map(world, other))


class _Writer:
    """Attributes for levels, in the conventions of level 0, or with ``complete`` in all that new stores get."""

    def __init__(
        self, group: Attributes, arrays: Sequence[Attributes], levels: LevelMetadata, *, complete: bool
    ) -> None:
        self._group, self._arrays, self._levels, self._complete = group, arrays, levels, complete
        self._base = levels.grids[0]
        self._factors = [
            [round(s / b) for s, b in zip(grid.scale, self._base.scale, strict=True)] for grid in levels.grids
        ]
        self._unchanged = _same_world([_base_grid(group, arrays[0])], [self._base])
        #: Attributes whose words are kept; none if they describe other coordinates.
        self._like: Attributes = arrays[0] if self._unchanged else {}
        names = [name for name in (*OF_ARRAYS, *PER_AXIS) if name in arrays[0] or (complete and name in OF_ARRAYS)]
        if group.get("multiScale") and "downsamplingFactors" not in names:  # (BigDataViewer, Paintera)
            names.append("downsamplingFactors")
        self._names = names

    def result(self) -> tuple[Attributes, list[Attributes]]:
        """Return the attributes of the group and of the arrays."""
        arrays = []
        for number, array in enumerate(self._arrays):
            entries = self._of_array(number)
            if number == 0:  # (what is there stays unless it describes other coordinates)
                wanted = set(OF_ARRAYS) - array.keys() if self._complete else set()
                wanted |= set() if self._unchanged else array.keys()
                entries = {name: value for name, value in entries.items() if name in wanted}
            arrays.append({**array, **entries})
        return self._of_group(), arrays

    def _of_array(self, number: int) -> Attributes:
        grid, like, names = self._levels.grids[number], self._like, self._names
        pixels = grid
        if "downsamplingFactors" in names and "transform" not in names:
            pixels = self._base  # n5-viewer multiplies by the factors
        listed, unit = _pixel_resolution(like.get("pixelResolution"))
        dimensions = _gathered(pixels.scale, grid, listed)
        as_list = isinstance(self._arrays[0].get("pixelResolution"), list)
        entries = {
            "transform": self._transform(number, like.get("transform")),
            "downsamplingFactors": self._factors[number],
            "pixelResolution": dimensions
            if as_list
            else {"dimensions": dimensions, "unit": unit or self._pixel_unit()},
            "axes": like.get("axes", list(grid.axes)),
            "units": like.get("units", [_short(unit) for unit in grid.units]),
            "resolution": _gathered(grid.scale, grid, like.get("resolution")),
            "offset": _gathered(grid.translation, grid, like.get("offset")),
        }
        return {name: entries[name] for name in names}

    def _pixel_unit(self) -> str:
        units = [self._base.units[axis] for axis in self._base.spatial] or [None]
        return _short(units[0]) or "pixel"

    def _transform(self, number: int, like: Attributes | None) -> Attributes:
        """Return the transform of a level, with further entries like those of level 0."""
        grid, kept = self._levels.grids[number], like or {}
        units = [_short(unit) or unit or "" for unit in grid.units]
        return {
            "axes": _reordered(grid.axes, kept),
            "units": _reordered(units, kept),
            **kept,
            "scale": _reordered(grid.scale, kept),
            "translate": _reordered(grid.translation, kept),
        }

    def _of_group(self) -> Attributes:
        base, group = self._base, dict(self._group)
        lists_of_factors = OF_FACTORS if self._complete else [name for name in OF_FACTORS if name in group]
        located = {"downsamplingFactors", "transform"} & set(self._names) or own_entry(group)
        for name in lists_of_factors or (() if located else OF_FACTORS):
            group[name] = self._factors
        numbers, _ = _pixel_resolution(group.get("pixelResolution"))
        of_base = {
            "resolution": list(base.scale),
            "units": [_short(unit) for unit in base.units],
            "axes": list(base.axes),
            "offset": list(base.translation),
            "pixelResolution": {"dimensions": _gathered(base.scale, base, numbers), "unit": self._pixel_unit()},
        }
        for name, value in of_base.items():
            if name not in group and not (self._complete and name in ("resolution", "units", "axes")):
                continue
            if name not in group or not self._unchanged:
                group[name] = value
        if self._complete or own_entry(group) is not None:
            group["multiscales"] = self._multiscales()
        return group

    def _multiscales(self) -> list[Attributes]:
        """Return the group's list of multiscales, with all levels in the entry that lists level 0."""
        own = own_entry(self._group)
        entry = own or {"name": self._levels.metadata.name}
        listed = {str(dataset.get("path")).strip("/"): dataset for dataset in entry.get("datasets", [])}
        like = listed.get("s0", {}).get("transform") if self._unchanged else None
        with_transforms = self._complete or "transform" in listed.get("s0", {})
        datasets = []
        for number, path in enumerate(self._levels.paths):
            dataset = listed.get(path, {"path": path})
            if with_transforms and not (path in listed and self._unchanged and "transform" in dataset):
                dataset = {**dataset, "transform": self._transform(number, like or self._like.get("transform"))}
            datasets.append(dataset)
        others = [other for other in self._group.get("multiscales") or [] if other is not own]
        return [{**entry, "datasets": datasets}, *others]
