"""Slurm jobs of a saved plan: an array of parts, and a job that finalizes the plan when all parts have succeeded."""

from __future__ import annotations

import dataclasses
import re
import shlex
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import StoreError
from .plans import Plan


@dataclass(frozen=True)
class Settings:
    """Options of ``sbatch``; None stands for the default of the cluster.

    Attributes
    ----------
    parts : int
        Number of jobs; by default 16, and at most one per block.
    partition, account, qos, time, mem : str
        As for ``sbatch``.
    cpus_per_task : int
        Cores of a job; by default the plan's number of workers.
    limit : int
        Maximum number of jobs that run at the same time.
    lines : list of str
        Further lines of the job scripts.
    """

    parts: int | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    time: str | None = None
    mem: str | None = None
    cpus_per_task: int | None = None
    limit: int | None = None
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for setting in dataclasses.fields(self):
            value = getattr(self, setting.name)
            numeric = setting.name in ("parts", "cpus_per_task", "limit")
            if setting.name == "lines":
                valid = isinstance(value, list) and all(isinstance(line, str) for line in value)
            else:
                valid = value is None or (isinstance(value, int if numeric else str) and not isinstance(value, bool))
            if not valid or (numeric and value is not None and value < 1):
                expected = "an integer above 0" if numeric else "text"
                expected = "a list of texts" if setting.name == "lines" else expected
                raise ValueError(f"{setting.name}: {value!r} is not {expected}")


def from_toml(path: str) -> dict[str, Any]:
    """Return the settings in a TOML file."""
    try:
        with open(path, "rb") as file:
            settings = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"settings: {path} cannot be read: {error}") from None
    names = [setting.name for setting in dataclasses.fields(Settings)]
    for name in settings:
        if name not in names:
            raise ValueError(f"settings: {name!r} in {path} is not one of {', '.join(names)}")
    return settings


def job_script(settings: Settings, options: Sequence[str], lines: Sequence[str], shebang: str = "#!/bin/sh") -> str:
    """Return the text of a job script: options of ``sbatch``, then commands."""
    values = [(name, getattr(settings, name)) for name in ("partition", "account", "qos", "time", "mem")]
    directives = [*(f"{name}={value}" for name, value in values if value is not None), *options]
    return "\n".join([shebang, *(f"#SBATCH --{directive}" for directive in directives), *lines]) + "\n"


def submit(path: Path, settings: Settings, *, dry_run: bool = False) -> list[str]:
    """Write the job scripts next to a saved plan, submit them, and return lines to print.

    With ``dry_run``, the scripts are written only.
    """
    plan = Plan.load(path)
    path = path.absolute()
    parts = min(settings.parts or 16, len(plan.numbers))
    cpus = settings.cpus_per_task or plan.workers
    log = str(path).replace("%", "%%")
    limit = f"%{settings.limit}" if settings.limit else ""
    command = f"exec {shlex.quote(sys.executable)} -m tinypyr"
    run_command = f'{command} run {shlex.quote(str(path))} --part "$SLURM_ARRAY_TASK_ID/{parts}" --workers {cpus}'
    part_options = [
        "job-name=tinypyr-part",
        f"array=1-{parts}{limit}",
        f"cpus-per-task={cpus}",
        f'output="{log}.part-%a.log"',
    ]
    last_options = ["job-name=tinypyr-finalize", "kill-on-invalid-dep=yes", f'output="{log}.finalize.log"']
    part, last = path.with_name(f"{path.name}.part.sh"), path.with_name(f"{path.name}.finalize.sh")
    finalize = f"{command} finalize {shlex.quote(str(path))}"
    _write_script(part, job_script(settings, part_options, [*settings.lines, run_command]))
    _write_script(last, job_script(settings, last_options, [*settings.lines, finalize]))
    if dry_run:
        return [
            f"job scripts written, not submitted: {parts} parts, then finalize; to submit them:",
            f"  sbatch --parsable {shlex.quote(str(part))}",
            f"  sbatch --dependency=afterok:JOB {shlex.quote(str(last))}   # JOB: the number that the first one prints",
        ]
    array = sbatch(str(part))
    job = sbatch(f"--dependency=afterok:{array}", str(last))
    return [f"job {array}: {parts} parts ({part})", f"job {job}: finalizes when all parts have succeeded ({last})"]


def _write_script(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error}") from None


def sbatch(*arguments: str) -> str:
    """Submit a job script, and return the number of its job."""
    try:
        process = subprocess.run(["sbatch", "--parsable", *arguments], capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise StoreError("sbatch: Slurm is not installed on this machine; use --dry-run, or a login node") from None
    except subprocess.CalledProcessError as error:
        raise StoreError(f"sbatch refused {arguments[-1]}: {error.stderr.strip()}") from None
    return process.stdout.strip().partition(";")[0]


def wait(job: str, interval: float) -> None:
    """Wait until all tasks of a job have ended, polling at an interval in seconds."""
    while True:
        queue = subprocess.run(["squeue", "--noheader", "--job", job], capture_output=True, text=True)
        if (queue.returncode == 0 and not queue.stdout.strip()) or "Invalid job id" in queue.stderr:
            return
        time.sleep(interval)


def cancel(job: str) -> None:
    """Cancel a job."""
    subprocess.run(["scancel", job], capture_output=True)


def largest_array() -> int:
    """Return the maximum number of tasks in a job array of this cluster."""
    configuration = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True)
    match = re.search(r"MaxArraySize\s*=\s*(\d+)", configuration.stdout)
    return max(1, int(match[1]) - 1) if match else 1000
