"""Compare the speed of tinypyr with other packages, in one process and one thread, as ratios to the time of a copy.

Per row: create the input, compute and check the results of all packages, and only then time them, in interleaved
rounds with numpy.copyto of the same input. Writes results.md, results.json, results.png and roofline.png (bytes moved
per second, compared with copying and reading). All rows take about half an hour.

With --family: NAME.md and NAME.json of each family, charts, and families.md, the table of goals.
"""

from __future__ import annotations

import argparse
import fnmatch
import functools
import importlib.util
import json
import mmap
import os
import platform
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import timing

timing.one_thread()  # before numpy and the peers are imported

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

import calls  # noqa: E402
import goals  # noqa: E402
import growth  # noqa: E402
import measuring  # noqa: E402
import peers as peer_module  # noqa: E402
import report  # noqa: E402
import tinypyr  # noqa: E402
import workloads  # noqa: E402
from arrays import Data  # noqa: E402
from workloads import Row  # noqa: E402

Array = NDArray[Any]

MIB = 2**20
FORMAT = 2  # of the JSON


#: A row of a table, or one of the figures that have no peers.
Item = Row | growth.Sweep | calls.Tile
#: The families of workloads with goals: each has files of its own, and a part of families.md.
FAMILIES: dict[str, Callable[[], Iterable[Item]]] = {
    **{name: functools.partial(workloads.rows, [name]) for name in workloads.FAMILIES},
    "growth": growth.sweeps,
    "calls": lambda: calls.TILES,
}


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench/run.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Exit status: 0 measured (goals reached or not); 1 some answer was wrong; 2 bad arguments; "
        "130 interrupted, nothing written.\nReal data is looked for in the folder named by TINYPYR_DATA.",
    )
    parser.add_argument("--quick", action="store_true", help="small inputs, few rounds: shows that it works, not speed")
    parser.add_argument(
        "--suite",
        action="append",
        default=[],
        choices=list(workloads.SUITES),
        help="only rows of this suite of the README's table; may be given several times (default: all suites)",
    )
    parser.add_argument(
        "--family",
        nargs="+",
        action="extend",
        default=[],
        choices=[*FAMILIES, "all"],
        help="measure these families of workloads instead, and print the table of their goals",
    )
    parser.add_argument(
        "--isa", metavar="NAME", help="the instruction set of tinypyr, as the environment variable TINYPYR_ISA"
    )
    parser.add_argument("--method", action="append", help="only rows of this method; may be given several times")
    parser.add_argument("--rows", nargs="+", metavar="PATTERN", help="only rows whose name matches, as mean-*-u8-F")
    parser.add_argument("--list", action="store_true", help="print the names of the rows and stop")
    parser.add_argument("--peers", nargs="*", metavar="NAME", help="only these packages; none at all without a name")
    parser.add_argument("--peers-file", type=Path, metavar="FILE", help="Python file whose PEERS are measured as well")
    parser.add_argument("--rounds", type=int, help="interleaved rounds (default: 7; 3 with --quick)")
    parser.add_argument(
        "--arrays", type=int, help="places in memory in which every input is measured (default: 3; 2 with --quick)"
    )
    parser.add_argument(
        "--peer-cap",
        type=float,
        default=0.02,
        metavar="SECONDS",
        help="a package that takes longer per call gets a part of the input (default: 0.02)",
    )
    parser.add_argument(
        "--megabytes", type=float, help="size of the inputs (default: 4 last-level caches, from 134 to 1074 MB)"
    )
    results = Path(__file__).resolve().parent / "results"
    parser.add_argument(
        "--out",
        type=Path,
        default=results,
        metavar="DIR",
        help="where the results go (default: bench/results)",
    )
    parser.add_argument("--json", action="store_true", help="print the JSON instead of the Markdown")
    arguments = parser.parse_args(argv)
    if arguments.rounds is None:
        arguments.rounds = 3 if arguments.quick else 7
    if arguments.rounds < 1:
        parser.error("argument --rounds: at least 1")
    if arguments.arrays is None:
        arguments.arrays = 2 if arguments.quick else 3
    if not 1 <= arguments.arrays <= 100:
        parser.error("argument --arrays: 1 to 100")
    if not arguments.peer_cap > 0:
        parser.error("argument --peer-cap: more than 0 seconds")
    if arguments.megabytes is not None and not 0 < arguments.megabytes <= 65536:
        parser.error("argument --megabytes: between 0 and 65536")
    if arguments.isa:
        if arguments.isa not in tinypyr.instruction_sets():
            parser.error(f"argument --isa: this machine has {', '.join(tinypyr.instruction_sets())}")
        os.environ["TINYPYR_ISA"] = arguments.isa  # the core reads it
    arguments.chosen = _chosen(arguments)
    if not any(arguments.chosen.values()):
        parser.error("no row has such a name (see --list)")
    arguments.contenders = list(peer_module.PEERS)
    if arguments.peers is not None:
        unknown = set(arguments.peers) - {peer.name for peer in peer_module.PEERS}
        if unknown:
            parser.error(f"argument --peers: no adapter for {', '.join(sorted(unknown))}")
        arguments.contenders = [peer for peer in peer_module.PEERS if peer.name in arguments.peers]
    if arguments.peers_file:
        spec = importlib.util.spec_from_file_location("more_peers", arguments.peers_file)
        if spec is None or spec.loader is None or not arguments.peers_file.is_file():
            parser.error(f"argument --peers-file: {str(arguments.peers_file)!r} is not a Python file")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        arguments.contenders += module.PEERS
    return arguments


def _chosen(arguments: argparse.Namespace) -> dict[str, list[Item]]:
    """Return the items of each file of results: `results` has the chosen suites, and each family has a file."""
    families = list(FAMILIES) if "all" in arguments.family else list(dict.fromkeys(arguments.family))
    suites = arguments.suite or ([] if families else list(workloads.SUITES))
    items: dict[str, Iterable[Item]] = {"results": workloads.rows(suites)} if suites else {}
    items |= {family: FAMILIES[family]() for family in families}
    return {
        file: [
            item
            for item in members
            if (not arguments.method or item.method in arguments.method)
            and (not arguments.rows or any(fnmatch.fnmatchcase(item.name, p) for p in arguments.rows))
        ]
        for file, members in items.items()
    }


def _settings(arguments: argparse.Namespace, instruction_sets: list[str], pinned: str) -> dict[str, Any]:
    return {
        "quick": arguments.quick,
        "rounds": arguments.rounds,
        "arrays": arguments.arrays,
        "peer_cap_s": arguments.peer_cap,
        "pinned": pinned,
        "isa": os.environ.get("TINYPYR_ISA") or (instruction_sets[0] if instruction_sets else "numpy"),
    }


def _say(result: dict[str, Any], number: int, total: int) -> None:
    ours = result["tinypyr"]
    line = f"[{number:3}/{total}] {result['name']:<28} "
    line += f"{ours['ratio']:7.2f} {result['verdict']:<5}" if "ratio" in ours else f"WRONG: {ours['wrong']}"
    for name, entry in result["peers"].items():
        if "ratio" in entry:
            line += f"  {name} {'~' if entry['scaled'] else ''}{entry['ratio']:.3g}"
        elif "wrong" in entry:
            line += f"  {name} WRONG: {entry['wrong']}"
    print(line, file=sys.stderr, flush=True)


def elsewhere(array: Array, offset: int) -> Array:
    """Return a copy in other memory, `offset` bytes after the start of a page."""
    buffer = np.empty(array.nbytes + 2 * mmap.PAGESIZE, np.uint8)
    start = -buffer.ctypes.data % mmap.PAGESIZE + offset
    place: Array = np.ndarray(array.shape, array.dtype, buffer, start, array.strides)
    place[...] = array
    return place


def _measure_rows(rows: list[Row], data: Data, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure the rows in order."""
    results = []
    arrays: list[Array] = []
    copy = np.empty(0)
    for number, row in enumerate(rows, 1):
        array = data.array(row)
        if not arrays or array is not arrays[0]:
            arrays = []  # free the memory of the last arrays first
            del copy
            copy = np.empty_like(array)
            copy.fill(1)  # warm: every page has been written
            # the others: at the start of a page, and not aligned to vectors or cache lines
            arrays = [array, *(elsewhere(array, 24 * k) for k in range(arguments.arrays - 1))]
        result = measuring.measure(row, arrays, copy, arguments.contenders, arguments.rounds, arguments.peer_cap)
        _say(result, number, len(rows))
        results.append(result)
    return results


def _measure_figures(items: list[Item], data: Data, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure the sweeps and tiles, which are not rows of a table."""

    def say(figure: dict[str, Any]) -> None:
        text = f"WRONG: {figure['wrong']}" if "wrong" in figure else f"{figure['value']:.2f} {figure['unit']}"
        print(f"{figure['name']:<40} {text}", file=sys.stderr, flush=True)

    sweeps = [item for item in items if isinstance(item, growth.Sweep)]
    tiles = [item for item in items if isinstance(item, calls.Tile)]
    measured = growth.measure(sweeps, data, arguments.rounds, say)
    for figure in calls.measure(tiles, arguments.rounds, timing.SHORTEST):
        say(figure)
        measured.append(figure)
    for figure in measured:
        wrong, reached = figure["value"] is None, (figure["value"] or 0) <= figure["goal"]
        figure["verdict"] = "WRONG" if wrong else "hit" if reached else "miss"
    return measured


def measure_file(items: list[Item], data: Data, pinned: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure the rows and figures of one file of results."""
    results = _measure_rows([item for item in items if isinstance(item, Row)], data, arguments)
    figures = _measure_figures(items, data, arguments)
    kinds = {item.data for item in items if not isinstance(item, calls.Tile)}
    versions = {"Python": platform.python_version(), "numpy": np.__version__, "tinypyr": tinypyr.__version__}
    for peer in arguments.contenders:
        version = timing.version(peer.distribution)
        if version:
            versions[peer.distribution] = version
    return {
        "format": FORMAT,
        "machine": timing.machine(),
        "versions": versions,
        "instruction_sets": tinypyr.instruction_sets(),
        "settings": _settings(arguments, tinypyr.instruction_sets(), pinned),
        "data": {kind: source for kind, source in data.sources.items() if kind in kinds},
        "summary": _summary(results, figures),
        "peers": [peer.name for peer in arguments.contenders if any(peer.name in row["peers"] for row in results)],
        "rows": results,
        "figures": figures,
    }


def _summary(results: list[dict[str, Any]], figures: list[dict[str, Any]]) -> dict[str, Any]:
    timed = [row for row in results if row["verdict"] in ("hit", "miss")]
    timed += [figure for figure in figures if figure["verdict"] in ("hit", "miss")]
    wrong = [row["name"] for row in results if "wrong" in row["tinypyr"]]
    wrong += [figure["name"] for figure in figures if "wrong" in figure]
    wrong += [f"{peer} in {row['name']}" for row in results for peer, e in row["peers"].items() if "wrong" in e]
    return {
        "rows": len(results) + len(figures),
        "on_avx2": sum("avx2" in row["tinypyr"] for row in results),
        "slow_on_avx2": [
            row["name"]
            for row in results
            if "avx2" in row["tinypyr"] and row["tinypyr"]["avx2"] > 1.3 * row["tinypyr"]["ratio"]
        ],
        "hits": sum(row["verdict"] == "hit" for row in timed),
        "misses": [row["name"] for row in timed if row["verdict"] == "miss"],
        "wrong": wrong,
    }


def _files(name: str, results: dict[str, Any]) -> dict[str, bytes]:
    """Return the files of one set of results: tables, JSON, and charts if matplotlib is there."""
    files = {f"{name}.md": report.markdown(results).encode(), f"{name}.json": report.as_json(results).encode()}
    charts = {f"{name}.png": report.chart} if results["rows"] else {}
    if name == "results":
        charts["roofline.png"] = report.roofline
    if name == "growth":
        charts["growth.png"] = report.growth
    for file, draw in charts.items():
        picture = draw(results)
        if isinstance(picture, bytes):
            files[file] = picture
        else:
            print(picture, file=sys.stderr)
    return files


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _arguments(argv)
    if arguments.list:
        print("\n".join(item.name for items in arguments.chosen.values() for item in items))
        return 0
    try:
        pinned = timing.pin()
        megabytes = arguments.megabytes or max(128 * MIB, min(4 * timing.last_level_cache(), 1024 * MIB)) / 1e6
        data = Data(int(megabytes * 1e6), arguments.quick)
        file_results = {
            name: measure_file(items, data, pinned, arguments) for name, items in arguments.chosen.items() if items
        }
        files: dict[str, bytes] = {}
        for name, results in file_results.items():
            files |= _files(name, results)
        families = {name: results for name, results in file_results.items() if name in FAMILIES}
        if families:
            families = _earlier(arguments.out) | families
            families = {name: families[name] for name in FAMILIES if name in families}
            files["families.md"] = goals.table(families).encode()
        report.write_files(arguments.out, files)
    except KeyboardInterrupt:
        print("interrupted: nothing written", file=sys.stderr)
        return 130
    if arguments.json:
        print("".join(files[f"{name}.json"].decode() for name in file_results), end="")
    else:
        tables = ["results.md"] * ("results" in file_results) + ["families.md"] * bool(families)
        print("\n".join(files[name].decode() for name in tables), end="")
    print("written: " + ", ".join(str(arguments.out / name) for name in files), file=sys.stderr)
    return 1 if any(results["summary"]["wrong"] for results in file_results.values()) else 0


def _earlier(folder: Path) -> dict[str, Any]:
    """Return the results of families that earlier runs, of this format, left in the folder."""
    files = {name: folder / f"{name}.json" for name in FAMILIES}
    earlier = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in files.items() if path.is_file()}
    return {name: results for name, results in earlier.items() if results["format"] == FORMAT}


if __name__ == "__main__":
    warnings.simplefilter("default")
    raise SystemExit(main())
