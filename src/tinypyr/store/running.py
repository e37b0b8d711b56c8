"""Building: the blocks of a plan by an engine, then what is merged from them and the metadata."""

from __future__ import annotations

import contextlib
import math
import operator
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
from ..grid import reordered
from .blocks import is_done, merge
from .engines import TRIES, Engine, engine_for
from .formats import FORMATS
from .ownership import Ownership
from .planning import plan, state_of
from .plans import Plan
from .volume import LevelMetadata

Tell = bool | Callable[["Progress"], None]


@dataclass
class Report:
    """What a build did; ``str(report)`` says it in a few lines."""

    plan: Plan
    seconds: float = 0.0
    bytes_read: int = 0
    bytes_written: int = 0
    blocks_done: int = 0
    blocks_kept: int = 0  # done by an earlier run
    failed: dict[int, str] = field(default_factory=dict)
    #: By level, the base first: how many labels there are. Empty where the method is not mode.
    labels: list[int] = field(default_factory=list)
    #: By level, the base first: the labels of the level before that are gone, and of which nothing is left.
    vanished: list[Array] = field(default_factory=list)
    #: By level from 1 on: voxels whose mode is not proven (see :func:`tinypyr.pyramid`).
    unproven: list[int] = field(default_factory=list)
    #: The very same levels were there; nothing was done.
    already_complete: bool = False

    def __str__(self) -> str:
        if self.already_complete:
            return "made before; nothing to do"
        rate = self.bytes_read / self.seconds if self.seconds else 0.0
        lines = [
            f"{len(self.plan.factors)} levels in {self.seconds:.1f} s: {size_text(self.bytes_read)} read "
            f"({size_text(rate)}/s), {size_text(self.bytes_written)} written, {self.blocks_done} blocks made"
            + (f", {self.blocks_kept} kept from before" if self.blocks_kept else "")
        ]
        for level, (count, gone) in enumerate(zip(self.labels, self.vanished, strict=True)):
            text = f"level {level}: {count} labels"
            if gone.size:
                names = ", ".join(map(str, gone[:5].tolist()))
                text += f", {gone.size} vanished ({names}{', ...' if gone.size > 5 else ''})"
            lines.append(text)
        for level, count in enumerate(self.unproven, 1):
            if count:
                lines.append(
                    f"level {level}: {count} voxels have more than 1,024 labels below; their mode is not proven"
                )
        lines += [f"block {number} failed: {why}" for number, why in sorted(self.failed.items())]
        return "\n".join(lines)


@dataclass(frozen=True)
class Progress:
    """How far a build has come; blocks that an earlier run had finished count as done, but not their bytes."""

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
        """At this rate; infinite before the first block."""
        return (self.bytes_to_read - self.bytes_read) / self.rate if self.rate else math.inf

    @property
    def share(self) -> float:
        """Of the blocks, how many are done."""
        return self.blocks_done / self.blocks if self.blocks else 1.0

    def __str__(self) -> str:
        left = f", about {self.seconds_left:.0f} s left" if math.isfinite(self.seconds_left) else ""
        return (
            f"{self.blocks_done} of {self.blocks} blocks, "
            f"{size_text(self.bytes_read)} of {size_text(self.bytes_to_read)}, {size_text(self.rate)}/s{left}"
        )


class BuildError(StoreError):
    """Some blocks failed; ``report.failed`` has them, and all others are kept."""

    def __init__(self, report: Report) -> None:
        super().__init__(
            f"{len(report.failed)} of {len(report.plan.numbers)} blocks failed; run it again to make them\n{report}"
        )
        self.report = report


def build(
    source: Any,
    target: Any = None,
    *,
    engine: Any = "threads",
    resume: bool = True,
    progress: Tell = True,
    blocks: Sequence[int] | None = None,
    **arguments: Any,
) -> Report:
    """Make the levels of a volume, in bounded memory.

    Every level is bit for bit that of :func:`tinypyr.pyramid` on the whole volume, whoever makes it, and after however
    many interruptions.

    Parameters
    ----------
    source, target, **arguments
        As for :func:`plan`.
    engine : {"threads", "processes"} or dask.distributed.Client
        Who runs the blocks. Processes and the workers of a cluster read the source themselves, so it must be a store.
    resume : bool
        Keep what an earlier run of the same plan has finished (not of a region, which may have changed since). An array
        that lies in no store is taken to be the same when its first and its last piece are. False: make all blocks
        again, also where the source has changed since an interrupted run.
    progress : bool or callable
        True: a bar, where standard error is a terminal. A function is called after every block with a
        :class:`Progress`: blocks, bytes, rate, time left.
    blocks : sequence of int, optional
        Make these again (those of ``report.failed``, say), even if they are done, and no others.

    Returns
    -------
    Report

    Raises
    ------
    StoreError
        Something cannot be read or written, another builder is at work, or files of the source changed during the
        build; finished blocks are kept for the next run, unless the source changed.
        A :class:`BuildError` has a ``report`` of the blocks that failed.
    ValueError, TypeError
        An argument that makes no sense; nothing is created.

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
    return complete(plan(source, target, **arguments), engine, resume, progress, blocks)


def complete(
    todo: Plan,
    engine: Any = "threads",
    resume: bool = True,
    progress: Tell = False,
    blocks: Sequence[int] | None = None,
) -> Report:
    """Run a plan and finalize it, as :func:`build` does."""
    numbers = asked_for(todo, blocks)
    runner = engine_for(todo, engine)  # refuses what it cannot do, before anything is created
    report, keeps = Report(todo), resume and blocks is None
    with _counting(progress) as tell, _under_claim(todo, anew=not resume) as claim:
        if claim is None:
            return _already(report, keeps)
        with contextlib.closing(runner):
            _run(report, runner, keeps, tell, numbers, claim)
        if report.failed:
            raise BuildError(report)
        _finalize(report, claim)
    return report


def run(
    todo: Plan,
    *,
    part: tuple[int, int] | None = None,
    blocks: Sequence[int] | None = None,
    engine: Any = "threads",
    workers: int | None = None,
    resume: bool = True,
    progress: Tell = False,
) -> Report:
    """Run blocks of a plan, and leave the rest to others: :func:`finalize` comes when all are done.

    Any part may run twice, late, or at the same time as another.

    Parameters
    ----------
    todo : Plan
        From :func:`plan` or :func:`load`.
    part : (int, int), optional
        The i-th of n parts, counted from 1; by default all blocks.
    workers : int, optional
        Blocks at once, if fewer than the plan says.
    blocks, engine, resume, progress
        As for :func:`build`.

    Returns
    -------
    Report
        With the blocks that ``failed``, and why.

    Examples
    --------
    Two jobs that know nothing of each other, and a third when both have ended:

    >>> import numpy as np, tempfile
    >>> from tinypyr import store
    >>> volume = np.arange(64**3, dtype=np.uint16).reshape(64, 64, 64)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = store.build(volume, folder + "/base.zarr", levels=0, chunks=(16, 16, 16))
    ...     store.plan(folder + "/base.zarr", factor=2, levels=2, block="64KiB").save(folder + "/plan.json")
    ...     first = store.run(store.load(folder + "/plan.json"), part=(1, 2))
    ...     second = store.run(store.load(folder + "/plan.json"), part=(2, 2))
    ...     last = store.finalize(store.load(folder + "/plan.json"))
    >>> first.blocks_done + second.blocks_done == last.plan.blocks
    True
    """
    if not isinstance(todo, Plan):
        raise TypeError(f"todo: {type(todo).__name__} is no Plan; load a file of one first")
    if workers is not None:
        todo = replace(todo, workers=min(todo.workers, workers_of(workers)))
    if part is not None and blocks is not None:
        raise ValueError("part: not with blocks; choose one of them")
    numbers: Sequence[int] | None = asked_for(todo, blocks)
    if part is not None:
        try:
            i, n = map(operator.index, part)
        except (TypeError, ValueError):
            raise TypeError(f"part: {part!r} is not two whole numbers, such as (3, 16)") from None
        if not 1 <= i <= n:
            raise ValueError(f"part: {i}/{n} is not the I-th of N parts, counted from 1")
        count = len(todo.numbers)
        numbers = todo.numbers[count * (i - 1) // n : count * i // n]
    runner, report = engine_for(todo, engine), Report(todo)
    if state_of(todo, once=True, anew=not resume) == "finished":
        return _already(report, blocks is None)
    with _counting(progress) as tell, contextlib.closing(runner):
        # a list of blocks is made again; a part or all of them goes on
        _run(report, runner, resume and blocks is None, tell, numbers, None)
    if state_of(todo, once=True, anew=not resume) == "finished":  # meanwhile, by others, of whom one may be tidying up
        with contextlib.suppress(StoreError), Ownership(todo.scratch.place):
            todo.scratch.clear()
    return report


def finalize(todo: Plan) -> Report:
    """Merge what blocks could not write whole, write the metadata, and tidy up.

    Raises
    ------
    StoreError
        A block is not done (the message names it), or another builder is at work.
    """
    report = Report(todo)
    if todo.scratch.plan() is None and state_of(todo, True) != "finished":  # (a claim would leave a folder)
        raise StoreError(f"{todo.place.name}: block 0 is not done, nor any other; run the plan first")
    with _under_claim(todo, once=True) as claim:
        if claim is None:
            return _already(report, True)
        _finalize(report, claim)
    return report


def asked_for(todo: Plan, blocks: Sequence[int] | None) -> list[int] | None:
    """The numbers of blocks, checked; None of None."""
    if blocks is None:
        return None
    try:
        asked = sorted({operator.index(number) for number in blocks})
    except TypeError:
        raise TypeError(f"blocks: {blocks!r} is not a list of numbers") from None
    wrong = [number for number in asked if number not in todo.numbers]
    if wrong:
        raise ValueError(f"blocks: {wrong[0]!r} is none of the plan's {len(todo.numbers)} blocks, counted from 0")
    return asked


@contextlib.contextmanager
def _counting(progress: Tell) -> Iterator[Callable[[Progress], None] | None]:
    bar = Bar()
    try:
        yield (
            progress if callable(progress) else (lambda state: bar.show(str(state), state.share)) if progress else None
        )
    finally:
        bar.clear()


@contextlib.contextmanager
def _under_claim(todo: Plan, once: bool = False, anew: bool = False) -> Iterator[Ownership | None]:
    """Nobody else builds meanwhile; None: there is nothing left to do."""
    if state_of(todo, once, anew) == "finished" and not todo.scratch.place.keys():
        todo.scratch.place.remove_if_empty()
        yield None
        return
    with Ownership(todo.scratch.place) as claim:
        # whoever held it before may have come to the end, or have been given something else to do
        if state_of(todo, once, anew) == "finished":
            todo.scratch.clear()  # (what an interrupted end has left)
            yield None
        else:
            yield claim


def _already(report: Report, keeps: bool) -> Report:
    if not keeps:
        raise StoreError(f"{report.plan.place.name}: finished already; remove its levels to make them again")
    report.blocks_kept, report.already_complete = len(report.plan.numbers), True
    return report


def _begin(todo: Plan) -> None:
    if todo.links_base and todo.source.volume is not None:
        volume = todo.source.volume
        todo.place.link(todo.paths[0], volume.place.child(volume.paths[0]))
    todo.scratch.begin(todo.saved())


def _run(
    report: Report,
    runner: Engine,
    keeps: bool,
    tell: Callable[[Progress], None] | None,
    numbers: Sequence[int] | None,
    claim: Ownership | None,
) -> None:
    todo, start = report.plan, time.perf_counter()
    keeps = keeps and todo.changed is None and todo.scratch.plan() is not None
    wanted = todo.numbers if numbers is None else numbers
    _begin(todo)
    left = iter(wanted)
    everything = todo.source.dtype.itemsize * math.prod(stop - begin for begin, stop in todo.covered)
    to_read = everything if numbers is None else sum(map(todo.bytes_of, numbers))
    running: dict[Any, int] = {}
    tries: dict[int, int] = {}
    again_alone: deque[int] = deque()

    def next_one() -> bool:
        nonlocal to_read
        if again_alone:  # one of them ends who runs it: each runs alone, so that no other is to blame
            if not running:
                number = again_alone.popleft()
                running[runner.submit(number)] = number
            return False
        for number in left:
            if keeps and is_done(todo, number):
                report.blocks_kept += 1
                to_read -= todo.bytes_of(number)
                continue
            running[runner.submit(number)] = number
            return True
        return False

    try:
        while True:
            while len(running) < runner.width and next_one():
                pass
            if not running:
                break
            for future in runner.wait(running):
                number = running.pop(future)
                try:
                    report.bytes_written += future.result()
                except (Exception, SystemExit) as error:  # (a plugin may call sys.exit)
                    tries[number] = tries.get(number, 0) + 1
                    if runner.lost(error) and tries[number] < TRIES:
                        again_alone.append(number)
                        continue
                    report.failed[number] = repr(error) if isinstance(error, SystemExit) else str(error) or repr(error)
                else:
                    report.blocks_done += 1
                    report.bytes_read += todo.bytes_of(number)
                if tell is not None:
                    so_far, taken = report.blocks_kept + report.blocks_done, time.perf_counter() - start
                    tell(Progress(so_far, len(wanted), report.bytes_read, to_read, taken))
            if claim is not None:
                claim.check()
    finally:
        report.seconds = time.perf_counter() - start


def _finalize(report: Report, claim: Ownership) -> None:
    todo, start = report.plan, time.perf_counter()
    merged = merge(todo)
    report.unproven = merged.unproven
    if merged.labels is not None and todo.changed is None:  # (of a region, the rest is not known)
        report.labels = [int(found.size) for found in merged.labels]
        before = [merged.labels[0], *merged.labels[:-1]]
        report.vanished = [np.setdiff1d(a, b) for a, b in zip(before, merged.labels, strict=True)]
    volume = todo.source.volume
    notes = {
        "ignore": None if todo.ignore is None else str(todo.ignore),
        "rounding": todo.rounding,
        "ties": todo.ties,
        "recursive": todo.recursive,
        "mask": None if todo.mask is None else todo.mask.name,
        "voxel_offset": dict(zip(todo.grids[0].axes, todo.grids[0].voxel_offset, strict=True)),
        "order": list(todo.grids[0].axes),  # in which "first" counts, the first axis fastest
        "plan": todo.fingerprint if todo.changed is None or volume is None else volume.notes.get("plan"),
    }
    inherited = dict(volume.attributes) if volume is not None and todo.format == volume.format else {}
    inherited.pop("array", None)
    grids = [reordered(grid, todo.stored_axes) for grid in todo.grids]
    if todo.changed is not None:
        notes["region"] = todo.fingerprint
    claim.check()
    try:
        todo.refuse_changed_source()
    except StoreError:
        todo.scratch.forget_blocks()  # nobody knows which of them read the old voxels, not even if these come back
        raise
    made = LevelMetadata(grids, todo.paths, todo.kind, todo.method, notes, inherited)
    FORMATS[todo.format].describe(todo.place, made)
    todo.scratch.clear()
    report.bytes_written += merged.written
    report.seconds += time.perf_counter() - start
