"""Graphs for dask arrays: one task computes the field from the whole low resolution, and each chunk depends on it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import dask

from ..grid import Grid
from ..resampling.levels import Level, Pooled
from .plugins import Array


def pooled(source: Any, grid: Grid, factor: tuple[int, ...], method: str) -> Any:
    """Return the volume at low resolution as a dask array with one chunk."""
    chunks, pooled_chunks = [], []
    for along, n, o, f in zip(source.chunks, grid.shape, grid.voxel_offset, factor, strict=True):
        step = max(f, along[0] // f * f)  # no footprint is divided between two chunks
        edges = [0, *range(step - o % f, n, step), n]
        chunks.append(tuple(b - a for a, b in itertools.pairwise(edges)))
        pooled_chunks.append(tuple(-(-(o + b) // f) - (o + a) // f for a, b in itertools.pairwise(edges)))

    def pool(voxels: Array, block_info: Any = None) -> Array:
        start = [a for a, _ in block_info[0]["array-location"]]
        offset = [o + a for o, a in zip(grid.voxel_offset, start, strict=True)]
        level = Pooled(Level(Grid(voxels.shape, voxel_offset=offset), voxels.dtype, voxels), factor, method)
        return level.read(tuple(slice(0, n) for n in level.grid.shape))

    return source.rechunk(tuple(chunks)).map_blocks(pool, dtype=source.dtype, chunks=tuple(pooled_chunks)).rechunk(-1)


def applied(
    source: Any, low: Any, compute_fields: Callable[[Array], Any], apply_block: Callable[..., Array], dtype: Any
) -> Any:
    """Return a dask array of ``apply_block(voxels, start, compute_fields(low))`` for each chunk of ``source``."""

    def apply_chunk(voxels: Array, fields: Any, block_info: Any = None) -> Array:
        return apply_block(voxels, [a for a, _ in block_info[0]["array-location"]], fields)

    (voxels,) = low.rechunk(-1).to_delayed().ravel() if hasattr(low, "to_delayed") else (low,)
    fields = dask.delayed(compute_fields, pure=False)(voxels)
    return source.map_blocks(apply_chunk, fields=fields, dtype=dtype)
