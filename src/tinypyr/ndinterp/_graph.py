"""Lazy arrays: one task per output chunk, which is given the input chunks it needs and nothing else."""

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

from ..resampling.sampler import Sampling, Span, Spans, box_of, filtered, halo_of
from ._input import Blocks, Bounds, Box, Chunks, Index, Input


@dataclass(frozen=True)
class Affine:
    """What all chunks of an affine map have in common."""

    sampling: Sampling
    matrix: NDArray[np.float64]
    offset: tuple[float, ...]

    def plan(self, start: Sequence[int], stop: Sequence[int]) -> tuple[Spans | None, list[Box]]:
        """The part that a box of the output needs, and what of the array is read for it."""
        spans = self.sampling.needed(*box_of(self.matrix, self.offset, start, stop))
        return spans, [] if spans is None else [box for box, _ in self.sampling.boxes(spans)]

    def make(self, read: Any, spans: Spans | None, start: Sequence[int], stop: Sequence[int]) -> NDArray[Any]:
        """A box of the output."""
        made = np.empty([b - a for a, b in zip(start, stop, strict=True)], self.sampling.dtype)
        if spans is None:
            made[...] = self.sampling.fill()
        else:
            self.sampling.affine(self.sampling.part(spans, read), spans, self.matrix, self.offset, start, made)
        return made


@dataclass(frozen=True)
class Filter:
    """What all chunks of a spline filter have in common."""

    shape: tuple[int, ...]
    source_dtype: np.dtype[Any]
    dtype: np.dtype[Any]
    order: int
    mode: str
    axes: tuple[int, ...]
    depth: tuple[int, ...]

    def plan(self, start: Sequence[int], stop: Sequence[int]) -> tuple[Spans, list[Box]]:
        """The part that a box of the output needs, and what of the array is read for it."""
        spans = []
        for n, a, b, depth in zip(self.shape, start, stop, self.depth, strict=True):
            if b - a + 2 * depth >= n:
                spans.append(Span(0, n))
            elif self.mode == "grid-wrap":
                spans.append(Span((a - depth) % n, b - a + 2 * depth))
            else:
                first = max(0, a - depth)
                spans.append(Span(first, min(n, b + depth) - first))
        return tuple(spans), [box for box, _ in self._reading().boxes(tuple(spans))]

    def make(self, read: Any, spans: Spans | None, start: Sequence[int], stop: Sequence[int]) -> NDArray[Any]:
        """A box of the output."""
        if spans is None:  # (of no voxels)
            return np.empty([b - a for a, b in zip(start, stop, strict=True)], self.dtype)
        voxels = self._reading().part(spans, read)
        if self.order > 1:
            voxels = filtered(voxels, spans, self.shape, self.order, self.mode, self.axes)
        at = [(a - span.first) % n for a, span, n in zip(start, spans, self.shape, strict=True)]
        wanted = tuple(slice(i, i + b - a) for i, a, b in zip(at, start, stop, strict=True))
        return voxels[wanted].astype(self.dtype)

    def _reading(self) -> Sampling:
        return Sampling(self.shape, self.source_dtype, 0, "grid-wrap")


@dataclass(frozen=True)
class Job:
    """What one chunk of the output is made of."""

    start: tuple[int, ...]
    stop: tuple[int, ...]
    spans: Spans | None
    indices: list[Index]


def run(what: Affine | Filter, bounds: Bounds, dtype: np.dtype[Any], job: Job, given: Any) -> NDArray[Any]:
    """One task."""
    reader = Blocks(bounds, job.indices, given, dtype) if isinstance(given, list) else given
    return what.make(reader.read, job.spans, job.start, job.stop)


def lazy(label: str, source: Input, what: Affine | Filter, chunks: Chunks, dtype: np.dtype[Any]) -> da.Array:
    """An array of one task per chunk."""
    name = f"{label}-{tokenize(source.token, what, chunks)}"
    bounds = Bounds.of(source.chunks) if source.lazy and source.chunks else Bounds((), ())
    graph: dict[Any, Any] = source.reading(name)
    common = f"{name}-common"
    graph[common] = what
    graph[f"{name}-bounds"] = bounds
    output = Bounds.of(chunks)
    for index in itertools.product(*(range(len(along)) for along in chunks)):
        box = output.box(index)
        start, stop = tuple(s.start for s in box), tuple(s.stop for s in box)
        spans, boxes = what.plan(start, stop) if all(a < b for a, b in zip(start, stop, strict=True)) else (None, [])
        indices, given = source.blocks(name, bounds, boxes)
        graph[(name, *index)] = (run, common, f"{name}-bounds", source.dtype, Job(start, stop, spans, indices), given)
    layers = HighLevelGraph.from_collections(name, graph, dependencies=source.dependencies)
    return da.Array(layers, name, chunks, meta=np.empty((0,) * len(chunks), dtype))


# --- values at places given one by one ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Places:
    """The places of one task: all of them need the part that these spans are."""

    coordinates: NDArray[np.float64]
    spans: Spans
    indices: list[Index]


def run_places(sampling: Sampling, bounds: Bounds, job: Places, given: list[Any]) -> NDArray[Any]:
    """The values at places of one input chunk."""
    made = np.empty(job.coordinates.shape[1], sampling.dtype)
    part = sampling.part(job.spans, Blocks(bounds, job.indices, given, sampling.dtype).read)
    sampling.points(part, job.spans, job.coordinates, made)
    return made


def read_chunk(source: Any, box: Box) -> NDArray[Any]:
    """One chunk of an array that is not lazy."""
    return source.read(box)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Order:
    """Where the values of each task belong (wrapped, so that dask does not look into it)."""

    shape: tuple[int, ...]
    groups: list[NDArray[np.intp]]


def gather(sampling: Sampling, order: Order, values: list[Any]) -> NDArray[Any]:
    """Values in the order in which they were asked for; what nobody made lies outside."""
    made = np.full(int(np.prod(order.shape)), sampling.fill(), sampling.dtype)
    for where, found in zip(order.groups, values, strict=True):
        made[where] = found
    return made.reshape(order.shape)


def places(label: str, source: Input, sampling: Sampling, coordinates: NDArray[np.float64]) -> da.Array:
    """The values at coordinates of shape (ndim, ...): places sorted by input chunk, one task for each."""
    shape = coordinates.shape[1:]
    name = f"{label}-{tokenize(source.token, sampling, coordinates)}"
    cut = source.chunks or source.output_chunks(None, source.shape)
    bounds = Bounds.of(cut)
    graph: dict[Any, Any] = source.reading(name)
    graph[f"{name}-sampling"], graph[f"{name}-bounds"] = sampling, bounds

    flat = sampling.folded(coordinates.reshape(len(source.shape), -1))
    groups: list[NDArray[np.intp]] = []
    keys: list[Any] = []
    for where, home in _by_chunk(flat, bounds, source.shape):
        mine = np.ascontiguousarray(flat[:, where])
        spans = sampling.needed(mine.min(axis=1), mine.max(axis=1))
        if spans is None:
            continue
        indices = bounds.covering(box for box, _ in sampling.boxes(spans))
        if source.lazy:
            given: list[Any] = [(source.array.name, *index) for index in indices]
        else:
            given = [(f"{name}-chunk", *index) for index in indices]
            for key in given:
                if key not in graph:
                    graph[key] = (read_chunk, f"{name}-input", bounds.box(key[1:]))
        key = (f"{name}-at", home)
        graph[key] = (run_places, f"{name}-sampling", f"{name}-bounds", Places(mine, spans, indices), given)
        groups.append(where)
        keys.append(key)
    graph[(name, *(0,) * len(shape))] = (gather, f"{name}-sampling", Order(shape, groups), keys)
    layers = HighLevelGraph.from_collections(name, graph, dependencies=source.dependencies)
    chunks = tuple((n,) for n in shape)
    return da.Array(layers, name, chunks, meta=np.empty((0,) * len(shape), sampling.dtype))


def _by_chunk(
    coordinates: NDArray[np.float64], bounds: Bounds, shape: Sequence[int]
) -> list[tuple[NDArray[np.intp], int]]:
    """Places by the number of the chunk that they lie in."""
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
    # (numbers of 16 bits are sorted several times as fast)
    order = np.argsort(number.astype(np.min_scalar_type(number.max())), kind="stable")
    cuts = np.flatnonzero(np.diff(number[order])) + 1
    return [(where, int(number[where[0]])) for where in np.split(order, cuts)]


def usual_depth(order: int, depth: Any, axes: Sequence[int], ndim: int) -> tuple[int, ...]:
    """How far around a chunk its filter looks, per axis."""
    if depth is None:
        return tuple(halo_of(order) if axis in axes else 0 for axis in range(ndim))
    given = depth if isinstance(depth, dict) else dict(enumerate([depth] * ndim if np.ndim(depth) == 0 else depth))
    if any(isinstance(d, bool) or not isinstance(d, (int, np.integer)) or d < 0 for d in given.values()):
        raise ValueError(f"depth: {depth!r} are not voxels; give integers from 0 on, or None")
    if not set(given) <= set(range(ndim)):
        raise ValueError(f"depth: {depth!r} names axes that an input of {ndim} dimensions has not")
    return tuple(int(given.get(axis, 0)) if axis in axes else 0 for axis in range(ndim))
