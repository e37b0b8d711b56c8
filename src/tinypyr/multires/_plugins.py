"""What is computed and applied: the plugins that there are, and what else may be one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._sampling import ndimage
from ..grid import Grid

Array = NDArray[Any]


class PluginError(RuntimeError):
    """A plugin failed, or made what cannot be used; the message names it, and the block."""


class ScaledProcessingPlugin(ABC):
    """An algorithm in two halves.

    Parameters
    ----------
    **params
        What the algorithm wants to know; kept as ``params``.

    Attributes
    ----------
    operation : str, optional
        ``"divide"``, ``"multiply"``, ``"subtract"`` or ``"mask"`` (voxels stay where the field is at least 1/2, the
        others are 0): what is done with a block and the field there. Then ``highres_func`` need not be written. Voxels
        stay as they are where they would be divided by 0.
    lowres_grid : Grid
        While ``lowres_func`` runs: where the voxels of what it is given lie.

    Examples
    --------
    A flat field, ten lines:

    >>> import numpy as np
    >>> from tinypyr.multires import ScaledProcessingPlugin, apply_scaled_processing
    >>> class FlatField(ScaledProcessingPlugin):
    ...     '''Divides by the mean over all sections.'''
    ...
    ...     def lowres_func(self, lowres):
    ...         section = lowres.mean(axis=0)
    ...         return np.broadcast_to(section / section.mean(), lowres.shape)
    ...
    ...     def highres_func(self, fullres, upsampled):
    ...         return fullres / upsampled
    >>> shaded = np.linspace(50, 150, 64) * np.ones((8, 64, 64))
    >>> flat = apply_scaled_processing(shaded, FlatField, 4)
    >>> bool(abs(flat[:, :, 2:-2] - 100).max() < 1e-9)
    True
    """

    operation: str | None = None

    def __init__(self, **params: Any) -> None:
        self.params = params
        self.lowres_grid: Grid | None = None

    @abstractmethod
    def lowres_func(self, lowres: Array) -> Array:
        """The field, of the same shape, of the volume at low resolution."""

    def highres_func(self, fullres: Array, upsampled: Array) -> Array:
        """A block of the volume, and the field there: what comes of them, of the same shape."""
        if self.operation not in OPERATIONS:
            raise TypeError(f"{self.name}: write highres_func, or say one of {', '.join(OPERATIONS)}")
        return OPERATIONS[self.operation](fullres, upsampled)

    @property
    def name(self) -> str:
        """What messages call it."""
        return type(self).__name__

    @property
    def description(self) -> str:
        """What it does, in a line."""
        return (type(self).__doc__ or "").strip().partition("\n")[0]


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
        Divide the field by its mean, so that the volume keeps its own.
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
        _checked_sigma(sigma, units)

    def lowres_func(self, lowres: Array) -> Array:
        """The volume, blurred."""
        field = _blurred(lowres, self.params["sigma"], self.params["mode"], self.params["units"], self.lowres_grid)
        mean = field.mean()
        return field / mean if self.params["normalize"] and mean != 0 else field


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
    """

    operation = "subtract"

    def __init__(self, size: int = 15, sigma: float = 5.0, mode: str = "reflect") -> None:
        super().__init__(size=size, sigma=sigma, mode=mode)
        _checked_sigma(sigma, "voxel")
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
            raise ValueError(f"size: {size!r} is not a number of voxels")

    def lowres_func(self, lowres: Array) -> Array:
        """The floor."""
        lowest = ndimage("this plugin needs").minimum_filter(lowres, self.params["size"], mode=self.params["mode"])
        return _blurred(lowest, self.params["sigma"], self.params["mode"], "voxel", None)


@dataclass(frozen=True)
class Plugin:
    """A plugin, whatever it was given as."""

    name: str
    given: Any
    lowres_func: Callable[[Array], Array]
    highres_func: Callable[[Array, Array], Array]
    params: str  # as text

    @classmethod
    def of(cls, plugin: Any, params: dict[str, Any]) -> Plugin:
        """From a class, an instance, an object with the two functions, or a pair of them."""
        made = plugin
        if isinstance(plugin, type):
            if not hasattr(plugin, "lowres_func"):
                raise TypeError(f"plugin: {plugin.__name__} has no lowres_func")
            made = plugin(**params)
        elif params:
            raise TypeError(f"{', '.join(params)}: parameters are for a class of plugins; {plugin!r} has its own")
        if isinstance(made, tuple) and len(made) == 2:
            low, high = made
            operation = high if isinstance(high, str) else None
            name = getattr(low, "__name__", "a pair of functions")
        else:
            low, high = getattr(made, "lowres_func", None), getattr(made, "highres_func", None)
            operation = getattr(made, "operation", None)
            name = str(getattr(made, "name", type(made).__name__))
            if isinstance(made, ScaledProcessingPlugin) and type(made).highres_func is not _USUAL:
                operation = None  # (it has another one)
        if operation is not None and operation not in OPERATIONS:
            raise ValueError(f"plugin: its operation {operation!r} is not one of {', '.join(OPERATIONS)}")
        if operation is not None:
            high = OPERATIONS[operation]
        if not callable(low) or not callable(high):
            raise TypeError(
                f"plugin: {plugin!r} is no plugin; a class or an object with lowres_func and highres_func is, and so "
                "is a pair of these functions"
            )
        told = getattr(made, "params", None)
        return cls(name, made, low, high, repr(told) if isinstance(told, dict) else "")

    def field(self, lowres: Array, grid: Grid) -> Array:
        """What ``lowres_func`` makes, checked."""
        if isinstance(self.given, ScaledProcessingPlugin):
            self.given.lowres_grid = grid
        try:
            made = np.asarray(self.lowres_func(lowres))
        except Exception as error:
            raise PluginError(f"{self.name}: lowres_func failed: {type(error).__name__}: {error}") from error
        if made.shape != lowres.shape or made.dtype.kind not in "biuf":
            raise PluginError(
                f"{self.name}: lowres_func made {made.dtype} of shape {made.shape}; real numbers of shape "
                f"{lowres.shape} are needed"
            )
        return made

    def block(self, full: Array, upsampled: Array, where: str) -> Array:
        """What ``highres_func`` makes of a block, checked."""
        try:
            made = np.asarray(self.highres_func(full, upsampled))
        except Exception as error:
            told = f"highres_func failed at {where}: {type(error).__name__}: {error}"
            raise PluginError(f"{self.name}: {told}") from error
        if made.shape != full.shape:
            raise PluginError(f"{self.name}: highres_func made shape {made.shape} at {where}, not {full.shape}")
        return made


_USUAL = ScaledProcessingPlugin.highres_func


def computed(*dtypes: np.dtype[Any]) -> np.dtype[Any]:
    """The floats that hold voxels of these types: single precision for what it holds exactly."""
    small = all((dtype.kind in "bf" and dtype.itemsize <= 4) or dtype.itemsize <= 2 for dtype in dtypes)
    return np.dtype(np.float32 if small else np.float64)


def _divide(full: Array, by: Array) -> Array:
    made = full.astype(computed(full.dtype, by.dtype))
    np.divide(made, by, out=made, where=by != 0)
    return made


def _multiply(full: Array, by: Array) -> Array:
    return np.multiply(full, by, dtype=computed(full.dtype, by.dtype))


def _subtract(full: Array, less: Array) -> Array:
    return np.subtract(full, less, dtype=computed(full.dtype, less.dtype))


def _mask(full: Array, kept: Array) -> Array:
    return np.where(kept >= 0.5, full, full.dtype.type(0))


OPERATIONS: dict[str, Callable[[Array, Array], Array]] = {
    "divide": _divide,
    "multiply": _multiply,
    "subtract": _subtract,
    "mask": _mask,
}


def _checked_sigma(sigma: Any, units: Any) -> None:
    values = np.asarray(sigma)
    if values.dtype.kind not in "iuf" or values.ndim > 1 or not np.all(np.isfinite(values) & (values >= 0)):
        raise ValueError(f"sigma: {sigma!r} is not a number of 0 or more, or one for each axis")
    if units not in ("voxel", "world"):
        raise ValueError(f"units: {units!r} is neither 'voxel' nor 'world'")


def _blurred(volume: Array, sigma: Any, mode: str, units: str, grid: Grid | None) -> Array:
    per_axis = np.broadcast_to(np.asarray(sigma, np.float64), (volume.ndim,))
    if units == "world":
        if grid is None:
            raise ValueError("units: 'world' needs the grid, which apply_scaled_processing gives")
        per_axis = per_axis / np.array(grid.scale)
    made: Array = ndimage("this plugin needs").gaussian_filter(
        volume, per_axis, output=computed(volume.dtype), mode=mode
    )
    return made
