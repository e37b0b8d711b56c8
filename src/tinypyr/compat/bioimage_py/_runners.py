"""Who makes the blocks: threads; or parts, which are other processes or jobs of Slurm that meet in a folder."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import math
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from ... import _arrays
from ._job import Job

#: What is to be made by all parts of a run together: a list of blocks.
_TODO = "todo.json"


@dataclass
class RunnerConfig:
    """How parts are run.

    Attributes
    ----------
    poll_interval : float
        Seconds between two questions to Slurm.
    tmp_root : path, optional
        Where the folder is made in which parts meet; for Slurm on a file system that all nodes see.
    python_executable : path, optional
        By default this process's.
    tasks_per_worker : int
        Parts for each worker: more of them even out, and begin more often.
    task_timeout : float, optional
        Seconds after which a process is ended (not of Slurm, which has ``time``).
    """

    poll_interval: float = 10.0
    tmp_root: str | None = None
    python_executable: str | None = None
    tasks_per_worker: int = 1
    task_timeout: float | None = None


@dataclass
class SlurmConfig(RunnerConfig):
    """What ``sbatch`` is told besides.

    Attributes
    ----------
    partition, time, mem, account, qos, constraint : str, optional
        As its options of these names.
    cpus_per_task, gpus : int
        Likewise.
    shebang : str, optional
        The first line of the script and, after the options, further ones.
    max_array_size : int, optional
        The most jobs of an array; by default as the cluster says.
    latency_wait : float
        Seconds to wait for what a job has left to be seen here.
    """

    partition: str | None = None
    time: str | None = None
    mem: str | None = None
    cpus_per_task: int = 1
    gpus: int = 0
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    shebang: str | None = None
    max_array_size: int | None = None
    latency_wait: float = 120.0


class RunnerError(RuntimeError):
    """Blocks failed.

    Attributes
    ----------
    failed_block_ids : list of int
        Which.
    tmp_folder : str or None
        What ``resume_from`` wants; None of threads.
    """

    def __init__(
        self, message: str, failed_block_ids: Sequence[int] | None = None, tmp_folder: str | None = None
    ) -> None:
        super().__init__(message)
        self.failed_block_ids = list(failed_block_ids or [])
        self.tmp_folder = tmp_folder


def local(job: Job, numbers: Sequence[int], workers: int) -> None:
    """Make blocks, by threads of this process."""
    waiting, failed = deque(numbers), dict[int, str]()

    def work() -> None:
        while True:
            try:
                number = waiting.popleft()
            except IndexError:
                return
            try:
                job.run(number)
            except Exception as error:
                failed[number] = _told(error)

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        try:
            for thread in [pool.submit(work) for _ in range(min(workers, len(numbers)))]:
                thread.result()
        except BaseException:
            waiting.clear()  # (what is under way ends)
            raise
    if failed:
        raise RunnerError(_summary(failed, len(numbers)), sorted(failed))


def distributed(
    job: Job, numbers: Sequence[int], workers: int, kind: str, config: Any, resume_from: str | os.PathLike[str] | None
) -> None:
    """Make blocks, by parts."""
    settings = _checked_settings(kind, config)
    if kind == "slurm" and not settings.tmp_root and resume_from is None:
        raise ValueError("job_config: 'slurm' needs a tmp_root, a folder that all nodes see")
    described = _described(job)
    if resume_from is None:
        folder = Folder.created(job, described, numbers, settings.tmp_root)
    else:
        folder = Folder(resume_from)
        folder.refuse_another(described)
    try:
        with folder.claim():
            missing = folder.begin()
            if missing:
                parts = min(len(missing), workers * settings.tasks_per_worker)
                (_by_slurm if kind == "slurm" else _by_processes)(folder, parts, workers, settings)
            failed = folder.failed(settings.latency_wait if kind == "slurm" else 0)
    except BaseException as error:
        if resume_from is None and len(folder.missing()) == len(folder.numbers):
            folder.remove()
        elif hasattr(error, "add_note"):  # (of Python 3.11)
            error.add_note(f"resume_from={str(folder.path)!r} goes on with it")
        raise
    if failed:
        raise RunnerError(
            f"{_summary(failed, len(folder.numbers))}\nresume_from={str(folder.path)!r} makes them again",
            sorted(failed),
            str(folder.path),
        )
    folder.remove()


def _checked_settings(kind: str, config: Any) -> SlurmConfig:
    """The settings of either kind, and of objects with the same attributes; errors name the one that is wrong."""
    if config is not None and not hasattr(config, "tmp_root"):
        raise TypeError(f"job_config: {type(config).__name__} is no {'Slurm' if kind == 'slurm' else 'Runner'}Config")
    usual = SlurmConfig()
    given = {item.name: getattr(config, item.name, getattr(usual, item.name)) for item in fields(SlurmConfig)}
    texts = ("tmp_root", "python_executable", "partition", "time", "mem", "account", "qos", "constraint", "shebang")
    counts = ("tasks_per_worker", "cpus_per_task", "max_array_size")
    for name, value in given.items():
        if name in texts:
            right, what = isinstance(value, (str, os.PathLike)) or value is None, "text"
        elif name in counts:
            right, what = (isinstance(value, int) and value > 0) or value is None, "a number above 0"
        else:
            number = isinstance(value, (int, float)) and math.isfinite(value) and value >= 0
            right, what = number or value is None, "a number of 0 or more"
        if not right or isinstance(value, bool) or (value is None and getattr(usual, name) is not None):
            raise ValueError(f"job_config: {name} is {value!r}, not {what}")
    python = given["python_executable"]
    if python is not None and kind == "subprocess" and shutil.which(python) is None:
        raise ValueError(f"job_config: python_executable is {python!r}, which cannot be run")
    return SlurmConfig(**given)


class Folder:
    """Where parts meet: what is to be made, and what has been."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        from ...errors import StoreError
        from ...store.location import Location
        from ...store.scratch import Scratch

        try:
            self.path = Path(path).absolute()
        except TypeError:
            raise TypeError(f"resume_from: {path!r} is no path") from None
        self._scratch = Scratch(Location.at(self.path.as_uri()))
        try:
            found = self._scratch.read_plan() if self.path.is_dir() else None
        except StoreError as error:
            raise ValueError(f"resume_from: {error}") from None
        if found is None or "blocks" not in found:
            raise ValueError(f"resume_from: {self.path} is no folder that a failed run has left")
        self._content = found
        self._fingerprint = _fingerprint(found["job"])
        made = found["blocks"]
        self.numbers: Sequence[int] = made if isinstance(made, list) else range(made)

    @classmethod
    def created(cls, job: Job, described: dict[str, Any], numbers: Sequence[int], root: str | None) -> Folder:
        """A new one."""
        from ...store.location import Location
        from ...store.scratch import Scratch

        try:
            if root is not None:
                os.makedirs(root, exist_ok=True)
            path = tempfile.mkdtemp(prefix="tinypyr-", dir=root)
        except OSError as error:
            raise ValueError(f"job_config: no folder can be made in the tmp_root {root!r}: {error}") from None
        if isinstance(job.mask, np.ndarray):
            np.save(os.path.join(path, "mask.npy"), job.mask)
        blocks = len(numbers) if isinstance(numbers, range) else list(numbers)
        Scratch(Location.at(Path(path).absolute().as_uri())).write_plan({"job": described, "blocks": blocks})
        return cls(path)

    def refuse_another(self, here: dict[str, Any]) -> None:
        """Refuse what did not begin with these arguments."""

        there = self._content["job"]
        for name, value in here.items():
            before = there.get(name)
            if before == value:
                continue
            if isinstance(value, dict) and isinstance(before, dict):
                key = next(key for key in value if before.get(key) != value[key])
                name, before, value = f"{name}'s {key}", before.get(key), value[key]
            raise ValueError(f"resume_from: {self.path} is of a run whose {name} was {before}, not {value}")

    def claim(self) -> Any:
        """Held while parts are run; a second run is refused."""
        from ...store.ownership import Ownership

        return Ownership(self._scratch.location)

    def begin(self) -> list[int]:
        """The blocks that are still to be made, told to all parts; what is known of earlier failures is forgotten."""
        missing = self.missing()
        for number in missing:
            self._scratch.location.write(_error(number), None)
        self._scratch.location.write(_TODO, json.dumps(missing).encode())
        return missing

    def job(self) -> Job:
        """The job, with its arrays opened."""
        told = self._content["job"]
        mask = told["mask"]
        opened = np.load(self.path / "mask.npy", mmap_mode="r") if isinstance(mask, str) else mask and _opened(mask)
        return Job(
            _opened(told["input"]),
            _opened(told["output"]),
            opened,
            tuple(told["scale_factor"]),
            told["anti_aliasing"],
            tuple(told["block_shape"]),
        )

    def run(self, part: int, parts: int) -> int:
        """Make the blocks of a part; how many failed."""
        todo = json.loads(self._scratch.location.read(_TODO) or b"[]")
        failed, job = 0, self.job()
        for number in todo[len(todo) * (part - 1) // parts : len(todo) * part // parts]:
            try:
                job.run(number)
            except Exception as error:
                failed += 1
                self._scratch.location.write(_error(number), _told(error).encode())
                continue
            self._scratch.write_result(number, self._fingerprint, b"")
        return failed

    def missing(self) -> list[int]:
        """The blocks that are still to be made."""
        return [number for number in self.numbers if self._scratch.read_result(number, self._fingerprint) is None]

    def failed(self, late: float) -> dict[int, str]:
        """The blocks that are not made, and why; what is made may be seen so many seconds late."""
        until = time.monotonic() + late
        while True:
            missing = self.missing()
            told = {number: self._scratch.location.read(_error(number)) for number in missing}
            known = {number: raw.decode() for number, raw in told.items() if raw is not None}
            if len(known) == len(missing) or time.monotonic() >= until:
                ended = f"its process ended before it was made; see the logs in {self.path}"
                return dict.fromkeys(missing, ended) | known
            time.sleep(0.2)

    def remove(self) -> None:
        """All is done."""
        shutil.rmtree(self.path, ignore_errors=True)

    def command(self, config: SlurmConfig, part: str) -> list[str]:
        """What makes a part."""
        return [config.python_executable or sys.executable, "-m", __package__ or "", str(self.path), part]


def _error(number: int) -> str:
    return f"error-{number}"


def _environment(config: SlurmConfig) -> dict[str, str]:
    """By which another process imports what this one does, whatever lies in the folder it begins in."""
    if config.python_executable is not None:
        return {}
    return {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in sys.path)}


def _by_processes(folder: Folder, parts: int, workers: int, config: SlurmConfig) -> None:
    environment = {**os.environ, **_environment(config)}

    def one(part: int) -> None:
        with (folder.path / f"part-{part}.log").open("w") as log:
            try:
                command = folder.command(config, f"{part}/{parts}")
                subprocess.run(command, stdout=log, stderr=log, env=environment, timeout=config.task_timeout)
            except subprocess.TimeoutExpired as error:
                log.write(f"ended after {error.timeout} s, its task_timeout\n")

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        list(pool.map(one, range(1, parts + 1)))


def _by_slurm(folder: Folder, parts: int, workers: int, config: SlurmConfig) -> None:
    from ...store.slurm import Settings, cancel, job_script, largest_array, sbatch, wait

    parts = min(parts, config.max_array_size or largest_array())
    first, *preamble = (config.shebang or "#!/bin/sh").splitlines()
    settings = Settings(**{name: getattr(config, name) for name in ("partition", "account", "qos", "time", "mem")})
    options = [
        "job-name=tinypyr-downsample",
        f"array=1-{parts}%{workers}",
        f"cpus-per-task={config.cpus_per_task}",
        f'output="{str(folder.path).replace("%", "%%")}/part-%a.log"',
        *([f"constraint={config.constraint}"] if config.constraint else []),
        *([f"gpus={config.gpus}"] if config.gpus else []),
    ]
    exports = [f"export {name}={shlex.quote(value)}" for name, value in _environment(config).items()]
    *command, _ = map(shlex.quote, folder.command(config, ""))
    lines = [*exports, *preamble, f'exec {" ".join(command)} "$SLURM_ARRAY_TASK_ID/{parts}"']
    script = folder.path / "part.sh"
    script.write_text(job_script(settings, options, lines, first))
    number = sbatch(str(script))
    try:
        wait(number, config.poll_interval)
    except BaseException:
        cancel(number)
        raise


def _described(job: Job) -> dict[str, Any]:
    """A job as JSON; refused where other processes cannot open its arrays."""
    mask: Any = None
    if isinstance(job.mask, np.ndarray):
        mask = hashlib.sha256(np.ascontiguousarray(job.mask).tobytes()).hexdigest()
    elif job.mask is not None:
        mask = _array_as_json("mask", job.mask)
    source, output = _array_as_json("input", job.input), _array_as_json("output", job.output)
    where = [[told["spec"].get(key) for key in ("kvstore", "scale_metadata")] for told in (source, output)]
    if where[0] == where[1]:
        raise ValueError("output: lies where the input lies, which is still to be read")
    output["created"] = _created(output["spec"])
    told = {
        "input": source,
        "output": output,
        "mask": mask,
        "scale_factor": job.factors,
        "anti_aliasing": job.smoothed,
        "block_shape": job.block_shape,
    }
    plain: dict[str, Any] = _arrays.as_json(told)
    return plain


def _fingerprint(described: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]


def _array_as_json(name: str, array: Any) -> dict[str, Any]:
    """An array that lies in files: how TensorStore opens it, and what it is."""
    spec: dict[str, Any] | None = None
    if hasattr(array, "kvstore") and hasattr(array, "spec"):  # TensorStore's own
        spec = array.spec(retain_context=False).to_json()
    elif hasattr(getattr(getattr(array, "store_path", None), "store", None), "root"):  # zarr's, of a folder
        path = os.path.abspath(os.path.join(array.store_path.store.root, array.store_path.path))
        driver = "zarr3" if array.metadata.zarr_format == 3 else "zarr"
        spec = {"driver": driver, "kvstore": {"driver": "file", "path": path + "/"}}
    if spec is None or "kvstore" not in spec or spec["kvstore"].get("driver") == "memory":
        raise ValueError(
            f"{name}: {type(array).__name__} in memory, or of a kind that other processes cannot open; give an array "
            "of zarr in a folder, or of TensorStore"
        )
    told: dict[str, Any] = {"spec": spec, "shape": list(array.shape), "dtype": _arrays.dtype_of(array).name}
    told["chunks"] = _arrays.write_unit(array)
    try:
        _opened(told)
    except ValueError as error:
        raise ValueError(f"{name}: other processes cannot open it: {error}") from None
    return told


def _created(spec: dict[str, Any]) -> int | None:
    """When an array's metadata was written, where it lies in files: it is another one if it was made again."""
    store = spec["kvstore"]
    if store.get("driver") != "file":
        return None
    folder = Path(store["path"]) / spec.get("path", "")
    names = ("zarr.json", ".zarray", "attributes.json", "info")
    return max((found.stat().st_mtime_ns for name in names if (found := folder / name).is_file()), default=None)


def _opened(told: dict[str, Any]) -> Any:
    from ...errors import StoreError
    from ...store.location import open_array
    from ...store.source import at_zero

    try:
        return at_zero(open_array(told["spec"], str(told["spec"]["kvstore"]), open=True))
    except StoreError as error:
        raise ValueError(str(error)) from None


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:1000]


def _summary(failed: dict[int, str], count: int) -> str:
    first, why = min(failed.items())
    return f"{len(failed)} of {count} blocks failed; block {first}: {why}"
