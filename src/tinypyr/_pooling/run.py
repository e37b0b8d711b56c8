"""The path of a call: check the arguments, or find them in the cache, then run the compiled core or the reference."""

from __future__ import annotations

import contextlib
import math
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _reference
from .arguments import (
    MAX_THREADS,
    METHODS,
    ONE_LEVEL,
    ROUNDINGS,
    TIES,
    Array,
    check_array,
    checked_ignore,
    checked_voxel_offset,
    choice,
    integer,
    schedule,
)
from .channel_axis import warn_of_pooled_channels
from .compiled import CODES, core

#: Checked arguments of earlier calls of the core.
_calls: Any = core.CallCache() if core else None
_missing_core_reported = False


def as_array(array: npt.ArrayLike) -> Array:
    """Return the array-like as an array, without a copy if it is one; masked arrays are refused."""
    if type(array) is np.ndarray:
        return array
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError("array: a masked array's mask would be lost; pass array.filled(value) and ignore=value")
    return np.asarray(array)


def _overlaps_itself(array: Array) -> bool:
    """Return whether two voxels may share memory. May report true for layouts that no allocator produces."""
    reach = array.itemsize
    if array.size == 0:
        return False
    for stride, n in sorted((abs(stride), n) for stride, n in zip(array.strides, array.shape, strict=True) if n > 1):
        if stride < reach:
            return True
        reach += stride * (n - 1)
    return False


def _share_memory(a: Array, b: Array) -> bool:
    try:
        # numpy's stub knows two of the values that max_work takes
        return np.shares_memory(a, b, max_work=10_000)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def checked_out(out: Any, array: Array, shapes: list[tuple[int, ...]]) -> list[Array]:
    """Return the list of arrays to write to, each of the shape of its level."""
    if not isinstance(out, (list, tuple)):
        raise TypeError(f"out: {type(out).__name__} is not a list of arrays, one per level")
    if len(out) != len(shapes):
        raise ValueError(f"out: {len(out)} arrays for {len(shapes)} levels")
    for level, shape in zip(out, shapes, strict=True):
        if not isinstance(level, np.ndarray):
            raise TypeError(f"out: {type(level).__name__} is not a numpy array")
        if level.shape != shape:
            raise ValueError(f"out: shape {level.shape}, but the level has shape {shape}")
        if level.dtype != array.dtype:
            raise ValueError(f"out: dtype {level.dtype}, but the array has dtype {array.dtype}")
        if not level.flags.writeable:
            raise ValueError(f"out: the array of shape {level.shape} is read-only")
        if isinstance(level, np.ma.MaskedArray):
            raise TypeError("out: a masked array's mask would hide what is written; pass its data")
        if _share_memory(level, array):
            raise ValueError(f"out: the array of shape {level.shape} overlaps the input")
        if _overlaps_itself(level):
            raise ValueError(f"out: the array of shape {level.shape} and strides {level.strides} overlaps itself")
    for i, level in enumerate(out):
        if any(_share_memory(level, other) for other in out[:i]):
            raise ValueError(f"out: the array of level {i + 1} overlaps the array of a level before it")
    return list(out)


def _level_shapes(
    shape: tuple[int, ...], factors: list[tuple[int, ...]], voxel_offset: tuple[int, ...]
) -> list[tuple[int, ...]]:
    shapes = []
    for factor in factors:
        shape = tuple(_reference.extent(n, f, o)[0] for n, f, o in zip(shape, factor, voxel_offset, strict=True))
        voxel_offset = tuple(o // f for o, f in zip(voxel_offset, factor, strict=True))
        shapes.append(shape)
    return shapes


#: Levels, and from the core the number of voxels per level whose mode is not proven; None if all are proven.
Filled: TypeAlias = tuple[list[Array], list[int] | None]


class Call(NamedTuple):
    """The checked arguments of a call, without its arrays."""

    factors: list[tuple[int, ...]]
    voxel_offset: tuple[int, ...]
    shapes: list[tuple[int, ...]]
    ignore: Any
    compiled: Any  # the call in the core's form; None for a dtype that the core does not support


def checked_call(
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    factor: Any,
    levels: Any,
    method: Any,
    ignore: Any,
    rounding: Any,
    ties: Any,
    voxel_offset: Any,
    workers: Any,
) -> Call:
    """Check all arguments of a call but its arrays, and prepare the call of the core if it supports the dtype."""
    check_array(shape, dtype)
    factors = schedule(factor, levels, len(shape))
    codes = (
        choice("method", method, METHODS),
        choice("rounding", rounding, ROUNDINGS),
        choice("ties", ties, TIES),
    )
    start = checked_voxel_offset(voxel_offset, shape)
    ignored_value = checked_ignore(ignore, dtype)
    threads = 0 if workers is None else integer("workers", workers)  # 0: one per core
    if workers is not None and threads < 1:
        raise ValueError(f"workers: {workers!r} must be 1 or more, or None for one per core")
    shapes = _level_shapes(shape, factors, start)
    code = CODES.get(dtype)
    if code is None or core is None:
        return Call(factors, start, shapes, ignored_value, None)
    bits = None if ignored_value is None else int.from_bytes(ignored_value.tobytes(), sys.byteorder)
    compiled = core.PyramidCall(factors, start, shapes, *code, *codes, bits, min(threads, MAX_THREADS))
    return Call(factors, start, shapes, ignored_value, compiled)


def _checked_and_cached(key: tuple[Any, ...], factor: Any, voxel_offset: Any) -> Call:
    """Check the caller's arguments and cache the call. `key` holds the same arguments, with lists as tuples."""
    shape, dtype, factor_key, levels, method, ignore, rounding, ties, offset_key, workers = key
    call = checked_call(shape, dtype, factor, levels, method, ignore, rounding, ties, voxel_offset, workers)
    numbers = [factor_key, offset_key, workers, *([] if levels is ONE_LEVEL else [levels])]
    if call.compiled is not None and all(number is None or _is_constant(number) for number in numbers):
        with contextlib.suppress(TypeError):  # another argument has no hash
            _calls.add(key, call)
    return call


def _is_constant(value: Any) -> bool:
    """Return whether a value never changes: an int, or a tuple of constants."""
    return type(value) is int or (type(value) is tuple and all(map(_is_constant, value)))


def pool_with_unproven(
    array_like: npt.ArrayLike,
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
    """Check the arguments, allocate the levels, and run the core or the reference.

    Equal calls with a constant factor and offset share their checked arguments, because checking takes most of the time
    of a call on a small tile.
    """
    array = array_like if type(array_like) is np.ndarray else as_array(array_like)
    factor_key = tuple(factor) if type(factor) is list else factor
    offset_key = tuple(voxel_offset) if type(voxel_offset) is list else voxel_offset
    key = (array.shape, array.dtype, factor_key, levels, method, ignore, rounding, ties, offset_key, workers)
    call = _calls and _calls.get(key)
    if not call:
        call = _checked_and_cached(key, factor, voxel_offset)
        warn_of_pooled_channels(array, factor)
    compiled = call.compiled
    if compiled is None:
        return _pool_with_reference(array, call, method, rounding, ties, out), None
    filled: Filled = (
        compiled.allocate_and_fill(array)
        if out is None
        else compiled.fill_if_plain(array, out) or _check_and_fill(array, call, out)
    )
    return filled


def _check_and_fill(array: Array, call: Call, out: Any) -> Filled:
    levels = checked_out(out, array, call.shapes)
    return levels, call.compiled.fill(array, levels)


def _pool_with_reference(array: Array, call: Call, method: str, rounding: str, ties: str, out: Any) -> list[Array]:
    if out is None:
        levels = [np.empty_like(array, shape=shape, subok=False) for shape in call.shapes]
    else:
        levels = checked_out(out, array, call.shapes)
    if core is None:
        _report_missing_core()
    results = _reference.pyramid(
        array,
        call.factors,
        method=method,
        ignore=call.ignore,
        rounding=rounding,
        ties=ties,
        voxel_offset=call.voxel_offset,
    )
    for level, result in zip(levels, results, strict=True):
        level[...] = result
    return levels


def mean_levels(
    array: Array, factors: Sequence[tuple[int, ...]], ignore: Any, rounding: str, voxel_offset: tuple[int, ...]
) -> tuple[list[Array], _reference.Reduction]:
    """Compute levels of means, and the accumulator of the last one for levels above it (see :mod:`tinypyr.store`)."""
    call = checked_call(
        array.shape, array.dtype, factors, len(factors), "mean", ignore, rounding, "first", voxel_offset, 1
    )
    if call.compiled is None:
        return _reference.reduce_levels(array, call.factors, "mean", call.ignore, rounding, call.voxel_offset)
    levels = [np.empty_like(array, shape=shape, subok=False) for shape in call.shapes]
    floats, halves = array.dtype.kind == "f", array.dtype.kind in "iu" and array.dtype.itemsize == 8
    sums_type = np.dtype(np.float64 if floats else np.uint64)
    lanes = np.empty((1 + halves + (call.ignore is not None), *call.shapes[-1]), sums_type)
    call.compiled.fill(array, levels, lanes, CODES[sums_type][0])
    # convert the lanes described in tinypyr.hpp to the accumulator of the reference
    total = tuple(map(math.prod, zip(*call.factors, strict=True)))
    counts = _reference.present(array.shape, total, call.voxel_offset)
    bits = 8 * array.dtype.itemsize
    if floats:
        accumulator = [lanes[0]]
        counts = counts if call.ignore is None else lanes[1].astype(np.int64)
    elif halves:
        low, high = lanes[:2].astype(np.int64)
        counts = counts if call.ignore is None else lanes[2].astype(np.int64)
        accumulator = [high - (counts << 31) if array.dtype.kind == "i" else high, low]
    else:
        sums = lanes[0].astype(np.int64)
        flip = 1 << (bits - 1) if array.dtype.kind == "i" else 0
        if call.ignore is not None:
            ignored_count = lanes[1].astype(np.int64)
            counts = counts - ignored_count
            sums -= ignored_count * (int(call.ignore) + flip)
        accumulator = [sums - counts * flip]
    voxel_offset_above = tuple(o // f for o, f in zip(call.voxel_offset, total, strict=True))
    mean = _reference.Mean(accumulator, array.dtype, rounding)
    return levels, _reference.Reduction(mean, counts, voxel_offset_above, call.ignore)


def distinct(values: Array) -> Array:
    """Return the distinct values in ascending order."""
    flat = values.ravel(order="K")
    if (
        core is None
        or flat.dtype.kind not in "iu"
        or not flat.dtype.isnative
        or not flat.flags.aligned
        or flat.size == 0
    ):
        ends = np.flatnonzero(flat[1:] != flat[:-1])  # labels come in runs: one voxel of each suffices
        return np.asarray(np.unique(np.append(flat[ends], flat[-1:])))
    bits = flat.view(f"u{flat.dtype.itemsize}")
    room = 1 << 12
    while (count := core.distinct(bits, distinct_bits := np.empty(room, np.uint64))) > room:
        room *= 8
    distinct_values: Array = distinct_bits[:count].astype(bits.dtype).view(flat.dtype)
    distinct_values.sort()
    return distinct_values


def _report_missing_core() -> None:
    global _missing_core_reported
    if not _missing_core_reported:
        _missing_core_reported = True
        warnings.warn(
            "tinypyr's compiled extension is missing, so pooling runs in numpy, many times slower; "
            "install tinypyr where a C++17 compiler is available, or build _core.pyx next to a copied package",
            RuntimeWarning,
            stacklevel=5,
        )


def report_unproven(unproven: Sequence[int]) -> None:
    levels = ", ".join(f"{count} at level {level}" for level, count in enumerate(unproven, 1) if count)
    warnings.warn(
        f"more than 1,024 labels occur in the footprint of some voxels, so their mode is not proven: {levels}; "
        "downsample() by the cumulative factor counts all labels",
        RuntimeWarning,
        stacklevel=3,
    )
