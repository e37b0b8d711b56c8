"""The README's short table, from bench/results/results.json: a few rows of the campaign, with its peers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROWS = (
    "mean-2x2x1-u8-F", "mean-2x2x1-u8-C", "mean-2x2x2-u16-C", "mean-2x2x1-f32-C", "mean-2x2x2-u64-F",
    "mean-3x3x1-u8-C", "mean-2x2x1-u8-F-4levels", "max-2x2x2-u8-C", "stride-2x2x1-u8-F", "median-2x2x2-u8-F",
    "mode-2x2x1-u8-F", "mode-2x2x1-u32-C", "mode-2x2x2-u64-F", "mode-2x2x2-u64-C-ignore0",
    "mode-2x2x1-u64-F-4levels", "original-PIL-mean-2x2x1-u8-F", "original-OpenCV-mean-2x2x1-u8-F",
)  # fmt: skip
PEERS = ("tinybrain", "OpenCV", "Pillow", "scikit-image", "TensorStore", "webknossos")


def _words(name: str) -> str:
    return (
        name.replace("-F", ", Fortran order")
        .replace("-C", ", C order")
        .replace("-", " ")
        .replace("4levels", "4 levels")
    )


def table(results: dict[str, Any]) -> str:
    """Markdown; a peer's `~` means that it was measured on a part of the input."""
    rows = {row["name"]: row for row in results["rows"]}
    lines = [
        "| time over copying the input | tinypyr | " + " | ".join(PEERS) + " |",
        "|---|--:" + "|--:" * len(PEERS) + "|",
    ]
    for name in ROWS:
        row = rows[name]
        cells = [_words(name), f"{row['tinypyr']['ratio']:.2f}"]
        for peer in PEERS:
            entry = row["peers"].get(peer, {})
            ratio = entry.get("ratio")
            text = "-" if ratio is None else f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"
            cells.append("~" + text if entry.get("scaled") else text)
        lines.append("| " + " | ".join(cells) + " |")
    summary = results["summary"]
    ratios = [row["tinypyr"]["ratio"] for row in results["rows"] if row["goal"] is not None]
    below = sum(ratio < 1 for ratio in ratios)
    lines += ["", f"{summary['rows']} rows, {summary['passed']} within their goal, {below} below one copy"]
    return "\n".join(lines)


if __name__ == "__main__":
    file = Path(__file__).resolve().parent / "results" / "results.json"
    print(table(json.loads(file.read_text(encoding="utf-8"))))
