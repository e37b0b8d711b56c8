"""Places of metadata in OME-Zarr: what the attributes of a group say beyond the levels, and what a copy can keep.

The *namespace* is the object that has ``multiscales``: the attributes themselves (Zarr v2, and some groups of Zarr v3),
or ``ome`` in them (0.5 and later). Keys outside it, or beside the keys of the specifications, are the user's.
"""

from __future__ import annotations

from typing import Any, TypeGuard

from ..metadata import Metadata
from ._ome_transformations import intrinsic_system

FAMILY = "ome-zarr"
MADE_BY = "tinypyr.pyramid"
#: Key of our record beside metadata of others.
RECORD = "tinypyr"
#: Keys of our record.
RECORD_KEYS = ("description", "made_by", "ignore", "rounding", "ties", "recursive", "mask", "exclude", "voxel_offset",
               "order", "plan", "region", "kind", "arrays", "previous_type")  # fmt: skip
#: Keys of the namespace that refer to other groups, so that they are true in this store only.
OF_OTHER_GROUPS = ("labels", "plate", "well", "bioformats2raw.layout", "series", "scene")
#: Keys of the namespace that the specifications define.
NAMESPACE_KEYS = ("multiscales", "omero", "image-label", *OF_OTHER_GROUPS)
#: Keys of an entry of multiscales that describe its levels.
ENTRY_KEYS = ("axes", "datasets", "coordinateTransformations", "coordinateSystems", "version", "type", "metadata")
AXIS_KEYS = ("name", "type", "unit")
#: Beginning of the places within the first entry of multiscales.
ENTRY = "multiscales[0]."
DATASET = "datasets[0]."
NAMESPACE = "ome."
#: Place of the attributes of level 0's array.
ARRAY = "attributes of level 0"
#: Names of an array's dimensions in Zarr v2, as xarray writes them.
DIMENSIONS = "_ARRAY_DIMENSIONS"


def is_nested(attributes: Any) -> bool:
    """Return whether the namespace is the key ``ome`` of the attributes."""
    if not isinstance(attributes, dict) or not isinstance(attributes.get("ome"), dict):
        return False
    return "multiscales" in attributes["ome"] or "multiscales" not in attributes


def namespace(attributes: Any) -> dict[str, Any]:
    """Return the namespace of a group's attributes; an empty one if they are no object."""
    if not isinstance(attributes, dict):
        return {}
    inner: dict[str, Any] = attributes["ome"] if is_nested(attributes) else attributes
    return inner


def record_of(entry: dict[str, Any]) -> dict[str, Any]:
    """Return our record of how the levels were made; empty if others made them."""
    metadata = entry.get("metadata")
    if is_record(metadata):
        return dict(metadata)
    for place in (metadata if isinstance(metadata, dict) else {}, entry):
        for key, value in place.items():
            if key.startswith(RECORD) and is_record(value):
                return dict(value)
    return {}


def is_record(value: Any) -> TypeGuard[dict[str, Any]]:
    """Return whether an entry of the metadata is a record of ours."""
    return isinstance(value, dict) and value.get("made_by") == MADE_BY


def record_key(place: dict[str, Any]) -> str:
    """Return the key of our record in an object of others: that of the record, or one that they do not use."""
    key = RECORD
    while key in place and not is_record(place[key]):
        key += "_"
    return key


def metadata_of(
    attributes: dict[str, Any], labels: bytes | None, array: dict[str, Any], axes: tuple[str, ...]
) -> Metadata:
    """Return what the attributes of a group, and those of the array of level 0, say beyond the levels.

    ``labels`` is the metadata of the group ``labels`` below it, None if there is none.
    """
    ome, nested = namespace(attributes), is_nested(attributes)
    entries = ome.get("multiscales")
    entry = entries[0] if isinstance(entries, list) and entries and isinstance(entries[0], dict) else {}
    foreign = _foreign_of_entry(entry)
    stays = [key for key in OF_OTHER_GROUPS if key in ome]
    stays += [f"multiscales[{number}]" for number in range(1, len(entries) if isinstance(entries, list) else 0)]
    stays += _of_further_levels(entry)
    user = {key: value for key, value in attributes.items() if key not in (*NAMESPACE_KEYS, "ome")}
    if nested:
        foreign |= {NAMESPACE + key: value for key, value in ome.items() if key not in (*NAMESPACE_KEYS, "version")}
        stays += [f"attributes.{key}" for key in NAMESPACE_KEYS if key in attributes]
    elif "ome" in attributes:
        stays.append("ome")
    objects: dict[str, dict[str, Any] | None] = {}
    for key in ("omero", "image-label"):
        objects[key] = ome[key] if isinstance(ome.get(key), dict) else None
        if key in ome and objects[key] is None:
            foreign[NAMESPACE + key] = ome[key]
    if array:
        foreign[ARRAY] = _with_named_dimensions(array, axes)
    if labels is not None:
        stays.append("the group labels")
    name = entry.get("name")
    return Metadata(
        family=FAMILY,
        name=name if isinstance(name, str) else "",
        channels=objects["omero"],
        labels=objects["image-label"],
        user=user,
        systems=_systems(entry),
        foreign=foreign,
        stays=tuple(stays),
    )


def _foreign_of_entry(entry: dict[str, Any]) -> dict[str, Any]:
    """Return what an entry of multiscales says beyond the specifications, by place."""
    foreign: dict[str, Any] = {ENTRY + key: value for key, value in entry.items() if _is_foreign(entry, key)}
    metadata, record = entry.get("metadata"), record_of(entry)
    if isinstance(metadata, dict):
        ours = RECORD_KEYS if is_record(metadata) else ()
        metadata = {key: value for key, value in metadata.items() if key not in ours and not is_record(value)}
    if metadata not in (None, {}):
        foreign[ENTRY + "metadata"] = metadata
    if "type" in entry and not record:
        foreign[ENTRY + "type"] = entry["type"]
    elif "previous_type" in record:
        foreign[ENTRY + "type"] = record["previous_type"]
    axes = [axis for axis in _listed_axes(entry) if isinstance(axis, dict) and set(axis) - set(AXIS_KEYS)]
    if axes:
        foreign[ENTRY + "axes"] = {str(axis.get("name")): axis for axis in axes}
    datasets = entry.get("datasets") or [{}]
    foreign |= {ENTRY + DATASET + key: value for key, value in datasets[0].items() if _is_foreign_of_dataset(key)}
    return foreign


def _is_foreign(entry: dict[str, Any], key: str) -> bool:
    if key == "name":
        return not isinstance(entry["name"], str)
    return key not in ENTRY_KEYS and not (key.startswith(RECORD) and is_record(entry[key]))


def _is_foreign_of_dataset(key: str) -> bool:
    return key not in ("path", "coordinateTransformations")


def _of_further_levels(entry: dict[str, Any]) -> list[str]:
    """Return the places of what others say about levels above the base, which a copy has anew."""
    return [
        f"multiscales[0].datasets[{number}].{key}"
        for number, dataset in enumerate(entry.get("datasets") or [])
        for key in dataset
        if number > 0 and _is_foreign_of_dataset(key)
    ]


def _listed_axes(entry: dict[str, Any]) -> list[Any]:
    axes: list[Any] = (intrinsic_system(entry) if entry.get("coordinateSystems") else entry).get("axes") or []
    return axes


def _systems(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the coordinate systems beside that of the levels, and the transformations of the entry to them."""
    if not entry.get("coordinateSystems"):
        return {}
    intrinsic = intrinsic_system(entry)
    others = [system for system in entry["coordinateSystems"] if system is not intrinsic]
    steps = entry.get("coordinateTransformations") or []
    if not others and not steps:
        return {}
    axes = [axis.get("name") for axis in intrinsic.get("axes", [])]
    return {"intrinsic": intrinsic.get("name"), "axes": axes, "others": others, "transformations": steps}


def _with_named_dimensions(array: dict[str, Any], axes: tuple[str, ...]) -> dict[str, Any]:
    """Return the attributes of an array with the names of its dimensions by axis, since a copy may reorder them."""
    names = array.get(DIMENSIONS)
    if not isinstance(names, list) or len(names) != len(axes):
        return array
    return {**array, DIMENSIONS: dict(zip(axes, names, strict=True))}


def array_attributes(metadata: Metadata, axes: tuple[str, ...]) -> dict[str, Any]:
    """Return the attributes of the arrays of a copy, whose axes are in this order."""
    array = dict(metadata.foreign.get(ARRAY, {})) if metadata.family == FAMILY else {}
    names = array.get(DIMENSIONS)
    if isinstance(names, dict):
        array[DIMENSIONS] = [names.get(axis, axis) for axis in axes]
    return array
