"""The way of a call from checked arguments to the compiled core, or to the numpy reference."""

from __future__ import annotations

import functools
import math
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _reference
from .arguments import (
    MAX_THREADS,
    METHODS,
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
from .compiled import CODES, core

_missing_core_reported = False


def as_array(array: npt.ArrayLike) -> Array:
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


def _checked_out(out: Any, array: Array, shapes: list[tuple[int, ...]]) -> list[Array]:
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


class Call(NamedTuple):
    """The checked arguments of a call, without its arrays."""

    factors: list[tuple[int, ...]]
    voxel_offset: tuple[int, ...]
    shapes: list[tuple[int, ...]]
    codes: tuple[int, int, int]  # method, rounding, ties
    ignore: Any
    ignore_bits: int | None
    threads: int


@functools.lru_cache(maxsize=256, typed=True)
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
    """Check the arguments. Cached, because checking takes most of the time of a call on a small tile."""
    check_array(shape, dtype)
    factors = schedule(factor, levels, len(shape))
    codes = (
        choice("method", method, METHODS),
        choice("rounding", rounding, ROUNDINGS),
        choice("ties", ties, TIES),
    )
    start = checked_voxel_offset(voxel_offset, shape)
    left_out = checked_ignore(ignore, dtype)
    threads = 0 if workers is None else integer("workers", workers)  # 0: one per core
    if workers is not None and threads < 1:
        raise ValueError(f"workers: {workers!r} must be 1 or more, or None for one per core")
    bits = None if left_out is None else int.from_bytes(left_out.tobytes(), sys.byteorder)
    shapes = _level_shapes(shape, factors, start)
    return Call(factors, start, shapes, codes, left_out, bits, min(threads, MAX_THREADS))


def pool(*arguments: Any) -> list[Array]:
    """Run :func:`pool_with_unproven`, and warn if a mode is not proven."""
    levels, unproven = pool_with_unproven(*arguments)
    if unproven:
        _report_unproven(unproven)
    return levels


#: Types whose equal values are the same argument; True equals 1 and 2.0 equals 2, but they are checked differently.
_EXACT = frozenset({int})


def _is_constant(value: Any) -> bool:
    """Return whether a value may be remembered: an int, or a tuple of ints."""
    return type(value) is int or (type(value) is tuple and _EXACT.issuperset(map(type, value)))


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
) -> tuple[list[Array], list[int] | None]:
    """Check the arguments, allocate the levels, and run the core or the reference.

    Returns the levels and, from the core, the number of voxels per level whose mode is not proven.
    """
    array = as_array(array_like)
    arguments = (array.shape, array.dtype, factor, levels, method, ignore, rounding, ties, voxel_offset, workers)
    constant = _is_constant(factor) and (voxel_offset is None or _is_constant(voxel_offset))
    try:
        call = checked_call(*arguments) if constant else checked_call.__wrapped__(*arguments)
    except TypeError:  # an argument has no hash, or is invalid, which is then reported again
        call = checked_call.__wrapped__(*arguments)
    if out is None:
        outputs = [np.empty_like(array, shape=shape, subok=False) for shape in call.shapes]
    else:
        outputs = _checked_out(out, array, call.shapes)

    code = CODES.get(array.dtype)
    if code is None or core is None:
        if core is None:
            _report_missing_core()
        answers = _reference.pyramid(
            array,
            call.factors,
            method=method,
            ignore=call.ignore,
            rounding=rounding,
            ties=ties,
            voxel_offset=call.voxel_offset,
        )
        for level, answer in zip(outputs, answers, strict=True):
            level[...] = answer
        return outputs, None

    unproven = core.pyramid(
        array, outputs, call.factors, call.voxel_offset, *code, *call.codes, call.ignore_bits, call.threads
    )
    return outputs, unproven


def mean_levels(
    array: Array, factors: Sequence[tuple[int, ...]], ignore: Any, rounding: str, voxel_offset: tuple[int, ...]
) -> tuple[list[Array], _reference.Reduction]:
    """Compute levels of means, and the accumulator of the last one for levels above it (see :mod:`tinypyr.store`)."""
    call = checked_call.__wrapped__(
        array.shape, array.dtype, factors, len(factors), "mean", ignore, rounding, "first", voxel_offset, 1
    )
    code = CODES.get(array.dtype)
    if code is None or core is None:
        return _reference.reduce_levels(array, call.factors, "mean", call.ignore, rounding, call.voxel_offset)
    levels = [np.empty_like(array, shape=shape, subok=False) for shape in call.shapes]
    floats, halves = array.dtype.kind == "f", array.dtype.kind in "iu" and array.dtype.itemsize == 8
    sums_type = np.dtype(np.float64 if floats else np.uint64)
    lanes = np.empty((1 + halves + (call.ignore is not None), *call.shapes[-1]), sums_type)
    core.pyramid(
        array,
        levels,
        call.factors,
        call.voxel_offset,
        *code,
        *call.codes,
        call.ignore_bits,
        1,
        lanes,
        CODES[sums_type][0],
    )
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
            left_out = lanes[1].astype(np.int64)
            counts = counts - left_out
            sums -= left_out * (int(call.ignore) + flip)
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
    while (count := core.distinct(bits, found := np.empty(room, np.uint64))) > room:
        room *= 8
    made: Array = found[:count].astype(bits.dtype).view(flat.dtype)
    made.sort()
    return made


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


def _report_unproven(unproven: Sequence[int]) -> None:
    levels = ", ".join(f"{count} at level {level}" for level, count in enumerate(unproven, 1) if count)
    warnings.warn(
        f"more than 1,024 labels occur in the footprint of some voxels, so their mode is not proven: {levels}; "
        "downsample() by the cumulative factor counts all labels",
        RuntimeWarning,
        stacklevel=4,
    )
