"""N4 bias field correction, by SimpleITK, at low resolution; its field is a spline, which is applied as it is.

The algorithm: Tustison et al., N4ITK: Improved N3 Bias Correction, IEEE Transactions on Medical Imaging 29 (2010).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..grid import Grid
from .plugins import Array, Field, ScaledProcessingPlugin

ORDER = 3


class N4BiasFieldCorrection(ScaledProcessingPlugin):
    """Divides by the smooth field that N4 finds (``pip install "tinypyr[n4]"``).

    Parameters
    ----------
    spline_spacing : float
        The distance of the spline's knots at first, in the grid's units.
    convergence : dict
        ``"iters"``: how many iterations at most, a number for each level; from level to level the knots lie half as far
        apart. ``"tol"``: the change below which a level has ended.
    shrink_factor : int
        How many voxels of the low resolution, along each axis, are one to N4.

    Notes
    -----
    The logarithm of the field is a cubic spline. Its coefficients are taken over, so that at full resolution the field
    is this very spline, not what lies between samples of it. Voxels of 0 and less do not count, nor those outside of a
    mask. Two or three axes of more than one voxel; every channel and time point has a field of its own.
    """

    def __init__(
        self,
        spline_spacing: float = 200.0,
        convergence: dict[str, Any] | None = None,
        shrink_factor: int = 1,
    ) -> None:
        if isinstance(spline_spacing, bool) or not isinstance(spline_spacing, (int, float, np.number)):
            raise TypeError(f"spline_spacing: {spline_spacing!r} is not a number")
        if not (math.isfinite(spline_spacing) and spline_spacing > 0):
            raise ValueError(f"spline_spacing: {spline_spacing!r} is not a distance")
        if isinstance(shrink_factor, bool) or not hasattr(shrink_factor, "__index__") or shrink_factor < 1:
            raise ValueError(f"shrink_factor: {shrink_factor!r} is not a whole number of 1 or more")
        wrong = ValueError(f"convergence: {convergence!r} is not {{'iters': [numbers], 'tol': a number}}")
        if convergence is not None and not isinstance(convergence, dict):
            raise wrong
        told: dict[str, Any] = {"iters": [50], "tol": 1e-3} | (convergence or {})
        iters, tol = np.asarray(told["iters"]), np.asarray(told["tol"])
        if set(told) != {"iters", "tol"} or iters.ndim != 1 or iters.size == 0 or iters.dtype.kind not in "iu":
            raise wrong
        if iters.min() < 1 or tol.ndim or tol.dtype.kind not in "iuf" or not tol >= 0:
            raise wrong
        told = {"iters": iters.tolist(), "tol": float(tol)}
        super().__init__(
            spline_spacing=float(spline_spacing), convergence=told, shrink_factor=operator.index(shrink_factor)
        )

    def check(self, grid: Grid, dtype: np.dtype[Any], preserve_dtype: bool) -> None:
        """SimpleITK, two or three axes, and knots that lie further apart than voxels."""
        _simpleitk()
        axes = _axes(grid)
        if len(axes) not in (2, 3):
            raise ValueError(f"source: of shape {grid.shape} at low resolution; N4 is of two or three axes")
        self._spans([grid.shape[axis] for axis in axes], [grid.scale[axis] for axis in axes])

    def lowres_func(self, lowres: Array) -> Field:
        """The coefficients of the logarithm of the field."""
        grid = self.lowres_grid
        if grid is None:
            raise ValueError("the grid is not known, which apply_scaled_processing gives")
        apart = [axis for axis in range(grid.ndim) if axis not in grid.spatial]
        found: dict[tuple[int, ...], Field] = {}
        for index in np.ndindex(*(lowres.shape[axis] for axis in apart)):  # every channel and time point for itself
            at = tuple(
                slice(index[apart.index(axis)], index[apart.index(axis)] + 1) if axis in apart else slice(None)
                for axis in range(lowres.ndim)
            )
            mask = None if self.lowres_mask is None else self.lowres_mask[at]
            found[index] = self._of_one(np.asarray(lowres[at]), mask, grid)
        first = found[(0,) * len(apart)]
        if not apart:
            return first
        values = np.concatenate([field.values for field in found.values()]).reshape(
            *(lowres.shape[axis] for axis in apart), *(n for a, n in enumerate(first.values.shape) if a not in apart)
        )
        values = np.moveaxis(values, range(len(apart)), apart)
        place = Grid(values.shape, grid.axes, first.grid.scale, first.grid.translation, grid.units)
        return Field(values, place, order=ORDER, coefficients=True)

    def _of_one(self, lowres: Array, among: NDArray[np.bool_] | None, grid: Grid) -> Field:
        sitk = _simpleitk()
        axes = _axes(grid)
        voxels = np.ascontiguousarray(lowres, np.float32).reshape([lowres.shape[axis] for axis in axes])
        counts = np.isfinite(voxels) & (voxels > 0)
        if among is not None:
            counts &= among.reshape(counts.shape)
        if not counts.any():
            raise ValueError("source: no voxel above 0 counts")
        spacing = [grid.scale[axis] for axis in axes]
        spans = self._spans(voxels.shape, spacing)
        image, mask = sitk.GetImageFromArray(voxels), sitk.GetImageFromArray(counts.astype(np.uint8))
        for one in (image, mask):
            one.SetSpacing(spacing[::-1])
        shrink = [min(int(self.params["shrink_factor"]), n) for n in voxels.shape]
        small, small_mask = (sitk.Shrink(one, shrink[::-1]) for one in (image, mask))
        n4 = sitk.N4BiasFieldCorrectionImageFilter()
        iters = self.params["convergence"]["iters"]
        n4.SetMaximumNumberOfIterations([int(n) for n in iters])
        n4.SetConvergenceThreshold(float(self.params["convergence"]["tol"]))
        n4.SetNumberOfControlPoints([n + ORDER for n in spans[::-1]])
        n4.SetSplineOrder(ORDER)
        n4.SetNumberOfThreads(1)  # (sums of several differ from run to run)
        n4.Execute(small, small_mask)
        log = np.asarray(sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(small)), np.float64)
        knots = [n << (len(iters) - 1) for n in spans]
        # where the first and the last sample lie: the spline's ends
        first = [float(o) for o in small.GetOrigin()[::-1]]
        step = [float(s) for s in small.GetSpacing()[::-1]]
        coefficients = coefficients_of(log, knots)
        shape, scale, at = [1] * lowres.ndim, list(grid.scale), list(grid.translation)
        for axis, o, s, n, k in zip(axes, first, step, log.shape, knots, strict=True):
            shape[axis] = k + ORDER + 2
            scale[axis] = s * (n - 1) / k
            at[axis] += o - 2 * scale[axis]
        place = Grid(shape, grid.axes, scale, at, grid.units)
        return Field(coefficients.reshape(shape), place, order=ORDER, coefficients=True)

    def _spans(self, shape: Sequence[int], spacing: Sequence[float]) -> list[int]:
        wanted = self.params["spline_spacing"]
        spans = [max(1, math.ceil(n * s / wanted - 1e-9)) for n, s in zip(shape, spacing, strict=True)]
        finest = 1 << (len(self.params["convergence"]["iters"]) - 1)
        for n, k in zip(shape, spans, strict=True):
            if k * finest > n:
                raise ValueError(
                    f"spline_spacing: {wanted} puts {k * finest} knots along an axis of {n} voxels at low resolution; "
                    f"these are {spacing} apart"
                )
        return spans

    def highres_func(self, fullres: Array, upsampled: Any) -> Array:
        """The block, divided by the field."""
        return np.asarray(fullres * np.exp(-upsampled))


def _simpleitk() -> Any:
    try:
        import SimpleITK as found
    except ImportError:
        raise ImportError('N4 needs SimpleITK: pip install "tinypyr[n4]"') from None
    return found


def _axes(grid: Grid) -> list[int]:
    """Those along which there is a field: of space, and of more than one voxel."""
    return [axis for axis in grid.spatial if grid.shape[axis] > 1]


def coefficients_of(samples: NDArray[np.float64], spans: list[int]) -> NDArray[np.float64]:
    """The coefficients of a cubic spline of so many spans, of samples from its first knot to its last.

    As many as spans and three, and one more at either end, on a line with the two next to it, for what lies a little
    beyond.
    """
    made = samples
    for axis, k in enumerate(spans):
        n = samples.shape[axis]
        at = np.linspace(0, k, n)
        span = np.minimum(at.astype(np.int64), k - 1)
        t = at - span
        weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1) / 6
        basis = np.zeros((n, k + ORDER))
        for tap in range(ORDER + 1):
            basis[np.arange(n), span + tap] = weights[:, tap]
        made = np.moveaxis(np.tensordot(np.linalg.pinv(basis), made, (1, axis)), 0, axis)
        first, last = np.take(made, [0, 1], axis), np.take(made, [-1, -2], axis)
        ends = [2 * np.take(end, [0], axis) - np.take(end, [1], axis) for end in (first, last)]
        made = np.concatenate([ends[0], made, ends[1]], axis)
    return made
