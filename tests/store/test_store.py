"""Levels in stores equal those in memory for any format, chunks, shards, blocks and number of workers."""

from __future__ import annotations

import inspect
import json
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinypyr
from tinypyr import Grid, cli
from tinypyr._util import terminal as _terminal

ts = pytest.importorskip("tensorstore", reason="stores are read and written through TensorStore")
from support.stores import FORMATS, Array, in_memory, read, threads_after  # noqa: E402
from tinypyr import store  # noqa: E402
from tinypyr.store.blocks import LevelArrays, merge, run_block  # noqa: E402
from tinypyr.store.location import Location  # noqa: E402
from tinypyr.store.partition import LEAF_SHARE  # noqa: E402
from tinypyr.store.source import level_array, open_volume  # noqa: E402
from tinypyr.store.tuning import tuned  # noqa: E402


@pytest.fixture(autouse=True)
def unsynced() -> Iterator[None]:
    """Skip fsync, because these stores need not survive a crash."""
    with tuned(sync_files=False):
        yield


def case(seed: int) -> tuple[Array, dict[str, Any]]:
    """Return a random volume and arguments."""
    draw, rng = random.Random(seed), np.random.default_rng(seed)
    format = draw.choice(FORMATS)
    axes = {
        "n5": ["x", "yx", "zyx", "zyx", "czyx", "tczyx"],
        "precomputed": ["yx", "zyx", "xyz", "czyx"],
    }.get(format, ["yx", "zyx", "zyx", "czyx", "tczyx"])
    names = draw.choice(axes)
    spatial = [name in "zyx" for name in names]
    shape = tuple(draw.choice([1, 2, 3, 5, 8, 13, 20, 33]) if s else draw.choice([1, 2, 3]) for s in spatial)
    dtypes = ["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "float32", "int64", "float64", "bool"]
    dtype = draw.choice(dtypes[: {"precomputed": 8, "n5": 10}.get(format, 11)])
    few = draw.random() < 0.6
    array = rng.integers(0, 4, shape).astype(dtype) if few else (rng.random(shape) * 120).astype(dtype)
    if dtype == "float32" and draw.random() < 0.3:
        array[rng.random(shape) < 0.1] = np.nan
    array = np.asarray(array, order="C" if draw.random() < 0.5 else "F")
    chunks = tuple(
        draw.choice([3, 4, 8, 16] if n > 5 else [1, 3, 4]) if s else 1 for n, s in zip(shape, spatial, strict=True)
    )
    shards = None
    if format == "ome-zarr-0.5" and draw.random() < 0.4:
        shards = tuple(c * draw.choice([1, 2, 3]) for c in chunks)
    if format == "precomputed" and draw.random() < 0.5:
        shards = tuple(c * (draw.choice([1, 2, 4]) if s else 1) for c, s in zip(chunks, spatial, strict=True))
    offset = tuple(draw.choice([0, 0, 5, -3, 64]) for _ in names) if draw.random() < 0.4 else (0,) * len(names)
    factor: Any = draw.choice(["auto", 2, tuple(draw.choice([1, 2, 3]) if s else 1 for s in spatial)])
    if factor == 2:
        factor = tuple(2 if n > 1 and s else 1 for n, s in zip(shape, spatial, strict=True))
    scale = [draw.choice([1, 2, 4.5]) for _ in names]
    return array, {
        "format": format,
        "method": draw.choice(["mean", "mode", "median", "min", "max", "stride"]),
        "factor": factor,
        "levels": draw.choice([1, 2, 3]),
        "ignore": draw.choice([None, None, 0]),
        "chunks": chunks,
        "shards": shards,
        "codec": draw.choice([None, None, "raw", "gzip", "blosc"][: 4 if format == "precomputed" else 5]),
        "workers": draw.choice([1, 2, 3]),
        "memory": draw.choice(["8MiB", "64MiB"]),
        "grid": Grid(shape, names, scale, voxel_offset=offset),
        "force": True,
    }


@pytest.fixture
def many_blocks() -> Iterator[None]:
    """Divide small volumes into many blocks."""
    with tuned(small_block=0):
        yield


@pytest.mark.parametrize("group", range(26))
def test_levels_in_stores_equal_levels_in_memory(group: int, tmp_path: Path) -> None:
    """More than five hundred random volumes; cases with invalid factors are replaced."""
    seed, cases = 1000 * group, 0
    while cases < 20:
        seed += 1
        array, arguments = case(seed)
        target = tmp_path / str(seed)
        # the footprint limits the levels that leaves compute; the others are computed from their accumulators
        with tuned(small_block=seed % 3 % 2 << 25, max_footprint=(1 << 31, 1, 6, 30)[seed % 4]):
            try:
                plan = store.plan(array, target, **arguments)
            except ValueError as error:
                if not str(error).startswith("factor"):
                    raise
                continue
            report = store.build(array, target, **arguments)
        cases += 1
        axes = "".join(plan.grids[0].axes)
        assert report.blocks_done == report.plan.blocks
        assert not report.failed
        for number, (got, want) in enumerate(
            zip(read(target, axes), in_memory(array, plan, arguments["ignore"]), strict=True)
        ):
            assert got.dtype == want.dtype, (seed, number)
            np.testing.assert_array_equal(got, want, err_msg=f"case {seed}, level {number}: {arguments}")
        left = [path for path in target.rglob("*") if ".tinypyr" in path.name]
        assert not [path for path in left if path.is_file()], "what lay beside the plan is gone"


@pytest.mark.parametrize("format", FORMATS)
def test_levels_of_blocks_and_merged_levels_equal_memory(format: str, tmp_path: Path, many_blocks: None) -> None:
    """Blocks run in any order, some of them twice; the last levels are merged."""
    rng = np.random.default_rng(3)
    array = rng.integers(0, 50, (40, 150, 130)).astype(np.uint32)
    arguments: dict[str, Any] = {"format": format, "factor": 2, "levels": 4, "chunks": (8, 8, 8), "method": "mode"}
    plan = store.plan(array, tmp_path / "t", memory="64MiB", workers=2, **arguments)
    assert plan.blocks >= 32
    assert 0 < plan.geometry.whole_levels < 4
    numbers = list(range(plan.blocks))
    random.Random(0).shuffle(numbers)
    for number in [*numbers, *numbers[:5]]:
        assert store.run(plan, blocks=[number]).blocks_done == 1
    store.finalize(plan)
    for got, want in zip(read(tmp_path / "t", "zyx"), in_memory(array, plan), strict=True):
        np.testing.assert_array_equal(got, want)


def test_blocks_do_not_share_chunks_and_leaves_cover_the_base_once(tmp_path: Path, many_blocks: None) -> None:
    """Each chunk that blocks write belongs to one block, and each base voxel to one leaf."""
    for seed in range(300):
        array, arguments = case(seed)
        try:
            plan = store.plan(array, tmp_path / "t", **arguments)
        except ValueError:
            continue
        seen = np.zeros(array.shape, np.uint8)
        for number in range(plan.blocks):
            for leaf in plan.geometry.leaves(plan.box(number)):
                seen[tuple(slice(a, b) for a, b in leaf)] += 1
        assert (seen == 1).all(), seed
        for k in range(plan.geometry.whole_levels + 1):
            owner = np.full(plan.grids[k].shape, -1)
            for number in range(plan.blocks):
                at = tuple(slice(a, b) for a, b in plan.geometry.region(k, plan.box(number)))
                assert (owner[at] == -1).all(), seed
                owner[at] = number
            for axis, unit in enumerate(plan.layouts[k].unit):
                lines = np.moveaxis(owner, axis, -1).reshape(-1, owner.shape[axis])
                for start in range(0, owner.shape[axis], unit):
                    piece = lines[:, start : start + unit]
                    assert (piece == piece[:, :1]).all(), (seed, k, axis)


class Counting:
    """An array that records which boxes are read."""

    def __init__(self, array: Array, chunks: tuple[int, ...]) -> None:
        self.array, self.chunks, self.boxes = array, chunks, []  # type: ignore[var-annotated]
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, box: tuple[slice, ...]) -> Array:
        self.boxes.append(box)
        return self.array[box]


class RecordingArrays(LevelArrays):
    """Arrays of a plan that record which boxes are written."""

    def __init__(self, plan: store.Plan) -> None:
        super().__init__(plan)
        self.boxes: list[tuple[int, tuple[slice, ...]]] = []

    def __getitem__(self, number: int) -> Any:
        return RecordingArray(super().__getitem__(number), number, self.boxes)


class RecordingArray:
    """A level that records which boxes are written."""

    def __init__(self, array: Any, number: int, boxes: list[tuple[int, tuple[slice, ...]]]) -> None:
        self.array, self.number, self.boxes = array, number, boxes

    def __getitem__(self, box: tuple[slice, ...]) -> Any:
        self.boxes.append((self.number, box))
        return self.array[box]


def test_each_chunk_is_read_once_and_written_once(tmp_path: Path, many_blocks: None) -> None:
    array = np.random.default_rng(0).integers(1, 255, (64, 200, 200)).astype(np.uint8)
    source = Counting(array, (16, 16, 16))
    plan = store.plan(source, tmp_path / "t", factor=2, levels=4, chunks=(16, 16, 16), workers=2)
    assert plan.fingerprint  # both ends are read, which distinguishes this array from others
    source.boxes.clear()
    arrays = RecordingArrays(plan)
    for number in plan.numbers:
        run_block(plan, number, arrays)
    merge(plan, arrays)
    seen = np.zeros([4, 13, 13], int)
    for box in source.boxes:
        seen[tuple(slice(s.start // 16, -(-s.stop // 16)) for s in box)] += 1
    assert (seen == 1).all()
    for number, box in arrays.boxes:
        assert all(
            s.start % unit == 0 < s.stop - s.start for s, unit in zip(box, plan.layouts[number].unit, strict=True)
        )
    written = {(number, str(box)) for number, box in arrays.boxes}
    assert len(arrays.boxes) == len(written) == plan.describe()["objects"]


def metrics(name: str) -> int:
    """Return a counter of TensorStore's file driver."""
    found = ts.experimental_collect_matching_metrics(f"/tensorstore/kvstore/file/{name}")
    return int(
        sum(value["value"] for metric in found if metric["name"].endswith(f"/{name}") for value in metric["values"])
    )


@pytest.mark.parametrize("footprint", [1 << 31, 40])
def test_tensorstore_reads_and_writes_each_chunk_once(footprint: int, tmp_path: Path) -> None:
    """Chunks of level 0 are read once; one file per chunk of the levels is written, and their metadata."""
    array = np.random.default_rng(0).integers(1, 255, (64, 128, 128)).astype(np.uint8)
    store.build(array, tmp_path / "t", levels=0, chunks=(16, 32, 32))
    read, written = metrics("read"), metrics("write")
    with tuned(max_footprint=footprint):
        report = store.build(tmp_path / "t", factor=2, levels=3, method="mean")
    base_chunks, blocks = 4 * 4 * 4, len(report.plan.numbers)
    seen = metrics("read") - read
    assert base_chunks <= seen < 2 * base_chunks + blocks, "each chunk once, metadata, and that of level 0 per block"
    chunks = 8 + 1 + 1
    arrays, group, plan, owner = 3, 1, 1, 2
    assert metrics("write") - written == chunks + arrays + group + plan + owner + len(report.plan.numbers)


@pytest.mark.parametrize("format", ["ome-zarr-0.5", "ome-zarr-0.4", "n5", "precomputed"])
def test_levels_in_place_leave_level_0_unchanged(format: str, tmp_path: Path) -> None:
    """Other metadata is kept, too."""
    array = np.random.default_rng(1).integers(0, 255, (40, 60, 50)).astype(np.uint8)
    grid = Grid(array.shape, "zyx", (40, 4, 4), (0, 0, 0) if format == "precomputed" else (3, 2, 1), ["nanometer"] * 3)
    where = tmp_path / "em"
    store.build(array, where, factor=2, levels=0, format=format, chunks=(16, 16, 16), grid=grid, method="mean")
    if format == "ome-zarr-0.5":
        meta = json.loads((where / "zarr.json").read_text())
        meta["attributes"]["mine"] = 1
        meta["attributes"]["ome"]["omero"] = {"channels": []}
        (where / "zarr.json").write_text(json.dumps(meta))
    before = {path: path.read_bytes() for path in where.rglob("*") if path.is_file() and path.name.count(".") == 0}
    factor = {"n5": (2, 2, 1), "precomputed": (2, 2, 1, 1)}.get(format, (1, 2, 2))
    report = store.build(where, factor=factor, levels=2, method="mean")
    axes = "".join(open_volume(Location.at(where)).grids[0].axes)
    for got, want in zip(read(where, axes), in_memory(read(where, axes)[0], report.plan), strict=True):
        np.testing.assert_array_equal(got, want)
    assert store.check(where).ok
    for path, held in before.items():
        if path.name not in ("info",):
            assert path.read_bytes() == held
    if format == "ome-zarr-0.5":
        meta = json.loads((where / "zarr.json").read_text())["attributes"]
        assert meta["mine"] == 1
        assert meta["ome"]["omero"] == {"channels": []}
    with pytest.raises(store.StoreError, match="levels already"):
        store.build(where, levels=1, factor=factor)


@pytest.mark.parametrize("format", FORMATS)
def test_world_coordinates_of_a_ramp_agree_with_the_metadata(format: str, tmp_path: Path) -> None:
    shape, scale = (24, 33, 40), (4.0, 1.0, 1.0)
    translation = (100.0, -7.0, 0.5)
    z, y, x = (np.arange(n) * s + t for n, s, t in zip(shape, scale, translation, strict=True))
    ramp = (z[:, None, None] + 2 * y[:, None] + 3 * x).astype(np.float32)
    grid = Grid(shape, "zyx", scale, translation, ["nanometer"] * 3)
    store.build(ramp, tmp_path / "t", levels=3, factor="auto", format=format, chunks=(8, 8, 8), grid=grid)
    volume = open_volume(Location.at(tmp_path / "t"))
    assert len(volume.grids) == 4
    base = volume.grids[0]
    for level, placed in zip(read(tmp_path / "t", "zyx"), volume.grids, strict=True):
        at = {}
        for name in "zyx":
            axis = placed.axes.index(name)
            at[name] = np.arange(placed.shape[axis]) * placed.scale[axis] + placed.translation[axis]
        want = at["z"][:, None, None] + 2 * at["y"][:, None] + 3 * at["x"]
        whole = tuple(
            slice(0, n // round(placed.scale[placed.axes.index(name)] / base.scale[base.axes.index(name)]))
            for n, name in zip(shape, "zyx", strict=True)
        )
        np.testing.assert_array_equal(level[whole], want[whole].astype(np.float32))


def test_validators_and_other_readers_agree(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 9, (2, 20, 30, 40)).astype(np.uint16)
    grid = Grid(array.shape, "czyx", (1, 4, 2, 2), (0, 8, 1, 1), [None, "micrometer", "micrometer", "micrometer"])
    for format in ("ome-zarr-0.5", "ome-zarr-0.4"):
        store.build(
            array, tmp_path / format, levels=2, factor=(1, 2, 2, 2), format=format, grid=grid, chunks=(1, 8, 8, 8)
        )
    yaozarrs = pytest.importorskip("yaozarrs", reason="a validator of OME-Zarr")
    for format in ("ome-zarr-0.5", "ome-zarr-0.4"):
        yaozarrs.validate_zarr_store(str(tmp_path / format))
    models = pytest.importorskip("ome_zarr_models", reason="a validator of OME-Zarr")
    for format, version in (("ome-zarr-0.5", "0.5"), ("ome-zarr-0.4", "0.4")):
        model = models.open_ome_zarr(str(tmp_path / format))
        assert model.ome_zarr_version == version
        assert (
            [d.path for d in model.ome_attributes.multiscales[0].datasets] == ["0", "1", "2"]
            if version == "0.5"
            else True
        )


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("in_place", [False, True])
def test_an_interrupted_build_resumes(format: str, in_place: bool, tmp_path: Path, many_blocks: None) -> None:
    array = np.random.default_rng(0).integers(0, 9, (40, 150, 130)).astype(np.uint8)
    arguments: dict[str, Any] = {"levels": 4, "method": "mode", "workers": 1, "factor": 2}
    source: Any = array
    target: Any = tmp_path / "t"
    if in_place:
        store.build(array, target, **(arguments | {"levels": 0}), chunks=(8, 8, 8), format=format)
        source, target = target, None
        arguments["factor"] = (2, 2, 2, 1) if format == "precomputed" else 2
    else:
        arguments |= {"chunks": (8, 8, 8), "format": format}
    numbers: list[int] = []

    def fails_after_five(number: int) -> None:
        numbers.append(number)
        if len(numbers) > 5:
            raise store.StoreError("no space left")

    with pytest.raises(store.StoreError, match=r"failed; run it again[\s\S]*no space left"):
        store.build(source, target, engine=threads_after(fails_after_five), **arguments)
    with pytest.raises(store.StoreError, match=r"another build has begun there .method: 'mode' there, 'max' here"):
        store.build(source, target, **(arguments | {"method": "max"}))
    report = store.build(source, target, **arguments)
    assert report.blocks_kept == 5
    assert report.blocks_kept + report.blocks_done == report.plan.blocks
    for got, want in (
        zip(read(tmp_path / "t", "zyx"), in_memory(array, report.plan), strict=True) if not in_place else ()
    ):
        np.testing.assert_array_equal(got, want)
    assert store.check(tmp_path / "t").ok


def test_a_build_does_not_resume_with_another_array(tmp_path: Path, many_blocks: None) -> None:
    array = np.zeros((40, 150, 130), np.uint8)
    arguments: dict[str, Any] = {"factor": 2, "levels": 2, "chunks": (8, 8, 8), "workers": 1}
    assert not store.run(store.plan(array, tmp_path / "t", **arguments)).failed  # (not merged, and without metadata)
    changed = array.copy()
    changed[0, 0, 0] = 1
    with pytest.raises(store.StoreError, match=r"another build has begun there .of a source that has changed since"):
        store.build(changed, tmp_path / "t", **arguments)
    assert store.build(array, tmp_path / "t", **arguments).blocks_done == 0
    np.testing.assert_array_equal(read(tmp_path / "t", "zyx")[0], array)


def test_vanished_labels_are_counted_and_named(tmp_path: Path) -> None:
    array = np.zeros((32, 32), np.uint32)
    array[:16] = 7
    array[3, 3] = 9
    report = store.build(array, tmp_path / "t", factor=2, levels=2, chunks=(8, 8))
    assert report.plan.method == "mode"
    assert report.labels == [3, 2, 2]
    assert [gone.tolist() for gone in report.vanished] == [[], [9], []]
    assert "1 vanished (9)" in str(report)


def test_peak_memory_stays_below_the_limit(tmp_path: Path) -> None:
    """A volume of 256 MiB is built within 96 MiB above the memory before."""
    script = """
import sys
import numpy as np
from tinypyr import store

class Made:
    shape, dtype, chunks = (128, 1024, 2048), np.dtype("uint8"), (64, 64, 64)
    def __getitem__(self, box):
        z, y, x = (np.arange(s.start, s.stop).astype(np.uint8) for s in box)
        return z[:, None, None] + y[:, None] + x

def peak():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

store.build(np.zeros((8, 8, 8), np.uint8), sys.argv[1] + "/small", levels=1, factor=2)
before = peak()
store.build(Made(), sys.argv[1] + "/large", levels=4, factor=2, memory="96MiB", workers=2)
print(peak() - before)
"""
    if sys.platform != "linux":
        pytest.skip("peak memory is read as Linux counts it")
    run = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert int(run.stdout.split()[-1]) < 96 * 2**20


def mistakes(tmp_path: Path) -> list[tuple[Any, Any, dict[str, Any], type[Exception], str]]:
    image = np.zeros((32, 32), np.uint8)
    (tmp_path / "empty").mkdir()
    (tmp_path / "corrupt").mkdir()
    (tmp_path / "corrupt" / "zarr.json").write_text("{")
    (tmp_path / "nothing").mkdir()
    (tmp_path / "nothing" / "zarr.json").write_text('{"node_type": "group", "attributes": {}}')
    store.build(image, tmp_path / "there", levels=0, factor=2)
    new = tmp_path / "new"
    return [
        (tmp_path / "none", new, {}, store.StoreError, "nothing here"),
        (tmp_path / "empty", new, {}, store.StoreError, "nothing here"),
        (tmp_path / "corrupt", new, {}, store.StoreError, "not JSON"),
        (tmp_path / "nothing", new, {}, store.StoreError, "multiscales"),
        (3, new, {}, TypeError, "source"),
        (image, None, {}, ValueError, "target"),
        (image, tmp_path / "there", {"method": "max"}, store.StoreError, "exists already"),
        (tmp_path / "there", tmp_path / "there" / "0", {}, store.StoreError, "inside"),
        (image, new, {"factor": 64, "levels": 1}, ValueError, "factor"),
        (image, new, {"factor": 0}, ValueError, "factor"),
        (image, new, {"method": "average"}, ValueError, "method"),
        (image, new, {"format": "tiff"}, ValueError, "format"),
        (image, new, {"codec": "lzma"}, ValueError, "codec"),
        (image, new, {"memory": "lots"}, ValueError, "memory"),
        (image, new, {"memory": "1B"}, ValueError, "memory"),
        (image, new, {"workers": 0}, ValueError, "workers"),
        (image, new, {"chunks": (8,)}, ValueError, "chunks"),
        (image, new, {"chunks": (8, 8), "shards": (12, 8)}, ValueError, "shards"),
        (image, new, {"chunks": (8, 8), "shards": (16, 8), "format": "n5"}, ValueError, "shards"),
        (image, new, {"ignore": 300}, ValueError, "ignore"),
        (image.astype(bool), new, {"format": "n5"}, store.StoreError, "bool"),
        (image.astype("U1"), new, {}, store.StoreError, "cannot be pooled"),
        (np.zeros((0, 4), np.uint8), new, {}, store.StoreError, "nothing to pool"),
        (tmp_path / "there", None, {"format": "n5"}, ValueError, "format"),
        (
            np.zeros((4, 4, 4096, 4096), np.uint8),
            new,
            {"levels": 8, "factor": (1, 1, 4, 4), "memory": "8MiB"},
            ValueError,
            "factor",
        ),
    ]


def test_mistakes_are_named_and_nothing_is_created(tmp_path: Path) -> None:
    for source, target, arguments, kind, match in mistakes(tmp_path):
        before = sorted(map(str, tmp_path.rglob("*")))
        with pytest.raises(kind, match=match) as caught:
            store.build(source, target, **arguments)
        assert "\n" not in str(caught.value)
        assert sorted(map(str, tmp_path.rglob("*"))) == before, (arguments, "created something")


def test_build_takes_every_parameter_of_plan() -> None:
    planned, built = (inspect.signature(function).parameters for function in (store.plan, store.build))
    assert list(built)[: len(planned)] == list(planned)
    assert all(built[name] == parameter for name, parameter in planned.items())
    assert list(built)[len(planned) :] == ["engine", "resume", "progress", "blocks"]
    run = inspect.signature(store.run).parameters
    assert all(built[name].default == run[name].default for name in ("engine", "resume", "progress", "blocks"))


@pytest.mark.parametrize("name", list(inspect.signature(store.plan).parameters)[1:])
def test_build_passes_every_parameter_to_plan_under_its_own_name(name: str, tmp_path: Path) -> None:
    """An object that is invalid for every parameter is refused with the parameter's name."""
    arguments: dict[str, Any] = {"target": tmp_path / "t", name: object()}
    with pytest.raises((TypeError, ValueError)) as planned:
        store.plan(np.zeros((8, 8), np.uint8), **arguments)
    with pytest.raises((TypeError, ValueError)) as built:
        store.build(np.zeros((8, 8), np.uint8), **arguments)
    assert str(built.value) == str(planned.value)
    assert str(built.value).startswith(f"{name}: ")


def test_results_have_readable_representations(tmp_path: Path) -> None:
    report = store.build(np.ones((64, 48), np.uint8), tmp_path / "t", levels=1, factor=2, chunks=(16, 16))
    assert repr(report) == str(report)
    assert repr(report).startswith("1 level in ")
    assert repr(report.plan) == str(report.plan)
    assert "0      64 x 48  1, 1   0, 0         16 x 16" in repr(report.plan)
    level = store.levels(tmp_path / "t")[1]
    assert repr(level) == f"Level(uint8, {level.grid!r})"


def test_too_little_memory_is_an_error_that_says_how_much_is_needed(tmp_path: Path) -> None:
    volume = np.broadcast_to(np.uint8(1), (4096, 4096, 64))
    with pytest.raises(store.StoreError, match=r"memory: these levels need .* per worker, but .* are allowed"):
        store.plan(volume, tmp_path / "t", factor=(2, 2, 1), levels=11, memory="8MiB", method="median")


@pytest.mark.parametrize("method", ["mean", "mode", "min", "max", "stride"])
def test_levels_from_accumulators_equal_memory(method: str, tmp_path: Path, many_blocks: None) -> None:
    """Accumulators hold sums, lists of labels, or extremes."""
    rng = np.random.default_rng(8)
    volume = np.repeat(rng.integers(0, 60, (256, 64, 8)).astype(np.uint32), 3, axis=0)[:512]
    plan = store.plan(
        volume, tmp_path / "t", levels=8, memory="1MiB", workers=1, method=method, chunks=(8, 8, 8), force=True
    )
    assert 1 <= plan.geometry.leaf_levels < 7, "some levels are made by leaves, two or more are not"
    report = store.running.complete(plan)
    for got, want in zip(read(tmp_path / "t", "zyx"), in_memory(volume, plan), strict=True):
        np.testing.assert_array_equal(got, want)
    assert store.check(tmp_path / "t").ok
    if method == "mode":
        assert report.labels == [np.unique(level).size for level in in_memory(volume, plan)]


def test_long_label_lists_are_shortened_and_reported(tmp_path: Path) -> None:
    """The 1,024 most frequent labels are kept, and modes that this may have changed are counted."""
    labels = np.arange(128 * 256, dtype=np.uint32).reshape(128, 256)
    with tuned(max_footprint=1 << 12):
        report = store.build(labels, tmp_path / "t", factor=2, levels=7)
    assert report.plan.geometry.leaf_levels == 6
    assert report.unproven == [0, 0, 0, 0, 0, 0, 2]
    labels[::7, ::5] = 7  # a lead that dropped labels cannot exceed
    with tuned(max_footprint=1 << 12):
        report = store.build(labels, tmp_path / "u", factor=2, levels=7)
    assert report.unproven == [0] * 7
    assert (read(tmp_path / "u", "yx")[-1] == 7).all()


def test_mean_of_labels_is_an_error_unless_forced(tmp_path: Path) -> None:
    labels = np.ones((16, 16), np.uint32)
    store.build(labels, tmp_path / "t", levels=0, factor=2, method="mode")
    with pytest.raises(ValueError, match="averaging label IDs"):
        store.plan(tmp_path / "t", method="mean")
    assert store.plan(tmp_path / "t", method="mean", force=True, factor=2, levels=1).method == "mean"
    assert store.plan(tmp_path / "t", factor=2, levels=1).method == "mode"


def test_check_reports_wrong_voxels_and_translations(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 255, (30, 40)).astype(np.uint8)
    store.build(array, tmp_path / "t", levels=2, factor=2, chunks=(8, 8))
    result = store.check(tmp_path / "t")
    assert result.ok
    assert (result.problems, result.voxels, result.levels) == ([], 15 * 20 + 8 * 10, 2)
    assert repr(result) == str(result) == f"{tmp_path}/t: geometry and 380 voxels of its levels are right"
    assert store.check(tmp_path / "t", sample=0.3).ok
    volume = open_volume(Location.at(tmp_path / "t"))
    array = level_array(volume, 2)
    ts.open(array.spec(), open=True, write=True).result()[3, 4].write(np.uint8(0)).result()
    assert "level 2: 1 of" in str(store.check(tmp_path / "t"))
    meta = json.loads((tmp_path / "t" / "zarr.json").read_text())
    levels = meta["attributes"]["ome"]["multiscales"][0]["datasets"]
    levels[1]["coordinateTransformations"][1]["translation"] = [0, 0]
    (tmp_path / "t" / "zarr.json").write_text(json.dumps(meta))
    assert "level 1: translation" in str(store.check(tmp_path / "t"))


def test_check_reports_an_unfinished_build(
    tmp_path: Path, many_blocks: None, capsys: pytest.CaptureFixture[str]
) -> None:
    array = np.random.default_rng(0).integers(0, 255, (40, 150, 130)).astype(np.uint8)
    where = tmp_path / "t"
    store.build(array, where, levels=0, factor=2, chunks=(8, 8, 8))
    assert cli.main(["check", str(where)]) == 0
    assert "has level 0 only, and no levels to check" in capsys.readouterr().out

    assert store.run(store.plan(where, levels=3, factor=2), blocks=[0]).blocks_done == 1
    assert cli.main(["check", str(where)]) == 1
    assert "has an unfinished build; run its command again to resume" in capsys.readouterr().out
    with pytest.raises(store.StoreError, match="base: 2,2,2/4,4,4/8,8,8 there, 1,2,2/1,4,4/1,8,8 here"):
        store.build(where, levels=3, factor=(1, 2, 2))
    store.build(where, levels=3, factor=2)
    assert cli.main(["check", str(where)]) == 0
    with pytest.raises(store.StoreError, match=r"has 4 levels already; .* name that region"):
        store.build(where, levels=2, factor=2)


def test_build_plan_info_and_check_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    array = np.random.default_rng(0).integers(0, 255, (20, 150, 140)).astype(np.uint8)
    where = str(tmp_path / "em.ome.zarr")
    store.build(array, where, levels=0, factor=2, grid=Grid(array.shape, "zyx", (40, 4, 4)), chunks=(16, 32, 32))
    assert cli.main(["plan", where, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["levels"][1]["shape"] == [20, 75, 70]
    assert cli.main(["build", where, "--progress", "json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1]["blocks_done"] == lines[-1]["blocks"]
    assert lines[-1]["bytes_read"] == lines[-1]["bytes_to_read"] == array.nbytes
    assert lines[-1]["rate"] > 0
    assert lines[-1]["seconds_left"] == 0
    assert cli.main(["info", where]) == 0
    assert re.search(r"^1 +20 x 75 x 70 +40, 8, 8 +0, 2, 2$", capsys.readouterr().out, re.M)
    assert cli.main(["check", where]) == 0
    assert "are right" in capsys.readouterr().out
    assert cli.main(["build", where]) == 0
    assert "already complete" in capsys.readouterr().out
    assert cli.main(["build", where, "--method", "max"]) == 1
    assert "levels already" in capsys.readouterr().err
    assert cli.main(["build", str(tmp_path / "no")]) == 1
    assert cli.main(["build", where, str(tmp_path / "new"), "--factor", "1,2,2/2,2,2", "--levels", "auto"]) == 0
    assert cli.main(["build", where, str(tmp_path / "new2"), "--method", "best"]) == 2
    assert "method" in capsys.readouterr().err


def test_the_progress_bar_is_shown_on_terminals_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    array = np.zeros((40, 40), np.uint8)
    for terminal in (False, True):
        # (stands in for a terminal, which pytest's capture replaces)
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal, raising=False)
        store.build(array, tmp_path / str(terminal), factor=2, levels=1)
        shown = capsys.readouterr()
        assert shown.out == ""
        assert ("1 of 1 blocks, 1.56 KiB of 1.56 KiB" in shown.err) is terminal
    assert shown.err.endswith("\x1b[2K")  # the line is cleared
    bar = _terminal.Bar()
    bar.show("half", 0.5)
    print("standard output stays where it is")
    bar.clear()
    assert capsys.readouterr().out == "standard output stays where it is\n"


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    names = re.findall(r"^  (\w+)  ", capsys.readouterr().out.partition("Commands:")[2], re.M)
    assert len(names) == 11
    for name in names[1:]:  # the first, demo, uses argparse
        assert cli.main([name, "--help"]) == 0
        said = capsys.readouterr().out
        assert said.startswith(f"Usage: tinypyr {name} [OPTIONS] ")
        assert "\nArguments:\n" in said
        assert "Show this message and exit." in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "tinypyr: Missing command"),
        (["buidl"], "tinypyr: No such command 'buidl'"),
        (["build"], "tinypyr build: Missing argument 'SOURCE'"),
        (["build", "x", "--factor", "1,z"], "--factor': '1,z' is not a whole number"),
        (["build", "x", "--region", "1-2"], "--region': '1-2' is not START:STOP"),
        (["build", "x", "--blocks", "2-1"], "--blocks': '2-1' is not a list of block numbers"),
        (["build", "x", "--engine", "magic"], "--engine': 'magic' is not one of"),
        (["build", "x", "--fast"], "--fast"),
        (["run", "x", "--part", "1"], "--part': '1' is not a part"),
        (["plan", "x", "--plan-file", "--json"], "--plan-file': --json is an option; give a value first"),
        (["check", "x", "--ignore", "zero"], "--ignore': 'zero' is not a number"),
    ],
)
def test_bad_arguments_of_commands_are_named(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err
    assert shown.err.count("\n") == 1
    assert "--help" in shown.err


def test_commands_refuse_output_paths_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where, plan = str(tmp_path / "em.ome.zarr"), str(tmp_path / "plan.json")
    store.build(np.ones((40, 40), np.uint8), where, factor=2, levels=1)
    target = str(tmp_path / "new")
    for arguments in (["preview", where, "--out"], ["plan", where, target, "--plan-file"]):
        assert cli.main([*arguments, str(tmp_path / "none" / "x.png")]) == 2
        assert f"tinypyr: {arguments[-1]}: " in capsys.readouterr().err
    assert cli.main(["preview", where, "--out", str(tmp_path / "x.jpg")]) == 2
    assert "does not end in .png" in capsys.readouterr().err
    assert cli.main(["plan", where, target, "--plan-file", plan]) == 0
    assert cli.main(["finalize", plan]) == 1
    assert "run the plan first" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["em.ome.zarr", "plan.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="pipes close otherwise there")
def test_closed_standard_output_is_not_an_error(tmp_path: Path) -> None:
    where = str(tmp_path / "em.ome.zarr")
    store.build(np.zeros((40, 40), np.uint8), where, factor=2, levels=1)
    command = [sys.executable, "-m", "tinypyr", "info", where]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read()
    assert (process.returncode, errors) == (0, "")


def test_arrays_of_other_packages_are_read(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 255, (20, 30)).astype(np.uint8)
    store.build(ts.array(array), tmp_path / "ts", levels=1, factor=2)
    np.testing.assert_array_equal(read(tmp_path / "ts", "yx")[1], tinypyr.downsample(array, 2))
    dask = pytest.importorskip("dask.array", reason="an optional source")
    store.build(dask.from_array(array, chunks=(8, 8)), tmp_path / "dask", levels=1, factor=2)
    np.testing.assert_array_equal(read(tmp_path / "dask", "yx")[1], tinypyr.downsample(array, 2))


def test_leaves_of_plans_fit_in_memory() -> None:
    for seed in range(200):
        array, arguments = case(seed)
        try:
            plan = store.plan(array, "memory://plan", **arguments)
        except ValueError:
            continue
        voxels = int(np.prod([min(a, b) for a, b in zip(plan.geometry.partition.leaf_shape, array.shape, strict=True)]))
        assert voxels * array.itemsize * LEAF_SHARE * plan.workers <= plan.memory


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["|u1", ">u2", "<u4", "<f4", ">f8", "<f2", "|b1"])
def test_zarr_v2_of_zarr_python_is_read(dtype: str, order: str, tmp_path: Path) -> None:
    """Byte orders, memory orders, separators and compressors are kept at every level."""
    array = (np.random.default_rng(0).random((20, 33, 41)) * 100).astype(np.dtype(dtype).newbyteorder("="))
    meta = {
        "shape": list(array.shape),
        "chunks": [8, 16, 16],
        "dtype": dtype,
        "order": order,
        "compressor": {"id": "zlib", "level": 1},
        "fill_value": False if dtype == "|b1" else 0,
        "filters": None,
        "dimension_separator": "." if order == "C" else "/",
        "zarr_format": 2,
    }
    spec = {"driver": "zarr", "kvstore": f"file://{tmp_path}/0/", "metadata": meta}
    ts.open(spec, create=True).result().write(array).result()
    axes = [{"name": name, "type": "space"} for name in "zyx"]
    datasets = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [4, 1, 1]}]}]
    (tmp_path / ".zgroup").write_text('{"zarr_format": 2}')
    (tmp_path / ".zattrs").write_text(
        json.dumps({"multiscales": [{"version": "0.4", "axes": axes, "datasets": datasets}], "mine": [1]})
    )
    report = store.build(tmp_path, factor=2, levels=2)
    for got, want in zip(read(tmp_path, "zyx"), in_memory(array, report.plan), strict=True):
        np.testing.assert_array_equal(got, want)
    assert store.check(tmp_path).ok
    for number, shape in ((1, [10, 17, 21]), (2, [5, 9, 11])):
        assert json.loads((tmp_path / str(number) / ".zarray").read_text()) == {**meta, "shape": shape}
    assert json.loads((tmp_path / ".zattrs").read_text())["mine"] == [1]


def test_shards_of_level_0_are_used_in_place(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 255, (40, 70, 70)).astype(np.uint8)
    store.build(array, tmp_path, levels=0, factor=2, chunks=(8, 8, 8), shards=(16, 32, 32))
    report = store.build(tmp_path, factor=2, levels=3)
    for got, want in zip(read(tmp_path, "zyx"), in_memory(array, report.plan), strict=True):
        np.testing.assert_array_equal(got, want)
    first, last = (json.loads((tmp_path / path / "zarr.json").read_text()) for path in "03")
    for key in ("chunk_grid", "codecs", "data_type", "fill_value", "chunk_key_encoding"):
        assert first[key] == last[key]


@pytest.mark.parametrize("chunks", [(8, 8, 8), (4, 16, 8)])
def test_sharded_precomputed_equals_memory(chunks: tuple[int, int, int], tmp_path: Path, many_blocks: None) -> None:
    """Each shard is written by one block; levels next to a sharded level 0 are sharded like it."""
    volume = np.random.default_rng(1).integers(0, 9, (100, 90, 70)).astype(np.uint32)
    shards = tuple(4 * c for c in chunks)
    arguments: dict[str, Any] = {"format": "precomputed", "chunks": chunks, "shards": shards, "method": "mode"}
    whole = store.build(volume, tmp_path / "t", factor=2, levels=2, **arguments)
    for path, layout, grid in zip(whole.plan.paths, whole.plan.layouts, whole.plan.grids, strict=True):
        count = np.prod([-(-n // unit) for n, unit in zip(grid.shape, layout.unit, strict=True)])
        assert len(list((tmp_path / "t" / path).iterdir())) == count
    store.build(volume, tmp_path / "u", levels=0, **arguments)
    store.build(tmp_path / "u", factor=(2, 2, 2, 1), levels=2)
    for found in (tmp_path / "t", tmp_path / "u"):
        assert store.check(found).ok
        assert not list(found.glob(".tinypyr*"))
    one, other = (json.loads((tmp_path / name / "info").read_text())["scales"] for name in "tu")
    assert [scale["sharding"]["minishard_bits"] for scale in one] == [0, 0, 0]
    assert one[0] == other[0]
    with pytest.raises(ValueError, match=r"shards: .* 1, 2, 4"):
        store.plan(volume, tmp_path / "v", format="precomputed", chunks=chunks, shards=[3 * c for c in chunks])


def test_precomputed_offsets_agree_with_tensorstore(tmp_path: Path) -> None:
    """Footprints are anchored at 0: domains and means equal those of TensorStore's downsample driver."""
    array = np.random.default_rng(0).integers(0, 255, (40, 50, 30)).astype(np.uint8)
    grid = Grid(array.shape, "xyz", (4, 4, 40), units=["nanometer"] * 3, voxel_offset=(10, 5, 3))
    store.build(array, tmp_path, format="precomputed", grid=grid, factor=(2, 2, 1), levels=3, chunks=(16, 16, 16))
    assert store.check(tmp_path).ok
    levels = [
        ts.open(
            {"driver": "neuroglancer_precomputed", "kvstore": f"file://{tmp_path}/", "scale_index": number}, open=True
        ).result()
        for number in range(4)
    ]
    assert levels[0].domain.origin == (10, 5, 3, 0)
    for number, level in enumerate(levels[1:], 1):
        want = ts.downsample(levels[0], [2**number, 2**number, 1, 1], "mean")
        assert level.domain == want.domain
        assert tuple(level.dimension_units[:2]) == (ts.Unit(4 * 2**number, "nm"),) * 2
        # whole blocks, because TensorStore has a fault for blocks that are cut at both ends
        inner = tuple(
            slice(start + 1, stop - 1) for start, stop in zip(level.origin, level.domain.exclusive_max, strict=True)
        )
        got, expected = (array[(*inner[:3], slice(None))].read().result() for array in (level, want))
        np.testing.assert_array_equal(got, expected)


def test_chunks_of_the_fill_value_are_not_written(tmp_path: Path) -> None:
    array = np.zeros((64, 256, 256), np.uint8)
    array[:8, :8, :8] = 1
    store.build(array, tmp_path, factor=2, levels=2, chunks=(16, 16, 16), method="mean")
    assert sum(path.is_file() for path in tmp_path.rglob("*")) == 3 + 3 + 1  # one chunk and zarr.json each; the group's


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_corrupt_chunk_is_named(format: str, damage: str, tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 255, (90, 90)).astype(np.uint8)
    shards = (64, 64) if format in ("ome-zarr-0.5", "precomputed") else None
    grid = Grid(array.shape, axes="yx")
    arguments: dict[str, Any] = {"format": format, "grid": grid, "shards": shards, "codec": "gzip"}
    store.build(array, tmp_path / "a", levels=0, chunks=(32, 32), **arguments)
    level = {"n5": "s0", "precomputed": "1_1"}.get(format, "0")
    files = [path for path in (tmp_path / "a" / level).rglob("*") if path.is_file()]
    chunk = max(files, key=lambda path: path.stat().st_size)
    raw = bytearray(chunk.read_bytes())
    if damage == "cut":
        del raw[len(raw) // 2 :]
    else:
        raw[len(raw) // 3] ^= 255
    chunk.write_bytes(raw)
    name = chunk.relative_to(tmp_path / "a").as_posix()
    with pytest.raises(store.StoreError, match=rf"voxels \[.*\] cannot be read: .*{name}"):
        store.build(tmp_path / "a", tmp_path / "b", levels=1)


HOSTILE: list[dict[str, Any]] = [
    {"node_type": "array"},
    {"node_type": "array", "shape": [-5], "data_type": "uint8"},
    {"node_type": "group", "attributes": []},
    {"node_type": "group", "attributes": {"ome": {"multiscales": []}}},
    {"node_type": "group", "attributes": {"ome": {"multiscales": [{"axes": [{"name": "x"}], "datasets": [{}]}]}}},
    {
        "node_type": "group",
        "attributes": {"ome": {"multiscales": [{"axes": [{"name": "x"}], "datasets": [{"path": "../../../etc"}]}]}},
    },
]


@pytest.mark.parametrize("meta", HOSTILE)
def test_hostile_metadata_is_an_error(meta: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "zarr.json").write_text(json.dumps(meta))
    with pytest.raises(store.StoreError, match="in"):
        store.plan(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()
