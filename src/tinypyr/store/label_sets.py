"""Sets of labels, collected block by block."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .._pooling.arguments import Array


class LabelSet:
    """Distinct labels, of which some are added at a time.

    Labels are kept in sorted runs, each more than twice as long as the next. A label is therefore merged O(log n) times
    for n additions.
    """

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._runs = [np.empty(0, dtype)]

    def add(self, labels: Array) -> None:
        """Add distinct labels."""
        while self._runs and self._runs[-1].size <= 2 * labels.size:
            labels = np.union1d(self._runs.pop(), labels)
        self._runs.append(labels)

    def all(self) -> Array:
        """Return all labels, sorted."""
        while len(self._runs) > 1:
            last = self._runs.pop()
            self._runs[-1] = np.union1d(self._runs[-1], last)
        return self._runs[0]


def label_arrays(levels: Sequence[LabelSet]) -> list[Array] | None:
    """Return the labels of every level; None if there are no sets, because labels are not counted."""
    return [labels.all() for labels in levels] or None
