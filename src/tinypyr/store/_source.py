"""What may be read: stores by path or URL, and arrays of other packages."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np

from ..grid import Grid, reordered
from ._errors import StoreError
from ._place import Place, open_array
from ._volume import Layout, Volume
from .formats import FORMATS

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
    ) -> None:
        self.grid = grid
        self.chunks = chunks  # that are read whole; None: voxels can be read as one likes
        try:
            self.dtype = np.dtype(dtype)
        except TypeError:
            raise StoreError(f"source: voxels of type {dtype!r} cannot be pooled") from None
        self.layout = layout
        self.volume = volume
        self.name = "an array" if volume is None else volume.place.url
        self._array = array

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


def open_volume(place: Place) -> Volume:
    """The volume at a place, of whatever format."""
    for format in FORMATS.values():
        if format.detect(place):
            try:
                volume: Volume = format.read(place)
            except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
                raise StoreError(f"{place.name}: its metadata cannot be understood: {error!r}") from None
            return volume
    keys = "zarr.json, .zattrs, .zarray, attributes.json or info"
    raise StoreError(f"{place.name}: nothing here that can be read (no {keys}); check the path")


def level_array(volume: Volume, number: int) -> Any:
    """A handle of one level, axes as in the volume's grid, first voxel at 0."""
    format = FORMATS[volume.format]
    path = volume.paths[number]
    name = f"{volume.place.name}/{path}".rstrip("/")
    return arrange(open_array(format.open_spec(volume.place, path), name, read=True, open=True))


def arrange(handle: Any) -> Any:
    """The handle with its first voxel at 0."""
    return handle.translate_to[(0,) * handle.rank]


def open_source(source: Any, grid: Grid | None = None) -> Source:
    """What to pool: a path or URL, or an array of numpy, zarr, dask, h5py or TensorStore."""
    if isinstance(source, (str, os.PathLike)):
        volume = open_volume(Place.at(source))
        array = level_array(volume, 0)
        if tuple(array.shape) != volume.grids[0].shape:
            raise StoreError(
                f"{volume.place.name}: level 0 has shape {tuple(array.shape)}, not {volume.grids[0].shape}"
            )
        return Source(grid or volume.grids[0], volume.dtype, volume.layout, array, volume.layout.chunks, volume)
    if not (hasattr(source, "shape") and hasattr(source, "dtype") and hasattr(source, "__getitem__")):
        raise TypeError(f"source: {type(source).__name__} is neither a path nor an array")
    if hasattr(source, "chunk_layout"):  # TensorStore
        dtype, chunks, source = source.dtype.name, source.chunk_layout.read_chunk.shape, arrange(source)
    else:
        dtype, chunks = np.dtype(source.dtype).name, getattr(source, "chunks", None)
    if chunks and isinstance(chunks[0], (tuple, list)):  # dask: all extents; the first counts
        chunks = tuple(extents[0] for extents in chunks)
    shape = tuple(int(n) for n in source.shape)
    placed = grid or Grid(shape)
    if placed.shape != shape:
        raise ValueError(f"grid: of shape {placed.shape}, but the source has shape {shape}")
    usual = default_chunks(placed)
    cut = tuple(int(c or u) for c, u in zip(chunks, usual, strict=True)) if chunks else None
    return Source(placed, dtype, Layout(cut or usual), source, cut)


def default_chunks(grid: Grid) -> tuple[int, ...]:
    """About 256 KiB of voxels: cubes along three axes, squares along two."""
    spatial = [axis for axis, name in enumerate(grid.axes) if name.lower() not in ("c", "t")]
    edge = {1: 1 << 18, 2: 512}.get(len(spatial), 64)
    return tuple(min(edge, max(1, n)) if axis in spatial else 1 for axis, n in enumerate(grid.shape))
