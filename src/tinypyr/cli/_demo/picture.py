"""The picture of ``tinypyr demo``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..._util.picture import PANEL, U8, colours, side_by_side
from .pyramids import Pyramid


def draw(pyramids: Sequence[Pyramid]) -> U8:
    """Return a picture of all levels side by side: the same part of the middle section, at the same size."""
    nx, ny, nz = pyramids[0].levels[0].shape
    width, height = min(nx, PANEL), min(ny, PANEL)  # the part shown, in voxels of level 0
    scale = max(1, PANEL // max(width, height))
    # start at a footprint of the coarsest level if possible, so that all panels show the same voxels
    coarsest = 2 ** (len(pyramids[0].levels) - 1)
    x0, y0 = (nx - width) // 2 // coarsest * coarsest, (ny - height) // 2 // coarsest * coarsest
    rows = []
    for built in pyramids:
        panels = []
        for k, level in enumerate(built.levels):
            xs = (x0 + np.arange(width * scale) // scale) // 2**k
            ys = (y0 + np.arange(height * scale) // scale) // 2**k
            part = level[:, :, nz // 2].T[ys[:, None], xs[None, :]]
            panel = colours(part) if built.method == "mode" else part[:, :, None]
            panels.append((f"LEVEL {k}  " + "x".join(map(str, level.shape)), panel))
        rows.append((f"{built.name} {built.method}".upper(), panels))
    return side_by_side(rows)
