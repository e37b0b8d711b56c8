"""Real volumes, compared with computations in plain numpy and with the oracle."""

from __future__ import annotations

import gzip
import itertools
import lzma
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinypyr
from support import oracle
from support.strategies import assert_same_bits, each_isa, lay_out


@pytest.fixture(scope="session")
def labels(data_dir: Path) -> np.ndarray:
    """Return a part of a mouse-cortex segmentation with odd extents: uint32, Fortran order, background 0."""
    path = data_dir / "connectomics_512x512x512_u32.npy.xz"
    if not path.exists():
        pytest.skip(f"{path.name} is not among the real data")
    with lzma.open(path) as file:
        whole = np.load(file)
    part = np.asfortranarray(whole[150:301, 100:257, 200:263])
    assert part.shape == (151, 157, 63)
    assert len(np.unique(part)) > 50
    return part


@pytest.fixture(scope="session")
def tiles(data_dir: Path) -> np.ndarray:
    """Return two sections of a fly brain, 2048 x 2048 each, as (x, y, z), uint8."""
    image = pytest.importorskip("PIL.Image", reason="Pillow, which reads the tiles, is not installed")
    folder = data_dir / "em_sections"
    if not folder.is_dir():
        pytest.skip(f"{folder.name} is not among the real data")
    sections = []
    for z in (1, 2):
        rows = [[np.asarray(image.open(folder / f"{z}_{y}_{x}.jpg")) for x in (140, 141)] for y in (60, 61)]
        sections.append(np.block(rows).T)
    return np.stack(sections, axis=-1)


def blocks(array: np.ndarray, factor: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return (voxels, present), both of shape (voxels per block, blocks...), axis 0 fastest."""
    padding = [(0, -n % f) for n, f in zip(array.shape, factor, strict=True)]
    padded = np.pad(array, padding)
    present = np.pad(np.ones(array.shape, bool), padding)
    at = [
        tuple(slice(s, None, f) for s, f in zip(step, factor, strict=True))
        for step in oracle.raster([range(f) for f in factor])
    ]
    return np.stack([padded[where] for where in at]), np.stack([present[where] for where in at])


def exact_mode(array: np.ndarray, factor: tuple[int, ...], background: int | None = None) -> np.ndarray:
    """Return modes: the votes of a voxel are the number of equal voxels; argmax selects the first maximum."""
    voxels, present = blocks(array, factor)
    if background is not None:
        present = present & (voxels != background)
    votes = np.zeros(voxels.shape, np.int64)
    for mine, here in zip(voxels, present, strict=True):
        votes += here & (voxels == mine)
    votes *= present
    winner = np.take_along_axis(voxels, votes.argmax(axis=0)[None], 0)[0]
    return winner if background is None else np.where(present.any(axis=0), winner, background).astype(array.dtype)


def exact_mean(array: np.ndarray, factor: tuple[int, ...]) -> np.ndarray:
    """Return means from sums and counts as int64, and one division in doubles.

    Sums stay below 2^53. A double closest to a quotient of such numbers with a denominator below 2^20 is k + 1/2 only
    if the quotient is, so rint, which rounds half to even, rounds as the exact quotient would be.
    """
    voxels, present = blocks(array, factor)
    total, count = np.zeros(voxels.shape[1:], np.int64), np.zeros(voxels.shape[1:], np.int64)
    for mine, here in zip(voxels, present, strict=True):
        total += mine.astype(np.int64)
        count += here
    assert total.max() < 2**53
    assert count.max() < 2**20
    return np.rint(total / count).astype(array.dtype)


FACTORS = ((2, 2, 1), (2, 2, 2), (1, 2, 2))


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.uint64])
@pytest.mark.parametrize("background", [None, 0])
def test_levels_of_a_segmentation_are_exact(labels: np.ndarray, dtype: Any, background: int | None) -> None:
    known = np.unique(labels)
    volume = np.searchsorted(known, labels).astype(dtype) if dtype == np.uint16 else labels.astype(dtype)
    volume = volume * dtype(2**32 + 3) if dtype == np.uint64 else volume
    for factor in FACTORS:
        levels_wanted = [exact_mode(volume, tuple(f**k for f in factor), background) for k in (1, 2)]
        for _, layout in itertools.product(each_isa(), ("F", "C")):
            levels = tinypyr.downsample_segmentation(lay_out(volume, layout), factor, background == 0, 2)
            for level, wanted in zip(levels, levels_wanted, strict=True):
                assert_same_bits(level, wanted)
                assert np.isin(level, volume).all()


def test_six_levels_of_a_segmentation_are_exact_unlike_modes_of_modes(labels: np.ndarray) -> None:
    """Modes of footprints of thousands of voxels are exact, unlike modes of modes."""
    part = labels[:64, :61, :5]
    for layout in ("F", "C"):
        levels = tinypyr.downsample_segmentation(lay_out(part, layout), (2, 2, 1), num_mips=6)
        for level, want in zip(levels, oracle.pyramid(part, [(2, 2, 1)] * 6, "mode"), strict=True):
            oracle.check(level, want, "mode")
    recursive = labels
    for _ in range(4):
        (recursive,) = tinypyr.downsample_segmentation(recursive, (2, 2, 1))
    exact = tinypyr.downsample_segmentation(labels, (2, 2, 1), num_mips=4)[-1]
    assert_same_bits(exact, exact_mode(labels, (16, 16, 1)))
    assert (recursive != exact).any()  # modes of modes differ, so the comparison above is not trivial


def test_means_of_electron_micrographs_are_exact(tiles: np.ndarray) -> None:
    for part, workers in ((tiles, 2), (tiles[3:2000, 5:1030], 1)):
        for factor in FACTORS:
            wanted = [exact_mean(part, tuple(f**k for f in factor)) for k in (1, 2, 3)]
            for _, layout in itertools.product(each_isa(), ("F", "C")):
                levels = tinypyr.downsample_with_averaging(lay_out(part, layout), factor, 3)
                threaded = tinypyr.pyramid(lay_out(part, layout), factor, levels=3, workers=workers)
                for level, other, want in zip(levels, threaded, wanted, strict=True):
                    assert_same_bits(level, want)
                    assert_same_bits(other, want)


def test_order_statistics_of_a_micrograph_are_exact(data_dir: Path) -> None:
    path = data_dir / "sem_pollen_935x1228_u8.npy.gz"
    if not path.exists():
        pytest.skip(f"{path.name} is not among the real data")
    with gzip.open(path) as file:
        image = np.load(file)
    voxels, present = blocks(image[:, :, None], (2, 2, 1))
    count = present.sum(axis=0)
    low = np.where(present, voxels, 255)
    high = np.where(present, voxels, 0)
    ordered = np.sort(np.where(present, voxels.astype(int), 999), axis=0)
    want: dict[Any, np.ndarray] = {
        "min": low.min(axis=0),
        "max": high.max(axis=0),
        "median": np.take_along_axis(ordered, (count[None] - 1) // 2, 0)[0],
        "stride": voxels[0],
    }
    for method, wanted in want.items():
        for layout in ("C", "F", "gapped"):
            got = tinypyr.downsample(lay_out(image, layout), 2, method)
            np.testing.assert_array_equal(got, wanted[:, :, 0])
    assert abs(tinypyr.downsample(image, 2).mean() - image.mean()) < 0.05
