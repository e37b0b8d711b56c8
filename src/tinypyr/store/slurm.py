"""A saved plan as jobs of Slurm: an array of parts, and one more that finalizes when they have ended well."""

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
    """What ``sbatch`` is told; None: what the cluster takes by default."""

    parts: int | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    time: str | None = None
    mem: str | None = None
    cpus: int | None = None
    limit: int | None = None
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            numeric = item.name in ("parts", "cpus", "limit")
            if item.name == "lines":
                right = isinstance(value, list) and all(isinstance(line, str) for line in value)
            else:
                right = value is None or (isinstance(value, int if numeric else str) and not isinstance(value, bool))
            if not right or (numeric and value is not None and value < 1):
                raise ValueError(f"{item.name}: {value!r} is not {'a number above 0' if numeric else 'text'}")


def from_toml(path: str) -> dict[str, Any]:
    """Settings from a file."""
    try:
        with open(path, "rb") as file:
            found = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"settings: {path} cannot be read: {error}") from None
    known = [item.name for item in dataclasses.fields(Settings)]
    for name in found:
        if name not in known:
            raise ValueError(f"settings: {name!r} in {path} is not one of {', '.join(known)}")
    return found


def job_script(settings: Settings, options: Sequence[str], lines: Sequence[str], first: str = "#!/bin/sh") -> str:
    """The text of a job: what ``sbatch`` is told, then what is done."""
    given = [(name, getattr(settings, name)) for name in ("partition", "account", "qos", "time", "mem")]
    told = [f"{name}={value}" for name, value in given if value is not None]
    return "\n".join([first, *(f"#SBATCH --{option}" for option in [*told, *options]), *lines]) + "\n"


def submit(path: Path, settings: Settings, *, dry_run: bool = False) -> list[str]:
    """Write the scripts beside the plan and submit them; what to tell the user."""
    plan = Plan.load(path)
    path = path.absolute()
    parts = min(settings.parts or 16, len(plan.numbers))  # (more would have nothing to do)
    cpus = settings.cpus or plan.workers
    log = str(path).replace("%", "%%")
    limit = f"%{settings.limit}" if settings.limit else ""
    command = f"exec {shlex.quote(sys.executable)} -m tinypyr"
    part, end = path.with_name(f"{path.name}.part.sh"), path.with_name(f"{path.name}.finalize.sh")
    run = f'{command} run {shlex.quote(str(path))} --part "$SLURM_ARRAY_TASK_ID/{parts}" --workers {cpus}'
    of_part = [
        "job-name=tinypyr-part",
        f"array=1-{parts}{limit}",
        f"cpus-per-task={cpus}",
        f'output="{log}.part-%a.log"',
    ]
    of_end = ["job-name=tinypyr-finalize", "kill-on-invalid-dep=yes", f'output="{log}.finalize.log"']
    scripts = {
        part: job_script(settings, of_part, [*settings.lines, run]),
        end: job_script(settings, of_end, [*settings.lines, f"{command} finalize {shlex.quote(str(path))}"]),
    }
    for script, text in scripts.items():
        try:
            script.write_text(text)
        except OSError as error:
            raise StoreError(f"{script} cannot be written: {error}") from None
    if dry_run:
        return [
            f"written, not submitted: {parts} parts, then finalize; to submit them:",
            f"  sbatch --parsable {shlex.quote(str(part))}",
            f"  sbatch --dependency=afterok:JOB {shlex.quote(str(end))}   # JOB: the number that the first has printed",
        ]
    first = sbatch(str(part))
    last = sbatch(f"--dependency=afterok:{first}", str(end))
    return [f"job {first}: {parts} parts ({part})", f"job {last}: finalizes when all have ended well ({end})"]


def sbatch(*arguments: str) -> str:
    """Submit a script; the number of its job."""
    try:
        done = subprocess.run(["sbatch", "--parsable", *arguments], capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise StoreError("sbatch: there is no Slurm on this machine; use --dry-run, or go to a login node") from None
    except subprocess.CalledProcessError as error:
        raise StoreError(f"sbatch refused {arguments[-1]}: {error.stderr.strip()}") from None
    return done.stdout.strip().partition(";")[0]


def wait(number: str, every: float) -> None:
    """Wait until no task of a job is left, asking so often (in seconds)."""
    while True:
        told = subprocess.run(["squeue", "--noheader", "--job", number], capture_output=True, text=True)
        if (told.returncode == 0 and not told.stdout.strip()) or "Invalid job id" in told.stderr:
            return
        time.sleep(every)


def cancel(number: str) -> None:
    """End a job."""
    subprocess.run(["scancel", number], capture_output=True)


def largest_array() -> int:
    """How many tasks an array of this cluster may have."""
    told = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True)
    found = re.search(r"MaxArraySize\s*=\s*(\d+)", told.stdout)
    return max(1, int(found[1]) - 1) if found else 1000
