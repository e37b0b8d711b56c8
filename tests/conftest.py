"""Profiles, instruction sets and real data for all tests."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import hypothesis
import numpy as np
import pytest

import tinypyr

# HYPOTHESIS_PROFILE=full draws new examples each time; ci repeats the same ones, so a failure means a new fault.
hypothesis.settings.register_profile("ci", max_examples=300, derandomize=True, deadline=None, database=None)
hypothesis.settings.register_profile("full", max_examples=10_000, deadline=None, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

if not tinypyr.instruction_sets():
    # Without the extension the first call warns, and warnings are errors here. Let the rest of the suite run on the
    # reference; test_instruction_sets.py fails on the missing extension, and
    # test_without_extension.py checks the warning.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        tinypyr.downsample(np.zeros(1), 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the tests that compile for minutes first, so that they do not prolong the end of a parallel run."""
    items.sort(key=lambda item: item.path.name != "test_vendoring.py")


@pytest.fixture(autouse=True)
def instruction_set_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore the instruction set of the run after every test, even a failed one."""
    if "TINYPYR_ISA" in os.environ:
        monkeypatch.setenv("TINYPYR_ISA", os.environ["TINYPYR_ISA"])
    else:
        monkeypatch.delenv("TINYPYR_ISA", raising=False)


@pytest.fixture(params=tinypyr.instruction_sets() or ["reference"])
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the test once per instruction set, forced through the environment."""
    if request.param != "reference":
        monkeypatch.setenv("TINYPYR_ISA", request.param)
    return str(request.param)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder with real volumes, which are not part of the project."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    found = Path(os.environ.get("TINYPYR_DATA", default))
    if not found.is_dir():
        pytest.skip(f"real data is not at {found}; the environment variable TINYPYR_DATA can name its folder")
    return found
