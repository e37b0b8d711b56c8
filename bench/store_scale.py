"""Measure the cost of plans from a terabyte to an exabyte, and of each engine per block.

The first table has real plans of volumes that are not stored. The second one has measured builds: 102,400 blocks of
8 x 8 voxels of an empty volume, so that all time is spent on scheduling, on one marker per block, and on merging. Each
engine runs in a process of its own. The memory of the coordinator is that of this process minus that of its imports.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import report
import timing
from tinypyr import Grid, store
from tinypyr._util.sizes import size_text

EDGES = {"1 TB": 10_000, "1 PB": 100_000, "1 EB": 1_000_000}
ENGINES = ("threads", "processes", "dask")
#: Bytes of level 0 that one worker processes per second: for uint8 means, two thirds of the rate of a core here.
RATE = 2e8


def on_paper() -> None:
    """Plan uint8 volumes in shards of 512 cubed."""
    print("| volume | blocks, markers | of | levels | read | written | plan | planned in | a block at 200 MB/s |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for name, edge in EDGES.items():
        virtual = np.broadcast_to(np.uint8(0), (edge,) * 3)
        start = time.perf_counter()
        plan = store.plan(
            virtual, "memory://scale", factor=2, chunks=(64,) * 3, shards=(512,) * 3, memory="4GiB", workers=1
        )
        taken = time.perf_counter() - start
        what = plan.describe()
        block = plan.bytes_in_block(plan.blocks // 2)
        print(
            f"| {name} | {plan.blocks:,} | {size_text(block)} | {len(plan.factors)} | "
            f"{size_text(what['bytes_to_read'])} | {size_text(what['bytes_to_write'])} | {len(json.dumps(what)):,} B | "
            f"{taken * 1e3:.0f} ms | {block / RATE:.0f} s |"
        )


def measured(engine: str, edge: int, folder: Path) -> None:
    """Measure one engine, and print a row."""
    base, target = folder / "base", folder / "target"
    if not base.exists():
        grid = Grid((edge, edge), "yx")
        store.build(np.zeros((edge, edge), np.uint8), base, levels=0, chunks=(8, 8), grid=grid, method="mean")
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    plan = store.plan(base, target, factor=2, levels=1, block=1, workers=2)
    start = time.perf_counter()
    if engine == "dask":
        from distributed import Client, LocalCluster  # type: ignore[import-untyped,import-not-found,unused-ignore]

        options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
        with LocalCluster(**options) as cluster, Client(cluster) as client:  # type: ignore[no-untyped-call,unused-ignore]
            start = time.perf_counter()
            done = store.run(plan, engine=client)
            ran = time.perf_counter() - start
    else:
        done = store.run(plan, engine=engine)
        ran = time.perf_counter() - start
    if done.blocks_done != plan.blocks or done.failed:
        raise AssertionError(f"{engine}: {done}")
    start = time.perf_counter()
    store.finalize(plan)
    ended = time.perf_counter() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held) * 1024
    per_block, at_the_end = ran / plan.blocks * 1e3, ended / plan.blocks * 1e3
    print(
        f"| {engine} | {plan.blocks:,} | {ran:.0f} s | {per_block:.2f} ms | {at_the_end:.2f} ms | {size_text(grown)} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench/store_scale.py", description=__doc__)
    parser.add_argument("--edge", type=int, default=2560, help="of the measured volume, in voxels (2560)")
    parser.add_argument("--engines", default=",".join(ENGINES), help="which (threads,processes,dask)")
    parser.add_argument("--folder", type=Path, help="where the volumes go (default: a temporary one)")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        measured(arguments.one, arguments.edge, arguments.folder)
        return
    print(f"{report.machine_line(timing.machine())}\n")
    on_paper()
    print("\n| engine | blocks | run | per block | finalize, per block | memory of the coordinator |")
    print("|---|--:|--:|--:|--:|--:|", flush=True)
    for engine in arguments.engines.split(","):
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            command = [sys.executable, __file__, "--one", engine, "--edge", str(arguments.edge), "--folder", folder]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
