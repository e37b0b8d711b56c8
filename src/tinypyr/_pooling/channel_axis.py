"""Arrays with a channel axis, which is not pooled: factors and offsets that have no entry for it."""

from __future__ import annotations

import sys
import warnings
from typing import Any

from .arguments import ONE_LEVEL, Array, entries_of, integer, one_factor

#: Channels of RGB and RGBA images.
_COLOURS = (3, 4)
_PACKAGE = __name__.rpartition("._pooling")[0]
_warned = False


def checked_channel_axis(channel_axis: Any, ndim: int) -> int:
    """Return the axis as a number of 0 or more."""
    axis = integer("channel_axis", channel_axis)
    if not -ndim <= axis < ndim:
        raise ValueError(f"channel_axis: an array of {ndim} dimensions has no axis {axis}")
    return axis % ndim


def full_factors(factor: Any, levels: Any, axis: int, ndim: int) -> Any:
    """Return a factor, or one factor per level, with one entry per axis, which is 1 for the channel axis."""
    entries = entries_of(factor)
    if entries is None or levels is ONE_LEVEL:
        return _full_factor(factor if entries is None else entries, axis, ndim)
    inner = [entries_of(entry) for entry in entries]
    if all(each is None for each in inner):
        return _full_factor(entries, axis, ndim)
    per_level = (entry if each is None else each for entry, each in zip(entries, inner, strict=True))
    return tuple(_full_factor(each, axis, ndim) for each in per_level)


def _full_factor(factor: Any, axis: int, ndim: int) -> tuple[int, ...]:
    entries = entries_of(factor)
    if entries is None:
        entries = one_factor(factor, 1) * (ndim - 1)
    if len(entries) == ndim and integer("factor", entries[axis]) == 1:
        return one_factor(entries, ndim)
    if len(entries) == ndim - 1:
        values = one_factor(entries, ndim - 1)
        return (*values[:axis], 1, *values[axis:])
    if len(entries) == ndim:
        others = (*entries[:axis], *entries[axis + 1 :])
        raise ValueError(
            f"factor: {factor!r} has the entry {entries[axis]!r} for the channel axis {axis}; pass {others} or "
            f"{(*entries[:axis], 1, *entries[axis + 1 :])} to leave channels alone, or leave channel_axis out to pool "
            "them too"
        )
    raise ValueError(
        f"factor: {factor!r} has {len(entries)} entries for an array of {ndim} dimensions with channel_axis={axis}; "
        f"pass one integer, one entry for each of the {ndim - 1} other axes, or one for each axis with 1 for the "
        "channel axis"
    )


def full_voxel_offset(voxel_offset: Any, axis: int, ndim: int) -> Any:
    """Return an offset with one entry per axis. Without an entry for each axis, it has none for the channel axis."""
    entries = None if voxel_offset is None else entries_of(voxel_offset)
    if entries is None or len(entries) >= ndim:
        return voxel_offset if entries is None else entries
    others = (*entries, *[0] * (ndim - 1 - len(entries)))
    return (*others[:axis], 0, *others[axis:])


def warn_of_pooled_channels(array: Array, factor: Any) -> None:
    """Warn, once per process, that an integer factor pools an axis that looks like the channels of an image."""
    global _warned
    if _warned or array.ndim < 3 or entries_of(factor) is not None or integer("factor", factor) < 2:
        return
    axis = _axis_like_channels(array)
    if axis is None:
        return
    _warned = True
    pooled = (integer("factor", factor),) * array.ndim
    others = (*pooled[:-1], 1) if axis else (1, *pooled[1:])
    warnings.warn(
        f"factor={factor!r} pools axis {axis} of an array of shape {array.shape}, which looks like the channels of an "
        f"image; pass channel_axis={axis} (or the factor {others}) to leave them alone, or the factor {pooled} to pool "
        "every axis (this warning is given once)",
        UserWarning,
        stacklevel=_level_of_caller(),
    )


def _axis_like_channels(array: Array) -> int | None:
    """Return -1 for images (y, x, channel), also of cloud-volume (x, y, z, channel), and 0 for their transposes.

    Images have two axes of more than 4 voxels. Arrays (channel, y, x) in C order look like volumes of three planes.
    """
    candidates = [-1, 0] if array.flags.f_contiguous else [-1]
    for axis in candidates:
        if array.shape[axis] in _COLOURS and sum(n > max(_COLOURS) for n in array.shape) >= 2:
            return axis
    return None


def _level_of_caller() -> int:
    """Return the stack level, for `warnings.warn` in the calling function, of the first frame outside the package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and f"{frame.f_globals.get('__name__')}.".startswith(f"{_PACKAGE}."):
        level, frame = level + 1, frame.f_back
    return level
