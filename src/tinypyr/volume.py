"""Volumes: the levels of a store or a file as lazy arrays, and what its metadata says beyond them."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from . import _arrays, _sources
from ._util.tables import aligned, level_rows
from .errors import StoreError
from .grid import Grid

if TYPE_CHECKING:
    from .store.metadata import Metadata

Kind = Literal["image", "labels"]


@dataclass(frozen=True)
class Origin:
    """The origin of a volume's levels.

    Attributes
    ----------
    name : str
        Name for messages.
    url : str, optional
        URL by which other processes open the volume.
    dtype : str
        Data type of all levels.
    array_of, stamp_of : function
        Array and stamp of a level, by number.
    """

    name: str
    url: str | None
    dtype: str
    array_of: Callable[[int], Any]
    stamp_of: Callable[[int], bytes]


@_arrays.register_view
@dataclass(frozen=True, repr=False, eq=False)
class Level:
    """One level of a volume: a lazy array with a grid, whose slices are numpy arrays.

    It is a source for :func:`tinypyr.store.build`, :func:`tinypyr.resample` and ``dask.array.from_array``.

    Attributes
    ----------
    grid : Grid
        World coordinates of the voxels.
    path : str
        Path of the level below the volume.
    kind : {"image", "labels"}, optional
        Kind of the voxels according to the metadata.
    holds_labels : bool
        Whether the voxels are labels, which must not be averaged.

    Examples
    --------
    >>> import numpy as np
    >>> import tinypyr
    >>> from tinypyr import store
    >>> report = store.build(np.ones((4, 6), np.uint8), "memory://opened.ome.zarr", factor=2, levels=1, progress=False)
    >>> level = tinypyr.open("memory://opened.ome.zarr").levels[1]
    >>> level.shape, level.dtype
    ((2, 3), dtype('uint8'))
    >>> level[0, :2]
    array([1, 1], dtype=uint8)
    """

    grid: Grid
    path: str
    kind: Kind | None
    holds_labels: bool
    _volume: Origin
    _number: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the grid."""
        return self.grid.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.grid.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type in native byte order."""
        try:
            return np.dtype(self._volume.dtype)
        except TypeError:
            raise StoreError(f"{self._name}: numpy has no voxels of type {self._volume.dtype}") from None

    @functools.cached_property
    def array(self) -> Any:
        """Array that is read, with the axes of the grid and the first voxel at 0; of a store, TensorStore's handle.

        It is opened when it is first needed.
        """
        return self._volume.array_of(self._number)

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """Shape of a chunk, which is read as a whole; None without chunks."""
        return _arrays.read_chunks(self.array)

    @property
    def shards(self) -> tuple[int, ...] | None:
        """Shape of a shard; None if chunks are not packed into shards."""
        unit = _arrays.write_unit(self.array)
        return None if unit == self.chunks else unit

    @property
    def _name(self) -> str:
        return f"{self._volume.name}/{self.path}".rstrip("/")

    def read(self, index: Any) -> Any:
        """Start to read the voxels of an index; return an object whose ``result()`` is a numpy array.

        Parameters
        ----------
        index : slice, int, Ellipsis, or a tuple of these
            As in ``level[index]``. Slices must have step 1.
        """
        box, selection = _arrays.normalize_index(index, self.shape)
        return _Reading(_arrays.start_to_read(self.array, box), self._name, box, selection)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """Return the voxels of an index of slices with step 1, integers and an ellipsis."""
        voxels: NDArray[Any] = self.read(index).result()
        return voxels

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("copy: a lazy array is read on conversion, so copy=False is not possible")
        voxels = self[...]
        return voxels if dtype is None else voxels.astype(dtype, copy=False)

    def __repr__(self) -> str:
        kind = f", {self.kind}" if self.kind else ", labels" if self.holds_labels else ""
        return f"Level({self._volume.dtype}{kind}, {self.grid!r})"

    def recipe(self) -> dict[str, Any]:
        """Return the volume and the number of the level as JSON values."""
        return {"source": self._volume.url, "level": self._number}

    @classmethod
    def from_recipe(cls, recipe: dict[str, Any]) -> Level:
        """Return the level that ``recipe`` describes."""
        level: Level = open(recipe["source"]).levels[recipe["level"]]
        return level

    def stamp(self) -> bytes:
        """Return bytes that differ after the level has changed."""
        return self._volume.stamp_of(self._number)


class _Reading:
    """A read in progress."""

    def __init__(self, reading: Any, name: str, box: tuple[slice, ...], selection: tuple[Any, ...]) -> None:
        self._reading, self._name, self._box, self._selection = reading, name, box, selection

    def result(self) -> NDArray[Any]:
        """Wait for the voxels; raise StoreError if they cannot be read."""
        from .store.source import read_voxels

        voxels = read_voxels(self._reading, self._name, [(along.start, along.stop) for along in self._box])
        return np.asarray(voxels[self._selection])


class Labels(Mapping[str, "Volume"]):
    """Volumes of labels below an image, by name. Names are read, and volumes opened, when they are needed."""

    def __init__(self, names: Callable[[], Sequence[str]], open_volume: Callable[[str], Volume]) -> None:
        self._list_names, self._open_volume = names, open_volume

    @functools.cached_property
    def _names(self) -> Sequence[str]:
        return self._list_names()

    def __getitem__(self, name: str) -> Volume:
        if name not in self._names:
            raise KeyError(f"there are no labels {name!r}, but {list(self._names)}")
        return self._open_volume(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"Labels({list(self._names)})"


@dataclass(frozen=True, repr=False, eq=False)
class Volume:
    """A multiscale volume, from :func:`open`. ``print(volume)`` shows its levels.

    It is a source for :func:`tinypyr.store.build` and :func:`tinypyr.resample`, like the path that it was opened from.

    Attributes
    ----------
    name : str
        Path or URL.
    url : str or None
        Absolute URL; None for an object in memory.
    format : str
        Format, such as "ome-zarr-0.5", or name of the reader.
    kind : {"image", "labels"}, optional
        Kind of the voxels, if the metadata says it.
    levels : tuple of Level
        Levels, the finest first.
    metadata : Metadata
        What the metadata says beyond the levels: ``name``, ``channels``, ``labels`` (colours and properties), ``user``
        and ``foreign`` entries.
    labels : mapping of str to Volume
        Volumes of labels below an OME-Zarr image, opened on access; empty for other formats.

    Examples
    --------
    >>> import numpy as np
    >>> import tinypyr
    >>> from tinypyr import store
    >>> report = store.build(np.ones((8, 8), np.uint8), "memory://volume.ome.zarr", factor=2, levels=2, progress=False)
    >>> volume = tinypyr.open("memory://volume.ome.zarr")
    >>> [level.shape for level in volume.levels]
    [(8, 8), (4, 4), (2, 2)]
    >>> list(volume.labels)
    []
    """

    name: str
    url: str | None
    format: str
    kind: Kind | None
    levels: tuple[Level, ...]
    metadata: Metadata
    labels: Labels = field(default_factory=lambda: Labels(list, open))

    def __repr__(self) -> str:
        base = self.levels[0]
        kind = f", {self.kind}" if self.kind else ", labels" if base.holds_labels else ""
        rows = level_rows([level.path for level in self.levels], [level.grid for level in self.levels])
        lines = [f"{self.name}: {self.format}, {base._volume.dtype}{kind}", aligned(rows)]
        try:
            names = list(self.labels)
        except StoreError as error:
            names = [f"cannot be listed ({error})"]
        return "\n".join([*lines, f"labels: {', '.join(names)}"] if names else lines)


def open(path: str | os.PathLike[str]) -> Volume:
    """Open a store, or a file that has a reader. Metadata is read, but no voxel.

    Parameters
    ----------
    path : path or URL
        A store (OME-Zarr, N5, Neuroglancer precomputed), or a file that a reader opens (NIfTI, or one of
        :func:`register_reader`).

    Returns
    -------
    Volume

    Raises
    ------
    StoreError
        If there is no volume, or it cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> import tinypyr
    >>> from tinypyr import store
    >>> grid = tinypyr.Grid((40, 60), axes="yx", scale=(2, 2), units="micrometer")
    >>> report = store.build(
    ...     np.ones((40, 60), np.uint8), "memory://image.ome.zarr", grid=grid, factor=2, levels=1, progress=False
    ... )
    >>> volume = tinypyr.open("memory://image.ome.zarr")
    >>> volume
    memory://image.ome.zarr: ome-zarr-0.5, uint8
    level  y, x     scale, micrometer  translation, micrometer
    0      40 x 60  2, 2               0, 0
    1      20 x 30  4, 4               1, 1
    >>> volume.levels[1][0, :3]
    array([1, 1, 1], dtype=uint8)
    """
    reader = _sources.reader_of(path)
    if reader is not None:
        return _of_reader(reader, path)
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path: {type(path).__name__} is neither a path nor a URL")
    from .store.opening import open_store

    return open_store(path)


def place_of(source: Any) -> Any:
    """Return the URL of a volume that was opened already, or its level if it is in memory; other sources unchanged."""
    return (source.url or source.levels[0]) if isinstance(source, Volume) else source


def resolved(source: Any) -> Any:
    """Return the lazy array of a source that has a reader; otherwise the path of a store, or an array."""
    return _sources.opened(place_of(source))


def _of_reader(reader: _sources.Reader, source: Any) -> Volume:
    """Return the volume of a file, which has one level."""
    from .store.metadata import Metadata

    name = os.fspath(source) if isinstance(source, (str, os.PathLike)) else "an object in memory"
    try:
        array = _sources.opened(source)
    except (ValueError, OSError) as error:
        raise StoreError(str(error).removeprefix("source: ")) from None
    url = array.recipe()["source"]
    origin = Origin(name, url, array.dtype.name, lambda number: array, lambda number: bytes(array.stamp()))
    level = Level(array.grid, "", array.kind, array.holds_labels, origin, 0)
    return Volume(name, url, reader.name, array.kind, (level,), Metadata())
