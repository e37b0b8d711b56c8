"""Readers: files and objects of other packages as lazy arrays with a grid. A reader is added by its line in READERS."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import _arrays
from .._arrays import LazyView
from ..grid import Grid
from .nifti import NiftiReader


class SourceArray(LazyView, Protocol):
    """A lazy array that a reader returns.

    Its ``recipe()`` has the key ``source``, the path or URL that is read, or None if other processes cannot read it.
    With ``from_recipe`` they make the same array; its class must be one that they can import.
    """

    #: World coordinates of the voxels.
    grid: Grid
    #: Shape of the grid.
    shape: tuple[int, ...]
    #: Number of axes.
    ndim: int
    #: Data type, in native byte order.
    dtype: np.dtype[Any]
    #: Whether the voxels are labels, which must not be averaged.
    holds_labels: bool
    #: Kind of the voxels, "image" or "labels", if the file says it.
    kind: str | None

    def __getitem__(self, box: Any, /) -> NDArray[Any]:
        """Return the voxels of an index of slices and integers."""

    def stamp(self) -> bytes:
        """Return bytes that differ after the source has changed."""


class Reader(Protocol):
    """A reader of one kind of files or objects."""

    @property
    def name(self) -> str:
        """Name of the file format, for messages."""

    def matches(self, source: Any, /) -> bool:
        """Return whether this reader opens a path, a URL or an object; do not open it."""

    def open(self, source: Any, /) -> Any:
        """Return the lazy array, a :class:`SourceArray`; raise ValueError if the source cannot be read."""


#: All readers. The first one that matches is used.
READERS: list[Reader] = [NiftiReader()]


def register_reader(reader: Reader) -> None:
    """Register a reader, so that every function that takes a source reads its files.

    A reader is an object with

    - ``name``, the name of the file format, for messages;
    - ``matches(source)``, which returns whether it opens a path, a URL or an object, without opening it;
    - ``open(source)``, which returns a lazy array, and raises ValueError for a file that it cannot read.

    The lazy array has a ``grid``, ``shape``, ``ndim``, ``dtype``, ``holds_labels`` and ``kind``. Slices of it are numpy
    arrays. ``recipe()`` returns its arguments as JSON values, with the path as ``"source"``, and the class method
    ``from_recipe(recipe)`` makes it again in another process. ``stamp()`` returns bytes that differ after the file has
    changed.

    Readers that are registered later are asked first. A reader with the name of another one replaces it.

    Parameters
    ----------
    reader : object
        The reader.

    Raises
    ------
    TypeError
        If the reader lacks one of these members.

    Examples
    --------
    >>> import numpy as np
    >>> import tinypyr
    >>> class Numpy:
    ...     holds_labels, kind = False, None
    ...     def __init__(self, path):
    ...         self._path, self._voxels = path, np.load(path, mmap_mode="r")
    ...         self.shape, self.dtype, self.ndim = self._voxels.shape, self._voxels.dtype, self._voxels.ndim
    ...         self.grid = tinypyr.Grid(self.shape)
    ...     def __getitem__(self, box):
    ...         return np.asarray(self._voxels[box])
    ...     def recipe(self):
    ...         return {"source": self._path}
    ...     @classmethod
    ...     def from_recipe(cls, recipe):
    ...         return cls(recipe["source"])
    ...     def stamp(self):
    ...         return self._voxels.tobytes()[:4096]
    >>> class NumpyReader:
    ...     name = "npy"
    ...     def matches(self, source):
    ...         return isinstance(source, str) and source.endswith(".npy")
    ...     def open(self, source):
    ...         return Numpy(source)
    >>> tinypyr.register_reader(NumpyReader())
    """
    for member in ("name", "matches", "open"):
        if not hasattr(reader, member):
            raise TypeError(f"reader: {type(reader).__name__} has no {member!r}; a reader has name, matches and open")
    READERS[:] = [reader, *(other for other in READERS if other.name != reader.name)]


def reader_of(source: Any) -> Reader | None:
    """Return the reader that opens a path or an object; None for stores, arrays and anything else."""
    return next((reader for reader in READERS if reader.matches(source)), None)


def opened(source: Any) -> Any:
    """Return the lazy array of a source that has a reader; otherwise the source itself, a path or an array."""
    reader = reader_of(source)
    if reader is None:
        return source
    array = reader.open(source)
    if not _arrays.is_view(array):
        _arrays.register_view(type(array))
    return array
