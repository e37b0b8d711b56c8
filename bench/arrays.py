"""The arrays that the rows of the benchmark run on: real data where it is available, generated data otherwise."""

from __future__ import annotations

import lzma
import math
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workloads import DTYPES, Array, Row, array_key

#: With --quick, the most voxels along each axis. The last one leaves short fastest axes as they are.
QUICK = (128, 96, 64)


def _middle(source: Array, shape: tuple[int, ...]) -> Array:
    """Return the middle of a volume (its corners hold few labels), no larger than this shape."""
    starts = [max(0, (have - want) // 2) for have, want in zip(source.shape, shape, strict=True)]
    return source[tuple(slice(start, start + want) for start, want in zip(starts, shape, strict=True))]


def _reflected(section: Array, shape: tuple[int, ...]) -> Array:
    """Return a section of this shape: the first voxels of another one, continued by reflection where it is smaller."""
    for axis, n in enumerate(shape):
        size = section.shape[axis]
        if n > size:
            at = np.arange(n) % (2 * size)
            section = np.take(section, np.where(at < size, at, 2 * size - 1 - at), axis)
    return section[: shape[0], : shape[1]]


class Data:
    """Arrays from real data if it is available, otherwise from the generator of ``tinypyr demo``."""

    def __init__(self, nbytes: int, quick: bool) -> None:
        self.nbytes = nbytes
        self.quick = quick
        here = Path(__file__).resolve().parent
        self.folder = Path(os.environ.get("TINYPYR_DATA") or here.parent.parent / "shared" / "data")
        self._em: list[NDArray[np.uint8]] | None = None
        self._labels: Array | None = None
        self._volumes: tuple[NDArray[np.uint8], NDArray[np.uint64]] | None = None
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
        if row.shape:
            shape = tuple(map(min, row.shape, QUICK)) if self.quick else row.shape
        elif self.quick:
            shape = (128, 96, 34)
        else:
            # 512 x 512 in plane, like the segmentation, with the required depth
            shape = (512, 512, 2 * math.ceil(self.nbytes / (512 * 512 * dtype.itemsize * 2)))
        array = np.empty(shape, dtype, order="F" if row.order == "F" else "C")
        volume = array if array.ndim == 3 else array[:, :, np.newaxis]
        if row.data == "labels":
            labels = self._label_volume()
            if row.shape:
                labels = _middle(labels, shape)
            for z in range(volume.shape[2]):  # the volume is continued by reflection
                turn, at = divmod(z, labels.shape[2])
                section = labels[:, :, -1 - at if turn % 2 else at]
                volume[:, :, z] = _reflected(section, volume.shape[:2]).astype(dtype)  # modulo 256 if narrow
        elif row.data == "random":
            generator = np.random.default_rng(0)
            for z in range(volume.shape[2]):
                volume[:, :, z] = generator.integers(0, 255, volume.shape[:2], dtype)
            self.sources["random"] = "255 labels, every voxel drawn by itself"
        else:
            scale = np.float64(1 / 255) if dtype.kind == "f" else None
            for z in range(volume.shape[2]):
                section = _reflected(self._section(z, volume.shape[:2]), volume.shape[:2])
                volume[:, :, z] = section * scale if scale is not None else section
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
        if self._volumes is None:
            from tinypyr.cli._demo.volumes import volumes

            if not self.quick:
                print("no real data found: generating ...", file=sys.stderr)
            self._volumes = volumes((128, 128, 16) if self.quick else (1024, 1024, 32))
        return self._volumes
