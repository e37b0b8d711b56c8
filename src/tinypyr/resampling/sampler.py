"""Values between the voxels of an array of which only parts are at hand.

`Sampling` says what such a value is: order of the spline, what lies beyond the array, filtered or not, with the
meaning of :mod:`scipy.ndimage`. It knows which part of the array some places need (`needed`), reads it (`part`), and
makes the values (`affine`, `points`). None depends on how places were divided; splines of order 2 and more do by what
their filter loses at the border of a part, which is at most 1e-8 of the values' range (where these are finite).
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

#: scipy's names of what lies beyond an array, and the sampler's number for each.
MODES = {
    "constant": 0,
    "grid-constant": 1,
    "nearest": 2,
    "mirror": 3,
    "reflect": 4,
    "grid-mirror": 4,
    "wrap": 5,
    "grid-wrap": 6,
}

#: And one of our own: voxels reach half their length beyond their centres.
_NUMBERS = {**MODES, "border": 7}

#: What is made of a voxel and the value of a field there: the combiner's operations, by number.
OPERATIONS = ("divide", "multiply", "subtract", "mask")

# scipy.ndimage filters these beyond the array, because no filter begins there exactly
_PADDED = {"nearest": 12, "grid-constant": 12}

# Poles of the filters (the largest of each): what a border adds falls by this factor from voxel to voxel.
_POLE = {2: 0.171573, 3: 0.267949, 4: 0.361341, 5: 0.430575}

# the sampler's own types; half and complex numbers are made of these
_COMPUTED = {np.dtype("float16"): np.dtype("float32")}


@dataclass(frozen=True)
class Span:
    """Voxels along one axis: ``count`` from ``first`` on, going on at the beginning where they pass the end."""

    first: int
    count: int

    def pieces(self, extent: int) -> list[tuple[int, int]]:
        """In runs that do not pass the end, in order."""
        end = self.first + self.count
        return [(self.first, end)] if end <= extent else [(self.first, extent), (0, end - extent)]


@dataclass(frozen=True)
class Combined:
    """Voxels that are combined with the values of a field where they lie: one of ``OPERATIONS``."""

    operation: str
    full: NDArray[Any]

    def split(self, at: int, axis: int) -> tuple[Combined, Combined]:
        """What comes before a voxel along an axis, and the rest."""
        low, high = np.split(self.full, [at], axis)
        return Combined(self.operation, low), Combined(self.operation, high)


Spans = tuple[Span, ...]
Read = Callable[[tuple[slice, ...]], NDArray[Any]]


@dataclass(frozen=True)
class Sampling:
    """How values between the voxels of an array of this shape and type are made."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    order: int = 1
    mode: str = "constant"
    cval: complex = 0.0
    prefilter: bool = True
    #: Axes along which nothing moves: voxel o of the output is made of voxels o of the array.
    still: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        checked_order(self.order)
        if not isinstance(self.mode, str) or self.mode not in _NUMBERS:
            raise ValueError(f"mode: {self.mode!r} is none of {', '.join(_NUMBERS)}")
        if not isinstance(self.cval, (numbers.Number, np.bool_)):
            raise TypeError(f"cval: {self.cval!r} is not a number")
        try:
            complex(self.cval)
        except OverflowError:
            raise ValueError(f"cval: {self.cval!r} is beyond all floats") from None
        if isinstance(self.cval, (complex, np.complexfloating)) and self.dtype.kind != "c":
            raise ValueError(f"cval: {self.cval!r} is complex, but the input is {self.dtype}")
        if core is None:
            raise ImportError("tinypyr: values between voxels need the compiled core; install it with a C++17 compiler")

    @property
    def filters(self) -> bool:
        """Whether voxels become coefficients first."""
        return self.prefilter and self.order > 1

    @property
    def pad(self) -> int:
        """Voxels that are put around the array before it is filtered."""
        return _PADDED.get(self.mode, 0) if self.filters else 0

    @property
    def pads(self) -> tuple[int, ...]:
        """The same, per axis."""
        return tuple(0 if axis in self.still else self.pad for axis in range(len(self.shape)))

    @property
    def halo(self) -> int:
        """Voxels around a part without which its coefficients would depend on where it was cut."""
        return halo_of(self.order) if self.filters else 0

    @property
    def moving(self) -> list[int]:
        """The axes along which there is something between voxels."""
        return [axis for axis in range(len(self.shape)) if axis not in self.still]

    def needed(self, low: Sequence[float], high: Sequence[float]) -> Spans | None:
        """The part (of the padded array) that places within a box of coordinates need; None: none at all."""
        spans = []
        if 0 in self.shape:
            return None
        for axis, (n, a, b) in enumerate(zip(self.shape, low, high, strict=True)):
            if axis in self.still:
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
            around = margin + self.halo + 1  # (where copies share a border voxel, that one's neighbours on either side)
            if not high - low < n - 2 * around - 3:  # (also of what is no number)
                return Span(0, n)
            if low < 0 or high > n - 1 or self.mode == "grid-wrap":
                width = high - low
                start = math.floor(low - math.floor(low / period) * period) - around
                return _at_most(Span(start % n, math.ceil(width) + 2 * around + 3), n)
        elif self.mode in ("constant", "nearest", "grid-constant", "border"):
            if self.mode != "nearest" and (high < -margin or low > n - 1 + margin):
                return None
            low, high = max(0.0, min(low, n - 1)), max(0.0, min(high, n - 1))
        elif low < 0 or high > n - 1:
            if not high - low < 2 * n:
                return Span(0, n)
            low, high = self._folded(n, math.floor(low), math.ceil(high))
        # from the first neighbour of the least place to the last of the largest
        half = 0.5 if self.order % 2 == 0 else 0.0
        below, above = self.order // 2, self.order - self.order // 2
        if self.order > 1:
            below += 1  # (a neighbour beyond the end is one before it)
        first = math.floor(low + half) - below
        if self.order == 1:
            first = min(first, n - 2)  # (what lies on the last voxel is made of it and the one before)
        first = max(0, first - self.halo)
        return Span(first, min(n, math.floor(high + half) + above + self.halo + 1) - first)

    def _folded(self, n: int, low: int, high: int) -> tuple[int, int]:
        """The least and the largest voxel that those of a range stand for, where the array goes on as in a mirror."""
        if n == 1:
            return 0, 0
        mirror = self.mode == "mirror"
        period = n - 1 if mirror else n
        turns = range(-(-low // period), high // period + 1)
        found = []
        for at in [low, high, *itertools.chain.from_iterable((k * period, k * period - (not mirror)) for k in turns)]:
            place = at % (2 * period)
            found.append(place if place < n else 2 * n - 2 - place if mirror else 2 * n - 1 - place)
        return min(found), max(found)

    def folded(self, coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Coordinates, those beyond the array replaced by the places within that stand for them, if any do."""
        made = coordinates.copy()
        for at, extent in zip(made, self.shape, strict=True):
            n, last = float(extent), float(extent - 1)
            beyond = (at < 0) | (at > last)
            x = at[beyond]
            if self.mode == "grid-wrap":
                at[beyond] = np.mod(x, n)
            elif self.mode in ("reflect", "grid-mirror"):
                place = np.mod(np.abs(x + 0.5), 2 * n)
                at[beyond] = np.where(place > n, 2 * n - place, place) - 0.5
            elif self.mode in ("mirror", "wrap") and extent == 1:
                at[beyond] = 0
            elif self.mode == "mirror":
                place = np.mod(np.abs(x), 2 * last)
                at[beyond] = np.where(place >= np.where(x < 0, last, n), 2 * last - place, place)
            elif self.mode == "wrap":  # below the array, its border voxel is the last; above, the first
                place = np.mod(np.abs(x), last)
                at[beyond] = np.where(x < 0, last - place, place)
        return made

    def boxes(self, spans: Spans) -> list[tuple[tuple[slice, ...], tuple[slice, ...]]]:
        """What to read of the array, and where in the part it belongs."""
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

    def part(self, spans: Spans, read: Read) -> NDArray[Any]:
        """The voxels of a part, or its coefficients."""
        shape = tuple(span.count for span in spans)
        boxes = self.boxes(spans)
        if len(boxes) == 1 and all(w.stop - w.start == n for w, n in zip(boxes[0][1], shape, strict=True)):
            made = np.asarray(read(boxes[0][0]))
        elif self.mode == "nearest":  # padded with the border's own voxels
            ((box, where),) = boxes
            around = [(w.start, n - w.stop) for w, n in zip(where, shape, strict=True)]
            made = np.pad(np.asarray(read(box)), around, mode="edge")
        else:
            made = np.empty(shape, np.result_type(self.dtype, np.float64) if self.pad else self.dtype)
            if self.pad:  # (without, all of it is read)
                made[...] = self._padding()
            for box, where in boxes:
                made[where] = read(box)
        if self.order < 2:
            return made
        if not self.filters:
            return made.astype(np.result_type(made, np.float64), order="C")
        extents = [n + 2 * pad for n, pad in zip(self.shape, self.pads, strict=True)]
        return filtered(made, spans, extents, self.order, self.mode, self.moving)

    def affine(
        self,
        part: NDArray[Any],
        spans: Spans,
        matrix: NDArray[np.float64],
        offset: Sequence[float],
        start: Sequence[int],
        out: NDArray[Any],
        combined: Combined | None = None,
    ) -> None:
        """Fill out, whose first voxel is at ``start``: voxel o is the value at ``matrix @ o + offset``, combined."""
        moving = self.moving
        where: dict[str, Any] = {
            "matrix": np.ascontiguousarray(matrix[np.ix_(moving, moving)] if self.still else matrix).reshape(-1),
            "offset": np.array([offset[axis] for axis in moving], np.float64),
            "start": np.array([start[axis] for axis in moving] if self.still else start, np.int64),
        }
        full = None if combined is None else combined.full
        if combined is not None:
            where |= {"operation": OPERATIONS.index(combined.operation)}
        if not self.still:
            return self._sample(part, spans, out, where, full)
        within = tuple(spans[axis] for axis in moving)
        planes = np.moveaxis(part, self.still, range(len(self.still)))
        made = np.moveaxis(out, self.still, range(len(self.still)))
        with_planes = None if full is None else np.moveaxis(full, self.still, range(len(self.still)))
        for index in np.ndindex(made.shape[: len(self.still)]):
            beside = None if with_planes is None else with_planes[index]
            self._sample(planes[index], within, made[index], where, beside)

    def points(self, part: NDArray[Any], spans: Spans, coordinates: NDArray[np.float64], out: NDArray[Any]) -> None:
        """Fill out with the values at coordinates of shape (ndim, n)."""
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
            for half, to, beyond in ((part.real, out.real, cval.real), (part.imag, out.imag, cval.imag)):
                self._sample_real(np.ascontiguousarray(half), spans, to, beyond, where)
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
            computed = np.dtype(np.float64)  # (so that nothing is rounded twice)
        made = out if out.dtype == computed else np.empty(out.shape, computed)
        if full is None:
            voxels = part if self.order > 1 else part.astype(computed, copy=False)
        else:
            voxels = part.astype(np.float64 if self.order == 0 else _COMPUTED.get(part.dtype, part.dtype), copy=False)
            full = full.astype(computed if full.dtype in _COMPUTED else full.dtype.newbyteorder("="), copy=False)
            where = {**where, "full": full, "full_code": CODES[full.dtype][0]}
        core.sample(
            voxels,
            CODES[voxels.dtype][0],
            made,
            CODES[computed][0],
            int(self.order),
            _NUMBERS[self.mode],
            float(cval.real),
            int.from_bytes(as_voxel(cval, computed).tobytes(), "little"),
            np.array([self.shape[axis] + 2 * self.pad for axis in self.moving], np.int64),
            np.array([span.first for span in spans], np.int64),
            float(self.pad),
            **where,
        )
        if made is not out:
            with np.errstate(over="ignore"):
                out[...] = made

    def _padding(self) -> complex:
        """What an array is padded with before it is filtered: scipy pads with voxels of the array's type."""
        if self.dtype.kind == "b":
            return float(self.cval != 0)
        return math.trunc(self.cval.real) if self.dtype.kind in "iu" and math.isfinite(self.cval.real) else self.cval

    def fill(self) -> NDArray[Any]:
        """What lies outside, as one voxel."""
        return as_voxel(self.cval, self.dtype)


def as_voxel(value: complex, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A number as a voxel: of integers, rounded half away from zero and within their range."""
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


def halo_of(order: int) -> int:
    """Voxels around a part after which its border has lost its influence on a filter (to 1e-9 of a voxel's value)."""
    return math.ceil(math.log(1e-9) / math.log(_POLE[order])) if order > 1 else 0


def filtered(
    voxels: NDArray[Any], spans: Spans, extents: Sequence[int], order: int, mode: str, axes: Iterable[int]
) -> NDArray[Any]:
    """The coefficients of a spline, along some axes, of a part of an array of these extents."""
    if voxels.dtype.kind == "c":
        parts = [filtered(half, spans, extents, order, mode, list(axes)) for half in (voxels.real, voxels.imag)]
        return np.asarray(parts[0] + 1j * parts[1])
    spline_filter1d = ndimage("order: 2 to 5 need").spline_filter1d
    made = np.array(voxels, np.float64, order="C")  # (the sampler's loops read along the last axis)
    for axis in axes:
        span, extent = spans[axis], extents[axis]
        # runs that are neighbours only because the array goes round are filtered on their own
        joined = span.count == extent or mode == "grid-wrap"
        within = "mirror" if mode == "border" or (mode == "grid-wrap" and span.count < extent) else mode
        at = 0
        for start, stop in [(0, span.count)] if joined else span.pieces(extent):
            along = (slice(None),) * axis + (slice(at, at + stop - start),)
            made[along] = spline_filter1d(made[along], order, axis, np.float64, within)
            at += stop - start
    return made


def checked_order(order: Any) -> None:
    """Refuse what is no order of a spline, or one that needs what is not installed."""
    if isinstance(order, bool) or not isinstance(order, (int, np.integer)) or not 0 <= order <= 5:
        raise ValueError(f"order: {order!r} is none of 0 (nearest), 1 (linear), 2, 3, 4, 5")
    if order > 1:
        ndimage("order: 2 to 5 need")


def ndimage(wanted: str) -> Any:
    """scipy's filters, or an error that says what wants them."""
    try:
        from scipy import ndimage as found
    except ImportError:
        raise ImportError(f"{wanted} scipy: pip install scipy") from None
    return found


def box_of(
    matrix: NDArray[np.float64], offset: Sequence[float], start: Sequence[int], stop: Sequence[int]
) -> tuple[list[float], list[float]]:
    """The coordinates between which those of a box of output voxels lie, per axis of the input."""
    lows, highs = [], []  # (with some room, because places are added up in another order)
    for row, low in zip(matrix.tolist(), offset, strict=True):  # (small numbers, for which numpy takes its time)
        high = low
        for m, a, b in zip(row, start, stop, strict=True):
            ends = m * a, m * (b - 1)
            low, high = low + min(ends), high + max(ends)
        room = 1e-9 * (1 + abs(low) + abs(high))
        lows.append(low - room)
        highs.append(high + room)
    return lows, highs


def matrix_of(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """A matrix of finite numbers."""
    try:
        made = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: {values!r} is not one of real numbers") from None
    if not np.isfinite(made).all():
        raise ValueError(f"{name}: {made.tolist()} is not finite")
    return made


def split_affine(name: str, matrix: NDArray[np.float64], ndim: int) -> tuple[NDArray[np.float64], tuple[float, ...]]:
    """The square part and the last column of a matrix of shape (ndim, ndim + 1) or (ndim + 1, ndim + 1)."""
    rows = matrix.tolist()
    if len(rows) == ndim + 1 and rows[-1] != [0.0] * ndim + [1.0]:
        raise ValueError(f"{name}: its last row must be {[0.0] * ndim + [1.0]}, not {rows[-1]}")
    return np.array([row[:ndim] for row in rows[:ndim]]), tuple(row[ndim] for row in rows[:ndim])


def coordinates_of(values: ArrayLike, ndim: int, shape: Sequence[int]) -> NDArray[np.float64]:
    """Coordinates, checked."""
    try:
        made = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"coordinates: {error}") from None
    if made.dtype.kind not in "buif":
        raise TypeError(f"coordinates: of {made.dtype}; real numbers are needed")
    if made.ndim < 1 or made.shape[0] != ndim:
        raise ValueError(
            f"coordinates: of shape {made.shape}; the first axis must have {ndim} entries, one per axis of the input "
            f"of shape {tuple(shape)}"
        )
    made = made.astype(np.float64, copy=False)
    if not np.isfinite(made).all():
        raise ValueError("coordinates: some are not finite; leave those places out")
    return made


def _at_most(span: Span, n: int) -> Span:
    return Span(0, n) if span.count >= n else span


def checked_source(name: str, shape: Sequence[int], dtype: np.dtype[Any]) -> None:
    """Refuse an array between whose voxels there are no values."""
    if not shape:
        raise ValueError(f"{name}: of no dimensions; at least one is needed")
    if dtype.names is not None or dtype.kind not in "biufc" or (CODES and _number_type(dtype) is None):
        raise TypeError(f"{name}: of {dtype}, between which there are no values; convert it first")


def _number_type(dtype: np.dtype[Any]) -> np.dtype[Any] | None:
    """The real type that voxels of a type are made of, if the sampler knows it."""
    native = dtype.newbyteorder("=")
    if native.kind == "c":
        native = (
            np.dtype(np.float32) if native.itemsize == 8 else np.dtype(np.float64) if native.itemsize == 16 else native
        )
    native = _COMPUTED.get(native, native)
    return native if native in CODES else None
