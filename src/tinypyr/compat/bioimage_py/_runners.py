"""Who makes the blocks: threads; or parts, which are other processes or jobs of Slurm that meet in a folder."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ._job import Job


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
    settings = config if config is not None else SlurmConfig() if kind == "slurm" else RunnerConfig()
    given = {name: getattr(settings, name, None) for name in SlurmConfig.__dataclass_fields__}
    if config is not None and not hasattr(config, "tmp_root"):
        raise TypeError(f"job_config: {type(config).__name__} is no RunnerConfig")
    if kind == "slurm" and not given["tmp_root"] and resume_from is None:
        raise ValueError("job_config: 'slurm' needs a tmp_root, a folder that all nodes see")
    count = given["tasks_per_worker"] or 1
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"job_config: tasks_per_worker is {count!r}, which is no number above 0")
    if resume_from is None:
        folder = Folder.created(job, numbers, given["tmp_root"])
    else:
        folder = Folder(resume_from)
        folder.refuse_another(job)
    missing = folder.missing()
    if missing:
        parts = min(len(folder.numbers), workers * count)
        (_by_slurm if kind == "slurm" else _by_processes)(folder, parts, workers, given)
        missing = folder.missing()
    late = time.monotonic() + (float(given["latency_wait"] or 0) if kind == "slurm" else 0)
    while missing and not folder.errors(missing) and time.monotonic() < late:
        time.sleep(0.2)
        missing = folder.missing()
    if missing:
        failed = dict.fromkeys(missing, f"its process ended before it was made; see the logs in {folder.path}")
        failed |= folder.errors(missing)
        raise RunnerError(
            f"{_summary(failed, len(folder.numbers))}\nresume_from={str(folder.path)!r} makes them again",
            missing,
            str(folder.path),
        )
    shutil.rmtree(folder.path, ignore_errors=True)


class Folder:
    """Where parts meet: what is to be made, and what has been."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        from ...store._errors import StoreError
        from ...store._place import Place
        from ...store._scratch import Scratch

        self.path = Path(path).absolute()
        self._scratch = Scratch(Place.at(self.path))
        try:
            found = self._scratch.plan() if self.path.is_dir() else None
        except StoreError as error:
            raise ValueError(f"resume_from: {error}") from None
        if found is None or "blocks" not in found:
            raise ValueError(f"resume_from: {self.path} is no folder that a failed run has left")
        self._content = found
        self._fingerprint = _fingerprint(found["job"])
        made = found["blocks"]
        self.numbers: Sequence[int] = made if isinstance(made, list) else range(made)

    @classmethod
    def created(cls, job: Job, numbers: Sequence[int], root: str | None) -> Folder:
        """A new one."""
        from ...store._place import Place
        from ...store._scratch import Scratch

        described = _described(job)
        if root is not None:
            os.makedirs(root, exist_ok=True)
        path = tempfile.mkdtemp(prefix="tinypyr-", dir=root)
        if isinstance(job.mask, np.ndarray):
            np.save(os.path.join(path, "mask.npy"), job.mask)
        blocks = len(numbers) if isinstance(numbers, range) else list(numbers)
        Scratch(Place.at(path)).begin({"job": described, "blocks": blocks})
        return cls(path)

    def refuse_another(self, job: Job) -> None:
        """Refuse what did not begin with these arguments."""

        def short(value: Any) -> Any:
            return value["kvstore"]["path"] if isinstance(value, dict) else value

        here, there = _described(job), self._content["job"]
        for name, value in here.items():
            if there.get(name) != value:
                told = f"a run whose {name} was {short(there.get(name))}, not {short(value)}"
                raise ValueError(f"resume_from: {self.path} is of {told}")

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

    def missing(self) -> list[int]:
        """The blocks that are still to be made."""
        return [number for number in self.numbers if self._scratch.left(number, self._fingerprint) is None]

    def errors(self, numbers: Sequence[int]) -> dict[int, str]:
        """What is known of blocks that failed."""
        found = {number: self._scratch.place.read(f"error-{number}") for number in numbers}
        return {number: raw.decode() for number, raw in found.items() if raw is not None}

    def run(self, part: int, parts: int) -> int:
        """Make the blocks of a part that are missing; how many failed."""
        count, failed, job = len(self.numbers), 0, self.job()
        # whose a block is does not change while others make theirs
        own = self.numbers[count * (part - 1) // parts : count * part // parts]
        for number in own:
            if self._scratch.left(number, self._fingerprint) is not None:
                continue
            try:
                job.run(number)
            except Exception as error:
                failed += 1
                self._scratch.place.write(f"error-{number}", _told(error).encode())
                continue
            self._scratch.leave(number, self._fingerprint, b"")
            self._scratch.place.write(f"error-{number}", None)
        return failed

    def command(self, config: dict[str, Any], part: str) -> list[str]:
        """What makes a part."""
        return [config["python_executable"] or sys.executable, "-m", __package__ or "", str(self.path), part]


def _by_processes(folder: Folder, parts: int, workers: int, config: dict[str, Any]) -> None:
    def one(part: int) -> None:
        with (folder.path / f"part-{part}.log").open("w") as log:
            try:
                command = folder.command(config, f"{part}/{parts}")
                subprocess.run(command, stdout=log, stderr=log, timeout=config["task_timeout"])
            except subprocess.TimeoutExpired as error:
                log.write(f"ended after {error.timeout} s, its task_timeout\n")

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        list(pool.map(one, range(1, parts + 1)))


def _by_slurm(folder: Folder, parts: int, workers: int, config: dict[str, Any]) -> None:
    from ...store._slurm import Settings, cancel, job_script, largest_array, sbatch, wait

    parts = min(parts, config["max_array_size"] or largest_array())
    first, *preamble = (config["shebang"] or "#!/bin/sh").splitlines()
    settings = Settings(**{name: config[name] for name in ("partition", "account", "qos", "time", "mem")})
    options = [
        "job-name=tinypyr-downsample",
        f"array=1-{parts}%{workers}",
        f"cpus-per-task={config['cpus_per_task'] or 1}",
        f'output="{str(folder.path).replace("%", "%%")}/part-%a.log"',
        *([f"constraint={config['constraint']}"] if config["constraint"] else []),
        *([f"gpus={config['gpus']}"] if config["gpus"] else []),
    ]
    *command, _ = map(shlex.quote, folder.command(config, ""))
    lines = [*preamble, f'exec {" ".join(command)} "$SLURM_ARRAY_TASK_ID/{parts}"']
    script = folder.path / "part.sh"
    script.write_text(job_script(settings, options, lines, first))
    number = sbatch(str(script))
    try:
        wait(number, config["poll_interval"])
    except BaseException:
        cancel(number)
        raise


def _described(job: Job) -> dict[str, Any]:
    """A job as JSON; refused where other processes cannot open its arrays."""
    mask: Any = None
    if isinstance(job.mask, np.ndarray):
        mask = hashlib.sha256(np.ascontiguousarray(job.mask).tobytes()).hexdigest()
    elif job.mask is not None:
        mask = _spec_of("mask", job.mask)
    told: dict[str, Any] = {
        "input": _spec_of("input", job.input),
        "output": _spec_of("output", job.output),
        "mask": mask,
        "scale_factor": job.factors,
        "anti_aliasing": job.smoothed,
        "block_shape": job.block_shape,
    }
    if told["input"]["kvstore"] == told["output"]["kvstore"]:
        raise ValueError("output: lies where the input lies, which is still to be read")
    plain: dict[str, Any] = json.loads(json.dumps(told))
    return plain


def _fingerprint(described: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]


def _spec_of(name: str, array: Any) -> dict[str, Any]:
    """How TensorStore opens an array that lies in files."""
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
    return spec


def _opened(spec: dict[str, Any]) -> Any:
    from ...store._place import open_array
    from ...store._source import arrange

    return arrange(open_array(spec, str(spec["kvstore"]), open=True))


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:1000]


def _summary(failed: dict[int, str], count: int) -> str:
    first, why = min(failed.items())
    return f"{len(failed)} of {count} blocks failed; block {first}: {why}"
