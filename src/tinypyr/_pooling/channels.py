"""Pooling of arrays with a channel axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .arguments import Array, check_array, entries_of
from .channel_axis import checked_channel_axis, full_factors, full_voxel_offset
from .pixels import as_labels, ignored_pixel
from .run import Call, Filled, as_array, checked_call, checked_out, pool_with_unproven


def pool_with_channels(
    array_like: npt.ArrayLike,
    channel_axis: Any,
    factor: Any,
    levels: Any,
    method: str,
    ignore: Any,
    rounding: str,
    ties: str,
    voxel_offset: Any,
    out: Any,
    workers: Any,
) -> Filled:
    """Pool every axis but the channel axis. The mode takes the channels of a pixel as one label."""
    array = as_array(array_like)
    axis = checked_channel_axis(channel_axis, array.ndim)
    factor = full_factors(factor, levels, axis, array.ndim)
    voxel_offset = full_voxel_offset(voxel_offset, axis, array.ndim)
    if method != "mode":
        if ignore is not None and entries_of(ignore) is not None:
            raise TypeError(f"ignore: {ignore!r} is not a single number; only method='mode' takes one per channel")
        return pool_with_unproven(array, factor, levels, method, ignore, rounding, ties, voxel_offset, out, workers)
    check_array(array.shape, array.dtype)
    ignored = ignored_pixel(ignore, array.dtype, array.shape[axis])
    if array.size == 0 or array.shape[axis] == 1:  # a channel is a pixel
        value = None if ignored is None or ignored.size == 0 else ignored[0]
        return pool_with_unproven(array, factor, levels, method, value, rounding, ties, voxel_offset, out, workers)
    call = checked_call(array.shape, array.dtype, factor, levels, method, None, rounding, ties, voxel_offset, workers)
    if out is None:
        outs = [np.empty_like(array, shape=shape, subok=False) for shape in call.shapes]
    else:
        outs = checked_out(out, array, call.shapes)
    return outs, _fill_with_pixels(array, axis, call, ignored, ties, outs, workers)


def _fill_with_pixels(
    array: Array, axis: int, call: Call, ignored: Array | None, ties: str, outs: list[Array], workers: Any
) -> list[int] | None:
    """Fill levels with the most frequent pixels, and return the number of unproven ones per level."""
    pixels = as_labels(np.moveaxis(array, axis, -1), ignored, ties)
    targets = [np.moveaxis(out, axis, -1) for out in outs]
    views = [view for view in map(pixels.view_of, targets) if view is not None]
    in_place = len(views) == len(targets)
    factors = [factor[:axis] + factor[axis + 1 :] for factor in call.factors]
    voxel_offset = call.voxel_offset[:axis] + call.voxel_offset[axis + 1 :]
    levels, unproven = pool_with_unproven(
        pixels.labels,
        factors,
        len(factors),
        "mode",
        pixels.ignored,
        "half-even",
        ties,
        voxel_offset,
        views if in_place else None,
        workers,
    )
    if not in_place:
        for target, labels in zip(targets, levels, strict=True):
            target[...] = pixels.pixels_of(labels)
    return unproven
