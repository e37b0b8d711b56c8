"""Sources in planes or in chunks larger than memory, memory that is reckoned from what exists, and chosen methods."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinypyr

ts = pytest.importorskip("tensorstore", reason="stores are read and written through TensorStore")
from support.stores import Array, files, raw_levels  # noqa: E402
from tinypyr import Grid, store  # noqa: E402
from tinypyr.store.tuning import tuned  # noqa: E402


@pytest.fixture(autouse=True)
def unsynced() -> Iterator[None]:
    """Skip fsync, because these stores need not survive a crash."""
    with tuned(sync_files=False):
        yield


def noise(*shape: int, dtype: str = "uint8") -> Array:
    return np.random.default_rng(0).integers(1, 200, shape).astype(dtype)


class Counted:
    """An array in chunks that counts how many times each chunk is decoded."""

    def __init__(self, voxels: Array, chunks: tuple[int, ...]) -> None:
        self.voxels, self.chunks, self.shape, self.dtype = voxels, chunks, voxels.shape, voxels.dtype
        self.decoded: dict[tuple[int, ...], int] = {}
        self._lock = threading.Lock()

    def __getitem__(self, box: Any) -> Array:
        ranges = [range(s.start // c, -(-s.stop // c)) for s, c in zip(box, self.chunks, strict=True)]
        with self._lock:
            for index in np.ndindex(*map(len, ranges)):
                key = tuple(r[i] for r, i in zip(ranges, index, strict=True))
                self.decoded[key] = self.decoded.get(key, 0) + 1
        values: Array = self.voxels[box]
        return values


# --- chunks that are planes ---


def test_a_stack_of_planes_gets_cubic_chunks_and_no_level_of_one_slice(tmp_path: Path) -> None:
    source = Counted(noise(64, 256, 256), (1, 256, 256))
    plan = store.plan(source, tmp_path / "t", levels="auto")
    assert plan.layouts[0].chunks == (64, 64, 64)
    assert [grid.shape for grid in plan.grids] == [(64, 256, 256), (32, 128, 128), (16, 64, 64)]


def test_planes_in_a_volume_of_one_slice_and_planes_of_an_image_are_kept(tmp_path: Path) -> None:
    assert store.plan(Counted(noise(1, 64, 64), (1, 32, 32)), tmp_path / "a").layouts[0].chunks == (1, 32, 32)
    assert store.plan(Counted(noise(64, 64), (1, 64)), tmp_path / "b").layouts[0].chunks == (1, 64)


@pytest.mark.parametrize("method", ["mean", "mode", "median"])
@pytest.mark.parametrize("offset", [(0, 0, 0), (3, 5, 1)])
@pytest.mark.parametrize("chunks", [(1, 256, 256), (32, 16, 256), (32, 256, 256), (5, 256, 150)])
def test_chunks_larger_than_memory_are_decoded_once(
    chunks: tuple[int, ...], offset: tuple[int, ...], method: Any, tmp_path: Path
) -> None:
    """The second decoding is that of the first and last corners, by which a change is noticed."""
    voxels = noise(32, 256, 256)
    source, grid = Counted(voxels, chunks), Grid(voxels.shape, voxel_offset=offset)
    with tuned(small_block=1 << 17):
        report = store.build(
            source, tmp_path / "t", factor=2, levels=2, chunks=(16, 32, 32), method=method, grid=grid,
            memory="1MiB", workers=1, progress=False,
        )  # fmt: skip
    assert report.plan.geometry.partition.stages
    assert "copied to temporary files" in str(report)
    counts = sorted(source.decoded.values())
    assert sum(counts) <= 1.5 * len(counts) + 6
    expected = [voxels, *tinypyr.pyramid(voxels, 2, method, levels=2, voxel_offset=offset)]
    for level, array in zip(raw_levels(tmp_path / "t"), expected, strict=True):
        np.testing.assert_array_equal(level, array)
    assert not (tmp_path / "t" / ".tinypyr").exists()


def test_a_full_disk_is_reported_before_a_block_is_staged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)  # (of the standard library: no disk is filled for a test)
    source = Counted(noise(64, 512, 512), (1, 512, 512))
    with pytest.raises(store.BuildError, match=r"a temporary file of .* cannot be created: .*No space left"):
        store.build(
            source, tmp_path / "t", factor=2, levels=2, chunks=(16, 32, 32), method="mean",
            memory="6MiB", workers=1, progress=False,
        )  # fmt: skip


# --- memory ---


def test_a_small_volume_in_a_large_shard_needs_little_memory(tmp_path: Path) -> None:
    voxels = noise(40, 50, 60)
    arguments: dict[str, Any] = {"chunks": (64, 64, 64), "shards": (1024, 1024, 1024), "method": "mean"}
    store.build(voxels, tmp_path / "t", factor=2, levels=2, memory="16MiB", progress=False, **arguments)
    np.testing.assert_array_equal(raw_levels(tmp_path / "t")[0], voxels)


def test_the_message_about_memory_has_both_numbers_per_worker(tmp_path: Path) -> None:
    with pytest.raises(
        store.StoreError, match=r"need 18[.]3 MiB per worker, but 5 MiB are allowed, the memory divided"
    ):
        store.plan(
            np.zeros((64, 512, 512), np.uint8), tmp_path / "t", factor=2, levels=2, chunks=(1, 1024, 1024),
            shards=(64, 1024, 1024), method="median", memory="10MiB", workers=2,
        )  # fmt: skip


# --- dtypes and fill values ---


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("format", ["ome-zarr-0.5", "ome-zarr-0.4"])
def test_complex_voxels_are_stored_in_zarr(format: str, dtype: str, tmp_path: Path) -> None:
    voxels = (noise(8, 8) + 1j * noise(8, 8)).astype(dtype)
    store.build(voxels, tmp_path / "t", factor=2, levels=1, format=format, progress=False)
    expected = [voxels, tinypyr.downsample(voxels, 2)]
    for level, array in zip(store.levels(tmp_path / "t"), expected, strict=True):
        np.testing.assert_array_equal(level.array.read().result(), array)


@pytest.mark.parametrize("format", ["n5", "precomputed"])
def test_complex_voxels_are_refused_before_anything_is_created(format: str, tmp_path: Path) -> None:
    with pytest.raises(store.StoreError, match="not complex64"):
        store.build(np.ones((8, 8), np.complex64), tmp_path / "t", factor=2, levels=1, format=format)
    assert files(tmp_path) == {}


@pytest.mark.parametrize("format", ["n5", "precomputed"])
def test_a_fill_value_is_refused_only_where_voxels_get_it(format: str, tmp_path: Path) -> None:
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{tmp_path}/a/"}}
    spec["metadata"] = {"shape": [8, 8, 8], "data_type": "uint8", "fill_value": 255}
    handle = ts.open(spec, create=True).result()
    handle[:4].write(np.full((4, 8, 8), 3, np.uint8)).result()
    store.build(tmp_path / "a", tmp_path / "t", factor=2, levels=1, format=format, method="max", progress=False)
    level = store.levels(tmp_path / "t")[1]
    values = level.array.read().result().reshape(level.grid.shape)
    assert np.unique(values).tolist() == [3, 255]
    mask = np.zeros((8, 8, 8), np.uint8)
    with pytest.raises(store.StoreError, match="fill value"):
        store.plan(tmp_path / "a", tmp_path / "u", factor=2, levels=1, format=format, method="max", mask=mask)


# --- the method that is chosen ---


def labels(*shape: int, dtype: str = "uint16") -> Array:
    ids = np.random.default_rng(1).integers(0, 60000, [n // 16 for n in shape])
    for axis in range(len(shape)):
        ids = ids.repeat(16, axis)
    return ids.astype(dtype)


@pytest.mark.parametrize("shape", [(64, 64, 64), (256, 256)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "int64"])
def test_integers_that_look_like_labels_are_averaged_with_a_warning(
    dtype: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    with pytest.warns(UserWarning, match=r"method: 'mean' was chosen .* equal, as in labels.*--method mode"):
        store.plan(labels(*shape, dtype=dtype), tmp_path / "t", factor=2, levels=1)


@pytest.mark.parametrize("options", [{"method": "mean"}, {"method": "mode"}, {"levels": 0}, {"force": True}])
def test_who_names_the_method_gets_no_warning(options: dict[str, Any], tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store.plan(labels(64, 64, 64), tmp_path / "t", factor=2, **{"levels": 1, **options})


@pytest.mark.parametrize(
    "voxels", [noise(64, 64, 64), np.zeros((64, 64, 64), np.uint8), np.full((64, 64, 64), 9, np.uint16)]
)
def test_intensities_and_constants_give_no_warning(voxels: Array, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store.plan(voxels, tmp_path / "t", factor=2, levels=1)


def test_the_plan_and_the_report_name_the_method_and_its_reason(tmp_path: Path) -> None:
    plan = store.plan(labels(64, 64, 64, dtype="uint64"), tmp_path / "t", factor=2, levels=1)
    assert "mode, because voxels of uint64 are usually labels" in str(plan)
    report = store.build(noise(64, 64), tmp_path / "u", factor=2, levels=1, progress=False)
    assert "method: mean, because voxels of uint8 are usually intensities" in str(report)
    assert "method: max, as requested" in str(
        store.build(noise(64, 64), tmp_path / "v", factor=2, levels=1, method="max", progress=False)
    )


# --- factors ---


def test_factors_that_look_cumulative_warn_when_one_voxel_is_left(tmp_path: Path) -> None:
    with pytest.warns(
        UserWarning, match=r"last level has the shape \(1, 1\); if .* from the base, pass \[\(2, 2\), \(2"
    ):
        plan = store.plan(noise(64, 64), tmp_path / "t", factor=[(2, 2), (4, 4), (8, 8)])
    assert [grid.shape for grid in plan.grids] == [(64, 64), (32, 32), (8, 8), (1, 1)]


def test_relative_factors_that_leave_more_voxels_give_no_warning(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store.plan(noise(256, 256), tmp_path / "t", factor=[(2, 2), (4, 4), (8, 8)])
        store.plan(noise(8, 8), tmp_path / "u", factor=[(2, 2), (2, 2), (2, 2)])
