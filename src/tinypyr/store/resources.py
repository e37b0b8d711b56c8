"""Resources of a build: memory, workers, and the settings that are no arguments."""

from __future__ import annotations

from dataclasses import dataclass

from .tuning import Tuning


@dataclass(frozen=True)
class Resources:
    """Memory and workers of a build. They never change what it writes.

    Attributes
    ----------
    memory : int
        Memory of all workers in bytes.
    workers : int
        Number of blocks that are processed at the same time.
    tuning : Tuning
        Numbers that are no arguments.
    """

    memory: int
    workers: int
    tuning: Tuning

    @property
    def budget(self) -> int:
        """Memory of one worker in bytes."""
        return self.memory // self.workers

    @property
    def pending(self) -> int:
        """Maximum number of bytes that a block has passed to TensorStore and that are not written yet."""
        return max(1 << 20, self.budget // 6)
