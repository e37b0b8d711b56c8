"""A picture of a result: a section of the volume before, the field, and the section after."""

from __future__ import annotations

import os

import numpy as np

from .._util.files import write_whole
from .._util.picture import PANEL, U8, contrast, grey, plane, png, side_by_side
from .applied import Applied
from .boxes import Box
from .plugins import Array

#: The side of the largest section that is read.
_LARGEST_SIDE = 4096


def draw_applied(applied: Applied, path: str | os.PathLike[str] | None = None) -> U8:
    """Draw the middle section before, the field there, and the section after.

    Parameters
    ----------
    applied : Applied
        The result to draw.
    path : path, optional
        A PNG file to write; an existing one is replaced.

    Returns
    -------
    numpy.ndarray
        The picture, uint8 of shape (height, width, 3).
    """
    axes = [axis for axis in plane(applied.grid) if axis >= 0]
    box = _middle_section(applied, axes)
    longest = max(box[axis].stop - box[axis].start for axis in axes)
    step, zoom = max(1, -(-longest // PANEL)), max(1, PANEL // longest)

    def scaled(voxels: Array) -> Array:
        section = np.moveaxis(voxels, axes, range(-len(axes), 0)).reshape([voxels.shape[axis] for axis in axes])
        section = np.atleast_2d(section).astype(np.float64)  # a line is drawn as a row
        small: Array = section[min(step // 2, section.shape[0] - 1) :: step, step // 2 :: step]
        return small.repeat(zoom, 0).repeat(zoom, 1)

    sections = {"BEFORE": applied.read_source(box), "FIELD": applied.upsampled[0][box], "AFTER": applied[box]}
    panels = []
    for name, voxels in sections.items():
        section = scaled(voxels)
        dark, bright = contrast(section)
        caption = f"{name} {dark:.3g} - {bright:.3g}".replace("e", "E").replace("+", "")
        panels.append((caption, grey(section, dark, bright)))
    picture = side_by_side([(" x ".join(map(str, applied.grid.shape)), panels)])
    if path is not None:
        write_whole(path, png(picture))
    return picture


def _middle_section(applied: Applied, axes: list[int]) -> Box:
    """Return the box of the middle section, and of a large one its middle."""
    box = []
    for axis, n in enumerate(applied.grid.shape):
        if axis in axes:
            side = min(n, _LARGEST_SIDE)
            box.append(slice((n - side) // 2, (n - side) // 2 + side))
        else:
            at = n // 2 if axis in applied.grid.spatial else 0
            box.append(slice(at, at + 1))
    return tuple(box)
