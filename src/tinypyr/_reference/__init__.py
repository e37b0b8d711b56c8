"""The numpy implementation of every method for every dtype: slow, and simple.

It defines the results. Compiled kernels are tested against it bit for bit, and it runs for dtypes that the core does
not support (float16, complex, long double) and if the extension is missing. Arguments are checked in
:mod:`tinypyr.pooling`, never here.

- :mod:`.accumulators`: ``mean``, ``min`` and ``max`` have a small accumulator (sums and counts, or the extreme itself).
  The accumulator of a level is that of the level below, reduced along axis 0, then axis 1, and so on; a voxel is
  computed from its accumulator.
- :mod:`.planes`: ``mode``, ``median`` and ``stride`` need every voxel of the footprint. The volume is split into one
  plane per position in the footprint, in raster order with axis 0 fastest, and a voxel is selected across planes.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from .accumulators import Mean, Reduction, reduce_levels
from .footprints import Array, Factor, edges, extent, present
from .planes import SELECT, footprint_planes
from .values import canonical, prepared, same

__all__ = ["Mean", "Reduction", "edges", "extent", "present", "pyramid", "reduce_levels"]


def pyramid(
    array: Array,
    factors: Sequence[Factor],
    *,
    method: str,
    ignore: Any,
    rounding: str,
    ties: str,
    voxel_offset: Factor,
) -> list[Array]:
    """Return every level of a pyramid, finest first, in C order and native byte order.

    Parameters
    ----------
    array : numpy.ndarray
        The base.
    factors : sequence of tuple of int
        One factor per axis for each level, relative to the level before.
    method, rounding, ties
        As in :func:`tinypyr.pyramid`.
    ignore : scalar or None
        A value of the array's dtype.
    voxel_offset : tuple of int
        The offset of the base.
    """
    if array.ndim == 0:  # numpy turns 0-d results into scalars, with rules of their own
        levels = pyramid(
            array.reshape(1),
            [(1,)] * len(factors),
            method=method,
            ignore=ignore,
            rounding=rounding,
            ties=ties,
            voxel_offset=(0,),
        )
        return [level.reshape(()) for level in levels]
    if method in ("mean", "min", "max"):
        return reduce_levels(array, factors, method, ignore, rounding, voxel_offset)[0]
    array, ignore = prepared(array, method, ignore)
    with np.errstate(all="ignore"):
        select = functools.partial(SELECT[method], dtype=array.dtype, ties=ties)
        levels = []
        cumulative = (1,) * array.ndim
        for factor in factors:
            cumulative = tuple(min(c * f, 2**62) for c, f in zip(cumulative, factor, strict=True))
            # "stride" copies a voxel; the others compare values, of which -0.0 and 0.0 are one, and so are all NaN
            voxels = array if method == "stride" else canonical(array)
            planes, valid = footprint_planes(voxels, cumulative, voxel_offset)
            if ignore is not None:
                valid = valid & ~same(planes, ignore)
            level = select(planes, valid)
            if ignore is not None:
                level = np.where(valid.any(axis=0), level, ignore).astype(array.dtype)
            levels.append(level)
        return levels
