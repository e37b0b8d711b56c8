"""From a volume to its low resolution, and to the fields that a plugin makes of that; where these are kept."""

from __future__ import annotations

import concurrent.futures
import itertools
import math
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _arrays
from .._pooling.arguments import Factor
from ..grid import Grid
from ..resampling.levels import Level, Pooled, levels_of
from ..resampling.resampled import Resampled
from .plugins import Array, Field, Plugin, computed, empty

#: Voxels of the volume that are read at once.
_READ_AT_ONCE = 1 << 24

Box = tuple[slice, ...]
Tell = Callable[[str], None]


def factor_of(wanted: Factor, grid: Grid) -> tuple[int, ...]:
    """Per axis; one number, or one per spatial axis, leaves channels and time alone."""
    try:
        factor = grid.factor_per_axis(wanted)
    except (TypeError, ValueError) as error:
        raise type(error)(f"downsample_factor: {error}") from None
    if not isinstance(wanted, (int, np.integer)) and np.shape(wanted) not in ((grid.ndim,), (len(grid.spatial),)):
        raise ValueError(f"downsample_factor: {wanted!r} is not one number for each of {', '.join(grid.axes)}")
    for axis, f, n in zip(grid.axes, factor, grid.shape, strict=True):
        if f >= 2 * max(n, 1) and f > 1:
            raise ValueError(f"downsample_factor: {f} along {axis}, which has {n} voxels")
    return factor


class LowResolution:
    """A volume at low resolution: a level that it has, one that is made, or an array that was given."""

    def __init__(self, levels: list[Level], factor: tuple[int, ...], lowres: Any) -> None:
        base = levels[0]
        self.grid = base.grid.level(factor)
        labels = base.holds_labels or _arrays.looks_like_labels(base.kind, base.dtype)
        self.method = "mode" if labels else "mean"
        #: The array that was given, if one was.
        self.given = None if isinstance(lowres, (int, np.integer)) else lowres
        if isinstance(lowres, (bool, np.bool_)):
            raise TypeError(f"lowres: {lowres!r} is neither the number of a level nor an array")
        if isinstance(lowres, (int, np.integer)):
            if not 0 <= lowres < len(levels):
                raise ValueError(f"lowres: {lowres}, but there are levels 0 to {len(levels) - 1}")
            level: Any = levels[lowres]
            self.grid = level.grid
        elif lowres is not None:
            shape = tuple(getattr(lowres, "shape", np.shape(lowres)))
            if shape != self.grid.shape:
                raise ValueError(f"lowres: of shape {shape}, but factor {factor} leads to {self.grid.shape}")
            given = lowres if hasattr(lowres, "shape") else np.asarray(lowres)
            level = Level(self.grid, _arrays.dtype_of(given), _arrays.from_zero(given))
        else:
            level = next((level for level in levels if level.grid == self.grid), None)
            if level is None:
                level = Pooled(base, factor, self.method)
        self._level = level
        read = base if isinstance(level, Pooled) else level  # what voxels are read of, and how many for one
        self._factor = factor if isinstance(level, Pooled) else (1,) * base.grid.ndim
        self._chunked = None if read.order is not None else read.array
        self.dtype = read.dtype

    def read(self, memory: int, workers: int, tell: Tell) -> Array:
        """All of it, made of a part at a time; mapped from a file if it takes much of the memory."""
        everything = math.prod(self.grid.shape) * self.dtype.itemsize
        made = empty(self.grid.shape, self.dtype, everything > memory // 8)
        most = min(_READ_AT_ONCE, memory // (4 * workers * self.dtype.itemsize)) // math.prod(self._factor)
        parts = list(self._parts(max(1, most)))

        def fill(part: Box) -> None:
            made[part] = self._level.read(part)

        if len(parts) == 1:
            fill(parts[0])
            return made
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            waiting = [pool.submit(fill, part) for part in parts]
            try:
                for done, future in enumerate(concurrent.futures.as_completed(waiting), 1):
                    future.result()
                    tell(f"low resolution: {done} of {len(parts)} parts")
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return made

    def _parts(self, most: int) -> Iterator[Box]:
        """All of it in boxes of about so many voxels, each of whole chunks where there are such."""
        whole = tuple(slice(0, n) for n in self.grid.shape)
        chunks = _arrays.read_chunks(self._chunked)
        if chunks is None:
            return cut(whole, most)
        steps = [max(1, c // f) for c, f in zip(chunks, self._factor, strict=True)]
        while True:
            room = [a for a, n in enumerate(whole) if steps[a] < n.stop and 2 * math.prod(steps) <= most]
            if not room:
                break
            steps[room[-1]] *= 2
        return boxes(whole, steps)


def cut(box: Box, most: int) -> Iterator[Box]:
    """A box, cut along its first axes into parts of about so many voxels."""
    room, steps = most, []
    for s in reversed(box):
        steps.append(max(1, min(s.stop - s.start, room)))
        room //= steps[-1]
    return boxes(box, steps[::-1])


def boxes(box: Box, steps: Sequence[int]) -> Iterator[Box]:
    """A box, cut at every so many voxels along each axis."""
    along = [
        [slice(a, min(s.stop, a + step)) for a in range(s.start, s.stop, step)]
        for s, step in zip(box, steps, strict=True)
    ]
    return itertools.product(*along)


def mask_of(given: Any, grid: Grid) -> NDArray[np.bool_] | None:
    """Which voxels of the low resolution count: where an array of its shape is not 0, or a store at their places."""
    if given is None:
        return None
    if isinstance(given, (str, os.PathLike)):
        found = levels_of(given, None, "lowres_mask")
        if sorted(found[0].grid.axes) != sorted(grid.axes):
            raise ValueError(f"lowres_mask: of axes {found[0].grid.axes}, but the volume has {grid.axes}")
        return np.asarray(Resampled(given, grid, order=0, antialias=False)[...] != 0)  # (means of a mask are none)
    shape = tuple(getattr(given, "shape", np.shape(given)))
    if shape != grid.shape:
        raise ValueError(f"lowres_mask: of shape {shape}, but the low resolution has {grid.shape}")
    whole = tuple(slice(0, n) for n in shape)
    return np.asarray(_arrays.read(given, whole) != 0) if hasattr(given, "shape") else np.asarray(given) != 0


def made_fields(
    plugin: Plugin, low: LowResolution, mask: NDArray[np.bool_] | None, memory: int, workers: int, tell: Tell
) -> list[Field]:
    """What the plugin makes of the low resolution."""
    tell("low resolution: reading")
    voxels = low.read(memory, workers, tell)
    tell(f"{plugin.name}: the field of {' x '.join(map(str, voxels.shape))} voxels")
    return plugin.made_of(voxels, low.grid, mask)


def sampled(field: Field, grid: Grid, order: int) -> Resampled:
    """A field at the voxels of another grid."""
    wanted = order if field.order is None else field.order
    values = field.values
    if isinstance(values, np.ndarray) and wanted > 0 and values.dtype != computed(values.dtype):
        values = values.astype(computed(values.dtype))
    made = Resampled(
        values,
        grid,
        order=wanted,
        antialias=False,
        source_grid=field.grid,
        mode="nearest",
        prefilter=not field.coefficients,
    )
    object.__setattr__(made, "folder", getattr(field, "folder", None))  # (which is there as long as anyone reads it)
    return made


class _Computed:
    """An array as the floats that hold its values, made where they are read."""

    def __init__(self, values: Array) -> None:
        self._values, self.dtype = values, computed(values.dtype)
        self.shape, self.ndim = values.shape, values.ndim

    def __getitem__(self, box: Any) -> Array:
        made: Array = self._values[box].astype(self.dtype)
        return made


class Folder:
    """A temporary folder, removed when nobody refers to it any more."""

    def __init__(self) -> None:
        self.path = tempfile.mkdtemp(prefix="tinypyr-")
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


class Kept:
    """Fields in stores of their own (OME-Zarr, so that viewers show them): beside one another where there are several.

    ``key`` says what they were made of; with another one they are not those.
    """

    TOLD = "field.json"  # in each of them

    def __init__(self, where: str, count: int, key: str, folder: Folder | None) -> None:
        self.where, self._key, self._folder = where, key, folder
        self.places = [where] if count == 1 else [f"{where}/{k}" for k in range(count)]

    def read(self) -> list[Field] | None:
        """The fields, if all are there; refused where something else is."""
        from .. import store
        from ..store.location import Location

        found = []
        for path in self.places:
            place = Location.at(path)
            told = place.json(self.TOLD)
            try:
                level = store.levels(path)[0]
            except store.StoreError:  # begun and not ended, or nothing
                level = None
            if told is None and level is not None:
                raise store.StoreError(f"{path}: exists already, and holds no field; choose another place")
            if told is not None and told.get("of") != self._key:
                raise store.StoreError(
                    f"{path}: holds the field of another volume, plugin or factor; remove it, or keep this elsewhere"
                )
            if told is None or level is None or "objects" not in told:
                return None
            if len(place.child("0").keys()) != told["objects"]:
                raise store.StoreError(f"{path}: chunks of the field are missing; remove it, and it is made again")
            field = Field(level.array, level.grid, told["order"], told["coefficients"])
            object.__setattr__(field, "folder", self._folder)
            found.append(field)
        return found

    def write(self, fields: Sequence[Field], order: int, memory: int, workers: int, progress: Any) -> None:
        """Keep them."""
        from .. import store
        from ..store.location import Location

        for path, field in zip(self.places, fields, strict=True):
            place, wanted = Location.at(path), order if field.order is None else field.order
            told = {"of": self._key, "order": wanted, "coefficients": field.coefficients}
            values = field.values
            if wanted > 0 and values.dtype != computed(values.dtype):
                values = _Computed(values)
            how = {
                "levels": 0,
                "method": "mean",
                "grid": field.grid,
                "chunks": [min(n, 32) for n in field.grid.shape],
                "memory": max(memory, 1 << 24),
                "workers": workers,
                "progress": progress,
                "force": True,
            }
            place.write_json(self.TOLD, told)
            try:
                store.build(values, path, **how)
            except store.StoreError as error:
                if "another build has begun" not in str(error):
                    raise
                place.remove()  # (what an interruption has left of one that came out a little otherwise)
                place.write_json(self.TOLD, told)
                store.build(values, path, **how)
            place.write_json(self.TOLD, {**told, "objects": len(place.child("0").keys())})
