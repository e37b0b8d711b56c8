"""Names of files, and files that are replaced atomically."""

from __future__ import annotations

import os
from pathlib import Path


def absolute_url(path: str | os.PathLike[str]) -> str:
    """Return a path or URL that other processes can use, whatever their current folder."""
    name = os.fspath(path)
    return name if "://" in name else os.path.abspath(name)


def write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file atomically: its name always refers to the old content or the new one, never to a part.

    A symbolic link is kept, and the file that it points to is replaced.

    Raises
    ------
    OSError
        The path is a folder or a device, or cannot be written.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise OSError(f"{os.fspath(path)} is a folder or a device; choose the name of a file")
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
