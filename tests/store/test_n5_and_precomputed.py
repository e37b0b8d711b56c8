"""Metadata of N5 and precomputed: read wherever tools write it, kept, and written in the same convention."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinypyr

ts = pytest.importorskip("tensorstore", reason="stores are read and written through TensorStore")
from support.stores import Array, files, read  # noqa: E402
from tinypyr import Grid, cli, store  # noqa: E402
from tinypyr.store.formats import FORMATS as MODULES  # noqa: E402
from tinypyr.store.location import Location  # noqa: E402
from tinypyr.store.source import open_volume  # noqa: E402
from tinypyr.store.tuning import tuned  # noqa: E402

Attributes = dict[str, Any]


@pytest.fixture(autouse=True)
def unsynced() -> Iterator[None]:
    """Skip fsync, because these stores need not survive a crash."""
    with tuned(sync_files=False):
        yield


def noise(*shape: int, dtype: str = "uint8") -> Array:
    return np.random.default_rng(0).integers(1, 200, shape).astype(dtype)


def attributes_of(where: Path) -> Attributes:
    attributes: Attributes = json.loads((where / "attributes.json").read_text())
    return attributes


def write_n5(where: Path, shape: tuple[int, ...], group: Attributes | None = None, *levels: Attributes) -> Path:
    """Write a group with arrays s0, s1, ... halved along x, with these attributes."""
    where.mkdir(parents=True)
    for number, level in enumerate(levels or [{}]):
        array: Attributes = {"dimensions": [-(-shape[0] // 2**number), *shape[1:]], "blockSize": [16] * len(shape)}
        array |= {"dataType": "uint8", "compression": {"type": "gzip"}}
        spec = {"driver": "n5", "kvstore": {"driver": "file", "path": f"{where}/s{number}/"}, "metadata": array}
        handle = ts.open(spec, create=True).result()
        handle.write(noise(*array["dimensions"])).result()
        path = where / f"s{number}/attributes.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | level))
    if group is not None:
        (where / "attributes.json").write_text(json.dumps(group))
    return where


def cosem(scale: list[float], translate: list[float], **more: Any) -> Attributes:
    return {"axes": ["z", "y", "x"], "scale": scale, "translate": translate, "units": ["nm"] * 3, **more}


PIXELS = {"dimensions": [4.0, 4.0, 40.0], "unit": "nm"}
COSEM = cosem([40, 4, 4], [20, 2, 2])
ONE, TWO = [1, 1, 1], [2, 1, 1]
#: Attributes of the group and of level 0, by convention; all of them with voxels of 4 x 4 x 40.
CONVENTIONS: dict[str, tuple[Attributes | None, Attributes]] = {
    "Neuroglancer": ({"axes": ["x", "y", "z"], "units": ["nm"] * 3, "resolution": [4, 4, 40],
                      "downsamplingFactors": [ONE]}, {}),
    "TensorStore": (None, {"axes": ["x", "y", "z"], "units": ["nm"] * 3, "resolution": [4, 4, 40]}),
    "n5-viewer": (None, {"pixelResolution": PIXELS, "downsamplingFactors": ONE}),
    "n5-viewer, one level": (None, {"pixelResolution": PIXELS}),
    "N5-Spark": ({"pixelResolution": PIXELS, "scales": [ONE]}, {}),
    "list": ({"pixelResolution": [4.0, 4.0, 40.0]}, {}),
    "list of an array": ({}, {"pixelResolution": [4.0, 4.0, 40.0]}),
    "COSEM": ({"multiscales": [{"name": "em", "datasets": [{"path": "s0", "transform": COSEM}]}], "scales": [ONE]},
              {"transform": COSEM, "pixelResolution": PIXELS}),
    "COSEM, listed only": ({"multiscales": [{"datasets": [{"path": "s0", "transform": COSEM}]}]}, {}),
    "COSEM, x first": (None, {"transform": {"order": "F", "axes": ["x", "y", "z"], "scale": [4, 4, 40],
                                            "translate": [0, 0, 0], "units": ["nm", "nm", "nm"]}}),
    "BigDataViewer": ({"resolution": [4, 4, 40], "multiScale": True, "saved_completely": True}, {}),
    "Paintera": ({"resolution": [4, 4, 40], "offset": [8, 0, 0], "multiScale": True, "maxId": 7},
                 {"isLabelMultiset": False}),
}  # fmt: skip


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_n5_is_read_and_extended_in_its_own_convention(convention: str, tmp_path: Path) -> None:
    group, level_0 = CONVENTIONS[convention]
    custom = {"mine": {"a": 1}}
    where = write_n5(tmp_path / "t", (32, 32, 32), None if group is None else group | custom, level_0 | {"own": 5})
    before, (base,) = attributes_of(where / "s0"), store.levels(where)
    assert base.grid.scale == (4, 4, 40)
    assert base.grid.axes == ("x", "y", "z")
    known = convention not in ("list", "list of an array", "BigDataViewer", "Paintera")
    assert set(base.grid.units) == {"nanometer" if known else None}
    store.build(where, factor=2, levels=1, progress=False)
    assert attributes_of(where / "s0") == before
    base, level = store.levels(where)
    assert (base.grid, level.grid) == (base.grid, base.grid.level(2))
    assert store.check(where).problems == []
    after, of_level = attributes_of(where), attributes_of(where / "s1")
    names = ("transform", "pixelResolution", "resolution", "axes", "units", "offset")
    assert {name for name in names if name in of_level} == {name for name in names if name in level_0}
    assert of_level["own"] == 5
    if group is not None:
        assert after["mine"] == custom["mine"]
        assert {name for name in names if name in after} == {name for name in names if name in group}
        kept = {name: value for name, value in group.items() if name not in ("multiscales", "scales")}
        kept.pop("downsamplingFactors", None)
        assert {name: after[name] for name in kept} == kept
    if "transform" in level_0:
        assert of_level["transform"]["units"] == ["nm"] * 3
    if "COSEM" in convention and group is not None:
        entry = after["multiscales"][0]
        assert entry["datasets"][0] == group["multiscales"][0]["datasets"][0]
        assert entry["datasets"][1]["transform"]["scale"] == [80, 8, 8]


@pytest.mark.parametrize("convention", [*CONVENTIONS, "none"])
def test_other_coordinates_of_an_n5_in_place_are_recorded(convention: str, tmp_path: Path) -> None:
    where = write_n5(tmp_path / "t", (32, 32, 32), *CONVENTIONS.get(convention, (None, {})))
    grid = Grid((32, 32, 32), "xyz", (3, 5, 7), (1, -2, 0.5), "um")
    store.build(where, factor=2, levels=1, progress=False, grid=grid)
    assert [level.grid for level in store.levels(where)] == [grid, grid.level(2)]


def test_axes_of_a_group_in_any_order(tmp_path: Path) -> None:
    group = {"axes": ["x", "y", "c", "z"], "units": ["um", "um", "", "um"], "resolution": [0.5, 0.5, 1, 2.0]}
    grid = store.levels(write_n5(tmp_path / "t", (32, 32, 2, 16), group))[0].grid
    assert (grid.axes, grid.scale) == (("x", "y", "c", "z"), (0.5, 0.5, 1, 2))
    assert grid.units == ("micrometer", "micrometer", None, "micrometer")
    spatial = write_n5(tmp_path / "s", (32, 32, 16, 2), {"pixelResolution": PIXELS})
    assert store.levels(spatial)[0].grid.scale == (4, 4, 40, 1)


@pytest.mark.parametrize(
    ("group", "levels"),
    [
        ({"downsamplingFactors": [ONE, TWO]}, [{}, {}]),
        ({"scales": [ONE, TWO]}, [{}, {}]),
        ({}, [{"downsamplingFactors": ONE}, {"downsamplingFactors": TWO}]),
        ({}, [{"pixelResolution": PIXELS}, {"pixelResolution": {"dimensions": [8, 4, 40], "unit": "nm"}}]),
        ({}, [{"pixelResolution": PIXELS}, {"pixelResolution": PIXELS, "downsamplingFactors": TWO}]),
        ({}, [{}, {"pixelResolution": [2, 1, 1]}]),
        (None, [{}, {}]),
        ({}, [{"transform": cosem([1, 1, 1], [0, 0, 0])}, {"transform": cosem([1, 1, 2], [0, 0, 0.5])}]),
    ],
)
def test_factors_of_n5_levels_are_read_wherever_tools_write_them(
    group: Attributes | None, levels: list[Attributes], tmp_path: Path
) -> None:
    base, level = store.levels(write_n5(tmp_path / "t", (33, 16, 16), group, *levels))
    assert level.grid == base.grid.level((2, 1, 1))


def test_big_data_viewer_lists_factors_above_its_timepoints(tmp_path: Path) -> None:
    where = write_n5(tmp_path / "t.n5/setup0/timepoint0", (33, 16, 16), {"multiScale": True}, {}, {})
    above = tmp_path / "t.n5/setup0/attributes.json"
    above.write_text(json.dumps({"downsamplingFactors": [ONE, TWO], "dataType": "uint8"}))
    (tmp_path / "t.n5/attributes.json").write_text('{"n5": "2.5.0"}')
    assert store.levels(where)[1].grid.scale == (2, 1, 1)
    with pytest.raises(store.StoreError, match=r"name a group inside it, such as .*t\.n5/setup0/timepoint0"):
        store.levels(tmp_path / "t.n5")
    other = write_n5(tmp_path / "t.n5/setup0/timepoint1", (32, 16, 16), {"multiScale": True})
    content = above.read_bytes()
    with pytest.warns(UserWarning, match="lists 2 of 3 levels"):
        store.build(other, factor=2, levels=2, progress=False)
    assert above.read_bytes() == content
    assert attributes_of(other / "s2")["downsamplingFactors"] == [4, 4, 4]


@pytest.mark.parametrize(
    ("group", "level", "kind"),
    [
        ({"painteraData": {"type": "label"}}, {}, "labels"),
        ({"painteraData": {"type": "raw"}}, {}, "image"),
        ({"maxId": 9}, {}, "labels"),
        ({}, {"isLabelMultiset": False}, "labels"),
        ({}, {"cellmap": {"annotation": {"class_name": "mito"}}}, "labels"),
        ({"tinypyr": {"kind": "image"}, "maxId": 9}, {}, "image"),
        ({}, {}, None),
    ],
)
def test_kinds_that_other_tools_record_in_n5(group: Attributes, level: Attributes, kind: Any, tmp_path: Path) -> None:
    assert open_volume(Location.at(write_n5(tmp_path / "t", (8, 8, 8), group, level))).kind == kind


def test_label_multisets_are_refused(tmp_path: Path) -> None:
    where = write_n5(tmp_path / "t", (8, 8, 8), {}, {"isLabelMultiset": True})
    with pytest.raises(store.StoreError, match="holds label multisets"):
        store.levels(where)


# --- from format to format ---


def physical(grid: Grid) -> dict[str, tuple[float, float, int]]:
    """Return scale, translation and extent by axis, lengths in nanometers."""
    unit = {"micrometer": 1000.0}
    numbers = zip(grid.axes, grid.scale, grid.translation, grid.shape, grid.units, strict=True)
    return {a: (s * unit.get(str(u), 1.0), t * unit.get(str(u), 1.0), n) for a, s, t, n, u in numbers if n > 1}


@pytest.mark.parametrize("kind", ["image", "labels"])
@pytest.mark.parametrize("translation", [(0.0, 0.0, 0.0), (0.02, 0.002, 0.002), (10.0, -3.1, 0.1)])
@pytest.mark.parametrize(("first", "second"), list(itertools.product(MODULES, MODULES)))
def test_conversions_keep_geometry_units_kind_and_name(
    first: str, second: str, translation: tuple[float, ...], kind: str, tmp_path: Path
) -> None:
    volume = noise(12, 20, 18, dtype="uint32")
    grid = Grid(volume.shape, "zyx", (0.04, 0.004, 0.004), translation, "um", voxel_offset=(3, 1, 0))
    method = "mode" if kind == "labels" else "mean"
    build: dict[str, Any] = {"levels": 1, "progress": False, "chunks": (8, 8, 8), "factor": (1, 2, 2)}
    store.build(volume, tmp_path / "a", format=first, grid=grid, method=method, **build)
    set_name(tmp_path / "a", first)
    del build["chunks"]
    for source, target, format in (("a", "b", second), ("b", "c", first)):
        axes = open_volume(Location.at(tmp_path / source)).grids[0].axes
        build["factor"] = tuple(2 if axis in "xy" else 1 for axis in axes)
        store.build(tmp_path / source, tmp_path / target, format=format, **build)
    formats: list[str] = []
    for target, format in (("a", first), ("b", second), ("c", first)):
        formats.append(format)
        result = open_volume(Location.at(tmp_path / target))
        for level, expected in zip(result.grids, [grid, grid.level((1, 2, 2))], strict=True):
            for axis, numbers in physical(expected).items():
                assert physical(level)[axis] == pytest.approx(numbers, abs=1e-9)
        used = [unit for unit, axis in zip(result.grids[0].units, result.grids[0].axes, strict=True) if axis in "xyz"]
        assert set(used) == {"nanometer" if "precomputed" in formats else "micrometer"}
        assert result.grids[0].voxel_offset[result.grids[0].axes.index("z")] == 3
        assert (result.kind, result.notes["method"], result.metadata.name) == (kind, method, "cells")
        np.testing.assert_array_equal(read(tmp_path / target, "zyx")[0], volume)


def set_name(where: Path, format: str) -> None:
    """Name the image of a store."""
    if format == "precomputed":
        info = json.loads((where / "info").read_text())
        info["tinypyr"]["name"] = "cells"
        (where / "info").write_text(json.dumps(info))
    elif format == "n5":
        attributes = attributes_of(where)
        attributes["multiscales"][0]["name"] = "cells"
        (where / "attributes.json").write_text(json.dumps(attributes))
    else:
        path = where / ("zarr.json" if format.endswith(("5", "6")) else ".zattrs")
        meta = json.loads(path.read_text())
        ome = meta["attributes"]["ome"] if "attributes" in meta else meta
        ome["multiscales"][0]["name"] = "cells"
        path.write_text(json.dumps(meta))


@pytest.mark.parametrize(("first", "second"), list(itertools.product(["n5", "precomputed"], repeat=2)))
def test_user_attributes_survive_conversions_whatever_their_names(first: str, second: str, tmp_path: Path) -> None:
    user: Attributes = {"mine": {"a": [1, None]}, "dimensions": "few", "scales": 3, "mesh": "of wire", "type": "x"}
    known = MODULES[first].RESERVED  # type: ignore[attr-defined]
    store.build(noise(8, 8, 8), tmp_path / "a", format=first, levels=0, progress=False)
    path = tmp_path / "a" / ("info" if first == "precomputed" else "attributes.json")
    meta = json.loads(path.read_text())
    meta |= {name: value for name, value in user.items() if name not in known}
    meta["tinypyr"]["attributes"] = {name: value for name, value in user.items() if name in known}
    path.write_text(json.dumps(meta))
    plan = store.plan(tmp_path / "a", tmp_path / "b", format=second, levels=0)
    assert plan.left_behind == []
    store.build(tmp_path / "a", tmp_path / "b", format=second, levels=0, progress=False)
    store.build(tmp_path / "b", tmp_path / "c", format=first, levels=0, progress=False)
    for name in "abc":
        assert open_volume(Location.at(tmp_path / name)).metadata.user == user


def test_entries_of_n5_that_list_other_arrays_are_named(tmp_path: Path) -> None:
    entries = [{"name": "other", "datasets": [{"path": "raw/s0"}]}]
    where = write_n5(tmp_path / "t", (8, 8, 8), {"multiscales": entries, "mine": 1}, {"own": 2})
    assert store.plan(where, tmp_path / "c", format="n5", levels=0).left_behind == ["multiscales (other)"]
    store.build(where, tmp_path / "c", format="n5", levels=0, progress=False)
    assert attributes_of(tmp_path / "c")["mine"] == 1
    assert attributes_of(tmp_path / "c/s0")["own"] == 2


LINKED = {"mesh": "mesh_1", "skeletons": "skeletons", "segment_properties": "properties"}


def write_precomputed(where: Path, volume: Array, more: Attributes | None = None, **scale: Any) -> Path:
    """Write a volume with one scale, and further entries of the info file."""
    described = {"size": volume.shape, "encoding": "raw", "chunk_size": [32, 32, 16], "resolution": [4, 4, 40], **scale}
    kind = "image" if volume.dtype == np.uint8 else "segmentation"
    whole = {"data_type": volume.dtype.name, "num_channels": 1, "type": kind}
    spec = {"driver": "neuroglancer_precomputed", "kvstore": {"driver": "file", "path": f"{where}/"}}
    handle = ts.open({**spec, "multiscale_metadata": whole, "scale_metadata": described}, create=True).result()
    handle.write(volume[..., np.newaxis]).result()
    info = json.loads((where / "info").read_text()) | (more or {})
    (where / "info").write_text(json.dumps(info))
    return where


def test_entries_of_precomputed_stay_in_place_and_are_named_where_they_stay_behind(tmp_path: Path) -> None:
    where = write_precomputed(tmp_path / "t", noise(32, 32, 16, dtype="uint64"), {**LINKED, "mine": [1]})
    plan = store.plan(where, tmp_path / "copy", format="precomputed", levels=0)
    assert plan.left_behind == sorted(LINKED)
    assert "mesh, segment_properties, skeletons" in str(plan)
    assert "mesh, segment_properties, skeletons" in str(
        store.build(where, tmp_path / "copy", format="precomputed", levels=0, progress=False)
    )
    copied = json.loads((tmp_path / "copy/info").read_text())
    assert copied["mine"] == [1]
    assert not LINKED.keys() & copied.keys()
    assert store.plan(where, levels=1).left_behind == []
    store.build(where, factor=2, levels=1, progress=False)
    kept = json.loads((where / "info").read_text())
    assert {**LINKED, "mine": [1]}.items() <= {key: kept[key] for key in [*LINKED, "mine"]}.items()


# --- chunks of zeros ---


@pytest.mark.parametrize("shards", [None, (16, 16)])
@pytest.mark.parametrize("skip_empty", [None, True, False])
@pytest.mark.parametrize("format", MODULES)
def test_chunks_of_zeros_are_left_out_if_asked_or_by_default_except_in_precomputed(
    format: str, skip_empty: bool | None, shards: tuple[int, int] | None, tmp_path: Path
) -> None:
    if shards is not None and not MODULES[format].TRAITS.has_shards:
        pytest.skip("the format has no shards")
    options: Any = {"format": format, "factor": 2, "levels": 1, "chunks": (8, 8), "shards": shards, "progress": False}
    store.build(np.zeros((16, 16), np.uint8), tmp_path / "t", skip_empty=skip_empty, **options)
    chunks = [name for name, value in files(tmp_path / "t").items() if value and re.search(r"(\d|shard)$", name)]
    skipped = format != "precomputed" if skip_empty is None else skip_empty
    expected = 0 if skipped else 5 if shards is None else 2
    assert len(chunks) == expected
    with pytest.warns(UserWarning, match="no chunks") if skipped else contextlib.nullcontext():
        store.plan(tmp_path / "t", tmp_path / "u", levels=0)


@pytest.mark.parametrize("seed", range(4))
def test_all_chunks_are_in_shards_though_channels_are_written_apart(seed: int, tmp_path: Path) -> None:
    random = np.random.default_rng(seed)
    volume = (random.random((2, 9, 10, 11)) < 0.08).astype(np.uint32)
    volume[seed % 2] *= random.random(volume.shape[1:]) < 0.1
    options: Any = {"format": "precomputed", "chunks": (1, 3, 3, 3), "shards": (1, 12, 6, 3), "factor": (1, 2, 1, 2)}
    grid = Grid(volume.shape, "czyx", voxel_offset=(0, 5, 3, 1))
    with tuned(small_block=0):
        store.build(volume, tmp_path / "t", levels=1, method="max", grid=grid, progress=False, **options)
    assert store.check(tmp_path / "t").problems == []
    np.testing.assert_array_equal(store.levels(tmp_path / "t")[0].array.read().result(), volume.T)
    scale = json.loads((tmp_path / "t/info").read_text())["scales"][0]
    base = {"driver": "file", "path": f"{tmp_path}/t/{scale['key']}/"}
    spec = {"driver": "neuroglancer_uint64_sharded", "metadata": scale["sharding"], "base": base}
    counts = [-(-n // chunk) for n, chunk in zip(scale["size"], scale["chunk_sizes"][0], strict=True)]
    keys = [number.to_bytes(8, "big") for number in range(1 << sum((n - 1).bit_length() for n in counts))]
    shards = ts.KvStore.open(spec).result()
    assert sum(shards.read(key).result().state == "value" for key in keys) == np.prod(counts)


def test_the_command_line_leaves_out_chunks_of_zeros(tmp_path: Path) -> None:
    store.build(np.zeros((16, 16), np.uint8), tmp_path / "s", levels=0, progress=False, skip_empty=False)
    for option, expected in (("--skip-empty", 0), ("--no-skip-empty", 1)):
        target = tmp_path / option
        assert cli.main(["build", str(tmp_path / "s"), str(target), "--levels", "0", option]) == 0
        assert len([path for path in files(target) if path.startswith("0/c") and (target / path).is_file()]) == expected


def test_a_resumed_build_has_the_same_choice(tmp_path: Path) -> None:
    store.run(store.plan(noise(16, 16), tmp_path / "t", levels=1, factor=2, skip_empty=True), progress=False)
    with pytest.raises(store.StoreError, match="skip_empty: True there, False here"):
        store.plan(noise(16, 16), tmp_path / "t", levels=1, factor=2, skip_empty=False)


# --- codecs ---


ZARR_2: Attributes = {"zarr_format": 2, "shape": [4, 4], "chunks": [4, 4], "dtype": "|u1", "fill_value": 0}
ZARR_2 |= {"order": "C", "compressor": None, "filters": None}
ZARR_3: Attributes = {"zarr_format": 3, "node_type": "array", "shape": [4, 4], "data_type": "uint8", "fill_value": 0}
ZARR_3 |= {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 4]}}}
ZARR_3 |= {"chunk_key_encoding": {"name": "default"}}
ENDIAN = {"name": "bytes", "configuration": {"endian": "little"}}
INNER = {"chunk_shape": [4, 4], "codecs": [{"name": "bytes"}, {"name": "imagecodecs_jpegxl"}], "index_codecs": [ENDIAN]}
SHARDS = {"name": "sharding_indexed", "configuration": INNER}
N5 = {"dimensions": [4, 4], "blockSize": [4, 4], "dataType": "uint8"}
INFO = {"@type": "neuroglancer_multiscale_volume", "type": "image", "data_type": "uint8", "num_channels": 1}
SCALE = {"key": "1", "size": [4, 4, 4], "chunk_sizes": [[4, 4, 4]], "resolution": [1, 1, 1], "encoding": "raw"}
SHARDED = {"@type": "neuroglancer_uint64_sharded_v1", "hash": "identity", "preshift_bits": 0, "minishard_bits": 0}
SHARDED |= {"shard_bits": 0, "minishard_index_encoding": "gzip", "data_encoding": "zstd"}


@pytest.mark.parametrize(
    ("file", "metadata", "sentence"),
    [
        *((".zarray", {**ZARR_2, "compressor": {"id": name}}, f"codec '{name}'") for name in ("lz4", "lzma", "pcodec")),
        (".zarray", {**ZARR_2, "compressor": {"id": "blosc", "cname": "new"}}, "codec of blosc 'new'"),
        (".zarray", {**ZARR_2, "filters": [{"id": "delta"}, {"id": "shuffle"}]}, "filter 'delta, shuffle'"),
        ("zarr.json", {**ZARR_3, "codecs": [{"name": "bytes"}, {"name": "numcodecs.lz4"}]}, "codec 'numcodecs.lz4'"),
        ("zarr.json", {**ZARR_3, "codecs": [{"name": "packbits"}]}, "codec 'packbits'"),
        ("zarr.json", {**ZARR_3, "codecs": [SHARDS]}, "codec 'imagecodecs_jpegxl'"),
        *(("attributes.json", {**N5, "compression": {"type": name}}, f"codec '{name}'") for name in ("lz4", "jpeg")),
        ("info", {**INFO, "scales": [{**SCALE, "encoding": "jxl"}]}, "encoding 'jxl'"),
        ("info", {**INFO, "scales": [{**SCALE, "sharding": SHARDED}]}, "data_encoding of shards 'zstd'"),
    ],
)  # fmt: skip
def test_a_codec_that_tensorstore_lacks_is_named_with_its_file(
    file: str, metadata: Attributes, sentence: str, tmp_path: Path
) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / file).write_text(json.dumps(metadata))
    with pytest.raises(store.StoreError) as caught:
        store.plan(tmp_path / "t", tmp_path / "u", levels=0)
    assert str(caught.value).startswith(f"{tmp_path}/t/{file}: the {sentence} is one that TensorStore does not support")
    assert "{" not in str(caught.value)
    assert "Error" not in str(caught.value)


@pytest.mark.parametrize("compression", [{"type": "xz", "preset": 6}, {"type": "bzip2", "blockSize": 9}])
def test_other_codecs_of_n5_are_read_and_kept(compression: Attributes, tmp_path: Path) -> None:
    spec = {"driver": "n5", "kvstore": {"driver": "file", "path": f"{tmp_path}/t/s0/"}}
    metadata = {**N5, "dimensions": [16, 16], "compression": compression}
    ts.open({**spec, "metadata": metadata}, create=True).result().write(noise(16, 16)).result()
    store.build(tmp_path / "t", factor=2, levels=1, progress=False)
    assert attributes_of(tmp_path / "t/s1")["compression"] == compression
    np.testing.assert_array_equal(read(tmp_path / "t", "xy")[1], tinypyr.downsample(noise(16, 16), 2))


# --- lossy encodings, and volumes without chunks ---


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_levels_in_jpeg_are_checked_with_a_tolerance(quality: int, tmp_path: Path) -> None:
    where = write_precomputed(tmp_path / "t", noise(64, 64, 32), encoding="jpeg", jpeg_quality=quality)
    store.build(where, factor=2, levels=1, progress=False)
    scales = json.loads((where / "info").read_text())["scales"]
    assert [scale["jpeg_quality"] for scale in scales] == [quality, quality]
    result = store.check(where)
    assert result.ok, result
    assert "note: level 1: voxels in the lossy encoding jpeg differ by up to " in str(result)
    spec = {"driver": "neuroglancer_precomputed", "kvstore": {"driver": "file", "path": f"{where}/"}, "scale_index": 1}
    ts.open(spec).result().write(noise(32, 32, 16)[..., np.newaxis]).result()
    result = store.check(where)
    if quality > 30:
        assert re.search(r"level 1: voxels in the lossy encoding jpeg differ by up to \d+ \(mean", str(result.problems))


def test_a_base_without_chunks_is_a_warning_in_the_report_and_in_the_check(tmp_path: Path) -> None:
    where = write_n5(tmp_path / "t", (16, 16), {})
    for chunk in (where / "s0").glob("*/*"):
        chunk.unlink()
    sentence = "s0 has no chunks, so every voxel of it is the fill value"
    with pytest.warns(UserWarning, match=sentence):
        report = store.build(where, factor=2, levels=1, progress=False)
    assert f"t/{sentence}" in str(report)
    result = store.check(where)
    assert result.ok
    assert f"t/{sentence}" in str(result)
