"""Compare building levels in a store with a copy of the base, with chained levels of TensorStore, and other packages.

All use the same codec and chunks: OME-Zarr 0.5, zstd, 64 x 128 x 128. The work is five levels with factors of 2x2x1 of
stored volumes, real micrographs by mean and a real segmentation by mode. Ratios are relative to a copy of level 0 with
TensorStore to a new array with the same chunks and codec. Levels are checked before times are printed. Other packages
are slow, so they get a smaller part of the volume, and their ratio (marked ~) is relative to a copy of that part.
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
from arrays import Data
from peers import Skip
from store_peers import PEERS, Part, Peer, load, spec, verdict
from tinypyr import Grid, store

CHUNKS = (64, 128, 128)
FACTOR, LEVELS = (1, 2, 2), 5
METHODS: dict[str, workloads.Method] = {"em": "mean", "labels": "mode"}
ROWS = {"em": "mean-2x2x1-u8-F", "labels": "mode-2x2x1-u32-F"}  # the owner of these arrays
COPY = "copy of the base, TensorStore"
ALONE = "TensorStore reads the base and writes five ready levels: no pooling"


def level(folder: Path, name: str) -> dict[str, Any]:
    return spec(folder / name)


def copy(folder: Path) -> None:
    """Copy level 0 to a new array with the same metadata."""
    base = ts.open(level(folder, "0"), open=True).result()
    shutil.rmtree(folder / "copy", ignore_errors=True)
    target = ts.open({**level(folder, "copy"), "schema": base.schema.to_json()}, create=True).result()
    target.write(base).result()


def chain(folder: Path, method: str) -> None:
    """Build levels with TensorStore, each from the level before (so they are not those of the base)."""
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


def store_alone(folder: Path, levels: list[workloads.Array]) -> None:
    """Read level 0 and write existing levels, chunk by chunk: the time without pooling."""
    base = ts.open(level(folder, "0"), open=True).result()
    targets = []
    for number, values in enumerate(levels, 1):
        shutil.rmtree(folder / f"alone{number}", ignore_errors=True)
        schema = base.schema.to_json()
        schema.pop("domain")
        spec = {**level(folder, f"alone{number}"), "schema": schema}
        targets.append(ts.open(spec, create=True, shape=values.shape).result())
    depth, rows, _ = CHUNKS
    corners = [(z, y) for z in range(0, base.shape[0], depth) for y in range(0, base.shape[1], rows)]

    def read(z: int, y: int) -> Any:
        return base[z : min(z + depth, base.shape[0]), y : min(y + rows, base.shape[1])].read()

    writing = []
    coming = read(0, 0)
    for (z, _), after in zip(corners, [*corners[1:], None], strict=True):  # one chunk is read ahead
        following = read(*after) if after else None
        coming.result()
        if after is None or after[0] != z:
            for target, values in zip(targets, levels, strict=True):
                layers = slice(z, min(z + depth, len(values)))
                writing.append(target[layers].write(values[layers]))
        coming = following
    for future in writing:
        future.result()


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
    parser.add_argument("--peer-gigabytes", type=float, default=0.27, help="of each volume, for peers (default: 0.27)")
    parser.add_argument(
        "--peers", type=named, default=PEERS, metavar="NAME,NAME", help="only these; none: '' (default: all installed)"
    )
    arguments = parser.parse_args()
    arguments.peers, left_out = installed(arguments.peers)
    machine = timing.machine()
    print(f"{report.machine_line(machine)}; {arguments.workers} workers, median of {arguments.rounds} rounds\n")
    print("| volume | method | what | seconds | over copying the base | answers |\n|---|---|---|--:|--:|---|")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
        for name, method in METHODS.items():
            if arguments.volume not in (None, name):
                continue
            folder = Path(temporary) / name
            volume = tiled(name, int(arguments.gigabytes * 1e9))
            grid = Grid(volume.shape, "zyx")
            store.build(volume, folder, levels=0, grid=grid, method=method, chunks=CHUNKS, codec="zstd")
            smaller = min(len(volume), chunk_layers(volume, arguments.peer_gigabytes))
            more = Path(temporary) / f"{name}-peers"
            if arguments.peers:
                part, grid = volume[:smaller], Grid((smaller, *volume.shape[1:]), "zyx")
                store.build(part, more, levels=0, grid=grid, method=method, chunks=CHUNKS, codec="zstd")
                del part
            whole = smaller == len(volume)
            del volume
            shutil.copy(folder / "zarr.json", folder / "zarr.json.base")
            measure(folder, name, method, arguments)
            shutil.rmtree(folder)
            if arguments.peers:
                left_out += measure_peers(more, name, method, arguments, whole)
                shutil.rmtree(more)
    if arguments.peers:
        versions = ", ".join(f"{peer.name} {timing.version(peer.distribution)}" for peer in arguments.peers)
        print(f"\n~: a part of the volume, over copying that part in the same run. {versions}.")
    for line in left_out:
        print(f"\nLeft out: {line}.")


def named(text: str) -> list[Peer]:
    names = [name for name in text.split(",") if name]
    if unknown := set(names) - {peer.name for peer in PEERS}:
        known = ", ".join(peer.name for peer in PEERS)
        raise argparse.ArgumentTypeError(f"no peer {', '.join(sorted(unknown))}: there are {known}")
    return [peer for peer in PEERS if peer.name in names]


def installed(peers: list[Peer]) -> tuple[list[Peer], list[str]]:
    """Return the packages that can be imported, and the reasons why the others cannot."""
    usable_peers, left_out = [], []
    for peer in peers:
        try:
            for module in peer.modules:
                load(module)
            usable_peers.append(peer)
        except Skip as reason:
            left_out.append(f"{peer.name}: {reason}")
    return usable_peers, left_out


def tiled(name: str, size: int) -> workloads.Array:
    """Return the real volume, axes z, y, x, repeated along z up to this size."""
    (row,) = (row for row in workloads.rows(["memory"]) if row.name == ROWS[name])
    piece = Data(1 << 27, quick=False).array(row).T
    return np.concatenate([piece] * max(1, round(size / piece.nbytes)))


def chunk_layers(volume: workloads.Array, gigabytes: float) -> int:
    """Return the number of layers, in whole chunks, of about this size."""
    return CHUNKS[0] * max(1, round(gigabytes * 1e9 / volume[: CHUNKS[0]].nbytes))


def measure(folder: Path, name: str, method: workloads.Method, arguments: argparse.Namespace) -> None:
    calls: dict[str, Callable[[], object]] = {
        COPY: lambda: copy(folder),
        "tinypyr, 5 levels": lambda: build(folder, arguments.workers),
        "TensorStore, 5 levels, recursive": lambda: chain(folder, method),
    }
    for call in calls.values():  # also warms the caches
        call()
    result = store.check(folder, sample=0.1)
    if not result.ok:
        raise AssertionError(str(result))
    base = ts.open(level(folder, "0"), open=True).result()
    ready = [ts.open(level(folder, str(n)), open=True).result().read().result() for n in range(1, LEVELS + 1)]
    calls[ALONE] = lambda: store_alone(folder, ready)
    calls[ALONE]()
    answers = [""]
    for prefix in ("", "chain", "alone"):
        levels = [ts.open(level(folder, f"{prefix}{n}"), open=True).result() for n in range(1, LEVELS + 1)]
        answers.append(verdict(base, levels, FACTOR, method))
    seconds = medians(calls, arguments.rounds)
    for (what, taken), answer in zip(seconds.items(), answers, strict=True):
        print_row(name, method, what, taken, f"{taken / seconds[COPY]:.2f}", answer)


def measure_peers(
    folder: Path, name: str, method: workloads.Method, arguments: argparse.Namespace, whole: bool
) -> list[str]:
    """Measure other packages; return their rows, and the reasons why the others have none."""
    part, left_out = Part(folder, method, CHUNKS, FACTOR, LEVELS, arguments.workers), []
    copy(folder)
    calls: dict[str, Callable[[], object]] = {COPY: lambda: copy(folder)}
    answers = {COPY: ""}
    base = ts.open(level(folder, "0"), open=True).result()
    for peer in arguments.peers:
        try:
            job = peer.make(part)
            job.run()
            answers[job.what] = verdict(base, job.levels(), job.factor, method)
            calls[job.what] = job.run
        except Skip as reason:
            left_out.append(f"{peer.name}, {name}: {reason}")
        except Exception as error:  # a package may conflict with other installed ones; the rest still run
            left_out.append(f"{peer.name}, {name}: {type(error).__name__}: {str(error)[:200]}")
    seconds = medians(calls, arguments.rounds)
    size = base.domain.size * base.dtype.numpy_dtype.itemsize / 1e9
    for what, taken in seconds.items():
        ratio = f"{'' if whole else '~'}{taken / seconds[COPY]:.2f}"
        what = f"copy of {size:.2f} GB of it, for peers, TensorStore" if what == COPY else what
        print_row(name, method, what, taken, ratio, answers.get(what, ""))
    return left_out


def medians(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    seconds: dict[str, list[float]] = {what: [] for what in calls}
    for _ in range(rounds):
        for what, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[what].append(time.perf_counter() - start)
    return {what: statistics.median(taken) for what, taken in seconds.items()}


def print_row(name: str, method: str, what: str, seconds: float, ratio: str, answers: str) -> None:
    print(f"| {name} | {method} | {what} | {seconds:.2f} | {ratio} | {answers} |", flush=True)


if __name__ == "__main__":
    main()
