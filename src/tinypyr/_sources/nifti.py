"""A reader of NIfTI files that uses nibabel (``pip install "tinypyr[nifti]"``)."""

from __future__ import annotations

import gzip
import importlib
import math
import os
import threading
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _arrays
from .._util.files import absolute_url
from ..grid import Grid

_UNITS = {
    "meter": "meter",
    "mm": "millimeter",
    "micron": "micrometer",
    "sec": "second",
    "msec": "millisecond",
    "usec": "microsecond",
}


class NiftiReader:
    """The reader of NIfTI files and of images of nibabel."""

    name = "NIfTI"

    def matches(self, source: Any) -> bool:
        """Return True for the path of a NIfTI file and for an image of nibabel."""
        if isinstance(source, (str, os.PathLike)):
            return os.fspath(source).lower().endswith((".nii", ".nii.gz"))
        return hasattr(source, "dataobj") and hasattr(getattr(source, "header", None), "get_xyzt_units")

    def open(self, source: Any) -> Nifti:
        """Return the volume."""
        return Nifti(source)


@_arrays.register_view
class Nifti:
    """The volume of a NIfTI file or of an image of nibabel, read lazily.

    The axes are x, y, z, then time and channels. The voxel size is that of the header. The translation is that of the
    header if the volume's axes are parallel to those of the world and point the same way, and 0 otherwise.

    Parameters
    ----------
    source : path, or image of nibabel
        All voxels of a compressed file are read and held in memory when the first one is read.

    Raises
    ------
    ValueError
        The file cannot be read as NIfTI, or is shorter than its header says.
    ImportError
        nibabel is not installed.
    """

    def __init__(self, source: Any) -> None:
        self._path = absolute_url(source) if isinstance(source, (str, os.PathLike)) else None
        image = source if self._path is None else _load(self._path)
        self._voxels = image.dataobj
        self._compressed = self._path is not None and self._path.lower().endswith(".gz")
        self.shape = tuple(int(n) for n in image.shape)
        self.ndim = len(self.shape)
        if self._path is not None and not self._compressed:
            _refuse_short(self._path, self._voxels)
        scaled = _scaling(self._voxels) != (1, 0)
        self.dtype = np.dtype(np.float64) if scaled else np.dtype(self._voxels.dtype).newbyteorder("=")
        self.holds_labels, self.kind = False, None
        self.grid = _grid(image, self.shape)
        self._lock = threading.Lock()  # nibabel keeps one open file

    def __repr__(self) -> str:
        return self._path or "an image of nibabel"

    def __getitem__(self, box: Any) -> NDArray[Any]:
        with self._lock:
            if self._compressed and not isinstance(self._voxels, np.ndarray):
                self._voxels = _decompressed(self._path, self._voxels)
            return np.asarray(self._voxels[box], self.dtype)

    def __reduce__(self) -> Any:
        if self._path is None:
            raise TypeError("an image of nibabel in memory cannot be sent to other processes; save it to a file first")
        return Nifti, (self._path,)

    def recipe(self) -> dict[str, Any]:
        """Return the path."""
        return {"source": self._path}

    @classmethod
    def from_recipe(cls, recipe: dict[str, Any]) -> Nifti:
        """Return the volume that ``recipe`` describes."""
        return cls(recipe["source"])

    def stamp(self) -> bytes:
        """Return the size and the time of the file, or the corners of an image in memory, to detect changes."""
        if self._path is not None:
            status = os.stat(self._path)
            return f"{status.st_size} {status.st_mtime_ns}".encode()
        return _arrays.corners(self, self.shape)


def _load(path: str) -> Any:
    """Open a file with nibabel."""
    try:
        nibabel: Any = importlib.import_module("nibabel")
    except ImportError:
        raise ImportError('source: NIfTI files need nibabel: pip install "tinypyr[nifti]"') from None
    try:
        image = nibabel.load(path)
    except (OSError, nibabel.filebasedimages.ImageFileError) as error:
        raise ValueError(f"source: {path} cannot be read as NIfTI: {error}") from None
    if not hasattr(image, "affine"):
        raise ValueError(
            f"source: {path} is a CIFTI file, whose rows are not axes of space; extract a volume first (wb_command "
            "-cifti-separate)"
        )
    return image


def _decompressed(path: Any, voxels: Any) -> NDArray[Any]:
    """Return all voxels of a compressed file. It is read to its end, because the checksum is there."""
    try:
        with gzip.open(path) as file:
            array: NDArray[Any] = np.asanyarray(
                type(voxels)(file, (voxels.shape, voxels.dtype, voxels.offset, *_scaling(voxels)))
            )
            while file.read(1 << 20):
                pass
    except (OSError, EOFError, zlib.error) as error:
        raise OSError(f"{path} is damaged: {error}; get another copy of it") from None
    return array


def _scaling(voxels: Any) -> tuple[float, float]:
    """Return the slope and the intercept of nibabel's proxy of an array."""
    return getattr(voxels, "slope", 1.0), getattr(voxels, "inter", 0.0)


def _refuse_short(path: str, voxels: Any) -> None:
    """Raise ValueError if a file that is not compressed has fewer bytes than its header says."""
    expected = voxels.offset + math.prod(voxels.shape) * voxels.dtype.itemsize
    size = os.path.getsize(path)
    if size < expected:
        raise ValueError(
            f"source: {path} has {size} bytes, but its header describes {tuple(voxels.shape)} voxels of "
            f"{voxels.dtype.name}, {expected} bytes with the header; the file is cut short or its header is wrong"
        )


def _grid(image: Any, shape: tuple[int, ...]) -> Grid:
    """Return the grid that the header of an image describes."""
    header, axes = image.header, "xyztc"
    affine = np.full((4, 4), np.nan) if image.affine is None else np.asarray(image.affine, np.float64)
    if not 1 <= len(shape) <= len(axes):
        raise ValueError(f"source: the NIfTI volume has {len(shape)} axes; 1 to {len(axes)} can be read")
    sizes = [float(size) for size in header.get_zooms()[: len(shape)]]
    sizes = [size if np.isfinite(size) and size > 0 else 1.0 for size in (*sizes, *[1.0] * (len(shape) - len(sizes)))]
    space, time = (_UNITS.get(unit) for unit in header.get_xyzt_units())
    upright = np.allclose(affine[:3, :3], np.diag([*sizes, 1.0, 1.0][:3]), rtol=1e-5, atol=1e-6)
    translation = affine[:3, 3].tolist() if upright else [0.0] * 3
    units = [space, space, space, time, None]
    return Grid(shape, axes[: len(shape)], sizes, [*translation, 0.0, 0.0][: len(shape)], units[: len(shape)])
