"""The commands on stores, from ``tinypyr build`` to ``tinypyr check``."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .._arrays import looks_like_labels
from .._util.terminal import drop_output
from ..resampling.resampled import Resampled
from ._click import Argument, Arguments, Command, Option
from ._options import (
    CHECKING,
    PLAN,
    PLANNING,
    RESAMPLING,
    RUNNING,
    SOURCE,
    STORE,
    arguments_of,
    flag,
    parse_part,
    value,
)
from ._tables import print_levels, print_plan

BUILD_TEXT = """\
Write the levels of a volume to a store (OME-Zarr 0.4 or 0.5, N5, Neuroglancer precomputed). Every level is computed
from level 0, in bounded memory, and described by the metadata of the format.

Without TARGET, the levels are added to SOURCE, whose level 0 is not changed. With TARGET, level 0 is copied to a new
store first. To resume after an interruption, run the same command again.
"""

BUILD_EPILOG = """\
exit status:
  0 success; 1 something could not be read or written (finished blocks are kept); 2 invalid arguments (nothing is
  created); 130 interrupted (finished blocks are kept).

examples:
  tinypyr build em.ome.zarr
  tinypyr build em.ome.zarr em.n5 --format n5 --factor 2,2,2 --levels 3
  tinypyr build labels.ome.zarr --method mode --memory 4GiB --workers 8
  tinypyr build em.ome.zarr --mask tissue.ome.zarr
  tinypyr build em.ome.zarr turned.ome.zarr --like atlas.ome.zarr --transform em-from-atlas.txt
"""

PLAN_TEXT = """\
Print what `tinypyr build` with the same arguments would read and write, and how much memory it would use. Nothing is
created except the plan file of --plan-file, whose blocks any number of machines can then process with `tinypyr run`.
"""
PLAN_EPILOG = """\
exit status:
  0 success; 1 something could not be read or written; 2 invalid arguments (nothing is created); 130 interrupted.

examples:
  tinypyr plan em.ome.zarr --factor 2
  tinypyr plan em.ome.zarr --json
  tinypyr plan em.ome.zarr --plan-file plan.json
"""
RUN_TEXT = """\
Process the blocks of a saved plan: all blocks, one part of many, or blocks by number. Parts are independent: each may
run late, more than once, or at the same time as another. When all parts are done, run `tinypyr finalize`.
"""
RUN_EPILOG = """\
exit status:
  0 success; 1 a block failed (the others are kept; run the command again); 2 invalid arguments; 130 interrupted.

examples:
  tinypyr plan em.ome.zarr --plan-file plan.json
  tinypyr run plan.json --part 1/4
  tinypyr run plan.json --blocks 3,17
  tinypyr finalize plan.json
"""
FINALIZE_TEXT = """\
Finish a saved plan whose blocks are all done: merge the chunks that several blocks share, write the metadata, and
remove temporary files.
"""
FINALIZE_EPILOG = """\
exit status:
  0 success; 1 a block is not done, or something could not be written; 2 invalid arguments; 130 interrupted.

examples:
  tinypyr finalize plan.json
"""
SLURM_TEXT = """\
Write Slurm job scripts beside a saved plan, and submit them: an array of jobs, each of which processes one part, and a
job that finalizes the plan when all parts have succeeded. Options can also be set in the TOML file of --settings; the
command line takes precedence.
"""
SLURM_EPILOG = """\
exit status:
  0 success; 1 Slurm is missing or refused the jobs; 2 invalid arguments; 130 interrupted.

examples:
  tinypyr slurm plan.json --parts 200 --partition normal --time 02:00:00 --mem 8G --cpus-per-task 4 --limit 50
  tinypyr slurm plan.json --settings cluster.toml --dry-run

  cluster.toml:
    parts = 200
    partition = "normal"
    account = "lab"
    lines = ["#SBATCH --constraint=skylake", "module load python"]
"""
INFO_TEXT = (
    "Print the levels of a store with their shape, scale and translation, and the dtype and chunks of level 0.\n"
)
INFO_EPILOG = """\
exit status:
  0 success; 1 the store cannot be read; 2 invalid arguments.

examples:
  tinypyr info em.ome.zarr
"""
PREVIEW_TEXT = """\
Write one picture (PNG) of all levels of a store, side by side: the centre of the middle section, placed by each level's
scale and translation. Labels have distinct colours.
"""
PREVIEW_EPILOG = """\
exit status:
  0 success; 1 the store cannot be read, or the picture not be written; 2 invalid arguments.

examples:
  tinypyr preview em.ome.zarr --out em.png
"""
VIEW_TEXT = """\
Serve a store with Neuroglancer, to this machine only, and print the address to open in a browser. Press Ctrl-C to stop.
Requires pip install "tinypyr[view]".
"""
VIEW_EPILOG = """\
exit status:
  0 stopped with Ctrl-C; 1 the store cannot be read or served; 2 invalid arguments.

examples:
  tinypyr view em.ome.zarr
"""
CHECK_TEXT = """\
Compare the levels of a store with its level 0: their scale and translation with those that follow from the factors, and
their voxels with voxels computed again. Print every difference.
"""
CHECK_EPILOG = """\
exit status:
  0 no differences; 1 differences, or the store cannot be read; 2 invalid arguments; 130 interrupted.

examples:
  tinypyr check em.ome.zarr
  tinypyr check s3://bucket/em.ome.zarr --sample 0.01
"""


def plan_file(path: str) -> None:
    """Raise ValueError if a plan cannot be written to this path."""
    _writable_file("plan_file", path)


def picture_file(parameter: str, path: str) -> None:
    """Raise ValueError if a picture cannot be written to this path, or if its name does not end in .png."""
    _writable_file(parameter, path)
    if not path.lower().endswith(".png"):
        raise ValueError(f"{parameter}: {path} does not end in .png")


def _writable_file(parameter: str, path: str) -> None:
    if Path(path).is_dir() or not os.access(Path(path).absolute().parent, os.W_OK):
        raise ValueError(f"{parameter}: {path} cannot be written; name a file in an existing folder")


def progress_of(arguments: Arguments) -> Any:
    """Return the Python argument ``progress``."""

    def print_json(progress: Any) -> None:
        seconds_left = progress.seconds_left
        state = dataclasses.asdict(progress) | {
            "rate": progress.rate,
            "seconds_left": seconds_left if seconds_left < 1e18 else None,
        }
        try:
            print(json.dumps(state), flush=True)
        except BrokenPipeError:  # the build continues without a reader
            drop_output()

    return print_json if arguments.progress == "json" else arguments.progress == "auto"


@contextlib.contextmanager
def engine_of(arguments: Arguments) -> Iterator[Any]:
    """Yield the Python argument ``engine``: a name, or a client of a dask cluster."""
    if arguments.engine != "dask":
        if arguments.scheduler is not None:
            raise ValueError("--scheduler: only dask has a scheduler; add --engine dask")
        yield arguments.engine
        return
    if arguments.scheduler is None:
        raise ValueError("--engine: dask needs the address of a running scheduler; add --scheduler ADDRESS")
    try:
        from distributed import Client  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError:
        raise ValueError('--engine: dask is not installed; run pip install "tinypyr[dask]"') from None
    try:
        client = Client(arguments.scheduler)  # type: ignore[no-untyped-call,unused-ignore]
    except OSError as error:
        raise ValueError(f"--scheduler: {arguments.scheduler} does not respond: {error}") from None
    with client:
        yield client


def _source_of(arguments: Arguments) -> Any:
    """Return the store itself, or a lazy array of it in another grid."""
    from .. import store

    values = arguments_of(arguments, RESAMPLING).values()
    if all(value is None or value is True for value in values):  # all of them are omitted
        return arguments.source
    size, other = arguments.target_voxel_size, arguments.like
    if (other is None) == (size is None):
        raise ValueError("--like, --target-voxel-size: give one of them, and not both, to resample SOURCE")
    base = store.levels(arguments.source)[0]
    if size is not None and len(size) != base.grid.ndim:
        axes = ", ".join(base.grid.axes)
        raise ValueError(f"--target-voxel-size: {size} does not have one number for each of the axes {axes}")
    grid = base.grid.with_voxel_size(size) if other is None else store.levels(other)[0].grid
    labels = base.holds_labels or looks_like_labels(base.kind, base.array.dtype.name)
    return Resampled(
        arguments.source,
        grid,
        _matrix_of(arguments.transform),
        order=(0 if labels else 1) if arguments.order is None else arguments.order,
        anti_aliasing=arguments.anti_aliasing,
    )


def _matrix_of(path: str | None) -> Any:
    import numpy as np

    if path is None:
        return None
    try:
        return np.loadtxt(path, ndmin=2)
    except (OSError, ValueError) as error:
        raise ValueError(f"--transform: {path} is not a file with rows of numbers: {error}") from None


def _plan(arguments: Arguments) -> int:
    from .. import store

    if arguments.plan_file is not None:
        plan_file(arguments.plan_file)
    plan = store.plan(_source_of(arguments), arguments.target, **arguments_of(arguments, PLANNING))
    if arguments.plan_file is not None:
        plan.save(arguments.plan_file)
    if arguments.json:
        print(json.dumps(plan.describe(), indent=1))
    else:
        print_plan(plan)
    return 0


def _build(arguments: Arguments) -> int:
    from .. import store

    with engine_of(arguments) as engine:
        report = store.build(
            _source_of(arguments),
            arguments.target,
            engine=engine,
            resume=arguments.resume,
            progress=progress_of(arguments),
            blocks=arguments.blocks,
            **arguments_of(arguments, PLANNING),
        )
    if arguments.progress != "json":
        print_plan(report.plan)
        print(report)
    return 0


def _run(arguments: Arguments) -> int:
    from .. import store

    plan = store.Plan.load(arguments.plan)
    with engine_of(arguments) as engine:
        report = store.run(
            plan,
            part=arguments.part,
            blocks=arguments.blocks,
            engine=engine,
            workers=arguments.workers,
            resume=arguments.resume,
            progress=progress_of(arguments),
        )
    if arguments.progress != "json":
        print(report)
        if not report.failed and not report.already_complete:
            print(f"when all parts are done, run: tinypyr finalize {arguments.plan}")
    return 1 if report.failed else 0


def _finalize(arguments: Arguments) -> int:
    from .. import store

    print(store.finalize(store.Plan.load(arguments.plan)))
    return 0


def _slurm(arguments: Arguments) -> int:
    from ..store import slurm

    arguments.lines = list(arguments.lines) or None
    names = [field.name for field in dataclasses.fields(slurm.Settings)]
    options = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    file = slurm.from_toml(arguments.settings) if arguments.settings else {}
    for line in slurm.submit(Path(arguments.plan), slurm.Settings(**file | options), dry_run=arguments.dry_run):
        print(line)
    return 0


def _info(arguments: Arguments) -> int:
    from ..store.location import Location
    from ..store.source import open_volume

    volume = open_volume(Location.at(arguments.store))
    print(f"{volume.location.name}: {volume.format}, {volume.dtype}" + (f", {volume.kind}" if volume.kind else ""))
    print_levels(volume.paths, volume.grids)
    print(f"chunks of level 0: {' x '.join(map(str, volume.layout.chunks))}")
    if volume.layout.shards:
        print(f"shards of level 0: {' x '.join(map(str, volume.layout.shards))}")
    return 0


def _preview(arguments: Arguments) -> int:
    from .. import store

    picture_file("out", arguments.out)
    store.preview(arguments.store, arguments.out)
    print(f"picture: {arguments.out}")
    return 0


def _view(arguments: Arguments) -> int:
    from ..store.viewer import viewer

    try:
        with viewer(arguments.store) as address:
            print(f"{address}\n(press Ctrl-C to stop)", flush=True)
            threading.Event().wait()
    except KeyboardInterrupt:
        pass
    return 0


def _check(arguments: Arguments) -> int:
    from .. import store

    result = store.check(arguments.store, **arguments_of(arguments, CHECKING))
    print(result)
    return 0 if result.ok else 1


_TARGET = Argument("target", "path or URL of a new store; without it, the levels are added to SOURCE", required=False)
PLAN_FILE = value("plan_file", "FILE", "write the plan to this file, for tinypyr run")
_SLURM = [
    value(
        "parts",
        "N",
        "number of parts, each of which is one job of the array",
        omitted="16, or the number of blocks if smaller",
        type=int,
    ),
    value("partition", "NAME", "partition of the jobs", omitted="that of the cluster"),
    value("account", "NAME", "account to charge", omitted="that of the user"),
    value("qos", "NAME", "quality of service", omitted="that of the cluster"),
    value("time", "TIME", "time limit of one part, such as 02:00:00", omitted="that of the partition"),
    value(
        "mem", "SIZE", "memory of one part, such as 8G; at least the memory of the plan", omitted="that of the cluster"
    ),
    value("cpus_per_task", "N", "processor cores of one part", omitted="the plan's workers", type=int),
    value("limit", "N", "largest number of parts that run at the same time", type=int),
    Option(
        "--line",
        "lines",
        multiple=True,
        metavar="TEXT",
        help="line to insert before the command in the job scripts; repeatable (default: none)",
    ),
    value("settings", "FILE", "TOML file with any of these options as keys, and a list of lines"),
    flag("dry_run", "write the job scripts without submitting them"),
]

COMMANDS = [
    Command(
        "build",
        _build,
        "write the levels of a volume to a store",
        [SOURCE, _TARGET, *PLANNING, *RUNNING, *RESAMPLING],
        BUILD_TEXT,
        BUILD_EPILOG,
    ),
    Command(
        "plan",
        _plan,
        "print what build would do",
        [SOURCE, _TARGET, *PLANNING, flag("json", "print the plan as JSON"), PLAN_FILE, *RESAMPLING],
        PLAN_TEXT,
        PLAN_EPILOG,
    ),
    Command(
        "run",
        _run,
        "process blocks of a saved plan",
        [
            PLAN,
            value("part", "I/N", "the I-th of N parts, counted from 1", omitted="all blocks", parse=parse_part),
            value(
                "workers",
                "N",
                "blocks to process at the same time, at most as many as in the plan",
                omitted="as in the plan",
                type=int,
            ),
            *RUNNING,
        ],
        RUN_TEXT,
        RUN_EPILOG,
    ),
    Command("finalize", _finalize, "finish a saved plan", [PLAN], FINALIZE_TEXT, FINALIZE_EPILOG),
    Command("slurm", _slurm, "submit a saved plan to Slurm", [PLAN, *_SLURM], SLURM_TEXT, SLURM_EPILOG),
    Command("info", _info, "print the levels of a store", [STORE], INFO_TEXT, INFO_EPILOG),
    Command(
        "preview",
        _preview,
        "write a picture of all levels",
        [STORE, value("out", "FILE", "picture to write or replace", default="tinypyr-preview.png")],
        PREVIEW_TEXT,
        PREVIEW_EPILOG,
    ),
    Command(
        "view",
        _view,
        "show a store in Neuroglancer",
        [Argument("store", "folder on this machine, or an http address")],
        VIEW_TEXT,
        VIEW_EPILOG,
    ),
    Command(
        "check", _check, "compare the levels of a store with level 0", [STORE, *CHECKING], CHECK_TEXT, CHECK_EPILOG
    ),
]
