"""The functions of tinybrain's compiled module: 2x2 and 2x2x2 pooling of the first axes of an array."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..._pooling.arguments import Array
from . import _rules

__all__ = ["average_pooling_2x2", "average_pooling_2x2x2", "mode_pooling_2x2", "mode_pooling_2x2x2"]


def average_pooling_2x2(channel: npt.ArrayLike, num_mips: int = 1, sparse: bool = False) -> list[Array]:
    """Return ``num_mips`` levels of means over 2x2 voxels of axes 0 and 1, finest first, in Fortran order.

    Means of integers are rounded towards zero, and ``sparse`` excludes zeros. See
    :func:`.downsample.downsample_with_averaging`.

    Examples
    --------
    >>> import numpy as np
    >>> from tinypyr.compat.tinybrain import accelerated
    >>> accelerated.average_pooling_2x2(np.array([[1, 2], [2, 2]], np.uint8))
    [array([[1]], dtype=uint8)]
    """
    return _average(channel, 2, num_mips, sparse)


def average_pooling_2x2x2(channel: npt.ArrayLike, num_mips: int = 1, sparse: bool = False) -> list[Array]:
    """Return ``num_mips`` levels of means over 2x2x2 voxels of axes 0 to 2, finest first, in Fortran order.

    Means of integers are rounded towards zero, and ``sparse`` excludes zeros. See
    :func:`.downsample.downsample_with_averaging`.

    Examples
    --------
    >>> import numpy as np
    >>> from tinypyr.compat.tinybrain import accelerated
    >>> accelerated.average_pooling_2x2x2(np.full((3, 3, 3), 7, np.uint8), num_mips=2)[1]
    array([[[7]]], dtype=uint8)
    """
    return _average(channel, 3, num_mips, sparse)


def mode_pooling_2x2(img: npt.ArrayLike, num_mips: int = 1) -> list[Array]:
    """Return ``num_mips`` levels of COUNTLESS modes over 2x2 voxels of axes 0 and 1, finest first, in Fortran order.

    Examples
    --------
    >>> import numpy as np
    >>> from tinypyr.compat.tinybrain import accelerated
    >>> accelerated.mode_pooling_2x2(np.array([[1, 2], [3, 4]]))  # no pair: the last voxel
    [array([[4]])]
    """
    return _mode(img, 2, num_mips, False)


def mode_pooling_2x2x2(img: npt.ArrayLike, num_mips: int = 1, sparse: bool = False) -> list[Array]:
    """Return ``num_mips`` levels of modes over 2x2x2 voxels of axes 0 to 2, finest first, in Fortran order.

    Ties go to the first label in raster order, axis 0 fastest. ``sparse`` excludes zeros.

    Examples
    --------
    >>> import numpy as np
    >>> from tinypyr.compat.tinybrain import accelerated
    >>> accelerated.mode_pooling_2x2x2(np.array([0, 0, 0, 0, 0, 0, 0, 9]).reshape(2, 2, 2), sparse=True)
    [array([[[9]]])]
    """
    return _mode(img, 3, num_mips, sparse)


def _average(channel: npt.ArrayLike, axes: int, num_mips: int, sparse: bool) -> list[Array]:
    image, factor, levels = _rules.checked(channel, _rules.leading(axes, np.ndim(channel)), num_mips)
    return _rules.mean(image, factor, levels, sparse)


def _mode(img: npt.ArrayLike, axes: int, num_mips: int, sparse: bool) -> list[Array]:
    image, factor, levels = _rules.checked(img, _rules.leading(axes, np.ndim(img)), num_mips)
    return _rules.mode(image, factor, levels, sparse)
