"""The public interface of plugins: `ScaledProcessingPlugin`, `Field`, `PluginError`."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Error
from ..grid import Grid
from .operations import NUMPY_OPERATIONS

Array = NDArray[Any]


class PluginError(Error, RuntimeError):
    """A plugin raised an error, or returned an invalid result. The message names the plugin and the block."""


@dataclass(frozen=True)
class Field:
    """Values and their grid: an alternative result of ``lowres_func``, which may also return a plain array.

    Parameters
    ----------
    values : numpy.ndarray
        Real numbers.
    grid : Grid
        The grid of the values, in the world and with the axes of the volume. Beyond its border the field has the value
        of the nearest voxel.
    order : int, optional
        Order of the interpolation: 0 (nearest), 1 (linear), 2 to 5 (splines). Default: that of the caller.
    coefficients : bool
        For orders above 1: True if the values are the coefficients of the spline, which is then evaluated exactly.
    """

    values: Any
    grid: Grid
    order: int | None = None
    coefficients: bool = False


class ScaledProcessingPlugin(ABC):
    """An algorithm that estimates a field at low resolution and applies it at full resolution.

    Parameters
    ----------
    **params
        The parameters of the algorithm, stored as ``params``.

    Attributes
    ----------
    operation : str, optional
        The operation between a block and the field: ``"divide"``, ``"multiply"``, ``"subtract"`` or ``"mask"`` (voxels
        are kept where the field is at least 1/2, and 0 elsewhere). If it is set, the compiled core does it, and
        ``highres_func`` is neither needed nor called. Voxels are left as they are where the divisor is 0.
    fields : int
        The number of fields. If it is more than 1, ``lowres_func`` returns a tuple, and ``highres_func`` gets one.
    lowres_grid : Grid
        While ``lowres_func`` runs: the grid of its argument.
    lowres_mask : numpy.ndarray of bool, optional
        While ``lowres_func`` runs: the voxels of its argument that count; None if all do.

    Examples
    --------
    A flat-field correction:

    >>> import numpy as np
    >>> from tinypyr.multires import ScaledProcessingPlugin, apply_scaled_processing
    >>> class FlatField(ScaledProcessingPlugin):
    ...     '''Divide by the mean over all sections.'''
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
    fields: int = 1

    def __init__(self, **params: Any) -> None:
        self.params = params
        self.lowres_grid: Grid | None = None
        self.lowres_mask: NDArray[np.bool_] | None = None

    def __repr__(self) -> str:
        params = ", ".join(f"{name}={value!r}" for name, value in self.params.items())
        return f"{type(self).__name__}({params})"

    @abstractmethod
    def lowres_func(self, lowres: Array) -> Array | Field | tuple[Array | Field, ...]:
        """Estimate the field from the volume at low resolution.

        Parameters
        ----------
        lowres : numpy.ndarray
            The volume at low resolution, in its own dtype: means of integers are rounded, and differences of unsigned
            integers wrap. A large one is a ``numpy.memmap`` of a temporary file; :meth:`like` creates such arrays.

        Returns
        -------
        numpy.ndarray or Field, or a tuple of these
            An array of the same shape, or a :class:`Field` with a grid of its own; several if ``fields`` says so.
        """

    def highres_func(self, fullres: Array, upsampled: Any) -> Array:
        """Apply the field to a block of the volume.

        Parameters
        ----------
        fullres : numpy.ndarray
            A block of the volume, of at most a million voxels. It is read-only.
        upsampled : numpy.ndarray, or tuple of these
            The field, or the fields, at the same voxels.

        Returns
        -------
        numpy.ndarray
            The result, of the same shape.

        Notes
        -----
        A function that uses methods which only dask arrays have (such as ``map_blocks``) is called again with dask
        arrays. State that ``lowres_func`` stored in the object is not available here: other processes, and a resumed
        build, have only ``params`` and the field.
        """
        if self.operation not in NUMPY_OPERATIONS:
            raise TypeError(f"{self.name}: define highres_func, or set operation to {', '.join(NUMPY_OPERATIONS)}")
        return NUMPY_OPERATIONS[self.operation](fullres, upsampled)

    def check(self, grid: Grid, dtype: np.dtype[Any], preserve_dtype: bool) -> None:  # noqa: B027 (optional)
        """Raise an error if the plugin cannot process a volume. It is called before any voxel is read.

        Parameters
        ----------
        grid : Grid
            The grid of the low resolution.
        dtype : numpy.dtype
            The dtype of the volume.
        preserve_dtype : bool
            True if the result has that dtype, too.
        """

    @staticmethod
    def like(lowres: Array, dtype: Any = None) -> Array:
        """Return an uninitialised array of the same shape, in a temporary file if ``lowres`` is in one."""
        return empty(lowres.shape, lowres.dtype if dtype is None else np.dtype(dtype), isinstance(lowres, np.memmap))

    @property
    def name(self) -> str:
        """The name of the plugin in messages."""
        return type(self).__name__


def empty(shape: tuple[int, ...], dtype: np.dtype[Any], in_file: bool) -> Array:
    """Return an uninitialised array in memory, or in an unnamed temporary file that is removed with the array."""
    if not in_file:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile() as file:  # the mapping keeps the file until it is deleted itself
        return np.memmap(file, dtype, "w+", shape=shape)
