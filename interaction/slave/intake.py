"""How tasks come to a slave, by either road: the core decides, the user is asked, and what is taken is run."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Protocol

from interaction.core.admission import Ticket
from interaction.core.model import Data, TaskOffer
from interaction.core.tenancy import Tenancy, Turn
from interaction.exception import ResponseException, SlaveSystemShuttingDown, SlaveTaskRefused
from interaction.rpc.convert import SizedReport
from interaction.rpc.insist import attempt, insist
from interaction.rpc.loop import Loop
from interaction.rpc.telling import log_exception, name_of, text_of
from interaction.slave.user import Asking, User
from interaction.slave.worker import broken_report, returned_report
from interaction.slave.workshop import Workplace, Workshop

Answer = Callable[[Data | ResponseException], object]
_log = logging.getLogger("interaction.slave")


class IntakeOwner(Protocol):
    """The desk."""

    @property
    def room(self) -> int:
        """The longest message that the session's master reads, in bytes."""

    def let_go_if_due(self) -> None:
        """End the session where its lease is over."""

    def task_ended(self, *, wanted: bool) -> None:
        """A task has ended, or is not taken; `wanted`: its result is in the outbox."""


class Intake:
    """The tasks of one slave, on the loop."""

    def __init__(self, owner: IntakeOwner, user: User, tenancy: Tenancy[SizedReport], workplace: Workplace) -> None:
        self._owner = owner
        self._user = user
        self._tenancy = tenancy
        self._loop: Loop | None = None
        self.workshop = Workshop(workplace, self._finish)
        self._asked: dict[int, list[Answer]] = {}  # by the ticket's own id: who waits for what the user says
        self._asking: set[asyncio.Task[None]] = set()
        self._turns: list[tuple[Ticket, Future[bool]]] = []  # threads that wait to begin a task
        self._turned: asyncio.Future[None]  # is done when the session may have changed
        self._stopped = False

    def start(self, loop: Loop) -> None:
        """Work on this loop, the running one, from now on."""
        self._loop = loop
        self._turned = loop.loop.create_future()

    def check(self, token: str, task_id: str, incarnation: str) -> None:
        """Raise a ResponseException where a task is not taken whatever it is."""
        self._tenancy.check(token, task_id, incarnation)

    def offer(self, token: str, offer: TaskOffer, answer: Answer) -> None:
        """A master hands over a task: `answer` is called with what is said to that, now or later.

        Raises what `Tenancy.offer` raises.
        """
        self._owner.let_go_if_due()
        ticket, fresh = self._tenancy.offer(token, offer)
        if not fresh and ticket.answer is not None:
            answer(ticket.answer)
        elif not fresh:
            self._asked[id(ticket)].append(answer)
        else:
            self._asked[id(ticket)] = [answer]
            try:
                self._put_to_user(ticket)
            except BaseException as error:  # noqa: BLE001 - from here on whatever is raised is the task's end
                self._broke(ticket, error)

    def _put_to_user(self, ticket: Ticket) -> None:
        ask = self._user.asking("_before_task", SlaveTaskRefused, self._owner.room)
        if ask is None:
            self._decided(ticket, {})
        else:
            asking = asyncio.ensure_future(self._ask(ticket, ask))
            self._asking.add(asking)
            asking.add_done_callback(partial(insist, self._asked_user, ticket))

    async def _ask(self, ticket: Ticket, ask: Asking) -> None:
        said: Data | ResponseException
        try:
            while not self._tenancy.may_ask(ticket):
                await self._turned
            self._tenancy.asks(ticket)
            said = await ask(ticket.offer.data)
        except ResponseException as refusal:
            said = refusal
        except asyncio.CancelledError:
            said = SlaveSystemShuttingDown("shutting down")
        self._owner.let_go_if_due()  # while the user was asked
        self._decided(ticket, said)

    def _asked_user(self, ticket: Ticket, asking: asyncio.Task[None]) -> None:
        self._asking.discard(asking)
        error: BaseException | None = asyncio.CancelledError() if asking.cancelled() else asking.exception()
        if error is not None:
            self._broke(ticket, error)

    def _decided(self, ticket: Ticket, said: Data | ResponseException) -> None:
        if isinstance(said, ResponseException):
            self._tenancy.admission.refused(ticket, said)
        else:
            try:
                self._tenancy.accepted(ticket, said, asyncio.get_running_loop().time())
            except ResponseException as refusal:
                said = refusal
        if isinstance(said, ResponseException):
            self._owner.task_ended(wanted=False)
        self._answer(ticket, said)
        if not isinstance(said, ResponseException):
            assert self._loop is not None, "started"
            self.workshop.take(ticket, self._owner.room, self._loop)

    def _answer(self, ticket: Ticket, said: Data | ResponseException) -> None:
        for answer in self._asked.pop(id(ticket), ()):
            try:
                answer(said)
            except BaseException as error:  # noqa: BLE001 - the others are answered all the same
                log_exception(_log, logging.ERROR, error, "a call about task %s gets no answer", ticket.offer.task_id)

    def _broke(self, ticket: Ticket, error: BaseException) -> None:
        """Something of our own was raised on the way of a task: that is its end."""
        task_id = ticket.offer.task_id
        log_exception(_log, logging.ERROR, error, "task %s could not be taken as it should", task_id)
        if ticket.answer is None or isinstance(ticket.answer, ResponseException):
            refusal = SlaveTaskRefused(f"the slave itself has failed: {name_of(error)}: {text_of(error)}")
            self._tenancy.admission.refused(ticket, ticket.answer or refusal)
            attempt(partial(self._owner.task_ended, wanted=False))
        elif not ticket.ended:
            self._finish(ticket, broken_report(task_id, error))
        assert ticket.answer is not None, "it was given just now, or before"
        self._answer(ticket, ticket.answer)

    # On the threads of tasks.

    def ready(self, ticket: Ticket) -> bool:
        """Wait until the task may begin. False where it is not to be run any more."""
        if self._tenancy.turn(ticket, time.monotonic()) is Turn.BEGIN:  # the loop's own clock
            return True
        assert self._loop is not None, "started"
        begins: Future[bool] = Future()
        return self._loop.call(insist, self._wait_for_turn, ticket, begins) and begins.result()

    # On the loop.

    def _wait_for_turn(self, ticket: Ticket, begins: Future[bool]) -> None:
        if not begins.done() and all(other is not begins for _, other in self._turns):
            self._turns.append((ticket, begins))
        self._owner.let_go_if_due()
        self.take_turns()

    def take_turns(self) -> None:
        """The session may have changed: tasks begin, are dropped, or wait on."""
        turned, self._turned = self._turned, asyncio.get_running_loop().create_future()
        turned.set_result(None)
        turns, self._turns = self._turns, []
        for ticket, begins in turns:
            try:
                turn = self._tenancy.turn(ticket, asyncio.get_running_loop().time())
            except BaseException as error:  # noqa: BLE001 - the thread that waits makes it the task's end
                begins.set_exception(error)
                continue
            if turn is Turn.WAIT and not self._stopped:
                self._turns.append((ticket, begins))
            else:
                begins.set_result(turn is Turn.BEGIN)

    def _finish(self, ticket: Ticket, report: SizedReport | None) -> None:
        now = asyncio.get_running_loop().time()
        if report is None:
            wanted = self._tenancy.handed_back(ticket, returned_report(ticket.offer.task_id, "it was not begun"), now)
        else:
            wanted = self._tenancy.finished(ticket, report, now)
        if not wanted:
            what = "task %s is not begun" if report is None else "the result of task %s is dropped"
            _log.info(f"{what}: its session is over", ticket.offer.task_id)
        self._owner.task_ended(wanted=wanted)

    def take_no_more(self, why: str) -> None:
        """Nothing begins any more: the owners of what was taken have it again, and are told."""
        returned = self._tenancy.drain()
        if returned:
            _log.info("%s: handing back %d task(s) that had not begun", why, len(returned))
        for ticket in returned:
            insist(self._hand_back, ticket, why)

    def _hand_back(self, ticket: Ticket, why: str) -> None:
        report = returned_report(ticket.offer.task_id, why)
        self._tenancy.handed_back(ticket, report, asyncio.get_running_loop().time())
        self._owner.task_ended(wanted=True)

    async def new_task(self, token: str, offer: TaskOffer) -> Data:
        """A master hands over a task by a call, which the answer is for. Raises a ResponseException."""
        self.workshop.expect(offer.task_id)
        answered: asyncio.Future[Data] = asyncio.get_running_loop().create_future()
        self.offer(token, offer, partial(_settle, answered))
        return await answered

    def stop(self) -> None:
        """The slave shuts down: who waits for the user's answer is told that there will be none, and no task begins."""
        for asking in self._asking:
            asking.cancel()
        self._stopped = True
        self.take_turns()


def _settle(answered: asyncio.Future[Data], said: Data | ResponseException) -> None:
    if answered.done():
        return
    if isinstance(said, ResponseException):
        answered.set_exception(said.with_traceback(None))  # else each duplicate would make it longer
    else:
        answered.set_result(said)
