"""What may be read: stores by path or URL, and arrays of other packages."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .. import _arrays
from .._sources.nifti import Nifti, is_nifti
from ..errors import UNREADABLE, StoreError, brief
from ..grid import Grid, factors_between, reordered, replace_grid
from .chunk_names import holds_chunks
from .formats import FORMATS
from .location import Location, open_array
from .scratch import Scratch
from .volume import Layout, Volume

Box = tuple[slice, ...]


class Source:
    """Level 0, wherever it is: its place in the world, its layout, and its voxels."""

    def __init__(
        self,
        grid: Grid,
        dtype: str,
        layout: Layout,
        array: Any,
        chunks: tuple[int, ...] | None,
        volume: Volume | None = None,
        recipe: dict[str, Any] | None = None,
    ) -> None:
        self.grid = grid
        self.chunks = chunks  # that are read whole; None: voxels can be read as one likes
        try:
            self.dtype = np.dtype(dtype)
        except TypeError:
            raise StoreError(f"source: voxels of type {dtype!r} cannot be pooled") from None
        self.layout = layout
        self.volume = volume
        self.recipe = recipe  # of an array that is made where it is read
        #: The folder that is read; None: an array in memory.
        self.place: Location | None = None
        self.name = "an array"
        if volume is not None:
            self.place, self.name = volume.place, volume.place.url
        elif recipe is not None and recipe["source"] is not None:
            self.place, self.name = Location.at(recipe["source"]), repr(array)
        self._array = array

    @property
    def kind(self) -> Literal["image", "labels"] | None:
        """What the voxels are, where that is known."""
        if self.volume is not None:
            return self.volume.kind
        if getattr(self._array, "holds_labels", False):
            return "labels"
        return "image" if getattr(self._array, "kind", None) == "image" else None

    def stamp(self) -> bytes:
        """Other bytes where the files that are read have changed, or the corners of an array that lies in none."""
        if self.volume is not None:
            return self.volume.place.child(self.volume.paths[0]).stamp()
        if hasattr(self._array, "stamp"):
            return bytes(self._array.stamp())
        if self.place is not None:
            return self.place.stamp()
        return _arrays.corners(self._array, self.grid.shape)

    def refuse_missing(self) -> None:
        """Raise StoreError if the array that is read is gone, so that its chunks are read as empty."""
        if self.volume is not None:
            _opened(self.volume, 0)

    def reordered(self, axes: tuple[str, ...]) -> Source:
        """The same store with its axes in another order."""
        at = [self.grid.axes.index(axis) for axis in axes]

        def order(extents: tuple[int, ...] | None) -> tuple[int, ...] | None:
            return None if extents is None else tuple(extents[a] for a in at)

        cut = replace(self.layout, chunks=tuple(self.layout.chunks[a] for a in at), shards=order(self.layout.shards))
        grid, array = reordered(self.grid, axes), self._array.transpose(at)
        return Source(grid, self.dtype.name, cut, array, order(self.chunks), self.volume)

    def read(self, box: Box) -> Any:
        """The voxels of a box: something whose ``result()`` is an array; reading may have begun."""
        if hasattr(self._array, "write"):  # a handle of TensorStore, which reads meanwhile
            return self._array[box].read()
        return _Later(self._array, box)


class _Later:
    def __init__(self, array: Any, box: Box) -> None:
        self._array, self._box = array, box

    def result(self) -> Any:
        part = self._array[self._box]
        return np.asarray(part.compute() if hasattr(part, "compute") else part)


def open_volume(place: Location) -> Volume:
    """The volume at a place, of whatever format."""
    for format in FORMATS.values():
        if format.detect(place):
            try:
                return _with_offsets(format.read(place))
            except UNREADABLE as error:
                raise StoreError(f"{place.name}: its metadata cannot be understood: {brief(error)}") from None
    if Scratch(place).plan() is not None:
        raise StoreError(f"{place.name}: a build has begun here and not ended; go on with it, or finalize its plan")
    keys = "zarr.json, .zattrs, .zarray, attributes.json or info"
    raise StoreError(f"{place.name}: nothing here that can be read (no {keys}); check the path")


def _with_offsets(volume: Volume) -> Volume:
    """Where its array begins in a larger one, if that is noted: most formats have no other place for it."""
    noted, base = volume.notes.get("voxel_offset"), volume.grids[0]
    if noted is None or volume.format == "precomputed":
        return volume
    offset = [int(noted.get(axis, 0)) for axis in base.axes]
    grids = []
    for grid in volume.grids:
        total = factors_between(base, grid) or (1,) * base.ndim
        grids.append(replace_grid(grid, voxel_offset=[o // f for o, f in zip(offset, total, strict=True)]))
    return replace(volume, grids=grids)


def level_array(volume: Volume, number: int) -> Any:
    """A handle of one level, axes as in the volume's grid, first voxel at 0.

    Refused if TensorStore would not find the level's chunks.
    """
    holds_chunks(volume, number)
    return _opened(volume, number)


def _opened(volume: Volume, number: int) -> Any:
    format = FORMATS[volume.format]
    path = volume.paths[number]
    name = f"{volume.place.name}/{path}".rstrip("/")
    return arrange(open_array(format.open_spec(volume.place, path), name, read=True, open=True))


def voxels_of(reading: Any, name: str, box: Sequence[tuple[int, int]]) -> Any:
    """What a read ends with; errors name the volume and the box."""
    try:
        return reading.result()
    except StoreError:
        raise
    except (ValueError, OSError) as error:
        where = ", ".join(f"{a}:{b}" for a, b in box)
        raise StoreError(f"{name}: voxels [{where}] cannot be read: {str(error).splitlines()[0]}") from None


def arrange(handle: Any) -> Any:
    """The handle with its first voxel at 0."""
    return handle.translate_to[(0,) * handle.rank]


def open_source(source: Any, grid: Grid | None = None) -> Source:
    """What to pool: a path or URL, or an array of numpy, zarr, dask, h5py or TensorStore, or made where it is read."""
    if is_nifti(source):
        source = Nifti(source)
    if isinstance(source, (str, os.PathLike)):
        volume = open_volume(Location.at(source))
        array = level_array(volume, 0)
        if tuple(array.shape) != volume.grids[0].shape:
            raise StoreError(
                f"{volume.place.name}: level 0 has shape {tuple(array.shape)}, not {volume.grids[0].shape}"
            )
        if grid is not None and (grid.shape, grid.axes) != (volume.grids[0].shape, volume.grids[0].axes):
            raise ValueError(
                f"grid: of axes {grid.axes} and shape {grid.shape}, but the store has {volume.grids[0].axes} and "
                f"{volume.grids[0].shape}"
            )
        return Source(grid or volume.grids[0], volume.dtype, volume.layout, array, volume.layout.chunks, volume)
    if not (hasattr(source, "shape") and hasattr(source, "dtype") and hasattr(source, "__getitem__")):
        raise TypeError(f"source: {type(source).__name__} is neither a path nor an array")
    chunks, source = _arrays.read_chunks(source), _arrays.from_zero(source)
    dtype = source.dtype.name if hasattr(source, "chunk_layout") else np.dtype(source.dtype).name  # TensorStore, others
    shape = tuple(int(n) for n in source.shape)
    recipe = _arrays.recipe_of(source)
    placed = grid or (Grid(shape) if recipe is None else source.grid)
    if placed.shape != shape:
        raise ValueError(f"grid: of shape {placed.shape}, but the source has shape {shape}")
    shards = None  # (but where a view says what its source has)
    if recipe is not None and chunks and getattr(source, "shards", None) not in (None, chunks):
        shards = None if any(a % b for a, b in zip(source.shards, chunks, strict=True)) else tuple(source.shards)
    return Source(placed, dtype, Layout(chunks or default_chunks(placed), shards), source, chunks, recipe=recipe)


class Mask:
    """Voxels of a grid to exclude from every level, as an array or a store tells.

    The axes of a store are matched by name, those of an array by position.

    Attributes
    ----------
    parameter : {"mask", "exclude"}
        The argument that the voxels came from: non-zero voxels of a ``mask`` count, those of ``exclude`` do not.
    """

    def __init__(self, voxels: Any, grid: Grid, parameter: Literal["mask", "exclude"]) -> None:
        self.parameter = parameter
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
        self.name, self.place, self.recipe, self.stamp = source.name, source.place, source.recipe, source.stamp
        self.volume, self.refuse_missing = source.volume, source.refuse_missing

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


def default_chunks(grid: Grid) -> tuple[int, ...]:
    """About 256 KiB of voxels: cubes along three axes, squares along two."""
    spatial = grid.spatial
    edge = {1: 1 << 18, 2: 512}.get(len(spatial), 64)
    return tuple(min(edge, max(1, n)) if axis in spatial else 1 for axis, n in enumerate(grid.shape))
