"""Sources of voxels: level 0 of stores, and arrays of other packages; masks of excluded voxels."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import _arrays
from .._sources import reader_of
from ..errors import UNREADABLE, StoreError, brief
from ..grid import Grid, factors_between, reordered, replace_grid
from ..volume import place_of, resolved
from .chunk_names import holds_chunks
from .formats import FORMATS
from .location import Location, first_line, open_array, stamp
from .scratch import Scratch
from .volume import Layout, StoredVolume

Box = tuple[slice, ...]

#: Bytes of a chunk above which it must not be larger than its array: TensorStore ends the process if memory runs out.
LARGE_CHUNK = 1 << 30


class Source:
    """Level 0 of a volume: grid, layout and voxels.

    Parameters
    ----------
    grid : Grid
        World coordinates of the voxels.
    dtype : str
        Data type; refused if it is not a numeric type of numpy.
    layout : Layout
        Layout of the array, or a default.
    array : array
        The voxels.
    chunks : tuple of int, optional
        Voxels of the boxes that are read as a whole. None if any box can be read at the same cost per voxel.
    volume : StoredVolume, optional
        Store of the array.
    recipe : dict, optional
        Recipe of a lazy array, from which other processes can make it again.

    Attributes
    ----------
    location : Location or None
        Folder that is read; None for an array in memory.
    name : str
        Description for messages.
    """

    def __init__(
        self,
        grid: Grid,
        dtype: str,
        layout: Layout,
        array: Any,
        chunks: tuple[int, ...] | None,
        volume: StoredVolume | None = None,
        recipe: dict[str, Any] | None = None,
    ) -> None:
        try:
            self.dtype = np.dtype(dtype)
        except TypeError:
            raise StoreError(f"source: voxels of type {dtype!r} cannot be pooled") from None
        self.grid, self.layout, self.chunks = grid, layout, chunks
        self.volume, self.recipe = volume, recipe
        self.location: Location | None = None
        self.name = "an array"
        if volume is not None:
            self.location, self.name = volume.location, volume.location.url
        elif recipe is not None and recipe["source"] is not None:
            self.location, self.name = Location.at(recipe["source"]), repr(array)
        self._array = array

    @property
    def kind(self) -> Literal["image", "labels"] | None:
        """Kind of the voxels, None if it is not known."""
        if self.volume is not None:
            return self.volume.kind
        if getattr(self._array, "holds_labels", False):
            return "labels"
        return "image" if getattr(self._array, "kind", None) == "image" else None

    def stamp(self) -> bytes:
        """Return bytes that differ after the source has changed: of its files, or of two corners of an array."""
        if self.volume is not None:
            return stamp(self.volume.location.child(self.volume.paths[0]))
        if hasattr(self._array, "stamp"):
            return bytes(self._array.stamp())
        if self.location is not None:
            return stamp(self.location)
        return _arrays.corners(self._array, self.grid.shape, self.chunks)

    def status(self) -> bytes:
        """Return bytes that differ after files of the source were changed, moved or restored; empty for arrays."""
        if self.volume is not None:
            level = self.volume.location.child(self.volume.paths[0]).files
            with_folder = not FORMATS[self.volume.format].DESCRIBES_IN_LEVELS
            return b"" if level is None else level.status(with_folder=with_folder)
        files = None if self.location is None else self.location.files
        return b"" if files is None else files.status()

    def check_exists(self) -> None:
        """Raise StoreError if the array was removed, because its chunks would then be read as empty."""
        if self.volume is not None:
            _open_level(self.volume, 0)
        elif self.location is not None and not (self.location.files and self.location.files.is_single_file):
            open_volume(self.location)  # the store behind a lazy array

    def bytes_in(self, box: Sequence[tuple[int, int]]) -> int:
        """Return the number of bytes of the voxels of a box."""
        return self.dtype.itemsize * math.prod(stop - start for start, stop in box)

    def reordered(self, axes: tuple[str, ...]) -> Source:
        """Return the source with its axes in another order."""
        order = [self.grid.axes.index(axis) for axis in axes]

        def permuted(extents: tuple[int, ...] | None) -> tuple[int, ...] | None:
            return None if extents is None else tuple(extents[axis] for axis in order)

        chunks = tuple(self.layout.chunks[axis] for axis in order)
        layout = replace(self.layout, chunks=chunks, shards=permuted(self.layout.shards))
        grid, array = reordered(self.grid, axes), self._array.transpose(order)
        return Source(grid, self.dtype.name, layout, array, permuted(self.chunks), self.volume)

    def read(self, box: Box) -> Any:
        """Start to read the voxels of a box; return an object whose ``result()`` is the array."""
        return _arrays.start_to_read(self._array, box)


def open_volume(location: Location, *, with_geometry: bool = True) -> StoredVolume:
    """Return the volume in a folder, in any of the formats; raise StoreError if there is none.

    Without ``with_geometry``, world coordinates that cannot be read are no error, and grids have extents only.
    """
    for format in FORMATS.values():
        if format.detect(location):
            try:
                volume = format.read(location)
                if volume.unreadable:
                    if with_geometry:
                        raise StoreError(f"{volume.unreadable}; correct it, or give the world coordinates (grid=)")
                    return volume
                return _with_voxel_offsets(volume)
            except UNREADABLE as error:
                raise StoreError(f"{location.name}: the metadata cannot be understood: {brief(error)}") from None
    if Scratch(location).read_plan() is not None:
        raise StoreError(
            f"{location.name}: has an unfinished build; run its command again to resume, or finalize its plan"
        )
    raise StoreError(f"{location.name}: {_reason_for_no_store(location)}")


def _reason_for_no_store(location: Location) -> str:
    """Return why there is no store in a folder, and what to do."""
    reader = reader_of(location.name)
    if reader is not None and location.files is not None and location.files.is_single_file:
        return f"is a {reader.name} file, not a store; build one from it first (tinypyr build FILE STORE)"
    keys = dict.fromkeys(key for format in FORMATS.values() for key in format.TRAITS.metadata_keys)
    *others, last = keys
    return f"nothing here that can be read (no {', '.join(others)} or {last}); check the path"


def _with_voxel_offsets(volume: StoredVolume) -> StoredVolume:
    """Return a volume with the voxel offsets in its notes; most formats have no other metadata for them."""
    recorded_offset, base = volume.notes.get("voxel_offset"), volume.grids[0]
    if recorded_offset is None or FORMATS[volume.format].TRAITS.records_voxel_offset:
        return volume
    offset = [int(recorded_offset.get(axis, 0)) for axis in base.axes]
    grids = []
    for grid in volume.grids:
        total = factors_between(base, grid) or (1,) * base.ndim
        grids.append(replace_grid(grid, voxel_offset=[o // f for o, f in zip(offset, total, strict=True)]))
    return replace(volume, grids=grids)


def level_array(volume: StoredVolume, number: int) -> Any:
    """Return a TensorStore handle of a level, axes as in its grid, first voxel at 0.

    Raise StoreError if TensorStore would not find the level's chunks.
    """
    holds_chunks(volume, number)
    return _open_level(volume, number)


def _open_level(volume: StoredVolume, number: int) -> Any:
    path = volume.paths[number]
    spec, name = FORMATS[volume.format].open_spec(volume.location, path), f"{volume.location.name}/{path}".rstrip("/")
    array = open_array(spec, name, volume.location.context, read=True, open=True)
    chunk = array.chunk_layout.read_chunk.shape
    if math.prod(chunk) * array.dtype.numpy_dtype.itemsize > LARGE_CHUNK and math.prod(chunk) > math.prod(array.shape):
        raise StoreError(
            f"{name}: has chunks of {tuple(chunk)} voxels, more than the whole array; its metadata is damaged"
        )
    return at_zero(array)


def read_voxels(reading: Any, name: str, box: Sequence[tuple[int, int]]) -> Any:
    """Return the result of a read; raise StoreError with the volume's name and the box if the read fails."""
    try:
        return reading.result()
    except StoreError:
        raise
    except (ValueError, OSError) as error:
        region = ", ".join(f"{start}:{stop}" for start, stop in box)
        raise StoreError(f"{name}: voxels [{region}] cannot be read: {first_line(error)}") from None


class Readable(Protocol):
    """An array of which parts are read in the background."""

    name: str

    def read(self, box: Box, /) -> Any:
        """Start to read the voxels of a box; return an object whose ``result()`` is the array."""


def read_ahead(source: Readable, boxes: Iterable[Sequence[tuple[int, int]]]) -> Iterator[tuple[Any, NDArray[Any]]]:
    """Yield boxes and their voxels, each read while the caller uses the one before."""
    previous: tuple[Any, Any] | None = None
    for box in boxes:
        reading = source.read(tuple(slice(start, stop) for start, stop in box))
        if previous is not None:
            yield previous[1], read_voxels(previous[0], source.name, previous[1])
        previous = reading, box
    if previous is not None:
        yield previous[1], read_voxels(previous[0], source.name, previous[1])


def at_zero(handle: Any) -> Any:
    """Return a TensorStore handle with its first voxel at 0."""
    return handle.translate_to[(0,) * handle.rank]


def open_source(source: Any, grid: Grid | None = None) -> Source:
    """Open a path, a URL, or an array of numpy, zarr, dask, h5py, TensorStore, or of a lazy class of tinypyr.

    ``grid`` replaces the grid of a store, or defines that of an array.
    """
    source = resolved(source)
    if isinstance(source, (str, os.PathLike)):
        return _open_store(source, grid)
    if not _arrays.is_array(source):
        raise TypeError(f"source: {type(source).__name__} is neither a path nor an array")
    chunks, source = _arrays.read_chunks(source), _arrays.from_zero(source)
    dtype = source.dtype.name if _arrays.is_tensorstore(source) else np.dtype(source.dtype).name
    shape = tuple(int(n) for n in source.shape)
    recipe = _arrays.recipe_of(source)
    grid = grid or (Grid(shape) if recipe is None else source.grid)
    if grid.shape != shape:
        raise ValueError(f"grid: has shape {grid.shape}, but the source has shape {shape}")
    shards = None  # (except for a lazy array, which reports those of its source)
    if recipe is not None and chunks and getattr(source, "shards", None) not in (None, chunks):
        shards = None if any(a % b for a, b in zip(source.shards, chunks, strict=True)) else tuple(source.shards)
    return Source(grid, dtype, Layout(chunks or default_chunks(grid), shards), source, chunks, recipe=recipe)


def _open_store(path: str | os.PathLike[str], grid: Grid | None) -> Source:
    volume = open_volume(Location.at(path), with_geometry=grid is None)
    if grid is None:
        warn_of_assumed(volume)
    elif volume.unreadable and grid.shape == volume.grids[0].shape:
        levels = [grid, *volume.grids[1:]]
        volume = replace(volume, grids=[replace_grid(grid, shape=level.shape) for level in levels], unreadable="")
    array, base = level_array(volume, 0), volume.grids[0]
    if tuple(array.shape) != base.shape:
        raise StoreError(f"{volume.location.name}: level 0 has shape {tuple(array.shape)}, not {base.shape}")
    if grid is not None and (grid.shape, grid.axes) != (base.shape, base.axes):
        raise ValueError(
            f"grid: has axes {grid.axes} and shape {grid.shape}, but the store has {base.axes} and {base.shape}"
        )
    if grid is not None:
        volume = replace(volume, assumed=())
    return Source(grid or base, volume.dtype, volume.layout, array, volume.layout.chunks, volume)


def warn_of_assumed(volume: StoredVolume) -> None:
    """Warn of axes along which the metadata has the scale 0."""
    if volume.assumed:
        warnings.warn(
            f"{volume.location.name}: its scale is 0 along {', '.join(volume.assumed)}; 1 is used. Correct the "
            "metadata, or give the world coordinates (grid=)",
            stacklevel=4,
        )


class Mask:
    """Voxels of a grid to exclude from every level, from an array or a store.

    The axes of a store are matched by name, those of an array by position.

    Attributes
    ----------
    parameter : {"mask", "exclude"}
        The argument that the voxels came from: non-zero voxels of a ``mask`` count, those of ``exclude`` do not.
    """

    def __init__(self, voxels: Any, grid: Grid, parameter: Literal["mask", "exclude"]) -> None:
        self.parameter, voxels = parameter, place_of(voxels)
        if not isinstance(voxels, (str, os.PathLike)) and not hasattr(voxels, "dtype"):
            raise TypeError(f"{parameter}: {type(voxels).__name__} is neither a path nor an array")
        try:
            source = open_source(voxels)
        except StoreError as error:
            raise StoreError(f"{parameter}: {error}") from None
        if source.dtype.kind not in "biuf":
            raise ValueError(f"{parameter}: has dtype {source.dtype}; pass booleans or real numbers")
        shape = source.grid.shape
        if source.volume is not None:  # (unnamed axes of a store have the names of the last axes)
            axes = [grid.axes.index(axis) if axis in grid.axes else -1 for axis in source.grid.axes]
        else:  # axes of one voxel may be missing
            axes = list(range(grid.ndim))
            if shape != grid.shape:
                axes = [axis for axis, n in enumerate(grid.shape) if n > 1]
        covered = [grid.shape[axis] if axis >= 0 else 1 for axis in axes]
        missing = [n for axis, n in enumerate(grid.shape) if axis not in axes]
        if list(shape) != covered or any(n > 1 for n in missing):
            raise ValueError(f"{parameter}: has shape {shape}, but the volume has shape {grid.shape}")
        self._source, self._axes = source, axes
        self.name, self.location, self.recipe, self.stamp = source.name, source.location, source.recipe, source.stamp
        self.volume, self.check_exists, self.status = source.volume, source.check_exists, source.status

    @classmethod
    def of(cls, mask: Any, exclude: Any, grid: Grid) -> Mask | None:
        """Return the mask that the arguments ``mask`` and ``exclude`` describe; None if neither is given."""
        if mask is not None and exclude is not None:
            raise ValueError("mask: exclude, its inverse, is given as well; give one of the two")
        if mask is not None:
            return cls(mask, grid, "mask")
        return None if exclude is None else cls(exclude, grid, "exclude")

    def note(self, parameter: str) -> Any:
        """Return the recipe or the name of the voxels if they came from this argument, otherwise None."""
        return (self.recipe or self.name) if parameter == self.parameter else None

    def excluded(self, box: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
        """Return for every voxel of a box whether it is excluded."""
        part = tuple(slice(*box[axis]) if axis >= 0 else slice(0, 1) for axis in self._axes)
        voxels = np.asarray(self._source.read(part).result())
        excluded: NDArray[np.bool_] = voxels == 0 if self.parameter == "mask" else voxels != 0
        order = sorted(range(len(self._axes)), key=lambda i: self._axes[i])
        return excluded.transpose(order).reshape([b - a for a, b in box])


def are_planes(chunks: Sequence[int], grid: Grid) -> bool:
    """Return whether chunks are one voxel thick along a spatial axis of more than one voxel, like images of a stack."""
    return len(grid.spatial) > 2 and any(chunks[axis] == 1 < grid.shape[axis] for axis in grid.spatial)


def default_chunks(grid: Grid) -> tuple[int, ...]:
    """Return chunks of about 256 KiB at one byte per voxel: cubes along three spatial axes, squares along two."""
    spatial = grid.spatial
    edge = {1: 1 << 18, 2: 512}.get(len(spatial), 64)
    return tuple(min(edge, max(1, n)) if axis in spatial else 1 for axis, n in enumerate(grid.shape))
