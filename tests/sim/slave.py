"""A slave whose every decision is the core's; what is around it here stands for threads, gRPC and the user."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial

from interaction.core.engagement import Verdict
from interaction.core.model import Acknowledgement, TaskOffer, TaskResult
from interaction.core.outbox import Entry, Outbox
from interaction.core.tenancy import Tenancy
from interaction.exception import (
    MasterResponseException,
    RequestException,
    ResponseException,
    SlaveSlaveDisconnectionRefused,
    SlaveSlaveNotConnected,
)
from tests.sim.history import History
from tests.sim.intake import SimIntake
from tests.sim.master import SimMaster
from tests.sim.opening import MASTER, SimOpenings
from tests.sim.stream import Stream
from tests.sim.wire import BROKEN, Status, Wire
from tests.sim.witness import SimWitness
from tests.sim.work import SimWork
from tests.sim.world import CALL_TIMEOUT, Later, Work, World

RETRY_PAUSE = 0.05
LEAVE_PATIENCE = 0.5


class FastRoad(Enum):
    """Whether a slave serves the fast road."""

    SERVED = "served"
    LACKING = "lacking"  # among its features
    BARRED = "barred"  # by something between, that lets no streams pass


class SimSlave:
    """One slave process."""

    def __init__(self, name: str, world: World, history: History, master: SimMaster, span: float) -> None:
        self.name = name
        self.up = False
        self.life = 0
        self.paused_until = 0.0
        self.incarnation = ""
        self.stream: Stream | None = None
        self.world = world
        self.history = history
        self.master = master
        self._span = span
        draw = world.random
        self.forgetful = draw.random() < 0.2  # it keeps nothing that could be resumed, as it may
        self.fast_road = draw.choices((FastRoad.SERVED, FastRoad.LACKING, FastRoad.BARRED), (0.75, 0.2, 0.05))[0]
        self._slots, self._backlog = draw.choice((1, 1, 2, 3)), draw.choice((0, 0, 1, 4))
        self.capacity = self._slots + self._backlog + draw.choice((1, 1000))  # of the outbox
        self.witnessed = draw.random() < 0.6  # another process knows what had begun when this one dies
        self._later: dict[object, Later] = {}
        self.start()

    def start(self) -> None:
        """A new process, that knows nothing."""
        self.up, self.life, self.paused_until = True, self.life + 1, 0.0
        self.incarnation = f"{self.name}-{self.life}"
        self.outbox: Outbox[TaskResult] = Outbox(1, 0.5, capacity=self.capacity)
        self.tenancy: Tenancy[TaskResult] = Tenancy(
            self.incarnation, self._span, self.outbox, slots=self._slots, backlog=self._backlog
        )
        self.witness = SimWitness(self, self.capacity + self._slots + self._backlog)
        self.intake = SimIntake(self)
        self.openings = SimOpenings(self)
        self.begun_at = 0.0  # the session
        self.stream = None
        self.work: SimWork | None = None
        self._reporting = False
        self._later.clear()

    def kill(self) -> None:
        """SIGKILL: its sockets close."""
        self.up = False
        self.break_stream()
        if self.work is not None:
            self.work.wire.end(self.work.wire.master, BROKEN)
        self.witness.testify()

    def drain(self, timeout: float) -> None:
        """SIGTERM: it takes nothing new, hands back what has not begun, and leaves when the rest is done."""
        self.intake.take_no_more()
        self._leave_when_drained(self.world.now + timeout)

    def _leave_when_drained(self, deadline: float) -> None:
        self.let_go_if_due()
        drained, stream = self.tenancy.drained, self.stream
        if not drained and self.world.now < deadline:
            self.world.on(self, self.world.now + 0.1, lambda: self._leave_when_drained(deadline))
            return
        if stream is not None and self.tenancy.engagement.open:
            stream.up(self, lambda: self.master.left(stream, drained))
        self.tenancy.engagement.end()
        self._end_session()
        self.world.on(self, self.world.now + LEAVE_PATIENCE, self.kill)

    def break_stream(self) -> None:
        """The connections are gone, and each end that can hear notices."""
        for claim in list(self.tenancy.engagement.claims):
            self.openings.break_stream(claim.token)
        stream, self.stream = self.stream, None
        if stream is None or stream.broken:
            return
        stream.break_for(self)
        if self.up:
            self.world.on(self, self.world.now + self.world.delay(), lambda: self._reopen(stream.token))

    @property
    def now(self) -> float:
        """Its clock."""
        return self.world.now

    # What its master calls.

    def connect(
        self,
        token: str,
        previous: str | None,
        lease: float,
        *,
        where: str = MASTER,
        patience: float = CALL_TIMEOUT,
        slow: bool = False,
    ) -> object:
        return self.openings.connect(token, previous, lease, where=where, patience=patience, slow=slow)

    def resume(self, token: str, lease: float) -> object:
        """The session's master comes back to it."""
        self._end_session()
        answer = self.openings.answer(self.tenancy.held())
        self.tenancy.resumed(token, answer, lease, self.world.now)
        self.begin(token)
        return answer

    @property
    def features(self) -> list[str]:
        """What it can do."""
        served = {"work": self.fast_road is not FastRoad.LACKING, "witness": self.witnessed}
        return [name for name, is_served in served.items() if is_served]

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
        if self.world.random.random() < 0.1:
            self.tenancy.engagement.stays(token)
            return SlaveSlaveDisconnectionRefused("no")
        if self.tenancy.closed(token, {}):
            self._end_session()
        return {}

    def new_task(self, token: str, offer: TaskOffer) -> object:
        return self.intake.new_task(token, offer)

    def _ask(self, key: object, decide: Callable[[], object]) -> Later:
        """The user takes a moment. Who calls again meanwhile waits for the same answer."""
        later = self._later[key] = Later()

        def answer() -> None:
            del self._later[key]
            later.give(decide())

        self.later(answer)
        return later

    def later(self, work: Work) -> None:
        """When the user has had his moment."""
        self.world.on(self, self.world.now + self.world.random.choice((0.0, 0.3)), work)

    # The session.

    def let_go_if_due(self) -> None:
        if self.tenancy.engagement.lease_over(self.world.now):
            self._end_session()

    def _end_session(self) -> None:
        self._reporting = False
        self.witness.token = ""
        if self.work is not None:
            self._end_work(self.work, SlaveSlaveNotConnected("the session is over"))
        self.intake.go_on()

    def believes_in(self, token: str) -> bool:
        """Whether it would take a task of that session at this moment."""
        lease = self.tenancy.engagement.lease
        return self.tenancy.engagement.owns(token) and lease is not None and not lease.expired(self.world.now)

    def begin(self, token: str, stream: Stream | None = None) -> None:
        """A session is open; its heartbeat is that by which its master has proved itself, if there was one."""
        self.begun_at = self.world.now
        if token in self.openings.told:
            self.history.wrong(self.world.now, f"{self.name} opens a session that it was told nobody wants")
        if stream is not None:
            self.judge_begins(token, "it opens")
        self.break_stream()
        if stream is None:
            self._open(token)
        else:
            self.stream = stream
            self._beat(stream)
        self._reporting = True
        self.witness.token = token
        self.intake.go_on()
        self.report()

    def judge_begins(self, token: str, what: str) -> None:
        """Something of a session begins: its master must have acknowledged a beat."""
        if token not in self.history.answered:
            self.history.wrong(self.world.now, f"{self.name}: {what} a session whose master has proved nothing")

    def _reopen(self, token: str) -> None:
        if self.stream is None and self.believes_in(token):
            self._open(token)

    def _open(self, token: str) -> None:
        stream = self.stream = Stream(token)
        stream.open(self, lambda: self._not_opened(stream))
        self._beat(stream)

    def _not_opened(self, stream: Stream) -> None:
        if self.stream is stream:
            self.stream = None
            self.world.on(self, self.world.now + RETRY_PAUSE, lambda: self._reopen(stream.token))

    def _beat(self, stream: Stream) -> None:
        self.let_go_if_due()
        lease = self.tenancy.engagement.lease
        if self.stream is not stream or not self.believes_in(stream.token) or lease is None:
            return
        sequence = lease.beat(self.world.now)
        stream.beat(self, sequence)
        self.world.on(self, self.world.now + lease.pause(self.world.random.random()), lambda: self._beat(stream))

    def acknowledged(self, stream: Stream, sequence: int) -> None:
        """The master's answer on the stream."""
        engagement = self.tenancy.engagement
        if self.openings.acknowledged(stream, sequence):
            return
        self.let_go_if_due()
        if self.stream is stream and engagement.owns(stream.token) and engagement.lease is not None:
            engagement.lease.acknowledged(sequence)
            self.intake.go_on()
            self.master.judge_lease(self.name, stream.token, engagement.lease.expires_at)

    def told_that_it_is_over(self, token: str) -> None:
        """The master says that the session has ended."""
        self.openings.over(token)
        self.let_go_if_due()
        if self.tenancy.ended_by_master(token):
            self._end_session()

    # The fast road.

    def heard(self, token: str, wire: Wire, offers: Sequence[TaskOffer], acknowledged: Sequence[str]) -> None:
        """A message on a stream of tasks, which opens with the first."""
        if wire.work is None:
            self._open_work(token, wire)
        if wire.work is not None:
            wire.work.heard(offers, acknowledged)

    def _open_work(self, token: str, wire: Wire) -> None:
        if self.fast_road is not FastRoad.SERVED:
            wire.finish(wire.slave, RequestException("what is that?", "UNIMPLEMENTED"))
            return
        self.let_go_if_due()
        try:
            self.tenancy.engagement.check(token)
        except ResponseException as refusal:
            wire.finish(wire.slave, refusal)
            return
        before, self.work = self.work, SimWork(self, token, wire)
        wire.work, wire.slave.gone = self.work, partial(self._gone, self.work)
        if before is not None:
            self._end_work(before, RequestException("a newer stream has taken its place", "ABORTED"))

    def _gone(self, work: SimWork, status: Status) -> None:
        work.close()

    def half_closed(self, wire: Wire) -> None:
        """The master has no need of the stream."""
        if wire.work is not None:
            self._end_work(wire.work, None)

    def give_up(self, work: SimWork) -> None:
        """Nothing moves on the stream."""
        self.history.counts["streams given up"] += 1
        self._end_work(work, RequestException("results on it were not acknowledged", "ABORTED"))

    def _end_work(self, work: SimWork, status: Status) -> None:
        """It is read until a write that is under way has ended."""
        work.close()
        writing = self.world.random.choice((0.0, 0.3))
        self.world.on(self, self.world.now + writing, lambda: work.wire.finish(work.wire.slave, status))

    def work_over(self, work: SimWork) -> None:
        """A stream has ended, and what it had not brought home is due."""
        if self.work is work:
            self.work = None
        self.report()

    # Results.

    def report(self) -> None:
        """Report what is due, and come back when more is."""
        self.let_go_if_due()
        if not self._reporting:
            return
        token = self.tenancy.engagement.token
        for entry in self.outbox.take_due(token, self.world.now):
            if self.work is None or not self.work.report(entry):
                self._call_report(token, entry)
        due = self.outbox.next_due(token)
        if due is not None and due > self.world.now:
            self.world.on(self, due, self.report)

    def _call_report(self, token: str, entry: Entry[TaskResult]) -> None:
        def done(answer: object) -> None:
            if isinstance(answer, MasterResponseException):
                self.told_that_it_is_over(token)
            if isinstance(answer, Acknowledgement):
                self.history.counts[f"acknowledged {answer.name}"] += 1
                self.outbox.acknowledged(entry.task_id)
            else:
                self.outbox.failed(entry.task_id, self.world.now, self.world.random.random())
                self.report()

        self.world.call(self, self.master, lambda: self.master.report(token, entry.item), done, timeout=2.0)
