"""Folders in a file system: their files in a fixed order, stamps that tell when they change, links and removal."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..errors import StoreError

#: Beginnings of the names of metadata files, which may change without the voxels.
METADATA = ("zarr.json", "attributes.json")
#: Number of files of which a stamp consists at most.
MAX_STAMPED = 1 << 17


class FileTree:
    """A folder in a file system, or a single file in its place.

    Parameters
    ----------
    root : str
        Path of the folder, ending in a slash.
    name : str
        Name for messages.
    """

    def __init__(self, root: str, name: str) -> None:
        self.root, self.name = root, name

    @property
    def is_single_file(self) -> bool:
        """Return whether this is a file instead of a folder."""
        return os.path.isfile(self.root.rstrip("/"))

    def keys(self) -> Iterator[str]:
        """Yield the paths of all files below, in any order; folders are listed only as far as paths are consumed."""
        return (entry.path[len(self.root) :] for entry in self._walk(hidden=True) if not entry.is_dir())

    def stamp(self, limit: int = MAX_STAMPED) -> bytes:
        """Return names, sizes and times of up to ``limit`` files below.

        Metadata files and hidden files do not count. A copy that keeps the times of files has the same stamp.
        """
        files = (entry for entry in self._entries(limit) if not entry.is_dir())
        return b"\n".join(self._line(entry, with_change=False) for entry in files)

    def status(self, limit: int = MAX_STAMPED, *, with_folder: bool = False) -> bytes:
        """Return what :meth:`stamp` does, with folders and with the times of the last change of status.

        Copying and moving set these times anew, so the status differs after a folder was moved away and back, or
        restored from a backup. ``with_folder`` includes the folder itself.
        """
        lines = [self._line(entry, with_change=True) for entry in self._entries(limit)]
        if with_folder and os.path.isdir(self.root):
            lines.append(_times(os.stat(self.root), with_change=True).encode())
        return b"\n".join(lines)

    def _entries(self, limit: int) -> Iterator[os.DirEntry[str] | _SingleFile]:
        """Yield up to ``limit`` files and folders below in a fixed order, without metadata and hidden files."""
        if self.is_single_file:
            yield _SingleFile(self.root.rstrip("/"))
            return
        entries = (entry for entry in self._walk(hidden=False) if not entry.name.startswith(METADATA))
        yield from itertools.islice(entries, limit)

    def _walk(self, *, hidden: bool) -> Iterator[os.DirEntry[str]]:
        """Yield files and folders below, folder by folder in the order of names; hidden ones only with ``hidden``."""
        folders = [self.root]
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
        name = entry.path[len(self.root) :]
        return f"{name} {size} {_times(status, with_change=with_change)}".encode()

    def check_inside(self, path: str) -> None:
        """Raise StoreError if a symbolic link leads from a path below this folder out of it."""
        root = os.path.realpath(self.root) + "/"
        if not (os.path.realpath(os.path.join(root, path)) + "/").startswith(root):
            raise StoreError(f"{self.name}/{path} is a link that leads out of the store; remove it first")

    def link(self, path: str, target: FileTree) -> None:
        """Make a path below this folder a symbolic link to another folder."""
        link, folder = Path(self.root) / path, Path(target.root)
        if link.is_symlink() and link.resolve() == folder.resolve():
            return
        try:
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(folder, target_is_directory=True)
        except OSError as error:
            raise StoreError(f"{self.name}/{path} cannot be linked: {error}") from None

    def remove(self) -> None:
        """Remove all files and folders below, and links instead of their targets."""
        shutil.rmtree(self.root, ignore_errors=True)

    def remove_all_but(self, kept_name: str, last: str) -> None:
        """Remove everything directly below except ``kept_name``; remove ``last`` after all others."""
        folder = Path(self.root)
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
        """Remove the folder if it is empty."""
        with contextlib.suppress(OSError):
            os.rmdir(self.root)


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
