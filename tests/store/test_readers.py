"""Readers that users register: their files are sources of builds and of resampling, in every process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorstore", reason="reads and writes stores (the extra 'store')")

import tinypyr
from tinypyr import _sources, store

VOXELS = np.arange(12 * 10 * 8, dtype=np.uint16).reshape(12, 10, 8)


class NumpyFile:
    """A file of numpy as a lazy array."""

    holds_labels, kind = False, "image"

    def __init__(self, path: str) -> None:
        if not os.path.exists(path):
            raise ValueError(f"source: {path} does not exist")
        self._path, self._voxels = path, np.load(path, mmap_mode="r")
        self.shape, self.dtype, self.ndim = self._voxels.shape, self._voxels.dtype, self._voxels.ndim
        self.grid = tinypyr.Grid(self.shape, axes="zyx", scale=(3, 2, 2), units="micrometer")

    def __repr__(self) -> str:
        return self._path

    def __getitem__(self, box: Any) -> Any:
        return np.asarray(self._voxels[box])

    def recipe(self) -> dict[str, Any]:
        return {"source": self._path}

    @classmethod
    def from_recipe(cls, recipe: dict[str, Any]) -> NumpyFile:
        return cls(recipe["source"])

    def stamp(self) -> bytes:
        return str(os.stat(self._path).st_mtime_ns).encode()


class NumpyReader:
    name = "npy"

    def matches(self, source: Any) -> bool:
        return isinstance(source, (str, os.PathLike)) and os.fspath(source).endswith(".npy")

    def open(self, source: Any) -> NumpyFile:
        return NumpyFile(os.fspath(source))


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    before = list(_sources.READERS)
    tinypyr.register_reader(NumpyReader())
    np.save(tmp_path / "volume.npy", VOXELS)
    yield tmp_path / "volume.npy"
    _sources.READERS[:] = before


def test_a_registered_reader_is_a_source_of_builds_with_its_grid(path: Path, tmp_path: Path) -> None:
    report = store.build(path, tmp_path / "built", factor=2, levels=1, progress=False)
    base, level = store.levels(tmp_path / "built")
    assert report.plan.kind == "image"
    assert base.grid.scale == (3, 2, 2)
    np.testing.assert_array_equal(base.array.read().result(), VOXELS)
    np.testing.assert_array_equal(level.array.read().result(), tinypyr.downsample(VOXELS, 2))


def test_a_saved_plan_opens_the_file_of_a_registered_reader_again(path: Path, tmp_path: Path) -> None:
    store.plan(path, tmp_path / "built", factor=2, levels=1).save(tmp_path / "plan.json")
    plan = store.Plan.load(tmp_path / "plan.json")
    assert plan.source.dtype == np.uint16
    np.save(path, VOXELS + 1)
    with pytest.raises(store.StoreError, match="out of date"):
        store.Plan.load(tmp_path / "plan.json")


def test_a_registered_reader_is_a_source_of_resampling(path: Path) -> None:
    grid = tinypyr.Grid(VOXELS.shape, axes="zyx", scale=(3, 2, 2))
    np.testing.assert_array_equal(tinypyr.resample(path, grid), VOXELS)


def test_a_target_with_the_name_of_a_file_that_is_only_read_is_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="npy is read, and not written"):
        store.plan(VOXELS, tmp_path / "target.npy")


def test_a_reader_replaces_the_one_of_the_same_name(path: Path) -> None:
    names = [reader.name for reader in _sources.READERS]
    tinypyr.register_reader(NumpyReader())
    assert [reader.name for reader in _sources.READERS] == names


def test_a_reader_without_its_members_is_refused() -> None:
    with pytest.raises(TypeError, match="has no 'name'"):
        tinypyr.register_reader(object())  # type: ignore[arg-type]
