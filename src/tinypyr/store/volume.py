"""What is known of a volume and its levels, whatever the format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ..errors import StoreError
from ..grid import Grid
from .location import Location

#: Compressors by a name that all formats know (as far as they have them).
CODECS = ("zstd", "gzip", "blosc", "raw")


@dataclass(frozen=True)
class Layout:
    """How the voxels of an array are cut up and stored."""

    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None = None  # what is written at once, where chunks are packed
    codec: str | None = None  # one of CODECS; None: as in `native`, or the format's default
    fill: Any = 0
    #: The format's own metadata of level 0, where the levels are to be like it.
    native: dict[str, Any] | None = None

    @property
    def unit(self) -> tuple[int, ...]:
        """What one writer must write alone."""
        return self.shards or self.chunks


def inside(path: str, name: str) -> str:
    """The path of a level, refused if it leads out of its store."""
    if path.startswith(("/", "\\")) or ".." in path.replace("\\", "/").split("/") or "\0" in path:
        raise StoreError(f"{name}: its metadata names a level {path[:80]!r}, which leads out of the store")
    if len(path.encode()) > 1024:  # (what is no text of Unicode fails here, too)
        raise StoreError(f"{name}: its metadata names a level by more than 1024 bytes")
    return path


def as_the_base(layout: Layout, grid: Grid) -> Layout:
    """How a level is stored, in formats that store all levels alike."""
    return layout


def array_per_folder(driver: str) -> Callable[[Location, str], dict[str, Any]]:
    """``open_spec`` of formats in which every level is an array in a folder of its own."""

    def open_spec(place: Location, path: str) -> dict[str, Any]:
        return {"driver": driver, "kvstore": place.child(path).spec}

    return open_spec


@dataclass(frozen=True)
class Volume:
    """A store: its levels' places and arrays, finest first."""

    format: str
    place: Location
    grids: list[Grid]
    paths: list[str]  # of the levels, below the place
    dtype: str
    layout: Layout
    kind: Literal["image", "labels"] | None = None
    attributes: dict[str, Any] = field(default_factory=dict)  # what else the store says of itself
    notes: dict[str, Any] = field(default_factory=dict)  # how its levels were made

    @property
    def holds_labels(self) -> bool:
        """Whether to show them as such: it says so, or its levels are modes."""
        return self.kind == "labels" or self.notes.get("method") == "mode"

    @property
    def ignore(self) -> Any:
        """The value that its levels leave out; None if none is noted."""
        noted, dtype = self.notes.get("ignore"), np.dtype(self.dtype)
        if noted in (None, "None"):
            return None
        if dtype.kind == "b":
            return np.bool_(noted == "True")
        try:
            return dtype.type(str(noted))
        except (ValueError, OverflowError):
            raise StoreError(
                f"{self.place.name}: its metadata says that levels leave out {str(noted)[:40]!r}, which no {dtype} is"
            ) from None

    @property
    def order(self) -> tuple[str, ...]:
        """Its axes, in the order in which ties were broken."""
        axes = self.grids[0].axes
        noted = self.notes.get("order")
        listed = dict.fromkeys(axis for axis in noted if isinstance(axis, str)) if isinstance(noted, list) else ()
        first = [axis for axis in listed if axis in axes]
        return (*first, *(axis for axis in axes if axis not in first))


@dataclass(frozen=True)
class LevelMetadata:
    """Levels that have been made, the base first, for a format to describe; axes as they are stored."""

    grids: list[Grid]
    paths: list[str]
    kind: str | None
    method: str
    notes: dict[str, Any]  # how else they were made
    attributes: dict[str, Any]  # to inherit from the source
