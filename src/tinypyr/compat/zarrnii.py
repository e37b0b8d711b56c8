"""The multi-resolution plugins of zarrnii, with its names and keywords.

To migrate, change one import::

    from tinypyr.compat.zarrnii import GaussianBiasFieldCorrection, ZarrNii

    volume = ZarrNii.from_nifti("image.nii")
    corrected = volume.apply_scaled_processing(GaussianBiasFieldCorrection(sigma=5.0), downsample_factor=4)
    corrected.to_ome_zarr("corrected.ome.zarr")

Intended differences: the low resolution is the mean of whole footprints, for any factor and not only for powers of 2;
the field is interpolated at the centres of the voxels, without a shift and without seams; nothing but the field is
computed before the result is read; temporary stores are removed. `ZarrNii` has the methods around
``apply_scaled_processing``, and not the rest of that package.

Written from zarrnii's public documentation of 2025; needs
``pip install "tinypyr[multires]"``, and the extras ``n4`` and ``nifti`` for `N4BiasFieldCorrection` and NIfTI files.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import multires
from ..grid import Grid
from ..multires import Applied
from ..resampling.levels import Level, open_levels

__all__ = [
    "BiasFieldCorrection",
    "GaussianBiasFieldCorrection",
    "N4BiasFieldCorrection",
    "ScaledProcessingPlugin",
    "ZarrNii",
]


class ScaledProcessingPlugin(multires.ScaledProcessingPlugin):
    """Base class of plugins: ``lowres_func`` and ``highres_func``, and optionally ``name`` and ``description``.

    Parameters
    ----------
    **kwargs
        The parameters of the algorithm, stored as ``params``.

    Examples
    --------
    >>> import numpy as np
    >>> from tinypyr.compat.zarrnii import ScaledProcessingPlugin, ZarrNii
    >>> class Double(ScaledProcessingPlugin):
    ...     '''Multiply by two.'''
    ...
    ...     def lowres_func(self, lowres_array):
    ...         return np.full(lowres_array.shape, 2.0)
    ...
    ...     def highres_func(self, fullres_array, upsampled_output):
    ...         return fullres_array * upsampled_output
    >>> Double().description
    'Multiply by two.'
    >>> ZarrNii(np.ones((8, 8, 8))).apply_scaled_processing(Double).data[0, 0, :3]
    array([2., 2., 2.])
    """

    @property
    def description(self) -> str:
        """The first line of the class's docstring."""
        return (type(self).__doc__ or "").strip().partition("\n")[0]


class GaussianBiasFieldCorrection(multires.GaussianBiasFieldCorrection, ScaledProcessingPlugin):
    """Divide a volume by a blurred copy of itself.

    Parameters
    ----------
    sigma : float or sequence of float
        Standard deviation of the Gaussian, in voxels of the low resolution.
    mode : str
        The boundary mode, as in `scipy.ndimage.gaussian_filter`.

    Examples
    --------
    >>> from tinypyr.compat.zarrnii import GaussianBiasFieldCorrection
    >>> plugin = GaussianBiasFieldCorrection(sigma=3.0)
    >>> plugin, plugin.name, plugin.sigma
    (GaussianBiasFieldCorrection(sigma=3.0, mode='reflect'), 'Gaussian Bias Field Correction', 3.0)
    """

    def __init__(self, sigma: float | Sequence[float] = 5.0, mode: str = "reflect") -> None:
        super().__init__(sigma=sigma, mode=mode)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(sigma={self.sigma!r}, mode={self.mode!r})"

    def lowres_func(self, lowres: NDArray[Any]) -> NDArray[Any]:
        """Return the blurred volume."""
        _check_image(lowres)
        return super().lowres_func(lowres)

    @property
    def sigma(self) -> Any:
        """The standard deviation of the Gaussian."""
        return self.params["sigma"]

    @property
    def mode(self) -> str:
        """The boundary mode."""
        return str(self.params["mode"])

    @property
    def name(self) -> str:
        """The name of the plugin."""
        return "Gaussian Bias Field Correction"


#: The name of `GaussianBiasFieldCorrection` in the first versions of zarrnii.
BiasFieldCorrection = GaussianBiasFieldCorrection


class N4BiasFieldCorrection(multires.N4BiasFieldCorrection, ScaledProcessingPlugin):
    """Divide a volume by the smooth field that N4 estimates.

    Parameters
    ----------
    spline_spacing : float
        The initial distance of the spline's knots, in the units of the volume.
    convergence : dict
        ``"iters"``: the maximum number of iterations of each level. ``"tol"``: the change below which a level ends.
    shrink_factor : int
        The factor by which the low resolution is reduced further for the estimation.

    Examples
    --------
    >>> from tinypyr.compat.zarrnii import N4BiasFieldCorrection
    >>> N4BiasFieldCorrection(spline_spacing=100.0).convergence
    {'iters': [50], 'tol': 0.001}
    """

    @property
    def spline_spacing(self) -> float:
        """The initial distance of the spline's knots."""
        return float(self.params["spline_spacing"])

    @property
    def convergence(self) -> dict[str, Any]:
        """The iterations and the tolerance."""
        return dict(self.params["convergence"])

    @property
    def shrink_factor(self) -> int:
        """The factor by which the low resolution is reduced further."""
        return int(self.params["shrink_factor"])

    @property
    def name(self) -> str:
        """The name of the plugin."""
        return "N4 Bias Field Correction"


class ZarrNii:
    """A volume of a store, a NIfTI file, or an array, read lazily.

    Parameters
    ----------
    source : array, or path or URL of a store or of a NIfTI file
        The volume.
    grid : Grid, optional
        The grid of an array.

    Examples
    --------
    >>> import numpy as np
    >>> from tinypyr.compat.zarrnii import GaussianBiasFieldCorrection, ZarrNii
    >>> image = np.full((16, 64, 64), 200, np.uint8)
    >>> flat = ZarrNii(image).apply_scaled_processing(GaussianBiasFieldCorrection, sigma=2.0)
    >>> flat
    ZarrNii(16 x 64 x 64 voxels, float32)
    >>> float(flat.data[8, 32, 4])
    1.0
    """

    def __init__(self, source: Any, grid: Grid | None = None) -> None:
        self._source = source
        self._level: Level = open_levels(source, grid)[0]

    @classmethod
    def from_ome_zarr(cls, path: str | os.PathLike[str]) -> ZarrNii:
        """Open a store, of any format that tinypyr reads."""
        return cls(path)

    @classmethod
    def from_nifti(cls, path: str | os.PathLike[str]) -> ZarrNii:
        """Open a NIfTI file."""
        return cls(path)

    def __repr__(self) -> str:
        return f"ZarrNii({' x '.join(map(str, self.shape))} voxels, {self.dtype})"

    @property
    def data(self) -> Any:
        """The voxels: an array that is read when it is sliced."""
        return self._source if isinstance(self._source, Applied) else self._level.array

    @property
    def darr(self) -> Any:
        """The voxels as a dask array."""
        import dask.array as da

        if isinstance(self.data, da.Array):
            return self.data
        chunks = getattr(self.data, "chunks", None) or "auto"
        return da.from_array(_Readable(self._level), chunks=chunks)  # type: ignore[no-untyped-call,unused-ignore]

    @property
    def grid(self) -> Grid:
        """The grid of the volume."""
        return self._level.grid

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the volume."""
        return self._level.grid.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the voxels."""
        return self._level.dtype

    def apply_scaled_processing(
        self,
        plugin: Any,
        downsample_factor: int = 4,
        chunk_size: Sequence[int] | None = None,
        use_temp_zarr: bool = True,
        temp_zarr_path: str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ) -> ZarrNii:
        """Compute a field at low resolution, and apply it at full resolution.

        Parameters
        ----------
        plugin : class or object
            A plugin with ``lowres_func`` and ``highres_func``.
        downsample_factor : int
            The number of voxels of full resolution per voxel of low resolution, along each axis of space.
        chunk_size : sequence of int, optional
            Accepted and checked, but without effect: the low resolution is computed in parts of a fixed size.
        use_temp_zarr : bool
            Keep the field in a store; if False, in memory.
        temp_zarr_path : path or URL, optional
            The store of the field. Default: one in a temporary folder, which is removed with the result.
        **kwargs
            The parameters of the plugin, if ``plugin`` is a class.

        Returns
        -------
        ZarrNii
            The result, of the dtype that the plugin returns, computed when it is read.

        Raises
        ------
        ValueError, TypeError
            An argument is invalid; the message names it.
        PluginError
            The plugin failed.
        """
        if not isinstance(use_temp_zarr, (bool, np.bool_)):
            raise TypeError(f"use_temp_zarr: {use_temp_zarr!r} is neither True nor False")
        if not use_temp_zarr and temp_zarr_path is not None:
            raise ValueError("temp_zarr_path: no store is used with use_temp_zarr=False; leave one of them out")
        if not _is_plugin(plugin):
            raise TypeError(
                f"plugin: {plugin!r} is not a plugin. "
                "Plugin must have callable 'lowres_func' and 'highres_func' methods"
            )
        if chunk_size is not None and (np.asarray(chunk_size).dtype.kind not in "iu" or np.min(chunk_size) < 1):
            raise ValueError(f"chunk_size: {chunk_size!r} is not positive integers")
        try:
            applied = Applied(
                self._source,
                plugin,
                downsample_factor,
                params=kwargs or None,
                field=bool(use_temp_zarr) if temp_zarr_path is None else temp_zarr_path,
                preserve_dtype=False,
                source_grid=None if isinstance(self._source, (str, os.PathLike)) else self.grid,
            )
        except (ValueError, TypeError) as error:
            raise _with_names(error) from None
        applied.prepare()
        return ZarrNii(applied)

    def to_ome_zarr(
        self, store_path: str | os.PathLike[str], max_layer: int = 4, scaling_method: str = "local_mean"
    ) -> None:
        """Write the volume and its levels to a new OME-Zarr store.

        Parameters
        ----------
        store_path : path or URL
            The store.
        max_layer : int
            The maximum number of levels above level 0.
        scaling_method : {"local_mean", "nearest"}
            The method of the levels: the mean, or the first voxel, of each footprint.
        """
        from .. import store

        if isinstance(max_layer, bool) or not isinstance(max_layer, (int, np.integer)) or max_layer < 0:
            raise ValueError(f"max_layer: {max_layer!r} is not a non-negative integer")
        methods = {"local_mean": "mean", "nearest": "stride"}
        if scaling_method not in methods:
            raise ValueError(f"scaling_method: {scaling_method!r} is not one of {', '.join(methods)}")
        method, grid = methods[scaling_method], None if isinstance(self._source, (str, os.PathLike)) else self.grid
        count = len(store.plan(self._source, store_path, grid=grid, method=method).factors)
        levels = min(count, int(max_layer))
        store.build(self._source, store_path, grid=grid, method=method, levels=levels, progress=False)


class _Readable:
    """A level with the interface that `dask.array.from_array` needs."""

    def __init__(self, level: Level) -> None:
        self._level = level
        self.shape, self.dtype, self.ndim = level.grid.shape, level.dtype, level.grid.ndim

    def __getitem__(self, box: tuple[slice, ...]) -> NDArray[Any]:
        return self._level.read(box)


def _is_plugin(plugin: Any) -> bool:
    """Return whether an object or a class has the functions, or something else that multires accepts."""
    if isinstance(plugin, tuple) or getattr(plugin, "operation", None) is not None:
        return True
    return callable(getattr(plugin, "lowres_func", None)) and callable(getattr(plugin, "highres_func", None))


def _check_image(array: NDArray[Any]) -> None:
    """Raise ValueError for the arrays that zarrnii's plugins refuse."""
    if array.size == 0:
        raise ValueError(f"Input array is empty: it has the shape {array.shape}")
    if array.ndim < 2:
        raise ValueError(f"Input array must be at least 2D: it has the shape {array.shape}")


def _with_names(error: ValueError | TypeError) -> ValueError | TypeError:
    """Return an error whose message names the arguments of this module."""
    names = {"factor": "downsample_factor", "field": "temp_zarr_path"}
    argument, colon, message = str(error).partition(":")
    return type(error)(f"{names.get(argument, argument)}{colon}{message}")
