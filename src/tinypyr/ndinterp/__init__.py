"""Interpolation in chunked arrays: affine maps, rotations, values at coordinates, spline filters.

Names and arguments are those of :mod:`scipy.ndimage` and dask-image. The results are lazy dask arrays with the values
that scipy computes for the whole array, whatever the chunks. Inputs are arrays of dask, numpy, zarr, TensorStore and
similar packages, which are read chunk by chunk when the result is computed.

Differences from scipy: order 0 copies voxels, so 64-bit labels are exact; integers out of range are clipped instead of
wrapped; float16 is computed as float32; coefficients are cast to ``output`` once, not after every axis; sums are added
in another order, so an integer halfway between two others may be rounded to the other one; and with orders above 1 a
value that is not finite affects the voxels around it, not the whole array. As in scipy, ``prefilter`` is True by
default.

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

from ..resampling.sampler import Sampling, as_coordinates, as_matrix, source_bounds, split_affine
from ._graph import Affine, Filter, chunked_array, depth_per_axis, values_at
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
    """Apply an affine map: voxel ``o`` of the output is the value of the image at ``matrix @ o + offset``.

    Parameters
    ----------
    image : array
        An array of dask, numpy, zarr, TensorStore or a similar package, of booleans, integers, floats or complex
        numbers.
    matrix : array_like
        For n dimensions, an array of shape (n,) (a diagonal), (n, n), (n, n + 1) or (n + 1, n + 1). In the last two the
        last column is the offset, and ``offset`` is ignored. For an output of m < n dimensions, of shape (n, m).
    offset : float or sequence of float
        One value for every axis, or one per axis, in voxels.
    output_shape : sequence of int, optional
        The shape of the output. Default: that of the image; there is none for an output of fewer dimensions.
    order : int
        Order of the interpolation: 0 (the nearest voxel, copied), 1 (linear), 2 to 5 (splines).
    output_chunks : optional
        Chunks of the output, as in dask. Default: those of the image, or about 16 MiB if it has none.
    mode : str
        The boundary mode, as in scipy: constant, grid-constant, nearest, mirror, reflect, grid-mirror, wrap or
        grid-wrap; or "border": as constant, except that voxels extend half their length beyond their centres.
    cval : number
        The value outside the image in the modes constant, grid-constant and border.
    prefilter : bool
        For orders above 1: False if the voxels are spline coefficients already.

    Returns
    -------
    dask.array.Array
        An array of the image's dtype. Integers are rounded half away from zero and clipped to their range.

    Raises
    ------
    ValueError, TypeError
        An argument is invalid; the message names it.

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
    ndim = linear.shape[1]
    shape = _extents("output_shape", source.shape if output_shape is None else output_shape, ndim)
    if not np.isfinite(source_bounds(linear, shift, [0] * len(shape), shape)).all():
        raise ValueError(f"matrix: with {linear.tolist()} the coordinates are not finite")
    chunks = source.output_chunks(output_chunks, shape)
    missing = len(source.shape) - ndim  # the sampler maps arrays of equal dimensions
    square = np.pad(linear, ((0, 0), (0, missing)))
    square_chunks = (*chunks, *[(1,)] * missing)
    result = chunked_array("affine_transform", source, Affine(sampling, square, shift), square_chunks, source.dtype)
    return result[(..., *[0] * missing)] if missing else result


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
    """Rotate an image in the plane of two axes around its centre.

    Parameters
    ----------
    input_arr : array
        The image, as in `affine_transform`, with at least two dimensions.
    angle : float
        The angle in degrees. Multiples of 90 are exact.
    axes : (int, int)
        The plane of the rotation.
    reshape : bool
        If True, the output is large enough to contain the whole input.
    output_chunks, order, mode, cval, prefilter
        As in `affine_transform`.

    Returns
    -------
    dask.array.Array
        The rotated image.

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
        raise ValueError(f"input_arr: shape {source.shape} has fewer than the two dimensions that a rotation needs")
    try:
        plane = [int(axis) for axis in axes if int(axis) == axis and not isinstance(axis, bool)]
    except (TypeError, ValueError):
        plane = []
    if len(plane) != 2 or len(list(axes)) != 2 or not all(-ndim <= axis < ndim for axis in plane):
        raise ValueError(f"axes: {axes!r} is not two axes of an array of {ndim} dimensions")
    first, second = sorted(axis % ndim for axis in plane)
    if first == second:
        raise ValueError(f"axes: {axes!r} is the same axis twice; a plane needs two axes")
    matrix, offset, shape = _rotation(source.shape, first, second, _finite("angle", angle), _truth("reshape", reshape))
    identity_axes = tuple(axis for axis in range(ndim) if axis not in (first, second))
    sampling = Sampling(source.shape, source.dtype, order, mode, cval, _truth("prefilter", prefilter), identity_axes)
    chunks = source.output_chunks(output_chunks, shape)
    return chunked_array("rotate", source, Affine(sampling, matrix, offset), chunks, source.dtype)


def _rotation(
    shape: Sequence[int], first: int, second: int, degrees: float, reshape: bool
) -> tuple[NDArray[np.float64], tuple[float, ...], list[int]]:
    """Return the matrix, the offset and the output shape of a rotation around the centre."""
    ndim = len(shape)
    cos, sin = cosdg(degrees), sindg(degrees)
    plane_matrix = np.array([[cos, sin], [-sin, cos]])
    extents = output_extents = np.array([shape[first], shape[second]])
    if reshape:
        corners = plane_matrix @ np.array([[0, 0, extents[0], extents[0]], [0, extents[1], 0, extents[1]]])
        output_extents = (np.ptp(corners, axis=1) + 0.5).astype(int)
    matrix, offset, output_shape = np.eye(ndim), np.zeros(ndim), list(shape)
    matrix[np.ix_([first, second], [first, second])] = plane_matrix
    offset[[first, second]] = (extents - 1) / 2 - plane_matrix @ ((output_extents - 1) / 2)
    output_shape[first], output_shape[second] = (int(n) for n in output_extents)
    return matrix, tuple(offset), output_shape


def map_coordinates(
    input: Any,
    coordinates: Any,
    order: int = 3,
    mode: str = "constant",
    cval: complex = 0.0,
    prefilter: bool = True,
) -> da.Array:
    """Interpolate the values at coordinates.

    Coordinates are grouped by the input chunk that contains them, and each chunk that is needed is read once. The
    coordinates are computed immediately if they are a dask array, because the graph depends on them.

    Parameters
    ----------
    input : array
        The image, as in `affine_transform`.
    coordinates : array_like
        An array of shape (n, ...), with one row for each of the n axes of the input, in voxels.
    order, mode, cval, prefilter
        As in `affine_transform`, but with order 3 by default, as in scipy.

    Returns
    -------
    dask.array.Array
        An array of the input's dtype in one chunk. Its shape is that of the coordinates without their first axis.

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
    points = as_coordinates(coordinates, len(source.shape), source.shape)
    return values_at("map_coordinates", source, sampling, points)


def spline_filter(
    image: Any,
    order: int = 3,
    output: DTypeLike = np.float64,
    mode: str = "mirror",
    output_chunks: Any = None,
    *,
    depth: Any = None,
) -> da.Array:
    """Compute the coefficients of the spline through an image's voxels: `spline_filter1d` along every axis.

    Parameters
    ----------
    image : array
        The image, as in `affine_transform`.
    order : int
        Order of the spline, 0 to 5. For orders 0 and 1 the coefficients are the voxels.
    output : dtype
        The dtype of the coefficients. Those of a complex image are complex.
    mode : str
        The boundary mode, as in `affine_transform`.
    output_chunks : optional
        As in `affine_transform`.
    depth : int, sequence or dict of int, optional
        The number of voxels around a chunk that are read, one for all axes or one per axis. Default: enough to make
        the coefficients independent of the chunks up to 1e-8.

    Returns
    -------
    dask.array.Array
        The coefficients.

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
    """Compute the coefficients of the splines through an image's voxels along one axis.

    Parameters
    ----------
    image, order, output, mode, output_chunks, depth
        As in `spline_filter`.
    axis : int
        The axis to filter along.

    Returns
    -------
    dask.array.Array
        The coefficients.

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
    """Return spline coefficients along an axis, or along every axis if it is None."""
    if axis is None and getattr(image, "shape", None) == ():  # nothing to filter: one voxel along one axis
        return _filtered(label, da.asarray(image).reshape(1), order, axis, output, mode, None, None).reshape(())
    source = Input(image)
    ndim = len(source.shape)
    Sampling(source.shape, source.dtype, order, mode)
    try:
        dtype = np.dtype(output)
    except TypeError:
        raise TypeError(f"output: {output!r} is not a dtype; an output array cannot be passed") from None
    if dtype.kind not in "biufc":
        raise TypeError(f"output: {dtype} cannot hold coefficients")
    if source.dtype.kind == "c":
        dtype = np.result_type(dtype, np.complex64)
    axes = tuple(range(ndim))
    if axis is not None:
        if isinstance(axis, bool) or not isinstance(axis, (int, np.integer)) or not -ndim <= axis < ndim:
            raise ValueError(f"axis: {axis!r} is not an axis of an array of {ndim} dimensions")
        axes = (int(axis) % ndim,)
    chunks = source.output_chunks(output_chunks, source.shape)
    depths = depth_per_axis(order, depth, axes, ndim)
    operation = Filter(source.shape, source.dtype, dtype, int(order), mode, axes, depths)
    return chunked_array(label, source, operation, chunks, dtype)


def _map(matrix: ArrayLike, offset: Any, ndim: int) -> tuple[NDArray[np.float64], tuple[float, ...]]:
    """Return a matrix with a row per axis of the image and a column per axis of the output, and an offset per row."""
    affine = as_matrix("matrix", matrix)
    shape: tuple[int, ...] = affine.shape
    fewer_outputs = len(shape) == 2 and shape[0] == ndim and 0 < shape[1] < ndim
    if not fewer_outputs and shape not in ((ndim,), (ndim, ndim), (ndim, ndim + 1), (ndim + 1, ndim + 1)):
        raise ValueError(
            f"matrix: shape {shape} does not fit; an image of {ndim} dimensions needs ({ndim},), ({ndim}, {ndim}), "
            f"({ndim}, {ndim + 1}) or ({ndim + 1}, {ndim + 1}), or fewer columns for an output of fewer dimensions"
        )
    if shape[-1] == ndim + 1:
        return split_affine("matrix", affine, ndim)
    try:
        shift = np.asarray(offset, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"offset: {offset!r} is neither a number nor one per axis") from None
    if shift.shape not in ((), (ndim,)):
        raise ValueError(f"offset: {offset!r} has {shift.size} entries for {ndim} axes")
    if not np.isfinite(shift).all():
        raise ValueError(f"offset: {offset!r} is not finite")
    return np.diag(affine) if affine.ndim == 1 else affine, tuple(np.broadcast_to(shift, (ndim,)).tolist())


def _extents(name: str, values: Any, ndim: int) -> tuple[int, ...]:
    """Return a shape of ``ndim`` axes; raise an error that names the argument if it is not one."""
    try:
        extents = [_index(value) for value in values]
    except TypeError:
        raise TypeError(f"{name}: {values!r} is not a sequence of integers") from None
    if len(extents) != ndim:
        raise ValueError(f"{name}: {values!r} has {len(extents)} entries for {ndim} axes")
    if min(extents) < 0:
        raise ValueError(f"{name}: {values!r} has a negative extent")
    return tuple(extents)


def _index(value: Any) -> int:
    """Return an integer; raise TypeError for others, and for booleans."""
    if isinstance(value, bool):
        raise TypeError
    return operator.index(value)


def _truth(name: str, value: Any) -> bool:
    """Return a bool; raise an error that names the argument if it is not one."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: {value!r} is neither True nor False")
    return bool(value)


def _finite(name: str, value: Any) -> float:
    """Return a finite float; raise an error that names the argument if it is not one."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: {value!r} is not a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{name}: {value!r} is not finite")
    return number
