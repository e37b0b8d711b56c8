"""Is a store what it says? Geometry by the formulas, then voxels against the base."""

from __future__ import annotations

import itertools
import math
import os
import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .._pooling.arguments import METHODS, choice
from .._util.sizes import bytes_of
from ..errors import StoreError
from ..grid import Cuts, factors_between, region_above, reordered
from .accumulators import Pooling
from .location import Location
from .scratch import Scratch
from .source import Mask, level_array, open_volume, voxels_of
from .volume import Volume


@dataclass
class Findings:
    """What is wrong with a store; empty when nothing is."""

    name: str
    problems: list[str] = field(default_factory=list)
    voxels: int = 0  # of levels, compared
    levels: int = 0  # above the base

    def __bool__(self) -> bool:
        return bool(self.problems)

    def __str__(self) -> str:
        if not self.problems and self.levels == 0:
            return f"{self.name}: has level 0 alone, and no levels to check"
        if not self.problems:
            return f"{self.name}: geometry and {self.voxels} voxels of its levels are right"
        return "\n".join(f"{self.name}: {problem}" for problem in self.problems)


def check(
    store: str | os.PathLike[str],
    *,
    method: str | None = None,
    ignore: object = None,
    mask: Any = None,
    sample: float | None = None,
    seed: int = 0,
    memory: int | str = "256MiB",
) -> Findings:
    """Compare a store's levels with its base.

    Parameters
    ----------
    store : path or URL
        What to check.
    method : str, optional
        How the levels were made; by default what the metadata says.
    ignore : scalar, optional
        As for :func:`tinypyr.downsample`.
    mask : path, URL, or array, optional
        What was left out, as for :func:`plan`.
    sample : float, optional
        The share of the base to read, in pieces drawn at random; by default all.
    seed : int
        Of the draw.
    memory : int or str
        Bytes of the base to hold at once.

    Returns
    -------
    Findings
        False, as a condition, when nothing is wrong. A build that has not ended is wrong.
    """
    volume = open_volume(Location.at(store))
    findings = Findings(volume.place.name, levels=len(volume.paths) - 1)
    if Scratch(volume.place).plan() is not None:
        findings.problems.append("a build of it has begun and not ended; give its command again, then check")
    pooling = _pooling(volume, method, ignore)
    if volume.notes.get("mask") and mask is None:
        raise StoreError(
            f"{volume.place.name}: its levels leave out the voxels of {volume.notes['mask']}; name that mask"
        )
    arrays = [level_array(volume, number) for number in range(len(volume.paths))]
    placed = volume.grids
    names = list(placed[0].axes)
    order = [names.index(name) for name in volume.order]
    arrays = [array.transpose(order) for array in arrays]
    placed = [reordered(grid, [names[axis] for axis in order]) for grid in placed]
    hidden = None if mask is None else Mask(mask, placed[0])
    if sample is not None and not (isinstance(sample, (int, float)) and 0 < sample <= 1):
        raise ValueError(f"sample: {sample!r} is no share, more than 0 and at most 1")
    totals = []
    for number, grid in enumerate(placed):
        factors = factors_between(placed[0], placed[number])
        if factors is None:
            findings.problems.append(
                f"level {number}: scale {placed[number].scale} is no whole multiple of the base's {placed[0].scale}"
            )
            return findings
        totals.append(factors)
        want = placed[0].level(
            factors, "mean" if volume.format == "precomputed" else pooling.method
        )  # corner-based, whatever the method
        if tuple(grid.shape) != want.shape or tuple(arrays[number].shape) != want.shape:
            findings.problems.append(f"level {number}: shape {grid.shape}; factors {factors} make it {want.shape}")
        if any(
            abs(a - b) > 1e-6 * s
            for a, b, s in zip(placed[number].translation, want.translation, want.scale, strict=True)
        ):
            findings.problems.append(
                f"level {number}: translation {placed[number].translation}, but its voxels lie at {want.translation}"
            )
        if arrays[number].dtype != arrays[0].dtype:
            findings.problems.append(f"level {number}: {arrays[number].dtype.name}, the base {arrays[0].dtype.name}")
    if findings.problems:
        return findings
    base, top = placed[0], totals[-1]
    steps = list(top)
    voxel = np.dtype(volume.dtype).itemsize
    budget = bytes_of(memory) // 4
    while True:
        wider = [s * 2 if s < n else s for s, n in zip(steps, base.shape, strict=True)]
        if wider == steps or math.prod(min(s, n) for s, n in zip(wider, base.shape, strict=True)) * voxel > budget:
            break
        steps = wider
    pieces = list(
        itertools.product(
            *(Cuts(n, o, s, f) for n, o, s, f in zip(base.shape, base.voxel_offset, steps, top, strict=True))
        )
    )
    schedule = [tuple(b // a for a, b in zip(x, y, strict=True)) for x, y in itertools.pairwise(totals)]
    if sample is not None:
        pieces = random.Random(seed).sample(pieces, max(1, round(sample * len(pieces))))
    for box in pieces:
        values = voxels_of(arrays[0][tuple(slice(a, b) for a, b in box)].read(), volume.place.name, box)
        voxel_offset = tuple(o + a for o, (a, _) in zip(base.voxel_offset, box, strict=True))
        masked = None if hidden is None else hidden.read(box)
        levels, _ = pooling.levels(values, schedule, voxel_offset, masked)
        for number, want_voxels in enumerate(levels, 1):
            at = region_above(box, totals[number], base.voxel_offset)
            name = f"{volume.place.name}/{volume.paths[number]}"
            found = voxels_of(arrays[number][tuple(slice(a, b) for a, b in at)].read(), name, at)
            findings.voxels += found.size
            bad = (found != want_voxels) & ~((found != found) & (want_voxels != want_voxels))
            if bad.any():
                first = tuple(int(i) + a for i, (a, _) in zip(np.argwhere(bad)[0], at, strict=True))
                index = tuple(np.argwhere(bad)[0])
                where = ", ".join(f"{a}:{b}" for a, b in at)
                findings.problems.append(
                    f"level {number}: {int(bad.sum())} of {bad.size} voxels of [{where}] differ, the first at {first}: "
                    f"{found[index]}, but {pooling.method} of the base is {want_voxels[index]}"
                )
        if len(findings.problems) >= 20:
            break
    return findings


def _pooling(volume: Volume, method: str | None, ignore: object) -> Pooling:
    notes, dtype = volume.notes, np.dtype(volume.dtype)
    how = method or notes.get("method")
    if how is None:
        raise StoreError(f"{volume.place.name}: does not say how its levels were made; name a method")
    choice("method", how, METHODS)
    left_out = volume.ignore if ignore is None else ignore
    rounding, ties = str(notes.get("rounding", "half-even")), str(notes.get("ties", "first"))
    return Pooling(how, dtype, left_out, rounding, ties, bool(notes.get("recursive")), volume.layout.fill, ())
