"""Folders of key-value stores, which TensorStore reads and writes: files, memory, S3, GCS, HTTP."""

from __future__ import annotations

import functools
import itertools
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import UNREADABLE, StoreError
from .file_tree import FileTree
from .tuning import current_tuning

try:
    import tensorstore as ts
except ImportError:
    raise ImportError('tinypyr.store needs TensorStore: pip install "tinypyr[store]"') from None

#: Retries of failed requests: seven requests within about 25 seconds.
_RETRIES = {"max_retries": 6, "initial_delay": "500ms", "max_delay": "8s"}


@functools.cache
def _context(sync_files: bool) -> Any:
    """Return the context that handles share, so that stores in memory exist once per process."""
    retries = {f"{driver}_request_retries": _RETRIES for driver in ("s3", "gcs", "http")}
    return ts.Context(retries if sync_files else {**retries, "file_io_sync": False})


class Location:
    """A folder of a key-value store.

    Attributes
    ----------
    name : str
        Path or URL as the caller wrote it, for messages.
    context : tensorstore.Context
        Context of the handles of this folder.
    """

    def __init__(self, store: Any, name: str, context: Any) -> None:
        self._store = store
        self.name = name
        self.context = context

    @classmethod
    def at(cls, path: str | os.PathLike[str]) -> Location:
        """Return the folder at a path, or at a URL that TensorStore supports (file, memory, s3, gs, http).

        For S3-compatible servers, set ``AWS_ENDPOINT_URL``.
        """
        name = os.fspath(path)
        if not isinstance(name, str):
            raise TypeError(f"{path!r} is neither a path nor a URL")
        url = name if "://" in name else Path(name).absolute().as_uri()
        context = _context(current_tuning().sync_files)
        try:
            return cls(ts.KvStore.open(_spec(url.rstrip("/") + "/"), context=context).result(), name, context)
        except ValueError as error:
            raise StoreError(f"{name}: TensorStore cannot open this location: {first_line(error)}") from None

    def child(self, path: str) -> Location:
        """Return the folder at a path below this one; this one for an empty path."""
        if not path.strip("/"):
            return self
        store = self._store.copy()
        store.path += path.strip("/") + "/"
        return Location(store, f"{self.name.rstrip('/')}/{path}", self.context)

    @property
    def parent(self) -> Location | None:
        """Folder that contains this one; None if this is the root of a file system, a bucket or a server."""
        path = str(self._store.path).rstrip("/")
        above = path.rpartition("/")[0]
        if not path or (self.is_file and not above):
            return None
        store = self._store.copy()
        store.path = f"{above}/" if above else ""
        return Location(store, above if self.is_file else os.path.dirname(self.name.rstrip("/")), self.context)

    @property
    def folder_name(self) -> str:
        """Name of the folder, without the path that leads to it."""
        return str(self._store.path).rstrip("/").rpartition("/")[2]

    @property
    def spec(self) -> dict[str, Any]:
        """TensorStore specification of the key-value store."""
        spec: dict[str, Any] = self._store.spec().to_json()
        return spec

    @property
    def url(self) -> str:
        """Absolute URL."""
        spec = self.spec
        if "endpoint" in spec:  # (TensorStore has no URL for these)
            return f"{spec['driver']}://{spec['bucket']}/{spec['path']}"
        return str(self._store.url)

    @property
    def files(self) -> FileTree | None:
        """The folder in a file system; None for other stores."""
        spec = self.spec
        return FileTree(spec["path"], self.name) if spec["driver"] == "file" else None

    @property
    def real(self) -> str:
        """Path without symbolic links, or the URL, ending in a slash."""
        return os.path.realpath(self.spec["path"]) + "/" if self.is_file else self.url

    @property
    def is_file(self) -> bool:
        """Return whether this is a folder in a file system."""
        return bool(self.spec["driver"] == "file")

    @property
    def is_local(self) -> bool:
        """Return whether keys can be listed without requests to a server."""
        return bool(self.spec["driver"] in ("file", "memory"))

    def read(self, key: str) -> bytes | None:
        """Return the value of a key, None if it is missing."""
        return self.read_with_generation(key)[0]

    def read_with_generation(self, key: str) -> tuple[bytes | None, bytes]:
        """Return the value of a key (None if it is missing), and its generation, for :meth:`replace`."""
        try:
            result = self._store.read(key).result()
        except (ValueError, OSError) as error:
            raise StoreError(f"{self.name}/{key} cannot be read: {first_line(error)}") from None
        return bytes(result.value) if result.state == "value" else None, bytes(result.stamp.generation)

    def write(self, key: str, value: bytes | None) -> None:
        """Write the value of a key; None deletes the key."""
        try:
            self._store.write(key, value).result()
        except (ValueError, OSError) as error:
            raise StoreError(f"{self.name}/{key} cannot be written: {first_line(error)}") from None

    def replace(self, key: str, value: bytes | None, generation: bytes) -> bool:
        """Write or delete a key if it still has this generation; return whether it was written."""
        try:
            return bool(self._store.write(key, value, if_equal=generation).result().generation)
        except (ValueError, OSError) as error:
            raise StoreError(f"{self.name}/{key} cannot be written: {first_line(error)}") from None

    def first_keys(self, limit: int) -> Iterator[str]:
        """Yield up to ``limit`` keys below, in any order; folders are listed only as far as keys are consumed."""
        files = self.files
        yield from itertools.islice(self.keys() if files is None else files.keys(), limit)

    def any_key(self) -> str | None:
        """Return a key below; None if there is no key. A file instead of the folder counts as a key."""
        if self.files is not None and self.files.is_single_file:
            return "a file"
        return next(self.first_keys(1), None)

    def keys(self) -> list[str]:
        """Return all keys below."""
        try:
            return [bytes(key).decode() for key in self._store.list().result()]
        except (ValueError, OSError) as error:
            raise StoreError(f"{self.name} cannot be listed: {first_line(error)}") from None

    def remove(self) -> None:
        """Remove all keys below."""
        if self.files is not None:
            self.files.remove()
        else:
            self._store.delete_range(ts.KvStore.KeyRange()).result()

    def json(self, key: str) -> dict[str, Any] | None:
        """Return the JSON object at a key, None if the key is missing."""
        raw = self.read(key)
        if raw is None:
            return None
        try:
            value = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise StoreError(f"{self.name}/{key} is not JSON: {first_line(error)}") from None
        if not isinstance(value, dict):
            raise StoreError(f"{self.name}/{key} must be a JSON object, but is a {type(value).__name__}")
        return value

    def write_json(self, key: str, value: dict[str, Any]) -> None:
        """Write a JSON object to a key."""
        self.write(key, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def _spec(url: str) -> Any:
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if not url.startswith("s3://") or not endpoint:
        return url
    bucket, _, path = url.removeprefix("s3://").partition("/")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    return {"driver": "s3", "bucket": bucket, "path": path, "endpoint": endpoint, "aws_region": region}


def stamp(location: Location) -> bytes:
    """Return names, sizes and times of the files below a folder; empty for other stores than files."""
    return b"" if location.files is None else location.files.stamp()


def open_array(spec: dict[str, Any], name: str, context: Any = None, **options: Any) -> Any:
    """Open an array with TensorStore, by default in the context of the tuning; raise StoreError if that fails."""
    try:
        return ts.open(spec, context=context or _context(current_tuning().sync_files), **options).result()
    except (ValueError, OSError, NotImplementedError) as error:  # (the last: unsupported by a driver or a store)
        message = _unsupported_codec(str(error), spec) or f"{name} cannot be opened: {first_line(error)}"
        raise StoreError(message) from None
    except RuntimeError as error:
        if "Unable to cast" not in str(error):  # (pybind11's error for lone surrogates, which JSON may have)
            raise
        raise StoreError(f"{name} cannot be opened: its metadata has text that is not Unicode; correct it") from None


def _unsupported_codec(error: str, spec: dict[str, Any]) -> str | None:
    """Return a sentence with the codec and the file, if TensorStore's error is that it lacks the codec."""
    file = re.search(r'Error reading (?:local file )?"([^"]+)"', error)
    missing = re.search(r'parsing object member "(?:id|name|type)": "([^"]+)" is not registered', error)
    other = re.search(r'member "(\w*encoding|cname)": Expected one of (.+?),? but received: "([^"]+)"', error)
    if file is None:
        return None
    if missing is not None:
        name, kind = missing[1], "codec"
    elif other is not None:
        kind = {"encoding": "encoding", "cname": "codec of blosc"}.get(other[1], f"{other[1]} of shards")
        name = other[3]
    elif "filters are not supported" in error:
        name, kind = _filters(spec), "filter"
    else:
        return None
    readable = "" if other is None else f" (it reads {other[2].replace(chr(34), '')})"
    return (
        f"{file[1]}: the {kind} {name!r} is one that TensorStore does not support{readable}, so the voxels cannot be "
        "read; write them again with another one, by the tool that wrote them"
    )


def _filters(spec: dict[str, Any]) -> str:
    """Return the names of the filters of an array of Zarr v2."""
    try:
        metadata = json.loads(bytes(ts.KvStore.open(spec["kvstore"]).result().read(".zarray").result().value))
        return ", ".join(str(entry["id"]) for entry in metadata["filters"])
    except UNREADABLE:
        return "of .zarray"


def check_can_create(spec: dict[str, Any], name: str) -> None:
    """Raise StoreError if TensorStore cannot create an array like this one; it is created in memory."""
    open_array({**spec, "kvstore": {"driver": "memory"}}, name, ts.Context(), open=True, create=True)


def first_line(error: BaseException) -> str:
    """Return what an error of TensorStore says, without the specification and the places in its source."""
    return re.split(r" \[(?:source locations|tensorstore_spec)=", str(error).split("\n")[0])[0][:1000]
