"""Numbers that decide how a build proceeds and never what it writes, and a context in which they differ."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Tuning:
    """Numbers of a plan that are no arguments, because their defaults suit every volume.

    A plan keeps those of the context in which it was made, so that threads and other processes use them too.

    Attributes
    ----------
    small_block : int
        Lower limit for the default size of a block, in bytes of the base.
    max_footprint : int
        Largest footprint that leaves complete, in voxels. The default is the largest that the core can count.
    heartbeat_interval : float
        Seconds between two heartbeats of the owner of a store.
    sync_files : bool
        Whether a write to a file ends when the file is on the disk, so that it survives a power cut.
    """

    small_block: int = 1 << 26
    max_footprint: int = 1 << 31
    heartbeat_interval: float = 30.0
    sync_files: bool = True

    def changes(self) -> dict[str, Any]:
        """Return the numbers that differ from the defaults, as JSON."""
        defaults = asdict(DEFAULT)
        return {name: number for name, number in asdict(self).items() if number != defaults[name]}


DEFAULT = Tuning()

_CURRENT: ContextVar[Tuning] = ContextVar("tuning", default=DEFAULT)


def current_tuning() -> Tuning:
    """Return the tuning of this context."""
    return _CURRENT.get()


@contextlib.contextmanager
def tuned(**changes: Any) -> Iterator[Tuning]:
    """Change numbers of the tuning during the context, in this thread."""
    token = _CURRENT.set(replace(_CURRENT.get(), **changes))
    try:
        yield _CURRENT.get()
    finally:
        _CURRENT.reset(token)
