"""The levels of a store or an array, and a level that is pooled from another one when it is read."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _arrays
from ..grid import Grid, reordered
from ..pooling import downsample
from ..volume import resolved
from .sampler import Spans, check_source

Box = tuple[slice, ...]


@dataclass(frozen=True)
class Level:
    """One level of a source: an array and its grid."""

    grid: Grid
    dtype: np.dtype[Any]
    array: Any
    holds_labels: bool = False
    kind: str | None = None  # "image", "labels", or None if the source does not record it
    permutation: tuple[int, ...] | None = None  # the array's axis for each axis of the grid; None: the same order

    def reordered(self, axes: tuple[str, ...]) -> Level:
        """Return this level with its axes in another order."""
        permutation = tuple(self.grid.axes.index(axis) for axis in axes)
        return Level(reordered(self.grid, axes), self.dtype, self.array, self.holds_labels, self.kind, permutation)

    def read(self, box: Box) -> NDArray[Any]:
        """Return the voxels of a box."""
        if self.permutation is None:
            return _arrays.read(self.array, box)
        array_box = tuple(box[self.permutation.index(axis)] for axis in range(len(box)))
        return _arrays.read(self.array, array_box).transpose(self.permutation)


def open_levels(
    source: Any, grid: Grid | None, name: str = "source", axes: tuple[str, ...] | None = None
) -> list[Level]:
    """Return the levels of a store, a file that has a reader, or an array, finest first.

    Parameters
    ----------
    source : path, URL, or array
        The volume.
    grid : Grid, optional
        The grid of an array that has none.
    name : str
        The argument that error messages name.
    axes : tuple of str, optional
        The names of an array's axes if it has no grid.

    Returns
    -------
    list of Level

    Raises
    ------
    ValueError, TypeError
        The source is neither a path nor an array, or does not fit the grid or the axes.
    """
    source = resolved(source)
    if isinstance(source, (str, os.PathLike)):
        from ..store import levels

        if grid is not None:
            raise ValueError(f"source_grid: {name} is a store, which has a grid of its own; pass None")
        return [
            Level(level.grid, _arrays.dtype_of(level.array), level.array, level.holds_labels, level.kind)
            for level in levels(source)
        ]
    if not _arrays.is_array(source):
        raise TypeError(f"{name}: {type(source).__name__} is neither a path nor an array")
    shape = tuple(int(n) for n in source.shape)
    holds_labels, kind = False, None
    if _arrays.is_view(source):  # views have a grid and a kind
        grid, holds_labels, kind = grid or source.grid, source.holds_labels, source.kind
    if axes is not None and grid is None and len(axes) != len(shape):
        raise ValueError(f"grid: its axes are {axes}, but {name} has {len(shape)} axes")
    array_grid = Grid(shape, axes) if grid is None else grid
    if not isinstance(array_grid, Grid):
        raise TypeError(f"source_grid: {type(grid).__name__} is not a Grid")
    if array_grid.shape != shape:
        raise ValueError(f"source_grid: its shape is {array_grid.shape}, but {name} has shape {shape}")
    dtype = _arrays.dtype_of(source)
    check_source(name, shape, dtype)
    return [Level(array_grid, dtype, _arrays.from_zero(source), holds_labels, kind)]


class Pooled:
    """A level that is pooled from another one when it is read."""

    def __init__(self, level: Level, factor: tuple[int, ...], method: str) -> None:
        self.grid = level.grid.level(factor)
        self.factor = factor
        self._level, self._method = level, method

    def voxels(self, spans: Spans) -> int:
        """Return the number of voxels of the other level that these spans are pooled from."""
        return math.prod(span.count * f for span, f in zip(spans, self.factor, strict=True))

    def read(self, box: Box) -> NDArray[Any]:
        """Return the voxels of a box."""
        if all(f == 1 for f in self.factor):
            return self._level.read(box)
        fine_box, voxel_offset = [], []
        base = self._level.grid
        for along, f, n, o in zip(box, self.factor, base.shape, base.voxel_offset, strict=True):
            first = max(0, along.start * f - o % f)
            fine_box.append(slice(first, min(n, along.stop * f - o % f)))
            voxel_offset.append(o + first)
        return downsample(self._level.read(tuple(fine_box)), self.factor, self._method, voxel_offset=voxel_offset)  # type: ignore[arg-type]
