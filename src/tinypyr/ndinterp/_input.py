"""What values are taken from: arrays of numpy, dask, zarr, TensorStore and the like, cut into chunks."""

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
from ..resampling.sampler import checked_source

Chunks = tuple[tuple[int, ...], ...]
Index = tuple[int, ...]
Box = tuple[slice, ...]

#: Bytes of an output chunk where neither caller nor input says how to cut.
_USUAL_CHUNK = "16MiB"


@dataclass(frozen=True)
class Bounds:
    """Where the chunks of an array begin and end, along each axis."""

    chunks: Chunks
    starts: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, chunks: Chunks) -> Bounds:
        """From their extents."""
        return cls(chunks, tuple((0, *itertools.accumulate(along)) for along in chunks))

    def touching(self, box: Box) -> list[range]:
        """The numbers of the chunks that hold any of a box, along each axis."""
        return [
            range(bisect.bisect_right(starts, wanted.start) - 1, bisect.bisect_left(starts, wanted.stop))
            for starts, wanted in zip(self.starts, box, strict=True)
        ]

    def covering(self, boxes: Iterable[Box]) -> list[Index]:
        """The chunks that hold any of some boxes."""
        return sorted({index for box in boxes for index in itertools.product(*self.touching(box))})

    def box(self, index: Index) -> Box:
        """The voxels of a chunk."""
        return tuple(slice(starts[i], starts[i + 1]) for starts, i in zip(self.starts, index, strict=True))


class Blocks:
    """Some chunks of an array, read as if they were all of it."""

    def __init__(self, bounds: Bounds, indices: Sequence[Index], arrays: Sequence[Any], dtype: np.dtype[Any]) -> None:
        self._bounds, self._dtype = bounds, dtype
        self._arrays = dict(zip(indices, arrays, strict=True))

    def read(self, box: Box) -> NDArray[Any]:
        """The voxels of a box."""
        touched = list(itertools.product(*self._bounds.touching(box)))
        if len(touched) == 1:
            return self._piece(touched[0], box)[0]
        made = np.empty([wanted.stop - wanted.start for wanted in box], self._dtype)
        for index in touched:
            piece, where = self._piece(index, box)
            made[where] = piece
        return made

    def _piece(self, index: Index, box: Box) -> tuple[NDArray[Any], Box]:
        inside, where = [], []
        for have, wanted in zip(self._bounds.box(index), box, strict=True):
            first, last = max(have.start, wanted.start), min(have.stop, wanted.stop)
            inside.append(slice(first - have.start, last - have.start))
            where.append(slice(first - wanted.start, last - wanted.start))
        return np.asarray(self._arrays[index])[tuple(inside)], tuple(where)


class Whole:
    """An array that is read a box at a time."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def read(self, box: Box) -> NDArray[Any]:
        """The voxels of a box."""
        return _arrays.read(self._array, box)


class Input:
    """An array, and how a graph refers to it."""

    def __init__(self, array: Any, argument: str = "image") -> None:
        if not (hasattr(array, "shape") and hasattr(array, "dtype") and hasattr(array, "__getitem__")):
            if not isinstance(array, (list, tuple)):
                raise TypeError(f"{argument}: {type(array).__name__} is not an array")
            try:
                array = np.asarray(array)
            except ValueError as error:
                raise ValueError(f"{argument}: {error}") from None
        if isinstance(array, np.ma.MaskedArray):
            raise TypeError(f"{argument}: masked; fill it first")
        if any(n != n for n in array.shape):
            raise ValueError(f"{argument}: of unknown extents {tuple(array.shape)}; compute its chunks first")
        self.shape: tuple[int, ...] = tuple(int(n) for n in array.shape)
        self.array = _arrays.from_zero(array)
        self.lazy = isinstance(array, da.Array)
        self.dtype = _arrays.dtype_of(array)
        checked_source(argument, self.shape, self.dtype)
        cut = _arrays.read_chunks(array)
        #: As the input says; None where it does not.
        self.chunks: Chunks | None = array.chunks if self.lazy else None
        if not self.lazy and cut is not None:
            self.chunks = da.core.normalize_chunks(cut, self.shape)  # type: ignore[no-untyped-call,unused-ignore]
        if self.lazy and type(array._meta) is not np.ndarray:
            raise TypeError(f"{argument}: dask chunks of {type(array._meta).__name__}; arrays of numpy are needed")

    def output_chunks(self, wanted: Any, shape: Sequence[int]) -> Chunks:
        """How an output of this shape is cut."""
        if wanted is None and self.chunks is not None and len(shape) == len(self.shape):
            if tuple(shape) == self.shape:
                return self.chunks
            wanted = tuple(max(1, *along) for along in self.chunks)
        if wanted is None:
            return da.core.normalize_chunks("auto", tuple(shape), limit=_USUAL_CHUNK, dtype=self.dtype)  # type: ignore
        try:
            return da.core.normalize_chunks(wanted, tuple(shape), dtype=self.dtype)  # type: ignore[no-any-return]
        except (ValueError, TypeError, ZeroDivisionError) as error:
            raise ValueError(
                f"output_chunks: {wanted!r} do not cut an output of shape {tuple(shape)}: {error}"
            ) from None

    @property
    def token(self) -> str:
        """The same for the same values, as far as names go: reading them all to tell would take as long as the work."""
        if self.lazy:
            return str(self.array.name)
        return uuid.uuid4().hex

    @property
    def dependencies(self) -> list[Any]:
        """The dask collections that a graph rests on."""
        return [self.array] if self.lazy else []

    def reading(self, name: str) -> dict[Any, Any]:
        """The part of a graph that ``blocks`` refers to."""
        return {} if self.lazy else {f"{name}-input": Whole(self.array)}

    def blocks(self, name: str, bounds: Bounds, boxes: Iterable[Box]) -> tuple[list[Index], Any]:
        """What a task must be given to read these boxes: the chunks' numbers, and keys of a graph."""
        if not self.lazy:
            return [], f"{name}-input"
        indices = bounds.covering(boxes)
        return indices, [(self.array.name, *index) for index in indices]
