"""Input arrays of ndinterp (dask, numpy, zarr, TensorStore and similar), and their chunks."""

from __future__ import annotations

import bisect
import itertools
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from .. import _arrays
from ..resampling.sampler import check_source

Chunks = tuple[tuple[int, ...], ...]
Index = tuple[int, ...]
Box = tuple[slice, ...]

#: Size of an output chunk if neither the caller nor the input determines it.
_DEFAULT_CHUNK = "16MiB"


@dataclass(frozen=True)
class Bounds:
    """The extents and the starts of an array's chunks along each axis."""

    chunks: Chunks
    starts: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, chunks: Chunks) -> Bounds:
        """Return the bounds of chunks of these extents."""
        return cls(chunks, tuple((0, *itertools.accumulate(along)) for along in chunks))

    def touching(self, box: Box) -> list[range]:
        """Return the numbers of the chunks that overlap a box, along each axis."""
        return [
            range(bisect.bisect_right(starts, along.start) - 1, bisect.bisect_left(starts, along.stop))
            for starts, along in zip(self.starts, box, strict=True)
        ]

    def covering(self, boxes: Iterable[Box]) -> list[Index]:
        """Return the indices of the chunks that overlap any of the boxes."""
        return sorted({index for box in boxes for index in itertools.product(*self.touching(box))})

    def box(self, index: Index) -> Box:
        """Return the box of a chunk."""
        return tuple(slice(starts[i], starts[i + 1]) for starts, i in zip(self.starts, index, strict=True))


class Blocks:
    """Some chunks of an array, with the reading interface of the whole array."""

    def __init__(self, bounds: Bounds, indices: Sequence[Index], arrays: Sequence[Any], dtype: np.dtype[Any]) -> None:
        self._bounds, self._dtype = bounds, dtype
        self._arrays = dict(zip(indices, arrays, strict=True))

    def read(self, box: Box) -> NDArray[Any]:
        """Return the voxels of a box."""
        indices = list(itertools.product(*self._bounds.touching(box)))
        if len(indices) == 1:
            return self._piece(indices[0], box)[0]
        voxels = np.empty([along.stop - along.start for along in box], self._dtype)
        for index in indices:
            piece, where = self._piece(index, box)
            voxels[where] = piece
        return voxels

    def _piece(self, index: Index, box: Box) -> tuple[NDArray[Any], Box]:
        """Return the voxels that a chunk and a box share, and their position in the box."""
        inside, where = [], []
        for chunk, along in zip(self._bounds.box(index), box, strict=True):
            first, last = max(chunk.start, along.start), min(chunk.stop, along.stop)
            inside.append(slice(first - chunk.start, last - chunk.start))
            where.append(slice(first - along.start, last - along.start))
        return np.asarray(self._arrays[index])[tuple(inside)], tuple(where)


class Whole:
    """An array that is not a dask array, read a box at a time."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def read(self, box: Box) -> NDArray[Any]:
        """Return the voxels of a box."""
        return _arrays.read(self._array, box)


class Input:
    """An input array, and the way in which a graph refers to it.

    Parameters
    ----------
    array : array
        The array that the user passed.
    argument : str
        The name of that argument, for error messages.

    Attributes
    ----------
    lazy : bool
        True for a dask array, whose chunks are keys of a graph.
    chunks : tuple of tuple of int, or None
        The extents of the array's chunks; None if it has none.
    """

    def __init__(self, array: Any, argument: str = "image") -> None:
        if not (hasattr(array, "shape") and hasattr(array, "dtype") and hasattr(array, "__getitem__")):
            if not isinstance(array, (list, tuple)):
                raise TypeError(f"{argument}: {type(array).__name__} is not an array")
            try:
                array = np.asarray(array)
            except ValueError as error:
                raise ValueError(f"{argument}: {error}") from None
        if isinstance(array, np.ma.MaskedArray):
            raise TypeError(f"{argument}: masked arrays are not supported; fill it first")
        if any(n != n for n in array.shape):
            raise ValueError(f"{argument}: the shape {tuple(array.shape)} is not known; compute its chunk sizes first")
        self.shape: tuple[int, ...] = tuple(int(n) for n in array.shape)
        self.array = _arrays.from_zero(array)
        self.lazy = isinstance(array, da.Array)
        self.dtype = _arrays.dtype_of(array)
        check_source(argument, self.shape, self.dtype)
        chunk_shape = _arrays.read_chunks(array)
        self.chunks: Chunks | None = array.chunks if self.lazy else None
        if not self.lazy and chunk_shape is not None:
            self.chunks = da.core.normalize_chunks(chunk_shape, self.shape)  # type: ignore[no-untyped-call,unused-ignore]
        if self.lazy and type(array._meta) is not np.ndarray:
            raise TypeError(
                f"{argument}: the chunks of the dask array are {type(array._meta).__name__}, not numpy arrays; convert "
                "them first"
            )

    def output_chunks(self, chunks: Any, shape: Sequence[int]) -> Chunks:
        """Return the chunks of an output of this shape; if ``chunks`` is None, they follow the input's."""
        if chunks is None and self.chunks is not None and len(shape) == len(self.shape):
            if tuple(shape) == self.shape:
                return self.chunks
            chunks = tuple(max(1, *along) for along in self.chunks)
        if chunks is None:
            return da.core.normalize_chunks("auto", tuple(shape), limit=_DEFAULT_CHUNK, dtype=self.dtype)  # type: ignore
        try:
            return da.core.normalize_chunks(chunks, tuple(shape), dtype=self.dtype)  # type: ignore[no-any-return]
        except (ValueError, TypeError, ZeroDivisionError) as error:
            raise ValueError(
                f"output_chunks: {chunks!r} does not fit an output of shape {tuple(shape)}: {error}"
            ) from None

    @property
    def token(self) -> str:
        """A name of the values: that of a dask array, random for others, because hashing takes as long as the work."""
        if self.lazy:
            return str(self.array.name)
        return uuid.uuid4().hex

    @property
    def dependencies(self) -> list[Any]:
        """The dask collections that a graph depends on."""
        return [self.array] if self.lazy else []

    def reading(self, name: str) -> dict[Any, Any]:
        """Return the part of a graph that the keys of ``blocks`` refer to."""
        return {} if self.lazy else {f"{name}-input": Whole(self.array)}

    def blocks(self, name: str, bounds: Bounds, boxes: Iterable[Box]) -> tuple[list[Index], Any]:
        """Return the arguments of a task that reads these boxes: indices of chunks, and keys of the graph."""
        if not self.lazy:
            return [], f"{name}-input"
        indices = bounds.covering(boxes)
        return indices, [(self.array.name, *index) for index in indices]
