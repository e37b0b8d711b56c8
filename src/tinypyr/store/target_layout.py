"""Storage of the levels of a plan: location, format, paths, chunks and shards."""

from __future__ import annotations

import operator
import os
from dataclasses import dataclass, replace
from typing import Any

from .._sources import reader_of
from ..errors import StoreError
from ..grid import Grid
from .formats import DEFAULT, FORMATS
from .location import Location
from .source import Source, are_planes, default_chunks, level_array
from .volume import Layout, StoredVolume

Extents = tuple[int, ...]


@dataclass(frozen=True)
class Target:
    """The store that levels are written to."""

    location: Location
    in_place: bool  # whether it is the source, whose level 0 stays as it is
    format: str


def choose_target(reader: Source, target: Any, format: str | None, grid: Grid | None) -> Target:
    """Return the target of a plan; raise ValueError or StoreError if no levels can be written there."""
    volume = reader.volume
    location, in_place = _target_location(reader, target)
    if volume is None or not in_place:
        return Target(location, in_place, format or DEFAULT)
    if format not in (None, volume.format):
        raise ValueError(f"format: levels in the same store as a level 0 of {volume.format} cannot be {format}; give a "
                         "target")  # fmt: skip
    key = FORMATS[volume.format].TRAITS.grid_key
    if grid is not None and key is not None and grid != volume.grids[0]:
        raise ValueError(f"grid: the {key} file of a {volume.format} store in place defines the grid; change it there")
    return Target(location, in_place, volume.format)


def _target_location(reader: Source, target: Any) -> tuple[Location, bool]:
    volume = reader.volume
    if target is None:
        if volume is None:
            raise ValueError(f"target: required, because the source is {reader.name} and not a store; name a new store")
        location = volume.location
    else:
        if not isinstance(target, (str, os.PathLike)):
            raise TypeError(f"target: {type(target).__name__} is neither a path nor a URL; name a store")
        if (other := reader_of(target)) is not None:
            raise ValueError(f"target: {os.fspath(target)}: {other.name} is read, and not written; name a store")
        location = Location.at(target)
    if volume is not None and location.url == volume.location.url:
        if volume.attributes.get("array"):
            raise StoreError(f"{location.name}: a single array has no room for levels beside it; give a target")
        return location, True
    source = reader.location
    if source is not None and (location.real.startswith(source.real) or source.real.startswith(location.real)):
        raise StoreError(f"{location.name}: the target is inside {source.name}, or contains it; choose another target")
    return location, False


def base_layout(reader: Source, target: Target, chunks: Any, shards: Any, codec: str | None, *, fills: bool) -> Layout:
    """Return how level 0 is stored in the target: as in the source, as far as the format and the arguments allow.

    ``fills`` is true if voxels of levels get the fill value, which the format must then be able to record.
    """
    base, volume, format = reader.grid, reader.volume, target.format
    in_source = reader.layout
    same_arrays = volume is not None and FORMATS[volume.format].DRIVER == FORMATS[format].DRIVER
    if same_arrays and chunks is None and shards is None and codec is None:
        return in_source
    if chunks is not None:
        chunk = extents("chunks", chunks, base)
    else:
        chunk = default_chunks(base) if are_planes(in_source.chunks, base) else in_source.chunks
    if shards is not None:
        shard: Extents | None = extents("shards", shards, base)
    else:
        shard = in_source.shards if chunks is None and FORMATS[format].TRAITS.takes_shards else None
    if shard is not None and not FORMATS[format].TRAITS.has_shards:
        raise ValueError(f"shards: {format} does not support shards; leave them out")
    if shard is not None and any(s % c for s, c in zip(shard, chunk, strict=True)):
        raise ValueError(f"shards: {shard} is not a multiple of the chunks {chunk} along every axis")
    keeps_fill = fills or FORMATS[format].HAS_FILL_VALUE  # (without, missing chunks are written as voxels)
    fill = in_source.fill if volume is not None and keeps_fill else 0
    return Layout(chunk, shard, codec, bool(fill) if reader.dtype.kind == "b" else fill)


def extents(name: str, values: Any, grid: Grid) -> Extents:
    """Return an argument as one positive integer per axis."""
    try:
        checked = tuple(operator.index(value) for value in values)
    except TypeError:
        raise TypeError(f"{name}: {values!r} is not a sequence of {grid.ndim} integers, one per axis") from None
    if len(checked) != grid.ndim or min(checked) < 1:
        raise ValueError(f"{name}: {checked} is not one positive integer for each of {grid.ndim} axes")
    return checked


def existing_layouts(volume: StoredVolume, layout: Layout, base: Grid) -> list[Layout]:
    """Return how the levels of a store are stored, axes as in ``base``."""
    axes = [volume.grids[0].axes.index(axis) for axis in base.axes]
    units = [level_array(volume, number).chunk_layout.write_chunk.shape for number in range(len(volume.grids))]
    return [replace(layout, chunks=tuple(unit[axis] for axis in axes), shards=None) for unit in units]


def level_layouts(format: str, layout: Layout, grids: list[Grid]) -> list[Layout]:
    """Return how every level is stored, given how level 0 is."""
    return [FORMATS[format].at_level(layout, grid) for grid in grids]


def check_link(volume: StoredVolume | None, target: Target, same_layout: bool) -> None:
    """Raise ValueError if the target cannot point to level 0 of the source."""
    location, format = target.location, target.format
    if target.in_place or volume is None:
        raise ValueError("link: needs a store as source and another one as target; copy level 0 instead")
    if not FORMATS[format].TRAITS.can_link or not (location.is_file and volume.location.is_file):
        raise ValueError(f"link: supported for OME-Zarr in files, not for {format} at {location.name}; copy level 0")
    if volume.format != format or not same_layout:
        raise ValueError("link: format, chunks, shards and codec must be those of the source; leave them out")
