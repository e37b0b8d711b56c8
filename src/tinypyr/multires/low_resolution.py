"""The volume at low resolution, and the mask of its voxels."""

from __future__ import annotations

import concurrent.futures
import math
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _arrays
from .._pooling.arguments import Factor
from ..grid import Grid
from ..resampling.levels import Level, Pooled, open_levels
from ..resampling.resampled import Resampled
from .boxes import Box, split_box, tile_box
from .plugins import Array, empty

#: Most voxels of the volume read at once.
_READ_AT_ONCE = 1 << 24

#: A function that shows a line of progress.
Notify = Callable[[str], None]


def checked_factor(factor: Factor, grid: Grid) -> tuple[int, ...]:
    """Return one factor per axis; raise an error that names ``factor`` if it does not fit the grid.

    One number, or one per spatial axis, leaves axes of channels and time alone.
    """
    factors = grid.factor_per_axis(factor)
    if not isinstance(factor, (int, np.integer)) and np.shape(factor) not in ((grid.ndim,), (len(grid.spatial),)):
        raise ValueError(f"factor: {factor!r} is not one number for each of {', '.join(grid.axes)}")
    for axis, f, n in zip(grid.axes, factors, grid.shape, strict=True):
        if f >= 2 * max(n, 1) and f > 1:
            raise ValueError(f"factor: {f} along {axis} is too large for its {n} voxels")
    return factors


class LowResolution:
    """A volume at low resolution: one of its levels, a level pooled from it, or an array that the caller passed.

    Parameters
    ----------
    levels : list of Level
        The levels of the volume.
    factor : tuple of int
        The factor per axis.
    lowres : int or array, optional
        The number of the level to use, or the low resolution itself.

    Attributes
    ----------
    grid : Grid
        The grid of the low resolution.
    dtype : numpy.dtype
        Its dtype.
    method : {"mean", "mode"}
        The method by which a level is pooled.
    array : array or None
        The array that the caller passed.
    """

    def __init__(self, levels: list[Level], factor: tuple[int, ...], lowres: Any) -> None:
        base = levels[0]
        self.grid = base.grid.level(factor)
        labels = base.holds_labels or _arrays.looks_like_labels(base.kind, base.dtype)
        self.method = "mode" if labels else "mean"
        self.array = None if isinstance(lowres, (int, np.integer)) else lowres
        if isinstance(lowres, (bool, np.bool_)):
            raise TypeError(f"lowres: {lowres!r} is neither the number of a level nor an array")
        if isinstance(lowres, (int, np.integer)):
            if not 0 <= lowres < len(levels):
                raise ValueError(f"lowres: there is no level {lowres}; the levels are 0 to {len(levels) - 1}")
            level: Any = levels[lowres]
            self.grid = level.grid
        elif lowres is not None:
            shape = tuple(getattr(lowres, "shape", np.shape(lowres)))
            if shape != self.grid.shape:
                raise ValueError(f"lowres: its shape is {shape}, but factor {factor} gives {self.grid.shape}")
            array = lowres if hasattr(lowres, "shape") else np.asarray(lowres)
            level = Level(self.grid, _arrays.dtype_of(array), _arrays.from_zero(array))
        else:
            level = next((level for level in levels if level.grid == self.grid), None)
            if level is None:
                level = Pooled(base, factor, self.method)
        self._level = level
        stored = base if isinstance(level, Pooled) else level  # the level that is read
        self._factor = factor if isinstance(level, Pooled) else (1,) * base.grid.ndim
        self._chunked = None if stored.permutation is not None else stored.array
        self.dtype = stored.dtype

    def read(self, memory: int, workers: int, notify: Notify) -> Array:
        """Return all voxels, read part by part; in a temporary file if they take more than an eighth of the memory."""
        nbytes = math.prod(self.grid.shape) * self.dtype.itemsize
        voxels = empty(self.grid.shape, self.dtype, nbytes > memory // 8)
        max_voxels = min(_READ_AT_ONCE, memory // (4 * workers * self.dtype.itemsize)) // math.prod(self._factor)
        parts = list(self._parts(max(1, max_voxels)))

        def fill(part: Box) -> None:
            voxels[part] = self._level.read(part)

        if len(parts) == 1:
            fill(parts[0])
            return voxels
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            futures = [pool.submit(fill, part) for part in parts]
            try:
                for count, future in enumerate(concurrent.futures.as_completed(futures), 1):
                    future.result()
                    notify(f"low resolution: {count} of {len(parts)} parts")
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return voxels

    def _parts(self, max_voxels: int) -> Iterator[Box]:
        """Split the grid into boxes of about ``max_voxels`` voxels, each of whole chunks if the array has chunks."""
        whole = tuple(slice(0, n) for n in self.grid.shape)
        chunks = _arrays.read_chunks(self._chunked)
        if chunks is None:
            return split_box(whole, max_voxels)
        steps = [max(1, c // f) for c, f in zip(chunks, self._factor, strict=True)]
        while True:
            axes = [a for a, n in enumerate(whole) if steps[a] < n.stop and 2 * math.prod(steps) <= max_voxels]
            if not axes:
                break
            steps[axes[-1]] *= 2
        return tile_box(whole, steps)


def read_mask(mask: Any, exclude: Any, grid: Grid) -> NDArray[np.bool_] | None:
    """Return an array that is True for the voxels of the low resolution that count; None without a mask.

    A mask is an array of the grid's shape, or a store, whose level 0 is read at the centres of the grid's voxels.

    Raises
    ------
    ValueError
        Both ``mask`` and ``exclude`` are given, or one does not fit the grid.
    """
    if mask is not None and exclude is not None:
        raise ValueError("mask, exclude: only one of them can be given; exclude is the inverse of mask")
    name, volume = ("exclude", exclude) if mask is None else ("mask", mask)
    if volume is None:
        return None
    nonzero = np.asarray(_read_at(name, volume, grid) != 0)
    return ~nonzero if name == "exclude" else nonzero


def _read_at(name: str, volume: Any, grid: Grid) -> Any:
    """Return the voxels of a mask at the voxels of a grid."""
    if isinstance(volume, (str, os.PathLike)):
        axes = open_levels(volume, None, name)[0].grid.axes
        if sorted(axes) != sorted(grid.axes):
            raise ValueError(f"{name}: its axes are {axes}, but the volume has {grid.axes}")
        return Resampled(volume, grid, order=0, anti_aliasing=False)[...]  # coarser levels may be means of the mask
    shape = tuple(getattr(volume, "shape", np.shape(volume)))
    if shape != grid.shape:
        raise ValueError(f"{name}: its shape is {shape}, but the low resolution has shape {grid.shape}")
    if not hasattr(volume, "shape"):
        return np.asarray(volume)
    return _arrays.read(volume, tuple(slice(0, n) for n in shape))
