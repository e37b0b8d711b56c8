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
    return array, None if ignore is None else canonical(np.asarray(ignore))[()]


def same(a: Array, b: Any) -> Array:
    """Return elementwise equality in which NaN equals NaN."""
    with np.errstate(invalid="ignore"):  # signalling NaN
        equal: Array = np.asarray(a == b)
        if np.asarray(a).dtype.kind in "fc":
            equal = equal | ((a != a) & (b != b))
    return equal


def canonical(array: Array) -> Array:
    """Return the array with 0.0 for -0.0 and the quiet NaN for every NaN: one value wherever values are compared."""
    if array.dtype.kind not in "fc":
        return array
    with np.errstate(invalid="ignore"):  # signalling NaN
        positive = np.asarray(array + array.dtype.type(0))
    return np.where(positive != positive, array.dtype.type(np.nan), positive)


def make_nan_canonical(array: Array) -> None:
    """Replace every NaN by the quiet NaN, in place, also in real and imaginary parts."""
    for part in (array.real, array.imag) if array.dtype.kind == "c" else (array,):
        part[np.isnan(part)] = np.nan
