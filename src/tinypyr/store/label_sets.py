"""Which labels there are, gathered block by block."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .._pooling.arguments import Array


class Labels:
    """Distinct labels, of which some are added at a time.

    What was added is kept in sorted runs, each more than twice as long as the next, so that a label is merged about as
    often as the number of blocks has binary digits, not once for each of them.
    """

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._runs = [np.empty(0, dtype)]

    def add(self, labels: Array) -> None:
        """More labels, each once."""
        while self._runs and self._runs[-1].size <= 2 * labels.size:
            labels = np.union1d(self._runs.pop(), labels)
        self._runs.append(labels)

    def all(self) -> Array:
        """All that were added, each once, sorted."""
        while len(self._runs) > 1:
            last = self._runs.pop()
            self._runs[-1] = np.union1d(self._runs[-1], last)
        return self._runs[0]


def of_levels(labels: Sequence[Labels]) -> list[Array] | None:
    """Those of every level; None where they are not counted."""
    return [found.all() for found in labels] or None
