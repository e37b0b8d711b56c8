"""What tests of stores share: reading all levels back, and what they must be."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

import tinypyr
from tinypyr import store
from tinypyr.store._place import Place
from tinypyr.store._source import level_array, open_volume

Array = np.ndarray[Any, Any]
Files = dict[str, bytes | None]
FORMATS = ("ome-zarr-0.5", "ome-zarr-0.4", "n5", "precomputed")


def small_labels() -> Array:
    """A volume of as many blocks as a large one, where they are small."""
    return np.random.default_rng(3).integers(0, 30, (24, 80, 66)).astype(np.uint16)


def files(where: Path) -> Files:
    """Everything below a folder, folders too (as None); nothing where there is none."""
    if not where.exists():
        return {}
    return {
        path.relative_to(where).as_posix(): path.read_bytes() if path.is_file() else None for path in where.rglob("*")
    }


def read(where: Path, axes: str) -> list[Array]:
    """All levels of a store, axes in this order, those that are not named at 0."""
    volume = open_volume(Place.at(where))
    levels = []
    for number, grid in enumerate(volume.grids):
        voxels = level_array(volume, number).read().result()
        voxels = voxels[tuple(slice(None) if name in axes else 0 for name in grid.axes)]
        names = [name for name in grid.axes if name in axes]
        levels.append(voxels.transpose([names.index(name) for name in axes]))
    return levels


def in_memory(array: Array, made: store.Plan, ignore: Any = None) -> list[Array]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        method: Any = made.method
        return [
            array,
            *tinypyr.pyramid(array, made.factors, method, ignore=ignore, origin=made.grids[0].voxel_offset),
        ]
