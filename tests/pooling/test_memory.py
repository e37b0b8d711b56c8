"""Nothing outside the buffers is touched, the input is never copied, and scratch memory stays small."""

from __future__ import annotations

import ctypes
import itertools
import mmap
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinypyr
from support.strategies import METHODS, assert_same_bits, voxels
from tinypyr import _reference

CANARY = 0xA5


class Guarded:
    """A buffer whose first or last byte borders an inaccessible page, as an array of any dtype and order.

    Access to this page ends the process with a segmentation fault. The rest of the buffer's own pages, which the
    hardware cannot guard, holds a canary. Where pages cannot be protected, both sides have canary pages instead.
    """

    def __init__(self, nbytes: int, at_end: bool) -> None:
        page = mmap.PAGESIZE
        inner = max(-(-nbytes // page), 1) * page
        self.map = mmap.mmap(-1, inner + 2 * page)
        self.map[:] = bytes([CANARY]) * len(self.map)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        self.inner = slice(page, page + inner)
        self.start = page + inner - nbytes if at_end else page
        self.nbytes = nbytes
        self.protect: Callable[[int, int, int], int] | None = None
        if sys.platform != "win32":
            mprotect = ctypes.CDLL(None, use_errno=True).mprotect
            mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
            self.protect = mprotect
            for offset in (0, page + inner):
                assert mprotect(self.address + offset, page, 0) == 0  # PROT_NONE

    def array(self, shape: tuple[int, ...], dtype: Any, order: Any) -> np.ndarray:
        count = self.nbytes // np.dtype(dtype).itemsize
        return np.frombuffer(self.map, dtype, count, self.start).reshape(shape, order=order)

    def make_read_only(self) -> None:
        if self.protect is not None:
            self.protect(self.address + self.inner.start, self.inner.stop - self.inner.start, 1)  # PROT_READ

    def assert_untouched_around(self) -> None:
        around = self.map[self.inner.start : self.start] + self.map[self.start + self.nbytes : self.inner.stop]
        assert around == bytes([CANARY]) * len(around)
        if self.protect is None:
            ends = self.map[: self.inner.start] + self.map[self.inner.stop :]
            assert ends == bytes([CANARY]) * len(ends)


SHAPES = (
    (1, 1, 1),
    (3, 1, 2),
    (5, 4, 1),
    (4, 5, 3),
    (16, 2, 2),
    (17, 3, 2),
    (33, 5, 3),
    (2, 3, 65),
    (130, 3, 1),
    (64, 64, 2),
)
FACTORS = ((2, 2, 1), (2, 2, 2), (1, 2, 2), (3, 2, 1), (2, 1, 3))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "uint32", "int64", "float32", "float64"])
@pytest.mark.parametrize("method", METHODS)
def test_nothing_outside_input_and_output_is_accessed(method: Any, dtype: str, isa: str) -> None:
    rng = np.random.default_rng(1)
    itemsize = np.dtype(dtype).itemsize
    for number, (shape, factor) in enumerate(itertools.product(SHAPES, FACTORS)):
        values = voxels(rng, shape, dtype, "labels" if method == "mode" or number % 2 else "noise")
        (want,) = _reference.pyramid(
            values, [factor], method=method, ignore=None, rounding="half-even", ties="first", voxel_offset=(0, 0, 0)
        )
        for at_end, order in itertools.product((False, True), "CF"):
            source, target = Guarded(values.nbytes, at_end), Guarded(want.size * itemsize, at_end)
            array, out = source.array(shape, dtype, order), target.array(want.shape, dtype, order)
            array[...] = values
            source.make_read_only()  # a write to the input also ends the process
            tinypyr.downsample(array, factor, method, out=out)
            assert_same_bits(out, want, (shape, factor, at_end, order))
            source.assert_untouched_around()
            target.assert_untouched_around()


@pytest.mark.parametrize("method", METHODS)
def test_nothing_outside_is_accessed_with_levels_and_threads(method: Any, isa: str) -> None:
    rng = np.random.default_rng(2)
    for dtype, shape, ignore in itertools.product(
        ("uint8", "uint64", "float32"), ((37, 21, 5), (5, 22, 67)), (None, 0)
    ):
        values = voxels(rng, shape, dtype, "labels")
        for factor in ((2, 2, 1), (2, 2, 2), (1, 2, 2)):
            want = _reference.pyramid(
                values,
                [factor] * 3,
                method=method,
                ignore=None if ignore is None else values.dtype.type(ignore),
                rounding="half-even",
                ties="first",
                voxel_offset=(0, 0, 0),
            )
            for at_end, order, workers in itertools.product((False, True), "CF", (1, 3)):
                source = Guarded(values.nbytes, at_end)
                targets = [Guarded(level.nbytes, at_end) for level in want]
                array = source.array(shape, dtype, order)
                array[...] = values
                source.make_read_only()
                outs = [t.array(level.shape, dtype, order) for t, level in zip(targets, want, strict=True)]
                tinypyr.pyramid(array, factor, method, levels=3, ignore=ignore, out=outs, workers=workers)
                for out, level, target in zip(outs, want, targets, strict=True):
                    assert_same_bits(out, level, (dtype, shape, factor, at_end, order, workers))
                    target.assert_untouched_around()


# --------------------------------------------------------------------- memory of a call

PEAK = """
import sys
import numpy as np
import tinypyr

def peak():  # of this process alone: getrusage would report its parent's, before exec, if that was larger
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
"""

MEASURE = """
shape, dtype, order, method, factor, levels, swapped, labels, threads = eval(sys.argv[1])
array = np.zeros(shape, dtype, order=order)
if swapped:
    array = array.view(array.dtype.newbyteorder())
rng = np.random.default_rng(0)
for slab in array if order == "C" else array.T:
    slab[...] = rng.integers(0, labels, slab.shape, np.uint16)
small = array[:4, :4, :4]
tinypyr.pyramid(small, factor, method, levels=levels)  # code and tables are in memory before the count begins
before = peak()
made = tinypyr.pyramid(array, factor, method, levels=levels, workers=threads)
print(peak() - before - sum(level.nbytes for level in made), array.nbytes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read as Linux counts it")
@pytest.mark.skipif(
    not tinypyr.instruction_sets(), reason="the reference makes copies; only the compiled core promises not to"
)
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("method", "levels", "order", "factor", "swapped", "labels"),
    [
        ("mean", 4, "F", (2, 2, 1), False, 5),
        ("mean", 4, "C", (2, 2, 2), False, 5),
        ("mean", 4, "C", (3, 1, 2), True, 5),
        ("mode", 3, "F", (2, 2, 1), False, 5),
        ("mode", 3, "C", (2, 2, 1), False, 5),
        ("mode", 2, "C", (1, 3, 2), True, 5),
        ("mode", 4, "F", (2, 2, 2), False, 60_000),
        ("mode", 1, "C", (16, 16, 16), False, 60_000),
        ("min", 4, "F", (2, 2, 2), True, 5),
        ("max", 4, "C", (1, 2, 2), False, 5),
        ("median", 1, "F", (2, 2, 1), False, 5),
        ("median", 2, "C", (1, 3, 2), True, 5),
        ("median", 1, "C", (16, 16, 16), False, 60_000),
        ("stride", 4, "F", (1, 3, 2), True, 5),
        ("mean", 4, "F", (1, 1, 2), False, 5),  # long rows that no level shortens
        ("mean", 3, "C", (3, 3, 3), True, 5),
        ("mode", 1, "C", (512, 512, 128), False, 60_000),  # one footprint of 64 MB
        ("mode", 2, "F", (512, 256, 128), True, 60_000),
        ("median", 1, "F", (512, 512, 128), True, 60_000),
    ],
)
def test_a_call_takes_less_memory_than_a_copy_of_the_input(
    method: str, levels: int, order: str, factor: Any, swapped: bool, labels: int, threads: int
) -> None:
    """Besides input and outputs a call takes less than 8 MB per thread; a copy of an input of 64 MB would exceed it."""
    what = repr(((512, 512, 128), "u2", order, method, factor, levels, swapped, labels, threads))
    run = subprocess.run([sys.executable, "-c", PEAK + MEASURE, what], capture_output=True, text=True, check=True)
    scratch, whole = map(int, run.stdout.split()[-2:])
    assert whole == 2**26
    assert scratch < 8_000_000 * threads


CALL = """
dtype, shapes, step, factors, method, voxel_offset = eval(sys.argv[1])
array, *outs = (np.ones(shape, dtype) for shape in shapes)
outs = [out[:, ::step] for out in outs]
tinypyr.pyramid(array[:8, :8], factors, method)
before = peak()
tinypyr.pyramid(array, factors, method, voxel_offset=voxel_offset, out=outs)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read as Linux counts it")
@pytest.mark.skipif(
    not tinypyr.instruction_sets(), reason="the reference makes copies; only the compiled core promises not to"
)
@pytest.mark.parametrize(
    "call",
    [
        # the first of three blocks is cut to one voxel
        ("i1", [(14336, 1024), (2049, 1024), (3, 1024)], 1, [(7, 1), (1024, 1)], "max", (7167, 0)),
        # one footprint that cannot be read in place, or before which another axis is pooled
        ("i1", [(40_000_000, 1), (1, 1)], 1, [(40_000_000, 1)], "mean", (0, 0)),
        (">f4", [(20_000_000, 1), (1, 1)], 1, [(20_000_000, 1)], "max", (0, 0)),
        ("f4", [(2, 10_000_000), (1, 1)], 1, [(2, 10_000_000)], "mean", (0, 0)),
        # ... above a level of halves
        ("f4", [(2, 10_000_000), (1, 5_000_000), (1, 1)], 1, [(2, 2), (1, 5_000_000)], "mean", (0, 0)),
        # labels of several levels
        ("u8", [(2048, 2048), (1024, 1024), (512, 512), (256, 256)], 1, [(2, 2)] * 3, "mode", (0, 0)),
        # every other voxel of a long row of the output
        ("u1", [(2, 40_000_000), (1, 40_000_000)], 2, [(2, 2)], "mean", (0, 0)),
    ],
)
def test_unusual_calls_take_little_memory(call: Any) -> None:
    run = subprocess.run([sys.executable, "-c", PEAK + CALL, repr(call)], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 8_000_000


EXHAUSTED = """
import resource, sys
import numpy as np
import tinypyr

method, dtype, workers, ignore = eval(sys.argv[1])
array = np.arange(2_000_000).reshape(200, 100, 100).astype(dtype)
calls = [(2, 3), ((200, 100, 100), 1), ((7, 5, 9), 2)]
outs = [tinypyr.pyramid(array, factor, method, levels=levels, ignore=ignore) for factor, levels in calls]
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
raised = 0
for room in (0, 1 << 14, 1 << 17, 1 << 19, 1 << 20, 1 << 21, 1 << 22, 1 << 23, 10 << 20, 20 << 20, 70 << 20, 200 << 20):
    resource.setrlimit(resource.RLIMIT_AS, (used + room, resource.RLIM_INFINITY))
    for (factor, levels), out in zip(calls, outs):
        try:
            tinypyr.pyramid(array, factor, method, levels=levels, out=out, ignore=ignore, workers=workers)
        except MemoryError:
            raised += 1
print("raised", raised)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space as Linux does")
@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="the address sanitizer reserves terabytes")
@pytest.mark.skipif(not tinypyr.instruction_sets(), reason="numpy allocates in the calling thread alone")
@pytest.mark.parametrize("workers", [1, 2, 8])
@pytest.mark.parametrize("method", METHODS)
def test_exhausted_memory_raises_memory_error(method: str, workers: int) -> None:
    """A call succeeds or raises MemoryError with any room left in the address space, also if it starts threads."""
    for dtype, ignore in (("u8", None), ("f4", 3)):
        what = repr((method, dtype, workers, ignore))
        run = subprocess.run([sys.executable, "-W", "ignore", "-c", EXHAUSTED, what], capture_output=True, text=True)
        if workers > 1 and "cannot allocate memory for thread-local data" in run.stderr:
            continue  # glibc ends the process if a new thread gets a stack and nothing else (docs/arrays.md)
        assert run.returncode == 0, (dtype, run.stderr[-2000:])
        assert run.stdout.startswith("raised")
