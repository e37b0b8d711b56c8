"""Engines, which run the blocks of a plan: threads, processes, or the workers of a dask cluster.

An engine receives numbers of blocks, a few more than it can run at the same time, and returns futures. Processes and
dask workers receive the text of the plan and a number, and import the function by its name.
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
from .blocks import LevelArrays, run_block
from .plans import Plan
from .saved_plans import plan_from_text, text_of_plan

#: Number of times that a block is tried if the process that runs it dies.
TRIES = 3


class Engine(Protocol):
    """Interface of engines. The ``result()`` of a future is the number of bytes that its block wrote."""

    @property
    def width(self) -> int:
        """Number of blocks to submit at the same time."""

    def submit(self, number: int) -> Any:
        """Submit a block, and return its future."""

    def wait(self, futures: Collection[Any]) -> Iterable[Any]:
        """Wait for at least one of these futures, and return those that are done."""

    def process_died(self, error: BaseException) -> bool:
        """Return whether a block failed because its process died; if so, the process has been replaced."""

    def close(self) -> None:
        """Wait for running blocks, and release resources."""


def engine_for(plan: Plan, engine: Any) -> Engine:
    """Return the engine for ``"threads"``, ``"processes"``, or a ``dask.distributed.Client``.

    An engine of another kind is a function that returns it for a plan, such as a class.
    """
    if engine == "threads":
        return Threads(plan)
    if engine == "processes":
        return Processes(plan)
    if hasattr(engine, "submit") and hasattr(engine, "scheduler_info"):
        return Dask(plan, engine)
    if callable(engine):
        custom_engine: Engine = engine(plan)
        return custom_engine
    raise ValueError(f"engine: {engine!r} is not 'threads', 'processes' or a dask.distributed.Client")


class Threads:
    """Threads of this process."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._arrays, self.width = plan, LevelArrays(plan), plan.workers
        self._pool = concurrent.futures.ThreadPoolExecutor(plan.workers)

    def run(self, number: int) -> int:
        """Process a block in one of the threads."""
        return run_block(self._plan, number, self._arrays)

    def submit(self, number: int) -> Any:
        return self._pool.submit(self.run, number)

    def wait(self, futures: Collection[Any]) -> Iterable[Any]:
        return concurrent.futures.wait(futures, return_when=concurrent.futures.FIRST_COMPLETED).done

    def process_died(self, error: BaseException) -> bool:
        return False

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


class Processes:
    """Processes of this machine, each with a share of the plan's memory."""

    def __init__(self, plan: Plan) -> None:
        self._text, self._workers, self.width = text_of_plan(plan), plan.workers, 2 * plan.workers
        self._failed_pools = 0  # consecutive pools that broke before a block was done
        self._pool_succeeded = False  # whether the current pool has done a block
        self._pool = self._new_pool()

    def _new_pool(self) -> concurrent.futures.ProcessPoolExecutor:
        # spawned, because TensorStore's threads do not survive a fork
        context = multiprocessing.get_context("spawn")
        return concurrent.futures.ProcessPoolExecutor(self._workers, mp_context=context, initializer=_exit_with_parent)

    def submit(self, number: int) -> Any:
        try:
            return self._pool.submit(run_saved_block, self._text, "", number)
        except concurrent.futures.BrokenExecutor as error:
            broken: concurrent.futures.Future[int] = concurrent.futures.Future()
            broken.set_exception(error)
            return broken

    def wait(self, futures: Collection[Any]) -> Iterable[Any]:
        futures_done = concurrent.futures.wait(futures, return_when=concurrent.futures.FIRST_COMPLETED).done
        self._pool_succeeded = self._pool_succeeded or any(future.exception() is None for future in futures_done)
        return futures_done

    def process_died(self, error: BaseException) -> bool:
        if not isinstance(error, concurrent.futures.BrokenExecutor):
            return False
        try:
            self._pool.submit(int)
        except concurrent.futures.BrokenExecutor:  # (otherwise another block of the broken pool has replaced it)
            self._failed_pools = 0 if self._pool_succeeded else self._failed_pools + 1
            if self._failed_pools >= TRIES:
                raise StoreError(
                    "engine: processes end before a block is done; a script that builds must do so under "
                    'if __name__ == "__main__": (each process imports it), or memory is short'
                ) from None
            self._pool.shutdown(wait=False)
            self._pool, self._pool_succeeded = self._new_pool(), False
        return True

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def _exit_with_parent() -> None:
    """Make a process of a pool exit when its parent does, even if the parent is killed."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class Dask:
    """Workers of a dask cluster: a window of single calls, without a graph."""

    def __init__(self, plan: Plan, client: Any) -> None:
        from distributed import as_completed  # type: ignore[import-untyped,import-not-found,unused-ignore]

        self._text, self._run, self._client = text_of_plan(plan), uuid.uuid4().hex, client
        self._submitted: Any = as_completed(loop=client.loop)  # type: ignore[no-untyped-call,unused-ignore]

    @property
    def width(self) -> int:
        threads: dict[str, int] = _call_cluster(self._client.nthreads)
        return 16 * max(2, sum(threads.values()))  # (a message takes as long as a small block)

    def submit(self, number: int) -> Any:
        submit = functools.partial(self._client.submit, pure=False, retries=TRIES - 1)
        future = _call_cluster(submit, run_saved_block, self._text, self._run, number)
        self._submitted.add(future)
        return future

    def wait(self, futures: Collection[Any]) -> Iterable[Any]:
        futures_done: Iterable[Any] = _call_cluster(self._submitted.next_batch)
        return futures_done

    def process_died(self, error: BaseException) -> bool:
        return type(error).__name__ in ("KilledWorker", "CancelledError", "FutureCancelledError")

    def close(self) -> None:
        pass


def _call_cluster(call: Any, *arguments: Any) -> Any:
    """Return the result of a call to a cluster; raise StoreError if the cluster does not answer."""
    try:
        return call(*arguments)
    except Exception as error:
        raise StoreError(f"engine: the dask cluster does not answer: {type(error).__name__}: {error}") from None


@functools.lru_cache(maxsize=2)
def _loaded_plan(text: str, run: str) -> tuple[Plan, LevelArrays]:
    plan = plan_from_text(text, "the plan")
    return plan, LevelArrays(plan)


def run_saved_block(text: str, run: str, number: int) -> int:
    """Process a block of a plan, given by its text.

    ``run`` identifies a run of the plan. Arrays are opened once per run, because they may be removed between two runs.
    """
    plan, arrays = _loaded_plan(text, run)
    try:
        return run_block(plan, number, arrays)
    except StoreError:
        raise
    except (Exception, SystemExit) as error:  # (SystemExit would end the worker, and other blocks with it)
        raise StoreError(f"{type(error).__name__}: {error}") from None
