"""The bioimage-py interface: voxels equal scipy or plain slices, for any block shape, worker count and job type."""

from __future__ import annotations

import itertools
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinypyr.compat.bioimage_py import RunnerConfig, RunnerError, downsample, downscale_shape
from tinypyr.compat.bioimage_py._job import Job

Array = np.ndarray[Any, Any]


def steps(factor: int | tuple[int, ...], ndim: int) -> tuple[slice, ...]:
    return tuple(slice(None, None, f) for f in (factor if isinstance(factor, tuple) else (factor,) * ndim))


def smoothed(image: Array, factor: tuple[int, ...]) -> Array:
    """Return the whole image smoothed with scipy and strided."""
    ndimage = pytest.importorskip("scipy.ndimage", reason="an extra of its own")
    blurred: Array = ndimage.gaussian_filter(
        image.astype(np.float64), [(f - 1) / 2 for f in factor], mode="mirror", truncate=3.0
    )
    return blurred[steps(factor, image.ndim)]


class Sliced:
    """An array that supports only slices, like those of other packages."""

    def __init__(self, array: Array) -> None:
        self.shape, self.dtype, self._array = array.shape, array.dtype, array

    def __getitem__(self, box: tuple[slice, ...]) -> Array:
        assert all(s.step in (None, 1) for s in box)
        return np.asarray(self._array[box])


def test_block_shape_and_workers_do_not_change_the_output() -> None:
    """Labels near 2^64, with random factors and extents, equal the input's voxels."""
    rng = np.random.default_rng(1)
    for case in range(120):
        ndim = 1 + case % 4
        shape = tuple(rng.integers(1, 24, ndim).tolist())
        labels = np.iinfo(np.uint64).max - rng.integers(0, 9, shape, dtype=np.uint64)
        factor = tuple(rng.integers(1, 5, ndim).tolist())
        blocks = tuple(rng.integers(1, 9, ndim).tolist())
        level = downsample(
            Sliced(labels) if case % 3 else labels, factor, order=case % 6, block_shape=blocks, num_workers=1 + case % 3
        )
        np.testing.assert_array_equal(level, labels[steps(factor, ndim)])
        assert level.dtype == labels.dtype


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "?"])
def test_blocks_are_smoothed_like_the_whole_array_by_scipy(dtype: str) -> None:
    rng = np.random.default_rng(2)
    for shape, factor, blocks in (
        ((37, 41, 23), (2, 3, 4), (5, 3, 2)),
        ((3, 50), (5, 7), (1, 2)),
        ((1, 9), (1, 2), (1, 2)),
        ((100,), (9,), (3,)),
    ):
        kind = np.dtype(dtype)
        image = (rng.random(shape) * 255).astype(kind) if kind.kind == "f" else rng.integers(0, 2, shape).astype(kind)
        if kind.kind in "iu":
            image = rng.integers(0, min(1000, np.iinfo(kind).max), shape).astype(kind)
        expected = smoothed(image, factor)
        expected = expected > 0.5 if kind.kind == "b" else np.rint(expected) if kind.kind in "iu" else expected
        whole = downsample(image, factor, order=1, anti_aliasing=True)
        np.testing.assert_array_equal(whole, expected.astype(kind))
        assert whole.dtype == kind
        for number in (1, 3):
            got = downsample(Sliced(image), factor, anti_aliasing=True, block_shape=blocks, num_workers=number)
            np.testing.assert_array_equal(got, whole)


def test_smoothing_keeps_the_extremes_of_integer_dtypes() -> None:
    pytest.importorskip("scipy.ndimage", reason="an extra of its own")
    for kind in ("u1", "u8", "i8", "i2"):
        for value in (np.iinfo(kind).max, np.iinfo(kind).min):
            image = np.full((9, 9), value, kind)
            np.testing.assert_array_equal(downsample(image, 3, anti_aliasing=True), image[::3, ::3])


def test_smoothing_keeps_the_mean_and_limits_the_spread_of_nan() -> None:
    pytest.importorskip("scipy.ndimage", reason="an extra of its own")
    image = np.random.default_rng(3).integers(0, 256, (256, 256), dtype=np.uint8)
    level = image
    for _ in range(4):
        level = downsample(level, 2, order=1, anti_aliasing=True)
    assert abs(level.mean() - image.mean()) < 3 * image.std() / 16, "truncation would lose half a unit per level"
    holed = np.ones((24, 24), np.float32)
    holed[12, 12] = np.nan
    level = downsample(holed, 2, anti_aliasing=True)
    assert np.isnan(level).sum() == 9
    assert (level[~np.isnan(level)] == 1).all()


def test_only_masked_voxels_and_selected_blocks_are_written() -> None:
    rng = np.random.default_rng(4)
    image = rng.integers(1, 100, (20, 30))
    mask = rng.random((10, 15)) < 0.4
    mask[:4] = False
    output = np.full((10, 15), -1)
    assert downsample(image, 2, output, mask=mask, block_shape=(4, 4), num_workers=2) is output
    np.testing.assert_array_equal(output, np.where(mask, image[::2, ::2], -1))
    output[:] = -1
    downsample(image, 2, output, block_shape=(4, 4), block_ids=[5, 0, 5])
    expected = np.full_like(output, -1)
    for box in (np.s_[0:4, 0:4], np.s_[4:8, 4:8]):  # blocks 0 and 5 of a 3 x 4 grid
        expected[box] = image[::2, ::2][box]
    np.testing.assert_array_equal(output, expected)


class Failing:
    """An array whose rows from 40 on cannot be read."""

    shape, dtype = (64, 8), np.dtype(np.uint8)

    def __init__(self) -> None:
        self.read, self.lock = 0, threading.Lock()

    def __getitem__(self, box: tuple[slice, ...]) -> Array:
        with self.lock:
            self.read += 1
        if box[0].stop > 40:
            raise OSError("disk is gone")
        return np.ones([s.stop - s.start for s in box], np.uint8)


@pytest.mark.parametrize("workers", [1, 3])
def test_failed_blocks_are_listed_and_the_others_written(workers: int) -> None:
    source, output = Failing(), np.zeros((32, 4), np.uint8)
    with pytest.raises(RunnerError, match="3 of 8 blocks failed; block 5: OSError: disk is gone") as caught:
        downsample(source, 2, output, block_shape=(4, 4), num_workers=workers)
    assert caught.value.failed_block_ids == [5, 6, 7]
    assert caught.value.tmp_folder is None
    assert (output[:20] == 1).all()
    assert (output[20:] == 0).all()
    assert source.read == 8


# --- arrays in files ---


@pytest.fixture(params=["zarr3", "zarr2", "sharded", "tensorstore", "n5"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Any]:
    """Return a function that creates an array in a folder."""
    kind = request.param
    ts = pytest.importorskip("tensorstore", reason="an extra of its own")

    def make(
        name: str, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: str, values: Array | None = None
    ) -> Any:
        if kind in ("tensorstore", "n5"):
            spec = {"driver": "n5" if kind == "n5" else "zarr3", "kvstore": f"file://{tmp_path}/{name}/"}
            layout = ts.ChunkLayout(chunk_shape=chunks)
            array = ts.open(spec, create=True, shape=shape, dtype=dtype, chunk_layout=layout).result()
        else:
            zarr = pytest.importorskip("zarr", reason="optional")
            shards = tuple(2 * c for c in chunks) if kind == "sharded" else None
            array = zarr.create_array(
                tmp_path / name, shape=shape, chunks=chunks, shards=shards, dtype=dtype,
                zarr_format=2 if kind == "zarr2" else 3,
            )  # fmt: skip
        if values is not None:
            array[...] = values
        return array

    return make


@pytest.mark.filterwarnings("ignore:.*Zarr format 3")
def test_arrays_in_files_give_the_same_output_with_threads_and_processes(
    stored: Callable[..., Any], tmp_path: Path
) -> None:
    rng = np.random.default_rng(5)
    labels = rng.integers(2**60, 2**61, (37, 41, 23), dtype=np.uint64)
    source = stored("input", labels.shape, (10, 10, 10), "uint64", labels)
    shape = downscale_shape(labels.shape, (2, 3, 1))
    expected = labels[::2, ::3]
    processes = {"job_type": "subprocess", "num_workers": 2, "mask": rng.random(shape) < 0.5}
    runs: list[dict[str, Any]] = [{}, {"num_workers": 3}, processes]
    for number, how in enumerate(runs):
        output = stored(f"output{number}", shape, (4, 4, 4), "uint64")
        assert downsample(source, (2, 3, 1), output, **how) is output
        np.testing.assert_array_equal(np.asarray(output[...]), np.where(how.get("mask", True), expected, 0))


@pytest.mark.filterwarnings("ignore:.*Zarr format 3")
def test_a_failed_run_resumes_only_with_the_same_arguments(stored: Callable[..., Any], tmp_path: Path) -> None:
    image = np.random.default_rng(6).integers(1, 255, (32, 32), dtype=np.uint8)
    source = stored("input", image.shape, (8, 8), "uint8", image)
    damaged = next(
        path for path in sorted((tmp_path / "input").rglob("*"), reverse=True) if path.name.strip("01.23") == ""
    )
    while damaged.is_dir():
        damaged = sorted(damaged.iterdir())[-1]
    raw = damaged.read_bytes()
    damaged.write_bytes(raw[:5])
    output = stored("output", (16, 16), (2, 2), "uint8")
    config = RunnerConfig(tmp_root=str(tmp_path / "jobs"), tasks_per_worker=3)
    how: dict[str, Any] = {"job_type": "subprocess", "num_workers": 2, "block_shape": (4, 4)}
    with pytest.raises(RunnerError, match="of 16 blocks failed") as caught:
        downsample(source, 2, output, job_config=config, **how)
    failed, folder = caught.value.failed_block_ids, caught.value.tmp_folder
    assert folder is not None
    assert 1 <= len(failed) < 16
    with pytest.raises(ValueError, match=r"belongs to a run whose block_shape was \[4, 4\], not \[8, 8\]"):
        downsample(source, 2, output, resume_from=folder, **{**how, "block_shape": (8, 8)})
    pytest.importorskip("scipy.ndimage", reason="an extra of its own")
    with pytest.raises(ValueError, match="belongs to a run whose anti_aliasing was False, not True"):
        downsample(source, 2, output, resume_from=folder, anti_aliasing=True, **how)
    damaged.write_bytes(raw)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "output").rglob("*") if path.is_file()}
    downsample(source, 2, output, resume_from=folder, **how)
    np.testing.assert_array_equal(np.asarray(output[...]), image[::2, ::2])
    kept = [path for path, when in before.items() if path.stat().st_mtime_ns == when]
    assert kept, "finished blocks are not written again"
    assert not Path(folder).exists()
    assert not list((tmp_path / "jobs").iterdir())


def test_a_run_does_not_resume_into_a_recreated_output(tmp_path: Path) -> None:
    pytest.importorskip("tensorstore", reason="an extra of its own")
    zarr = pytest.importorskip("zarr", reason="optional")
    source = zarr.create_array(tmp_path / "in", shape=(8, 8), chunks=(4, 4), dtype="u1")
    how: dict[str, Any] = {"shape": (4, 4), "chunks": (2, 2), "dtype": "u1"}
    output = zarr.create_array(tmp_path / "out", **how)
    config = RunnerConfig(tmp_root=str(tmp_path / "jobs"), task_timeout=0.01)
    with pytest.raises(RunnerError) as caught:
        downsample(source, 2, output, job_type="subprocess", job_config=config)
    folder = caught.value.tmp_folder
    assert folder is not None
    again = zarr.create_array(tmp_path / "out", overwrite=True, **how)
    with pytest.raises(ValueError, match="belongs to a run whose output's created was"):
        downsample(source, 2, again, job_type="subprocess", resume_from=folder)
    shutil.rmtree(folder)


def test_one_scale_of_a_precomputed_volume_is_written_from_another(tmp_path: Path) -> None:
    ts = pytest.importorskip("tensorstore", reason="an extra of its own")
    image = np.random.default_rng(9).integers(0, 255, (16, 12, 8, 1), dtype=np.uint8)

    def scale(size: list[int], resolution: list[int]) -> Any:
        spec: dict[str, Any] = {"driver": "neuroglancer_precomputed", "kvstore": f"file://{tmp_path}/volume/"}
        spec["multiscale_metadata"] = {"type": "image", "data_type": "uint8", "num_channels": 1}
        spec["scale_metadata"] = {"size": size, "chunk_size": [4, 4, 4], "resolution": resolution, "encoding": "raw"}
        return ts.open(spec, create=True, open=True).result()

    fine, coarse = scale([16, 12, 8], [8, 8, 8]), scale([8, 6, 4], [16, 16, 16])
    fine.write(image).result()
    downsample(fine, (2, 2, 2, 1), coarse, job_type="subprocess")
    np.testing.assert_array_equal(coarse.read().result(), image[::2, ::2, ::2])


def test_output_and_input_may_be_disjoint_views_of_one_array() -> None:
    both = np.arange(96, dtype=np.uint8).reshape(8, 12)
    expected = both[:, :8][::2, ::2].copy()
    downsample(both[:, :8], 2, both[:4, 8:])
    np.testing.assert_array_equal(both[:4, 8:], expected)


def test_a_process_is_stopped_after_its_timeout(tmp_path: Path) -> None:
    pytest.importorskip("tensorstore", reason="an extra of its own")
    zarr = pytest.importorskip("zarr", reason="optional")
    source = zarr.create_array(tmp_path / "in", shape=(8, 8), chunks=(4, 4), dtype="u1")
    output = zarr.create_array(tmp_path / "out", shape=(4, 4), chunks=(2, 2), dtype="u1")
    config = RunnerConfig(tmp_root=str(tmp_path / "jobs"), task_timeout=0.01)
    with pytest.raises(RunnerError, match="its process ended before the block was written") as caught:
        downsample(source, 2, output, job_type="subprocess", job_config=config)
    assert caught.value.failed_block_ids == [0, 1, 2, 3]
    folder = Path(caught.value.tmp_folder or "")
    assert "its task_timeout" in (folder / "part-1.log").read_text()
    shutil.rmtree(folder)


def test_invalid_arguments_are_named_and_write_nothing(tmp_path: Path) -> None:
    image, output = np.ones((8, 8), np.uint16), np.zeros((4, 4), np.uint16)
    before = output.copy()
    frozen = output.copy()
    frozen.flags.writeable = False
    for message, error, arguments in (
        ("scale_factor: ", TypeError, {"scale_factor": 1.5}),
        ("scale_factor: ", TypeError, {"scale_factor": (2.0, 2)}),
        ("scale_factor: ", ValueError, {"scale_factor": 0}),
        ("scale_factor: .* one factor for each of 2 axes", ValueError, {"scale_factor": (2,)}),
        ("order: 6 is more than 5", ValueError, {"order": 6}),
        ("order: ", ValueError, {"order": -1}),
        ("anti_aliasing: 1", TypeError, {"anti_aliasing": 1}),
        (r"output: has shape \(4, 5\)", ValueError, {"output": np.zeros((4, 5), np.uint16)}),
        ("output: uint8 cannot hold every uint16", ValueError, {"output": np.zeros((4, 4), np.uint8)}),
        (
            "output: float64 cannot hold every int64",
            ValueError,
            {"input": np.ones((8, 8), np.int64), "output": np.zeros((4, 4))},
        ),
        ("output: is read-only", ValueError, {"output": frozen}),
        ("output: shares memory", ValueError, {"output": image[:4, :4]}),
        ("output: 'slurm' needs an array in files", ValueError, {"output": None, "job_type": "slurm"}),
        ("input: other processes cannot open this ndarray", ValueError, {"job_type": "subprocess"}),
        ("job_type: 'threads'", ValueError, {"job_type": "threads"}),
        ("num_workers: ", ValueError, {"num_workers": 0}),
        (r"mask: has shape \(8, 8\)", ValueError, {"mask": np.ones((8, 8), bool)}),
        ("block_shape: ", ValueError, {"block_shape": (2,)}),
        ("block_shape: ", ValueError, {"block_shape": (2, 0)}),
        ("block_ids: 1 does not exist; blocks are numbered from 0 to 0", ValueError, {"block_ids": [1]}),
        ("block_ids, resume_from: give only one, not both", ValueError, {"block_ids": [0], "resume_from": "x"}),
        ("resume_from: only distributed runs", ValueError, {"resume_from": "x"}),
        ("input: str is not an array", TypeError, {"input": "image.zarr"}),
    ):
        call: dict[str, Any] = {"input": image, "scale_factor": 2, "output": output} | arguments
        with pytest.raises(error, match=message):
            downsample(**call)
        np.testing.assert_array_equal(output, before)
    zarr = pytest.importorskip("zarr", reason="optional")
    chunked = zarr.create_array(tmp_path / "out", shape=(4, 4), chunks=(3, 3), dtype="u2")
    with pytest.raises(ValueError, match=r"block_shape: \(2, 2\) is not a multiple of the chunks"):
        downsample(image, 2, chunked, block_shape=(2, 2))
    pytest.importorskip("tensorstore", reason="an extra of its own")
    with pytest.raises(ValueError, match="'slurm' needs a tmp_root"):
        downsample(chunked, 1, zarr.create_array(tmp_path / "o", shape=(4, 4), dtype="u2"), job_type="slurm")
    with pytest.raises(ValueError, match="output: is the same array as the input"):
        downsample(chunked, 1, zarr.open_array(tmp_path / "out"), job_type="subprocess")
    into = zarr.create_array(tmp_path / "into", shape=(4, 4), chunks=(2, 2), dtype="u2")
    with pytest.raises(ValueError, match=r"resume_from: .* is not the folder of a failed run"):
        downsample(chunked, 1, into, job_type="subprocess", resume_from=tmp_path)
    with pytest.raises(ValueError, match="output: is read-only"):
        downsample(chunked, 1, zarr.open_array(tmp_path / "into", mode="r"), job_type="subprocess")
    before_all = sorted(tmp_path.iterdir())
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("python_executable is '/nope/python', which cannot be run", {"python_executable": "/nope/python"}),
        ("task_timeout is '3', not a number", {"task_timeout": "3"}),
        ("task_timeout is -1", {"task_timeout": -1}),
        ("tasks_per_worker is 0", {"tasks_per_worker": 0}),
        ("no folder can be created in the tmp_root", {"tmp_root": "/proc/x"}),
        ("tmp_root is 3, not text", {"tmp_root": 3}),
    ]
    for message, settings in wrong:
        config = RunnerConfig(**{"tmp_root": str(tmp_path / "jobs"), **settings})
        with pytest.raises(ValueError, match=f"job_config: {message}"):
            downsample(chunked, 1, into, job_type="subprocess", job_config=config)
        assert sorted(tmp_path.iterdir()) == before_all, "no folder remains"
    dask = pytest.importorskip("dask.array", reason="an extra of its own")
    with pytest.raises(TypeError, match="output: Array does not support writing to slices"):
        downsample(image, 2, dask.zeros((4, 4), "u2"))


def test_output_equals_bioimage_py_for_factors_that_divide() -> None:
    """Voxels are equal, and smoothed floats agree to the accuracy of bioimage-py."""
    peer = pytest.importorskip("bioimage_py", reason="an optional peer")
    pytest.importorskip("scipy.ndimage", reason="an extra of its own")
    image = np.random.default_rng(7).random((48, 60, 24)).astype(np.float32)
    factors: list[int | tuple[int, ...]] = [2, 3, (2, 3, 4)]
    for factor in factors:
        for order, smooth in itertools.product((0, 1, 3), (False, True)):
            expected = peer.downsample(image, factor, order=order, anti_aliasing=smooth)
            np.testing.assert_allclose(
                downsample(image, factor, order=order, anti_aliasing=smooth), expected, atol=1e-5
            )
    both: list[int | tuple[int, ...]] = [2, (2, 3)]
    for shape in ((13, 10), (12, 9)):
        for factor, up in itertools.product(both, (True, False)):
            theirs = peer.util.downscale_shape(shape, factor, ceil_mode=up)
            assert downscale_shape(shape, factor, ceil_mode=up) == theirs


@pytest.mark.parametrize("job_type", ["local", "subprocess"])
@pytest.mark.parametrize("block_shape", [(4, 4), (8, 2), (5, 7), (16, 16)])
@pytest.mark.filterwarnings("ignore:num_workers")
def test_blocks_smaller_than_a_shard_give_the_same_output(
    tmp_path: Path, job_type: str, block_shape: tuple[int, ...]
) -> None:
    zarr = pytest.importorskip("zarr", reason="optional")
    if job_type == "subprocess":
        pytest.importorskip("tensorstore", reason="an extra of its own")
    image = np.random.default_rng(1).integers(1, 99, (64, 48), np.uint8)
    stored = zarr.create_array(tmp_path / "in", data=image, chunks=(16, 16))
    output = zarr.create_array(tmp_path / "out", shape=(32, 24), chunks=(4, 4), shards=(8, 8), dtype="u1")
    downsample(stored, 2, output, block_shape=block_shape, num_workers=3, job_type=job_type)
    np.testing.assert_array_equal(output[...], image[::2, ::2])


@pytest.mark.parametrize(
    ("block_shape", "sizes"), [((4, 4), [4] * 12), ((8, 4), [2] * 12), ((12, 8), [2, 1] * 3), ((5, 24), [7])]
)
def test_no_two_groups_of_blocks_share_a_shard(tmp_path: Path, block_shape: tuple[int, ...], sizes: list[int]) -> None:
    zarr = pytest.importorskip("zarr", reason="optional")
    output = zarr.create_array(tmp_path / "out", shape=(32, 24), chunks=(4, 4), shards=(8, 8), dtype="u1")
    job = Job.checked(np.zeros((32, 24), np.uint8), 1, output, 0, False, block_shape, None)
    groups = job.groups(range(len(job)))
    assert sorted(itertools.chain.from_iterable(groups)) == list(range(len(job)))
    assert sorted(map(len, groups)) == sorted(sizes)
    shards = [
        {(y // 8, x // 8) for n in group for y, x in itertools.product(*(range(s.start, s.stop) for s in job.box(n)))}
        for group in groups
    ]
    assert all(not a & b for a, b in itertools.combinations(shards, 2))


def test_a_warning_says_that_workers_are_idle_if_few_shards_are_written(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr", reason="optional")
    output = zarr.create_array(tmp_path / "out", shape=(16, 16), chunks=(4, 4), shards=(16, 16), dtype="u1")
    with pytest.warns(UserWarning, match="num_workers: 3 of 4 workers are idle"):
        downsample(np.ones((32, 32), np.uint8), 2, output, block_shape=(4, 4), num_workers=4)
    assert output[...].all()


class Doubled:
    """A source that computes its voxels from another source."""

    def __init__(self, source: Any) -> None:
        self.shape, self.dtype, self.source = source.shape, np.dtype(np.float32), source

    def __getitem__(self, box: tuple[slice, ...]) -> Array:
        return np.asarray(self.source[box]) * np.float32(2)


class Unpicklable(Doubled):
    """A source that cannot leave its process."""

    def __reduce__(self) -> Any:
        raise TypeError("stays here")


@pytest.mark.parametrize("anti_aliasing", [False, True])
@pytest.mark.parametrize("job_type", ["local", "subprocess"])
def test_sources_of_other_sources_are_read_in_every_job_type(
    stored: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, job_type: str, anti_aliasing: bool
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))  # (the parts import the class by its name)
    image = np.random.default_rng(3).random((20, 24)).astype(np.float32)
    expected = downsample(image * 4, 2, anti_aliasing=anti_aliasing)
    output = stored("out", (10, 12), (5, 4), "float32")
    nested = Doubled(Doubled(stored("in", (20, 24), (8, 8), "float32", image)))
    downsample(nested, 2, output, anti_aliasing=anti_aliasing, num_workers=2, job_type=job_type)
    np.testing.assert_array_equal(output[...], expected)


def test_an_input_that_cannot_be_pickled_is_refused_by_other_processes(stored: Callable[..., Any]) -> None:
    output = stored("out", (10, 12), (5, 4), "float32")
    with pytest.raises(ValueError, match="input: other processes cannot open this Unpicklable"):
        downsample(Unpicklable(stored("in", (20, 24), (8, 8), "float32")), 2, output, job_type="subprocess")
    assert not np.asarray(output[...]).any()
