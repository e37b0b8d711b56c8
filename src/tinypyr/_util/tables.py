"""Tables of levels as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..grid import Grid


def level_rows(
    paths: Sequence[str], grids: Sequence[Grid], chunks: Sequence[Sequence[int]] | None = None
) -> list[list[str]]:
    """Return a heading and one row per level, with a column for the chunks if they are passed."""
    units = [unit or "" for unit in grids[0].units]
    common_unit = f", {units[0]}" if units and units[0] and len(set(units)) == 1 else ""
    axes = ", ".join(
        f"{axis} ({unit})" if unit and not common_unit else axis
        for axis, unit in zip(grids[0].axes, units, strict=True)
    )
    rows = [["level", axes, f"scale{common_unit}", f"translation{common_unit}"]]
    for path, grid in zip(paths, grids, strict=True):
        rows.append([path or ".", _extents(grid.shape), _numbers(grid.scale), _numbers(grid.translation)])
    if chunks is not None:
        for row, last in zip(rows, ["chunks", *map(_extents, chunks)], strict=True):
            row.append(last)
    return rows


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as lines of text with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _extents(values: Sequence[int]) -> str:
    return " x ".join(map(str, values))


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
