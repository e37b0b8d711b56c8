"""Pooling of arrays in memory: the public functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from ._pooling.arguments import ONE_LEVEL, Array, Factor, Method, Rounding, Ties
from ._pooling.channels import pool_with_channels
from ._pooling.compiled import core
from ._pooling.run import pool_with_unproven, report_unproven


def instruction_sets() -> list[str]:
    """Return the instruction sets that the compiled core can use on this machine, best first.

    Without the environment variable ``TINYPYR_ISA``, the first one is used, or the next one for short rows. The
    variable is read at every call. All instruction sets give bit-identical results.

    Returns
    -------
    list of str
        For example ``["avx512", "avx2", "scalar"]``; empty if the compiled extension is missing.

    Examples
    --------
    >>> import tinypyr
    >>> isinstance(tinypyr.instruction_sets(), list)
    True
    """
    return list(core.instruction_sets()) if core else []


def downsample(
    array: npt.ArrayLike,
    factor: Factor,
    method: Method = "mean",
    *,
    ignore: Any = None,
    rounding: Rounding = "half-even",
    ties: Ties = "first",
    voxel_offset: Sequence[int] | None = None,
    out: Array | None = None,
    workers: int | None = 1,
    channel_axis: int | None = None,
) -> Array:
    """Reduce each footprint, a box of ``factor`` voxels, to one voxel.

    Along each axis, voxel ``j`` of the result covers the voxels ``[j * factor, (j + 1) * factor)`` of the array, as far
    as they exist. Extents are rounded up, and footprints at the edges are reduced from the voxels present.

    Parameters
    ----------
    array : array_like of bool, integers, floats or complex numbers, 0 to 32 dimensions
        Never changed, and not copied (but see ``channel_axis``), whatever its strides, byte order or alignment.
    factor : int or sequence of int
        Voxels per footprint: one integer for all axes, or one per axis (omitted trailing axes get 1). Floats with
        integral values are accepted. With ``channel_axis``, one integer for all other axes, one for each other axis, or
        one per axis with 1 for the channel axis.
    method : {"mean", "mode", "median", "min", "max", "stride"}
        ``mean``: exact sum divided once; floats are accumulated in double precision. ``mode``: most frequent value.
        ``median``: lower middle value. ``min``, ``max``: extremes. ``stride``: first voxel of the footprint. NaN
        propagates through ``mean``, ``median``, ``min`` and ``max``; for ``mode``, all NaN are one value.
    ignore : scalar, optional
        Value that is excluded, with every method. A footprint that holds nothing else gives the value itself.
        ``ignore=nan`` excludes NaN from float arrays. With ``channel_axis``, it is excluded in each channel; ``mode``
        excludes the pixels that have it in every channel, or takes a sequence with one value per channel.
    rounding : {"half-even", "floor"}
        Rounding of the mean of integers. Means of floats are rounded once to the dtype in either case.
    ties : {"first", "lowest"}
        Choice of ``mode`` among several most frequent values: the first in raster order with axis 0 fastest, or the
        lowest. Pixels are compared channel by channel, the first channel first.
    voxel_offset : sequence of int, optional
        Global coordinates of the array's first voxel; by default 0 along every axis (omitted trailing axes get 0).
        Footprints are anchored at global coordinate 0: the result starts at footprint
        ``floor(voxel_offset / factor)``, and its first and last footprint may be partial.
    out : ndarray, optional
        Array to write to: of the result's shape and the array's dtype, writable, sharing no memory with ``array``.
    workers : int or None
        Number of threads; None for one per core. The result does not depend on it. The GIL is released.
    channel_axis : int, optional
        Axis that holds the channels of each pixel, which is not pooled; negative numbers count from the last axis.
        ``mode`` takes the channels of a pixel as one label, so that colour labels keep their colours; other methods
        pool each channel. For ``mode``, pixels are copied into labels of 2, 4 or 8 bytes, unless their channels are
        integers that are adjacent in memory and fill a label. Without ``channel_axis``, every axis is pooled alike.

    Returns
    -------
    ndarray
        ``out``, or a new array of the input's dtype and memory order with
        ``ceil((voxel_offset + n) / factor) - floor(voxel_offset / factor)`` voxels along each axis.

    Warns
    -----
    UserWarning
        Once per process, if an integer factor pools an axis of 3 or 4 voxels that looks like the channels of an image.

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid; the message names it. Nothing is written.

    See Also
    --------
    pyramid : Several levels at once.

    Examples
    --------
    >>> import numpy as np, tinypyr
    >>> tinypyr.downsample(np.array([[1, 2, 9], [3, 4, 9]], np.uint8), (2, 2))
    array([[2, 9]], dtype=uint8)
    >>> tinypyr.downsample(np.array([7, 7, 5, 5, 5, 7]), 6, "mode")  # a tie: 7 comes first
    array([7])
    >>> tinypyr.downsample(np.array([0, 6, 0, 0], np.uint8), 2, ignore=0)
    array([6, 0], dtype=uint8)
    >>> image = np.array([[[9, 0, 0], [9, 0, 0]], [[0, 9, 9], [0, 0, 9]]], np.uint8)  # two red pixels of four
    >>> tinypyr.downsample(image, 2, "mode", channel_axis=-1)
    array([[[9, 0, 0]]], dtype=uint8)
    """
    outs = None if out is None else [out]
    arguments = factor, ONE_LEVEL, method, ignore, rounding, ties, voxel_offset, outs, workers
    if channel_axis is None:
        levels, unproven = pool_with_unproven(array, *arguments)
    else:
        levels, unproven = pool_with_channels(array, channel_axis, *arguments)
    if unproven:
        report_unproven(unproven)
    return levels[0]


def pyramid(
    array: npt.ArrayLike,
    factor: Factor | Sequence[Sequence[float]],
    method: Method = "mean",
    *,
    levels: int = 1,
    ignore: Any = None,
    rounding: Rounding = "half-even",
    ties: Ties = "first",
    voxel_offset: Sequence[int] | None = None,
    out: Sequence[Array] | None = None,
    workers: int | None = 1,
    channel_axis: int | None = None,
) -> list[Array]:
    """Compute several levels of an image pyramid at once, each exact.

    Every level is a function of the voxels of ``array`` in its footprint, never of rounded values of the level below:
    sums, extremes and label histograms are passed upward instead. Level ``k`` equals :func:`downsample` by the product
    of the first ``k`` factors (for means of floats up to the order of addition).

    Parameters
    ----------
    array, method, ignore, rounding, ties, voxel_offset, workers, channel_axis
        As for :func:`downsample`.
    factor : int, sequence of int, or sequence of sequences
        Factor between consecutive levels, as for :func:`downsample`; or one such factor per level, each relative to the
        level before.
    levels : int
        Number of levels, 1 to 64. Omit it if ``factor`` has one factor per level.
    out : sequence of ndarray, optional
        One array per level, each as for :func:`downsample`.

    Returns
    -------
    list of ndarray
        The levels, finest first, without the input.

    Warns
    -----
    RuntimeWarning
        With ``method="mode"``, if a cut of a label histogram could have changed a mode. Histograms are cut to the 1,024
        most frequent labels when they are passed to the next level, and to 16,384 labels while the first of several
        levels is counted. The message counts the voxels whose mode is therefore not proven.

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid; the message names it. Nothing is written.

    Examples
    --------
    >>> import numpy as np, tinypyr
    >>> levels = tinypyr.pyramid(np.array([0, 1, 1, 1, 1, 1, 1, 1], np.uint8), 2, levels=3)
    >>> [level.tolist() for level in levels]
    [[0, 1, 1, 1], [1, 1], [1]]
    >>> [level.shape for level in tinypyr.pyramid(np.zeros((64, 64, 9)), [(2, 2, 1), (2, 2, 2)])]
    [(32, 32, 9), (16, 16, 5)]
    """
    arguments = factor, levels, method, ignore, rounding, ties, voxel_offset, out, workers
    if channel_axis is None:
        pooled, unproven = pool_with_unproven(array, *arguments)
    else:
        pooled, unproven = pool_with_channels(array, channel_axis, *arguments)
    if unproven:
        report_unproven(unproven)
    return pooled


def downsample_with_averaging(
    img: npt.ArrayLike, factor: Factor, num_mips: int = 1, sparse: bool = False
) -> list[Array]:
    """Compute ``num_mips`` levels of means, finest first. ``sparse`` excludes zeros.

    Has the name and arguments of tinybrain's function with the semantics of :func:`pyramid`: exact means of the voxels
    present, rounded half to even, from full resolution at every level.

    Examples
    --------
    >>> import numpy as np, tinypyr
    >>> img = np.arange(16, dtype=np.uint8).reshape(4, 4)
    >>> tinypyr.downsample_with_averaging(img, (2, 2), num_mips=2)
    [array([[ 2,  4],
           [10, 12]], dtype=uint8), array([[8]], dtype=uint8)]
    """
    return pyramid(img, factor, "mean", levels=num_mips, ignore=_sparse(sparse))


def downsample_segmentation(img: npt.ArrayLike, factor: Factor, sparse: bool = False, num_mips: int = 1) -> list[Array]:
    """Compute ``num_mips`` levels of modes, finest first. ``sparse`` excludes background (0).

    Has the name and arguments of tinybrain's function with the semantics of :func:`pyramid`: the mode of full
    resolution at every level; ties go to the first label in raster order with axis 0 fastest.

    Examples
    --------
    >>> import numpy as np, tinypyr
    >>> img = np.array([[0, 0], [0, 5]], np.uint64)
    >>> tinypyr.downsample_segmentation(img, (2, 2))[0].item()
    0
    >>> tinypyr.downsample_segmentation(img, (2, 2), sparse=True)[0].item()
    5
    """
    return pyramid(img, factor, "mode", levels=num_mips, ignore=_sparse(sparse))


def downsample_with_min_pooling(
    img: npt.ArrayLike, factor: Factor, num_mips: int = 1, sparse: bool = False
) -> list[Array]:
    """Compute ``num_mips`` levels of minima, finest first. ``sparse`` excludes zeros. See :func:`pyramid`.

    Examples
    --------
    >>> import numpy as np, tinypyr
    >>> tinypyr.downsample_with_min_pooling(np.array([[4, 0], [3, 2]], np.uint8), 2, sparse=True)
    [array([[2]], dtype=uint8)]
    """
    return pyramid(img, factor, "min", levels=num_mips, ignore=_sparse(sparse))


def downsample_with_max_pooling(
    img: npt.ArrayLike, factor: Factor, num_mips: int = 1, sparse: bool = False
) -> list[Array]:
    """Compute ``num_mips`` levels of maxima, finest first. ``sparse`` excludes zeros. See :func:`pyramid`.

    Examples
    --------
    >>> import numpy as np, tinypyr
    >>> tinypyr.downsample_with_max_pooling(np.array([[4, 0], [3, 2]], np.uint8), 2)
    [array([[4]], dtype=uint8)]
    """
    return pyramid(img, factor, "max", levels=num_mips, ignore=_sparse(sparse))


def downsample_with_striding(
    img: npt.ArrayLike, factor: Factor, num_mips: int = 1, sparse: bool = False
) -> list[Array]:
    """Compute ``num_mips`` levels of first voxels, finest first. ``sparse`` takes the first that is not 0.

    Examples
    --------
    >>> import numpy as np, tinypyr
    >>> tinypyr.downsample_with_striding(np.arange(8), 2, num_mips=2)
    [array([0, 2, 4, 6]), array([0, 4])]
    """
    return pyramid(img, factor, "stride", levels=num_mips, ignore=_sparse(sparse))


def _sparse(sparse: bool) -> int | None:
    return 0 if sparse else None
