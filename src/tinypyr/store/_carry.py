"""What a level hands on to the levels above it, where the footprints of those outgrow a leaf.

The carry of a box of voxels is a list of arrays, one entry per voxel in each, so that carries of boxes side by side are
joined by putting arrays together. Of a mean: the counts and the sums (64-bit integers as two halves, as in the numpy
reference). Of a mode: lists of labels (an array of objects), and how many votes a label may have lost. Of min, max and
stride the voxels themselves are enough.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _reference
from ..pooling import Array, _counted, _mean_levels

#: A longer list of labels keeps so many, those with the most votes.
MAX_LABELS = 1024
#: Sums of more voxels than this are made of Python's integers.
MAX_INT64_FOOTPRINT = 1 << 30

Carry = list[Array]


class Pooling:
    """How a plan pools: its method and what goes with it, from a level to those above."""

    def __init__(
        self, method: str, dtype: np.dtype[Any], ignore: Any, rounding: str, ties: str, weight: Sequence[int]
    ) -> None:
        self.method, self.dtype, self.ignore, self.rounding, self.ties = method, dtype, ignore, rounding, ties
        self._weight = weight  # of a base voxel's coordinates, for its place in raster order with axis 0 fastest

    def levels(self, values: Array, factors: Any, origin: tuple[int, ...]) -> tuple[list[Array], list[int]]:
        """Levels of an array, and how many modes of each are not proven."""
        if not factors:
            return [], []
        levels, unproven = _counted(
            values, factors, len(factors), self.method, self.ignore, self.rounding, self.ties, origin, None, 1
        )
        return levels, unproven or [0] * len(levels)

    def with_carry(
        self, values: Array, factors: Any, origin: tuple[int, ...], first: Sequence[int]
    ) -> tuple[list[Array], list[int], Carry]:
        """The same and what the last level hands on; ``first``: the array coordinates of the first voxel."""
        if self.method == "mean":
            levels, fold = _mean_levels(values, factors, self.ignore, self.rounding, origin)
            return levels, [0] * len(levels), [fold.counts, *fold.make.carry]
        levels, unproven = self.levels(values, factors, origin)
        if self.method != "mode":
            return levels, unproven, [levels[-1]]
        total = tuple(int(np.prod([factor[axis] for factor in factors])) for axis in range(values.ndim))
        return levels, unproven, self._label_lists(values, total, origin, first)

    def above(
        self, carry: Carry, factors: Any, origin: tuple[int, ...], footprint: int
    ) -> tuple[list[Array], list[int]]:
        """The levels above, of a box that holds their footprints whole, and how many modes of each are not proven.

        ``origin`` is that of the carry's level, ``footprint`` how many base voxels lie below one of the last level.
        """
        if self.method == "mean":
            counts, *sums = carry
            if self.dtype.kind not in "fc" and footprint > MAX_INT64_FOOTPRINT:
                counts, *sums = (part.astype(object) for part in carry)
            fold = _reference.Fold(_reference.Mean(sums, self.dtype, self.rounding), counts, origin, self.ignore)
            return fold.levels(factors), [0] * len(factors)
        if self.method != "mode":
            return self.levels(carry[0], factors, origin)
        lists, lost = carry
        made, unproven = [], []
        for factor in factors:
            voxels, lists, lost, count = self._join(lists, lost, factor, origin)
            made.append(voxels)
            unproven.append(count)
            origin = tuple(o // f for o, f in zip(origin, factor, strict=True))
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
        self, values: Array, total: tuple[int, ...], origin: tuple[int, ...], first: Sequence[int]
    ) -> Carry:
        edges = [_reference.edges(n, f, o) for n, f, o in zip(values.shape, total, origin, strict=True)]
        shape = [len(along) - 1 for along in edges]
        lists, lost = np.empty(shape, object), np.zeros(shape, np.int64)
        for index in np.ndindex(*shape):
            low = [along[i] for along, i in zip(edges, index, strict=True)]
            box = tuple(slice(a, along[i + 1]) for a, along, i in zip(low, edges, index, strict=True))
            found = self._runs(values[box], [a + f for a, f in zip(low, first, strict=True)])
            lists[index], lost[index] = _shortened(_collected(found))
        return [lists, lost]

    def _runs(self, values: Array, first: Sequence[int]) -> Array:
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
        if self.ignore is not None:
            found = found[found["key"] != self._keys(np.asarray([self.ignore], self.dtype))[0]]
        return found

    def _join(
        self, lists: Array, lost: Array, factor: tuple[int, ...], origin: tuple[int, ...]
    ) -> tuple[Array, Array, Array, int]:
        """Voxels, lists and lost votes of the next level, and how many of its modes are not proven."""
        edges = [_reference.edges(n, f, o) for n, f, o in zip(lists.shape, factor, origin, strict=True)]
        shape = [len(along) - 1 for along in edges]
        voxels = np.zeros(shape, f"u{self.dtype.itemsize}")
        joined, missing, unproven = np.empty(shape, object), np.zeros(shape, np.int64), 0
        nothing = None if self.ignore is None else self._keys(np.asarray([self.ignore], self.dtype))[0]
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


def to_arrays(carry: Carry) -> dict[str, Array]:
    """For ``numpy.savez``: lists of labels become one long list, and their lengths."""
    arrays = {}
    for number, part in enumerate(carry):
        if part.dtype == object:
            arrays[f"carry{number}_lengths"] = np.array([entry.size for entry in part.flat], np.int64).reshape(
                part.shape
            )
            part = np.concatenate(list(part.flat))
        arrays[f"carry{number}"] = part
    return arrays


def from_arrays(arrays: Any) -> Carry:
    """What ``to_arrays`` made."""
    carry: Carry = []
    for number in itertools.count():
        if f"carry{number}" not in arrays:
            return carry
        part = arrays[f"carry{number}"]
        if f"carry{number}_lengths" in arrays:
            lengths = arrays[f"carry{number}_lengths"]
            lists = np.empty(lengths.size, object)
            for at, entry in enumerate(np.split(part, np.cumsum(lengths.ravel())[:-1])):
                lists[at] = entry
            part = lists.reshape(lengths.shape)
        carry.append(part)
    raise AssertionError
