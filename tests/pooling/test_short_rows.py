"""Arrays whose fastest axes are short (channels, few slices), bit for bit against the numpy reference."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import tinypyr
from support.strategies import DTYPES, LAYOUTS, METHODS, assert_same_bits, lay_out, voxels
from tinypyr import _reference

LENGTHS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 24, 31, 48, 65, 100, 255, 400)
FACTORS = ((2, 2, 1), (1, 2, 2), (2, 2, 2), (1, 1, 2))
RULES: tuple[dict[str, Any], ...] = (
    {},
    {"ignore": 0},
    {"ties": "lowest", "rounding": "floor", "voxel_offset": (1, -1, 3)},
    {"voxel_offset": (0, 5, 0), "ignore": 1},
)


def reference(array: np.ndarray, factor: tuple[int, ...], method: str, rules: dict[str, Any]) -> np.ndarray:
    filled = {"rounding": "half-even", "ties": "first", "ignore": None, "voxel_offset": (0,) * array.ndim, **rules}
    if filled["ignore"] is not None:
        filled["ignore"] = array.dtype.type(filled["ignore"])
    (level,) = _reference.pyramid(array, [factor], method=method, **filled)
    return level


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", METHODS)
def test_short_fastest_axes_equal_the_reference(method: Any, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    sets = ["", *tinypyr.instruction_sets()]  # "": the set that the library chooses
    for number, length in enumerate(LENGTHS):
        kind = "labels" if method == "mode" else "special" if np.dtype(dtype).kind == "f" else "noise"
        array = voxels(rng, (number % 4 + 1, 37 + 29 * (number % 3), length), dtype, kind)
        for turn, factor in enumerate(FACTORS):
            rules = dict(RULES[(number + turn) % len(RULES)])
            if "ignore" in rules and dtype == "bool":
                rules["ignore"] = bool(rules["ignore"])
            want = reference(array, factor, method, rules)
            laid_out = lay_out(array, LAYOUTS[(number + turn) % 2 * 3])  # C, or with gaps between rows
            for name in sets:
                monkeypatch.setenv("TINYPYR_ISA", name)
                assert_same_bits(
                    tinypyr.downsample(laid_out, factor, method, **rules), want, (name, array.shape, factor, rules)
                )


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "uint64", "float32", "float64"])
@pytest.mark.parametrize("method", ["mean", "min", "max"])
def test_levels_of_short_fastest_axes_equal_the_reference(
    method: Any, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(6)
    schedules = [[factor] * 4 for factor in FACTORS] + [[(3, 3, 1), (2, 2, 1)], [(2, 4, 2), (1, 2, 2)]]
    for number, length in enumerate((*range(1, 10), 17, 31, 48, 63, 65)):
        kind = "special" if np.dtype(dtype).kind == "f" else "noise"
        array = voxels(rng, (number % 4 + 1, 400 + 177 * (number % 3), length), dtype, kind)
        for turn, factors in enumerate(schedules):
            rules = dict(RULES[(number + turn) % len(RULES)])
            filled = {"rounding": "half-even", "ties": "first", "ignore": None, "voxel_offset": (0, 0, 0), **rules}
            if filled["ignore"] is not None:
                filled["ignore"] = array.dtype.type(filled["ignore"])
            want = _reference.pyramid(array, factors, method=method, **filled)
            laid_out = lay_out(array, LAYOUTS[(number + turn) % 2 * 3])  # C, or with gaps between rows
            for name in ("", *tinypyr.instruction_sets()):
                monkeypatch.setenv("TINYPYR_ISA", name)
                found = tinypyr.pyramid(laid_out, factors, method, **rules)
                for level, (got, expected) in enumerate(zip(found, want, strict=True)):
                    assert_same_bits(got, expected, (name, array.shape, factors, rules, level))


@pytest.mark.parametrize("shape", [(300, 3, 3), (1, 300, 3), (40, 2, 2, 3), (9, 9, 9, 9), (3, 200, 5, 2)])
def test_several_short_axes_equal_the_reference(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(1).integers(0, 255, shape, dtype=np.uint8)
    for factor in ((2,) * len(shape), (1, *(2,) * (len(shape) - 1)), (2, 2)):
        factor += (1,) * (len(shape) - len(factor))
        if factor.count(2) > 3:
            factor = (1, *factor[1:])
        assert_same_bits(tinypyr.downsample(array, factor), reference(array, factor, "mean", {}), (shape, factor))
        assert_same_bits(
            tinypyr.downsample(array.T, factor[::-1], "mode"), reference(array.T, factor[::-1], "mode", {}), shape
        )


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("count", [2, 4, 8])
def test_means_of_all_remainders_are_rounded_half_to_even(
    dtype: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Voxels differ by up to 4, near both ends of the range: every remainder, with odd and even quotients.
    rng = np.random.default_rng(count)
    factor = {2: (1, 1, 2, 1), 4: (1, 2, 2, 1), 8: (2, 2, 2, 1)}[count]
    for channels in (1, 2, 3, 4, 5, 8, 16, 20, 32, 64):
        spread = rng.integers(0, 5, (4, 6, 131, channels)).astype(dtype)
        for array in (spread, np.iinfo(dtype).max - spread):
            want = reference(array, factor, "mean", {})
            for name in ("", *tinypyr.instruction_sets()):
                monkeypatch.setenv("TINYPYR_ISA", name)
                assert_same_bits(tinypyr.downsample(array, factor), want, (name, channels))
                assert_same_bits(tinypyr.downsample(array.T, factor[::-1]), want.T, (name, channels))


@pytest.mark.parametrize("channels", range(1, 65))
def test_rows_of_every_length_equal_the_reference(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(channels)
    for dtype in ("uint8", "uint16"):
        array = rng.integers(0, np.iinfo(dtype).max, (5, 21 + channels % 17, channels), dtype=dtype, endpoint=True)
        padded = np.zeros((5, 40, channels), dtype)
        padded[:, : array.shape[1]] = array
        for turn, factor in enumerate(FACTORS):
            rules: dict[str, Any] = {"voxel_offset": (turn % 2, channels % 3, (channels + turn) % 2)}
            want = reference(array, factor, "mean", rules)
            room = np.full((want.shape[0], want.shape[1] + 3, want.shape[2]), 7, dtype)
            for name in ("", *tinypyr.instruction_sets()):
                monkeypatch.setenv("TINYPYR_ISA", name)
                for source in (array, padded[:, : array.shape[1]]):
                    out = room[:, : want.shape[1]]
                    tinypyr.downsample(source, factor, out=out, **rules)
                    assert_same_bits(np.ascontiguousarray(out), want, (name, dtype, array.shape, factor, rules))
                    assert (room[:, want.shape[1] :] == 7).all(), "the mean was written past the end of a row"


def test_means_of_doubles_at_a_cut_border_do_not_overflow() -> None:
    largest = np.finfo(np.float64).max
    array = np.full((5, 65, 3), largest)
    assert (tinypyr.downsample(array, (1, 1, 2))[..., 1] == largest).all()


def test_gray_and_interleaved_channels_have_the_same_values() -> None:
    image = np.random.default_rng(2).integers(0, 255, (130, 257, 3), dtype=np.uint8)
    level = tinypyr.downsample(image, (2, 2, 1))
    for channel in range(3):
        gray = np.ascontiguousarray(image[..., channel])
        assert (tinypyr.downsample(gray, (2, 2)) == level[..., channel]).all()


UNMAPPED_GAPS = """
import ctypes, mmap, sys
import numpy as np
import tinypyr

mprotect = ctypes.CDLL(None).mprotect
mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
page, rows, channels = mmap.PAGESIZE, 16, int(sys.argv[1])
memory = np.frombuffer(mmap.mmap(-1, 2 * page * rows), np.uint8)
array = np.lib.stride_tricks.as_strided(memory, (rows, page // channels, channels), (2 * page, channels, 1))
for row in range(rows):
    assert mprotect(memory.ctypes.data + (2 * row + 1) * page, page, 0) == 0
for method in ("mean", "mode", "stride"):
    assert (tinypyr.downsample(array, (2, 2, 1), method) == 0).all()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mprotect of Linux's C library")
@pytest.mark.parametrize("channels", [2, 4])
def test_unmapped_pages_between_rows_are_not_read(channels: int) -> None:
    subprocess.run([sys.executable, "-c", UNMAPPED_GAPS, str(channels)], check=True)
