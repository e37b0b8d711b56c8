"""Without the extension, and without fastremap, there is one clear warning, and results are the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinypyr
from support.strategies import COMPILED, METHODS, assert_same_bits, voxels

CALLS: list[dict[str, Any]] = [
    {"levels": 2},
    {"levels": 2, "ignore": 0},
    {"voxel_offset": (1, -2, 3), "ties": "lowest", "rounding": "floor"},
]

# Run in a process of its own, because a loaded module cannot be unloaded.
SCRIPT = """
import sys, warnings
for name in sys.argv[3].split():
    sys.modules[name] = None  # importing it now fails
import numpy as np
import tinypyr
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    assert tinypyr.instruction_sets() == [], tinypyr.instruction_sets()
    assert not caught, caught  # neither the import nor a question warns
    answers = {}
    with np.load(sys.argv[1]) as arrays:
        for key, array in arrays.items():
            method = key.split()[0]
            for number, call in enumerate(eval(sys.argv[4])):
                for k, level in enumerate(tinypyr.pyramid(array, 2, method, **call)):
                    answers[f"{key} {number} {k}"] = level
    tinypyr.downsample(array, 2)
    tinypyr.downsample_segmentation(array, 2)
print(len(caught), *{w.category.__name__ for w in caught})
print(caught[0].message)
print(caught[0].filename)
np.savez(sys.argv[2], **answers)
"""


@pytest.fixture(scope="module")
def arrays() -> dict[str, Any]:
    rng = np.random.default_rng(3)
    return {
        f"{method} {dtype}": voxels(rng, (9, 10, 7), dtype, "labels" if method == "mode" else "noise")
        for method in METHODS
        for dtype in COMPILED
    }


@pytest.mark.parametrize("missing", ["tinypyr._core", "tinypyr._core fastremap"])
def test_the_fallback_gives_the_same_bits_and_one_warning(missing: str, arrays: dict[str, Any], tmp_path: Path) -> None:
    if not tinypyr.instruction_sets():
        pytest.skip("the extension is not built: there is nothing to compare the fallback with")
    given, made = tmp_path / "given.npz", tmp_path / "made.npz"
    np.savez(given, **arrays)
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(given), str(made), missing, repr(CALLS)], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    count, message, filename = run.stdout.splitlines()[-3:]
    assert count == "1 RuntimeWarning"
    assert "extension is missing" in message
    assert filename == "<string>"  # the warning names the caller's line, not one in the package
    with np.load(made) as answers:
        compared = 0
        for key, array in arrays.items():
            method: Any = key.split()[0]
            for number, call in enumerate(CALLS):
                levels = tinypyr.pyramid(array, 2, method, **call)
                for k, level in enumerate(levels):
                    assert_same_bits(answers[f"{key} {number} {k}"], level, (key, call, k))
                    compared += 1
        assert compared == len(answers.files) == 5 * len(arrays)


def test_importing_the_package_imports_no_optional_dependency() -> None:
    """Only numpy, the package and its extension are imported; everything else is imported when it is needed."""
    script = (
        "import sys, numpy; before = set(sys.modules); import tinypyr; "
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = run.stdout.splitlines()[-1].split()
    assert "tinypyr" in loaded
    heavy = {"fastremap", "tensorstore", "dask", "scipy", "PIL", "cv2", "matplotlib", "tinybrain", "argparse"}
    assert not heavy & set(loaded)


def test_invalid_arguments_are_named_without_the_extension() -> None:
    """The same checks raise the same errors, before the warning."""
    script = """
import sys
sys.modules["tinypyr._core"] = None
import warnings
warnings.simplefilter("error")
import numpy, tinypyr
for call in ({"factor": 0}, {"factor": 2, "method": "average"}, {"factor": 2, "ignore": 256}):
    try:
        tinypyr.downsample(numpy.zeros(4, "u1"), **call)
    except ValueError as error:
        print(str(error).split(":")[0])
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split()[-3:] == ["factor", "method", "ignore"]
