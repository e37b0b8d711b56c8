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
    """Whether two voxels may share memory. Conservative in the way of layouts that nobody allocates."""
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
    shape: tuple[int, ...], factors: list[tuple[int, ...]], origin: tuple[int, ...]
) -> list[tuple[int, ...]]:
    shapes = []
    for factor in factors:
        shape = tuple(_reference.extent(n, f, o)[0] for n, f, o in zip(shape, factor, origin, strict=True))
        origin = tuple(o // f for o, f in zip(origin, factor, strict=True))
        shapes.append(shape)
    return shapes


class Call(NamedTuple):
    """All that is known of a call before its arrays are seen."""

    factors: list[tuple[int, ...]]
    origin: tuple[int, ...]
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
    num_mips: Any,
    method: Any,
    ignore: Any,
    rounding: Any,
    ties: Any,
    origin: Any,
    parallel: Any,
) -> Call:
    """Check the arguments. Remembered, because it would be most of the time that a small tile takes."""
    check_array(shape, dtype)
    factors = schedule(factor, num_mips, len(shape))
    codes = (
        choice("method", method, METHODS),
        choice("rounding", rounding, ROUNDINGS),
        choice("ties", ties, TIES),
    )
    start = checked_voxel_offset(origin, shape)
    left_out = checked_ignore(ignore, dtype)
    threads = integer("parallel", parallel)
    if threads < 0:
        raise ValueError(f"parallel: {parallel!r} threads; 1 or more, or 0 for one per core")
    bits = None if left_out is None else int.from_bytes(left_out.tobytes(), sys.byteorder)
    shapes = _level_shapes(shape, factors, start)
    return Call(factors, start, shapes, codes, left_out, bits, min(threads, MAX_THREADS))


def pool(*arguments: Any) -> list[Array]:
    """What ``pool_with_unproven`` makes of these arguments; warns of what is not proven."""
    levels, unproven = pool_with_unproven(*arguments)
    if unproven:
        _report_unproven(unproven)
    return levels


def pool_with_unproven(
    given: npt.ArrayLike,
    factor: Any,
    num_mips: Any,
    method: str,
    ignore: Any,
    rounding: str,
    ties: str,
    origin: Any,
    out: Any,
    parallel: Any,
) -> tuple[list[Array], list[int] | None]:
    """Check, allocate, and hand over to the core or its twin; how many modes of each level are not proven, if any."""
    array = as_array(given)
    arguments = (array.shape, array.dtype, factor, num_mips, method, ignore, rounding, ties, origin, parallel)
    # only what cannot change may be remembered
    constant = (type(factor) is tuple or type(factor) is int) and (origin is None or type(origin) is tuple)
    try:
        plan = checked_call(*arguments) if constant else checked_call.__wrapped__(*arguments)
    except TypeError:  # something in there has no hash, or is a mistake, which is then found again
        plan = checked_call.__wrapped__(*arguments)
    if out is None:
        levels = [np.empty_like(array, shape=shape, subok=False) for shape in plan.shapes]
    else:
        levels = _checked_out(out, array, plan.shapes)

    code = CODES.get(array.dtype)
    if code is None or core is None:
        if core is None:
            _report_missing_core()
        answers = _reference.pyramid(
            array,
            plan.factors,
            method=method,
            ignore=plan.ignore,
            rounding=rounding,
            ties=ties,
            origin=plan.origin,
        )
        for level, answer in zip(levels, answers, strict=True):
            level[...] = answer
        return levels, None

    unproven = core.pyramid(
        array, levels, plan.factors, plan.origin, *code, *plan.codes, plan.ignore_bits, plan.threads
    )
    return levels, unproven


def mean_levels(
    array: Array, factors: Sequence[tuple[int, ...]], ignore: Any, rounding: str, origin: tuple[int, ...]
) -> tuple[list[Array], _reference.Reduction]:
    """Levels of means and, of the last of them, the sums from which levels above go on (see :mod:`tinypyr.store`)."""
    plan = checked_call.__wrapped__(
        array.shape, array.dtype, factors, len(factors), "mean", ignore, rounding, "first", origin, 1
    )
    code = CODES.get(array.dtype)
    if code is None or core is None:
        return _reference.reduce_levels(array, plan.factors, "mean", plan.ignore, rounding, plan.origin)
    levels = [np.empty_like(array, shape=shape, subok=False) for shape in plan.shapes]
    floats, halves = array.dtype.kind == "f", array.dtype.kind in "iu" and array.dtype.itemsize == 8
    sums_type = np.dtype(np.float64 if floats else np.uint64)
    lanes = np.empty((1 + halves + (plan.ignore is not None), *plan.shapes[-1]), sums_type)
    core.pyramid(
        array, levels, plan.factors, plan.origin, *code, *plan.codes, plan.ignore_bits, 1, lanes, CODES[sums_type][0]
    )
    # from the lanes as tinypyr.hpp describes them to those of the reference
    total = tuple(map(math.prod, zip(*plan.factors, strict=True)))
    counts = _reference.present(array.shape, total, plan.origin)
    bits = 8 * array.dtype.itemsize
    if floats:
        accumulator = [lanes[0]]
        counts = counts if plan.ignore is None else lanes[1].astype(np.int64)
    elif halves:
        low, high = lanes[:2].astype(np.int64)
        counts = counts if plan.ignore is None else lanes[2].astype(np.int64)
        accumulator = [high - (counts << 31) if array.dtype.kind == "i" else high, low]
    else:
        sums = lanes[0].astype(np.int64)
        flip = 1 << (bits - 1) if array.dtype.kind == "i" else 0
        if plan.ignore is not None:
            left_out = lanes[1].astype(np.int64)
            counts = counts - left_out
            sums -= left_out * (int(plan.ignore) + flip)
        accumulator = [sums - counts * flip]
    origin_above = tuple(o // f for o, f in zip(plan.origin, total, strict=True))
    made = _reference.Mean(accumulator, array.dtype, rounding)
    return levels, _reference.Reduction(made, counts, origin_above, plan.ignore)


def distinct(values: Array) -> Array:
    """The distinct values, ascending."""
    flat = values.ravel(order="K")
    if (
        core is None
        or flat.dtype.kind not in "iu"
        or not flat.dtype.isnative
        or not flat.flags.aligned
        or flat.size == 0
    ):
        ends = np.flatnonzero(flat[1:] != flat[:-1])  # labels come in runs, of which the last voxel is enough
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
            "tinypyr's compiled extension is missing, so pooling runs on numpy, many times slower; "
            "install it with a C++17 compiler at hand, or build _core.pyx beside a copied package",
            RuntimeWarning,
            stacklevel=5,
        )


def _report_unproven(unproven: Sequence[int]) -> None:
    levels = ", ".join(f"{count} at level {level}" for level, count in enumerate(unproven, 1) if count)
    warnings.warn(
        f"more than 1,024 labels lie below some voxels, whose most frequent label is therefore not proven: {levels}; "
        "downsample() by the cumulative factor counts them all",
        RuntimeWarning,
        stacklevel=4,
    )
