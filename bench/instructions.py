"""Count the instructions per 64 bytes of input of the loops of every family, without hardware counters.

A call executes one instruction at a time (`single_step.c`), on two prefixes of the same array: the difference is that
of the loops, because the cost of the call cancels. Times are such differences, too, of arrays of about 1 MB, from warm
caches. *least* is the number of loads and stores of whole vectors that read the input and write the output once.
Writes instructions.md. All rows take about fifteen minutes.
"""

from __future__ import annotations

import argparse
import ctypes
import fnmatch
import functools
import gc
import itertools
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timing

timing.one_thread()  # before numpy is imported

import numpy as np  # noqa: E402

import report  # noqa: E402
import tinypyr  # noqa: E402
import workloads  # noqa: E402
from arrays import Data  # noqa: E402
from workloads import DTYPES, Array, Method, Row  # noqa: E402

HERE = Path(__file__).resolve().parent
#: Instruction sets that are counted, with the bytes of a vector.
VECTORS = {"avx512": 64, "avx2": 32}
COUNTED, TIMED = 2**17, 2**20  # bytes of the larger array of a pair


@dataclass(frozen=True)
class Workload:
    """A row whose array may be cut along its slowest axis, between multiples of some voxels."""

    row: Row
    step: int

    def prefix(self, array: Array, voxels: int) -> Array:
        """Return the first voxels of an array along its slowest axis."""
        return array[:voxels] if self.row.order == "C" else array[..., :voxels]

    def pair(self, nbytes: int) -> tuple[int, int]:
        """Return lengths of the slowest axis, the second twice the first, for an array of about this many bytes."""
        assert self.row.shape
        across = self.row.shape[1:] if self.row.order == "C" else self.row.shape[:-1]
        layer = math.prod(across) * np.dtype(DTYPES[self.row.dtype]).itemsize
        half = self.step * max(1, round(nbytes / (2 * layer * self.step)))
        return half, 2 * half


def _workload(method: Method, shape: tuple[int, ...], title: str, more: dict[str, Any]) -> Workload:
    """Return a workload that is long enough to be timed along its slowest axis."""
    row = Row(method, goal=None, shape=shape, title=title, **more)
    slowest = 0 if row.order == "C" else len(shape) - 1
    workload = Workload(row, row.factor[slowest] ** row.levels)
    longest = max(workload.pair(TIMED)[1], workload.pair(COUNTED)[1])
    shape = (*shape[:slowest], longest, *shape[slowest + 1 :])
    return Workload(Row(method, goal=None, shape=shape, title=title, **more), workload.step)


def _images() -> Iterator[Workload]:
    for dtype, (kind, channels) in itertools.product(
        ("u8", "u16", "f32"), (("gray", ()), ("rgb", (3,)), ("rgba", (4,)))
    ):
        factor = (2, 2, *(1 for _ in channels))
        more = {"factor": factor, "dtype": dtype, "order": "C"}
        yield _workload("mean", (1, 512, *channels), f"image-512-{kind}", more)


def _thin() -> Iterator[Workload]:
    """Return volumes of few slices, in rows of 4 KiB."""
    methods: tuple[Method, ...] = ("mean", "min", "mode", "median", "stride")
    for slices, method, factor in itertools.product((3, 5, 48), methods, ((2, 2, 1), (2, 2, 2))):
        more: dict[str, Any] = {"factor": factor, "dtype": "u8", "order": "C"}
        more["data"] = "labels" if method == "mode" else "em"
        yield _workload(method, (1, 2 * round(2048 / slices), slices), f"thin-{slices}", more)
    for factor in ((2, 2, 1), (2, 2, 2)):
        more = {"factor": factor, "dtype": "u8", "order": "C", "ignore": 0}
        yield _workload("mean", (1, 84, 48), "thin-48", more)
        more = {"factor": factor, "dtype": "u64", "order": "C", "data": "labels"}
        yield _workload("mode", (1, 170, 3), "thin-3", more)


def _blocks() -> Iterator[Workload]:
    tasks: tuple[tuple[Method, str], ...] = (("mean", "u8"), ("mean", "u16"), ("mean", "f32"), ("mode", "u64"))
    for (method, dtype), levels, factor, order in itertools.product(tasks, (1, 4), ((2, 2, 1), (2, 2, 2)), "FC"):
        more: dict[str, Any] = {"factor": factor, "dtype": dtype, "order": order, "levels": levels}
        more["data"] = "labels" if method == "mode" else "em"
        yield _workload(method, (64, 64, 64), "block-64", more)


FAMILIES = {"images": _images, "thin": _thin, "blocks": _blocks}


def load_counter(folder: Path) -> ctypes.CDLL:
    """Compile the counter into a folder and load it."""
    compiler = shutil.which("cc")
    if sys.platform != "linux" or platform.machine() != "x86_64" or compiler is None:
        raise SystemExit("instructions are counted on Linux with an x86-64 processor and a C compiler named cc")
    library = folder / "single_step.so"
    command = [compiler, "-O2", "-shared", "-fPIC", "-mno-red-zone", str(HERE / "single_step.c"), "-o", str(library)]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(library))


def _call(workload: Workload, array: Array) -> Callable[[], object]:
    """Return a call on an array into ready outputs."""
    row = workload.row
    call = functools.partial(
        tinypyr.pyramid, array, row.factor, row.method, levels=row.levels, ignore=row.ignore, workers=1
    )
    return functools.partial(call, out=call())


def _count(counter: ctypes.CDLL, call: Callable[[], object]) -> int:
    begin, end = counter.begin_counting, counter.end_counting  # looked up here, because that would be counted as well
    for _ in range(100):
        call()  # until the interpreter has adapted its bytecode, and every cache is warm
    counts = []
    for _ in range(2):
        begin()
        call()
        counts.append(int(end()))
    return min(counts)


@dataclass(frozen=True)
class Figures:
    """Figures per 64 bytes of input on one instruction set."""

    instructions: float
    least: float
    nanoseconds: float
    copy: float  # nanoseconds of a copy of the same input


def measure(workload: Workload, array: Array, isa: str, counter: ctypes.CDLL, counted: int, rounds: int) -> Figures:
    """Count a workload on arrays of up to so many bytes, and time it, on one instruction set."""
    os.environ["TINYPYR_ISA"] = isa  # the core reads it at each call
    short, long = (workload.prefix(array, n) for n in workload.pair(counted))
    counts = [_count(counter, _call(workload, part)) for part in (short, long)]
    instructions = (counts[1] - counts[0]) * 64 / (long.nbytes - short.nbytes)
    levels = tinypyr.pyramid(long, workload.row.factor, workload.row.method, levels=workload.row.levels)
    written = sum(level.nbytes for level in levels) / long.nbytes

    short, long = (workload.prefix(array, n) for n in workload.pair(TIMED))
    target = np.empty_like(long)
    calls: dict[str, Callable[[], object]] = {
        "short": _call(workload, short),
        "long": _call(workload, long),
        "short copy": functools.partial(np.copyto, workload.prefix(target, workload.pair(TIMED)[0]), short),
        "long copy": functools.partial(np.copyto, target, long),
    }
    times = timing.interleaved(calls, rounds, timing.SHORTEST)
    bytes_more = long.nbytes - short.nbytes

    def per_line(what: str) -> float:
        return (times["long" + what].median - times["short" + what].median) * 1e9 * 64 / bytes_more

    return Figures(instructions, (1 + written) * 64 / VECTORS[isa], per_line(""), per_line(" copy"))


def table(rows: list[tuple[Workload, dict[str, Figures]]], isas: Sequence[str], quick: bool) -> str:
    """Return the figures as Markdown."""
    goals = {row.name: row for row in workloads.rows(["images", "thin", "blocks"])}
    lines = ["# Instructions per 64 bytes of input", ""]
    if quick:
        lines += ["**A quick run on few rows: it shows that the program works, not speed.**", ""]
    lines += [
        "Differences of two calls on prefixes of one array, so that the cost of a call cancels; one thread, arrays in "
        "cache, where nothing is prefetched. *least*: loads and stores of whole vectors that read the input and write "
        "the output once. *ns* and *copy*: nanoseconds per 64 bytes, of arrays of about 1 MB. *per ns*: instructions "
        "per nanosecond. *goal*: of the same row in [families](families.md), for the whole call.",
        "",
        f"{report.machine_line(timing.machine())}; tinypyr {tinypyr.__version__}.",
        "",
        "| row | copy, ns | " + " | ".join(f"{isa} | least | ns | per ns" for isa in isas) + " | goal |",
        "|---|--:|" + "--:|" * (4 * len(isas)) + "---|",
    ]
    for workload, figures in rows:
        goal = goals.get(workload.row.name)
        cells = [workload.row.name, f"{next(iter(figures.values())).copy:.2f}"]
        for isa in isas:
            found = figures[isa]
            is_timed = found.nanoseconds > 0  # otherwise other work of the machine has fallen on one of the arrays
            cells += [f"{found.instructions:.1f}", f"{found.least:.1f}"]
            cells += [f"{found.nanoseconds:.2f}" if is_timed else "-"]
            cells += [f"{found.instructions / found.nanoseconds:.1f}" if is_timed else "-"]
        unit = "" if goal is None else {"copy": "copies"}.get(goal.beside, goal.beside)
        cells += ["" if goal is None else f"{goal.goal:g} {unit}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench/instructions.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few rows, generated data: shows that it works, not speed")
    parser.add_argument("--family", action="append", choices=list(FAMILIES), help="only these; may be repeated")
    parser.add_argument("--rows", nargs="+", metavar="PATTERN", default=["*"], help="only rows whose name matches")
    parser.add_argument("--rounds", type=int, default=5, help="of timing (default: 5)")
    parser.add_argument("--out", type=Path, default=HERE / "results", metavar="DIR", help="default: bench/results")
    arguments = parser.parse_args(argv)
    if arguments.rounds < 1:
        parser.error("argument --rounds: at least 1")
    chosen = [workload for name in arguments.family or FAMILIES for workload in FAMILIES[name]()]
    chosen = [w for w in chosen if any(fnmatch.fnmatchcase(w.row.name, pattern) for pattern in arguments.rows)]
    arguments.counted = COUNTED
    if arguments.quick:
        chosen = chosen[:2]
        arguments.counted = COUNTED // 8
    if not chosen:
        parser.error("argument --rows: no row has such a name")
    arguments.chosen = chosen
    return arguments


def main(argv: Sequence[str] | None = None) -> None:
    arguments = _arguments(argv)
    isas = [isa for isa in VECTORS if isa in tinypyr.instruction_sets()]
    timing.pin()
    timing.keep_memory()
    data = Data(0, quick=False)
    if arguments.quick:
        data.folder = Path(os.devnull)  # generated voxels do as well
    gc.disable()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        counter = load_counter(Path(folder))
        for workload in arguments.chosen:
            array = data.array(workload.row)
            figures = {isa: measure(workload, array, isa, counter, arguments.counted, arguments.rounds) for isa in isas}
            rows.append((workload, figures))
            counts = ", ".join(f"{isa} {each.instructions:.1f}" for isa, each in figures.items())
            print(f"{workload.row.name}: {counts}", file=sys.stderr, flush=True)
    text = table(rows, isas, arguments.quick)
    report.write_files(arguments.out, {"instructions.md": text.encode()})
    print(text, end="")


if __name__ == "__main__":
    main()
