"""Progress on a terminal, and output to a closed pipe."""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import Any


def _on_terminal() -> bool:
    """Return True if standard error is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


def drop_output() -> None:
    """Discard what is still written to standard output, after its reader has closed the pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


class Line:
    """A line on standard error that overwrites itself. Shows nothing if standard error is not a terminal."""

    def __init__(self) -> None:
        self._visible, self._width = _on_terminal(), 0

    def show(self, text: str) -> None:
        """Replace the line by ``text``."""
        if self._visible:
            print("\r" + text.ljust(self._width), end="", file=sys.stderr, flush=True)
            self._width = len(text)

    def clear(self) -> None:
        """Remove what is shown."""
        if self._width:
            print("\r" + " " * self._width + "\r", end="", file=sys.stderr, flush=True)


class Bar:
    """A progress bar on standard error. Shows nothing if that is not a terminal or rich is not installed."""

    def __init__(self) -> None:
        self._progress: Any = None
        self._visible = _on_terminal() and importlib.util.find_spec("rich") is not None

    def show(self, text: str, share: float | None = None) -> None:
        """Show ``text`` and a bar of length ``share``; the bar pulses if the share is not known."""
        if not self._visible:
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
                redirect_stdout=False,  # output of other code is not touched
                redirect_stderr=False,
            )
            self._task = self._progress.add_task("", total=None)
            self._progress.start()
        total = None if share is None else 1.0
        self._progress.update(self._task, description=text, completed=share or 0.0, total=total)

    def clear(self) -> None:
        """Remove what is shown."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
