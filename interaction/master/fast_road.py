"""The fast road of one session: a stream that opens with the first task, and closes when there is nothing to do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Protocol

from interaction.core.model import Outcome
from interaction.core.road import ACKNOWLEDGE_WITHIN, IDLE, Road
from interaction.exception import RequestException, ResponseException
from interaction.master.base_task import BaseTask
from interaction.rpc.convert import Report
from interaction.rpc.encoded import Encoded
from interaction.rpc.insist import insist, or_else
from interaction.rpc.work_call import WorkCall

_log = logging.getLogger("interaction.master")


class RoadOwner(Protocol):
    """The delivery."""

    @property
    def busy(self) -> bool:
        """Whether a task is on its way or runs."""

    def outcome(self, outcome: Outcome, report: Report | None, recorded: Callable[[str], object]) -> None:
        """The slave says what became of a task."""

    def not_started(self, task: BaseTask, error: BaseException) -> None:
        """A task got no answer in time."""

    def broke(self, task: BaseTask, error: BaseException) -> None:
        """Something of our own was raised on its way."""

    def call(self, task: BaseTask, data: Encoded, deadline: float, sent: bool) -> None:
        """Hand over by a call what the stream has left over."""


Packed = tuple[BaseTask, Encoded]  # a task, and its data as they are sent


class FastRoad:
    """What goes out and what comes in; `open_call` opens a stream. All is called on the loop."""

    def __init__(self, owner: RoadOwner, road: Road[Packed], open_call: Callable[[], WorkCall]) -> None:
        self._owner = owner
        self._road = road
        self._open_call = open_call
        self._loop = asyncio.get_running_loop()
        self._serving: asyncio.Task[None] | None = None
        self._call: WorkCall | None = None
        self._reading: asyncio.Future[None] | None = None
        self._news: asyncio.Future[None] | None = None  # the writer waits
        self._timers: dict[Callable[[], None], asyncio.TimerHandle] = {}
        self._closed = False

    def send(self, task: BaseTask, data: Encoded) -> bool:
        """Send a task. False where it has to go by a call."""
        if not self._road.takes(data.size):
            return False
        self._road.offer(task.id, (task, data), data.size, self._loop.time())
        if self._serving is None:
            self._serving = asyncio.ensure_future(self._serve())
            self._serving.add_done_callback(partial(insist, self._served))
        self._ring()
        deadline = self._road.next_deadline
        if deadline is not None:
            self._at(deadline, self._overdue)
        return True

    def hang_up(self) -> None:
        """End the stream at once; it may be opened again."""
        if self._call is not None:
            self._call.cancel()

    def close(self) -> None:
        """The session is over."""
        self._closed = True
        if self._serving is not None:
            self._serving.cancel()
        for timer in self._timers.values():
            timer.cancel()

    # The stream.

    async def _serve(self) -> None:
        call = self._call = self._open_call()
        reading = self._reading = asyncio.ensure_future(self._read(call))
        reading.add_done_callback(self._read_to_the_end)
        self._at(self._loop.time() + IDLE, self._look)
        await self._write(call, reading)
        await asyncio.wait({reading})

    def _served(self, serving: asyncio.Task[None]) -> None:
        """The stream has ended, whatever has ended it. Harmless when repeated."""
        call, reading = self._call, self._reading
        if call is not None:
            call.cancel()
        if reading is not None:
            reading.cancel()
        why = None if serving.cancelled() else serving.exception()
        if why is None and reading is not None:
            if reading.done() and not reading.cancelled():
                why = reading.exception()  # not raised: it would hold on to its frame, and with it to the socket
            else:
                why = RequestException("it was hung up", "CANCELLED")
        if not self._closed:
            self._left_over(why)
        self._call = self._reading = self._serving = None

    def _read_to_the_end(self, reading: asyncio.Future[None]) -> None:
        if not reading.cancelled():
            reading.exception()  # where the session has ended, too, nobody else looks at it
        self._ring()

    async def _write(self, call: WorkCall, reading: asyncio.Future[None]) -> None:
        while not reading.done():
            if self._road.pending:
                tasks, acknowledged = self._road.take()
                try:
                    await call.send([(task.id, data) for task, data in tasks], acknowledged)
                except (RequestException, ResponseException):  # the stream has ended: the reader knows why
                    return
                except asyncio.CancelledError:
                    if self._closed:
                        raise
                    return  # it was hung up
            elif self._road.closing:
                await call.finish()
                return
            else:
                self._news = self._loop.create_future()
                await self._news

    def _ring(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def _read(self, call: WorkCall) -> None:
        try:
            while (outcomes := await call.receive()) is not None:
                for outcome, report in outcomes:
                    self._owner.outcome(outcome, report, self._recorded)
                    self._road.answered(outcome.task_id)
        except BaseException:
            call.cancel()
            raise

    def _recorded(self, task_id: str) -> None:
        self._road.recorded(task_id)
        if self._road.pending:
            self._ring()
        else:
            self._at(self._loop.time() + ACKNOWLEDGE_WITHIN, self._acknowledge_now)

    def _left_over(self, why: BaseException | None) -> None:
        left = self._road.ended(why)
        if isinstance(why, (RequestException, ResponseException)):
            _log.info("the stream of tasks has ended, with %d of them unanswered: %s", len(left), why)
            if not self._road.usable:
                _log.warning("tasks go by calls of their own from now on: streams don't pass (%s)", why)
        elif why is not None:
            _log.error("a stream of tasks failed", exc_info=why)
        for awaited in left:
            task, data = awaited.task
            or_else(partial(self._owner.broke, task), self._owner.call, task, data, awaited.deadline, awaited.sent)

    # Timers: one of a kind.

    def _at(self, moment: float, what: Callable[[], None]) -> None:
        if what not in self._timers:
            self._timers[what] = self._loop.call_at(moment, insist, self._due, what)

    def _due(self, what: Callable[[], None]) -> None:
        self._timers.pop(what, None)
        what()

    def _acknowledge_now(self) -> None:
        self._road.hurry()
        self._ring()

    def _overdue(self) -> None:
        for task, _ in self._road.overdue(self._loop.time()):
            late = RequestException("the slave did not answer within the deadline", "DEADLINE_EXCEEDED")
            insist(self._owner.not_started, task, late)
        deadline = self._road.next_deadline
        if deadline is not None:
            self._at(deadline, self._overdue)

    def _look(self) -> None:
        """Close a stream that nobody needs."""
        if self._serving is None:
            return
        if not self._road.look(busy=self._owner.busy):
            self._at(self._loop.time() + IDLE, self._look)
        self._ring()
