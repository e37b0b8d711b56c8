"""Reports of builds: progress, results, and the error of a build of which blocks failed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from .._pooling.arguments import Array
from .._util.sizes import size_text
from ..errors import StoreError
from .plan_text import notices
from .plans import Plan

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
        kept = f", {self.blocks_kept} kept from an earlier run" if self.blocks_kept else ""
        lines = [
            f"{count} level{'' if count == 1 else 's'} in {self.seconds:.1f} s: {size_text(self.bytes_read)} read "
            f"({size_text(rate)}/s), {size_text(self.bytes_written)} written, {self.blocks_done} blocks processed"
            + kept,
            f"method: {self.plan.method}, {self.plan.options.reason}",
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
        lines += notices(self.plan)
        lines += [f"block {number} failed: {error}" for number, error in sorted(self.failed.items())]
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
