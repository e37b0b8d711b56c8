"""The pyramids of ``tinypyr demo``: built, timed beside a copy, and printed as a table."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...pooling import pyramid
from .volumes import Progress

Method = Literal["mean", "mode"]
FACTOR = (2, 2, 1)


@dataclass(frozen=True)
class Pyramid:
    """A volume, its levels, and the times of the calls.

    Attributes
    ----------
    name, method : str
        Name of the volume and pooling method.
    levels : list of numpy.ndarray
        Levels, starting with the volume itself.
    seconds : list of float
        Time of ``numpy.copyto`` of the volume, then for each level k the time of one call that makes levels 1 to k.
    """

    name: str
    method: Method
    levels: list[NDArray[Any]]
    seconds: list[float]


def timed_pyramid(
    name: str,
    volume: NDArray[Any],
    method: Method,
    levels: int,
    workers: int | None,
    rounds: int,
    progress: Progress,
) -> Pyramid:
    """Build the pyramid of a volume, and time every depth and a copy of the volume in turn."""
    outputs = pyramid(volume, FACTOR, method, levels=levels, workers=workers)
    copy = np.empty_like(volume)
    copy.fill(1)  # touch the pages, so that the clock does not measure their allocation
    times: list[list[float]] = [[] for _ in range(levels + 1)]
    for turn in range(rounds):
        for depth in range(levels + 1):
            start = time.perf_counter()
            if depth == 0:
                np.copyto(copy, volume)
            else:
                pyramid(volume, FACTOR, method, levels=depth, out=outputs[:depth], workers=workers)
            times[depth].append(time.perf_counter() - start)
            progress(f"pooling the {name}", (turn * (levels + 1) + depth + 1) / (rounds * (levels + 1)))
    return Pyramid(name, method, [volume, *outputs], [statistics.median(t) for t in times])


def table(pyramids: Sequence[Pyramid]) -> str:
    """Return a table with one line per level."""
    rows = [("volume", "level", "shape", "size", "call", "time", "throughput", "copies")]
    for built in pyramids:
        volume = built.levels[0]
        for k, (level, seconds) in enumerate(zip(built.levels, built.seconds, strict=True)):
            call = "numpy.copyto" if k == 0 else f"{built.method}, level{'s 1 to' if k > 1 else ''} {k}"
            row = (
                f"{built.name} {volume.dtype}" if k == 0 else "",
                str(k),
                " x ".join(map(str, level.shape)),
                f"{level.nbytes / 1e6:.2f} MB",
                call,
                f"{seconds * 1e3:.2f} ms",
                f"{volume.nbytes / max(seconds, 1e-9) / 1e9:.2f} GB/s",
                f"{seconds / max(built.seconds[0], 1e-9):.2f}",
            )
            rows.append(row)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    alignments = "<<<><>>>"
    lines = [
        "  ".join(f"{text:{alignment}{width}}" for text, alignment, width in zip(row, alignments, widths, strict=True))
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)
