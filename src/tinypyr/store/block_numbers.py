"""Numbers of the blocks in a box of blocks, as a lazy sequence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import overload


class BlockNumbers(Sequence[int]):
    """Ascending numbers of the blocks in a box, computed on access, so that any number of them takes no memory.

    Parameters
    ----------
    counts : sequence of int
        Number of blocks of the volume along each axis.
    ranges : sequence of range
        Indices of the blocks in the box along each axis.
    """

    def __init__(self, counts: Sequence[int], ranges: Sequence[range]) -> None:
        self._counts, self._ranges = counts, ranges

    def __len__(self) -> int:
        return math.prod(map(len, self._ranges))

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> list[int]: ...
    def __getitem__(self, index: int | slice) -> int | list[int]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        index, number, weight = range(len(self))[index], 0, 1
        for count, along in zip(reversed(self._counts), reversed(self._ranges), strict=True):
            index, i = divmod(index, len(along))
            number += along[i] * weight
            weight *= count
        return number

    def __contains__(self, number: object) -> bool:
        if not isinstance(number, int) or not 0 <= number < math.prod(self._counts):
            return False
        for count, along in zip(reversed(self._counts), reversed(self._ranges), strict=True):
            number, i = divmod(number, count)
            if i not in along:
                return False
        return True
