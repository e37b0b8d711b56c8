"""One picture of all levels: the same piece of the world in each, where the metadata says it lies."""

from __future__ import annotations

import os

import numpy as np

from .._pooling.arguments import Array
from .._util.files import write_whole
from .._util.picture import PANEL, U8, colours, contrast, grey, plane, png, side_by_side
from ..errors import StoreError
from .location import Location
from .source import level_array, open_volume


def preview(store: str | os.PathLike[str], out: str | os.PathLike[str] | None = None) -> U8:
    """Draw the levels of a store side by side: the middle of the middle section, labels in distinct colours.

    Every pixel shows the voxel whose centre is nearest by the level's own scale and translation, so levels that the
    metadata misplaces are seen to jump.

    Parameters
    ----------
    store : path or URL
        What to draw.
    out : path, optional
        A PNG file to write; one of this name is replaced.

    Returns
    -------
    numpy.ndarray
        The picture, uint8 of shape (height, width, 3).

    Raises
    ------
    StoreError
        The store cannot be read.
    """
    volume = open_volume(Location.at(store))
    base = volume.grids[0]
    down, across = plane(base)
    middle = [at + scale * (n - 1) / 2 for at, scale, n in zip(base.translation, base.scale, base.shape, strict=True)]
    sides = [min(PANEL, base.shape[axis]) if axis >= 0 else 1 for axis in (down, across)]
    zoom = max(1, PANEL // max(sides))
    panels: list[tuple[str, Array]] = []
    for number, grid in enumerate(volume.grids):
        index = []
        for axis, n in enumerate(grid.shape):
            if axis in (down, across):
                side = sides[(down, across).index(axis)]
                first = base.translation[axis] + base.scale[axis] * ((base.shape[axis] - side) // 2)
                world = first + base.scale[axis] * ((np.arange(side * zoom) + 0.5) / zoom - 0.5)
            else:
                world = np.array([middle[axis] if axis in base.spatial else base.translation[axis]])
            nearest = np.rint((world - grid.translation[axis]) / grid.scale[axis]).astype(np.int64)
            index.append(np.clip(nearest, 0, n - 1))
        low = [int(along.min()) for along in index]
        box = tuple(slice(a, int(along.max()) + 1) for a, along in zip(low, index, strict=True))
        voxels = level_array(volume, number)[box].read().result()
        part = voxels[np.ix_(*(along - a for along, a in zip(index, low, strict=True)))]
        shown = [axis for axis in (down, across) if axis >= 0]
        part = np.moveaxis(part, shown, range(-len(shown), 0)).reshape([index[axis].size for axis in shown])
        part = part if down >= 0 else np.tile(part, (zoom, 1))
        panels.append((f"LEVEL {number}  " + "x".join(map(str, grid.shape)), part))
    if volume.holds_labels:
        drawn = [(caption, colours(part)) for caption, part in panels]
    else:
        dark, bright = contrast(panels[-1][1])
        drawn = [(caption, grey(part, dark, bright)) for caption, part in panels]
    picture = side_by_side([("LABELS" if volume.holds_labels else "IMAGE", drawn)])
    if out is not None:
        try:
            write_whole(out, png(picture))
        except OSError as error:
            raise StoreError(f"{os.fspath(out)} cannot be written: {error}") from None
    return picture
