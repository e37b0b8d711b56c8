"""Random numbers and smooth noise that are bit-identical with every version of numpy, on every machine.

Only integer hashing and single IEEE operations are used: no random distributions of a library, no transcendental
functions, and no BLAS.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
U64 = NDArray[np.uint64]


def random_bits(count: int, stream: int) -> U64:
    """Return ``count`` random 64-bit words of a numbered stream (splitmix64)."""
    gamma = 0x9E3779B97F4A7C15
    z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(gamma)
    z += np.uint64((stream * 0xD1342543DE82EF95 + gamma) % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z ^= z >> np.uint64(shift)
        z *= np.uint64(factor)
    z ^= z >> np.uint64(31)
    return z


def uniform(count: int, stream: int, low: float = 0.0, high: float = 1.0) -> F32:
    """Return uniformly distributed numbers."""
    unit = (random_bits(count, stream) >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
    return unit * np.float32(high - low) + np.float32(low)


def nearly_normal(count: int, stream: int) -> F32:
    """Return nearly normally distributed numbers of variance 1: sums of four bytes."""
    words = np.frombuffer(random_bits((count + 1) // 2, stream).astype("<u8").tobytes(), dtype=np.uint8)
    total = words.reshape(-1, 4).astype(np.float32)
    summed: F32 = (total[:, 0] + total[:, 1]) + (total[:, 2] + total[:, 3])
    return ((summed - np.float32(510)) * np.float32(1 / 147.8))[:count]


def scattered_points(count: int, stream: int) -> F32:
    """Return at most ``count`` points of the square from -1 to 1, at distances of at least 0.26."""
    xy = uniform(8 * count, stream, -1, 1).reshape(-1, 2)
    indices: list[int] = []
    for i in range(len(xy)):
        gap = xy[indices] - xy[i]
        if len(indices) < count and (gap * gap).sum(axis=1).min(initial=9) > 0.0676:
            indices.append(i)
    points: F32 = xy[indices]
    return points


class SmoothNoise:
    """Smooth noise in [-1, 1] over a volume: random values on a lattice, smoothly interpolated."""

    def __init__(self, shape: tuple[int, int, int], step: int, z_step: int, stream: int) -> None:
        nx, ny, nz = shape
        self._x, self._y, self._z = (
            _cells_and_weights(nx, step),
            _cells_and_weights(ny, step),
            _cells_and_weights(nz, z_step),
        )
        lattice = (nz // z_step + 2, ny // step + 2, nx // step + 2)
        self._lattice = uniform(lattice[0] * lattice[1] * lattice[2], stream, -1, 1).reshape(lattice)

    def section(self, z: int) -> F32:
        """Return the noise of one section."""
        k, w = int(self._z[0][z]), self._z[1][z]
        plane = self._lattice[k] * (np.float32(1) - w) + self._lattice[k + 1] * w
        row, t = self._y
        rows = plane[row] * (np.float32(1) - t)[:, None] + plane[row + 1] * t[:, None]
        column, t = self._x
        noise = (rows[:, 1:] - rows[:, :-1]).take(column, axis=1)
        noise *= t
        noise += rows.take(column, axis=1)
        section: F32 = noise
        return section


def _cells_and_weights(count: int, step: int) -> tuple[NDArray[np.intp], F32]:
    """Return the lattice cell of every position, and the smooth weight of the cell's upper end."""
    position = np.arange(count)
    t = (position % step).astype(np.float32) / np.float32(step)
    return position // step, t * t * (np.float32(3) - np.float32(2) * t)


def soften(plane: F32) -> None:
    """Blur in place with (1, 2, 1) / 4 along both axes."""
    for p in (plane, plane.T):
        if len(p) > 2:
            inner = p[1:-1] * np.float32(2)
            inner += p[:-2]
            inner += p[2:]
            inner *= np.float32(0.25)
            p[1:-1] = inner
