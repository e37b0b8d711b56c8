"""Dask graphs with one task per output chunk, which depends on the input chunks that it needs and on no others."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from numpy.typing import NDArray

from ..resampling.sampler import Sampling, Span, Spans, filter_halo, source_bounds, spline_coefficients
from ._input import Blocks, Bounds, Box, Chunks, Index, Input


@dataclass(frozen=True)
class Affine:
    """The parameters of an affine map, which all of its chunks share."""

    sampling: Sampling
    matrix: NDArray[np.float64]
    offset: tuple[float, ...]

    def plan(self, start: Sequence[int], stop: Sequence[int]) -> tuple[Spans | None, list[Box]]:
        """Return the part that a box of the output needs, and the boxes of the array to read for it."""
        spans = self.sampling.required_spans(*source_bounds(self.matrix, self.offset, start, stop))
        return spans, [] if spans is None else [box for box, _ in self.sampling.boxes(spans)]

    def compute(self, read: Any, spans: Spans | None, start: Sequence[int], stop: Sequence[int]) -> NDArray[Any]:
        """Return a box of the output."""
        out = np.empty([b - a for a, b in zip(start, stop, strict=True)], self.sampling.dtype)
        if spans is None:
            out[...] = self.sampling.fill_value()
        else:
            part = self.sampling.read_part(spans, read)
            self.sampling.affine(part, spans, self.matrix, self.offset, start, out)
        return out


@dataclass(frozen=True)
class Filter:
    """The parameters of a spline filter, which all of its chunks share."""

    shape: tuple[int, ...]
    source_dtype: np.dtype[Any]
    dtype: np.dtype[Any]
    order: int
    mode: str
    axes: tuple[int, ...]
    depth: tuple[int, ...]

    def plan(self, start: Sequence[int], stop: Sequence[int]) -> tuple[Spans, list[Box]]:
        """Return the part that a box of the output needs, and the boxes of the array to read for it."""
        spans = []
        for n, a, b, depth in zip(self.shape, start, stop, self.depth, strict=True):
            if b - a + 2 * depth >= n:
                spans.append(Span(0, n))
            elif self.mode == "grid-wrap":
                spans.append(Span((a - depth) % n, b - a + 2 * depth))
            else:
                first = max(0, a - depth)
                spans.append(Span(first, min(n, b + depth) - first))
        return tuple(spans), [box for box, _ in self._reader().boxes(tuple(spans))]

    def compute(self, read: Any, spans: Spans | None, start: Sequence[int], stop: Sequence[int]) -> NDArray[Any]:
        """Return a box of the output."""
        if spans is None:  # an empty box
            return np.empty([b - a for a, b in zip(start, stop, strict=True)], self.dtype)
        voxels = self._reader().read_part(spans, read)
        if self.order > 1:
            voxels = spline_coefficients(voxels, spans, self.shape, self.order, self.mode, self.axes)
        at = [(a - span.first) % n for a, span, n in zip(start, spans, self.shape, strict=True)]
        box = tuple(slice(i, i + b - a) for i, a, b in zip(at, start, stop, strict=True))
        return voxels[box].astype(self.dtype)

    def _reader(self) -> Sampling:
        """Return a sampling that only reads: order 0 leaves voxels as they are, and "grid-wrap" lets spans wrap."""
        return Sampling(self.shape, self.source_dtype, 0, "grid-wrap")


@dataclass(frozen=True)
class Job:
    """One chunk of the output: its box, and the part of the array that it needs."""

    start: tuple[int, ...]
    stop: tuple[int, ...]
    spans: Spans | None
    indices: list[Index]


def compute_chunk(
    operation: Affine | Filter, bounds: Bounds, dtype: np.dtype[Any], job: Job, chunks: Any
) -> NDArray[Any]:
    """Compute one chunk of the output from a list of input chunks, or from a `Whole` array."""
    reader = Blocks(bounds, job.indices, chunks, dtype) if isinstance(chunks, list) else chunks
    return operation.compute(reader.read, job.spans, job.start, job.stop)


def chunked_array(
    label: str, source: Input, operation: Affine | Filter, chunks: Chunks, dtype: np.dtype[Any]
) -> da.Array:
    """Return a dask array with one task per chunk."""
    name = f"{label}-{tokenize(source.token, operation, chunks)}"
    bounds = Bounds.of(source.chunks) if source.lazy and source.chunks else Bounds((), ())
    graph: dict[Any, Any] = source.reading(name)
    operation_key = f"{name}-common"
    graph[operation_key] = operation
    graph[f"{name}-bounds"] = bounds
    output = Bounds.of(chunks)
    for index in itertools.product(*(range(len(along)) for along in chunks)):
        box = output.box(index)
        start, stop = tuple(s.start for s in box), tuple(s.stop for s in box)
        nonempty = all(a < b for a, b in zip(start, stop, strict=True))
        spans, boxes = operation.plan(start, stop) if nonempty else (None, [])
        indices, keys = source.blocks(name, bounds, boxes)
        job = Job(start, stop, spans, indices)
        graph[(name, *index)] = (compute_chunk, operation_key, f"{name}-bounds", source.dtype, job, keys)
    layers = HighLevelGraph.from_collections(name, graph, dependencies=source.dependencies)
    return da.Array(layers, name, chunks, meta=np.empty((0,) * len(chunks), dtype))


# --- values at coordinates ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PointGroup:
    """The coordinates of one task, and the part of the array that all of them need."""

    coordinates: NDArray[np.float64]
    spans: Spans
    indices: list[Index]


def interpolate_group(sampling: Sampling, bounds: Bounds, group: PointGroup, chunks: list[Any]) -> NDArray[Any]:
    """Return the values at the coordinates of one group."""
    values = np.empty(group.coordinates.shape[1], sampling.dtype)
    part = sampling.read_part(group.spans, Blocks(bounds, group.indices, chunks, sampling.dtype).read)
    sampling.points(part, group.spans, group.coordinates, values)
    return values


def read_chunk(source: Any, box: Box) -> NDArray[Any]:
    """Return one chunk of an array that is not a dask array."""
    return source.read(box)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class PointOrder:
    """The positions of each group's values in the output. A class of its own, so that dask does not traverse it."""

    shape: tuple[int, ...]
    groups: list[NDArray[np.intp]]


def gather(sampling: Sampling, order: PointOrder, values: list[Any]) -> NDArray[Any]:
    """Return all values in the order of the coordinates; those of no group are outside the array."""
    out = np.full(int(np.prod(order.shape)), sampling.fill_value(), sampling.dtype)
    for positions, group_values in zip(order.groups, values, strict=True):
        out[positions] = group_values
    return out.reshape(order.shape)


def values_at(label: str, source: Input, sampling: Sampling, coordinates: NDArray[np.float64]) -> da.Array:
    """Return the values at coordinates of shape (ndim, ...), with one task per input chunk that has coordinates."""
    shape = coordinates.shape[1:]
    name = f"{label}-{tokenize(source.token, sampling, coordinates)}"
    bounds = Bounds.of(source.chunks or source.output_chunks(None, source.shape))
    graph: dict[Any, Any] = source.reading(name)
    graph[f"{name}-sampling"], graph[f"{name}-bounds"] = sampling, bounds

    points = sampling.fold_coordinates(coordinates.reshape(len(source.shape), -1))
    groups: list[NDArray[np.intp]] = []
    keys: list[Any] = []
    for positions, chunk_number in _by_chunk(points, bounds, source.shape):
        group = np.ascontiguousarray(points[:, positions])
        spans = sampling.required_spans(group.min(axis=1), group.max(axis=1))
        if spans is None:
            continue
        indices = bounds.covering(box for box, _ in sampling.boxes(spans))
        if source.lazy:
            chunks: list[Any] = [(source.array.name, *index) for index in indices]
        else:
            chunks = [(f"{name}-chunk", *index) for index in indices]
            for key in chunks:
                if key not in graph:
                    graph[key] = (read_chunk, f"{name}-input", bounds.box(key[1:]))
        key = (f"{name}-at", chunk_number)
        job = PointGroup(group, spans, indices)
        graph[key] = (interpolate_group, f"{name}-sampling", f"{name}-bounds", job, chunks)
        groups.append(positions)
        keys.append(key)
    graph[(name, *(0,) * len(shape))] = (gather, f"{name}-sampling", PointOrder(shape, groups), keys)
    layers = HighLevelGraph.from_collections(name, graph, dependencies=source.dependencies)
    return da.Array(layers, name, tuple((n,) for n in shape), meta=np.empty((0,) * len(shape), sampling.dtype))


def _by_chunk(
    coordinates: NDArray[np.float64], bounds: Bounds, shape: Sequence[int]
) -> list[tuple[NDArray[np.intp], int]]:
    """Return the positions of the coordinates in each chunk, and the number of the chunk."""
    if coordinates.shape[1] == 0:
        return []
    number = np.zeros(coordinates.shape[1], np.int64)
    for at, starts, chunks, n in zip(coordinates, bounds.starts, bounds.chunks, shape, strict=True):
        voxel = np.clip(at, 0, n - 1).astype(np.int64)
        if len(set(chunks[:-1])) <= 1 and chunks[-1] <= chunks[0]:
            along = voxel // chunks[0]
        else:
            along = np.searchsorted(np.asarray(starts[1:-1]), voxel, side="right")
        number = number * (len(starts) - 1) + along
    # numpy sorts small integers by radix, several times as fast
    order = np.argsort(number.astype(np.min_scalar_type(number.max())), kind="stable")
    cuts = np.flatnonzero(np.diff(number[order])) + 1
    return [(positions, int(number[positions[0]])) for positions in np.split(order, cuts)]


def depth_per_axis(order: int, depth: Any, axes: Sequence[int], ndim: int) -> tuple[int, ...]:
    """Return the number of voxels around a chunk that its filter reads, per axis."""
    if depth is None:
        return tuple(filter_halo(order) if axis in axes else 0 for axis in range(ndim))
    if not isinstance(depth, dict) and np.ndim(depth) > 0 and len(depth) != ndim:
        raise ValueError(
            f"depth: {depth!r} has {len(depth)} entries for an input of {ndim} dimensions; give one per axis"
        )
    by_axis = depth if isinstance(depth, dict) else dict(enumerate([depth] * ndim if np.ndim(depth) == 0 else depth))
    if any(isinstance(d, bool) or not isinstance(d, (int, np.integer)) or d < 0 for d in by_axis.values()):
        raise ValueError(f"depth: {depth!r} is not a number of voxels; pass non-negative integers, or None")
    if not set(by_axis) <= set(range(ndim)):
        raise ValueError(f"depth: {depth!r} names axes that an input of {ndim} dimensions does not have")
    return tuple(int(by_axis.get(axis, 0)) if axis in axes else 0 for axis in range(ndim))
