"""tinypyr.Grid: positions of levels as exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import tinypyr
from tinypyr import Grid


def centre(grid: Grid, axis: int, index: int) -> Fraction:
    return Fraction(grid.translation[axis]) + index * Fraction(grid.scale[axis])


@pytest.mark.parametrize("n", [1, 2, 7, 16, 33])
@pytest.mark.parametrize("offset", [0, 1, 5, -3, 64])
@pytest.mark.parametrize("factor", [1, 2, 3, 8])
def test_a_voxel_lies_in_the_middle_of_its_block(n: int, offset: int, factor: int) -> None:
    base = Grid((n,), "x", (0.5,), (10,), voxel_offset=(offset,))
    level = base.level(factor)
    assert level.shape == tinypyr.downsample(np.zeros(n), factor, voxel_offset=(offset,)).shape
    for j in range(level.shape[0]):
        block = range((level.voxel_offset[0] + j) * factor, (level.voxel_offset[0] + j + 1) * factor)
        centres = [centre(base, 0, g - offset) for g in block]
        assert centre(level, 0, j) == sum(centres) / factor
        assert set(block) & set(range(offset, offset + n)), "a level has no voxel of nothing"
    first = base.level(factor, "stride")
    assert centre(first, 0, 0) == centre(base, 0, level.voxel_offset[0] * factor - offset)


def test_a_level_of_a_level_is_the_level_of_the_product() -> None:
    base = Grid((100, 37, 5), "zyx", (40, 4, 4.5), (1, 2, 3), ["nanometer"] * 3, (7, -2, 0))
    steps = [(1, 2, 2), (2, 2, 3), (3, 1, 2)]
    grid = base
    for step, level in zip(steps, base.levels(base.cumulative_factors(steps)), strict=True):
        grid = grid.level(step)
        assert grid == level
    assert grid == base.level((6, 4, 12))


def test_a_ramp_has_its_values_at_the_world_coordinates_of_every_level() -> None:
    base = Grid((9, 12, 10), "zyx", (3, 2, 0.5), (5, -7, 0.25))
    z, y, x = (np.arange(n) * s + t for n, s, t in zip(base.shape, base.scale, base.translation, strict=True))
    ramp = z[:, None, None] + 2 * y[:, None] + 3 * x
    for level, voxels in zip(
        base.levels([(1, 2, 2), (3, 4, 2)]), tinypyr.pyramid(ramp, [(1, 2, 2), (3, 2, 1)]), strict=True
    ):
        z, y, x = (np.arange(n) * s + t for n, s, t in zip(level.shape, level.scale, level.translation, strict=True))
        whole = tuple(slice(0, n // round(s / b)) for n, s, b in zip(base.shape, level.scale, base.scale, strict=True))
        np.testing.assert_allclose(voxels[whole], (z[:, None, None] + 2 * y[:, None] + 3 * x)[whole], rtol=1e-14)


def test_automatic_schedules_halve_the_smallest_voxels_first() -> None:
    assert Grid((30, 2048, 2048), "zyx", (40, 4, 4)).schedule() == [(1, 2, 2)] * 3 + [(2, 2, 2)] * 2
    assert Grid((3, 200, 200), "cyx").schedule() == [(1, 2, 2)] * 2
    assert Grid((64, 64, 64)).schedule() == []
    assert Grid((64, 64, 65)).schedule() == [(2, 2, 2)]
    assert Grid((1, 1000), "yx").schedule(fits=(100, 100)) == [(1, 2)] * 4
    assert Grid((8, 8)).schedule(3, 2) == [(3, 3), (3, 3)]
    assert Grid((8, 8)).schedule([(2, 1), (1, 2)]) == [(2, 1), (1, 2)]
    # up to 1.414 times the shortest, voxels count as equal
    assert Grid((99, 99, 99), "zyx", (39, 28, 29)).schedule(levels=1) == [(2, 2, 2)]
    assert Grid((99, 99, 99), "zyx", (40, 28, 20)).schedule(levels=1) == [(1, 2, 2)]
    assert Grid((99, 99, 99), "zyx", (40, 29, 20)).schedule(levels=1) == [(1, 1, 2)]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (((-1,),), "shape"),
        (((2, 2), "xx"), "axes"),
        (((2, 2), "zyx"), "axes"),
        (((2,), "x", (0,)), "scale"),
        (((2,), "x", (float("nan"),)), "scale"),
        (((2,), "x", (1, 2)), "scale"),
        (((2,), "x", None, (float("inf"),)), "translation"),
        (((2,), "x", None, None, ["m", "m"]), "units"),
        (((2,), "x", None, None, None, (1, 2)), "voxel_offset"),
        (((1,) * 6,), "axes"),
    ],
)
def test_invalid_arguments_are_named(arguments: tuple[object, ...], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Grid(*arguments)  # type: ignore[arg-type]


def test_schedules_that_make_no_sense_are_refused() -> None:
    grid = Grid((100, 100))
    for arguments, match in ((("half",), "factor"), ((2, -1), "levels"), (([(2, 2)], 3), "levels")):
        with pytest.raises(ValueError, match=match):
            grid.schedule(*arguments)
