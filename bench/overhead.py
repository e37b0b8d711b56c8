"""Measure the fixed costs of tinypyr: its import, its size, and calls on a small tile.

- import: `import tinypyr` minus `import numpy`, in fresh interpreters, interleaved; difference of medians
- size: the compiled extension, stripped
- calls: means of a 64 x 64 uint8 tile, minus an empty Python function that allocates an output
"""

from __future__ import annotations

import argparse
import functools
import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import report
import timing

timing.one_thread()

import numpy as np  # noqa: E402

import tinypyr  # noqa: E402
from calls import ALLOCATING_GOAL_US, OUT_GOAL_US  # noqa: E402

IMPORT_GOAL_MS = 15.0
SIZE_GOAL_MB = 3.0

STOPWATCH = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"


def import_cost(interpreters: int) -> dict[str, Any]:
    """Return the milliseconds of `import tinypyr` (numpy included) minus those of `import numpy`."""
    seconds: dict[str, list[float]] = {"numpy": [], "tinypyr": []}
    for turn in range(interpreters + 1):
        for module in seconds:
            done = subprocess.run(
                [sys.executable, "-c", STOPWATCH.format(module)], check=True, capture_output=True, text=True
            )
            if turn:  # the first run fills the disk cache
                seconds[module].append(float(done.stdout.split()[-1]))
    base, whole = (statistics.median(seconds[module]) * 1e3 for module in ("numpy", "tinypyr"))
    note = f"numpy {base:.1f} ms, tinypyr with numpy {whole:.1f} ms; {interpreters} interpreters each"
    if any("editable" in type(finder).__module__ for finder in sys.meta_path):
        note += "; an editable install, whose import hook looks for changes: measure a plain one"
    return {
        "what": "import beyond numpy",
        "value": whole - base,
        "unit": "ms",
        "goal": IMPORT_GOAL_MS,
        "note": note,
    }


def extension_size() -> dict[str, Any]:
    """Return the megabytes (1e6 bytes) of the extension after `strip`."""
    result: dict[str, Any] = {"what": "extension, stripped", "unit": "MB", "goal": SIZE_GOAL_MB}
    try:
        from tinypyr import _core
    except ImportError:
        return result | {"value": None, "note": "the compiled extension is missing"}
    path = Path(str(_core.__file__))
    strip = shutil.which("strip")
    if strip is None:
        return result | {"value": path.stat().st_size / 1e6, "note": "as built: no program `strip` here"}
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copy(path, folder))
        subprocess.run([strip, *(["-x"] if sys.platform == "darwin" else []), str(copy)], check=True)
        size = copy.stat().st_size / 1e6
    return result | {"value": size, "note": f"{path.stat().st_size / 1e6:.2f} MB as built"}


def call_costs(rounds: int, calls: int) -> list[dict[str, Any]]:
    """Return the microseconds of small calls minus those of an empty function that allocates their output."""
    tile = np.random.default_rng(1).integers(0, 256, (64, 64), dtype=np.uint8)
    volume = tile.reshape(64, 64, 1)
    out = np.empty((32, 32), np.uint8)

    def empty(array: object, factor: object) -> object:
        return np.empty((32, 32), np.uint8)

    Measured = tuple[str, float | None, Callable[..., object], tuple[object, ...], dict[str, object]]
    measured: list[Measured] = [
        ("2x2", ALLOCATING_GOAL_US, tinypyr.downsample, (tile, (2, 2)), {}),
        ("2x2, out=", OUT_GOAL_US, tinypyr.downsample, (tile, (2, 2)), {"out": out}),
        ("2x2x1", ALLOCATING_GOAL_US, tinypyr.downsample, (volume, (2, 2, 1)), {}),
        ("2x2x1, out=", OUT_GOAL_US, tinypyr.downsample, (volume, (2, 2, 1)), {"out": out.reshape(32, 32, 1)}),
        ("factor 2", ALLOCATING_GOAL_US, tinypyr.downsample, (tile, 2), {}),
        ("2x2, 4 levels", None, tinypyr.pyramid, (tile, (2, 2)), {"levels": 4}),
    ]
    expected = np.rint(tile.reshape(32, 2, 32, 2).mean(axis=(1, 3))).astype(np.uint8)
    for what, _, function, arguments, keywords in measured:
        first: Any = function(*arguments, **keywords)
        if not np.array_equal((first[0] if isinstance(first, list) else first).reshape(32, 32), expected):
            raise AssertionError(f"the small call by {what} gives a wrong answer")

    def per_call(function: Callable[..., object], arguments: tuple[object, ...], keywords: dict[str, object]) -> float:
        array, factor = arguments
        call = functools.partial(function, **keywords) if keywords else function
        start = time.perf_counter()
        for _ in range(calls):
            call(array, factor)
        return (time.perf_counter() - start) / calls * 1e6

    times: list[list[float]] = [[] for _ in measured]
    base = []
    for _ in range(rounds):
        base.append(per_call(empty, (tile, (2, 2)), {}))
        for of_call, (_, _, function, arguments, keywords) in zip(times, measured, strict=True):
            of_call.append(per_call(function, arguments, keywords))
    of_empty = statistics.median(base)
    return [
        {
            "what": f"64x64 u8 mean {what}, beyond an empty function",
            "value": statistics.median(of_call) - of_empty,
            "unit": "µs",
            "goal": goal,
            "note": f"whole call {statistics.median(of_call):.2f} µs, empty function {of_empty:.2f} µs",
        }
        for of_call, (what, goal, *_) in zip(times, measured, strict=True)
    ]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="bench/overhead.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--interpreters", type=int, default=40, help="fresh interpreters per import (default: 40)")
    parser.add_argument("--quick", action="store_true", help="few repetitions: shows that it works")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--out", type=Path, metavar="DIR", help="also write overhead.md and overhead.json there")
    arguments = parser.parse_args(argv)
    if arguments.interpreters < 1:
        parser.error("argument --interpreters: at least 1")
    try:
        pinned = timing.pin()
        measured = [
            import_cost(3 if arguments.quick else arguments.interpreters),
            extension_size(),
            *(call_costs(3, 50) if arguments.quick else call_costs(15, 2000)),
        ]
    except KeyboardInterrupt:
        print("interrupted: nothing written", file=sys.stderr)
        return 130
    for entry in measured:
        is_judged = entry["value"] is not None and entry["goal"] is not None
        entry["verdict"] = "-" if not is_judged else "hit" if entry["value"] <= entry["goal"] else "miss"
    machine = timing.machine()
    versions = {"Python": platform.python_version(), "numpy": np.__version__, "tinypyr": tinypyr.__version__}
    results = {
        "format": 1,
        "machine": machine,
        "versions": versions,
        "quick": arguments.quick,
        "pinned": pinned,
        "instruction_sets": tinypyr.instruction_sets(),
        "measured": measured,
    }
    lines = [
        f"{report.machine_line(machine)}; "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + (" (quick: no measure)" if arguments.quick else ""),
        "",
        "| what | measured | goal | | how |",
        "|---|--:|--:|---|---|",
    ]
    for entry in measured:
        value = "-" if entry["value"] is None else f"{entry['value']:.2f} {entry['unit']}"
        goal = "-" if entry["goal"] is None else f"{entry['goal']:g} {entry['unit']}"
        lines.append(f"| {entry['what']} | {value} | {goal} | {entry['verdict']} | {entry['note']} |")
    text, table = json.dumps(results, indent=1) + "\n", "\n".join(lines) + "\n"
    if arguments.out:
        report.write_files(arguments.out, {"overhead.json": text.encode(), "overhead.md": table.encode()})
    print(text if arguments.json else table, end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
