"""The commands on stores, from ``tinypyr build`` to ``tinypyr view``: arguments in, lines out."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from .._arrays import looks_like_labels
from .._util.terminal import drop_output
from ..grid import Grid
from ..resampling.resampled import Resampled
from ._click import Argument, Arguments, Command, Option

BUILD = """\
Make the levels of a volume in a store (OME-Zarr 0.4 or 0.5, N5, Neuroglancer precomputed), each exact from the
base, in bounded memory, and write the metadata by which viewers place them.

Without TARGET the levels go beside level 0, which is not touched. With one, level 0 is copied first. A build
that was interrupted goes on where it was when the same command is given again.
"""

BUILD_MORE = """\
exit status:
  0 done; 1 something could not be read or written (what is finished is kept); 2 bad arguments, nothing created;
  130 interrupted (what is finished is kept).

examples:
  tinypyr build em.ome.zarr
  tinypyr build em.ome.zarr em.n5 --format n5 --factor 2,2,2 --levels 3
  tinypyr build labels.ome.zarr --method mode --memory 4GiB --workers 8
  tinypyr build em.ome.zarr turned.ome.zarr --like atlas.ome.zarr --transform em-from-atlas.txt
"""

PLAN = """\
Say what `tinypyr build` with the same arguments would read, write and hold. Nothing is created, but with --out the file
of the plan, which many machines can then run.
"""
RUN = """\
Run blocks of a plan: all, one part of many, or some by their numbers. Parts know nothing of each other; any of them may
run twice, late, or at once with another. `tinypyr finalize` comes when all are done.
"""
RUN_MORE = """\
exit status:
  0 done; 1 a block failed (the others are kept; run it again); 2 bad arguments; 130 interrupted.

examples:
  tinypyr plan em.ome.zarr --out plan.json
  tinypyr run plan.json --part 1/4
  tinypyr run plan.json --blocks 3,17
  tinypyr finalize plan.json
"""
FINALIZE_MORE = """\
exit status:
  0 done; 1 a block is not done, or something could not be written; 2 bad arguments; 130 interrupted.
"""
FINALIZE = "Merge what the blocks of a plan could not write whole, write the metadata, and tidy up.\n"
SLURM = """\
Write the job scripts of a plan beside it, and submit them: an array of parts, and a job that finalizes once all have
ended well. What is not given is taken from a TOML file, if one is named, whose keys are these options.
"""
SLURM_MORE = """\
examples:
  tinypyr slurm plan.json --parts 200 --partition normal --time 02:00:00 --mem 8G --cpus 4 --limit 50
  tinypyr slurm plan.json --settings cluster.toml --dry-run

  cluster.toml:
    parts = 200
    partition = "normal"
    account = "lab"
    lines = ["#SBATCH --constraint=skylake", "module load python"]
"""
INFO = "Print the levels of a store: shape, dtype, chunks, and where their voxels lie.\n"
PREVIEW = """\
Write one picture (PNG) of all levels of a store side by side: the middle of the middle section, each level where its
scale and translation say it lies, labels in distinct colours.
"""
VIEW = """\
Serve a store on this machine (loopback alone) with Neuroglancer, and print the address to open in a browser. Ends with
Ctrl-C. Needs pip install "tinypyr[view]".
"""
CHECK = """\
Compare the levels of a store with its base: their places by the formulas, their voxels by making them again. Prints
what differs.
"""
CHECK_MORE = (
    "exit status:\n  0 nothing differs; 1 something does, or cannot be read; 2 bad arguments; 130 interrupted.\n"
)


def integers(text: str) -> Any:
    """A number, or several with commas between."""
    try:
        values = [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{text!r} is not a number, or numbers with commas between") from None
    return values[0] if len(values) == 1 else tuple(values)


def extents(text: str) -> tuple[int, ...]:
    """Numbers with commas between."""
    values = integers(text)
    return values if isinstance(values, tuple) else (values,)


def _region(text: str) -> list[tuple[int, int]]:
    try:
        return [(int(a), int(b)) for a, b in (part.split(":") for part in text.split(","))]
    except ValueError:
        raise ValueError(f"{text!r} is no START:STOP for each axis, with commas between") from None


def _factor(text: str) -> Any:
    if text == "auto":
        return text
    levels = [integers(part) for part in text.split("/")]
    return levels[0] if len(levels) == 1 else [(f,) if isinstance(f, int) else f for f in levels]


def _levels(text: str) -> Any:
    return text if text == "auto" else integers(text)


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    raise ValueError(f"{text!r} is not a number")


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{text!r} is not numbers with commas between") from None


def _blocks(text: str) -> list[int]:
    numbers: list[int] = []
    for piece in text.split(","):
        first, dash, last = piece.partition("-")
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal()) or not 0 <= int(last) - int(first) < 1 << 24:
            raise ValueError(f"{text!r} is not numbers of blocks, such as 3,7,10-12")
        numbers += range(int(first), int(last) + 1)
    return numbers


def _part(text: str) -> tuple[int, int]:
    first, _, last = text.partition("/")
    if not (first.isdecimal() and last.isdecimal()):
        raise ValueError(f"{text!r} is no part, such as 3/16")
    return int(first), int(last)


#: What is said of the store that is built, and of how.
TARGET = [
    Option("--levels", read=_levels, default="auto", metavar="N", help="how many (default: auto)"),
    Option("--method", default="auto", metavar="METHOD", help="mean, mode, median, min, max, stride (default: auto)"),
    Option("--format", metavar="FORMAT", help="of the target: ome-zarr-0.5, ome-zarr-0.4, n5, precomputed"),
    Option("--chunks", read=extents, metavar="N,...", help="voxels per chunk of the target"),
    Option("--shards", read=extents, metavar="N,...", help="voxels per shard of the target"),
    Option("--codec", metavar="CODEC", help="zstd, gzip, blosc or raw (default: the source's)"),
    Option("--memory", default="1GiB", metavar="SIZE", help="bytes to hold, on one machine (default: 1GiB)"),
    Option("--block", metavar="SIZE", help="bytes of level 0 to make at a time (default: a 32nd, 64MiB to 4GiB)"),
    Option("--workers", type=int, metavar="N", help="blocks at once (default: one per core)"),
]
#: What is said of running blocks.
RUNNING = [
    Option(
        "--engine",
        type=click.Choice(["threads", "processes", "dask"]),
        default="threads",
        metavar="ENGINE",
        help="who runs blocks: threads, processes, dask (default: threads)",
    ),
    Option("--scheduler", metavar="ADDRESS", help="of dask, such as tcp://10.0.0.1:8786"),
    Option("--blocks", read=_blocks, metavar="N,...", help="make these again, and no others: 3,7,10-12"),
    Option("--no-resume", is_flag=True, help="make all blocks again, also after the source has changed"),
    Option(
        "--progress",
        type=click.Choice(["auto", "json", "none"]),
        default="auto",
        metavar="HOW",
        help="auto: a bar, on a terminal; json: one line per block; none (default: auto)",
    ),
]
SEEN = "Level 0 of TARGET: SOURCE seen through another grid (see tinypyr.resample)"
#: What build and plan have in common.
BUILDING = [
    Argument("source", "path or URL of the volume"),
    Argument("target", "path or URL of a new store", required=False),
    Option(
        "--factor",
        read=_factor,
        default="auto",
        metavar="F",
        help="auto, 2, 1,2,2, or one per level: 1,2,2/2,2,2 (default: auto)",
    ),
    *TARGET,
    Option("--ignore", read=_number, metavar="V", help="leave out voxels of this value"),
    Option("--rounding", default="half-even", metavar="HOW", help="half-even or floor (default: half-even)"),
    Option("--ties", default="first", metavar="WHICH", help="first or lowest (default: first)"),
    Option("--mask", metavar="MASK", help="path or URL: voxels not 0 in it are left out"),
    Option(
        "--region",
        read=_region,
        metavar="A:B,...",
        help="the part of level 0 that has changed: only what lies above it is made again",
    ),
    Option("--recursive", is_flag=True, help="medians: each level from the one before"),
    Option("--no-copy", "link", is_flag=True, help="OME-Zarr: point to level 0 instead of copying it"),
    Option("--force", is_flag=True, help="allow means of labels"),
    Option("--like", heading=SEEN, metavar="STORE", help="whose voxels lie where those of TARGET shall"),
    Option(
        "--spacing",
        heading=SEEN,
        read=_numbers,
        metavar="S,...",
        help="the size of a voxel, one along each axis of SOURCE",
    ),
    Option(
        "--transform",
        heading=SEEN,
        metavar="FILE",
        help="rows of numbers: the n x (n + 1) matrix from TARGET's world to SOURCE's, axes as in TARGET",
    ),
    Option("--order", heading=SEEN, type=int, metavar="N", help="0 for labels, 1 linear, 2 to 5 splines (as fits)"),
    Option("--no-antialias", heading=SEEN, is_flag=True, help="skip what lies between larger voxels"),
]
PLAN_FILE = Argument("plan", "the file that tinypyr plan has written")
STORE = Argument("store", "path or URL")


def _arguments(arguments: Arguments) -> dict[str, Any]:
    names = (  # as in store.plan
        "factor levels method format ignore rounding ties chunks shards codec region recursive link memory block "
        "workers force"
    )
    return {name: getattr(arguments, name) for name in names.split()} | {"exclude": arguments.mask}


def _source(arguments: Arguments) -> Any:
    """What to build from: the store itself, or what is seen of it through another grid."""
    import numpy as np

    from .. import store

    given = {name: getattr(arguments, name) for name in ("like", "spacing", "transform", "order", "no_antialias")}
    if all(value is None or value is False for value in given.values()):
        return arguments.source
    if (arguments.like is None) == (arguments.spacing is None):
        raise ValueError("--like, --spacing: one of them is needed to see SOURCE through another grid, not both")
    base = store.levels(arguments.source)[0]
    if arguments.spacing is not None and len(arguments.spacing) != base.grid.ndim:
        raise ValueError(f"--spacing: {arguments.spacing} is not one size for each of {', '.join(base.grid.axes)}")
    grid = (
        store.levels(arguments.like)[0].grid
        if arguments.like is not None
        else base.grid.with_voxel_size(arguments.spacing)
    )
    matrix = None
    if arguments.transform is not None:
        try:
            matrix = np.loadtxt(arguments.transform, ndmin=2)
        except (OSError, ValueError) as error:
            raise ValueError(f"--transform: {arguments.transform} is not rows of numbers: {error}") from None
    labels = base.holds_labels or looks_like_labels(base.kind, base.array.dtype.name)
    order = (0 if labels else 1) if arguments.order is None else arguments.order
    return Resampled(arguments.source, grid, matrix, order, not arguments.no_antialias)


def _plan(arguments: Arguments) -> int:
    from .. import store

    if arguments.out is not None:
        writable_file("--out", arguments.out)
    made = store.plan(_source(arguments), arguments.target, **_arguments(arguments))
    if arguments.out is not None:
        made.save(arguments.out)
    if arguments.json:
        print(json.dumps(made.describe(), indent=1))
    else:
        show_plan(made)
    return 0


def show_plan(plan: Any) -> None:
    """A plan, its levels as a table."""
    print(plan.heading)
    _show_levels(plan.paths, plan.grids, [layout.chunks for layout in plan.layouts])
    print(plan.summary)


def _show_levels(paths: Sequence[str], grids: Sequence[Grid], chunks: Sequence[Sequence[int]] = ()) -> None:
    """One row of a table for each level; chunks, if they are known of all."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    units = [unit or "" for unit in grids[0].units]
    unit = f", {units[0]}" if units[0] and len(set(units)) == 1 else ""
    axes = ", ".join(f"{axis} ({u})" if u and not unit else axis for axis, u in zip(grids[0].axes, units, strict=True))
    for heading in ("level", axes, f"scale{unit}", f"translation{unit}", *(["chunks"] if chunks else [])):
        table.add_column(heading, no_wrap=True)
    for number, (path, grid) in enumerate(zip(paths, grids, strict=True)):
        scale, translation = (", ".join(f"{n:g}" for n in row) for row in (grid.scale, grid.translation))
        last = [" x ".join(map(str, chunks[number]))] if chunks else []
        table.add_row(path or ".", " x ".join(map(str, grid.shape)), scale, translation, *last)
    # (rows are cut where they do not fit: let a terminal break them, and a file have them whole)
    console = Console(highlight=False, markup=False)
    console.width = max(console.width, 4096)
    with console.capture() as shown:
        console.print(table, soft_wrap=True)
    print("\n".join(line.rstrip() for line in shown.get().splitlines()))


def progress_of(arguments: Arguments) -> Any:
    """What is told of blocks as they are done."""

    def as_json(progress: Any) -> None:
        left = progress.seconds_left
        state = dataclasses.asdict(progress) | {"rate": progress.rate, "seconds_left": left if left < 1e18 else None}
        try:
            print(json.dumps(state), flush=True)
        except BrokenPipeError:  # (the build goes on)
            drop_output()

    return as_json if arguments.progress == "json" else arguments.progress == "auto"


@contextlib.contextmanager
def engine_of(arguments: Arguments) -> Iterator[Any]:
    """Who runs blocks."""
    if arguments.engine != "dask":
        if arguments.scheduler is not None:
            raise ValueError("--scheduler: of dask only; add --engine dask")
        yield arguments.engine
        return
    if arguments.scheduler is None:
        raise ValueError("--engine dask: needs --scheduler ADDRESS, that of a running dask scheduler")
    try:
        from distributed import Client  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError:
        raise ValueError('--engine dask: needs dask: pip install "tinypyr[dask]"') from None
    try:
        client = Client(arguments.scheduler)  # type: ignore[no-untyped-call,unused-ignore]
    except OSError as error:
        raise ValueError(f"--scheduler: {arguments.scheduler} does not answer: {error}") from None
    with client:
        yield client


def _build(arguments: Arguments) -> int:
    from .. import store

    with engine_of(arguments) as engine:
        report = store.build(
            _source(arguments),
            arguments.target,
            engine=engine,
            resume=not arguments.no_resume,
            progress=progress_of(arguments),
            blocks=arguments.blocks,
            **_arguments(arguments),
        )
    if arguments.progress != "json":
        show_plan(report.plan)
        print(report)
    return 0


def _run(arguments: Arguments) -> int:
    from .. import store

    plan = store.Plan.load(arguments.plan)
    with engine_of(arguments) as engine:
        report = store.run(
            plan,
            part=arguments.part,
            workers=arguments.workers,
            blocks=arguments.blocks,
            engine=engine,
            resume=not arguments.no_resume,
            progress=progress_of(arguments),
        )
    if arguments.progress != "json":
        print(report)
        if not report.failed and not report.already_complete:
            print(f"next, once all parts are done: tinypyr finalize {arguments.plan}")
    return 1 if report.failed else 0


def _finalize(arguments: Arguments) -> int:
    from .. import store

    print(store.finalize(store.Plan.load(arguments.plan)))
    return 0


def _slurm(arguments: Arguments) -> int:
    from ..store import slurm

    names = [field.name for field in dataclasses.fields(slurm.Settings)]
    arguments.lines = list(arguments.lines) or None
    given = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    settings = slurm.Settings(**((slurm.from_toml(arguments.settings) if arguments.settings else {}) | given))
    for line in slurm.submit(Path(arguments.plan), settings, dry_run=arguments.dry_run):
        print(line)
    return 0


def _info(arguments: Arguments) -> int:
    from ..store.location import Location
    from ..store.source import open_volume

    volume = open_volume(Location.at(arguments.store))
    print(f"{volume.location.name}: {volume.format}, {volume.dtype}" + (f", {volume.kind}" if volume.kind else ""))
    _show_levels(volume.paths, volume.grids)
    print(f"chunks of level 0 {' x '.join(map(str, volume.layout.chunks))}")
    if volume.layout.shards:
        print(f"shards {' x '.join(map(str, volume.layout.shards))}")
    return 0


def writable_file(name: str, path: str) -> None:
    """Refuse a place where no file can be written."""
    if Path(path).is_dir() or not os.access(Path(path).absolute().parent, os.W_OK):
        raise ValueError(f"{name}: {path} cannot be written there; name a file in a folder that there is")


def picture_file(name: str, path: str) -> None:
    """The same, and what is no PNG by its name."""
    writable_file(name, path)
    if not path.lower().endswith(".png"):
        raise ValueError(f"{name}: {path} does not end in .png")


def _preview(arguments: Arguments) -> int:
    from .. import store

    picture_file("--out", arguments.out)
    store.preview(arguments.store, arguments.out)
    print(f"picture: {arguments.out}")
    return 0


def _view(arguments: Arguments) -> int:
    from ..store.viewer import viewer

    try:
        with viewer(arguments.store) as shown:
            print(f"{shown}\n(Ctrl-C ends it)", flush=True)
            threading.Event().wait()
    except KeyboardInterrupt:
        pass
    return 0


def _check(arguments: Arguments) -> int:
    from .. import store

    result = store.check(
        arguments.store,
        method=arguments.method,
        ignore=arguments.ignore,
        exclude=arguments.mask,
        sample=arguments.sample,
        seed=arguments.seed,
    )
    print(result)
    return 0 if result.ok else 1


COMMANDS = [
    Command("build", _build, "make the levels of a volume in a store", [*BUILDING, *RUNNING], BUILD, BUILD_MORE),
    Command(
        "plan",
        _plan,
        "say what build would do",
        [
            *BUILDING,
            Option("--json", is_flag=True, help="print the plan as JSON"),
            Option("-o", "--out", metavar="FILE", help="write it to a file, for tinypyr run"),
        ],
        PLAN,
    ),
    Command(
        "run",
        _run,
        "run blocks of a saved plan",
        [
            PLAN_FILE,
            Option("--workers", type=int, metavar="N", help="blocks at once, if fewer than the plan says"),
            Option("--part", read=_part, metavar="I/N", help="the I-th of N parts, from 1 on"),
            *RUNNING,
        ],
        RUN,
        RUN_MORE,
    ),
    Command("finalize", _finalize, "end a saved plan", [PLAN_FILE], FINALIZE, FINALIZE_MORE),
    Command(
        "slurm",
        _slurm,
        "submit a saved plan to Slurm",
        [
            PLAN_FILE,
            *(
                Option(
                    f"--{name}",
                    ("cpus_per_task" if name == "cpus" else name),
                    type=kind,
                    metavar=name[0].upper(),
                    help=what,
                )
                for name, kind, what in (
                    ("parts", int, "how many jobs, no more than there are blocks (default: 16)"),
                    ("partition", str, "of the cluster"),
                    ("account", str, "that pays"),
                    ("qos", str, "quality of service"),
                    ("time", str, "limit of one part, such as 02:00:00"),
                    ("mem", str, "of one part, such as 8G; at least what the plan holds"),
                    ("cpus", int, "of one part (default: the plan's workers)"),
                    ("limit", int, "parts at work at once"),
                )
            ),
            Option("--line", "lines", multiple=True, metavar="TEXT", help="a further line of the scripts"),
            Option("--settings", metavar="FILE", help="TOML with any of these options"),
            Option("--dry-run", is_flag=True, help="write the scripts, submit nothing"),
        ],
        SLURM,
        SLURM_MORE,
    ),
    Command("info", _info, "print the levels of a store", [STORE], INFO),
    Command(
        "preview",
        _preview,
        "write a picture of all levels",
        [
            STORE,
            Option(
                "--out",
                default="tinypyr-preview.png",
                metavar="FILE",
                help="where it goes; a file of this name is replaced (default: tinypyr-preview.png)",
            ),
        ],
        PREVIEW,
    ),
    Command(
        "view",
        _view,
        "show a store in Neuroglancer",
        [Argument("store", "a folder of this machine, or an http address")],
        VIEW,
    ),
    Command(
        "check",
        _check,
        "compare the levels of a store with its base",
        [
            STORE,
            Option("--method", metavar="METHOD", help="how the levels were made (default: as the metadata says)"),
            Option("--ignore", read=_number, metavar="V", help="the value left out (default: as it says)"),
            Option("--mask", metavar="MASK", help="path or URL of what was left out"),
            Option("--sample", type=float, metavar="SHARE", help="of the base to read, at random (default: all)"),
            Option("--seed", type=int, default=0, metavar="N", help="of the draw (default: 0)"),
        ],
        CHECK,
        CHECK_MORE,
    ),
]
