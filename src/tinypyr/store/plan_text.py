"""Descriptions of a plan: as JSON, and as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import __version__
from .._util.sizes import size_text

if TYPE_CHECKING:
    from .plans import Plan

#: Entries of a described plan that change neither the levels nor the numbers of blocks.
WITHOUT_EFFECT = ("leaf", "left_behind", "memory", "workers")


def described(plan: Plan) -> dict[str, Any]:
    """Return a plan as JSON; see :meth:`Plan.describe`."""
    boxes = [
        plan.region(k, plan.covered_box if k <= plan.leaf_levels else plan.affected_box) for k in range(len(plan.grids))
    ]
    first, itemsize = 0 if plan.copies_base else 1, plan.source.dtype.itemsize
    voxels_written = sum(math.prod(stop - start for start, stop in box) for box in boxes[first:])
    objects = sum(
        math.prod(-(-stop // u) - start // u for (start, stop), u in zip(box, layout.unit, strict=True))
        for box, layout in list(zip(boxes, plan.layouts, strict=True))[first:]
    )
    return {
        "tinypyr": __version__,
        "source": _source_name(plan),
        "view": plan.source.recipe,
        "target": plan.location.real,
        "axes": list(plan.grids[0].axes),
        "units": list(plan.grids[0].units),
        "voxel_offset": list(plan.grids[0].voxel_offset),
        "format": plan.format,
        "dtype": plan.source.dtype.name,
        "method": plan.method,
        "ignore": None if plan.ignore is None else str(plan.ignore),
        "rounding": plan.rounding,
        "ties": plan.ties,
        "recursive": plan.recursive,
        **{name: None if plan.mask is None else plan.mask.note(name) for name in ("mask", "exclude")},
        "region": None if plan.changed_box is None else [list(span) for span in plan.changed_box],
        "copies_base": plan.copies_base,
        "skip_empty": plan.skip_empty,
        "levels": [_described_level(plan, number) for number in range(len(plan.grids))],
        "blocks": len(plan.numbers),
        "block": list(plan.block_shape),
        "leaf": list(plan.leaf_shape),
        "merged_levels": list(range(plan.whole_levels + 1, len(plan.grids))),
        "accumulated_levels": list(range(plan.leaf_levels + 1, len(plan.grids))),
        "bytes_to_read": math.prod(stop - start for start, stop in plan.covered_box) * itemsize,
        "bytes_to_write": voxels_written * itemsize,
        "objects": objects,
        "memory": plan.memory,
        "workers": plan.workers,
        "left_behind": plan.left_behind,
    }


def _described_level(plan: Plan, number: int) -> dict[str, Any]:
    grid, layout = plan.grids[number], plan.layouts[number]
    return {
        "path": plan.paths[number],
        "shape": list(grid.shape),
        "factor": list(plan.totals[number]),
        "scale": list(grid.scale),
        "translation": list(grid.translation),
        "chunks": list(layout.chunks),
        "shards": None if layout.shards is None else list(layout.shards),
        "codec": layout.codec,
        "bytes": math.prod(grid.shape) * plan.source.dtype.itemsize,
    }


def _source_name(plan: Plan) -> str:
    return plan.source.name if plan.source.volume is None else plan.source.volume.location.real


def heading(plan: Plan) -> str:
    """Return the source, the target and the method of a plan, in two lines."""
    levels = f"{len(plan.factors)} levels" if len(plan.factors) != 1 else "1 level"
    return (
        f"{_source_name(plan)} -> {plan.location.real}\n"
        f"{plan.format}, {plan.source.dtype.name}, {plan.method}, {levels}"
    )


def summary(plan: Plan) -> str:
    """Return what a plan reads, writes and holds in memory, in one line."""
    content = described(plan)
    return (
        f"reads {size_text(content['bytes_to_read'])}, writes {size_text(content['bytes_to_write'])} "
        f"(before compression) in at most {content['objects']} objects; {content['blocks']} blocks, "
        f"{content['workers']} workers, memory {size_text(content['memory'])}"
    )


def notices(plan: Plan) -> list[str]:
    """Return what the reader of a plan or a report should know, one line each."""
    lines = [f"warning: {sentence}" for sentence in plan.empty_inputs]
    if plan.left_behind:
        lines.append(f"metadata of the source that {plan.location.name} will not have: {', '.join(plan.left_behind)}")
    return lines


def table(plan: Plan) -> str:
    """Return the levels of a plan as a table."""
    rows = [["level", ", ".join(plan.grids[0].axes), "scale", "translation", "chunks"]]
    rows += [
        [path or ".", _extents(grid.shape), _numbers(grid.scale), _numbers(grid.translation), _extents(layout.chunks)]
        for path, grid, layout in zip(plan.paths, plan.grids, plan.layouts, strict=True)
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def _extents(values: Sequence[int]) -> str:
    return " x ".join(map(str, values))


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
