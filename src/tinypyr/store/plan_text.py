"""Descriptions of a plan: as JSON, and as text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .. import __version__
from .._util.sizes import size_text
from .._util.tables import aligned, level_rows

if TYPE_CHECKING:
    from .plans import Plan

#: Entries of a described plan that change neither the levels nor the numbers of blocks.
WITHOUT_EFFECT = ("leaf", "left_behind", "memory", "workers")


def described(plan: Plan) -> dict[str, Any]:
    """Return a plan as JSON; see :meth:`Plan.describe`."""
    geometry, storage, options = plan.geometry, plan.storage, plan.options
    boxes = [geometry.region(k, geometry.written_box(k)) for k in range(len(plan.grids))]
    voxels_written = sum(math.prod(stop - start for start, stop in box) for box in boxes[storage.first :])
    objects = sum(
        math.prod(-(-stop // u) - start // u for (start, stop), u in zip(box, unit, strict=True))
        for box, unit in list(zip(boxes, geometry.units, strict=True))[storage.first :]
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
        "method": options.method,
        "ignore": None if options.ignore is None else str(options.ignore),
        "rounding": options.rounding,
        "ties": options.ties,
        "recursive": options.recursive,
        **{name: None if plan.mask is None else plan.mask.note(name) for name in ("mask", "exclude")},
        "region": None if plan.changed_box is None else [list(span) for span in plan.changed_box],
        "copies_base": storage.copies_base,
        "skip_empty": storage.skip_empty,
        "levels": [_described_level(plan, number) for number in range(len(plan.grids))],
        "blocks": len(plan.numbers),
        "block": list(geometry.partition.block_shape),
        "leaf": list(geometry.partition.leaf_shape),
        "merged_levels": list(range(geometry.whole_levels + 1, len(plan.grids))),
        "accumulated_levels": list(range(geometry.leaf_levels + 1, len(plan.grids))),
        "bytes_to_read": plan.source.bytes_in(geometry.covered_box),
        "bytes_to_write": voxels_written * plan.source.dtype.itemsize,
        "objects": objects,
        "memory": plan.memory,
        "workers": plan.workers,
        "left_behind": storage.left_behind,
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
        f"{plan.format}, {plan.source.dtype.name}, {levels}, {plan.method}, {plan.options.reason}"
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
    lines = [f"warning: {sentence}" for sentence in plan.inputs.empty]
    if left_behind := plan.storage.left_behind:
        lines.append(f"metadata of the source that {plan.location.name} will not have: {', '.join(left_behind)}")
    if plan.geometry.partition.stages:
        size = size_text(plan.workers * max(map(plan.bytes_in_block, (plan.numbers[0], plan.numbers[-1]))))
        lines.append(
            f"chunks of the source are too large to be read once within the memory, so blocks are copied to temporary "
            f"files first, up to {size} at a time"
        )
    return lines


def table(plan: Plan) -> str:
    """Return the levels of a plan as a table."""
    return aligned(level_rows(plan.paths, plan.grids, [layout.chunks for layout in plan.layouts]))
