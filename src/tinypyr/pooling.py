"""Pooling: what is this block of voxels, as one voxel?

The way of an array through this layer: the functions here check arguments and allocate the levels, ``core`` (the
compiled binding) pools, and ``_reference`` (the numpy twin) does the same for dtypes the core has no row for, or when
the extension is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from ._pooling.arguments import ONE_LEVEL, Array, Factor, Method, Rounding, Ties
from ._pooling.compiled import core
from ._pooling.run import pool


def instruction_sets() -> list[str]:
    """Instruction sets that the compiled core can use on this machine, best first.

    The first is used unless the environment variable ``TINYPYR_ISA`` names another; it is read at every call.
    Every instruction set gives the same bits.

    Returns
    -------
    list of str
        For example ``["avx512", "avx2", "scalar"]``; empty when the compiled extension is missing.

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
    origin: Sequence[int] | None = None,
    out: Array | None = None,
    parallel: int = 1,
) -> Array:
    """Pool an array by a factor per axis.

    Voxel ``j`` of the answer covers the voxels ``[j * factor, (j + 1) * factor)`` of each axis that exist; extents are
    rounded up, and blocks at the edges are made from the voxels present.

    Parameters
    ----------
    array : array_like of bool, integers, floats or complex numbers, 0 to 32 dimensions
        Never copied or changed, whatever its strides, byte order or alignment.
    factor : int or sequence of int
        Voxels per block: one int for every axis, or one per axis (the axes left out get 1). Integral floats count.
    method : {"mean", "mode", "median", "min", "max", "stride"}
        ``mean``: the exact sum divided once; floats are added as doubles, and NaN propagates. ``mode``: the most
        frequent value. ``median``: the lower middle value. ``min``, ``max``: the extremes; NaN propagates through
        these three. ``stride``: the block's first voxel.
    ignore : scalar, optional
        Voxels equal to this value are left out, with every method; a block of nothing else gives the value itself.
        ``ignore=nan`` leaves NaN out of float arrays.
    rounding : {"half-even", "floor"}
        How the mean of integers is rounded. Means of floats are rounded once to the dtype either way.
    ties : {"first", "lowest"}
        Which of several most frequent values ``mode`` takes: the one seen first with axis 0 fastest, or the smallest.
    origin : sequence of int, optional
        Global coordinate of the array's first voxel (default all 0; axes left out get 0). Blocks are anchored at
        global 0: the answer starts at block ``floor(origin / factor)``, and the first block may be partial.
    out : ndarray, optional
        Where to write: the answer's shape and the array's dtype, writable, no memory shared with ``array``.
    parallel : int
        Threads; 0 for one per core. The answer does not depend on it. The GIL is released.

    Returns
    -------
    ndarray
        ``out``, or a new array with the input's dtype and memory order and
        ``ceil((origin + n) / factor) - floor(origin / factor)`` voxels along each axis.

    Raises
    ------
    ValueError, TypeError
        An argument that makes no sense; the message names it. Nothing is written.

    Examples
    --------
    >>> import numpy as np, tinypyr
    >>> tinypyr.downsample(np.array([[1, 2, 9], [3, 4, 9]], np.uint8), (2, 2))
    array([[2, 9]], dtype=uint8)
    >>> tinypyr.downsample(np.array([7, 7, 5, 5, 5, 7]), 6, "mode")  # a tie: 7 came first
    array([7])
    >>> tinypyr.downsample(np.array([0, 6, 0, 0], np.uint8), 2, ignore=0)
    array([6, 0], dtype=uint8)
    """
    outs = None if out is None else [out]
    return pool(array, factor, ONE_LEVEL, method, ignore, rounding, ties, origin, outs, parallel)[0]


def pyramid(
    array: npt.ArrayLike,
    factor: Factor | Sequence[Sequence[float]],
    method: Method = "mean",
    *,
    num_mips: int = 1,
    ignore: Any = None,
    rounding: Rounding = "half-even",
    ties: Ties = "first",
    origin: Sequence[int] | None = None,
    out: Sequence[Array] | None = None,
    parallel: int = 1,
) -> list[Array]:
    """Pool an array to several levels at once, each of them exact.

    Every level is a function of the voxels of ``array`` in its footprint, never of the rounded values of the level
    below: sums, extremes and label counts are carried upward instead. Level ``k`` equals :func:`downsample` by the
    product of the first ``k`` factors (means of floats up to the order of addition: their doubles are added level
    upon level).

    Parameters
    ----------
    array, method, ignore, rounding, ties, origin, parallel
        As for :func:`downsample`.
    factor : int, sequence of int, or list of such sequences
        The factor from each level to the next, as for :func:`downsample`; or one per level, as a list of sequences.
    num_mips : int
        How many levels, 1 to 64. With one factor per level, leave it out.
    out : sequence of ndarray, optional
        One array per level, each as for :func:`downsample`.

    Returns
    -------
    list of ndarray
        The levels, finest first, without the input.

    Warns
    -----
    RuntimeWarning
        With ``method="mode"``: when some voxels of a level have more than 1,024 labels below them and their most
        frequent one is not proven, because only the 1,024 most frequent are carried upward. (Of several levels, also
        where a footprint of the first has more than 16,384.)

    Raises
    ------
    ValueError, TypeError
        An argument that makes no sense; the message names it. Nothing is written.

    Examples
    --------
    >>> import numpy as np, tinypyr
    >>> levels = tinypyr.pyramid(np.array([0, 1, 1, 1, 1, 1, 1, 1], np.uint8), 2, num_mips=3)
    >>> [level.tolist() for level in levels]
    [[0, 1, 1, 1], [1, 1], [1]]
    >>> [level.shape for level in tinypyr.pyramid(np.zeros((64, 64, 9)), [(2, 2, 1), (2, 2, 2)])]
    [(32, 32, 9), (16, 16, 5)]
    """
    return pool(array, factor, num_mips, method, ignore, rounding, ties, origin, out, parallel)


def downsample_with_averaging(
    img: npt.ArrayLike, factor: Factor, num_mips: int = 1, sparse: bool = False
) -> list[Array]:
    """``num_mips`` levels of means, finest first. ``sparse`` leaves zeros out.

    The name and arguments of tinybrain's function with tinypyr's meaning: exact means of the voxels present, rounded
    half to even, from the full resolution at every level. See :func:`pyramid`.

    Examples
    --------
    >>> import numpy as np, tinypyr
    >>> img = np.arange(16, dtype=np.uint8).reshape(4, 4)
    >>> tinypyr.downsample_with_averaging(img, (2, 2), num_mips=2)
    [array([[ 2,  4],
           [10, 12]], dtype=uint8), array([[8]], dtype=uint8)]
    """
    return pyramid(img, factor, "mean", num_mips=num_mips, ignore=_sparse(sparse))


def downsample_segmentation(img: npt.ArrayLike, factor: Factor, sparse: bool = False, num_mips: int = 1) -> list[Array]:
    """``num_mips`` levels of most frequent labels, finest first. ``sparse`` leaves background (0) out.

    The name and arguments of tinybrain's function with tinypyr's meaning: the mode of the full resolution at every
    level, ties to the label seen first with axis 0 fastest. See :func:`pyramid`.

    Examples
    --------
    >>> import numpy as np, tinypyr
    >>> img = np.array([[0, 0], [0, 5]], np.uint64)
    >>> tinypyr.downsample_segmentation(img, (2, 2))[0].item()
    0
    >>> tinypyr.downsample_segmentation(img, (2, 2), sparse=True)[0].item()
    5
    """
    return pyramid(img, factor, "mode", num_mips=num_mips, ignore=_sparse(sparse))


def downsample_with_min_pooling(
    img: npt.ArrayLike, factor: Factor, num_mips: int = 1, sparse: bool = False
) -> list[Array]:
    """``num_mips`` levels of minima, finest first. ``sparse`` leaves zeros out. See :func:`pyramid`.

    Examples
    --------
    >>> import numpy as np, tinypyr
    >>> tinypyr.downsample_with_min_pooling(np.array([[4, 0], [3, 2]], np.uint8), 2, sparse=True)
    [array([[2]], dtype=uint8)]
    """
    return pyramid(img, factor, "min", num_mips=num_mips, ignore=_sparse(sparse))


def downsample_with_max_pooling(
    img: npt.ArrayLike, factor: Factor, num_mips: int = 1, sparse: bool = False
) -> list[Array]:
    """``num_mips`` levels of maxima, finest first. ``sparse`` leaves zeros out. See :func:`pyramid`.

    Examples
    --------
    >>> import numpy as np, tinypyr
    >>> tinypyr.downsample_with_max_pooling(np.array([[4, 0], [3, 2]], np.uint8), 2)
    [array([[4]], dtype=uint8)]
    """
    return pyramid(img, factor, "max", num_mips=num_mips, ignore=_sparse(sparse))


def downsample_with_striding(
    img: npt.ArrayLike, factor: Factor, num_mips: int = 1, sparse: bool = False
) -> list[Array]:
    """``num_mips`` levels of each block's first voxel, finest first. ``sparse`` takes the first that is not 0.

    Examples
    --------
    >>> import numpy as np, tinypyr
    >>> tinypyr.downsample_with_striding(np.arange(8), 2, num_mips=2)
    [array([0, 2, 4, 6]), array([0, 4])]
    """
    return pyramid(img, factor, "stride", num_mips=num_mips, ignore=_sparse(sparse))


def _sparse(sparse: bool) -> int | None:
    return 0 if sparse else None
