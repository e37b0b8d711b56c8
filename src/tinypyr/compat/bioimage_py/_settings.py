"""Settings of the job types "subprocess" and "slurm", and the error that lists failed blocks."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any


@dataclass
class RunnerConfig:
    """Settings of the job type "subprocess".

    Attributes
    ----------
    poll_interval : float
        Seconds between two queries of the Slurm queue.
    tmp_root : path, optional
        Parent of the job's folder. For Slurm, it must be on a file system that all nodes share.
    python_executable : path, optional
        Python interpreter of the parts. The default is the interpreter of this process.
    tasks_per_worker : int
        Number of parts per worker. More parts balance the load better and start more processes.
    task_timeout : float, optional
        Seconds after which a process is stopped. Ignored for Slurm; use ``time`` there.
    """

    poll_interval: float = 10.0
    tmp_root: str | None = None
    python_executable: str | None = None
    tasks_per_worker: int = 1
    task_timeout: float | None = None


@dataclass
class SlurmConfig(RunnerConfig):
    """Settings of the job type "slurm".

    Attributes
    ----------
    partition, time, mem, account, qos, constraint : str, optional
        Options of ``sbatch`` with the same names.
    cpus_per_task, gpus : int
        Options of ``sbatch`` with the same names.
    shebang : str, optional
        First line of the job script. Further lines are inserted after the options.
    max_array_size : int, optional
        Largest number of jobs in an array. The default is the limit of the cluster.
    latency_wait : float
        Seconds to wait until the files of a job are visible on this machine.
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
    """Failure of some blocks. All other blocks are written.

    Attributes
    ----------
    failed_block_ids : list of int
        Numbers of the failed blocks.
    tmp_folder : str or None
        Value for ``resume_from``, or None for the job type "local".
    """

    def __init__(
        self, message: str, failed_block_ids: Sequence[int] | None = None, tmp_folder: str | None = None
    ) -> None:
        super().__init__(message)
        self.failed_block_ids = list(failed_block_ids or [])
        self.tmp_folder = tmp_folder


_TEXTS = ("tmp_root", "python_executable", "partition", "time", "mem", "account", "qos", "constraint", "shebang")
_COUNTS = ("tasks_per_worker", "cpus_per_task", "max_array_size")


def checked_settings(job_type: str, config: Any) -> SlurmConfig:
    """Return validated settings from a configuration, or from any object with the same attributes."""
    if config is not None and not hasattr(config, "tmp_root"):
        expected = "SlurmConfig" if job_type == "slurm" else "RunnerConfig"
        raise TypeError(f"job_config: {type(config).__name__} is not a {expected}")
    defaults = SlurmConfig()
    values = {
        setting.name: getattr(config, setting.name, getattr(defaults, setting.name)) for setting in fields(SlurmConfig)
    }
    for name, value in values.items():
        valid, expected = _validity(name, value)
        if not valid or isinstance(value, bool) or (value is None and getattr(defaults, name) is not None):
            raise ValueError(f"job_config: {name} is {value!r}, not {expected}")
    python = values["python_executable"]
    if python is not None and job_type == "subprocess" and shutil.which(python) is None:
        raise ValueError(f"job_config: python_executable is {python!r}, which cannot be run")
    return SlurmConfig(**values)


def _validity(name: str, value: Any) -> tuple[bool, str]:
    """Return True if the value is valid, and a description of valid values."""
    if name in _TEXTS:
        return isinstance(value, (str, os.PathLike)) or value is None, "text"
    if name in _COUNTS:
        return (isinstance(value, int) and value > 0) or value is None, "a number above 0"
    valid = isinstance(value, (int, float)) and math.isfinite(value) and value >= 0
    return valid or value is None, "a number of 0 or more"
