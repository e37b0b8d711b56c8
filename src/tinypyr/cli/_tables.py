"""Tables of plans and of levels on standard output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from ..grid import Grid


def print_plan(plan: Any) -> None:
    """Print a plan, with its levels as a table."""
    print(plan.heading)
    print_levels(plan.paths, plan.grids, [layout.chunks for layout in plan.layouts])
    print(plan.summary)


def print_levels(paths: Sequence[str], grids: Sequence[Grid], chunks: Sequence[Sequence[int]] = ()) -> None:
    """Print a table with one row per level, and with a column for the chunks if they are given."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    units = [unit or "" for unit in grids[0].units]
    common_unit = f", {units[0]}" if units[0] and len(set(units)) == 1 else ""
    axes = ", ".join(
        f"{axis} ({unit})" if unit and not common_unit else axis
        for axis, unit in zip(grids[0].axes, units, strict=True)
    )
    headings = ["level", axes, f"scale{common_unit}", f"translation{common_unit}", *(["chunks"] if chunks else [])]
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    for number, (path, grid) in enumerate(zip(paths, grids, strict=True)):
        scale, translation = (", ".join(f"{n:g}" for n in row) for row in (grid.scale, grid.translation))
        last = [" x ".join(map(str, chunks[number]))] if chunks else []
        table.add_row(path or ".", " x ".join(map(str, grid.shape)), scale, translation, *last)
    # rich would truncate rows at the width of the terminal: print whole rows, which a terminal wraps
    console = Console(highlight=False, markup=False)
    console.width = max(console.width, 4096)
    with console.capture() as output:
        console.print(table, soft_wrap=True)
    print("\n".join(line.rstrip() for line in output.get().splitlines()))
