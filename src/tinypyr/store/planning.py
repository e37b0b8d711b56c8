"""From arguments to a plan: every argument is checked here, and nothing is created."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from .. import _arrays
from .._pooling.arguments import METHODS, ROUNDINGS, TIES, check_array, checked_ignore, choice
from .._util.sizes import bytes_of, workers_of
from ..errors import StoreError
from ..grid import Grid, as_arguments, cumulative
from .formats import FORMATS
from .partition import choose_blocks
from .plans import Extents, Plan
from .pooling_rule import PoolingRule, checked_region, rule_of_levels
from .scratch import FOLDER
from .source import Mask, Source, open_source
from .target_layout import Target, base_layout, check_link, choose_target, existing_layouts, level_layouts, level_paths
from .target_state import state_of
from .tuning import current_tuning
from .volume import CODECS, Layout


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
    source : path, URL, or array
        A store (OME-Zarr 0.4 or 0.5, N5, Neuroglancer precomputed), or an array of numpy, zarr, dask, h5py or
        TensorStore.
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
    format : {"ome-zarr-0.5", "ome-zarr-0.4", "n5", "precomputed"}, optional
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
        Grid of the source: world coordinates for an array, and a replacement for the metadata of a store.
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
    flags = {"recursive": recursive, "link": link, "force": force}
    _check_choices(rounding, ties, format, codec, grid, **flags, skip_empty=skip_empty is not None and skip_empty)
    rule = PoolingRule(factor, levels, method, ignore, rounding, ties, recursive, force)
    reader = open_source(source, grid)
    if region is not None:
        fixed = {"factor": factor, "levels": levels, "method": method, "format": format, "ignore": ignore, "grid": grid}
        fixed |= {"rounding": rounding, "ties": ties, "chunks": chunks, "shards": shards, "codec": codec, "mask": mask}
        fixed |= {"exclude": exclude, "recursive": recursive, "link": link}
        rule = rule_of_levels(reader.volume, target, fixed)
        reader, region = _in_tie_order(reader, region)
    _check_voxels(reader)
    base, tuning = reader.grid, current_tuning()
    ignored = checked_ignore(rule.ignore, reader.dtype)
    destination = choose_target(reader, target, format, grid)
    method = _method(rule, reader)
    skips_empty = FORMATS[destination.format].SKIPS_EMPTY if skip_empty is None else skip_empty
    masked = Mask.of(mask, exclude, base)
    changed_box = None if region is None else checked_region(region, base)
    layout = base_layout(reader, destination, chunks, shards, codec)
    factors = _factors(base, rule, layout, destination.format)
    totals = [(1,) * base.ndim, *cumulative(factors, base.ndim)]
    grids = [base, *base.levels(totals[1:], method)]
    if link:
        check_link(reader.volume, destination, layout is reader.layout)
    paths, layouts = _stored_levels(reader, destination, layout, grids, updates_region=region is not None)
    budget, worker_count = bytes_of(memory), workers_of(workers)
    block_bytes = None if block is None else bytes_of(block, "block", 1)
    copies_base = not destination.in_place and not link
    accumulates = _accumulates(method, rule.recursive, selects=ignored is not None or masked is not None)
    partition = choose_blocks(
        base, reader, layouts, totals, copies_base, budget // worker_count, accumulates, block_bytes, tuning
    )
    draft = Plan(
        source=reader,
        location=destination.location,
        format=destination.format,
        grids=grids,
        factors=factors,
        paths=paths,
        layouts=layouts,
        method=method,
        ignore=ignored,
        rounding=rule.rounding,
        ties=rule.ties,
        recursive=rule.recursive,
        mask=masked,
        changed_box=changed_box,
        copies_base=copies_base,
        links_base=link,
        kind=reader.kind or ("labels" if method == "mode" else "image"),
        skip_empty=skips_empty,
        memory=budget,
        workers=worker_count,
        **vars(partition),
        arguments=None,
        tuning=tuning,
    )
    _check_levels(draft)
    requested: dict[str, Any] = {"chunks": chunks, "shards": shards, "codec": codec, "grid": grid, "force": rule.force}
    requested |= {"region": region, "block": block_bytes}
    result = replace(draft, arguments=_portable_arguments(draft, requested))
    _check_target(result)
    return result


def _check_choices(
    rounding: str, ties: str, format: str | None, codec: str | None, grid: Grid | None, **flags: object
) -> None:
    """Raise ValueError or TypeError for an argument that is not one of its possible values."""
    choice("rounding", rounding, ROUNDINGS)
    choice("ties", ties, TIES)
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise TypeError(f"{name}: {value!r} is neither True nor False")
    if grid is not None and not isinstance(grid, Grid):
        raise TypeError(f"grid: {type(grid).__name__} is not a Grid")
    if format is not None and format not in list(FORMATS):
        raise ValueError(f"format: {format!r} is not one of {', '.join(map(repr, FORMATS))}")
    if codec is not None and codec not in CODECS:
        raise ValueError(f"codec: {codec!r} is not one of {', '.join(map(repr, CODECS))}")


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


def _method(rule: PoolingRule, source: Source) -> str:
    method, kind = rule.method, source.kind
    if method == "auto":
        method = "mode" if _arrays.looks_like_labels(kind, source.dtype.name) else "mean"
    choice("method", method, METHODS)
    if method == "mean" and kind == "labels" and not rule.force:
        raise ValueError(
            "method: averaging label IDs produces IDs of unrelated objects; pass method='mode', or force=True for the "
            "mean of labels"
        )
    if rule.recursive and method != "median":
        raise ValueError(f"recursive: allowed for medians only; levels of {method} are exact without it")
    return method


def _factors(base: Grid, rule: PoolingRule, layout: Layout, format: str) -> list[Extents]:
    """Return the factors from each level to the next; raise ValueError for those that make no sense."""
    chunk = [min(c, n) for c, n in zip(layout.chunks, base.shape, strict=True)]
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
    for name, f in zip(base.axes, totals[-1], strict=True):
        if f > 1 and name in FORMATS[format].FIXED_AXES:
            raise ValueError(f"factor: {f} along {name}, but {format} stores all of {name} at every level; use 1 there")
    return factors


def _stored_levels(
    source: Source, target: Target, layout: Layout, grids: list[Grid], updates_region: bool
) -> tuple[list[str], list[Layout]]:
    """Return the paths and layouts of all levels; those of the store itself if a region of it is updated."""
    volume = source.volume
    FORMATS[target.format].axes_order(grids[0])  # refuses axes that the format does not have
    if updates_region and volume is not None:
        return volume.paths, existing_layouts(volume, layout, grids[0])
    paths = level_paths(volume if target.in_place else None, target.format, grids)
    return paths, level_layouts(target.format, layout, grids)


def _accumulates(method: str, recursive: bool, selects: bool) -> bool:
    """Return whether levels can be pooled from accumulators, so that leaves need not hold their whole footprints.

    ``selects`` is true if some voxels are ignored or excluded. Stride has no accumulator then, median never.
    """
    return recursive or method not in ("median", "stride") or (method == "stride" and not selects)


def _check_levels(plan: Plan) -> None:
    """Raise StoreError for a level that the format cannot store, or that would be written outside the store."""
    first = 0 if plan.copies_base else 1
    if plan.changed_box is None:
        for number in range(first, len(plan.grids)):
            plan.level_spec(number)
    for path in [*plan.paths[first:], FOLDER]:
        plan.location.check_inside(path)


def _check_target(plan: Plan) -> None:
    """Raise StoreError if the target belongs to another plan, or has files where levels would be written."""
    if state_of(plan, take_over=True) == "new":
        if plan.changed_box is None:
            _check_no_foreign_files(plan)
        _warn_of_empty(plan)


def _check_no_foreign_files(plan: Plan) -> None:
    """Raise StoreError if there are files already where a level would be written."""
    for number, path in enumerate(plan.paths):
        if (number > 0 or plan.copies_base) and (key := plan.location.child(path).any_key()) is not None:
            raise StoreError(
                f"{plan.location.name}/{path}: level {number} would be written there, but it holds {key} already, "
                "which is not part of this pyramid; move or remove it, or choose another target"
            )


def _warn_of_empty(plan: Plan) -> None:
    """Warn of a source or a mask without any chunk."""
    for message in plan.empty_inputs:
        warnings.warn(message, stacklevel=4)


def _portable_arguments(plan: Plan, requested: dict[str, Any]) -> dict[str, Any] | None:
    """Return arguments by which another process makes the same plan; None if it could not read the same voxels."""
    source, volume, mask, ignore = plan.source, plan.source.volume, plan.mask, plan.ignore
    locations = [plan.location, source.location, *([] if mask is None else [mask.location])]
    in_this_process = any(location is None or location.url.startswith("memory:") for location in locations)
    if (source.recipe or {}).get("only_here") or isinstance(ignore, complex) or in_this_process:
        return None
    arguments = {"source": source.recipe or source.name, "memory": plan.memory, "block": requested["block"]}
    arguments |= {"workers": plan.workers, "skip_empty": plan.skip_empty}
    if plan.changed_box is not None and volume is not None:  # everything else is recorded in the store
        region = [[int(start), int(stop)] for start, stop in requested["region"]]
        return {**arguments, "region": region, "method": "auto" if volume.notes.get("method") else plan.method}

    def integers(name: Literal["chunks", "shards"]) -> list[int] | None:
        return None if requested[name] is None else [int(extent) for extent in requested[name]]

    return {
        **arguments,
        "target": plan.location.url if plan.copies_base or plan.links_base else None,
        "factor": [list(step) for step in plan.factors] or "auto",
        "levels": len(plan.factors),
        "method": plan.method,
        "format": plan.format,
        "ignore": None if ignore is None else ignore.item(),
        "rounding": plan.rounding,
        "ties": plan.ties,
        "chunks": integers("chunks"),
        "shards": integers("shards"),
        "codec": requested["codec"],
        **({} if mask is None else {mask.parameter: mask.recipe or mask.name}),
        "recursive": plan.recursive,
        "link": plan.links_base,
        "grid": None if requested["grid"] is None else as_arguments(requested["grid"]),
        "force": requested["force"],
    }
