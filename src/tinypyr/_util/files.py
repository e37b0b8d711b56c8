"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file so that under its name there is the old one or the new one, never a part.

    A link stays, and the file that it leads to is replaced. What is no file (a folder, a device) is refused: OSError.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise OSError(f"{os.fspath(path)} is a folder or a device, not a file to be replaced")
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with open(beside, "xb") as file:
            file.write(data)
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)
