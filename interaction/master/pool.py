"""Many tasks for many slaves."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import AbstractContextManager, nullcontext
from enum import Enum
from functools import partial
from queue import SimpleQueue
from types import TracebackType
from typing import Any

from interaction.exception import RequestException
from interaction.master.base_pool import BasePool, Item, Source, check_in_flight, data_of
from interaction.master.base_task import BaseTask
from interaction.master.crew import PoolJob
from interaction.master.master import Master
from interaction.master.progress import Bar, check_progress, progress_bar
from interaction.master.task import Task
from interaction.rpc import forks
from interaction.rpc.coroutines import check_callback, refuse_left
from interaction.rpc.strand import Strand
from interaction.rpc.telling import log_exception

_log = logging.getLogger("interaction.master")


class _Claim(Enum):
    """What is decided of a job, once."""

    BEGUN = "a slave gets it"
    CANCELLED = "it is not done"


class PoolFuture(Future[Any]):
    """The result to come of one `submit()`. Its callbacks run on a thread of the pool's, one after another."""

    def __init__(
        self, strand: Strand, drop: Callable[[PoolJob], object], listener: SimpleQueue[PoolFuture] | None
    ) -> None:
        super().__init__()
        self._strand = strand
        self._drop = drop
        self._listener = listener
        self._claims: list[_Claim] = []  # who wanted to decide whether it is done: the first one does
        self._job: PoolJob | None = None  # until it has ended
        self._task: BaseTask | None = None

    @property
    def task(self) -> Task | None:
        """The task that does it: with retries, the last one. None while no slave has a place for it."""
        task = self._task
        assert task is None or isinstance(task, Task)
        return task

    def result(self, timeout: float | None = None) -> Any:
        """As in `concurrent.futures`. Raises RuntimeError in a forked child, where it never comes."""
        self._check_may_come()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """As `result()`."""
        self._check_may_come()
        return super().exception(timeout)

    def _check_may_come(self) -> None:
        if forks.inherited():
            forks.check_may_wait(self.done())

    def add_done_callback(self, fn: Callable[[Future[Any]], object]) -> None:
        """As in `concurrent.futures`. Raises TypeError for a coroutine function."""
        check_callback(fn, awaited=False)
        super().add_done_callback(lambda future: self._strand.submit(partial(_call, fn, future)))

    def cancel(self) -> bool:
        """As in `concurrent.futures`: it is not done, where no slave has it yet. Says whether that is so."""
        job = self._job
        self._claims.append(_Claim.CANCELLED)
        if self._claims[0] is not _Claim.CANCELLED:
            return False
        cancelled = super().cancel()
        if job is not None:
            self._drop(job)
        return cancelled

    # What the pool tells, on the loop. It never waits there for a thread that was interrupted as it looked at this.

    def made(self, job: PoolJob) -> None:
        """This is its job."""
        self._job = job

    def begun(self) -> bool:
        """A slave gets it. False where it was cancelled."""
        if self._task is not None:
            return True
        self._claims.append(_Claim.BEGUN)
        if self._claims[0] is _Claim.BEGUN:
            if self._condition.acquire(blocking=False):  # that it is RUNNING is good to know, no more
                self.set_running_or_notify_cancel()
                self._condition.release()
            return True
        self._job = None
        self._change(self._be_cancelled)
        return False

    def given(self, task: BaseTask) -> None:
        """This is its task from now on."""
        self._task = task

    def ended(self, result: Any, error: BaseException | None) -> None:
        """It has ended."""
        self._change(partial(self._end, result, error))

    def _end(self, result: Any, error: BaseException | None) -> None:
        self._claims.append(_Claim.CANCELLED if isinstance(error, CancelledError) else _Claim.BEGUN)
        if self._claims[0] is _Claim.CANCELLED:  # no slave has had it
            self._be_cancelled()
        elif error is None:
            self.set_result(result)
        else:
            self.set_exception(error)
        self._job = None
        if self._listener is not None:
            self._listener.put(self)

    def _be_cancelled(self) -> None:
        super().cancel()
        self.set_running_or_notify_cancel()

    def _change(self, change: Callable[[], object]) -> None:
        if self._condition.acquire(blocking=False):
            try:
                change()
            finally:
                self._condition.release()
        else:
            self._strand.submit(change)


def _call(callback: Callable[[Future[Any]], object], future: Future[Any]) -> None:
    try:
        refuse_left(callback(future), "the callback of a future")
    except BaseException as error:  # noqa: BLE001 - users' code raises what it likes, sys.exit() included
        log_exception(_log, logging.ERROR, error, "a callback of a future raised")


class SlavePool(BasePool):
    """Hands tasks to the living slaves of a master, each to that which has the least to do.

    Slaves may join and leave meanwhile: those that the master connects to are in it, and those that it loses are not.
    A slave has as many tasks at once as it has slots, and its backlog. Use it with `with`, or call `close()`.

    Args:
        master: it has to run.
        names: the names of the connections that it may use. None: all.
        labels: what a slave's labels must say, such as `{"gpu": "a100"}`. None: anything.
        retries: how often a task that was LOST with its slave is done again, by another one. It may then be run twice.
        retry_failed: whether what has FAILED is done again, too.
        wait_for_slaves: whether tasks wait where there is no slave. False: `submit()` raises RuntimeError.

    `_before_new_task` of the master is called for each task, by the thread that submits it; `_after_new_task` and
    `_error_new_task` are not.

    Raises:
        RuntimeError: the master does not run.
        TypeError, ValueError: an argument that can't be.
    """

    def __init__(
        self,
        master: Master,
        *,
        names: Collection[str] | None = None,
        labels: Mapping[str, str] | None = None,
        retries: int = 0,
        retry_failed: bool = False,
        wait_for_slaves: bool = True,
    ) -> None:
        super().__init__(master, names, labels, retries, retry_failed, wait_for_slaves)
        self._strand = Strand("interaction-pool")
        self._loop, _ = self._service.running()
        self._drop = partial(self._loop.call, self._crew.drop)
        self._service.run(self._open())

    def submit(self, data: Mapping[str, Any] | None = None) -> PoolFuture:
        """Have a task done. Returns at once.

        Returns:
            A future: `result()` returns the task's result, or raises the task's error (`TaskFailed`, `TaskLost`, …).

        Raises:
            TypeError, PayloadError: the data is no mapping, or can't be carried.
            RuntimeError: the pool is closed, the master is shut down, or there is no slave (`wait_for_slaves=False`).
        """
        return self._submit(data, None)

    def _submit(self, data: Mapping[str, Any] | None, ended: SimpleQueue[PoolFuture] | None) -> PoolFuture:
        self._check_open()
        future = PoolFuture(self._strand, self._drop, ended)
        job = self._job(data, self._service.hooks._before_new_task({} if data is None else data), future)
        future.made(job)
        if not self._loop.call(self._crew.submit, job):
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
            progress: whether to show a progress bar. It needs rich: `pip install 'interaction[progress]'`.

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
