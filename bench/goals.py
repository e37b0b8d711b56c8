"""The table of goals of the families of workloads: one line per kind of work, with the worst of its rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import report

#: The goals of the families hold for the widest instruction set. AVX2 may take this many times the goal.
AVX2_ALLOWANCE = 1.5


@dataclass(frozen=True)
class Goal:
    """One figure with its goal; the table shows the worst figure of each line."""

    line: str
    name: str
    value: float | None  # None: the answer was wrong
    goal: float
    unit: str  # what the figure counts
    avx2: float | None = None

    @property
    def excess(self) -> float:
        return math.inf if self.value is None else self.value / self.goal

    @property
    def reached(self) -> bool:
        return self.excess <= 1


def goals(results: report.Results) -> list[Goal]:
    """Return every figure of a family that has a goal."""
    figures = [
        Goal(*(figure[key] for key in ("line", "name", "value", "goal", "unit"))) for figure in results["figures"]
    ]
    for row in results["rows"]:
        ours, unit = row["tinypyr"], {"copy": "copies"}.get(row["beside"], row["beside"])
        if row["goal"] is not None:
            figures.append(Goal(row["line"], row["name"], ours.get("ratio"), row["goal"], unit, ours.get("avx2")))
        if row["net_goal"] is not None:
            line = row["line"] + ": time over the cost of a call"
            figures.append(Goal(line, row["name"], ours.get("net"), row["net_goal"], unit))
    return figures


def table(families: Mapping[str, report.Results]) -> str:
    """Return the table of goals as Markdown: one line per kind of work, with the worst of its rows."""
    lines = ["# Goals by family of workloads", ""]
    if any(results["settings"]["quick"] for results in families.values()):
        lines += ["**A quick run on small inputs: it shows that the runner works, not speed.**", ""]
    lines += [
        "Time of tinypyr relative to a copy of the same input (`numpy.copyto`) or to the package named, one thread, "
        "into a ready output. *tinypyr* is the worst of the rows that the line covers, and *worst row* names it. "
        f"*AVX2* is the worst with `TINYPYR_ISA=avx2`; it may take {AVX2_ALLOWANCE:g} "
        "times the goal in the column *goal*.",
    ]
    for family, results in families.items():
        lines += ["", f"## {family}", "", *_family(family, results)]
    return "\n".join(lines) + "\n"


def _family(family: str, results: report.Results) -> list[str]:
    figures = goals(results)
    settings, versions = results["settings"], results["versions"]
    lines = [
        f"{report.machine_line(results['machine'])}; tinypyr {versions['tinypyr']} with {settings['isa']}; "
        f"{settings['pinned']}; median of {settings['rounds']} rounds.",
        "",
    ]
    missing = {row["line"]: row["missing"] for row in results["rows"] if "missing" in row}
    if figures:
        worst = max(figures, key=lambda goal: goal.excess)
        lines += [
            f"**{sum(goal.reached for goal in figures)} of {len(figures)} figures reach their goal. The worst row is "
            f"{worst.name}: {_figure(worst)} for {worst.goal:g}.** [All rows]({family}.md)",
            "",
        ]
    lines += [
        "| work | rows within the goal | goal | tinypyr | | worst row | AVX2 | |",
        "|---|--:|--:|--:|---|---|--:|---|",
    ]
    lines += [
        _line(line, [goal for goal in figures if goal.line == line]) for line in dict.fromkeys(g.line for g in figures)
    ]
    lines += [f"| {line} | - | - | - | not measured | {peer} is missing | - | |" for line, peer in missing.items()]
    return lines


def _line(line: str, members: list[Goal]) -> str:
    worst = max(members, key=lambda goal: goal.excess)
    on_avx2 = [goal.avx2 / goal.goal for goal in members if goal.avx2 is not None]
    cells = [
        line,
        f"{sum(goal.reached for goal in members)} of {len(members)}",
        f"{worst.goal:g} {worst.unit}",
        _figure(worst),
        "hit" if worst.reached else "miss",
        worst.name,
        f"{max(on_avx2) * worst.goal:.2f}" if on_avx2 else "-",
        "" if not on_avx2 else "hit" if max(on_avx2) <= AVX2_ALLOWANCE else "miss",
    ]
    return "| " + " | ".join(cells) + " |"


def _figure(goal: Goal) -> str:
    return "WRONG" if goal.value is None else f"{goal.value:.2f}"
