"""Coordinate transformations of OME-Zarr: scale, translation, identity, sequences of these, and references by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import StoreError

#: How deep sequences may be nested.
MAX_DEPTH = 16


@dataclass(frozen=True)
class Placement:
    """Scale and translation of a level along every axis."""

    scale: list[float]
    translation: list[float]


def intrinsic_system(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the coordinate system to which the transformations of levels lead; by default the last one."""
    systems = entry["coordinateSystems"]
    steps = entry["datasets"][0].get("coordinateTransformations") or []
    outputs = [end_name(step.get("output")) for step in steps if isinstance(step, dict)]
    intrinsic: dict[str, Any] = next((s for s in reversed(systems) if s.get("name") in outputs), systems[-1])
    return intrinsic


def end_name(end: Any) -> Any:
    """Return the name of a transformation's input or output, which is a string or an object with a name."""
    return end.get("name") if isinstance(end, dict) else end


def steps_of(entry: dict[str, Any], dataset: dict[str, Any]) -> list[Any] | None:
    """Return the transformations that lead from the voxels of a level to the coordinates of its entry, in order.

    None if neither the level nor the entry has any. With coordinate systems, the transformations of the entry lead on
    to other systems, so only one of the level's own counts: the one that leads to the system of the levels.
    """
    own = dataset.get("coordinateTransformations") or []
    if "coordinateSystems" not in entry:
        overall = entry.get("coordinateTransformations") or []
        return [*own, *overall] if own or overall else None
    return own[:1] or None


def named_transformations(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the transformations of an entry that have a name, by name."""
    lists = [entry.get("coordinateTransformations") or []]
    lists += [dataset.get("coordinateTransformations") or [] for dataset in entry["datasets"]]
    steps = [step for steps in lists for step in steps if isinstance(step, dict)]
    return {step["name"]: step for step in steps if isinstance(step.get("name"), str)}


def composed(steps: Sequence[Any], ndim: int, named: Mapping[str, Any], depth: int = 0) -> Placement:
    """Return the scale and translation of transformations applied one after the other; raise StoreError for others."""
    if depth > MAX_DEPTH:
        raise StoreError("its transformations refer to each other without end")
    scale, translation = [1.0] * ndim, [0.0] * ndim
    for step in steps:
        inner = _placement(named[step] if isinstance(step, str) else step, ndim, named, depth)
        scale = [a * b for a, b in zip(scale, inner.scale, strict=True)]
        translation = [a * b + c for a, b, c in zip(translation, inner.scale, inner.translation, strict=True)]
    return Placement(scale, translation)


def _placement(step: Mapping[str, Any], ndim: int, named: Mapping[str, Any], depth: int) -> Placement:
    ones, zeros = [1.0] * ndim, [0.0] * ndim
    kind = step["type"]
    if kind == "sequence":
        return composed(step["transformations"], ndim, named, depth + 1)
    if kind == "scale":
        return Placement(_vector(step, "scale", ndim), zeros)
    if kind == "translation":
        return Placement(ones, _vector(step, "translation", ndim))
    if kind == "identity":
        return Placement(ones, zeros)
    raise StoreError(f"a level has a transformation of type {kind!r}; only scale and translation can be read")


def _vector(step: Mapping[str, Any], key: str, ndim: int) -> list[float]:
    if key not in step and "path" in step:
        raise StoreError(f"a {key} is stored in the array {step['path']!r}; only numbers in the metadata can be read")
    vector = [float(value) for value in step[key]]
    if len(vector) != ndim:
        raise ValueError(f"{key} {step[key]!r} does not have one number for each of {ndim} axes")
    return vector
