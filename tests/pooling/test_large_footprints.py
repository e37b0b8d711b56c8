"""Footprints of megabytes, which are read several times instead of copied: mode, median, and stride with ignore."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tinypyr

DTYPES = ("bool", "uint8", "int16", ">i4", "uint64", "float32", ">f8")


def values(rng: np.random.Generator, kind: str, count: int) -> NDArray[Any]:
    if kind == "noise":
        return rng.integers(-(2**62), 2**62, count)
    if kind == "few":
        return rng.integers(0, 5, count)
    if kind == "crowded":  # more voxels with one upper byte than fit the memory of a pass
        return rng.integers(2**40, 2**40 + 300, count)
    return np.arange(count) // 3  # all labels are equally frequent


def expected(voxels: NDArray[Any], method: str, ignore: float | None, ties: str) -> Any:
    """Return the result by numpy, from voxels in raster order."""
    kept = voxels if ignore is None else voxels[voxels != ignore]
    if kept.size == 0:
        return ignore
    if method == "stride":
        return kept[0]
    if method == "median":
        return np.nan if (kept != kept).any() else np.sort(kept)[(kept.size - 1) // 2]
    labels, first, votes = np.unique(kept, return_index=True, return_counts=True)
    winners = np.flatnonzero(votes == votes.max())
    return labels[winners[0] if ties == "lowest" else winners[np.argmin(first[winners])]]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["noise", "few", "crowded", "even"])
def test_a_footprint_of_megabytes_gives_exact_values(kind: str, dtype: str) -> None:
    rng = np.random.default_rng(3)
    shape = (117, 133, 141)  # 2.2 million voxels
    array = values(rng, kind, int(np.prod(shape))).astype(dtype).reshape(shape)
    if array.dtype.kind == "f" and kind == "few":
        array[7, 3, 5] = np.nan
    orders: tuple[Any, ...] = ("C", "F")
    ways: tuple[tuple[Any, Any], ...] = (
        ("median", "first"),
        ("stride", "first"),
        ("mode", "first"),
        ("mode", "lowest"),
    )
    for order in orders:
        voxels = np.asarray(array, array.dtype.newbyteorder("=")).ravel("F")
        for ignore in (None, array[0, 0, 0].item(), array[0, 0, 1].item()):
            for method, ties in ways:
                laid: NDArray[Any] = np.asarray(array, order=order)
                got = tinypyr.downsample(laid, shape, method, ignore=ignore, ties=ties)
                want = expected(voxels, method, ignore, ties)
                np.testing.assert_array_equal(got.item(), want, f"{order} {ignore} {method} {ties}")


def test_adjacent_large_footprints_and_a_level_above_are_exact() -> None:
    """Two adjacent large footprints, and a level above them."""
    rng = np.random.default_rng(4)
    array = rng.integers(0, 900, (200, 150, 80)).astype(np.uint32)
    halves = [array[:100].ravel("F"), array[100:].ravel("F")]
    (median,) = tinypyr.pyramid(array, [(100, 150, 80)], "median")
    assert median.ravel().tolist() == [expected(half, "median", None, "first") for half in halves]
    first, second = tinypyr.pyramid(array, [(100, 150, 80), (2, 1, 1)], "mode")
    assert first.ravel().tolist() == [expected(half, "mode", None, "first") for half in halves]
    assert second.item() == expected(array.ravel("F"), "mode", None, "first")


@pytest.mark.parametrize("ties", ["first", "lowest"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_mode_of_millions_of_labels(order: Any, ties: Any) -> None:
    """The labels are tried in several groups; the mode, or the first of tied labels, is in any of them."""
    rng = np.random.default_rng(3)
    for most in (1, 2):
        voxels = np.array(rng.permutation(5 * 10**6).reshape(5, 1000, 1000) * 2**40 + 7, np.uint64, order=order)
        for seed in range(2 if most == 2 else 0):  # two labels occur twice
            flat = voxels.reshape(-1, order="A")
            flat[-1 - seed] = flat[100_000 + 7 * seed]
        expected_mode = expected(voxels.ravel(order="F"), "mode", None, ties)
        assert tinypyr.downsample(voxels, voxels.shape, "mode", ties=ties)[0, 0, 0] == expected_mode
        ignored = int(voxels.ravel(order="F")[0])
        expected_mode = expected(voxels.ravel(order="F"), "mode", ignored, ties)
        assert tinypyr.downsample(voxels, voxels.shape, "mode", ties=ties, ignore=ignored)[0, 0, 0] == expected_mode
