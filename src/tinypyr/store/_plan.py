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
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .. import __version__
from ..grid import Grid, cumulative, cuts, factors_between, region_above
from ..pooling import METHODS, ROUNDINGS, TIES, _check_array, _checked_ignore, _choice
from ._carry import Pooling
from ._errors import StoreError
from ._place import Place
from ._source import Mask, Source, level_array, open_source
from ._volume import CODECS, Layout, Volume
from .formats import FORMATS

Extents = tuple[int, ...]
Box = Sequence[tuple[int, int]]

#: A volume is cut into at least so many blocks, unless they would be smaller than is worth it (bytes of the base).
WANTED_BLOCKS = 32
SMALL_BLOCK = 1 << 25
#: Less than this is not worth a read of its own.
GOOD_LEAF = 1 << 24
#: Voxels whose carries are held at once, at the end.
CARRIED_AT_ONCE = 1 << 16
#: The core counts to so many voxels below one.
MAX_FOOTPRINT = 1 << 31
#: Buffers of a leaf at work, over its bytes: itself, the next one being read, decoded chunks, its levels; and what
#: is being written.
LEAF_SHARE = 6


@dataclass(frozen=True)
class Plan:
    """Blocks, numbered; see :func:`plan`, which makes it. ``str(plan)`` says what it will do."""

    source: Source
    place: Place
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

    @functools.cached_property
    def totals(self) -> list[Extents]:
        """Cumulative factors of all levels, the base first."""
        ndim = self.grids[0].ndim
        return [(1,) * ndim, *cumulative(self.factors, ndim)]

    def cuts(self, axis: int, step: int, level: int | None = None) -> list[tuple[int, int]]:
        """Pieces of the base along an axis, in array coordinates, cut at whole voxels of a level (that of leaves)."""
        n, o = self.grids[0].shape[axis], self.grids[0].voxel_offset[axis]
        return cuts(n, o, step, self.totals[self.leaf_levels if level is None else level][axis])

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
    def numbers(self) -> list[int]:
        """The numbers of the blocks to make."""
        return list(self.blocks_of(self.affected))

    @functools.cached_property
    def covered(self) -> Box:
        """The base voxels of all blocks to make."""
        first, last = self.box(self.numbers[0]), self.box(self.numbers[-1])
        return [(start, stop) for (start, _), (_, stop) in zip(first, last, strict=True)]

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return math.prod(len(self.cuts(axis, step)) for axis, step in enumerate(self.block))

    def box(self, number: int) -> list[tuple[int, int]]:
        """The base voxels of a block, in array coordinates."""
        if not 0 <= number < self.blocks:
            raise IndexError(f"block {number}: there are {self.blocks}, counted from 0")
        box = []
        for axis in range(self.grids[0].ndim - 1, -1, -1):
            cuts = self.cuts(axis, self.block[axis])
            number, at = divmod(number, len(cuts))
            box.append(cuts[at])
        return box[::-1]

    def blocks_of(self, box: Sequence[tuple[int, int]]) -> Iterator[int]:
        """The blocks that have voxels in a box of the base."""
        cuts = [self.cuts(axis, step) for axis, step in enumerate(self.block)]
        touched = [
            [i for i, (start, stop) in enumerate(along) if start < high and stop > low]
            for along, (low, high) in zip(cuts, box, strict=True)
        ]
        for index in itertools.product(*touched):
            number = 0
            for along, i in zip(cuts, index, strict=True):
                number = number * len(along) + i
            yield number

    def carried_boxes(self) -> Iterator[list[tuple[int, int]]]:
        """Boxes of the base of which the levels that leaves do not make are made at once; none if leaves make all."""
        top, below = self.totals[-1], self.totals[self.leaf_levels]
        if self.leaf_levels == len(self.factors):
            return
        steps, room = list(top), CARRIED_AT_ONCE // math.prod(a // b for a, b in zip(top, below, strict=True))
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
        per_axis = [
            [(start, stop) for start, stop in self.cuts(axis, self.leaf[axis]) if start < high and stop > low]
            for axis, (low, high) in enumerate(box)
        ]
        clipped = [
            [(max(a, low), min(b, high)) for a, b in pieces] for pieces, (low, high) in zip(per_axis, box, strict=True)
        ]
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

    def level_spec(self, number: int) -> tuple[dict[str, Any], list[int | None]]:
        """For TensorStore, to create a level; and for each stored axis its number in the source, or None."""
        format, grid, layout = FORMATS[self.format], self.grids[number], self.layouts[number]
        stored = format.axes_order(grid.axes)
        at = [grid.axes.index(axis) if axis in grid.axes else None for axis in stored]

        def order(values: Sequence[Any], missing: Any) -> list[Any]:
            return [missing if a is None else values[a] for a in at]

        as_stored = Grid(
            order(grid.shape, 1),
            stored,
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

        Of an array that lies in no store, its first and its last leaf are looked at.
        """
        found = hashlib.sha256(json.dumps(self.describe(), sort_keys=True, default=str).encode())
        for at in (0, -1):
            leaf = list(self.leaves(self.box(self.numbers[at])))[at]
            if self.source.volume is None:
                values = self.source.read(tuple(slice(start, stop) for start, stop in leaf)).result()
                found.update(np.ascontiguousarray(values).tobytes())
            if self.mask is not None and self.mask.volume is None:
                found.update(self.mask.read(leaf).tobytes())
        return found.hexdigest()[:16]

    @property
    def scratch(self) -> Place:
        """The folder beside the plan, while it is being run: one object per finished block."""
        return self.place.child(f".tinypyr-{self.fingerprint}")

    @property
    def begun(self) -> bool:
        """Whether a run of this plan has begun and not ended."""
        return self.scratch.read("plan.json") is not None

    def describe(self) -> dict[str, Any]:
        """The plan as JSON."""
        voxels = [math.prod(grid.shape) for grid in self.grids]
        size = np.dtype(self.source.dtype).itemsize
        return {
            "tinypyr": __version__,
            "source": self.source.name,
            "target": self.place.url,
            "format": self.format,
            "dtype": self.source.dtype.name,
            "method": self.method,
            "ignore": None if self.ignore is None else str(self.ignore),
            "rounding": self.rounding,
            "ties": self.ties,
            "recursive": self.recursive,
            "mask": None if self.mask is None else self.mask.name,
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
            "carried_levels": list(range(self.leaf_levels + 1, len(self.grids))),
            "bytes_to_read": voxels[0] * size,
            "bytes_to_write": sum(voxels[0 if self.copies_base else 1 :]) * size,
            "objects": sum(
                math.prod(-(-n // u) for n, u in zip(grid.shape, layout.unit, strict=True))
                for grid, layout in list(zip(self.grids, self.layouts, strict=True))[0 if self.copies_base else 1 :]
            ),
            "memory": self.memory,
            "workers": self.workers,
        }

    def __str__(self) -> str:
        what = self.describe()
        lines = [
            f"{what['source']} -> {what['target']}",
            f"{what['format']}, {what['dtype']}, {what['method']}, {len(self.factors)} levels",
        ]
        lines += [
            f"  {level['path'] or '.':>4}  {' x '.join(map(str, level['shape']))}  scale {_numbers(level['scale'])}"
            f"  at {_numbers(level['translation'])}  chunks {' x '.join(map(str, level['chunks']))}"
            for level in what["levels"]
        ]
        lines.append(
            f"reads {_bytes(what['bytes_to_read'])}, writes {_bytes(what['bytes_to_write'])} (before compression) in "
            f"at most {what['objects']} objects; {what['blocks']} blocks, {what['workers']} workers, "
            f"memory {_bytes(what['memory'])}"
        )
        return "\n".join(lines)


def plan(
    source: Any,
    target: str | os.PathLike[str] | None = None,
    *,
    factor: Any = "auto",
    levels: Any = "auto",
    method: str = "auto",
    format: str | None = None,
    ignore: Any = None,
    rounding: str = "half-even",
    ties: str = "first",
    chunks: Sequence[int] | None = None,
    shards: Sequence[int] | None = None,
    codec: str | None = None,
    mask: Any = None,
    region: Sequence[tuple[int, int]] | None = None,
    recursive: bool = False,
    link: bool = False,
    memory: int | str = "1GiB",
    workers: int | None = None,
    grid: Grid | None = None,
    force: bool = False,
) -> Plan:
    """Decide how a volume's levels will be made; check every argument; create nothing.

    Parameters
    ----------
    source : path, URL, or array
        A store (OME-Zarr 0.4 or 0.5, N5, Neuroglancer precomputed), or an array of numpy, zarr, dask, h5py or
        TensorStore.
    target : path or URL, optional
        A new store, to which level 0 is copied. None, or the source itself: levels are added beside level 0.
    factor, levels
        As for :meth:`tinypyr.Grid.schedule`: ``"auto"`` halves what is not yet longer than the rest, until the volume
        fits a chunk.
    method : str
        As for :func:`tinypyr.downsample`; ``"auto"``: mode for labels (so marked, or unsigned integers of 32 or 64 bits
        not marked as an image), mean for all else. Median is made from the base at every level, as everything is.
    format : {"ome-zarr-0.5", "ome-zarr-0.4", "n5", "precomputed"}, optional
        By default the source's, in place; OME-Zarr 0.5 elsewhere.
    ignore, rounding, ties
        As for :func:`tinypyr.downsample`.
    chunks, shards : sequence of int, optional
        Voxels per chunk, and per shard (what is written at once), along the source's axes; by default the source's.
    codec : {"zstd", "gzip", "blosc", "raw"}, optional
        By default the source's where the format is the same, else zstd (gzip in N5).
    mask : path, URL, or array, optional
        Of the base's shape; where it is not 0, voxels are left out of every level, with any method. Axes of a store
        are matched by name. A voxel above masked ones alone has the value to ignore or, without, the fill value.
    region : sequence of (int, int), optional
        Of a store that has its levels: the part of level 0, in voxels of the array, that has changed. Only what lies
        above it is made again, with the factors, the method and all else that the store says (only a method that it
        does not say is asked for).
    recursive : bool
        Make each level from the voxels of the one before, which is not the median of the base; only for ``"median"``,
        whose levels otherwise need a whole footprint of the last one in memory.
    link : bool
        In a new OME-Zarr store on the same disk: point to level 0 of the source instead of copying it.
    memory : int or str
        Bytes that the build may hold, for example ``"512MiB"``.
    workers : int, optional
        Blocks at work at once; by default one per core.
    grid : Grid, optional
        Where an array lies in the world; of a store: instead of what its metadata says.
    force : bool
        Allow what is probably a mistake: means of labels.

    Returns
    -------
    Plan

    Raises
    ------
    StoreError
        The source cannot be read, or the target not be made.
    ValueError, TypeError
        An argument that makes no sense; the message names it.
    """
    _choice("rounding", rounding, ROUNDINGS)
    _choice("ties", ties, TIES)
    for name, value in (("recursive", recursive), ("link", link), ("force", force)):
        if not isinstance(value, bool):
            raise TypeError(f"{name}: {value!r} is neither True nor False")
    if grid is not None and not isinstance(grid, Grid):
        raise TypeError(f"grid: {type(grid).__name__} is no Grid")
    if format is not None and format not in list(FORMATS):
        raise ValueError(f"format: {format!r} is not one of {', '.join(map(repr, FORMATS))}")
    read = open_source(source, grid)
    volume = read.volume
    base = read.grid
    again = region is not None
    if region is not None:
        given = {"factor": factor, "levels": levels, "method": method, "format": format, "ignore": ignore, "grid": grid}
        given |= {"rounding": rounding, "ties": ties, "chunks": chunks, "shards": shards, "codec": codec, "mask": mask}
        given |= {"recursive": recursive, "link": link}
        factor, method, ignore, rounding, ties, recursive = _as_before(volume, target, given)
        levels, force = "auto", True
        if volume is not None and volume.order != base.axes:
            named = _region(region, base)
            region = [named[base.axes.index(axis)] for axis in volume.order]
            read = read.reordered(volume.order)
            base = read.grid
    if base.ndim == 0 or 0 in base.shape:
        raise StoreError(f"source: shape {base.shape} holds nothing to pool")
    _check_array(base.shape, read.dtype)
    left_out = _checked_ignore(ignore, read.dtype)
    place, in_place = _target(volume, target)
    if in_place and volume is not None and format not in (None, volume.format):
        raise ValueError(f"format: levels beside a level 0 of {volume.format} cannot be {format}; give a target")
    chosen = format or (volume.format if in_place and volume is not None else "ome-zarr-0.5")
    if codec is not None and codec not in CODECS:
        raise ValueError(f"codec: {codec!r} is not one of {', '.join(map(repr, CODECS))}")
    kind = volume.kind if volume is not None else None
    made_by = _method(method, kind, read.dtype, force)
    if recursive and made_by != "median":
        raise ValueError(f"recursive: of medians only; levels of {made_by} are exact at no such cost")
    masked = None if mask is None else Mask(mask, base)
    changed = None if region is None else _region(region, base)
    if kind is None:
        kind = "labels" if made_by == "mode" else "image"
    layout = _layout(read, chosen, in_place, chunks, shards, codec)
    schedule = base.schedule(factor, levels, fits=[min(c, n) for c, n in zip(layout.chunks, base.shape, strict=True)])
    for k, step in enumerate(schedule):
        if all(f == 1 for f in step):
            raise ValueError(f"factor: level {k + 1} would be pooled by 1 along every axis")
    totals = [(1,) * base.ndim, *cumulative(schedule, base.ndim)]
    for total in totals[1:]:
        for name, n, f, o in zip(base.axes, base.shape, total, base.voxel_offset, strict=True):
            if f > 1 and f >= 2 * (o % f + n):
                raise ValueError(f"factor: {f} along {name} in all, more than twice its {n} voxels; make fewer levels")
    for name, f in zip(base.axes, totals[-1], strict=True):
        if f > 1 and name in FORMATS[chosen].FIXED:
            raise ValueError(f"factor: {f} along {name}, which {chosen} cannot have fewer of at coarser levels")
    grids = [base, *base.levels(schedule, made_by)]
    FORMATS[chosen].axes_order(base.axes)  # refuses axes that the format has not
    paths = volume.paths if again and volume is not None else _paths(volume if in_place else None, chosen, grids)
    if link:
        _check_link(volume, place, chosen, in_place, layout is read.layout)
    layouts = [FORMATS[chosen].at_level(layout, grid) for grid in grids]
    if again and volume is not None:  # as they are
        at = [volume.grids[0].axes.index(axis) for axis in base.axes]
        for number in range(len(grids)):
            unit = level_array(volume, number).chunk_layout.write_chunk.shape
            layouts[number] = replace(layout, chunks=tuple(unit[a] for a in at), shards=None)
    budget = _memory(memory)
    hands = _workers(workers)
    copies = not in_place and not link
    carries = recursive or made_by not in ("median", "stride")
    carries = carries or (made_by == "stride" and left_out is None and masked is None)
    leaf, block, whole, by_leaves = _cut(base, read, layouts, totals, copies, budget // hands, carries)
    made = Plan(
        read, place, chosen, grids, schedule, paths, layouts, made_by, left_out, rounding, ties, recursive, masked,
        changed, copies, link, kind, budget, hands, leaf, block, whole, by_leaves,
    )  # fmt: skip
    for number in () if again else range(0 if made.copies_base else 1, len(grids)):
        made.level_spec(number)  # refuses what the format cannot hold
    there = len(volume.paths) if in_place and volume is not None else 0
    if (
        (there > 1 and not again) or (not in_place and any(format.detect(place) for format in FORMATS.values()))
    ) and not made.begun:
        what = f"has {there} levels already" if in_place else "exists already"
        raise StoreError(f"{place.name}: {what}; remove {'them' if in_place else 'it'} or choose another target")
    return made


def _check_link(volume: Volume | None, place: Place, format: str, in_place: bool, same_layout: bool) -> None:
    if in_place or volume is None:
        raise ValueError("link: from a store, to a new target; there is no other level 0 to point to")
    if not format.startswith("ome-zarr") or not (place.is_file and volume.place.is_file):
        raise ValueError(f"link: OME-Zarr in files allows it, {format} at {place.name} does not; copy level 0")
    if volume.format != format or not same_layout:
        raise ValueError("link: format, chunks, shards and codec must be those of the source; leave them out")


def _as_before(volume: Volume | None, target: Any, given: dict[str, Any]) -> tuple[Any, str, Any, str, str, bool]:
    """How the levels of a store were made: factor, method, ignore, rounding, ties, recursive."""
    if volume is None or target is not None or len(volume.paths) < 2:
        raise ValueError("region: of a store that has its levels; give no target, or build it first")
    notes, base = volume.notes, volume.grids[0]
    if notes.get("mask"):
        raise StoreError(f"{volume.place.name}: its levels leave out the mask {notes['mask']}; build it anew")
    totals = [factors_between(base, grid) for grid in volume.grids]
    known = [total for total in totals if total is not None]
    if len(known) < len(totals) or any(b % a for x, y in itertools.pairwise(known) for a, b in zip(x, y, strict=True)):
        raise StoreError(f"{volume.place.name}: its levels are no whole multiples of each other; build it anew")
    order = [base.axes.index(axis) for axis in volume.order]
    factor = [tuple(y[a] // x[a] for a in order) for x, y in itertools.pairwise(known)]
    method = notes.get("method")
    if method is None and given["method"] == "auto":
        raise ValueError(f"method: {volume.place.name} does not say how its levels were made; name it")
    made = {
        "method": method or given["method"],
        "ignore": volume.ignore,
        "rounding": str(notes.get("rounding", "half-even")),
        "ties": str(notes.get("ties", "first")),
        "recursive": bool(notes.get("recursive")),
    }
    usual = {"method": "auto", "rounding": "half-even", "ties": "first", "factor": "auto", "levels": "auto"}
    for name, value in given.items():
        if value is None or value is False or (isinstance(value, str) and value == usual.get(name)):
            continue
        if name not in made or bool(np.any(value != made[name])):
            raise ValueError(f"{name}: not with a region, whose surroundings are as the store says; leave it out")
    return factor, made["method"], made["ignore"], made["rounding"], made["ties"], made["recursive"]


def _region(region: Any, base: Grid) -> Box:
    try:
        made = [(operator.index(start), operator.index(stop)) for start, stop in region]
    except (TypeError, ValueError):
        raise ValueError(f"region: {region!r} is not a start and a stop for each axis") from None
    if len(made) != base.ndim or any(not 0 <= a < b <= n for (a, b), n in zip(made, base.shape, strict=False)):
        raise ValueError(f"region: {made} does not lie within the volume of shape {base.shape}")
    return made


def _target(volume: Volume | None, target: Any) -> tuple[Place, bool]:
    if target is None:
        if volume is None:
            raise ValueError("target: needed where the source is an array")
        place = volume.place
    else:
        place = Place.at(target)
    if volume is not None and place.url == volume.place.url:
        if volume.attributes.get("array"):
            raise StoreError(f"{place.name}: a single array has no room for levels beside it; give a target")
        return place, True
    if volume is not None and (place.real.startswith(volume.place.real) or volume.place.real.startswith(place.real)):
        raise StoreError(f"{place.name}: inside {volume.place.name}, or around it; choose another target")
    return place, False


def _method(method: str, kind: str | None, dtype: np.dtype[Any], force: bool) -> str:
    labels = kind == "labels" or (kind is None and dtype.name in ("uint32", "uint64"))
    if method == "auto":
        return "mode" if labels else "mean"
    _choice("method", method, METHODS)
    if method == "mean" and kind == "labels" and not force:
        raise ValueError("method: a mean of labels is a label of something else; use mode, or force it")
    return method


def _layout(read: Source, format: str, in_place: bool, chunks: Any, shards: Any, codec: str | None) -> Layout:
    base, volume = read.grid, read.volume
    of_source = read.layout
    same = volume is not None and volume.format == format and chunks is None and shards is None and codec is None
    if same:
        return of_source
    cut = _extents("chunks", chunks, base) if chunks is not None else of_source.chunks
    pack = _extents("shards", shards, base) if shards is not None else (of_source.shards if chunks is None else None)
    if pack is not None and shards is None and format != "ome-zarr-0.5":
        pack = None  # (the others have none, or others)
    if pack is not None and format in ("ome-zarr-0.4", "n5"):
        raise ValueError(f"shards: {format} has none; leave them out")
    if pack is not None and any(p % c for p, c in zip(pack, cut, strict=True)):
        raise ValueError(f"shards: {pack} are not whole chunks of {cut}")
    fill = of_source.fill if volume is not None else 0
    return Layout(cut, pack, codec, bool(fill) if read.dtype.kind == "b" else fill)


def _extents(name: str, values: Any, grid: Grid) -> Extents:
    try:
        made = tuple(operator.index(value) for value in values)
    except TypeError:
        raise TypeError(f"{name}: {values!r} is not whole numbers, one for each of {grid.ndim} axes") from None
    if len(made) != grid.ndim or min(made) < 1:
        raise ValueError(f"{name}: {made} is not one positive extent for each of {grid.ndim} axes")
    return made


def _paths(volume: Volume | None, format: str, grids: list[Grid]) -> list[str]:
    if format == "precomputed":
        names = [axis for axis in "xyz" if axis in grids[0].axes]
        keys = ["_".join(f"{grid.scale[grid.axes.index(axis)]:g}" for axis in names) for grid in grids]
        if len(set(keys)) < len(keys):
            keys = [f"{key}_{k}" for k, key in enumerate(keys)]
        return [volume.paths[0], *keys[1:]] if volume is not None else keys
    if volume is None:
        return [f"s{k}" if format == "n5" else str(k) for k in range(len(grids))]
    first = volume.paths[0]
    stem = first.rstrip("0123456789")
    start = int(first[len(stem) :]) if first[len(stem) :] else 0
    return [first, *(f"{stem}{start + k}" for k in range(1, len(grids)))]


def _memory(memory: int | str) -> int:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:([KMGT])(I?)B?|B?)\s*", str(memory).upper())
    if match is not None:
        number, power, binary = match.groups()
        value = int(float(number) * (1024 if binary else 1000) ** (" KMGT".index(power) if power else 0))
        if value >= 1 << 20:
            return value
    raise ValueError(f"memory: {memory!r} is no size of 1MiB or more, such as '512MiB'")


def _workers(workers: int | None) -> int:
    if workers is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if isinstance(workers, bool) or not hasattr(workers, "__index__") or not 1 <= workers <= 1024:
        raise ValueError(f"workers: {workers!r} is not a number between 1 and 1024")
    return operator.index(workers)


def _cut(
    base: Grid, read: Source, layouts: list[Layout], totals: list[Extents], copies: bool, budget: int, carries: bool
) -> tuple[Extents, Extents, int, int]:
    """Leaf, block, how many levels blocks write whole, and how many leaves make."""
    size = read.dtype.itemsize
    ndim = base.ndim
    open_units = sum(math.prod(layout.unit) for layout in layouts) * size
    by_leaves = len(totals) - 1
    while True:
        top = totals[by_leaves]
        reach = [n + o % f for n, o, f in zip(base.shape, base.voxel_offset, top, strict=True)]
        # what must be whole in memory: one voxel of the last level that leaves make
        footprint = math.prod(min(f, r) for f, r in zip(top, reach, strict=True))
        least = footprint * size * LEAF_SHARE + open_units
        if (least <= budget and footprint <= MAX_FOOTPRINT) or by_leaves <= 1 or not carries:
            break
        by_leaves -= 1

    def voxels(extents: Sequence[int]) -> int:
        return math.prod(min(e, r) for e, r in zip(extents, reach, strict=True))

    if least > budget:
        raise StoreError(
            f"memory: {_bytes(least)} per worker needed for these levels, {_bytes(budget)} allowed; allow more memory, "
            "or fewer workers, or make fewer levels"
        )
    leaf = [math.lcm(f, c) if c < r else -(-r // f) * f for f, c, r in zip(top, read.chunks or top, reach, strict=True)]
    if voxels(leaf) * size * LEAF_SHARE + open_units > budget:
        leaf = list(top)  # (chunks are read several times then)
    aligned = [o % f == 0 for o, f in zip(base.voxel_offset, top, strict=True)]

    def edges(whole: int) -> Extents:
        made = []
        for axis in range(ndim):
            edge = math.lcm(leaf[axis], top[axis])
            for k in range(0 if copies else 1, whole + 1):
                unit = layouts[k].unit[axis]
                if unit < -(-reach[axis] // totals[k][axis]):
                    edge = math.lcm(edge, unit * totals[k][axis])
                else:
                    edge = max(edge, reach[axis])
            made.append(edge if aligned[axis] and edge < reach[axis] else -(-reach[axis] // top[axis]) * top[axis])
        return tuple(made)

    def count(block: Extents) -> int:
        return math.prod(-(-r // b) for r, b in zip(reach, block, strict=True))

    whole = by_leaves
    while (
        whole > 0
        and count(edges(whole)) < WANTED_BLOCKS
        and voxels(edges(whole)) * size > SMALL_BLOCK
        and count(edges(whole - 1)) > count(edges(whole))
    ):
        whole -= 1
    block = edges(whole)
    # larger leaves are read faster, as long as they fit
    grown = True
    while grown:
        grown = False
        for axis in range(ndim - 1, -1, -1):
            wider = [2 * e if a == axis else e for a, e in enumerate(leaf)]
            fits = voxels(wider) * size * LEAF_SHARE + open_units <= budget and voxels(wider) * size <= GOOD_LEAF
            if fits and wider[axis] <= block[axis] and block[axis] % wider[axis] == 0:
                leaf, grown = wider, True
    return tuple(leaf), block, whole, by_leaves


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _bytes(count: float) -> str:
    unit = min(5, int(math.log2(count) // 10)) if count >= 1 else 0
    return f"{count / 1024**unit:.3g} {('B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB')[unit]}"
