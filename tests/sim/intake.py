"""The tasks of a simulated slave, as `interaction.slave.intake` and `.workshop` have them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from interaction.core.admission import Ticket
from interaction.core.gate import Gate
from interaction.core.model import Data, ResultStatus, TaskOffer, TaskResult
from interaction.core.tenancy import Turn
from interaction.exception import ResponseException, SlaveTaskRefused
from tests.sim.world import Later

if TYPE_CHECKING:
    from tests.sim.slave import SimSlave

Answer = Callable[[Data | ResponseException], object]
DURATIONS = (0.0, 0.0, 0.003, 0.01, 0.3, 3.0)  # seconds that a task may run


class SimIntake:
    """The tasks of one process of a slave's."""

    def __init__(self, slave: SimSlave) -> None:
        self.gate: Gate[Ticket] = Gate()
        self._slave = slave
        self._world = slave.world
        self._tenancy = slave.tenancy
        self._asked: dict[int, list[Answer]] = {}  # by the ticket's own id
        self._unasked: list[tuple[Ticket, float]] = []  # and how long the user will take
        self._waiting: deque[Ticket] = deque()  # for a slot
        self._running = 0
        self._taken = 0  # and not ended
        self._places = slave.tenancy.admission.slots + slave.tenancy.admission.backlog

    def offer(self, token: str, offer: TaskOffer, answer: Answer) -> None:
        """A master hands over a task."""
        self._slave.let_go_if_due()
        ticket, fresh = self._tenancy.offer(token, offer)
        if not fresh and ticket.answer is not None:
            answer(ticket.answer)
        elif not fresh:
            self._asked[id(ticket)].append(answer)
        else:
            self._asked[id(ticket)] = [answer]
            if offer.data["task"] == "stranger":
                self._wrong("takes a stranger's task")
            moment = self._world.random.choice((0.0, 0.0, 0.0, 0.3))
            if moment:
                self._unasked.append((ticket, moment))
                self._ask()
            else:
                self._decided(ticket)

    def _ask(self) -> None:
        unasked, self._unasked = self._unasked, []
        for ticket, moment in unasked:
            if not self._tenancy.may_ask(ticket):
                self._unasked.append((ticket, moment))
                continue
            if self._tenancy.engagement.owns(ticket.session):
                self._slave.judge_begins(ticket.session, "its user is asked about a task of")
            self._tenancy.asks(ticket)
            self._world.on(self._slave, self._world.now + moment, partial(self._decided, ticket))

    def new_task(self, token: str, offer: TaskOffer) -> object:
        """A master hands over a task by a call."""
        later = Later()
        answers: list[Data | ResponseException] = []

        def answer(said: Data | ResponseException) -> None:
            answers.append(said)
            later.give(said)
            self._world.on(self._slave, self._world.now, lambda: self.told(offer.task_id))

        self.gate.expect(offer.task_id)
        try:
            self.offer(token, offer, answer)
        except ResponseException as refusal:
            answer(refusal)
        return answers[0] if answers else later

    def _decided(self, ticket: Ticket) -> None:
        self._slave.let_go_if_due()
        said = self._said(ticket)
        for answer in self._asked.pop(id(ticket)):
            answer(said)
        if not isinstance(said, ResponseException):
            self._take(ticket)

    def _said(self, ticket: Ticket) -> Data | ResponseException:
        if self._world.random.random() < 0.05:
            refusal = SlaveTaskRefused("no")
            self._tenancy.admission.refused(ticket, refusal)
            return refusal
        try:
            self._tenancy.accepted(ticket, {}, self._world.now)
        except ResponseException as over:
            return over
        return {}

    def _take(self, ticket: Ticket) -> None:
        self._taken += 1
        if self._taken > self._places:
            self._wrong(f"has taken more than {self._places} tasks at once")
        if self.gate.take(ticket.offer.task_id, ticket):
            self._begin(ticket)

    def told(self, task_id: str) -> None:
        """The master was told of a task, or can't be."""
        ticket = self.gate.told(task_id)
        if ticket is not None:
            self._begin(ticket)

    def take_no_more(self) -> None:
        """Nothing begins any more: what was taken is handed back."""
        for ticket in self._tenancy.drain():
            self._hand_back(ticket)

    def _hand_back(self, ticket: Ticket) -> None:
        result = TaskResult(ticket.offer.task_id, ResultStatus.RETURNED, 0.0)
        if self._tenancy.handed_back(ticket, result, self._world.now):
            self._slave.report()

    # The slots.

    def _begin(self, ticket: Ticket) -> None:
        self._waiting.append(ticket)
        self.go_on()

    def go_on(self) -> None:
        """A slot is free, or the session has changed."""
        self._ask()
        while self._waiting and self._running < self._tenancy.admission.slots:
            turn = self._tenancy.turn(self._waiting[0], self._world.now)
            if turn is Turn.WAIT:
                return
            ticket = self._waiting.popleft()
            if turn is Turn.BEGIN:
                self._run(ticket)
            else:
                self._taken -= 1
                self._hand_back(ticket)

    def _run(self, ticket: Ticket) -> None:
        self._running += 1
        value = self._world.random.random()
        self._slave.judge_begins(ticket.session, "it runs a task of")
        self._slave.history.executed(self._world.now, ticket.offer.data["task"], value)
        last = ticket.offer.task_id.startswith("last")
        duration = self._world.random.choice(DURATIONS[:4] if last else DURATIONS)
        self._world.on(self._slave, self._world.now + duration, lambda: self._ran(ticket, value))

    def _ran(self, ticket: Ticket, value: object) -> None:
        self._running -= 1
        self._taken -= 1
        self.go_on()
        result = TaskResult(ticket.offer.task_id, ResultStatus.COMPLETED, value)
        if self._tenancy.finished(ticket, result, self._world.now):
            self._slave.report()
        if len(self._slave.outbox) >= self._slave.capacity + self._places:
            self._wrong(f"keeps {len(self._slave.outbox)} results")

    def _wrong(self, sentence: str) -> None:
        self._slave.history.wrong(self._world.now, f"{self._slave.name} {sentence}")
