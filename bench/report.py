"""Write results as a Markdown table, as JSON, and as charts. Files are replaced atomically."""

from __future__ import annotations

import importlib
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Results = dict[str, Any]

# colours that colour-blind readers can distinguish
OURS = "#0072B2"
COLOURS = ("#D55E00", "#009E73", "#CC79A7", "#8C6D1F", "#56B4E9", "#999999", "#000000")
MARKERS = "osD^vPX*"


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write all files under temporary names, then rename them, so that no file is ever incomplete."""
    folder.mkdir(parents=True, exist_ok=True)
    beside = {name: folder / f".{name}.{os.getpid()}.tmp" for name in files}
    try:
        for name, data in files.items():
            beside[name].write_bytes(data)
        for name, path in beside.items():
            os.replace(path, folder / name)
    finally:
        for path in beside.values():
            path.unlink(missing_ok=True)


def as_json(results: Results) -> str:
    return json.dumps(_rounded(results), indent=1, allow_nan=False) + "\n"


def _rounded(value: Any) -> Any:
    """Return floats rounded to four digits, the accuracy of the measurements."""
    if isinstance(value, dict):
        return {key: _rounded(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_rounded(entry) for entry in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def machine_line(machine: Mapping[str, Any]) -> str:
    line = f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB memory"
    if machine["last_level_cache_mib"]:
        line += f", {machine['last_level_cache_mib']} MiB last-level cache"
    return line


def _ratio(entry: Mapping[str, Any]) -> str:
    if "wrong" in entry:
        return "WRONG"
    if "ratio" not in entry:
        return "-"
    ratio = entry["ratio"]
    return ("~" if entry["scaled"] else "") + (f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}")


def _some(names: Sequence[str], most: int) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def markdown(results: Results) -> str:
    """Return the whole report as Markdown."""
    settings, summary = results["settings"], results["summary"]
    lines = ["# tinypyr beside other packages", ""]
    besides = list(dict.fromkeys(row["beside"] for row in results["rows"]))
    copies = besides in ([], ["copy"])
    net = any(row["net_goal"] for row in results["rows"])
    base = "`numpy.copyto` of the same input into a warm array" if copies else "the package named under *base*"
    if settings["quick"]:
        lines += [
            "**A quick run on small inputs that fit the caches: it shows that the runner works, not speed.**",
            "",
        ]
    if not results["instruction_sets"]:
        lines += ["**The compiled extension is missing: tinypyr's figures are those of plain numpy.**", ""]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    lines += [
        f"Ratios of time to {base}, in the same process and run; below 1 is faster. "
        f"One thread, {settings['pinned']}; median of {settings['rounds']} interleaved rounds. "
        f"Of {settings['arrays']} arrays in different places of memory *tinypyr* is the median and *worst* the "
        "slowest; peers have the first. tinypyr writes into a ready output (`out=`); "
        "*allocating* is the same call without. Every answer was checked before its time was taken.",
        "",
        f"`~`: slower than {settings['peer_cap_s']:g} s per call, so measured on a part of the input and "
        "scaled up. `-`: does not apply, see below. `WRONG`: the answer was not what the package promises.",
        "",
        *(["*net*: the same after the cost of a call on 2 x 2 pixels is taken from both times.", ""] if net else []),
        f"- machine: {machine_line(results['machine'])}",
        f"- software: {versions}",
        f"- instruction sets: {', '.join(results['instruction_sets']) or 'none'}; used: {settings['isa']}",
    ]
    lines += [f"- data, {kind}: {source}" for kind, source in results["data"].items()]
    lines += [
        "",
        f"**{summary['hits']} of {summary['rows']} rows reach their goal"
        + (f"; misses: {_some(summary['misses'], 12)}" if summary["misses"] else "")
        + (f"; wrong: {_some(summary['wrong'], 12)}" if summary["wrong"] else "")
        + ".**",
        "",
    ]
    if summary["on_avx2"]:
        slow = summary["slow_on_avx2"]
        lines += [
            f"*AVX2*: the same call with `TINYPYR_ISA=avx2`, on the first array; within 1.3 of *tinypyr* in "
            f"{summary['on_avx2'] - len(slow)} of {summary['on_avx2']} rows"
            + (f", not in: {_some(slow, 40)}." if slow else "."),
            "",
        ]
    lines += _row_lines(results, copies) if results["rows"] else []
    return "\n".join(lines + _figure_lines(results)) + "\n"


def _row_lines(results: Results, copies: bool) -> list[str]:
    """Return the table of the rows, and the remarks on it."""
    peers = list(results["peers"])
    header = [
        "row",
        "input",
        "copy, ms" if copies else "base, ms",
        "tinypyr",
        "worst",
        "allocating",
        "AVX2",
        "goal",
        "",
        *([] if copies else ["copy"]),
        *peers,
    ]
    peer_columns = len(header) - 9
    lines = ["| " + " | ".join(header) + " |", "|---|---|" + "--:|" * 6 + "---|" + "--:|" * peer_columns]
    for row in results["rows"]:
        ours = row["tinypyr"]
        timed = "ratio" in ours
        cells = [
            row["name"],
            f"{' x '.join(map(str, row['shape']))}, {row['megabytes']:.3g} MB",
            ("" if copies else row["beside"] + " ") + _milliseconds(row["base_ms"]),
            _ratio(ours) + (f" (net {ours['net']:.2f})" if "net" in ours else ""),
            f"{ours['worst']:.2f}" if timed else "-",
            f"{ours['allocating']:.2f}" if timed else "-",
            f"{ours['avx2']:.2f}" if "avx2" in ours else "-",
            ""
            if row["goal"] is None
            else f"{row['goal']:g}" + (f" (net {row['net_goal']:g})" if row["net_goal"] else ""),
            row["verdict"],
            *([] if copies else [f"{row['copy']:.2f}"]),
            *(_ratio(row["peers"].get(peer, {})) for peer in peers),
        ]
        lines.append("| " + " | ".join(cells) + " |")

    reasons: dict[str, dict[str, list[str]]] = {}
    notes: dict[str, set[str]] = {}
    for row in results["rows"]:
        for peer, entry in row["peers"].items():
            if "skipped" in entry or "wrong" in entry:
                why = entry.get("skipped") or "WRONG: " + entry["wrong"]
                reasons.setdefault(peer, {}).setdefault(why, []).append(row["name"])
            elif entry["note"] or entry["rule"] != "exact":
                said = f"{row['method']}: checked as {entry['rule']!r}"
                notes.setdefault(peer, set()).add(said + (f" ({entry['note']})" if entry["note"] else ""))
    if notes:
        lines += ["", "How the answers of others differ (rules: `bench/expected.py`):", ""]
        lines += [f"- {peer}: {'; '.join(sorted(said))}" for peer, said in notes.items()]
    if reasons:
        lines += ["", "Not measured:", ""]
        for peer, whys in reasons.items():
            for why, names in whys.items():
                lines.append(f"- {peer}: {why} ({_some(names, 3)})")
    return lines


def _figure_lines(results: Results) -> list[str]:
    """Return the table of the figures that are not rows, and that of the times per voxel."""
    figures = results["figures"]
    if not figures:
        return []
    lines = ["| figure | measured | goal | | how |", "|---|--:|--:|---|---|"]
    for figure in figures:
        value = "WRONG" if figure["value"] is None else f"{figure['value']:.2f} {figure['unit']}"
        how = figure.get("wrong") or figure["note"]
        lines.append(f"| {figure['name']} | {value} | {figure['goal']:g} | {figure['verdict']} | {how} |")
    curves = [figure for figure in figures if "lengths" in figure]
    if curves:
        lengths = curves[0]["lengths"]
        lines += ["", "Nanoseconds per voxel, by the length of the fastest axis:", ""]
        lines += ["| | " + " | ".join(map(str, lengths)) + " |", "|---|" + "--:|" * len(lengths)]
        for curve in curves:
            cells = (f"{value:.3g}" for value in curve["ns_per_voxel"])
            lines.append(f"| {curve['name'].removeprefix('growth-')} | " + " | ".join(cells) + " |")
    return lines


def _milliseconds(value: float) -> str:
    return f"{value:.2f}" if value >= 1 else f"{value:.3g}"


def chart(results: Results) -> bytes | str:
    """Return a PNG with one panel per method, or the reason why there is none."""
    return _picture("chart", results, _draw_chart)


def roofline(results: Results) -> bytes | str:
    """Return a PNG of bytes moved per second (input read, output written), or the reason why there is none.

    The roofs are the rates of copying the input and of only reading it, measured in the same rounds.
    """
    return _picture("roofline", results, _draw_roofline)


def growth(results: Results) -> bytes | str:
    """Return a PNG of the time per voxel over the length of the fastest axis, or the reason why there is none."""
    return _picture("growth", results, _draw_growth)


def _picture(what: str, results: Results, draw: Callable[[Any, Results, list[dict[str, Any]]], Any]) -> bytes | str:
    try:
        matplotlib = importlib.import_module("matplotlib")
    except ImportError:
        return f"no {what}: matplotlib is not installed"
    matplotlib.use("Agg")
    plt = importlib.import_module("matplotlib.pyplot")
    rows = [row for row in results["rows"] if "ratio" in row["tinypyr"]]
    rows += [figure for figure in results["figures"] if "lengths" in figure]
    if not rows:
        return f"no {what}: no row was timed"
    figure = draw(plt, results, rows)
    figure.tight_layout()
    stream = io.BytesIO()
    figure.savefig(stream, dpi=100, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    return stream.getvalue()


def _draw_chart(plt: Any, results: Results, rows: list[dict[str, Any]]) -> Any:
    panels: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        panels.setdefault(row["name"].split("-")[0] if row["title"] else row["method"], []).append(row)
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    heights = [max(map(len, list(panels.values())[i * columns : (i + 1) * columns])) for i in range(lines)]
    figure, grid = plt.subplots(
        lines,
        columns,
        figsize=(0.5 + 4.5 * columns, 1.2 + 0.6 * lines + 0.19 * sum(heights)),
        height_ratios=[0.4 + 0.19 * height for height in heights],
        sharex=True,
        squeeze=False,
    )
    axes = grid.ravel()
    for spare in axes[len(panels) :]:
        spare.set_visible(False)
    styles = {peer: (COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, peer in enumerate(results["peers"])}
    shown: set[str] = set()
    for number, (method, members) in enumerate(panels.items()):
        axis = axes[number]
        axis.set_title(method, fontsize=10)
        axis.set_xscale("log")
        at = range(len(members))
        axis.barh(at, [row["tinypyr"]["ratio"] for row in members], color=OURS, height=0.7, left=0, zorder=2)
        for i, row in enumerate(members):
            for peer, entry in row["peers"].items():
                if "ratio" in entry:
                    colour, marker = styles[peer]
                    shown.add(peer)
                    axis.plot(entry["ratio"], i, marker, color=colour, markersize=4, zorder=3)
            if row["goal"] is not None:
                axis.plot([row["goal"]] * 2, [i - 0.5, i + 0.5], "--", color="#E69F00", linewidth=1.2, zorder=4)
        axis.axvline(1, color="black", linewidth=1, zorder=4)
        prefix = method + "-"
        axis.set_yticks(at, [row["name"].removeprefix(prefix) for row in members], fontsize=7)
        axis.set_ylim(heights[number // columns] - 0.4, -0.6)
        axis.grid(axis="x", which="major", color="#dddddd", zorder=0)
        axis.tick_params(axis="x", labelsize=7, labelbottom=True)
        axis.spines[["top", "right"]].set_visible(False)
    lowest = min(row["tinypyr"]["ratio"] for row in rows)
    axes[0].set_xlim(left=min(0.3, lowest * 0.7))
    besides = dict.fromkeys({"copy": "numpy.copyto"}.get(row["beside"], row["beside"]) for row in rows)
    base = " or ".join(besides)
    lines2d = importlib.import_module("matplotlib.lines").Line2D
    patch = importlib.import_module("matplotlib.patches").Patch
    legend = [patch(color=OURS, label="tinypyr")]
    legend += [
        lines2d([], [], color=colour, marker=marker, linestyle="", markersize=5, label=peer)
        for peer, (colour, marker) in styles.items()
        if peer in shown
    ]
    legend += [
        lines2d([], [], color="black", linewidth=1, label=base),
        lines2d([], [], color="#E69F00", linestyle="--", linewidth=1.2, label="goal"),
    ]
    figure.supxlabel(f"time over {base} of the same input, one thread (log scale; left is faster)", fontsize=9)
    title = "quick run on small inputs: no measure of speed\n" if results["settings"]["quick"] else ""
    figure.suptitle(title + machine_line(results["machine"]), fontsize=9)
    figure.legend(handles=legend, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=5, fontsize=8, frameon=False)
    return figure


def _draw_growth(plt: Any, results: Results, curves: list[dict[str, Any]]) -> Any:
    panels: dict[str, list[dict[str, Any]]] = {}
    for curve in curves:
        _, method, factor, dtype = curve["name"].split("-")
        panels.setdefault(factor, []).append({**curve, "method": method, "dtype": dtype})
    colours = dict(zip(dict.fromkeys(curve["name"].split("-")[1] for curve in curves), (OURS, *COLOURS), strict=False))
    markers = dict(zip(dict.fromkeys(curve["name"].split("-")[3] for curve in curves), MARKERS, strict=False))
    figure, grid = plt.subplots(1, len(panels), figsize=(1 + 5 * len(panels), 5), sharey=True, squeeze=False)
    for axis, (factor, members) in zip(grid.ravel(), panels.items(), strict=True):
        for curve in members:
            least = min(curve["ns_per_voxel"])
            relative = [value / least for value in curve["ns_per_voxel"]]
            style = {
                "color": colours[curve["method"]],
                "marker": markers[curve["dtype"]],
                "markersize": 4,
                "linewidth": 1,
            }
            axis.plot(curve["lengths"], relative, label=f"{curve['method']} {curve['dtype']}", **style)
        axis.axhline(members[0]["goal"], color="#E69F00", linestyle="--", linewidth=1.2, label="goal")
        axis.set_title(factor, fontsize=10)
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_xlabel("length of the fastest axis (C order)", fontsize=9)
        axis.grid(which="major", color="#dddddd")
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(fontsize=7, frameon=False)
    grid[0, 0].set_ylabel("time per voxel over that of the fastest length", fontsize=9)
    title = "quick run on small inputs: no measure of speed\n" if results["settings"]["quick"] else ""
    figure.suptitle(title + machine_line(results["machine"]), fontsize=9)
    return figure


def _draw_roofline(plt: Any, results: Results, rows: list[dict[str, Any]]) -> Any:
    def speed(row: dict[str, Any]) -> float:
        moved = row["megabytes"] + row["out_megabytes"]
        return float(moved / (row["tinypyr"]["ratio"] * row["base_ms"]))  # MB per ms equals GB per s

    names = list(dict.fromkeys(row["method"] for row in rows))
    figure, axis = plt.subplots(figsize=(8, 4.5))
    for i, name in enumerate(names):
        of_name = [row for row in rows if row["method"] == name]
        for several, marker in ((False, "o"), (True, "^")):
            members = [row for row in of_name if (row["levels"] > 1) == several]
            spread = [i + 0.6 * ((k + 0.5) / max(1, len(members)) - 0.5) for k in range(len(members))]
            axis.plot(spread, [speed(row) for row in members], marker, color=OURS, markersize=3.5)
    for label, colour, values in (
        ("numpy.copyto (read and written)", "black", [2 * row["megabytes"] / row["copy_ms"] for row in rows]),
        ("reading alone", "#E69F00", [row["megabytes"] / (row["read"] * row["base_ms"]) for row in rows]),
    ):
        middle = sorted(values)[len(values) // 2]
        axis.axhline(middle, color=colour, linewidth=1.2, label=f"{label}: {middle:.1f} GB/s")
    axis.plot([], [], "o", color=OURS, markersize=3.5, label="tinypyr, one level")
    axis.plot([], [], "^", color=OURS, markersize=3.5, label="tinypyr, several levels")
    axis.set_xticks(range(len(names)), names)
    axis.set_ylim(bottom=0)
    axis.set_ylabel("GB per second, input and output, one thread")
    title = "quick run on small inputs: no measure of speed\n" if results["settings"]["quick"] else ""
    axis.set_title(title + machine_line(results["machine"]), fontsize=9)
    axis.legend(fontsize=8, frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    return figure
