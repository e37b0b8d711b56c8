"""Random calls drawn by hypothesis, compared with the oracle and with the reference."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import tinypyr
from support import oracle
from support.strategies import DTYPES, METHODS, Case, assert_same_bits, cases, each_isa, lay_out, layouts, voxels
from tinypyr import _reference


@given(cases())
def test_pyramids_match_the_oracle(case: Case) -> None:
    array = lay_out(case.array, case.layout)
    want = oracle.pyramid(case.array, case.schedule, case.method, **case.arguments)
    as_doubles = None
    if case.method == "mean" and case.array.dtype.kind == "f":
        as_doubles = oracle.mean_in_doubles(
            case.array, case.schedule, ignore=case.ignore, voxel_offset=case.voxel_offset
        )
    for isa in each_isa():
        got = tinypyr.pyramid(array, case.schedule, case.method, workers=case.workers, **case.arguments)
        assert len(got) == len(want)
        for k, (level, wanted) in enumerate(zip(got, want, strict=True)):
            assert level.dtype == array.dtype
            oracle.check(level, wanted, case.method, ignore=case.ignore, where=f"{isa}, level {k + 1}")
            if as_doubles is not None:
                assert_same_bits(level.astype(case.array.dtype), as_doubles[k], f"{isa}, level {k + 1}")


@st.composite
def larger(draw: st.DrawFn) -> tuple[np.ndarray, tuple[int, ...], dict[str, Any]]:
    """Draw arrays with rows of hundreds of voxels, which are generated from a seed, and a call."""
    dtype = draw(st.sampled_from(DTYPES))
    ndim = draw(st.integers(1, 4))
    long_axis = draw(st.integers(0, ndim - 1))
    shape = [draw(st.integers(1, 9)) for _ in range(ndim)]
    shape[long_axis] = draw(st.integers(1, 400))
    flavours = ("noise", "labels", "special") if np.dtype(dtype).kind == "f" else ("noise", "labels")
    seed = draw(st.integers(0, 2**16))
    array = voxels(np.random.default_rng(seed), tuple(shape), dtype, draw(st.sampled_from(flavours)))
    factor = tuple(draw(st.sampled_from((1, 2, 2, 2, 3, 4, 5))) for _ in range(ndim))
    # footprints of at most 1,024 voxels, for which no label list is truncated
    most = next(levels for levels in (4, 3, 2, 1) if math.prod(factor) ** levels <= 1024)
    call = {
        "factor": factor,
        "method": draw(st.sampled_from(METHODS)),
        "levels": draw(st.integers(1, most)),
        "ignore": draw(st.sampled_from((None, None, False if dtype == "bool" else 0, array.flat[0].item()))),
        "rounding": draw(st.sampled_from(("half-even", "floor"))),
        "ties": draw(st.sampled_from(("first", "lowest"))),
        "voxel_offset": draw(st.sampled_from((None, (1,) * ndim, tuple(range(-2, ndim - 2))))),
    }
    return array, tuple(draw(st.lists(st.integers(0, 3), min_size=ndim, max_size=ndim))), call


@given(larger(), st.data())
def test_pyramids_match_the_reference(
    drawn: tuple[np.ndarray, tuple[int, ...], dict[str, Any]], data: st.DataObject
) -> None:
    array, cuts, call = drawn
    # a view that starts somewhere inside its memory, in any layout
    array = array[tuple(slice(min(cut, n - 1), None) for cut, n in zip(cuts, array.shape, strict=True))]
    ignore = call["ignore"]
    want = _reference.pyramid(
        np.ascontiguousarray(array),
        [call["factor"]] * call["levels"],
        method=call["method"],
        ignore=None if ignore is None else array.dtype.type(ignore),
        rounding=call["rounding"],
        ties=call["ties"],
        voxel_offset=call["voxel_offset"] or (0,) * array.ndim,
    )
    laid_out = lay_out(array, data.draw(layouts(array.ndim)))
    for isa in each_isa():
        workers = data.draw(st.sampled_from((1, 2, 5)))
        for k, (level, wanted) in enumerate(zip(tinypyr.pyramid(laid_out, **call, workers=workers), want, strict=True)):
            assert_same_bits(level.astype(wanted.dtype), wanted, f"{isa}, level {k + 1}")


@given(larger(), st.data())
def test_blocks_do_not_depend_on_their_neighbours(
    drawn: tuple[np.ndarray, tuple[int, ...], dict[str, Any]], data: st.DataObject
) -> None:
    """Two parts of an array, cut between blocks of the last level, give the two parts of its result."""
    array, voxel_offset, call = drawn
    call = {**call, "voxel_offset": None}
    axis = data.draw(st.integers(0, array.ndim - 1))
    cumulative = call["factor"][axis] ** call["levels"]
    blocks = -(-(voxel_offset[axis] + array.shape[axis]) // cumulative)
    boundary = data.draw(st.integers(0, blocks)) * cumulative - voxel_offset[axis]
    cut = min(max(boundary, 0), array.shape[axis])
    first, second = np.split(array, [cut], axis)
    start = [o + (cut if i == axis else 0) for i, o in enumerate(voxel_offset)]
    whole = tinypyr.pyramid(array, **{**call, "voxel_offset": voxel_offset})
    halves = [
        tinypyr.pyramid(part, **{**call, "voxel_offset": at}) for part, at in ((first, voxel_offset), (second, start))
    ]
    for level, one, other in zip(whole, *halves, strict=True):
        assert_same_bits(np.concatenate([one, other], axis), level)


@given(cases())
def test_order_methods_return_voxels_of_the_input(case: Case) -> None:
    """Only the mean returns values that are not in the input, and they are within its range."""
    for level in tinypyr.pyramid(case.array, case.schedule, case.method, **case.arguments):
        if case.method != "mean":
            known = np.append(case.array.ravel(), case.array.dtype.type(0))  # both zeros are one value
            assert np.isin(level[level == level], known).all()
        elif case.array.dtype.kind in "iu" and level.size:
            assert case.array.min() <= level.min()
            assert level.max() <= case.array.max()
