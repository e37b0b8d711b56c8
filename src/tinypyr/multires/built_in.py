"""The built-in plugins that need scipy's filters or numpy's percentiles."""

from __future__ import annotations

import concurrent.futures
import itertools
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._util.sizes import workers_of
from ..grid import Grid
from ..resampling.sampler import BOUNDARY_MODES, ndimage
from .operations import float_dtype
from .plugins import Array, Field, ScaledProcessingPlugin, empty


class GaussianBiasFieldCorrection(ScaledProcessingPlugin):
    """Divide a volume by a blurred copy of itself.

    Parameters
    ----------
    sigma : float or sequence of float
        Standard deviation of the Gaussian: one for all spatial axes, or one per axis.
    mode : str
        The boundary mode, as in `scipy.ndimage.gaussian_filter`.
    units : {"voxel", "world"}
        The unit of ``sigma``: voxels of the low resolution, or the units of the volume's grid.
    normalize : bool
        If True, divide the field by its mean (for each channel and time point), so that the volume keeps its own mean.

    Notes
    -----
    With a mask, only the voxels that count contribute: the blurred volume is divided by the blurred mask. NaN
    propagates as far as the filter reaches; exclude such voxels with a mask.
    """

    operation = "divide"

    def __init__(
        self,
        sigma: float | Sequence[float] = 5.0,
        mode: str = "reflect",
        units: str = "voxel",
        normalize: bool = False,
    ) -> None:
        super().__init__(sigma=sigma, mode=mode, units=units, normalize=normalize)
        _check_blur(sigma, mode)
        if units not in ("voxel", "world"):
            raise ValueError(f"units: {units!r} is neither 'voxel' nor 'world'")
        if not isinstance(normalize, (bool, np.bool_)):
            raise TypeError(f"normalize: {normalize!r} is neither True nor False")

    def check(self, grid: Grid, dtype: np.dtype[Any], preserve_dtype: bool) -> None:
        """Raise ValueError if sigma does not fit the axes; warn if integers would be rounded to about 1."""
        _check_per_axis("sigma", self.params["sigma"], grid)
        if preserve_dtype and dtype.kind in "iub" and not self.params["normalize"]:
            warnings.warn(
                f"normalize: False leaves {dtype} near 1, because a volume is divided by its own average; pass "
                "normalize=True to keep the mean, or preserve_dtype=False to keep fractions",
                stacklevel=2,
            )

    def lowres_func(self, lowres: Array) -> Array:
        """Return the blurred volume."""
        p, mask = self.params, self.lowres_mask
        blur = p["sigma"], p["mode"], p["units"], self.lowres_grid
        dtype = float_dtype(lowres.dtype)
        if lowres.dtype == np.float16:
            lowres = lowres.astype(dtype)
        if mask is None:
            field = _blurred(lowres, *blur, self.like(lowres, dtype))
        else:
            counted = self.like(lowres)
            counted[...] = 0
            np.copyto(counted, lowres, where=mask)  # excluded voxels may be NaN
            field = _blurred(counted, *blur, self.like(lowres, dtype))
            weight = _blurred(mask.astype(dtype, copy=False), *blur, self.like(lowres, dtype))
            outside = weight < 1e-6
            np.divide(field, weight, out=field, where=~outside)
            field[outside] = field[~outside].mean() if not outside.all() else 1
        if p["normalize"]:
            grid = self.lowres_grid
            axes = tuple(range(field.ndim)) if grid is None else grid.spatial
            mean = field.mean(axis=axes, keepdims=True, dtype=np.float64)
            np.divide(field, mean, out=field, where=mean != 0)
        return field


class BackgroundSubtraction(ScaledProcessingPlugin):
    """Subtract the background of a volume: a minimum filter, blurred.

    Parameters
    ----------
    size : int
        Edge length of the minimum filter, in voxels of the low resolution.
    sigma : float
        Standard deviation of the Gaussian that blurs the minima, in voxels of the low resolution.
    mode : str
        The boundary mode, as in `scipy.ndimage.gaussian_filter`.

    Notes
    -----
    With a mask, only the voxels that count contribute, where there are any within the filter.
    """

    operation = "subtract"

    def __init__(self, size: int = 15, sigma: float = 5.0, mode: str = "reflect") -> None:
        super().__init__(size=size, sigma=sigma, mode=mode)
        _check_blur(sigma, mode)
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
            raise ValueError(f"size: {size!r} is not a number of voxels; pass a positive integer")

    def check(self, grid: Grid, dtype: np.dtype[Any], preserve_dtype: bool) -> None:
        """Raise ValueError if sigma does not fit the axes."""
        _check_per_axis("sigma", self.params["sigma"], grid)

    def lowres_func(self, lowres: Array) -> Array:
        """Return the background."""
        p, mask = self.params, self.lowres_mask
        if lowres.dtype == np.float16:
            lowres = lowres.astype(np.float32)
        if mask is not None and mask.any():
            lowres = np.where(mask, lowres, lowres[mask].max())
        size = _per_axis(p["size"], lowres.ndim, self.lowres_grid, 1)
        minima = ndimage("this plugin needs").minimum_filter(lowres, size, output=self.like(lowres), mode=p["mode"])
        out = self.like(lowres, float_dtype(lowres.dtype))
        return _blurred(minima, p["sigma"], p["mode"], "voxel", self.lowres_grid, out)


class PercentileNormalization(ScaledProcessingPlugin):
    """Map two percentiles of the intensities linearly to two values.

    Parameters
    ----------
    low, high : float
        The percentiles, computed at low resolution (with a mask, from the voxels that count).
    to : (float, float), optional
        The values that they are mapped to. Default: the range of the dtype for integers, 0 and 1 for floats.
    along : str, optional
        An axis, such as "z": the percentiles are computed for each section of the low resolution along this axis. With
        a factor of 1 along it, each section of the volume is normalized on its own.

    Notes
    -----
    If no voxel counts (in a section, or at all), all voxels do. NaN propagates to all voxels.
    """

    fields = 2

    def __init__(
        self, low: float = 1.0, high: float = 99.0, to: tuple[float, float] | None = None, along: str | None = None
    ) -> None:
        percentiles = np.asarray([low, high])
        if percentiles.dtype.kind not in "iuf" or not 0 <= low < high <= 100:
            raise ValueError(f"low, high: {low!r} and {high!r} are not two percentiles in increasing order")
        ends = np.asarray((0, 1) if to is None else to)
        if ends.dtype.kind not in "iuf" or ends.shape != (2,) or not np.isfinite(ends).all():
            raise ValueError(f"to: {to!r} is not two numbers")
        super().__init__(low=low, high=high, to=None if to is None else ends.tolist(), along=along)

    def check(self, grid: Grid, dtype: np.dtype[Any], preserve_dtype: bool) -> None:
        """Raise ValueError if the volume does not have the axis ``along``."""
        along = self.params["along"]
        if along is not None and along not in grid.axes:
            raise ValueError(f"along: {along!r} is not one of the axes {', '.join(grid.axes)}")

    def lowres_func(self, lowres: Array) -> tuple[Field, Field]:
        """Return the two percentiles: one number each, or one per section."""
        grid, along, mask = self.lowres_grid, self.params["along"], self.lowres_mask
        if grid is None:
            raise ValueError("lowres_grid: it is not set; call this plugin through apply_scaled_processing")
        lowres = lowres.view(np.uint8) if lowres.dtype.kind == "b" else lowres
        at = None if along is None else grid.axes.index(along)
        percentiles = []
        for index in range(1 if at is None else lowres.shape[at]):
            part = (slice(None),) * (at or 0) + ((slice(None) if at is None else index),)
            voxels = lowres[part] if mask is None or not mask[part].any() else lowres[part][mask[part]]
            copy = empty((voxels.size,), voxels.dtype, isinstance(lowres, np.memmap))
            copy.reshape(voxels.shape)[...] = voxels
            percentiles.append(np.percentile(copy, (self.params["low"], self.params["high"]), overwrite_input=True))
        shape = tuple(n if axis == at else 1 for axis, n in enumerate(lowres.shape))
        translation = [
            t if axis == at else t + s * (n - 1) / 2
            for axis, (t, s, n) in enumerate(zip(grid.translation, grid.scale, grid.shape, strict=True))
        ]
        scale = [s if axis == at else s * n for axis, (s, n) in enumerate(zip(grid.scale, grid.shape, strict=True))]
        field_grid = Grid(shape, grid.axes, scale, translation, grid.units)
        low, high = np.array(percentiles, np.float64).T
        return Field(low.reshape(shape), field_grid, order=0), Field(high.reshape(shape), field_grid, order=0)

    def highres_func(self, fullres: Array, upsampled: Any) -> Array:
        """Return the block, normalized; the lower value everywhere if the percentiles are equal."""
        low, high = upsampled
        if self.params["to"] is not None:
            first, last = self.params["to"]
        elif fullres.dtype.kind in "iu":
            first, last = float(np.iinfo(fullres.dtype).min), float(np.iinfo(fullres.dtype).max)
        else:
            first, last = 0.0, 1.0
        width = high - low
        share = np.zeros(fullres.shape)
        np.divide(fullres - low, width, out=share, where=width != 0)
        return np.asarray(first + share * (last - first))


def _check_blur(sigma: Any, mode: Any) -> None:
    """Raise an error if the parameters of a Gaussian filter are invalid, or scipy is missing."""
    values = np.asarray(sigma)
    if values.dtype.kind not in "iuf" or values.ndim > 1 or not np.all(np.isfinite(values) & (values >= 0)):
        raise ValueError(f"sigma: {sigma!r} is not a non-negative number, or one per axis")
    if mode not in BOUNDARY_MODES:
        raise ValueError(f"mode: {mode!r} is not a boundary mode; choose one of {', '.join(BOUNDARY_MODES)}")
    ndimage("this plugin needs")


def _check_per_axis(name: str, value: Any, grid: Grid) -> None:
    """Raise ValueError if a sequence does not have one number per axis."""
    if np.ndim(value) == 1 and len(value) != grid.ndim:
        raise ValueError(f"{name}: {value!r} has {len(value)} numbers, but the volume has {grid.ndim} axes")


def _per_axis(value: Any, ndim: int, grid: Grid | None, neutral: float) -> Any:
    """Return one number per axis; a single number applies to spatial axes, and others get the neutral value."""
    if np.ndim(value) == 0 and grid is not None:
        return np.array([value if axis in grid.spatial else neutral for axis in range(grid.ndim)])
    return np.broadcast_to(np.asarray(value), (ndim,))


def _blurred(volume: Array, sigma: Any, mode: str, units: str, grid: Grid | None, out: Array) -> Array:
    """Return ``out``, filled with the result of `scipy.ndimage.gaussian_filter`, whose lines several threads filter."""
    per_axis = _per_axis(sigma, volume.ndim, grid, 0)
    if units == "world":
        if grid is None:
            raise ValueError("units: 'world' needs the grid; call this plugin through apply_scaled_processing")
        per_axis = per_axis / np.array(grid.scale)
    gaussian_filter1d = ndimage("this plugin needs").gaussian_filter1d
    workers = workers_of(None)
    filtered = volume
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for axis, width in enumerate(per_axis.tolist()):
            if width <= 1e-15:
                continue
            across = max((a for a in range(volume.ndim) if a != axis), key=lambda a: volume.shape[a])
            cuts = np.linspace(0, volume.shape[across], 4 * workers + 1).astype(int)
            parts = [(slice(None),) * across + (slice(a, b),) for a, b in itertools.pairwise(cuts) if a < b]
            futures = [
                pool.submit(gaussian_filter1d, filtered[part], width, axis, 0, out[part], mode) for part in parts
            ]
            for future in futures:
                future.result()
            filtered = out
    if filtered is volume:
        out[...] = volume
    return out
