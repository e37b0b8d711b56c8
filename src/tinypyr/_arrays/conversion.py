"""Conversion of values: floats to voxels, numbers to JSON and back, dtypes to kinds of volumes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray


def rounded(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Convert floats to a dtype; for integers, round half to even, clip to their range, and turn NaN into 0."""
    if dtype.kind == "b":
        return values > 0.5
    if dtype.kind not in "iu":
        with np.errstate(over="ignore"):
            return values.astype(dtype)
    limits = np.iinfo(dtype)
    low, high = float(limits.min), float(limits.max)  # of 64 bits, high is the maximum plus 1
    whole = np.rint(values)
    above, below = whole >= high, whole <= low
    voxels = np.where(above | below | np.isnan(whole), 0, whole).astype(dtype)
    voxels[above], voxels[below] = limits.max, limits.min
    return voxels


def looks_like_labels(kind: str | None, dtype: np.dtype[Any] | str) -> bool:
    """Return True if a volume is recorded as labels, or has no record and the usual dtype of labels."""
    return kind == "labels" or (kind is None and np.dtype(dtype).name in ("uint32", "uint64"))


def as_json(value: Any) -> Any:
    """Return a value as it is after it was written to JSON and read back."""
    return json.loads(json.dumps(value))


def number_as_json(value: complex) -> Any:
    """Return a real or complex number as a JSON value."""
    number = value.item() if isinstance(value, np.generic) else value
    return [number.real, number.imag] if isinstance(number, complex) else number


def number_from_json(value: Any) -> complex:
    """Return the number that `number_as_json` converted."""
    return complex(*value) if isinstance(value, list) else value
