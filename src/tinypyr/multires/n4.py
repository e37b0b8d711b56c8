"""N4 bias field correction with SimpleITK at low resolution; its field is a spline, which is evaluated exactly.

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
    """Divide a volume by the smooth field that N4 estimates (``pip install "tinypyr[n4]"``).

    Parameters
    ----------
    spline_spacing : float
        The initial distance of the spline's knots, in the units of the grid.
    convergence : dict
        ``"iters"``: the maximum number of iterations of each level; the distance of the knots is halved from level to
        level. ``"tol"``: the change below which a level ends.
    shrink_factor : int
        The factor along each axis by which the low resolution is reduced further for the estimation.

    Notes
    -----
    The logarithm of the field is a cubic spline, whose coefficients are kept: at full resolution that spline is
    evaluated, not an interpolation of its samples. Voxels that are not positive, or excluded by a mask, do not count.
    The volume needs two or three axes of more than one voxel. Each channel and time point has a field of its own.
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
            raise ValueError(f"spline_spacing: {spline_spacing!r} is not a positive distance")
        if isinstance(shrink_factor, bool) or not hasattr(shrink_factor, "__index__") or shrink_factor < 1:
            raise ValueError(f"shrink_factor: {shrink_factor!r} is not a positive integer")
        invalid = ValueError(f"convergence: {convergence!r} is not {{'iters': [integers], 'tol': a number}}")
        if convergence is not None and not isinstance(convergence, dict):
            raise invalid
        settings: dict[str, Any] = {"iters": [50], "tol": 1e-3} | (convergence or {})
        iters, tol = np.asarray(settings["iters"]), np.asarray(settings["tol"])
        if set(settings) != {"iters", "tol"} or iters.ndim != 1 or iters.size == 0 or iters.dtype.kind not in "iu":
            raise invalid
        if iters.min() < 1 or tol.ndim or tol.dtype.kind not in "iuf" or not tol >= 0:
            raise invalid
        settings = {"iters": iters.tolist(), "tol": float(tol)}
        super().__init__(
            spline_spacing=float(spline_spacing), convergence=settings, shrink_factor=operator.index(shrink_factor)
        )

    def check(self, grid: Grid, dtype: np.dtype[Any], preserve_dtype: bool) -> None:
        """Raise an error if SimpleITK is missing, or the volume or the distance of the knots is not supported."""
        _simpleitk()
        axes = _axes(grid)
        if len(axes) not in (2, 3):
            raise ValueError(f"source: N4 needs two or three axes, but the low resolution has shape {grid.shape}")
        self._spans([grid.shape[axis] for axis in axes], [grid.scale[axis] for axis in axes])

    def lowres_func(self, lowres: Array) -> Field:
        """Return the coefficients of the logarithm of the field."""
        grid = self.lowres_grid
        if grid is None:
            raise ValueError("lowres_grid: it is not set; call this plugin through apply_scaled_processing")
        separate_axes = [axis for axis in range(grid.ndim) if axis not in grid.spatial]
        fields: dict[tuple[int, ...], Field] = {}
        for index in np.ndindex(*(lowres.shape[axis] for axis in separate_axes)):  # each channel and time point
            at = tuple(
                slice(index[separate_axes.index(axis)], index[separate_axes.index(axis)] + 1)
                if axis in separate_axes
                else slice(None)
                for axis in range(lowres.ndim)
            )
            mask = None if self.lowres_mask is None else self.lowres_mask[at]
            fields[index] = self._estimate(np.asarray(lowres[at]), mask, grid)
        first = fields[(0,) * len(separate_axes)]
        if not separate_axes:
            return first
        extents = [n for axis, n in enumerate(first.values.shape) if axis not in separate_axes]
        values = np.concatenate([field.values for field in fields.values()])
        values = values.reshape(*(lowres.shape[axis] for axis in separate_axes), *extents)
        values = np.moveaxis(values, range(len(separate_axes)), separate_axes)
        field_grid = Grid(values.shape, grid.axes, first.grid.scale, first.grid.translation, grid.units)
        return Field(values, field_grid, order=ORDER, coefficients=True)

    def _estimate(self, lowres: Array, mask: NDArray[np.bool_] | None, grid: Grid) -> Field:
        """Return the field of one channel and time point."""
        axes = _axes(grid)
        voxels = np.ascontiguousarray(lowres, np.float32).reshape([lowres.shape[axis] for axis in axes])
        counts = np.isfinite(voxels) & (voxels > 0)
        if mask is not None:
            counts &= mask.reshape(counts.shape)
        if not counts.any():
            raise ValueError("source: no voxel above 0 counts; N4 needs positive intensities")
        voxel_size = [grid.scale[axis] for axis in axes]
        spans = self._spans(voxels.shape, voxel_size)
        log, first, step = self._run_n4(voxels, counts, voxel_size, spans)
        knots = [n << (len(self.params["convergence"]["iters"]) - 1) for n in spans]
        coefficients = spline_coefficients(log, knots)
        shape, scale, translation = [1] * lowres.ndim, list(grid.scale), list(grid.translation)
        for axis, o, s, n, k in zip(axes, first, step, log.shape, knots, strict=True):
            shape[axis] = k + ORDER + 2
            scale[axis] = s * (n - 1) / k
            translation[axis] += o - 2 * scale[axis]
        field_grid = Grid(shape, grid.axes, scale, translation, grid.units)
        return Field(coefficients.reshape(shape), field_grid, order=ORDER, coefficients=True)

    def _run_n4(
        self, voxels: Array, counts: NDArray[np.bool_], voxel_size: Sequence[float], spans: Sequence[int]
    ) -> tuple[NDArray[np.float64], list[float], list[float]]:
        """Return the logarithm of the field at its samples, the first sample's position, and their distance."""
        sitk = _simpleitk()
        image, mask = sitk.GetImageFromArray(voxels), sitk.GetImageFromArray(counts.astype(np.uint8))
        for volume in (image, mask):
            volume.SetSpacing(voxel_size[::-1])
        shrink = [min(int(self.params["shrink_factor"]), n) for n in voxels.shape]
        small, small_mask = (sitk.Shrink(volume, shrink[::-1]) for volume in (image, mask))
        n4 = sitk.N4BiasFieldCorrectionImageFilter()
        n4.SetMaximumNumberOfIterations([int(n) for n in self.params["convergence"]["iters"]])
        n4.SetConvergenceThreshold(float(self.params["convergence"]["tol"]))
        n4.SetNumberOfControlPoints([n + ORDER for n in spans[::-1]])
        n4.SetSplineOrder(ORDER)
        n4.SetNumberOfThreads(1)  # with several threads, sums differ from run to run
        n4.Execute(small, small_mask)
        log = np.asarray(sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(small)), np.float64)
        # the first and the last sample are the ends of the spline
        return log, [float(o) for o in small.GetOrigin()[::-1]], [float(s) for s in small.GetSpacing()[::-1]]

    def _spans(self, shape: Sequence[int], voxel_size: Sequence[float]) -> list[int]:
        """Return the number of spans between knots per axis; raise ValueError if there are more knots than voxels."""
        distance = self.params["spline_spacing"]
        spans = [max(1, math.ceil(n * s / distance - 1e-9)) for n, s in zip(shape, voxel_size, strict=True)]
        finest = 1 << (len(self.params["convergence"]["iters"]) - 1)
        for n, k in zip(shape, spans, strict=True):
            if k * finest > n:
                raise ValueError(
                    f"spline_spacing: {distance} needs {k * finest} knots along an axis of {n} voxels at low "
                    f"resolution (voxel size {list(voxel_size)}); pass more, or fewer levels in convergence"
                )
        return spans

    def highres_func(self, fullres: Array, upsampled: Any) -> Array:
        """Return the block divided by the field."""
        return np.asarray(fullres * np.exp(-upsampled))


def _simpleitk() -> Any:
    """Return the module SimpleITK; raise ImportError if it is missing."""
    try:
        import SimpleITK
    except ImportError:
        raise ImportError('N4 needs SimpleITK: pip install "tinypyr[n4]"') from None
    return SimpleITK


def _axes(grid: Grid) -> list[int]:
    """Return the spatial axes of more than one voxel, along which the field varies."""
    return [axis for axis in grid.spatial if grid.shape[axis] > 1]


def spline_coefficients(samples: NDArray[np.float64], spans: list[int]) -> NDArray[np.float64]:
    """Return the coefficients of a cubic spline from its samples between the first and the last knot.

    A spline of n spans has n + 3 coefficients along an axis. One more is added at each end, on the line through the two
    next to it, for positions slightly beyond the knots.
    """
    coefficients = samples
    for axis, k in enumerate(spans):
        n = samples.shape[axis]
        at = np.linspace(0, k, n)
        span = np.minimum(at.astype(np.int64), k - 1)
        t = at - span
        weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1) / 6
        basis = np.zeros((n, k + ORDER))
        for tap in range(ORDER + 1):
            basis[np.arange(n), span + tap] = weights[:, tap]
        coefficients = np.moveaxis(np.tensordot(np.linalg.pinv(basis), coefficients, (1, axis)), 0, axis)
        first, last = np.take(coefficients, [0, 1], axis), np.take(coefficients, [-1, -2], axis)
        ends = [2 * np.take(end, [0], axis) - np.take(end, [1], axis) for end in (first, last)]
        coefficients = np.concatenate([ends[0], coefficients, ends[1]], axis)
    return coefficients
