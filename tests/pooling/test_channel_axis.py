"""Arrays with a channel axis: which axes are pooled, modes of pixels, and the warning about pooled channels."""

from __future__ import annotations

import inspect
import itertools
import math
import subprocess
import sys
import tracemalloc
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinypyr
from support import oracle
from support.strategies import DTYPES, METHODS, assert_same_bits, lay_out, layouts, voxels
from tinypyr._pooling import channel_axis as channel_axis_module

PER_CHANNEL = tuple(method for method in METHODS if method != "mode")


def image(shape: tuple[int, ...], dtype: Any = np.uint8, seed: int = 0) -> np.ndarray:
    return voxels(np.random.default_rng(seed), shape, dtype, "noise")


# ------------------------------------------------------------------------------------------- factors and offsets


@pytest.mark.parametrize("ndim", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("method", METHODS)
def test_every_axis_can_hold_the_channels_and_is_not_pooled(ndim: int, method: Any) -> None:
    array = image(tuple(range(3, 3 + ndim)))
    for axis in range(ndim):
        full = tuple(1 if a == axis else 2 for a in range(ndim))
        short = full[:axis] + full[axis + 1 :]
        want = tinypyr.downsample(array, full, "max" if method == "mode" else method)
        factors: tuple[Any, ...] = 2, 2.0, np.int64(2), short, list(short), full
        for factor, number in itertools.product(factors, (axis, axis - ndim)):
            got = tinypyr.downsample(array, factor, method, channel_axis=number)
            assert got.shape == want.shape
            if method != "mode":
                assert_same_bits(got, want)


@pytest.mark.parametrize(
    ("factor", "levels", "full"),
    [
        (2, 2, [(2, 1, 2)] * 2),
        ((2, 3), 2, [(2, 1, 3)] * 2),
        ([2, 3], 1, [(2, 1, 3)]),
        ((2, 1, 3), 2, [(2, 1, 3)] * 2),
        ([(2, 3), (3, 2)], 1, [(2, 1, 3), (3, 1, 2)]),
        ([(2, 1, 3), (3, 2)], 2, [(2, 1, 3), (3, 1, 2)]),
        ([2, (3, 2)], 1, [(2, 1, 2), (3, 1, 2)]),
        (np.array([[2, 3], [3, 2]]), 1, [(2, 1, 3), (3, 1, 2)]),
        (iter([(2, 3), iter([3, 2])]), 1, [(2, 1, 3), (3, 1, 2)]),
    ],
)
def test_pyramids_take_factors_without_the_channel_axis(factor: Any, levels: int, full: list[tuple[int, ...]]) -> None:
    array = image((13, 3, 17))
    got = tinypyr.pyramid(array, factor, levels=levels, channel_axis=1)
    for level, want in zip(got, tinypyr.pyramid(array, full), strict=True):
        assert_same_bits(level, want)


def test_a_full_factor_that_pools_the_channel_axis_is_refused_with_both_readings() -> None:
    with pytest.raises(
        ValueError, match=r"factor: \(2, 2, 2\) .* channel axis 2; pass \(2, 2\) or \(2, 2, 1\) .* leave"
    ):
        tinypyr.downsample(image((8, 8, 3)), (2, 2, 2), channel_axis=-1)
    with pytest.raises(ValueError, match=r"channel axis 0; pass \(3, 2\) or \(1, 3, 2\) .* leave channel_axis out"):
        tinypyr.pyramid(image((3, 8, 8)), [(1, 2, 2), (4, 3, 2)], channel_axis=0)


@pytest.mark.parametrize("factor", [(), (2,), (2, 2, 1, 1), [(2, 2), (2,)]])
def test_factors_of_other_lengths_are_refused(factor: Any) -> None:
    with pytest.raises(ValueError, match="one entry for each of the 2 other axes"):
        tinypyr.pyramid(image((8, 8, 3)), factor, channel_axis=-1)


@pytest.mark.parametrize("axis", [3, -4, 2**70])
def test_an_axis_that_does_not_exist_is_refused(axis: int) -> None:
    with pytest.raises(ValueError, match=f"channel_axis: an array of 3 dimensions has no axis {axis}"):
        tinypyr.downsample(image((8, 8, 3)), 2, channel_axis=axis)


@pytest.mark.parametrize("axis", [True, "c", (2,), 1.5])
def test_an_axis_that_is_no_integer_is_refused(axis: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"channel_axis: .* is not an integer"):
        tinypyr.downsample(image((8, 8, 3)), 2, channel_axis=axis)
    with pytest.raises(ValueError, match="channel_axis: an array of 0 dimensions"):
        tinypyr.downsample(np.uint8(1), 2, channel_axis=0)


@pytest.mark.parametrize("factor", [0, (0, 2), (2, -1, 1), 1.5, True, "2", (2, None)])
@pytest.mark.parametrize("method", ["mean", "mode"])
def test_wrong_factors_are_refused_as_without_a_channel_axis(factor: Any, method: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^factor: "):
        tinypyr.downsample(image((8, 8, 3)), factor, method, channel_axis=2)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("axis", "offset"),
    [(2, (1, -3)), (2, [1, -3]), (0, (1, -3)), (1, (1, 7, -3)), (0, (7, 1, -3)), (1, (1,)), (0, (1,))],
)
def test_an_offset_has_no_entry_for_the_channel_axis_unless_it_has_one_for_each(
    method: Any, axis: int, offset: Any
) -> None:
    channel = image((9, 10))
    array = np.stack([channel] * 3, axis=axis)
    got = tinypyr.downsample(array, 2, method, channel_axis=axis, voxel_offset=offset)
    want = tinypyr.downsample(channel, 2, method, voxel_offset=(1, -3) if len(offset) > 1 else (1, 0))
    assert_same_bits(got, np.stack([want] * 3, axis=axis))


@pytest.mark.parametrize(
    ("offset", "message"), [((1, 2, 3, 4), "4 entries"), (3, "one integer per axis"), ((1.5,), "integer")]
)
def test_wrong_offsets_are_refused_as_without_a_channel_axis(offset: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"voxel_offset: .*{message}"):
        tinypyr.downsample(image((8, 8, 3)), 2, channel_axis=-1, voxel_offset=offset)


# ------------------------------------------------------------------------------------------------------ modes of pixels


def parts_of(value: Any) -> tuple[float, float]:
    return (0, 0) if value == "nan" else (value.real, value.imag)


def brute_force(
    array: np.ndarray, schedule: list[tuple[int, ...]], ignored: Any, ties: str, voxel_offset: tuple[int, ...]
) -> list[np.ndarray]:
    """Return modes of pixels, from the footprints of the oracle. Channels are last."""

    def key(pixel: Any) -> Any:
        return tuple("nan" if value != value else value + 0 for value in pixel)

    levels = []
    for level in oracle.pyramid(
        np.arange(math.prod(array.shape[:-1])).reshape(array.shape[:-1]), schedule, "stride", voxel_offset=voxel_offset
    ):
        flat = array.reshape(-1, array.shape[-1])
        out = np.empty((len(level.values), array.shape[-1]), array.dtype)
        for i, footprint in enumerate(level.footprints):
            keys = [key(flat[number].tolist()) for number in footprint]
            kept = [k for k in keys if ignored is None or k != key(ignored)]
            if not kept:
                out[i] = [value + 0 for value in ignored]
                continue
            counts = Counter(kept)  # in order of first occurrence
            tied = [k for k, n in counts.items() if n == max(counts.values())]
            if ties == "lowest":
                tied.sort(key=lambda k: [(value == "nan", *parts_of(value)) for value in k])
            out[i] = [math.nan if value == "nan" else value for value in tied[0]]
        levels.append(out.reshape(*level.shape, array.shape[-1]))
    return levels


@st.composite
def colour_labels(draw: st.DrawFn) -> dict[str, Any]:
    dtype = draw(st.sampled_from((*DTYPES, "complex64", "longdouble")))
    channels = draw(st.sampled_from((1, 2, 3, 4, 5, 8, 9)))
    shape = tuple(draw(st.lists(st.integers(1, 7), min_size=0, max_size=3)))
    seed = draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    real = "float32" if dtype == "complex64" else "float64" if dtype == "longdouble" else dtype
    palette = voxels(rng, (draw(st.integers(1, 5)), channels), real, "labels").astype(dtype)
    if dtype == "complex64":
        palette = palette * np.complex64(1j) ** rng.integers(0, 4, palette.shape)
        palette[np.isnan(palette)] = np.nan
    array = palette[rng.integers(0, len(palette), shape)]
    factor = st.tuples(*[st.integers(1, 4)] * len(shape))
    ignore = draw(st.sampled_from((None, None, "pixel", "value")))
    return {
        "array": array,
        "schedule": draw(st.lists(factor, min_size=1, max_size=3)),
        "ignore": None
        if ignore is None
        else tuple(array.reshape(-1, channels)[0].tolist())
        if ignore == "pixel"
        else array.flat[0].item()
        if dtype != "longdouble"
        else array.flat[0],
        "ties": draw(st.sampled_from(("first", "lowest"))),
        "voxel_offset": draw(st.tuples(*[st.integers(-4, 6)] * len(shape))),
        "axis": draw(st.integers(0, len(shape))),
        "layout": draw(layouts(array.ndim)),
        "out": draw(st.sampled_from((None, "C", "F", "negative"))),
        "workers": draw(st.sampled_from((1, 2))),
    }


@given(colour_labels())
@settings(max_examples=400)
def test_modes_of_pixels_match_brute_force(case: dict[str, Any]) -> None:
    array, axis, ignore = case["array"], case["axis"], case["ignore"]
    ignored = ignore if ignore is None or isinstance(ignore, tuple) else (ignore,) * array.shape[-1]
    want = brute_force(array, case["schedule"], ignored, case["ties"], case["voxel_offset"])
    moved = lay_out(np.moveaxis(array, -1, axis), case["layout"])
    before = moved.copy()
    outs = None
    if case["out"] is not None:
        outs = [lay_out(np.moveaxis(np.zeros_like(level), -1, axis).astype(moved.dtype), case["out"]) for level in want]
    got = tinypyr.pyramid(
        moved,
        case["schedule"],
        "mode",
        ignore=ignore,
        ties=case["ties"],
        voxel_offset=case["voxel_offset"],
        channel_axis=axis,
        out=outs,
        workers=case["workers"],
    )
    assert moved.tobytes() == before.tobytes()
    for number, (level, wanted) in enumerate(zip(got, want, strict=True)):
        assert level.dtype == moved.dtype
        assert outs is None or level is outs[number]
        level = np.moveaxis(level, axis, -1)
        assert level.shape == wanted.shape
        assert np.array_equal(level, wanted, equal_nan=level.dtype.kind in "fc"), (level, wanted)
        if level.dtype.kind == "f":  # 0.0 for -0.0, and the quiet NaN
            assert not np.signbit(level[(level == 0) | (level != level)]).any()


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 8, 16])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", ">u2", ">i4", "uint32", "uint64", "float32", "complex128"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_colour_labels_keep_their_colours_at_every_level(channels: int, dtype: str, order: Any) -> None:
    rng = np.random.default_rng(channels)
    palette = rng.integers(0, 2 if dtype == "bool" else 100, (40, channels)).astype(dtype)
    labels = np.asarray(palette[rng.integers(0, 40, (33, 21))], order=order)
    colours = {tuple(colour) for colour in palette.tolist()}
    numbers = {colour: number for number, colour in enumerate(sorted(colours, key=str))}
    coded = np.array([[numbers[tuple(pixel)] for pixel in row] for row in labels.tolist()], order=order)
    of_numbers = tinypyr.pyramid(coded, (2, 3), "mode", levels=3)
    for level, want in zip(tinypyr.pyramid(labels, (2, 3), "mode", levels=3, channel_axis=-1), of_numbers, strict=True):
        assert [[numbers[tuple(pixel)] for pixel in row] for row in level.tolist()] == want.tolist()
        assert level.dtype == labels.dtype
        assert level.flags.c_contiguous if order == "C" else level.flags.f_contiguous


def test_a_pixel_is_ignored_only_if_every_channel_has_the_ignored_value() -> None:
    pixels = np.array([[0, 0, 0], [0, 0, 0], [0, 0, 9], [0, 0, 0]], np.uint8)
    assert tinypyr.downsample(pixels, 4, "mode", ignore=0, channel_axis=-1).tolist() == [[0, 0, 9]]
    assert tinypyr.downsample(pixels, 4, "mode", ignore=(0, 0, 9), channel_axis=-1).tolist() == [[0, 0, 0]]
    assert tinypyr.downsample(pixels[2:3], 4, "mode", ignore=(0, 0, 9), channel_axis=-1).tolist() == [[0, 0, 9]]
    assert tinypyr.downsample(pixels, 4, "max", ignore=0, channel_axis=-1).tolist() == [[0, 0, 9]]


@pytest.mark.parametrize("ignore", [(0, 0), (0, 0, 0, 0), (), (0, 0, None)])
def test_ignored_pixels_of_another_length_are_refused(ignore: Any) -> None:
    with pytest.raises(ValueError, match=r"ignore: .* one for each of 3 channels"):
        tinypyr.downsample(image((8, 8, 3)), 2, "mode", ignore=ignore, channel_axis=-1)


@pytest.mark.parametrize("method", PER_CHANNEL)
def test_methods_per_channel_refuse_an_ignored_pixel(method: Any) -> None:
    with pytest.raises(TypeError, match="only method='mode' takes one per channel"):
        tinypyr.downsample(image((8, 8, 3)), 2, method, ignore=(0, 0, 0), channel_axis=-1)


@pytest.mark.parametrize("ignore", [256, -1, "a", (0, 300, 0), (0, "a", 0), 0.5])
def test_ignored_values_that_the_dtype_cannot_hold_are_refused(ignore: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=r"^ignore: "):
        tinypyr.downsample(image((8, 8, 3)), 2, "mode", ignore=ignore, channel_axis=-1)


@pytest.mark.parametrize("shape", [(0, 8, 3), (8, 8, 0), (0, 0, 0)])
@pytest.mark.parametrize("method", METHODS)
def test_empty_arrays_have_empty_levels(shape: tuple[int, ...], method: Any) -> None:
    got = tinypyr.pyramid(np.zeros(shape), 2, method, levels=2, channel_axis=-1, ignore=0)
    assert [level.shape[2] for level in got] == [shape[2]] * 2


@pytest.mark.parametrize("method", METHODS)
def test_outputs_are_checked_before_anything_is_written(method: Any) -> None:
    array = image((8, 8, 4))
    good = np.full((4, 4, 4), 7, np.uint8)
    read_only = np.zeros((2, 2, 4), np.uint8)
    read_only.flags.writeable = False
    for wrong in (np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2, 4)), read_only, array[:2, :2], good[:2, :2]):
        with pytest.raises(ValueError, match=r"^out: "):
            tinypyr.pyramid(array, 2, method, levels=2, out=[good, wrong], channel_axis=-1)
    assert (good == 7).all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_adjacent_channels_of_a_power_of_two_of_bytes_are_not_copied(dtype: str) -> None:
    array = image((256, 256, 4), dtype)
    out = np.empty((128, 128, 4), dtype)
    tinypyr.downsample(array, 2, "mode", channel_axis=-1, out=out)
    tracemalloc.start()
    tinypyr.downsample(array, 2, "mode", channel_axis=-1, out=out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000


def test_a_list_of_cumulative_looking_factors_is_relative() -> None:
    array = image((128, 64, 3))
    shapes = [level.shape for level in tinypyr.pyramid(array, [(2, 2), (4, 4), (8, 8)], channel_axis=-1)]
    assert shapes == [(64, 32, 3), (16, 8, 3), (2, 1, 3)]
    assert [level.shape for level in tinypyr.pyramid(array, [(2, 2), (4, 4), (8, 8)])] == shapes


@pytest.mark.parametrize("function", [tinypyr.downsample, tinypyr.pyramid])
def test_the_channel_axis_is_a_keyword_without_a_default_axis(function: Any) -> None:
    parameter = inspect.signature(function).parameters["channel_axis"]
    assert parameter.kind is parameter.KEYWORD_ONLY
    assert parameter.default is None


# ---------------------------------------------------------------------------------------------------- the warning


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_axis_module, "_warned", False)


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    ("shape", "order", "axis"),
    [
        ((64, 65, 3), "C", -1),
        ((64, 65, 4), "C", -1),
        ((1, 64, 66, 3), "C", -1),
        ((64, 67, 3), "F", -1),
        ((64, 65, 1, 3), "F", -1),
        ((3, 64, 65), "F", 0),
        ((4, 64, 65, 66), "F", 0),
    ],
)
def test_an_integer_that_pools_channels_warns_once_and_names_two_ways_out(
    shape: tuple[int, ...], order: Any, axis: int
) -> None:
    array = np.zeros(shape, np.uint8, order=order)
    with pytest.warns(UserWarning, match=rf"pass channel_axis={axis} .* or the factor \(2, ") as caught:
        tinypyr.downsample(array, 2)
    assert [warning.filename for warning in caught] == [__file__]
    tinypyr.downsample(array, 2)  # (warnings are errors)
    tinypyr.pyramid(array, 3)


@pytest.mark.usefixtures("fresh")
def test_the_warning_is_at_the_caller_of_every_function() -> None:
    functions: list[Any] = [tinypyr.pyramid, tinypyr.downsample_with_averaging, tinypyr.downsample_segmentation]
    for n, function in enumerate(functions):
        channel_axis_module._warned = False
        with pytest.warns(UserWarning, match="channel_axis=-1") as caught:
            function(np.zeros((64, 70 + n, 3), np.uint8), 2)
        assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    "shape", [(3,), (64, 3), (3, 3, 3), (4, 4, 4), (64, 4, 4), (5, 4, 3), (64, 64, 2), (64, 64, 5), (3, 64, 64)]
)
def test_other_arrays_do_not_warn(shape: tuple[int, ...]) -> None:
    tinypyr.downsample(np.zeros(shape, np.int8), 2)


@pytest.mark.usefixtures("fresh")
def test_tuples_a_channel_axis_and_the_factor_1_do_not_warn() -> None:
    array = np.zeros((71, 64, 3), np.uint8)
    tinypyr.downsample(array, (2, 2, 2))
    tinypyr.downsample(array, (2, 2))
    tinypyr.downsample(array, 1)
    tinypyr.downsample(array, 2, channel_axis=-1)
    tinypyr.downsample(array, 2, "mode", channel_axis=2)
    tinypyr.pyramid(array, [(2, 2), (2, 2, 3)])


def test_a_process_gets_one_warning() -> None:
    script = """
import warnings, numpy as np, tinypyr
warnings.simplefilter("always")
with warnings.catch_warnings(record=True) as caught:
    for n in (64, 65):
        tinypyr.downsample(np.zeros((n, n, 3), np.uint8), 2)
        tinypyr.pyramid(np.zeros((n, n, 4), np.float16), 2)
print(len(caught), caught[0].category.__name__, caught[0].filename)
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "UserWarning", "<string>"]
