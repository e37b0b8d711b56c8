"""Timing on one thread: pinning, interleaved rounds, and a description of the machine."""

from __future__ import annotations

import ctypes
import gc
import importlib.metadata
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)

CACHED = 2**25  # bytes: smaller inputs may stay in the caches, so that calls on them are repeated
SHORTEST = 2e-3  # seconds: the least that is timed of repeated calls
SHORT_ROUNDS = 3  # times as many rounds if calls are repeated


def one_thread() -> None:
    """Limit libraries to one thread through environment variables. Call this before they are imported."""
    for name in ONE_THREAD:
        os.environ[name] = "1"


def keep_memory() -> str:
    """Make the allocator keep freed memory, for all packages, because fresh pages cost as much as the work."""
    try:
        libc = ctypes.CDLL("libc.so.6")
        kept = libc.mallopt(-4, 0) and libc.mallopt(-1, 0x7FFFFFFF)  # M_MMAP_MAX, M_TRIM_THRESHOLD
    except (OSError, AttributeError):
        kept = 0
    return "memory is kept between calls" if kept else "memory is as the system gives it"


def pin() -> str:
    """Pin this process to one core, if the system allows it; return a description."""
    if not hasattr(os, "sched_setaffinity"):
        return "not pinned (the system has no sched_setaffinity)"
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {allowed[-1]})  # the first core serves most interrupts
    return "pinned to one core"


@dataclass(frozen=True)
class Times:
    """Seconds of one contender, one per round."""

    seconds: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def least(nbytes: int) -> float:
    """Return the seconds that calls on an input of this size are repeated for."""
    return SHORTEST if nbytes < CACHED else 0.0


def _repeats(call: Callable[[], object], at_least: float) -> int:
    """Return how often to call so that all calls together take this long, from the fastest of a few calls."""
    fastest = math.inf
    for _ in range(3):
        start = time.perf_counter()
        call()
        fastest = min(fastest, time.perf_counter() - start)
    return max(1, math.ceil(at_least / fastest))


def interleaved(calls: Mapping[str, Callable[[], object]], rounds: int, at_least: float = 0.0) -> dict[str, Times]:
    """Call everything once per round, each round starting at another contender, and time every call.

    A temporary slowdown of the machine (another process, a clock change) then affects all of them.

    With `at_least`, calls are measured from warm caches: short ones are repeated until they take that many seconds,
    after a call that is not timed, and the time of one call is their mean. There are `SHORT_ROUNDS` times as many
    rounds then, because a median of few milliseconds says nothing on a machine that does other work as well.
    """
    names = list(calls)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    repeats = {name: _repeats(calls[name], at_least) if at_least else 1 for name in names}
    rounds = SHORT_ROUNDS * rounds if at_least else rounds
    collecting = gc.isenabled()
    gc.disable()
    try:
        for turn in range(rounds):
            for k in range(len(names)):
                name = names[(turn + k) % len(names)]
                call, times = calls[name], repeats[name]
                if times > 1:
                    call()
                start = time.perf_counter()
                for _ in range(times - 1):
                    call()
                answer = call()
                seconds[name].append((time.perf_counter() - start) / times)
                del answer  # freeing memory is not timed
    finally:
        if collecting:
            gc.enable()
    return {name: Times(values) for name, values in seconds.items()}


def last_level_cache() -> int:
    """Return the bytes of the largest cache of the first core; 0 if unknown."""
    largest = 0
    for file in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = file.read_text().strip()
        unit = {"K": 2**10, "M": 2**20, "G": 2**30}.get(text[-1:], 1)
        digits = text.rstrip("KMG")
        if digits.isdigit():
            largest = max(largest, int(digits) * unit)
    return largest


def machine() -> dict[str, Any]:
    """Describe the machine: processor, cores and memory."""
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.lower().startswith(("model name", "cpu model")):
                model = line.partition(":")[2].strip()
                break
    memory = 0
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": model or platform.processor() or platform.machine(),
        "cores": os.cpu_count() or 0,
        "memory_gib": round(memory / 2**30),
        "last_level_cache_mib": round(last_level_cache() / 2**20),
    }


def version(distribution: str) -> str:
    """Return the installed version; empty if there is none."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""
