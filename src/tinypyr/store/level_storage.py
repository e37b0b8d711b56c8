"""Storage of the levels of a plan: the target, its format, and how every level is stored there."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..grid import Grid, grid_from
from .formats import FORMATS
from .location import Location
from .scratch import Scratch
from .volume import Layout, StoredVolume


@dataclass(frozen=True)
class LevelStorage:
    """Places, formats and layouts of the levels of a plan.

    Attributes
    ----------
    location : Location
        Folder of the target.
    format : str
        Format of the target.
    grids, paths, layouts : list
        Grids, paths and layouts of all levels, the base first, axes as in the source.
    kind : {"image", "labels"}
        Kind of the voxels.
    dtype : str
        Data type of all levels.
    copies_base : bool
        Whether level 0 is written to the target.
    links_base : bool
        Whether level 0 of the target is a link to that of the source.
    skip_empty : bool
        Whether chunks that hold nothing but the fill value are left out.
    volume : StoredVolume, optional
        The store that is the source.
    """

    location: Location
    format: str
    grids: list[Grid]
    paths: list[str]
    layouts: list[Layout]
    kind: str | None
    dtype: str
    copies_base: bool
    links_base: bool
    skip_empty: bool
    volume: StoredVolume | None

    @property
    def in_place(self) -> bool:
        """True if levels are added to the source."""
        return not (self.copies_base or self.links_base)

    @property
    def first(self) -> int:
        """Number of the first level that is written."""
        return 0 if self.copies_base else 1

    def name(self, number: int) -> str:
        """Return the name of a level, for messages."""
        return f"{self.location.name}/{self.paths[number]}"

    @functools.cached_property
    def stored_axes(self) -> tuple[str, ...]:
        """Axes in the order of the target's arrays: that of an existing level 0, otherwise that of the format."""
        if self.volume is not None and not self.copies_base:
            return self.volume.grids[0].axes
        order: tuple[str, ...] = FORMATS[self.format].axes_order(self.grids[0])
        return order

    def level_spec(self, number: int) -> tuple[dict[str, Any], list[int | None]]:
        """Return a TensorStore specification to create a level, and the source's axis of each stored axis, or None."""
        format, grid, layout = FORMATS[self.format], self.grids[number], self.layouts[number]
        stored, volume = self.stored_axes, self.volume
        if volume is not None and stored != volume.grids[0].axes:
            layout = replace(layout, native=None)  # its chunks are in the order of the source's axes
        source_axes = [grid.axes.index(axis) if axis in grid.axes else None for axis in stored]

        def ordered(values: Sequence[Any], missing: Any) -> list[Any]:
            return [missing if axis is None else values[axis] for axis in source_axes]

        stored_grid = grid_from(  # (which keeps units that OME-Zarr does not list)
            {
                "shape": ordered(grid.shape, 1),
                "axes": list(zip(stored, ordered(grid.types, None), strict=True)),
                "scale": ordered(grid.scale, 1.0),
                "translation": ordered(grid.translation, 0.0),
                "units": ordered(grid.units, None),
                "voxel_offset": ordered(grid.voxel_offset, 0),
            }
        )
        shards = None if layout.shards is None else tuple(ordered(layout.shards, 1))
        layout = replace(layout, chunks=tuple(ordered(layout.chunks, 1)), shards=shards)
        path = self.paths[number]
        spec: dict[str, Any] = format.new_spec(self.location, path, stored_grid, self.dtype, layout, self.kind)
        return {**spec, **self.writing}, source_axes

    @property
    def writing(self) -> dict[str, Any]:
        """Entries of TensorStore specifications of arrays that are written."""
        return {"store_data_equal_to_fill_value": not self.skip_empty}

    def link_base(self) -> None:
        """Link level 0 to that of the source if the plan says so."""
        if not self.links_base or self.volume is None:
            return
        files, base = self.location.files, self.volume.location.child(self.volume.paths[0]).files
        if files is not None and base is not None:  # (as check_link demands)
            files.link(self.paths[0], base)

    @property
    def left_behind(self) -> list[str]:
        """Names of entries of the source's metadata that a new store of this format does not keep."""
        volume, format = self.volume, FORMATS[self.format]
        if volume is None or self.in_place:
            return []
        return volume.metadata.left_behind(format.FAMILY, format.KEEPS)

    @functools.cached_property
    def scratch(self) -> Scratch:
        """Temporary files of the build."""
        return Scratch(self.location)
