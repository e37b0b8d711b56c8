"""A volume's levels, of a store or of an array; and one more, pooled from another where it is read."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _arrays
from .._sources.nifti import Nifti, is_nifti
from ..grid import Grid, reordered
from ..pooling import downsample
from .sampler import Spans, checked_source

Box = tuple[slice, ...]


@dataclass(frozen=True)
class Level:
    """One of them."""

    grid: Grid
    dtype: np.dtype[Any]
    array: Any
    holds_labels: bool = False
    kind: str | None = None  # "image", "labels", or not known
    order: tuple[int, ...] | None = None  # the array's axes, where they are not those of the grid

    def reordered(self, axes: tuple[str, ...]) -> Level:
        """With its axes in another order."""
        at = [self.grid.axes.index(axis) for axis in axes]
        return Level(reordered(self.grid, axes), self.dtype, self.array, self.holds_labels, self.kind, tuple(at))

    def read(self, box: Box) -> NDArray[Any]:
        """The voxels of a box."""
        if self.order is None:
            return _arrays.read(self.array, box)
        own = tuple(box[self.order.index(axis)] for axis in range(len(box)))
        return _arrays.read(self.array, own).transpose(self.order)


def levels_of(source: Any, grid: Grid | None, name: str = "source", axes: tuple[str, ...] | None = None) -> list[Level]:
    """The source's levels, finest first."""
    if is_nifti(source):
        source = Nifti(source)
    if isinstance(source, (str, os.PathLike)):
        from ..store import levels

        if grid is not None:
            raise ValueError(f"source_grid: {name} is a store, which has its own")
        return [
            Level(level.grid, _arrays.dtype_of(level.array), level.array, level.holds_labels, level.kind)
            for level in levels(source)
        ]
    if not (hasattr(source, "shape") and hasattr(source, "dtype") and hasattr(source, "__getitem__")):
        raise TypeError(f"{name}: {type(source).__name__} is neither a path nor an array")
    shape = tuple(int(n) for n in source.shape)
    labels, kind = False, None
    if _arrays.is_view(source):  # which knows
        grid, labels, kind = grid or source.grid, source.holds_labels, source.kind
    if axes is not None and grid is None and len(axes) != len(shape):
        raise ValueError(f"grid: of axes {axes}, but {name} has {len(shape)}")
    placed = Grid(shape, axes) if grid is None else grid
    if not isinstance(placed, Grid):
        raise TypeError(f"source_grid: {type(grid).__name__} is not a Grid")
    if placed.shape != shape:
        raise ValueError(f"source_grid: of shape {placed.shape}, but {name} has shape {shape}")
    dtype = _arrays.dtype_of(source)
    checked_source(name, shape, dtype)
    return [Level(placed, dtype, _arrays.from_zero(source), labels, kind)]


class Pooled:
    """A level made while it is read: the blocks of another one's voxels."""

    def __init__(self, level: Level, factor: tuple[int, ...], method: str) -> None:
        self.grid = level.grid.level(factor)
        self.factor = factor
        self._level, self._method = level, method

    def voxels(self, spans: Spans) -> int:
        """How many of the other level's voxels these are made of."""
        return math.prod(span.count * f for span, f in zip(spans, self.factor, strict=True))

    def read(self, box: Box) -> NDArray[Any]:
        """The voxels of a box."""
        if all(f == 1 for f in self.factor):
            return self._level.read(box)
        fine, voxel_offset = [], []
        base = self._level.grid
        for wanted, f, n, o in zip(box, self.factor, base.shape, base.voxel_offset, strict=True):
            first = max(0, wanted.start * f - o % f)
            fine.append(slice(first, min(n, wanted.stop * f - o % f)))
            voxel_offset.append(o + first)
        return downsample(self._level.read(tuple(fine)), self.factor, self._method, voxel_offset=voxel_offset)  # type: ignore[arg-type]
