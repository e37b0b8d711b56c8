"""Formats of stores, one module each. A format is added by such a module and its line in FORMATS."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Protocol

from ...grid import Grid
from ..location import Location
from ..volume import Layout, LevelMetadata, StoredVolume
from . import n5, ome_zarr_04, ome_zarr_05, ome_zarr_06, precomputed
from ._traits import Traits


class Format(Protocol):
    """Functions and constants of a format's module."""

    #: Name of TensorStore's driver; formats of one driver store arrays alike.
    DRIVER: str
    #: Name of the formats that keep each other's metadata verbatim.
    FAMILY: str
    #: Names of attributes of :class:`Metadata` for which the format has a place.
    KEEPS: frozenset[str]
    #: Whether arrays have a fill value of their own; it is 0 otherwise.
    HAS_FILL_VALUE: bool
    #: Axes along which all levels must have the same number of voxels.
    FIXED_AXES: tuple[str, ...]
    #: Whether :meth:`describe` writes metadata into the folders of levels, that of the base included.
    DESCRIBES_IN_LEVELS: bool
    #: What planning, checking and viewing need to know.
    TRAITS: Traits

    def detect(self, location: Location, /) -> bool:
        """Return whether there is a store of this format."""

    def read(self, location: Location, /) -> StoredVolume:
        """Return the volume, with all its levels."""

    def axes_order(self, grid: Grid, /) -> tuple[str, ...]:
        """Return the axes in the order of the format's arrays; raise StoreError for axes that it cannot store."""

    def level_paths(self, grids: list[Grid], first: str | None, /) -> list[str]:
        """Return the paths of all levels, axes as in the source; ``first`` is that of an existing level 0, if any."""

    def at_level(self, layout: Layout, grid: Grid, /) -> Layout:
        """Return the layout of a level, given that of the base."""

    def chunk_pattern(self, location: Location, path: str, /) -> re.Pattern[str]:
        """Return a pattern of the keys of a level's chunks, relative to the level."""

    def first_chunk(self, location: Location, path: str, /) -> str | None:
        """Return the key of a level's first chunk, relative to the level, where others may have another name for it."""

    def open_spec(self, location: Location, path: str, /) -> dict[str, Any]:
        """Return a TensorStore specification to open a level."""

    def zeros_of(self, handle: Any, context: Any, /) -> Callable[[Any, Any], None] | None:
        """Return a function that adds the chunks of zeros of a box that was written, given the box and its voxels.

        None if TensorStore stores such chunks when it is told to.
        """

    def new_spec(
        self, location: Location, path: str, grid: Grid, dtype: str, layout: Layout, kind: str | None, /
    ) -> dict[str, Any]:
        """Return a TensorStore specification to create a level; raise StoreError if the format cannot store it."""

    def label_names(self, location: Location, /) -> list[str]:
        """Return the names of the volumes of labels below an image, each a store in the folder ``labels``."""

    def describe(self, location: Location, levels: LevelMetadata, /) -> None:
        """Write the metadata by which readers find the levels and their world coordinates."""


#: Formats by name, in the order in which they are looked for.
FORMATS: dict[str, Format] = {
    "ome-zarr-0.5": ome_zarr_05,
    "ome-zarr-0.6": ome_zarr_06,
    "ome-zarr-0.4": ome_zarr_04,
    "n5": n5,
    "precomputed": precomputed,
}

#: Format of new stores, unless the arguments name another.
DEFAULT = "ome-zarr-0.5"
