"""Runners of a job's blocks: threads of this process, other processes, or a Slurm job array."""

from __future__ import annotations

import concurrent.futures
import os
import shlex
import subprocess
import sys
import warnings
from collections import deque
from collections.abc import Sequence
from typing import Any

from ._folder import Folder, described, error_line
from ._job import Job
from ._settings import RunnerError, SlurmConfig, checked_settings


def local(job: Job, numbers: Sequence[int], workers: int) -> None:
    """Run blocks in threads of this process. Raise RunnerError if some fail."""
    groups = job.groups(numbers)
    warn_of_idle_workers(groups, workers)
    pending, failed = deque(groups), dict[int, str]()

    def work() -> None:
        while True:
            try:
                group = pending.popleft()
            except IndexError:
                return
            for number in group:
                try:
                    job.run(number)
                except Exception as error:
                    failed[number] = error_line(error)

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        try:
            for thread in [pool.submit(work) for _ in range(min(workers, len(groups)))]:
                thread.result()
        except BaseException:
            pending.clear()  # running blocks are finished, and no other starts
            raise
    if failed:
        raise RunnerError(_summary(failed, len(numbers)), sorted(failed))


def distributed(
    job: Job,
    numbers: Sequence[int],
    workers: int,
    job_type: str,
    config: Any,
    resume_from: str | os.PathLike[str] | None,
) -> None:
    """Run blocks in other processes or in Slurm jobs. Raise RunnerError if some fail."""
    settings = checked_settings(job_type, config)
    if job_type == "slurm" and not settings.tmp_root and resume_from is None:
        raise ValueError("job_config: 'slurm' needs a tmp_root, a folder that all nodes share")
    description = described(job)
    if resume_from is None:
        folder = Folder.created(job, description, numbers, settings.tmp_root)
    else:
        folder = Folder(resume_from)
        folder.refuse_other_job(description)
    try:
        with folder.claim():
            groups = folder.begin(job)
            if groups:
                warn_of_idle_workers(groups, workers)
                parts = min(len(groups), workers * settings.tasks_per_worker)
                (_run_slurm if job_type == "slurm" else _run_processes)(folder, parts, workers, settings)
            failed = folder.failed(settings.latency_wait if job_type == "slurm" else 0)
    except BaseException as error:
        if resume_from is None and len(folder.pending()) == len(folder.numbers):
            folder.remove()
        else:
            error.add_note(f"to resume, pass resume_from={str(folder.path)!r}")
        raise
    if failed:
        raise RunnerError(
            f"{_summary(failed, len(folder.numbers))}\nto retry them, pass resume_from={str(folder.path)!r}",
            sorted(failed),
            str(folder.path),
        )
    folder.remove()


def warn_of_idle_workers(groups: Sequence[Sequence[int]], workers: int) -> None:
    """Warn if blocks share shards, and there are fewer groups of such blocks than workers that they could use."""
    blocks = sum(map(len, groups))
    if len(groups) < min(workers, blocks):
        warnings.warn(
            f"num_workers: {workers - len(groups)} of {workers} workers are idle, because the blocks of a shard are "
            f"written by one worker (blocks: {blocks}, groups of them: {len(groups)}); use smaller shards",
            stacklevel=4,
        )


def _environment(config: SlurmConfig) -> dict[str, str]:
    """Return variables with which this interpreter, in another process, imports the same modules from any folder."""
    if config.python_executable is not None:
        return {}
    return {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in sys.path)}


def _run_processes(folder: Folder, parts: int, workers: int, config: SlurmConfig) -> None:
    environment = {**os.environ, **_environment(config)}

    def run_part(part: int) -> None:
        with (folder.path / f"part-{part}.log").open("w") as log:
            try:
                command = folder.command(config, f"{part}/{parts}")
                subprocess.run(command, stdout=log, stderr=log, env=environment, timeout=config.task_timeout)
            except subprocess.TimeoutExpired as error:
                log.write(f"stopped after its task_timeout of {error.timeout} s\n")

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        list(pool.map(run_part, range(1, parts + 1)))


def _run_slurm(folder: Folder, parts: int, workers: int, config: SlurmConfig) -> None:
    from ...store.slurm import Settings, cancel, job_script, largest_array, sbatch, wait

    parts = min(parts, config.max_array_size or largest_array())
    shebang, *preamble = (config.shebang or "#!/bin/sh").splitlines()
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
    script.write_text(job_script(settings, options, lines, shebang))
    job_id = sbatch(str(script))
    try:
        wait(job_id, config.poll_interval)
    except BaseException:
        cancel(job_id)
        raise


def _summary(failed: dict[int, str], count: int) -> str:
    first, error = min(failed.items())
    return f"{len(failed)} of {count} blocks failed; block {first}: {error}"
