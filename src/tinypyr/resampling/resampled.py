"""Resampling from one grid to another, in memory (`resample`) or lazily (`Resampled`)."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _arrays
from .._util.files import absolute_url
from ..grid import SCALE_TOLERANCE, Grid, as_arguments, grid_from
from ..volume import place_of
from .levels import Level, Pooled, open_levels
from .sampler import Combination, Sampling, as_matrix, source_bounds, split_affine


def resample(
    source: Any,
    grid: Grid,
    transform: ArrayLike | None = None,
    order: int = 1,
    anti_aliasing: bool = True,
    *,
    source_grid: Grid | None = None,
    mode: str = "border",
    cval: float = 0.0,
    prefilter: bool = True,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Resample a volume at the voxels of another grid.

    Parameters
    ----------
    source : array, or path or URL of a store
        The volume. All levels of a store are used.
    grid : Grid
        The grid of the output, in world coordinates. Its axes may be in another order than the source's.
    transform : array_like, optional
        The affine map from the world coordinates of ``grid`` to those of the source, of shape (n, n + 1) or
        (n + 1, n + 1), with axes in the order of ``grid``. Default: the identity.
    order : int
        Order of the interpolation: 0 (nearest; the only one for labels), 1 (linear), or 2 to 5 (splines; needs scipy).
    anti_aliasing : bool
        If True, read the coarsest level whose voxels are no larger than the output's along every axis, and pool it by
        the largest whole factor that still fits. If False, read level 0, and skip voxels between larger ones.
    source_grid : Grid, optional
        The grid of an array. Default: voxels at 0, 1, 2, ... along each axis, with the axes of ``grid``.
    mode : str
        The boundary mode. ``"border"``: voxels extend half their length beyond their centres, and the output is
        ``cval`` further out. Otherwise a mode of `tinypyr.ndinterp.affine_transform`.
    cval : float
        The value outside the source in the modes ``"border"``, ``"constant"`` and ``"grid-constant"``.
    prefilter : bool
        For orders above 1: False if the source's voxels are spline coefficients already.
    out : numpy.ndarray, optional
        An array of the grid's shape and the source's dtype to write the result to.

    Returns
    -------
    numpy.ndarray
        An array of the grid's shape and the source's dtype: ``out``, if it was passed.

    Raises
    ------
    ValueError, TypeError
        An argument is invalid; the message names it.

    Notes
    -----
    With ``anti_aliasing``, a coarse view of a large store reads little of it. Voxels are pooled by their mean, or by
    their mode for order 0. Detail that the output's voxels can show is kept: of voxels that are longer along one axis,
    and rotated, that axis is not pooled.

    Examples
    --------
    >>> import numpy as np
    >>> import tinypyr
    >>> ramp = np.arange(8.0)
    >>> tinypyr.resample(ramp, tinypyr.Grid((4,), scale=[2], translation=[0.5]))  # means of two voxels
    array([0.5, 2.5, 4.5, 6.5])
    >>> tinypyr.resample(ramp, tinypyr.Grid((3,), scale=[0.25], translation=[3]))
    array([3.  , 3.25, 3.5 ])
    """
    view = Resampled(
        source,
        grid,
        transform,
        order,
        anti_aliasing,
        source_grid=source_grid,
        mode=mode,
        cval=cval,
        prefilter=prefilter,
    )
    target = _checked_out(out, grid, view.dtype)
    if out is not None and _arrays.share_memory(out, source):
        raise ValueError("out: it shares memory with the source; pass another array")
    view.fill(target, (0,) * grid.ndim, grid.shape)
    return target


def resample_like(
    source: Any,
    other: Any,
    transform: ArrayLike | None = None,
    order: int = 1,
    anti_aliasing: bool = True,
    *,
    source_grid: Grid | None = None,
    mode: str = "border",
    cval: float = 0.0,
    prefilter: bool = True,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Resample a volume at the voxels of another volume.

    Parameters
    ----------
    source, transform, order, anti_aliasing, source_grid, mode, cval, prefilter, out
        As in `resample`.
    other : Grid, array with a grid, or path or URL of a store
        The volume whose grid the output has; of a store, that of level 0.

    Returns
    -------
    numpy.ndarray
        An array of the other volume's shape and the source's dtype.

    Examples
    --------
    >>> import numpy as np
    >>> import tinypyr
    >>> fine = tinypyr.Grid((4, 4), scale=(0.5, 0.5), translation=(-0.25, -0.25))
    >>> tinypyr.resample_like(np.array([[1, 2], [3, 4]]), fine, order=0)[1]
    array([1, 1, 2, 2])
    """
    return resample(
        source,
        other if isinstance(other, Grid) else open_levels(other, None, "other")[0].grid,
        transform,
        order,
        anti_aliasing,
        source_grid=source_grid,
        mode=mode,
        cval=cval,
        prefilter=prefilter,
        out=out,
    )


@_arrays.register_view
class Resampled:
    """A volume resampled at another grid, computed lazily: each slice is resampled when it is read.

    The array may exceed memory, because nothing is kept. It has a shape, a dtype and a grid, and its slices are numpy
    arrays, so it is a source for `tinypyr.store.build`, which writes it block by block with its levels, and for
    ``dask.array.from_array``. If it reads a store, other processes and machines can build from it, too.

    Parameters
    ----------
    source, grid, transform, order, anti_aliasing, source_grid, mode, cval, prefilter
        As in `resample`.

    Attributes
    ----------
    grid : Grid
        The grid of the array.
    shape : tuple of int
        The shape of the grid.
    dtype : numpy.dtype
        The dtype of the source.
    ndim : int
        The number of axes.
    holds_labels : bool
        True if the voxels are labels, which must not be averaged.
    kind : {"image", "labels"} or None
        The kind of voxels that the source records.

    Examples
    --------
    >>> import numpy as np
    >>> import tinypyr
    >>> from tinypyr import store
    >>> fine = tinypyr.Grid((6, 8), scale=(0.5, 0.5))
    >>> view = tinypyr.Resampled(np.arange(12.0).reshape(3, 4), fine)
    >>> view
    Resampled(an array, level 0, at 6 x 8 voxels, float64, order=1, mode='border')
    >>> view[2:4, 1]
    array([4.5, 6.5])
    >>> report = store.build(view, "memory://fine.ome.zarr", levels=1, progress=False)
    """

    #: Most voxels of the output computed at once, and most voxels of the source held for them.
    _at_once, _read_at_once = 1 << 21, 1 << 24

    def __init__(
        self,
        source: Any,
        grid: Grid,
        transform: ArrayLike | None = None,
        order: int = 1,
        anti_aliasing: bool = True,
        *,
        source_grid: Grid | None = None,
        mode: str = "border",
        cval: float = 0.0,
        prefilter: bool = True,
    ) -> None:
        if not isinstance(grid, Grid):
            raise TypeError(f"grid: {type(grid).__name__} is not a Grid; pass tinypyr.Grid(shape, scale=...)")
        for name, value in (("anti_aliasing", anti_aliasing), ("prefilter", prefilter)):
            if not isinstance(value, (bool, np.bool_)):
                raise TypeError(f"{name}: {value!r} is neither True nor False")
        source = place_of(source)
        levels = _source_levels(source, source_grid, grid, order)
        matrix, shift = _world_map(transform, grid.ndim)
        self._level, factor = _choose_level(levels, grid, matrix) if anti_aliasing else (0, (1,) * grid.ndim)
        level = levels[self._level]
        self._pooled = pooled = Pooled(level, factor, "mode" if order == 0 else "mean")
        self._matrix, self._offset = to_voxels, offset = _voxel_map(pooled.grid, grid, matrix, shift)
        if not np.isfinite(source_bounds(to_voxels, offset, [0] * grid.ndim, grid.shape)).all():
            raise ValueError(
                f"grid: its voxels have no finite coordinates in the source (matrix {to_voxels.tolist()}, offset "
                f"{offset}); check the scale and translation of both grids"
            )
        identity_axes = _identity_axes(pooled.grid, grid, to_voxels, offset, order)
        self._sampling = Sampling(pooled.grid.shape, level.dtype, order, mode, cval, bool(prefilter), identity_axes)
        self.grid = grid
        self.holds_labels, self.kind = level.holds_labels, level.kind
        self.shape = grid.shape
        self.dtype = level.dtype
        self.ndim = grid.ndim
        self._recipe = {
            "source": absolute_url(source) if isinstance(source, (str, os.PathLike)) else None,
            "grid": as_arguments(grid),
            "transform": np.column_stack([matrix, shift]).tolist(),
            "order": int(order),
            "anti_aliasing": bool(anti_aliasing),
            "source_grid": None if source_grid is None else as_arguments(source_grid),
            "mode": mode,
            "cval": _arrays.number_as_json(self._sampling.cval),
            "prefilter": bool(prefilter),
            "reads": [self._level, list(factor), as_arguments(level.grid), level.dtype.name],
        }

    def __repr__(self) -> str:
        factor = self._pooled.factor
        pooled = f" pooled by {' x '.join(map(str, factor))}" if max(factor, default=1) > 1 else ""
        return (
            f"Resampled({self._recipe['source'] or 'an array'}, level {self._level}{pooled}, at "
            f"{' x '.join(map(str, self.shape))} voxels, {self.dtype}, order={self._sampling.order}, "
            f"mode={self._sampling.mode!r})"
        )

    def recipe(self) -> dict[str, Any]:
        """Return the arguments as JSON values, and which level is read; the source is None if it is an array."""
        return dict(self._recipe)

    @classmethod
    def from_recipe(cls, recipe: dict[str, Any]) -> Resampled:
        """Return the array that ``recipe`` describes; raise ValueError if the store has other levels now."""
        arguments = dict(recipe)
        arguments["grid"] = grid_from(arguments["grid"])
        arguments["cval"] = _arrays.number_from_json(arguments["cval"])
        reads = arguments.pop("reads")
        view = cls(**arguments)
        if _arrays.as_json(view.recipe()["reads"]) != reads:
            raise ValueError(f"{arguments['source']}: its levels have changed")
        return view

    def fill(
        self, out: NDArray[Any], start: Sequence[int], stop: Sequence[int], combination: Combination | None = None
    ) -> None:
        """Fill ``out`` with the voxels from ``start`` up to ``stop``.

        A box that is large, or needs many voxels of the source, is halved recursively. If ``combination`` is given,
        ``out`` gets the result of the operation, in its own dtype; all voxels must then be inside the source.
        """
        sampling = self._sampling
        if out.size == 0:
            return
        spans = sampling.required_spans(*source_bounds(self._matrix, self._offset, start, stop))
        read_count = 0 if spans is None else self._pooled.voxels(spans)
        # (a combination holds as many voxels already)
        limit = self._at_once if combination is None else self._read_at_once
        if out.size > limit or (out.size > 1 and read_count > self._read_at_once):
            axis = max(range(self.ndim), key=lambda axis: out.shape[axis])
            middle = (start[axis] + stop[axis]) // 2
            low, high = np.split(out, [middle - start[axis]], axis)
            halves = (None, None) if combination is None else combination.split(middle - start[axis], axis)
            self.fill(low, start, [*stop[:axis], middle, *stop[axis + 1 :]], halves[0])
            self.fill(high, [*start[:axis], middle, *start[axis + 1 :]], stop, halves[1])
        elif spans is None:
            out[...] = sampling.fill_value()
        else:
            part = sampling.read_part(spans, self._pooled.read)
            sampling.affine(part, spans, self._matrix, self._offset, start, out, combination)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("copy: a lazy array is computed on conversion, so copy=False is not possible")
        voxels = self[...]
        return voxels if dtype is None else voxels.astype(dtype, copy=False)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """Return the voxels of an index of slices with step 1, integers and an ellipsis."""
        box, selection = _arrays.normalize_index(index, self.shape)
        voxels = np.empty([along.stop - along.start for along in box], self.dtype)
        self.fill(voxels, [along.start for along in box], [along.stop for along in box])
        return np.asarray(voxels[selection])


def _source_levels(source: Any, source_grid: Grid | None, grid: Grid, order: int) -> list[Level]:
    """Return the source's levels with their axes in the order of ``grid``; raise an error if they do not fit."""
    levels = open_levels(source, source_grid, axes=grid.axes)
    base = levels[0].grid
    if levels[0].holds_labels and order != 0:
        raise ValueError(f"order: {order!r} would produce labels that the source does not have; use order=0")
    if sorted(grid.axes) != sorted(base.axes):
        raise ValueError(f"grid: its axes are {grid.axes}, but the source has {base.axes}")
    if grid.axes != base.axes:
        levels = [level.reordered(grid.axes) for level in levels]
        base = levels[0].grid
    for axis, unit, source_unit in zip(grid.axes, grid.units, base.units, strict=True):
        if unit is not None and source_unit is not None and unit != source_unit:
            raise ValueError(f"grid: the unit of axis {axis} is {unit}, but the source has {source_unit}")
    return levels


def _checked_out(out: NDArray[Any] | None, grid: Grid, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return ``out``, or a new array; raise ValueError if ``out`` does not fit."""
    if out is None:
        return np.empty(grid.shape, dtype)
    if not isinstance(out, np.ndarray) or out.shape != grid.shape or out.dtype != dtype:
        description = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise ValueError(f"out: {description} does not fit; pass an array of {dtype} and shape {grid.shape}")
    if not out.flags.writeable:
        raise ValueError("out: the array is read-only; pass a writable one")
    return out


def _world_map(transform: ArrayLike | None, ndim: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the matrix and the shift of ``transform``."""
    if transform is None:
        return np.eye(ndim), np.zeros(ndim)
    affine = as_matrix("transform", transform)
    if affine.shape not in ((ndim, ndim + 1), (ndim + 1, ndim + 1)):
        raise ValueError(
            f"transform: its shape is {affine.shape}; pass one of ({ndim}, {ndim + 1}) or ({ndim + 1}, {ndim + 1})"
        )
    matrix, shift = split_affine("transform", affine, ndim)
    return matrix, np.array(shift)


def _voxel_map(
    source: Grid, grid: Grid, matrix: NDArray[np.float64], shift: NDArray[np.float64]
) -> tuple[NDArray[np.float64], list[float]]:
    """Return the matrix and the offset that map voxel indices of the output to those of the source."""
    with np.errstate(over="ignore", invalid="ignore"):
        to_voxels = matrix * np.array(grid.scale) / np.array(source.scale)[:, None]
        offset = (matrix @ np.array(grid.translation) + shift - np.array(source.translation)) / np.array(source.scale)
    return to_voxels, offset.tolist()


def _identity_axes(
    source: Grid, grid: Grid, matrix: NDArray[np.float64], offset: Sequence[float], order: int
) -> tuple[int, ...]:
    """Return the axes along which the core is called once per index, because index o of both grids is the same.

    Channels are always separated, so that they do not mix. Axes of space are separated only where the core has faster
    loops for the remaining ones, or where no prefilter is needed along them.
    """
    differs = matrix != np.eye(grid.ndim)
    identity = [
        axis
        for axis in range(grid.ndim)
        if not (differs[axis].any() or differs[:, axis].any() or offset[axis] != 0)
        and grid.shape[axis] <= source.shape[axis]
    ]
    separated = [axis for axis in identity if axis not in source.spatial]
    spatial = [axis for axis in identity if axis in source.spatial]
    separated += spatial[: max(0, grid.ndim - len(separated) - (2 if order > 1 else 3))]
    return tuple(sorted(separated[: grid.ndim - 1]))


def _choose_level(levels: list[Level], grid: Grid, matrix: NDArray[np.float64]) -> tuple[int, tuple[int, ...]]:
    """Return the coarsest level whose voxels fit into the output's along every axis, and the factor left to pool."""
    with np.errstate(all="ignore"):
        edges = matrix * np.array(grid.scale)  # the edges of an output voxel, in the source's world
        try:  # the longest line along each axis of the source inside that voxel
            reach = 1 / np.hypot.reduce(np.linalg.inv(edges), axis=0)
        except np.linalg.LinAlgError:
            reach = np.full(grid.ndim, np.nan)
        if not np.isfinite(reach).all():  # flat voxels
            reach = np.hypot.reduce(edges, axis=1)
    coarsest = 0
    for number, level in enumerate(levels):
        if all(r >= s * (1 - SCALE_TOLERANCE) for r, s in zip(reach, level.grid.scale, strict=True)):
            coarsest = number
    level_grid = levels[coarsest].grid
    factor = [
        math.floor(min(r / s * (1 + SCALE_TOLERANCE), max(1, n))) if axis in level_grid.spatial else 1
        for axis, (r, s, n) in enumerate(zip(reach.tolist(), level_grid.scale, level_grid.shape, strict=True))
    ]
    return coarsest, tuple(max(1, f) for f in factor)
