"""Engines: who runs the blocks of a plan."""

from __future__ import annotations

import concurrent.futures
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from .._terminal import Line
from ..grid import reordered
from ..pooling import Array
from ._blocks import Done, Levels, finished, merge, run_block
from ._errors import StoreError
from ._plan import Plan
from ._planning import plan
from ._sizes import size_text
from ._volume import Made
from .formats import FORMATS


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

    def __str__(self) -> str:
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

    def __str__(self) -> str:
        left = f", about {self.seconds_left:.0f} s left" if math.isfinite(self.seconds_left) else ""
        return (
            f"{self.blocks_done} of {self.blocks} blocks, "
            f"{size_text(self.bytes_read)} of {size_text(self.bytes_to_read)}, {size_text(self.rate)}/s{left}"
        )


def build(
    source: Any,
    target: Any = None,
    *,
    engine: Literal["threads"] = "threads",
    resume: bool = True,
    progress: bool | Callable[[Progress], None] = True,
    **arguments: Any,
) -> Report:
    """Make the levels of a volume, in bounded memory.

    Every level is bit for bit that of :func:`tinypyr.pyramid` on the whole volume.

    Parameters
    ----------
    source, target, **arguments
        As for :func:`plan`.
    engine : {"threads"}
        Who runs the blocks.
    resume : bool
        Keep what an earlier run of the same plan has finished (not of a region, which may have changed since). An array
        that lies in no store is taken to be the same when its first and its last piece are.
    progress : bool or callable
        True: a line that counts, where standard error is a terminal. A function is called after every block with a
        :class:`Progress`: blocks, bytes, rate, time left.

    Returns
    -------
    Report

    Raises
    ------
    StoreError
        Something cannot be read or written; finished blocks are kept for the next run.
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
    if engine != "threads":
        raise ValueError(f"engine: {engine!r} is not 'threads'")
    todo = plan(source, target, **arguments)
    return run(todo, resume=resume, progress=progress)


def run(todo: Plan, *, resume: bool = True, progress: bool | Callable[[Progress], None] = False) -> Report:
    """Run the blocks of a plan on threads, then finalize it."""
    line = Line()
    tell = progress if callable(progress) else (lambda state: line.show(str(state))) if progress else None
    try:
        return _run(todo, resume, tell)
    finally:
        line.clear()


def _run(todo: Plan, resume: bool, tell: Callable[[Progress], None] | None) -> Report:
    start = time.perf_counter()
    if todo.links_base and todo.source.volume is not None:
        volume = todo.source.volume
        todo.place.link(todo.paths[0], volume.place.child(volume.paths[0]) if volume.paths[0] else volume.place)
    todo.scratch.write_json("plan.json", todo.describe())
    levels = Levels(todo)
    report = Report(todo)
    keeps = resume and todo.changed is None
    kept = {number for number in todo.numbers if keeps and finished(todo, number) is not None}
    report.blocks_kept = len(kept)
    waiting = iter(number for number in todo.numbers if number not in kept)
    voxel = todo.source.dtype.itemsize
    sizes = {n: voxel * math.prod(stop - begin for begin, stop in todo.box(n)) for n in todo.numbers}
    to_read = sum(size for number, size in sizes.items() if number not in kept)
    with concurrent.futures.ThreadPoolExecutor(todo.workers) as pool:
        running: dict[concurrent.futures.Future[Done], int] = {}

        def submit() -> None:
            for number in waiting:
                running[pool.submit(run_block, todo, number, levels)] = number
                return

        for _ in range(todo.workers):
            submit()
        while running:
            finished_now, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in finished_now:
                number = running.pop(future)
                try:
                    report.bytes_written += future.result().written
                except StoreError as error:
                    report.failed[number] = str(error)
                else:
                    report.blocks_done += 1
                    report.bytes_read += sizes[number]
                submit()
                if tell is not None:
                    so_far, taken = report.blocks_kept + report.blocks_done, time.perf_counter() - start
                    tell(Progress(so_far, len(todo.numbers), report.bytes_read, to_read, taken))
    if report.failed:
        report.seconds = time.perf_counter() - start
        raise StoreError(
            f"{len(report.failed)} of {len(todo.numbers)} blocks failed; run it again to make them\n{report}"
        )
    report.bytes_written += finalize(todo, levels, report)
    report.seconds = time.perf_counter() - start
    return report


def finalize(todo: Plan, levels: Levels | None = None, report: Report | None = None) -> int:
    """Merge what blocks could not write whole, write the metadata, and tidy up; the bytes written."""
    merged = merge(todo, levels)
    if report is not None:
        report.unproven = merged.unproven
        if merged.labels is not None and todo.changed is None:  # (of a region, the rest is not known)
            report.labels = [int(found.size) for found in merged.labels]
            before = [merged.labels[0], *merged.labels[:-1]]
            report.vanished = [np.setdiff1d(a, b) for a, b in zip(before, merged.labels, strict=True)]
    notes = {
        "ignore": None if todo.ignore is None else str(todo.ignore),
        "rounding": todo.rounding,
        "ties": todo.ties,
        "recursive": todo.recursive,
        "mask": None if todo.mask is None else todo.mask.name,
        "voxel_offset": dict(zip(todo.grids[0].axes, todo.grids[0].voxel_offset, strict=True)),
        "order": list(todo.grids[0].axes),  # in which "first" counts, the first axis fastest
    }
    volume = todo.source.volume
    inherited = dict(volume.attributes) if volume is not None and todo.format == volume.format else {}
    inherited.pop("array", None)
    stored = FORMATS[todo.format].axes_order(todo.grids[0].axes)
    grids = [reordered(grid, stored) for grid in todo.grids]
    made = Made(grids, todo.paths, todo.kind, todo.method, notes, inherited)
    FORMATS[todo.format].describe(todo.place, made)
    todo.scratch.remove()
    return merged.written
