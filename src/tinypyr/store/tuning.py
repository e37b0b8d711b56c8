"""Settings that change how a build proceeds, never what it writes, and a context in which they differ."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Tuning:
    """Settings of a build that are not arguments, because the defaults suit every volume.

    They change how it proceeds, never what it writes. A plan keeps the settings of the context in which it was made,
    so that threads and other processes use them too.

    Attributes
    ----------
    small_block : int
        Lower limit for the default size of a block, in bytes of level 0.
    max_footprint : int
        Largest footprint, in voxels, that is computed within one leaf; larger ones come from accumulators. The default
        is the limit of the core.
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
        """Return the settings that differ from the defaults, as JSON."""
        defaults = asdict(DEFAULT)
        return {name: value for name, value in asdict(self).items() if value != defaults[name]}


DEFAULT = Tuning()

_CURRENT: ContextVar[Tuning] = ContextVar("tuning", default=DEFAULT)


def current_tuning() -> Tuning:
    """Return the tuning of this context."""
    return _CURRENT.get()


@contextlib.contextmanager
def tuned(**changes: Any) -> Iterator[Tuning]:
    """Change settings of the tuning during the context, in this thread."""
    token = _CURRENT.set(replace(_CURRENT.get(), **changes))
    try:
        yield _CURRENT.get()
    finally:
        _CURRENT.reset(token)
