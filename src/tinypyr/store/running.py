"""Building: run the blocks of a plan by an engine, merge their results, and write the metadata."""

from __future__ import annotations

import contextlib
import math
import operator
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .._pooling.arguments import Array
from .._util.sizes import size_text, workers_of
from .._util.terminal import Bar
from ..errors import StoreError
from ..grid import Grid, reordered
from .blocks import is_done, merge
from .engines import TRIES, Engine, engine_for
from .formats import FORMATS
from .ownership import Ownership
from .planning import plan as make_plan
from .plans import Plan
from .target_state import state_of
from .volume import LevelMetadata

ProgressOption = bool | Callable[["Progress"], None]


@dataclass(repr=False)
class Report:
    """The result of a build or a part of one. ``print(report)`` shows a summary.

    Attributes
    ----------
    plan : Plan
        The plan that was run.
    seconds : float
        Elapsed time.
    bytes_read, bytes_written : int
        Bytes of voxels, before compression.
    blocks_done, blocks_kept : int
        Numbers of blocks that were processed, and that an earlier run had finished.
    failed : dict of int to str
        Errors of the blocks that failed, by number.
    labels : list of int
        Number of labels in each level, the base first. Empty if the method is not mode.
    vanished : list of array
        For each level, the labels of the previous level that it does not have.
    unproven : list of int
        For each level above the base, the number of voxels whose mode is not proven (see :func:`tinypyr.pyramid`).
    already_complete : bool
        Whether the same levels existed already, so that nothing was done.
    """

    plan: Plan
    seconds: float = 0.0
    bytes_read: int = 0
    bytes_written: int = 0
    blocks_done: int = 0
    blocks_kept: int = 0
    failed: dict[int, str] = field(default_factory=dict)
    labels: list[int] = field(default_factory=list)
    vanished: list[Array] = field(default_factory=list)
    unproven: list[int] = field(default_factory=list)
    already_complete: bool = False

    def __str__(self) -> str:
        if self.already_complete:
            return "already complete; nothing to do"
        rate = self.bytes_read / self.seconds if self.seconds else 0.0
        count = len(self.plan.factors)
        lines = [
            f"{count} level{'' if count == 1 else 's'} in {self.seconds:.1f} s: {size_text(self.bytes_read)} read "
            f"({size_text(rate)}/s), {size_text(self.bytes_written)} written, {self.blocks_done} blocks processed"
            + (f", {self.blocks_kept} kept from an earlier run" if self.blocks_kept else "")
        ]
        for level, (count, vanished) in enumerate(zip(self.labels, self.vanished, strict=True)):
            text = f"level {level}: {count} labels"
            if vanished.size:
                names = ", ".join(map(str, vanished[:5].tolist()))
                text += f", {vanished.size} vanished ({names}{', ...' if vanished.size > 5 else ''})"
            lines.append(text)
        for level, count in enumerate(self.unproven, 1):
            if count:
                lines.append(
                    f"level {level}: {count} voxels have more than 1,024 labels below; their mode is not proven"
                )
        lines += [f"block {number} failed: {why}" for number, why in sorted(self.failed.items())]
        return "\n".join(lines)

    __repr__ = __str__


@dataclass(frozen=True)
class Progress:
    """Progress of a build.

    Attributes
    ----------
    blocks_done, blocks : int
        Numbers of blocks that are done, including those of an earlier run, and of all blocks.
    bytes_read, bytes_to_read : int
        Bytes of level 0 that this run has read, and will read in total.
    seconds : float
        Elapsed time.
    """

    blocks_done: int
    blocks: int
    bytes_read: int
    bytes_to_read: int
    seconds: float

    @property
    def rate(self) -> float:
        """Bytes of level 0 per second."""
        return self.bytes_read / self.seconds if self.seconds else 0.0

    @property
    def seconds_left(self) -> float:
        """Remaining time at the current rate; infinite before the first block is done."""
        return (self.bytes_to_read - self.bytes_read) / self.rate if self.rate else math.inf

    @property
    def share(self) -> float:
        """Fraction of the blocks that are done."""
        return self.blocks_done / self.blocks if self.blocks else 1.0

    def __str__(self) -> str:
        remaining = f", about {self.seconds_left:.0f} s left" if math.isfinite(self.seconds_left) else ""
        return (
            f"{self.blocks_done} of {self.blocks} blocks, "
            f"{size_text(self.bytes_read)} of {size_text(self.bytes_to_read)}, {size_text(self.rate)}/s{remaining}"
        )


class BuildError(StoreError):
    """Error of a build of which some blocks failed. The others are kept.

    Attributes
    ----------
    report : Report
        The report, with the errors in ``report.failed``.
    """

    def __init__(self, report: Report) -> None:
        super().__init__(
            f"{len(report.failed)} of {len(report.plan.numbers)} blocks failed; run it again to process them\n{report}"
        )
        self.report = report


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
    factor, levels, method, ignore, rounding, ties, recursive, force
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
    planned = make_plan(
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
    )
    return complete(planned, engine, resume, progress, blocks)


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
        plan = replace(plan, workers=min(plan.workers, workers_of(workers)))
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
        with contextlib.suppress(StoreError), Ownership(plan.scratch.location):
            plan.scratch.clear()
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
    """
    report = Report(plan)
    if (
        plan.scratch.read_plan() is None and state_of(plan, saved=True) != "finished"
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
    if state_of(plan, saved=saved, take_over=take_over) == "finished" and not plan.scratch.location.keys():
        plan.scratch.location.remove_if_empty()
        yield None
        return
    with Ownership(plan.scratch.location) as owner:
        # the previous owner may have finished this plan, or begun another one
        if state_of(plan, saved=saved, take_over=take_over) == "finished":
            plan.scratch.clear()  # (files of an interrupted finalize)
            yield None
        else:
            yield owner


def _already_complete(report: Report, keep: bool) -> Report:
    if not keep:
        raise StoreError(f"{report.plan.location.name}: finished already; remove its levels to make them again")
    report.blocks_kept, report.already_complete = len(report.plan.numbers), True
    return report


def _begin(plan: Plan) -> None:
    if plan.links_base and plan.source.volume is not None:
        volume = plan.source.volume
        plan.location.link(plan.paths[0], volume.location.child(volume.paths[0]))
    plan.scratch.write_plan(plan.to_dict())


class _Queue:
    """Blocks that are submitted to an engine, a few more than it can process at once."""

    def __init__(self, plan: Plan, runner: Engine, numbers: Sequence[int], keep: bool) -> None:
        self._plan, self._runner, self._keep = plan, runner, keep
        self._waiting = iter(numbers)
        self._running: dict[Any, int] = {}
        self._tries: dict[int, int] = {}
        self._retries: deque[int] = deque()
        self.blocks_kept = self.bytes_kept = 0  # of blocks that an earlier run finished

    def fill(self) -> None:
        """Submit blocks until the engine has enough."""
        while len(self._running) < self._runner.width and self._submit_next():
            pass

    def _submit_next(self) -> bool:
        if self._retries:  # one of these ends its process: each runs alone, so that no other block fails with it
            if not self._running:
                self._submit(self._retries.popleft())
            return False
        for number in self._waiting:
            if self._keep and is_done(self._plan, number):
                self.blocks_kept += 1
                self.bytes_kept += self._plan.bytes_in_block(number)
                continue
            self._submit(number)
            return True
        return False

    def _submit(self, number: int) -> None:
        self._running[self._runner.submit(number)] = number

    @property
    def is_empty(self) -> bool:
        """True if no block is being processed."""
        return not self._running

    def wait(self) -> Iterator[tuple[int, Any]]:
        """Wait for blocks to end; yield the number and the future of each."""
        for future in self._runner.wait(self._running):
            yield self._running.pop(future), future

    def retry(self, number: int, error: BaseException) -> bool:
        """Return whether a block that failed will be run again, because its process died."""
        self._tries[number] = self._tries.get(number, 0) + 1
        if self._runner.process_died(error) and self._tries[number] < TRIES:
            self._retries.append(number)
            return True
        return False


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
    keep = keep and plan.changed_box is None and plan.scratch.read_plan() is not None
    _begin(plan)
    if numbers is None:
        numbers = plan.numbers
        bytes_in_blocks = plan.source.dtype.itemsize * math.prod(stop - begin for begin, stop in plan.covered_box)
    else:
        bytes_in_blocks = sum(map(plan.bytes_in_block, numbers))
    queue = _Queue(plan, runner, numbers, keep)
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
        plan.check_source_unchanged()
    except StoreError:
        plan.scratch.remove_results()  # any of them may have read old voxels, even if the source is restored
        raise
    FORMATS[plan.format].describe(plan.location, metadata)
    plan.scratch.clear()
    report.bytes_written += merged.written
    report.seconds += time.perf_counter() - start


def _level_metadata(plan: Plan) -> LevelMetadata:
    volume, base = plan.source.volume, plan.grids[0]
    notes = {
        "ignore": None if plan.ignore is None else str(plan.ignore),
        "rounding": plan.rounding,
        "ties": plan.ties,
        "recursive": plan.recursive,
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
    inherited = dict(volume.attributes) if volume is not None and plan.format == volume.format else {}
    inherited.pop("array", None)
    grids = [reordered(grid, plan.stored_axes) for grid in plan.grids]
    return LevelMetadata(grids, plan.paths, plan.kind, plan.method, notes, inherited)
