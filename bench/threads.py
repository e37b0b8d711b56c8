"""Compare one thread with two: every named row on the same array, medians of interleaved rounds."""

from __future__ import annotations

import argparse
import fnmatch
import functools
import math

import timing

timing.one_thread()  # before numpy is imported

import tinypyr  # noqa: E402
import workloads  # noqa: E402
from arrays import Data  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench/threads.py", description=__doc__)
    parser.add_argument(
        "rows", nargs="*", default=["m*-2x2x?-u8-*", "m*-2x2x?-u64-*", "mean-?x?x?-u8-*"], help="patterns"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=float, default=134)
    arguments = parser.parse_args()
    data = Data(int(arguments.megabytes * 1e6), quick=False)
    faster = []
    print(f"| row | 1 thread, ms | {arguments.threads} threads, ms | times faster |\n|---|--:|--:|--:|")
    for row in workloads.rows(["memory"]):
        if not any(fnmatch.fnmatchcase(row.name, pattern) for pattern in arguments.rows):
            continue
        array = data.array(row)
        out = tinypyr.pyramid(array, row.factor, row.method, levels=row.levels, ignore=row.ignore)

        call = functools.partial(
            tinypyr.pyramid, array, row.factor, row.method, levels=row.levels, ignore=row.ignore, out=out
        )
        calls = {"1": functools.partial(call, workers=1), "n": functools.partial(call, workers=arguments.threads)}
        times = timing.interleaved(calls, arguments.rounds)
        one, many = times["1"].median, times["n"].median
        faster.append(one / many)
        print(f"| {row.name} | {one * 1e3:.2f} | {many * 1e3:.2f} | {one / many:.2f} |", flush=True)
    if faster:
        mean = math.exp(sum(map(math.log, faster)) / len(faster))
        print(f"\n{len(faster)} rows: {min(faster):.2f} to {max(faster):.2f} times, geometric mean {mean:.2f}")
        print(", ".join(f"{key}: {value}" for key, value in timing.machine().items()))


if __name__ == "__main__":
    main()
