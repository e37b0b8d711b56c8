"""The record of tinypyr in formats that have no places for the kind of voxels, a name, or how levels were made.

It is the entry ``tinypyr`` of the metadata: the pooling method and its arguments, ``kind``, ``name``, and under
``attributes`` those attributes of other formats whose names mean something in this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from ..metadata import Metadata
from ..volume import LevelMetadata

KEY = "tinypyr"


def record_of(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return the record in the metadata; an empty one if there is none."""
    record = attributes.get(KEY)
    return record if isinstance(record, dict) else {}


def kind_of(record: dict[str, Any]) -> Literal["image", "labels"] | None:
    """Return the kind of the voxels that a record names."""
    kind = record.get("kind")
    return kind if kind in ("image", "labels") else None


def metadata_of(attributes: dict[str, Any], reserved: frozenset[str], name: str, stays: Sequence[str]) -> Metadata:
    """Return metadata whose ``user`` attributes are those that are not ``reserved``, and those in the record.

    ``stays`` are the names of entries that no new store keeps, because they name folders that it does not have.
    """
    user = {key: value for key, value in attributes.items() if key not in reserved and key != KEY}
    recorded = record_of(attributes).get("attributes")
    return Metadata(name=name, user=user | (recorded if isinstance(recorded, dict) else {}), stays=tuple(stays))


def add_to(attributes: dict[str, Any], levels: LevelMetadata, user: dict[str, Any], reserved: frozenset[str]) -> None:
    """Add the record of levels, and user attributes that are not there yet, to the metadata."""
    record = {"method": levels.method, **levels.notes, "kind": levels.kind}
    taken = {key: value for key, value in user.items() if key in reserved or key == KEY}
    if taken:
        record["attributes"] = taken
    for key, value in user.items():
        if key not in taken:
            attributes.setdefault(key, value)
    attributes[KEY] = record
