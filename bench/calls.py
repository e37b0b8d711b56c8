"""The cost of one call on a small tile, beyond that of an empty Python function with the same arguments."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import timing
import tinypyr

SIDE = 64
ALLOCATING_GOAL_US = 2.5
OUT_GOAL_US = 3.5


@dataclass(frozen=True)
class Tile:
    """One way to call `tinypyr.downsample` on a tile."""

    name: str
    into_out: bool
    goal_us: float
    method: str = "mean"


TILES = (
    Tile("call-64x64-mean-u8-allocating", False, ALLOCATING_GOAL_US),
    Tile("call-64x64-mean-u8-out", True, OUT_GOAL_US),
)


def _empty(array: object, factor: object, *, out: object = None) -> object:
    return np.empty((SIDE // 2, SIDE // 2), np.uint8) if out is None else out


def measure(tiles: Sequence[Tile], rounds: int, at_least: float) -> list[dict[str, Any]]:
    """Compute, check and time means of 64 x 64 voxels by 2 x 2."""
    array = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    expected = np.rint(array.reshape(SIDE // 2, 2, SIDE // 2, 2).mean(axis=(1, 3))).astype(np.uint8)
    measured = []
    for tile in tiles:
        more: dict[str, Any] = {"out": np.empty_like(expected)} if tile.into_out else {}
        result: dict[str, Any] = {
            "name": tile.name,
            "line": f"{SIDE} x {SIDE} tile over an empty function, {'with out=' if tile.into_out else 'allocating'}",
            "unit": "µs",
            "goal": tile.goal_us,
            "value": None,
        }
        if not np.array_equal(tinypyr.downsample(array, (2, 2), **more), expected):
            result["wrong"] = "the call on a tile gives a wrong answer"
        else:
            calls: dict[str, Callable[[], object]] = {
                "empty": functools.partial(_empty, array, (2, 2), **more),
                "tinypyr": functools.partial(tinypyr.downsample, array, (2, 2), **more),
            }
            times = timing.interleaved(calls, rounds, at_least)
            whole, empty = times["tinypyr"].median * 1e6, times["empty"].median * 1e6
            result |= {"value": whole - empty, "note": f"whole call {whole:.2f} µs, empty function {empty:.2f} µs"}
        measured.append(result)
    return measured
