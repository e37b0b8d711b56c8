"""From one grid to another: the voxels of a volume, or of the level of it that fits, at the places of other voxels."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _arrays
from ..grid import Grid, as_arguments, grid_from
from .levels import Level, Pooled, levels_of
from .sampler import Combined, Sampling, box_of, matrix_of, split_affine

#: Voxels of the output that are made at once, and of the source that are read for them and held meanwhile.
_AT_ONCE = 1 << 21
_READ_AT_ONCE = 1 << 24


def resample(
    source: Any,
    grid: Grid,
    transform: ArrayLike | None = None,
    order: int = 1,
    antialias: bool = True,
    *,
    source_grid: Grid | None = None,
    mode: str = "border",
    cval: float = 0.0,
    prefilter: bool = True,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """The source seen through another grid.

    Where the output's voxels are larger than the source's, what lies between would be skipped. With ``antialias``,
    values come from the coarsest level of the source whose voxels fit into the output's, along every axis; where there
    is none as coarse (or of an array, which has none), the missing whole factor is pooled on the way: by mean, or by
    mode for order 0. So a coarse view of a large store reads little of it. Nothing that voxels of the output's size
    could show is blurred: of voxels longer along one axis, turned, that axis does not count.

    Parameters
    ----------
    source : array, or path or URL of a store
        What is seen. Of a store, all levels.
    grid : Grid
        Where the output's voxels lie, in the world; its axes may be in another order than the source's.
    transform : array_like, optional
        Of shape (n, n + 1) or (n + 1, n + 1), axes in the order of ``grid``: the affine map from the world of ``grid``
        to that of the source, as other tools' resampling takes it; by default they are the same world.
    order : int
        0 (nearest; of labels no other), 1 (linear), 2 to 5 (splines, with scipy).
    antialias : bool
        See above; False takes level 0.
    source_grid : Grid, optional
        Where an array's voxels lie; by default at 0, 1, 2, ... along each axis, and these are the axes of ``grid``.
    mode, cval
        What lies beyond the source. ``"border"``: voxels reach half their length beyond their centres, and from there
        on ``cval``. Or a mode of `tinypyr.ndinterp.affine_transform`.
    prefilter : bool
        Of order 2 and more: False says that the source's voxels are the spline's coefficients already.
    out : numpy.ndarray, optional
        Where the output goes, of the grid's shape and the source's dtype.

    Returns
    -------
    numpy.ndarray
        Of the grid's shape and the source's dtype; ``out``, if it was given.

    Raises
    ------
    ValueError, TypeError
        An argument that makes no sense; the message names it.

    Examples
    --------
    >>> import numpy as np
    >>> import tinypyr
    >>> ramp = np.arange(8.0)
    >>> tinypyr.resample(ramp, tinypyr.Grid((4,), scale=[2], translation=[0.5]))  # as large as the mean of two
    array([0.5, 2.5, 4.5, 6.5])
    >>> tinypyr.resample(ramp, tinypyr.Grid((3,), scale=[0.25], translation=[3]))
    array([3.  , 3.25, 3.5 ])
    """
    view = Resampled(
        source, grid, transform, order, antialias, source_grid=source_grid, mode=mode, cval=cval, prefilter=prefilter
    )
    made = _checked_out(out, grid, view.dtype)
    if out is not None and _arrays.share_memory(out, source):
        raise ValueError("out: shares memory with the source, which is still to be read")
    view.fill(made, (0,) * grid.ndim, grid.shape)
    return made


@_arrays.view
class Resampled:
    """What `resample` would make, made where it is asked for: an array that is as large as one likes.

    It has a shape, a dtype and a grid, and slices of it are numpy arrays; nothing is kept. So it is a source for
    `tinypyr.store.build` (which writes it block by block, with its levels, in bounded memory; of a store also by other
    processes and machines) and for ``dask.array.from_array``.

    Parameters
    ----------
    source, grid, transform, order, antialias, source_grid, mode, cval, prefilter
        As of `resample`.

    Attributes
    ----------
    grid : Grid
        Where its voxels lie.
    shape : tuple of int
    dtype : numpy.dtype
    ndim : int
    holds_labels : bool
        Whether its voxels are labels, which must not be averaged.
    kind : {"image", "labels"} or None
        What the source says that they are.

    Examples
    --------
    >>> import numpy as np
    >>> import tinypyr
    >>> from tinypyr import store
    >>> fine = tinypyr.Grid((6, 8), scale=(0.5, 0.5))
    >>> view = tinypyr.Resampled(np.arange(12.0).reshape(3, 4), fine)
    >>> view[2:4, 1]
    array([4.5, 6.5])
    >>> report = store.build(view, "memory://fine.ome.zarr", levels=1, progress=False)
    """

    def __init__(
        self,
        source: Any,
        grid: Grid,
        transform: ArrayLike | None = None,
        order: int = 1,
        antialias: bool = True,
        *,
        source_grid: Grid | None = None,
        mode: str = "border",
        cval: float = 0.0,
        prefilter: bool = True,
    ) -> None:
        if not isinstance(grid, Grid):
            raise TypeError(f"grid: {type(grid).__name__} is not a Grid; tinypyr.Grid(shape, scale=...) makes one")
        for name, value in (("antialias", antialias), ("prefilter", prefilter)):
            if not isinstance(value, (bool, np.bool_)):
                raise TypeError(f"{name}: {value!r} is neither True nor False")
        levels = levels_of(source, source_grid, axes=grid.axes)
        base = levels[0].grid
        if levels[0].holds_labels and order != 0:
            raise ValueError(f"order: {order!r} of labels would make labels that are nowhere; use order=0")
        if sorted(grid.axes) != sorted(base.axes):
            raise ValueError(f"grid: of axes {grid.axes}, but the source has {base.axes}")
        if grid.axes != base.axes:  # the same ones in another order
            levels = [level.reordered(grid.axes) for level in levels]
            base = levels[0].grid
        for axis, ours, theirs in zip(grid.axes, grid.units, base.units, strict=True):
            if ours is not None and theirs is not None and ours != theirs:
                raise ValueError(f"grid: axis {axis} is in {ours}, but the source's in {theirs}")
        matrix, shift = _world_map(transform, grid.ndim)
        self._level, factor = _level_for(levels, grid, matrix) if antialias else (0, (1,) * grid.ndim)
        level = levels[self._level]
        self._pooled = view = Pooled(level, factor, "mode" if order == 0 else "mean")
        self._matrix, self._offset = to_voxels, offset = _voxel_map(view.grid, grid, matrix, shift)
        if not np.isfinite(box_of(to_voxels, offset, [0] * grid.ndim, grid.shape)).all():
            raise ValueError(f"grid: its voxels lie beyond all numbers in the source: {to_voxels.tolist()}, {offset}")
        moved = to_voxels != np.eye(grid.ndim)
        still = tuple(
            axis
            for axis in range(grid.ndim)
            if not (moved[axis].any() or moved[:, axis].any() or offset[axis] != 0)
            and grid.shape[axis] <= view.grid.shape[axis]
        )
        # each of their voxels is a call of its own: those of channels stay apart, others where the core has loops for
        # the rest alone, or need not be filtered along them
        apart = [axis for axis in still if axis not in base.spatial]
        others = [axis for axis in still if axis not in apart]
        apart += others[: max(0, grid.ndim - len(apart) - (2 if order > 1 else 3))]
        still = tuple(sorted(apart[: grid.ndim - 1]))
        self._sampling = Sampling(view.grid.shape, level.dtype, order, mode, cval, bool(prefilter), still)
        self.grid = grid
        self.holds_labels, self.kind = level.holds_labels, level.kind
        self.shape = grid.shape
        self.dtype = level.dtype
        self.ndim = grid.ndim
        self._recipe = {
            "source": _arrays.absolute_url(source) if isinstance(source, (str, os.PathLike)) else None,
            "grid": as_arguments(grid),
            "transform": np.column_stack([matrix, shift]).tolist(),
            "order": int(order),
            "antialias": bool(antialias),
            "source_grid": None if source_grid is None else as_arguments(source_grid),
            "mode": mode,
            "cval": _arrays.number_as_json(self._sampling.cval),
            "prefilter": bool(prefilter),
            "sees": [self._level, list(factor), as_arguments(level.grid), level.dtype.name],
        }

    def __repr__(self) -> str:
        source = self._recipe["source"] or "an array"
        pooled = " x ".join(map(str, self._pooled.factor))
        extents = " x ".join(map(str, self.shape))
        return f"Resampled({source}: level {self._level}, pooled by {pooled}, at {extents} voxels, {self.dtype})"

    def recipe(self) -> dict[str, Any]:
        """As JSON: what it was made with; an array as source is None."""
        return dict(self._recipe)

    @classmethod
    def from_recipe(cls, recipe: dict[str, Any]) -> Resampled:
        """What a recipe tells, of a store; refused if that has other levels now."""
        given = dict(recipe)
        given["grid"] = grid_from(given["grid"])
        given["cval"] = _arrays.number_from_json(given["cval"])
        seen = given.pop("sees")
        made = cls(**given)
        if _arrays.as_json(made.recipe()["sees"]) != seen:
            raise ValueError(f"{given['source']}: its levels are not where they were, or others")
        return made

    def fill(
        self, out: NDArray[Any], start: Sequence[int], stop: Sequence[int], combined: Combined | None = None
    ) -> None:
        """Make the voxels from ``start`` up to ``stop``: halves of them, where these or what they need are many.

        With ``combined``, what is made of others and these, of whatever dtype ``out`` has; none may lie beyond the
        source then.
        """
        sampling = self._sampling
        if out.size == 0:
            return
        spans = sampling.needed(*box_of(self._matrix, self._offset, start, stop))
        needed = 0 if spans is None else self._pooled.voxels(spans)
        most = _AT_ONCE if combined is None else _READ_AT_ONCE  # (what lies beside is as large already)
        if out.size > most or (out.size > 1 and needed > _READ_AT_ONCE):
            axis = max(range(self.ndim), key=lambda axis: out.shape[axis])
            middle = (start[axis] + stop[axis]) // 2
            low, high = np.split(out, [middle - start[axis]], axis)
            parts = (None, None) if combined is None else combined.split(middle - start[axis], axis)
            self.fill(low, start, [*stop[:axis], middle, *stop[axis + 1 :]], parts[0])
            self.fill(high, [*start[:axis], middle, *start[axis + 1 :]], stop, parts[1])
        elif spans is None:
            out[...] = sampling.fill()
        else:
            part = sampling.part(spans, self._pooled.read)
            sampling.affine(part, spans, self._matrix, self._offset, start, out, combined)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("copy: False cannot be, because the voxels are made now")
        made = self[...]
        return made if dtype is None else made.astype(dtype, copy=False)

    def __getitem__(self, box: Any) -> NDArray[Any]:
        """The voxels of a box: slices in steps of 1, integers, an ellipsis."""
        whole, taken = _arrays.normalize_index(box, self.shape)
        made = np.empty([along.stop - along.start for along in whole], self.dtype)
        self.fill(made, [along.start for along in whole], [along.stop for along in whole])
        return np.asarray(made[taken])


def resample_like(
    source: Any, other: Any, transform: ArrayLike | None = None, order: int = 1, **how: Any
) -> NDArray[Any]:
    """The source at the voxels of another volume.

    Parameters
    ----------
    source, transform, order, how
        As of `resample`.
    other : Grid, or path or URL of a store
        Where the output's voxels lie; of a store, those of its level 0.

    Returns
    -------
    numpy.ndarray

    Examples
    --------
    >>> import numpy as np
    >>> import tinypyr
    >>> fine = tinypyr.Grid((4, 4), scale=(0.5, 0.5), translation=(-0.25, -0.25))
    >>> tinypyr.resample_like(np.array([[1, 2], [3, 4]]), fine, order=0)[1]
    array([1, 1, 2, 2])
    """
    return resample(
        source, other if isinstance(other, Grid) else levels_of(other, None, "other")[0].grid, transform, order, **how
    )


def _checked_out(out: NDArray[Any] | None, grid: Grid, dtype: np.dtype[Any]) -> NDArray[Any]:
    if out is None:
        return np.empty(grid.shape, dtype)
    if not isinstance(out, np.ndarray) or out.shape != grid.shape or out.dtype != dtype:
        told = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise ValueError(f"out: {told}; an array of {dtype} and shape {grid.shape} is needed")
    if not out.flags.writeable:
        raise ValueError("out: is read-only")
    return out


def _world_map(transform: ArrayLike | None, ndim: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if transform is None:
        return np.eye(ndim), np.zeros(ndim)
    made = matrix_of("transform", transform)
    if made.shape not in ((ndim, ndim + 1), (ndim + 1, ndim + 1)):
        raise ValueError(
            f"transform: of shape {made.shape}; ({ndim}, {ndim + 1}) or ({ndim + 1}, {ndim + 1}) is needed"
        )
    matrix, shift = split_affine("transform", made, ndim)
    return matrix, np.array(shift)


def _voxel_map(
    source: Grid, grid: Grid, matrix: NDArray[np.float64], shift: NDArray[np.float64]
) -> tuple[NDArray[np.float64], list[float]]:
    """From the output's voxels to the source's."""
    with np.errstate(over="ignore", invalid="ignore"):
        to_voxels = matrix * np.array(grid.scale) / np.array(source.scale)[:, None]
        offset = (matrix @ np.array(grid.translation) + shift - np.array(source.translation)) / np.array(source.scale)
    return to_voxels, offset.tolist()


def _level_for(levels: list[Level], grid: Grid, matrix: NDArray[np.float64]) -> tuple[int, tuple[int, ...]]:
    """The coarsest level whose voxels fit into the output's along every axis, and what is left to pool."""
    with np.errstate(all="ignore"):
        voxel = matrix * np.array(grid.scale)  # of the output, in the source's world: its edges
        try:  # how far along an axis of the source one stays within it
            reach = 1 / np.hypot.reduce(np.linalg.inv(voxel), axis=0)
        except np.linalg.LinAlgError:
            reach = np.full(grid.ndim, np.nan)
        if not np.isfinite(reach).all():  # of voxels that are flat
            reach = np.hypot.reduce(voxel, axis=1)
    chosen = 0
    for number, level in enumerate(levels):
        if all(r >= s * (1 - 1e-9) for r, s in zip(reach, level.grid.scale, strict=True)):
            chosen = number
    place = levels[chosen].grid
    left = [
        math.floor(min(r / s * (1 + 1e-9), max(1, n))) if axis in place.spatial else 1
        for axis, (r, s, n) in enumerate(zip(reach.tolist(), place.scale, place.shape, strict=True))
    ]
    return chosen, tuple(max(1, f) for f in left)
