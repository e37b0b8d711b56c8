"""Values between voxels of chunked arrays: affine maps, rotations, values at coordinates, spline filters.

Names and arguments are those of :mod:`scipy.ndimage` as dask-image users know them; the results are lazy dask arrays,
and their values those that scipy gives for the whole array, whatever the chunks. Inputs are arrays of dask, numpy,
zarr, TensorStore and the like; nothing of them is read before the result is computed, and then chunk by chunk.

What differs from scipy: voxels of order 0 are copied, so 64-bit labels stay as they are; integers that would not fit
their type take its nearest value instead of wrapping; float16 is computed as float32; coefficients are cast to
``output`` once, not after every axis; sums are added in another order, so that an integer halfway between two others
may become the other one; and with orders above 1 what is not finite reaches the voxels around it, not all of the array.
``prefilter`` is true by default, as in scipy, for orders above 1.

Examples
--------
>>> import dask.array as da
>>> import numpy as np
>>> from tinypyr.ndinterp import affine_transform
>>> image = da.from_array(np.arange(64.0).reshape(8, 8), chunks=4)
>>> moved = affine_transform(image, np.eye(2), offset=(0.5, 0), mode="nearest")
>>> moved.chunks
((4, 4), (4, 4))
>>> moved[:2, :2].compute()
array([[ 4.,  5.],
       [12., 13.]])
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

try:
    import dask.array as da
    from scipy.special import cosdg, sindg
except ImportError:
    raise ImportError('tinypyr.ndinterp needs dask and scipy: pip install "tinypyr[dask]"') from None

from ..resampling.sampler import Sampling, box_of, coordinates_of, matrix_of, split_affine
from ._graph import Affine, Filter, lazy, places, usual_depth
from ._input import Input

__all__ = ["affine_transform", "map_coordinates", "rotate", "spline_filter", "spline_filter1d"]


def affine_transform(
    image: Any,
    matrix: ArrayLike,
    offset: ArrayLike = 0.0,
    output_shape: Sequence[int] | None = None,
    order: int = 1,
    output_chunks: Any = None,
    *,
    mode: str = "constant",
    cval: complex = 0.0,
    prefilter: bool = True,
) -> da.Array:
    """The image seen through an affine map: voxel ``o`` of the output is the value at ``matrix @ o + offset``.

    Parameters
    ----------
    image : array
        Of dask, numpy, zarr, TensorStore or alike; booleans, integers, floats (float16, too) or complex numbers.
    matrix : array_like
        For n dimensions of shape (n,) (a diagonal), (n, n), (n, n + 1) or (n + 1, n + 1); the last two bring their own
        offset as last column, and ``offset`` is not looked at.
    offset : float or sequence of float
        One for every axis, or one per axis, in voxels.
    output_shape : sequence of int, optional
        By default that of the image.
    order : int
        0 (the nearest voxel, copied as it is), 1 (linear), 2 to 5 (splines).
    output_chunks : optional
        As dask takes them; by default the image's chunks, or some 16 MiB where it has none.
    mode : str
        What lies beyond the image, as in scipy: constant, grid-constant, nearest, mirror, reflect, grid-mirror, wrap or
        grid-wrap; or "border", as constant, but that voxels reach half their length beyond their centres.
    cval : number
        What lies there with the two constant modes.
    prefilter : bool
        Whether voxels are values (orders above 1 then filter them first), not coefficients.

    Returns
    -------
    dask.array.Array
        Of the image's dtype. Integers are rounded half away from zero, and kept within their range.

    Raises
    ------
    ValueError, TypeError
        An argument that makes no sense; the message names it.

    Examples
    --------
    >>> import numpy as np
    >>> from tinypyr.ndinterp import affine_transform
    >>> labels = np.array([[2**63 + 1, 5], [7, 9]], np.uint64)
    >>> affine_transform(labels, [0.5, 0.5], -0.25, (4, 4), order=0, mode="nearest").compute()[0].tolist()
    [9223372036854775809, 9223372036854775809, 5, 5]
    """
    source = Input(image)
    sampling = Sampling(source.shape, source.dtype, order, mode, cval, _truth("prefilter", prefilter))
    linear, shift = _map(matrix, offset, len(source.shape))
    shape = _extents("output_shape", source.shape if output_shape is None else output_shape, len(source.shape))
    if not np.isfinite(box_of(linear, shift, [0] * len(shape), shape)).all():
        raise ValueError(f"matrix: {linear.tolist()} leads beyond all numbers")
    chunks = source.output_chunks(output_chunks, shape)
    return lazy("affine_transform", source, Affine(sampling, linear, shift), chunks, source.dtype)


def rotate(
    input_arr: Any,
    angle: float,
    axes: Sequence[int] = (1, 0),
    reshape: bool = True,
    output_chunks: Any = None,
    *,
    order: int = 1,
    mode: str = "constant",
    cval: complex = 0.0,
    prefilter: bool = True,
) -> da.Array:
    """The image turned in the plane of two axes, around its middle.

    Parameters
    ----------
    input_arr : array
        As ``image`` of `affine_transform`, of two dimensions or more.
    angle : float
        In degrees; multiples of 90 are exact.
    axes : two int
        The plane.
    reshape : bool
        Whether the output grows so that all of the input is in it.
    output_chunks, order, mode, cval, prefilter
        As of `affine_transform`.

    Returns
    -------
    dask.array.Array

    Examples
    --------
    >>> import numpy as np
    >>> from tinypyr.ndinterp import rotate
    >>> rotate(np.arange(6).reshape(2, 3), 90).compute()
    array([[2, 5],
           [1, 4],
           [0, 3]])
    """
    source = Input(input_arr, "input_arr")
    ndim = len(source.shape)
    if ndim < 2:
        raise ValueError(f"input_arr: of shape {source.shape}; a rotation needs two dimensions")
    try:
        plane = [int(axis) for axis in axes if int(axis) == axis and not isinstance(axis, bool)]
    except (TypeError, ValueError):
        plane = []
    if len(plane) != 2 or len(list(axes)) != 2 or not all(-ndim <= axis < ndim for axis in plane):
        raise ValueError(f"axes: {axes!r} are not two axes of an array of {ndim} dimensions")
    first, second = sorted(axis % ndim for axis in plane)
    if first == second:
        raise ValueError(f"axes: {axes!r} are the same axis twice; a plane has two")
    degrees = _finite("angle", angle)
    cos, sin = cosdg(degrees), sindg(degrees)
    turn = np.array([[cos, sin], [-sin, cos]])
    inside = np.array([source.shape[first], source.shape[second]])
    outside = inside
    if _truth("reshape", reshape):
        corners = turn @ np.array([[0, 0, inside[0], inside[0]], [0, inside[1], 0, inside[1]]])
        outside = (np.ptp(corners, axis=1) + 0.5).astype(int)
    shift = (inside - 1) / 2 - turn @ ((outside - 1) / 2)
    matrix, offset, shape = np.eye(ndim), np.zeros(ndim), list(source.shape)
    matrix[np.ix_([first, second], [first, second])] = turn
    offset[[first, second]] = shift
    shape[first], shape[second] = (int(n) for n in outside)
    still = tuple(axis for axis in range(ndim) if axis not in (first, second))
    sampling = Sampling(source.shape, source.dtype, order, mode, cval, _truth("prefilter", prefilter), still)
    chunks = source.output_chunks(output_chunks, shape)
    return lazy("rotate", source, Affine(sampling, matrix, tuple(offset)), chunks, source.dtype)


def map_coordinates(
    input: Any,
    coordinates: Any,
    order: int = 3,
    mode: str = "constant",
    cval: complex = 0.0,
    prefilter: bool = True,
) -> da.Array:
    """The values at places given one by one.

    Places are sorted by the input chunk they lie in, and each chunk that has any, or is needed beside one that has, is
    read once. Coordinates are read at once, because what there is to do depends on them.

    Parameters
    ----------
    input : array
        As ``image`` of `affine_transform`.
    coordinates : array_like
        Of shape (n, ...), one row for each of the input's n axes, in voxels.
    order, mode, cval, prefilter
        As of `affine_transform`; order 3 by default, as in scipy.

    Returns
    -------
    dask.array.Array
        Of the shape of the coordinates without their first axis, in one chunk, and of the input's dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from tinypyr.ndinterp import map_coordinates
    >>> map_coordinates(np.arange(12.0).reshape(3, 4), [[0.5, 2], [0.5, 1]], order=1).compute()
    array([2.5, 9. ])
    """
    source = Input(input, "input")
    sampling = Sampling(source.shape, source.dtype, order, mode, cval, _truth("prefilter", prefilter))
    if isinstance(coordinates, da.Array):
        coordinates = coordinates.compute()
    return places("map_coordinates", source, sampling, coordinates_of(coordinates, len(source.shape), source.shape))


def spline_filter(
    image: Any,
    order: int = 3,
    output: DTypeLike = np.float64,
    mode: str = "mirror",
    output_chunks: Any = None,
    *,
    depth: Any = None,
) -> da.Array:
    """The coefficients of the spline through an image's voxels: `spline_filter1d` along every axis.

    Parameters
    ----------
    image : array
        As of `affine_transform`.
    order : int
        0 to 5; of orders 0 and 1 the coefficients are the voxels.
    output : dtype
        Of the coefficients; of complex images they are complex.
    mode : str
        What lies beyond the image; see `affine_transform`.
    output_chunks : optional
        As of `affine_transform`.
    depth : int, sequence or dict of int, optional
        How many voxels around a chunk are looked at; by default so many that no chunk shows, to 1e-8.

    Returns
    -------
    dask.array.Array

    Examples
    --------
    >>> import numpy as np
    >>> from tinypyr.ndinterp import spline_filter
    >>> spline_filter(np.array([0.0, 0, 6, 0, 0]), order=3).compute().round(3)
    array([ 1.5, -3. , 10.5, -3. ,  1.5])
    """
    return _filtered("spline_filter", image, order, None, output, mode, output_chunks, depth)


def spline_filter1d(
    image: Any,
    order: int = 3,
    axis: int = -1,
    output: DTypeLike = np.float64,
    mode: str = "mirror",
    output_chunks: Any = None,
    *,
    depth: Any = None,
) -> da.Array:
    """The coefficients of the splines through an image's voxels along one axis.

    Parameters
    ----------
    image, order, output, mode, output_chunks, depth
        As of `spline_filter`.
    axis : int
        The axis.

    Returns
    -------
    dask.array.Array

    Examples
    --------
    >>> import numpy as np
    >>> from tinypyr.ndinterp import spline_filter1d
    >>> spline_filter1d(np.eye(3), order=2, axis=0).compute().round(3)
    array([[ 1.417, -0.5  ,  0.083],
           [-0.25 ,  1.5  , -0.25 ],
           [ 0.083, -0.5  ,  1.417]])
    """
    return _filtered("spline_filter1d", image, order, axis, output, mode, output_chunks, depth)


def _filtered(
    label: str, image: Any, order: int, axis: int | None, output: Any, mode: str, output_chunks: Any, depth: Any
) -> da.Array:
    source = Input(image)
    ndim = len(source.shape)
    Sampling(source.shape, source.dtype, order, mode)
    try:
        dtype = np.dtype(output)
    except TypeError:
        raise TypeError(f"output: {output!r} is not a dtype; results are new arrays") from None
    if dtype.kind not in "biufc":
        raise TypeError(f"output: {dtype} cannot hold coefficients")
    if source.dtype.kind == "c":
        dtype = np.result_type(dtype, np.complex64)
    axes = tuple(range(ndim))
    if axis is not None:
        if isinstance(axis, bool) or not isinstance(axis, (int, np.integer)) or not -ndim <= axis < ndim:
            raise ValueError(f"axis: {axis!r} is no axis of an array of {ndim} dimensions")
        axes = (int(axis) % ndim,)
    around = usual_depth(order, depth, axes, ndim)
    chunks = source.output_chunks(output_chunks, source.shape)
    what = Filter(source.shape, source.dtype, dtype, int(order), mode, axes, around)
    return lazy(label, source, what, chunks, dtype)


def _map(matrix: ArrayLike, offset: Any, ndim: int) -> tuple[NDArray[np.float64], tuple[float, ...]]:
    """A square matrix and an offset per axis."""
    made = matrix_of("matrix", matrix)
    shape: tuple[int, ...] = made.shape
    if shape not in ((ndim,), (ndim, ndim), (ndim, ndim + 1), (ndim + 1, ndim + 1)):
        raise ValueError(
            f"matrix: of shape {shape}; an image of {ndim} dimensions needs ({ndim},), ({ndim}, {ndim}), "
            f"({ndim}, {ndim + 1}) or ({ndim + 1}, {ndim + 1})"
        )
    if shape[-1] == ndim + 1:
        return split_affine("matrix", made, ndim)
    try:
        shift = np.asarray(offset, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"offset: {offset!r} is neither a number nor one per axis") from None
    if shift.shape not in ((), (ndim,)):
        raise ValueError(f"offset: {offset!r} has {shift.size} entries for {ndim} axes")
    if not np.isfinite(shift).all():
        raise ValueError(f"offset: {offset!r} is not finite")
    return np.diag(made) if made.ndim == 1 else made, tuple(np.broadcast_to(shift, (ndim,)).tolist())


def _extents(name: str, values: Any, ndim: int) -> tuple[int, ...]:
    try:
        found = [_index(value) for value in values]
    except TypeError:
        raise TypeError(f"{name}: {values!r} are not integers") from None
    if len(found) != ndim:
        raise ValueError(f"{name}: {values!r} has {len(found)} entries for {ndim} axes")
    if min(found) < 0:
        raise ValueError(f"{name}: {values!r} has a negative extent")
    return tuple(found)


def _index(value: Any) -> int:
    """An integer, which True is not."""
    if isinstance(value, bool):
        raise TypeError
    return operator.index(value)


def _truth(name: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: {value!r} is neither True nor False")
    return bool(value)


def _finite(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: {value!r} is not a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{name}: {value!r} is not finite")
    return number
