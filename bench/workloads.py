"""Rows of the benchmark, and the arrays that they run on.

To add a row, add a line to a function of `SUITES` or `FAMILIES`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Method = Literal["mean", "mode", "median", "min", "max", "stride"]

DTYPES = {
    "u8": np.uint8, "u16": np.uint16, "u32": np.uint32, "u64": np.uint64,
    "i8": np.int8, "i16": np.int16, "i32": np.int32, "i64": np.int64, "f32": np.float32, "f64": np.float64,
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One task, which is one line of the table."""

    method: Method
    factor: tuple[int, ...]
    dtype: str  # a key of DTYPES
    order: str  # "C" or "F"
    goal: float | None  # upper limit of the ratio to what the row is compared with
    data: str = "em"  # "em", "labels" or "random" (255 labels, independent voxels)
    levels: int = 1
    ignore: int | None = None
    shape: tuple[int, ...] | None = None  # None: the size of the run
    peers: tuple[str, ...] | None = None  # None: every peer that applies
    title: str = ""
    beside: str = "copy"  # "copy" (numpy.copyto of the same input) or the name of a peer
    net_goal: float | None = None  # the same limit after the cost of a call on 2 x 2 pixels is taken from both times
    line: str = ""  # the line of the table of goals that the row belongs to

    @property
    def name(self) -> str:
        parts = [self.title] if self.title else []
        parts += [self.method, "x".join(map(str, self.factor)), self.dtype, self.order]
        parts += [f"{self.levels}levels"] * (self.levels > 1)
        parts += [f"ignore{self.ignore}"] * (self.ignore is not None)
        parts += ["random"] * (self.data == "random")
        return "-".join(parts)


def _rows(method: Method, factors: str, dtypes: str, goal: float, **more: Any) -> Iterator[Row]:
    """Return rows for every factor with every dtype, in Fortran and in C order."""
    for factor, dtype, order in itertools.product(factors.split(), dtypes.split(), "FC"):
        x, y, z = map(int, factor.split("x"))
        yield Row(method, (x, y, z), dtype, order, goal, **more)


def _memory() -> Iterator[Row]:
    """Return rows that should take less time than a copy, or little more."""
    halves, both = "2x2x1 2x2x2 1x2x2", "2x2x1 2x2x2"
    common = "u8 u16 u32 u64 f32"
    yield from _rows("mean", halves, "u8 u16 f32", 0.75)
    yield from _rows("mean", halves, "u32 u64", 1.1)
    yield from _rows("mean", halves, "i8 i16 i32 i64 f64", 1.1, peers=())
    yield from _rows("min", halves, common, 0.75, peers=())
    yield from _rows("max", halves, common, 0.75)
    yield from _rows("stride", halves, common, 0.6)
    yield from _rows("median", both, "u8 u16", 1.5)
    yield from _rows("mode", both, "u8 u16 u32 u64", 0.9, data="labels")
    yield from _rows("mode", both, "u8 u16 u32 u64", 1.0, data="labels", ignore=0)
    yield from _rows("mode", both, "u8 u16 u32 u64", 1.0, data="random", peers=())
    yield from _rows("mode", both, "u8 u16 u32 u64", 1.0, data="random", ignore=0, peers=())
    yield from _rows("mode", "1x2x2", "u8 u16 u32 u64 f32", 2.0, data="labels")
    yield from _rows("mode", both, "f32", 2.0, data="labels")
    yield from _rows("mean", both, "u8 u16", 1.0, ignore=0)
    yield from _rows("mean", both, "u8 u16 f32", 1.0, levels=4)
    yield from _rows("mode", both, "u32 u64", 2.0, data="labels", levels=4)
    yield from _rows("mean", "3x3x1 4x4x1 3x2x2 5x5x5", "u8", 1.2)
    yield from _rows("mode", "3x3x1 4x4x4", "u64", 3.0, data="labels")


def _original() -> Iterator[Row]:
    """Return the comparisons in tinybrain's README: a 1024 x 1024 x 100 uint8 image, others slice by slice."""
    for title, peers in (("original-PIL", ("Pillow", "Pillow BOX")), ("original-OpenCV", ("OpenCV",))):
        for order in "FC":
            yield Row("mean", (2, 2, 1), "u8", order, 2.0, shape=(1024, 1024, 100), peers=peers, title=title)


def _widths() -> Iterator[Row]:
    """Return rows with many widths: ratios must not depend on the alignment to pages and caches."""
    for width, order in itertools.product((100, 512, 1000, 1024, 1025, 2048, 4096), "FC"):
        depth = 2 * math.ceil(2**26 / (width * 512))
        shape = (width, 512, depth) if order == "F" else (depth, 512, width)
        factor = (2, 2, 1) if order == "F" else (1, 2, 2)
        for method, goal in (("mean", 0.75), ("mode", 1.0)):
            more = {"data": "random", "shape": shape, "peers": (), "title": f"width-{width}"}
            yield Row(method, factor, "u8", order, goal, **more)  # type: ignore[arg-type]


#: Peers of the families; the others have no function for most of these rows.
PICTURES = ("OpenCV", "Pillow", "scikit-image", "tinybrain")


def _image(side: int, kind: str, dtype: str, goal: float, line: str, **more: Any) -> Row:
    """Return the mean of an image by 2 x 2, compared with OpenCV."""
    channels = {"gray": (), "rgb": (3,), "rgba": (4,)}[kind]
    factor = (2, 2, *(1 for _ in channels))
    more |= {"shape": (side, side, *channels), "title": f"image-{side}-{kind}", "peers": PICTURES}
    return Row("mean", factor, dtype, "C", goal, beside="OpenCV", line=line, **more)


def _images() -> Iterator[Row]:
    """Return images, whole and with interleaved channels, from 256 x 256 to 8192 x 8192 pixels."""
    sides = (512, 1024, 2048, 4096, 8192)
    for kind, dtype, goal in (("rgb", "u8", 0.7), ("rgba", "u8", 0.9), ("rgb", "u16", 0.9)):
        for side in sides:
            yield _image(side, kind, dtype, goal, f"{kind.upper()} {dtype}, 512 x 512 to 8192 x 8192")
    for dtype, side in itertools.product(("u8", "u16"), (512, 1024, 2048)):
        yield _image(side, "gray", dtype, 0.75, "gray u8 and u16, 512 x 512 to 2048 x 2048 (in cache)")
    for kind, dtype in (("gray", "u8"), ("gray", "u16"), ("rgb", "u8"), ("rgba", "u8")):
        yield _image(256, kind, dtype, 1.5, "gray, RGB and RGBA, 256 x 256, whole calls", net_goal=1.0)
    for side in (512, 1024, 2048):
        yield _image(side, "gray", "f32", 1.6, "gray f32, 512 x 512 to 2048 x 2048 (OpenCV adds in float)")
    yield _image(4096, "gray", "f32", 1.0, "gray f32, 4096 x 4096")


#: Lengths of the fastest axis in the family of thin volumes.
THIN = (*range(1, 10), 16, 24, 32, 48, 64)


def thin_shape(length: int, nbytes: int, itemsize: int) -> tuple[int, int, int]:
    """Return a shape of about this many bytes, with even slower axes of about the same length."""
    voxels = nbytes // itemsize
    middle = 2 * max(1, round(math.sqrt(voxels / length) / 2))
    return 2 * max(1, round(voxels / (length * middle) / 2)), middle, length


def _thin() -> Iterator[Row]:
    """Return volumes in C order whose fastest axis is short: a few slices, or interleaved channels."""

    def row(
        method: Method, factor: tuple[int, ...], dtype: str, goal: float, length: int, line: str, **more: Any
    ) -> Row:
        shape = thin_shape(length, 2**26, np.dtype(DTYPES[dtype]).itemsize)
        more = {"peers": PICTURES, "title": f"thin-{length}", "shape": shape, **more}
        return Row(method, factor, dtype, "C", goal, line=line, **more)

    for factor, length in itertools.product(((2, 2, 1), (1, 2, 2), (2, 2, 2)), THIN):
        words = "x".join(map(str, factor))
        yield row("mean", factor, "u8", 1.5, length, f"mean u8 {words}, fastest axis of 1 to 64 voxels")
    labels: dict[str, Any] = {"data": "labels", "peers": ("tinybrain",)}
    yield row("mode", (2, 2, 1), "u64", 1.5, 3, "mode u64 2x2x1, fastest axis of 3 voxels", **labels)
    yield row("mode", (2, 2, 2), "u64", 1.5, 3, "mode u64 2x2x2, fastest axis of 3 voxels", **labels)
    four = "mode u64 2x2x1, 4 levels, fastest axis of 3 voxels"
    yield row("mode", (2, 2, 1), "u64", 4, 3, four, levels=4, **labels)
    for factor in ((2, 2, 1), (2, 2, 2)):
        words = "x".join(map(str, factor))
        line = f"mean u8 {words} with ignore=0, fastest axis of 48 voxels"
        yield row("mean", factor, "u8", 1.0, 48, line, ignore=0)


def _blocks() -> Iterator[Row]:
    """Return blocks of the size of chunks, which stay in the caches."""
    goals = ((64, 2.0, 4.0, 1.5, 4.0), (128, 1.2, 2.4, 1.0, 2.0))
    for side, mean, means, mode, modes in goals:
        more: dict[str, Any] = {"shape": (side,) * 3, "title": f"block-{side}", "peers": PICTURES}
        where = f"block of {side} x {side} x {side}"
        yield from _rows("mean", "2x2x1 2x2x2", "u8", mean, line=f"mean u8, {where}", **more)
        yield from _rows("mean", "2x2x1 2x2x2", "u8", means, levels=4, line=f"mean u8, 4 levels, {where}", **more)
        more["data"] = "labels"
        yield from _rows("mode", "2x2x1 2x2x2", "u64", mode, line=f"mode u64, {where}", **more)
        yield from _rows("mode", "2x2x1 2x2x2", "u64", modes, levels=4, line=f"mode u64, 4 levels, {where}", **more)


def _volumes() -> Iterator[Row]:
    """Return four levels of volumes that are larger than the caches."""
    more: dict[str, Any] = {"title": "volume", "levels": 4, "peers": PICTURES}
    line = "mode u32 and u64, 4 levels, larger than the caches"
    yield from _rows("mode", "2x2x1 2x2x2", "u32 u64", 2.0, data="labels", line=line, **more)
    line = "mean u8, u16 and f32, 4 levels, larger than the caches"
    yield from _rows("mean", "2x2x1 2x2x2", "u8 u16 f32", 1.0, line=line, **more)


SUITES = {"memory": _memory, "widths": _widths, "original": _original}
#: Workloads that people have, each with a goal; the results of each family are kept in files of its own.
FAMILIES = {"images": _images, "thin": _thin, "blocks": _blocks, "volumes": _volumes}


def rows(names: list[str]) -> list[Row]:
    """Return the rows of suites and families, sorted so that rows on the same array are adjacent."""
    selection = [row for name in names for row in (SUITES | FAMILIES)[name]()]
    kinds = {key: i for i, key in enumerate(dict.fromkeys(map(array_key, selection)))}
    return sorted(selection, key=lambda row: kinds[array_key(row)])


def array_key(row: Row) -> tuple[Any, ...]:
    return row.data, row.dtype, row.order, row.shape
