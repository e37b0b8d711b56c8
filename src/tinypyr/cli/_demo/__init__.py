"""The command ``tinypyr demo``, which needs nothing beyond a plain install."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ... import __version__
from ..._util.files import write_whole
from ..._util.picture import png
from ..._util.terminal import Line, drop_output
from ...grid import Grid
from ...pooling import instruction_sets
from .picture import draw
from .pyramids import table, timed_pyramid
from .volumes import volumes

MAX_VOXELS = 2**31  # 16 GiB of uint64 labels
MAX_LEVELS = 10
MAX_WORKERS = 1024

DESCRIPTION = (
    "tinypyr makes image pyramids for connectomics and bioimaging: exact at every level, at the speed of memory.\n"
)
EPILOG = 'Commands on stores (build, plan, info, check, ...) require pip install "tinypyr[store]".\n'
SUMMARY = "create two volumes and their pyramids, print timings, and write a picture"

DEMO = """\
Create two volumes: an image that resembles electron microscopy (uint8), and the labels of its cells (uint64, with
large IDs). Build a pyramid of each with a factor of 2 x 2 x 1 per level, of the image by mean and of the labels by
mode. Print a table of timings, and write one picture (PNG) that shows the same part of the middle section at every
level, side by side.

The volumes are deterministic: the same shape gives the same voxels on every machine.
"""

DEMO_EPILOG = """\
table:
  One line per level. "time" is the time of one call that makes all levels up to this one from the volume, and
  "copies" is that time divided by the time of numpy.copyto of the volume in the same run. Level 0 is that copy.

exit status:
  0 success; 1 an error of the machine (disk, memory); 2 invalid arguments (nothing is written); 130 interrupted
  (nothing is written).

examples:
  tinypyr demo
  tinypyr demo --shape 512 512 64 --levels 3 --workers all --out levels.png
  tinypyr demo --store sample && tinypyr build sample/image.ome.zarr
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command with these arguments and return its exit status."""
    options = _parser().parse_args(arguments)
    shape = _checked_shape(options)
    try:
        if options.store is not None:
            return _write_stores(shape or default_shape(), options.store)
        _check_picture_path(options)
        _run(shape or default_shape(), options.levels, options.out, options.workers)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("tinypyr: interrupted, nothing written", file=sys.stderr)
        return 130
    except BrokenPipeError:
        drop_output()
        return 0
    except (MemoryError, OSError) as error:
        print(f"tinypyr: {error or 'out of memory'}", file=sys.stderr)
        return 1
    return 0


def default_shape() -> tuple[int, int, int]:
    """Return the shape of the volumes if none is given."""
    return (1024, 1024, 32) if instruction_sets() else (256, 256, 16)  # numpy alone is some hundred times slower


class ProgressBar(Line):
    """A line with a task and a bar."""

    def __call__(self, task: str, fraction: float) -> None:
        bar = "#" * round(fraction * 30)
        self.show(f"{task:<24} [{bar:<30}] {fraction:4.0%}")


def _run(shape: tuple[int, int, int], levels: int, out: Path, workers: int | None) -> None:
    """Create the volumes, build and time the pyramids, print the table, and write the picture."""
    sets = instruction_sets()
    rounds = 3 if sets else 1
    progress = ProgressBar()
    try:
        image, labels = volumes(shape, progress)
        pyramids = [
            timed_pyramid("image", image, "mean", levels, workers, rounds, progress),
            timed_pyramid("labels", labels, "mode", levels, workers, rounds, progress),
        ]
        progress("drawing", 1.0)
        data = png(draw(pyramids))
    finally:
        progress.clear()
    write_whole(out, data)
    print(f"instruction sets: {', '.join(sets) or 'none (numpy)'}; workers: {workers or 'one per core'}")
    print("factor per level: 2 x 2 x 1")
    print()
    print(table(pyramids))
    print()
    print(f"time: one call that makes all levels up to this one from the volume; median of {rounds}")
    print("throughput: bytes of the volume per second")
    print("copies: time divided by the time of numpy.copyto of the volume, in the same run")
    print()
    print(f"picture: {out}")


def _write_stores(shape: tuple[int, int, int], folder: Path) -> int:
    """Write the volumes, without levels, to two stores, and return the exit status."""
    try:
        from ... import store
    except ImportError as error:
        print(f"tinypyr: {error}", file=sys.stderr)
        return 1
    paths = [folder / "image.ome.zarr", folder / "labels.ome.zarr"]
    try:
        if folder.exists() and not folder.is_dir():
            raise store.StoreError(f"--store: {folder} is not a folder; choose another")
        for path in paths:
            if path.exists():
                raise store.StoreError(f"{path}: exists already; remove it or choose another folder")
        grid = Grid(shape, axes="xyz", scale=(8, 8, 32), units="nanometer")
        chunks = [min(edge, n) for edge, n in zip((128, 128, 32), shape, strict=True)]
        sources: list[tuple[Any, str]] = list(zip(volumes(shape), ("mean", "mode"), strict=True))
        for path, (volume, method) in zip(paths, sources, strict=True):
            store.build(volume, path, levels=0, method=method, grid=grid, chunks=chunks)
            print(f"{path}: {volume.dtype}, {' x '.join(map(str, shape))}, level 0 only")
    except store.StoreError as error:
        print(f"tinypyr: {error}", file=sys.stderr)
        return 1
    return 0


# --- arguments ---


class _Parser(argparse.ArgumentParser):
    """A parser with one-line errors, like those of the other commands."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = _Parser(prog="tinypyr", description=DESCRIPTION, epilog=EPILOG, formatter_class=form)
    parser.add_argument("--version", action="version", version=f"tinypyr {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    demo = commands.add_parser("demo", help=SUMMARY, description=DEMO, epilog=DEMO_EPILOG, formatter_class=form)
    demo.add_argument(
        "--shape",
        nargs=3,
        type=_integer(1, MAX_VOXELS),
        metavar=("X", "Y", "Z"),
        help="shape of the volumes (default: 1024 1024 32; 256 256 16 if the compiled extension is missing)",
    )
    demo.add_argument(
        "--levels",
        type=_integer(1, MAX_LEVELS),
        default=4,
        metavar="N",
        help=f"number of levels above the volume, from 1 to {MAX_LEVELS} (default: 4)",
    )
    demo.add_argument(
        "--out",
        type=Path,
        default=Path("tinypyr-demo.png"),
        metavar="FILE",
        help="picture to write or replace (default: tinypyr-demo.png)",
    )
    demo.add_argument(
        "--store",
        type=Path,
        metavar="DIR",
        help="write the volumes to two new stores in this folder, without levels, table and picture (default: none)",
    )
    demo.add_argument(
        "--workers",
        type=_workers,
        default=1,
        metavar="N",
        help=f"threads, from 1 to {MAX_WORKERS}, or all: one per core (default: 1)",
    )
    demo.set_defaults(refuse=demo.error)
    return parser


def _integer(low: int, high: int) -> Callable[[str], int]:
    """Return a function that converts text to an integer between two limits."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not between {low} and {high}")
        return value

    return convert


def _workers(text: str) -> int | None:
    return None if text == "all" else _integer(1, MAX_WORKERS)(text)


def _checked_shape(options: argparse.Namespace) -> tuple[int, int, int] | None:
    if options.shape is None:
        return None
    nx, ny, nz = options.shape
    if nx * ny * nz > MAX_VOXELS:
        options.refuse(f"argument --shape: {nx} x {ny} x {nz} is more than {MAX_VOXELS} voxels")
    return nx, ny, nz


def _check_picture_path(options: argparse.Namespace) -> None:
    out: Path = options.out
    if out.suffix.lower() != ".png":
        options.refuse(f"argument --out: {str(out)!r} does not end in .png")
    if out.is_dir():
        options.refuse(f"argument --out: {str(out)!r} is a folder")
    if not out.parent.is_dir():
        options.refuse(f"argument --out: folder {str(out.parent)!r} does not exist")
    if not os.access(out.parent, os.W_OK):
        options.refuse(f"argument --out: no permission to write to {str(out.parent)!r}")
