"""``install`` puts our functions in the place of the package tinybrain."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr.strip().rpartition("\n")[2]


IMPORTS = """
import tinybrain, tinybrain.accelerated, tinybrain.downsample
from tinybrain import downsample_with_averaging
from tinybrain.accelerated import mode_pooling_2x2
from tinybrain.downsample import downsample_segmentation
print({m.__name__.replace(".compat.tinybrain", "") for m in (tinybrain, tinybrain.accelerated, tinybrain.downsample)} ==
      {"tinypyr", "tinypyr.accelerated", "tinypyr.downsample"},
      {f.__module__.partition(".")[0] for f in (downsample_with_averaging, mode_pooling_2x2, downsample_segmentation)})
"""
OTHER = "import sys, types; m = types.ModuleType('tinybrain'); sys.modules['tinybrain'] = m; m.__file__ = 'other.py'\n"
SUBMODULE = "sys.modules['tinybrain.other'] = m\n"
INSTALL = "from tinypyr.compat import tinybrain as ours\nours.install({})\n"


@pytest.mark.parametrize("script", [INSTALL.format("") * 2, OTHER + SUBMODULE + INSTALL.format("replace=True")])
def test_later_imports_get_our_functions(script: str) -> None:
    assert run(script + IMPORTS) == "True {'tinypyr'}\n"


def test_submodules_of_the_other_package_are_forgotten() -> None:
    script = OTHER + SUBMODULE + INSTALL.format("replace=True") + "print('tinybrain.other' in sys.modules)"
    assert run(script) == "False\n"


def test_another_tinybrain_that_is_imported_already_is_an_error() -> None:
    message = run(OTHER + INSTALL.format(""))
    assert message.startswith("RuntimeError: tinybrain: the package in other.py is imported already")
    assert "replace=True" in message
