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
from interaction.rpc.insist import insist

Accepts = Callable[[BaseConnection], bool]
_log = logging.getLogger("interaction.master")


class Sink(Protocol):
    """What a job's owner holds: a future. All of this is harmless when repeated."""

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
        self.task: BaseTask | None = None  # until its end is decided
        self.told = False  # its owner knows how it has ended
        self.before: BaseException | None = None  # how its last task has ended, where it is done again


class Crew:
    """The slaves of a pool: those of the master's living connections that `accepts` takes. It lives on the loop.

    From `submit` on it owns each job's end: what is raised on the way of one is its end, and what has to be done for
    all of them is insisted on.

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
        self.over: BaseException | None = None  # why nothing more is done

    @property
    def size(self) -> int:
        """How many slaves there are."""
        return len(self._dispatcher)

    @property
    def places(self) -> int:
        """As many jobs can the slaves have, all together."""
        return self._dispatcher.places

    def joined(self, connection: BaseConnection) -> None:
        """A connection is there. Harmless when repeated, also when it is gone again."""
        if not connection.is_connected:
            return
        self._living.add(connection)
        if self._accepts(connection):
            now = asyncio.get_running_loop().time()
            self._dispatcher.join(connection, connection.slots, connection.backlog, now)
            insist(self._assign)

    def left(self, connection: BaseConnection) -> None:
        """A connection is over. Its tasks will be told. Harmless when repeated."""
        self._living.discard(connection)
        self._dispatcher.leave(connection, asyncio.get_running_loop().time())
        insist(self._assign)

    def lack(self) -> str:
        """That there is no slave, in words."""
        if not self._living:
            wanted = f", and it takes those of {self._wanted}" if self._wanted else ""
            return f"this pool has no slave: no connection of its master is connected{wanted}"
        return f"this pool has no slave: of the {len(self._living)} that its master has none fits {self._wanted}"

    def submit(self, job: PoolJob) -> None:
        """Have a job done. Raises nothing."""
        self._unfinished += 1
        self._idle.clear()
        try:
            self._dispatcher.add(job, asyncio.get_running_loop().time())
        except BaseException as error:  # noqa: BLE001 - as below
            insist(self._tell, job, None, error)
        if self.over is not None:
            insist(self._clear, self.over)
        insist(self._assign)

    def drop(self, job: PoolJob) -> None:
        """Nobody wants a job any more: where no slave has it, it is not done."""
        if self._dispatcher.drop(job):
            insist(self._not_done, job)

    def _not_done(self, job: PoolJob) -> None:
        if not job.told:
            job.sink.begun()  # no: which wakes who waits for it
            self._told(job)

    def _assign(self) -> None:
        """Give each job that waits to a slave that has a place for it. Harmless when repeated from the middle."""
        dispatcher = self._dispatcher
        if self._assigning or not (dispatcher.waiting or dispatcher.in_doubt):
            return  # a task that can't be sent ends at once: it is seen below
        self._assigning = True
        loop = asyncio.get_running_loop()
        now = loop.time()
        try:
            while (found := dispatcher.next(now)) is not None:
                try:
                    self._send(*found, now)
                except BaseException as error:  # noqa: BLE001 - from here on whatever is raised is the job's end
                    insist(self._not_sent, found[1], error)
            if not self.size:
                self._without_a_slave(now)
        finally:
            self._assigning = False
        due = dispatcher.next_due()
        if due is not None and (self._timer is None or due < self._timer.when()):
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_at(due, insist, self._rested)

    def _send(self, connection: BaseConnection, job: PoolJob, now: float) -> None:
        if not job.sink.begun():
            self._dispatcher.ended(job, TaskStatus.CANCELLED, None, now)
            insist(self._not_done, job)
            return
        task = job.task = connection.new_task(job.data)
        job.sink.given(task)
        task.watch(partial(self._ended, job))
        task.begin(job)
        connection.send_now(task, job.encoded)

    def _not_sent(self, job: PoolJob, error: BaseException) -> None:
        """Something of our own was raised on the way of a job to its slave."""
        if job.task is not None and job.task.status is not TaskStatus.IDLE:
            job.task.fail_to_start(error)  # which is told below
        else:
            job.task = None
            self._decide(job, TaskStatus.START_FAILED, None, error, None)

    def _without_a_slave(self, now: float) -> None:
        for job in self._dispatcher.given_up(now):
            insist(self._give_up, job)
        waited = self._dispatcher.warn(now)
        if waited is not None:
            _log.warning("%s; %d task(s) wait for one, since %.0f s", self.lack(), self._dispatcher.waiting, waited)

    def _rested(self) -> None:
        self._timer = None
        self._assign()

    def _give_up(self, job: PoolJob) -> None:
        error = NoSlave(f"{self.lack()}; the task was not done")
        error.__cause__ = job.before
        self._tell(job, None, error)

    def _ended(self, job: PoolJob, task: BaseTask) -> None:
        """A task has ended. Harmless when repeated from the middle."""
        if job.task is task:
            self._decide(job, task.status, task.result, task.error, task.accepted_at)
            job.task = None
        self._assign()

    def _decide(
        self, job: PoolJob, status: TaskStatus, result: Any, error: BaseException | None, accepted_at: float | None
    ) -> None:
        now = asyncio.get_running_loop().time()
        if self._dispatcher.ended(job, status, error, now, accepted_at):
            self._tell(job, result, error)
        else:
            job.before = error
            if self.over is not None:
                self._clear(self.over)

    def _tell(self, job: PoolJob, result: Any, error: BaseException | None) -> None:
        """A job has come to its end. Harmless when repeated."""
        if not job.told:
            job.sink.ended(result, error)
            self._told(job)

    def _told(self, job: PoolJob) -> None:
        job.told = True
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
            insist(self._let_go, job, error)

    def _let_go(self, job: PoolJob, error: BaseException) -> None:
        self._tell(job, None, copy(error))
