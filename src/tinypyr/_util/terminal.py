"""Progress on a terminal, and output that nobody reads any more."""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import Any


def _is_watched() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def drop_output() -> None:
    """Whoever read standard output has seen enough: what is still printed goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


class Line:
    """A line on standard error that rewrites itself; silent where that is no terminal."""

    def __init__(self) -> None:
        self._watched, self._width = _is_watched(), 0

    def show(self, text: str) -> None:
        """Put this in the place of what is there."""
        if self._watched:
            print("\r" + text.ljust(self._width), end="", file=sys.stderr, flush=True)
            self._width = len(text)

    def clear(self) -> None:
        """Leave an empty line."""
        if self._width:
            print("\r" + " " * self._width + "\r", end="", file=sys.stderr, flush=True)


class Bar:
    """A bar and what it is of, on standard error; silent where that is no terminal, or rich is missing."""

    def __init__(self) -> None:
        self._progress: Any = None
        self._watched = _is_watched() and importlib.util.find_spec("rich") is not None

    def show(self, text: str, share: float | None = None) -> None:
        """Put this in the place of what is there; of an unknown share, something moves."""
        if not self._watched:
            return
        if self._progress is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            columns = BarColumn(bar_width=None), TextColumn("{task.description}", markup=False)
            self._progress = Progress(
                *columns,
                console=Console(stderr=True),
                expand=True,
                transient=True,
                redirect_stdout=False,  # what others print goes where it went
                redirect_stderr=False,
            )
            self._task = self._progress.add_task("", total=None)
            self._progress.start()
        total = None if share is None else 1.0
        self._progress.update(self._task, description=text, completed=share or 0.0, total=total)

    def clear(self) -> None:
        """Leave an empty line."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
