"""Arrays of other packages (numpy, dask, zarr, TensorStore and the like), as values between voxels need them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def from_zero(array: Any) -> Any:
    """The array with its first voxel at 0, where those of TensorStore need not have it."""
    return array.translate_to[(0,) * len(array.shape)] if hasattr(array, "translate_to") else array


def dtype_of(array: Any) -> np.dtype[Any]:
    """The array's dtype, in this machine's byte order."""
    made: np.dtype[Any] = np.dtype(getattr(array.dtype, "numpy_dtype", array.dtype))
    return made.newbyteorder("=")


def read(array: Any, box: tuple[slice, ...]) -> NDArray[Any]:
    """The voxels of a box."""
    found = array[box]
    if hasattr(found, "read"):  # TensorStore
        found = found.read().result()
    return np.asarray(found.compute() if hasattr(found, "compute") else found)
