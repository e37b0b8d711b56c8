"""Lazy arrays of a store's levels."""

from __future__ import annotations

import os
from typing import Any, Literal, NamedTuple

from ..grid import Grid
from .location import Location
from .source import level_array, open_volume, warn_of_assumed


class Level(NamedTuple):
    """One level of a store.

    Attributes
    ----------
    grid : Grid
        World coordinates of the voxels.
    array : tensorstore.TensorStore
        Handle of the array, with the axes of the grid and the first voxel at 0.
    holds_labels : bool
        Whether the voxels are labels, which must not be averaged.
    kind : {"image", "labels"}, optional
        Kind of the voxels according to the metadata.
    """

    grid: Grid
    array: Any
    holds_labels: bool
    kind: Literal["image", "labels"] | None = None

    def __repr__(self) -> str:
        kind = f", {self.kind}" if self.kind else ", labels" if self.holds_labels else ""
        return f"Level({self.array.dtype.name}{kind}, {self.grid!r})"


def levels(store: str | os.PathLike[str]) -> list[Level]:
    """Return the levels of a store, the finest first. No voxel is read.

    Parameters
    ----------
    store : path or URL
        A store of any format that :func:`build` supports.

    Returns
    -------
    list of Level

    Raises
    ------
    StoreError
        If there is no store, or it cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> from tinypyr import store
    >>> report = store.build(np.ones((4, 6), np.uint8), "memory://levels.ome.zarr", factor=2, levels=1, progress=False)
    >>> for level in store.levels("memory://levels.ome.zarr"):
    ...     print(level.grid.shape, level.array[0, 0].read().result().item())
    (4, 6) 1
    (2, 3) 1
    """
    volume = open_volume(Location.at(store))
    warn_of_assumed(volume)
    return [
        Level(grid, level_array(volume, number), volume.holds_labels, volume.kind)
        for number, grid in enumerate(volume.grids)
    ]
