"""Argument checks shared by several parts of the package. Every error names the argument and its value."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

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

#: In place of the number of levels: downsample makes one, and takes no list of factors.
ONE_LEVEL = object()


def check_array(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if dtype.kind not in "biufc":
        raise TypeError(f"array: dtype {dtype} cannot be pooled; bool, integer, float and complex arrays can")
    if len(shape) > MAX_NDIM:
        raise ValueError(f"array: {len(shape)} dimensions; at most {MAX_NDIM} can be pooled")
    if max(shape, default=0) > MAX_COORDINATE:
        raise ValueError(f"array: shape {shape} has an axis of more than {MAX_COORDINATE} voxels")


def integer(name: str, value: Any) -> int:
    """Convert an int, a numpy integer or an integral float to int."""
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


def entries_of(factor: Any) -> tuple[Any, ...] | None:
    """Return the entries of a sequence; None for a single number."""
    if isinstance(factor, np.ndarray):
        factor = factor.tolist()
    if isinstance(factor, (str, bytes)) or not hasattr(factor, "__iter__"):
        return None
    return tuple(factor)


def one_factor(factor: Any, ndim: int) -> tuple[int, ...]:
    entries = entries_of(factor)
    if entries is None:
        values = (integer("factor", factor),) * max(ndim, 1)
    else:
        values = tuple([integer("factor", entry) for entry in entries])
        if len(values) > ndim:
            raise ValueError(f"factor: {factor!r} has {len(values)} entries for an array of {ndim} dimensions")
        values += (1,) * (ndim - len(values))
    if min(values, default=1) < 1:
        raise ValueError(f"factor: {factor!r} must be 1 or more along every axis")
    if max(values, default=1) > MAX_FACTOR:
        values = tuple(min(value, MAX_FACTOR) for value in values)
    return values[:ndim]


def schedule(factor: Any, levels: Any, ndim: int) -> list[tuple[int, ...]]:
    """Return the factor of every level."""
    if levels is ONE_LEVEL:
        return [one_factor(factor, ndim)]
    levels = integer("levels", levels)
    entries = entries_of(factor)
    if entries is not None and not isinstance(factor, (list, tuple, np.ndarray)):
        factor = entries  # an iterator can be read only once
    per_level = entries is not None and any(entries_of(entry) is not None for entry in entries)
    if entries is not None and per_level and levels == 1:
        levels = len(entries)
    if not 1 <= levels <= MAX_LEVELS:
        raise ValueError(f"levels: {levels} levels; 1 to {MAX_LEVELS} can be made")
    if entries is None or not per_level:
        return [one_factor(factor, ndim)] * levels
    if levels != len(entries):
        raise ValueError(f"levels: {levels} does not match the {len(entries)} factors in factor={factor!r}")
    return [one_factor(entry, ndim) for entry in entries]


def choice(name: str, value: Any, choices: tuple[str, ...]) -> int:
    try:
        return choices.index(value)
    except ValueError:
        raise ValueError(f"{name}: {value!r} is not one of {', '.join(map(repr, choices))}") from None


def checked_voxel_offset(voxel_offset: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    if voxel_offset is None:
        return (0,) * len(shape)
    entries = entries_of(voxel_offset)
    if entries is None:
        raise TypeError(f"voxel_offset: {voxel_offset!r} is not a sequence of one integer per axis")
    values = tuple(integer("voxel_offset", value) for value in entries)
    if len(values) > len(shape):
        raise ValueError(
            f"voxel_offset: {voxel_offset!r} has {len(values)} entries for an array of {len(shape)} dimensions"
        )
    if any(abs(value) > MAX_COORDINATE for value in values):
        raise ValueError(f"voxel_offset: {voxel_offset!r} is beyond {MAX_COORDINATE}")
    return values + (0,) * (len(shape) - len(values))


def checked_ignore(ignore: Any, dtype: np.dtype[Any]) -> Any:
    """Convert the value to a scalar of the array's dtype in native byte order; None stays None."""
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
    value = integer("ignore", int(ignore) if isinstance(ignore, (bool, np.bool_)) else ignore)
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    if not low <= value <= high:
        raise ValueError(f"ignore: {ignore!r} never occurs in an array of {dtype}")
    return native(value)
