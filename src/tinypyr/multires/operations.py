"""The operations between a volume and a field, in numpy. The compiled core does the same in one pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..resampling.sampler import OPERATIONS

Array = NDArray[Any]


def float_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the float dtype for voxels of a dtype: float32 if it holds them exactly, float64 otherwise."""
    small = (dtype.kind in "bf" and dtype.itemsize <= 4) or dtype.itemsize <= 2
    return np.dtype(np.float32 if small else np.float64)


def _divide(full: Array, field: Array) -> Array:
    quotient = full.astype(np.float64)
    np.divide(quotient, field, out=quotient, where=field != 0)
    return quotient


def _multiply(full: Array, field: Array) -> Array:
    return np.multiply(full, field, dtype=np.float64)


def _subtract(full: Array, field: Array) -> Array:
    return np.subtract(full, field, dtype=np.float64)


def _mask(full: Array, field: Array) -> Array:
    return np.where(field >= 0.5, full, full.dtype.type(0))


#: The function of each operation.
NUMPY_OPERATIONS: dict[str, Callable[[Array, Array], Array]] = dict(
    zip(OPERATIONS, (_divide, _multiply, _subtract, _mask), strict=True)
)
