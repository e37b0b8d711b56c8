"""What ``tinypyr demo`` shows: two made-up volumes, their pyramids, a table and a picture.

The volumes are made with integer hashing and single IEEE operations only (no library random distributions, no
transcendental functions, no BLAS), so that the same shape gives the same bytes with every numpy everywhere.
Nothing here needs more than numpy.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .._util.files import write_whole
from .._util.picture import PANEL, colours, png, side_by_side
from .._util.terminal import Line
from ..pooling import instruction_sets, pyramid

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
U64 = NDArray[np.uint64]
Progress = Callable[[str, float], None]

SPACING = 46  # voxels between neighbouring cell centres, in plane
WARP = 18.5  # the farthest that the warp moves a voxel
FIRST_LABEL = 720575940600000000  # ids as large as real segmentations have: a double cannot hold them


# --- deterministic noise ---
def _bits(count: int, stream: int) -> U64:
    """`count` random 64-bit words of the stream with the given number (splitmix64)."""
    gamma = 0x9E3779B97F4A7C15
    z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(gamma)
    z += np.uint64((stream * 0xD1342543DE82EF95 + gamma) % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z ^= z >> np.uint64(shift)
        z *= np.uint64(factor)
    z ^= z >> np.uint64(31)
    return z


def _uniform(count: int, stream: int, low: float = 0.0, high: float = 1.0) -> F32:
    unit = (_bits(count, stream) >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
    return unit * np.float32(high - low) + np.float32(low)


def _grain(count: int, stream: int) -> F32:
    """Nearly normal noise of variance 1: the sum of four bytes."""
    words = np.frombuffer(_bits((count + 1) // 2, stream).astype("<u8").tobytes(), dtype=np.uint8)
    total = words.reshape(-1, 4).astype(np.float32)
    summed: F32 = (total[:, 0] + total[:, 1]) + (total[:, 2] + total[:, 3])
    return ((summed - np.float32(510)) * np.float32(1 / 147.8))[:count]


def _between(count: int, step: int) -> tuple[NDArray[np.intp], F32]:
    at = np.arange(count)
    t = (at % step).astype(np.float32) / np.float32(step)
    return at // step, t * t * (np.float32(3) - np.float32(2) * t)


class _Clouds:
    """Smooth noise in [-1, 1] over a volume: random values on a lattice, smoothly interpolated."""

    def __init__(self, shape: tuple[int, int, int], step: int, zstep: int, stream: int) -> None:
        nx, ny, nz = shape
        self.x, self.y, self.z = _between(nx, step), _between(ny, step), _between(nz, zstep)
        lattice = (nz // zstep + 2, ny // step + 2, nx // step + 2)
        self.lattice = _uniform(lattice[0] * lattice[1] * lattice[2], stream, -1, 1).reshape(lattice)

    def slice(self, z: int) -> F32:
        k, w = int(self.z[0][z]), self.z[1][z]
        plane = self.lattice[k] * (np.float32(1) - w) + self.lattice[k + 1] * w
        row, t = self.y
        rows = plane[row] * (np.float32(1) - t)[:, None] + plane[row + 1] * t[:, None]
        column, t = self.x
        steps = (rows[:, 1:] - rows[:, :-1]).take(column, axis=1)
        steps *= t
        steps += rows.take(column, axis=1)
        clouds: F32 = steps
        return clouds


def _spots(count: int, stream: int) -> F32:
    """At most `count` points of the square from -1 to 1, none closer than 0.26 to another."""
    xy = _uniform(8 * count, stream, -1, 1).reshape(-1, 2)
    chosen: list[int] = []
    for i in range(len(xy)):
        gap = xy[chosen] - xy[i]
        if len(chosen) < count and (gap * gap).sum(axis=1).min(initial=9) > 0.0676:
            chosen.append(i)
    spots: F32 = xy[chosen]
    return spots


def _soften(plane: F32) -> None:
    """Blur in place with (1, 2, 1) / 4 along both axes."""
    for p in (plane, plane.T):
        if len(p) > 2:
            inner = p[1:-1] * np.float32(2)
            inner += p[:-2]
            inner += p[2:]
            inner *= np.float32(0.25)
            p[1:-1] = inner


# --- the tissue ---
def window(x: float, y: float, reach: float, plane: F32) -> tuple[slice, slice] | None:
    """The pixels that can lie within reach of a point, None when there are none."""
    ny, nx = plane.shape
    x0, x1 = max(0, int(x - reach)), min(nx, int(x + reach) + 1)
    y0, y1 = max(0, int(y - reach)), min(ny, int(y + reach) + 1)
    return (slice(y0, y1), slice(x0, x1)) if x0 < x1 and y0 < y1 else None


class _Ellipses:
    """Ellipses, one per entry: centre, inverse quadratic form, reach in voxels."""

    def __init__(self, x: F32, y: F32, radius: F32, stretch: F32, turn: F32) -> None:
        self.x, self.y, self.radius = x, y, radius
        one = np.float32(1)
        # a rotation without sines: turn in [-1, 1] runs over half a circle
        c, s = (one - turn * turn) / (one + turn * turn), np.float32(2) * turn / (one + turn * turn)
        u, v = one / (radius * stretch), stretch / radius
        u, v = u * u, v * v
        self.xx, self.yy = c * c * u + s * s * v, s * s * u + c * c * v
        self.xy = np.float32(2) * c * s * (u - v)
        self.c, self.s = c, s
        self.reach = radius * stretch

    def distance(self, i: int, dx: F32, dy: F32) -> F32:
        """The squared distance from the centre of ellipse i, 1 on its rim."""
        d = dx * self.xx[i]
        d += dy * self.xy[i]
        d *= dx
        dy = dy * dy
        dy *= self.yy[i]
        d += dy
        squared: F32 = d
        return squared


def volumes(shape: tuple[int, int, int], progress: Progress | None = None) -> tuple[U8, U64]:
    """Make an electron-microscopy-like volume and the labels of its cells.

    Parameters
    ----------
    shape : tuple of int
        Extents in x, y, z, in voxels. The tissue is drawn for voxels that are five times longer in z.
    progress : callable, optional
        Called as ``progress(what, fraction)`` after every slice.

    Returns
    -------
    image : numpy.ndarray
        uint8, Fortran order: light cytoplasm, dark membranes, mitochondria, vesicles, grain.
    labels : numpy.ndarray
        uint64, Fortran order: one id per cell, 0 on the membranes between them.

    Examples
    --------
    >>> image, labels = volumes((64, 48, 4))
    >>> image.shape, image.dtype.name, labels.dtype.name
    ((64, 48, 4), 'uint8', 'uint64')
    """
    nx, ny, nz = shape
    image = np.empty((nz, ny, nx), np.uint8)
    labels = np.empty((nz, ny, nx), np.uint64)

    # Cells: tubes that run through the sections, one per square of a jittered lattice, of all calibres.
    margin = 2
    across, down = nx // SPACING + 1 + 2 * margin, ny // SPACING + 1 + 2 * margin
    n = across * down
    lattice = np.arange(n)
    x = ((lattice % across - margin).astype(np.float32) + _uniform(n, 1)) * np.float32(SPACING)
    y = ((lattice // across - margin).astype(np.float32) + _uniform(n, 2)) * np.float32(SPACING)
    calibre = _uniform(n, 3)
    radius = np.float32(9) + np.float32(15) * calibre + np.float32(44) * calibre**2 * calibre**2 * calibre**2
    cells = _Ellipses(x, y, radius, _uniform(n, 4, 1.0, 1.45), _uniform(n, 5, -1, 1))
    drift_x, drift_y = _uniform(n, 6, -0.9, 0.9), _uniform(n, 7, -0.9, 0.9)
    ids = np.zeros(n + 1, np.uint64)
    ids[1:] = np.uint64(FIRST_LABEL) + (_bits(n, 8) >> np.uint64(37))
    tone = np.zeros(n + 1, np.float32)
    tone[0], tone[1:] = 176, np.float32(168) + np.float32(17) * _grain(n, 9)
    rough = np.zeros(n + 1, np.float32)  # how much reticulum a cell shows
    rough[1:] = np.clip(_uniform(n, 10, -0.5, 1.0), 0, 1) * (radius > 15)

    # Mitochondria: up to two in the larger cells, each through a run of sections.
    owner = np.concatenate((np.arange(n), np.arange(n)))
    m = len(owner)
    size = np.minimum(cells.radius[owner] * np.float32(0.42), np.float32(17)) * _uniform(m, 11, 0.75, 1.1)
    aside = cells.radius[owner] * np.float32(0.55)
    mito = _Ellipses(
        _uniform(m, 12, -1, 1) * aside,
        _uniform(m, 13, -1, 1) * aside,
        size,
        _uniform(m, 14, 1.0, 1.6),
        _uniform(m, 15, -1, 1),
    )
    mito_z, mito_run = _uniform(m, 16, -6, nz + 6), _uniform(m, 17, 5, 22)
    keep = np.flatnonzero((size > 5.5) & (_uniform(m, 18) < 0.85))

    wander_x, wander_y = _Clouds(shape, 37, 9, 20), _Clouds(shape, 37, 9, 21)
    ripple_x, ripple_y = _Clouds(shape, 11, 4, 22), _Clouds(shape, 11, 4, 23)
    mottle, haze = _Clouds(shape, 5, 1, 24), _Clouds(shape, 160, 6, 25)
    folds, dense = _Clouds(shape, 17, 5, 26), _Clouds(shape, 29, 5, 27)
    grain = _grain(2 * nx * ny + 1, 28)
    spots = _spots(60, 29)
    ves_x, ves_y, ves_r = spots[:, 0], spots[:, 1], _uniform(len(spots), 31, 2.2, 3.2)
    full_of_vesicles = np.flatnonzero((radius > 14) & (radius < 34) & (_uniform(n, 32) < 0.3))
    px, py = np.arange(nx, dtype=np.float32)[None, :], np.arange(ny, dtype=np.float32)[:, None]

    def tissue(z: int) -> tuple[NDArray[np.int32], F32, F32, F32, F32]:
        """The cell number of every pixel of section z, and where the warped tissue's coordinates lie."""
        wx = px + np.float32(15) * wander_x.slice(z) + np.float32(3.5) * ripple_x.slice(z)
        wy = py + np.float32(15) * wander_y.slice(z) + np.float32(3.5) * ripple_y.slice(z)
        nearest = np.full((ny, nx), np.inf, np.float32)
        cell = np.zeros((ny, nx), np.int32)
        depth = np.float32(abs((z + 96) % 128 - 64) - 32)  # to and fro, so that cells stay in the volume
        cx, cy = cells.x + drift_x * depth, cells.y + drift_y * depth
        for i in range(n):
            # nothing of a cell lies beyond 2.9 of its radii or, for thin ones, beyond its neighbours' centres
            reach = max(2.9 * float(cells.reach[i]), 50.0) + WARP
            w = window(float(cx[i]), float(cy[i]), reach, nearest)
            if w is not None:
                d = cells.distance(i, wx[w] - cx[i], wy[w] - cy[i])
                closer = d < nearest[w]
                np.minimum(d, nearest[w], out=nearest[w])
                cell[w][closer] = i + 1
        return cell, wx, wy, cx, cy

    here = tissue(0)
    for z in range(nz):
        cell, wx, wy, cx, cy = here
        below = here if z == nz - 1 else tissue(z + 1)
        edge = np.zeros((ny, nx), np.float32)
        edge[:, 1:] += cell[:, 1:] != cell[:, :-1]
        edge[1:] += cell[1:] != cell[:-1]
        np.minimum(edge, 1, out=edge)
        _soften(edge)
        labels[z] = ids[cell]
        labels[z][edge >= np.float32(0.3)] = 0

        plane = tone[cell]
        fine, fold = mottle.slice(z), folds.slice(z)
        plane += np.float32(17) * fine
        # endoplasmic reticulum: thin dark curves, where a smooth field passes through zero
        curves = np.float32(1) - np.abs(fold + np.float32(0.12) * fine) * np.float32(9)
        plane -= np.float32(52) * rough[cell] * np.maximum(curves, 0)
        # mitochondria: a dark rim, a grey matrix, cristae across the long axis
        for j in keep:
            i = int(owner[j])
            through = (np.float32(z) - mito_z[j]) / mito_run[j]
            if not -1 < through < 1:
                continue
            shrink = float(np.sqrt(np.float32(1) - through * through * through * through))
            jx, jy = cx[i] + mito.x[j], cy[i] + mito.y[j]
            w = window(float(jx), float(jy), float(mito.reach[j]) + WARP, plane)
            if w is None:
                continue
            dx, dy = wx[w] - jx, wy[w] - jy
            inside = np.float32(shrink) - mito.distance(int(j), dx, dy)
            inside *= mito.radius[j] * np.float32(0.5)  # about the depth below the rim, in voxels
            inside[cell[w] != i + 1] = -1
            along = (dx * mito.c[j] + dy * mito.s[j]) * np.float32(0.19) + np.float32(0.4) * fold[w]
            along -= np.floor(along)
            cristae = np.clip(np.abs(along - np.float32(0.5)) * np.float32(5) - np.float32(0.9), 0, 1)
            body = np.float32(92) + np.float32(42) * cristae
            body -= np.float32(46) * np.clip(np.float32(2.2) - inside, 0, 1)
            cover = np.clip(inside, 0, 1)
            plane[w] += cover * (body - plane[w])
        # vesicles: small rings, in the cells that have them
        for i in full_of_vesicles.tolist():
            order = (np.arange(len(spots) * 2 // 3) + 7 * z + i) % len(spots)
            spread = cells.radius[i] * np.float32(0.9)
            for k in order:
                vx, vy = float(cx[i] + ves_x[k] * spread), float(cy[i] + ves_y[k] * spread)
                w = window(vx, vy, 5.5, plane)
                if w is None or not (cell[w] == i + 1).all():
                    continue
                ring = (px[:, w[1]] - np.float32(vx)) ** 2 + (py[w[0]] - np.float32(vy)) ** 2
                ring = np.abs(np.sqrt(ring) - ves_r[k])
                np.subtract(np.float32(1.25), ring, out=ring)
                np.minimum(plane[w], tone[i + 1] - np.float32(66) * np.clip(ring, 0, 1), out=plane[w])
        # membranes: darker and thicker at synapses, blurred where they run obliquely through the section
        plane -= np.float32(26) * (below[0] != cell)
        contact = np.clip((dense.slice(z) - np.float32(0.35)) * np.float32(3), 0, 1)
        dark = edge * (np.float32(1.35) + np.float32(0.75) * contact)
        np.minimum(dark, 1, out=dark)
        plane += dark * (np.float32(56) - plane)
        _soften(plane)
        plane += np.float32(9) * haze.slice(z)
        start = int(_bits(1, 1000 + z)[0] % np.uint64(nx * ny + 1))
        noise = grain[start : start + nx * ny].reshape(ny, nx) * np.float32(13)
        plane += noise
        np.clip(plane, 0, 255, out=plane)
        image[z] = plane.astype(np.uint8)
        here = below
        if progress is not None:
            progress("making the volumes", (z + 1) / nz)
    return image.T, labels.T


# --- the pyramids ---
@dataclass(frozen=True)
class Built:
    """One volume, its pyramid, and how long the calls took."""

    name: str
    method: Literal["mean", "mode"]
    levels: list[NDArray[Any]]  #: level 0 is the volume itself
    seconds: list[float]  #: [0]: numpy.copyto of the volume; [k]: one call that makes levels 1 to k


def build(
    name: str,
    volume: NDArray[Any],
    method: Literal["mean", "mode"],
    levels: int,
    workers: int,
    rounds: int,
    progress: Progress,
) -> Built:
    """Make the pyramid of a volume by (2, 2, 1) per level; time every depth beside a copy, in turn."""
    made = pyramid(volume, (2, 2, 1), method, levels=levels, workers=workers)
    copy = np.empty_like(volume)
    copy.fill(1)  # pages are handed out at the first write: let that be now, not while the clock runs
    times: list[list[float]] = [[] for _ in range(levels + 1)]
    for turn in range(rounds):
        for depth in range(levels + 1):
            start = time.perf_counter()
            if depth == 0:
                np.copyto(copy, volume)
            else:
                pyramid(volume, (2, 2, 1), method, levels=depth, out=made[:depth], workers=workers)
            times[depth].append(time.perf_counter() - start)
            progress(f"pooling the {name}", (turn * (levels + 1) + depth + 1) / (rounds * (levels + 1)))
    return Built(name, method, [volume, *made], [statistics.median(t) for t in times])


def table(built: Sequence[Built]) -> str:
    """The table that the demo prints."""
    rows = [("volume", "level", "shape", "size", "made by", "time", "throughput", "copies")]
    for b in built:
        volume = b.levels[0]
        for k, (level, seconds) in enumerate(zip(b.levels, b.seconds, strict=True)):
            call = "numpy.copyto" if k == 0 else f"{b.method}, level{'s 1 to' if k > 1 else ''} {k}"
            row = (
                f"{b.name} {volume.dtype}" if k == 0 else "",
                str(k),
                " x ".join(map(str, level.shape)),
                f"{level.nbytes / 1e6:.2f} MB",
                call,
                f"{seconds * 1e3:.2f} ms",
                f"{volume.nbytes / max(seconds, 1e-9) / 1e9:.2f} GB/s",
                f"{seconds / max(b.seconds[0], 1e-9):.2f}",
            )
            rows.append(row)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    sides = "<<<><>>>"
    lines = ["  ".join(f"{cell:{side}{w}}" for cell, side, w in zip(row, sides, widths, strict=True)) for row in rows]
    lines.insert(1, "  ".join("-" * w for w in widths))
    return "\n".join(line.rstrip() for line in lines)


# --- the picture ---
def draw(built: Sequence[Built]) -> U8:
    """Every level side by side: the same piece of the middle section, enlarged to the same size."""
    nx, ny, nz = built[0].levels[0].shape
    width, height = min(nx, PANEL), min(ny, PANEL)  # the part that is shown, in voxels of level 0
    scale = max(1, PANEL // max(width, height))
    # from a block boundary of the coarsest level where there is one, so that the panels show the same voxels
    coarsest = 2 ** (len(built[0].levels) - 1)
    x0, y0 = (nx - width) // 2 // coarsest * coarsest, (ny - height) // 2 // coarsest * coarsest
    rows = []
    for b in built:
        panels = []
        for k, level in enumerate(b.levels):
            xs = (x0 + np.arange(width * scale) // scale) // 2**k
            ys = (y0 + np.arange(height * scale) // scale) // 2**k
            part = level[:, :, nz // 2].T[ys[:, None], xs[None, :]]
            panels.append((f"LEVEL {k}  " + "x".join(map(str, level.shape)), part))
        coloured = colours if b.method == "mode" else lambda part: part[:, :, None]
        rows.append((f"{b.name} {b.method}".upper(), [(caption, coloured(part)) for caption, part in panels]))
    return side_by_side(rows)


# --- the demo ---
class _Line(Line):
    """A bar, and what it is of."""

    def __call__(self, what: str, fraction: float) -> None:
        bar = "#" * round(fraction * 30)
        self.show(f"{what:<24} [{bar:<30}] {fraction:4.0%}")


def default_shape() -> tuple[int, int, int]:
    """Extents of the volumes where none are given."""
    return (1024, 1024, 32) if instruction_sets() else (256, 256, 16)  # numpy alone is some hundred times slower


def run(shape: tuple[int, int, int] | None, levels: int, out: Path, workers: int) -> None:
    """Make the volumes, build and time the pyramids, print the table, write the picture."""
    sets = instruction_sets()
    shape = shape or default_shape()
    progress = _Line()
    try:
        image, labels = volumes(shape, progress)
        rounds = 3 if sets else 1
        built = [
            build("image", image, "mean", levels, workers, rounds, progress),
            build("labels", labels, "mode", levels, workers, rounds, progress),
        ]
        progress("drawing", 1.0)
        data = png(draw(built))
    finally:
        progress.clear()
    write_whole(out, data)
    threads = "one per core" if workers == 0 else str(workers)
    print(f"instruction sets: {', '.join(sets) or 'none, numpy alone'}; threads: {threads}")
    print("factor per level: 2 x 2 x 1")
    print()
    print(table(built))
    print()
    print(f"time: one call that makes all these levels from the volume, each of them exact; median of {rounds}")
    print("throughput: bytes of the volume per second")
    print("copies: the time over that of numpy.copyto of the volume, in the same run")
    print()
    print(f"picture: {out}")
