"""Compare two builds of tinypyr in one process: equal values on random cases, then interleaved times.

    pip install --target old ".@{commit}" and pip install --target new .   # two folders that hold a package tinypyr
    python bench/paired.py old new --cases 20000 --runs 3

Both packages are loaded under names of their own. The random cases draw dtype, shape, memory order, factors, levels,
method, ties, rounding, ignored value, voxel offset and instruction set; every level of both builds must have the same
bits. A row of the table counts as slower if the new build takes over 10 % longer in every run.
"""

from __future__ import annotations

import argparse
import importlib.util
import inspect
import math
import os
import random
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import timing
import workloads
from arrays import Data
from workloads import Array, Row

INTEGERS = [f"{kind}int{width}" for kind in ("", "u") for width in (8, 16, 32, 64)]
DTYPES = ("bool", *INTEGERS, "float32", "float64", "float16")
Pyramid = Callable[..., list[Array]]
METHODS = ("mean", "mode", "median", "min", "max", "stride")
#: Parameters of `pyramid`, and the names that earlier builds had for them.
EARLIER = {"levels": "num_mips", "voxel_offset": "origin", "workers": "parallel"}


def load(folder: str, name: str) -> ModuleType:
    """Import the package tinypyr of a folder under another name."""
    root = Path(folder).resolve() / "tinypyr"
    spec = importlib.util.spec_from_file_location(name, root / "__init__.py", submodule_search_locations=[str(root)])
    if spec is None or spec.loader is None:
        raise SystemExit(f"{folder} holds no package tinypyr")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def caller(build: ModuleType) -> Pyramid:
    """Return `pyramid` of a build, with today's names of the parameters."""
    known = inspect.signature(build.pyramid).parameters

    def pyramid(array: Array, factor: Any, method: str, **arguments: Any) -> list[Array]:
        renamed = {name if name in known else EARLIER[name]: value for name, value in arguments.items()}
        levels: list[Array] = build.pyramid(array, factor, method, **renamed)
        return levels

    return pyramid


def random_case(seed: int) -> tuple[Array, list[tuple[int, ...]], str, dict[str, Any]]:
    """Draw an array and the arguments of a call."""
    draw, rng = random.Random(seed), np.random.default_rng(seed)
    ndim = draw.choice((1, 2, 3, 3, 3, 4))
    room, shape = draw.choice((200, 5_000, 60_000)), []
    for axis in range(ndim):
        left = ndim - axis
        most = max(1, int(room ** (1 / left) * draw.choice((0.3, 1, 3))))
        shape.append(draw.randint(1, most))
        room = max(1, room // shape[-1])
    draw.shuffle(shape)
    dtype = np.dtype(draw.choice(DTYPES))
    values = rng.integers(0, draw.choice((2, 3, 5, 200, 2**40)), shape)
    if draw.random() < 0.5:  # runs of equal values, as labels have
        values = np.repeat(values, 4, axis=-1)[..., : shape[-1]]
    with np.errstate(over="ignore"):
        array = (values - draw.choice((0, 0, 2))).astype(dtype)
    if dtype.kind == "f" and draw.random() < 0.3:
        array[rng.random(shape) < 0.1] = draw.choice((np.nan, np.inf, -0.0))
    order = list(range(ndim))
    draw.shuffle(order)
    laid_out = np.ascontiguousarray(array.transpose(order)).transpose(np.argsort(order))
    factors = [tuple(draw.choice((1, 2, 2, 2, 3, 5)) for _ in shape) for _ in range(draw.randint(1, 4))]
    if draw.random() < 0.5:
        factors = [factors[0]] * len(factors)
    arguments: dict[str, Any] = {"ties": draw.choice(("first", "lowest"))}
    arguments["rounding"] = draw.choice(("half-even", "floor"))
    arguments["ignore"] = draw.choice((None, None, array.flat[0].item() if array.size else 0))
    arguments["voxel_offset"] = draw.choice((None, tuple(draw.randint(-9, 9) for _ in shape)))
    return laid_out, factors, draw.choice(METHODS), arguments


def bits(array: Array) -> bytes:
    return array.dtype.str.encode() + repr(array.shape).encode() + np.ascontiguousarray(array).tobytes()


def compare_values(old: Pyramid, new: Pyramid, cases: int, sets: list[str]) -> int:
    """Print and count the random cases in which the builds differ."""
    wrong = 0
    for seed in range(cases):
        array, factors, method, arguments = random_case(seed)
        os.environ["TINYPYR_ISA"] = sets[seed % len(sets)]
        answers = [list(map(bits, call(array, factors, method, **arguments))) for call in (old, new)]
        if answers[0] != answers[1]:
            wrong += 1
            print(f"seed {seed}: {method} {array.dtype} {array.shape} by {factors}, {arguments}: the builds differ")
    os.environ.pop("TINYPYR_ISA", None)
    return wrong


def compare_times(
    old: Callable[..., list[Array]],
    new: Callable[..., list[Array]],
    rows: list[Row],
    data: Data,
    runs: int,
    rounds: int,
) -> dict[str, list[float]]:
    """Time every row in both builds; return the ratios new / old of every run."""
    ratios: dict[str, list[float]] = {}
    for _ in range(runs):
        for row in rows:
            array = data.array(row)
            arguments: dict[str, Any] = {"levels": row.levels, "ignore": row.ignore}
            out = new(array, row.factor, row.method, **arguments)
            for before, after in zip(old(array, row.factor, row.method, **arguments), out, strict=True):
                np.testing.assert_array_equal(before, after)

            def timed(call: Pyramid, row: Row = row, array: Array = array, out: Any = out) -> Any:
                return call(array, row.factor, row.method, levels=row.levels, ignore=row.ignore, out=out)

            times = timing.interleaved(
                {"old": lambda: timed(old), "new": lambda: timed(new)}, rounds, timing.least(array.nbytes)
            )
            ratios.setdefault(row.name, []).append(times["new"].median / times["old"].median)
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare two builds in one process.")
    parser.add_argument("old", help="folder that holds the package of the earlier build")
    parser.add_argument("new", help="folder that holds the package of the later build")
    parser.add_argument("--cases", type=int, default=2000, help="random cases to compare (default: 2000)")
    parser.add_argument("--runs", type=int, default=3, help="runs of the table (default: 3)")
    parser.add_argument("--rounds", type=int, default=7, help="calls per row and run (default: 7)")
    parser.add_argument("--megabytes", type=int, default=64, help="size of a volume (default: 64)")
    parser.add_argument(
        "--suite",
        "--family",
        action="append",
        choices=[*workloads.SUITES, *workloads.FAMILIES],
        help="suite or family; default: memory",
    )
    parser.add_argument("--only", default="", help="time only rows whose names hold this text")
    arguments = parser.parse_args()
    timing.one_thread()
    builds = [load(folder, name) for folder, name in ((arguments.old, "tinypyr_old"), (arguments.new, "tinypyr_new"))]
    old, new = map(caller, builds)
    sets = list(builds[1].instruction_sets())
    wrong = compare_values(old, new, arguments.cases, sets)
    print(f"{arguments.cases} random cases on {', '.join(sets)}: {wrong} differ")
    if arguments.runs:
        print(timing.pin(), timing.keep_memory(), sep="; ")
        rows = [row for row in workloads.rows(arguments.suite or ["memory"]) if arguments.only in row.name]
        data = Data(arguments.megabytes * 10**6, quick=False)
        ratios = compare_times(old, new, rows, data, arguments.runs, arguments.rounds)
        medians = [statistics.median(values) for values in ratios.values()]
        mean = math.exp(statistics.fmean(map(math.log, medians)))
        slower = {name: values for name, values in ratios.items() if min(values) > 1.1}
        print(f"{len(rows)} rows, {arguments.runs} runs: geometric mean of new / old {mean:.3f}")
        print(f"{len(slower)} rows slower by more than 10 % in every run")
        for name, values in sorted(slower.items(), key=lambda item: -min(item[1])):
            print(f"  {name}: {', '.join(f'{value:.2f}' for value in values)}")
    raise SystemExit(wrong > 0)


if __name__ == "__main__":
    main()
