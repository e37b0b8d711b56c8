"""The functions of tinybrain's ``downsample`` module. The package's docstring describes the rules."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from ..._pooling.arguments import Array, Factor, Method
from . import _rules

__all__ = [
    "DimensionError",
    "countless",
    "countless2d",
    "countless3d",
    "downsample_segmentation",
    "downsample_segmentation_2d",
    "downsample_with_averaging",
    "downsample_with_averaging_numpy",
    "downsample_with_max_pooling",
    "downsample_with_min_pooling",
    "downsample_with_striding",
    "stippled_countless2d",
]


class DimensionError(Exception):
    """Never raised, because every input that tinybrain refuses is supported; it keeps ``except`` clauses working."""


def downsample_with_averaging(
    img: npt.ArrayLike, factor: Factor, num_mips: int = 1, sparse: bool = False
) -> list[Array]:
    """Return ``num_mips`` levels of means, finest first, in Fortran order.

    Parameters
    ----------
    img : array_like
        Image of any strides, byte order and dtype. It is not copied.
    factor : sequence of int
        Voxels per block along each axis. Missing trailing axes get 1.
    num_mips : int
        Number of levels. Means of 8-bit and 16-bit integers come from sums passed between levels, rounded towards
        zero.
    sparse : bool
        Exclude zeros from the mean. A block of zeros gives 0.

    Returns
    -------
    list of ndarray

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid. The message names it.

    Examples
    --------
    >>> import numpy as np
    >>> import tinypyr.compat.tinybrain as tinybrain
    >>> img = np.array([[0, 3], [1, 3], [9, 9]], np.uint8)
    >>> tinybrain.downsample_with_averaging(img, (2, 2))
    [array([[1],
           [9]], dtype=uint8)]
    >>> tinybrain.downsample_with_averaging(img, (2, 2), sparse=True)[0][0, 0].item()
    2
    """
    image, factors, levels = _rules.checked(img, factor, num_mips)
    return _rules.mean(image, factors, levels, sparse)


def downsample_segmentation(img: npt.ArrayLike, factor: Factor, sparse: bool = False, num_mips: int = 1) -> list[Array]:
    """Return ``num_mips`` levels of labels, finest first, in Fortran order. Each is computed from the level before.

    For powers of two, the result is the most frequent label, computed 2 voxels per axis at a time, with tinybrain's
    tie rules. Other factors stride.

    Parameters
    ----------
    img : array_like
        Labels of any strides, byte order and dtype. They are not copied.
    factor : sequence of int
        Voxels per block along each axis. Missing trailing axes get 1.
    sparse : bool
        Exclude the background, 0. A block of background stays background.
    num_mips : int
        Number of levels.

    Returns
    -------
    list of ndarray

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid. The message names it.

    Examples
    --------
    >>> import numpy as np
    >>> import tinypyr.compat.tinybrain as tinybrain
    >>> labels = np.array([[7, 5], [5, 7]], np.uint64)  # a tie: COUNTLESS returns the middle pair
    >>> tinybrain.downsample_segmentation(labels, (2, 2))
    [array([[5]], dtype=uint64)]
    """
    image, factors, levels = _rules.checked(img, factor, num_mips)
    return _rules.mode(image, factors, levels, sparse)


def downsample_with_max_pooling(
    array: npt.ArrayLike, factor: Factor, num_mips: int = 1, sparse: bool = False
) -> list[Array]:
    """Return ``num_mips`` levels of maxima, finest first, in Fortran order. ``sparse`` excludes zeros.

    Examples
    --------
    >>> import numpy as np
    >>> import tinypyr.compat.tinybrain as tinybrain
    >>> tinybrain.downsample_with_max_pooling(np.array([[1, 8], [3, 4]]), (2, 2))
    [array([[8]])]
    """
    return _pooled(array, factor, "max", num_mips, sparse)


def downsample_with_min_pooling(
    array: npt.ArrayLike, factor: Factor, num_mips: int = 1, sparse: bool = False
) -> list[Array]:
    """Return ``num_mips`` levels of minima, finest first, in Fortran order. ``sparse`` excludes zeros.

    Examples
    --------
    >>> import numpy as np
    >>> import tinypyr.compat.tinybrain as tinybrain
    >>> tinybrain.downsample_with_min_pooling(np.array([[0, 8], [3, 4]]), (2, 2), sparse=True)
    [array([[3]])]
    """
    return _pooled(array, factor, "min", num_mips, sparse)


def downsample_with_striding(
    array: npt.ArrayLike, factor: Factor, num_mips: int = 1, sparse: bool = False
) -> list[Array]:
    """Return ``num_mips`` levels of the first voxel of each block, finest first, in Fortran order.

    ``sparse`` selects the first nonzero voxel. The levels are new arrays, not views.

    Examples
    --------
    >>> import numpy as np
    >>> import tinypyr.compat.tinybrain as tinybrain
    >>> tinybrain.downsample_with_striding(np.arange(8), (2,), num_mips=2)
    [array([0, 2, 4, 6]), array([0, 4])]
    """
    return _pooled(array, factor, "stride", num_mips, sparse)


def downsample_with_averaging_numpy(array: npt.ArrayLike, factor: Factor, sparse: bool = False) -> Array:
    """Return one level of means, the first of :func:`downsample_with_averaging`.

    Examples
    --------
    >>> import numpy as np
    >>> from tinypyr.compat.tinybrain.downsample import downsample_with_averaging_numpy
    >>> downsample_with_averaging_numpy(np.array([1, 2, 6], np.uint16), (3,))
    array([3], dtype=uint16)
    """
    return downsample_with_averaging(array, factor, 1, sparse)[0]


def downsample_segmentation_2d(data: npt.ArrayLike, factor: Factor, sparse: bool) -> Array:
    """Return one level of labels, the first of :func:`downsample_segmentation`.

    Examples
    --------
    >>> import numpy as np
    >>> from tinypyr.compat.tinybrain.downsample import downsample_segmentation_2d
    >>> downsample_segmentation_2d(np.array([[0, 0], [0, 4]]), (2, 2), sparse=True)
    array([[4]])
    """
    return downsample_segmentation(data, factor, sparse, 1)[0]


def countless(data: npt.ArrayLike, factor: Factor) -> Array:
    """Return COUNTLESS modes over blocks of any shape, the last axis fastest.

    The result is the most frequent label, ties to the first. If no label occurs three times, it is a label that occurs
    twice among all voxels except the last, else the last voxel. Partial blocks at the edge give their most frequent
    label.

    Examples
    --------
    >>> import numpy as np
    >>> from tinypyr.compat.tinybrain.downsample import countless
    >>> countless(np.array([1, 2, 3, 3, 5, 6, 6]), (3,))  # no pairs: the last voxel
    array([3, 6, 6])
    """
    image, factors, _ = _rules.checked(data, factor, 1)
    return _rules.countless(image, factors)


def countless2d(data: npt.ArrayLike) -> Array:
    """Return COUNTLESS modes over 2x2 voxels of axes 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> from tinypyr.compat.tinybrain.downsample import countless2d
    >>> countless2d(np.array([[1, 2, 5], [3, 4, 5]]))
    array([[4, 5]])
    """
    image, _, _ = _rules.checked(data, (1,), 1)
    return _rules.countless_2x2(image, 0, 1, sparse=False)


def countless3d(data: npt.ArrayLike) -> Array:
    """Return COUNTLESS modes over 2x2x2 voxels of axes 0 to 2, axis 2 fastest.

    Examples
    --------
    >>> import numpy as np
    >>> from tinypyr.compat.tinybrain.downsample import countless3d
    >>> countless3d(np.arange(8).reshape(2, 2, 2))
    array([[[7]]])
    """
    image, factors, _ = _rules.checked(data, (2, 2, 2), 1)
    return _rules.countless(image, factors)


def stippled_countless2d(data: npt.ArrayLike) -> Array:
    """Return COUNTLESS modes over 2x2 voxels of axes 0 and 1, in which any label wins over the background, 0.

    Examples
    --------
    >>> import numpy as np
    >>> from tinypyr.compat.tinybrain.downsample import stippled_countless2d
    >>> stippled_countless2d(np.array([[0, 0], [3, 0]]))
    array([[3]])
    """
    image, _, _ = _rules.checked(data, (1,), 1)
    return _rules.countless_2x2(image, 0, 1, sparse=True)


def _pooled(array: npt.ArrayLike, factor: Factor, method: Method, num_mips: Any, sparse: bool) -> list[Array]:
    image, factors, levels = _rules.checked(array, factor, num_mips)
    return _rules.pool(image, factors, method, levels, ignore=0 if sparse else None)
