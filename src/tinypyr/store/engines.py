"""Who runs the blocks of a plan: threads, processes, or the workers of a dask cluster.

An engine is given numbers of blocks, a few more than it can run at once, and tells which are done. What crosses to
other processes is the text of the plan and a number; the function is found by its name.
"""

from __future__ import annotations

import concurrent.futures
import functools
import multiprocessing
import os
import threading
import uuid
from collections.abc import Collection, Iterable
from typing import Any, Protocol

from ..errors import StoreError
from .blocks import Levels, run_block
from .plans import Plan
from .saved_plans import plan_from_text

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
        self._barren, self._fruitful = 0, False  # pools in a row that ended before any block did
        self._pool = self._begin()

    def _begin(self) -> concurrent.futures.ProcessPoolExecutor:
        # spawned: TensorStore's threads do not survive a fork
        context = multiprocessing.get_context("spawn")
        return concurrent.futures.ProcessPoolExecutor(self._workers, mp_context=context, initializer=_end_with_parent)

    def submit(self, number: int) -> Any:
        try:
            return self._pool.submit(run_saved, self._text, "", number)
        except concurrent.futures.BrokenExecutor as error:
            broken: concurrent.futures.Future[int] = concurrent.futures.Future()
            broken.set_exception(error)
            return broken

    def wait(self, waiting: Collection[Any]) -> Iterable[Any]:
        done = concurrent.futures.wait(waiting, return_when=concurrent.futures.FIRST_COMPLETED).done
        self._fruitful = self._fruitful or any(future.exception() is None for future in done)
        return done

    def lost(self, error: BaseException) -> bool:
        if not isinstance(error, concurrent.futures.BrokenExecutor):
            return False
        try:
            self._pool.submit(int)
        except concurrent.futures.BrokenExecutor:  # else it is a new one: all blocks under way fail with the first
            self._barren = 0 if self._fruitful else self._barren + 1
            if self._barren >= TRIES:
                raise StoreError(
                    "engine: processes end before they have made a block; a script that builds must do so under "
                    'if __name__ == "__main__": (each process imports it), or memory is short'
                ) from None
            self._pool.shutdown(wait=False)
            self._pool, self._fruitful = self._begin(), False
        return True

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """In a process of a pool: end when who began it has, however that ended."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class Dask:
    """The workers of a cluster: a window of single calls, never a graph."""

    def __init__(self, plan: Plan, client: Any) -> None:
        from distributed import as_completed  # type: ignore[import-untyped,import-not-found,unused-ignore]

        self._text, self._run, self._client = plan.to_text(), uuid.uuid4().hex, client
        self._under_way: Any = as_completed(loop=client.loop)  # type: ignore[no-untyped-call,unused-ignore]

    @property
    def width(self) -> int:
        threads: dict[str, int] = _asked(self._client.nthreads)
        return 16 * max(2, sum(threads.values()))  # (a message takes as long as a small block)

    def submit(self, number: int) -> Any:
        submit = functools.partial(self._client.submit, pure=False, retries=TRIES - 1)
        future = _asked(submit, run_saved, self._text, self._run, number)
        self._under_way.add(future)
        return future

    def wait(self, waiting: Collection[Any]) -> Iterable[Any]:
        done: Iterable[Any] = _asked(self._under_way.next_batch)
        return done

    def lost(self, error: BaseException) -> bool:
        return type(error).__name__ in ("KilledWorker", "CancelledError", "FutureCancelledError")

    def close(self) -> None:
        pass


def _asked(call: Any, *arguments: Any) -> Any:
    """Ask a cluster, which may be gone."""
    try:
        return call(*arguments)
    except Exception as error:
        raise StoreError(f"engine: the dask cluster does not answer: {type(error).__name__}: {error}") from None


@functools.lru_cache(maxsize=2)
def _loaded(text: str, run: str) -> tuple[Plan, Levels]:
    plan = plan_from_text(text, "the plan")
    return plan, Levels(plan)


def run_saved(text: str, run: str, number: int) -> int:
    """A block of a plan that another process has made.

    ``run`` tells one run of a plan from the next: arrays that were opened for one may be gone by then.
    """
    plan, levels = _loaded(text, run)
    try:
        return run_block(plan, number, levels)
    except StoreError:
        raise
    except (Exception, SystemExit) as error:  # (a worker that exits would take others' blocks with it)
        raise StoreError(f"{type(error).__name__}: {error}") from None
