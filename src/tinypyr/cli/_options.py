"""The options of the commands, each derived from a parameter of a Python function.

The parameter ``target_voxel_size`` is the option ``--target-voxel-size`` and has the same default. A parameter that is
False by default is a flag (``--link``); one that is True by default is a pair (``--resume/--no-resume``). The tests
compare the options of every command with the signature of its function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from ._click import Argument, Arguments, Option

# --- from text to Python values ---


def parse_integers(text: str) -> int | tuple[int, ...]:
    """Return an integer, or a tuple of comma-separated integers."""
    try:
        values = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{text!r} is not a whole number, or whole numbers separated by commas") from None
    return values[0] if len(values) == 1 else values


def parse_extents(text: str) -> tuple[int, ...]:
    """Return a tuple of comma-separated integers."""
    values = parse_integers(text)
    return values if isinstance(values, tuple) else (values,)


def parse_region(text: str) -> list[tuple[int, int]]:
    """Return the intervals of a region such as ``0:64,512:1024``."""
    try:
        return [(int(a), int(b)) for a, b in (part.split(":") for part in text.split(","))]
    except ValueError:
        raise ValueError(f"{text!r} is not START:STOP for each axis, separated by commas") from None


def parse_factor(text: str) -> Any:
    """Return a factor: ``auto``, one for all levels (``2`` or ``1,2,2``), or one per level (``1,2,2/2,2,2``)."""
    if text == "auto":
        return text
    per_level = [parse_integers(part) for part in text.split("/")]
    return per_level[0] if len(per_level) == 1 else [(f,) if isinstance(f, int) else f for f in per_level]


def parse_levels(text: str) -> Any:
    """Return a number of levels, or ``auto``."""
    return text if text == "auto" else parse_integers(text)


def parse_number(text: str) -> int | float:
    """Return an int if the text is one, otherwise a float."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None


def parse_numbers(text: str) -> list[float]:
    """Return a list of comma-separated floats."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{text!r} is not a number, or numbers separated by commas") from None


def parse_blocks(text: str) -> list[int]:
    """Return the numbers of blocks such as ``3,7,10-12``."""
    selected: list[int] = []
    for piece in text.split(","):
        first, dash, last = piece.partition("-")
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal()) or not 0 <= int(last) - int(first) < 1 << 24:
            raise ValueError(f"{text!r} is not a list of block numbers, such as 3,7,10-12")
        selected += range(int(first), int(last) + 1)
    return selected


def parse_part(text: str) -> tuple[int, int]:
    """Return the two numbers of a part such as ``3/16``."""
    first, _, last = text.partition("/")
    if not (first.isdecimal() and last.isdecimal()):
        raise ValueError(f"{text!r} is not a part, such as 3/16")
    return int(first), int(last)


# --- from parameters to options ---


def option_name(parameter: str) -> str:
    """Return the option of a Python parameter."""
    return "--" + parameter.replace("_", "-")


def value(
    parameter: str,
    metavar: str,
    help: str,
    *,
    default: Any = None,
    omitted: str = "none",
    parse: Callable[[str], Any] | None = None,
    type: Any = None,
    heading: str = "Options",
) -> Option:
    """Return an option with a value. Its help states the default, or in words the behaviour if it is omitted."""
    stated = omitted if default is None else default
    return Option(
        option_name(parameter),
        metavar=metavar,
        help=f"{help} (default: {stated})",
        default=default,
        parse=parse,
        type=type,
        heading=heading,
    )


def flag(parameter: str, help: str, *, heading: str = "Options") -> Option:
    """Return the option of a parameter that is False by default."""
    return Option(option_name(parameter), is_flag=True, help=help, heading=heading)


def switch(parameter: str, help: str, *, heading: str = "Options") -> Option:
    """Return the pair of options of a parameter that is True by default."""
    name = option_name(parameter)
    return Option(f"{name}/--no-{name[2:]}", default=True, help=f"{help} (default: {name})", heading=heading)


def choice_of_two(parameter: str, help: str, *, omitted: str) -> Option:
    """Return the pair of options of a parameter that is True, False or None, with the meaning of None in words."""
    name = option_name(parameter)
    return Option(f"{name}/--no-{name[2:]}", default=None, help=f"{help} (default: {omitted})")


def arguments_of(arguments: Arguments, options: Sequence[click.Parameter]) -> dict[str, Any]:
    """Return the values of these options as keyword arguments of the Python function."""
    return {str(option.name): getattr(arguments, str(option.name)) for option in options}


# --- parameters that several functions share ---

SOURCE = Argument("source", "path or URL of the volume: a store, or a NIfTI file")
STORE = Argument("store", "path or URL of the store")
PLAN = Argument("plan", "file that tinypyr plan or tinypyr apply has written")
WORKERS = value("workers", "N", "blocks to process at the same time", omitted="one per core", type=int)


def format_option(omitted: str) -> Option:
    """Return the option ``--format``, whose default depends on the command."""
    return value("format", "FORMAT", "ome-zarr-0.5, ome-zarr-0.6, ome-zarr-0.4, n5 or precomputed", omitted=omitted)


#: Parameters of the target and of the resources, shared by store.plan and multires.apply_scaled_processing.
TARGET = [
    value(
        "chunks", "N,...", "voxels per chunk along the axes of SOURCE", omitted="those of SOURCE", parse=parse_extents
    ),
    value(
        "shards", "N,...", "voxels per shard along the axes of SOURCE", omitted="those of SOURCE", parse=parse_extents
    ),
    value(
        "codec",
        "CODEC",
        "zstd, gzip, blosc or raw",
        omitted="that of SOURCE if the format is the same, else zstd, and gzip in n5",
    ),
    value("memory", "SIZE", "bytes that the build may hold", default="1GiB"),
    value(
        "block",
        "SIZE",
        "approximate size of a block in bytes of level 0",
        omitted="a 32nd of the volume, from 64MiB to 4GiB",
    ),
    WORKERS,
]

#: Parameters of store.plan, beside source and target.
PLANNING = [
    value(
        "factor",
        "F",
        "auto, one factor for all levels (2 or 1,2,2), or one per level (1,2,2/2,2,2)",
        default="auto",
        parse=parse_factor,
    ),
    value(
        "levels",
        "N",
        "number of levels above level 0, or auto: until the volume fits into one chunk",
        default="auto",
        parse=parse_levels,
    ),
    value(
        "method",
        "METHOD",
        "mean, mode, median, min, max, stride, or auto: mode for labels, mean otherwise",
        default="auto",
    ),
    value("ignore", "V", "exclude voxels that equal this value", parse=parse_number),
    value("rounding", "RULE", "rounding of means of integers: half-even or floor", default="half-even"),
    value("ties", "RULE", "label to take if two are equally frequent: first or lowest", default="first"),
    value("mask", "STORE", "path or URL of a mask: voxels that are 0 in it are excluded from every level"),
    value("exclude", "STORE", "the inverse of --mask: voxels that are not 0 in it are excluded from every level"),
    value(
        "region",
        "A:B,...",
        "part of level 0 that has changed: only voxels whose footprint meets it are computed again",
        omitted="all",
        parse=parse_region,
    ),
    flag("recursive", "compute each level from the level before; only for --method median"),
    flag("link", "write a link to level 0 instead of copying it; only for OME-Zarr on the same disk"),
    flag("force", "allow averaging labels, which produces IDs of unrelated objects"),
    choice_of_two(
        "skip_empty",
        "leave out chunks that hold nothing but the fill value",
        omitted="--skip-empty, but --no-skip-empty in precomputed",
    ),
    format_option("that of SOURCE if there is no TARGET, else ome-zarr-0.5"),
    *TARGET,
]

#: Parameters of store.run and store.build for the execution of blocks.
RUNNING = [
    Option(
        "--engine",
        type=click.Choice(["threads", "processes", "dask"]),
        default="threads",
        metavar="ENGINE",
        help="place to process blocks: threads, processes, or dask, which needs --scheduler (default: threads)",
    ),
    value("scheduler", "ADDRESS", "address of a running dask scheduler, such as tcp://10.0.0.1:8786"),
    value(
        "blocks",
        "N,...",
        "process these blocks again, and no others, such as 3,7,10-12",
        omitted="all",
        parse=parse_blocks,
    ),
    switch("resume", "keep the blocks that an interrupted run has finished; --no-resume processes all blocks again"),
    Option(
        "--progress",
        type=click.Choice(["auto", "json", "none"]),
        default="auto",
        metavar="STYLE",
        help="auto: a bar if standard error is a terminal; json: one line per block; or none (default: auto)",
    ),
]

RESAMPLING_HEADING = "Resampling of SOURCE to another grid, which becomes level 0 of TARGET (see tinypyr.resample)"
#: Parameters of tinypyr.Resampled, and two options that define its grid.
RESAMPLING = [
    value("like", "STORE", "store whose level 0 has the target's grid", heading=RESAMPLING_HEADING),
    value(
        "target_voxel_size",
        "S,...",
        "size of the target's voxels, one number for each axis of SOURCE",
        parse=parse_numbers,
        heading=RESAMPLING_HEADING,
    ),
    value(
        "transform",
        "FILE",
        "text file with the n x (n + 1) matrix from TARGET's world coordinates to SOURCE's, axes as in TARGET",
        omitted="the same world",
        heading=RESAMPLING_HEADING,
    ),
    value(
        "order",
        "N",
        "interpolation: 0 nearest, 1 linear, 2 to 5 splines",
        omitted="0 for labels, 1 otherwise",
        type=int,
        heading=RESAMPLING_HEADING,
    ),
    switch(
        "anti_aliasing",
        "pool SOURCE first where the target's voxels are larger; --no-anti-aliasing samples level 0",
        heading=RESAMPLING_HEADING,
    ),
]

#: Parameters of store.check, beside the store.
CHECKING = [
    value("method", "METHOD", "method with which the levels were built", omitted="as recorded in the metadata"),
    value("ignore", "V", "value that was excluded", omitted="as recorded in the metadata", parse=parse_number),
    value("mask", "STORE", "path or URL of the mask with which the levels were built"),
    value("exclude", "STORE", "path or URL of the inverse mask with which the levels were built"),
    value(
        "sample",
        "SHARE",
        "share of level 0 to read, in random pieces; more than 0, at most 1",
        omitted="all of it",
        type=float,
    ),
    value("seed", "N", "random seed of --sample", default=0, type=int),
    value("memory", "SIZE", "bytes of level 0 to hold at a time", default="256MiB"),
]
