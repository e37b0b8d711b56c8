"""What a build will do, decided before anything is created.

Along each axis, global base coordinates are cut at multiples of a level's cumulative factor F, so that a piece
between two cuts makes whole voxels of this level, and of all below it, from itself alone. That level is the last one,
or the last whose footprints fit the memory; those above it are made at the end of what it hands on (_carry.py), so
that every level is that of the whole volume in memory. A *leaf* is what is read at once; a *block* is a box of leaves
whose voxels fill whole write units (chunks, or shards) of the first levels, so that no two blocks write to one file;
what it makes of the levels above is kept as pieces beside the plan until the end, when they are merged.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import math
import operator
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np

from .. import __version__
from .._util.files import write_whole
from .._util.sizes import size_text
from ..errors import StoreError
from ..grid import Cuts, Grid, cumulative, region_above
from .accumulators import Pooling
from .formats import FORMATS
from .location import Location
from .scratch import Scratch, sealed
from .source import Mask, Source
from .volume import Layout

Extents = tuple[int, ...]
Box = Sequence[tuple[int, int]]

#: Voxels whose carries are held at once, at the end.
ACCUMULATED_AT_ONCE = 1 << 16


@dataclass(frozen=True, repr=False)
class Plan:
    """Blocks, numbered; see :func:`plan`, which makes it. ``str(plan)`` says what it will do."""

    source: Source
    place: Location
    format: str
    grids: list[Grid]  # of all levels, the base first, axes as in the source
    factors: list[Extents]  # from level to level
    paths: list[str]  # of all levels
    layouts: list[Layout]  # of all levels, axes as in the source
    method: str
    ignore: Any
    rounding: str
    ties: str
    recursive: bool
    mask: Mask | None
    changed: Box | None  # of the base, in array coordinates: what to make again; None: everything
    copies_base: bool
    links_base: bool
    kind: str | None
    memory: int
    workers: int
    leaf: Extents  # base voxels
    block: Extents  # base voxels
    whole_levels: int  # levels 1 to this are written by blocks, those above are merged
    leaf_levels: int  # levels 1 to this are made by leaves, those above from what the last of them hands on
    arguments: dict[str, Any] | None  # by which other processes make this plan again; None: not of arrays in memory

    @functools.cached_property
    def totals(self) -> list[Extents]:
        """Cumulative factors of all levels, the base first."""
        ndim = self.grids[0].ndim
        return [(1,) * ndim, *cumulative(self.factors, ndim)]

    def cuts(self, axis: int, step: int, level: int | None = None) -> Cuts:
        """Pieces of the base along an axis, in array coordinates, cut at whole voxels of a level (that of leaves)."""
        n, o = self.grids[0].shape[axis], self.grids[0].voxel_offset[axis]
        return Cuts(n, o, step, self.totals[self.leaf_levels if level is None else level][axis])

    @property
    def pending(self) -> int:
        """Bytes that a block may have handed on and not yet written."""
        return max(1 << 20, self.memory // self.workers // 6)

    @functools.cached_property
    def pooling(self) -> Pooling:
        """From a level to those above it."""
        weight = [1, *itertools.accumulate(self.grids[0].shape[:-1], operator.mul)]
        fill, dtype = self.layouts[0].fill, self.source.dtype
        return Pooling(self.method, dtype, self.ignore, self.rounding, self.ties, self.recursive, fill, weight)

    @functools.cached_property
    def affected(self) -> Box:
        """What has changed, grown to whole voxels of the last level."""
        box = [(0, n) for n in self.grids[0].shape] if self.changed is None else self.changed
        return [
            (max(0, (o + start) // f * f - o), min(n, -((o + stop) // -f) * f - o))
            for (start, stop), n, o, f in zip(
                box, self.grids[0].shape, self.grids[0].voxel_offset, self.totals[-1], strict=True
            )
        ]

    @functools.cached_property
    def numbers(self) -> Numbers:
        """The numbers of the blocks to make."""
        return self.blocks_of(self.affected)

    @functools.cached_property
    def covered(self) -> Box:
        """The base voxels of all blocks to make."""
        first, last = self.box(self.numbers[0]), self.box(self.numbers[-1])
        return [(start, stop) for (start, _), (_, stop) in zip(first, last, strict=True)]

    @functools.cached_property
    def _block_cuts(self) -> list[Cuts]:
        return [self.cuts(axis, step) for axis, step in enumerate(self.block)]

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return math.prod(map(len, self._block_cuts))

    def box(self, number: int) -> list[tuple[int, int]]:
        """The base voxels of a block, in array coordinates."""
        if not 0 <= number < self.blocks:
            raise IndexError(f"block {number}: there are {self.blocks}, counted from 0")
        box = []
        for cuts in reversed(self._block_cuts):
            number, at = divmod(number, len(cuts))
            box.append(cuts[at])
        return box[::-1]

    def bytes_of(self, number: int) -> int:
        """Of the base, in a block."""
        return self.source.dtype.itemsize * math.prod(stop - start for start, stop in self.box(number))

    def blocks_of(self, box: Box) -> Numbers:
        """The blocks that have voxels in a box of the base."""
        touched = [cuts.touching(low, high) for cuts, (low, high) in zip(self._block_cuts, box, strict=True)]
        return Numbers([len(cuts) for cuts in self._block_cuts], touched)

    def accumulated_boxes(self) -> Iterator[list[tuple[int, int]]]:
        """Boxes of the base of which the levels that leaves do not make are made at once; none if leaves make all."""
        top, below = self.totals[-1], self.totals[self.leaf_levels]
        if self.leaf_levels == len(self.factors):
            return
        steps, room = list(top), ACCUMULATED_AT_ONCE // math.prod(a // b for a, b in zip(top, below, strict=True))
        for axis in range(self.grids[0].ndim - 1, -1, -1):
            blocks = min(max(1, room), -(-self.grids[0].shape[axis] // top[axis]) + 1)
            steps[axis] *= blocks
            room //= blocks
        last = len(self.totals) - 1
        for box in itertools.product(*(self.cuts(axis, step, last) for axis, step in enumerate(steps))):
            part = [(max(a, low), min(b, high)) for (a, b), (low, high) in zip(box, self.affected, strict=True)]
            if all(a < b for a, b in part):
                yield part

    def leaves(self, box: Sequence[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
        """The leaves of a box of the base, in an order that completes write units soon."""
        clipped = []
        for axis, (low, high) in enumerate(box):
            along = self.cuts(axis, self.leaf[axis])
            pieces = [along[i] for i in along.touching(low, high)]
            clipped.append([(max(a, low), min(b, high)) for a, b in pieces])
        units = [
            [u * f for u, f in zip(layout.unit, total, strict=True)]
            for layout, total in zip(self.layouts, self.totals, strict=True)
        ]

        def place(leaf: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
            return tuple(
                start // unit for level in reversed(units) for (start, _), unit in zip(leaf, level, strict=True)
            )

        return iter(sorted((list(leaf) for leaf in itertools.product(*clipped)), key=lambda leaf: place(tuple(leaf))))

    def region(self, level: int, box: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """The voxels of a level above a box of the base, in that level's array coordinates."""
        return region_above(box, self.totals[level], self.grids[0].voxel_offset)

    @functools.cached_property
    def stored_axes(self) -> tuple[str, ...]:
        """Axes in the order of the target's arrays: that of level 0 if it is there already, else the format's."""
        volume = self.source.volume
        if volume is not None and not self.copies_base:
            return volume.grids[0].axes
        order: tuple[str, ...] = FORMATS[self.format].axes_order(self.grids[0])
        return order

    def level_spec(self, number: int) -> tuple[dict[str, Any], list[int | None]]:
        """For TensorStore, to create a level; and for each stored axis its number in the source, or None."""
        format, grid, layout = FORMATS[self.format], self.grids[number], self.layouts[number]
        stored, volume = self.stored_axes, self.source.volume
        if volume is not None and stored != volume.grids[0].axes:
            layout = replace(layout, native=None)  # its chunks are in the order of the source's axes
        at = [grid.axes.index(axis) if axis in grid.axes else None for axis in stored]

        def order(values: Sequence[Any], missing: Any) -> list[Any]:
            return [missing if a is None else values[a] for a in at]

        as_stored = Grid(
            order(grid.shape, 1),
            [(axis, None if a is None else grid.types[a]) for axis, a in zip(stored, at, strict=True)],
            order(grid.scale, 1.0),
            order(grid.translation, 0.0),
            order(grid.units, None),
            order(grid.voxel_offset, 0),
        )
        shards = None if layout.shards is None else tuple(order(layout.shards, 1))
        cut = replace(layout, chunks=tuple(order(layout.chunks, 1)), shards=shards)
        path, dtype = self.paths[number], self.source.dtype.name
        spec: dict[str, Any] = format.new_spec(self.place, path, as_stored, dtype, cut, self.kind)
        return spec, at

    @functools.cached_property
    def fingerprint(self) -> str:
        """Changes with everything that a result, or the numbering of the blocks, depends on.

        The voxels of the source are represented by its stamps.
        """
        ours = ("leaf", "memory", "workers")  # change nothing
        described = {key: value for key, value in self.describe().items() if key not in ours}
        found = hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode())
        for stamp in self.stamps:
            found.update(stamp)
        return found.hexdigest()[:16]

    @functools.cached_property
    def stamps(self) -> list[bytes]:
        """Stamps of the source and the mask when the plan was made, which differ once these have changed.

        An array that lies in no store is stamped by its first and its last corner; files by the names, sizes and times
        of up to 131,072 of them; object stores not at all.
        """
        return [hashlib.sha256(read.stamp()).digest() for read in self._reads]

    @property
    def _reads(self) -> list[Source | Mask]:
        return [self.source] if self.mask is None else [self.source, self.mask]

    def refuse_changed_source(self) -> None:
        """Raise StoreError if files of the source or the mask are not what they were when the plan was made."""
        for read, before in zip(self._reads, self.stamps, strict=True):
            if read.place is not None and hashlib.sha256(read.stamp()).digest() != before:
                raise StoreError(
                    f"{read.name}: changed or was removed during the build, so levels may mix old and new voxels; no "
                    "metadata was written. Run it again with resume=False (--no-resume) to make all blocks again"
                )

    def saved(self) -> dict[str, Any]:
        """As JSON, from which other processes make it again; it is as long for a petabyte as for a megabyte."""
        return {
            "tinypyr": __version__,
            "fingerprint": self.fingerprint,
            "arguments": self.arguments,
            "plan": self.describe(),
        }

    def to_text(self) -> str:
        """What a file of this plan holds; refused where other processes cannot read what it reads."""
        if self.arguments is None:
            raise StoreError(
                (self.source.recipe or {}).get("only_here")
                or "source: an array in memory (or a mask, store or target is), which other processes cannot read; put "
                "it into a store of files first (build with levels=0)"
            )
        return json.dumps(sealed(self.saved()), indent=1) + "\n"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the plan to a file, for ``tinypyr run`` and :func:`load`."""
        text = self.to_text()
        try:
            write_whole(path, text.encode())
        except OSError as error:
            raise StoreError(f"{os.fspath(path)}: the plan cannot be written: {error}") from None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Plan:
        """Return the plan that :meth:`save` wrote to a file.

        The arguments in the file are planned again, and the result is compared with the saved plan.

        Parameters
        ----------
        path : path
            The file.

        Returns
        -------
        Plan

        Raises
        ------
        StoreError
            If the file is damaged or holds no plan, or if the source, or this version of tinypyr, now leads to a
            different plan.
        """
        from .saved_plans import load_plan

        return load_plan(path)

    @functools.cached_property
    def scratch(self) -> Scratch:
        """What lies beside the levels while they are being made."""
        return Scratch(self.place)

    def describe(self) -> dict[str, Any]:
        """The plan as JSON. Bytes and objects are of what is made, which of a region is what lies above it."""
        voxels = [math.prod(grid.shape) for grid in self.grids]
        made = [
            self.region(k, self.covered if k <= self.leaf_levels else self.affected) for k in range(len(self.grids))
        ]
        sizes = [math.prod(stop - start for start, stop in box) for box in made]
        first = 0 if self.copies_base else 1
        size = np.dtype(self.source.dtype).itemsize
        return {
            "tinypyr": __version__,
            "source": self.source.name if self.source.volume is None else self.source.volume.place.real,
            "view": self.source.recipe,
            "target": self.place.real,
            "axes": list(self.grids[0].axes),
            "units": list(self.grids[0].units),
            "voxel_offset": list(self.grids[0].voxel_offset),
            "format": self.format,
            "dtype": self.source.dtype.name,
            "method": self.method,
            "ignore": None if self.ignore is None else str(self.ignore),
            "rounding": self.rounding,
            "ties": self.ties,
            "recursive": self.recursive,
            **{name: None if self.mask is None else self.mask.note(name) for name in ("mask", "exclude")},
            "region": None if self.changed is None else [list(span) for span in self.changed],
            "copies_base": self.copies_base,
            "levels": [
                {
                    "path": path,
                    "shape": list(grid.shape),
                    "factor": list(total),
                    "scale": list(grid.scale),
                    "translation": list(grid.translation),
                    "chunks": list(layout.chunks),
                    "shards": None if layout.shards is None else list(layout.shards),
                    "codec": layout.codec,
                    "bytes": count * size,
                }
                for path, grid, total, layout, count in zip(
                    self.paths, self.grids, self.totals, self.layouts, voxels, strict=True
                )
            ],
            "blocks": len(self.numbers),
            "block": list(self.block),
            "leaf": list(self.leaf),
            "merged_levels": list(range(self.whole_levels + 1, len(self.grids))),
            "accumulated_levels": list(range(self.leaf_levels + 1, len(self.grids))),
            "bytes_to_read": math.prod(stop - start for start, stop in self.covered) * size,
            "bytes_to_write": sum(sizes[first:]) * size,
            "objects": sum(
                math.prod(-(-stop // u) - start // u for (start, stop), u in zip(box, layout.unit, strict=True))
                for box, layout in list(zip(made, self.layouts, strict=True))[first:]
            ),
            "memory": self.memory,
            "workers": self.workers,
        }

    @property
    def heading(self) -> str:
        """From where to where, and what."""
        source = self.source.name if self.source.volume is None else self.source.volume.place.real
        return (
            f"{source} -> {self.place.real}\n"
            f"{self.format}, {self.source.dtype.name}, {self.method}, {len(self.factors)} levels"
        )

    @property
    def summary(self) -> str:
        """What is read, written and held."""
        what = self.describe()
        return (
            f"reads {size_text(what['bytes_to_read'])}, writes {size_text(what['bytes_to_write'])} "
            f"(before compression) in at most {what['objects']} objects; {what['blocks']} blocks, "
            f"{what['workers']} workers, memory {size_text(what['memory'])}"
        )

    def __str__(self) -> str:
        lines = [
            f"  {path or '.':>4}  {' x '.join(map(str, grid.shape))}  scale {_numbers(grid.scale)}"
            f"  at {_numbers(grid.translation)}  chunks {' x '.join(map(str, layout.chunks))}"
            for path, grid, layout in zip(self.paths, self.grids, self.layouts, strict=True)
        ]
        return "\n".join([self.heading, f"  axes {', '.join(self.grids[0].axes)}", *lines, self.summary])

    __repr__ = __str__


class Numbers(Sequence[int]):
    """The numbers of the blocks in a box of them, ascending; made when asked for, however many there are."""

    def __init__(self, counts: Sequence[int], touched: Sequence[range]) -> None:
        self._counts, self._touched = counts, touched

    def __len__(self) -> int:
        return math.prod(map(len, self._touched))

    @overload
    def __getitem__(self, at: int) -> int: ...
    @overload
    def __getitem__(self, at: slice) -> list[int]: ...
    def __getitem__(self, at: int | slice) -> int | list[int]:
        if isinstance(at, slice):
            return [self[i] for i in range(len(self))[at]]
        at, found, weight = range(len(self))[at], 0, 1
        for count, along in zip(reversed(self._counts), reversed(self._touched), strict=True):
            at, i = divmod(at, len(along))
            found += along[i] * weight
            weight *= count
        return found

    def __contains__(self, number: object) -> bool:
        if not isinstance(number, int) or not 0 <= number < math.prod(self._counts):
            return False
        for count, along in zip(reversed(self._counts), reversed(self._touched), strict=True):
            number, i = divmod(number, count)
            if i not in along:
                return False
        return True


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
