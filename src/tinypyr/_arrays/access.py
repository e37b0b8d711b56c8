"""One interface to arrays of numpy, dask, zarr, h5py, TensorStore and similar packages."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray


def is_array(array: Any) -> bool:
    """Return True for an object that can be read like an array."""
    return all(hasattr(array, name) for name in ("shape", "dtype", "__getitem__"))


def is_tensorstore(array: Any) -> bool:
    """Return True for a handle of TensorStore, without importing it."""
    tensorstore = sys.modules.get("tensorstore")
    return tensorstore is not None and isinstance(array, tensorstore.TensorStore)


def read(array: Any, box: tuple[slice, ...]) -> NDArray[Any]:
    """Return the voxels of a box."""
    voxels: NDArray[Any] = start_to_read(array, box).result()
    return voxels


def start_to_read(array: Any, box: tuple[slice, ...]) -> Any:
    """Start to read the voxels of a box; return an object whose ``result()`` is a numpy array."""
    return array[box].read() if is_tensorstore(array) else _DeferredRead(array, box)


class _DeferredRead:
    """A read that happens when its result is needed."""

    def __init__(self, array: Any, box: tuple[slice, ...]) -> None:
        self._array, self._box = array, box

    def result(self) -> NDArray[Any]:
        part = self._array[self._box]
        if is_tensorstore(part):  # of an array that wraps a handle
            part = part.read().result()
        return np.asarray(part.compute() if hasattr(part, "compute") else part)


def write(array: Any, box: tuple[slice, ...], voxels: NDArray[Any]) -> None:
    """Set the voxels of a box."""
    if is_tensorstore(array):
        array[box].write(voxels).result()
    else:
        array[box] = voxels


def dtype_of(array: Any) -> np.dtype[Any]:
    """Return the array's dtype as numpy's, in native byte order."""
    dtype: np.dtype[Any] = np.dtype(array.dtype.numpy_dtype if is_tensorstore(array) else array.dtype)
    return dtype.newbyteorder("=")


def from_zero(array: Any) -> Any:
    """Return the array with its first voxel at index 0, which arrays of TensorStore need not have."""
    return array.translate_to[(0,) * len(array.shape)] if is_tensorstore(array) else array


def read_chunks(array: Any) -> tuple[int, ...] | None:
    """Return the shape of a chunk, which is read as a whole (dask: of the first chunk); None without chunks."""
    chunks: Any = array.chunk_layout.read_chunk.shape if is_tensorstore(array) else getattr(array, "chunks", None)
    if not chunks:
        return None
    shape = tuple(int(along[0] if isinstance(along, (tuple, list)) else along or 0) for along in chunks)
    return shape if all(shape) else None


def write_unit(array: Any) -> tuple[int, ...] | None:
    """Return the shape of the chunk or shard that only one writer may write at a time; None without chunks."""
    if is_tensorstore(array):
        shape: Any = array.chunk_layout.write_chunk.shape
    else:
        shape = getattr(array, "shards", None) or read_chunks(array)
    return tuple(int(along) for along in shape) if shape and all(shape) else None


def is_read_only(array: Any) -> bool:
    """Return True if an array of numpy, zarr or TensorStore cannot be written to."""
    if isinstance(array, np.ndarray):
        return not array.flags.writeable
    if is_tensorstore(array):
        return not array.writable
    return bool(getattr(array, "read_only", False))


def share_memory(a: Any, b: Any) -> bool:
    """Return True if two arrays share memory, or if a short search cannot rule it out."""
    if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)):
        return a is b
    try:
        return np.shares_memory(a, b, max_work=1 << 16)  # type: ignore[arg-type,unused-ignore]
    except np.exceptions.TooHardError:
        return True


def corners(array: Any, shape: tuple[int, ...], chunks: tuple[int, ...] | None = None) -> bytes:
    """Return the voxels of the array's first and last corner, within a chunk, as a cheap check for changes."""
    edges = [min(64, c) for c in chunks or (64,) * len(shape)]
    starts = [max(0, n - (n % c or c)) for n, c in zip(shape, chunks or edges, strict=True)]  # (of the last chunk)
    first = [slice(0, min(n, e)) for n, e in zip(shape, edges, strict=True)]
    last = [slice(max(start, n - e), n) for n, e, start in zip(shape, edges, starts, strict=True)]
    ends = first, last
    return b"".join(np.ascontiguousarray(read(array, tuple(box))).tobytes() for box in ends)
