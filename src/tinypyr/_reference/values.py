"""Comparison of voxels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def prepared(array: Array, method: str, ignore: Any) -> tuple[Array, Any]:
    """Return the array in native byte order with booleans as 0 or 1, and the ignored value with -0.0 as 0.0."""
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype.kind == "b" and (method != "stride" or ignore is not None):
        array = array.view(np.uint8) != 0  # any byte but 0 is True, though numpy itself only writes 1
    return array, None if ignore is None else canonical_zero(np.asarray(ignore))[()]


def same(a: Array, b: Any) -> Array:
    """Return elementwise equality in which NaN equals NaN."""
    equal: Array = np.asarray(a == b)
    if np.asarray(a).dtype.kind in "fc":
        equal = equal | ((a != a) & (b != b))
    return equal


def canonical_zero(array: Array) -> Array:
    """Return the array with -0.0 replaced by 0.0, because they are one value wherever values are compared."""
    return np.asarray(array + array.dtype.type(0)) if array.dtype.kind in "fc" else array
