"""Running a plan: blocks, each on its own, and what is merged at the end."""

from __future__ import annotations

import io
import itertools
import math
import operator
import threading
import zlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._pooling.arguments import Array
from .._pooling.run import distinct
from ..errors import StoreError
from .accumulators import Accumulator, from_arrays, to_arrays
from .formats import FORMATS
from .label_sets import Labels, of_levels
from .location import open_array
from .plans import Plan
from .source import arrange, voxels_of

Span = tuple[int, int]
Box = Sequence[Span]


class Levels:
    """The arrays that a plan writes, opened (and created) when first asked for; axes as in the source."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._arrays: dict[int, Any] = {}
        self._lock = threading.Lock()

    def __getitem__(self, number: int) -> Any:
        with self._lock:
            if number not in self._arrays:
                self._arrays[number] = self._open(number)
            return self._arrays[number]

    def _open(self, number: int) -> Any:
        plan = self._plan
        name, volume = f"{plan.place.name}/{plan.paths[number]}", plan.source.volume
        if plan.changed is not None and volume is not None:
            spec = FORMATS[volume.format].open_spec(volume.place, volume.paths[number])
            there = arrange(open_array(spec, name, read=True, write=True, open=True))
            return there.transpose([volume.grids[0].axes.index(axis) for axis in plan.grids[0].axes])
        spec, at = plan.level_spec(number)
        handle = arrange(open_array(spec, name, open=True, create=True))
        handle = handle[tuple(0 if a is None else slice(None) for a in at)]
        kept = [a for a in at if a is not None]
        return handle.transpose([kept.index(a) for a in range(len(kept))])


class Writes:
    """What has been handed to TensorStore and is not yet committed, within a number of bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: deque[tuple[Any, int, str]] = deque()
        self._bytes = 0
        self.written = 0

    def add(self, array: Any, box: Box, values: Array, name: str) -> None:
        """Write a box; may wait for earlier ones."""
        self._waiting.append((array[tuple(slice(a, b) for a, b in box)].write(values), values.nbytes, name))
        self._bytes += values.nbytes
        self.written += values.nbytes
        while self._bytes > self._most:
            self._commit()

    def close(self) -> None:
        """Wait until everything is committed."""
        while self._waiting:
            self._commit()

    def _commit(self) -> None:
        future, count, name = self._waiting.popleft()
        self._bytes -= count
        try:
            future.result()
        except (ValueError, OSError) as error:
            raise StoreError(f"{name} cannot be written: {str(error).splitlines()[0]}") from None


class Units:
    """Write units of one level within a region of it, each written when its last voxel has come."""

    def __init__(
        self, array: Any, name: str, unit: Sequence[int], region: Box, dtype: np.dtype[Any], writes: Writes
    ) -> None:
        self._array, self._name, self._writes = array, name, writes
        self._unit, self._region, self._dtype = unit, region, dtype
        self._open: dict[tuple[int, ...], tuple[Array, int]] = {}

    @classmethod
    def of(cls, plan: Plan, levels: Levels, number: int, box: Box, writes: Writes) -> Units:
        """Those of a level above a box of the base."""
        name, unit = f"{plan.place.name}/{plan.paths[number]}", plan.layouts[number].unit
        return cls(levels[number], name, unit, plan.region(number, box), plan.source.dtype, writes)

    def put(self, values: Array, at: Box) -> None:
        """Voxels of the level, and where they lie in it."""
        touched = [range(start // u, -(-stop // u)) for (start, stop), u in zip(at, self._unit, strict=True)]
        for index in itertools.product(*touched):
            whole = [
                (max(low, i * u), min(high, (i + 1) * u))
                for i, u, (low, high) in zip(index, self._unit, self._region, strict=True)
            ]
            part = [(max(a, low), min(b, high)) for (a, b), (low, high) in zip(at, whole, strict=True)]
            piece = values[tuple(slice(a - start, b - start) for (a, b), (start, _) in zip(part, at, strict=True))]
            if part == whole:
                self._write(whole, piece)
                continue
            if index not in self._open:
                shape = [high - low for low, high in whole]
                self._open[index] = np.empty(shape, self._dtype), math.prod(shape)
            buffer, left = self._open[index]
            buffer[tuple(slice(a - low, b - low) for (a, b), (low, _) in zip(part, whole, strict=True))] = piece
            left -= piece.size
            self._open[index] = buffer, left
            if left == 0:
                del self._open[index]
                self._write(whole, buffer)

    def _write(self, box: Box, values: Array) -> None:
        self._writes.add(self._array, box, values, self._name)

    def close(self) -> None:
        """All voxels must have come."""
        if self._open:
            raise AssertionError(f"{self._name}: {len(self._open)} units have not been given all their voxels")


@dataclass
class BlockResult:
    """What is known of a finished block."""

    pieces: dict[int, Array]  # by level, of those that are merged
    accumulator: Accumulator  # of the last level that leaves make, where there are levels above it
    unproven: list[int]  # modes, by level
    labels: list[Array] | None  # by level, the base first
    written: int

    def to_bytes(self) -> bytes:
        """For the folder beside the plan."""
        stream = io.BytesIO()
        arrays: dict[str, Any] = {f"piece{k}": piece for k, piece in self.pieces.items()}
        arrays |= {f"labels{k}": found for k, found in enumerate(self.labels or [])}
        arrays |= to_arrays(self.accumulator)
        np.savez(stream, counts=np.array([self.written, *self.unproven], np.int64), **arrays)
        return zlib.compress(stream.getbuffer(), 1)  # (what numpy compresses with takes three times as long)

    @classmethod
    def from_bytes(cls, raw: bytes) -> BlockResult:
        """What ``to_bytes`` made."""
        with np.load(io.BytesIO(zlib.decompress(raw))) as held:
            counts = held["counts"].tolist()
            pieces = {int(key[5:]): held[key] for key in held.files if key.startswith("piece")}
            found = sorted((int(key[6:]), held[key]) for key in held.files if key.startswith("labels"))
            return cls(pieces, from_arrays(held), counts[1:], [labels for _, labels in found] or None, counts[0])


def run_block(plan: Plan, number: int, levels: Levels | None = None) -> int:
    """Make one block of the plan and everything that it alone writes; then say, beside the levels, that it is done.

    Running it again, or twice at once, gives the same bytes. Returns how many it wrote.
    """
    arrays = Levels(plan) if levels is None else levels
    box = plan.box(number)
    dtype = plan.source.dtype
    first = 0 if plan.copies_base else 1
    writes = Writes(plan.pending)
    units = {k: Units.of(plan, arrays, k, box, writes) for k in range(first, plan.whole_levels + 1)}
    pieces: dict[int, Array] = {}
    for k in range(plan.whole_levels + 1, plan.leaf_levels + 1):
        pieces[k] = np.empty([stop - start for start, stop in plan.region(k, box)], dtype)
    factors = plan.factors[: plan.leaf_levels]
    carries = plan.leaf_levels < len(plan.factors)
    accumulator: Accumulator = []
    unproven = [0] * len(factors)
    counts_labels = plan.method == "mode"
    labels = [Labels(dtype) for _ in range(plan.leaf_levels + 1)] if counts_labels else []

    def use(values: Array, leaf: Box) -> None:
        first = [start for start, _ in leaf]
        voxel_offset = tuple(o + start for o, start in zip(plan.grids[0].voxel_offset, first, strict=True))
        mask = None if plan.mask is None else plan.mask.excluded(leaf)
        if carries:
            levels, missing, on = plan.pooling.with_accumulator(values, factors, voxel_offset, first, mask)
            _place(accumulator, on, plan.region(plan.leaf_levels, leaf), plan.region(plan.leaf_levels, box))
        else:
            levels, missing = plan.pooling.levels(values, factors, voxel_offset, mask)
        unproven[:] = map(operator.add, unproven, missing)
        for k, level in enumerate([values, *levels]):
            if counts_labels:
                labels[k].add(distinct(level))
            at = plan.region(k, leaf)
            if k in units:
                units[k].put(level, at)
            elif k in pieces:
                pieces[k][_within(at, plan.region(k, box))] = level

    name = plan.source.volume.place.name if plan.source.volume else "source"
    waiting: tuple[Any, Box] | None = None
    for leaf in plan.leaves(box):  # one is read while the one before is pooled
        reading = plan.source.read(tuple(slice(start, stop) for start, stop in leaf))
        if waiting is not None:
            use(voxels_of(waiting[0], name, waiting[1]), waiting[1])
        waiting = (reading, leaf)
    if waiting is not None:
        use(voxels_of(waiting[0], name, waiting[1]), waiting[1])
    for unit in units.values():
        unit.close()
    writes.close()
    plan.source.refuse_missing()
    if plan.mask is not None:
        plan.mask.refuse_missing()
    done = BlockResult(pieces, accumulator, unproven, of_levels(labels), writes.written)
    plan.scratch.leave(number, plan.fingerprint, done.to_bytes())
    return done.written


def _within(part: Box, whole: Box) -> tuple[slice, ...]:
    return tuple(slice(a - low, b - low) for (a, b), (low, _) in zip(part, whole, strict=True))


def _place(accumulator: Accumulator, part: Accumulator, at: Box, whole: Box) -> None:
    """Put the accumulator of a box into that of a larger one."""
    if not accumulator:
        accumulator.extend(np.empty([stop - start for start, stop in whole], entry.dtype) for entry in part)
    for entry, values in zip(accumulator, part, strict=True):
        entry[_within(at, whole)] = values


@dataclass
class Merged:
    """What is known of the levels that blocks could not write, and of all blocks together."""

    written: int
    unproven: list[int]  # modes, by level
    labels: list[Array] | None  # by level, the base first


def merge(plan: Plan) -> Merged:
    """Write the levels whose units span blocks, from what the blocks left."""
    arrays = Levels(plan)
    writes = Writes(plan.pending)
    units = {
        k: Units.of(plan, arrays, k, plan.covered if k <= plan.leaf_levels else plan.affected, writes)
        for k in range(plan.whole_levels + 1, len(plan.grids))
    }
    unproven = [0] * len(plan.factors)
    labels = [Labels(plan.source.dtype) for _ in plan.grids] if plan.method == "mode" else []
    for number in plan.numbers:
        done = load_result(plan, number)
        for k, piece in done.pieces.items():
            units[k].put(piece, plan.region(k, plan.box(number)))
        unproven[: plan.leaf_levels] = map(operator.add, unproven, done.unproven)
        for found, more in zip(labels, done.labels or [], strict=False):  # (levels that leaves do not make come below)
            found.add(more)
    for box in plan.accumulated_boxes():
        made, missing = _above(plan, box)
        for k, (level, count) in enumerate(zip(made, missing, strict=True), plan.leaf_levels + 1):
            units[k].put(level, plan.region(k, box))
            unproven[k - 1] += count
            if labels:
                labels[k].add(distinct(level))
    for unit in units.values():
        unit.close()
    writes.close()
    return Merged(writes.written, unproven, of_levels(labels))


def _above(plan: Plan, box: Box) -> tuple[list[Array], list[int]]:
    """The levels that leaves do not make, above a box of the base, and how many modes of each are not proven."""
    start = plan.leaf_levels
    whole = plan.region(start, box)
    accumulator: Accumulator = []
    for number in plan.blocks_of(box):
        at = plan.region(start, plan.box(number))
        common = [(max(a, low), min(b, high)) for (a, b), (low, high) in zip(at, whole, strict=True)]
        _place(
            accumulator, [entry[_within(common, at)] for entry in load_result(plan, number).accumulator], common, whole
        )
    total = plan.totals[start]
    voxel_offset = tuple((o + a) // f for o, (a, _), f in zip(plan.grids[0].voxel_offset, box, total, strict=True))
    return plan.pooling.above(accumulator, plan.factors[start:], voxel_offset, math.prod(plan.totals[-1]))


def load_result(plan: Plan, number: int) -> BlockResult:
    """What a block has handed on; it must be done."""
    raw = plan.scratch.left(number, plan.fingerprint)
    if raw is None:
        raise StoreError(f"{plan.place.name}: block {number} is not done; run it first")
    return BlockResult.from_bytes(raw)


def is_done(plan: Plan, number: int) -> bool:
    """Whether a block has been made, and what it handed on is whole."""
    return plan.scratch.left(number, plan.fingerprint) is not None
