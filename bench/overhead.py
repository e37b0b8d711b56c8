"""Measure the fixed costs of tinypyr: its import and its size. (`run.py --family calls` measures small calls.)

- import: `import tinypyr` minus `import numpy`, in fresh interpreters, interleaved; difference of medians
- size: the compiled extension, stripped; with `--unstripped`, also what each family of kernels takes of it

To build an extension with symbols: `pip install --no-build-isolation --target DIR -Cinstall.strip=false .`
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import report
import timing

timing.one_thread()

import numpy as np  # noqa: E402

import tinypyr  # noqa: E402

IMPORT_GOAL_MS = 15.0
SIZE_GOAL_MB = 4 * 2**20 / 1e6

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


#: Families of kernels, by the demangled names of their functions; the first that fits counts.
FAMILIES = {
    "mean with ignore": r"MeanWithIgnore<|(Float|Wide)Mean<[^>]*true>",
    "mean": r"Mean<|Sum<|divide_|pool_run",
    "min, max": r"Extreme<|extremes",
    "mode, levels above the first": r"prove_|BoundsOut|RowsBelow|most_\w*votes|add_\w*votes|PoolModeVotes|"
    r"rank_labels|count_\w*labels|convert_labels|first_place",
    "mode": r"\bMode<",
    "median": r"Median<",
    "stride": r"First<|copy_strided",
    "encoding": r"encode|decode|run_shuffle",
    "interpolation": r"nearest|linear|blend|spline|locate|advance|store|load|keep|divide|multiply|subtract",
    "tables": r"table|means|samples|combines",
}
SETS = ("avx512", "avx2", "base", "neon")


def family_sizes(path: Path) -> dict[str, Counter[str]]:
    """Return the bytes of the functions of each family of kernels, by instruction set, in an unstripped extension."""
    listed = subprocess.run(["nm", "-S", "-C", "--defined-only", str(path)], check=True, capture_output=True, text=True)
    sizes: dict[str, Counter[str]] = {}
    addresses = set()  # of functions, some of which have several names
    for line in listed.stdout.splitlines():
        symbol = re.fullmatch(r"([0-9a-f]+) ([0-9a-f]+) [^bB] (.*)", line)
        if symbol is None or symbol[1] in addresses:
            continue
        addresses.add(symbol[1])
        code, name = int(symbol[2], 16), symbol[3]
        kernel = re.search(rf"tinypyr::({'|'.join(SETS)})::", name)
        if kernel is None:
            family, where = "drivers" if "tinypyr::" in name else "binding, library", "all"
        else:
            where = kernel[1]
            family = next((of for of, pattern in FAMILIES.items() if re.search(pattern, name)), "other kernels")
        sizes.setdefault(family, Counter())[where] += code
    if not sizes:
        raise SystemExit(f"{path} has no symbols; build it with -Cinstall.strip=false")
    return sizes


def family_table(sizes: dict[str, Counter[str]]) -> list[str]:
    """Return the lines of a table of kilobytes."""
    columns = [name for name in (*SETS, "all") if any(name in of for of in sizes.values())]
    lines = ["", "Kilobytes of functions and tables, by family of kernels and instruction set:", ""]
    lines += [f"| family | {' | '.join(columns)} | sum |", "|---|" + "--:|" * (len(columns) + 1)]
    total = sum(sizes.values(), Counter[str]())
    for family, of in [*sorted(sizes.items(), key=lambda item: -item[1].total()), ("sum", total)]:
        cells = [f"{of[name] / 1e3:.0f}" if of[name] else "" for name in columns]
        lines.append(f"| {family} | {' | '.join(cells)} | {of.total() / 1e3:.0f} |")
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="bench/overhead.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--interpreters", type=int, default=40, help="fresh interpreters per import (default: 40)")
    parser.add_argument("--quick", action="store_true", help="few repetitions: shows that it works")
    parser.add_argument(
        "--unstripped", type=Path, metavar="FILE", help="an extension with symbols: also list the sizes of its kernels"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--out", type=Path, metavar="DIR", help="also write overhead.md and overhead.json there")
    arguments = parser.parse_args(argv)
    if arguments.interpreters < 1:
        parser.error("argument --interpreters: at least 1")
    try:
        pinned = timing.pin()
        measured = [import_cost(3 if arguments.quick else arguments.interpreters), extension_size()]
        sizes = family_sizes(arguments.unstripped) if arguments.unstripped else {}
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
        "families": sizes,
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
    if sizes:
        lines += family_table(sizes)
    text, table = json.dumps(results, indent=1) + "\n", "\n".join(lines) + "\n"
    if arguments.out:
        report.write_files(arguments.out, {"overhead.json": text.encode(), "overhead.md": table.encode()})
    print(text if arguments.json else table, end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
