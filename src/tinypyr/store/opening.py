"""Stores as volumes, whose levels are lazy arrays."""

from __future__ import annotations

import functools
import os

from ..volume import Labels, Level, Origin, Volume
from .formats import FORMATS
from .location import Location, stamp
from .source import level_array, open_volume, warn_of_assumed


def open_store(store: str | os.PathLike[str] | Location) -> Volume:
    """Return the volume of a store; see :func:`tinypyr.open`."""
    location = store if isinstance(store, Location) else Location.at(store)
    stored = open_volume(location)
    warn_of_assumed(stored)
    origin = Origin(
        location.name,
        location.url,
        stored.dtype,
        functools.partial(level_array, stored),
        lambda number: stamp(location.child(stored.paths[number])),
    )
    levels = (
        Level(grid, path, stored.kind, stored.holds_labels, origin, number)
        for number, (grid, path) in enumerate(zip(stored.grids, stored.paths, strict=True))
    )
    labels = Labels(
        lambda: FORMATS[stored.format].label_names(location), lambda name: open_store(location.child(f"labels/{name}"))
    )
    return Volume(location.name, location.url, stored.format, stored.kind, tuple(levels), stored.metadata, labels)


def levels(store: str | os.PathLike[str]) -> list[Level]:
    """Return the levels of a store, the finest first, with their arrays opened. No voxel is read.

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
    opened_levels = list(open_store(store).levels)
    for level in opened_levels:
        level.array  # noqa: B018 (raises StoreError for a level that cannot be opened)
    return opened_levels
