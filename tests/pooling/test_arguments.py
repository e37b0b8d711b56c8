"""Invalid arguments raise ValueError or TypeError with the argument and the value, and nothing is written."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import tinypyr

VOLUME = np.arange(4 * 6 * 5, dtype=np.uint8).reshape(4, 6, 5)
FLOATS = VOLUME.astype(np.float32)
SHAPE = (2, 3, 3)  # of the answer by 2


def case(error: Any, name: str, value: str, array: Any = VOLUME, factor: Any = 2, **arguments: Any) -> Any:
    return pytest.param(error, name, value, array, factor, arguments, id=f"{name}-{value}"[:60])


def bad_factors() -> list[Any]:
    return [
        case(ValueError, "factor", "0", factor=0),
        case(ValueError, "factor", "-2", factor=-2),
        case(ValueError, "factor", "(2, 0, 2)", factor=(2, 0, 2)),
        case(ValueError, "factor", "(2, -1)", factor=(2, -1)),
        case(ValueError, "factor", "1.5", factor=1.5),
        case(ValueError, "factor", "1.5", factor=(2, 1.5)),
        case(ValueError, "factor", "0.5", factor=np.float32(0.5)),
        case(ValueError, "factor", "nan", factor=float("nan")),
        case(ValueError, "factor", "inf", factor=(2, float("inf"))),
        case(ValueError, "factor", "(2, 2, 2, 2)", factor=(2, 2, 2, 2)),
        case(ValueError, "factor", "[1, 1, 1, 1]", factor=[1, 1, 1, 1]),
        case(TypeError, "factor", "'2'", factor="2"),
        case(TypeError, "factor", "None", factor=None),
        case(TypeError, "factor", "None", factor=(2, None)),
        case(TypeError, "factor", "'x'", factor=(2, "x")),
        case(TypeError, "factor", "2j", factor=2j),
        case(TypeError, "factor", "<object", factor=object()),
        case(ValueError, "factor", "0", array=np.zeros(()), factor=0),
        case(ValueError, "factor", "(2,)", array=np.zeros(()), factor=(2,)),
    ]


def bad_rules() -> list[Any]:
    return [
        case(ValueError, "method", "'average'", method="average"),
        case(ValueError, "method", "''", method=""),
        case(ValueError, "method", "'Mean'", method="Mean"),
        case((ValueError, TypeError), "method", "None", method=None),
        case((ValueError, TypeError), "method", "2", method=2),
        case(ValueError, "rounding", "'up'", rounding="up"),
        case((ValueError, TypeError), "rounding", "None", rounding=None),
        case(ValueError, "ties", "'last'", ties="last"),
        case((ValueError, TypeError), "ties", "True", ties=True),
        case(ValueError, "ignore", "nan", ignore=float("nan")),
        case(ValueError, "ignore", "nan", ignore=np.float32("nan")),
        case(ValueError, "ignore", "inf", ignore=float("inf")),
        case(ValueError, "ignore", "0.5", ignore=0.5),
        case(ValueError, "ignore", "256", ignore=256),
        case(ValueError, "ignore", "-1", ignore=-1),
        case(ValueError, "ignore", "2", array=VOLUME > 3, ignore=2),
        case(ValueError, "ignore", "18446744073709551616", array=VOLUME.astype(np.uint64), ignore=2**64),
        case(ValueError, "ignore", "-9223372036854775809", array=VOLUME.astype(np.int64), ignore=-(2**63) - 1),
        case(ValueError, "ignore", "1e+39", array=FLOATS, ignore=1e39),
        case(TypeError, "ignore", "'0'", ignore="0"),
        case(TypeError, "ignore", "'0'", array=FLOATS, ignore="0"),
        case(TypeError, "ignore", "[0, 1]", ignore=[0, 1]),
        case(TypeError, "ignore", "1j", array=FLOATS, ignore=1j),
        case(TypeError, "ignore", "<object", array=FLOATS, ignore=object()),
        case(ValueError, "workers", "-1", workers=-1),
        case(ValueError, "workers", "1.5", workers=1.5),
        case(TypeError, "workers", "'all'", workers="all"),
        case(ValueError, "workers", "0", workers=0),
        case(ValueError, "voxel_offset", "(1, 2, 3, 4)", voxel_offset=(1, 2, 3, 4)),
        case(ValueError, "voxel_offset", "0.5", voxel_offset=(0.5, 0, 0)),
        case(ValueError, "voxel_offset", "nan", voxel_offset=(0, float("nan"), 0)),
        case(TypeError, "voxel_offset", "'a'", voxel_offset=("a", 0, 0)),
        case(TypeError, "voxel_offset", "5", voxel_offset=5),
        case(ValueError, "voxel_offset", str(2**63), voxel_offset=(2**63, 0, 0)),
        case(ValueError, "voxel_offset", str(-(2**70)), voxel_offset=(0, -(2**70), 0)),
    ]


def bad_arrays() -> list[Any]:
    return [
        case(TypeError, "array", "object", array=VOLUME.astype(object)),
        case(TypeError, "array", "object", array=[1, None]),
        case(TypeError, "array", "<U", array=VOLUME.astype(str)),
        case(TypeError, "array", "S", array=VOLUME.astype(bytes)),
        case(TypeError, "array", "datetime64", array=np.zeros((4, 4), "M8[s]")),
        case(TypeError, "array", "timedelta64", array=np.zeros((4, 4), "m8[s]")),
        case(TypeError, "array", "V4", array=np.zeros((4, 4), "V4")),
        case(TypeError, "array", "('a', ", array=np.zeros((4, 4), [("a", "u1")])),
        case(TypeError, "array", "masked", array=np.ma.masked_equal(VOLUME, 3)),
        case(TypeError, "array", "object", array=None),
        case(TypeError, "array", "<U", array="volume"),
    ]


def bad_outs() -> list[Any]:
    read_only = np.zeros(SHAPE, np.uint8)
    read_only.flags.writeable = False
    repeated = np.lib.stride_tricks.as_strided(np.zeros(3, np.uint8), SHAPE, (0, 0, 1))
    sliding = np.lib.stride_tricks.as_strided(np.zeros(99, np.uint8), SHAPE, (1, 1, 1))
    return [
        case(ValueError, "out", "(2, 3, 2)", out=np.zeros((2, 3, 2), np.uint8)),
        case(ValueError, "out", "(2, 3)", out=np.zeros((2, 3), np.uint8)),
        case(ValueError, "out", "(3, 3, 2)", out=np.zeros((3, 3, 2), np.uint8)),
        case((ValueError, TypeError), "out", "int8", out=np.zeros(SHAPE, np.int8)),
        case((ValueError, TypeError), "out", "float64", out=np.zeros(SHAPE)),
        case((ValueError, TypeError), "out", ">f4", array=FLOATS, out=np.zeros(SHAPE, ">f4")),
        case(ValueError, "out", "read-only", out=read_only),
        case(ValueError, "out", "(0, 0, 1)", out=repeated),
        case(ValueError, "out", "(1, 1, 1)", out=sliding),
        case(TypeError, "out", "list", out=[[[0] * 3] * 3] * 2),
        case(TypeError, "out", "bytearray", out=bytearray(18)),
        case(TypeError, "out", "str", out="out"),
    ]


@pytest.mark.parametrize(
    ("error", "name", "value", "array", "factor", "arguments"),
    [*bad_factors(), *bad_rules(), *bad_arrays(), *bad_outs()],
)
def test_invalid_arguments_are_named_and_nothing_is_written(
    error: Any, name: str, value: str, array: Any, factor: Any, arguments: Any, isa: str
) -> None:
    """`downsample` and `pyramid` raise the same errors; a valid `out` is not written."""
    message = rf"\A{name}\b[\s\S]*{re.escape(value)}"
    before = array.tobytes() if isinstance(array, np.ndarray) and array.dtype != object else None
    written = arguments.get("out")
    for function in (tinypyr.downsample, tinypyr.pyramid):
        if written is None:
            outs = [np.full(SHAPE, 77, array.dtype)] if before is not None and array.dtype.kind != "V" else []
            outs = outs if isinstance(array, np.ndarray) and array.shape == VOLUME.shape else []
            given = {"out": outs[0] if function is tinypyr.downsample else outs} if outs else {}
        else:
            outs = [written] if isinstance(written, np.ndarray) else []
            given = {"out": written if function is tinypyr.downsample else [written]}
        contents = [out.tobytes() for out in outs]
        with pytest.raises(error, match=message):
            function(array, factor, **{**arguments, **given})
        assert [out.tobytes() for out in outs] == contents
    assert before is None or array.tobytes() == before


@pytest.mark.parametrize(
    ("error", "name", "value", "factor", "arguments"),
    [
        (ValueError, "levels", "0", 2, {"levels": 0}),
        (ValueError, "levels", "-1", 2, {"levels": -1}),
        (ValueError, "levels", "65", 2, {"levels": 65}),
        (ValueError, "levels", "1.5", 2, {"levels": 1.5}),
        (ValueError, "levels", "nan", 2, {"levels": float("nan")}),
        (TypeError, "levels", "'2'", 2, {"levels": "2"}),
        (TypeError, "levels", "None", 2, {"levels": None}),
        (ValueError, "levels", "3", [(2, 2), (2, 2)], {"levels": 3}),
        (ValueError, "levels", "0", [(2, 2), (2, 2)], {"levels": 0}),
        (ValueError, "levels", "65", [(1,)] * 65, {}),
        (ValueError, "factor", "(2, 0)", [(2, 2), (2, 0)], {}),
        (ValueError, "factor", "1.5", [(2, 2), (1.5, 2)], {}),
        (ValueError, "factor", "(2, 2, 2, 2)", [(2,), (2, 2, 2, 2)], {}),
        (ValueError, "out", "1", 2, {"levels": 2, "out": [np.zeros(SHAPE, np.uint8)]}),
        (ValueError, "out", "0", 2, {"out": []}),
        (ValueError, "out", "(2, 3, 3)", 2, {"levels": 2, "out": [np.zeros(SHAPE, np.uint8)] * 2}),
        (TypeError, "out", "ndarray", 2, {"out": np.zeros(SHAPE, np.uint8)}),
        (TypeError, "out", "NoneType", 2, {"levels": 2, "out": [np.zeros(SHAPE, np.uint8), None]}),
        (TypeError, "out", "int", 2, {"out": 7}),
    ],
)
def test_invalid_levels_are_named_and_nothing_is_written(
    error: Any, name: str, value: str, factor: Any, arguments: Any
) -> None:
    given = arguments.get("out")
    outs = [out for out in given if isinstance(out, np.ndarray)] if isinstance(given, list) else []
    with pytest.raises(error, match=rf"\A{name}\b[\s\S]*{re.escape(value)}"):
        tinypyr.pyramid(VOLUME, factor, **arguments)
    assert all((out == 0).all() for out in outs)


def test_out_that_shares_memory_is_refused() -> None:
    memory = np.arange(4 * 6 * 5 * 2, dtype=np.uint8)
    array = memory[:120].reshape(4, 6, 5)
    before = memory.copy()
    for out in (array[:2, :3, :3], memory[110:128].reshape(SHAPE), memory[:18].reshape(SHAPE)[::-1]):
        with pytest.raises(ValueError, match=r"\Aout\b[\s\S]*overlap"):
            tinypyr.downsample(array, 2, out=out)
        with pytest.raises(ValueError, match=r"\Aout\b[\s\S]*overlap"):
            tinypyr.pyramid(array, 2, out=[out])
    free = memory[120:138].reshape(SHAPE)
    with pytest.raises(ValueError, match=r"\Aout\b[\s\S]*overlap"):  # one level overlaps another
        tinypyr.pyramid(array, 2, levels=2, out=[free, memory[130:134].reshape(1, 2, 2)])
    np.testing.assert_array_equal(memory, before)
    # adjacent arrays in one buffer do not overlap
    tinypyr.pyramid(array, 2, levels=2, out=[free, memory[138:142].reshape(1, 2, 2)])
    np.testing.assert_array_equal(memory[:120], before[:120])
    np.testing.assert_array_equal(free, tinypyr.downsample(array, 2))
    np.testing.assert_array_equal(memory[142:], before[142:])


def test_33_dimensions_are_refused() -> None:
    try:
        array = np.zeros((1,) * 33)
    except ValueError:
        pytest.skip("this numpy has no arrays of more than 32 dimensions")
    with pytest.raises(ValueError, match=r"\Aarray\b[\s\S]*33"):
        tinypyr.downsample(array, 2)


@pytest.mark.parametrize(
    "function",
    [
        tinypyr.downsample_with_averaging,
        tinypyr.downsample_segmentation,
        tinypyr.downsample_with_min_pooling,
        tinypyr.downsample_with_max_pooling,
        tinypyr.downsample_with_striding,
    ],
)
def test_named_functions_name_invalid_arguments(function: Any) -> None:
    with pytest.raises(ValueError, match=r"\Afactor\b.*0"):
        function(VOLUME, (2, 0))
    with pytest.raises(ValueError, match=r"\Alevels\b.*0"):
        function(VOLUME, 2, num_mips=0)
    with pytest.raises(TypeError, match=r"\Aarray\b.*object"):
        function(VOLUME.astype(object), 2)


def test_arguments_after_the_star_need_their_names() -> None:
    with pytest.raises(TypeError, match="positional"):
        tinypyr.downsample(VOLUME, 2, "mean", 0)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="positional"):
        tinypyr.pyramid(VOLUME, 2, "mean", 3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="sparse"):
        tinypyr.downsample(VOLUME, 2, sparse=True)  # type: ignore[call-arg]


def test_checked_arguments_are_remembered_only_while_they_cannot_change() -> None:
    array = np.arange(24).reshape(4, 6)
    factor = [2, 2]
    assert tinypyr.downsample(array, factor).shape == (2, 3)
    factor[1] = 3
    assert tinypyr.downsample(array, factor).shape == (2, 2)
    voxel_offset = [0, 0]
    assert tinypyr.downsample(array, (2, 2), voxel_offset=voxel_offset).shape == (2, 3)
    voxel_offset[1] = 1
    assert tinypyr.downsample(array, (2, 2), voxel_offset=voxel_offset).shape == (2, 4)
    factors = iter([2, 2])
    assert tinypyr.downsample(array, factors).shape == (2, 3)  # type: ignore[arg-type]
    assert tinypyr.downsample(array, factors).shape == (4, 6)  # type: ignore[arg-type]
    # equal, with the same hash, but another meaning
    assert tinypyr.downsample(array, (2, 2), workers=1).shape == tinypyr.downsample(array, (2.0, 2.0)).shape
    with pytest.raises(ValueError, match="ignore"):
        tinypyr.downsample(array.astype(bool), 2, ignore=2)
    for _ in range(2):  # the error is raised again
        with pytest.raises(ValueError, match="factor"):
            tinypyr.downsample(array, (0, 2))
        with pytest.raises(TypeError, match="workers"):
            tinypyr.downsample(array, (2, 2), workers="2")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("valid", "invalid"),
    [
        ({"factor": (1, 2)}, {"factor": (True, 2)}),
        ({"factor": 1}, {"factor": True}),
        ({"factor": 2, "levels": 1}, {"factor": 2, "levels": True}),
        ({"factor": 2, "ignore": 0}, {"factor": 2, "ignore": 0j}),
        ({"factor": 2, "voxel_offset": (0, 1)}, {"factor": 2, "voxel_offset": (False, True)}),
        ({"factor": 2, "workers": 1}, {"factor": 2, "workers": True}),
    ],
)
def test_equal_arguments_of_another_type_are_checked_again(valid: Any, invalid: Any) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(4, 6)
    for _ in range(2):
        tinypyr.pyramid(array, **valid)
        with pytest.raises(TypeError, match=r"integer|complex"):
            tinypyr.pyramid(array, **invalid)


@pytest.mark.parametrize("factor", [[2, 0], [[2, 2], [2, 0]]])
def test_lists_are_reported_as_lists(factor: Any) -> None:
    """Equal lists and tuples share their checked arguments, but not their errors."""
    array = np.arange(24, dtype=np.uint8).reshape(4, 6)
    for _ in range(2):
        assert tinypyr.downsample(array, [2, 2]).tolist() == tinypyr.downsample(array, (2, 2)).tolist()
        with pytest.raises(ValueError, match=r"\Afactor: \[2, 0\] must"):
            tinypyr.pyramid(array, factor)
        with pytest.raises(ValueError, match=r"\Afactor: \(2, 0\) must"):
            tinypyr.pyramid(array, (2, 0))


def test_many_different_calls_in_turn() -> None:
    """More calls than checked arguments are remembered."""
    array = np.arange(24, dtype=np.uint8).reshape(4, 6)
    for _ in range(2):
        for offset in range(300):
            level = tinypyr.downsample(array, (8, 1000), "min", voxel_offset=(0, offset))
            assert level.tolist() == [[0]]
            assert tinypyr.downsample(array, (2, 1), "max", voxel_offset=(offset, 0)).shape == (2 + offset % 2, 6)


@pytest.mark.parametrize("order", ["C", "F", "transposed", "reversed"])
def test_levels_have_the_memory_order_of_the_array(order: str) -> None:
    base = np.arange(6 * 8 * 10, dtype=np.uint8).reshape(6, 8, 10)
    array = {
        "C": base,
        "F": np.asfortranarray(base),
        "transposed": np.ascontiguousarray(base.transpose(1, 0, 2)).transpose(1, 0, 2),
        "reversed": base[::-1],
    }[order]
    for level in tinypyr.pyramid(array, 2, levels=2):
        assert level.strides == np.empty_like(array, shape=level.shape).strides


def test_out_of_any_layout_is_filled() -> None:
    """A dense `out` and others, which are checked in different ways, get the same values."""
    array = np.arange(4 * 6 * 5, dtype=np.uint8).reshape(4, 6, 5)
    level = tinypyr.downsample(array, 2)
    room = np.zeros((4, 6, 6), np.uint8)
    layouts = [
        np.zeros(SHAPE, np.uint8),
        np.zeros(SHAPE, np.uint8, order="F"),
        room[::2, ::2, ::2],
        room[1:3, 1:4, 1:4],
        np.zeros(SHAPE, np.uint8)[::-1, :, ::-1],
        np.zeros(SHAPE, np.uint8).view(np.memmap),
    ]
    for out in layouts:
        assert tinypyr.downsample(array, 2, out=out) is out
        np.testing.assert_array_equal(out, level)
        assert tinypyr.pyramid(array, 2, out=(out,))[0] is out


def test_a_number_that_changes_is_read_at_every_call() -> None:
    class Number:
        value = 1

        def __index__(self) -> int:
            return self.value

    levels: Any = Number()
    array = np.zeros((64, 64), np.uint8)
    assert len(tinypyr.pyramid(array, 2, levels=levels)) == 1
    levels.value = 3
    assert len(tinypyr.pyramid(array, 2, levels=levels)) == 3
