"""A slave whose every decision is the core's; what is around it here stands for threads, gRPC and the user."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from interaction.core.admission import Ticket
from interaction.core.engagement import Verdict
from interaction.core.model import Acknowledgement, ConnectAnswer, ResultStatus, TaskOffer, TaskResult
from interaction.core.outbox import Entry, Outbox
from interaction.core.tenancy import Tenancy
from interaction.exception import (
    MasterResponseException,
    ResponseException,
    SlaveSlaveConnectionRefused,
    SlaveSlaveDisconnectionRefused,
    SlaveTaskRefused,
)
from tests.sim.history import History
from tests.sim.master import SimMaster
from tests.sim.world import Later, Work, World

RETRY_PAUSE = 0.05


@dataclass
class Stream:
    """A heartbeat stream: ordered, and broken for both ends where it breaks."""

    token: str
    number: int = 0
    broken: bool = False
    last_up: float = 0.0
    last_down: float = 0.0


class SimSlave:
    """One slave process."""

    def __init__(self, name: str, world: World, history: History, master: SimMaster, span: float) -> None:
        self.name = name
        self.up = False
        self.life = 0
        self.paused_until = 0.0
        self.incarnation = ""
        self.stream: Stream | None = None
        self._world = world
        self._history = history
        self._master = master
        self._span = span
        self.forgetful = world.random.random() < 0.2  # it keeps nothing that could be resumed, as it may
        self._later: dict[object, Later] = {}
        self.start()

    def start(self) -> None:
        """A new process, that knows nothing."""
        self.up, self.life, self.paused_until = True, self.life + 1, 0.0
        self.incarnation = f"{self.name}-{self.life}"
        self.outbox: Outbox[TaskResult] = Outbox(1, 0.5)
        self.tenancy: Tenancy[TaskResult] = Tenancy(self.incarnation, self._span, self.outbox, slots=2)
        self.stream = None
        self._later.clear()

    def kill(self) -> None:
        """SIGKILL: its sockets close."""
        self.up = False
        self.break_stream()

    def break_stream(self) -> None:
        """The connection is gone, and each end that can hear notices."""
        stream, self.stream = self.stream, None
        if stream is None or stream.broken:
            return
        stream.broken = True
        if (self.name, self._master.name) not in self._world.cut:
            self._world.on(
                self._master, self._world.now + self._world.delay(), lambda: self._master.stream_broken(stream)
            )
        if self.up:
            self._world.on(self, self._world.now + self._world.delay(), lambda: self._reopen(stream.token))

    @property
    def now(self) -> float:
        """Its clock."""
        return self._world.now

    # What its master calls.

    def connect(self, token: str, previous: str | None, lease: float) -> object:
        self.let_go_if_due()
        engagement = self.tenancy.engagement
        verdict = engagement.connect(token, None if self.forgetful else previous)
        if verdict is Verdict.REPEAT:
            return engagement.answer_to(token)
        if verdict is Verdict.WAIT:
            return self._later[token]
        if verdict is Verdict.RESUME:
            answer = ConnectAnswer(self.incarnation, held=tuple(self.tenancy.held()))
            self.tenancy.resumed(token, answer, lease, self._world.now)
            self._begin(token)
            return answer
        return self._ask(token, lambda: self._connected(token, ConnectAnswer(self.incarnation), lease))

    def _connected(self, token: str, answer: ConnectAnswer, lease: float) -> object:
        if self._world.random.random() < 0.05:
            refusal = SlaveSlaveConnectionRefused("no")
            self.tenancy.engagement.refused(refusal)
            return refusal
        self.tenancy.opened(answer, lease, self._world.now)
        self._begin(token)
        return answer

    def disconnect(self, token: str) -> object:
        self.let_go_if_due()
        verdict = self.tenancy.disconnect(token)
        if verdict is Verdict.REPEAT:
            return self.tenancy.engagement.farewell
        if verdict is Verdict.WAIT:
            return self._later["end " + token]
        return self._ask("end " + token, lambda: self._disconnected(token))

    def _disconnected(self, token: str) -> object:
        self.let_go_if_due()
        if self._world.random.random() < 0.1:
            self.tenancy.engagement.stays(token)
            return SlaveSlaveDisconnectionRefused("no")
        self.tenancy.closed(token, {})
        return {}

    def new_task(self, token: str, offer: TaskOffer) -> object:
        self.let_go_if_due()
        ticket, fresh = self.tenancy.offer(token, offer)
        if fresh:
            return self._ask(id(ticket), lambda: self._decided(ticket))
        if ticket.answer is None:
            return self._later[id(ticket)]
        return ticket.answer

    def _decided(self, ticket: Ticket) -> object:
        self.let_go_if_due()
        if self._world.random.random() < 0.05:
            refusal = SlaveTaskRefused("no")
            self.tenancy.admission.refused(ticket, refusal)
            return refusal
        try:
            self.tenancy.accepted(ticket, {})
        except ResponseException as refusal:
            return refusal
        value = self._world.random.random()
        self._history.executed(self._world.now, ticket.offer.task_id, value)
        duration = self._world.random.choice((0.0, 0.01, 0.5, 5.0))
        self._world.on(self, self._world.now + duration, lambda: self._finished(ticket, value))
        return {}

    def _ask(self, key: object, decide: Callable[[], object]) -> Later:
        """The user takes a moment. Who calls again meanwhile waits for the same answer."""
        later = self._later[key] = Later()

        def answer() -> None:
            del self._later[key]
            later.give(decide())

        self._world.on(self, self._world.now + self._world.random.choice((0.0, 0.3)), answer)
        return later

    # The session.

    def let_go_if_due(self) -> None:
        self.tenancy.engagement.lease_over(self._world.now)

    def believes_in(self, token: str) -> bool:
        """Whether it would take a task of that session at this moment."""
        lease = self.tenancy.engagement.lease
        return self.tenancy.engagement.owns(token) and lease is not None and not lease.expired(self._world.now)

    def _begin(self, token: str) -> None:
        self.break_stream()
        self._open(token)
        self._report(token)

    def _reopen(self, token: str) -> None:
        if self.stream is None and self.believes_in(token):
            self._open(token)

    def _open(self, token: str) -> None:
        stream = self.stream = Stream(token)
        self._up(stream, lambda: self._master.stream_opened(self, stream), lambda: self._not_opened(stream))
        self._beat(stream)

    def _not_opened(self, stream: Stream) -> None:
        if self.stream is stream:
            self.stream = None
            self._world.on(self, self._world.now + RETRY_PAUSE, lambda: self._reopen(stream.token))

    def _beat(self, stream: Stream) -> None:
        self.let_go_if_due()
        lease = self.tenancy.engagement.lease
        if self.stream is not stream or not self.believes_in(stream.token) or lease is None:
            return
        sequence = lease.beat(self._world.now)
        self._up(stream, lambda: self._master.beat(self, stream, sequence))
        self._world.on(self, self._world.now + lease.pause(self._world.random.random()), lambda: self._beat(stream))

    def _up(self, stream: Stream, deliver: Work, not_there: Work | None = None) -> None:
        """A message on the stream: in order, or not at all."""
        if (self.name, self._master.name) in self._world.cut:
            return
        stream.last_up = max(stream.last_up, self._world.now + self._world.delay())
        if self._master.up:
            self._world.on(self._master, stream.last_up, lambda: None if stream.broken else deliver())
        elif not_there is not None:
            self._world.on(self, stream.last_up, not_there)

    def acknowledged(self, stream: Stream, sequence: int) -> None:
        """The master's answer on the stream."""
        engagement = self.tenancy.engagement
        self.let_go_if_due()
        if self.stream is stream and engagement.owns(stream.token) and engagement.lease is not None:
            engagement.lease.acknowledged(sequence)
            self._master.judge_lease(self.name, stream.token, engagement.lease.expires_at)

    def told_that_it_is_over(self, token: str) -> None:
        """The master says that the session has ended."""
        self.let_go_if_due()
        self.tenancy.ended_by_master(token)

    # Results.

    def _finished(self, ticket: Ticket, value: object) -> None:
        result = TaskResult(ticket.offer.task_id, ResultStatus.COMPLETED, value)
        if self.tenancy.finished(ticket, result, self._world.now):
            self._report(self.tenancy.engagement.token)

    def _report(self, token: str) -> None:
        """Report what is due, and come back when more is."""
        self.let_go_if_due()
        if not self.tenancy.engagement.owns(token):
            return
        for entry in self.outbox.take_due(token, self._world.now):
            self._call_report(token, entry)
        due = self.outbox.next_due(token)
        if due is not None:
            self._world.on(self, due, lambda: self._report(token))

    def _call_report(self, token: str, entry: Entry[TaskResult]) -> None:
        def done(answer: object) -> None:
            if isinstance(answer, MasterResponseException):
                self.told_that_it_is_over(token)
            if isinstance(answer, Acknowledgement):
                self._history.counts[f"acknowledged {answer.name}"] += 1
                self.outbox.acknowledged(entry.task_id)
            else:
                self.outbox.failed(entry.task_id, self._world.now, self._world.random.random())
                self._report(token)

        self._world.call(self, self._master, lambda: self._master.report(token, entry.item), done, timeout=2.0)
