"""Description of a volume and its levels that is common to all formats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from ..errors import StoreError
from ..grid import Grid
from .location import Location
from .metadata import Metadata

#: Names of codecs. A format supports some of them.
CODECS = ("zstd", "gzip", "blosc", "raw")

#: Upper limit for the length of a level's path, in bytes of UTF-8.
MAX_PATH_BYTES = 1024


@dataclass(frozen=True)
class Layout:
    """Chunks, shards and compression of an array.

    Attributes
    ----------
    chunks : tuple of int
        Voxels per chunk.
    shards : tuple of int, optional
        Voxels per shard, if chunks are packed into shards.
    codec : str, optional
        One of CODECS. None stands for the codec in ``native``, or for the default of the format.
    fill : scalar
        Value of voxels in missing chunks.
    native : dict, optional
        Metadata of level 0 in its own format, if the levels are stored like it.
    """

    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None = None
    codec: str | None = None
    fill: Any = 0
    native: dict[str, Any] | None = None

    @property
    def unit(self) -> tuple[int, ...]:
        """Voxels of the smallest box that can be written without reading: a shard, or else a chunk."""
        return self.shards or self.chunks


def checked_path(path: str, name: str) -> str:
    """Return the path of a level; raise StoreError if it leads out of the store ``name``."""
    if path.startswith(("/", "\\")) or ".." in path.replace("\\", "/").split("/") or "\0" in path:
        raise StoreError(f"{name}: the metadata has a level with the path {path[:80]!r}, which leads out of the store")
    if len(path.encode()) > MAX_PATH_BYTES:  # (raises UnicodeEncodeError for lone surrogates)
        raise StoreError(f"{name}: the metadata has a level whose path is longer than {MAX_PATH_BYTES} bytes")
    return path.rstrip("/")


def same_layout(layout: Layout, grid: Grid) -> Layout:
    """Return the layout of a level, in formats that store all levels like the base."""
    return layout


def no_label_names(location: Location) -> list[str]:
    """Return no names, in formats that have no labels below an image."""
    return []


def stored_as_any(handle: Any, context: Any) -> None:
    """Return None, in formats whose chunks of zeros TensorStore stores like any other."""


def array_per_folder(driver: str) -> Callable[[Location, str], dict[str, Any]]:
    """Return the function ``open_spec`` of formats in which every level is an array in its own folder."""

    def open_spec(location: Location, path: str) -> dict[str, Any]:
        return {"driver": driver, "kvstore": location.child(path).spec}

    return open_spec


def numbered_paths(stem: str) -> Callable[[list[Grid], str | None], list[str]]:
    """Return the function ``level_paths`` of formats in which the paths of levels are numbers after a stem."""

    def level_paths(grids: list[Grid], first: str | None) -> list[str]:
        if first is None:
            return [f"{stem}{k}" for k in range(len(grids))]
        own_stem = first.rstrip("0123456789")
        start = int(first[len(own_stem) :]) if first[len(own_stem) :] else 0
        return [first, *(f"{own_stem}{start + k}" for k in range(1, len(grids)))]

    return level_paths


class Loss(NamedTuple):
    """The errors that a lossy encoding of a level may make, for :func:`check`.

    Attributes
    ----------
    encoding : str
        Name of the encoding.
    worst, mean : float
        Upper limits of the error of a voxel, and of the mean error of many.
    """

    encoding: str
    worst: float
    mean: float


@dataclass(frozen=True)
class StoredVolume:
    """A store, with its levels from the finest to the coarsest.

    Attributes
    ----------
    format : str
        One of FORMATS.
    location : Location
        Folder of the store.
    grids : list of Grid
        Grids of the levels.
    paths : list of str
        Paths of the levels, relative to the location.
    dtype : str
        Data type of all levels.
    layout : Layout
        Layout of level 0.
    kind : {"image", "labels"}, optional
        Kind of the voxels, if the metadata says it.
    attributes : dict
        Further metadata of the store.
    notes : dict
        Record of how the levels were made.
    metadata : Metadata
        What the metadata says beyond the levels, in terms that formats share.
    unreadable : str
        Why the world coordinates cannot be read; empty if they can. Otherwise grids have extents only.
    assumed : tuple of str
        Axes along which the metadata has the scale 0, for which 1 is assumed.
    contradictions : tuple of str
        What the metadata says of the arrays that is not true of them.
    losses : dict
        Errors that the encodings of levels make, by the number of the level; without those that make none.
    """

    format: str
    location: Location
    grids: list[Grid]
    paths: list[str]
    dtype: str
    layout: Layout
    kind: Literal["image", "labels"] | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    metadata: Metadata = field(default_factory=Metadata)
    unreadable: str = ""
    assumed: tuple[str, ...] = ()
    contradictions: tuple[str, ...] = ()
    losses: dict[int, Loss] = field(default_factory=dict)

    @property
    def holds_labels(self) -> bool:
        """Return whether the voxels are labels, according to the metadata or because levels were pooled by mode."""
        return self.kind == "labels" or self.notes.get("method") == "mode"

    @property
    def ignore(self) -> Any:
        """Value that the levels ignore, as recorded in the metadata; None if there is no record."""
        recorded_ignore, dtype = self.notes.get("ignore"), np.dtype(self.dtype)
        if recorded_ignore in (None, "None"):
            return None
        if dtype.kind == "b":
            return np.bool_(recorded_ignore == "True")
        try:
            return dtype.type(str(recorded_ignore))
        except (ValueError, OverflowError):
            raise StoreError(
                f"{self.location.name}: the metadata says that levels ignore {str(recorded_ignore)[:40]!r}, which is "
                f"not a value of {dtype}; correct it, or build the levels again"
            ) from None

    @property
    def order(self) -> tuple[str, ...]:
        """Axes in the order in which ties were broken, the first one fastest."""
        axes = self.grids[0].axes
        recorded_order = self.notes.get("order")
        names = (
            dict.fromkeys(name for name in recorded_order if isinstance(name, str))
            if isinstance(recorded_order, list)
            else ()
        )
        leading = [axis for axis in names if axis in axes]
        return (*leading, *(axis for axis in axes if axis not in leading))


@dataclass(frozen=True)
class LevelMetadata:
    """Levels that have been written, for a format to describe.

    Attributes
    ----------
    grids : list of Grid
        Grids of the levels, the base first, axes in the order of the arrays.
    paths : list of str
        Paths of the levels.
    kind : str, optional
        Kind of the voxels.
    method : str
        Pooling method.
    notes : dict
        Record of the other arguments.
    metadata : Metadata
        Metadata of the source, of any format, to keep as far as the format can.
    """

    grids: list[Grid]
    paths: list[str]
    kind: str | None
    method: str
    notes: dict[str, Any]
    metadata: Metadata = field(default_factory=Metadata)
