"""OME-Zarr metadata: every version is read, and what others wrote is kept in place, and kept or named in copies."""

from __future__ import annotations

import itertools
import json
import math
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinypyr
from tinypyr import Grid

pytest.importorskip("tensorstore", reason="stores are read and written through TensorStore")
from support.stores import raw, write_array
from tinypyr import store
from tinypyr.store.location import Location
from tinypyr.store.source import open_source, open_volume
from tinypyr.store.tuning import tuned


@pytest.fixture(autouse=True)
def without_waiting_for_disks() -> Iterator[None]:
    with tuned(sync_files=False):
        yield


STYLES = ("0.1", "0.2", "0.3", "0.4", "0.5", "0.5 flat", "0.6")
FORMATS = ("ome-zarr-0.4", "ome-zarr-0.5", "ome-zarr-0.6", "n5", "precomputed")
TYPES = {"t": "time", "c": "channel"}


def is_v3(style: str) -> bool:
    return style[:3] in ("0.5", "0.6")


def write_version(
    where: Path, array: Any, axes: str, style: str, attributes: Any = None, ome: Any = None, entry: Any = None
) -> Path:
    """Write level 0 in a style of metadata, without tinypyr; further keys of attributes, namespace and entry."""
    listed = [{"name": name, "type": TYPES.get(name, "space")} for name in axes]
    scale = {"type": "scale", "scale": [2.0 if name in "zyx" else 1.0 for name in axes]}
    written: dict[str, Any] = {"datasets": [{"path": "0"}]}
    if style == "0.6":
        written["coordinateSystems"] = [{"name": "world", "axes": listed}]
        ends = {"input": {"path": "0"}, "output": {"name": "world"}}
        written["datasets"][0]["coordinateTransformations"] = [{**scale, **ends}]
    elif style in ("0.4", "0.5", "0.5 flat"):
        written["axes"] = listed
        written["datasets"][0]["coordinateTransformations"] = [scale]
    elif style == "0.3":
        written["axes"] = list(axes)
    if style in ("0.1", "0.2", "0.3", "0.4", "0.5 flat"):
        written["version"] = "0.4" if style == "0.5 flat" else style
    written = {**written, **(entry or {})}
    namespace = {"multiscales": [written], **(ome or {})}
    if style in ("0.5", "0.6"):
        namespace = {"ome": {"version": style, **namespace}}
    write_attributes(where, style, {**(attributes or {}), **namespace})
    write_array(where / "0", array, [max(1, n // 2) for n in array.shape], "0.5" if is_v3(style) else "0.4")
    return where


def write_attributes(where: Path, style: str, attributes: Any) -> None:
    where.mkdir(parents=True, exist_ok=True)
    if is_v3(style):
        root = json.loads((where / "zarr.json").read_text()) if (where / "zarr.json").exists() else {}
        root = {"zarr_format": 3, "node_type": "group", **root, "attributes": attributes}
        (where / "zarr.json").write_text(json.dumps(root))
    else:
        (where / ".zgroup").write_text('{"zarr_format": 2}')
        (where / ".zattrs").write_text(json.dumps(attributes))


def read_attributes(where: Path) -> Any:
    """Return the attributes of a group or an array of either version of Zarr."""
    if (where / "zarr.json").exists():
        return json.loads((where / "zarr.json").read_text()).get("attributes", {})
    return json.loads((where / ".zattrs").read_text()) if (where / ".zattrs").exists() else {}


def read_ome(where: Path) -> Any:
    attributes = read_attributes(where)
    return attributes["ome"] if "multiscales" in attributes.get("ome", {}) else attributes


def noise(*shape: int) -> Any:
    return np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)


# --- versions ---


@pytest.mark.parametrize("style", STYLES)
def test_every_version_is_read_and_keeps_its_style_in_place(style: str, tmp_path: Path) -> None:
    axes = "tczyx" if style in ("0.1", "0.2") else "zyx"
    data = noise(*((1, 2) if len(axes) == 5 else ()), 6, 8, 10)
    where = write_version(tmp_path / "t", data, axes, style)
    before = read_ome(where)
    grid = open_volume(Location.at(where)).grids[0]
    assert grid.axes == tuple(axes)
    assert grid.scale[-1] == (1.0 if style in ("0.1", "0.2", "0.3") else 2.0)
    assert grid.types == tuple(TYPES.get(name, "space") for name in axes)
    store.build(where, factor=2, levels=2, method="mean", progress=False)
    after = read_ome(where)
    entry, old = after["multiscales"][0], before["multiscales"][0]
    assert after.get("version") == before.get("version")
    for key in ("axes", "version", "coordinateSystems"):
        assert entry.get(key) == old.get(key), key
    assert entry["datasets"][0] == old["datasets"][0]
    assert [dataset["path"] for dataset in entry["datasets"]] == ["0", "1", "2"]
    assert store.check(where).ok
    levels = open_volume(Location.at(where)).grids
    assert [level.scale[-1] for level in levels] == [grid.scale[-1] * f for f in (1, 2, 4)]
    assert levels[2].translation[-1] == 1.5 * grid.scale[-1]


@pytest.mark.parametrize("target", ["ome-zarr-0.4", "ome-zarr-0.5", "ome-zarr-0.6"])
@pytest.mark.parametrize("style", STYLES)
def test_every_version_is_converted_to_every_other(style: str, target: str, tmp_path: Path) -> None:
    axes = "tczyx" if style in ("0.1", "0.2") else "zyx"
    data = noise(*((1, 2) if len(axes) == 5 else ()), 6, 8, 10)
    where = write_version(tmp_path / "s", data, axes, style, {"mine": 1}, {"omero": {"channels": []}}, {"name": "n"})
    store.build(where, tmp_path / "t", format=target, factor=2, levels=1, method="mean", progress=False)
    source, copy = open_volume(Location.at(where)), open_volume(Location.at(tmp_path / "t"))
    assert (copy.format, copy.grids[0], copy.kind) == (target, source.grids[0], "image")
    assert read_ome(tmp_path / "t")["omero"] == {"channels": []}
    assert read_ome(tmp_path / "t")["multiscales"][0]["name"] == "n"
    assert read_attributes(tmp_path / "t")["mine"] == 1
    assert store.check(tmp_path / "t").ok


def test_levels_without_transformations_have_the_factor_that_their_extents_imply(tmp_path: Path) -> None:
    where = write_version(tmp_path / "t", noise(9, 16), "yx", "0.3")
    write_array(where / "1", noise(5, 8))
    attributes = read_attributes(where)
    attributes["multiscales"][0]["datasets"].append({"path": "1"})
    write_attributes(where, "0.3", attributes)
    level = store.levels(where)[1]
    assert (level.grid.scale, level.grid.translation) == ((2.0, 2.0), (0.5, 0.5))


@pytest.mark.parametrize("version", ["0.4-dev", "0.5-dev1", "0.6.dev3", "0.6rc0"])
def test_versions_with_suffixes_are_kept(version: str, tmp_path: Path) -> None:
    where = write_version(tmp_path / "t", noise(8, 8), "yx", version[:3])
    attributes = read_attributes(where)
    (attributes["ome"] if is_v3(version) else attributes["multiscales"][0])["version"] = version
    write_attributes(where, version, attributes)
    store.build(where, factor=2, levels=1, progress=False)
    ome = read_ome(where)
    assert (ome if is_v3(version) else ome["multiscales"][0])["version"] == version
    assert open_volume(Location.at(where)).format == f"ome-zarr-{version[:3]}"


# --- 0.6 ---

WORLD = {"name": "world", "axes": [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}]}
SCALE: dict[str, Any] = {"type": "scale", "scale": [2.0, 3.0]}
SHIFT: dict[str, Any] = {"type": "translation", "translation": [5.0, 7.0]}


@pytest.mark.parametrize(
    ("step", "scale", "translation"),
    [
        (SCALE, (2, 3), (0, 0)),
        ({"type": "identity"}, (1, 1), (0, 0)),
        ({"type": "sequence", "transformations": [SCALE, SHIFT]}, (2, 3), (5, 7)),
        ({"type": "sequence", "transformations": [SHIFT, SCALE]}, (2, 3), (10, 21)),
        ({"type": "sequence", "transformations": ["by name", {"type": "sequence", "transformations": [SHIFT]}]},
         (4, 6), (5, 7)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("ends", [("0", "world"), ({"path": "0"}, {"name": "world"}), ({"name": "0"}, "world")])
def test_transformations_of_0_6_are_read_whatever_their_ends(
    ends: tuple[Any, Any], step: Any, scale: Any, translation: Any, tmp_path: Path
) -> None:
    step = {**step, "input": ends[0], "output": ends[1]}
    other = {"name": "other", "axes": WORLD["axes"]}
    named = {"type": "scale", "scale": [4.0, 6.0], "name": "by name", "input": "world", "output": "other"}
    entry = {"coordinateSystems": [WORLD, other], "coordinateTransformations": [named]}
    entry["datasets"] = [{"path": "0", "coordinateTransformations": [step]}]
    where = write_version(tmp_path / "t", noise(8, 8), "yx", "0.6", entry=entry)
    grid = open_volume(Location.at(where)).grids[0]
    assert (grid.scale, grid.translation) == (scale, translation)
    store.build(where, factor=2, levels=1, progress=False)
    written = read_ome(where)["multiscales"][0]
    assert written["datasets"][0]["coordinateTransformations"] == [step]
    assert isinstance(written["datasets"][1]["coordinateTransformations"][0]["output"], type(ends[1]))
    assert (written["coordinateSystems"], written["coordinateTransformations"]) == ([WORLD, other], [named])
    assert store.check(where).ok


def test_other_coordinate_systems_are_kept_by_copies_in_0_6_and_named_elsewhere(tmp_path: Path) -> None:
    """A copy whose arrays have another order of axes permutes the coordinates first."""
    axes = [{"name": name, "type": "space"} for name in "xy"]
    systems = [{"name": "other", "axes": axes}, {"name": "world", "axes": axes}]
    affine = {
        "type": "affine",
        "affine": [[1, 2, 3], [4, 5, 6]],
        "input": {"name": "world"},
        "output": {"name": "other"},
    }
    entry = {"coordinateSystems": systems, "coordinateTransformations": [affine]}
    where = write_version(tmp_path / "s", noise(8, 6), "xy", "0.6", entry=entry)
    report = store.build(where, tmp_path / "t", format="ome-zarr-0.6", factor=2, levels=1, progress=False)
    assert report.plan.left_behind == []
    copy = read_ome(tmp_path / "t")["multiscales"][0]
    assert [system["name"] for system in copy["coordinateSystems"]] == ["other", "world"]
    assert [axis["name"] for axis in copy["coordinateSystems"][1]["axes"]] == ["y", "x"]
    steps = copy["coordinateTransformations"][0]["transformations"]
    assert steps == [{"type": "mapAxis", "mapAxis": [1, 0]}, {"type": "affine", "affine": affine["affine"]}]
    assert store.plan(where, tmp_path / "n", format="ome-zarr-0.5").left_behind == ["coordinate systems"]
    assert "/n will not have: coordinate systems" in str(store.plan(where, tmp_path / "n", format="ome-zarr-0.5"))


def test_0_6_is_valid_according_to_the_schemas_of_ngff_zarr(tmp_path: Path) -> None:
    validate: Any = pytest.importorskip("ngff_zarr.validate", reason="validates OME-Zarr 0.6").validate
    grid = Grid((2, 6, 8, 10), "czyx", (1, 4, 2, 2), (0, 1, 2, 3), units="um")
    store.build(
        noise(*grid.shape), tmp_path / "t", grid=grid, format="ome-zarr-0.6", factor=2, levels=2, progress=False
    )
    validate(read_attributes(tmp_path / "t"), version="0.6", model="image")
    labels = np.ones((6, 8), np.uint64)
    store.build(labels, tmp_path / "l", format="ome-zarr-0.6", factor=2, levels=1, progress=False)
    validate(read_attributes(tmp_path / "l"), version="0.6", model="label")


# --- axes ---


def orders() -> Iterator[str]:
    for count in range(2, 6):
        for names in itertools.permutations("tczyx"[5 - count :] if count < 5 else "tczyx"):
            yield "".join(names)


@pytest.mark.parametrize("style", ["0.4", "0.5"])
def test_levels_have_the_axes_of_their_base_in_every_order(style: str, tmp_path: Path) -> None:
    extents = dict(zip("tczyx", (2, 3, 4, 6, 8), strict=True))
    for names in orders():
        data = noise(*(extents[name] for name in names))
        where = write_version(tmp_path / names, data, names, style)
        store.build(where, factor=2, levels=1, method="mean", progress=False, workers=1)
        listed = [axis["name"] for axis in read_ome(where)["multiscales"][0]["axes"]]
        assert listed == list(names)
        level = raw(where / "1", "zarr3" if style == "0.5" else "zarr")
        np.testing.assert_array_equal(level, tinypyr.downsample(data, [1 if name in "tc" else 2 for name in names]))
        assert store.check(where).ok, names


@pytest.mark.parametrize("style", ["0.4", "0.5"])
def test_check_reports_axes_that_contradict_the_names_of_the_dimensions(style: str, tmp_path: Path) -> None:
    where = write_version(tmp_path / "t", noise(8, 8, 8), "zyx", style)
    store.build(where, factor=2, levels=1, progress=False)
    assert store.check(where).ok
    file = where / ("0/zarr.json" if style == "0.5" else "0/.zattrs")
    meta = json.loads(file.read_text()) if file.exists() else {}
    meta["dimension_names" if style == "0.5" else "_ARRAY_DIMENSIONS"] = ["x", "y", "z"]
    file.write_text(json.dumps(meta))
    problems = store.check(where).problems
    assert problems == [
        "level 0: its dimensions are named x, y, z, but the axes listed for it are z, y, x; correct the one that is "
        "wrong"
    ]


# --- geometry in the wild ---


def with_scale(where: Path, style: str, scale: Any) -> None:
    attributes = read_attributes(where)
    ome = attributes.get("ome", attributes)
    ome["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"] = scale
    write_attributes(where, style, attributes)


@pytest.mark.parametrize("style", ["0.4", "0.5", "0.6"])
def test_a_scale_of_0_is_tolerated_with_a_warning_where_it_is_not_pooled(style: str, tmp_path: Path) -> None:
    data = noise(2, 8, 8)
    where = write_version(tmp_path / "t", data, "tyx", style)
    with_scale(where, style, [0, 2, 2])
    before = read_ome(where)["multiscales"][0]["datasets"][0]
    with pytest.warns(UserWarning, match="its scale is 0 along t; 1 is used"):
        store.build(where, factor=2, levels=1, method="mean", progress=False)
    entry = read_ome(where)["multiscales"][0]
    assert entry["datasets"][0] == before
    with pytest.warns(UserWarning, match="its scale is 0 along t; 1 is used"):
        assert [level.grid.scale for level in store.levels(where)] == [(1, 2, 2), (1, 4, 4)]
    assert store.check(where).ok


def test_a_scale_of_0_is_refused_where_it_is_pooled_unless_a_grid_replaces_it(tmp_path: Path) -> None:
    data = noise(4, 8, 8)
    where = write_version(tmp_path / "t", data, "zyx", "0.4")
    with_scale(where, "0.4", [0, 2, 2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(store.StoreError, match="its scale is 0 along z, which would be pooled"):
            store.plan(where, factor=2, levels=1)
        assert store.plan(where, factor=(1, 2, 2), levels=1).grids[1].shape == (4, 4, 4)
    grid = Grid(data.shape, "zyx", (3, 2, 2))
    store.build(where, factor=2, levels=1, method="mean", grid=grid, progress=False)
    assert [level.grid.scale for level in store.levels(where)] == [(3, 2, 2), (6, 4, 4)]


@pytest.mark.parametrize("scale", [[math.nan, 1.0, 1.0], [1.0], [-1.0, 1.0, 1.0], "text", None])
@pytest.mark.parametrize("style", ["0.4", "0.5", "0.6"])
def test_a_grid_replaces_geometry_that_cannot_be_read(style: str, scale: Any, tmp_path: Path) -> None:
    data, grid = noise(4, 8, 8), Grid((4, 8, 8), "zyx", (3, 2, 2), units="um")
    where = write_version(tmp_path / "t", data, "zyx", style, {"mine": 1}, {"omero": {"channels": []}}, {"own": 1})
    with_scale(where, style, scale)
    with pytest.raises(store.StoreError, match=r"cannot be understood.*give the world coordinates \(grid=\)"):
        store.plan(where, factor=2, levels=1)
    for target in (tmp_path / "copy", None):
        store.build(where, target, factor=2, levels=1, method="mean", grid=grid, progress=False)
        assert [level.grid.scale for level in store.levels(target or where)] == [(3, 2, 2), (6, 4, 4)]
        assert read_ome(target or where)["multiscales"][0]["own"] == 1
        assert read_attributes(target or where)["mine"] == 1
        assert store.check(target or where).ok


def test_transformations_of_all_levels_stay_where_they_are(tmp_path: Path) -> None:
    overall = [{"type": "scale", "scale": [0.5, 0.25]}, {"type": "translation", "translation": [10.0, 20.0]}]
    where = write_version(tmp_path / "t", noise(8, 8), "yx", "0.4", entry={"coordinateTransformations": overall})
    before = read_ome(where)["multiscales"][0]
    store.build(where, factor=2, levels=1, progress=False)
    after = read_ome(where)["multiscales"][0]
    assert (after["coordinateTransformations"], after["datasets"][0]) == (overall, before["datasets"][0])
    grids = [level.grid for level in store.levels(where)]
    assert grids[1] == grids[0].level(2)
    assert grids[0].scale == (1.0, 0.5)
    store.build(where, tmp_path / "copy", factor=2, levels=1, progress=False)
    assert [level.grid for level in store.levels(tmp_path / "copy")] == grids


def test_scales_that_were_float32_are_the_numbers_they_stand_for(tmp_path: Path) -> None:
    once = float(np.float32(0.8))
    assert Grid((208, 300, 320), "zyx", (once,) * 3).with_voxel_size((1.6,) * 3).shape == (104, 150, 160)
    data = np.random.default_rng(0).integers(0, 3000, (80, 80)).astype(np.int16)
    once = float(np.float32(0.15))
    coarse = Grid((20, 20), "yx", (0.6,) * 2, (0.225,) * 2)
    resampled = tinypyr.resample(data, coarse, source_grid=Grid(data.shape, "yx", (once,) * 2))
    np.testing.assert_array_equal(resampled, tinypyr.downsample(data, 4))
    where = write_version(tmp_path / "t", data, "yx", "0.4")
    with_scale(where, "0.4", [0.15, 0.15])
    store.build(where, factor=2, levels=1, method="mean", grid=Grid((80, 80), "yx", (0.15,) * 2, (1e4, -1e5)))
    attributes = read_attributes(where)
    for step in attributes["multiscales"][0]["datasets"][1]["coordinateTransformations"]:
        step[step["type"]] = [float(np.float32(value)) for value in step[step["type"]]]
    write_attributes(where, "0.4", attributes)
    assert store.check(where).ok


# --- kind ---


@pytest.mark.parametrize("style", ["0.4", "0.5"])
def test_children_of_a_group_of_labels_are_labels(style: str, tmp_path: Path) -> None:
    data = noise(8, 8)
    plain = write_version(tmp_path / "labels/cells", data, "yx", style)
    assert open_volume(Location.at(plain)).kind is None
    write_attributes(tmp_path / "labels", style, {"labels": ["cells"]})
    assert store.plan(plain, factor=2, levels=1).method == "mode"
    assert open_source(plain / "0").kind == "labels"
    with pytest.raises(ValueError, match="averaging label IDs"):
        store.plan(plain, factor=2, levels=1, method="mean")
    with pytest.raises(ValueError, match="would produce labels"):
        tinypyr.resample(plain, Grid((4, 4), scale=(4, 4)))
    floats = write_version(tmp_path / "labels/field", data.astype(np.float32), "yx", style)
    assert store.plan(floats, factor=2, levels=1).method == "mean"


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("method", ["mean", "mode"])
def test_the_kind_survives_conversions(method: str, target: str, tmp_path: Path) -> None:
    """An image of a dtype that looks like labels stays an image."""
    data = noise(4, 8, 8).astype(np.uint32)
    kind = "labels" if method == "mode" else "image"
    store.build(data, tmp_path / "0", levels=0, method=method, force=True, progress=False)
    store.build(tmp_path / "0", tmp_path / "1", format=target, levels=1, factor=2, progress=False)
    assert open_volume(Location.at(tmp_path / "1")).holds_labels == (kind == "labels")
    if target != "n5":
        plan = store.plan(tmp_path / "1", tmp_path / "2", factor=2, levels=1)
        assert (plan.method, plan.kind) == (method, kind)


# --- what others wrote ---


@pytest.mark.parametrize("style", ["0.4", "0.5"])
def test_attributes_of_the_array_are_those_of_new_levels(style: str, tmp_path: Path) -> None:
    where = write_version(tmp_path / "t", noise(8, 6), "xy", style)
    mine = {"mine": [1, 2], "_ARRAY_DIMENSIONS": ["x", "y"]}
    if style == "0.5":
        meta = json.loads((where / "0/zarr.json").read_text())
        (where / "0/zarr.json").write_text(json.dumps({**meta, "attributes": mine}))
    else:
        (where / "0/.zattrs").write_text(json.dumps(mine))
    for target in ("ome-zarr-0.4", "ome-zarr-0.5", "ome-zarr-0.6"):
        store.build(where, tmp_path / target, format=target, factor=2, levels=1, progress=False)
        for path in "01":
            copied = {"mine": [1, 2], "_ARRAY_DIMENSIONS": ["y", "x"]}
            assert read_attributes(tmp_path / target / path) == copied
    store.build(where, factor=2, levels=1, progress=False)
    assert [read_attributes(where / path) for path in "01"] == [mine, mine]


def tree(where: Path, version: int) -> Path:
    """Write a hierarchy of groups with an image and consolidate it, as zarr-python does."""
    zarr = pytest.importorskip("zarr", reason="consolidates metadata")
    root = zarr.open_group(str(where), mode="w", zarr_format=version)
    root.create_group("a").create_group("other")
    write_version(where / "a/image", noise(8, 8), "yx", "0.5" if version == 3 else "0.4", {"mine": 1})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # (consolidated metadata is not in the specification of Zarr v3)
        for group in (where / "a/image", where):
            zarr.consolidate_metadata(str(group), zarr_format=version)
    return where / "a/image"


@pytest.mark.parametrize("version", [2, 3])
def test_consolidated_metadata_lists_the_levels_up_to_the_root(version: int, tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr", reason="reads consolidated metadata")
    where = tree(tmp_path / "root", version)
    store.build(where, factor=2, levels=2, progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root = zarr.open_consolidated(str(tmp_path / "root"), zarr_format=version)
        image = zarr.open_consolidated(str(where), zarr_format=version)
    assert root["a/image/2"].shape == image["2"].shape == (2, 2)
    for group in (root["a/image"], image):
        attributes = dict(group.attrs)
        ome = attributes["ome"] if version == 3 else attributes
        assert (len(ome["multiscales"][0]["datasets"]), attributes["mine"]) == (3, 1)
    assert "other" in root["a"]
    assert sorted(key for key, _ in root["a/image"].arrays()) == ["0", "1", "2"]


@pytest.mark.parametrize("version", [2, 3])
def test_consolidated_metadata_of_another_kind_is_kept_and_named_in_a_warning(version: int, tmp_path: Path) -> None:
    where = tree(tmp_path / "root", version)
    file = tmp_path / "root" / ("zarr.json" if version == 3 else ".zmetadata")
    content = json.loads(file.read_text())
    if version == 3:
        content["consolidated_metadata"]["kind"] = "new"
    else:
        content["zarr_consolidated_format"] = 9
    file.write_text(json.dumps(content))
    with pytest.warns(UserWarning, match=rf"root/{file.name}: its consolidated metadata could not be updated"):
        store.build(where, factor=2, levels=1, progress=False)
    assert json.loads(file.read_text()) == content


def test_the_record_of_levels_does_not_replace_metadata_of_others(tmp_path: Path) -> None:
    for number, theirs in enumerate([{"description": "mine", "ignore": 5, "tinypyr": 1}, ["a"], "text", {}, None]):
        entry = {"metadata": theirs, "type": "gaussian", "tinypyr": "theirs"}
        where = write_version(tmp_path / str(number), noise(8, 8), "yx", "0.5", entry=entry)
        store.build(where, factor=2, levels=1, progress=False)
        after = read_ome(where)["multiscales"][0]
        kept_or_missing(theirs or {}, after["metadata"])
        assert after["tinypyr"] == "theirs"
        volume = open_volume(Location.at(where))
        assert (volume.notes["method"], volume.notes["previous_type"]) == ("mean", "gaussian")
        assert store.check(where).ok
        store.build(where, region=[(0, 2), (0, 2)], progress=False)
        kept_or_missing(theirs or {}, read_ome(where)["multiscales"][0]["metadata"])
        assert open_volume(Location.at(where)).notes["previous_type"] == "gaussian"


def kept_or_missing(before: Any, after: Any) -> None:
    """Assert that everything in one value is in another one, which may have more keys."""
    if isinstance(before, dict) and isinstance(after, dict):
        assert before.keys() <= after.keys()
        for key, value in before.items():
            kept_or_missing(value, after[key])
    else:
        assert before == after


# --- round trips of random metadata ---

KEYS = st.sampled_from(["mine", "a b", "x:y", "tinypyr", "other.key", "0", "_creator", "labels", "omero"])
COUNTER = itertools.count()


@st.composite
def marks(draw: st.DrawFn) -> dict[str, Any]:
    """Return an object with keys of others; every value is another one, so that it can be found again."""
    keys = draw(st.lists(KEYS, max_size=3, unique=True))
    kinds = draw(st.lists(st.sampled_from(["text", "list", "object"]), min_size=3, max_size=3))
    values: dict[str, Callable[[], Any]] = {
        "text": lambda: f"mark {next(COUNTER)}",
        "list": lambda: [f"mark {next(COUNTER)}", None, 1.5],
        "object": lambda: {"inner": f"mark {next(COUNTER)}"},
    }
    return {key: values[kind]() for key, kind in zip(keys, kinds, strict=False)}


@st.composite
def stores(draw: st.DrawFn) -> dict[str, Any]:
    """Return the parts of a store's metadata that others may have written."""
    style = draw(st.sampled_from(["0.4", "0.5", "0.5 flat", "0.6"]))
    nested = style in ("0.5", "0.6")
    names = {"name": f"mark {next(COUNTER)}"} if draw(st.booleans()) else {}
    entry: dict[str, Any] = {**draw(marks()), **names}
    for key, value in (("metadata", draw(marks())), ("type", f"mark {next(COUNTER)}")):
        entry |= {key: value} if draw(st.booleans()) else {}
    ome = draw(marks()) if nested else {}
    ome = {key: value for key, value in ome.items() if key not in ("omero", "labels")}
    if draw(st.booleans()):
        ome["omero"] = {"channels": [{"label": f"mark {next(COUNTER)}"}], **draw(marks())}
    elif draw(st.booleans()):
        ome["image-label"] = {"colors": [], "source": {"image": f"mark {next(COUNTER)}"}, **draw(marks())}
    user = {key: value for key, value in draw(marks()).items() if nested or key not in ("omero", "labels")}
    return {
        "style": style,
        "user": user,
        "ome": ome,
        "entry": entry,
        "axis": draw(marks()),
        "dataset": draw(marks()),
        "array": draw(marks()),
        "entries": draw(st.lists(marks().map(lambda mark: {"datasets": [], **mark}), max_size=1)),
    }


def write_random(where: Path, parts: dict[str, Any]) -> Path:
    style = parts["style"]
    write_version(where, noise(4, 4, 4), "zyx", style, parts["user"], parts["ome"], parts["entry"])
    attributes = read_attributes(where)
    ome = attributes["ome"] if style in ("0.5", "0.6") else attributes
    entry = ome["multiscales"][0]
    (entry["coordinateSystems"][0] if style == "0.6" else entry)["axes"][1] |= parts["axis"]
    entry["datasets"][0] |= parts["dataset"]
    ome["multiscales"] += parts["entries"]
    write_attributes(where, style, attributes)
    if is_v3(style):
        meta = json.loads((where / "0/zarr.json").read_text())
        (where / "0/zarr.json").write_text(json.dumps({**meta, "attributes": parts["array"]}))
    elif parts["array"]:
        (where / "0/.zattrs").write_text(json.dumps(parts["array"]))
    return where


@settings(max_examples=60)
@given(parts=stores())
def test_everything_of_others_is_kept_in_place(parts: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    where = write_random(tmp_path_factory.mktemp("random") / "s", parts)
    before, before_array = read_attributes(where), read_attributes(where / "0")
    store.build(where, factor=2, levels=1, progress=False, workers=1)
    after = read_attributes(where)
    old, new = (a["ome"] if parts["style"] in ("0.5", "0.6") else a for a in (before, after))
    type_of_others = old["multiscales"][0].pop("type", None)
    assert open_volume(Location.at(where)).notes.get("previous_type") == type_of_others
    old_entries, new_entries = old.pop("multiscales"), new.pop("multiscales")
    kept_or_missing(before, after)
    assert new_entries[1:] == old_entries[1:]
    datasets = old_entries[0].pop("datasets")
    assert new_entries[0].pop("datasets")[:1] == datasets
    kept_or_missing(old_entries[0], new_entries[0])
    assert read_attributes(where / "0") == before_array
    assert read_attributes(where / "1") == before_array


def texts(value: Any) -> Iterator[str]:
    """Yield all texts in a value."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("target", FORMATS)
@settings(max_examples=25)
@given(parts=stores())
def test_everything_of_others_is_in_a_copy_or_named(
    target: str, parts: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("random")
    where = write_random(folder / "s", parts)
    report = store.build(where, folder / "t", format=target, factor=2, levels=1, progress=False, workers=1)
    copied = {
        text
        for path in (folder / "t").rglob("*")
        if path.name in ("zarr.json", ".zattrs", "attributes.json", "info")
        for text in texts(json.loads(path.read_text()))
    }
    names = " ".join(report.plan.left_behind)

    def check(content: Any, *named: str) -> None:
        missing = [text for text in texts(content) if text.startswith("mark") and text not in copied]
        assert not missing or any(name in names for name in named), (missing, named, names)

    for key, value in parts["user"].items():
        check(value, key)
    for key, value in parts["ome"].items():
        check(value, "labels (image-label)" if key == "image-label" else f"channels ({key})", f"ome.{key}")
    for key, value in parts["entry"].items():
        check(value, "name 'mark" if key == "name" else f"multiscales[0].{key}")
    check(parts["axis"], "multiscales[0].axes")
    for key, value in parts["dataset"].items():
        check(value, f"multiscales[0].datasets[0].{key}")
    check(parts["array"], "attributes of level 0")
    check(parts["entries"], "multiscales[1]")
