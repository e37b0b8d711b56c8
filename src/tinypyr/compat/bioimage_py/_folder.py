"""The folder that the parts of a distributed job share: the job as JSON, and a record of every finished block."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import pickle
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ... import _arrays
from ._job import Job
from ._settings import SlurmConfig

#: File that lists the groups of blocks of the current run.
_PENDING = "pending.json"


class Folder:
    """Folder of a distributed job: the job, its pending blocks, and its finished and failed blocks."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        from ...errors import StoreError
        from ...store.location import Location
        from ...store.scratch import Scratch

        try:
            self.path = Path(path).absolute()
        except TypeError:
            raise TypeError(f"resume_from: {path!r} is not a path") from None
        self._scratch = Scratch(Location.at(self.path.as_uri()))
        try:
            content = self._scratch.read_plan() if self.path.is_dir() else None
        except StoreError as error:
            raise ValueError(f"resume_from: {error}") from None
        if content is None or "blocks" not in content:
            raise ValueError(f"resume_from: {self.path} is not the folder of a failed run")
        self._description: dict[str, Any] = content["job"]
        self._fingerprint = _fingerprint(self._description)
        blocks = content["blocks"]
        self.numbers: Sequence[int] = blocks if isinstance(blocks, list) else range(blocks)

    @classmethod
    def created(cls, job: Job, description: dict[str, Any], numbers: Sequence[int], root: str | None) -> Folder:
        """Create the folder of a new job."""
        from ...store.location import Location
        from ...store.scratch import Scratch

        try:
            if root is not None:
                os.makedirs(root, exist_ok=True)
            path = tempfile.mkdtemp(prefix="tinypyr-", dir=root)
        except OSError as error:
            raise ValueError(f"job_config: no folder can be created in the tmp_root {root!r}: {error}") from None
        if isinstance(job.mask, np.ndarray):
            np.save(os.path.join(path, "mask.npy"), job.mask)
        for name in ("input", "mask"):
            if "pickle" in (description[name] or {}):
                Path(path, f"{name}.pickle").write_bytes(content := _pickled(getattr(job, name)))
                description = {**description, name: {**description[name], "pickle": _checksum(content)}}
        blocks = len(numbers) if isinstance(numbers, range) else list(numbers)
        Scratch(Location.at(Path(path).absolute().as_uri())).write_plan({"job": description, "blocks": blocks})
        return cls(path)

    def refuse_other_job(self, description: dict[str, Any]) -> None:
        """Raise ValueError if the folder belongs to a job with other arguments."""
        for name, value in description.items():
            recorded = self._description.get(name)
            if recorded == value:
                continue
            if isinstance(value, dict) and isinstance(recorded, dict):
                key = next(key for key in value if recorded.get(key) != value[key])
                name, recorded, value = f"{name}'s {key}", recorded.get(key), value[key]
            raise ValueError(f"resume_from: {self.path} belongs to a run whose {name} was {recorded}, not {value}")

    def claim(self) -> Any:
        """Return a context in which this process owns the folder. A second owner is refused."""
        from ...store.ownership import Ownership

        return Ownership(self._scratch.location)

    def begin(self, job: Job) -> list[list[int]]:
        """Return the groups of pending blocks, after recording them for all parts and forgetting earlier failures."""
        pending = self.pending()
        for number in pending:
            self._scratch.location.write(_error_file(number), None)
        groups = job.groups(pending)
        self._scratch.location.write(_PENDING, json.dumps(groups).encode())
        return groups

    def job(self) -> Job:
        """Return the job, with its arrays opened."""
        description = self._description
        mask = description["mask"]
        if isinstance(mask, str):  # the checksum of an array in memory
            mask = np.load(self.path / "mask.npy", mmap_mode="r")
        elif mask is not None:
            mask = self._input("mask")
        return Job(
            self._input("input"),
            _opened(description["output"]),
            mask,
            tuple(description["scale_factor"]),
            description["anti_aliasing"],
            tuple(description["block_shape"]),
        )

    def _input(self, name: str) -> Any:
        """Return the input or the mask."""
        description = self._description[name]
        if "pickle" not in description:
            return _opened(description)
        content = (self.path / f"{name}.pickle").read_bytes()
        if _checksum(content) != description["pickle"]:
            raise ValueError(f"{name}: {self.path / name}.pickle has changed since the run started")
        return pickle.loads(content)

    def run(self, part: int, parts: int) -> int:
        """Write the blocks of one part, and return the number of failed blocks."""
        groups = json.loads(self._scratch.location.read(_PENDING) or b"[]")
        failed, job = 0, self.job()
        own_groups = groups[len(groups) * (part - 1) // parts : len(groups) * part // parts]
        for number in itertools.chain.from_iterable(own_groups):
            try:
                job.run(number)
            except Exception as error:
                failed += 1
                self._scratch.location.write(_error_file(number), error_line(error).encode())
                continue
            self._scratch.write_result(number, self._fingerprint, b"")
        return failed

    def pending(self) -> list[int]:
        """Return the blocks that are not finished."""
        return [number for number in self.numbers if self._scratch.read_result(number, self._fingerprint) is None]

    def failed(self, latency: float) -> dict[int, str]:
        """Return the unfinished blocks and their errors, waiting ``latency`` seconds at most for files to appear."""
        deadline = time.monotonic() + latency
        while True:
            pending = self.pending()
            contents = {number: self._scratch.location.read(_error_file(number)) for number in pending}
            errors = {number: raw.decode() for number, raw in contents.items() if raw is not None}
            if len(errors) == len(pending) or time.monotonic() >= deadline:
                message = f"its process ended before the block was written; see the logs in {self.path}"
                return dict.fromkeys(pending, message) | errors
            time.sleep(0.2)

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)

    def command(self, config: SlurmConfig, part: str) -> list[str]:
        """Return the command that runs a part."""
        return [config.python_executable or sys.executable, "-m", __package__ or "", str(self.path), part]


def described(job: Job) -> dict[str, Any]:
    """Return a job as JSON. Raise ValueError if other processes cannot open its arrays."""
    mask: Any = None
    if isinstance(job.mask, np.ndarray):
        mask = _checksum(np.ascontiguousarray(job.mask).tobytes())
    elif job.mask is not None:
        mask = _input_as_json("mask", job.mask)
    source, output = _input_as_json("input", job.input), _array_as_json("output", job.output)
    if "spec" in source and all(
        source["spec"].get(key) == output["spec"].get(key) for key in ("kvstore", "scale_metadata")
    ):
        raise ValueError("output: is the same array as the input, from which it must differ; give another")
    output["created"] = _creation_time(output["spec"])
    description = {
        "input": source,
        "output": output,
        "mask": mask,
        "scale_factor": job.factors,
        "anti_aliasing": job.smoothed,
        "block_shape": job.block_shape,
    }
    plain: dict[str, Any] = _arrays.as_json(description)
    return plain


def error_line(error: BaseException) -> str:
    """Return the type of an error and the first line of its message."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:1000]


def _error_file(number: int) -> str:
    return f"error-{number}"


def _fingerprint(description: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()[:16]


def _input_as_json(name: str, array: Any) -> dict[str, Any]:
    """Return the description of an array in files, or the checksum of the pickle of another object."""
    if isinstance(array, np.ndarray) or _spec(array) is not None:
        return _array_as_json(name, array)
    try:
        content = _pickled(array)
    except Exception:  # (of the object's own methods)
        return _array_as_json(name, array)
    shape, dtype = list(array.shape), _arrays.dtype_of(array).name
    return {"pickle": _checksum(content), "shape": shape, "dtype": dtype}


def _pickled(array: Any) -> bytes:
    """Return a pickled object; functions without a name can be part of it if cloudpickle is installed."""
    try:
        import cloudpickle  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError:
        return pickle.dumps(array)
    content: bytes = cloudpickle.dumps(array)
    return content


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _spec(array: Any) -> dict[str, Any] | None:
    """Return the TensorStore spec of an array of TensorStore, or of zarr in a folder; None for others."""
    spec: dict[str, Any] | None = None
    if _arrays.is_tensorstore(array):
        spec = array.spec(retain_context=False).to_json()
    elif hasattr(getattr(getattr(array, "store_path", None), "store", None), "root"):  # zarr, in a folder
        path = os.path.abspath(os.path.join(array.store_path.store.root, array.store_path.path))
        driver = "zarr3" if array.metadata.zarr_format == 3 else "zarr"
        spec = {"driver": driver, "kvstore": {"driver": "file", "path": path + "/"}}
    return spec


def _array_as_json(name: str, array: Any) -> dict[str, Any]:
    """Return the TensorStore spec of an array in files, with its shape, dtype and chunks."""
    spec = _spec(array)
    if spec is None or "kvstore" not in spec or spec["kvstore"].get("driver") == "memory":
        raise ValueError(
            f"{name}: other processes cannot open this {type(array).__name__}; give an array of zarr in a folder, or "
            "of TensorStore in files (files of HDF5 have one writer)"
        )
    description: dict[str, Any] = {
        "spec": spec,
        "shape": list(array.shape),
        "dtype": _arrays.dtype_of(array).name,
        "chunks": _arrays.write_unit(array),
    }
    try:
        _opened(description)
    except ValueError as error:
        raise ValueError(f"{name}: other processes cannot open it: {error}") from None
    return description


def _creation_time(spec: dict[str, Any]) -> int | None:
    """Return the modification time of an array's metadata, which differs if the array was created anew."""
    store = spec["kvstore"]
    if store.get("driver") != "file":
        return None
    folder = Path(store["path"]) / spec.get("path", "")
    files = [folder / name for name in ("zarr.json", ".zarray", "attributes.json", "info")]
    return max((file.stat().st_mtime_ns for file in files if file.is_file()), default=None)


def _opened(description: dict[str, Any]) -> Any:
    from ...errors import StoreError
    from ...store.location import open_array
    from ...store.source import at_zero

    try:
        return at_zero(open_array(description["spec"], str(description["spec"]["kvstore"]), open=True))
    except StoreError as error:
        raise ValueError(str(error)) from None
