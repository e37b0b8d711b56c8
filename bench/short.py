"""Print the tables of README.md and docs/speed.md from the results in bench/results.

``python bench/short.py`` prints the block of README.md between the comments ``bench/short.py`` and ``end``;
``python bench/short.py --long`` prints the block of docs/speed.md. tests/packaging/test_docs.py compares both.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import goals
import report

FOLDER = Path(__file__).resolve().parent / "results"
SHORT = (
    "mean-2x2x1-u8-F", "mean-2x2x1-u8-C", "mean-2x2x1-u8-F-4levels", "mode-2x2x2-u64-F", "mode-2x2x1-u64-F-4levels",
    "mode-3x3x1-u64-F",
)  # fmt: skip
FAMILIES = {
    "images": "images, gray, RGB and RGBA, 256 x 256 to 8192 x 8192",
    "thin": "volumes with a fastest axis of 1 to 64 voxels",
    "blocks": "blocks of 64 x 64 x 64 and 128 x 128 x 128 in cache",
    "volumes": "4 levels of large volumes",
    "growth": "growth of the time per voxel with the fastest axis",
    "calls": "calls on a tile of 64 x 64",
}
LONG = (
    "mean-2x2x1-u8-F", "mean-2x2x1-u8-C", "mean-2x2x2-u16-C", "mean-2x2x1-f32-C", "mean-2x2x2-u64-F",
    "mean-3x3x1-u8-C", "mean-2x2x1-u8-F-4levels", "max-2x2x2-u8-C", "stride-2x2x1-u8-F", "median-2x2x2-u8-F",
    "mode-2x2x1-u8-F", "mode-2x2x1-u32-C", "mode-2x2x2-u64-F", "mode-2x2x2-u64-C-ignore0",
    "mode-2x2x1-u64-F-4levels", "mode-3x3x1-u64-F", "mode-2x2x1-u32-C-4levels",
    "original-PIL-mean-2x2x1-u8-F", "original-OpenCV-mean-2x2x1-u8-F",
)  # fmt: skip
PEERS = ("tinybrain", "OpenCV", "Pillow", "scikit-image", "TensorStore", "webknossos")


def tables(results: dict[str, Any], names: Sequence[str]) -> str:
    """Return the machine line, the rows of these names, and the summary, as Markdown."""
    machine = f"{report.machine_line(results['machine'])}; one thread, {results['settings']['isa']}; "
    machine += f"median of {results['settings']['rounds']} rounds."
    rows = {row["name"]: row for row in results["rows"]}
    lines = [
        machine,
        "",
        "| time / time of copying the input | tinypyr | " + " | ".join(PEERS) + " |",
        "|---|--:" + "|--:" * len(PEERS) + "|",
        *(_line(rows[name]) for name in names),
        "",
        *_summary(results),
    ]
    return "\n".join(lines)


def _line(row: dict[str, Any]) -> str:
    cells = [_words(row["name"]), f"{row['tinypyr']['ratio']:.2f}"]
    for peer in PEERS:
        entry = row["peers"].get(peer, {})
        ratio = entry.get("ratio")
        text = "-" if ratio is None else f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"
        cells.append("~" + text if entry.get("scaled") else text)
    return "| " + " | ".join(cells) + " |"


def _words(name: str) -> str:
    words = name.replace("-F", ", Fortran order").replace("-C", ", C order")
    return words.replace("-4levels", ", 4 levels").replace("-ignore0", ", ignore 0").replace("-", " ")


def _summary(results: dict[str, Any]) -> list[str]:
    summary = results["summary"]
    ratios = {row["name"]: row["tinypyr"]["ratio"] for row in results["rows"] if row["goal"] is not None}
    below = sum(ratio < 1 for ratio in ratios.values())
    slowest = max(ratios, key=lambda name: ratios[name])
    return [
        f"{below} of {summary['rows']} rows take less time than the copy, "
        f"and {summary['hits']} meet the project's target",
        f"(0.6 to 3 copies, by method). The slowest row is {_words(slowest)}: {ratios[slowest]:.2f} copies.",
        "",
        "`~`: measured on a part of the input and scaled up. `-`: not measured, because the package has no such",
        "function or gives another result.",
    ]


def families_table() -> str:
    """Return a table of the families of workloads: how many figures reach their goal, and the worst one."""
    lines = ["| work | figures within their goal | worst | goal |", "|---|--:|---|--:|"]
    for family, work in FAMILIES.items():
        figures = goals.goals(json.loads((FOLDER / f"{family}.json").read_text(encoding="utf-8")))
        worst = max(figures, key=lambda goal: goal.excess)
        hits = f"{sum(goal.reached for goal in figures)} of {len(figures)}"
        lines.append(f"| {work} | {hits} | {worst.value:.2f} {worst.unit}: {worst.name} | {worst.goal:g} |")
    return "\n".join(lines)


def main() -> None:
    results = json.loads((FOLDER / "results.json").read_text(encoding="utf-8"))
    if "--long" in sys.argv[1:]:
        print(tables(results, LONG))
    else:
        print(tables(results, SHORT), families_table(), sep="\n\n")


if __name__ == "__main__":
    main()
