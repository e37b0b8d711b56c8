"""One line of progress that rewrites itself."""

from __future__ import annotations

import sys


class Line:
    """A line on standard error; silent where that is no terminal."""

    def __init__(self) -> None:
        self._watched, self._width = sys.stderr.isatty(), 0

    def show(self, text: str) -> None:
        """Put this in the place of what is there."""
        if self._watched:
            print("\r" + text.ljust(self._width), end="", file=sys.stderr, flush=True)
            self._width = len(text)

    def clear(self) -> None:
        """Leave an empty line."""
        if self._width:
            print("\r" + " " * self._width + "\r", end="", file=sys.stderr, flush=True)
