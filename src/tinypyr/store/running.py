"""Building: run the blocks of a plan by an engine, merge their results, and write the metadata."""

from __future__ import annotations

import contextlib
import operator
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .. import _arrays
from .._util.sizes import workers_of
from .._util.terminal import Bar
from ..errors import StoreError
from ..grid import Grid, reordered
from .block_queue import BlockQueue
from .blocks import merge
from .engines import Engine, engine_for
from .formats import FORMATS
from .metadata import Metadata
from .ownership import Ownership
from .planning import plan as make_plan
from .plans import Plan
from .reports import BuildError, Progress, ProgressOption, Report
from .saved_plans import json_of_plan
from .target_state import state_of
from .volume import LevelMetadata


def build(
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
    engine: Any = "threads",
    resume: bool = True,
    progress: ProgressOption = True,
    blocks: Sequence[int] | None = None,
) -> Report:
    """Build the levels of a volume in bounded memory.

    Every level is bit-identical to that of :func:`tinypyr.pyramid` on the whole volume, for any chunks, engine, number
    of workers, and after any number of interruptions. To resume after an interruption or a crash, make the same call
    again.

    Parameters
    ----------
    source, target, grid
        As for :func:`plan`.
    factor, levels, method, ignore, rounding, ties, recursive, force, skip_empty
        As for :func:`plan`.
    format, chunks, shards, codec, link
        As for :func:`plan`.
    mask, exclude, region
        As for :func:`plan`.
    memory, block, workers
        As for :func:`plan`.
    engine : {"threads", "processes"} or dask.distributed.Client
        Where blocks are processed. Processes and dask workers read the source themselves, so it must be a store.
    resume : bool
        Keep the blocks that an earlier run of the same plan finished (except those of a region, which may have changed
        since). An array that is not in a store is assumed to be unchanged if its first and its last corner are. With
        False, all blocks are processed again, even if the source changed after an interrupted run.
    progress : bool or callable
        With True, show a progress bar if standard error is a terminal. A function is called with a :class:`Progress`
        after every block.
    blocks : sequence of int, optional
        Process these blocks only, for example those in ``report.failed``, even if they are done.

    Returns
    -------
    Report

    Raises
    ------
    StoreError
        If something cannot be read or written, if another process is building there, or if files of the source changed
        during the build. Finished blocks are kept for the next run, unless the source changed. If blocks failed, the
        error is a :class:`BuildError` with a ``report``.
    ValueError, TypeError
        If an argument is invalid. Nothing is created then.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from tinypyr import store
    >>> volume = np.arange(64**3, dtype=np.uint16).reshape(64, 64, 64)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = store.build(volume, folder + "/volume.ome.zarr", factor=2, levels=2)
    >>> report.blocks_done > 0
    True
    """
    new_plan = make_plan(
        source,
        target,
        factor=factor,
        levels=levels,
        method=method,
        format=format,
        ignore=ignore,
        rounding=rounding,
        ties=ties,
        chunks=chunks,
        shards=shards,
        codec=codec,
        mask=mask,
        exclude=exclude,
        region=region,
        recursive=recursive,
        link=link,
        memory=memory,
        block=block,
        workers=workers,
        grid=grid,
        force=force,
        skip_empty=skip_empty,
    )
    return complete(new_plan, engine, resume, progress, blocks)


def complete(
    plan: Plan,
    engine: Any = "threads",
    resume: bool = True,
    progress: ProgressOption = True,
    blocks: Sequence[int] | None = None,
) -> Report:
    """Run all blocks of a plan and finalize it, as :func:`build` does."""
    numbers = checked_blocks(plan, blocks)
    runner = engine_for(plan, engine)  # raises if it cannot run the plan, before anything is created
    report, keep = Report(plan), resume and blocks is None
    with _progress_callback(progress) as show, _owned(plan, take_over=not resume) as owner:
        if owner is None:
            return _already_complete(report, keep)
        with contextlib.closing(runner):
            _run_blocks(report, runner, keep, show, numbers, owner)
        if report.failed:
            raise BuildError(report)
        _finalize(report, owner)
    return report


def run(
    plan: Plan,
    *,
    part: tuple[int, int] | None = None,
    blocks: Sequence[int] | None = None,
    engine: Any = "threads",
    workers: int | None = None,
    resume: bool = True,
    progress: ProgressOption = True,
) -> Report:
    """Run blocks of a plan. Call :func:`finalize` when all blocks are done.

    Parts are independent: any part may run several times, late, or at the same time as another.

    Parameters
    ----------
    plan : Plan
        A plan from :func:`plan` or :meth:`Plan.load`.
    part : (int, int), optional
        The i-th of n parts, counted from 1. By default all blocks.
    blocks : sequence of int, optional
        Process these blocks only, even if they are done.
    engine, resume, progress
        As for :func:`build`.
    workers : int, optional
        Number of blocks to process at the same time, if smaller than that of the plan.

    Returns
    -------
    Report
        A report that lists the blocks that ``failed``, and why.

    Examples
    --------
    Two independent jobs, and a third one when both have ended:

    >>> import numpy as np, tempfile
    >>> from tinypyr import store
    >>> volume = np.arange(64**3, dtype=np.uint16).reshape(64, 64, 64)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = store.build(volume, folder + "/base.zarr", levels=0, chunks=(16, 16, 16))
    ...     store.plan(folder + "/base.zarr", factor=2, levels=2, block="64KiB").save(folder + "/plan.json")
    ...     first = store.run(store.Plan.load(folder + "/plan.json"), part=(1, 2))
    ...     second = store.run(store.Plan.load(folder + "/plan.json"), part=(2, 2))
    ...     last = store.finalize(store.Plan.load(folder + "/plan.json"))
    >>> first.blocks_done + second.blocks_done == last.plan.blocks
    True
    """
    if not isinstance(plan, Plan):
        raise TypeError(f"plan: {type(plan).__name__} is not a Plan; call store.plan or Plan.load first")
    if workers is not None:
        resources = replace(plan.resources, workers=min(plan.workers, workers_of(workers)))
        plan = replace(plan, resources=resources)
    if part is not None and blocks is not None:
        raise ValueError("part: blocks are given as well; give one of the two")
    numbers = checked_blocks(plan, blocks) if part is None else _numbers_of_part(plan, part)
    runner, report = engine_for(plan, engine), Report(plan)
    if state_of(plan, saved=True, take_over=not resume) == "finished":
        return _already_complete(report, blocks is None)
    with _progress_callback(progress) as show, contextlib.closing(runner):
        # blocks that are listed are processed again, blocks of a part only if they are not done
        _run_blocks(report, runner, resume and blocks is None, show, numbers, None)
    if state_of(plan, saved=True, take_over=not resume) == "finished":  # meanwhile, by another process
        with contextlib.suppress(StoreError), _ownership(plan):
            plan.storage.scratch.clear()
    return report


def finalize(plan: Plan) -> Report:
    """Merge the results of all blocks of a plan, write the metadata, and remove temporary files.

    Parameters
    ----------
    plan : Plan
        A plan all of whose blocks have been run.

    Returns
    -------
    Report

    Raises
    ------
    StoreError
        If a block is not done (the message names it), or another process is building there.

    Examples
    --------
    >>> import numpy as np
    >>> from tinypyr import store
    >>> plan = store.plan(np.zeros((64, 64), np.uint8), "memory://finalized.ome.zarr", factor=2, levels=2)
    >>> store.run(plan).failed
    {}
    >>> report = store.finalize(plan)
    >>> len(store.levels("memory://finalized.ome.zarr"))
    3
    """
    report = Report(plan)
    if (
        plan.storage.scratch.read_plan() is None and state_of(plan, saved=True) != "finished"
    ):  # (becoming owner creates a folder)
        raise StoreError(f"{plan.location.name}: block 0 is not done, nor any other; run the plan first")
    with _owned(plan, saved=True) as owner:
        if owner is None:
            return _already_complete(report, True)
        _finalize(report, owner)
    return report


def checked_blocks(plan: Plan, blocks: Sequence[int] | None) -> list[int] | None:
    """Return numbers of blocks, sorted, each once; raise ValueError or TypeError if the plan does not have them."""
    if blocks is None:
        return None
    try:
        numbers = sorted({operator.index(number) for number in blocks})
    except TypeError:
        raise TypeError(f"blocks: {blocks!r} is not a sequence of integers") from None
    unknown = [number for number in numbers if number not in plan.numbers]
    if unknown:
        raise ValueError(f"blocks: {unknown[0]!r} is none of the plan's {len(plan.numbers)} blocks, counted from 0")
    return numbers


def _numbers_of_part(plan: Plan, part: Any) -> Sequence[int]:
    try:
        i, n = map(operator.index, part)
    except (TypeError, ValueError):
        raise TypeError(f"part: {part!r} is not a pair of integers, such as (3, 16)") from None
    if not 1 <= i <= n:
        raise ValueError(f"part: {i}/{n} is not the I-th of N parts, counted from 1")
    count = len(plan.numbers)
    return plan.numbers[count * (i - 1) // n : count * i // n]


@contextlib.contextmanager
def _progress_callback(progress: ProgressOption) -> Iterator[Callable[[Progress], None] | None]:
    bar = Bar()
    try:
        if callable(progress):
            yield progress
        else:
            yield (lambda state: bar.show(str(state), state.share)) if progress else None
    finally:
        bar.clear()


@contextlib.contextmanager
def _owned(plan: Plan, *, saved: bool = False, take_over: bool = False) -> Iterator[Ownership | None]:
    """Own the target meanwhile, so that no other process builds there; None if the plan is finished already."""
    if state_of(plan, saved=saved, take_over=take_over) == "finished" and not plan.storage.scratch.location.keys():
        plan.storage.scratch.remove_if_empty()
        yield None
        return
    with _ownership(plan) as owner:
        # the previous owner may have finished this plan, or begun another one
        if state_of(plan, saved=saved, take_over=take_over) == "finished":
            plan.storage.scratch.clear()  # (files of an interrupted finalize)
            yield None
        else:
            yield owner


def _ownership(plan: Plan) -> Ownership:
    return Ownership(plan.storage.scratch.location, plan.resources.tuning.heartbeat_interval)


def _already_complete(report: Report, keep: bool) -> Report:
    if not keep:
        raise StoreError(f"{report.plan.location.name}: finished already; remove its levels to make them again")
    report.blocks_kept, report.already_complete = len(report.plan.numbers), True
    return report


def _begin(plan: Plan) -> None:
    plan.storage.link_base()
    plan.storage.scratch.write_plan(json_of_plan(plan))


def _run_blocks(
    report: Report,
    runner: Engine,
    keep: bool,
    show: Callable[[Progress], None] | None,
    numbers: Sequence[int] | None,
    owner: Ownership | None,
) -> None:
    """Run blocks by an engine, and add their results to the report."""
    plan, start = report.plan, time.perf_counter()
    keep = keep and plan.changed_box is None and plan.storage.scratch.read_plan() is not None
    _begin(plan)
    if numbers is None:
        numbers = plan.numbers
        bytes_in_blocks = plan.source.bytes_in(plan.geometry.covered_box)
    else:
        bytes_in_blocks = sum(map(plan.bytes_in_block, numbers))
    queue = BlockQueue(plan, runner, numbers, keep)
    try:
        while True:
            queue.fill()
            if queue.is_empty:
                break
            for number, future in queue.wait():
                try:
                    report.bytes_written += future.result()
                except (Exception, SystemExit) as error:  # (a plugin may call sys.exit)
                    if queue.retry(number, error):
                        continue
                    report.failed[number] = repr(error) if isinstance(error, SystemExit) else str(error) or repr(error)
                else:
                    report.blocks_done += 1
                    report.bytes_read += plan.bytes_in_block(number)
                if show is not None:
                    blocks_done, seconds = queue.blocks_kept + report.blocks_done, time.perf_counter() - start
                    bytes_to_read = bytes_in_blocks - queue.bytes_kept
                    show(Progress(blocks_done, len(numbers), report.bytes_read, bytes_to_read, seconds))
            if owner is not None:
                owner.check()
    finally:
        report.blocks_kept = queue.blocks_kept
        report.seconds = time.perf_counter() - start


def _finalize(report: Report, owner: Ownership) -> None:
    """Merge the results of blocks, and write the metadata last: it marks the build as finished."""
    plan, start = report.plan, time.perf_counter()
    merged = merge(plan)
    report.unproven = merged.unproven
    if merged.labels is not None and plan.changed_box is None:  # (the labels outside a region are not known)
        report.labels = [int(labels.size) for labels in merged.labels]
        below = [merged.labels[0], *merged.labels[:-1]]
        report.vanished = [np.setdiff1d(a, b) for a, b in zip(below, merged.labels, strict=True)]
    metadata = _level_metadata(plan)
    owner.check()
    try:
        plan.inputs.check_unchanged()
    except StoreError:
        plan.storage.scratch.remove_results()  # any of them may have read old voxels, even if the source is restored
        raise
    FORMATS[plan.format].describe(plan.location, metadata)
    plan.storage.scratch.clear()
    report.bytes_written += merged.bytes_written
    report.seconds += time.perf_counter() - start


def _level_metadata(plan: Plan) -> LevelMetadata:
    volume, base, options = plan.source.volume, plan.grids[0], plan.options
    notes = {
        "ignore": None if options.ignore is None else str(options.ignore),
        "rounding": options.rounding,
        "ties": options.ties,
        "recursive": options.recursive,
        "mask": None,
        "exclude": None,
        "voxel_offset": dict(zip(base.axes, base.voxel_offset, strict=True)),
        "order": list(base.axes),  # raster order of ties="first", the first axis fastest
        "plan": plan.fingerprint if plan.changed_box is None or volume is None else volume.notes.get("plan"),
    }
    if plan.mask is not None:
        notes[plan.mask.parameter] = plan.mask.name
    if plan.changed_box is not None:
        notes["region"] = plan.fingerprint
    chosen = plan.method == "mean" and _arrays.looks_like_labels(None, plan.source.dtype)  # (what else would be mode)
    if plan.source.kind is not None or plan.method == "mode" or chosen:
        notes["kind"] = plan.kind
    grids = [reordered(grid, plan.storage.stored_axes) for grid in plan.grids]
    metadata = Metadata() if volume is None else volume.metadata
    return LevelMetadata(grids, plan.paths, plan.kind, plan.method, notes, metadata)
