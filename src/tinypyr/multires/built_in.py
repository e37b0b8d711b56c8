"""The built-in plugins that scipy's filters and numpy's percentiles are enough for."""

from __future__ import annotations

import concurrent.futures
import itertools
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._util.sizes import workers_of
from ..grid import Grid
from ..resampling.sampler import ndimage
from .plugins import Array, Field, ScaledProcessingPlugin, computed, empty


class GaussianBiasFieldCorrection(ScaledProcessingPlugin):
    """Divides by the volume itself, blurred.

    Parameters
    ----------
    sigma : float or sequence of float
        Of the Gaussian.
    mode : str
        How the volume goes on beyond its border, as of `scipy.ndimage.gaussian_filter`.
    units : {"voxel", "world"}
        Of sigma: voxels at low resolution, or what the volume's grid is in.
    normalize : bool
        Divide the field by its mean (of every channel and time point), so that the volume keeps its own.

    Notes
    -----
    With a mask, only voxels in it count: the blurred volume is divided by the blurred mask. A voxel that is no number
    makes the field none as far as the blur reaches; leave it out with a mask.
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
        _checked_blur(sigma, mode)
        if units not in ("voxel", "world"):
            raise ValueError(f"units: {units!r} is neither 'voxel' nor 'world'")
        if not isinstance(normalize, (bool, np.bool_)):
            raise TypeError(f"normalize: {normalize!r} is neither True nor False")

    def check(self, grid: Grid, dtype: np.dtype[Any], preserve_dtype: bool) -> None:
        """One sigma, or one for each axis; warns of integers that would all come out near 1."""
        _check_axes("sigma", self.params["sigma"], grid)
        if preserve_dtype and dtype.kind in "iub" and not self.params["normalize"]:
            warnings.warn(
                f"normalize: False leaves {dtype} near 1, which is what a volume over its own blur is; True keeps its "
                "mean, and preserve_dtype=False its fractions",
                stacklevel=2,
            )

    def lowres_func(self, lowres: Array) -> Array:
        """The volume, blurred."""
        p, mask = self.params, self.lowres_mask
        how = p["sigma"], p["mode"], p["units"], self.lowres_grid
        kind = computed(lowres.dtype)
        if lowres.dtype == np.float16:
            lowres = lowres.astype(kind)
        if mask is None:
            field = _blurred(lowres, *how, self.like(lowres, kind))
        else:
            kept = self.like(lowres)
            kept[...] = 0
            np.copyto(kept, lowres, where=mask)  # (what does not count may be no number)
            field = _blurred(kept, *how, self.like(lowres, kind))
            seen = _blurred(mask.astype(kind, copy=False), *how, self.like(lowres, kind))
            outside = seen < 1e-6
            np.divide(field, seen, out=field, where=~outside)
            field[outside] = field[~outside].mean() if not outside.all() else 1
        if p["normalize"]:  # each channel, and each time point, by its own mean
            grid = self.lowres_grid
            alike = tuple(range(field.ndim)) if grid is None else grid.spatial
            mean = field.mean(axis=alike, keepdims=True, dtype=np.float64)
            np.divide(field, mean, out=field, where=mean != 0)
        return field


class BackgroundSubtraction(ScaledProcessingPlugin):
    """Subtracts the volume's floor: the lowest voxels around, blurred.

    Parameters
    ----------
    size : int
        Voxels at low resolution around, along each axis, of which the lowest counts.
    sigma : float
        Of the Gaussian after that, in voxels at low resolution.
    mode : str
        How the volume goes on beyond its border, as of `scipy.ndimage.gaussian_filter`.

    Notes
    -----
    With a mask, only voxels in it count, wherever there is one around.
    """

    operation = "subtract"

    def __init__(self, size: int = 15, sigma: float = 5.0, mode: str = "reflect") -> None:
        super().__init__(size=size, sigma=sigma, mode=mode)
        _checked_blur(sigma, mode)
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
            raise ValueError(f"size: {size!r} is not a number of voxels")

    def check(self, grid: Grid, dtype: np.dtype[Any], preserve_dtype: bool) -> None:
        """One sigma, or one for each axis."""
        _check_axes("sigma", self.params["sigma"], grid)

    def lowres_func(self, lowres: Array) -> Array:
        """The floor."""
        p, mask = self.params, self.lowres_mask
        if lowres.dtype == np.float16:
            lowres = lowres.astype(np.float32)
        if mask is not None and mask.any():
            lowres = np.where(mask, lowres, lowres[mask].max())
        size = _per_axis(p["size"], lowres.ndim, self.lowres_grid, 1)
        lowest = ndimage("this plugin needs").minimum_filter(lowres, size, output=self.like(lowres), mode=p["mode"])
        out = self.like(lowres, computed(lowres.dtype))
        return _blurred(lowest, p["sigma"], p["mode"], "voxel", self.lowres_grid, out)


class PercentileNormalization(ScaledProcessingPlugin):
    """Stretches intensities so that two percentiles of them come to lie where they are wanted.

    Parameters
    ----------
    low, high : float
        The percentiles, of the volume at low resolution (with a mask: of what is in it).
    to : (float, float), optional
        Where they shall lie; by default at the ends of the volume's dtype, of floats at 0 and 1.
    along : str, optional
        An axis, such as "z": every section of the low resolution is stretched for itself; a factor of 1 along this axis
        makes that every section.

    Notes
    -----
    Where nothing is in the mask (of a section, or at all), all voxels count. Numbers that are none make all of it none.
    """

    fields = 2

    def __init__(
        self, low: float = 1.0, high: float = 99.0, to: tuple[float, float] | None = None, along: str | None = None
    ) -> None:
        ends = np.asarray([low, high])
        if ends.dtype.kind not in "iuf" or not 0 <= low < high <= 100:
            raise ValueError(f"low, high: {low!r} and {high!r} are not two percentiles, the lower first")
        wanted = np.asarray((0, 1) if to is None else to)
        if wanted.dtype.kind not in "iuf" or wanted.shape != (2,) or not np.isfinite(wanted).all():
            raise ValueError(f"to: {to!r} is not two numbers")
        super().__init__(low=low, high=high, to=None if to is None else wanted.tolist(), along=along)

    def check(self, grid: Grid, dtype: np.dtype[Any], preserve_dtype: bool) -> None:
        """An axis that there is."""
        along = self.params["along"]
        if along is not None and along not in grid.axes:
            raise ValueError(f"along: {along!r} is none of the axes {', '.join(grid.axes)}")

    def lowres_func(self, lowres: Array) -> tuple[Field, Field]:
        """The two percentiles: one number each, or one per section."""
        grid, along, mask = self.lowres_grid, self.params["along"], self.lowres_mask
        if grid is None:
            raise ValueError("the grid is not known, which apply_scaled_processing gives")
        lowres = lowres.view(np.uint8) if lowres.dtype.kind == "b" else lowres
        at = None if along is None else grid.axes.index(along)
        found = []
        for index in range(1 if at is None else lowres.shape[at]):
            part = (slice(None),) * (at or 0) + ((slice(None) if at is None else index),)
            voxels = lowres[part] if mask is None or not mask[part].any() else lowres[part][mask[part]]
            copy = empty((voxels.size,), voxels.dtype, isinstance(lowres, np.memmap))
            copy.reshape(voxels.shape)[...] = voxels
            found.append(np.percentile(copy, (self.params["low"], self.params["high"]), overwrite_input=True))
        shape = tuple(n if axis == at else 1 for axis, n in enumerate(lowres.shape))
        middle = [
            t if axis == at else t + s * (n - 1) / 2
            for axis, (t, s, n) in enumerate(zip(grid.translation, grid.scale, grid.shape, strict=True))
        ]
        scale = [s if axis == at else s * n for axis, (s, n) in enumerate(zip(grid.scale, grid.shape, strict=True))]
        place = Grid(shape, grid.axes, scale, middle, grid.units)
        low, high = np.array(found, np.float64).T
        return Field(low.reshape(shape), place, order=0), Field(high.reshape(shape), place, order=0)

    def highres_func(self, fullres: Array, upsampled: Any) -> Array:
        """The block, stretched; where both percentiles are one number, it comes to lie at the lower end."""
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


MODES = ("reflect", "grid-mirror", "constant", "grid-constant", "nearest", "mirror", "wrap", "grid-wrap")


def _checked_blur(sigma: Any, mode: Any) -> None:
    values = np.asarray(sigma)
    if values.dtype.kind not in "iuf" or values.ndim > 1 or not np.all(np.isfinite(values) & (values >= 0)):
        raise ValueError(f"sigma: {sigma!r} is not a number of 0 or more, or one for each axis")
    if mode not in MODES:
        raise ValueError(f"mode: {mode!r} is none of {', '.join(MODES)}")
    ndimage("this plugin needs")


def _check_axes(name: str, value: Any, grid: Grid) -> None:
    if np.ndim(value) == 1 and len(value) != grid.ndim:
        raise ValueError(f"{name}: {value!r} is {len(value)} numbers, but the volume has {grid.ndim} axes")


def _per_axis(value: Any, ndim: int, grid: Grid | None, none: float) -> Any:
    """A number for each axis; one number is for all but channels and time, which are not neighbours."""
    if np.ndim(value) == 0 and grid is not None:
        return np.array([value if axis in grid.spatial else none for axis in range(grid.ndim)])
    return np.broadcast_to(np.asarray(value), (ndim,))


def _blurred(volume: Array, sigma: Any, mode: str, units: str, grid: Grid | None, out: Array) -> Array:
    per_axis = _per_axis(sigma, volume.ndim, grid, 0)
    if units == "world":
        if grid is None:
            raise ValueError("units: 'world' needs the grid, which apply_scaled_processing gives")
        per_axis = per_axis / np.array(grid.scale)
    along = ndimage("this plugin needs").gaussian_filter1d
    hands = workers_of(None)
    filled = volume
    with concurrent.futures.ThreadPoolExecutor(hands) as pool:  # as gaussian_filter does it, lines on several threads
        for axis, width in enumerate(per_axis.tolist()):
            if width <= 1e-15:
                continue
            across = max((a for a in range(volume.ndim) if a != axis), key=lambda a: volume.shape[a])
            cuts = np.linspace(0, volume.shape[across], 4 * hands + 1).astype(int)
            parts = [(slice(None),) * across + (slice(a, b),) for a, b in itertools.pairwise(cuts) if a < b]
            done = [pool.submit(along, filled[part], width, axis, 0, out[part], mode) for part in parts]
            for one in done:
                one.result()
            filled = out
    if filled is volume:
        out[...] = volume
    return out
