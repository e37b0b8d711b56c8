"""Arrays for tests: values at the limits of a dtype, layouts of one logical array, hypothesis strategies."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tinypyr

METHODS: tuple[Any, ...] = ("mean", "mode", "median", "min", "max", "stride")  # Any: the API takes a Literal
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
COMPILED = ("bool", *INTEGERS, "float32", "float64")
DTYPES = (*COMPILED, "float16")  # float16 always runs on the reference
FACTORS = ((2, 2, 1), (2, 2, 2), (1, 2, 2))


# ------------------------------------------------------------------------------------------------------ values


def limits(dtype: Any) -> np.ndarray:
    """Return finite values that are likely to expose faults: the ends of the range, zero, and their neighbours."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return np.array([False, True])
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        half = int(info.max) // 2
        values = {info.min, info.min + 1, -1, 0, 1, 2, 3, half, half + 1, info.max - 1, info.max}
        if dtype.itemsize >= 4:
            values |= {2**24 + 1, 2**31 - 1}  # odd numbers that float32 cannot represent, the end of int32
        if dtype.itemsize == 8:
            values |= {2**53 + 1, 2**62, 2**32, 2**32 - 1}  # the same for float64, and sums that exceed 64 bits
        return np.array([v for v in sorted(values) if info.min <= v <= info.max], dtype)
    real = np.finfo(dtype)
    tiny = real.smallest_subnormal
    reals = [real.min, -1.0, -tiny, -0.0, 0.0, tiny, real.tiny, real.eps, 1.0, 1 + real.eps, 3.0, 1e4, real.max]
    return np.array(reals, dtype)


SPECIAL = (math.nan, math.inf, -math.inf)


def voxels(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any, flavour: str) -> np.ndarray:
    """Return an array of one kind, in C order.

    - "noise": any value of the dtype, a fifth of them from `limits`;
    - "labels": few values in runs, so that most blocks are uniform and many of the others tie;
    - "special" (floats): noise with a tenth of NaN, infinities and zeros of both signs.
    """
    dtype = np.dtype(dtype)
    count = math.prod(shape)
    ends = limits(dtype)
    if flavour == "labels":
        pool = rng.choice(ends, size=4)
        if dtype.kind == "f":
            pool = np.concatenate([pool, np.array([0.0, -0.0, math.nan], dtype)])
        picked = rng.integers(0, len(pool), count)
        held = rng.random(count) < 0.5  # half of the voxels repeat the previous one
        source = np.maximum.accumulate(np.where(held, 0, np.arange(count)))
        return pool[picked[source]].reshape(shape) if count else np.zeros(shape, dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind in "iu":
        out = np.frombuffer(rng.bytes(count * dtype.itemsize), dtype).copy()
    else:
        scale = np.float64(2.0) ** rng.integers(-12, 12, count)
        out = (rng.standard_normal(count) * scale).astype(dtype)
    out = np.where(rng.random(count) < 0.2, rng.choice(ends, size=count), out)
    if flavour == "special":
        extra = np.array([*SPECIAL, 0.0, -0.0], dtype)
        out = np.where(rng.random(count) < 0.1, rng.choice(extra, size=count), out)
    return out.astype(dtype).reshape(shape)


# ------------------------------------------------------------------------------------------------------ layouts

LAYOUTS = ("C", "F", "negative", "gapped")


def lay_out(array: np.ndarray, layout: str) -> Any:
    """Return the same logical array in another layout; memory outside it has values that tests would detect."""
    if layout == "C":
        return np.array(array, order="C")
    if layout == "F":
        return np.array(array, order="F")
    if layout == "negative":
        backwards: Any = (*(slice(None, None, -1),) * array.ndim, ...)  # (with ..., 0-d arrays stay arrays)
        return np.array(array[backwards], order="F")[backwards]
    if layout == "gapped":
        steps = tuple(2 + (axis % 2) for axis in range(array.ndim))
        room = np.full([n * s + 1 for n, s in zip(array.shape, steps, strict=True)], limits(array.dtype)[-1])
        inside: Any = (*(slice(1, 1 + n * s, s) for n, s in zip(array.shape, steps, strict=True)), ...)
        view = room[inside]
        view[...] = array
        return view
    if layout == "swapped":
        return array.astype(array.dtype.newbyteorder())
    if layout == "unaligned":
        raw = np.zeros(array.nbytes + 1, np.uint8)[1:]
        view = raw.view(array.dtype).reshape(array.shape) if array.nbytes else array.copy()
        view[...] = array
        return view
    if layout == "read-only":
        view = array.copy()
        view.flags.writeable = False
        return view
    if layout.startswith("permuted "):
        order = tuple(int(axis) for axis in layout.removeprefix("permuted ").split(","))
        return np.array(array.transpose(order), order="C").transpose(np.argsort(order))
    raise ValueError(layout)


def assert_same_bits(got: np.ndarray, want: np.ndarray, where: Any = "") -> None:
    """Assert equal dtype, shape and bits, including the sign of zero and the bits of NaN."""
    assert got.dtype == want.dtype, f"{where}: dtype {got.dtype} instead of {want.dtype}"
    assert got.shape == want.shape, f"{where}: shape {got.shape} instead of {want.shape}"
    if got.tobytes() == want.tobytes():
        return
    native = got.dtype.newbyteorder("=")
    got, want = np.array(got, native, order="C", ndmin=1), np.array(want, native, order="C", ndmin=1)
    unequal = got.view(f"u{native.itemsize}") != want.view(f"u{native.itemsize}")
    first = tuple(int(i) for i in np.argwhere(unequal)[0])
    raise AssertionError(
        f"{where}: {int(unequal.sum())} of {unequal.size} voxels differ, the first at {first}: {got[first]!r} "
        f"({got[first].tobytes().hex()}) instead of {want[first]!r} ({want[first].tobytes().hex()})"
    )


def each_isa() -> Iterator[str]:
    """Force each instruction set in turn; for loops in which a fixture or a parameter cannot be used."""
    before = os.environ.get("TINYPYR_ISA")
    try:
        for isa in tinypyr.instruction_sets():
            os.environ["TINYPYR_ISA"] = isa
            yield isa
        if not tinypyr.instruction_sets():
            yield "reference"
    finally:
        os.environ.pop("TINYPYR_ISA", None)
        if before is not None:
            os.environ["TINYPYR_ISA"] = before


# ------------------------------------------------------------------------------------------------------ hypothesis


@dataclass(frozen=True)
class Case:
    """A call of `tinypyr.pyramid`, and the settings that must not change its result."""

    array: np.ndarray
    schedule: list[tuple[int, ...]]
    method: Any
    ignore: Any
    rounding: str
    ties: str
    voxel_offset: tuple[int, ...] | None
    layout: str
    workers: int | None
    arguments: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        rules = {"ignore": self.ignore, "rounding": self.rounding, "ties": self.ties, "voxel_offset": self.voxel_offset}
        object.__setattr__(self, "arguments", rules)


def elements(dtype: Any) -> st.SearchStrategy[Any]:
    dtype = np.dtype(dtype)
    ends = st.sampled_from([value.item() for value in limits(dtype)])
    if dtype.kind == "b":
        return st.booleans()
    if dtype.kind in "iu":
        return st.one_of(ends, st.integers(int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)))
    width: Any = 8 * dtype.itemsize
    return st.one_of(ends, st.sampled_from(SPECIAL), st.floats(width=width))


@st.composite
def arrays(draw: st.DrawFn, dtype: Any, max_voxels: int = 160) -> np.ndarray:
    """Draw small arrays of 0 to 5 axes. Values come from a small pool, so that footprints repeat, tie and saturate."""
    dtype = np.dtype(dtype)
    shape: list[int] = []
    for _ in range(draw(st.integers(0, 5))):
        room = max_voxels // max(math.prod(shape), 1)
        shape.append(draw(st.integers(0 if draw(st.integers(0, 15)) == 0 else 1, min(room, 40))))
    pool = draw(st.lists(elements(dtype), min_size=1, max_size=8))
    count = math.prod(shape)
    picked = draw(st.lists(st.integers(0, len(pool) - 1), min_size=min(count, 24), max_size=min(count, 24)))
    if count == 0:
        return np.zeros(shape, dtype)
    # Further voxels are computed from the drawn ones: fast to draw, and still irregular.
    order = np.random.default_rng(draw(st.integers(0, 255))).integers(0, len(picked), count)
    order[: len(picked)] = np.arange(len(picked))
    values = np.empty(len(pool), dtype)
    values[:] = pool
    filled: np.ndarray = values[np.array(picked)[order]].reshape(shape)
    return filled


@st.composite
def layouts(draw: st.DrawFn, ndim: int) -> str:
    plain = ("C", "F", "negative", "gapped", "swapped", "unaligned", "read-only")
    layout = draw(st.sampled_from((*plain, "permuted")))
    if layout == "permuted":
        return "permuted " + ",".join(map(str, draw(st.permutations(range(ndim))))) if ndim else "C"
    return layout


@st.composite
def cases(draw: st.DrawFn) -> Case:
    dtype = draw(st.sampled_from(DTYPES))
    array = draw(arrays(dtype))
    small = st.integers(1, 3)
    factor = st.tuples(*[st.one_of(small, small, st.integers(1, 9)) for _ in range(array.ndim)])
    schedule = draw(
        st.one_of(
            st.sampled_from((1, 2)).flatmap(lambda n: factor.map(lambda f: [f] * n)),
            st.lists(factor, min_size=1, max_size=4),
        )
    )
    present = [value.item() for value in array.ravel()[:4]]
    ignore = draw(st.one_of(st.none(), st.just(False if dtype == "bool" else 0), st.sampled_from([*present, None])))
    voxel_offset = draw(st.one_of(st.none(), st.tuples(*[st.integers(-5, 9)] * array.ndim)))
    return Case(
        array=array,
        schedule=schedule,
        method=draw(st.sampled_from(METHODS)),
        ignore=ignore,
        rounding=draw(st.sampled_from(("half-even", "half-even", "floor"))),
        ties=draw(st.sampled_from(("first", "lowest"))),
        voxel_offset=voxel_offset,
        layout=draw(layouts(array.ndim)),
        workers=draw(st.sampled_from((1, 1, 2, 3, None))),
    )


class Counting:
    """A volume larger than memory that records the largest box that is read at once."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.dtype, self.most = shape, np.dtype(np.uint8), 0

    def __getitem__(self, box: tuple[slice, ...]) -> np.ndarray[Any, Any]:
        extents = [s.stop - s.start for s in box]
        self.most = max(self.most, int(np.prod(extents)))
        return np.ones(extents, np.uint8)
