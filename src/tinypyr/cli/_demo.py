"""The command ``tinypyr demo``, which a plain install has too."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from .. import __version__
from .._util.terminal import drop_output
from ..grid import Grid

MAX_DEMO_VOXELS = 2**31  # of uint64 labels: 16 GiB
MAX_DEMO_LEVELS = 10

DESCRIPTION = (
    "tinypyr makes image pyramids for connectomics and bioimaging: exact at every level, at the speed of memory.\n"
)
MORE = 'The commands on stores (build, plan, info, check, ...) come with pip install "tinypyr[store]".\n'
SUMMARY = "make two volumes, build their pyramids, print a table and write a picture"

DEMO = """\
Make two volumes, an electron-microscopy-like image (uint8) and the labels of its cells (uint64, with large
ids); build a pyramid of each, by 2 x 2 x 1 per level: the image by mean, the labels by mode; print a table of
what it took; and write one picture (PNG) that shows the same piece of the middle section at every level, side
by side.

The volumes are made by a fixed recipe: the same shape gives the same voxels on every machine.
"""

DEMO_MORE = """\
table:
  One line per level. "time" is one call that makes all levels down to this one from the volume itself, and
  "copies" is that time over numpy.copyto of the volume into warm memory, in that run. Level 0 is the copy.

exit status:
  0 done; 1 the machine refused (disk, memory); 2 bad arguments, nothing written; 130 interrupted, nothing
  written.

examples:
  tinypyr demo
  tinypyr demo --shape 512 512 64 --levels 3 --workers 0 --out levels.png
  tinypyr demo --store sample && tinypyr build sample/image.ome.zarr
"""


def _count(low: int, high: int) -> Callable[[str], int]:
    def count(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not between {low} and {high}")
        return value

    return count


class _Parser(argparse.ArgumentParser):
    """One line of error, as the other commands have."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = _Parser(prog="tinypyr", description=DESCRIPTION, epilog=MORE, formatter_class=form)
    parser.add_argument("--version", action="version", version=f"tinypyr {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    demo = commands.add_parser(
        "demo",
        help=SUMMARY,
        description=DEMO,
        epilog=DEMO_MORE,
        formatter_class=form,
    )
    demo.add_argument(
        "--shape",
        nargs=3,
        type=_count(1, MAX_DEMO_VOXELS),
        metavar=("X", "Y", "Z"),
        help="extents in voxels (default: 1024 1024 32; 256 256 16 when the compiled extension is missing)",
    )
    demo.add_argument(
        "--levels",
        type=_count(1, MAX_DEMO_LEVELS),
        default=4,
        metavar="N",
        help=f"levels above the volume, 1 to {MAX_DEMO_LEVELS} (default: 4)",
    )
    demo.add_argument(
        "--out",
        type=Path,
        default=Path("tinypyr-demo.png"),
        metavar="FILE",
        help="where the picture goes; a file of this name is replaced (default: tinypyr-demo.png)",
    )
    demo.add_argument(
        "--store",
        type=Path,
        metavar="DIR",
        help="instead of all this, write the volumes into two new stores in this folder (see tinypyr build --help)",
    )
    demo.add_argument(
        "--workers",
        type=_count(0, 1024),
        default=1,
        metavar="N",
        help="threads, 0 for one per core (default: 1)",
    )
    demo.set_defaults(refuse=demo.error)
    return parser


def main(words: Sequence[str]) -> int:
    """Run it with the arguments of the process and return its exit status."""
    arguments = _parser().parse_args(words)
    shape: list[int] | None = arguments.shape
    out: Path = arguments.out
    if shape is not None and shape[0] * shape[1] * shape[2] > MAX_DEMO_VOXELS:
        extents = " x ".join(map(str, shape))
        arguments.refuse(f"argument --shape: {extents} is more than {MAX_DEMO_VOXELS} voxels")
    if out.suffix.lower() != ".png":
        arguments.refuse(f"argument --out: {str(out)!r} does not end in .png")
    if out.is_dir():
        arguments.refuse(f"argument --out: {str(out)!r} is a folder")
    if not out.parent.is_dir():
        arguments.refuse(f"argument --out: there is no folder {str(out.parent)!r}")
    if not os.access(out.parent, os.W_OK):
        arguments.refuse(f"argument --out: no permission to write in {str(out.parent)!r}")
    from . import _demo_data as _demo

    try:
        chosen = (shape[0], shape[1], shape[2]) if shape else None
        if arguments.store is not None:
            return _sample(chosen or _demo.default_shape(), arguments.store)
        _demo.run(chosen, arguments.levels, out, arguments.workers)
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


def _sample(shape: tuple[int, int, int], folder: Path) -> int:
    """Write the volumes of the demo, without levels, into stores; the exit status."""
    from . import _demo_data as _demo

    try:
        from .. import store
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
