"""Folders of key-value stores, which TensorStore reads and writes: files, memory, S3, GCS, HTTP."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import UNREADABLE, StoreError
from .tuning import current_tuning

try:
    import tensorstore as ts
except ImportError:
    raise ImportError('tinypyr.store needs TensorStore: pip install "tinypyr[store]"') from None

#: Retries of failed requests: seven requests within about 25 seconds.
_RETRIES = {"max_retries": 6, "initial_delay": "500ms", "max_delay": "8s"}
#: Beginnings of the names of metadata files, which may change without the voxels.
METADATA = ("zarr.json", "attributes.json")


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
            raise StoreError(f"{name}: TensorStore cannot open this location: {_first_line(error)}") from None

    def child(self, path: str) -> Location:
        """Return the folder at a path below this one; this one for an empty path."""
        if not path.strip("/"):
            return self
        store = self._store.copy()
        store.path += path.strip("/") + "/"
        return Location(store, f"{self.name.rstrip('/')}/{path}", self.context)

    def parent(self) -> Location:
        """Return the folder that contains this one."""
        store = self._store.copy()
        store.path = store.path.rstrip("/").rpartition("/")[0] + "/"
        return Location(store, f"{self.name.rstrip('/')}/..", self.context)

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
    def real(self) -> str:
        """Path without symbolic links, or the URL, ending in a slash."""
        return os.path.realpath(self.spec["path"]) + "/" if self.is_file else self.url

    @property
    def is_file(self) -> bool:
        """Return whether this is a folder in a file system."""
        return bool(self.spec["driver"] == "file")

    @property
    def is_single_file(self) -> bool:
        """Return whether this is a file instead of a folder."""
        return self.is_file and os.path.isfile(self.spec["path"].rstrip("/"))

    @property
    def is_local(self) -> bool:
        """Return whether keys can be listed without requests to a server."""
        return bool(self.spec["driver"] in ("file", "memory"))

    def check_inside(self, path: str) -> None:
        """Raise StoreError if a symbolic link leads from a path below this folder out of it."""
        root = self.real
        if self.is_file and not (os.path.realpath(os.path.join(root, path)) + "/").startswith(root):
            raise StoreError(f"{self.name}/{path} is a link that leads out of the store; remove it first")

    def link(self, path: str, target: Location) -> None:
        """Make a path below this folder a symbolic link to another folder; both must be in file systems."""
        link, folder = Path(self.spec["path"]) / path, Path(target.spec["path"])
        if link.is_symlink() and link.resolve() == folder.resolve():
            return
        try:
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(folder, target_is_directory=True)
        except OSError as error:
            raise StoreError(f"{self.name}/{path} cannot be linked: {error}") from None

    def read(self, key: str) -> bytes | None:
        """Return the value of a key, None if it is missing."""
        return self.read_with_generation(key)[0]

    def read_with_generation(self, key: str) -> tuple[bytes | None, bytes]:
        """Return the value of a key (None if it is missing), and its generation, for :meth:`replace`."""
        try:
            result = self._store.read(key).result()
        except (ValueError, OSError) as error:
            raise StoreError(f"{self.name}/{key} cannot be read: {_first_line(error)}") from None
        return bytes(result.value) if result.state == "value" else None, bytes(result.stamp.generation)

    def write(self, key: str, value: bytes | None) -> None:
        """Write the value of a key; None deletes the key."""
        try:
            self._store.write(key, value).result()
        except (ValueError, OSError) as error:
            raise StoreError(f"{self.name}/{key} cannot be written: {_first_line(error)}") from None

    def replace(self, key: str, value: bytes | None, generation: bytes) -> bool:
        """Write or delete a key if it still has this generation; return whether it was written."""
        try:
            return bool(self._store.write(key, value, if_equal=generation).result().generation)
        except (ValueError, OSError) as error:
            raise StoreError(f"{self.name}/{key} cannot be written: {_first_line(error)}") from None

    def stamp(self, limit: int = 1 << 17) -> bytes:
        """Return names, sizes and times of up to ``limit`` files below; empty for other stores than files.

        Metadata files and hidden files do not count. A copy that keeps the times of files has the same stamp.
        """
        files = (entry for entry in self._entries(limit) if not entry.is_dir())
        return b"\n".join(self._line(entry, with_change=False) for entry in files)

    def status(self, limit: int = 1 << 17, *, with_folder: bool = False) -> bytes:
        """Return what :meth:`stamp` does, with folders and with the times of the last change of status.

        Copying and moving set these times anew, so the status differs after a folder was moved away and back, or
        restored from a backup. ``with_folder`` includes the folder itself.
        """
        lines = [self._line(entry, with_change=True) for entry in self._entries(limit)]
        if with_folder and self.is_file and os.path.isdir(self.spec["path"]):
            lines.append(_times(os.stat(self.spec["path"]), with_change=True).encode())
        return b"\n".join(lines)

    def _entries(self, limit: int) -> Iterator[os.DirEntry[str] | _SingleFile]:
        """Yield up to ``limit`` files and folders below in a fixed order, without metadata and hidden files."""
        if not self.is_file:
            return
        root = self.spec["path"]
        if self.is_single_file:
            yield _SingleFile(root.rstrip("/"))
            return
        entries = (entry for entry in self._walk(hidden=False) if not entry.name.startswith(METADATA))
        yield from itertools.islice(entries, limit)

    def _walk(self, *, hidden: bool) -> Iterator[os.DirEntry[str]]:
        """Yield files and folders below, folder by folder in the order of names; hidden ones only with ``hidden``."""
        folders = [self.spec["path"]]
        while folders:
            try:
                entries = sorted(os.scandir(folders.pop()), key=lambda entry: entry.name)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise StoreError(f"{self.name} cannot be listed: {error}") from None
            entries = [entry for entry in entries if hidden or not entry.name.startswith(".")]
            folders += [entry.path for entry in entries if entry.is_dir()]
            yield from entries

    def _line(self, entry: os.DirEntry[str] | _SingleFile, *, with_change: bool) -> bytes:
        """Return a line that describes a file or a folder; an empty one for a temporary file that is gone."""
        try:
            status = entry.stat()
        except FileNotFoundError:
            return b""
        size = "" if entry.is_dir() else status.st_size
        name = entry.path[len(self.spec["path"]) :]
        return f"{name} {size} {_times(status, with_change=with_change)}".encode()

    def first_keys(self, limit: int) -> Iterator[str]:
        """Yield up to ``limit`` keys below, in any order; folders are listed only as far as keys are consumed."""
        if not self.is_file:
            yield from self.keys()[:limit]
            return
        root = self.spec["path"]
        files = (entry.path[len(root) :] for entry in self._walk(hidden=True) if not entry.is_dir())
        yield from itertools.islice(files, limit)

    def any_key(self) -> str | None:
        """Return a key below; None if there is no key. A file instead of the folder counts as a key."""
        if self.is_single_file:
            return "a file"
        return next(self.first_keys(1), None)

    def keys(self) -> list[str]:
        """Return all keys below."""
        try:
            return [bytes(key).decode() for key in self._store.list().result()]
        except (ValueError, OSError) as error:
            raise StoreError(f"{self.name} cannot be listed: {_first_line(error)}") from None

    def remove(self) -> None:
        """Remove all keys below."""
        if self.is_file:  # (removes empty folders too, and links instead of their targets)
            shutil.rmtree(self.spec["path"], ignore_errors=True)
        else:
            self._store.delete_range(ts.KvStore.KeyRange()).result()

    def remove_all_but(self, kept_name: str, last: str) -> None:
        """Remove all keys directly below except ``kept_name``; remove the key ``last`` after all others."""
        if not self.is_file:
            for name in sorted(self.keys(), key=lambda name: name == last):
                if name != kept_name:
                    self.write(name, None)
            return
        folder = Path(self.spec["path"])
        try:
            names = sorted(os.listdir(folder) if folder.is_dir() else [], key=lambda name: name == last)
            for name in names:
                if name.startswith(kept_name):  # (and its temporary files, of a writer that was interrupted)
                    continue
                if (folder / name).is_dir():
                    shutil.rmtree(folder / name, ignore_errors=True)
                else:
                    (folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{self.name}: temporary files cannot be removed: {error}") from None

    def remove_if_empty(self) -> None:
        """Remove the folder if it is empty and in a file system."""
        if self.is_file:
            with contextlib.suppress(OSError):
                os.rmdir(self.spec["path"])

    def json(self, key: str) -> dict[str, Any] | None:
        """Return the JSON object at a key, None if the key is missing."""
        raw = self.read(key)
        if raw is None:
            return None
        try:
            value = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise StoreError(f"{self.name}/{key} is not JSON: {_first_line(error)}") from None
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


def open_array(spec: dict[str, Any], name: str, context: Any = None, **options: Any) -> Any:
    """Open an array with TensorStore, by default in the context of the tuning; raise StoreError if that fails."""
    try:
        return ts.open(spec, context=context or _context(current_tuning().sync_files), **options).result()
    except (ValueError, OSError, NotImplementedError) as error:  # (the last: unsupported by a driver or a store)
        message = _unsupported_codec(str(error), spec) or f"{name} cannot be opened: {_first_line(error)}"
        raise StoreError(message) from None


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


class _SingleFile:
    """A file that is a location by itself, with the part of os.DirEntry's interface that is used here."""

    def __init__(self, path: str) -> None:
        self.path = path

    def is_dir(self) -> bool:
        return False

    def stat(self) -> os.stat_result:
        return os.stat(self.path)


def _times(status: os.stat_result, *, with_change: bool) -> str:
    return f"{status.st_mtime_ns} {status.st_ctime_ns}" if with_change else str(status.st_mtime_ns)


def _first_line(error: BaseException) -> str:
    return re.split(r" \[(?:source locations|tensorstore_spec)=", str(error).split("\n")[0])[0][:300]
