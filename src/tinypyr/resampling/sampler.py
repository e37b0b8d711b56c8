"""Interpolation in an array that is read part by part.

A `Sampling` holds the parameters of the interpolation, with the meaning of :mod:`scipy.ndimage`: the order of the
spline, the boundary mode, and whether the array is prefiltered. It computes which part of the array some coordinates
need (`required_spans`), reads that part (`read_part`), and interpolates in it (`affine`, `points`). The result does not
depend on how the coordinates were divided into parts. Splines of order 2 and more are the exception: their prefilter is
cut off at the border of a part, which changes finite values by at most 1e-8 of their range.
"""

from __future__ import annotations

import itertools
import math
import numbers
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._pooling.compiled import CODES, core

#: The boundary modes of scipy, and the number of each in the compiled core.
BOUNDARY_MODES = {
    "constant": 0,
    "grid-constant": 1,
    "nearest": 2,
    "mirror": 3,
    "reflect": 4,
    "grid-mirror": 4,
    "wrap": 5,
    "grid-wrap": 6,
}

#: With one more: "border" is "constant", except that a voxel extends half its length beyond its centre.
_MODE_NUMBERS = {**BOUNDARY_MODES, "border": 7}

#: Operations of the core on a voxel and the value of a field at its position, by number.
OPERATIONS = ("divide", "multiply", "subtract", "mask")

# Voxels of padding: scipy.ndimage has no exact initial condition of the prefilter for these modes, and pads instead.
_PADDING = {"nearest": 12, "grid-constant": 12}

# The largest pole of each prefilter: the influence of a border decays by this factor per voxel.
_POLE = {2: 0.171573, 3: 0.267949, 4: 0.361341, 5: 0.430575}

# Dtypes that the core does not interpolate, and the dtype that is used instead.
_COMPUTED = {np.dtype("float16"): np.dtype("float32")}


@dataclass(frozen=True)
class Span:
    """A run of ``count`` voxels along one axis that starts at ``first`` and may wrap around the end of the axis."""

    first: int
    count: int

    def pieces(self, extent: int) -> list[tuple[int, int]]:
        """Return the (start, stop) of the runs of which this one consists, split where it wraps around."""
        end = self.first + self.count
        return [(self.first, end)] if end <= extent else [(self.first, extent), (0, end - extent)]


@dataclass(frozen=True)
class Combination:
    """One of ``OPERATIONS``, and the voxels that it combines with the interpolated values of a field."""

    operation: str
    full: NDArray[Any]

    def split(self, at: int, axis: int) -> tuple[Combination, Combination]:
        """Return the parts before and after an index along an axis."""
        low, high = np.split(self.full, [at], axis)
        return Combination(self.operation, low), Combination(self.operation, high)


Spans = tuple[Span, ...]
Read = Callable[[tuple[slice, ...]], NDArray[Any]]


@dataclass(frozen=True)
class Sampling:
    """The parameters of an interpolation in an array of a shape and dtype."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    order: int = 1
    mode: str = "constant"
    cval: complex = 0.0
    prefilter: bool = True
    #: Axes along which index o of the output is index o of the array, so that nothing is interpolated.
    identity_axes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_order(self.order)
        if not isinstance(self.mode, str) or self.mode not in _MODE_NUMBERS:
            raise ValueError(f"mode: {self.mode!r} is not a boundary mode; choose one of {', '.join(_MODE_NUMBERS)}")
        if not isinstance(self.cval, (numbers.Number, np.bool_)):
            raise TypeError(f"cval: {self.cval!r} is not a number")
        try:
            complex(self.cval)
        except OverflowError:
            raise ValueError(f"cval: {self.cval!r} is too large for a float") from None
        if isinstance(self.cval, (complex, np.complexfloating)) and self.dtype.kind != "c":
            raise ValueError(f"cval: {self.cval!r} is complex, but the input is {self.dtype}; pass a real number")
        if core is None:
            raise ImportError("interpolation needs tinypyr's compiled core; install tinypyr with a C++17 compiler")

    @property
    def filters(self) -> bool:
        """Return whether the spline coefficients are computed from the voxels first."""
        return self.prefilter and self.order > 1

    @property
    def pad(self) -> int:
        """Number of voxels added on each side of the array before it is filtered."""
        return _PADDING.get(self.mode, 0) if self.filters else 0

    @property
    def pads(self) -> tuple[int, ...]:
        """``pad`` for each axis: 0 along identity axes."""
        return tuple(0 if axis in self.identity_axes else self.pad for axis in range(len(self.shape)))

    @property
    def halo(self) -> int:
        """Number of voxels read around a part, so that its coefficients do not depend on where it was cut."""
        return filter_halo(self.order) if self.filters else 0

    @property
    def interpolated_axes(self) -> list[int]:
        """The axes that are not identity axes."""
        return [axis for axis in range(len(self.shape)) if axis not in self.identity_axes]

    def required_spans(self, low: Sequence[float], high: Sequence[float]) -> Spans | None:
        """Return the part of the padded array that a box of coordinates needs; None if they are all outside of it."""
        spans = []
        if 0 in self.shape:
            return None
        for axis, (n, a, b) in enumerate(zip(self.shape, low, high, strict=True)):
            if axis in self.identity_axes:
                spans.append(Span(round(a), round(b) + 1 - round(a)))
                continue
            span = self._span(n + 2 * self.pad, a + self.pad, b + self.pad)
            if span is None:
                return None
            spans.append(span)
        return tuple(spans)

    def _span(self, n: int, low: float, high: float) -> Span | None:
        if not (math.isfinite(low) and math.isfinite(high)):
            return Span(0, n)
        margin = self.order // 2 + 1
        if self.mode in ("wrap", "grid-wrap"):
            period = n if self.mode == "grid-wrap" else n - 1
            around = margin + self.halo + 1  # periods of "wrap" share a border voxel: one neighbour more on each side
            if not high - low < n - 2 * around - 3:  # true for NaN as well
                return Span(0, n)
            if low < 0 or high > n - 1 or self.mode == "grid-wrap":
                width = high - low
                start = math.floor(low - math.floor(low / period) * period) - around
                count = math.ceil(width) + 2 * around + 3
                return Span(0, n) if count >= n else Span(start % n, count)
        elif self.mode in ("constant", "nearest", "grid-constant", "border"):
            if self.mode != "nearest" and (high < -margin or low > n - 1 + margin):
                return None
            low, high = max(0.0, min(low, n - 1)), max(0.0, min(high, n - 1))
        elif low < 0 or high > n - 1:
            if not high - low < 2 * n:
                return Span(0, n)
            low, high = self._reflected_range(n, math.floor(low), math.ceil(high))
        # from the first neighbour of the lowest coordinate to the last neighbour of the highest
        half = 0.5 if self.order % 2 == 0 else 0.0
        below, above = self.order // 2, self.order - self.order // 2
        if self.order > 1:
            below += 1  # a neighbour beyond the end is replaced by one before it
        first = math.floor(low + half) - below
        if self.order == 1:
            first = min(first, n - 2)  # a coordinate on the last voxel uses that voxel and the one before
        first = max(0, first - self.halo)
        return Span(first, min(n, math.floor(high + half) + above + self.halo + 1) - first)

    def _reflected_range(self, n: int, low: int, high: int) -> tuple[int, int]:
        """Return the lowest and the highest voxel that a range maps to in the boundary modes that reflect."""
        if n == 1:
            return 0, 0
        mirror = self.mode == "mirror"
        period = n - 1 if mirror else n
        turns = range(-(-low // period), high // period + 1)
        voxels = []
        for at in [low, high, *itertools.chain.from_iterable((k * period, k * period - (not mirror)) for k in turns)]:
            phase = at % (2 * period)
            voxels.append(phase if phase < n else 2 * n - 2 - phase if mirror else 2 * n - 1 - phase)
        return min(voxels), max(voxels)

    def fold_coordinates(self, coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return coordinates in which those outside the array are replaced by equivalent ones inside, if any exist."""
        folded = coordinates.copy()
        for at, extent in zip(folded, self.shape, strict=True):
            n, last = float(extent), float(extent - 1)
            outside = (at < 0) | (at > last)
            x = at[outside]
            if self.mode == "grid-wrap":
                at[outside] = np.mod(x, n)
            elif self.mode in ("reflect", "grid-mirror"):
                phase = np.mod(np.abs(x + 0.5), 2 * n)
                at[outside] = np.where(phase > n, 2 * n - phase, phase) - 0.5
            elif self.mode in ("mirror", "wrap") and extent == 1:
                at[outside] = 0
            elif self.mode == "mirror":
                phase = np.mod(np.abs(x), 2 * last)
                at[outside] = np.where(phase >= np.where(x < 0, last, n), 2 * last - phase, phase)
            elif self.mode == "wrap":  # below the array, its border voxel is the last one; above, the first one
                phase = np.mod(np.abs(x), last)
                at[outside] = np.where(x < 0, last - phase, phase)
        return folded

    def boxes(self, spans: Spans) -> list[tuple[tuple[slice, ...], tuple[slice, ...]]]:
        """Return pairs of a box to read of the array and the box of the part that it fills."""
        runs = []
        for n, span, pad in zip(self.shape, spans, self.pads, strict=True):
            along, at = [], 0
            for start, stop in span.pieces(n + 2 * pad):
                first, last = max(0, start - pad), min(n, stop - pad)
                if first < last:
                    begin = at + first + pad - start
                    along.append((slice(first, last), slice(begin, begin + last - first)))
                at += stop - start
            runs.append(along)
        return [(tuple(r for r, _ in box), tuple(w for _, w in box)) for box in itertools.product(*runs)]

    def read_part(self, spans: Spans, read: Read) -> NDArray[Any]:
        """Read a part; return its voxels, or its spline coefficients for orders above 1."""
        voxels = self._read_voxels(spans, read)
        if self.order < 2:
            return voxels
        if not self.filters:
            return voxels.astype(np.result_type(voxels, np.float64), order="C")
        extents = [n + 2 * pad for n, pad in zip(self.shape, self.pads, strict=True)]
        return spline_coefficients(voxels, spans, extents, self.order, self.mode, self.interpolated_axes)

    def _read_voxels(self, spans: Spans, read: Read) -> NDArray[Any]:
        """Read the voxels of a part, with padding where the part extends beyond the array."""
        shape = tuple(span.count for span in spans)
        boxes = self.boxes(spans)
        if len(boxes) == 1 and all(w.stop - w.start == n for w, n in zip(boxes[0][1], shape, strict=True)):
            return np.asarray(read(boxes[0][0]))
        if self.mode == "nearest":
            ((box, where),) = boxes
            around = [(w.start, n - w.stop) for w, n in zip(where, shape, strict=True)]
            return np.pad(np.asarray(read(box)), around, mode="edge")
        voxels = np.empty(shape, np.result_type(self.dtype, np.float64) if self.pad else self.dtype)
        if self.pad:  # without padding, the boxes fill the part
            voxels[...] = self._padding_value()
        for box, where in boxes:
            voxels[where] = read(box)
        return voxels

    def affine(
        self,
        part: NDArray[Any],
        spans: Spans,
        matrix: NDArray[np.float64],
        offset: Sequence[float],
        start: Sequence[int],
        out: NDArray[Any],
        combination: Combination | None = None,
    ) -> None:
        """Fill ``out``, whose first voxel has index ``start``: voxel o is the value at ``matrix @ o + offset``."""
        axes = self.interpolated_axes
        where: dict[str, Any] = {
            "matrix": np.ascontiguousarray(matrix[np.ix_(axes, axes)] if self.identity_axes else matrix).reshape(-1),
            "offset": np.array([offset[axis] for axis in axes], np.float64),
            "start": np.array([start[axis] for axis in axes] if self.identity_axes else start, np.int64),
        }
        full = None if combination is None else combination.full
        if combination is not None:
            where |= {"operation": OPERATIONS.index(combination.operation)}
        if not self.identity_axes:
            return self._sample(part, spans, out, where, full)
        first = range(len(self.identity_axes))
        plane_spans = tuple(spans[axis] for axis in axes)
        planes = np.moveaxis(part, self.identity_axes, first)
        out_planes = np.moveaxis(out, self.identity_axes, first)
        full_planes = None if full is None else np.moveaxis(full, self.identity_axes, first)
        for index in np.ndindex(out_planes.shape[: len(self.identity_axes)]):
            full_plane = None if full_planes is None else full_planes[index]
            self._sample(planes[index], plane_spans, out_planes[index], where, full_plane)

    def points(self, part: NDArray[Any], spans: Spans, coordinates: NDArray[np.float64], out: NDArray[Any]) -> None:
        """Fill ``out`` with the values at coordinates of shape (ndim, n)."""
        where = {"coordinates": coordinates, "float64_code": CODES[np.dtype(np.float64)][0]}
        self._sample(part, spans, out, where)

    def _sample(
        self,
        part: NDArray[Any],
        spans: Spans,
        out: NDArray[Any],
        where: dict[str, Any],
        full: NDArray[Any] | None = None,
    ) -> None:
        if out.dtype.kind == "c":
            cval = complex(self.cval)
            for component, target, value in ((part.real, out.real, cval.real), (part.imag, out.imag, cval.imag)):
                self._sample_real(np.ascontiguousarray(component), spans, target, value, where)
        else:
            self._sample_real(part, spans, out, self.cval, where, full)

    def _sample_real(
        self,
        part: NDArray[Any],
        spans: Spans,
        out: NDArray[Any],
        cval: complex,
        where: dict[str, Any],
        full: NDArray[Any] | None = None,
    ) -> None:
        assert core is not None
        computed = _COMPUTED.get(out.dtype, out.dtype)
        if full is not None and computed != out.dtype:
            computed = np.dtype(np.float64)  # so that nothing is rounded twice
        target = out if out.dtype == computed else np.empty(out.shape, computed)
        if full is None:
            voxels = part if self.order > 1 else part.astype(computed, copy=False)
        else:
            voxels = part.astype(np.float64 if self.order == 0 else _COMPUTED.get(part.dtype, part.dtype), copy=False)
            full = full.astype(computed if full.dtype in _COMPUTED else full.dtype.newbyteorder("="), copy=False)
            where = {**where, "full": full, "full_code": CODES[full.dtype][0]}
        core.sample(
            voxels,
            CODES[voxels.dtype][0],
            target,
            CODES[computed][0],
            int(self.order),
            _MODE_NUMBERS[self.mode],
            float(cval.real),
            int.from_bytes(as_voxel(cval, computed).tobytes(), "little"),
            np.array([self.shape[axis] + 2 * self.pad for axis in self.interpolated_axes], np.int64),
            np.array([span.first for span in spans], np.int64),
            float(self.pad),
            **where,
        )
        if target is not out:
            with np.errstate(over="ignore"):
                out[...] = target

    def _padding_value(self) -> complex:
        """Return ``cval`` as a voxel of the array's dtype, because scipy pads the array before it is filtered."""
        if self.dtype.kind == "b":
            return float(self.cval != 0)
        return math.trunc(self.cval.real) if self.dtype.kind in "iu" and math.isfinite(self.cval.real) else self.cval

    def fill_value(self) -> NDArray[Any]:
        """Return ``cval`` as one voxel."""
        return as_voxel(self.cval, self.dtype)


def as_voxel(value: complex, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return a number as a voxel of a dtype; for integers, rounded half away from zero and clipped to their range."""
    if dtype.kind == "b":
        return np.array(value.real >= 1)
    if dtype.kind not in "iu":
        return np.array(value, dtype)
    limits = np.iinfo(dtype)
    if isinstance(value, (int, np.integer)):
        whole = int(value)
    elif math.isnan(value.real):
        whole = 0
    elif math.isinf(value.real):
        whole = int(limits.max if value.real > 0 else limits.min)
    else:
        whole = math.floor(abs(value.real) + 0.5) * (1 if value.real > 0 else -1)
    return np.array(min(max(whole, int(limits.min)), int(limits.max)), dtype)


def filter_halo(order: int) -> int:
    """Return the number of voxels over which the influence of a border on the prefilter decays to 1e-9."""
    return math.ceil(math.log(1e-9) / math.log(_POLE[order])) if order > 1 else 0


def spline_coefficients(
    voxels: NDArray[Any], spans: Spans, extents: Sequence[int], order: int, mode: str, axes: Iterable[int]
) -> NDArray[Any]:
    """Return the coefficients of a spline along some axes, for a part of an array of these extents."""
    if voxels.dtype.kind == "c":
        axes = list(axes)
        real, imaginary = (
            spline_coefficients(part, spans, extents, order, mode, axes) for part in (voxels.real, voxels.imag)
        )
        return np.asarray(real + 1j * imaginary)
    spline_filter1d = ndimage("order: 2 to 5 need").spline_filter1d
    coefficients = np.array(voxels, np.float64, order="C")  # the core reads along the last axis
    for axis in axes:
        span, extent = spans[axis], extents[axis]
        # runs that are adjacent only because the span wraps around are filtered separately
        joined = span.count == extent or mode == "grid-wrap"
        run_mode = "mirror" if mode == "border" or (mode == "grid-wrap" and span.count < extent) else mode
        at = 0
        for start, stop in [(0, span.count)] if joined else span.pieces(extent):
            along = (slice(None),) * axis + (slice(at, at + stop - start),)
            coefficients[along] = spline_filter1d(coefficients[along], order, axis, np.float64, run_mode)
            at += stop - start
    return coefficients


def check_order(order: Any) -> None:
    """Raise an error if ``order`` is not the order of a spline, or needs scipy, which is not installed."""
    if isinstance(order, bool) or not isinstance(order, (int, np.integer)) or not 0 <= order <= 5:
        raise ValueError(f"order: {order!r} is not one of 0 (nearest), 1 (linear), 2, 3, 4, 5")
    if order > 1:
        ndimage("order: 2 to 5 need")


def ndimage(reason: str) -> Any:
    """Return :mod:`scipy.ndimage`; raise ImportError, whose message begins with ``reason``, if it is missing."""
    try:
        from scipy import ndimage as module
    except ImportError:
        raise ImportError(f"{reason} scipy: pip install scipy") from None
    return module


def source_bounds(
    matrix: NDArray[np.float64], offset: Sequence[float], start: Sequence[int], stop: Sequence[int]
) -> tuple[list[float], list[float]]:
    """Return the lowest and the highest input coordinate of a box of output voxels, per axis of the input."""
    lows, highs = [], []
    for row, low in zip(matrix.tolist(), offset, strict=True):  # lists: numpy is slow for so few numbers
        high = low
        for m, a, b in zip(row, start, stop, strict=True):
            ends = m * a, m * (b - 1)
            low, high = low + min(ends), high + max(ends)
        margin = 1e-9 * (1 + abs(low) + abs(high))  # the core adds up coordinates in another order
        lows.append(low - margin)
        highs.append(high + margin)
    return lows, highs


def as_matrix(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Return an argument as an array of float64; raise an error that names it if it is not finite real numbers."""
    try:
        matrix = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: {values!r} is not a matrix of real numbers") from None
    if not np.isfinite(matrix).all():
        raise ValueError(f"{name}: {matrix.tolist()} is not finite")
    return matrix


def split_affine(name: str, matrix: NDArray[np.float64], ndim: int) -> tuple[NDArray[np.float64], tuple[float, ...]]:
    """Return the square part and the last column of a matrix of shape (ndim, ndim + 1) or (ndim + 1, ndim + 1)."""
    rows = matrix.tolist()
    if len(rows) == ndim + 1 and rows[-1] != [0.0] * ndim + [1.0]:
        raise ValueError(f"{name}: its last row must be {[0.0] * ndim + [1.0]}, not {rows[-1]}")
    return np.array([row[:ndim] for row in rows[:ndim]]), tuple(row[ndim] for row in rows[:ndim])


def as_coordinates(values: ArrayLike, ndim: int, shape: Sequence[int]) -> NDArray[np.float64]:
    """Return coordinates as an array of float64; raise an error if they do not fit an array of ``ndim`` axes."""
    try:
        coordinates = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"coordinates: {error}") from None
    if coordinates.dtype.kind not in "buif":
        raise TypeError(f"coordinates: dtype {coordinates.dtype} is not of real numbers")
    if coordinates.ndim < 1 or coordinates.shape[0] != ndim:
        raise ValueError(
            f"coordinates: shape {coordinates.shape} does not fit; the first axis must have {ndim} entries, one per "
            f"axis of the input of shape {tuple(shape)}"
        )
    coordinates = coordinates.astype(np.float64, copy=False)
    if not np.isfinite(coordinates).all():
        raise ValueError("coordinates: some are not finite; remove those points")
    return coordinates


def check_source(name: str, shape: Sequence[int], dtype: np.dtype[Any]) -> None:
    """Raise an error if an array of this shape and dtype cannot be interpolated."""
    if not shape:
        raise ValueError(f"{name}: an array without dimensions cannot be interpolated; it needs at least one")
    if dtype.names is not None or dtype.kind not in "biufc" or (CODES and _real_dtype(dtype) is None):
        raise TypeError(f"{name}: voxels of dtype {dtype} cannot be interpolated; convert the array first")


def _real_dtype(dtype: np.dtype[Any]) -> np.dtype[Any] | None:
    """Return the real dtype in which voxels of a dtype are interpolated; None if the core has none."""
    native = dtype.newbyteorder("=")
    if native.kind == "c":
        native = (
            np.dtype(np.float32) if native.itemsize == 8 else np.dtype(np.float64) if native.itemsize == 16 else native
        )
    native = _COMPUTED.get(native, native)
    return native if native in CODES else None
