"""An audit of stores: every command on a copy of each, and its voxels and metadata compared with other readers.

Levels 0 and 1 of a store are held in memory. A cell of the resulting table is

ok
    It worked, without a warning, and what it wrote is right.
warned
    The same, with a warning or a notice.
refused
    An error of tinypyr, or a ValueError or TypeError that begins with the name of an argument, of one line.
TRACEBACK
    Any other error.
WRONG
    Other voxels than an independent reader has, or metadata or chunks of others that were changed.
"""

from __future__ import annotations

import bz2
import contextlib
import functools
import gzip
import io
import json
import lzma
import os
import re
import shutil
import struct
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

import tinypyr
from support import oracle
from tinypyr import cli, store
from tinypyr.store.plan_text import notices

Array = np.ndarray[Any, Any]

FORMATS = ("ome-zarr-0.4", "ome-zarr-0.5", "ome-zarr-0.6", "n5", "precomputed")
STEPS = ("info", "plan", "build", "check", "preview", "values", "kept", *FORMATS)
METADATA = ("zarr.json", ".zattrs", ".zarray", ".zgroup", ".zmetadata", "attributes.json", "info")
#: Number of voxels up to which level 1 is compared with the oracle, which is slow, and not with tinypyr.pyramid.
ORACLE_VOXELS = 3000
#: What the message of a ValueError or TypeError for invalid arguments begins with.
ARGUMENT = re.compile(r"\w+: ")

#: Codecs of N5 that Python has.
DECOMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "raw": bytes,
    "gzip": gzip.decompress,
    "bzip2": bz2.decompress,
    "xz": lzma.decompress,
}

READ_CLOUD_VOLUME = """
import sys, numpy, cloudvolume
volume = cloudvolume.CloudVolume("file://" + sys.argv[1], mip=int(sys.argv[2]), fill_missing=True, progress=False)
numpy.save(sys.argv[3], numpy.asarray(volume[:]))
"""


class Wrong(Exception):
    """What was read or written is not what it should be."""


@dataclass
class Row:
    """The outcomes of all steps on one store, and the text of every warning and error."""

    name: str
    cells: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)

    def faults(self) -> list[str]:
        """Return the steps that crashed or were wrong, with their texts."""
        return [
            f"{self.name}: {step}: {cell}: {self.texts.get(step, '')}"
            for step, cell in self.cells.items()
            if cell in ("TRACEBACK", "WRONG")
        ]

    def take(self, step: str, action: Callable[[], Any]) -> Any:
        """Call a function; note the outcome; return its result, or None if it failed.

        A function that returns a text, or a list of texts that is not empty, gives notice of something.
        """
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                result = action()
            except store.BuildError as error:  # (its message is a report)
                texts = {str(failure) for failure in error.report.failed.values()}
                self.cells[step] = "TRACEBACK" if any("\n" in text for text in texts) else "refused"
                self.texts[step] = "; ".join(sorted(texts))
                return None
            except (tinypyr.Error, ValueError, TypeError) as error:
                text = str(error)
                ours = isinstance(error, tinypyr.Error) or ARGUMENT.match(text)
                one_line = text and "\n" not in text
                self.cells[step] = "refused" if ours and one_line else "TRACEBACK"
                self.texts[step] = text if ours else repr(error)
                return None
            except Wrong as error:
                self.cells[step], self.texts[step] = "WRONG", str(error)
                return None
            except Exception as error:
                self.cells[step], self.texts[step] = "TRACEBACK", repr(error)
                return None
        said = [str(warning.message) for warning in caught]
        if isinstance(result, str):
            said.append(result)
        self.cells[step] = "warned" if said else "ok"
        if said:
            self.texts[step] = "; ".join(said)
        return result


# --- which stores there are ---


def roots_below(folder: Path) -> Iterator[Path]:
    """Yield the outermost stores below a folder, and NIfTI files."""
    if any((folder / name).is_file() for name in METADATA):
        yield folder
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from roots_below(path)
        elif path.name.lower().endswith((".nii", ".nii.gz")):
            yield path


def stores_in(root: Path) -> Iterator[Path]:
    """Yield a store, and the images that it contains."""
    yield root
    if root.is_dir() and not _is_array(root):
        for path in sorted(root.iterdir()):
            if path.is_dir() and not _is_array(path):
                yield from (image for image in stores_in(path) if _levels_of(image))


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def _is_array(folder: Path) -> bool:
    return (
        (folder / ".zarray").exists()
        or _json(folder / "zarr.json").get("node_type") == "array"
        or "dimensions" in _json(folder / "attributes.json")
    )


def _entry(folder: Path) -> Any:
    """Return the first entry of multiscales of an OME-Zarr; None if there is none."""
    attributes = _json(folder / "zarr.json").get("attributes") or _json(folder / ".zattrs")
    entries = attributes.get("ome", attributes).get("multiscales")
    return entries[0] if entries else None


def _levels_of(folder: Path) -> list[str]:
    """Return the paths of the levels of a store, without tinypyr."""
    if _is_array(folder):
        return [""]
    if (entry := _entry(folder)) is not None:
        return [str(dataset["path"]) for dataset in entry["datasets"]]
    if (folder / "info").exists():
        return [scale["key"] for scale in _json(folder / "info").get("scales", [])]
    if (folder / "s0/attributes.json").exists():
        return [path.name for path in sorted(folder.glob("s*")) if _is_array(path)]
    return ["0"] if _is_array(folder / "0") else []


# --- independent readers ---


def read_level(where: Path, number: int) -> Array:
    """Return a level of a store as stored: with zarr-python, nibabel, cloud-volume or TensorStore."""
    if where.is_file():
        return _read_nifti(where)
    if (where / "info").exists():
        return _read_precomputed(where, number)
    path = where / _levels_of(where)[number]
    if (path / "attributes.json").exists():
        return _read_n5(path)
    import zarr

    voxels: Array = np.asarray(zarr.open_array(str(path), mode="r")[...])
    return voxels.astype(voxels.dtype.newbyteorder("="))


def _read_nifti(path: Path) -> Array:
    import nibabel

    image: Any = nibabel.load(path)
    return np.asarray(image.dataobj)


def _read_n5(path: Path) -> Array:
    """Return an array of N5, decoded here because zarr-python has no N5 any more; other codecs with TensorStore."""
    meta = _json(path / "attributes.json")
    decompress = DECOMPRESSORS.get(meta["compression"]["type"])
    if decompress is None or meta["compression"].get("useZlib"):
        return _read_tensorstore({"driver": "n5", "kvstore": {"driver": "file", "path": f"{path}/"}})
    shape, block = meta["dimensions"], meta["blockSize"]
    voxels = np.zeros(shape, meta["dataType"])
    for index in np.ndindex(*(-(-n // b) for n, b in zip(shape, block, strict=True))):
        file = path.joinpath(*map(str, index))
        if file.is_file():
            raw = file.read_bytes()
            _, ndim = struct.unpack(">HH", raw[:4])
            extents = struct.unpack(f">{ndim}I", raw[4 : 4 + 4 * ndim])
            stored = np.frombuffer(decompress(raw[4 + 4 * ndim :]), voxels.dtype.newbyteorder(">"))
            corner = tuple(slice(i * b, (i + 1) * b) for i, b in zip(index, block, strict=True))
            target = voxels[corner]
            part = stored.reshape(extents, order="F")[tuple(slice(n) for n in target.shape)]  # (edges may be whole)
            target[...] = part
    return voxels


def _read_tensorstore(spec: dict[str, Any]) -> Array:
    voxels: Array = ts.open(spec, open=True).result().read().result()
    return voxels


def _read_precomputed(where: Path, number: int) -> Array:
    program = os.environ.get("TINYPYR_CLOUDVOLUME")
    if not program:
        spec = {"driver": "neuroglancer_precomputed", "kvstore": {"driver": "file", "path": f"{where}/"}}
        return _read_tensorstore({**spec, "scale_index": number})
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "voxels.npy"
        command = [program, "-c", READ_CLOUD_VOLUME, str(where), str(number), str(out)]
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": ""})
        voxels: Array = np.load(out)
    return voxels


def axes_of(where: Path) -> list[str]:
    """Return the axes of a store that tinypyr wrote, according to its metadata."""
    if (where / "info").exists():
        return list("xyzc")
    if (where / "attributes.json").exists():
        return list(_json(where / "attributes.json")["axes"])
    entry = _entry(where)
    if "coordinateSystems" not in entry:
        return [axis["name"] for axis in entry["axes"]]
    output = entry["datasets"][0]["coordinateTransformations"][0]["output"]
    name = output["name"] if isinstance(output, dict) else output
    system = next(system for system in entry["coordinateSystems"] if system["name"] == name)
    return [axis["name"] for axis in system["axes"]]


# --- comparisons ---


def expected_level(voxels: Array, plan: store.Plan) -> Array:
    """Return level 1 of a plan, from the voxels of level 0."""
    factor, offset = plan.factors[0], plan.grids[0].voxel_offset
    options, exact = plan.options, voxels.dtype.kind not in "fc" or plan.method != "mean"
    if exact and voxels.size <= ORACLE_VOXELS and voxels.dtype != np.float16:
        rule = {"rounding": options.rounding, "ties": options.ties}
        (level,) = oracle.pyramid(voxels, [factor], plan.method, ignore=options.ignore, voxel_offset=offset, **rule)
        return np.array(level.values, voxels.dtype).reshape(level.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        method: Any = plan.method
        return tinypyr.pyramid(voxels, [factor], method, ignore=options.ignore, voxel_offset=offset)[0]


def compare(expected: Array, axes: tuple[str, ...], got: Array, got_axes: list[str], what: str) -> None:
    """Raise Wrong unless arrays with named axes are equal; axes that only one has must have one voxel."""
    if any(n != 1 for name, n in zip(got_axes, got.shape, strict=True) if name not in axes):
        raise Wrong(f"{what}: has the axes {got_axes} with shape {got.shape}, not {axes}")
    if not set(axes) <= set(got_axes):
        raise Wrong(f"{what}: has the axes {got_axes}, not {axes}")
    got = got[tuple(slice(None) if name in axes else 0 for name in got_axes)]
    names = [name for name in got_axes if name in axes]
    got = got.transpose([names.index(name) for name in axes])
    if got.shape != expected.shape or got.dtype != expected.dtype:
        raise Wrong(f"{what}: {got.dtype} of shape {got.shape}, not {expected.dtype} of {expected.shape}")
    differs = (got != expected) & ~((got != got) & (expected != expected))
    if differs.any():
        raise Wrong(f"{what}: {int(differs.sum())} of {differs.size} voxels differ")


def lost(before: Any, after: Any, place: str = "") -> list[str]:
    """Return the places of keys of JSON that were there before and are not any more."""
    if isinstance(before, dict):
        if not isinstance(after, dict):
            return [place]
        return [
            name
            for key, value in before.items()
            for name in (lost(value, after[key], f"{place}.{key}") if key in after else [f"{place}.{key}"])
        ]
    if isinstance(before, list) and any(isinstance(value, (dict, list)) for value in before):
        if not isinstance(after, list) or len(after) < len(before):
            return [place]
        return [n for k, (a, b) in enumerate(zip(before, after, strict=False)) for n in lost(a, b, f"{place}[{k}]")]
    return []


def check_kept(before: Path, after: Path) -> None:
    """Raise Wrong if a key of JSON was lost, or any other file was changed or removed."""
    for path in sorted(before.rglob("*")):
        if not path.is_file():
            continue
        name, now = path.relative_to(before), after / path.relative_to(before)
        if not now.is_file():
            raise Wrong(f"{name}: was removed")
        if path.name not in METADATA:
            if path.read_bytes() != now.read_bytes():
                raise Wrong(f"{name}: was changed")
        elif names := lost(json.loads(path.read_text()), json.loads(now.read_text())):
            raise Wrong(f"{name}: lost {', '.join(names)}")


# --- the audit ---


def run_info(where: Path) -> str | None:
    """Run ``tinypyr info``; return what it wrote to the standard error; raise StoreError if it failed."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        status = cli.main(["info", str(where)])
    said = errors.getvalue().strip()
    if status:
        raise store.StoreError(said)
    return said or None


def audit_store(path: Path, inner: Path, name: str, scratch: Path, formats: Sequence[str] = FORMATS) -> Row:
    """Audit one store, the folder ``inner`` of ``path``, which is copied; copy it to ``formats``."""
    row = Row(name)
    copy = scratch / ("copy" if path.is_dir() else path.name)
    shutil.copytree(path, copy) if path.is_dir() else shutil.copy2(path, copy)
    where = copy / inner
    row.take("info", lambda: run_info(where))
    single = where.is_file() or _levels_of(where) == [""]
    target = scratch / "single" if single else None
    plan = row.take("plan", lambda: _planned(where, target))
    built = where if target is None else target
    original = axes = None
    if plan is not None:
        try:
            original, axes = read_level(where, 0), plan.grids[0].axes
        except Exception as error:  # (the other reader cannot read it either)
            row.texts["values"] = f"not compared: {error!r}"
    report = row.take("build", lambda: _built(where, target))
    if report is not None or not single:
        row.take("check", lambda: _checked(built, report is not None))
    row.take("preview", lambda: store.preview(where if single and report is None else built) is None)
    if report is not None and original is not None:
        stored_axes = list(plan.grids[0].axes) if built == where else None
        row.take("values", lambda: _compare_levels(original, axes, report.plan, built, stored_axes))
    if report is not None and path.is_dir():
        row.take("kept", lambda: check_kept(path, copy))
    for format in formats:
        row.take(format, functools.partial(_copied, path / inner, scratch / format, format, original, axes))
    return row


def _planned(where: Path, target: Path | None) -> store.Plan:
    plan = store.plan(where, target, **_levels_at_least_one(where, target))
    str(plan)
    plan.describe()
    return plan


def _levels_at_least_one(where: Path, target: Path | None) -> dict[str, Any]:
    """Return the default arguments; one level if the volume fits in a chunk, so that there is something to compare."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {} if store.plan(where, target).factors else {"levels": 1}


def _built(where: Path, target: Path | None) -> store.Report:
    report = store.build(where, target, progress=False, workers=1, **_levels_at_least_one(where, target))
    for line in notices(report.plan):
        warnings.warn(line, stacklevel=2)
    return report


def _checked(where: Path, ours: bool) -> str | None:
    """Check a store; differences are wrong after a build, and a notice if the levels are of others."""
    result = store.check(where)
    if ours and not result.ok:
        raise Wrong(str(result))
    return None if result.ok else str(result)


def _compare_levels(original: Array, axes: Any, plan: store.Plan, where: Path, stored_axes: list[str] | None) -> None:
    """Compare levels 0 and 1 of a store with those that follow from the original voxels."""
    names = stored_axes or axes_of(where)
    compare(original, axes, read_level(where, 0), names, "level 0")
    if plan.factors:
        compare(expected_level(original, plan), axes, read_level(where, 1), names, "level 1")


def _copied(where: Path, target: Path, format: str, original: Array | None, axes: Any) -> None:
    report = store.build(where, target, format=format, progress=False, workers=1, levels=1)
    for line in notices(report.plan):
        warnings.warn(line, stacklevel=2)
    if original is not None:
        _compare_levels(original, axes, report.plan, target, None)
    if not (result := store.check(target)).ok:
        raise Wrong(str(result))


def audit(folder: Path, scratch: Path | None = None, copies: int = len(FORMATS)) -> list[Row]:
    """Audit every store below a folder, which is not changed.

    Copies are created below ``scratch``. Each store is copied to so many formats, the next ones to others.
    """
    rows: list[Row] = []
    for root in roots_below(folder):
        for path in stores_in(root):
            first = len(rows) * copies
            formats = [FORMATS[(first + k) % len(FORMATS)] for k in range(copies)]
            with tempfile.TemporaryDirectory(dir=scratch) as below:
                name = path.relative_to(folder).as_posix()
                rows.append(audit_store(root, path.relative_to(root), name, Path(below), formats))
    return rows


def table(rows: list[Row]) -> list[str]:
    """Return the outcomes as a table, the texts of everything but ok, and how many there are of each."""
    heads = ["store", *(step.removeprefix("ome-zarr-") for step in STEPS)]
    body = [[row.name, *(row.cells.get(step, "-") for step in STEPS)] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *body, strict=True)]
    lines = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in [heads, *body]]
    lines.append("")
    lines += [f"{row.name}: {step}: {text}" for row in rows for step, text in row.texts.items()]
    cells = [cell for row in rows for cell in row.cells.values()]
    counts = ", ".join(f"{cells.count(kind)} {kind}" for kind in ("ok", "warned", "refused", "TRACEBACK", "WRONG"))
    return [*lines, "", f"stores: {len(rows)}; cells: {counts}"]
