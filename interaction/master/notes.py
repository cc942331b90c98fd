"""What a master writes down of its sessions and tasks. Without a journal there is nothing to do or to wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from interaction.core.custody import Ending
from interaction.core.journal import (
    Entry,
    SessionDropped,
    SessionKept,
    SessionRecord,
    TaskDelivered,
    TaskDropped,
    TaskEnded,
    TaskKept,
    TaskRecord,
)
from interaction.core.model import TaskResult
from interaction.core.task import STATUS_BY_RESULT, TaskStatus
from interaction.exception import JournalError, TaskLost
from interaction.journal import Journal
from interaction.master.base_task import BaseTask
from interaction.rpc import convert
from interaction.rpc.convert import Report
from interaction.rpc.encoded import Encoded
from interaction.rpc.insist import insist
from interaction.rpc.loop import Loop

Written = Callable[["JournalError | None"], object]


class Notes:
    """A master's journal, or none. The coroutines raise JournalError where it can't be written; `then` is called with
    it, on the loop, or with None."""

    def __init__(self, journal: Journal | None, loop: Loop | None) -> None:
        self.journal = journal
        self._loop = loop

    async def session(self, record: SessionRecord) -> None:
        """A session is there, or has changed."""
        await self._write(SessionKept(record))

    def session_dropped(self, record: SessionRecord) -> None:
        """A session that was to be kept is not there."""
        self._keep([SessionDropped(record.token)], lambda: None)

    def started(self, task_id: str, connection: str, data: Encoded, then: Written) -> None:
        """A task is about to be sent."""
        if self.journal is None:
            then(None)
        else:
            self._try(TaskKept(TaskRecord(task_id, connection, convert.pack(data))), then)

    def not_started(self, task_id: str, then: Callable[[], object]) -> None:
        """It was refused, or not sent."""
        self._keep([TaskDropped(task_id)], then)

    def ended(self, task: BaseTask, result: TaskResult, report: Report, then: Written) -> None:
        """The result of a task has come."""
        if self.journal is None:
            then(None)
        else:
            status = STATUS_BY_RESULT[result.status]
            ended = TaskEnded(task.id, status, convert.pack(report), delivered=task.mark())
            self.journal.end([ended], partial(self._call, then))

    def _try(self, entry: Entry, then: Written) -> None:
        assert self.journal is not None, "it was looked at"
        self.journal.write([entry], partial(self._call, then))

    async def _write(self, entry: Entry) -> None:
        if self.journal is None:
            return
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._try(entry, partial(_settle, written))
        await written

    def lost(self, tasks: Sequence[tuple[BaseTask, TaskLost]]) -> None:
        """These tasks are lost. They end when that is written down, or can't be now."""

        def end() -> None:
            for task, error in tasks:
                task.lose(error)

        self._keep([_loss_of(task, error) for task, error in tasks], end)

    def over(self, token: str, ending: Ending[BaseTask], then: Callable[[], object]) -> None:
        """A session is over, and its tasks with it; `then`, called on the loop, is to end them."""
        if self.journal is None:
            then()
            return
        lost = [_loss_of(task, ending.error) for task in ending.lost]
        lost += [_loss_of(task, ending.not_begun) for task in ending.unbegun]
        unsent = [TaskDropped(task.id) for task in (*ending.unsent, *ending.untaken)]
        self._keep([SessionDropped(token), *lost, *unsent], then)

    def _keep(self, entries: Sequence[Entry], then: Callable[[], object]) -> None:
        if self.journal is None:
            then()
            return
        self.journal.keep(entries, lambda _: self._call(then))

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
        """On the loop."""
        assert self._loop is not None, "there is a journal"
        self._loop.call(insist, function, *arguments)

    async def flush(self) -> None:
        """Wait until all that was to be written has been tried."""
        if self.journal is not None:
            tried: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._keep([], partial(_settle, tried, None))
            await tried

    # What tasks tell, from any thread.

    def delivering(self, task_id: str, then: Callable[[], object]) -> None:
        """A task's callbacks are to be called, by `then`: in no later life of the master again. There is a journal."""
        assert self.journal is not None, "it was looked at"
        self.journal.keep([TaskDelivered(task_id)], lambda _: then())

    def had(self, task_id: str) -> None:
        """The owner of a task has had its end."""
        if self.journal is not None:
            self.journal.keep([TaskDropped(task_id)])


def _loss_of(task: BaseTask, error: TaskLost) -> TaskEnded:
    return TaskEnded(task.id, TaskStatus.LOST, reason=error.reason.name, message=error.message, delivered=task.mark())


def _settle(written: asyncio.Future[None], failure: JournalError | None) -> None:
    if written.done():
        return
    if failure is None:
        written.set_result(None)
    else:
        written.set_exception(failure)
