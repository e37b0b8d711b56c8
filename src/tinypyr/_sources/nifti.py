"""NIfTI files, as arrays that are read where they are asked for, by nibabel (``pip install "tinypyr[nifti]"``)."""

from __future__ import annotations

import gzip
import math
import os
import threading
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _arrays
from ..grid import Grid

_UNITS = {
    "meter": "meter",
    "mm": "millimeter",
    "micron": "micrometer",
    "sec": "second",
    "msec": "millisecond",
    "usec": "microsecond",
}


def is_nifti(source: Any) -> bool:
    """Whether this is the path of such a file, or an image of nibabel's."""
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source).lower().endswith((".nii", ".nii.gz"))
    return hasattr(source, "dataobj") and hasattr(getattr(source, "header", None), "get_xyzt_units")


@_arrays.view
class Nifti:
    """A volume of a NIfTI file, or of an image of nibabel's.

    Its axes are x, y, z, then time and channels. Voxels are as large as the header says, and the first one lies where
    it does if the axes are those of the world; where they are turned or flipped, at 0.

    Parameters
    ----------
    source : path, or image of nibabel's
        Voxels of a compressed file are all read at the first one, and held.
    """

    def __init__(self, source: Any) -> None:
        self._path = _arrays.absolute_url(source) if isinstance(source, (str, os.PathLike)) else None
        image = source
        if self._path is not None:
            try:
                import nibabel  # type: ignore[import-untyped,import-not-found,unused-ignore]
            except ImportError:
                raise ImportError('source: NIfTI files need nibabel: pip install "tinypyr[nifti]"') from None
            try:
                image = nibabel.load(self._path)
            except (OSError, nibabel.filebasedimages.ImageFileError) as error:
                raise ValueError(f"source: {self._path} cannot be read as NIfTI: {error}") from None
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
        self._lock = threading.Lock()  # (of one open file)

    def __repr__(self) -> str:
        return self._path or "an image of nibabel's"

    def __getitem__(self, box: Any) -> NDArray[Any]:
        with self._lock:
            if self._compressed and not isinstance(self._voxels, np.ndarray):
                self._voxels = _decompressed(self._path, self._voxels)
            return np.asarray(self._voxels[box], self.dtype)

    def __reduce__(self) -> Any:
        if self._path is None:
            raise TypeError("an image of nibabel's in memory cannot be sent to other processes; save it first")
        return Nifti, (self._path,)

    def recipe(self) -> dict[str, Any]:
        """The path."""
        return {"source": self._path}

    @classmethod
    def from_recipe(cls, recipe: dict[str, Any]) -> Nifti:
        """What a recipe tells."""
        return cls(recipe["source"])

    def stamp(self) -> bytes:
        """The file's size and time, or the corners of what is in memory."""
        if self._path is not None:
            held = os.stat(self._path)
            return f"{held.st_size} {held.st_mtime_ns}".encode()
        return _arrays.corners(self, self.shape)


def _decompressed(path: Any, voxels: Any) -> NDArray[Any]:
    """All voxels of a compressed file, which is read to its end, where its checksum is."""
    try:
        with gzip.open(path) as file:
            held: NDArray[Any] = np.asanyarray(
                type(voxels)(file, (voxels.shape, voxels.dtype, voxels.offset, *_scaling(voxels)))
            )
            while file.read(1 << 20):
                pass
    except (OSError, EOFError, zlib.error) as error:
        raise OSError(f"{path} is damaged: {error}; get another copy of it") from None
    return held


def _scaling(voxels: Any) -> tuple[float, float]:
    """The slope and the intercept of nibabel's proxy of an array."""
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
    header, axes = image.header, "xyztc"
    affine = np.full((4, 4), np.nan) if image.affine is None else np.asarray(image.affine, np.float64)
    if not 1 <= len(shape) <= len(axes):
        raise ValueError(f"source: of {len(shape)} axes; NIfTI of up to five are read")
    sizes = [float(size) for size in header.get_zooms()[: len(shape)]]
    sizes = [size if np.isfinite(size) and size > 0 else 1.0 for size in (*sizes, *[1.0] * (len(shape) - len(sizes)))]
    space, time = (_UNITS.get(unit) for unit in header.get_xyzt_units())
    upright = np.allclose(affine[:3, :3], np.diag([*sizes, 1.0, 1.0][:3]), rtol=1e-5, atol=1e-6)
    first = affine[:3, 3].tolist() if upright else [0.0] * 3
    units = [space, space, space, time, None]
    return Grid(shape, axes[: len(shape)], sizes, [*first, 0.0, 0.0][: len(shape)], units[: len(shape)])
