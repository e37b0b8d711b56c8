"""Tables of plans and of levels on standard output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from .._util.tables import level_rows
from ..grid import Grid


def print_plan(plan: Any) -> None:
    """Print a plan, with its levels as a table."""
    print(plan.heading)
    print_levels(plan.paths, plan.grids, [layout.chunks for layout in plan.layouts])
    print(plan.summary)


def print_levels(paths: Sequence[str], grids: Sequence[Grid], chunks: Sequence[Sequence[int]] | None = None) -> None:
    """Print a table with one row per level, and with a column for the chunks if they are given."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    heading, *rows = level_rows(paths, grids, chunks)
    for title in heading:
        table.add_column(title, no_wrap=True)
    for row in rows:
        table.add_row(*row)
    # rich would truncate rows at the width of the terminal: print whole rows, which a terminal wraps
    console = Console(highlight=False, markup=False)
    console.width = max(console.width, 4096)
    with console.capture() as output:
        console.print(table, soft_wrap=True)
    print("\n".join(line.rstrip() for line in output.get().splitlines()))
