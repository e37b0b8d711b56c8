"""Rules for pooling levels: from the arguments of a plan, or from the record in an existing store."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import StoreError
from ..grid import Grid, factors_between
from .volume import StoredVolume

Box = Sequence[tuple[int, int]]
Extents = tuple[int, ...]

#: Defaults of the arguments of :func:`plan` that are not None or False.
DEFAULTS = {"method": "auto", "rounding": "half-even", "ties": "first", "factor": "auto", "levels": "auto"}


@dataclass(frozen=True)
class PoolingRule:
    """Arguments of :func:`plan` that decide the values of levels."""

    factor: Any
    levels: Any
    method: str
    ignore: Any
    rounding: str
    ties: str
    recursive: bool
    force: bool


@dataclass(frozen=True)
class PoolingOptions:
    """The rule of a plan, with "auto" resolved for the source.

    Attributes
    ----------
    method, ignore, rounding, ties, recursive
        As for :func:`plan`.
    reason : str
        Why the method was chosen.
    """

    method: str
    reason: str
    ignore: Any
    rounding: str
    ties: str
    recursive: bool

    def accumulates(self, *, masked: bool) -> bool:
        """Return whether levels can be pooled from accumulators, so that leaves need not hold their whole footprints.

        Stride has no accumulator if some voxels are ignored or excluded, median never.
        """
        if self.recursive or self.method not in ("median", "stride"):
            return True
        return self.method == "stride" and self.ignore is None and not masked


def rule_of_levels(volume: StoredVolume | None, target: Any, arguments: dict[str, Any], *, force: bool) -> PoolingRule:
    """Return the rule by which the levels of a store were built, to update a region of them.

    ``arguments`` are those of :func:`plan` besides the region and ``force``. Means of labels need ``force`` unless
    tinypyr has built the levels, which needed it then. Raise ValueError for one that contradicts the store,
    StoreError for levels that cannot be updated.
    """
    if volume is None or target is not None or len(volume.paths) < 2:
        raise ValueError("region: needs a store that has levels already, and no target; build its levels first")
    notes, base = volume.notes, volume.grids[0]
    for name in ("mask", "exclude"):
        if notes.get(name):
            raise StoreError(
                f"{volume.location.name}: its levels were built with {name} {notes[name]}; build all of them again"
            )
    method = notes.get("method")
    if method is None and arguments["method"] == "auto":
        raise ValueError(
            f"method: the metadata of {volume.location.name} does not say how its levels were made; pass it"
        )
    recorded_arguments = {
        "method": method or arguments["method"],
        "ignore": volume.ignore,
        "rounding": str(notes.get("rounding", "half-even")),
        "ties": str(notes.get("ties", "first")),
        "recursive": bool(notes.get("recursive")),
    }
    factor = _factors_of_levels(volume, base)
    for name, value in arguments.items():
        if value is None or value is False or (isinstance(value, str) and value == DEFAULTS.get(name)):
            continue
        if name not in recorded_arguments or bool(np.any(value != recorded_arguments[name])):
            raise ValueError(f"{name}: not with a region, which is updated as the store was built; leave it out")
    return PoolingRule(factor=factor, levels="auto", force=force or "plan" in notes, **recorded_arguments)


def _factors_of_levels(volume: StoredVolume, base: Grid) -> list[Extents]:
    """Return the factors from each level to the next, axes in the order in which ties were broken."""
    totals = [factors_between(base, grid) for grid in volume.grids]
    known_totals = [total for total in totals if total is not None]
    if len(known_totals) < len(totals) or any(
        b % a for x, y in itertools.pairwise(known_totals) for a, b in zip(x, y, strict=True)
    ):
        raise StoreError(f"{volume.location.name}: the levels are not whole multiples of each other; build them again")
    for number, (path, grid, total) in enumerate(zip(volume.paths, volume.grids, known_totals, strict=True)):
        shape = base.level(total).shape
        if grid.shape != shape:
            raise StoreError(
                f"{volume.location.name}/{path}: level {number} has shape {grid.shape}, but its scale of {total} base "
                f"voxels implies {shape}, so another tool has made it; build the levels anew to update a region"
            )
    order = [base.axes.index(axis) for axis in volume.order]
    return [tuple(y[a] // x[a] for a in order) for x, y in itertools.pairwise(known_totals)]


def checked_region(region: Any, base: Grid) -> Box:
    """Return a region as pairs of integers; raise ValueError if it is not within the base."""
    try:
        box = [(operator.index(start), operator.index(stop)) for start, stop in region]
    except (TypeError, ValueError):
        raise ValueError(f"region: {region!r} is not one (start, stop) pair per axis") from None
    if len(box) != base.ndim or any(not 0 <= a < b <= n for (a, b), n in zip(box, base.shape, strict=False)):
        raise ValueError(f"region: {box} does not lie within the volume of shape {base.shape}")
    return box
