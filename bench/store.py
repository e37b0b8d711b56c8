"""Levels of a volume in a store, beside copying its base and beside TensorStore's own chain of levels.

One run, the same codec and chunks: OME-Zarr 0.5, zstd, 64 x 128 x 128. Five levels of 2x2x1 of a volume made of the
real micrographs, by mean, and of the real segmentation, by mode, each already stored. Every ratio is to copying level
0 with TensorStore into a new array of the same chunks and codec; levels are checked before times are printed.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

import report
import timing
import workloads
from tinypyr import Grid, store

CHUNKS = (64, 128, 128)
FACTOR, LEVELS = (1, 2, 2), 5
ROWS = {"em": "mean-2x2x1-u8-F", "labels": "mode-2x2x1-u32-F"}  # whose arrays these are


def level(folder: Path, name: str) -> dict[str, Any]:
    return {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{folder / name}/"}}


def copy(folder: Path) -> None:
    """Level 0 into a new array like it."""
    base = ts.open(level(folder, "0"), open=True).result()
    shutil.rmtree(folder / "copy", ignore_errors=True)
    target = ts.open({**level(folder, "copy"), "schema": base.schema.to_json()}, create=True).result()
    target.write(base).result()


def chain(folder: Path, method: str) -> None:
    """TensorStore's levels, each from the one before (and so not of the base)."""
    for number in range(1, LEVELS + 1):
        shutil.rmtree(folder / f"chain{number}", ignore_errors=True)
        before = ts.open(level(folder, "0" if number == 1 else f"chain{number - 1}"), open=True).result()
        smaller = ts.downsample(before, list(FACTOR), method)  # type: ignore[call-overload]
        schema = before.schema.to_json()
        schema.pop("domain")
        target = ts.open(
            {**level(folder, f"chain{number}"), "schema": schema}, create=True, domain=smaller.domain
        ).result()
        target.write(smaller).result()


def build(folder: Path, workers: int) -> store.Report:
    for number in range(1, LEVELS + 1):
        shutil.rmtree(folder / str(number), ignore_errors=True)
    meta = (folder / "zarr.json.base").read_bytes()
    (folder / "zarr.json").write_bytes(meta)
    return store.build(folder, factor=FACTOR, levels=LEVELS, workers=workers)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench/store.py", description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=1.1, help="of each volume (default: 1.1)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where the volumes go (default: a temporary one)")
    parser.add_argument("--volume", choices=list(ROWS), help="only this one")
    arguments = parser.parse_args()
    machine = timing.machine()
    print(f"{report.machine_line(machine)}; {arguments.workers} workers, median of {arguments.rounds} rounds\n")
    print("| volume | method | what | seconds | over copying the base |\n|---|---|---|--:|--:|")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
        for name, method in (("em", "mean"), ("labels", "mode")):
            if arguments.volume not in (None, name):
                continue
            folder = Path(temporary) / name
            volume = tiled(name, int(arguments.gigabytes * 1e9))
            grid = Grid(volume.shape, "zyx")
            store.build(volume, folder, levels=0, grid=grid, method=method, chunks=CHUNKS, codec="zstd")
            del volume
            shutil.copy(folder / "zarr.json", folder / "zarr.json.base")
            measure(folder, name, method, arguments)


def tiled(name: str, size: int) -> workloads.Array:
    """The real volume, axes z, y, x, repeated along z until it is that large."""
    (row,) = (row for row in workloads.rows(["memory"]) if row.name == ROWS[name])
    piece = workloads.Data(1 << 27, quick=False).array(row).T
    return np.concatenate([piece] * max(1, round(size / piece.nbytes)))


def measure(folder: Path, name: str, method: str, arguments: argparse.Namespace) -> None:
    calls: dict[str, Callable[[], object]] = {
        "copy of the base, TensorStore": lambda: copy(folder),
        "tinypyr, 5 levels": lambda: build(folder, arguments.workers),
        "TensorStore, 5 levels, recursive": lambda: chain(folder, method),
    }
    seconds: dict[str, list[float]] = {what: [] for what in calls}
    for call in calls.values():  # (and warm)
        call()
    if findings := store.check(folder, sample=0.1):
        raise AssertionError(str(findings))
    for _ in range(arguments.rounds):
        for what, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[what].append(time.perf_counter() - start)
    base = statistics.median(seconds["copy of the base, TensorStore"])
    for what, taken in seconds.items():
        middle = statistics.median(taken)
        print(f"| {name} | {method} | {what} | {middle:.2f} | {middle / base:.2f} |", flush=True)


if __name__ == "__main__":
    main()
