"""From a volume to its low resolution, to a field, and back: what is read, where the field lies, how it is applied."""

from __future__ import annotations

import hashlib
import itertools
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _arrays
from .._levels import Level, Pooled, levels_of
from .._resample import Resampled
from ..grid import Grid
from ..pooling import Factor, _one_factor
from ._plugins import Plugin, computed

Array = NDArray[Any]
Box = tuple[slice, ...]

#: Voxels that are read at once to make the low resolution, and made at once at full resolution.
_READ_AT_ONCE = 1 << 24
_AT_ONCE = 1 << 20


def apply_scaled_processing(
    source: Any,
    plugin: Any,
    downsample_factor: Factor = 4,
    *,
    target: str | os.PathLike[str] | None = None,
    chunk_size: Sequence[int] | None = None,
    lowres: int | Any = None,
    order: int = 1,
    preserve_dtype: bool = True,
    levels: Any = None,
    source_grid: Grid | None = None,
    engine: Any = "threads",
    progress: bool = True,
    **params: Any,
) -> Any:
    """Compute a field of a volume at low resolution, and apply it at full resolution.

    Parameters
    ----------
    source : array, or path or URL of a store
        The volume, of two axes or more.
    plugin : class, object, or pair of functions
        A :class:`ScaledProcessingPlugin` or anything else with ``lowres_func`` and ``highres_func``. Of a class,
        ``params`` make an object.
    downsample_factor : int or sequence of int
        Voxels of full resolution for one of the low: one number for every axis, or one per axis. A store's level of
        this factor is taken; without, means are made of the volume, a part at a time.
    target : path or URL, optional
        A new store, where the volume goes, with its own pyramid.
    chunk_size : sequence of int, optional
        Voxels per chunk of the target; by default the source's.
    lowres : int or array, optional
        Of a store, the number of the level to take; or the low resolution itself, voxel for voxel that of the factor.
    order : int
        Of what lies between the field's voxels: 1 (linear), or 0 (nearest, for labels and masks), or 2 to 5.
    preserve_dtype : bool
        Make voxels of the source's dtype, integers rounded half to even and within their range; else whatever
        ``highres_func`` makes.
    levels : int or "auto", optional
        Of the target, as for `tinypyr.store.plan`; by default ``"auto"``.
    source_grid : Grid, optional
        Where an array's voxels lie; by default at 0, 1, 2, ... along each axis.
    engine, progress
        As for `tinypyr.store.build`; so far of threads alone, because other processes do not know the field.
    **params
        For a class of plugins.

    Returns
    -------
    array or Report
        Of numpy in, numpy out; of dask, a dask array that is made when it is computed. Of anything else without a
        target, an :class:`Applied`, an array that is made where it is read. With a target, the
        `tinypyr.store.Report` of what was built.

    Raises
    ------
    ValueError, TypeError
        An argument that makes no sense; the message names it.
    PluginError
        The plugin failed; the message names it, and the block.

    Examples
    --------
    >>> import numpy as np
    >>> from tinypyr.multires import GaussianBiasFieldCorrection, apply_scaled_processing
    >>> image = np.full((16, 64, 64), 200, np.uint8)
    >>> image[:, :, 32:] //= 2
    >>> even = apply_scaled_processing(image, GaussianBiasFieldCorrection, 4, sigma=2, normalize=True)
    >>> int(image[8, 32, 4]) - int(image[8, 32, 60]), int(even[8, 32, 4]) - int(even[8, 32, 60])
    (100, 0)
    """
    if not isinstance(preserve_dtype, (bool, np.bool_)):
        raise TypeError(f"preserve_dtype: {preserve_dtype!r} is neither True nor False")
    if target is None and (levels is not None or chunk_size is not None):
        raise ValueError("levels, chunk_size: of a target alone; give one, or leave them out")
    made = Applied(
        source, plugin, downsample_factor, lowres=lowres, order=order, preserve_dtype=bool(preserve_dtype),
        source_grid=source_grid, **params,
    )  # fmt: skip
    if target is not None:
        from .. import store

        how = "auto" if levels is None else levels
        return store.build(made, target, levels=how, chunks=chunk_size, engine=engine, progress=progress)
    if isinstance(source, np.ndarray):
        return made[...]
    if hasattr(source, "dask"):
        import dask.array as da

        return da.from_array(made, chunks=source.chunks, name=False)  # type: ignore[no-untyped-call,unused-ignore]
    return made


@_arrays.view
class Applied:
    """What :func:`apply_scaled_processing` makes, made where it is read.

    Parameters
    ----------
    source, plugin, downsample_factor, lowres, order, preserve_dtype, source_grid, **params
        As of :func:`apply_scaled_processing`.

    Attributes
    ----------
    grid : Grid
        Where its voxels lie.
    field : numpy.ndarray
        What ``lowres_func`` made.
    field_grid : Grid
        Where its voxels lie.
    shape, dtype, ndim
        Of the array.
    """

    def __init__(
        self,
        source: Any,
        plugin: Any,
        downsample_factor: Factor = 4,
        *,
        lowres: int | Any = None,
        order: int = 1,
        preserve_dtype: bool = True,
        source_grid: Grid | None = None,
        **params: Any,
    ) -> None:
        self._plugin = Plugin.of(plugin, params)
        found = levels_of(source, source_grid)
        self._base = base = found[0]
        if base.grid.ndim < 2 or 0 in base.grid.shape:
            raise ValueError(f"source: of shape {base.grid.shape}; two axes or more, and voxels, are needed")
        if base.dtype.kind not in "biuf":
            raise TypeError(f"source: of {base.dtype}; real numbers are needed")
        try:
            factor = _one_factor(downsample_factor, base.grid.ndim)
        except (TypeError, ValueError) as error:
            raise type(error)(f"downsample_factor: {error}") from None
        low, self.field_grid = _low_resolution(found, factor, lowres)
        field = self._plugin.field(low, self.field_grid)
        self.field = field if order == 0 else field.astype(computed(field.dtype), copy=False)
        self._between = Resampled(
            self.field, base.grid, order=order, antialias=False, source_grid=self.field_grid, mode="nearest"
        )
        self.grid, self.shape, self.ndim = base.grid, base.grid.shape, base.grid.ndim
        self.holds_labels = base.holds_labels
        self._keeps = preserve_dtype
        probe = tuple(slice(0, min(n, 8)) for n in self.shape)
        self.dtype = base.dtype if preserve_dtype else self._block(probe).dtype

    def recipe(self) -> dict[str, Any]:
        """What tells it from others; other processes cannot make it again."""
        hashed = hashlib.sha256(np.ascontiguousarray(self.field).tobytes()).hexdigest()
        return {"source": None, "plugin": self._plugin.name, "params": self._plugin.params, "field": hashed}

    @classmethod
    def from_recipe(cls, recipe: dict[str, Any]) -> Applied:
        """Not of a recipe: the field is not in it."""
        raise ValueError(f"{recipe['plugin']}: what it made at low resolution is not kept for other processes")

    def __getitem__(self, box: Any) -> Array:
        """The voxels of a box: slices in steps of 1, integers, an ellipsis."""
        whole, taken = _arrays.boxed(box, self.shape)
        made = np.empty([s.stop - s.start for s in whole], self.dtype)
        for part in _parts(whole, _AT_ONCE):
            made[tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(part, whole, strict=True))] = (
                self._block(part)
            )
        return np.asarray(made[taken])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("copy: False cannot be, because the voxels are made now")
        made = self[...]
        return made if dtype is None else made.astype(dtype, copy=False)

    def _block(self, box: Box) -> Array:
        where = ", ".join(f"{s.start}:{s.stop}" for s in box)
        made = self._plugin.block(self._base.read(box), self._between[box], f"[{where}]")
        return _arrays.rounded(made, self._base.dtype) if self._keeps and made.dtype != self._base.dtype else made


def _low_resolution(levels: list[Level], factor: tuple[int, ...], lowres: Any) -> tuple[Array, Grid]:
    """The volume at low resolution, and where its voxels lie."""
    base = levels[0]
    grid = base.grid.level(factor)
    if isinstance(lowres, (bool, np.bool_)):
        raise TypeError(f"lowres: {lowres!r} is neither the number of a level nor an array")
    if isinstance(lowres, (int, np.integer)):
        if not 0 <= lowres < len(levels):
            raise ValueError(f"lowres: {lowres}, but there are levels 0 to {len(levels) - 1}")
        chosen = levels[lowres]
        return _read(chosen, chosen.grid), chosen.grid
    if lowres is not None:
        given = np.asarray(lowres)
        if given.shape != grid.shape:
            raise ValueError(f"lowres: of shape {given.shape}, but factor {factor} leads to {grid.shape}")
        return given, grid
    for level in levels:
        if level.grid == grid:
            return _read(level, grid), grid
    return _read(Pooled(base, factor, "mode" if base.holds_labels else "mean"), grid, math.prod(factor)), grid


def _read(level: Any, grid: Grid, weight: int = 1) -> Array:
    """All of a level, a part at a time; ``weight``: how many voxels are read for one."""
    parts = iter(_parts(tuple(slice(0, n) for n in grid.shape), max(1, _READ_AT_ONCE // weight)))
    first = next(parts)
    voxels = level.read(first)
    made = np.empty(grid.shape, voxels.dtype)
    made[first] = voxels
    for part in parts:
        made[part] = level.read(part)
    return made


def _parts(box: Box, most: int) -> Any:
    """A box, cut along its first axes into parts of about so many voxels."""
    room, steps = most, []
    for s in reversed(box):
        steps.append(max(1, min(s.stop - s.start, room)))
        room //= steps[-1]
    along = [
        [slice(a, min(s.stop, a + step)) for a in range(s.start, s.stop, step)]
        for s, step in zip(box, reversed(steps), strict=True)
    ]
    return itertools.product(*along)
