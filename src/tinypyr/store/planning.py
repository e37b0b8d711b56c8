"""From arguments to a plan: every argument is checked here, and nothing is created."""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .._pooling.arguments import check_array, checked_ignore
from ..errors import StoreError
from ..grid import Grid, as_arguments, cumulative
from .block_geometry import BlockGeometry, Box, Extents
from .formats import FORMATS
from .inputs import Inputs
from .level_storage import LevelStorage
from .location import check_can_create
from .method_choice import choose_method
from .partition import choose_blocks
from .plans import Plan
from .pooling_rule import PoolingOptions, PoolingRule, checked_region, rule_of_levels
from .request import Request
from .resources import Resources
from .scratch import FOLDER
from .source import Mask, Source, are_planes, default_chunks, open_source
from .target_layout import Target, base_layout, check_link, choose_target, existing_layouts, level_layouts
from .target_state import state_of
from .tuning import current_tuning
from .volume import Layout


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
    exclude: Any = None,
    region: Sequence[tuple[int, int]] | None = None,
    recursive: bool = False,
    link: bool = False,
    memory: int | str = "1GiB",
    block: int | str | None = None,
    workers: int | None = None,
    grid: Grid | None = None,
    force: bool = False,
    skip_empty: bool | None = None,
) -> Plan:
    """Plan how to build the levels of a volume: check every argument, choose blocks, create nothing.

    Parameters
    ----------
    source : path, URL, Volume, or array
        A store (OME-Zarr 0.1 to 0.6, N5, Neuroglancer precomputed), a file that a reader opens, what
        :func:`tinypyr.open` returned, or an array of numpy, zarr, dask, h5py or TensorStore.
    target : path or URL, optional
        A new store, to which level 0 is copied. By default, and if it is the source itself, levels are added to the
        source next to its level 0.
    factor, levels
        As for :meth:`tinypyr.Grid.schedule`. ``"auto"`` halves the axes with the smallest voxels first, until the
        volume fits in a chunk.
    method : str
        As for :func:`tinypyr.downsample`. ``"auto"`` selects mode for labels (marked as such, or unsigned integers of
        32 or 64 bits that are not marked as an image), and mean for everything else. Every level is pooled from the
        base, including medians.
    format : {"ome-zarr-0.5", "ome-zarr-0.6", "ome-zarr-0.4", "n5", "precomputed"}, optional
        Format of the target. By default that of the source for levels in place, and OME-Zarr 0.5 for a new store.
    ignore, rounding, ties
        As for :func:`tinypyr.downsample`.
    chunks, shards : sequence of int, optional
        Voxels per chunk and per shard (one file of several chunks), along the source's axes. By default those of the
        source.
    codec : {"zstd", "gzip", "blosc", "raw"}, optional
        By default that of the source if the format is the same, otherwise zstd (gzip in N5).
    mask : path, URL, or array, optional
        Voxels to use, an array of the base's shape: non-zero voxels count, zero voxels are excluded from every level,
        with any method. The axes of a store are matched by name. A voxel whose footprint is excluded as a whole gets
        the value to ignore if there is one, otherwise the fill value.
    exclude : path, URL, or array, optional
        The inverse of ``mask``: non-zero voxels are excluded. At most one of the two can be given.
    region : sequence of (int, int), optional
        The part of level 0 that has changed, in voxels of the array, for a store that has levels already. Only
        voxels whose footprint meets it are written again, with the factors, the method and everything else recorded in
        the store
        (``method`` is needed only if the store does not record one).
    recursive : bool
        Pool each level from the previous one. Allowed for ``"median"`` only, whose result then differs from the median
        of the base; without it, the whole footprint of a voxel of the last level must fit in memory.
    link : bool
        Point to level 0 of the source instead of copying it, for a new OME-Zarr store on the same disk.
    memory : int or str
        Upper limit for the memory of the build, for example ``"512MiB"``.
    block : int or str, optional
        Approximate number of bytes of level 0 in a block. A block is the unit of work of a worker, and of what an
        interruption can lose. By default a 32nd of the volume, between 64 MiB and 4 GiB.
    workers : int, optional
        Number of blocks to process at the same time. By default one per core.
    grid : Grid, optional
        Grid of the source: world coordinates for an array, and a replacement for the metadata of a store, also for
        metadata that cannot be read.
    force : bool
        Allow means of labels.
    skip_empty : bool, optional
        Leave out chunks that hold nothing but the fill value. By default true, except in precomputed volumes, because
        cloud-volume and others refuse missing chunks.

    Returns
    -------
    Plan

    Raises
    ------
    StoreError
        If the source cannot be read, or the target cannot be created.
    ValueError, TypeError
        If an argument is invalid. The message begins with its name.

    Examples
    --------
    >>> import numpy as np
    >>> from tinypyr import store
    >>> plan = store.plan(np.zeros((64, 64), np.uint8), "memory://planned.ome.zarr", factor=2, levels=2)
    >>> [grid.shape for grid in plan.grids]
    [(64, 64), (32, 32), (16, 16)]
    """
    request = Request(
        rule=PoolingRule(factor, levels, method, ignore, rounding, ties, recursive, force),
        format=format,
        chunks=chunks,
        shards=shards,
        codec=codec,
        link=link,
        mask=mask,
        exclude=exclude,
        region=region,
        memory=memory,
        block=block,
        workers=workers,
        grid=grid,
        skip_empty=skip_empty,
    )
    rule, reader = request.rule, open_source(source, grid)
    if region is not None:
        rule = rule_of_levels(reader.volume, target, request.beside_region(), force=force)
        reader, region = _in_tie_order(reader, region)
    _check_voxels(reader)
    base = reader.grid
    ignored = checked_ignore(rule.ignore, reader.dtype)
    destination = choose_target(reader, target, format, grid)
    method, reason = choose_method(rule, reader)
    options = PoolingOptions(method, reason, ignored, rule.rounding, rule.ties, rule.recursive)
    inputs = Inputs(reader, Mask.of(mask, exclude, base))
    changed_box = None if region is None else checked_region(region, base)
    layout = base_layout(reader, destination, chunks, shards, codec, fills=inputs.mask is not None and ignored is None)
    factors = _factors(base, rule, layout, destination.format)
    _check_assumed(reader, factors)
    storage = _storage(request, reader, destination, layout, factors, options.method)
    resources = Resources(request.memory_in_bytes, request.worker_count, current_tuning())
    geometry = _geometry(request, inputs, options, storage, factors, changed_box, resources)
    draft = Plan(
        inputs=inputs, options=options, storage=storage, geometry=geometry, resources=resources, arguments=None
    )
    _check_levels(draft)
    result = replace(draft, arguments=_portable_arguments(draft, request))
    _check_target(result)
    return result


def _storage(
    request: Request, source: Source, target: Target, layout: Layout, factors: list[Extents], method: str
) -> LevelStorage:
    """Return where and how the levels are stored; raise an error if the target cannot store them."""
    base = source.grid
    grids = [base, *base.levels(cumulative(factors, base.ndim), method)]
    if request.link:
        check_link(source.volume, target, layout is source.layout)
    paths, layouts = _stored_levels(source, target, layout, grids, updates_region=request.region is not None)
    return LevelStorage(
        location=target.location,
        format=target.format,
        grids=grids,
        paths=paths,
        layouts=layouts,
        kind=source.kind or ("labels" if method == "mode" else "image"),
        dtype=source.dtype.name,
        copies_base=not target.in_place and not request.link,
        links_base=request.link,
        skip_empty=request.skips_empty(target.format),
        volume=source.volume,
    )


def _geometry(
    request: Request,
    inputs: Inputs,
    options: PoolingOptions,
    storage: LevelStorage,
    factors: list[Extents],
    changed_box: Box | None,
    resources: Resources,
) -> BlockGeometry:
    """Return the blocks; raise StoreError if the memory is too small."""
    base, ndim = inputs.source.grid, inputs.source.grid.ndim
    partition = choose_blocks(
        base=base,
        source=inputs.source,
        layouts=storage.layouts,
        totals=[(1,) * ndim, *cumulative(factors, ndim)],
        copies_base=storage.copies_base,
        budget=resources.budget,
        accumulates=options.accumulates(masked=inputs.mask is not None),
        block_bytes=request.block_in_bytes,
        tuning=resources.tuning,
    )
    units = [layout.unit for layout in storage.layouts]
    return BlockGeometry(base=base, factors=factors, units=units, partition=partition, changed_box=changed_box)


def _check_voxels(source: Source) -> None:
    """Raise an error for a source without voxels, or with voxels that cannot be pooled."""
    if source.grid.ndim == 0 or 0 in source.grid.shape:
        raise StoreError(f"source: shape {source.grid.shape} holds nothing to pool")
    check_array(source.grid.shape, source.dtype)


def _in_tie_order(source: Source, region: Any) -> tuple[Source, Any]:
    """Return a source and its region with axes in the order in which ties were broken when its levels were built."""
    volume, base = source.volume, source.grid
    if volume is None or volume.order == base.axes:
        return source, region
    box = checked_region(region, base)
    return source.reordered(volume.order), [box[base.axes.index(axis)] for axis in volume.order]


def _factors(base: Grid, rule: PoolingRule, layout: Layout, format: str) -> list[Extents]:
    """Return the factors from each level to the next; raise ValueError for those that make no sense."""
    chunk = default_chunks(base) if are_planes(layout.chunks, base) else layout.chunks
    chunk = tuple(min(c, n) for c, n in zip(chunk, base.shape, strict=True))
    factors = base.schedule(rule.factor, rule.levels, fits=chunk)
    for k, step in enumerate(factors):
        if all(f == 1 for f in step):
            raise ValueError(f"factor: level {k + 1} would be pooled by 1 along every axis")
    totals = [(1,) * base.ndim, *cumulative(factors, base.ndim)]
    for total in totals[1:]:
        for name, n, f, o in zip(base.axes, base.shape, total, base.voxel_offset, strict=True):
            if f > 1 and f >= 2 * (o % f + n):
                raise ValueError(
                    f"factor: cumulative factor {f} along {name} is more than twice the {n} voxels; build fewer levels"
                )
    if len(factors) > 1 and isinstance(rule.factor, (list, tuple)):
        _warn_of_cumulative(base, factors, totals[-1])
    for name, f in zip(base.axes, totals[-1], strict=True):
        if f > 1 and name in FORMATS[format].FIXED_AXES:
            raise ValueError(f"factor: {f} along {name}, but {format} stores all of {name} at every level; use 1 there")
    return factors


def _warn_of_cumulative(base: Grid, factors: list[Extents], total: Extents) -> None:
    """Warn of factors that grow like cumulative ones and leave a single voxel of the last level."""
    grows = all(
        b % a == 0 and (b > a or b == 1) for x, y in itertools.pairwise(factors) for a, b in zip(x, y, strict=True)
    )
    last = base.level(total).shape
    if grows and all(n == 1 for n, f in zip(last, total, strict=True) if f > 1):
        relative = [
            factors[0],
            *(tuple(b // a for a, b in zip(x, y, strict=True)) for x, y in itertools.pairwise(factors)),
        ]
        warnings.warn(
            f"factor: {factors} are the factors from each level to the next, so that the last level has the shape "
            f"{last}; if they were meant from the base, pass {relative}",
            stacklevel=4,
        )


def _check_assumed(source: Source, factors: list[Extents]) -> None:
    """Raise StoreError if an axis is pooled along which the metadata has the scale 0."""
    assumed = () if source.volume is None else source.volume.assumed
    for name, *steps in zip(source.grid.axes, *factors, strict=True):
        if source.volume is not None and name in assumed and max(steps, default=1) > 1:
            raise StoreError(
                f"{source.volume.location.name}: its scale is 0 along {name}, which would be pooled; correct the "
                "metadata, give the world coordinates (grid=), or a factor of 1 along this axis"
            )


def _stored_levels(
    source: Source, target: Target, layout: Layout, grids: list[Grid], updates_region: bool
) -> tuple[list[str], list[Layout]]:
    """Return the paths and layouts of all levels; those of the store itself if a region of it is updated."""
    volume = source.volume
    FORMATS[target.format].axes_order(grids[0])  # refuses axes that the format does not have
    if updates_region and volume is not None:
        return volume.paths, existing_layouts(volume, layout, grids[0])
    first = volume.paths[0] if target.in_place and volume is not None else None
    paths = FORMATS[target.format].level_paths(grids, first)
    return paths, level_layouts(target.format, layout, grids)


def _check_levels(plan: Plan) -> None:
    """Raise StoreError for a level that the format cannot store, or that would be written outside the store."""
    storage = plan.storage
    if plan.changed_box is None:
        for number in range(storage.first, len(storage.grids)):
            spec, _ = storage.level_spec(number)
            if number in (storage.first, len(storage.grids) - 1):
                check_can_create(spec, storage.name(number))
    if storage.location.files is not None:
        for path in [*storage.paths[storage.first :], FOLDER]:
            storage.location.files.check_inside(path)


def _check_target(plan: Plan) -> None:
    """Raise StoreError if the target belongs to another plan, or has files where levels would be written."""
    if state_of(plan, take_over=True) == "new":
        if plan.changed_box is None:
            _check_no_foreign_files(plan)
        _warn_of_empty(plan)


def _check_no_foreign_files(plan: Plan) -> None:
    """Raise StoreError if there are files already where a level would be written."""
    for number, path in enumerate(plan.paths):
        if number >= plan.storage.first and (key := plan.location.child(path).any_key()) is not None:
            raise StoreError(
                f"{plan.location.name}/{path}: level {number} would be written there, but it holds {key} already, "
                "which is not part of this pyramid; move or remove it, or choose another target"
            )


def _warn_of_empty(plan: Plan) -> None:
    """Warn of a source or a mask without any chunk."""
    for message in plan.inputs.empty:
        warnings.warn(message, stacklevel=4)


def _portable_arguments(plan: Plan, request: Request) -> dict[str, Any] | None:
    """Return arguments by which another process makes the same plan; None if it could not read the same voxels."""
    source, mask, options, storage = plan.source, plan.mask, plan.options, plan.storage
    locations = [storage.location, source.location, *([] if mask is None else [mask.location])]
    in_this_process = any(location is None or location.url.startswith("memory:") for location in locations)
    if (source.recipe or {}).get("only_here") or isinstance(options.ignore, complex) or in_this_process:
        return None
    arguments = {"source": source.recipe or source.name, "memory": plan.memory, "block": request.block_in_bytes}
    arguments |= {"workers": plan.workers, "skip_empty": storage.skip_empty}
    if request.region is not None and source.volume is not None:  # everything else is recorded in the store
        region = [[int(start), int(stop)] for start, stop in request.region]
        return {**arguments, "region": region, "method": "auto" if source.volume.notes.get("method") else plan.method}

    def integers(values: Sequence[int] | None) -> list[int] | None:
        return None if values is None else [int(extent) for extent in values]

    return {
        **arguments,
        "target": None if storage.in_place else storage.location.url,
        "factor": [list(step) for step in plan.factors] or "auto",
        "levels": len(plan.factors),
        "method": options.method,
        "format": storage.format,
        "ignore": None if options.ignore is None else options.ignore.item(),
        "rounding": options.rounding,
        "ties": options.ties,
        "chunks": integers(request.chunks),
        "shards": integers(request.shards),
        "codec": request.codec,
        **({} if mask is None else {mask.parameter: mask.recipe or mask.name}),
        "recursive": options.recursive,
        "link": storage.links_base,
        "grid": None if request.grid is None else as_arguments(request.grid),
        "force": request.rule.force,
    }
