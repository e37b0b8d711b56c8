"""Indices of lazy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np


def normalize_index(index: Any, shape: tuple[int, ...]) -> tuple[tuple[slice, ...], tuple[Any, ...]]:
    """Split an index into the box of voxels that it covers and the index to apply to that box.

    Parameters
    ----------
    index : slice, int, Ellipsis, or a tuple of these
        As in ``array[index]``. Slices must have step 1.
    shape : tuple of int
        The shape of the array.

    Returns
    -------
    box : tuple of slice
        One slice per axis, with a start and a stop inside the array.
    selection : tuple
        ``slice(None)`` for each slice of the index, 0 for each integer.

    Raises
    ------
    IndexError
        The index has other entries, steps other than 1, or leaves the array.

    Examples
    --------
    >>> normalize_index((2, ...), (4, 5))
    ((slice(2, 3, None), slice(0, 5, None)), (0, slice(None, None, None)))
    """
    entries = list(index) if isinstance(index, tuple) else [index]
    ndim = len(shape)
    for at, entry in enumerate(entries):
        if entry is Ellipsis:
            entries[at : at + 1] = [slice(None)] * (ndim - len(entries) + 1)
            break
    entries += [slice(None)] * (ndim - len(entries))
    if len(entries) > ndim or any(
        isinstance(entry, bool) or not isinstance(entry, (slice, int, np.integer)) for entry in entries
    ):
        raise IndexError(
            f"the index {str(index)[:80]} is not supported; use slices, integers and one ellipsis for {ndim} axes"
        )
    box, selection = [], []
    for entry, n in zip(entries, shape, strict=True):
        if not isinstance(entry, slice) and not -n <= entry < n:
            raise IndexError(f"the index {index!r} is out of bounds for an axis of {n} voxels")
        along = range(n)[entry if isinstance(entry, slice) else slice(entry % n, entry % n + 1)]
        if along.step != 1:
            raise IndexError(f"the index {index!r} has a step other than 1, which is not supported; read and stride it")
        box.append(slice(along.start, max(along.start, along.stop)))
        selection.append(slice(None) if isinstance(entry, slice) else 0)
    return tuple(box), tuple(selection)
