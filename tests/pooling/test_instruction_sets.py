"""The choice of the instruction set at run time."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import tinypyr
from support.strategies import COMPILED, METHODS, assert_same_bits, voxels

BASE = {"x86_64": "scalar", "AMD64": "scalar", "aarch64": "neon", "arm64": "neon"}
VOLUME = np.random.default_rng(0).integers(0, 255, (64, 32, 8), np.uint8)


def test_the_extension_is_built() -> None:
    """The rest of the suite would pass without the extension, on the reference, and test no kernel."""
    assert tinypyr.instruction_sets()


@pytest.mark.skipif(platform.machine() not in BASE, reason="the names are those of x86-64 and aarch64")
def test_instruction_sets_are_listed_by_known_names_and_end_with_the_base() -> None:
    names = tinypyr.instruction_sets()
    assert names[-1] == BASE[platform.machine()]
    assert len(set(names)) == len(names)
    assert set(names) <= {"avx512", "avx2", "scalar", "neon"}
    names.clear()
    assert tinypyr.instruction_sets()  # the list is a copy


@pytest.mark.skipif(not os.path.exists("/proc/cpuinfo"), reason="asks Linux what the processor can do")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the flags are those of x86-64")
def test_the_processor_has_what_is_offered() -> None:
    with open("/proc/cpuinfo") as lines:
        flags = set(next(line for line in lines if line.startswith("flags")).split())
    assert "avx2" in flags or "avx2" not in tinypyr.instruction_sets()
    assert {"avx512f", "avx512bw", "avx512vl"} <= flags or "avx512" not in tinypyr.instruction_sets()
    assert "avx2" in tinypyr.instruction_sets() or "avx2" not in flags
    assert tinypyr.instruction_sets() == [
        name for name in ("avx512", "avx2", "scalar") if name in tinypyr.instruction_sets()
    ]  # best first


@pytest.mark.parametrize(
    "value", ["sse9", "AVX2 ", "avx512,avx2", "neon" if "scalar" in tinypyr.instruction_sets() else "avx2"]
)
def test_unknown_names_are_refused_at_each_call(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out = np.full((32, 16, 4), 77, np.uint8)
    levels = [np.full((32, 16, 4), 77, np.uint8), np.full((16, 8, 2), 77, np.uint8)]
    monkeypatch.setenv("TINYPYR_ISA", value)
    with pytest.raises(ValueError, match=rf"\ATINYPYR_ISA\b.*'{value}'"):
        tinypyr.downsample(VOLUME, 2, out=out)
    with pytest.raises(ValueError, match=rf"\ATINYPYR_ISA\b.*'{value}'"):
        tinypyr.pyramid(VOLUME, 2, "mode", levels=2, out=levels)
    assert all((array == 77).all() for array in (out, *levels))
    # the variable is read at every call, so the next call is correct
    monkeypatch.delenv("TINYPYR_ISA")
    tinypyr.downsample(VOLUME, 2, out=out)
    assert not (out == 77).all()


def test_a_name_set_before_the_import_is_refused_at_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """The import succeeds with an invalid name; the first call fails."""
    script = "import tinypyr; print('imported'); tinypyr.downsample([1, 2], 2)"
    environment = {**os.environ, "TINYPYR_ISA": "sse9"}
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert "imported" in run.stdout
    assert run.returncode == 1
    assert "ValueError: TINYPYR_ISA" in run.stderr
    assert "sse9" in run.stderr


@pytest.mark.parametrize("dtype", COMPILED)
@pytest.mark.parametrize("method", METHODS)
def test_every_set_gives_the_bits_of_the_best(method: Any, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are much longer than in the grid, so that unrolled loops run many times."""
    rng = np.random.default_rng(1)
    flavour = "labels" if method == "mode" else "special" if np.dtype(dtype).kind == "f" else "noise"
    for shape in ((1031, 6, 3), (3, 6, 1031)):
        array = voxels(rng, shape, dtype, flavour)
        for order in ("C", "F"):
            laid_out = np.array(array, order=order)
            for factor in ((2, 2, 1), (2, 2, 2), (1, 2, 2), (3, 1, 3)):
                monkeypatch.delenv("TINYPYR_ISA", raising=False)
                best = tinypyr.pyramid(laid_out, factor, method, levels=2)
                for isa in tinypyr.instruction_sets():
                    monkeypatch.setenv("TINYPYR_ISA", isa)
                    for level, want in zip(tinypyr.pyramid(laid_out, factor, method, levels=2), best, strict=True):
                        assert_same_bits(level, want, (isa, shape, order, factor))
