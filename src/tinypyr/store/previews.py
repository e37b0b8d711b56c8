"""Pictures of all levels of a store, each of the same part of the world."""

from __future__ import annotations

import os

import numpy as np

from .._pooling.arguments import Array
from .._util.files import write_whole
from .._util.picture import PANEL, U8, colours, contrast, grey, plane, png, side_by_side
from ..errors import StoreError
from .location import Location
from .source import level_array, open_volume
from .volume import StoredVolume


def preview(store: str | os.PathLike[str], out: str | os.PathLike[str] | None = None) -> U8:
    """Draw the levels of a store side by side: the middle of the middle section, labels in distinct colours,
    complex numbers by their magnitude.

    Every pixel shows the voxel whose centre is nearest according to the level's own scale and translation, so that
    wrong metadata is visible as a shift between levels.

    Parameters
    ----------
    store : path or URL
        The store.
    out : path, optional
        PNG file to write. An existing file is replaced.

    Returns
    -------
    numpy.ndarray
        The picture, uint8 of shape (height, width, 3).

    Raises
    ------
    StoreError
        If the store cannot be read, or the file cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> from tinypyr import store
    >>> volume = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    >>> report = store.build(volume, "memory://previewed.ome.zarr", factor=2, levels=2)
    >>> picture = store.preview("memory://previewed.ome.zarr")
    >>> picture.dtype, picture.shape[2]
    (dtype('uint8'), 3)
    """
    volume = open_volume(Location.at(store))
    axes = plane(volume.grids[0])
    sides = [min(PANEL, volume.grids[0].shape[axis]) if axis >= 0 else 1 for axis in axes]
    zoom = max(1, PANEL // max(sides))
    panels: list[tuple[str, Array]] = []
    for number, grid in enumerate(volume.grids):
        section = _section(volume, number, axes, sides, zoom)
        panels.append((f"LEVEL {number}  " + "x".join(map(str, grid.shape)), section))
    if volume.holds_labels:
        drawings = [(caption, colours(part)) for caption, part in panels]
    else:
        dark, bright = contrast(panels[-1][1])
        drawings = [(caption, grey(part, dark, bright)) for caption, part in panels]
    picture = side_by_side([("LABELS" if volume.holds_labels else "IMAGE", drawings)])
    if out is not None:
        try:
            write_whole(out, png(picture))
        except OSError as error:
            raise StoreError(f"{os.fspath(out)} cannot be written: {error}") from None
    return picture


def _section(volume: StoredVolume, number: int, axes: tuple[int, int], sides: list[int], zoom: int) -> Array:
    """Return the voxels of a level nearest to the middle section of the base, magnified.

    ``axes`` are those of the rows and columns (-1: there is none), ``sides`` their extents in base voxels.
    """
    base, grid = volume.grids[0], volume.grids[number]
    index = []
    for axis, n in enumerate(grid.shape):
        if axis in axes:
            side = sides[axes.index(axis)]
            first = base.translation[axis] + base.scale[axis] * ((base.shape[axis] - side) // 2)
            world = first + base.scale[axis] * ((np.arange(side * zoom) + 0.5) / zoom - 0.5)
        else:
            middle = base.translation[axis] + base.scale[axis] * (base.shape[axis] - 1) / 2
            world = np.array([middle if axis in base.spatial else base.translation[axis]])
        nearest = np.rint((world - grid.translation[axis]) / grid.scale[axis]).astype(np.int64)
        index.append(np.clip(nearest, 0, n - 1))
    low = [int(along.min()) for along in index]
    box = tuple(slice(a, int(along.max()) + 1) for a, along in zip(low, index, strict=True))
    voxels = level_array(volume, number)[box].read().result()
    part = voxels[np.ix_(*(along - a for along, a in zip(index, low, strict=True)))]
    shown_axes = [axis for axis in axes if axis >= 0]
    part = np.moveaxis(part, shown_axes, range(-len(shown_axes), 0)).reshape([index[axis].size for axis in shown_axes])
    if part.dtype.kind == "c":
        part = np.abs(part)
    section: Array = part if axes[0] >= 0 else np.tile(part, (zoom, 1))
    return section
