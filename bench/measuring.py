"""Measure one row: compute with every package, compare the results, and only then time them."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import expected
import ours
import peers as peer_module
import timing
from workloads import Array, Row


def _part(array: Array, row: Row, fraction: float) -> Array:
    """Return the first layers of the array along its slowest axis, at least one block of the coarsest level."""
    axis = expected.slow_axis(array)
    factor = tuple(f**row.levels for f in row.factor)
    thick = expected.slab(array.shape, factor, axis, max(1, int(array.size * fraction)))
    return array[tuple(slice(0, thick) if i == axis else slice(None) for i in range(array.ndim))]


def _prepare(peer: peer_module.Peer, array: Array, row: Row, cap: float) -> tuple[peer_module.Job, float]:
    """Return the peer's job and the share of the input that it gets, so that a call takes no longer than the cap."""
    small = _part(array, row, 1 / 64)
    trial = peer.make(small, row)
    trial.run()  # first calls import, compile, start threads
    seconds = timing.interleaved({"trial": trial.run}, 1)["trial"].median
    whole = seconds * array.size / small.size
    if whole <= cap:
        return peer.make(array, row), 1.0
    part = _part(array, row, cap / whole)
    return peer.make(part, row), part.size / array.size


def _description(row: Row, array: Array) -> dict[str, Any]:
    return {
        "name": row.name,
        "title": row.title,
        "method": row.method,
        "factor": list(row.factor),
        "dtype": row.dtype,
        "order": row.order,
        "data": row.data,
        "levels": row.levels,
        "ignore": row.ignore,
        "shape": list(array.shape),
        "megabytes": array.nbytes / 1e6,
        "beside": row.beside,
        "goal": row.goal,
        "net_goal": row.net_goal,
        "line": row.line,
        "peers": {},
    }


Jobs = dict[str, tuple[float, peer_module.Job]]  # of each peer: the share of the input that it gets, and its call


def _peer_jobs(
    row: Row, array: Array, levels: list[Array] | None, contenders: Sequence[peer_module.Peer], peer_cap: float
) -> tuple[Jobs, dict[str, dict[str, Any]]]:
    """Return the peers whose answers are right, and the entries of the others; `levels` is None if it is wrong."""
    jobs: Jobs = {}
    refused: dict[str, dict[str, Any]] = {}
    for peer in contenders:
        named = row.peers is not None and peer.name in row.peers
        if peer in peer_module.PEERS and not named and (row.peers is not None or peer.only_where_named):
            continue
        try:
            cap = math.inf if peer.name == row.beside else peer_cap
            job, share = _prepare(peer, array, row, cap)
            answer = job.levels(job.run())
        except peer_module.Skip as skip:
            refused[peer.name] = {"skipped": str(skip)}
            continue
        except Exception as error:  # any exception of another package is its result
            text = " ".join(str(error).split())[:120]
            refused[peer.name] = {"skipped": f"fails with {type(error).__name__}: {text}"}
            continue
        seen = array if share == 1 else _part(array, row, share)
        wrong = expected.check(answer, seen, row, job.rule)
        # the checks cover both ends of the volume; packages with the same rule are compared everywhere
        comparable = not wrong and levels is not None and job.rule == "exact" and share == 1
        if comparable and any(not np.array_equal(a, b) for a, b in zip(levels or [], answer, strict=True)):
            wrong = "differs from tinypyr's answer inside the volume"
        if wrong:
            refused[peer.name] = {"wrong": wrong}
        else:
            jobs[peer.name] = share, job
        del answer
    return jobs, refused


def _smallest(row: Row, array: Array) -> dict[str, Callable[[], object]]:
    """Return the calls of tinypyr and of the peer it is compared with on 2 x 2 pixels: the cost of a call."""
    pixels = np.ascontiguousarray(array[:2, :2])
    peer = next(peer for peer in peer_module.PEERS if peer.name == row.beside)
    return {"tinypyr, smallest": ours.calls(pixels, row)[0], "beside, smallest": peer.make(pixels, row).run}


def _base(row: Row, array: Array, copy: Array, jobs: Jobs) -> Callable[[], object]:
    """Return the call that ratios of this row are relative to: a copy of the input, or a peer."""
    if row.beside not in jobs:
        return functools.partial(np.copyto, copy, array)
    peer = next(peer for peer in peer_module.PEERS if peer.name == row.beside)
    return peer.make(array, row).run


def measure(
    row: Row,
    arrays: Sequence[Array],
    copy: Array,
    contenders: Sequence[peer_module.Peer],
    rounds: int,
    peer_cap: float,
) -> dict[str, Any]:
    """Compute, check and time; peers run on the first of the arrays, which are copies at different addresses."""
    array = arrays[0]
    into, allocating = ours.calls(array, row)
    result = _description(row, array)
    levels = into()
    why = expected.check(levels, array, row, "exact")
    others = [ours.calls(other, row)[0] for other in arrays[1:]]
    for call, what in ((allocating, "the call without out="), *((call, "the call on a copy") for call in others)):
        if not why and any(not np.array_equal(a, b) for a, b in zip(levels, call(), strict=True)):
            why = f"{what} gives another answer"
    jobs, result["peers"] = _peer_jobs(row, array, None if why else levels, contenders, peer_cap)
    flat = array.reshape(-1, order="A").view(np.uint8)
    words = flat[: flat.size // 8 * 8].view(np.uint64)
    calls: dict[str, Callable[[], object]] = {
        "copy": functools.partial(np.copyto, copy, array),
        "read": lambda: np.bitwise_or.reduce(words),  # the minimum of work for every byte
    }
    if not why:
        calls |= {"tinypyr": into, "allocating": allocating}
    calls |= {name: job.run for name, (_, job) in jobs.items()}
    net = row.net_goal is not None and row.beside in jobs and not why
    if net:
        calls |= _smallest(row, array)

    times = timing.interleaved(calls, rounds, timing.least(array.nbytes))
    if row.beside != "copy" and row.beside not in jobs:
        # the goal is that of a comparison which cannot be made
        result |= {"beside": "copy", "goal": None, "net_goal": None, "missing": row.beside}
    base = times[result["beside"]].median
    result["copy_ms"] = times["copy"].median * 1e3
    result["base_ms"] = base * 1e3
    result["copy"] = times["copy"].median / base
    result["read"] = times["read"].median / base
    result["out_megabytes"] = sum(level.nbytes for level in levels) / 1e6
    for name, (share, job) in jobs.items():
        result["peers"][name] = {
            "ratio": times[name].median / share / base,
            "scaled": share < 1,
            "rule": job.rule,
            "note": job.note,
        }
    if why:
        result["tinypyr"] = {"wrong": why}
        result["verdict"] = "WRONG"
        return result
    bases = [_base(row, each, copy, jobs) for each in arrays]
    first = times["tinypyr"].median / base
    result["tinypyr"] = _everywhere(first, bases, [into, *others], rounds, timing.least(array.nbytes))
    result["tinypyr"]["allocating"] = times["allocating"].median / base
    if net:
        spent, beside = times["tinypyr, smallest"].median, times["beside, smallest"].median
        ratio = result["tinypyr"]["ratio"]
        result["tinypyr"]["call_us"] = spent * 1e6
        result["tinypyr"]["net"] = (ratio * base - spent) / max(base - beside, 1e-9)
    result["verdict"] = _verdict(result)
    return result


def _everywhere(
    first: float,
    bases: Sequence[Callable[[], object]],
    calls: Sequence[Callable[[], object]],
    rounds: int,
    at_least: float,
) -> dict[str, Any]:
    """Return the median and largest ratio over all arrays, and, on AVX2, the ratio of the first array."""

    def ratio(base: Callable[[], object], call: Callable[[], object]) -> float:
        times = timing.interleaved({"base": base, "tinypyr": call}, rounds, at_least)
        return times["tinypyr"].median / times["base"].median

    ratios = [first, *(ratio(base, call) for base, call in zip(bases[1:], calls[1:], strict=True))]
    entry: dict[str, Any] = {"ratio": statistics.median(ratios), "worst": max(ratios), "scaled": False}
    if ours.has_narrower():
        entry["avx2"] = ours.on_avx2(lambda: ratio(bases[0], calls[0]))
    return entry


def _verdict(result: dict[str, Any]) -> str:
    if result["goal"] is None:
        return ""
    reached = result["tinypyr"]["ratio"] <= result["goal"]
    if result["net_goal"] is not None:
        reached = reached and result["tinypyr"]["net"] <= result["net_goal"]
    return "hit" if reached else "miss"
