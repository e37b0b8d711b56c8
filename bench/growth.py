"""Time per voxel for fastest axes of 1 to 4096 voxels, which should hardly differ.

A sweep is one method, dtype and factor, on arrays in C order of the same number of voxels whose fastest axes are
between 1 and 4096 voxels long. All lengths are timed in the same interleaved rounds. The figure of a sweep is the
slowest length relative to the fastest one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import expected
import ours
import timing
from arrays import Data
from workloads import DTYPES, Array, Method, Row, thin_shape

LENGTHS = (
    *range(1, 10), 12, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 100, 128, 200, 255, 256, 257, 512, 1000, 1024, 2048,
    4096,
)  # fmt: skip
GOAL = 2.0
NBYTES = 2**24  # of each array; with those of the other lengths between two calls, it does not stay in the caches


@dataclass(frozen=True)
class Sweep:
    """One line of the chart."""

    method: Method
    factor: tuple[int, int, int]
    dtype: str
    data: str

    @property
    def name(self) -> str:
        return "-".join(["growth", self.method, "x".join(map(str, self.factor)), self.dtype])

    def row(self, length: int) -> Row:
        shape = thin_shape(length, NBYTES, np.dtype(DTYPES[self.dtype]).itemsize)
        title = f"growth-{length}"
        return Row(self.method, self.factor, self.dtype, "C", None, data=self.data, shape=shape, title=title)


def sweeps() -> Iterator[Sweep]:
    """Return the sweeps, those on the same arrays one after the other."""
    for data, dtype, methods in (
        ("em", "u8", ("mean", "min", "median", "stride")),
        ("em", "u16", ("mean", "median")),
        ("em", "f32", ("mean", "min")),
        ("labels", "u8", ("mode",)),
        ("labels", "u64", ("mode", "stride")),
    ):
        for method in methods:
            for factor in ((2, 2, 1), (2, 2, 2)):
                yield Sweep(method, factor, dtype, data)  # type: ignore[arg-type]


def measure(
    chosen: Sequence[Sweep], data: Data, rounds: int, say: Callable[[dict[str, Any]], None]
) -> list[dict[str, Any]]:
    """Compute, check and time every sweep."""
    # arrays of a quick run are at most 64 voxels long
    lengths = [length for length in LENGTHS if length <= 64 or not data.quick]
    measured: list[dict[str, Any]] = []
    arrays: dict[int, Array] = {}
    held: tuple[str, str] | None = None
    for sweep in chosen:
        if held != (sweep.data, sweep.dtype):
            arrays.clear()  # before others take their place in memory
            arrays |= {length: data.array(sweep.row(length)) for length in lengths}
            held = sweep.data, sweep.dtype
        measured.append(_measure_one(sweep, arrays, rounds))
        say(measured[-1])
    return measured


def _measure_one(sweep: Sweep, arrays: dict[int, Array], rounds: int) -> dict[str, Any]:
    result: dict[str, Any] = {
        "name": sweep.name,
        "line": f"time per voxel, {sweep.method}, fastest axis of 1 to 4096 voxels",
        "unit": "times the least",
        "goal": GOAL,
    }
    calls = {}
    for length, array in arrays.items():
        call = ours.calls(array, sweep.row(length))[0]
        why = expected.check(call(), array, sweep.row(length), "exact")
        if why:
            return result | {"value": None, "wrong": f"fastest axis of {length}: {why}"}
        calls[str(length)] = functools.partial(call)
    times = timing.interleaved(calls, rounds)
    per_voxel = {length: times[str(length)].median / array.size * 1e9 for length, array in arrays.items()}
    slowest = max(per_voxel, key=lambda length: per_voxel[length])
    fastest = min(per_voxel, key=lambda length: per_voxel[length])
    return result | {
        "value": per_voxel[slowest] / per_voxel[fastest],
        "note": f"{per_voxel[slowest]:.3g} ns at {slowest}, {per_voxel[fastest]:.3g} ns at {fastest}",
        "lengths": list(per_voxel),
        "ns_per_voxel": list(per_voxel.values()),
    }
