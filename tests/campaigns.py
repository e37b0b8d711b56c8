"""Stores through anything that can go wrong, at length; tests/test_unbreakable.py runs the short forms.

    python tests/campaigns.py kill       every N-th system call of each family is the last one
    python tests/campaigns.py errors     disk full, and failing fsync, at every N-th call
    python tests/campaigns.py random     SIGKILL at random moments, ten in a row on one build
    python tests/campaigns.py race       two builders at once
    python tests/campaigns.py mutate     a byte flipped, or a file cut, anywhere
    python tests/campaigns.py metadata   JSON that others may have written, or have damaged, in every format

Linux alone; ``kill`` and ``errors`` want strace. Each prints what it did and stops at the first thing that is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stores import FORMATS, files
from tinypyr import Grid, store
from tinypyr.store.location import Location
from tinypyr.store.source import level_array, open_volume, read_voxels

#: System calls by what they do to files.
FAMILIES = {
    "write": "write,pwrite64,writev",
    "fsync": "fsync,fdatasync",
    "rename": "rename,renameat,renameat2",
    "unlink": "unlink,unlinkat,rmdir",
    "open": "openat,open,creat,mkdir,mkdirat",
}

#: What is built: the format, and whether its levels go beside level 0.
CASES: dict[str, dict[str, Any]] = {
    "shards": {"format": "ome-zarr-0.5", "in_place": False, "shards": (16, 16, 16)},
    "in place": {"format": "ome-zarr-0.5", "in_place": True},
    "n5": {"format": "n5", "in_place": False},
    "precomputed": {"format": "precomputed", "in_place": True},
}

JSON = ("zarr.json", ".zarray", ".zattrs", ".zgroup", "attributes.json", "info")


class Build:
    """One build, to be begun again and again from the same beginning at the same place, and what it must end as."""

    def __init__(self, folder: Path, case: str, shape: tuple[int, int, int] = (16, 40, 30)) -> None:
        given = dict(CASES[case])
        self.in_place = given.pop("in_place")
        self.base, self.where, self._start = folder / "base", folder / "t", folder / "start"
        self.folder = folder
        volume = np.random.default_rng(5).integers(0, 40, shape).astype(np.uint16)
        place = self._start if self.in_place else self.base
        grid = Grid(shape, "xyz" if given["format"] == "precomputed" else "zyx")
        shards = given.pop("shards", None)
        store.build(volume, place, levels=0, chunks=(8, 8, 8), grid=grid, method="mode", format=given["format"])
        factor: Any = (2, 2, 2, 1) if given["format"] == "precomputed" else 2
        self._arguments: dict[str, Any] = {"levels": 2, "method": "mode", "workers": 2, "block": 1, "factor": factor}
        if not self.in_place:
            self._arguments |= {"shards": shards, "format": given["format"]}
        self.reset()
        self.run()
        self.end = files(self.where)

    def reset(self) -> None:
        """As it was before anything was built."""
        shutil.rmtree(self.where, ignore_errors=True)
        if self.in_place:
            shutil.copytree(self._start, self.where, copy_function=shutil.copy2)

    def run(self, progress: Any = False) -> store.Report:
        """Build, or go on."""
        source, target = (self.where, None) if self.in_place else (self.base, self.where)
        return store.build(source, target, progress=progress, **self._arguments)

    def done(self) -> int:
        """How many blocks have said that they are done."""
        scratch = self.where / ".tinypyr"
        return sum(path.name.startswith("block-") and "lock" not in path.name for path in scratch.glob("*"))

    def torn(self) -> list[str]:
        """What can be read now and is not what it will be (metadata, which grows, and what lies beside apart)."""
        grows = ("zarr.json", "info", "attributes.json")
        return [
            name
            for name, held in files(self.where).items()
            if held is not None
            and not name.startswith(".tinypyr")
            and not name.endswith((".__lock", *grows))
            and self.end.get(name) != held
        ]

    def goes_on(self, what: str) -> None:
        """After an interruption: nothing torn, nothing lost, nothing made twice; in the end every byte is the same."""
        if torn := self.torn():
            raise AssertionError(f"{what}: torn: {torn}")
        done = self.done()
        status, said = self.apart()
        if status != 0:
            raise AssertionError(f"{what}: does not go on: {said}")
        if int(said) < done:
            raise AssertionError(f"{what}: {done} blocks were done, {said} were kept")
        self.is_right(what)

    def apart(self) -> tuple[int, str]:
        """Build in a process of its own: its status, and its error, or how many blocks it kept."""
        process = Forked(self)
        process.begin()
        return process.end()

    def is_right(self, what: str) -> None:
        """Every byte as in an uninterrupted build, and no more of them."""
        found = files(self.where)
        if found != self.end:
            names = sorted({name for name, _ in found.items() ^ self.end.items()})
            raise AssertionError(f"{what}: not as an uninterrupted build: {names}")


class Forked:
    """A process that builds once it is told to. It speaks through a socket: no call that may be made to fail."""

    def __init__(self, build: Build) -> None:
        self._socket, there = socket.socketpair()
        self.pid = os.fork()
        if self.pid:
            there.close()
            self._socket.recv(1)
            return
        status = 3
        try:
            self._socket.close()
            # whatever is imported late, or set up at first use
            store.build(np.ones((9, 9), np.uint16), "memory://warm/", levels=1, factor=2, method="mode", block=1)
            there.send(b"x")
            there.recv(1)
            report = build.run()
            there.send(str(report.blocks_kept).encode())
            status = 0
        except store.StoreError as error:
            there.send(str(error).encode())
            status = 1
        except BaseException as error:
            there.send("".join(traceback.format_exception(error)).encode())
        finally:
            os._exit(status)

    def begin(self) -> None:
        """Tell it."""
        self._socket.send(b"x")

    def end(self) -> tuple[int, str]:
        """Wait for it: its status, or minus the signal that ended it; its error, or how many blocks it kept."""
        _, status = os.waitpid(self.pid, 0)
        said = self._socket.recv(1 << 16).decode()
        self._socket.close()
        return os.waitstatus_to_exitcode(status), said


def injected(build: Build, family: str, what: str, number: int) -> tuple[int, str, bool]:
    """Build with something done to each thread's N-th system call of a family: how it ended, what it said, whether any
    thread came so far."""
    calls = FAMILIES[family]
    log = build.folder / "strace"
    options = ["-f", "-qq", "-o", str(log), "-e", f"trace={calls}", "-e", f"inject={calls}:{what}:when={number}"]
    process = Forked(build)
    tracer = subprocess.Popen(["strace", *options, "-p", str(process.pid)])
    while "TracerPid:\t0" in Path(f"/proc/{process.pid}/status").read_text():
        time.sleep(0.002)
    process.begin()
    status, said = process.end()
    tracer.wait()
    return status, said, "INJECTED" in log.read_text()


def kill(build: Build, family: str, numbers: Iterator[int]) -> int:
    """Killed at these calls; how many times. Ends at the first number that no thread reaches."""
    times = 0
    for number in numbers:
        build.reset()
        status, said, _ = injected(build, family, "signal=KILL", number)
        if status == 0:
            break
        if status != -signal.SIGKILL:
            raise AssertionError(f"{family} {number}: ended with {status}: {said}")
        build.goes_on(f"killed at {family} {number}")
        times += 1
    return times


def errors(build: Build, family: str, error: str, numbers: Iterator[int]) -> int:
    """These calls fail; how many times a build failed for it, and said so in one line."""
    times = 0
    for number in numbers:
        build.reset()
        status, said, reached = injected(build, family, f"error={error}", number)
        if status == 1 and not said:
            raise AssertionError(f"{error} at {family} {number}: failed and said nothing")
        if status not in (0, 1):
            raise AssertionError(f"{error} at {family} {number}: ended with {status}: {said}")
        if status == 0:
            build.is_right(f"{error} at {family} {number}")
            if not reached:
                break
            continue
        build.goes_on(f"{error} at {family} {number}")
        times += 1
    return times


def at_random(build: Build, rounds: int, seed: int, in_a_row: int = 10) -> dict[str, int]:
    """Killed at random moments, so many times in a row on one build, until there have been so many kills."""
    draw = random.Random(seed)
    build.reset()
    start = time.perf_counter()
    build.apart()
    whole = time.perf_counter() - start
    kills, row, found = 0, 0, {"kills": 0, "builds killed ten times": 0, "builds that ended before": 0}
    build.reset()
    while kills < rounds:
        done = build.done()
        process = Forked(build)
        process.begin()
        time.sleep(draw.random() * whole / 6)
        os.kill(process.pid, signal.SIGKILL)
        status, said = process.end()
        if torn := build.torn():
            raise AssertionError(f"kill {kills}: torn: {torn}")
        if status == 0:
            build.is_right(f"after {row} kills")
            found["builds that ended before"] += 1
        elif status != -signal.SIGKILL:
            raise AssertionError(f"after {row} kills: ended with {status}: {said}")
        else:
            kills, row = kills + 1, row + 1
            if build.done() < done and not _described(build):
                raise AssertionError(f"kill {kills}: {done} blocks were done, {build.done()} are")
            if row < in_a_row:
                continue
            build.goes_on(f"killed {row} times")
            found["builds killed ten times"] += 1
        row = 0
        build.reset()
    return {**found, "kills": kills}


def _described(build: Build) -> bool:
    """Whether the metadata is written: what lies beside is then being tidied up."""
    return all(build.end.get(name) == held for name, held in files(build.where).items() if name == "zarr.json")


def race(build: Build, rounds: int) -> dict[str, int]:
    """Two builders begin at once; how it ended for the second."""
    ends = {"both made it": 0, "one was refused": 0}
    for number in range(rounds):
        build.reset()
        one, other = Forked(build), Forked(build)
        one.begin()
        if number % 2:
            time.sleep(0.002 * (number % 50))
        other.begin()
        ends_of = [one.end(), other.end()]
        statuses, said = [status for status, _ in ends_of], [text for status, text in ends_of if status]
        if sorted(statuses) not in ([0, 0], [0, 1]) or any("is building here" not in text for text in said):
            raise AssertionError(f"race {number}: ended with {statuses}: {said}")
        ends["both made it" if statuses == [0, 0] else "one was refused"] += 1
        build.is_right(f"race {number}")
    return ends


def mutate(folder: Path, rounds: int, seed: int) -> dict[str, int]:
    """A byte flipped or a file cut, anywhere in a finished store or in what lies beside one: what is then found."""
    draw = random.Random(seed)
    volume = np.random.default_rng(1).integers(0, 40, (24, 40, 33)).astype(np.uint16)
    where = folder / "m"
    made: dict[str, Any] = {"factor": 2, "chunks": (8, 8, 8), "shards": (16, 16, 16), "method": "mean"}
    store.build(volume, where, levels=2, **made)
    begun = store.plan(volume, folder / "begun", levels=2, block=1, **made)
    store.run(begun)
    beside = [begun.scratch.read_result(number, begun.fingerprint) for number in begun.numbers]
    want = _read_all(where)
    names = sorted(path for path in where.rglob("*") if path.is_file())
    names += sorted((folder / "begun" / ".tinypyr").glob("*"))
    found = {"named errors": 0, "right data": 0, "made again": 0}
    for number in range(rounds):
        path = names[number % len(names)]
        raw = path.read_bytes()
        mutated = bytearray(raw)
        at = draw.randrange(len(raw))
        if draw.random() < 0.8:
            mutated[at] ^= 1 << draw.randrange(8)
        else:
            del mutated[at:]
        path.write_bytes(mutated)
        try:
            if path.name.startswith("block-"):
                left = [begun.scratch.read_result(number, begun.fingerprint) for number in begun.numbers]
                if any(held not in (None, right) for held, right in zip(left, beside, strict=True)):
                    raise AssertionError(f"{path} at {at}: taken for what a block left")
                found["made again"] += None in left
            elif path.name == "plan.json":
                if begun.scratch.read_plan() != begun.to_dict():
                    raise AssertionError(f"{path} at {at}: taken for the plan")
                found["right data"] += 1  # (white space)
            else:
                got = _read_all(where)  # (a group of unknown levels is an array, too)
                if any(not np.array_equal(a, b) for a, b in zip(got, want, strict=False)):
                    raise AssertionError(f"{path} at {at}: other voxels, and nobody says so")
                found["right data"] += 1
        except store.StoreError as error:
            if str(folder) not in str(error):
                raise AssertionError(f"{path} at {at}: not named: {error}") from None
            found["named errors"] += 1
        path.write_bytes(raw)
    return found


def _read_all(where: Path) -> list[np.ndarray[Any, Any]]:
    """All voxels of all levels."""
    volume = open_volume(Location.at(where))
    levels = []
    for number in range(len(volume.paths)):
        array = level_array(volume, number)
        levels.append(read_voxels(array.read(), f"{where}/{volume.paths[number]}", [(0, n) for n in array.shape]))
    return levels


VALUES: list[Any] = [
    None, True, 0, -1, 1, 2, 2**31, 2**53, 2**62, -(2**63), 10**40, 0.5, -0.0, 1e308, float("nan"), float("inf"), "",
    "0", "1", "../0", "/", "x" * 300, "\0", "\ud800", "uint8", "float64", "labels", "mode", [], {}, [0], [1, 2, 3],
    [[1]], {"a": 1},
]  # fmt: skip


def _changed(value: Any, draw: random.Random) -> Any:
    """The same JSON but for one place."""
    if isinstance(value, dict) and value and draw.random() < 0.9:
        key = draw.choice(sorted(value))
        kind = draw.random()
        if kind < 0.08:
            return {other: held for other, held in value.items() if other != key}
        if kind < 0.12:
            return {**value, draw.choice(sorted(value)): value[key]}
        return {**value, key: _changed(value[key], draw)}
    if isinstance(value, list) and value and draw.random() < 0.9:
        at = draw.randrange(len(value))
        kind = draw.random()
        if kind < 0.1:
            return value[:at] + value[at + 1 :]
        if kind < 0.2:
            return value[:at] + [value[at]] * draw.choice([2, 3, 40]) + value[at:]
        return [*value[:at], _changed(value[at], draw), *value[at + 1 :]]
    if isinstance(value, (int, float)) and draw.random() < 0.3:
        return draw.choice([value + 1, value - 1, -value, value * 2, value / 3, str(value)])
    return draw.choice(VALUES)


def metadata(folder: Path, seconds: float, seed: int) -> dict[str, int]:
    """One or more places changed in the JSON files of a store: levels are read and made, or somebody says why not."""
    draw, end = random.Random(seed), time.perf_counter() + seconds
    volume = np.random.default_rng(1).integers(0, 40, (12, 20, 17)).astype(np.uint32)
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    found = {"refused": 0, "accepted": 0}
    for format in FORMATS:
        grid = Grid(volume.shape, "xyz", (4, 4, 40), units=["nanometer"] * 3, voxel_offset=(3, 1, 0))
        store.build(volume, folder / format, levels=2, factor=2, chunks=(8, 8, 8), format=format, grid=grid)
    store.plan(folder / "n5", folder / "new", levels=1, factor=2).save(folder / "plan.json")
    resource.setrlimit(resource.RLIMIT_AS, (held + (2 << 30),) * 2)  # (threads' stacks among it)

    def too_long(number: int, frame: Any) -> None:
        raise TimeoutError("more than 20 s")

    signal.signal(signal.SIGALRM, too_long)
    while time.perf_counter() < end:
        format = draw.choice([*FORMATS, "plan"])
        where, out = folder / format, folder / "out"
        names = [path for path in where.rglob("*") if path.name in JSON] if format != "plan" else [folder / "plan.json"]
        path = draw.choice(sorted(names))
        raw = path.read_text()
        content = json.loads(raw)
        for _ in range(draw.choice([1, 1, 1, 2, 5])):
            content = _changed(content, draw)
        path.write_text(json.dumps(content))
        asked = json.dumps(content)[:3000]
        (folder / "last").write_text(f"{path}: {asked}")
        signal.alarm(20)
        try:
            if format == "plan":
                store.Plan.load(path)
            else:
                store.plan(where, out, levels=1, factor=2)
                list(open_volume(Location.at(where)).grids)
                store.check(where, sample=0.2, memory="2MiB")
            found["accepted"] += 1
        except (store.StoreError, ValueError) as error:
            if len(str(error)) > 5000 or not str(error):
                raise AssertionError(f"{path}: says {str(error)[:300]!r}: {asked}") from None
            found["refused"] += 1
        except BaseException:
            print(f"{path}: {asked}", file=sys.stderr)
            raise
        finally:
            signal.alarm(0)
            path.write_text(raw)
        if out.exists():
            raise AssertionError(f"{path}: something was created: {asked}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("campaign", choices=["kill", "errors", "random", "race", "mutate", "metadata"])
    parser.add_argument("--case", choices=list(CASES), help="only this one")
    parser.add_argument("--family", choices=list(FAMILIES), help="only these system calls")
    parser.add_argument("--numbers", help="only these calls: 1,5,9 (default: from 1 until no thread comes so far)")
    parser.add_argument("--rounds", type=int, help="how many (random: 50, race: 100, mutate: 10000)")
    parser.add_argument("--seconds", type=float, default=60, help="of metadata (default: 60)")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for case in [given.case] if given.case else CASES:
        start, folder = time.perf_counter(), Path(tempfile.mkdtemp())
        said: list[str] = []
        # (the first build in a process of its own, so that this one has no threads when it forks)
        if given.campaign == "mutate":
            said.append(json.dumps(mutate(folder, given.rounds or 10_000, given.seed)))
        elif given.campaign == "metadata":
            said.append(json.dumps(metadata(folder, given.seconds, given.seed)))
        else:
            shape = (64, 96, 80) if given.campaign == "random" else (16, 40, 30)
            build = prepared(folder, case, shape)
            if given.campaign in ("kill", "errors"):
                for family in [given.family] if given.family else FAMILIES:
                    every = iter(map(int, given.numbers.split(",")) if given.numbers else range(1, 100_000))
                    if given.campaign == "kill":
                        said.append(f"{family} {kill(build, family, every)}")
                    elif family in ("write", "open", "fsync", "rename"):
                        error = "EIO" if family == "fsync" else "ENOSPC"
                        said.append(f"{error} {family} {errors(build, family, error, every)}")
            elif given.campaign == "random":
                said.append(json.dumps(at_random(build, given.rounds or 50, given.seed)))
            else:
                said.append(json.dumps(race(build, given.rounds or 100)))
        print(f"{given.campaign}, {case}: {', '.join(said)}; {time.perf_counter() - start:.0f} s", flush=True)
        shutil.rmtree(folder)
        if given.campaign in ("mutate", "metadata"):
            break


def prepared(folder: Path, case: str, shape: tuple[int, int, int] = (16, 40, 30)) -> Build:
    """A Build, made by another process: threads of TensorStore do not survive a fork."""
    import pickle

    code = (
        "import pathlib, pickle, sys\nfrom campaigns import Build\n"
        f"pickle.dump(Build(pathlib.Path({str(folder)!r}), {case!r}, {shape!r}), sys.stdout.buffer)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    made = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environment)
    build: Build = pickle.loads(made.stdout)
    return build


if __name__ == "__main__":
    main()
