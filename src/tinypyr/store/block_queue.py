"""The queue of blocks between a plan and an engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from .blocks import is_done
from .engines import TRIES, Engine
from .plans import Plan


class BlockQueue:
    """Blocks that are submitted to an engine, a few more than it can process at once."""

    def __init__(self, plan: Plan, runner: Engine, numbers: Sequence[int], keep: bool) -> None:
        self._plan, self._runner, self._keep = plan, runner, keep
        self._waiting = iter(numbers)
        self._running: dict[Any, int] = {}
        self._tries: dict[int, int] = {}
        self._retries: deque[int] = deque()
        self.blocks_kept = self.bytes_kept = 0  # of blocks that an earlier run finished

    def fill(self) -> None:
        """Submit blocks until the engine has enough."""
        while len(self._running) < self._runner.width and self._submit_next():
            pass

    def _submit_next(self) -> bool:
        if self._retries:  # one of these ends its process: each runs alone, so that no other block fails with it
            if not self._running:
                self._submit(self._retries.popleft())
            return False
        for number in self._waiting:
            if self._keep and is_done(self._plan, number):
                self.blocks_kept += 1
                self.bytes_kept += self._plan.bytes_in_block(number)
                continue
            self._submit(number)
            return True
        return False

    def _submit(self, number: int) -> None:
        self._running[self._runner.submit(number)] = number

    @property
    def is_empty(self) -> bool:
        """Return whether no block is being processed."""
        return not self._running

    def wait(self) -> Iterator[tuple[int, Any]]:
        """Wait for blocks to end; yield the number and the future of each."""
        for future in self._runner.wait(self._running):
            yield self._running.pop(future), future

    def retry(self, number: int, error: BaseException) -> bool:
        """Return whether a block that failed will be run again, because its process died."""
        self._tries[number] = self._tries.get(number, 0) + 1
        if self._runner.process_died(error) and self._tries[number] < TRIES:
            self._retries.append(number)
            return True
        return False
