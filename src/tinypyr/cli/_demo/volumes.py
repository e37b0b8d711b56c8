"""The two synthetic volumes of ``tinypyr demo``: an image that resembles electron microscopy, and its cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .noise import F32, U64, SmoothNoise, nearly_normal, random_bits, scattered_points, soften, uniform

U8 = NDArray[np.uint8]
Progress = Callable[[str, float], None]

CELL_DISTANCE = 46  # voxels between the centres of neighbouring cells, in plane
MAX_WARP = 18.5  # voxels by which the warp moves a voxel at most
FIRST_LABEL = 720575940600000000  # as large as the IDs of real segmentations, which float64 cannot represent


def volumes(shape: tuple[int, int, int], progress: Progress | None = None) -> tuple[U8, U64]:
    """Return an image that resembles electron microscopy, and the labels of its cells.

    Parameters
    ----------
    shape : tuple of int
        Shape in x, y, z. The tissue is drawn for voxels that are five times longer in z.
    progress : callable, optional
        Function called as ``progress(task, fraction)`` after every section.

    Returns
    -------
    image : numpy.ndarray
        uint8, Fortran order: light cytoplasm, dark membranes, mitochondria, vesicles, and noise.
    labels : numpy.ndarray
        uint64, Fortran order: one ID per cell, 0 on the membranes between cells.

    Examples
    --------
    >>> image, labels = volumes((64, 48, 4))
    >>> image.shape, image.dtype.name, labels.dtype.name
    ((64, 48, 4), 'uint8', 'uint64')
    """
    nx, ny, nz = shape
    image = np.empty((nz, ny, nx), np.uint8)
    labels = np.empty((nz, ny, nx), np.uint64)
    tissue = _Tissue(shape)
    section = tissue.section(0)
    for z in range(nz):
        below = section if z == nz - 1 else tissue.section(z + 1)
        edge = _edges(section.cell)
        labels[z] = tissue.ids[section.cell]
        labels[z][edge >= np.float32(0.3)] = 0
        image[z] = tissue.draw(z, section, below, edge)
        section = below
        if progress is not None:
            progress("creating the volumes", (z + 1) / nz)
    return image.T, labels.T


class _Ellipses:
    """Ellipses: for each its centre, inverse quadratic form, and reach in voxels."""

    def __init__(self, x: F32, y: F32, radius: F32, stretch: F32, turn: F32) -> None:
        self.x, self.y, self.radius = x, y, radius
        one = np.float32(1)
        # a rotation without trigonometric functions: from -1 to 1, turn covers half a circle
        c, s = (one - turn * turn) / (one + turn * turn), np.float32(2) * turn / (one + turn * turn)
        u, v = one / (radius * stretch), stretch / radius
        u, v = u * u, v * v
        self._xx, self._yy = c * c * u + s * s * v, s * s * u + c * c * v
        self._xy = np.float32(2) * c * s * (u - v)
        self.cosine, self.sine = c, s
        self.reach = radius * stretch

    def distance(self, i: int, dx: F32, dy: F32) -> F32:
        """Return the squared distance from the centre of ellipse i, in units in which its rim has distance 1."""
        d = dx * self._xx[i]
        d += dy * self._xy[i]
        d *= dx
        dy = dy * dy
        dy *= self._yy[i]
        d += dy
        squared: F32 = d
        return squared


@dataclass(frozen=True)
class _Section:
    """A section: the cell number of every pixel (0: none), its warped coordinates, and the centres of all cells."""

    cell: NDArray[np.int32]
    x: F32
    y: F32
    centre_x: F32
    centre_y: F32


class _Tissue:
    """Cells with mitochondria, reticulum and vesicles."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._shape = shape
        nx, ny, _ = shape
        self._create_cells()
        self._create_mitochondria()
        self._create_vesicles()
        self._wander = SmoothNoise(shape, 37, 9, 20), SmoothNoise(shape, 37, 9, 21)
        self._ripple = SmoothNoise(shape, 11, 4, 22), SmoothNoise(shape, 11, 4, 23)
        self._mottle, self._haze = SmoothNoise(shape, 5, 1, 24), SmoothNoise(shape, 160, 6, 25)
        self._folds, self._density = SmoothNoise(shape, 17, 5, 26), SmoothNoise(shape, 29, 5, 27)
        self._grain = nearly_normal(2 * nx * ny + 1, 28)
        self._px = np.arange(nx, dtype=np.float32)[None, :]
        self._py = np.arange(ny, dtype=np.float32)[:, None]

    def _create_cells(self) -> None:
        """Place tubes that cross the sections, one per square of a jittered lattice."""
        nx, ny, _ = self._shape
        margin = 2
        across, down = nx // CELL_DISTANCE + 1 + 2 * margin, ny // CELL_DISTANCE + 1 + 2 * margin
        self._count = n = across * down
        lattice = np.arange(n)
        x = ((lattice % across - margin).astype(np.float32) + uniform(n, 1)) * np.float32(CELL_DISTANCE)
        y = ((lattice // across - margin).astype(np.float32) + uniform(n, 2)) * np.float32(CELL_DISTANCE)
        calibre = uniform(n, 3)
        radius = np.float32(9) + np.float32(15) * calibre + np.float32(44) * calibre**2 * calibre**2 * calibre**2
        self._cells = _Ellipses(x, y, radius, uniform(n, 4, 1.0, 1.45), uniform(n, 5, -1, 1))
        self._drift = uniform(n, 6, -0.9, 0.9), uniform(n, 7, -0.9, 0.9)
        self.ids = np.zeros(n + 1, np.uint64)
        self.ids[1:] = np.uint64(FIRST_LABEL) + (random_bits(n, 8) >> np.uint64(37))
        self._tone = np.zeros(n + 1, np.float32)
        self._tone[0], self._tone[1:] = 176, np.float32(168) + np.float32(17) * nearly_normal(n, 9)
        self._reticulum = np.zeros(n + 1, np.float32)  # contrast of the reticulum in each cell
        self._reticulum[1:] = np.clip(uniform(n, 10, -0.5, 1.0), 0, 1) * (radius > 15)

    def _create_mitochondria(self) -> None:
        """Place up to two mitochondria in each of the larger cells, each over a run of sections."""
        n, nz = self._count, self._shape[2]
        self._mito_cell = cell = np.concatenate((np.arange(n), np.arange(n)))
        m = len(cell)
        radius = self._cells.radius[cell]
        size = np.minimum(radius * np.float32(0.42), np.float32(17)) * uniform(m, 11, 0.75, 1.1)
        offset = radius * np.float32(0.55)
        self._mito = _Ellipses(
            uniform(m, 12, -1, 1) * offset,
            uniform(m, 13, -1, 1) * offset,
            size,
            uniform(m, 14, 1.0, 1.6),
            uniform(m, 15, -1, 1),
        )
        self._mito_z, self._mito_length = uniform(m, 16, -6, nz + 6), uniform(m, 17, 5, 22)
        self._mito_numbers = np.flatnonzero((size > 5.5) & (uniform(m, 18) < 0.85))

    def _create_vesicles(self) -> None:
        points, radius = scattered_points(60, 29), self._cells.radius
        self._ves_x, self._ves_y, self._ves_radius = points[:, 0], points[:, 1], uniform(len(points), 31, 2.2, 3.2)
        selected = (radius > 14) & (radius < 34) & (uniform(self._count, 32) < 0.3)
        self._ves_cells: list[int] = np.flatnonzero(selected).tolist()

    def section(self, z: int) -> _Section:
        """Return section z: every pixel belongs to the nearest cell, in warped coordinates."""
        nx, ny, _ = self._shape
        x = self._px + np.float32(15) * self._wander[0].section(z) + np.float32(3.5) * self._ripple[0].section(z)
        y = self._py + np.float32(15) * self._wander[1].section(z) + np.float32(3.5) * self._ripple[1].section(z)
        nearest = np.full((ny, nx), np.inf, np.float32)
        cell = np.zeros((ny, nx), np.int32)
        depth = np.float32(abs((z + 96) % 128 - 64) - 32)  # a triangle wave, so that cells stay in the volume
        centre_x, centre_y = self._cells.x + self._drift[0] * depth, self._cells.y + self._drift[1] * depth
        for i in range(self._count):
            # no cell extends beyond 2.9 of its radii or, if it is thin, beyond the centres of its neighbours
            reach = max(2.9 * float(self._cells.reach[i]), 50.0) + MAX_WARP
            w = _window(float(centre_x[i]), float(centre_y[i]), reach, nearest)
            if w is not None:
                distance = self._cells.distance(i, x[w] - centre_x[i], y[w] - centre_y[i])
                closer = distance < nearest[w]
                np.minimum(distance, nearest[w], out=nearest[w])
                cell[w][closer] = i + 1
        return _Section(cell, x, y, centre_x, centre_y)

    def draw(self, z: int, section: _Section, below: _Section, edge: F32) -> U8:
        """Return the image of section z."""
        nx, ny, _ = self._shape
        plane: F32 = self._tone[section.cell]
        fine, fold = self._mottle.section(z), self._folds.section(z)
        plane += np.float32(17) * fine
        # endoplasmic reticulum: thin dark curves along the zeros of a smooth field
        curves = np.float32(1) - np.abs(fold + np.float32(0.12) * fine) * np.float32(9)
        plane -= np.float32(52) * self._reticulum[section.cell] * np.maximum(curves, 0)
        self._draw_mitochondria(plane, z, section, fold)
        self._draw_vesicles(plane, z, section)
        self._draw_membranes(plane, z, section, below, edge)
        soften(plane)
        plane += np.float32(9) * self._haze.section(z)
        start = int(random_bits(1, 1000 + z)[0] % np.uint64(nx * ny + 1))
        plane += self._grain[start : start + nx * ny].reshape(ny, nx) * np.float32(13)
        np.clip(plane, 0, 255, out=plane)
        return plane.astype(np.uint8)

    def _draw_mitochondria(self, plane: F32, z: int, section: _Section, fold: F32) -> None:
        """Draw a dark rim, a grey matrix, and cristae across the long axis."""
        mito = self._mito
        for j in self._mito_numbers:
            i = int(self._mito_cell[j])
            along_z = (np.float32(z) - self._mito_z[j]) / self._mito_length[j]
            if not -1 < along_z < 1:
                continue
            size = float(np.sqrt(np.float32(1) - along_z * along_z * along_z * along_z))
            x, y = section.centre_x[i] + mito.x[j], section.centre_y[i] + mito.y[j]
            w = _window(float(x), float(y), float(mito.reach[j]) + MAX_WARP, plane)
            if w is None:
                continue
            dx, dy = section.x[w] - x, section.y[w] - y
            depth = np.float32(size) - mito.distance(int(j), dx, dy)
            depth *= mito.radius[j] * np.float32(0.5)  # about the depth below the rim, in voxels
            depth[section.cell[w] != i + 1] = -1
            phase = (dx * mito.cosine[j] + dy * mito.sine[j]) * np.float32(0.19) + np.float32(0.4) * fold[w]
            phase -= np.floor(phase)
            cristae = np.clip(np.abs(phase - np.float32(0.5)) * np.float32(5) - np.float32(0.9), 0, 1)
            body = np.float32(92) + np.float32(42) * cristae
            body -= np.float32(46) * np.clip(np.float32(2.2) - depth, 0, 1)
            cover = np.clip(depth, 0, 1)
            plane[w] += cover * (body - plane[w])

    def _draw_vesicles(self, plane: F32, z: int, section: _Section) -> None:
        """Draw small rings in some cells."""
        count = len(self._ves_x)
        for i in self._ves_cells:
            numbers = (np.arange(count * 2 // 3) + 7 * z + i) % count
            spread = self._cells.radius[i] * np.float32(0.9)
            for k in numbers:
                x = float(section.centre_x[i] + self._ves_x[k] * spread)
                y = float(section.centre_y[i] + self._ves_y[k] * spread)
                w = _window(x, y, 5.5, plane)
                if w is None or not (section.cell[w] == i + 1).all():
                    continue
                ring = (self._px[:, w[1]] - np.float32(x)) ** 2 + (self._py[w[0]] - np.float32(y)) ** 2
                ring = np.abs(np.sqrt(ring) - self._ves_radius[k])
                np.subtract(np.float32(1.25), ring, out=ring)
                tone = self._tone[i + 1] - np.float32(66) * np.clip(ring, 0, 1)
                np.minimum(plane[w], tone, out=plane[w])

    def _draw_membranes(self, plane: F32, z: int, section: _Section, below: _Section, edge: F32) -> None:
        """Draw membranes: darker and thicker at synapses, blurred where they cross the section obliquely."""
        plane -= np.float32(26) * (below.cell != section.cell)
        contact = np.clip((self._density.section(z) - np.float32(0.35)) * np.float32(3), 0, 1)
        dark = edge * (np.float32(1.35) + np.float32(0.75) * contact)
        np.minimum(dark, 1, out=dark)
        plane += dark * (np.float32(56) - plane)


def _edges(cell: NDArray[np.int32]) -> F32:
    """Return softened edges between cells, from 0 to 1."""
    edge = np.zeros(cell.shape, np.float32)
    edge[:, 1:] += cell[:, 1:] != cell[:, :-1]
    edge[1:] += cell[1:] != cell[:-1]
    np.minimum(edge, 1, out=edge)
    soften(edge)
    return edge


def _window(x: float, y: float, reach: float, plane: F32) -> tuple[slice, slice] | None:
    """Return the slices of the pixels within reach of a point, or None if there are none."""
    ny, nx = plane.shape
    x0, x1 = max(0, int(x - reach)), min(nx, int(x + reach) + 1)
    y0, y1 = max(0, int(y - reach)), min(ny, int(y + reach) + 1)
    return (slice(y0, y1), slice(x0, x1)) if x0 < x1 and y0 < y1 else None
