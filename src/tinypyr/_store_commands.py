"""The commands on stores, from ``tinypyr build`` to ``tinypyr view``: arguments in, lines out."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ._arrays import taken_for_labels
from ._resample import Resampled
from .grid import Grid

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
        raise argparse.ArgumentTypeError(f"{text!r} is not a number, or numbers with commas between") from None
    return values[0] if len(values) == 1 else tuple(values)


def extents(text: str) -> tuple[int, ...]:
    """Numbers with commas between."""
    values = integers(text)
    return values if isinstance(values, tuple) else (values,)


def _region(text: str) -> list[tuple[int, int]]:
    try:
        return [(int(a), int(b)) for a, b in (part.split(":") for part in text.split(","))]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no START:STOP for each axis, with commas between") from None


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
    raise argparse.ArgumentTypeError(f"{text!r} is not a number")


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not numbers with commas between") from None


def add(commands: Any) -> None:
    """Add the commands to those of ``tinypyr``."""
    form = argparse.RawDescriptionHelpFormatter
    for name, text, more, summary in (
        ("build", BUILD, BUILD_MORE, "make the levels of a volume in a store"),
        ("plan", PLAN, "", "say what build would do"),
    ):
        command = commands.add_parser(name, help=summary, description=text, epilog=more, formatter_class=form)
        command.add_argument("source", metavar="SOURCE", help="path or URL of the volume")
        command.add_argument("target", metavar="TARGET", nargs="?", help="path or URL of a new store")
        command.add_argument(
            "--factor",
            type=_factor,
            default="auto",
            metavar="F",
            help="auto, 2, 1,2,2, or one per level: 1,2,2/2,2,2 (default: auto)",
        )
        add_target(command)
        command.add_argument("--ignore", type=_number, metavar="V", help="leave out voxels of this value")
        command.add_argument("--rounding", default="half-even", help="half-even or floor (default: half-even)")
        command.add_argument("--ties", default="first", help="first or lowest (default: first)")
        command.add_argument("--mask", metavar="MASK", help="path or URL: voxels not 0 in it are left out")
        command.add_argument(
            "--region",
            type=_region,
            metavar="A:B,...",
            help="the part of level 0 that has changed: only what lies above it is made again",
        )
        command.add_argument("--recursive", action="store_true", help="medians: each level from the one before")
        command.add_argument(
            "--no-copy", dest="link", action="store_true", help="OME-Zarr: point to level 0 instead of copying it"
        )
        command.add_argument("--force", action="store_true", help="allow means of labels")
        other = command.add_argument_group("level 0 of TARGET: SOURCE seen through another grid (see tinypyr.resample)")
        other.add_argument("--like", metavar="STORE", help="whose voxels lie where those of TARGET shall")
        other.add_argument(
            "--spacing", type=_numbers, metavar="S,...", help="the size of a voxel, one along each axis of SOURCE"
        )
        other.add_argument(
            "--transform",
            metavar="FILE",
            help="rows of numbers: the n x (n + 1) matrix from TARGET's world to SOURCE's, axes as in TARGET",
        )
        other.add_argument("--order", type=int, metavar="N", help="0 for labels, 1 linear, 2 to 5 splines (as fits)")
        other.add_argument("--no-antialias", action="store_true", help="skip what lies between larger voxels")
        if name == "build":
            add_running(command)
            command.set_defaults(run=_build)
        else:
            command.add_argument("--json", action="store_true", help="print the plan as JSON")
            command.add_argument("-o", "--out", metavar="FILE", help="write it to a file, for tinypyr run")
            command.set_defaults(run=_plan)
    run = commands.add_parser(
        "run", help="run blocks of a saved plan", description=RUN, epilog=RUN_MORE, formatter_class=form
    )
    run.add_argument("plan", metavar="PLAN", help="the file that tinypyr plan has written")
    run.add_argument("--workers", type=int, metavar="N", help="blocks at once, if fewer than the plan says")
    run.add_argument("--part", type=_part, metavar="I/N", help="the I-th of N parts, from 1 on")
    add_running(run)
    run.set_defaults(run=_run)
    finalize = commands.add_parser(
        "finalize", help="end a saved plan", description=FINALIZE, epilog=CHECK_MORE, formatter_class=form
    )
    finalize.add_argument("plan", metavar="PLAN", help="the file that tinypyr plan has written")
    finalize.set_defaults(run=_finalize)
    slurm = commands.add_parser(
        "slurm",
        help="submit a saved plan to Slurm",
        description=SLURM,
        epilog=SLURM_MORE,
        formatter_class=form,
    )
    slurm.add_argument("plan", metavar="PLAN", help="the file that tinypyr plan has written")
    for name, kind, what in (
        ("parts", int, "how many jobs (default: 16, or as many as there are blocks)"),
        ("partition", str, "of the cluster"),
        ("account", str, "that pays"),
        ("qos", str, "quality of service"),
        ("time", str, "limit of one part, such as 02:00:00"),
        ("mem", str, "of one part, such as 8G; at least what the plan holds"),
        ("cpus", int, "of one part (default: the plan's workers)"),
        ("limit", int, "parts at work at once"),
    ):
        slurm.add_argument(f"--{name}", type=kind, metavar=name[0].upper(), help=what)
    slurm.add_argument("--line", action="append", dest="lines", metavar="TEXT", help="a further line of the scripts")
    slurm.add_argument("--settings", metavar="FILE", help="TOML with any of these options")
    slurm.add_argument("--dry-run", action="store_true", help="write the scripts, submit nothing")
    slurm.set_defaults(run=_slurm)
    info = commands.add_parser("info", help="print the levels of a store", description=INFO, formatter_class=form)
    info.add_argument("store", metavar="STORE", help="path or URL")
    info.set_defaults(run=_info)
    preview = commands.add_parser(
        "preview", help="write a picture of all levels", description=PREVIEW, formatter_class=form
    )
    preview.add_argument("store", metavar="STORE", help="path or URL")
    preview.add_argument(
        "--out",
        default="tinypyr-preview.png",
        metavar="FILE",
        help="where it goes; a file of this name is replaced (default: tinypyr-preview.png)",
    )
    preview.set_defaults(run=_preview)
    view = commands.add_parser("view", help="show a store in Neuroglancer", description=VIEW, formatter_class=form)
    view.add_argument("store", metavar="STORE", help="a folder of this machine, or an http address")
    view.set_defaults(run=_view)
    check = commands.add_parser(
        "check",
        help="compare the levels of a store with its base",
        description=CHECK,
        epilog=CHECK_MORE,
        formatter_class=form,
    )
    check.add_argument("store", metavar="STORE", help="path or URL")
    check.add_argument("--method", help="how the levels were made (default: as the metadata says)")
    check.add_argument("--ignore", type=_number, metavar="V", help="the value left out (default: as it says)")
    check.add_argument("--mask", metavar="MASK", help="path or URL of what was left out")
    check.add_argument("--sample", type=float, metavar="SHARE", help="of the base to read, at random (default: all)")
    check.add_argument("--seed", type=int, default=0, help="of the draw (default: 0)")
    check.set_defaults(run=_check)


def add_target(command: argparse.ArgumentParser) -> None:
    """What is said of the store that is built, and of how."""
    command.add_argument("--levels", type=_levels, default="auto", metavar="N", help="how many (default: auto)")
    command.add_argument("--method", default="auto", help="mean, mode, median, min, max, stride (default: auto)")
    command.add_argument("--format", help="of the target: ome-zarr-0.5, ome-zarr-0.4, n5, precomputed")
    command.add_argument("--chunks", type=extents, metavar="N,...", help="voxels per chunk of the target")
    command.add_argument("--shards", type=extents, metavar="N,...", help="voxels per shard of the target")
    command.add_argument("--codec", help="zstd, gzip, blosc or raw (default: the source's)")
    command.add_argument(
        "--memory", default="1GiB", metavar="SIZE", help="bytes to hold, on one machine (default: 1GiB)"
    )
    command.add_argument(
        "--block", metavar="SIZE", help="bytes of level 0 to make at a time (default: a 32nd, 64MiB to 4GiB)"
    )
    command.add_argument("--workers", type=int, metavar="N", help="blocks at once (default: one per core)")


def add_running(command: argparse.ArgumentParser) -> None:
    """What is said of running blocks."""
    command.add_argument(
        "--engine", choices=["threads", "processes", "dask"], default="threads", help="who runs blocks (threads)"
    )
    command.add_argument("--scheduler", metavar="ADDRESS", help="of dask, such as tcp://10.0.0.1:8786")
    command.add_argument("--blocks", type=_blocks, metavar="N,...", help="make these again, and no others: 3,7,10-12")
    command.add_argument("--no-resume", action="store_true", help="make all blocks again")
    command.add_argument(
        "--progress",
        choices=["auto", "json", "none"],
        default="auto",
        help="auto: a line that counts, on a terminal; json: one line per block (default: auto)",
    )


def _blocks(text: str) -> list[int]:
    numbers: list[int] = []
    for piece in text.split(","):
        first, dash, last = piece.partition("-")
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal()) or not int(first) <= int(last) < 1 << 32:
            raise argparse.ArgumentTypeError(f"{text!r} is not numbers of blocks, such as 3,7,10-12")
        numbers += range(int(first), int(last) + 1)
    return numbers


def _part(text: str) -> tuple[int, int]:
    first, _, last = text.partition("/")
    if not (first.isdecimal() and last.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no part, such as 3/16")
    return int(first), int(last)


def main(arguments: argparse.Namespace) -> int:
    """Run one of the commands and return its exit status."""
    try:
        from . import store
    except ImportError as error:
        print(f"tinypyr: {error}", file=sys.stderr)
        return 1
    try:
        status: int = arguments.run(arguments)
        return status
    except (ValueError, TypeError) as error:
        print(f"tinypyr: {error}", file=sys.stderr)
        return 2
    except (store.StoreError, ImportError) as error:
        print(f"tinypyr: {error}", file=sys.stderr)
        return 1


def sample(shape: tuple[int, int, int], folder: Path) -> int:
    """Write the volumes of the demo, without levels, into stores; the exit status."""
    from . import _demo

    try:
        from . import store
    except ImportError as error:
        print(f"tinypyr: {error}", file=sys.stderr)
        return 1
    places = [folder / "image.ome.zarr", folder / "labels.ome.zarr"]
    try:
        if folder.exists() and not folder.is_dir():
            raise store.StoreError(f"--store: {folder} is no folder; choose another")
        for place in places:
            if place.exists():
                raise store.StoreError(f"{place}: exists already; remove it or choose another folder")
        grid = Grid(shape, axes="xyz", scale=(8, 8, 32), units=["nanometer"] * 3)
        chunks = [min(edge, n) for edge, n in zip((128, 128, 32), shape, strict=True)]
        made: list[tuple[Any, str]] = list(zip(_demo.volumes(shape), ("mean", "mode"), strict=True))
        for place, (volume, method) in zip(places, made, strict=True):
            store.build(volume, place, levels=0, method=method, grid=grid, chunks=chunks)
            print(f"{place}: {volume.dtype}, {' x '.join(map(str, shape))}, level 0 alone")
    except store.StoreError as error:
        print(f"tinypyr: {error}", file=sys.stderr)
        return 1
    return 0


def _arguments(arguments: argparse.Namespace) -> dict[str, Any]:
    names = (  # as in store.plan
        "factor levels method format ignore rounding ties chunks shards codec mask region recursive link memory "
        "block workers force"
    )
    return {name: getattr(arguments, name) for name in names.split()}


def _source(arguments: argparse.Namespace) -> Any:
    """What to build from: the store itself, or what is seen of it through another grid."""
    import numpy as np

    from . import store

    given = {name: getattr(arguments, name) for name in ("like", "spacing", "transform", "order", "no_antialias")}
    if all(value is None or value is False for value in given.values()):
        return arguments.source
    if (arguments.like is None) == (arguments.spacing is None):
        raise ValueError("--like, --spacing: one of them is needed to see SOURCE through another grid, not both")
    base = store.levels(arguments.source)[0]
    if arguments.spacing is not None and len(arguments.spacing) != base.grid.ndim:
        raise ValueError(f"--spacing: {arguments.spacing} is not one size for each of {', '.join(base.grid.axes)}")
    grid = store.levels(arguments.like)[0].grid if arguments.like is not None else base.grid.respaced(arguments.spacing)
    matrix = None
    if arguments.transform is not None:
        try:
            matrix = np.loadtxt(arguments.transform, ndmin=2)
        except (OSError, ValueError) as error:
            raise ValueError(f"--transform: {arguments.transform} is not rows of numbers: {error}") from None
    labels = base.holds_labels or taken_for_labels(base.kind, base.array.dtype.name)
    order = (0 if labels else 1) if arguments.order is None else arguments.order
    return Resampled(arguments.source, grid, matrix, order, not arguments.no_antialias)


def _plan(arguments: argparse.Namespace) -> int:
    from . import store

    made = store.plan(_source(arguments), arguments.target, **_arguments(arguments))
    if arguments.out is not None:
        made.save(arguments.out)
    print(json.dumps(made.describe(), indent=1) if arguments.json else made)
    return 0


def progress_of(arguments: argparse.Namespace) -> Any:
    """What is told of blocks as they are done."""

    def as_json(progress: Any) -> None:
        left = progress.seconds_left
        state = dataclasses.asdict(progress) | {"rate": progress.rate, "seconds_left": left if left < 1e18 else None}
        try:
            print(json.dumps(state), flush=True)
        except BrokenPipeError:  # whoever reads has seen enough; the build goes on
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    return as_json if arguments.progress == "json" else arguments.progress == "auto"


@contextlib.contextmanager
def engine_of(arguments: argparse.Namespace) -> Iterator[Any]:
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


def _build(arguments: argparse.Namespace) -> int:
    from . import store

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
        print(f"{report.plan}\n{report}")
    return 0


def _run(arguments: argparse.Namespace) -> int:
    from . import store

    plan = store.load(arguments.plan)
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
        if not report.failed and not report.made_before:
            print(f"next, once all parts are done: tinypyr finalize {arguments.plan}")
    return 1 if report.failed else 0


def _finalize(arguments: argparse.Namespace) -> int:
    from . import store

    print(store.finalize(store.load(arguments.plan)))
    return 0


def _slurm(arguments: argparse.Namespace) -> int:
    from .store import _slurm as slurm

    names = [field.name for field in dataclasses.fields(slurm.Settings)]
    given = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    settings = slurm.Settings(**((slurm.from_toml(arguments.settings) if arguments.settings else {}) | given))
    for line in slurm.submit(Path(arguments.plan), settings, dry_run=arguments.dry_run):
        print(line)
    return 0


def _info(arguments: argparse.Namespace) -> int:
    from .store._place import Place
    from .store._source import open_volume

    volume = open_volume(Place.at(arguments.store))
    print(f"{volume.place.name}: {volume.format}, {volume.dtype}" + (f", {volume.kind}" if volume.kind else ""))
    layout = volume.layout
    print(f"chunks {' x '.join(map(str, layout.chunks))}" + (f", shards {layout.shards}" if layout.shards else ""))
    for path, grid in zip(volume.paths, volume.grids, strict=True):
        axes = ", ".join(
            f"{name} {n} (every {scale:g}{' ' + unit if unit else ''} from {at:g})"
            for name, n, scale, unit, at in zip(
                grid.axes, grid.shape, grid.scale, grid.units, grid.translation, strict=True
            )
        )
        print(f"  {path or '.'}: {axes}")
    return 0


def _preview(arguments: argparse.Namespace) -> int:
    from . import store

    store.preview(arguments.store, arguments.out)
    print(f"picture: {arguments.out}")
    return 0


def _view(arguments: argparse.Namespace) -> int:
    from .store._view import viewer

    try:
        with viewer(arguments.store) as shown:
            print(f"{shown}\n(Ctrl-C ends it)", flush=True)
            threading.Event().wait()
    except ImportError as error:
        print(f"tinypyr: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from . import store

    findings = store.check(
        arguments.store,
        method=arguments.method,
        ignore=arguments.ignore,
        mask=arguments.mask,
        sample=arguments.sample,
        seed=arguments.seed,
    )
    print(findings)
    return 1 if findings else 0
