"""A grid of cases compares every kernel with the numpy reference, bit for bit, and a sample with the oracle.

One case is one call of the compiled core: an extent of the contiguous axis (around every vector and tail length), outer
axes around it, the position of the long axis, a factor, a method, a dtype, an instruction set and a memory layout.
`GRID_CASES` is the number of cases with three instruction sets, as x86-64 has them;
``PYTHONPATH=tests python tests/pooling/test_case_grid.py`` prints it.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinypyr
from support import oracle
from support.strategies import DTYPES, FACTORS, LAYOUTS, METHODS, assert_same_bits, lay_out, voxels
from tinypyr import _reference

EXTENTS = (0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65)
OUTER = ((1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (3, 2), (3, 3), (4, 5), (5, 1))
LONG_AXIS = (0, 2)  # contiguous in Fortran order, contiguous in C order

# Other rules than the defaults, and factors without a fast path: one of each list, in turn, for a third of the shapes.
RULES: tuple[dict[str, Any], ...] = (
    {"ignore": 0},
    {"rounding": "floor"},
    {"ties": "lowest"},
    {"voxel_offset": (1, 0, 1)},
    {"ignore": "nan"},
    {"ignore": "present", "ties": "lowest", "rounding": "floor"},
    {"voxel_offset": (-3, 5, 2), "ignore": 0},
    {"voxel_offset": (7, -1, 3), "ties": "lowest", "rounding": "floor"},
)
ODD_FACTORS = ((2, 2, 2), (3, 1, 1), (2, 2, 1), (1, 3, 2), (1, 2, 2), (3, 3, 3), (4, 2, 1), (2, 1, 1), (70, 2, 5))
RULES_EVERY = 3

ORACLE_EVERY = 11  # of the calls of the reference; a prime, so that the sample covers every list

PLACES = len(EXTENTS) * len(OUTER) * len(LONG_AXIS)
PER_TEST = PLACES * len(FACTORS) * len(LAYOUTS)  # with one instruction set
EXTRA_PER_TEST = len(range(0, PLACES, RULES_EVERY)) * len(LAYOUTS)


def grid_cases(instruction_sets: int) -> int:
    """Return the number of core calls in the grid with this many instruction sets."""
    return (PER_TEST + EXTRA_PER_TEST) * len(METHODS) * len(DTYPES) * instruction_sets


GRID_CASES = grid_cases(3)


def shapes() -> Iterator[tuple[int, ...]]:
    for long_axis, outer, extent in itertools.product(LONG_AXIS, OUTER, EXTENTS):
        yield (extent, *outer) if long_axis == 0 else (*outer, extent)


def flavour(method: str, dtype: str, number: int) -> str:
    if method == "mode" or number % 5 == 0:
        return "labels"
    return "special" if np.dtype(dtype).kind == "f" and number % 2 else "noise"


def rules_for(number: int, array: np.ndarray) -> dict[str, Any]:
    """Return the keyword arguments of an extra array; a rule that its dtype does not have becomes ignore=0."""
    rules = dict(RULES[number % len(RULES)])
    if rules.get("ignore") == "nan":
        rules["ignore"] = np.nan if array.dtype.kind == "f" else 0
    if rules.get("ignore") == "present":
        rules["ignore"] = array.flat[array.size // 2].item() if array.size else 0
    if array.dtype.kind == "b" and "ignore" in rules:
        rules["ignore"] = bool(rules["ignore"])
    return rules


def reference(array: np.ndarray, factor: tuple[int, ...], method: str, rules: dict[str, Any]) -> np.ndarray:
    ignore = rules.get("ignore")
    (level,) = _reference.pyramid(
        array,
        [factor],
        method=method,
        ignore=None if ignore is None else array.dtype.type(ignore),
        rounding=rules.get("rounding", "half-even"),
        ties=rules.get("ties", "first"),
        voxel_offset=rules.get("voxel_offset", (0, 0, 0)),
    )
    return level


def arrays_of(method: str, dtype: str) -> Iterator[tuple[np.ndarray, list[tuple[tuple[int, ...], dict[str, Any]]]]]:
    """Yield every array of one test, with the factors and rules of its pooling."""
    rng = np.random.default_rng(zlib.crc32(f"{method} {dtype}".encode()))
    for number, shape in enumerate(shapes()):
        array = voxels(rng, shape, dtype, flavour(method, dtype, number))
        work: list[tuple[tuple[int, ...], dict[str, Any]]] = [(factor, {}) for factor in FACTORS]
        if number % RULES_EVERY == 0:
            turn = number // RULES_EVERY
            work.append((ODD_FACTORS[turn % len(ODD_FACTORS)], rules_for(turn, array)))
        yield array, work


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", METHODS)
def test_compiled_kernels_equal_the_reference_to_the_bit(
    method: Any, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = tinypyr.instruction_sets()
    if not sets:
        pytest.skip("the extension is not built: there is nothing to compare with the reference")
    # The reference is computed once per array, and compared with every instruction set and layout.
    work = []
    for array, jobs in arrays_of(method, dtype):
        wanted = [(factor, rules, reference(array, factor, method, rules)) for factor, rules in jobs]
        work.append(([lay_out(array, layout) for layout in LAYOUTS], wanted))
    calls = 0
    for isa in sets:
        monkeypatch.setenv("TINYPYR_ISA", isa)
        for laid_out, wanted in work:
            for factor, rules, want in wanted:
                bits = want.tobytes()
                for layout, array in zip(LAYOUTS, laid_out, strict=True):
                    got = tinypyr.downsample(array, factor, method, **rules)
                    calls += 1
                    if got.shape != want.shape or got.dtype != want.dtype or got.tobytes() != bits:
                        assert_same_bits(got, want, (isa, layout, array.shape, factor, rules))
    assert calls * len(METHODS) * len(DTYPES) == grid_cases(len(sets))


@pytest.mark.parametrize("method", METHODS)
def test_a_sample_of_cases_equals_the_oracle(method: Any) -> None:
    number, checked = 0, 0
    for dtype in DTYPES:
        for array, jobs in arrays_of(method, dtype):
            for factor, rules in jobs:
                number += 1
                if number % ORACLE_EVERY:
                    continue
                checked += 1
                (want,) = oracle.pyramid(array, [factor], method, **rules)
                got = tinypyr.downsample(array, factor, method, **rules)
                assert got.dtype == array.dtype
                where = f"{dtype} {array.shape} {factor} {rules}"
                oracle.check(got, want, method, ignore=rules.get("ignore"), where=where)
    assert checked * ORACLE_EVERY > number - ORACLE_EVERY > 0


if __name__ == "__main__":
    print(GRID_CASES)
