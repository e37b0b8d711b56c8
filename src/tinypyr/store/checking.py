"""Comparison of a store's levels with its base: geometry by the formulas, voxels by pooling the base again."""

from __future__ import annotations

import itertools
import math
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .._pooling.arguments import METHODS, Array, choice
from .._util.sizes import bytes_of
from ..errors import StoreError
from ..grid import FLOAT32_PRECISION, SCALE_TOLERANCE, Cuts, Grid, factors_between, region_above, reordered
from .accumulators import Pooling
from .chunk_names import empty_level_0
from .formats import FORMATS
from .location import Location
from .scratch import Scratch
from .source import Mask, level_array, open_volume, read_voxels
from .volume import Loss, StoredVolume

Box = Sequence[tuple[int, int]]

#: Number of problems after which a check stops.
MAX_PROBLEMS = 20


@dataclass(repr=False)
class CheckResult:
    """The differences between a store's levels and its base.

    Attributes
    ----------
    name : str
        Name of the store.
    problems : list of str
        Descriptions of what differs.
    voxels : int
        Number of voxels that were compared, of all levels above the base.
    levels : int
        Number of levels above the base.
    remarks : list of str
        What the result does not say for sure: a level 0 without any chunk, and levels in lossy encodings, whose voxels
        were compared with a tolerance.
    """

    name: str
    problems: list[str] = field(default_factory=list)
    voxels: int = 0
    levels: int = 0
    remarks: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Return whether no problem was detected."""
        return not self.problems

    def __str__(self) -> str:
        lines = [f"{self.name}: {problem}" for problem in self.problems]
        if self.ok and self.levels == 0:
            lines = [f"{self.name}: has level 0 only, and no levels to check"]
        elif self.ok:
            lines = [f"{self.name}: geometry and {self.voxels} voxels of its levels are right"]
        return "\n".join(lines + [f"note: {remark}" for remark in self.remarks])

    __repr__ = __str__


def check(
    store: str | os.PathLike[str],
    *,
    method: str | None = None,
    ignore: object = None,
    mask: Any = None,
    exclude: Any = None,
    sample: float | None = None,
    seed: int = 0,
    memory: int | str = "256MiB",
) -> CheckResult:
    """Compare a store's levels with its base.

    Parameters
    ----------
    store : path or URL
        The store.
    method : str, optional
        Method with which the levels were built; by default the recorded one.
    ignore : scalar, optional
        As for :func:`tinypyr.downsample`. By default as recorded in the metadata.
    mask, exclude : path, URL, or array, optional
        As for :func:`plan`. Required if the levels were built with one of them.
    sample : float, optional
        Fraction of the base to read, in pieces drawn at random. By default everything.
    seed : int
        Seed of the random numbers.
    memory : int or str
        Upper limit for the voxels of the base in memory.

    Returns
    -------
    CheckResult
        ``result.ok`` is true if nothing differs. An unfinished build is reported as a problem. Voxels of levels in a
        lossy encoding (jpeg) may differ by the errors of that encoding: at its usual quality of 75 by up to 64, and by
        8 on average, and by more or less at other qualities in proportion to the quantization; with three channels,
        whose colours jpeg stores at half the resolution, by 24 on average. ``result.remarks`` has the errors that
        there are. A level whose errors are small is near the right values, not proven to be equal.

    Raises
    ------
    StoreError
        If the store cannot be read, or its metadata does not say how its levels were made.
    ValueError, TypeError
        If an argument is invalid.

    Examples
    --------
    >>> import numpy as np
    >>> from tinypyr import store
    >>> report = store.build(np.ones((4, 6), np.uint8), "memory://checked.ome.zarr", factor=2, levels=1, progress=False)
    >>> store.check("memory://checked.ome.zarr").ok
    True
    """
    volume = open_volume(Location.at(store))
    result = CheckResult(volume.location.name, levels=len(volume.paths) - 1)
    if (sentence := empty_level_0(volume)) is not None:
        result.remarks.append(sentence)
    if Scratch(volume.location).read_plan() is not None:
        result.problems.append("has an unfinished build; run its command again to resume, then check")
    result.problems.extend(volume.contradictions)
    pooling = _pooling(volume, method, ignore)
    for name in ("mask", "exclude"):
        if volume.notes.get(name) and mask is None and exclude is None:
            raise StoreError(
                f"{volume.location.name}: its levels were built with {name} {volume.notes[name]}; pass {name}="
            )
    if sample is not None and not (isinstance(sample, (int, float)) and 0 < sample <= 1):
        raise ValueError(f"sample: {sample!r} is not a fraction, more than 0 and at most 1")
    names = volume.grids[0].axes
    order = [names.index(name) for name in volume.order]
    grids = [reordered(grid, volume.order) for grid in volume.grids]
    arrays = [level_array(volume, number).transpose(order) for number in range(len(volume.paths))]
    masked = Mask.of(mask, exclude, grids[0])
    totals = _check_geometry(result, volume, grids, arrays, pooling.method)
    if result.problems:
        return result
    pieces = _pieces(grids[0], totals[-1], np.dtype(volume.dtype).itemsize, bytes_of(memory) // 4)
    if sample is not None:
        pieces = random.Random(seed).sample(pieces, max(1, round(sample * len(pieces))))
    errors = {number: Errors() for number in volume.losses if number > 0}
    for box in pieces:
        _check_voxels(result, volume, grids[0], arrays, totals, pooling, masked, errors, box)
        if len(result.problems) >= MAX_PROBLEMS:
            break
    for number, measured in errors.items():
        _check_errors(result, number, volume.losses[number], measured)
    return result


@dataclass
class Errors:
    """The errors of a level in a lossy encoding."""

    worst: float = 0.0
    total: float = 0.0
    voxels: int = 0

    def add(self, stored: Array, expected: Array) -> None:
        """Add the errors of some voxels."""
        differences = np.abs(stored.astype(np.float64) - expected)
        self.worst = max(self.worst, float(differences.max(initial=0.0)))
        self.total += float(differences.sum())
        self.voxels += differences.size


def _check_errors(result: CheckResult, number: int, loss: Loss, errors: Errors) -> None:
    """Add a problem if the errors of a level are larger than its encoding makes them, and a remark otherwise."""
    mean = errors.total / max(1, errors.voxels)
    text = (
        f"level {number}: voxels in the lossy encoding {loss.encoding} differ by up to {errors.worst:g} "
        f"(mean {mean:.2g}), and may by {loss.worst:g} (mean {loss.mean:g})"
    )
    within = errors.worst <= loss.worst and mean <= loss.mean
    (result.remarks if within else result.problems).append(text)


def _pooling(volume: StoredVolume, method: str | None, ignore: object) -> Pooling:
    notes, dtype = volume.notes, np.dtype(volume.dtype)
    recorded_method = method or notes.get("method")
    if recorded_method is None:
        raise StoreError(f"{volume.location.name}: its metadata does not say how its levels were made; pass method=")
    choice("method", recorded_method, METHODS)
    ignored = volume.ignore if ignore is None else ignore
    rounding, ties = str(notes.get("rounding", "half-even")), str(notes.get("ties", "first"))
    return Pooling(
        recorded_method, dtype, ignored, rounding, ties, bool(notes.get("recursive")), volume.layout.fill, ()
    )


def _check_geometry(
    result: CheckResult, volume: StoredVolume, grids: list[Grid], arrays: list[Any], method: str
) -> list[tuple[int, ...]]:
    """Add the problems of shapes, scales, translations and dtypes; return the cumulative factors."""
    base = grids[0]
    totals: list[tuple[int, ...]] = []
    for number, (grid, array) in enumerate(zip(grids, arrays, strict=True)):
        total = factors_between(base, grid)
        if total is None:
            result.problems.append(
                f"level {number}: scale {grid.scale} is not a whole multiple of the base's {base.scale}"
            )
            return totals
        totals.append(total)
        corners = FORMATS[volume.format].TRAITS.positions_are_corners  # (which no method moves)
        expected = base.level(total, "mean" if corners else method)
        if tuple(grid.shape) != expected.shape or tuple(array.shape) != expected.shape:
            result.problems.append(f"level {number}: shape {grid.shape}; factors {total} make it {expected.shape}")
        along = zip(grid.translation, expected.translation, expected.scale, strict=True)
        # (a translation that was float32 is as far off as that is precise)
        if any(abs(a - b) > SCALE_TOLERANCE * scale + FLOAT32_PRECISION * abs(b) for a, b, scale in along):
            result.problems.append(
                f"level {number}: translation {grid.translation}, but its voxels are at {expected.translation}"
            )
        if array.dtype != arrays[0].dtype:
            result.problems.append(f"level {number}: dtype {array.dtype.name}, but the base has {arrays[0].dtype.name}")
    return totals


def _pieces(base: Grid, top: tuple[int, ...], itemsize: int, budget: int) -> list[Box]:
    """Return boxes of the base, each of whole voxels of the last level and of at most so many bytes if possible."""
    steps = list(top)
    while True:
        wider = [s * 2 if s < n else s for s, n in zip(steps, base.shape, strict=True)]
        if wider == steps or math.prod(min(s, n) for s, n in zip(wider, base.shape, strict=True)) * itemsize > budget:
            break
        steps = wider
    along = [Cuts(n, o, s, f) for n, o, s, f in zip(base.shape, base.voxel_offset, steps, top, strict=True)]
    return list(itertools.product(*along))


def _check_voxels(
    result: CheckResult,
    volume: StoredVolume,
    base: Grid,
    arrays: list[Any],
    totals: list[tuple[int, ...]],
    pooling: Pooling,
    masked: Mask | None,
    errors: dict[int, Errors],
    box: Box,
) -> None:
    """Compare the voxels of all levels above a box of the base."""
    values = _read(arrays[0], volume.location.name, box)
    voxel_offset = tuple(o + a for o, (a, _) in zip(base.voxel_offset, box, strict=True))
    factors = [tuple(b // a for a, b in zip(x, y, strict=True)) for x, y in itertools.pairwise(totals)]
    excluded = None if masked is None else masked.excluded(box)
    levels, _ = pooling.levels(values, factors, voxel_offset, excluded)
    for number, expected in enumerate(levels, 1):
        region = region_above(box, totals[number], base.voxel_offset)
        stored = _read(arrays[number], f"{volume.location.name}/{volume.paths[number]}", region)
        result.voxels += stored.size
        if number in errors:
            errors[number].add(stored, expected)
            continue
        differs = (stored != expected) & ~((stored != stored) & (expected != expected))
        if differs.any():
            index = tuple(np.argwhere(differs)[0])
            first = tuple(int(i) + a for i, (a, _) in zip(index, region, strict=True))
            text = ", ".join(f"{a}:{b}" for a, b in region)
            result.problems.append(
                f"level {number}: {int(differs.sum())} of {differs.size} voxels of [{text}] differ, the first at "
                f"{first}: {stored[index]}, but {pooling.method} of the base is {expected[index]}"
            )


def _read(array: Any, name: str, box: Box) -> Array:
    voxels: Array = read_voxels(array[tuple(slice(a, b) for a, b in box)].read(), name, box)
    return voxels
