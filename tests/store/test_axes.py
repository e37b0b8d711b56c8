"""Axes of volumes: pooling by type, and order in stores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinypyr
from tinypyr import Grid

pytest.importorskip("tensorstore", reason="stores are read and written through TensorStore")
from support.stores import listed_axes, raw_levels, write_ome
from tinypyr import store
from tinypyr.store.tuning import tuned

SPACE = ["z", "y", "x"]


def two_channels(*shape: int) -> Any:
    """Return a volume with 10 in the first channel and 200 in the second."""
    return np.stack([np.full(shape, 10, np.uint8), np.full(shape, 200, np.uint8)])


@pytest.mark.parametrize("name", ["c", "C", "ch", "channel", "stain", "x1"])
def test_a_channel_axis_is_not_pooled_whatever_its_name(name: str, tmp_path: Path) -> None:
    where = write_ome(tmp_path / "t", two_channels(40, 64, 64), [(name, "channel"), *SPACE], chunks=(1, 20, 32, 32))
    store.build(where, levels=1, progress=False)
    level = raw_levels(where)[1]
    assert level.shape == (2, 20, 32, 32)
    assert (level[0] == 10).all()
    assert (level[1] == 200).all()


@pytest.mark.parametrize("kind", ["time", "angle"])
def test_only_axes_of_space_are_pooled_by_auto(kind: str, tmp_path: Path) -> None:
    where = write_ome(tmp_path / "t", two_channels(64, 64), [("q", kind), "y", "x"], chunks=(1, 32, 32))
    store.build(where, levels=1, progress=False)
    assert [np.unique(part).tolist() for part in raw_levels(where)[1]] == [[10], [200]]


def test_an_axis_named_like_a_channel_is_space_if_its_type_says_so(tmp_path: Path) -> None:
    where = write_ome(tmp_path / "t", two_channels(64, 64), [("c", "space"), "y", "x"])
    assert store.plan(where, levels=1, factor=2).grids[1].shape == (1, 32, 32)


@pytest.mark.parametrize(
    ("factor", "shape"),
    [(2, (2, 2, 4, 16, 16)), ((1, 2, 2), (2, 2, 8, 16, 16)), ((1, 1, 1, 2, 2), (2, 2, 8, 16, 16))],
)
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_int_and_a_factor_per_spatial_axis_leave_time_and_channels_alone(
    version: str, factor: Any, shape: tuple[int, ...], tmp_path: Path
) -> None:
    volume = np.stack([two_channels(8, 32, 32)] * 2)
    axes = [("t", "time"), ("c", "channel"), *SPACE]
    where = write_ome(tmp_path / "t", volume, axes, version)
    store.build(where, factor=factor, levels=1, progress=False)
    level = raw_levels(where)[1]
    assert level.shape == shape
    assert (level[:, 0] == 10).all()
    assert (level[:, 1] == 200).all()


def test_an_int_factor_of_a_volume_with_one_time_point_is_accepted(tmp_path: Path) -> None:
    axes = [("t", "time"), ("c", "channel"), *SPACE]
    where = write_ome(tmp_path / "t", np.zeros((1, 2, 8, 32, 32), np.uint8), axes)
    assert store.plan(where, factor=2, levels=1).grids[1].shape == (1, 2, 4, 16, 16)


@pytest.mark.parametrize("factor", [(2, 2), (1, 1, 2, 2), [(2, 2), (2, 2)]])
def test_a_factor_of_another_length_is_refused_with_the_axes_named(factor: Any) -> None:
    with pytest.raises(ValueError, match=r"factor: .* has \d entries; give one per axis \(t, c, z, y, x\)"):
        Grid((2, 2, 8, 32, 32), "tczyx").schedule(factor, "auto" if isinstance(factor, list) else 1)


def test_a_shorter_factor_of_spatial_axes_leaves_the_last_ones_alone() -> None:
    assert Grid((8, 32, 32)).schedule((2, 2), 1) == [(2, 2, 1)]


def test_types_are_implied_by_names_and_kept_by_levels() -> None:
    grid = Grid((2, 3, 4, 8, 8), [("stain", "channel"), "time", "Z", "Y", "X"])
    assert grid.types == ("channel", "time", "space", "space", "space")
    assert grid.level(2).types == grid.types
    assert grid.level(2).shape == (2, 3, 2, 4, 4)
    assert Grid((2, 8), ["channel", "x"]).types == ("channel", "space")
    with pytest.raises(TypeError, match=r"axes: .* is neither a name nor a pair of a name and a type"):
        Grid((2, 8), [("a", 5), "x"])  # type: ignore[list-item]


def test_new_stores_list_the_type_of_every_axis(tmp_path: Path) -> None:
    volume = two_channels(8, 8, 8)
    store.build(volume, tmp_path / "t", grid=Grid(volume.shape, ["channel", *SPACE]), levels=0, progress=False)
    assert [axis["type"] for axis in listed_axes(tmp_path / "t")] == ["channel", "space", "space", "space"]


def test_n5_refuses_axes_whose_type_it_cannot_record(tmp_path: Path) -> None:
    grid = Grid((2, 8, 8), [("stain", "channel"), "y", "x"])
    with pytest.raises(store.StoreError, match="N5 records no types of axes, so 'stain' would be read as space"):
        store.plan(two_channels(8, 8), tmp_path / "t", format="n5", grid=grid)


ORDERS: list[tuple[list[Any], tuple[int, ...]]] = [
    (["x", "y", "z"], (40, 24, 16)),
    (["x", "y"], (40, 24)),
    ([*SPACE, ("c", "channel")], (8, 24, 40, 3)),
    (["y", "x", ("t", "time")], (24, 40, 2)),
]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize(("axes", "shape"), ORDERS)
def test_levels_in_place_have_the_axes_of_their_base(
    axes: list[Any], shape: tuple[int, ...], version: str, tmp_path: Path
) -> None:
    data = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    where = write_ome(tmp_path / "t", data, axes, version, chunks=[min(n, 8) for n in shape])
    before = listed_axes(where)
    store.build(where, factor=2, levels=1, method="mean", progress=False)
    assert listed_axes(where) == before
    base, level = raw_levels(where)
    factor = tuple(1 if isinstance(axis, tuple) else 2 for axis in axes)
    np.testing.assert_array_equal(level, tinypyr.downsample(base, factor))
    assert store.check(where).ok


@pytest.mark.parametrize("target", ["ome-zarr-0.4", "ome-zarr-0.5"])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize(("axes", "shape"), ORDERS)
def test_a_copy_lists_its_axes_in_the_order_of_its_arrays(
    axes: list[Any], shape: tuple[int, ...], version: str, target: str, tmp_path: Path
) -> None:
    """Arrays have time, channels, z, y, x; blocks share no chunk in this order either."""
    data = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    where = write_ome(tmp_path / "s", data, axes, version, chunks=[min(n, 8) for n in shape])
    with tuned(small_block=0):
        store.build(where, tmp_path / "t", format=target, factor=2, levels=1, method="mean", progress=False)
    names = [axis[0] if isinstance(axis, tuple) else axis for axis in axes]
    listed = [axis["name"] for axis in listed_axes(tmp_path / "t")]
    assert listed == sorted(names, key="tczyx".index)
    base, level = raw_levels(tmp_path / "t")
    np.testing.assert_array_equal(base.transpose([listed.index(name) for name in names]), data)
    factor = tuple(1 if name in "tc" else 2 for name in listed)
    np.testing.assert_array_equal(level, tinypyr.downsample(base, factor))
    assert store.check(tmp_path / "t").ok


def test_a_copy_in_another_order_keeps_the_codec_and_the_chunks(tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 9, (40, 24, 16), dtype=np.uint8)
    where = write_ome(tmp_path / "s", data, ["x", "y", "z"], chunks=(20, 12, 8))
    store.build(where, tmp_path / "t", format="ome-zarr-0.4", levels=0, progress=False)
    before, after = (json.loads((path / "0/.zarray").read_text()) for path in (where, tmp_path / "t"))
    assert after["chunks"] == [8, 12, 20]
    assert after["compressor"]["id"] == before["compressor"]["id"] == "blosc"


@pytest.mark.parametrize("kind", ["Space", "SPACE", "spatial"])
def test_other_spellings_of_the_type_space_are_spatial(kind: str) -> None:
    assert Grid((40, 64), [("y", kind), ("x", kind)]).schedule(2, 1) == [(2, 2)]


def test_factors_of_a_grid_without_spatial_axes_name_every_axis() -> None:
    grid = Grid((200, 300), ["t", ("w", "wavelength")])
    assert grid.schedule((2, 2), 1) == [(2, 2)]
    assert grid.schedule((2, 3)) == [(2, 3)] * 2
    with pytest.raises(ValueError, match=r"factor: 2 is for spatial axes, but the types .* 'time', 'wavelength'"):
        grid.schedule(2)
    with pytest.raises(ValueError, match=r"factor: no axis is of type 'space'"):
        grid.schedule("auto", 1)
    with pytest.warns(UserWarning, match=r"factor: no axis is of type 'space'"):
        assert grid.schedule() == []
    assert grid.schedule("auto", 0) == []


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_units_that_ome_zarr_does_not_list_are_kept_by_a_copy(version: str, tmp_path: Path) -> None:
    where = write_ome(tmp_path / "in", np.ones((8, 8), np.uint8), ["y", "x"], version)
    meta = where / ("zarr.json" if version == "0.5" else ".zattrs")
    text = meta.read_text()
    meta.write_text(text.replace('"name": "x"', '"name": "x", "unit": "pixel"'))
    for target, options in ((tmp_path / "t", {}), (tmp_path / "n5", {"format": "n5"})):
        more: dict[str, Any] = options
        store.build(where, target, levels=1, factor=2, progress=False, **more)
        assert "pixel" in store.levels(target)[1].grid.units
    assert [axis.get("unit") for axis in listed_axes(tmp_path / "t")] == [None, "pixel"]
    meta.write_text(text.replace('"name": "x"', '"name": "x", "unit": {"a": 1}'))
    with pytest.raises(store.StoreError, match=r"multiscales metadata cannot be understood: .*are not texts"):
        store.plan(where, tmp_path / "new", levels=1, factor=2)
