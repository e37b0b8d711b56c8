"""Compare the speed of tinypyr.ndinterp with scipy, dask-image, SimpleITK and OpenCV.

    pip install dask-image SimpleITK opencv-python-headless
    python bench/ndinterp.py    # bench/results/ndinterp.md

One thread; a volume of 256**3 that is rotated and scaled, an image of 4096**2, and coordinates in chunks. Every call
allocates its output, from memory that was used before, because fresh pages for 64 MB take 0.2 s on some machines, which
would dominate the time. Results are compared before a time is printed, and all packages of a row are timed in
interleaved rounds. Packages that are not installed are omitted.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timing

timing.one_thread()

import dask  # noqa: E402
import dask.array as da  # noqa: E402
import numpy as np  # noqa: E402
from scipy import ndimage  # noqa: E402

from tinypyr import ndinterp  # noqa: E402

Array = np.ndarray[Any, Any]
Calls = dict[str, Callable[[], Array]]
RESULTS = Path(__file__).parent / "results" / "ndinterp.md"


def turned(ndim: int, edge: int) -> tuple[Array, Array]:
    """Return the map of a rotation by 0.3 in each plane of adjacent axes, scaled by 0.9, around the centre."""
    matrix = np.eye(ndim) * 0.9
    for first in range(ndim - 1):
        turn = np.eye(ndim)
        turn[first : first + 2, first : first + 2] = [
            [math.cos(0.3), -math.sin(0.3)],
            [math.sin(0.3), math.cos(0.3)],
        ]
        matrix = turn @ matrix
    middle = np.full(ndim, edge / 2)
    return matrix, middle - matrix @ middle


def with_simpleitk(image: Array, matrix: Array, offset: Array, order: int) -> Callable[[], Array] | None:
    try:
        import SimpleITK as sitk
    except ImportError:
        return None
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    held = sitk.GetImageFromArray(image)
    swap = np.eye(image.ndim)[::-1]
    transform = sitk.AffineTransform(image.ndim)
    transform.SetMatrix((swap @ matrix @ swap).ravel().tolist())
    transform.SetTranslation(  # type: ignore[no-untyped-call,unused-ignore]
        (swap @ offset).tolist()
    )
    how = {0: sitk.sitkNearestNeighbor, 1: sitk.sitkLinear, 3: sitk.sitkBSpline}[order]
    return lambda: np.asarray(sitk.GetArrayViewFromImage(sitk.Resample(held, held, transform, how, 0.0)))


def with_opencv(image: Array, matrix: Array, offset: Array, order: int) -> Callable[[], Array] | None:
    try:
        import cv2  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return None
    cv2.setNumThreads(1)
    swap = np.eye(2)[::-1]
    given = np.concatenate([swap @ matrix @ swap, (swap @ offset)[:, None]], axis=1)
    flags = (cv2.INTER_NEAREST if order == 0 else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP
    return lambda: np.asarray(cv2.warpAffine(image, given, image.shape[::-1], flags=flags))


def with_dask_image(image: Array, matrix: Array, offset: Array, order: int) -> Callable[[], Array] | None:
    try:
        from dask_image import ndinterp as theirs
    except ImportError:
        return None
    held = da.from_array(image, chunks=64)
    transformed = theirs.affine_transform(held, matrix, offset, order=order, output_chunks=(64,) * image.ndim)
    return transformed.compute if order < 2 else None  # higher orders need a filtered image


def affine_row(image: Array, matrix: Array, offset: Array, order: int) -> tuple[Calls, float]:
    """Return the calls of all packages for one map, and the largest allowed difference between tinypyr and scipy."""
    chunked = da.from_array(image, chunks=64) if image.ndim == 3 else None
    calls: Calls = {
        "tinypyr": lambda: ndinterp.affine_transform(image, matrix, offset, order=order, output_chunks=-1).compute(),
        "scipy": lambda: ndimage.affine_transform(image, matrix, offset, order=order),
    }
    if chunked is not None:
        calls["tinypyr, chunks of 64"] = ndinterp.affine_transform(chunked, matrix, offset, order=order).compute
        peers = {"dask-image, chunks of 64": with_dask_image, "SimpleITK": with_simpleitk}
    else:
        peers = {"OpenCV": with_opencv}
    for name, make in peers.items():
        call = make(image, matrix, offset, order)
        if call is not None:
            calls[name] = call
    return calls, 1e-4 * 255 if image.dtype.kind == "f" else 1.0


def places_row(edge: int, order: int, rng: np.random.Generator) -> tuple[Calls, float]:
    image = rng.random((edge,) * 3).astype(np.float32)
    places = rng.uniform(0, edge - 1, (3, 100_000))
    held = da.from_array(image, chunks=64)
    return {
        "tinypyr": lambda: ndinterp.map_coordinates(held, places, order).compute(),
        "scipy": lambda: ndimage.map_coordinates(image, places, order=order),
    }, 1e-4


def measured(calls: Calls, allowed: float, rounds: int) -> dict[str, float]:
    """Return median seconds, after a comparison of the results."""
    ours, theirs = calls["tinypyr"]().astype(float), calls["scipy"]().astype(float)
    differing = np.abs(ours - theirs)
    if differing.max() > allowed or np.mean(differing > 0.01 * 255) > 1e-3:
        raise SystemExit(f"answers differ: by {differing.max()}")
    if "tinypyr, chunks of 64" in calls:
        np.testing.assert_allclose(calls["tinypyr, chunks of 64"](), ours, rtol=0, atol=1e-3)
    return {name: times.median for name, times in timing.interleaved(calls, rounds).items()}


def graph_row() -> str:
    """Measure a virtual volume of 1024**3 in chunks of 64**3."""
    source = da.zeros((1024,) * 3, chunks=64, dtype=np.uint8)
    matrix, offset = turned(3, 1024)
    start = time.perf_counter()
    transformed = ndinterp.affine_transform(source, matrix, offset)
    tasks = len(transformed.__dask_graph__())
    seconds = time.perf_counter() - start
    inside = f"the {source.npartitions:,} of the input among them"
    return f"The graph of 1024**3 voxels in chunks of 64**3: {seconds:.2f} s, {tasks:,} tasks, {inside}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small arrays, to see that it works; writes nothing")
    quick = parser.parse_args().quick
    pinned, kept = timing.pin(), timing.keep_memory()
    dask.config.set(scheduler="synchronous")
    rng = np.random.default_rng(0)
    edge, wide, rounds = (48, 200, 1) if quick else (256, 4096, 3)

    rows: list[tuple[str, int, dict[str, float]]] = []

    def row(label: str, image: Array, matrix: Array, offset: Array, order: int) -> None:
        rows.append((label, image.size, measured(*affine_row(image, matrix, offset, order), rounds)))

    for dtype in ("uint8", "float32"):
        volume = (ndimage.uniform_filter(rng.random((edge,) * 3), 3) * 255).astype(dtype)
        for name, order in (("nearest", 0), ("linear", 1), ("cubic", 3)):
            row(f"{name}, {dtype}, turned and scaled", volume, *turned(3, edge), order)
        row(f"linear, {dtype}, scaled", volume, np.diag([0.9, 0.8, 1.1]), np.array([1.5, 2.5, 3.5]), 1)
        image = (rng.random((wide, wide)) * 255).astype(dtype)
        for name, order in (("nearest", 0), ("linear", 1)):
            row(f"{name}, {dtype}, image turned and scaled", image, *turned(2, wide), order)
    for order in (1, 3):
        label = f"100,000 places, order {order}, chunks of 64"
        rows.append((label, 100_000, measured(*places_row(edge, order, rng), rounds)))

    machine = timing.machine()
    lines = [
        "# Values between voxels",
        "",
        f"`python bench/ndinterp.py` on {machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB;",
        f"one thread, {pinned}, {kept}, median of {rounds}.",
        "Millions of voxels per second; in brackets, how many times as long as tinypyr it takes.",
        "",
    ]
    for label, voxels, seconds in rows:
        told = [
            f"{name} {voxels / s / 1e6:.1f}" + ("" if name == "tinypyr" else f" ({s / seconds['tinypyr']:.1f})")
            for name, s in seconds.items()
        ]
        lines.append(f"- {label}: " + ", ".join(told))
    lines += ["", graph_row(), ""]
    print("\n".join(lines))
    if not quick:
        RESULTS.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
