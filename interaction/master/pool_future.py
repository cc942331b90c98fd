"""The result to come of one job of a pool."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from enum import Enum
from functools import partial
from queue import SimpleQueue
from typing import Any

from interaction.config import patience
from interaction.master.base_task import BaseTask
from interaction.master.crew import PoolJob
from interaction.master.task import Task
from interaction.rpc import forks
from interaction.rpc.coroutines import check_callback, refuse_left
from interaction.rpc.insist import as_work
from interaction.rpc.strand import Strand
from interaction.rpc.telling import log_exception
from interaction.waiters import check_may_wait

_log = logging.getLogger("interaction.master")


class _Claim(Enum):
    """What is decided of a job, once."""

    BEGUN = "a slave gets it"
    CANCELLED = "it is not done"


class PoolFuture(Future[Any]):
    """The result to come of one `submit()`. Its callbacks run on a thread of the pool's, one after another.

    So a callback may wait for the `result()` of another future, but not for what a callback of another one does, as
    `asyncio.wrap_future` does: wait for that on a thread or a loop of your own.
    """

    def __init__(
        self, strand: Strand, drop: Callable[[PoolJob], object], listener: SimpleQueue[PoolFuture] | None
    ) -> None:
        super().__init__()
        self._strand = strand
        self._drop = drop
        self._listener = listener
        self._callbacks: list[Callable[[Future[Any]], object]] = []
        self._notified = False  # that it is cancelled
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
        return super().result(patience(timeout))

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """As `result()`."""
        self._check_may_come()
        return super().exception(patience(timeout))

    def _check_may_come(self) -> None:
        if not self.done():
            check_may_wait()
        if forks.inherited():
            forks.check_may_wait(self.done())

    def add_done_callback(self, fn: Callable[[Future[Any]], object]) -> None:
        """As in `concurrent.futures`. Raises TypeError for a coroutine function."""
        check_callback(fn, awaited=False)
        self._callbacks.append(fn)
        if self.done():
            self._deliver()

    def cancel(self) -> bool:
        """As in `concurrent.futures`: it is not done, where no slave has it yet. Says whether that is so."""
        job = self._job
        self._claims.append(_Claim.CANCELLED)
        if self._claims[0] is not _Claim.CANCELLED:
            return False
        cancelled = super().cancel()
        if job is not None:
            self._drop(job)
        if cancelled:
            self._deliver()
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
            return
        if not self.done():
            if error is None:
                self.set_result(result)
            else:
                self.set_exception(error)
        self._has_ended()

    def _be_cancelled(self) -> None:
        super().cancel()
        if not self._notified:
            self.set_running_or_notify_cancel()
            self._notified = True
        self._has_ended()

    def _has_ended(self) -> None:
        self._job = None
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.put(self)
        self._deliver()

    def _change(self, change: Callable[[], object]) -> None:
        if self._condition.acquire(blocking=False):
            try:
                change()
            finally:
                self._condition.release()
        else:
            self._strand.submit(as_work(self._strand.submit, change))

    def _deliver(self) -> None:
        """Have the callbacks called. Harmless when repeated."""
        if self._callbacks:
            self._strand.submit(as_work(self._strand.submit, self._call_back))

    def _call_back(self) -> None:
        """On the strand, one thing at a time: so they keep their order."""
        while self._callbacks:
            callback = self._callbacks.pop(0)  # and now it is called, whatever else may be raised here
            try:
                refuse_left(callback(self), "the callback of a future")
            except BaseException as error:  # noqa: BLE001 - users' code raises what it likes, sys.exit() included
                log_exception(_log, logging.ERROR, error, "a callback of a future raised")
