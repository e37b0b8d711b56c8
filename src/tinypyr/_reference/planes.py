"""Selections: mode, median and stride, chosen from all base voxels of a footprint."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .footprints import Array, Factor, effective_factor, extent


def footprint_planes(array: Array, factor: Factor, voxel_offset: Factor) -> tuple[Array, Array]:
    """Split an array into planes, one per position in the footprint.

    Returns
    -------
    planes : numpy.ndarray
        The voxels at each position, which is the first axis, in raster order with axis 0 fastest.
    valid : numpy.ndarray of bool
        True for voxels that exist.
    """
    blocks = []
    for n, f, o in zip(array.shape, factor, voxel_offset, strict=True):
        count, phase = extent(n, f, o)
        blocks.append((count, *effective_factor(n, f, phase)))
    inside = tuple(slice(phase, phase + n) for n, (_, _, phase) in zip(array.shape, blocks, strict=True))
    padded_shape = [count * length for count, length, _ in blocks]
    split_shape = [part for count, length, _ in blocks for part in (count, length)]
    ndim = array.ndim
    # footprint axes first, the last axis slowest, so that flattening them in C order puts axis 0 fastest
    order = [2 * axis + 1 for axis in reversed(range(ndim))] + [2 * axis for axis in range(ndim)]

    def split(values: Array) -> Array:
        padded = np.zeros(padded_shape, values.dtype)
        padded[inside] = values
        by_position: Array = padded.reshape(split_shape).transpose(order)
        return by_position.reshape(-1, *(count for count, _, _ in blocks))

    if 0 in array.shape:
        empty = (1, *(count for count, _, _ in blocks))
        return np.zeros(empty, array.dtype), np.zeros(empty, bool)
    return split(array), split(np.ones(array.shape, bool))


def _first_valid(planes: Array, valid: Array, *, dtype: np.dtype[Any], ties: str) -> Array:
    """Return the first voxel of each footprint."""
    return _pick(planes, valid.argmax(axis=0)).astype(dtype)


def _pick(planes: Array, index: Array) -> Array:
    """Return the voxel at one position of each footprint."""
    picked: Array = np.take_along_axis(planes, index[np.newaxis], axis=0)
    return picked[0, ...]


def _lower_middle(planes: Array, valid: Array, *, dtype: np.dtype[Any], ties: str) -> Array:
    """Return the median of each footprint: of an even number of voxels the lower middle one."""
    if dtype.kind == "b":
        return _lower_middle(planes.view(np.uint8), valid, dtype=np.dtype(np.uint8), ties=ties).astype(bool)
    order = np.argsort(planes, axis=0, kind="stable")
    # ignored voxels after all others, which stay sorted
    order = np.take_along_axis(order, np.argsort(~np.take_along_axis(valid, order, 0), axis=0, kind="stable"), 0)
    count = valid.sum(axis=0)
    middle = _pick(np.take_along_axis(planes, order, 0), np.maximum(count - 1, 0) // 2)
    if dtype.kind in "fc":
        middle = np.where(((planes != planes) & valid).any(axis=0), dtype.type(np.nan), middle)
    return middle.astype(dtype)


def _most_frequent(planes: Array, valid: Array, *, dtype: np.dtype[Any], ties: str) -> Array:
    """Return the mode of each footprint."""
    planes = planes.view(np.uint8) if dtype.kind == "b" else planes
    labels, ranks = _renumber(planes)
    # Sort each footprint (stable, so equal labels stay in raster order) and walk its runs of equal labels.
    order = np.argsort(ranks, axis=0, kind="stable")
    ranks = np.take_along_axis(ranks, order, 0)
    valid = np.take_along_axis(valid, order, 0)
    shape = ranks.shape[1:]
    run, start = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    best, best_count, best_start = (
        np.zeros(shape, np.intp),
        np.zeros(shape, np.int64),
        np.zeros(shape, np.int64),
    )
    for i in range(len(ranks)):
        if i:
            run = np.where(ranks[i] == ranks[i - 1], run, 0)
        start = np.where(run == 0, order[i], start)
        run = run + valid[i]
        better = run > best_count
        if ties == "first":
            better |= (run == best_count) & (start < best_start)
        better &= valid[i]
        best = np.where(better, ranks[i], best)
        best_count = np.where(better, run, best_count)
        best_start = np.where(better, start, best_start)
    return labels[best].astype(dtype)


def _renumber(planes: Array) -> tuple[Array, Array]:
    """Return the sorted labels, and the rank of each voxel among them in a small dtype, which sorts fast."""
    labels: Array
    ranks: Array
    if planes.dtype.kind in "ui" and planes.dtype.itemsize >= 4:
        # as unsigned, because fastremap (1.21) overruns its buffers when max - min overflows a signed dtype
        unsigned = np.dtype(f"u{planes.dtype.itemsize}")
        sign = unsigned.type(0 if planes.dtype.kind == "u" else 1 << (8 * unsigned.itemsize - 1))
        labels, ranks = _integer_unique()(planes.ravel().view(unsigned) ^ sign, return_inverse=True)
        labels = (labels ^ sign).view(planes.dtype)
    else:
        labels, ranks = np.unique(planes.ravel(), return_inverse=True)  # NaN last, and all NaN are one label
    for small in (np.uint8, np.uint16, np.uint32):
        if len(labels) <= np.iinfo(small).max:
            ranks = ranks.astype(small)
            break
    if len(labels) == 0:
        labels = np.zeros(1, planes.dtype)
    return labels, ranks.reshape(planes.shape)


@functools.cache
def _integer_unique() -> Callable[..., Any]:
    """Return fastremap.unique, which is several times faster than numpy's; numpy's if fastremap is not installed."""
    try:
        import fastremap
    except ImportError:
        return np.unique
    unique: Callable[..., Any] = fastremap.unique
    return unique


#: The function that selects a voxel, by method.
SELECT: dict[str, Callable[..., Array]] = {
    "mode": _most_frequent,
    "median": _lower_middle,
    "stride": _first_valid,
}
