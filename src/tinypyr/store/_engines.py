"""Who runs the blocks of a plan: threads, processes, or the workers of a dask cluster.

An engine is given numbers of blocks, a few more than it can run at once, and tells which are done. What crosses to
other processes is the text of the plan and a number; the function is found by its name.
"""

from __future__ import annotations

import concurrent.futures
import functools
import multiprocessing
from collections.abc import Collection, Iterable
from typing import Any, Protocol

from ._blocks import Levels, run_block
from ._errors import StoreError
from ._plan import Plan
from ._planning import from_text

#: How often a block is begun anew because a process that ran it has died.
TRIES = 3


class Engine(Protocol):
    """Runs blocks; a future's ``result()`` is how many bytes its block wrote."""

    @property
    def width(self) -> int:
        """How many blocks to have under way."""

    def submit(self, number: int) -> Any:
        """Begin a block; its future."""

    def wait(self, waiting: Collection[Any]) -> Iterable[Any]:
        """Wait for at least one of these futures; those that are done."""

    def lost(self, error: BaseException) -> bool:
        """Whether a block failed because who ran it has died; if so, the engine has replaced them."""

    def close(self) -> None:
        """Wait for what is under way, and release what was held."""


def engine_for(plan: Plan, engine: Any) -> Engine:
    """By name, or a ``dask.distributed.Client``."""
    if engine == "threads":
        return Threads(plan)
    if engine == "processes":
        return Processes(plan)
    if hasattr(engine, "submit") and hasattr(engine, "scheduler_info"):
        return Dask(plan, engine)
    raise ValueError(f"engine: {engine!r} is not 'threads', 'processes' or a Client of dask.distributed")


class Threads:
    """Threads of this process."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._levels, self.width = plan, Levels(plan), plan.workers
        self._pool = concurrent.futures.ThreadPoolExecutor(plan.workers)

    def submit(self, number: int) -> Any:
        return self._pool.submit(run_block, self._plan, number, self._levels)

    def wait(self, waiting: Collection[Any]) -> Iterable[Any]:
        return concurrent.futures.wait(waiting, return_when=concurrent.futures.FIRST_COMPLETED).done

    def lost(self, error: BaseException) -> bool:
        return False

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


class Processes:
    """Processes of this machine, each with a share of the plan's memory."""

    def __init__(self, plan: Plan) -> None:
        self._text, self._workers, self.width = plan.to_text(), plan.workers, 2 * plan.workers
        self._pool = self._begin()

    def _begin(self) -> concurrent.futures.ProcessPoolExecutor:
        # spawned: TensorStore's threads do not survive a fork
        context = multiprocessing.get_context("spawn")
        return concurrent.futures.ProcessPoolExecutor(self._workers, mp_context=context)

    def submit(self, number: int) -> Any:
        try:
            return self._pool.submit(run_saved, self._text, number)
        except concurrent.futures.BrokenExecutor as error:
            broken: concurrent.futures.Future[int] = concurrent.futures.Future()
            broken.set_exception(error)
            return broken

    def wait(self, waiting: Collection[Any]) -> Iterable[Any]:
        return concurrent.futures.wait(waiting, return_when=concurrent.futures.FIRST_COMPLETED).done

    def lost(self, error: BaseException) -> bool:
        if not isinstance(error, concurrent.futures.BrokenExecutor):
            return False
        try:
            self._pool.submit(int)
        except concurrent.futures.BrokenExecutor:  # else it is a new one: all blocks under way fail with the first
            self._pool.shutdown(wait=False)
            self._pool = self._begin()
        return True

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


class Dask:
    """The workers of a cluster: a window of single calls, never a graph."""

    def __init__(self, plan: Plan, client: Any) -> None:
        from distributed import as_completed  # type: ignore[import-untyped,import-not-found,unused-ignore]

        self._text, self._client = plan.to_text(), client
        self._under_way: Any = as_completed(loop=client.loop)  # type: ignore[no-untyped-call,unused-ignore]

    @property
    def width(self) -> int:
        threads: dict[str, int] = self._client.nthreads()
        return 16 * max(2, sum(threads.values()))  # (a message takes as long as a small block)

    def submit(self, number: int) -> Any:
        future = self._client.submit(run_saved, self._text, number, pure=False, retries=TRIES - 1)
        self._under_way.add(future)
        return future

    def wait(self, waiting: Collection[Any]) -> Iterable[Any]:
        done: Iterable[Any] = self._under_way.next_batch()
        return done

    def lost(self, error: BaseException) -> bool:
        return type(error).__name__ in ("KilledWorker", "CancelledError", "FutureCancelledError")

    def close(self) -> None:
        pass


@functools.lru_cache(maxsize=2)
def _loaded(text: str) -> tuple[Plan, Levels]:
    plan = from_text(text, "the plan")
    return plan, Levels(plan)


def run_saved(text: str, number: int) -> int:
    """A block of a plan that another process has made."""
    plan, levels = _loaded(text)
    try:
        return run_block(plan, number, levels)
    except StoreError:
        raise
    except Exception as error:
        raise StoreError(f"{type(error).__name__}: {error}") from None
