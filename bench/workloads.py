"""Rows of the benchmark, and the arrays that they run on. To add a row, add a line to `SUITES`."""

from __future__ import annotations

import itertools
import lzma
import math
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
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
    factor: tuple[int, int, int]
    dtype: str  # a key of DTYPES
    order: str  # "C" or "F"
    goal: float | None  # upper limit of the ratio to numpy.copyto
    data: str = "em"  # "em", "labels" or "random" (255 labels, independent voxels)
    num_mips: int = 1
    ignore: int | None = None
    shape: tuple[int, int, int] | None = None  # None: the size of the run
    peers: tuple[str, ...] | None = None  # None: every peer that applies
    title: str = ""

    @property
    def name(self) -> str:
        parts = [self.title] if self.title else []
        parts += [self.method, "x".join(map(str, self.factor)), self.dtype, self.order]
        parts += [f"{self.num_mips}levels"] * (self.num_mips > 1)
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
    yield from _rows("mean", both, "u8 u16 f32", 1.0, num_mips=4)
    yield from _rows("mode", both, "u32 u64", 2.0, data="labels", num_mips=4)
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


SUITES = {"memory": _memory, "widths": _widths, "original": _original}


def rows(suites: list[str]) -> list[Row]:
    """Return the rows of the suites, sorted so that rows on the same array are adjacent."""
    found = [row for suite in suites for row in SUITES[suite]()]
    kinds = {key: i for i, key in enumerate(dict.fromkeys(map(array_key, found)))}
    return sorted(found, key=lambda row: kinds[array_key(row)])


def array_key(row: Row) -> tuple[Any, ...]:
    return row.data, row.dtype, row.order, row.shape


class Data:
    """Arrays from real data if it is available, otherwise from the generator of ``tinypyr demo``."""

    def __init__(self, nbytes: int, quick: bool) -> None:
        self.nbytes = nbytes
        self.quick = quick
        here = Path(__file__).resolve().parent
        self.folder = Path(os.environ.get("TINYPYR_DATA") or here.parent.parent / "shared" / "data")
        self._em: list[NDArray[np.uint8]] | None = None
        self._labels: Array | None = None
        self._made: tuple[NDArray[np.uint8], NDArray[np.uint64]] | None = None
        self._kept: tuple[tuple[Any, ...], Array] | None = None
        self.sources: dict[str, str] = {}

    def array(self, row: Row) -> Array:
        """Return the row's input. Only the last array is cached, so rows on the same array should be adjacent."""
        key = array_key(row)
        if self._kept is None or self._kept[0] != key:
            self._kept = None
            self._kept = key, self._make(row)
        return self._kept[1]

    def _make(self, row: Row) -> Array:
        dtype = np.dtype(DTYPES[row.dtype])
        if row.shape and not self.quick:
            shape = row.shape
        elif self.quick:
            shape = (128, 96, 34)
        else:
            # 512 x 512 in plane, like the segmentation, with the required depth
            shape = (512, 512, 2 * math.ceil(self.nbytes / (512 * 512 * dtype.itemsize * 2)))
        array = np.empty(shape, dtype, order="F" if row.order == "F" else "C")
        if row.data == "labels":
            labels = self._label_volume()
            for z in range(shape[2]):  # the volume is continued by reflection
                turn, at = divmod(z, labels.shape[2])
                source = labels[: shape[0], : shape[1], -1 - at if turn % 2 else at]
                array[:, :, z] = source.astype(dtype)  # labels modulo 256 for narrow integers
        elif row.data == "random":
            generator = np.random.default_rng(0)
            for z in range(shape[2]):
                array[:, :, z] = generator.integers(0, 255, shape[:2], dtype)
            self.sources["random"] = "255 labels, every voxel drawn by itself"
        else:
            scale = np.float64(1 / 255) if dtype.kind == "f" else None
            for z in range(shape[2]):
                section = self._section(z, shape[:2])
                array[:, :, z] = section * scale if scale is not None else section
        return array

    def _section(self, z: int, shape: tuple[int, int]) -> NDArray[np.uint8]:
        tiles = self._tiles()
        side = tiles[0].shape[0]
        per_tile = (side // shape[0]) * (side // shape[1]) if not self.quick else 1
        turn, at = divmod(z, len(tiles) * max(per_tile, 1))
        tile = tiles[at % len(tiles)]
        part = at // len(tiles)
        if self.quick or per_tile <= 1:
            piece = tile
        else:
            columns = side // shape[1]
            x, y = part // columns * shape[0], part % columns * shape[1]
            piece = tile[x : x + shape[0], y : y + shape[1]]
        # use the eight symmetries of the square before repeating
        piece = piece[:: -1 if turn & 1 else 1, :: -1 if turn & 2 else 1]
        if turn & 4 and piece.shape[0] == piece.shape[1]:
            piece = piece.T
        return piece[: shape[0], : shape[1]]

    def _tiles(self) -> list[NDArray[np.uint8]]:
        if self._em is None:
            files = sorted((self.folder / "em_sections").glob("*.jpg"))
            try:
                from PIL import Image
            except ImportError:
                Image = None  # type: ignore[assignment]
            if files and Image is not None and not self.quick:
                self._em = [np.asarray(Image.open(file).convert("L")).T for file in files]
                self.sources["em"] = f"real: {len(files)} tiles of fly brain sections (electron microscopy)"
            else:
                image = self._generated()[0]
                self._em = [image[:, :, z] for z in range(image.shape[2])]
                why = "--quick" if self.quick else "no real data in TINYPYR_DATA, or no Pillow to read it"
                self.sources["em"] = f"generated by tinypyr's demo ({why})"
        return self._em

    def _label_volume(self) -> Array:
        if self._labels is None:
            file = self.folder / "connectomics_512x512x512_u32.npy.xz"
            if file.exists() and not self.quick:
                print("reading the segmentation ...", file=sys.stderr)
                with lzma.open(file) as stream:
                    self._labels = np.load(stream)
                self.sources["labels"] = "real: a segmentation of mouse visual cortex"
            else:
                labels = self._generated()[1]
                # small numbers, so that many of them differ in narrow dtypes
                self._labels = np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.uint32)
                why = "--quick" if self.quick else "no real data in TINYPYR_DATA"
                self.sources["labels"] = f"generated by tinypyr's demo ({why})"
        return self._labels

    def _generated(self) -> tuple[NDArray[np.uint8], NDArray[np.uint64]]:
        if self._made is None:
            from tinypyr.cli._demo.volumes import volumes

            if not self.quick:
                print("no real data found: generating ...", file=sys.stderr)
            self._made = volumes((128, 128, 16) if self.quick else (1024, 1024, 32))
        return self._made
