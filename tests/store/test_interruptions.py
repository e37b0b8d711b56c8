"""Fault injection: short runs of tests/campaigns.py. Long runs are started by hand."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tensorstore", reason="stores need TensorStore")
if sys.platform != "linux":
    pytest.skip("processes are forked and traced as on Linux", allow_module_level=True)

CASES = ("shards", "in place", "n5", "precomputed")


def campaign(*arguments: str) -> str:
    """Return the output of a campaign, which runs in a process without threads because it forks."""
    command = [sys.executable, str(Path(__file__).parents[1] / "campaigns.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def strace() -> None:
    """Skip the test if system calls cannot be traced."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    if subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True).returncode:
        pytest.skip("needs to be allowed to trace processes")


@pytest.mark.parametrize("case", CASES)
def test_builds_killed_at_a_system_call_resume(case: str, strace: None) -> None:
    numbers = "1,2,4,6" if case == "shards" else "3,11"
    said = campaign("kill", "--case", case, "--numbers", numbers)
    kills = [int(part.split()[-1]) for part in said.partition(": ")[2].partition(";")[0].split(", ")]
    assert len(kills) == 5, "every family"
    assert sum(kills) >= 5, said


@pytest.mark.parametrize("case", ["shards", "n5"])
def test_a_disk_that_fails_is_an_error_and_the_build_resumes(case: str, strace: None) -> None:
    said = campaign("errors", "--case", case, "--numbers", "1,2,5")
    failures = [int(part.split()[-1]) for part in said.partition(": ")[2].partition(";")[0].split(", ")]
    assert min(failures) >= 1, said


def test_builds_killed_at_random_ten_times_resume() -> None:
    said = json.loads(campaign("random", "--case", "shards", "--rounds", "10").partition(": ")[2].partition(";")[0])
    assert said["kills"] == 10


def test_two_simultaneous_builders_leave_a_correct_store() -> None:
    said = json.loads(campaign("race", "--case", "in place", "--rounds", "8").partition(": ")[2].partition(";")[0])
    assert sum(said.values()) == 8


def test_mutated_metadata_is_read_or_refused() -> None:
    said = json.loads(campaign("metadata", "--seconds", "60", "--seed", "11").partition(": ")[2].partition(";")[0])
    assert said["refused"] > 50
    assert said["accepted"] > 10


def test_damaged_results_and_plans_are_noticed() -> None:
    said = json.loads(campaign("mutate", "--rounds", "400").partition(": ")[2].partition(";")[0])
    assert sum(said.values()) == 400
    assert said["named errors"] > 100
    assert said["made again"] > 50
