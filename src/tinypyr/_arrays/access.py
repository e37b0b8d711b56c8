"""One interface to arrays of numpy, dask, zarr, h5py, TensorStore and similar packages."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def read(array: Any, box: tuple[slice, ...]) -> NDArray[Any]:
    """Return the voxels of a box."""
    part = array[box]
    if hasattr(part, "read"):  # TensorStore
        part = part.read().result()
    return np.asarray(part.compute() if hasattr(part, "compute") else part)


def write(array: Any, box: tuple[slice, ...], voxels: NDArray[Any]) -> None:
    """Set the voxels of a box."""
    if hasattr(array, "kvstore"):  # TensorStore
        array[box].write(voxels).result()
    else:
        array[box] = voxels


def dtype_of(array: Any) -> np.dtype[Any]:
    """Return the array's dtype as numpy's, in native byte order."""
    dtype: np.dtype[Any] = np.dtype(getattr(array.dtype, "numpy_dtype", array.dtype))
    return dtype.newbyteorder("=")


def from_zero(array: Any) -> Any:
    """Return the array with its first voxel at index 0, which arrays of TensorStore need not have."""
    return array.translate_to[(0,) * len(array.shape)] if hasattr(array, "translate_to") else array


def read_chunks(array: Any) -> tuple[int, ...] | None:
    """Return the shape of a chunk, which is read as a whole (dask: of the first chunk); None without chunks."""
    layout = getattr(array, "chunk_layout", None)  # TensorStore
    chunks: Any = getattr(array, "chunks", None) if layout is None else layout.read_chunk.shape
    if not chunks:
        return None
    shape = tuple(int(along[0] if isinstance(along, (tuple, list)) else along or 0) for along in chunks)
    return shape if all(shape) else None


def write_unit(array: Any) -> tuple[int, ...] | None:
    """Return the shape of the chunk or shard that only one writer may write at a time; None without chunks."""
    layout = getattr(array, "chunk_layout", None)  # TensorStore
    shape: Any = getattr(array, "shards", None) or read_chunks(array) if layout is None else layout.write_chunk.shape
    return tuple(int(along) for along in shape) if shape and all(shape) else None


def is_read_only(array: Any) -> bool:
    """Return True if an array of numpy, zarr or TensorStore cannot be written to."""
    if isinstance(array, np.ndarray):
        return not array.flags.writeable
    return bool(getattr(array, "read_only", False) or not getattr(array, "writable", True))


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
