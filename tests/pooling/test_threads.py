"""Threads within a call, concurrent calls, and the GIL."""

from __future__ import annotations

import _thread
import concurrent.futures
import os
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

import tinypyr
from support.strategies import METHODS, assert_same_bits, voxels


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("order", ["C", "F"])
def test_any_number_of_threads_gives_the_same_bits(method: Any, order: Any, isa: str) -> None:
    rng = np.random.default_rng(1)
    for dtype, shape in (("uint8", (257, 130, 33)), ("float32", (33, 129, 258)), ("uint64", (500, 64, 3))):
        array = np.array(voxels(rng, shape, dtype, "labels" if method == "mode" else "noise"), order=order)
        for factor, levels in (((2, 2, 1), 4), ((2, 2, 2), 3), ((1, 2, 2), 2), ((3, 5, 1), 1)):
            want = tinypyr.pyramid(array, factor, method, levels=levels, voxel_offset=(1, 0, 3))
            for workers in (2, 3, 8, None):
                got = tinypyr.pyramid(array, factor, method, levels=levels, voxel_offset=(1, 0, 3), workers=workers)
                for level, wanted in zip(got, want, strict=True):
                    assert_same_bits(level, wanted, (dtype, factor, workers))


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 1, 1), (1, 1, 5), (1, 300, 1), (0, 5, 5)])
def test_more_threads_than_rows(shape: tuple[int, ...]) -> None:
    array = np.full(shape, 3, np.uint16)
    for method in METHODS:
        counts: tuple[Any, ...] = (2, 64, 1000, np.int64(7), 2.0)
        for workers in counts:
            got = tinypyr.downsample(array, 2, method, workers=workers)
            assert got.shape == tuple(-(-n // 2) for n in shape)
            assert (got == 3).all()


def test_concurrent_calls_on_one_input() -> None:
    """Eight threads make a thousand calls on shared inputs, each with an output of its own."""
    rng = np.random.default_rng(2)
    arrays = [voxels(rng, (40, 30, 6), dtype, "labels") for dtype in ("uint8", "uint32", "float64")]
    jobs = [(array, method) for array in arrays for method in METHODS]
    want = [tinypyr.pyramid(array, 2, method, levels=2) for array, method in jobs]
    start = threading.Barrier(8)

    def work(seed: int) -> int:
        start.wait()
        for number in np.random.default_rng(seed).integers(0, len(jobs), 1000):
            array, method = jobs[number]
            got = tinypyr.pyramid(array, 2, method, levels=2, workers=1 + seed % 2)
            for level, wanted in zip(got, want[number], strict=True):
                assert_same_bits(level, wanted)
        return 1000

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) == 8000


@pytest.mark.skipif(
    not tinypyr.instruction_sets(), reason="the reference is numpy, which lets go of the GIL as it likes"
)
@pytest.mark.parametrize("method", METHODS)
def test_the_gil_is_released(method: Any) -> None:
    """No thread is forced to release the GIL here, so the waiting thread runs only if the call releases it."""
    array = np.zeros((2048, 2048, 4), np.uint8)
    out = np.empty((1024, 1024, 4), np.uint8)
    waiting, ran = threading.Event(), threading.Event()

    def other() -> None:
        waiting.set()
        begin.acquire()
        ran.set()

    begin = threading.Lock()
    begin.acquire()
    thread = threading.Thread(target=other)
    interval = sys.getswitchinterval()
    try:
        thread.start()
        waiting.wait()
        sys.setswitchinterval(1e6)
        begin.release()  # from here on the other thread runs only if a call releases the GIL
        for _ in range(1000):
            tinypyr.downsample(array, (2, 2, 1), method, out=out)
            if ran.is_set():
                break
        assert ran.is_set()
    finally:
        sys.setswitchinterval(interval)
        thread.join()


@pytest.mark.skipif(not tinypyr.instruction_sets(), reason="numpy is interrupted between its functions")
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_ends_a_call_on_two_long_rows(workers: int) -> None:
    """The other thread runs, and sends the interrupt, only when the call has released the GIL."""
    array = np.zeros((2, 10_000_000), np.uint64)
    begin = threading.Lock()
    begin.acquire()

    def other() -> None:
        begin.acquire()
        _thread.interrupt_main()

    thread = threading.Thread(target=other)
    interval = sys.getswitchinterval()
    try:
        thread.start()
        sys.setswitchinterval(1e6)
        begin.release()
        with pytest.raises(KeyboardInterrupt):
            tinypyr.pyramid(array, (2, 2), "mode", levels=4, workers=workers)
    finally:
        sys.setswitchinterval(interval)
        thread.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_a_fork_after_threads() -> None:
    """A call with threads leaves no state for which a forked child would wait."""
    script = """
import os, warnings
import numpy as np, tinypyr
warnings.simplefilter("ignore")
array = np.arange(2_000_000, dtype=np.uint32).reshape(200, 100, 100)
want = tinypyr.downsample(array, 2, workers=4)
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(tinypyr.downsample(array, 2, workers=4), want) else 3)
print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert run.stdout.split()[-2:] == ["child", "0"], run.stderr


DAEMON = """
import threading, time
import numpy as np
import tinypyr

labels = np.random.default_rng(0).integers(0, 2**60, (200, 200, 200), dtype=np.uint64)

def pool() -> None:
    while True:
        tinypyr.downsample(labels, 200, "mode", workers=WORKERS)

threading.Thread(target=pool, daemon=True).start()
time.sleep(0.3)
"""


@pytest.mark.parametrize("workers", [1, 4])
def test_the_interpreter_can_end_during_a_call_of_a_daemon_thread(workers: int) -> None:
    for _ in range(3):
        subprocess.run([sys.executable, "-c", DAEMON.replace("WORKERS", str(workers))], check=True)
