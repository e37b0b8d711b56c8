"""Pooling: what is this block of voxels, as one voxel?

The way of an array through this layer: the functions here check arguments and allocate the levels, ``_core`` (the
compiled binding) pools, and ``_reference`` (the numpy twin) does the same for dtypes the core has no row for, or when
the extension is missing.
"""

from __future__ import annotations

import functools
import math
import operator
import sys
import warnings
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from . import _reference
from ._compiled import CODES as _CODES
from ._compiled import core as _core

Array: TypeAlias = npt.NDArray[Any]
Method: TypeAlias = Literal["mean", "mode", "median", "min", "max", "stride"]
Rounding: TypeAlias = Literal["half-even", "floor"]
Ties: TypeAlias = Literal["first", "lowest"]
Factor: TypeAlias = float | Sequence[float] | npt.NDArray[Any]

METHODS = ("mean", "mode", "median", "min", "max", "stride")
ROUNDINGS = ("half-even", "floor")
TIES = ("first", "lowest")

MAX_NDIM = 32
MAX_LEVELS = 64
#: Extents and coordinates stay within this, so that sums of them fit 64 bits.
MAX_COORDINATE = 2**60
#: A factor beyond every extent and coordinate; larger ones mean the same.
MAX_FACTOR = 2 * MAX_COORDINATE
MAX_THREADS = 1024

_missing_core_reported = False
#: In place of num_mips: what downsample makes, which takes no list of factors.
_ONE_LEVEL = object()


def isas() -> list[str]:
    """Instruction sets that the compiled core can use on this machine, best first.

    The first is used unless the environment variable ``TINYPYR_ISA`` names another; it is read at every call.
    Every instruction set gives the same bits.

    Returns
    -------
    list of str
        For example ``["avx512", "avx2", "scalar"]``; empty when the compiled extension is missing.

    Examples
    --------
    >>> import tinypyr
    >>> isinstance(tinypyr.isas(), list)
    True
    """
    return list(_core.isas()) if _core else []


def downsample(
    array: npt.ArrayLike,
    factor: Factor,
    method: Method = "mean",
    *,
    ignore: Any = None,
    rounding: Rounding = "half-even",
    ties: Ties = "first",
    origin: Sequence[int] | None = None,
    out: Array | None = None,
    parallel: int = 1,
) -> Array:
    """Pool an array by a factor per axis.

    Voxel ``j`` of the answer covers the voxels ``[j * factor, (j + 1) * factor)`` of each axis that exist; extents are
    rounded up, and blocks at the edges are made from the voxels present.

    Parameters
    ----------
    array : array_like of bool, integers, floats or complex numbers, 0 to 32 dimensions
        Never copied or changed, whatever its strides, byte order or alignment.
    factor : int or sequence of int
        Voxels per block: one int for every axis, or one per axis (the axes left out get 1). Integral floats count.
    method : {"mean", "mode", "median", "min", "max", "stride"}
        ``mean``: the exact sum divided once; floats are added as doubles, and NaN propagates. ``mode``: the most
        frequent value. ``median``: the lower middle value. ``min``, ``max``: the extremes; NaN propagates through
        these three. ``stride``: the block's first voxel.
    ignore : scalar, optional
        Voxels equal to this value are left out, with every method; a block of nothing else gives the value itself.
        ``ignore=nan`` leaves NaN out of float arrays.
    rounding : {"half-even", "floor"}
        How the mean of integers is rounded. Means of floats are rounded once to the dtype either way.
    ties : {"first", "lowest"}
        Which of several most frequent values ``mode`` takes: the one seen first with axis 0 fastest, or the smallest.
    origin : sequence of int, optional
        Global coordinate of the array's first voxel (default all 0; axes left out get 0). Blocks are anchored at
        global 0: the answer starts at block ``floor(origin / factor)``, and the first block may be partial.
    out : ndarray, optional
        Where to write: the answer's shape and the array's dtype, writable, no memory shared with ``array``.
    parallel : int
        Threads; 0 for one per core. The answer does not depend on it. The GIL is released.

    Returns
    -------
    ndarray
        ``out``, or a new array with the input's dtype and memory order and
        ``ceil((origin + n) / factor) - floor(origin / factor)`` voxels along each axis.

    Raises
    ------
    ValueError, TypeError
        An argument that makes no sense; the message names it. Nothing is written.

    Examples
    --------
    >>> import numpy as np, tinypyr
    >>> tinypyr.downsample(np.array([[1, 2, 9], [3, 4, 9]], np.uint8), (2, 2))
    array([[2, 9]], dtype=uint8)
    >>> tinypyr.downsample(np.array([7, 7, 5, 5, 5, 7]), 6, "mode")  # a tie: 7 came first
    array([7])
    >>> tinypyr.downsample(np.array([0, 6, 0, 0], np.uint8), 2, ignore=0)
    array([6, 0], dtype=uint8)
    """
    outs = None if out is None else [out]
    return _pool(array, factor, _ONE_LEVEL, method, ignore, rounding, ties, origin, outs, parallel)[0]


def pyramid(
    array: npt.ArrayLike,
    factor: Factor | Sequence[Sequence[float]],
    method: Method = "mean",
    *,
    num_mips: int = 1,
    ignore: Any = None,
    rounding: Rounding = "half-even",
    ties: Ties = "first",
    origin: Sequence[int] | None = None,
    out: Sequence[Array] | None = None,
    parallel: int = 1,
) -> list[Array]:
    """Pool an array to several levels at once, each of them exact.

    Every level is a function of the voxels of ``array`` in its footprint, never of the rounded values of the level
    below: sums, extremes and label counts are carried upward instead. Level ``k`` equals :func:`downsample` by the
    product of the first ``k`` factors (means of floats up to the order of addition: their doubles are added level
    upon level).

    Parameters
    ----------
    array, method, ignore, rounding, ties, origin, parallel
        As for :func:`downsample`.
    factor : int, sequence of int, or list of such sequences
        The factor from each level to the next, as for :func:`downsample`; or one per level, as a list of sequences.
    num_mips : int
        How many levels, 1 to 64. With one factor per level, leave it out.
    out : sequence of ndarray, optional
        One array per level, each as for :func:`downsample`.

    Returns
    -------
    list of ndarray
        The levels, finest first, without the input.

    Warns
    -----
    RuntimeWarning
        With ``method="mode"``: when some voxels of a level have more than 1,024 labels below them and their most
        frequent one is not proven, because only the 1,024 most frequent are carried upward. (Of several levels, also
        where a footprint of the first has more than 16,384.)

    Raises
    ------
    ValueError, TypeError
        An argument that makes no sense; the message names it. Nothing is written.

    Examples
    --------
    >>> import numpy as np, tinypyr
    >>> levels = tinypyr.pyramid(np.array([0, 1, 1, 1, 1, 1, 1, 1], np.uint8), 2, num_mips=3)
    >>> [level.tolist() for level in levels]
    [[0, 1, 1, 1], [1, 1], [1]]
    >>> [level.shape for level in tinypyr.pyramid(np.zeros((64, 64, 9)), [(2, 2, 1), (2, 2, 2)])]
    [(32, 32, 9), (16, 16, 5)]
    """
    return _pool(array, factor, num_mips, method, ignore, rounding, ties, origin, out, parallel)


def downsample_with_averaging(
    img: npt.ArrayLike, factor: Factor, num_mips: int = 1, sparse: bool = False
) -> list[Array]:
    """``num_mips`` levels of means, finest first. ``sparse`` leaves zeros out.

    The name and arguments of tinybrain's function with tinypyr's meaning: exact means of the voxels present, rounded
    half to even, from the full resolution at every level. See :func:`pyramid`.

    Examples
    --------
    >>> import numpy as np, tinypyr
    >>> img = np.arange(16, dtype=np.uint8).reshape(4, 4)
    >>> tinypyr.downsample_with_averaging(img, (2, 2), num_mips=2)
    [array([[ 2,  4],
           [10, 12]], dtype=uint8), array([[8]], dtype=uint8)]
    """
    return pyramid(img, factor, "mean", num_mips=num_mips, ignore=_sparse(sparse))


def downsample_segmentation(img: npt.ArrayLike, factor: Factor, sparse: bool = False, num_mips: int = 1) -> list[Array]:
    """``num_mips`` levels of most frequent labels, finest first. ``sparse`` leaves background (0) out.

    The name and arguments of tinybrain's function with tinypyr's meaning: the mode of the full resolution at every
    level, ties to the label seen first with axis 0 fastest. See :func:`pyramid`.

    Examples
    --------
    >>> import numpy as np, tinypyr
    >>> img = np.array([[0, 0], [0, 5]], np.uint64)
    >>> tinypyr.downsample_segmentation(img, (2, 2))[0].item()
    0
    >>> tinypyr.downsample_segmentation(img, (2, 2), sparse=True)[0].item()
    5
    """
    return pyramid(img, factor, "mode", num_mips=num_mips, ignore=_sparse(sparse))


def downsample_with_min_pooling(
    img: npt.ArrayLike, factor: Factor, num_mips: int = 1, sparse: bool = False
) -> list[Array]:
    """``num_mips`` levels of minima, finest first. ``sparse`` leaves zeros out. See :func:`pyramid`.

    Examples
    --------
    >>> import numpy as np, tinypyr
    >>> tinypyr.downsample_with_min_pooling(np.array([[4, 0], [3, 2]], np.uint8), 2, sparse=True)
    [array([[2]], dtype=uint8)]
    """
    return pyramid(img, factor, "min", num_mips=num_mips, ignore=_sparse(sparse))


def downsample_with_max_pooling(
    img: npt.ArrayLike, factor: Factor, num_mips: int = 1, sparse: bool = False
) -> list[Array]:
    """``num_mips`` levels of maxima, finest first. ``sparse`` leaves zeros out. See :func:`pyramid`.

    Examples
    --------
    >>> import numpy as np, tinypyr
    >>> tinypyr.downsample_with_max_pooling(np.array([[4, 0], [3, 2]], np.uint8), 2)
    [array([[4]], dtype=uint8)]
    """
    return pyramid(img, factor, "max", num_mips=num_mips, ignore=_sparse(sparse))


def downsample_with_striding(
    img: npt.ArrayLike, factor: Factor, num_mips: int = 1, sparse: bool = False
) -> list[Array]:
    """``num_mips`` levels of each block's first voxel, finest first. ``sparse`` takes the first that is not 0.

    Examples
    --------
    >>> import numpy as np, tinypyr
    >>> tinypyr.downsample_with_striding(np.arange(8), 2, num_mips=2)
    [array([0, 2, 4, 6]), array([0, 4])]
    """
    return pyramid(img, factor, "stride", num_mips=num_mips, ignore=_sparse(sparse))


# --- checks -----------------------------------------------------------------------------------------------------


def _sparse(sparse: bool) -> int | None:
    return 0 if sparse else None


def _as_array(array: npt.ArrayLike) -> Array:
    if type(array) is np.ndarray:
        return array
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError("array: a masked array's mask would be lost; pass array.filled(value) and ignore=value")
    return np.asarray(array)


def _check_array(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if dtype.kind not in "biufc":
        raise TypeError(f"array: dtype {dtype} cannot be pooled; bool, integer, float and complex arrays can")
    if len(shape) > MAX_NDIM:
        raise ValueError(f"array: {len(shape)} dimensions; at most {MAX_NDIM} can be pooled")
    if max(shape, default=0) > MAX_COORDINATE:
        raise ValueError(f"array: shape {shape} has an axis of more than {MAX_COORDINATE} voxels")


def _integer(name: str, value: Any) -> int:
    """An int, a numpy integer or an integral float."""
    if type(value) is int:
        return value
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: {value!r} is not an integer")
    if isinstance(value, (float, np.floating)) and math.isfinite(value) and value == int(value):
        return int(value)
    try:
        return operator.index(value)
    except TypeError:
        kind = ValueError if isinstance(value, (float, np.floating)) else TypeError
        raise kind(f"{name}: {value!r} is not an integer") from None


def _entries(factor: Any) -> tuple[Any, ...] | None:
    """The entries of a sequence, None for a single number."""
    if isinstance(factor, np.ndarray):
        factor = factor.tolist()
    if isinstance(factor, (str, bytes)) or not hasattr(factor, "__iter__"):
        return None
    return tuple(factor)


def _one_factor(factor: Any, ndim: int) -> tuple[int, ...]:
    entries = _entries(factor)
    if entries is None:
        values = (_integer("factor", factor),) * max(ndim, 1)
    else:
        values = tuple([_integer("factor", entry) for entry in entries])
        if len(values) > ndim:
            raise ValueError(f"factor: {factor!r} has {len(values)} entries for an array of {ndim} dimensions")
        values += (1,) * (ndim - len(values))
    if min(values, default=1) < 1:
        raise ValueError(f"factor: {factor!r} must be 1 or more on every axis")
    if max(values, default=1) > MAX_FACTOR:
        values = tuple(min(value, MAX_FACTOR) for value in values)
    return values[:ndim]


def _schedule(factor: Any, num_mips: Any, ndim: int) -> list[tuple[int, ...]]:
    """The factor of every level."""
    if num_mips is _ONE_LEVEL:
        return [_one_factor(factor, ndim)]
    levels = _integer("num_mips", num_mips)
    entries = _entries(factor)
    if entries is not None and not isinstance(factor, (list, tuple, np.ndarray)):
        factor = entries  # an iterator can be read only once
    per_level = entries is not None and any(_entries(entry) is not None for entry in entries)
    if entries is not None and per_level and levels == 1:
        levels = len(entries)
    if not 1 <= levels <= MAX_LEVELS:
        raise ValueError(f"num_mips: {levels} levels; 1 to {MAX_LEVELS} can be made")
    if entries is None or not per_level:
        return [_one_factor(factor, ndim)] * levels
    if levels != len(entries):
        raise ValueError(f"num_mips: {levels} does not match the {len(entries)} factors in factor={factor!r}")
    return [_one_factor(entry, ndim) for entry in entries]


def _choice(name: str, value: Any, choices: tuple[str, ...]) -> int:
    try:
        return choices.index(value)
    except ValueError:
        raise ValueError(f"{name}: {value!r} is not one of {', '.join(map(repr, choices))}") from None


def _checked_origin(origin: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    if origin is None:
        return (0,) * len(shape)
    entries = _entries(origin)
    if entries is None:
        raise TypeError(f"origin: {origin!r} is not a sequence of one integer per axis")
    values = tuple(_integer("origin", value) for value in entries)
    if len(values) > len(shape):
        raise ValueError(f"origin: {origin!r} has {len(values)} entries for an array of {len(shape)} dimensions")
    if any(abs(value) > MAX_COORDINATE for value in values):
        raise ValueError(f"origin: {origin!r} is beyond {MAX_COORDINATE}")
    return values + (0,) * (len(shape) - len(values))


def _checked_ignore(ignore: Any, dtype: np.dtype[Any]) -> Any:
    """The value as a scalar of the array's dtype, native byte order; None stays None."""
    if ignore is None:
        return None
    if isinstance(ignore, np.ndarray) and ignore.ndim == 0:
        ignore = ignore[()]
    native = dtype.newbyteorder("=").type
    if not isinstance(ignore, (int, float, complex, np.number, np.bool_)):
        raise TypeError(f"ignore: {ignore!r} is not a single number")
    if isinstance(ignore, (complex, np.complexfloating)) and dtype.kind != "c":
        raise TypeError(f"ignore: {ignore!r} is complex and the array is {dtype}")
    if dtype.kind in "fc":
        try:
            with np.errstate(over="ignore"):
                value = native(ignore)
            beyond = bool(np.isinf(value)) and not np.isinf(complex(ignore))
        except OverflowError:  # an int that not even a double holds
            beyond = True
        if beyond:
            raise ValueError(f"ignore: {ignore!r} is beyond the range of {dtype}")
        return value + native(0)  # -0.0 is 0.0
    wanted = _integer("ignore", int(ignore) if isinstance(ignore, (bool, np.bool_)) else ignore)
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    if not low <= wanted <= high:
        raise ValueError(f"ignore: {ignore!r} never occurs in an array of {dtype}")
    return native(wanted)


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


# --- the one way in ---------------------------------------------------------------------------------------------


class _Plan(NamedTuple):
    """All that is known of a call before its arrays are seen."""

    factors: list[tuple[int, ...]]
    origin: tuple[int, ...]
    shapes: list[tuple[int, ...]]
    codes: tuple[int, int, int]  # method, rounding, ties
    ignore: Any
    ignore_bits: int | None
    threads: int


@functools.lru_cache(maxsize=256, typed=True)
def _plan(
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
) -> _Plan:
    """Check the arguments. Remembered, because it would be most of the time that a small tile takes."""
    _check_array(shape, dtype)
    factors = _schedule(factor, num_mips, len(shape))
    codes = (
        _choice("method", method, METHODS),
        _choice("rounding", rounding, ROUNDINGS),
        _choice("ties", ties, TIES),
    )
    start = _checked_origin(origin, shape)
    left_out = _checked_ignore(ignore, dtype)
    threads = _integer("parallel", parallel)
    if threads < 0:
        raise ValueError(f"parallel: {parallel!r} threads; 1 or more, or 0 for one per core")
    bits = None if left_out is None else int.from_bytes(left_out.tobytes(), sys.byteorder)
    shapes = _level_shapes(shape, factors, start)
    return _Plan(factors, start, shapes, codes, left_out, bits, min(threads, MAX_THREADS))


def _pool(*arguments: Any) -> list[Array]:
    """What ``_counted`` makes of these arguments; warns of what is not proven."""
    levels, unproven = _counted(*arguments)
    if unproven:
        _report_unproven(unproven)
    return levels


def _counted(
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
    array = _as_array(given)
    arguments = (array.shape, array.dtype, factor, num_mips, method, ignore, rounding, ties, origin, parallel)
    # only what cannot change may be remembered
    constant = (type(factor) is tuple or type(factor) is int) and (origin is None or type(origin) is tuple)
    try:
        plan = _plan(*arguments) if constant else _plan.__wrapped__(*arguments)
    except TypeError:  # something in there has no hash, or is a mistake, which is then found again
        plan = _plan.__wrapped__(*arguments)
    if out is None:
        levels = [np.empty_like(array, shape=shape, subok=False) for shape in plan.shapes]
    else:
        levels = _checked_out(out, array, plan.shapes)

    code = _CODES.get(array.dtype)
    if code is None or _core is None:
        if _core is None:
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

    unproven = _core.pyramid(
        array, levels, plan.factors, plan.origin, *code, *plan.codes, plan.ignore_bits, plan.threads
    )
    return levels, unproven


def _mean_levels(
    array: Array, factors: Sequence[tuple[int, ...]], ignore: Any, rounding: str, origin: tuple[int, ...]
) -> tuple[list[Array], _reference.Fold]:
    """Levels of means and, of the last of them, the sums from which levels above go on (see :mod:`tinypyr.store`)."""
    plan = _plan.__wrapped__(
        array.shape, array.dtype, factors, len(factors), "mean", ignore, rounding, "first", origin, 1
    )
    code = _CODES.get(array.dtype)
    if code is None or _core is None:
        return _reference.fold_levels(array, plan.factors, "mean", plan.ignore, rounding, plan.origin)
    levels = [np.empty_like(array, shape=shape, subok=False) for shape in plan.shapes]
    floats, halves = array.dtype.kind == "f", array.dtype.kind in "iu" and array.dtype.itemsize == 8
    sums_type = np.dtype(np.float64 if floats else np.uint64)
    lanes = np.empty((1 + halves + (plan.ignore is not None), *plan.shapes[-1]), sums_type)
    _core.pyramid(
        array, levels, plan.factors, plan.origin, *code, *plan.codes, plan.ignore_bits, 1, lanes, _CODES[sums_type][0]
    )
    # from the lanes as tinypyr.hpp describes them to those of the reference
    total = tuple(map(math.prod, zip(*plan.factors, strict=True)))
    counts = _reference.present(array.shape, total, plan.origin)
    bits = 8 * array.dtype.itemsize
    if floats:
        carry = [lanes[0]]
        counts = counts if plan.ignore is None else lanes[1].astype(np.int64)
    elif halves:
        low, high = lanes[:2].astype(np.int64)
        counts = counts if plan.ignore is None else lanes[2].astype(np.int64)
        carry = [high - (counts << 31) if array.dtype.kind == "i" else high, low]
    else:
        sums = lanes[0].astype(np.int64)
        flip = 1 << (bits - 1) if array.dtype.kind == "i" else 0
        if plan.ignore is not None:
            left_out = lanes[1].astype(np.int64)
            counts = counts - left_out
            sums -= left_out * (int(plan.ignore) + flip)
        carry = [sums - counts * flip]
    origin_above = tuple(o // f for o, f in zip(plan.origin, total, strict=True))
    made = _reference.Mean(carry, array.dtype, rounding)
    return levels, _reference.Fold(made, counts, origin_above, plan.ignore)


def _distinct(values: Array) -> Array:
    """The distinct values, ascending."""
    flat = values.ravel(order="K")
    if (
        _core is None
        or flat.dtype.kind not in "iu"
        or not flat.dtype.isnative
        or not flat.flags.aligned
        or flat.size == 0
    ):
        ends = np.flatnonzero(flat[1:] != flat[:-1])  # labels come in runs, of which the last voxel is enough
        return np.asarray(np.unique(np.append(flat[ends], flat[-1:])))
    bits = flat.view(f"u{flat.dtype.itemsize}")
    room = 1 << 12
    while (count := _core.distinct(bits, found := np.empty(room, np.uint64))) > room:
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
