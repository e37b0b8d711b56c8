"""Accumulators that a level passes to the levels above it, where their footprints do not fit a leaf.

The accumulator of a box is a list of arrays with one entry per voxel each, so accumulators of adjacent boxes are
joined by concatenating arrays. Of a mean: the counts and the sums (64-bit integers as two halves, as in the numpy
reference). Of a mode: lists of labels (an array of objects), and how many votes a label may have lost. Of min, max and
stride the voxels themselves are enough.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _reference
from .._pooling.arguments import Array
from .._pooling.run import mean_levels, pool_with_unproven

#: A longer list of labels keeps so many, those with the most votes.
MAX_LABELS = 1024
#: Sums of more voxels than this are made of Python's integers.
MAX_INT64_FOOTPRINT = 1 << 30

Accumulator = list[Array]


class Pooling:
    """How a plan pools: its method and what goes with it, from a level to those above."""

    def __init__(
        self, method: str, dtype: np.dtype[Any], ignore: Any, rounding: str, ties: str, recursive: bool, fill: Any,
        weight: Sequence[int],
    ) -> None:  # fmt: skip
        self.method, self.dtype, self.rounding, self.ties = method, dtype, rounding, ties
        self.ignore = ignore
        self._recursive = recursive  # each level from the voxels of the one before
        self._fill = fill  # what a voxel is above nothing but masked ones
        self._weight = weight  # of a base voxel's coordinates, for its place in raster order with axis 0 fastest

    def levels(
        self, values: Array, factors: Any, voxel_offset: tuple[int, ...], mask: Array | None = None
    ) -> tuple[list[Array], list[int]]:
        """Levels of an array without its masked voxels, and how many modes of each are not proven."""
        if not factors:
            return [], []
        if self._recursive:
            return self._one_from_the_other(values, factors, voxel_offset, mask)
        return self._from_the_base(*self._without(values, mask), factors, voxel_offset, mask)

    def _from_the_base(
        self, kept: Array, left_out: Any, factors: Any, voxel_offset: tuple[int, ...], mask: Array | None
    ) -> tuple[list[Array], list[int]]:
        levels, unproven = pool_with_unproven(
            kept, factors, len(factors), self.method, left_out, self.rounding, self.ties, voxel_offset, None, 1
        )
        return self._filled(levels, mask, factors, voxel_offset), unproven or [0] * len(levels)

    def with_accumulator(
        self,
        values: Array,
        factors: Any,
        voxel_offset: tuple[int, ...],
        first: Sequence[int],
        mask: Array | None = None,
    ) -> tuple[list[Array], list[int], Accumulator]:
        """The same and what the last level hands on; ``first``: the array coordinates of the first voxel."""
        if self.method == "mean":
            kept, left_out = self._without(values, mask)
            levels, reduction = mean_levels(kept, factors, left_out, self.rounding, voxel_offset)
            accumulator = reduction.accumulator
            return self._filled(levels, mask, factors, voxel_offset), [0] * len(levels), accumulator
        if self.method != "mode":
            levels, unproven = self.levels(values, factors, voxel_offset, mask)
            hidden = [] if mask is None else [_all_masked(mask, factors, voxel_offset)[-1]]
            return levels, unproven, [levels[-1], *hidden]
        kept, left_out = self._without(values, mask)
        levels, unproven = self._from_the_base(kept, left_out, factors, voxel_offset, mask)
        total = tuple(int(np.prod([factor[axis] for factor in factors])) for axis in range(values.ndim))
        return levels, unproven, self._label_lists(kept, left_out, total, voxel_offset, first)

    def _one_from_the_other(
        self, values: Array, factors: Any, voxel_offset: tuple[int, ...], mask: Array | None
    ) -> tuple[list[Array], list[int]]:
        levels = []
        for factor in factors:
            kept, left_out = self._without(values, mask)
            made, _ = pool_with_unproven(
                kept, [factor], 1, self.method, left_out, self.rounding, self.ties, voxel_offset, None, 1
            )
            (values,) = self._filled(made, mask, [factor], voxel_offset)
            mask = None if mask is None else _all_masked(mask, [factor], voxel_offset)[0]
            voxel_offset = tuple(o // f for o, f in zip(voxel_offset, factor, strict=True))
            levels.append(values)
        return levels, [0] * len(levels)

    # --- masks: their voxels take the value that is ignored, or one that no voxel has ---

    def _without(self, values: Array, mask: Array | None) -> tuple[Array, Any]:
        if mask is None or not mask.any():
            return values, self.ignore
        values, absent = _with_absent(values) if self.ignore is None else (values, self.ignore)
        return np.where(mask, absent, values).astype(values.dtype), absent

    def _filled(
        self, levels: list[Array], mask: Array | None, factors: Any, voxel_offset: tuple[int, ...]
    ) -> list[Array]:
        """Levels in the dtype of the volume, with the fill value where all is masked."""
        if mask is None or not mask.any():
            return levels
        nothing = self._nothing
        return [
            np.where(masked, nothing, level).astype(self.dtype)
            for level, masked in zip(levels, _all_masked(mask, factors, voxel_offset), strict=True)
        ]

    @property
    def _nothing(self) -> Any:
        return self.dtype.type(self._fill) if self.ignore is None else self.ignore

    def above(
        self, accumulator: Accumulator, factors: Any, voxel_offset: tuple[int, ...], footprint: int
    ) -> tuple[list[Array], list[int]]:
        """The levels above, of a box that holds their footprints whole, and how many modes of each are not proven.

        ``voxel_offset`` is that of the accumulator's level, ``footprint`` the base voxels per voxel of the last.
        """
        if self.method == "mean":
            counts, *sums = accumulator
            if self.dtype.kind not in "fc" and footprint > MAX_INT64_FOOTPRINT:
                counts, *sums = (part.astype(object) for part in accumulator)
            # (a voxel that counts none is above masked voxels only, or ignored ones)
            fold = _reference.Reduction(
                _reference.Mean(sums, self.dtype, self.rounding), counts, voxel_offset, self._nothing
            )
            return fold.levels(factors), [0] * len(factors)
        if self.method != "mode":
            return self.levels(accumulator[0], factors, voxel_offset, *accumulator[1:])
        lists, lost = accumulator
        made, unproven = [], []
        for factor in factors:
            voxels, lists, lost, count = self._join(lists, lost, factor, voxel_offset)
            made.append(voxels)
            unproven.append(count)
            voxel_offset = tuple(o // f for o, f in zip(voxel_offset, factor, strict=True))
        return made, unproven

    # --- label lists: structured arrays, one label each ---

    def _keys(self, values: Array) -> Array:
        """Numbers that are equal where labels are: all NaN are one label, and so are 0.0 and -0.0."""
        if values.dtype.kind in "fc":
            values = values + values.dtype.type(0)
            values = np.where(values != values, values.dtype.type(np.nan), values)
        keys: Array = np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")
        return keys

    def _label_lists(
        self, values: Array, left_out: Any, total: tuple[int, ...], voxel_offset: tuple[int, ...], first: Sequence[int]
    ) -> Accumulator:
        edges = [_reference.edges(n, f, o) for n, f, o in zip(values.shape, total, voxel_offset, strict=True)]
        shape = [len(along) - 1 for along in edges]
        lists, lost = np.empty(shape, object), np.zeros(shape, np.int64)
        for index in np.ndindex(*shape):
            low = [along[i] for along, i in zip(edges, index, strict=True)]
            box = tuple(slice(a, along[i + 1]) for a, along, i in zip(low, edges, index, strict=True))
            found = self._runs(values[box], left_out, [a + f for a, f in zip(low, first, strict=True)])
            lists[index], lost[index] = _shortened(_collected(found))
        return [lists, lost]

    def _runs(self, values: Array, left_out: Any, first: Sequence[int]) -> Array:
        """The runs of equal voxels along the last axis, each as a label."""
        keys = self._keys(values).reshape(-1, values.shape[-1])
        ends = np.ones(keys.shape, bool)
        np.not_equal(keys[:, 1:], keys[:, :-1], out=ends[:, :-1])
        at = np.flatnonzero(ends)
        start = np.append(0, at[:-1] + 1)
        found = np.empty(at.size, _label_type(keys.dtype))
        found["key"], found["votes"] = keys.ravel()[at], at - start + 1
        # within a run the last coordinate rises, so its first voxel is the first in raster order
        coordinates = np.unravel_index(start, values.shape)
        found["position"] = sum(
            (c.astype(np.int64) + f) * w for c, f, w in zip(coordinates, first, self._weight, strict=True)
        )
        if left_out is not None:
            found = found[found["key"] != self._keys(np.asarray([left_out], values.dtype))[0]]
        return found.astype(_label_type(np.dtype(f"u{self.dtype.itemsize}")))

    def _join(
        self, lists: Array, lost: Array, factor: tuple[int, ...], voxel_offset: tuple[int, ...]
    ) -> tuple[Array, Array, Array, int]:
        """Voxels, lists and lost votes of the next level, and how many of its modes are not proven."""
        edges = [_reference.edges(n, f, o) for n, f, o in zip(lists.shape, factor, voxel_offset, strict=True)]
        shape = [len(along) - 1 for along in edges]
        voxels = np.zeros(shape, f"u{self.dtype.itemsize}")
        joined, missing, unproven = np.empty(shape, object), np.zeros(shape, np.int64), 0
        nothing = self._keys(np.asarray([self._nothing], self.dtype))[0]
        for index in np.ndindex(*shape):
            box = tuple(slice(along[i], along[i + 1]) for along, i in zip(edges, index, strict=True))
            labels = _collected(np.concatenate(list(lists[box].flat)))
            missing[index] = lost[box].sum()
            if labels.size == 0:
                voxels[index] = nothing
            else:
                best = self._winner(labels)
                voxels[index] = labels["key"][best]
                rival = np.delete(labels["votes"], best).max(initial=0)
                unproven += bool(missing[index]) and labels["votes"][best] <= rival + missing[index]
            joined[index], more = _shortened(labels)
            missing[index] += more
        return voxels.view(self.dtype), joined, missing, unproven

    def _winner(self, labels: Array) -> int:
        tied = np.flatnonzero(labels["votes"] == labels["votes"].max())
        if self.ties == "first":
            return int(tied[labels["position"][tied].argmin()])
        return int(tied[np.argsort(labels["key"][tied].view(self.dtype), kind="stable")[0]])  # (NaN last)


def _all_masked(mask: Array, factors: Any, voxel_offset: tuple[int, ...]) -> list[Array]:
    """Where all voxels below are masked."""
    return pool_with_unproven(mask, factors, len(factors), "min", None, "half-even", "first", voxel_offset, None, 1)[0]


def _with_absent(values: Array) -> tuple[Array, Any]:
    """The values, wider where they must be, and one that none of them has."""
    dtype = values.dtype
    if dtype.kind == "b":
        return values.astype(np.uint8), np.uint8(2)
    if dtype.itemsize <= 2 and dtype.kind in "iu":  # as likely as not, all numbers are in use
        return values.astype(f"{dtype.kind}{2 * dtype.itemsize}"), np.iinfo(dtype).max + 1
    limits: Any = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)
    candidate = limits.max
    while (values == candidate).any():
        candidate = candidate - 1 if dtype.kind in "iu" else np.nextafter(candidate, dtype.type(0))
    return values, dtype.type(candidate)


def _label_type(key: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype([("key", key), ("votes", np.int64), ("position", np.int64)])


def _collected(labels: Array) -> Array:
    """One entry of each label, by key: votes added up, the smallest position."""
    if labels.size == 0:
        return labels
    ordered = labels[np.argsort(labels["key"], kind="stable")]
    first = np.flatnonzero(np.append(True, ordered["key"][1:] != ordered["key"][:-1]))
    found = ordered[first]
    found["votes"] = np.add.reduceat(ordered["votes"], first)
    found["position"] = np.minimum.reduceat(ordered["position"], first)
    return found


def _shortened(labels: Array) -> tuple[Array, int]:
    """At most MAX_LABELS of them, and how many votes any one of the others has at most."""
    if labels.size <= MAX_LABELS:
        return labels, 0
    order = np.lexsort((labels["position"], -labels["votes"]))
    return labels[np.sort(order[:MAX_LABELS])], int(labels["votes"][order[MAX_LABELS]])


# --- carries as bytes ---


def to_arrays(accumulator: Accumulator) -> dict[str, Array]:
    """For ``numpy.savez``: lists of labels become one long list, and their lengths."""
    arrays = {}
    for number, part in enumerate(accumulator):
        if part.dtype == object:
            arrays[f"accumulator{number}_lengths"] = np.array([entry.size for entry in part.flat], np.int64).reshape(
                part.shape
            )
            part = np.concatenate(list(part.flat))
        arrays[f"accumulator{number}"] = part
    return arrays


def from_arrays(arrays: Any) -> Accumulator:
    """What ``to_arrays`` made."""
    accumulator: Accumulator = []
    for number in itertools.count():
        if f"accumulator{number}" not in arrays:
            return accumulator
        part = arrays[f"accumulator{number}"]
        if f"accumulator{number}_lengths" in arrays:
            lengths = arrays[f"accumulator{number}_lengths"]
            lists = np.empty(lengths.size, object)
            for at, entry in enumerate(np.split(part, np.cumsum(lengths.ravel())[:-1])):
                lists[at] = entry
            part = lists.reshape(lengths.shape)
        accumulator.append(part)
    raise AssertionError
