"""Accumulators: what is passed from a level to the levels above it if their footprints do not fit in a leaf.

The accumulator of a box is a list of arrays with one entry per voxel, so those of adjacent boxes are joined by
concatenation. For a mean it holds counts and sums (of 64-bit integers as two halves, as in the numpy reference); for a
mode, lists of labels (an array of objects) and upper limits for the votes that any dropped label may have had; for min,
max and stride, the voxels themselves.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _reference
from .._pooling.arguments import Array
from .._pooling.run import mean_levels, pool_with_unproven
from .label_lists import LabelLists

#: Largest footprint whose sums are computed in 64-bit integers. Larger ones use Python integers.
MAX_INT64_FOOTPRINT = 1 << 30

Accumulator = list[Array]
#: Levels, and the number of voxels of each whose mode is not proven.
Levels = tuple[list[Array], list[int]]
Offset = tuple[int, ...]


class Pooling:
    """Pooling of boxes with a fixed method and its options.

    Parameters
    ----------
    method, ignore, rounding, ties
        As for :func:`tinypyr.pyramid`.
    dtype : dtype
        Data type of the volume.
    recursive : bool
        Whether each level is pooled from the voxels of the previous one.
    fill : scalar
        Value of a voxel whose footprint is excluded as a whole, if ``ignore`` is None.
    weight : sequence of int
        Weights of a base voxel's coordinates, whose sum is its position in raster order with axis 0 fastest.
    """

    def __init__(
        self, method: str, dtype: np.dtype[Any], ignore: Any, rounding: str, ties: str, recursive: bool, fill: Any,
        weight: Sequence[int],
    ) -> None:  # fmt: skip
        self.method, self.dtype, self.rounding, self.ties = method, dtype, rounding, ties
        self.ignore = ignore
        self._recursive, self._fill, self._weight = recursive, fill, weight

    def levels(self, values: Array, factors: Any, voxel_offset: Offset, excluded: Array | None = None) -> Levels:
        """Return the levels of a box without its excluded voxels."""
        if not factors:
            return [], []
        if self._recursive:
            return self._recursive_levels(values, factors, voxel_offset, excluded)
        counted, ignored = self._without_excluded(values, excluded)
        return self._levels_from_base(counted, ignored, factors, voxel_offset, excluded)

    def levels_and_accumulator(
        self,
        values: Array,
        factors: Any,
        voxel_offset: Offset,
        first: Sequence[int],
        excluded: Array | None = None,
    ) -> tuple[list[Array], list[int], Accumulator]:
        """Return the levels of a box, and the accumulator of the last one.

        ``first`` has the array coordinates of the first voxel.
        """
        if self.method == "mean":
            counted, ignored = self._without_excluded(values, excluded)
            levels, reduction = mean_levels(counted, factors, ignored, self.rounding, voxel_offset)
            accumulator = reduction.accumulator
            return self._fill_excluded(levels, excluded, factors, voxel_offset), [0] * len(levels), accumulator
        if self.method == "mode":
            counted, ignored = self._without_excluded(values, excluded)
            levels, unproven = self._levels_from_base(counted, ignored, factors, voxel_offset, excluded)
            total = tuple(int(np.prod([factor[axis] for factor in factors])) for axis in range(values.ndim))
            return levels, unproven, self._label_lists.of_footprints(counted, ignored, total, voxel_offset, first)
        levels, unproven = self.levels(values, factors, voxel_offset, excluded)
        masks = [] if excluded is None else [_fully_excluded(excluded, factors, voxel_offset)[-1]]
        return levels, unproven, [levels[-1], *masks]

    def levels_above(self, accumulator: Accumulator, factors: Any, voxel_offset: Offset, footprint: int) -> Levels:
        """Return the levels above an accumulator that covers whole footprints of the last one.

        ``voxel_offset`` is that of the accumulator's level, ``footprint`` the number of base voxels per voxel of the
        last level.
        """
        if self.method == "mean":
            counts, *sums = accumulator
            if self.dtype.kind not in "fc" and footprint > MAX_INT64_FOOTPRINT:
                counts, *sums = (part.astype(object) for part in accumulator)
            # (a count of 0 means that all voxels are excluded or ignored)
            mean = _reference.Mean(sums, self.dtype, self.rounding)
            reduction = _reference.Reduction(mean, counts, voxel_offset, self._empty_value)
            return reduction.levels(factors), [0] * len(factors)
        if self.method != "mode":
            return self.levels(accumulator[0], factors, voxel_offset, *accumulator[1:])
        lists, lost_votes = accumulator
        levels, unproven = [], []
        for factor in factors:
            voxels, lists, lost_votes, count = self._label_lists.joined(lists, lost_votes, factor, voxel_offset)
            levels.append(voxels)
            unproven.append(count)
            voxel_offset = tuple(o // f for o, f in zip(voxel_offset, factor, strict=True))
        return levels, unproven

    def _levels_from_base(
        self, counted: Array, ignored: Any, factors: Any, voxel_offset: Offset, excluded: Array | None
    ) -> Levels:
        levels, unproven = pool_with_unproven(
            counted, factors, len(factors), self.method, ignored, self.rounding, self.ties, voxel_offset, None, 1
        )
        return self._fill_excluded(levels, excluded, factors, voxel_offset), unproven or [0] * len(levels)

    def _recursive_levels(self, values: Array, factors: Any, voxel_offset: Offset, excluded: Array | None) -> Levels:
        levels = []
        for factor in factors:
            counted, ignored = self._without_excluded(values, excluded)
            (values,), _ = self._levels_from_base(counted, ignored, [factor], voxel_offset, excluded)
            excluded = None if excluded is None else _fully_excluded(excluded, [factor], voxel_offset)[0]
            voxel_offset = tuple(o // f for o, f in zip(voxel_offset, factor, strict=True))
            levels.append(values)
        return levels, [0] * len(levels)

    @functools.cached_property
    def _label_lists(self) -> LabelLists:
        return LabelLists(self.dtype, self.ties, self._weight, self._empty_value)

    @property
    def _empty_value(self) -> Any:
        """Value of a voxel whose footprint is excluded or ignored as a whole."""
        return self.dtype.type(self._fill) if self.ignore is None else self.ignore

    # --- excluded voxels get the value to ignore, or a value that no other voxel has ---

    def _without_excluded(self, values: Array, excluded: Array | None) -> tuple[Array, Any]:
        """Return voxels with excluded ones replaced by a value to ignore, and that value."""
        if excluded is None or not excluded.any():
            return values, self.ignore
        values, unused = _with_unused_value(values) if self.ignore is None else (values, self.ignore)
        return np.where(excluded, unused, values).astype(values.dtype), unused

    def _fill_excluded(
        self, levels: list[Array], excluded: Array | None, factors: Any, voxel_offset: Offset
    ) -> list[Array]:
        """Return levels in the dtype of the volume, with the empty value where a whole footprint is excluded."""
        if excluded is None or not excluded.any():
            return levels
        return [
            np.where(mask, self._empty_value, level).astype(self.dtype)
            for level, mask in zip(levels, _fully_excluded(excluded, factors, voxel_offset), strict=True)
        ]


def _fully_excluded(excluded: Array, factors: Any, voxel_offset: Offset) -> list[Array]:
    """Return for every voxel of the levels whether its whole footprint is excluded."""
    return pool_with_unproven(
        excluded, factors, len(factors), "min", None, "half-even", "first", voxel_offset, None, 1
    )[0]


def _with_unused_value(values: Array) -> tuple[Array, Any]:
    """Return voxels, in a wider dtype if needed, and a value that none of them has."""
    dtype = values.dtype
    if dtype.kind == "b":
        return values.astype(np.uint8), np.uint8(2)
    if dtype.itemsize <= 2 and dtype.kind in "iu":  # all values may be in use
        return values.astype(f"{dtype.kind}{2 * dtype.itemsize}"), np.iinfo(dtype).max + 1
    limits: Any = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)
    candidate = limits.max
    while (values == candidate).any():
        candidate = candidate - 1 if dtype.kind in "iu" else np.nextafter(candidate, dtype.type(0))
    return values, dtype.type(candidate)


# --- accumulators as bytes ---


def accumulator_to_arrays(accumulator: Accumulator) -> dict[str, Array]:
    """Return an accumulator as arrays for ``numpy.savez``: lists of labels concatenated, with their lengths."""
    arrays = {}
    for number, part in enumerate(accumulator):
        if part.dtype == object:
            lengths = np.array([entry.size for entry in part.flat], np.int64)
            arrays[f"accumulator{number}_lengths"] = lengths.reshape(part.shape)
            part = np.concatenate(list(part.flat))
        arrays[f"accumulator{number}"] = part
    return arrays


def accumulator_from_arrays(arrays: Any) -> Accumulator:
    """Return the accumulator that :func:`accumulator_to_arrays` converted."""
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
