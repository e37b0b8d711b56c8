"""pyramid-sampler's names, on :mod:`tinypyr.store`: ``from tinypyr.compat.pyramid_sampler import Downsampler``.

The same calls make the same levels at the same places. What differs is meant to: any number of dimensions and of chunks
along each axis, extents that are no multiple of anything, every level the mean of level 0 itself and rounded half to
even (instead of truncated level by level), codec and fill value as at level 0, metadata by which viewers find the
levels, and one clear error, before anything is written, where the declared shape is not that of the array or a level is
there already.

Written from that package's documentation and from what it does (version 0.1); needs ``pip install "tinypyr[store]"``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .._pooling.arguments import MAX_COORDINATE
from ..grid import Grid
from ..store import StoreError, build
from ..store.formats import ome_zarr_04, ome_zarr_05
from ..store.location import Location, open_array
from ..store.source import open_volume
from ..store.volume import Layout

__all__ = ["Downsampler", "initialize_test_image"]


class Downsampler:
    """Makes levels of arrays of a Zarr store.

    Parameters
    ----------
    zarr_store_path : path or URL
        The store.
    refine_factor : int or sequence of int
        From each level to the next, one for every axis or one per axis.
    level_0_res : int or sequence of int
        The extents of the array at level 0; checked.
    chunks : int or sequence of int, optional
        Voxels per chunk of the levels; by default as at level 0.

    Examples
    --------
    >>> import tempfile
    >>> from tinypyr.compat.pyramid_sampler import Downsampler, initialize_test_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     initialize_test_image(folder, "density", (40, 33, 20), chunks=16)
    ...     Downsampler(folder, 2, (40, 33, 20)).downsample(3, "density")
    """

    def __init__(
        self,
        zarr_store_path: str | os.PathLike[str],
        refine_factor: npt.ArrayLike,
        level_0_res: npt.ArrayLike,
        chunks: npt.ArrayLike | None = None,
    ) -> None:
        self.zarr_store_path = zarr_store_path
        self.finest_resolution = _whole("level_0_res", level_0_res, None)
        self.ndim = len(self.finest_resolution)
        self.refine_factor = _whole("refine_factor", refine_factor, self.ndim)
        self.chunks = None if chunks is None else _whole("chunks", chunks, self.ndim)

    def downsample(self, max_levels: int, zarr_field: str) -> None:
        """Make levels 1, 2, ... of ``zarr_store_path/zarr_field``, whose level 0 is there.

        Parameters
        ----------
        max_levels : int
            How many levels there may be, level 0 counted. Fewer are made where one would be smaller than a chunk.
        zarr_field : str
            The group that holds the array "0".

        Raises
        ------
        StoreError, ValueError
            No such array, or one of another shape; levels are there already. Nothing has been written then.
        """
        if not isinstance(max_levels, (int, np.integer)) or max_levels < 1:
            raise ValueError(f"max_levels: {max_levels!r} is not a whole number of 1 or more")
        place = _field(Location.at(self.zarr_store_path), zarr_field)
        volume = open_volume(place)
        shape = volume.grids[0].shape
        if shape != tuple(self.finest_resolution):
            raise ValueError(f"level_0_res: {tuple(self.finest_resolution)}, but the array has the shape {shape}")
        chunks = volume.layout.chunks if self.chunks is None else tuple(self.chunks)
        count, extents = 0, shape
        while count + 1 < max_levels:
            extents = tuple(-(-n // f) for n, f in zip(extents, self.refine_factor, strict=True))
            if any(n < chunk for n, chunk in zip(extents, chunks, strict=True)):
                break
            count += 1
        if count == 0:
            return
        cut = None if chunks == volume.layout.chunks else chunks
        build(place.url, factor=tuple(self.refine_factor), levels=count, method="mean", chunks=cut, force=True)


def initialize_test_image(
    zarr_store: Any,
    zarr_field: str,
    base_resolution: Sequence[int],
    chunks: int | Sequence[int] | None = None,
    overwrite_field: bool = True,
    dtype: npt.DTypeLike | None = None,
) -> None:
    """Write a random array, brighter in its first octant, as level 0 of a field.

    Parameters
    ----------
    zarr_store : path, URL, or group of zarr
        Where.
    zarr_field : str
        The group to create.
    base_resolution : sequence of int
        The array's extents.
    chunks : int or sequence of int, optional
        Voxels per chunk; by default 64 along each axis.
    overwrite_field : bool
        Whether a field that exists may be replaced.
    dtype : dtype, optional
        By default float64. Floats are from 0 to 1, and 0.5 more in the first octant; integers from 0 to 100, and 50
        more.
    """
    where = zarr_store
    if not isinstance(where, (str, os.PathLike)):
        where = str(getattr(zarr_store, "store_path", ""))
        if "://" not in where or where.startswith("memory:"):
            raise TypeError(f"zarr_store: {type(zarr_store).__name__} is neither a path nor a group that lies at one")
    place = Location.at(where)
    field = _field(place, zarr_field)
    shape = _whole("base_resolution", base_resolution, None)
    cut = _whole("chunks", 64 if chunks is None else chunks, len(shape))
    kind = np.dtype(np.float64 if dtype is None else dtype)
    if kind.kind not in "iuf" or kind.itemsize > 8:
        raise ValueError(f"dtype: {dtype!r} is neither integers nor floats")
    known = ome_zarr_04 if place.read(".zgroup") is not None else ome_zarr_05
    if field.keys():
        if not overwrite_field:
            raise StoreError(f"{field.name}: exists already; set overwrite_field, or choose another")
        field.remove()
    for group in (place, field):
        known.create_group(group)
    layout = Layout(tuple(min(c, n) for c, n in zip(cut, shape, strict=True)))
    array = open_array(known.new_spec(field, "0", Grid(shape), kind.name, layout, None), field.name, create=True)
    rng = np.random.default_rng()
    values = rng.random(shape) if kind.kind == "f" else rng.integers(0, 100, shape)
    first = tuple(slice(0, n // 2) for n in shape)
    values[first] += 0.5 if kind.kind == "f" else 50
    if kind.kind != "f":
        values = np.minimum(values, min(150, np.iinfo(kind).max))
    array.write(values.astype(kind)).result()


def _field(place: Location, name: Any) -> Location:
    if not isinstance(name, str) or not name.strip("/"):
        raise ValueError(f"zarr_field: {name!r} is not the name of a group")
    return place.child(name)


def _whole(name: str, given: Any, ndim: int | None) -> list[int]:
    values = np.asarray(given)
    right = (
        values.dtype.kind in "iuf" and values.ndim < 2 and values.size > 0 and bool(np.all(values == np.rint(values)))
    )
    if not right or values.min() < 1 or values.max() > MAX_COORDINATE:
        raise ValueError(f"{name}: {given!r} is not positive whole numbers")
    found = [int(v) for v in values.ravel()]
    if ndim is not None and values.ndim == 0:
        return found * ndim
    if ndim is not None and len(found) != ndim:
        raise ValueError(f"{name}: {given!r} is not one number, or one for each of {ndim} axes")
    return found
