"""Copies of blocks in temporary files, for sources of which whole chunks and the levels above do not fit in memory.

Leaves that are parts of chunks would decode every chunk once per leaf. A staged block decodes each of its chunks once,
keeps the voxels in a file that is mapped into memory, and leaves are then read from there.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._util.sizes import size_text
from ..errors import StoreError
from .source import Box, read_ahead

if TYPE_CHECKING:
    from .plans import Plan

Spans = Sequence[tuple[int, int]]


class StagedBlock:
    """A box of a source in a temporary file. Boxes to read are in the coordinates of the source."""

    def __init__(self, voxels: Any, name: str, first: Sequence[int]) -> None:
        self.voxels, self.name = voxels, name
        self._first = tuple(first)

    def index(self, box: Spans) -> Box:
        """Return the index of a box of the source in the array of the block."""
        return tuple(slice(a - low, b - low) for (a, b), low in zip(box, self._first, strict=True))

    def read(self, box: Box) -> StagedRead:
        """Return an object whose ``result()`` is the array of a box."""
        return StagedRead(self.voxels[self.index([(s.start, s.stop) for s in box])])


class StagedRead:
    """Voxels of a staged block, with the interface of a read in the background."""

    def __init__(self, part: Any) -> None:
        self._part = part

    def result(self) -> Any:
        """Return a copy in memory."""
        return np.array(self._part)


@contextlib.contextmanager
def staged_block(plan: Plan, box: Spans) -> Iterator[StagedBlock]:
    """Copy a box of the source of a plan to a temporary file, which is removed with the context or the process."""
    shape, dtype = [stop - start for start, stop in box], plan.source.dtype
    with _temporary_file(plan, math.prod(shape) * dtype.itemsize) as file:
        voxels = np.memmap(file, dtype, "r+", shape=tuple(shape))
        block = StagedBlock(voxels, plan.source.name, [start for start, _ in box])
        for part, values in read_ahead(plan.source, _pieces(plan, box)):
            voxels[block.index(part)] = values
        yield block
        del voxels, block.voxels


def _temporary_file(plan: Plan, size: int) -> Any:
    """Return a file without a name of this size, beside the results of blocks or in the folder for temporary files.

    The space is allocated now, because a full disk would end the process when the mapped memory is written.
    """
    scratch = plan.storage.scratch.location
    folder = scratch.spec["path"] if scratch.is_file else None
    try:
        if folder is not None:
            os.makedirs(folder, exist_ok=True)
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (the caller closes it)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
        except OSError:
            file.close()
            raise
    except OSError as error:
        raise StoreError(
            f"{scratch.name}: a temporary file of {size_text(size)} for a block cannot be created: {error}; free "
            "space there, or pass a smaller block (block=) or more memory"
        ) from None
    return file


def _pieces(plan: Plan, box: Spans) -> Iterator[Spans]:
    """Return the parts of a box that are read at once: whole chunks, several of them if they are small."""
    chunks, itemsize = plan.source.chunks or plan.geometry.partition.leaf_shape, plan.source.dtype.itemsize
    steps = list(chunks)
    for axis in range(len(box) - 1, -1, -1):
        extent = box[axis][1] - box[axis][0]
        while steps[axis] < extent and 2 * math.prod(steps) * itemsize <= plan.resources.pending:
            steps[axis] *= 2
    along = [
        [(max(low, start), min(high, start + step)) for start in range(low // step * step, high, step)]
        for (low, high), step in zip(box, steps, strict=True)
    ]
    return itertools.product(*along)
