"""Where a store lies: a key-value store, through TensorStore, whatever it is on."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import StoreError

try:
    import tensorstore as ts
except ImportError:
    raise ImportError('tinypyr.store needs TensorStore: pip install "tinypyr[store]"') from None

#: How often TensorStore repeats a request that failed: seven requests within some 25 seconds.
_RETRIES = {"max_retries": 6, "initial_delay": "500ms", "max_delay": "8s"}
#: Shared by all handles, so that stores in memory are found again.
CONTEXT = ts.Context({f"{driver}_request_retries": _RETRIES for driver in ("s3", "gcs", "http")})


class Location:
    """A folder of a key-value store."""

    def __init__(self, store: Any, name: str) -> None:
        self._store = store
        self.name = name

    @classmethod
    def at(cls, where: str | os.PathLike[str]) -> Location:
        """The folder at a path, or at a URL that TensorStore knows (file, memory, s3, gs, http).

        Of S3, ``AWS_ENDPOINT_URL`` names another server than Amazon's, as for Amazon's own tools.
        """
        name = os.fspath(where)
        if not isinstance(name, str):
            raise TypeError(f"{where!r} is neither a path nor a URL")
        url = name if "://" in name else Path(name).absolute().as_uri()
        try:
            return cls(ts.KvStore.open(_spec(url.rstrip("/") + "/"), context=CONTEXT).result(), name)
        except ValueError as error:
            raise StoreError(f"{name}: no place that TensorStore can open: {_first_line(error)}") from None

    def child(self, path: str) -> Location:
        """A folder within; itself for an empty path."""
        if not path.strip("/"):
            return self
        below = self._store.copy()
        below.path += path.strip("/") + "/"
        return Location(below, f"{self.name.rstrip('/')}/{path}")

    @property
    def spec(self) -> dict[str, Any]:
        """For TensorStore, as JSON."""
        made: dict[str, Any] = self._store.spec().to_json()
        return made

    @property
    def url(self) -> str:
        """Where it is, in full."""
        spec = self.spec
        if "endpoint" in spec:  # (which URLs cannot say)
            return f"{spec['driver']}://{spec['bucket']}/{spec['path']}"
        return str(self._store.url)

    @property
    def real(self) -> str:
        """The same for all names that links give it."""
        return os.path.realpath(self.spec["path"]) + "/" if self.is_file else self.url

    @property
    def is_file(self) -> bool:
        """Whether it is a folder of this machine."""
        return bool(self.spec["driver"] == "file")

    @property
    def is_local(self) -> bool:
        """Whether it lies on this machine, so that listing it costs no request."""
        return bool(self.spec["driver"] in ("file", "memory"))

    def refuse_links(self, path: str) -> None:
        """Refuse what is to be written if a link would lead it out of here."""
        root = self.real
        if self.is_file and not (os.path.realpath(os.path.join(root, path)) + "/").startswith(root):
            raise StoreError(f"{self.name}/{path}: a link that leads out of the store; remove it first")

    def link(self, path: str, to: Location) -> None:
        """Let a folder within be another one; both are folders of this machine."""
        here = Path(self.spec["path"]) / path
        there = Path(to.spec["path"])
        if here.is_symlink() and here.resolve() == there.resolve():
            return
        try:
            here.parent.mkdir(parents=True, exist_ok=True)
            here.symlink_to(there, target_is_directory=True)
        except OSError as error:
            raise StoreError(f"{self.name}/{path} cannot be linked: {error}") from None

    def read(self, key: str) -> bytes | None:
        """The value of a key; None if there is none."""
        return self.read_to_replace(key)[0]

    def read_to_replace(self, key: str) -> tuple[bytes | None, bytes]:
        """The value of a key (None: there is none), and what ``replace`` wants to know of it."""
        try:
            found = self._store.read(key).result()
        except (ValueError, OSError) as error:
            raise StoreError(f"{self.name}/{key} cannot be read: {_first_line(error)}") from None
        return bytes(found.value) if found.state == "value" else None, bytes(found.stamp.generation)

    def write(self, key: str, value: bytes | None) -> None:
        """Set a key, or (None) remove it."""
        try:
            self._store.write(key, value).result()
        except (ValueError, OSError) as error:
            raise StoreError(f"{self.name}/{key} cannot be written: {_first_line(error)}") from None

    def replace(self, key: str, value: bytes | None, known: bytes) -> bool:
        """Set a key, or remove it, unless somebody else has since ``read_to_replace``; whether it was done."""
        try:
            return bool(self._store.write(key, value, if_equal=known).result().generation)
        except (ValueError, OSError) as error:
            raise StoreError(f"{self.name}/{key} cannot be written: {_first_line(error)}") from None

    def stamp(self, most: int = 1 << 17) -> bytes:
        """Other bytes where files below have changed: names, sizes and times of so many (elsewhere: none)."""
        if not self.is_file:
            return b""
        root = self.spec["path"]
        found: list[str] = []
        waiting = [root]
        while waiting and len(found) < most:
            try:
                entries = sorted(os.scandir(waiting.pop()), key=lambda entry: entry.name)
            except FileNotFoundError:
                continue
            except NotADirectoryError:  # a single file
                held = os.stat(root.rstrip("/"))
                return f"{held.st_size} {held.st_mtime_ns}".encode()
            except OSError as error:
                raise StoreError(f"{self.name} cannot be listed: {error}") from None
            waiting += [entry.path for entry in entries if entry.is_dir()]
            for entry in entries:
                if entry.is_file() and not entry.name.startswith((".", "zarr.json", "attributes.json")):
                    held = entry.stat()
                    found.append(f"{entry.path[len(root) :]} {held.st_size} {held.st_mtime_ns}")
        return "\n".join(found[:most]).encode()

    def first_keys(self, most: int) -> Iterator[str]:
        """Up to so many keys below, in no particular order; of files they are found as they are asked for."""
        if not self.is_file:
            yield from self.keys()[:most]
            return
        root = self.spec["path"]
        waiting = [root]
        while waiting and most > 0:
            folder = waiting.pop()
            try:
                entries = list(os.scandir(folder))
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise StoreError(f"{self.name} cannot be listed: {error}") from None
            waiting += [entry.path for entry in entries if entry.is_dir()]
            for entry in entries[:most]:
                if not entry.is_dir():
                    most -= 1
                    yield entry.path[len(root) :]

    def any_key(self) -> str | None:
        """One of the keys below; None if there is none."""
        return next(self.first_keys(1), None)

    def keys(self) -> list[str]:
        """All keys below."""
        try:
            return [bytes(key).decode() for key in self._store.list().result()]
        except (ValueError, OSError) as error:
            raise StoreError(f"{self.name} cannot be listed: {_first_line(error)}") from None

    def remove(self) -> None:
        """Remove all keys below."""
        if self.is_file:  # with its empty folders, and without what links lead to
            shutil.rmtree(self.spec["path"], ignore_errors=True)
        else:
            self._store.delete_range(ts.KvStore.KeyRange()).result()

    def remove_all_but(self, kept: str, last: str) -> None:
        """Remove all keys right below but one, another one of them after all others."""
        if self.is_file:  # (with what interrupted writers have left, which are no keys)
            folder = Path(self.spec["path"])
            try:
                names = sorted(os.listdir(folder) if folder.is_dir() else [], key=lambda name: name == last)
                for name in names:
                    if name.startswith(kept):
                        continue
                    if (folder / name).is_dir():
                        shutil.rmtree(folder / name, ignore_errors=True)
                    else:
                        (folder / name).unlink(missing_ok=True)
            except OSError as error:
                raise StoreError(f"{self.name} cannot be tidied up: {error}") from None
            return
        for name in sorted(self.keys(), key=lambda name: name == last):
            if name != kept:
                self.write(name, None)

    def remove_if_empty(self) -> None:
        """Remove the folder, where there is such a thing and nothing is in it."""
        if self.is_file:
            with contextlib.suppress(OSError):
                os.rmdir(self.spec["path"])

    def json(self, key: str) -> dict[str, Any] | None:
        """A JSON object; None if there is none."""
        raw = self.read(key)
        if raw is None:
            return None
        try:
            value = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise StoreError(f"{self.name}/{key} is not JSON: {_first_line(error)}") from None
        if not isinstance(value, dict):
            raise StoreError(f"{self.name}/{key} holds no JSON object, but {type(value).__name__}")
        return value

    def write_json(self, key: str, value: dict[str, Any]) -> None:
        """Set a JSON object."""
        self.write(key, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def _spec(url: str) -> Any:
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if not url.startswith("s3://") or not endpoint:
        return url
    bucket, _, path = url.removeprefix("s3://").partition("/")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    return {"driver": "s3", "bucket": bucket, "path": path, "endpoint": endpoint, "aws_region": region}


def open_array(spec: dict[str, Any], name: str, **options: Any) -> Any:
    """A TensorStore handle; errors name the array (NotImplementedError: what a driver or a store cannot do)."""
    try:
        return ts.open(spec, context=CONTEXT, **options).result()
    except (ValueError, OSError, NotImplementedError) as error:
        raise StoreError(f"{name} cannot be opened: {_first_line(error)}") from None


def _first_line(error: BaseException) -> str:
    return str(error).split("\n")[0].split(" [source locations=")[0][:300]
