"""Lists of labels and their votes in footprints: the accumulators of modes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _reference
from .._pooling.arguments import Array

#: Maximum length of a list of labels. A longer one keeps the labels with the most votes.
MAX_LABELS = 1024


class LabelLists:
    """Lists of labels of one volume: structured arrays with one entry per label.

    Parameters
    ----------
    dtype : dtype
        Data type of the volume.
    ties : {"first", "lowest"}
        Which of several labels with the most votes is the mode.
    weight : sequence of int
        Weights of a base voxel's coordinates, whose sum is its position in raster order with axis 0 fastest.
    empty_value : scalar
        Value of a voxel whose footprint has no label.
    """

    def __init__(self, dtype: np.dtype[Any], ties: str, weight: Sequence[int], empty_value: Any) -> None:
        self._dtype, self._ties, self._weight, self._empty_value = dtype, ties, weight, empty_value

    def _keys(self, values: Array) -> Array:
        """Return integers that are equal for equal labels; all NaN are one label, and so are 0.0 and -0.0."""
        if values.dtype.kind in "fc":
            values = values + values.dtype.type(0)
            values = np.where(values != values, values.dtype.type(np.nan), values)
        keys: Array = np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")
        return keys

    def of_footprints(
        self, values: Array, ignored: Any, total: tuple[int, ...], voxel_offset: tuple[int, ...], first: Sequence[int]
    ) -> list[Array]:
        """Return the list of labels in every footprint, and the votes that dropped labels may have had."""
        edges = [_reference.edges(n, f, o) for n, f, o in zip(values.shape, total, voxel_offset, strict=True)]
        shape = [len(along) - 1 for along in edges]
        lists, lost = np.empty(shape, object), np.zeros(shape, np.int64)
        for index in np.ndindex(*shape):
            low = [along[i] for along, i in zip(edges, index, strict=True)]
            box = tuple(slice(a, along[i + 1]) for a, along, i in zip(low, edges, index, strict=True))
            runs = self._runs(values[box], ignored, [a + f for a, f in zip(low, first, strict=True)])
            lists[index], lost[index] = _most_frequent(_merged(runs))
        return [lists, lost]

    def _runs(self, values: Array, ignored: Any, first: Sequence[int]) -> Array:
        """Return the runs of equal voxels along the last axis, with one entry of a label per run."""
        keys = self._keys(values).reshape(-1, values.shape[-1])
        is_end = np.ones(keys.shape, bool)
        np.not_equal(keys[:, 1:], keys[:, :-1], out=is_end[:, :-1])
        ends = np.flatnonzero(is_end)
        starts = np.append(0, ends[:-1] + 1)
        runs = np.empty(ends.size, _label_dtype(keys.dtype))
        runs["key"], runs["votes"] = keys.ravel()[ends], ends - starts + 1
        # within a run only the last coordinate changes, so the first voxel is also the first in raster order
        coordinates = np.unravel_index(starts, values.shape)
        runs["position"] = sum(
            (c.astype(np.int64) + f) * w for c, f, w in zip(coordinates, first, self._weight, strict=True)
        )
        if ignored is not None:
            runs = runs[runs["key"] != self._keys(np.asarray([ignored], values.dtype))[0]]
        return runs.astype(_label_dtype(np.dtype(f"u{self._dtype.itemsize}")))

    def joined(
        self, lists: Array, lost: Array, factor: tuple[int, ...], voxel_offset: tuple[int, ...]
    ) -> tuple[Array, Array, Array, int]:
        """Return voxels, lists and lost votes of the next level, and the number of modes that are not proven."""
        edges = [_reference.edges(n, f, o) for n, f, o in zip(lists.shape, factor, voxel_offset, strict=True)]
        shape = [len(along) - 1 for along in edges]
        voxels = np.zeros(shape, f"u{self._dtype.itemsize}")
        joined, lost_votes, unproven = np.empty(shape, object), np.zeros(shape, np.int64), 0
        empty = self._keys(np.asarray([self._empty_value], self._dtype))[0]
        for index in np.ndindex(*shape):
            box = tuple(slice(along[i], along[i + 1]) for along, i in zip(edges, index, strict=True))
            labels = _merged(np.concatenate(list(lists[box].flat)))
            lost_votes[index] = lost[box].sum()
            if labels.size == 0:
                voxels[index] = empty
            else:
                mode = self._mode(labels)
                voxels[index] = labels["key"][mode]
                runner_up = np.delete(labels["votes"], mode).max(initial=0)
                unproven += bool(lost_votes[index]) and labels["votes"][mode] <= runner_up + lost_votes[index]
            joined[index], dropped = _most_frequent(labels)
            lost_votes[index] += dropped
        return voxels.view(self._dtype), joined, lost_votes, unproven

    def _mode(self, labels: Array) -> int:
        """Return the index of the label with the most votes."""
        tied_labels = np.flatnonzero(labels["votes"] == labels["votes"].max())
        if self._ties == "first":
            return int(tied_labels[labels["position"][tied_labels].argmin()])
        values = labels["key"][tied_labels].view(self._dtype)
        return int(tied_labels[np.argsort(values, kind="stable")[0]])  # (NaN last)


def _label_dtype(key: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype([("key", key), ("votes", np.int64), ("position", np.int64)])


def _merged(labels: Array) -> Array:
    """Return one entry per label, sorted by key, with the sum of its votes and its smallest position."""
    if labels.size == 0:
        return labels
    ordered = labels[np.argsort(labels["key"], kind="stable")]
    first = np.flatnonzero(np.append(True, ordered["key"][1:] != ordered["key"][:-1]))
    merged = ordered[first]
    merged["votes"] = np.add.reduceat(ordered["votes"], first)
    merged["position"] = np.minimum.reduceat(ordered["position"], first)
    return merged


def _most_frequent(labels: Array) -> tuple[Array, int]:
    """Return the MAX_LABELS labels with the most votes, and the largest number of votes of a dropped label."""
    if labels.size <= MAX_LABELS:
        return labels, 0
    order = np.lexsort((labels["position"], -labels["votes"]))
    return labels[np.sort(order[:MAX_LABELS])], int(labels["votes"][order[MAX_LABELS]])
