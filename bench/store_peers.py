"""Other packages that build levels of stored volumes. To add one, write a `make_...` function and a line in `PEERS`.

``make(part)`` does the work that is not timed (a package may need the base in another format) and returns a `Job`, or
raises `Skip` with the reason if the package cannot do the work. Packages are imported when first needed.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

import tinypyr
from peers import Skip
from workloads import Array, Method

Sizes = tuple[int, int, int]


@dataclass(frozen=True)
class Part:
    """An OME-Zarr store with the base as array "0", axes z, y, x, and the levels to build."""

    folder: Path
    method: Method
    chunks: Sizes
    factor: Sizes
    levels: int
    workers: int

    @property
    def base(self) -> Path:
        return self.folder / "0"


@dataclass(frozen=True)
class Job:
    what: str  # how the work differs, and why
    run: Callable[[], object]
    levels: Callable[[], list[Array]]  # reads the levels that run wrote, axes z, y, x
    factor: Sizes


@dataclass(frozen=True)
class Peer:
    name: str
    distribution: str  # the distribution, to report its version
    modules: tuple[str, ...]  # a module whose import shows that the package works
    make: Callable[[Part], Job]


def load(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise Skip(f"not installed ({error})") from None
    except Exception as error:  # packages with conflicting versions fail in many ways
        raise Skip(f"cannot be imported ({type(error).__name__}: {error})") from None


def spec(path: Path) -> dict[str, Any]:
    return {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path}/"}}


def read(path: Path) -> Array:
    """Return a whole array of a store."""
    return np.asarray(ts.open(spec(path), open=True).result().read().result())


def verdict(base: Any, levels: list[Any], factor: Sizes, method: Method) -> str:
    """Compare the first and the last level with the exact levels of the base.

    Any most frequent label is right; a label other than tinypyr's is counted as a tie.
    """
    numbers = sorted({1, len(levels)})
    different, wrong = dict.fromkeys(numbers, 0), dict.fromkeys(numbers, 0)
    step = factor[0] ** len(levels) * 32  # whole footprints, some layers at a time
    for z in range(0, base.shape[0], step):
        slab = np.asarray(base[z : min(z + step, base.shape[0])])
        exact = tinypyr.pyramid(slab, factor, method, levels=len(levels))
        for number in numbers:
            right = exact[number - 1]
            sizes = tuple(f**number for f in factor)
            if tuple(levels[number - 1].shape[1:]) != right.shape[1:]:
                raise AssertionError(f"level {number} has the shape {levels[number - 1].shape}")
            answer = np.asarray(levels[number - 1][z // sizes[0] : z // sizes[0] + len(right)])
            different[number] += int(np.count_nonzero(answer != right))
            if method == "mode":
                bad = _often(slab, answer, sizes) < _often(slab, right, sizes)
            else:
                bad = np.abs(answer.astype(np.int64) - right) > 1
            wrong[number] += int(np.count_nonzero(bad))
    if not any(different.values()):
        return "equal"
    if not any(wrong.values()):
        return "equal but for ties" if method == "mode" else "within 1"
    shares = {n: 100 * count / np.prod(levels[n - 1].shape) for n, count in wrong.items() if count}
    how = "differs at" if method == "mode" else "off by more than 1 at"
    return f"{how} {', '.join(f'{share:.2g} % of level {n}' for n, share in shares.items())}"


def _often(slab: Array, labels: Array, sizes: tuple[int, ...]) -> Array:
    """Return how often each label occurs in its own footprint."""
    z, y, x = labels.shape
    blocks = slab.reshape(z, sizes[0], y, sizes[1], x, sizes[2])
    return np.asarray((blocks == labels[:, None, :, None, :, None]).sum(axis=(1, 3, 5), dtype=np.int32))


def _threads(part: Part) -> Any:
    return load("dask").config.set(scheduler="threads", num_workers=part.workers)


# --- dask alone: level after level, each from the one stored before ---
def make_dask(part: Part) -> Job:
    da, zarr = load("dask.array"), load("zarr")
    if part.method != "mean":
        raise Skip(f"NumPy has no {part.method} for it to call")
    like = zarr.open_array(part.base)
    folder = part.folder / "dask"
    axes = dict(enumerate(part.factor))

    def run() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        before = part.base
        with _threads(part):
            for number in range(1, part.levels + 1):
                smaller = da.coarsen(np.mean, da.from_zarr(str(before)), axes).round().astype(like.dtype)
                more = {"chunks": part.chunks, "compressors": like.compressors}
                da.to_zarr(smaller.rechunk(part.chunks), str(folder), component=str(number), **more)
                before = folder / str(number)

    def levels() -> list[Array]:
        return [read(folder / str(number)) for number in range(1, part.levels + 1)]

    return Job(f"dask.array.coarsen, {part.levels} levels, recursive", run, levels, part.factor)


# --- ome-zarr: lazy levels, written in one dask graph; the base is not copied ---
def make_ome_zarr(part: Part) -> Job:
    da, ome_zarr, writer = load("dask.array"), load("ome_zarr"), load("ome_zarr.writer")
    like = load("zarr").open_array(part.base)
    folder = part.folder / "ome-zarr"
    how, what = ("local_mean", "truncates") if part.method == "mean" else ("nearest", "nearest voxel: has no mode")
    factors = [dict(zip("zyx", (f**n for f in part.factor), strict=True)) for n in range(1, part.levels + 1)]
    options = {"chunks": part.chunks, "compressors": like.compressors}

    def run() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        image = ome_zarr.OMEZarrImage(data=da.from_zarr(str(part.base)), axes="zyx", name="image")
        pyramid = ome_zarr.OMEZarrMultiscale(image=image, scale_factors=factors, method=how)
        levels = [level.data for level in pyramid.images[1:]]
        with _threads(part):
            writer.write_multiscale(levels, str(folder), axes="zyx", storage_options=options)

    def levels() -> list[Array]:
        return [read(folder / f"s{number}") for number in range(part.levels)]

    return Job(f"ome-zarr, {part.levels} levels, recursive, {what}", run, levels, part.factor)


# --- ngff-zarr: levels added to a store of its own, which already has the base ---
def make_ngff_zarr(part: Part) -> Job:
    da, nz = load("dask.array"), load("ngff_zarr")
    like = load("zarr").open_array(part.base)
    folder = part.folder / "ngff-zarr"
    how = nz.Methods.DASK_BIN_SHRINK if part.method == "mean" else nz.Methods.DASK_IMAGE_MODE
    factors = [dict(zip("zyx", (f**n for f in part.factor), strict=True)) for n in range(1, part.levels + 1)]

    def write(image: Any, scale_factors: list[dict[str, int]], **more: Any) -> None:
        with _threads(part):
            levels = nz.to_multiscales(image, scale_factors, method=how, chunks=part.chunks, cache=False)
            nz.to_ngff_zarr(str(folder), levels, version="0.5", compressors=list(like.compressors), **more)

    def run() -> None:  # replaces existing levels
        write(nz.from_ngff_zarr(str(folder)).images[0], factors, overwrite=False, start_level=1)

    def levels() -> list[Array]:
        return [read(folder / f"scale{number}" / "image") for number in range(1, part.levels + 1)]

    write(nz.to_ngff_image(da.from_zarr(str(part.base)), dims=list("zyx")), [])
    return Job(f"ngff-zarr, {part.levels} levels, recursive", run, levels, part.factor)


# --- igneous: tasks over a precomputed layer, in processes of their own ---
def make_igneous(part: Part) -> Job:
    CloudVolume = load("cloudvolume").CloudVolume
    tasks, LocalTaskQueue = load("igneous.task_creation"), load("taskqueue").LocalTaskQueue
    base = ts.open(spec(part.base), open=True).result()
    folder = part.folder / "igneous"
    layer = f"file://{folder}"
    info = CloudVolume.create_new_info(
        num_channels=1,
        layer_type="image" if part.method == "mean" else "segmentation",
        data_type=base.dtype.name,
        encoding="raw",
        resolution=(1, 1, 1),
        voxel_offset=(0, 0, 0),
        volume_size=base.shape[::-1],
        chunk_size=part.chunks[::-1],
    )
    volume = CloudVolume(layer, info=info, compress="zstd", progress=False)
    volume.commit_info()
    volume[:] = np.asarray(base.read().result()).T
    key = volume.key

    def plan() -> Any:
        """Return tasks for the base alone; igneous records their purpose in the layer's metadata."""
        for place in folder.iterdir():
            if place.is_dir() and place.name != key:
                shutil.rmtree(place)
        (folder / "info").write_text(json.dumps(info))
        with contextlib.redirect_stdout(io.StringIO()):
            more = {"num_mips": part.levels, "compress": "zstd", "memory_target": 2**30}
            return tasks.create_downsampling_tasks(layer, factor=part.factor[::-1], **more)

    def run() -> None:
        queue = LocalTaskQueue(parallel=part.workers, progress=False)
        queue.insert(plan())
        queue.execute(progress=False)

    def level_count() -> int:
        return len(CloudVolume(layer, progress=False).available_mips) - 1

    def levels() -> list[Array]:
        volumes = (CloudVolume(layer, mip=number, progress=False)[:] for number in range(1, level_count() + 1))
        return [np.asarray(level)[..., 0].T for level in volumes]

    plan()
    what = f"igneous, {level_count()} levels{', recursive' if part.method == 'mode' else ''}, precomputed with zstd"
    if level_count() < part.levels:
        what += "; stops where a plane is one chunk"
    return Job(what, run, levels, part.factor)


# --- pyramid-sampler: the number of chunks must be the same along every axis ---
def make_pyramid_sampler(part: Part) -> Job:
    sampler, zarr = load("pyramid_sampler"), load("zarr")
    if part.method != "mean":
        raise Skip(f"has no {part.method}")
    logging.getLogger("pyramid_sampler").setLevel(logging.WARNING)  # prints a line per level
    like = zarr.open_array(part.base)
    count = 8  # the last level is one chunk
    if any(n % count for n in like.shape):
        raise Skip(f"an extent of {like.shape} is no multiple of {count}")
    level_count, chunks = count.bit_length() - 1, tuple(n // count for n in like.shape)
    folder = part.folder / "pyramid-sampler"
    group = zarr.create_group(folder).create_group("image")
    base = group.create_array("0", shape=like.shape, chunks=chunks, dtype=like.dtype, compressors=like.compressors)
    base[...] = like[...]

    def run() -> None:
        for number in range(1, level_count + 1):
            shutil.rmtree(folder / "image" / str(number), ignore_errors=True)
        with _threads(part):
            sampler.Downsampler(str(folder), (2, 2, 2), like.shape, chunks).downsample(level_count + 1, "image")

    def levels() -> list[Array]:
        return [read(folder / "image" / str(number)) for number in range(1, level_count + 1)]

    size = " x ".join(map(str, chunks))
    what = f"pyramid-sampler, {level_count} levels of 2x2x2 in chunks of {size}, recursive, truncates"
    return Job(what, run, levels, (2, 2, 2))


PEERS = [
    Peer("ome-zarr", "ome-zarr", ("ome_zarr", "ome_zarr.writer", "dask.array", "zarr"), make_ome_zarr),
    Peer("ngff-zarr", "ngff-zarr", ("ngff_zarr", "dask.array", "zarr"), make_ngff_zarr),
    Peer("dask", "dask", ("dask.array", "zarr"), make_dask),
    Peer("igneous", "igneous-pipeline", ("cloudvolume", "taskqueue", "igneous.task_creation"), make_igneous),
    Peer("pyramid-sampler", "pyramid-sampler", ("pyramid_sampler", "dask", "zarr"), make_pyramid_sampler),
]
