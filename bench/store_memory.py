"""Measure the peak memory of builds above the memory before, as counted by the kernel.

Each row is a process of its own. The volumes are computed when they are read, so they take no memory: zeros with some
ramps (empty chunks are not written), or ramps everywhere. The last level fits one chunk.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile

import report
import timing

ROWS = [  # GiB, contents, memory
    (1, "ramps", "256MiB"),
    (1, "ramps", "1GiB"),
    (16, "sparse", "512MiB"),
]

SCRIPT = """
import sys, time
import numpy as np
from tinypyr import store

folder, size, what, memory = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]

class Volume:
    shape, dtype, chunks = (size * 64, 4096, 4096), np.dtype("uint8"), (64, 128, 128)
    def __getitem__(self, box):
        z, y, x = (np.arange(s.start, s.stop).astype(np.uint8) for s in box)
        voxels = z[:, None, None] + y[:, None] + x
        if what == "sparse":
            voxels[:, (y // 16) % 16 != 0] = 0
            voxels[z % 64 > 8] = 0
        return voxels

def peak():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

store.build(np.zeros((8, 8, 8), np.uint8), folder + "/small", levels=1, factor=2)
before, start = peak(), time.perf_counter()
result = store.build(Volume(), folder + "/large", factor="auto", memory=memory, workers=2, progress=False)
seconds = time.perf_counter() - start
assert store.check(folder + "/large", sample=0.01).ok
print(len(result.plan.factors), result.plan.geometry.leaf_levels, (peak() - before) >> 20, f"{seconds:.0f}")
"""


def main() -> None:
    argparse.ArgumentParser(prog="bench/store_memory.py", description=__doc__).parse_args()
    print(f"{report.machine_line(timing.machine())}; 2 workers\n")
    print("| volume | memory allowed | levels, of them made by leaves | peak over what was held before | seconds |")
    print("|---|--:|--:|--:|--:|")
    for size, what, memory in ROWS:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-c", SCRIPT, folder, str(size), what, memory]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
        levels, leaves, peak, seconds = done.stdout.split()
        print(f"| {size} GiB, {what} | {memory} | {levels}, {leaves} | {peak} MiB | {seconds} |", flush=True)


if __name__ == "__main__":
    main()
