"""A store's levels, to be read by others."""

from __future__ import annotations

import os
from typing import Any, Literal, NamedTuple

from ..grid import Grid
from .location import Location
from .source import level_array, open_volume


class Level(NamedTuple):
    """One level of a store."""

    #: Where its voxels lie.
    grid: Grid
    #: A handle of TensorStore, its axes those of the grid, its first voxel at 0.
    array: Any
    #: Whether its voxels are labels, which must not be averaged.
    holds_labels: bool
    #: What the store says that they are: "image", "labels", or nothing.
    kind: Literal["image", "labels"] | None = None

    def __repr__(self) -> str:
        kind = f", {self.kind}" if self.kind else ", labels" if self.holds_labels else ""
        return f"Level({self.array.dtype.name}{kind}, {self.grid!r})"


def levels(store: str | os.PathLike[str]) -> list[Level]:
    """The levels of a store of any format that `build` knows, finest first; no voxel is read.

    Parameters
    ----------
    store : path or URL
        The store.

    Returns
    -------
    list of Level

    Raises
    ------
    StoreError
        There is no store, or it cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> from tinypyr import store
    >>> report = store.build(np.ones((4, 6), np.uint8), "memory://levels.ome.zarr", factor=2, levels=1, progress=False)
    >>> [(level.grid.shape, level.array[0, 0].read().result().item()) for level in store.levels("memory://levels.ome.zarr")]
    [((4, 6), 1), ((2, 3), 1)]
    """
    volume = open_volume(Location.at(store))
    return [
        Level(grid, level_array(volume, number), volume.holds_labels, volume.kind)
        for number, grid in enumerate(volume.grids)
    ]
