"""The multi-resolution plugins of zarrnii, with its names and keywords.

To migrate, change one import::

    from tinypyr.compat.zarrnii import GaussianBiasFieldCorrection, ZarrNii

    volume = ZarrNii.from_nifti("image.nii")
    corrected = volume.apply_scaled_processing(GaussianBiasFieldCorrection(sigma=5.0), downsample_factor=4)
    corrected.to_ome_zarr("corrected.ome.zarr")

Intended differences: the low resolution is the mean of whole footprints, for any factor and not only for powers of 2;
the field is interpolated at the centres of the voxels, without a shift and without seams; nothing but the field is
computed before the result is read, so the field stays in its store: one at ``temp_zarr_path`` is kept, and others are
removed with the result. ``data`` is a dask array, as in zarrnii. `ZarrNii` has the methods around
``apply_scaled_processing``, and not the rest of that package. Plugins need no base class and no pluggy; ``hookimpl``
is there for plugins that are marked with it.

Written from zarrnii's public documentation of 2025 and the behaviour that its tests describe; needs
``pip install "tinypyr[multires,dask]"``, and the extras ``n4`` and ``nifti`` for `N4BiasFieldCorrection` and NIfTI
files.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _arrays, multires
from ..grid import Grid
from ..multires import Applied
from ..multires.fields import upsample
from ..multires.n4 import ORDER as N4_ORDER
from ..resampling.levels import Level, open_levels
from ..resampling.sampler import ndimage

__all__ = [
    "BiasFieldCorrection",
    "GaussianBiasFieldCorrection",
    "N4BiasFieldCorrection",
    "ScaledProcessingPlugin",
    "SegmentationCleaner",
    "ZarrNii",
    "hookimpl",
]


def hookimpl(function: Any) -> Any:
    """Return the function: plugins whose methods zarrnii marks with this decorator need no base class here either."""
    return function


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
    >>> ZarrNii(np.ones((8, 8, 8))).apply_scaled_processing(Double).data[0, 0, :3].compute()
    array([2., 2., 2.])
    """

    @property
    def description(self) -> str:
        """The first line of the class's docstring."""
        return (type(self).__doc__ or "").strip().partition("\n")[0]

    def scaled_processing_plugin_name(self) -> str:
        """Return the name of the plugin."""
        return self.name

    def scaled_processing_plugin_description(self) -> str:
        """Return the description of the plugin."""
        return self.description


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
    (GaussianBiasFieldCorrection(sigma=3.0, mode=reflect), 'Gaussian Bias Field Correction', 3.0)
    """

    def __init__(self, sigma: float | Sequence[float] = 5.0, mode: str = "reflect") -> None:
        super().__init__(sigma=sigma, mode=mode)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(sigma={self.sigma}, mode={self.mode})"

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

    @property
    def description(self) -> str:
        """What the plugin does."""
        return "Multi-resolution bias field correction: divides a volume by a blurred copy of itself"


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

    @property
    def description(self) -> str:
        """What the plugin does."""
        return "Multi-resolution N4 bias field correction: divides a volume by the smooth field that N4 estimates"

    def lowres_func(self, lowres: NDArray[Any]) -> NDArray[Any]:  # type: ignore[override]
        """Return the field at the voxels of an array, which may be one that no volume contains."""
        _check_image(lowres)
        grid = Grid(lowres.shape) if self.lowres_grid is None else self.lowres_grid
        n4 = self._exact()
        n4.lowres_grid, n4.lowres_mask = grid, self.lowres_mask
        n4.check(grid, lowres.dtype, False)
        log = upsample(n4.lowres_func(lowres), grid, N4_ORDER)[...]
        return np.asarray(np.exp(log))

    def highres_func(self, fullres: Any, upsampled: Any) -> Any:
        """Return the voxels divided by the field, lazily for dask arrays; unchanged where the field is 0."""
        return fullres / np.where(upsampled != 0, upsampled, 1)

    def _exact(self) -> multires.N4BiasFieldCorrection:
        """Return the plugin that evaluates the spline itself at full resolution."""
        return multires.N4BiasFieldCorrection(**self.params)


class SegmentationCleaner(ScaledProcessingPlugin):
    """Remove sparse objects, such as the rim of a sample, from a segmentation.

    Parameters
    ----------
    mask_threshold : float
        Voxels of the low resolution with at least this value belong to objects.
    max_extent : float
        The part of its bounding box, from 0 to 1, below which an object is removed.
    exclusion_threshold : float
        Voxels are set to 0 where the interpolated marks of removed objects, 0 or 100, are at least this value.

    Examples
    --------
    >>> import numpy as np
    >>> from tinypyr.compat.zarrnii import SegmentationCleaner
    >>> segmentation = np.zeros((6, 12), np.uint8)
    >>> segmentation[:, 0] = segmentation[0, :6] = 100  # an angle, which fills 11 of 36 voxels
    >>> segmentation[2:5, 8:] = 100
    >>> SegmentationCleaner(max_extent=0.5).lowres_func(segmentation).any(axis=0).nonzero()[0]
    array([0, 1, 2, 3, 4, 5])
    """

    def __init__(self, mask_threshold: float = 50, max_extent: float = 0.15, exclusion_threshold: float = 50) -> None:
        super().__init__(mask_threshold=mask_threshold, max_extent=max_extent, exclusion_threshold=exclusion_threshold)
        for name, value in self.params.items():
            if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not np.isfinite(value):
                raise ValueError(f"{name}: {value!r} is not a finite number")
        if not 0 <= max_extent <= 1:
            raise ValueError(f"max_extent: {max_extent!r} is not between 0 and 1")
        self.mask_threshold, self.max_extent = mask_threshold, max_extent
        self.exclusion_threshold = exclusion_threshold

    @property
    def name(self) -> str:
        """The name of the plugin."""
        return "Segmentation Cleaner"

    @property
    def description(self) -> str:
        """What the plugin does."""
        return "Multi-resolution segmentation cleaning: removes objects that fill little of their bounding boxes"

    def lowres_func(self, lowres: NDArray[Any]) -> NDArray[Any]:
        """Return 100 in sparse objects and 0 elsewhere. Channels and time points have objects of their own."""
        _check_image(lowres)
        grid = Grid(lowres.shape) if self.lowres_grid is None else self.lowres_grid
        marks = self.like(lowres, np.uint8)
        marks[...] = 0
        separate_axes = [axis for axis in range(grid.ndim) if axis not in grid.spatial]
        for index in np.ndindex(*(lowres.shape[axis] for axis in separate_axes)):
            at = dict(zip(separate_axes, index, strict=True))
            part = tuple(at.get(axis, slice(None)) for axis in range(grid.ndim))
            self._mark_sparse_objects(lowres[part] >= self.mask_threshold, marks[part])
        return marks

    def _mark_sparse_objects(self, mask: NDArray[np.bool_], marks: NDArray[np.uint8]) -> None:
        filters = ndimage("SegmentationCleaner: needs")
        labels, count = filters.label(mask)
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        for label, box in enumerate(filters.find_objects(labels), 1):
            if sizes[label] < self.max_extent * labels[box].size:
                marks[box][labels[box] == label] = 100

    def highres_func(self, fullres: Any, upsampled: Any) -> Any:
        """Return the voxels, lazily for dask arrays, with 0 in sparse objects."""
        return np.where(upsampled >= self.exclusion_threshold, fullres.dtype.type(0), fullres)


class ZarrNii:
    """A volume of a store, a NIfTI file, or an array, read lazily.

    Parameters
    ----------
    source : array, or path or URL of a store or of a NIfTI file
        The volume.
    grid : Grid, optional
        The grid of an array.
    orientation : str, optional
        The directions of the axes x, y and z, such as "RAS". It is kept, and has no effect.

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

    def __init__(self, source: Any, grid: Grid | None = None, orientation: str | None = None) -> None:
        self._source = source
        self._level: Level = open_levels(source, grid)[0]
        self.orientation = orientation

    @classmethod
    def from_ome_zarr(cls, path: str | os.PathLike[str]) -> ZarrNii:
        """Open a store, of any format that tinypyr reads."""
        return cls(path)

    @classmethod
    def from_nifti(cls, path: str | os.PathLike[str], axes_order: str = "ZYX") -> ZarrNii:
        """Open a NIfTI file, with its axes in the order z, y, x."""
        if str(axes_order).upper() != "ZYX":
            raise ValueError(f"axes_order: {axes_order!r} is not 'ZYX'; transpose the array instead")
        volume = cls(path)
        import nibabel  # (imported by the reader)

        volume.orientation = "".join(map(str, nibabel.aff2axcodes(nibabel.load(path).affine)))
        return volume

    @classmethod
    def from_darr(
        cls,
        darr: Any,
        axes_order: str = "ZYX",
        orientation: str = "RAS",
        spacing: Sequence[float] = (1.0, 1.0, 1.0),
        origin: Sequence[float] = (0.0, 0.0, 0.0),
        dims: Sequence[str] | None = None,
    ) -> ZarrNii:
        """Wrap a dask array, or another array.

        Parameters
        ----------
        darr : array
            The voxels. Without ``dims``, axes before those of space are a channel, or time and a channel.
        axes_order : str
            The order of the axes of space.
        orientation : str
            The directions of the axes x, y and z.
        spacing, origin : sequence of float
            The distance of the voxels and the position of the first one, along each axis of space.
        dims : sequence of str, optional
            The names of all axes.
        """
        shape = tuple(int(n) for n in darr.shape)
        space = tuple(axis.lower() for axis in axes_order)
        axes = tuple(dims) if dims is not None else (*("t", "c")[2 - max(0, len(shape) - len(space)) :], *space)
        if len(axes) != len(shape):
            argument = "axes_order" if dims is None else "dims"
            raise ValueError(f"{argument}: {axes} does not name the {len(shape)} axes of darr")
        geometry = {"spacing": list(spacing), "origin": list(origin)}
        spatial = Grid(shape, axes).spatial
        for name, values in geometry.items():
            if len(values) != len(spatial):
                raise ValueError(f"{name}: {values} does not have one entry for each of {len(spatial)} axes of space")
        scale, translation = np.ones(len(shape)), np.zeros(len(shape))
        scale[list(spatial)], translation[list(spatial)] = geometry["spacing"], geometry["origin"]
        return cls(darr, Grid(shape, axes, scale.tolist(), translation.tolist()), orientation)

    def __repr__(self) -> str:
        return f"ZarrNii({' x '.join(map(str, self.shape))} voxels, {self.dtype})"

    @property
    def data(self) -> Any:
        """The voxels as a dask array."""
        import dask.array as da

        if isinstance(self._source, da.Array):
            return self._source
        chunks = _arrays.read_chunks(self._source if isinstance(self._source, Applied) else self._level.array) or "auto"
        return da.from_array(_Readable(self._level), chunks=chunks)  # type: ignore[no-untyped-call,unused-ignore]

    @property
    def darr(self) -> Any:
        """The voxels as a dask array."""
        return self.data

    @property
    def dims(self) -> list[str]:
        """The names of the axes."""
        return list(self.grid.axes)

    @property
    def axes_order(self) -> str:
        """The order of the axes of space, such as "ZYX"."""
        return "".join(self.grid.axes[axis] for axis in self.grid.spatial).upper()

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
            The size of a chunk along each axis of space (entries for all axes are accepted, too). Checked, but without
            effect: the low resolution is computed in parts of a fixed size.
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
            if plugin is N4BiasFieldCorrection:
                plugin, kwargs = plugin(**kwargs), {}
            applied = Applied(
                self._source,
                plugin._exact() if type(plugin) is N4BiasFieldCorrection else plugin,
                downsample_factor,
                params=kwargs or None,
                field=bool(use_temp_zarr) if temp_zarr_path is None else temp_zarr_path,
                preserve_dtype=False,
                source_grid=None if isinstance(self._source, (str, os.PathLike)) else self.grid,
            )
        except (ValueError, TypeError) as error:
            raise _with_names(error) from None
        applied.prepare()
        return ZarrNii(applied, orientation=self.orientation)

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
