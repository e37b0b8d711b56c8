"""Blocks of a plan: processing one, and merging the results of all."""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import math
import operator
import threading
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._pooling.arguments import Array
from .._pooling.run import distinct
from ..errors import StoreError
from .accumulators import Accumulator, accumulator_from_arrays, accumulator_to_arrays
from .formats import FORMATS
from .label_sets import LabelSet, label_arrays
from .location import first_line, open_array
from .plans import Plan
from .source import at_zero, read_ahead
from .staging import staged_block

Span = tuple[int, int]
Box = Sequence[Span]
#: A function that adds the chunks of zeros of a box to a level, given the voxels of the box.
AddZeros = Callable[[Box, Array], None]


class LevelArrays:
    """Arrays that a plan writes, axes as in the source; each is created or opened when it is first needed."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._arrays: dict[int, Any] = {}
        self._zeros: dict[int, AddZeros | None] = {}
        self._lock = threading.Lock()

    def __getitem__(self, number: int) -> Any:
        with self._lock:
            if number not in self._arrays:
                self._arrays[number] = self._open(number)
            return self._arrays[number]

    def zeros(self, number: int) -> AddZeros | None:
        """Return a function that adds chunks of zeros after the voxels of a box were written, if that is needed."""
        with self._lock:
            return self._zeros.get(number)

    def _keep_zeros(self, number: int, handle: Any, source_axes: Sequence[int | None]) -> None:
        """Keep a function that adds chunks of zeros to an array, whose axes are these axes of the source."""
        plan = self._plan
        add = None if plan.storage.skip_empty else FORMATS[plan.format].zeros_of(handle, plan.location.context)

        def add_zeros(box: Box, values: Array) -> None:
            stored = values.transpose([axis for axis in source_axes if axis is not None])
            stored = stored[tuple(np.newaxis if axis is None else slice(None) for axis in source_axes)]
            if add is not None:
                add([(0, 1) if axis is None else box[axis] for axis in source_axes], stored)

        self._zeros[number] = None if add is None else add_zeros

    def _open(self, number: int) -> Any:
        plan = self._plan
        name, volume = plan.storage.name(number), plan.source.volume
        if plan.changed_box is not None and volume is not None:
            spec = FORMATS[volume.format].open_spec(volume.location, volume.paths[number]) | plan.storage.writing
            existing = at_zero(open_array(spec, name, plan.location.context, read=True, write=True, open=True))
            self._keep_zeros(number, existing, [plan.grids[0].axes.index(axis) for axis in volume.grids[0].axes])
            return existing.transpose([volume.grids[0].axes.index(axis) for axis in plan.grids[0].axes])
        spec, source_axes = plan.storage.level_spec(number)
        handle = at_zero(open_array(spec, name, plan.location.context, open=True, create=True))
        self._keep_zeros(number, handle, source_axes)
        handle = handle[tuple(0 if axis is None else slice(None) for axis in source_axes)]
        present_axes = [axis for axis in source_axes if axis is not None]
        return handle.transpose([present_axes.index(axis) for axis in range(len(present_axes))])


class PendingWrites:
    """Writes that TensorStore has not committed yet, limited to a number of bytes.

    Attributes
    ----------
    bytes_written : int
        Number of bytes of all writes, pending or not.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._pending: deque[tuple[Any, int, str, Callable[[], None] | None]] = deque()
        self._bytes = 0
        self.bytes_written = 0

    def add(self, array: Any, box: Box, values: Array, name: str, add_zeros: AddZeros | None = None) -> None:
        """Write a box, then its chunks of zeros; wait for earlier writes if too many bytes are pending."""
        future = array[tuple(slice(a, b) for a, b in box)].write(values)
        then = None if add_zeros is None else functools.partial(add_zeros, box, values)
        self._pending.append((future, values.nbytes, name, then))
        self._bytes += values.nbytes
        self.bytes_written += values.nbytes
        while self._bytes > self._max_bytes:
            self._commit()

    def close(self) -> None:
        """Wait until all writes are committed."""
        while self._pending:
            self._commit()

    def _commit(self) -> None:
        future, count, name, then = self._pending.popleft()
        self._bytes -= count
        try:
            future.result()
            if then is not None:
                then()
        except (ValueError, OSError) as error:
            raise StoreError(f"{name} cannot be written: {first_line(error)}") from None


class WriteUnits:
    """Chunks or shards of one level within a region, each written when its last voxel has been added."""

    def __init__(
        self,
        array: Any,
        name: str,
        unit: Sequence[int],
        region: Box,
        dtype: np.dtype[Any],
        writes: PendingWrites,
        add_zeros: AddZeros | None,
    ) -> None:
        self._array, self._name, self._writes, self._add_zeros = array, name, writes, add_zeros
        self._unit, self._region, self._dtype = unit, region, dtype
        self._partial: dict[tuple[int, ...], tuple[Array, int]] = {}

    @classmethod
    def of_level(cls, plan: Plan, arrays: LevelArrays, number: int, box: Box, writes: PendingWrites) -> WriteUnits:
        """Return the units of a level above a box of the base."""
        name, unit, region = plan.storage.name(number), plan.geometry.units[number], plan.geometry.region(number, box)
        array = arrays[number]  # (opened first, so that its zeros are known)
        return cls(array, name, unit, region, plan.source.dtype, writes, arrays.zeros(number))

    def put(self, values: Array, region: Box) -> None:
        """Add the voxels of a region of the level."""
        unit_ranges = [range(start // u, -(-stop // u)) for (start, stop), u in zip(region, self._unit, strict=True)]
        for index in itertools.product(*unit_ranges):
            whole = [
                (max(low, i * u), min(high, (i + 1) * u))
                for i, u, (low, high) in zip(index, self._unit, self._region, strict=True)
            ]
            part = [(max(a, low), min(b, high)) for (a, b), (low, high) in zip(region, whole, strict=True)]
            piece = values[_within(part, region)]
            if part == whole:
                self._write(whole, piece)
                continue
            if index not in self._partial:
                shape = [high - low for low, high in whole]
                self._partial[index] = np.empty(shape, self._dtype), math.prod(shape)
            buffer, missing = self._partial[index]
            buffer[_within(part, whole)] = piece
            missing -= piece.size
            self._partial[index] = buffer, missing
            if missing == 0:
                del self._partial[index]
                self._write(whole, buffer)

    def _write(self, box: Box, values: Array) -> None:
        self._writes.add(self._array, box, values, self._name, self._add_zeros)

    def close(self) -> None:
        """Assert that every unit is complete."""
        if self._partial:
            raise AssertionError(f"{self._name}: {len(self._partial)} units lack voxels")


@dataclass
class BlockResult:
    """The result of a block, apart from the chunks that it wrote.

    Attributes
    ----------
    pieces : dict of int to array
        Voxels of the levels that are merged, by level.
    accumulator : list of array
        Accumulator of the last level that leaves complete, if there are levels above it.
    unproven : list of int
        Number of voxels whose mode is not proven, by level.
    labels : list of array, optional
        Labels, by level, the base first.
    bytes_written : int
        Number of bytes that the block wrote.
    """

    pieces: dict[int, Array]
    accumulator: Accumulator
    unproven: list[int]
    labels: list[Array] | None
    bytes_written: int

    def to_bytes(self) -> bytes:
        """Return the result as compressed bytes."""
        stream = io.BytesIO()
        arrays: dict[str, Any] = {f"piece{k}": piece for k, piece in self.pieces.items()}
        arrays |= {f"labels{k}": labels for k, labels in enumerate(self.labels or [])}
        arrays |= accumulator_to_arrays(self.accumulator)
        np.savez(stream, counts=np.array([self.bytes_written, *self.unproven], np.int64), **arrays)
        return zlib.compress(stream.getbuffer(), 1)  # (numpy.savez_compressed takes three times as long)

    @classmethod
    def from_bytes(cls, raw: bytes) -> BlockResult:
        """Return the result that :meth:`to_bytes` converted."""
        with np.load(io.BytesIO(zlib.decompress(raw))) as arrays:
            counts = arrays["counts"].tolist()
            pieces = {int(key[5:]): arrays[key] for key in arrays.files if key.startswith("piece")}
            labels = sorted((int(key[6:]), arrays[key]) for key in arrays.files if key.startswith("labels"))
            accumulator = accumulator_from_arrays(arrays)
            return cls(pieces, accumulator, counts[1:], [level for _, level in labels] or None, counts[0])


def run_block(plan: Plan, number: int, arrays: LevelArrays | None = None) -> int:
    """Process one block: write the chunks that belong to it alone, then its result, which marks it as done.

    Repeated or simultaneous calls write the same bytes. Return the number of bytes written.
    """
    block_work = _BlockWork(plan, number, LevelArrays(plan) if arrays is None else arrays)
    with (
        staged_block(plan, block_work.box)
        if plan.geometry.partition.stages
        else contextlib.nullcontext(plan.source) as source
    ):
        for leaf, values in read_ahead(source, plan.geometry.leaves(block_work.box)):
            block_work.add_leaf(values, leaf)
    result = block_work.finish()
    plan.inputs.check_exist()
    plan.storage.scratch.write_result(number, plan.fingerprint, result.to_bytes())
    return result.bytes_written


class _BlockWork:
    """A block in progress: leaves are pooled, and their levels are written or kept for merging."""

    def __init__(self, plan: Plan, number: int, arrays: LevelArrays) -> None:
        self._plan, self.box = plan, plan.box(number)
        geometry, dtype = plan.geometry, plan.source.dtype
        self._writes = PendingWrites(plan.resources.pending)
        self._units = {
            k: WriteUnits.of_level(plan, arrays, k, self.box, self._writes)
            for k in range(plan.storage.first, geometry.whole_levels + 1)
        }
        self._pieces = {
            k: np.empty([stop - start for start, stop in geometry.region(k, self.box)], dtype)
            for k in range(geometry.whole_levels + 1, geometry.leaf_levels + 1)
        }
        self._accumulator: Accumulator = []
        self._unproven = [0] * geometry.leaf_levels
        self._labels = [LabelSet(dtype) for _ in range(geometry.leaf_levels + 1)] if plan.method == "mode" else []

    def add_leaf(self, values: Array, leaf: Box) -> None:
        """Pool the voxels of a leaf, and add its levels."""
        plan, geometry = self._plan, self._plan.geometry
        factors = geometry.factors[: geometry.leaf_levels]
        first = [start for start, _ in leaf]
        voxel_offset = tuple(o + start for o, start in zip(geometry.base.voxel_offset, first, strict=True))
        excluded = None if plan.mask is None else plan.mask.excluded(leaf)
        if geometry.leaf_levels < len(geometry.factors):
            levels, unproven, part = plan.pooling.levels_and_accumulator(values, factors, voxel_offset, first, excluded)
            region, whole = (geometry.region(geometry.leaf_levels, box) for box in (leaf, self.box))
            _insert(self._accumulator, part, region, whole)
        else:
            levels, unproven = plan.pooling.levels(values, factors, voxel_offset, excluded)
        self._unproven = list(map(operator.add, self._unproven, unproven))
        for k, level in enumerate([values, *levels]):
            if self._labels:
                self._labels[k].add(distinct(level))
            region = geometry.region(k, leaf)
            if k in self._units:
                self._units[k].put(level, region)
            elif k in self._pieces:
                self._pieces[k][_within(region, geometry.region(k, self.box))] = level

    def finish(self) -> BlockResult:
        """Wait for all writes, and return the result."""
        for unit in self._units.values():
            unit.close()
        self._writes.close()
        labels = label_arrays(self._labels)
        return BlockResult(self._pieces, self._accumulator, self._unproven, labels, self._writes.bytes_written)


def _within(part: Box, whole: Box) -> tuple[slice, ...]:
    """Return the index of a box in an array that covers a larger one."""
    return tuple(slice(a - low, b - low) for (a, b), (low, _) in zip(part, whole, strict=True))


def _insert(accumulator: Accumulator, part: Accumulator, region: Box, whole: Box) -> None:
    """Insert the accumulator of a region into that of a larger one, which is allocated for the first part."""
    if not accumulator:
        accumulator.extend(np.empty([stop - start for start, stop in whole], entry.dtype) for entry in part)
    for entry, values in zip(accumulator, part, strict=True):
        entry[_within(region, whole)] = values


@dataclass
class MergedLevels:
    """The result of merging all blocks.

    Attributes
    ----------
    bytes_written : int
        Number of bytes that were written.
    unproven : list of int
        Number of voxels whose mode is not proven, by level.
    labels : list of array, optional
        Labels, by level, the base first.
    """

    bytes_written: int
    unproven: list[int]
    labels: list[Array] | None


def merge(plan: Plan, arrays: LevelArrays | None = None) -> MergedLevels:
    """Write the levels whose chunks span several blocks, from the results of the blocks."""
    arrays = LevelArrays(plan) if arrays is None else arrays
    geometry, writes = plan.geometry, PendingWrites(plan.resources.pending)
    units = {
        k: WriteUnits.of_level(plan, arrays, k, geometry.written_box(k), writes)
        for k in range(geometry.whole_levels + 1, len(plan.grids))
    }
    unproven = [0] * len(plan.factors)
    labels = [LabelSet(plan.source.dtype) for _ in plan.grids] if plan.method == "mode" else []
    for number in plan.numbers:
        result = load_result(plan, number)
        for k, piece in result.pieces.items():
            units[k].put(piece, geometry.region(k, plan.box(number)))
        unproven[: geometry.leaf_levels] = map(operator.add, unproven, result.unproven)
        for level_labels, block_labels in zip(labels, result.labels or [], strict=False):  # (up to leaf_levels)
            level_labels.add(block_labels)
    for box in geometry.accumulated_boxes():
        levels, counts = _levels_above(plan, box)
        for k, (level, count) in enumerate(zip(levels, counts, strict=True), geometry.leaf_levels + 1):
            units[k].put(level, geometry.region(k, box))
            unproven[k - 1] += count
            if labels:
                labels[k].add(distinct(level))
    for unit in units.values():
        unit.close()
    writes.close()
    return MergedLevels(writes.bytes_written, unproven, label_arrays(labels))


def _levels_above(plan: Plan, box: Box) -> tuple[list[Array], list[int]]:
    """Return the levels above those that leaves complete, for a box of the base, and their unproven modes."""
    geometry, level = plan.geometry, plan.geometry.leaf_levels
    whole = geometry.region(level, box)
    accumulator: Accumulator = []
    for number in geometry.blocks_in(box):
        region = geometry.region(level, plan.box(number))
        common = [(max(a, low), min(b, high)) for (a, b), (low, high) in zip(region, whole, strict=True)]
        part = [entry[_within(common, region)] for entry in load_result(plan, number).accumulator]
        _insert(accumulator, part, common, whole)
    total = plan.totals[level]
    voxel_offset = tuple((o + a) // f for o, (a, _), f in zip(geometry.base.voxel_offset, box, total, strict=True))
    return plan.pooling.levels_above(accumulator, plan.factors[level:], voxel_offset, math.prod(plan.totals[-1]))


def load_result(plan: Plan, number: int) -> BlockResult:
    """Return the result of a block; raise StoreError if it is not done."""
    raw = plan.storage.scratch.read_result(number, plan.fingerprint)
    if raw is None:
        raise StoreError(f"{plan.location.name}: block {number} is not done; run it first")
    return BlockResult.from_bytes(raw)


def is_done(plan: Plan, number: int) -> bool:
    """Return whether a block is done and its result is valid."""
    return plan.storage.scratch.read_result(number, plan.fingerprint) is not None
