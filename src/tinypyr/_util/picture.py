"""Pictures with numpy alone: panels with captions side by side, colours of labels, PNG."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..grid import Grid

U8 = NDArray[np.uint8]

PANEL = 384  # the side of a panel, in pixels
GAP = 12
CAPTION = 20  # the height of a line of text
SIGNS = "0123456789ABDEFGILMNORSTVx.- "
# five columns per sign, the top pixel in the lowest bit
COLUMNS = bytes.fromhex(
    "3E5149453E 00427F4000 4261514946 2141454B31 1814127F10 2745454539 3C4A494930 0171090503 3649494936 "
    "064949291E 7E1111117E 7F49494936 7F41413E00 7F49494941 7F09090901 3E4149497A 00417F4100 7F40404040 "
    "7F020C027F 7F0408107F 3E4141413E 7F09192946 4649494931 01017F0101 1F2040201F 4428102844 "
    "0060600000 0808080808 0000000000"
)


def _write_text(picture: U8, text: str, x: int, y: int, scale: int = 2) -> None:
    """Draw text into a picture."""
    columns = np.frombuffer(b"".join(COLUMNS[5 * SIGNS.index(sign) :][:5] + b"\0" for sign in text), np.uint8)
    bits = (columns[None, :] >> np.arange(8, dtype=np.uint8)[:, None]) & 1
    ink = bits.repeat(scale, axis=0).repeat(scale, axis=1).astype(bool)
    picture[y : y + ink.shape[0], x : x + ink.shape[1]][ink[:, : picture.shape[1] - x]] = 235


def colours(labels: NDArray[Any]) -> U8:
    """Return a vivid colour for each label, a function of the label alone; black for 0."""
    z = labels.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z ^= z >> np.uint64(29)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    hue = ((z >> np.uint64(54)).astype(np.int64) * 6) % 6144  # in 1024ths of a sixth of the circle
    light = (190 + (z >> np.uint64(20)) % np.uint64(66)).astype(np.int64)
    pale = (10 + (z >> np.uint64(36)) % np.uint64(100)).astype(np.int64)
    channels = []
    for shift in (0, 4096, 2048):
        rise = np.abs((hue + shift) % 6144 - 3072) - 1024
        channels.append(pale + (light - pale) * np.clip(rise, 0, 1024) // 1024)
    picture: U8 = np.stack(channels, axis=-1).astype(np.uint8)
    picture[labels == 0] = 0
    return picture


def contrast(part: NDArray[Any]) -> tuple[float, float]:
    """Return the values to draw as black and as white."""
    if part.dtype == np.uint8:
        return 0.0, 255.0
    finite = part[np.isfinite(part)] if part.dtype.kind == "f" else part
    if finite.size == 0:
        return 0.0, 1.0
    dark, bright = (float(v) for v in np.percentile(finite.astype(np.float64), (0.5, 99.5)))
    return dark, bright if bright > dark else dark + 1.0


def grey(part: NDArray[Any], dark: float, bright: float) -> U8:
    """Draw a plane in greys."""
    finite = np.nan_to_num(part.astype(np.float64), nan=dark, posinf=bright, neginf=dark)
    scaled = (np.clip(finite, dark, bright) - dark) / (bright - dark) * 255
    picture: U8 = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)[:, :, np.newaxis]
    return picture


def plane(grid: Grid) -> tuple[int, int]:
    """Return the axes to draw downwards and across; -1 if there is none."""
    names = [name.lower() for name in grid.axes]
    if "x" in names and "y" in names:
        return names.index("y"), names.index("x")
    spatial = grid.spatial or tuple(range(grid.ndim))
    return (spatial[-2] if len(spatial) > 1 else -1), spatial[-1]


def side_by_side(rows: Sequence[tuple[str, Sequence[tuple[str, U8]]]]) -> U8:
    """Draw rows of a title and panels with captions. All panels have the same size."""
    height, width = rows[0][1][0][1].shape[:2]
    columns = max(len(panels) for _, panels in rows)
    panel_width = max(width, 12 * 22)  # room for the caption
    row_height = height + 2 * CAPTION + GAP
    picture = np.full((len(rows) * row_height + GAP, columns * (panel_width + GAP) + GAP, 3), 24, np.uint8)
    for row, (title, panels) in enumerate(rows):
        top = GAP + row * row_height
        _write_text(picture, title, GAP, top)
        for column, (caption, panel) in enumerate(panels):
            left = GAP + column * (panel_width + GAP)
            _write_text(picture, caption, left, top + CAPTION)
            picture[top + 2 * CAPTION : top + 2 * CAPTION + height, left : left + width] = panel
    return picture


def png(picture: U8) -> bytes:
    """Encode an RGB picture, uint8 of shape (height, width, 3)."""
    height, width, _ = picture.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = np.zeros((height, 1 + width * 3), np.uint8)  # every row starts with 0: no filter
    rows[:, 1:] = picture.reshape(height, width * 3)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows.tobytes(), 6))
        + chunk(b"IEND", b"")
    )
