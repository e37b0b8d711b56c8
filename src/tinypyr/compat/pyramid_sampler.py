"""The interface of pyramid-sampler on :mod:`tinypyr.store`.

To migrate, change the import: ``from tinypyr.compat.pyramid_sampler import Downsampler``. The same calls write the same
levels to the same groups, with these intended differences:

- Arrays may have any number of dimensions, any shape, and any number of chunks along each axis.
- Every level is the mean of level 0, rounded half to even, instead of the truncated mean of the level before.
- Levels have the codec and the fill value of level 0, and the group gets metadata that viewers understand.
- If the declared shape is not that of the array, or if a level exists already, an error is raised before anything is
  written.

Written from the documentation and the observed behaviour of version 0.1. Requires ``pip install "tinypyr[store]"``.
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

#: Edge of a chunk by default.
_CHUNK = 64


class Downsampler:
    """Writer of levels for the arrays of a Zarr store.

    Parameters
    ----------
    zarr_store_path : path or URL
        Zarr store.
    refine_factor : int or sequence of int
        Factor between consecutive levels: one number for all axes, or one per axis.
    level_0_res : int or sequence of int
        Shape of the array at level 0. It is compared with the actual shape.
    chunks : int or sequence of int, optional
        Chunk shape of the levels. The default is 64 along each axis.

    Examples
    --------
    >>> import tempfile
    >>> from tinypyr.compat.pyramid_sampler import Downsampler, initialize_test_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     initialize_test_image(folder, "density", (40, 33, 20), chunks=16)
    ...     Downsampler(folder, 2, (40, 33, 20), chunks=16).downsample(3, "density")
    """

    def __init__(
        self,
        zarr_store_path: str | os.PathLike[str],
        refine_factor: npt.ArrayLike,
        level_0_res: npt.ArrayLike,
        chunks: npt.ArrayLike | None = None,
    ) -> None:
        self.zarr_store_path = zarr_store_path
        self.finest_resolution = _positive_integers("level_0_res", level_0_res, None)
        self.ndim = len(self.finest_resolution)
        self.refine_factor = _positive_integers("refine_factor", refine_factor, self.ndim)
        self.chunks = tuple(_positive_integers("chunks", _CHUNK if chunks is None else chunks, self.ndim))

    def downsample(self, max_levels: int, zarr_field: str) -> None:
        """Write levels 1, 2, ... of ``zarr_store_path/zarr_field``, whose level 0 exists.

        Parameters
        ----------
        max_levels : int
            Largest number of levels, including level 0. Levels smaller than one chunk are not written.
        zarr_field : str
            Group that holds the array "0".

        Raises
        ------
        StoreError, ValueError
            If the array does not exist, has another shape, or has levels already. Nothing is written in these cases.
        """
        if not isinstance(max_levels, (int, np.integer)) or max_levels < 1:
            raise ValueError(f"max_levels: {max_levels!r} is not a whole number of 1 or more; max_level must exceed 0")
        location = _field(Location.at(self.zarr_store_path), zarr_field)
        volume = open_volume(location)
        shape = volume.grids[0].shape
        if shape != tuple(self.finest_resolution):
            raise ValueError(
                f"level_0_res: {tuple(self.finest_resolution)} is not the shape of the array, which is {shape}"
            )
        chunks = self.chunks
        count, extents = 0, shape
        while count + 1 < max_levels:
            extents = tuple(-(-n // f) for n, f in zip(extents, self.refine_factor, strict=True))
            if any(n < chunk for n, chunk in zip(extents, chunks, strict=True)):
                break
            count += 1
        if count == 0:
            return
        build(
            location.url,
            factor=tuple(self.refine_factor),
            levels=count,
            method="mean",
            chunks=None if chunks == volume.layout.chunks else chunks,
            force=True,
        )


def initialize_test_image(
    zarr_store: Any,
    zarr_field: str,
    base_resolution: Sequence[int],
    chunks: int | Sequence[int] | None = None,
    overwrite_field: bool = True,
    dtype: npt.DTypeLike | None = None,
) -> None:
    """Write a random array as level 0 of a field. Its values are larger in the first half of every axis.

    Parameters
    ----------
    zarr_store : path, URL, or zarr group
        Store to write to.
    zarr_field : str
        Group to create.
    base_resolution : sequence of int
        Shape of the array.
    chunks : int or sequence of int, optional
        Chunk shape. The default is 64 along each axis.
    overwrite_field : bool
        Replace the field if it exists.
    dtype : dtype, optional
        The default is float64. Floats are drawn from 0 to 1 and integers from 0 to 100; in the first half of every
        axis, 0.5 or 50 is added.

    Raises
    ------
    StoreError
        If the field exists and ``overwrite_field`` is False, or if the store cannot be written.
    ValueError, TypeError
        If an argument is invalid.
    """
    where = zarr_store
    if not isinstance(where, (str, os.PathLike)):
        where = str(getattr(zarr_store, "store_path", ""))
        if "://" not in where or where.startswith("memory:"):
            raise TypeError(
                f"zarr_store: {type(zarr_store).__name__} is neither a path nor a group of a store in files or at a URL"
            )
    location = Location.at(where)
    field = _field(location, zarr_field)
    shape = _positive_integers("base_resolution", base_resolution, None)
    chunk_shape = _positive_integers("chunks", _CHUNK if chunks is None else chunks, len(shape))
    voxel_dtype = np.dtype(np.float64 if dtype is None else dtype)
    if voxel_dtype.kind not in "iuf" or voxel_dtype.itemsize > 8:
        raise ValueError(f"dtype: {dtype!r} is neither an integer nor a float dtype")
    ome = ome_zarr_04 if location.read(".zgroup") is not None else ome_zarr_05
    if field.keys():
        if not overwrite_field:
            raise StoreError(f"{field.name}: exists already; set overwrite_field=True, or choose another field")
        field.remove()
    for group in (location, field):
        ome.create_group(group)
    layout = Layout(tuple(min(c, n) for c, n in zip(chunk_shape, shape, strict=True)))
    spec = ome.new_spec(field, "0", Grid(shape), voxel_dtype.name, layout, None)
    array = open_array(spec, field.name, field.context, create=True)
    array.write(_random_voxels(shape, voxel_dtype)).result()


def _random_voxels(shape: list[int], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    rng = np.random.default_rng()
    is_float = dtype.kind == "f"
    values = rng.random(shape) if is_float else rng.integers(0, 100, shape)
    values[tuple(slice(0, n // 2) for n in shape)] += 0.5 if is_float else 50
    if not is_float:
        values = np.minimum(values, min(150, np.iinfo(dtype).max))
    return values.astype(dtype)


def _field(location: Location, name: Any) -> Location:
    if not isinstance(name, str) or not name.strip("/"):
        raise ValueError(f"zarr_field: {name!r} is not the name of a group")
    return location.child(name)


def _positive_integers(name: str, argument: Any, ndim: int | None) -> list[int]:
    """Return positive integers; a scalar is repeated for each of ``ndim`` axes."""
    values = np.asarray(argument)
    valid = (
        values.dtype.kind in "iuf" and values.ndim < 2 and values.size > 0 and bool(np.all(values == np.rint(values)))
    )
    if not valid or values.min() < 1 or values.max() > MAX_COORDINATE:
        raise ValueError(f"{name}: {argument!r} is not a positive whole number or a sequence of them")
    integers = [int(v) for v in values.ravel()]
    if ndim is not None and values.ndim == 0:
        return integers * ndim
    if ndim is not None and len(integers) != ndim:
        raise ValueError(f"{name}: {argument!r} is not one number, or one for each of {ndim} axes")
    return integers
