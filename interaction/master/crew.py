"""A pool's part on the loop: its slaves come and go, and its jobs become tasks of theirs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from copy import copy
from functools import partial
from typing import Any, Protocol

from interaction.core.again import Failures
from interaction.core.dispatch import Dispatcher, Job
from interaction.core.task import TaskStatus
from interaction.exception import NoSlave, RequestException
from interaction.master.base_connection import BaseConnection
from interaction.master.base_task import BaseTask
from interaction.rpc.encoded import Encoded

Accepts = Callable[[BaseConnection], bool]
_log = logging.getLogger("interaction.master")


class Sink(Protocol):
    """What a job's owner holds: a future."""

    def begun(self) -> bool:
        """The job goes to a slave. False where nobody wants it any more."""

    def given(self, task: BaseTask) -> None:
        """This is its task from now on."""

    def ended(self, result: Any, error: BaseException | None) -> None:
        """The job has ended: with an error, or with a result; or it has not begun, and is not done."""


class PoolJob(Job):
    """One call of `submit()`."""

    def __init__(self, data: Mapping[str, Any] | None, encoded: Encoded, sink: Sink) -> None:
        super().__init__()
        self.data = data
        self.encoded = encoded
        self.sink = sink
        self.before: BaseException | None = None  # how its last task has ended, where it is done again


class Crew:
    """The slaves of a pool: those of the master's living connections that `accepts` takes. It lives on the loop.

    `wanted` says in words what `accepts` takes, where that is not all. `wait`: as of `Dispatcher`.
    """

    def __init__(self, accepts: Accepts, wanted: str, retries: int, failures: Failures, wait: float | None) -> None:
        self._accepts = accepts
        self._wanted = wanted
        self._dispatcher: Dispatcher[BaseConnection, PoolJob] = Dispatcher(retries, failures, wait)
        self._living: set[BaseConnection] = set()  # all of the master's
        self._timer: asyncio.TimerHandle | None = None
        self._assigning = False
        self._unfinished = 0
        self._idle = asyncio.Event()
        self.places = 0  # as many jobs can the slaves have, all together
        self.size = 0  # slaves
        self.over: BaseException | None = None  # why nothing more is done

    def joined(self, connection: BaseConnection) -> None:
        """A connection is there."""
        self._living.add(connection)
        if self._accepts(connection):
            now = asyncio.get_running_loop().time()
            self._dispatcher.join(connection, connection.slots, connection.backlog, now)
            self._count()
            self._assign()

    def left(self, connection: BaseConnection) -> None:
        """A connection is over. Its tasks will be told."""
        self._living.discard(connection)
        self._dispatcher.leave(connection, asyncio.get_running_loop().time())
        self._count()
        self._assign()

    def _count(self) -> None:
        self.size, self.places = len(self._dispatcher), self._dispatcher.places

    def lack(self) -> str:
        """That there is no slave, in words."""
        if not self._living:
            wanted = f", and it takes those of {self._wanted}" if self._wanted else ""
            return f"this pool has no slave: its master has no living one{wanted}"
        return f"this pool has no slave: of the {len(self._living)} that its master has none fits {self._wanted}"

    def submit(self, job: PoolJob) -> None:
        """Have a job done."""
        if self.over is not None:
            job.sink.ended(None, copy(self.over))
            return
        self._unfinished += 1
        self._idle.clear()
        self._dispatcher.add(job, asyncio.get_running_loop().time())
        self._assign()

    def drop(self, job: PoolJob) -> None:
        """Nobody wants a job any more: where no slave has it, it is not done."""
        if self._dispatcher.drop(job):
            job.sink.begun()  # no: which wakes who waits for it
            self._finished()

    def _assign(self) -> None:
        if self._assigning or not self._dispatcher.waiting:  # a task that can't be sent ends at once: it is seen below
            return
        self._assigning = True
        loop = asyncio.get_running_loop()
        now = loop.time()
        try:
            while (found := self._dispatcher.next(now)) is not None:
                self._send(*found, now)
            if not self.size:
                self._without_a_slave(now)
        finally:
            self._assigning = False
        due = self._dispatcher.next_due()
        if due is not None and (self._timer is None or due < self._timer.when()):
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_at(due, self._rested)

    def _send(self, connection: BaseConnection, job: PoolJob, now: float) -> None:
        if not job.sink.begun():
            self._dispatcher.ended(job, TaskStatus.CANCELLED, None, now)
            self._finished()
            return
        task = connection.new_task(job.data)
        job.sink.given(task)
        task.watch(partial(self._ended, job))
        task.begin(job)
        connection.send_now(task, job.encoded)

    def _without_a_slave(self, now: float) -> None:
        for job in self._dispatcher.given_up(now):
            error = NoSlave(f"{self.lack()}; the task was not done")
            error.__cause__ = job.before
            job.sink.ended(None, error)
            self._finished()
        waited = self._dispatcher.warn(now)
        if waited is not None:
            _log.warning("%s; %d task(s) wait for one, since %.0f s", self.lack(), self._dispatcher.waiting, waited)

    def _rested(self) -> None:
        self._timer = None
        self._assign()

    def _ended(self, job: PoolJob, task: BaseTask) -> None:
        now = asyncio.get_running_loop().time()
        if self._dispatcher.ended(job, task.status, task.error, now, task.accepted_at):
            job.sink.ended(task.result, task.error)
            self._finished()
        else:
            job.before = task.error
            if self.over is not None:
                self._clear(self.over)
        self._assign()

    def _finished(self) -> None:
        self._unfinished -= 1
        if not self._unfinished:
            self._idle.set()

    async def join(self) -> None:
        """Wait until all jobs have ended."""
        if self._unfinished:
            await self._idle.wait()

    def closed(self, error: BaseException) -> None:
        """Nothing more is to be done: the master has shut down, or the pool's user has closed it. What no slave has
        yet ends with that error, and so does what comes later."""
        if self._unfinished and self.over is None and isinstance(error, RequestException):
            _log.warning(
                "the master is shut down with %d unfinished task(s) of a pool: close it first", self._unfinished
            )
        self.over = self.over or error
        self._clear(error)
        if self._timer is not None:
            self._timer.cancel()

    def _clear(self, error: BaseException) -> None:
        for job in self._dispatcher.clear():
            job.sink.ended(None, copy(error))
            self._finished()
