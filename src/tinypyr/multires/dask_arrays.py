"""Of dask arrays: a graph of chunks, in which one task makes the field of the whole low resolution."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import dask

from ..grid import Grid
from ..resampling.levels import Level, Pooled
from .plugins import Array


def pooled(source: Any, grid: Grid, factor: tuple[int, ...], method: str) -> Any:
    """The volume at low resolution, as one chunk."""
    chunks, made = [], []
    for along, n, o, f in zip(source.chunks, grid.shape, grid.voxel_offset, factor, strict=True):
        step = max(f, along[0] // f * f)  # no block of voxels lies in two chunks
        edges = [0, *range(step - o % f, n, step), n]
        chunks.append(tuple(b - a for a, b in itertools.pairwise(edges)))
        made.append(tuple(-(-(o + b) // f) - (o + a) // f for a, b in itertools.pairwise(edges)))

    def pool(voxels: Array, block_info: Any = None) -> Array:
        start = [a for a, _ in block_info[0]["array-location"]]
        offset = [o + a for o, a in zip(grid.voxel_offset, start, strict=True)]
        level = Pooled(Level(Grid(voxels.shape, voxel_offset=offset), voxels.dtype, voxels), factor, method)
        return level.read(tuple(slice(0, n) for n in level.grid.shape))

    return source.rechunk(tuple(chunks)).map_blocks(pool, dtype=source.dtype, chunks=tuple(made)).rechunk(-1)


def applied(source: Any, low: Any, fields: Callable[[Array], Any], block: Callable[..., Array], dtype: Any) -> Any:
    """``block(voxels, start, fields(low))`` of every chunk; the fields are one task."""

    def of_chunk(voxels: Array, made: Any, block_info: Any = None) -> Array:
        return block(voxels, [a for a, _ in block_info[0]["array-location"]], made)

    (voxels,) = low.rechunk(-1).to_delayed().ravel() if hasattr(low, "to_delayed") else (low,)
    return source.map_blocks(of_chunk, made=dask.delayed(fields, pure=False)(voxels), dtype=dtype)
