"""Measure the accuracy, speed and memory of tinypyr.multires.

    pip install "tinypyr[multires,n4]" pillow
    TINYPYR_DATA=FOLDER python bench/multires.py    # bench/results/multires.md

FOLDER holds em_sections (Z_Y_X.jpg): tiles of micrographs of 2048 x 2048 voxels. The script multiplies
them by a known field and removes it; compares N4 with that of SimpleITK at full resolution; times the division of a
store by its field, interleaved with copies; and corrects a volume of 20 times the memory limit, with the peak memory
from the kernel.
"""

from __future__ import annotations

import argparse
import functools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import report
import timing

timing.one_thread()

import numpy as np  # noqa: E402

import tinypyr  # noqa: E402
from tinypyr import Grid, store  # noqa: E402
from tinypyr.multires import (  # noqa: E402
    Applied,
    GaussianBiasFieldCorrection,
    N4BiasFieldCorrection,
    apply_scaled_processing,
)

Array = np.ndarray[Any, Any]
RESULTS = Path(__file__).parent / "results"
N4: dict[str, Any] = {"spline_spacing": 1024.0, "convergence": {"iters": [100] * 4, "tol": 1e-6}}


def mosaics() -> list[Array]:
    """Return the micrographs, with four tiles per section."""
    from PIL import Image

    folder = Path(os.environ.get("TINYPYR_DATA") or "../shared/data") / "em_sections"
    tiles = {tuple(map(int, file.stem.split("_"))): np.asarray(Image.open(file)) for file in folder.glob("*.jpg")}
    if not tiles:
        raise SystemExit(f"TINYPYR_DATA: no micrographs in {folder}")
    sections = []
    for z in sorted({z for z, _, _ in tiles}):
        rows = sorted({y for at, y, _ in tiles if at == z})
        columns = sorted({x for at, _, x in tiles if at == z})
        sections.append(np.block([[tiles[z, y, x] for x in columns] for y in rows]))
    return sections


def known_field(shape: tuple[int, ...]) -> Array:
    """Return a field from 0.7 to 1.3, with waves at least as long as the image and no slope at its border."""
    y, x = np.ix_(*(np.linspace(0, np.pi, n) for n in shape))
    return np.asarray(1 + 0.2 * np.cos(x) + 0.1 * np.cos(2 * y) * np.cos(x))


def a_known_field(sections: list[Array]) -> list[str]:
    lines = [
        "What is left of a known field (0.7 to 1.3): the section under the field, corrected, over the section alone, "
        "corrected, their mean made 1; the worst of three sections, by the goal everywhere.\n",
        "| correction | root mean square | 99 % are within | everywhere within | goal |",
        "|---|--:|--:|--:|--:|",
    ]
    cases: list[tuple[str, Any, dict[str, Any], int, str]] = [
        ("Gaussian, sigma 8 voxels of 8", GaussianBiasFieldCorrection, {"sigma": 8.0}, 8, "1 %"),
        ("Gaussian, sigma 8 voxels of 4", GaussianBiasFieldCorrection, {"sigma": 8.0}, 4, "1 %"),
        ("N4, knots 128 voxels apart at last, factor 8", N4BiasFieldCorrection, N4, 8, "0.5 %"),
    ]
    for name, plugin, params, factor, goal in cases:
        deviations = []
        for section in sections:
            image = section.astype(np.float64)
            field = known_field(image.shape)
            alone = apply_scaled_processing(image, plugin, factor, params=params)
            left = apply_scaled_processing(image * field, plugin, factor, params=params)[alone > 0] / alone[alone > 0]
            off = np.abs(left / left.mean() - 1)
            deviations.append((np.sqrt((off**2).mean()), np.percentile(off, 99), off.max()))
        worst = np.max(deviations, axis=0) * 100
        lines.append(f"| {name} | {worst[0]:.2f} % | {worst[1]:.2f} % | {worst[2]:.2f} % | {goal} |")
    return lines


def n4_at_full_resolution(section: Array) -> list[str]:
    import SimpleITK as sitk

    image = (section * known_field(section.shape)).astype(np.float32) + 1
    start = time.perf_counter()
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    held = sitk.GetImageFromArray(image)
    n4.SetMaximumNumberOfIterations([50, 50])
    n4.SetConvergenceThreshold(1e-6)
    n4.SetNumberOfControlPoints([5, 5])
    n4.Execute(held, sitk.GetImageFromArray(np.ones(image.shape, np.uint8)))
    theirs = sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(held))
    seconds = time.perf_counter() - start
    theirs = theirs - theirs.mean()
    lines = [
        f"\nN4: the field found at low resolution beside SimpleITK's own at full resolution ({seconds:.1f} s), of one "
        "tile of 1024 x 1024 under the known field, knots 256 voxels apart at last; both fields' means are made 1.\n",
        "| factor | seconds, all | root mean square | everywhere within |",
        "|---|--:|--:|--:|",
    ]
    for factor in (2, 4, 8):
        start = time.perf_counter()
        plugin = N4BiasFieldCorrection(spline_spacing=512, convergence={"iters": [50, 50], "tol": 1e-6})
        applied = Applied(image, plugin, factor)
        ours = applied.upsampled[0][...]
        applied[...]
        seconds = time.perf_counter() - start
        off = np.abs(np.exp(ours - ours.mean() - theirs) - 1) * 100
        lines.append(f"| {factor} | {seconds:.1f} | {np.sqrt((off**2).mean()):.2f} % | {off.max():.2f} % |")
    return lines


def throughput(sections: list[Array], rounds: int) -> list[str]:
    # each section is shifted and flipped differently, so that the compressor cannot use repeats
    turned = [np.rot90(sections[k % 3], k // 3) for k in range(64)]
    volume = np.stack([np.roll(section, (300 * k, 177 * k), (0, 1)) for k, section in enumerate(turned)])
    grid = Grid(volume.shape, axes="zyx", scale=(40, 4, 4), units=["nanometer"] * 3)
    plugin = GaussianBiasFieldCorrection(16.0, normalize=True)
    lines = [
        f"\nA store of {volume.nbytes >> 20} MiB (micrographs, uint8, chunks of 64 x 128 x 128) with a level of "
        "1 x 4 x 4, divided by that, blurred, into a new store, beside copying it into one; two threads, no levels of "
        f"the new one; median of {rounds} rounds. `applied`: the field is there already.\n",
        "| codec | copied, s | applied, s | field and all, s | copied over applied | over all | goal |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for codec in ("zstd", "raw"):
        with tempfile.TemporaryDirectory() as folder:
            source, target, field = f"{folder}/source", f"{folder}/target", f"{folder}/field"
            store.build(
                volume, source, grid=grid, factor=(1, 2, 2), levels=2, codec=codec, chunks=(64, 128, 128),
                progress=False,
            )  # fmt: skip

            def divide(kept: str | None, source: str = source, target: str = target, codec: str = codec) -> None:
                apply_scaled_processing(
                    source, plugin, (1, 4, 4), target=target, field=kept, levels=0, progress=False, codec=codec,
                )  # fmt: skip

            def copy(source: str = source, target: str = target) -> None:
                store.build(source, target, levels=0, progress=False)

            Applied(source, plugin, (1, 4, 4), field=field).prepare()
            calls: dict[str, Callable[[], None]] = {
                "copy": copy,
                "kept": functools.partial(divide, field),
                "all": functools.partial(divide, None),
            }
            seconds: dict[str, list[float]] = {name: [] for name in calls}
            for number in range(rounds + 1):
                for name, call in calls.items():
                    start = time.perf_counter()
                    call()
                    taken = time.perf_counter() - start
                    if number:  # the first call is checked, not timed
                        seconds[name].append(taken)
                    else:
                        _compare(volume, target, None if name == "copy" else plugin)
                    shutil.rmtree(target)
        copied, applied, everything = (statistics.median(seconds[name]) for name in calls)
        lines.append(
            f"| {codec} | {copied:.2f} | {applied:.2f} | {everything:.2f} | {copied / applied:.2f} | "
            f"{copied / everything:.2f} | 0.5 |"
        )
    return lines


def _compare(volume: Array, target: str, plugin: Any) -> None:
    got = store.levels(target)[0].array[20:24, 900:1100].read().result()
    want = volume[20:24, 900:1100]
    if plugin is not None:
        low = tinypyr.pyramid(volume, (1, 2, 2), "mean", levels=2)[1]
        want = Applied(volume, plugin, (1, 4, 4), lowres=low)[20:24, 900:1100]
    if not np.array_equal(got, want):
        raise SystemExit(f"{target}: not what it should be")


MEMORY = """
import sys, threading, time
import numpy as np
from tinypyr import store
from tinypyr.multires import GaussianBiasFieldCorrection, N4BiasFieldCorrection, apply_scaled_processing

folder, factor, memory, plugin = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]

def anonymous():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))

params = {"sigma": 4.0, "normalize": True} if plugin == "GaussianBiasFieldCorrection" else {"spline_spacing": 300.0}
small = np.ones((64, 64, 64), np.uint16)
apply_scaled_processing(small, globals()[plugin], factor, target=folder + "/small", progress=False, params=params)
before, most, ended = anonymous(), 0, False

def watch():
    global most
    while not ended:
        most = max(most, anonymous())
        time.sleep(0.002)

watcher = threading.Thread(target=watch)
watcher.start()
start = time.perf_counter()
apply_scaled_processing(
    folder + "/large", globals()[plugin], factor, target=folder + "/out", memory=memory, progress=False, params=params
)
seconds = time.perf_counter() - start
ended = True
watcher.join()
print((most - before) >> 20, f"{seconds:.0f}")
"""


def memory() -> list[str]:
    lines = [
        "\nMemory, a process each: a volume of uint16, twenty times as large as allowed, corrected into a new store "
        "with its pyramid; the peak of what is in memory and in no file, over what was held before.\n",
        "| allowed | volume | plugin | factor | peak | seconds |",
        "|--:|--:|---|--:|--:|--:|",
    ]
    for allowed, edge, plugin, factor in [
        ("64MiB", 10, "GaussianBiasFieldCorrection", 8),
        ("64MiB", 10, "GaussianBiasFieldCorrection", 4),
        ("256MiB", 40, "GaussianBiasFieldCorrection", 4),
    ]:
        with tempfile.TemporaryDirectory() as folder:

            class Volume:
                """Ramps with steps that are computed when they are read."""

                shape, dtype, chunks = (edge * 64, 1024, 1024), np.dtype(np.uint16), (64, 64, 64)

                def __getitem__(self, box: Any) -> Array:
                    z, y, x = (np.arange(s.start, s.stop).astype(np.uint16) for s in box)
                    return np.asarray(1000 + (z[:, None, None] // 8 + y[:, None] // 16 + x // 16))

            store.build(Volume(), folder + "/large", levels=0, progress=False)
            command = [sys.executable, "-c", MEMORY, folder, str(factor), allowed, plugin]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
        peak, seconds = done.stdout.split()
        name = "Gaussian" if plugin.startswith("Gauss") else "N4"
        lines.append(f"| {allowed} | {edge * 128} MiB | {name} | {factor} | {peak} MiB | {seconds} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench/multires.py", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    sections = mosaics()
    lines = [f"{report.machine_line(timing.machine())}\n"]
    parts: list[Callable[[], list[str]]] = [
        lambda: a_known_field(sections),
        lambda: n4_at_full_resolution(sections[0][:1024, :1024]),
        lambda: throughput(sections, arguments.rounds),
        memory,
    ]
    for part in parts:
        part_lines = part()
        print("\n".join(part_lines), flush=True)
        lines += part_lines
    report.write_files(RESULTS, {"multires.md": ("\n".join(lines) + "\n").encode()})


if __name__ == "__main__":
    main()
