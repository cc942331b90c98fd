"""Many tasks for many slaves."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from queue import SimpleQueue
from types import TracebackType
from typing import Any

from interaction.core.again import Wanted
from interaction.exception import RequestException
from interaction.master.base_pool import BasePool, Item, Source, check_in_flight, data_of
from interaction.master.master import Master
from interaction.master.pool_future import PoolFuture
from interaction.master.progress import Bar, check_progress, progress_bar
from interaction.rpc import forks
from interaction.rpc.insist import insist
from interaction.rpc.strand import Strand
from interaction.waiters import check_may_wait


class SlavePool(BasePool):
    """Hands tasks to the living slaves of a master, each to that which has the least to do.

    Slaves may join and leave meanwhile: those that the master connects to are in it, and those that it loses are not.
    A slave has as many tasks at once as it has slots, and of its backlog as much as keeps it busy for a moment (tens of
    milliseconds). Use it with `with`, or call `close()`.

    Args:
        master: it has to run.
        names: the names of the connections that it may use. None: all.
        labels: what a slave's labels must say, such as `{"gpu": "a100"}`. None: anything.
        retries: how often a task that was LOST with its slave is done again, by another one. It may then be run twice.
            One with which two slaves have died is done when its slave has nothing else.
        retry_failed: whether what has FAILED is done again, too, each time after a longer pause (0.1 to 10 s): all of
            it, or failures of some types, by their names at the slave or as exception classes, such as
            `(ConnectionError, "OutOfMemoryError")`. How often, `retries` says: it has to be 1 or more.
        wait_for_slaves: how long a task waits where there is no slave. True: as long as it takes; the log warns after
            10 s, and each minute. Seconds: then it ends with `NoSlave`, a RuntimeError. False: at once, and `submit()`
            raises that.

    `_before_new_task` of the master is called for each task, by the thread that submits it; `_after_new_task` and
    `_error_new_task` are not.

    Raises:
        RuntimeError: the master does not run.
        TypeError, ValueError: an argument that can't be.
    """

    _master = Master

    def __init__(
        self,
        master: Master,
        *,
        names: Collection[str] | None = None,
        labels: Mapping[str, str] | None = None,
        retries: int = 0,
        retry_failed: Wanted = False,
        wait_for_slaves: bool | float = True,
    ) -> None:
        super().__init__(master, names, labels, retries, retry_failed, wait_for_slaves)
        self._strand = Strand("interaction-pool")
        self._loop, _ = self._service.running()
        self._drop = partial(self._loop.call, insist, self._crew.drop)
        self._service.run(self._open())

    def submit(self, data: Mapping[str, Any] | None = None) -> PoolFuture:
        """Have a task done. Returns at once.

        Returns:
            A future: `result()` returns the task's result, or raises the task's error (`TaskFailed`, `TaskLost`, …).

        Raises:
            TypeError, PayloadError: the data is no mapping, or can't be carried.
            RuntimeError: the pool is closed, the master is shut down, or there is no slave (`NoSlave`, with
                `wait_for_slaves=False`).
        """
        return self._submit(data, None)

    def _submit(self, data: Mapping[str, Any] | None, ended: SimpleQueue[PoolFuture] | None) -> PoolFuture:
        self._check_open()
        future = PoolFuture(self._strand, self._drop, ended)
        job = self._job(data, self._service.hooks._before_new_task({} if data is None else data), future)
        future.made(job)
        if not self._loop.call(insist, self._crew.submit, job):
            raise RuntimeError("the master is shut down; create another one")
        return future

    def map(
        self,
        source: Source,
        items: Iterable[Item] | None = None,
        *,
        ordered: bool = True,
        in_flight: int | None = None,
        return_errors: bool = False,
        progress: bool = False,
    ) -> Iterator[Any]:
        """Have a task done for each item, and iterate over the results. Items are taken as results are.

        Args:
            source: an iterable of task data; or a function that makes task data of an item.
            items: the items for the function.
            ordered: whether results come in the order of the items; else as they get ready.
            in_flight: how many tasks are under way, or wait for their result to be taken. None: twice the `places`.
            return_errors: whether a task's error is given in place of its result; else it is raised, which ends the
                iteration: what has not begun is not done any more.
            progress: whether to show a progress bar. It needs rich: `pip install '.[progress]'` in a checkout.

        Raises:
            TypeError, ValueError, RuntimeError: as `submit()`; and, where its turn comes, what an item's task or the
                iterable raised. What was submitted before that is still given.
            ImportError: a progress bar without rich.
        """
        check_in_flight(in_flight)
        if progress:
            check_progress()
        self._check_open()
        bar = progress_bar(items if items is not None else source) if progress else nullcontext(Bar())
        results = _Ordered(self) if ordered else _AsCompleted(self)
        return self._results(results, data_of(source, items), in_flight, return_errors, bar)

    def _results(
        self,
        futures: _Ordered | _AsCompleted,
        source: Iterator[Mapping[str, Any] | None],
        in_flight: int | None,
        return_errors: bool,
        progress: AbstractContextManager[Bar],
    ) -> Iterator[Any]:
        failure: Exception | None = None
        try:
            with progress as bar:
                more = True
                while more or len(futures):
                    while more and len(futures) < self._limit(in_flight):
                        try:
                            futures.submit(next(source))
                        except StopIteration:
                            more = False
                        except Exception as error:  # noqa: BLE001 - what a user's iterable raises: when its turn comes
                            more, failure = False, error
                    if len(futures):
                        future = futures.next()
                        bar.advance()
                        problem = _problem_of(future)
                        yield future.result() if problem is None or not return_errors else problem
            if failure is not None:
                raise failure
        finally:
            futures.cancel()

    def close(self, *, wait: bool = True) -> None:
        """Take nothing more. Harmless when repeated, and when the master is shut down.

        Args:
            wait: return when all tasks have ended and all callbacks have run. Else what has not begun is cancelled.

        Raises:
            RuntimeError: called by a callback of a future, which it would wait for.
        """
        if wait:
            self._strand.check_not_mine()
        self._closed = True
        try:
            if self._crew.over is None:
                self._service.run(self._finish(CancelledError(), wait))
        except (RuntimeError, RequestException):
            if self._crew.over is None:  # else the master was shut down meanwhile, and all has ended
                raise
        if wait:
            self._strand.join()

    def __enter__(self) -> SlavePool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not forks.inherited():
            self.close(wait=error is None)


class _Ordered:
    """Futures in the order in which they were submitted."""

    def __init__(self, pool: SlavePool) -> None:
        self._pool = pool
        self._futures: deque[PoolFuture] = deque()

    def __len__(self) -> int:
        return len(self._futures)

    def submit(self, data: Mapping[str, Any] | None) -> None:
        self._futures.append(self._pool._submit(data, None))

    def next(self) -> PoolFuture:
        _problem_of(self._futures[0])  # waits: what interrupts that finds it among the others
        return self._futures.popleft()

    def cancel(self) -> None:
        for future in self._futures:
            future.cancel()


class _AsCompleted:
    """Futures in the order in which they get ready."""

    def __init__(self, pool: SlavePool) -> None:
        self._pool = pool
        self._ended: SimpleQueue[PoolFuture] = SimpleQueue()
        self._futures: set[PoolFuture] = set()

    def __len__(self) -> int:
        return len(self._futures)

    def submit(self, data: Mapping[str, Any] | None) -> None:
        self._futures.add(self._pool._submit(data, self._ended))

    def next(self) -> PoolFuture:
        if self._ended.empty():
            check_may_wait()
        future = self._ended.get()
        self._futures.remove(future)
        return future

    def cancel(self) -> None:
        for future in self._futures:
            future.cancel()


def _problem_of(future: PoolFuture) -> BaseException | None:
    """Why there is no result, once that is known. Waits."""
    try:
        return future.exception()
    except CancelledError as error:
        return error
