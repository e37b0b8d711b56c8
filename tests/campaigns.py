"""Fault injection for builds of stores; tests/test_unbreakable.py runs short forms.

    python tests/campaigns.py kill       SIGKILL at the N-th system call of each family
    python tests/campaigns.py errors     disk full, and failing fsync, at the N-th call
    python tests/campaigns.py random     SIGKILL at random moments, ten in a row on one build
    python tests/campaigns.py race       two builders at the same time
    python tests/campaigns.py mutate     a flipped byte, or a truncated file, anywhere
    python tests/campaigns.py metadata   changed JSON in every format
    python tests/campaigns.py audit DIR  every command on each store below a folder, compared with other readers

Linux only; ``kill`` and ``errors`` need strace. ``audit`` prints a table, and its status is 1 if anything is wrong;
without DIR it audits one generated store per variety. Each other campaign prints a summary and stops at the first
failure.
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

from support.stores import FORMATS, files
from tinypyr import Grid, store
from tinypyr.store.location import Location
from tinypyr.store.saved_plans import json_of_plan
from tinypyr.store.source import level_array, open_volume, read_voxels

#: Families of system calls by their effect on files.
FAMILIES = {
    "write": "write,pwrite64,writev",
    "fsync": "fsync,fdatasync",
    "rename": "rename,renameat,renameat2",
    "unlink": "unlink,unlinkat,rmdir",
    "open": "openat,open,creat,mkdir,mkdirat",
}

#: Builds: the format, and True if its levels are written next to level 0.
CASES: dict[str, dict[str, Any]] = {
    "shards": {"format": "ome-zarr-0.5", "in_place": False, "shards": (16, 16, 16)},
    "in place": {"format": "ome-zarr-0.5", "in_place": True},
    "n5": {"format": "n5", "in_place": False},
    "precomputed": {"format": "precomputed", "in_place": True},
}

JSON = ("zarr.json", ".zarray", ".zattrs", ".zgroup", "attributes.json", "info")


class Build:
    """A build that is repeated from the same state in the same folder, and the files that it must write."""

    def __init__(self, folder: Path, case: str, shape: tuple[int, int, int] = (16, 40, 30)) -> None:
        arguments = dict(CASES[case])
        self.in_place = arguments.pop("in_place")
        self.base, self.where, self._start = folder / "base", folder / "t", folder / "start"
        self.folder = folder
        volume = np.random.default_rng(5).integers(0, 40, shape).astype(np.uint16)
        target = self._start if self.in_place else self.base
        grid = Grid(shape, "xyz" if arguments["format"] == "precomputed" else "zyx")
        shards = arguments.pop("shards", None)
        store.build(volume, target, levels=0, chunks=(8, 8, 8), grid=grid, method="mode", format=arguments["format"])
        factor: Any = (2, 2, 2, 1) if arguments["format"] == "precomputed" else 2
        self._arguments: dict[str, Any] = {"levels": 2, "method": "mode", "workers": 2, "block": 1, "factor": factor}
        if not self.in_place:
            self._arguments |= {"shards": shards, "format": arguments["format"]}
        self.reset()
        self.run()
        self.end = files(self.where)

    def reset(self) -> None:
        """Restore the state before the build."""
        shutil.rmtree(self.where, ignore_errors=True)
        if self.in_place:
            shutil.copytree(self._start, self.where, copy_function=shutil.copy2)

    def run(self, progress: Any = False) -> store.Report:
        """Build, or resume."""
        source, target = (self.where, None) if self.in_place else (self.base, self.where)
        return store.build(source, target, progress=progress, **self._arguments)

    def done(self) -> int:
        """Return the number of blocks that are done."""
        scratch = self.where / ".tinypyr"
        return sum(path.name.startswith("block-") and "lock" not in path.name for path in scratch.glob("*"))

    def torn(self) -> list[str]:
        """Return files that differ from those of a finished build, except metadata and temporary files."""
        grows = ("zarr.json", "info", "attributes.json")
        return [
            name
            for name, held in files(self.where).items()
            if held is not None
            and not name.startswith(".tinypyr")
            and not name.endswith((".__lock", *grows))
            and self.end.get(name) != held
        ]

    def check_resumes(self, what: str) -> None:
        """Assert that an interrupted build resumes: no file is torn, no block is lost, the files are the same."""
        if torn := self.torn():
            raise AssertionError(f"{what}: torn: {torn}")
        done = self.done()
        status, said = self.in_another_process()
        if status != 0:
            raise AssertionError(f"{what}: does not go on: {said}")
        if int(said) < done:
            raise AssertionError(f"{what}: {done} blocks were done, {said} were kept")
        self.check_files(what)

    def in_another_process(self) -> tuple[int, str]:
        """Build in another process; return its status, and its error or the number of reused blocks."""
        process = Forked(self)
        process.begin()
        return process.end()

    def check_files(self, what: str) -> None:
        """Assert that the files are those of an uninterrupted build."""
        written = files(self.where)
        if written != self.end:
            names = sorted({name for name, _ in written.items() ^ self.end.items()})
            raise AssertionError(f"{what}: not as an uninterrupted build: {names}")


class Forked:
    """A process that builds on request. It uses a socket, whose system calls are not injected with faults."""

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
            # import modules and set up state that are needed later
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
        """Start the build."""
        self._socket.send(b"x")

    def end(self) -> tuple[int, str]:
        """Wait; return the status or the negative signal, and the error or the number of reused blocks."""
        _, status = os.waitpid(self.pid, 0)
        said = self._socket.recv(1 << 16).decode()
        self._socket.close()
        return os.waitstatus_to_exitcode(status), said


def injected(build: Build, family: str, what: str, number: int) -> tuple[int, str, bool]:
    """Build with a fault at each thread's N-th system call of a family.

    Return the exit status, the error, and True if a thread reached this call.
    """
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
    """Kill builds at these calls up to the first number that no thread reaches; return how many were killed."""
    times = 0
    for number in numbers:
        build.reset()
        status, said, _ = injected(build, family, "signal=KILL", number)
        if status == 0:
            break
        if status != -signal.SIGKILL:
            raise AssertionError(f"{family} {number}: ended with {status}: {said}")
        build.check_resumes(f"killed at {family} {number}")
        times += 1
    return times


def errors(build: Build, family: str, error: str, numbers: Iterator[int]) -> int:
    """Make these calls fail; return how many builds failed with an error of one line."""
    times = 0
    for number in numbers:
        build.reset()
        status, said, reached = injected(build, family, f"error={error}", number)
        if status == 1 and not said:
            raise AssertionError(f"{error} at {family} {number}: failed and said nothing")
        if status not in (0, 1):
            raise AssertionError(f"{error} at {family} {number}: ended with {status}: {said}")
        if status == 0:
            build.check_files(f"{error} at {family} {number}")
            if not reached:
                break
            continue
        build.check_resumes(f"{error} at {family} {number}")
        times += 1
    return times


def at_random(build: Build, rounds: int, seed: int, in_a_row: int = 10) -> dict[str, int]:
    """Kill a build at random moments, ten times in a row each, until it was killed so many times."""
    draw = random.Random(seed)
    build.reset()
    start = time.perf_counter()
    build.in_another_process()
    whole = time.perf_counter() - start
    kills, row, outcomes = 0, 0, {"kills": 0, "builds killed ten times": 0, "builds that ended before": 0}
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
            build.check_files(f"after {row} kills")
            outcomes["builds that ended before"] += 1
        elif status != -signal.SIGKILL:
            raise AssertionError(f"after {row} kills: ended with {status}: {said}")
        else:
            kills, row = kills + 1, row + 1
            if build.done() < done and not _described(build):
                raise AssertionError(f"kill {kills}: {done} blocks were done, {build.done()} are")
            if row < in_a_row:
                continue
            build.check_resumes(f"killed {row} times")
            outcomes["builds killed ten times"] += 1
        row = 0
        build.reset()
    return {**outcomes, "kills": kills}


def _described(build: Build) -> bool:
    """Return True if the metadata is written; temporary files are removed after that."""
    return all(build.end.get(name) == held for name, held in files(build.where).items() if name == "zarr.json")


def race(build: Build, rounds: int) -> dict[str, int]:
    """Start two builders at the same time; count the outcomes of the second one."""
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
        build.check_files(f"race {number}")
    return ends


def mutate(folder: Path, rounds: int, seed: int) -> dict[str, int]:
    """Flip a byte or truncate a file, anywhere in a finished store or an unfinished one; count the outcomes."""
    draw = random.Random(seed)
    volume = np.random.default_rng(1).integers(0, 40, (24, 40, 33)).astype(np.uint16)
    where = folder / "m"
    arguments: dict[str, Any] = {"factor": 2, "chunks": (8, 8, 8), "shards": (16, 16, 16), "method": "mean"}
    store.build(volume, where, levels=2, **arguments)
    begun = store.plan(volume, folder / "begun", levels=2, block=1, **arguments)
    store.run(begun)
    beside = [begun.storage.scratch.read_result(number, begun.fingerprint) for number in begun.numbers]
    want = _read_all(where)
    names = sorted(path for path in where.rglob("*") if path.is_file())
    names += sorted((folder / "begun" / ".tinypyr").glob("*"))
    outcomes = {"named errors": 0, "right data": 0, "made again": 0}
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
                left = [begun.storage.scratch.read_result(number, begun.fingerprint) for number in begun.numbers]
                if any(held not in (None, right) for held, right in zip(left, beside, strict=True)):
                    raise AssertionError(f"{path} at {at}: taken for what a block left")
                outcomes["made again"] += None in left
            elif path.name == "plan.json":
                if begun.storage.scratch.read_plan() != json_of_plan(begun):
                    raise AssertionError(f"{path} at {at}: taken for the plan")
                outcomes["right data"] += 1  # whitespace
            else:
                got = _read_all(where)  # (a group of unknown levels is an array, too)
                if any(not np.array_equal(a, b) for a, b in zip(got, want, strict=False)):
                    raise AssertionError(f"{path} at {at}: other voxels, and nobody says so")
                outcomes["right data"] += 1
        except store.StoreError as error:
            if str(folder) not in str(error):
                raise AssertionError(f"{path} at {at}: not named: {error}") from None
            outcomes["named errors"] += 1
        path.write_bytes(raw)
    return outcomes


def _read_all(where: Path) -> list[np.ndarray[Any, Any]]:
    """Return all levels of a store."""
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
    """Return JSON with one random change."""
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
    """Change the JSON files of a store at random: levels are read and planned, or the error is clear."""
    draw, end = random.Random(seed), time.perf_counter() + seconds
    volume = np.random.default_rng(1).integers(0, 40, (12, 20, 17)).astype(np.uint32)
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    outcomes = {"refused": 0, "accepted": 0}
    for format in FORMATS:
        grid = Grid(volume.shape, "xyz", (4, 4, 40), units=["nanometer"] * 3, voxel_offset=(3, 1, 0))
        store.build(volume, folder / format, levels=2, factor=2, chunks=(8, 8, 8), format=format, grid=grid)
    store.plan(folder / "n5", folder / "new", levels=1, factor=2).save(folder / "plan.json")
    resource.setrlimit(resource.RLIMIT_AS, (held + (2 << 30),) * 2)  # includes the stacks of threads

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
        text = json.dumps(content)[:3000]
        (folder / "last").write_text(f"{path}: {text}")
        signal.alarm(20)
        try:
            if format == "plan":
                store.Plan.load(path)
            else:
                store.plan(where, out, levels=1, factor=2)
                list(open_volume(Location.at(where)).grids)
                store.check(where, sample=0.2, memory="2MiB")
            outcomes["accepted"] += 1
        except (store.StoreError, ValueError) as error:
            if len(str(error)) > 5000 or not str(error):
                raise AssertionError(f"{path}: says {str(error)[:300]!r}: {text}") from None
            outcomes["refused"] += 1
        except BaseException:
            print(f"{path}: {text}", file=sys.stderr)
            raise
        finally:
            signal.alarm(0)
            path.write_text(raw)
        if out.exists():
            raise AssertionError(f"{path}: something was created: {text}")
    return outcomes


def audit(folder: Path | None) -> int:
    """Audit the stores below a folder, or generated ones, and print a table; return 1 if anything is wrong."""
    from support.audit import audit, table
    from support.varieties import write_all

    if folder is not None and not folder.is_dir():
        sys.exit(f"folder: {folder} is not a folder; give one that contains stores")
    with tempfile.TemporaryDirectory() as generated:
        if folder is None:
            folder = Path(generated)
            write_all(folder)
        rows = audit(folder)
    print(*table(rows), sep="\n")
    return int(not rows or any(row.faults() for row in rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("campaign", choices=["kill", "errors", "random", "race", "mutate", "metadata", "audit"])
    parser.add_argument("folder", nargs="?", type=Path, help="of audit (default: generated stores)")
    parser.add_argument("--case", choices=list(CASES), help="only this one")
    parser.add_argument("--family", choices=list(FAMILIES), help="only these system calls")
    parser.add_argument("--numbers", help="only these calls: 1,5,9 (default: from 1 until no thread comes so far)")
    parser.add_argument("--rounds", type=int, help="how many (random: 50, race: 100, mutate: 10000)")
    parser.add_argument("--seconds", type=float, default=60, help="of metadata (default: 60)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.campaign == "audit":
        sys.exit(audit(arguments.folder))
    for case in [arguments.case] if arguments.case else CASES:
        start, folder = time.perf_counter(), Path(tempfile.mkdtemp())
        said: list[str] = []
        # run the first build in a process of its own, so that this one has no threads when it forks
        if arguments.campaign == "mutate":
            said.append(json.dumps(mutate(folder, arguments.rounds or 10_000, arguments.seed)))
        elif arguments.campaign == "metadata":
            said.append(json.dumps(metadata(folder, arguments.seconds, arguments.seed)))
        else:
            shape = (64, 96, 80) if arguments.campaign == "random" else (16, 40, 30)
            build = prepared(folder, case, shape)
            if arguments.campaign in ("kill", "errors"):
                for family in [arguments.family] if arguments.family else FAMILIES:
                    every = iter(map(int, arguments.numbers.split(",")) if arguments.numbers else range(1, 100_000))
                    if arguments.campaign == "kill":
                        said.append(f"{family} {kill(build, family, every)}")
                    elif family in ("write", "open", "fsync", "rename"):
                        error = "EIO" if family == "fsync" else "ENOSPC"
                        said.append(f"{error} {family} {errors(build, family, error, every)}")
            elif arguments.campaign == "random":
                said.append(json.dumps(at_random(build, arguments.rounds or 50, arguments.seed)))
            else:
                said.append(json.dumps(race(build, arguments.rounds or 100)))
        print(f"{arguments.campaign}, {case}: {', '.join(said)}; {time.perf_counter() - start:.0f} s", flush=True)
        shutil.rmtree(folder)
        if arguments.campaign in ("mutate", "metadata"):
            break


def prepared(folder: Path, case: str, shape: tuple[int, int, int] = (16, 40, 30)) -> Build:
    """Return a Build from another process, because threads of TensorStore do not survive a fork."""
    import pickle

    code = (
        "import pathlib, pickle, sys\nfrom campaigns import Build\n"
        f"pickle.dump(Build(pathlib.Path({str(folder)!r}), {case!r}, {shape!r}), sys.stdout.buffer)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    process = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environment)
    build: Build = pickle.loads(process.stdout)
    return build


if __name__ == "__main__":
    main()
