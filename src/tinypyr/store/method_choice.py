"""Choice of the pooling method: what the metadata, the dtype and a sample of the voxels say, and why."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator

import numpy as np

from .. import _arrays
from .._pooling.arguments import METHODS, Array, choice
from ..errors import StoreError
from .pooling_rule import PoolingRule
from .source import Source, read_voxels

#: Least number of pairs of neighbours in a sample, and the share of equal ones above which voxels look like labels.
MIN_PAIRS, EQUAL_SHARE = 512, 0.9


def choose_method(rule: PoolingRule, source: Source) -> tuple[str, str]:
    """Return the method of a plan, and why it was chosen; warn of integers that look like labels and are averaged.

    Raise ValueError for a method that makes no sense.
    """
    method, reason = rule.method, "as requested"
    if method == "auto":
        method, reason = _method_for(source)
    choice("method", method, METHODS)
    if method == "mean" and source.kind == "labels" and not rule.force:
        raise ValueError(
            "method: averaging label IDs produces IDs of unrelated objects; pass method='mode', or force=True for the "
            "mean of labels"
        )
    if rule.recursive and method != "median":
        raise ValueError(f"recursive: allowed for medians only; levels of {method} are exact without it")
    if (method, rule.method, source.kind) == ("mean", "auto", None) and rule.levels != 0 and not rule.force:
        _warn_of_labels(source)
    return method, reason


def _method_for(source: Source) -> tuple[str, str]:
    kind, dtype = source.kind, source.dtype.name
    if kind is not None:
        return ("mode" if kind == "labels" else "mean"), f"because the source is marked as {kind}"
    if _arrays.looks_like_labels(kind, dtype):
        return "mode", f"because voxels of {dtype} are usually labels, and the source is not marked as an image"
    return "mean", f"because voxels of {dtype} are usually intensities, and the source is not marked as labels"


def _warn_of_labels(source: Source) -> None:
    """Warn if neighbouring voxels of an integer volume are mostly equal where they are not zero."""
    if source.dtype.kind not in "iu" or source.recipe is not None:
        return
    equal = pairs = edges = 0
    for sample in _samples(source):
        for axis in source.grid.spatial:
            low = np.moveaxis(sample, axis, 0)[:-1]
            high = np.moveaxis(sample, axis, 0)[1:]
            both = (low != 0) & (high != 0)
            edges += int((low != high).sum())
            pairs += int(both.sum())
            equal += int((both & (low == high)).sum())
    if pairs >= MIN_PAIRS and equal > EQUAL_SHARE * pairs and edges:  # (constant data say nothing)
        warnings.warn(
            f"method: 'mean' was chosen because voxels of {source.dtype.name} are usually intensities, but {equal} of "
            f"{pairs} pairs of neighbours in a sample are equal, as in labels, whose IDs must not be averaged; for "
            "labels pass method='mode' (--method mode), otherwise method='mean'",
            stacklevel=4,
        )


def _samples(source: Source) -> Iterator[Array]:
    """Yield the voxels of up to three boxes within chunks: at the centre, and at one and three quarters."""
    grid, chunks = source.grid, source.chunks or source.grid.shape
    edge = 64 if len(grid.spatial) > 2 else 256
    boxes = set()
    for share in (0.5, 0.25, 0.75):
        starts = [int(n * share) // c * c for n, c in zip(grid.shape, chunks, strict=True)]
        boxes.add(tuple((a, min(n, a + min(c, edge))) for a, n, c in zip(starts, grid.shape, chunks, strict=True)))
    for box in itertools.islice(sorted(boxes), 3):
        try:
            yield read_voxels(source.read(tuple(slice(a, b) for a, b in box)), source.name, box)
        except StoreError:  # (the build reports what cannot be read)
            return
