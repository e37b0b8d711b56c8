"""Plans: the blocks of a build and the geometry that connects them to levels.

Along each axis, global base coordinates are cut at multiples of a level's cumulative factor. The piece between two cuts
then holds whole footprints of this level and of all finer ones, so that their voxels depend on this piece alone. The
level is the last one, or the last one whose footprints fit in memory; coarser levels are pooled from its accumulators
(accumulators.py) at the end. Every level is therefore bit-identical to that of the whole volume in memory.

A *leaf* is read at once. A *block* is a box of leaves that fills whole chunks or shards of the first levels, so that no
two blocks write to the same file. Its voxels of coarser levels are saved as pieces, and merged at the end.
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
from typing import Any

from .. import __version__
from .._util.files import write_whole
from ..errors import StoreError
from ..grid import Cuts, Grid, cumulative, grid_from, region_above
from . import plan_text
from .accumulators import Pooling
from .block_numbers import BlockNumbers
from .chunk_names import empty_level_0
from .formats import FORMATS
from .location import Location
from .scratch import Scratch, sealed
from .source import Mask, Source
from .tuning import Tuning
from .volume import Layout

Extents = tuple[int, ...]
Box = Sequence[tuple[int, int]]

#: Number of voxels whose accumulators are in memory at the same time when coarse levels are pooled.
ACCUMULATED_AT_ONCE = 1 << 16


@dataclass(frozen=True, repr=False)
class Plan:
    """A plan of a build, from :func:`plan` or :meth:`load`.

    ``print(plan)`` shows its levels, and what it reads, writes and holds in memory.

    Attributes
    ----------
    source : Source
        Level 0.
    location : Location
        Folder of the target.
    format : str
        Format of the target.
    grids, paths, layouts : list
        Grids, paths and layouts of all levels, the base first, axes as in the source.
    factors : list of tuple of int
        Factors from each level to the next.
    method, ignore, rounding, ties, recursive
        As for :func:`plan`, with "auto" resolved.
    mask : Mask or None
        Voxels to exclude.
    changed_box : sequence of (int, int), optional
        The region to update, in array coordinates of the base. None for a whole volume.
    copies_base : bool
        Whether level 0 is written to the target.
    links_base : bool
        Whether level 0 of the target is a link to that of the source.
    kind : {"image", "labels"}
        Kind of the voxels.
    skip_empty : bool
        Whether chunks that hold nothing but the fill value are left out.
    memory : int
        Memory of all workers in bytes.
    workers : int
        Number of blocks that are processed at the same time.
    leaf_shape, block_shape : tuple of int
        Extents of leaves and blocks in base voxels.
    whole_levels : int
        Blocks write whole chunks of levels 1 to this one; coarser levels are merged.
    leaf_levels : int
        Leaves complete levels 1 to this one; coarser levels are pooled from its accumulators.
    arguments : dict, optional
        Arguments by which other processes make the same plan; None if they cannot read the source.
    tuning : Tuning
        Numbers that are no arguments.
    """

    source: Source
    location: Location
    format: str
    grids: list[Grid]
    factors: list[Extents]
    paths: list[str]
    layouts: list[Layout]
    method: str
    ignore: Any
    rounding: str
    ties: str
    recursive: bool
    mask: Mask | None
    changed_box: Box | None
    copies_base: bool
    links_base: bool
    kind: str | None
    skip_empty: bool
    memory: int
    workers: int
    leaf_shape: Extents
    block_shape: Extents
    whole_levels: int
    leaf_levels: int
    arguments: dict[str, Any] | None
    tuning: Tuning

    # --- geometry ---

    @functools.cached_property
    def totals(self) -> list[Extents]:
        """Cumulative factors of all levels, the base first."""
        ndim = self.grids[0].ndim
        return [(1,) * ndim, *cumulative(self.factors, ndim)]

    def cuts(self, axis: int, step: int, level: int | None = None) -> Cuts:
        """Return pieces of the base along an axis, cut at whole voxels of a level (by default ``leaf_levels``)."""
        n, o = self.grids[0].shape[axis], self.grids[0].voxel_offset[axis]
        return Cuts(n, o, step, self.totals[self.leaf_levels if level is None else level][axis])

    @property
    def pending(self) -> int:
        """Maximum number of bytes that a block has passed to TensorStore and that are not written yet."""
        return max(1 << 20, self.memory // self.workers // 6)

    @functools.cached_property
    def pooling(self) -> Pooling:
        """Pooling with the options of this plan."""
        weight = [1, *itertools.accumulate(self.grids[0].shape[:-1], operator.mul)]
        fill, dtype = self.layouts[0].fill, self.source.dtype
        return Pooling(self.method, dtype, self.ignore, self.rounding, self.ties, self.recursive, fill, weight)

    @functools.cached_property
    def affected_box(self) -> Box:
        """The region to update, extended to whole footprints of the last level."""
        base = self.grids[0]
        box = [(0, n) for n in base.shape] if self.changed_box is None else self.changed_box
        return [
            (max(0, (o + start) // f * f - o), min(n, -((o + stop) // -f) * f - o))
            for (start, stop), n, o, f in zip(box, base.shape, base.voxel_offset, self.totals[-1], strict=True)
        ]

    @functools.cached_property
    def numbers(self) -> BlockNumbers:
        """Numbers of the blocks to process."""
        return self.blocks_in(self.affected_box)

    @functools.cached_property
    def covered_box(self) -> Box:
        """Bounding box of the blocks to process, in array coordinates of the base."""
        first, last = self.box(self.numbers[0]), self.box(self.numbers[-1])
        return [(start, stop) for (start, _), (_, stop) in zip(first, last, strict=True)]

    @functools.cached_property
    def _block_cuts(self) -> list[Cuts]:
        return [self.cuts(axis, step) for axis, step in enumerate(self.block_shape)]

    @property
    def blocks(self) -> int:
        """Number of blocks of the whole volume."""
        return math.prod(map(len, self._block_cuts))

    def box(self, number: int) -> list[tuple[int, int]]:
        """Return the base voxels of a block, in array coordinates."""
        if not 0 <= number < self.blocks:
            raise IndexError(f"block {number} does not exist: there are {self.blocks} blocks, counted from 0")
        box = []
        for cuts in reversed(self._block_cuts):
            number, index = divmod(number, len(cuts))
            box.append(cuts[index])
        return box[::-1]

    def bytes_in_block(self, number: int) -> int:
        """Return the number of bytes of the base in a block."""
        return self.source.dtype.itemsize * math.prod(stop - start for start, stop in self.box(number))

    def blocks_in(self, box: Box) -> BlockNumbers:
        """Return the numbers of the blocks that share voxels with a box of the base."""
        ranges = [cuts.touching(low, high) for cuts, (low, high) in zip(self._block_cuts, box, strict=True)]
        return BlockNumbers([len(cuts) for cuts in self._block_cuts], ranges)

    def accumulated_boxes(self) -> Iterator[list[tuple[int, int]]]:
        """Yield boxes of the base whose levels above ``leaf_levels`` are pooled at once."""
        top, below = self.totals[-1], self.totals[self.leaf_levels]
        if self.leaf_levels == len(self.factors):
            return
        steps, voxels_left = (
            list(top),
            ACCUMULATED_AT_ONCE // math.prod(a // b for a, b in zip(top, below, strict=True)),
        )
        for axis in range(self.grids[0].ndim - 1, -1, -1):
            count = min(max(1, voxels_left), -(-self.grids[0].shape[axis] // top[axis]) + 1)
            steps[axis] *= count
            voxels_left //= count
        last = len(self.totals) - 1
        for box in itertools.product(*(self.cuts(axis, step, last) for axis, step in enumerate(steps))):
            part = [(max(a, low), min(b, high)) for (a, b), (low, high) in zip(box, self.affected_box, strict=True)]
            if all(a < b for a, b in part):
                yield part

    def leaves(self, box: Box) -> Iterator[list[tuple[int, int]]]:
        """Return the leaves of a box of the base, in an order that completes chunks and shards early."""
        clipped_pieces = []
        for axis, (low, high) in enumerate(box):
            along = self.cuts(axis, self.leaf_shape[axis])
            pieces = [along[i] for i in along.touching(low, high)]
            clipped_pieces.append([(max(a, low), min(b, high)) for a, b in pieces])
        units = [
            [u * f for u, f in zip(layout.unit, total, strict=True)]
            for layout, total in zip(self.layouts, self.totals, strict=True)
        ]

        def index_of_units(leaf: Box) -> tuple[int, ...]:
            return tuple(start // u for unit in reversed(units) for (start, _), u in zip(leaf, unit, strict=True))

        return iter(sorted((list(leaf) for leaf in itertools.product(*clipped_pieces)), key=index_of_units))

    def region(self, level: int, box: Box) -> list[tuple[int, int]]:
        """Return the voxels of a level above a box of the base, in that level's array coordinates."""
        return region_above(box, self.totals[level], self.grids[0].voxel_offset)

    # --- storage ---

    @functools.cached_property
    def stored_axes(self) -> tuple[str, ...]:
        """Axes in the order of the target's arrays: that of an existing level 0, otherwise that of the format."""
        volume = self.source.volume
        if volume is not None and not self.copies_base:
            return volume.grids[0].axes
        order: tuple[str, ...] = FORMATS[self.format].axes_order(self.grids[0])
        return order

    def level_spec(self, number: int) -> tuple[dict[str, Any], list[int | None]]:
        """Return a TensorStore specification to create a level, and the source's axis of each stored axis, or None."""
        format, grid, layout = FORMATS[self.format], self.grids[number], self.layouts[number]
        stored, volume = self.stored_axes, self.source.volume
        if volume is not None and stored != volume.grids[0].axes:
            layout = replace(layout, native=None)  # its chunks are in the order of the source's axes
        source_axes = [grid.axes.index(axis) if axis in grid.axes else None for axis in stored]

        def ordered(values: Sequence[Any], missing: Any) -> list[Any]:
            return [missing if axis is None else values[axis] for axis in source_axes]

        stored_grid = grid_from(  # (which keeps units that OME-Zarr does not list)
            {
                "shape": ordered(grid.shape, 1),
                "axes": list(zip(stored, ordered(grid.types, None), strict=True)),
                "scale": ordered(grid.scale, 1.0),
                "translation": ordered(grid.translation, 0.0),
                "units": ordered(grid.units, None),
                "voxel_offset": ordered(grid.voxel_offset, 0),
            }
        )
        shards = None if layout.shards is None else tuple(ordered(layout.shards, 1))
        layout = replace(layout, chunks=tuple(ordered(layout.chunks, 1)), shards=shards)
        path, dtype = self.paths[number], self.source.dtype.name
        spec: dict[str, Any] = format.new_spec(self.location, path, stored_grid, dtype, layout, self.kind)
        return {**spec, **self.writing}, source_axes

    @property
    def writing(self) -> dict[str, Any]:
        """Entries of TensorStore specifications of arrays that are written."""
        return {"store_data_equal_to_fill_value": not self.skip_empty}

    @property
    def left_behind(self) -> list[str]:
        """Names of entries of the source's metadata that a new store of this format does not keep."""
        volume, format = self.source.volume, FORMATS[self.format]
        if volume is None or not (self.copies_base or self.links_base):
            return []
        return volume.metadata.left_behind(format.FAMILY, format.KEEPS)

    @functools.cached_property
    def empty_inputs(self) -> list[str]:
        """Sentences about a source or a mask without any chunk, which may be incomplete."""
        volumes = [("source", self.source.volume)]
        if self.mask is not None:
            volumes.append((self.mask.parameter, self.mask.volume))
        sentences = [(name, empty_level_0(volume)) for name, volume in volumes if volume is not None]
        return [f"{name}: {sentence}" for name, sentence in sentences if sentence is not None]

    @functools.cached_property
    def scratch(self) -> Scratch:
        """Temporary files of the build."""
        return Scratch(self.location)

    # --- identity ---

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of everything that the levels or the numbers of blocks depend on; of the source, its stamp."""
        content = {key: value for key, value in self.describe().items() if key not in plan_text.WITHOUT_EFFECT}
        digest = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode())
        for stamp in self.stamps:
            digest.update(stamp)
        return digest.hexdigest()[:16]

    @functools.cached_property
    def stamps(self) -> list[bytes]:
        """Stamps of the source and the mask when the plan was made, which differ once these have changed.

        The stamp of files consists of names, sizes and times of up to 131,072 of them, that of an array in memory of
        its first and last corner. Object stores have no stamp.
        """
        return [hashlib.sha256(source.stamp()).digest() for source in self._inputs]

    @property
    def _inputs(self) -> list[Source | Mask]:
        return [self.source] if self.mask is None else [self.source, self.mask]

    @functools.cached_property
    def source_status(self) -> list[str]:
        """Digests of the status of the files of the source and the mask when the plan was made."""
        return [hashlib.sha256(source.status()).hexdigest() for source in self._inputs]

    def check_source_unchanged(self) -> None:
        """Raise StoreError if files of the source or the mask have changed since the plan was made."""
        for source, status in zip(self._inputs, self.source_status, strict=True):
            if hashlib.sha256(source.status()).hexdigest() != status:
                raise StoreError(
                    f"{source.name}: changed or was removed during the build, so levels may mix old and new voxels; no "
                    "metadata was written. Run it again with resume=False (--no-resume) to make all blocks again"
                )

    # --- files ---

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON, from which another process makes it again, of constant size."""
        return {
            "tinypyr": __version__,
            "fingerprint": self.fingerprint,
            "source_status": self.source_status,
            "arguments": self.arguments,
            "tuning": self.tuning.changes(),
            "plan": self.describe(),
        }

    def to_text(self) -> str:
        """Return the text of a file of this plan; raise StoreError if other processes cannot read its source."""
        if self.arguments is None:
            raise StoreError(
                (self.source.recipe or {}).get("only_here")
                or "source: other processes cannot read an array in memory, or a store in memory (source, mask or "
                "target); write it to a store of files first (build with levels=0)"
            )
        return json.dumps(sealed(self.to_dict()), indent=1) + "\n"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the plan to a file, for ``tinypyr run`` and :meth:`load`.

        Parameters
        ----------
        path : path
            The file. An existing file is replaced.

        Raises
        ------
        StoreError
            If the file cannot be written, or if other processes cannot read the source.
        """
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
            If the file is damaged or is not a plan, or if the source, or this version of tinypyr, now leads to a
            different plan.

        Examples
        --------
        >>> import numpy as np, tempfile
        >>> from tinypyr import store
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report = store.build(np.ones((64, 64), np.uint8), folder + "/base.zarr", levels=0)
        ...     plan = store.plan(folder + "/base.zarr", factor=2, levels=2)
        ...     plan.save(folder + "/plan.json")
        ...     store.Plan.load(folder + "/plan.json").factors
        [(2, 2), (2, 2)]
        """
        from .saved_plans import load_plan

        return load_plan(path)

    # --- text ---

    def describe(self) -> dict[str, Any]:
        """Return the plan as JSON. For a region, bytes and objects are those that are read and written again."""
        return plan_text.described(self)

    @property
    def heading(self) -> str:
        """Source, target and method, in two lines."""
        return plan_text.heading(self)

    @property
    def summary(self) -> str:
        """Bytes to read and write, objects, blocks, workers and memory, in one line."""
        return plan_text.summary(self)

    def __str__(self) -> str:
        return "\n".join([self.heading, plan_text.table(self), self.summary, *plan_text.notices(self)])

    __repr__ = __str__
