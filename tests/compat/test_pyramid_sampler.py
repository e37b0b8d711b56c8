"""The pyramid-sampler interface: equal levels, also for arrays that pyramid-sampler rejects or damages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinypyr

pytest.importorskip("tensorstore", reason="stores are read and written through TensorStore")
from support.stores import read
from tinypyr.compat.pyramid_sampler import Downsampler, initialize_test_image
from tinypyr.store import StoreError


@pytest.mark.parametrize("dtype", [None, "uint8", "float32", "uint64"])
@pytest.mark.parametrize(
    ("shape", "factor", "chunks", "levels"),
    [
        ((64, 64, 64), 2, 16, 2),  # stops at levels of a single chunk
        ((64, 32, 32), (2, 2, 2), 8, 2),  # non-cubic chunk grids, which pyramid-sampler rejects
        ((40, 35, 33), 2, (8, 8, 8), 2),  # chunks that do not divide the shape, where it fails or drops voxels
        ((32, 64, 64), (1, 2, 2), 16, 2),
        ((100, 90), 3, 10, 2),
        ((20, 20, 20), 2, 64, 0),
    ],
)
def test_every_level_is_the_mean_of_level_0(
    shape: Any, factor: Any, chunks: Any, levels: int, dtype: Any, tmp_path: Path
) -> None:
    initialize_test_image(tmp_path, "field", shape, chunks=chunks, dtype=dtype)
    downsampler = Downsampler(tmp_path, factor, shape, chunks)
    assert (downsampler.ndim, downsampler.finest_resolution) == (len(shape), list(shape))
    downsampler.downsample(10, "field")
    got = read(tmp_path / "field", "zyx"[-len(shape) :])
    assert len(got) == levels + 1
    assert got[0].dtype == np.dtype(dtype or "float64")
    half = tuple(slice(0, n // 2) for n in shape)
    assert got[0][half].mean() > got[0].mean()
    for level, expected in zip(got[1:], tinypyr.pyramid(got[0], factor, levels=levels) if levels else [], strict=True):
        np.testing.assert_array_equal(level, expected)


def test_max_levels_includes_level_0(tmp_path: Path) -> None:
    initialize_test_image(tmp_path, "field", (64, 64, 64), chunks=8)
    Downsampler(tmp_path, 2, (64, 64, 64), 8).downsample(2, "field")
    assert len(read(tmp_path / "field", "zyx")) == 2


def test_invalid_arguments_are_named_and_write_nothing(tmp_path: Path) -> None:
    initialize_test_image(tmp_path, "field", (32, 32, 32), chunks=8, dtype="uint16")
    before = sorted(tmp_path.rglob("*"))
    message = r"level_0_res: \(64, 32, 32\) is not the shape of the array, which is \(32, 32, 32\)"
    with pytest.raises(ValueError, match=message):
        Downsampler(tmp_path, 2, (64, 32, 32)).downsample(3, "field")
    with pytest.raises(ValueError, match=r"refine_factor: 2\.9"):
        Downsampler(tmp_path, 2.9, (32, 32, 32))
    with pytest.raises(ValueError, match="refine_factor: 0"):
        Downsampler(tmp_path, 0, (32, 32, 32))
    with pytest.raises(ValueError, match=r"max_levels: 0 .* max_level must exceed 0"):
        Downsampler(tmp_path, 2, (32, 32, 32)).downsample(0, "field")
    with pytest.raises(StoreError, match="nothing here"):
        Downsampler(tmp_path, 2, (32, 32, 32)).downsample(3, "other")
    with pytest.raises(ValueError, match="dtype"):
        initialize_test_image(tmp_path, "field", (8, 8), dtype="complex64")
    with pytest.raises(ValueError, match="zarr_field"):
        Downsampler(tmp_path, 2, (32, 32, 32)).downsample(3, "")
    with pytest.raises(TypeError, match="zarr_store"):
        initialize_test_image(5, "field", (8, 8))
    with pytest.raises(StoreError, match="exists already"):
        initialize_test_image(tmp_path, "field", (8, 8), overwrite_field=False)
    assert sorted(tmp_path.rglob("*")) == before
    Downsampler(tmp_path, 2, (32, 32, 32), 8).downsample(2, "field")
    with pytest.raises(StoreError, match="has 2 levels already"):
        Downsampler(tmp_path, 2, (32, 32, 32), 8).downsample(3, "field")


def test_the_default_chunks_are_cubes_of_64_whatever_the_chunks_of_level_0(tmp_path: Path) -> None:
    assert Downsampler("no store", (2, 2, 2), (128, 128, 128)).chunks == (64, 64, 64)
    assert Downsampler("no store", 2, (128, 128)).chunks == (64, 64)
    initialize_test_image(tmp_path, "field", (128, 128), chunks=16, dtype="uint8")
    Downsampler(tmp_path, 2, (128, 128)).downsample(9, "field")
    assert [level.shape for level in read(tmp_path / "field", "yx")] == [(128, 128), (64, 64)]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zarr_groups_of_both_formats_are_extended(zarr_format: int, tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr", minversion="3", reason="an optional source")
    group = zarr.group(str(tmp_path / "x.zarr"), zarr_format=zarr_format)
    initialize_test_image(group, "field", (32, 32, 32), chunks=8, dtype="uint8")
    Downsampler(str(tmp_path / "x.zarr"), 2, (32, 32, 32), 8).downsample(3, "field")
    base = group["field"]["0"][:]
    np.testing.assert_array_equal(group["field"]["2"][:], tinypyr.downsample(base, 4))
    assert group["field"]["1"].metadata.zarr_format == zarr_format
