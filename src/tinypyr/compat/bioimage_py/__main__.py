"""Run one part of a job in a process of its own: ``python -m tinypyr.compat.bioimage_py FOLDER I/N``."""

from __future__ import annotations

import sys

from ._folder import Folder

if __name__ == "__main__":
    folder, part = sys.argv[1:]
    number, _, count = part.partition("/")
    sys.exit(1 if Folder(folder).run(int(number), int(count)) else 0)
