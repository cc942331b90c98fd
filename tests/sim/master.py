"""A master whose every decision is the core's; what is around it here stands for threads, gRPC and the application."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interaction.core.model import Acknowledgement, ConnectAnswer, TaskOffer, TaskResult
from interaction.core.registry import Ledger, Registry
from interaction.core.session import STREAM_GRACE, Lose, Probe, ProbeAnswer, Session, SessionState
from interaction.core.task import TaskMachine
from interaction.exception import (
    LossReason,
    MasterSlaveTokenInvalid,
    RequestException,
    ResponseException,
    SlaveMasterTokenInvalid,
    SlaveSlaveNotConnected,
    TaskLost,
)
from tests.sim.history import History
from tests.sim.world import World

if TYPE_CHECKING:
    from tests.sim.slave import SimSlave, Stream

CALL_TIMEOUT = 1.0  # of one try
CALL_SECONDS = 6.0  # of a request with all its tries
PROBE_TIMEOUT = 1.0


@dataclass
class SimTask:
    """A task of the application."""

    id: str
    machine: TaskMachine = field(default_factory=TaskMachine)


@dataclass
class SimLink:
    """One session of the master's with one slave."""

    token: str
    slave: SimSlave
    session: Session
    tasks: Ledger[SimTask] = field(default_factory=Ledger)
    heard_at: float = 0.0  # when anything of the slave's last came through, for the judge


class SimMaster:
    """The master process. It is paused, and never killed: without a journal there is nothing to come back to."""

    def __init__(self, world: World, history: History, tolerance: float, check_span: float) -> None:
        self.name = "master"
        self.up = True
        self.life = 1
        self.paused_until = 0.0
        self.tolerance = tolerance
        self.links: dict[str, SimLink] = {}  # by the slave's name
        self._world = world
        self._history = history
        self._check_span = check_span
        self.registry: Registry[SimLink] = Registry(check_span)
        self._drawn = 0
        self._tick()

    def _tick(self) -> None:
        for link, decision in self.registry.tick(self._world.now):
            self._do(link, decision)
        self._world.on(self, self._world.now + self._check_span, self._tick)

    def _do(self, link: SimLink, decision: Probe | Lose | None) -> None:
        if isinstance(decision, Probe):
            self._world.on(self, self._world.now + decision.after, lambda: self._probe(link))
        elif isinstance(decision, Lose):
            self._over(link, decision.reason)

    def _probe(self, link: SimLink) -> None:
        slave = link.slave

        def done(answer: object) -> None:
            if isinstance(answer, str):
                found = ProbeAnswer(incarnation=answer)
            else:
                found = ProbeAnswer(nobody=isinstance(answer, RequestException) and answer.code == "UNAVAILABLE")
            self._do(link, link.session.probed(found))

        self._world.call(self, slave, lambda: slave.incarnation, done, PROBE_TIMEOUT)

    # What the application does.

    def connect(self, slave: SimSlave) -> None:
        """Open a session, unless there is one."""
        if slave.name in self.links:
            return
        self._drawn += 1
        token = f"{slave.name}{self._drawn:040}"
        link = self.links[slave.name] = SimLink(token, slave, Session(self.tolerance))
        self.registry.add(token, link.session, link)

        def done(answer: object) -> None:
            if link.session.over:
                return
            if isinstance(answer, ConnectAnswer):
                link.heard_at = self._world.now
                self._do(link, link.session.opened(answer.incarnation, self._world.now))
                self._world.on(
                    self, self._world.now + STREAM_GRACE, lambda: self._do(link, link.session.expect_stream())
                )
                return
            self._over(link, None)

        self._request(slave, lambda: slave.connect(token, None, link.session.lease), done)

    def disconnect(self, slave: SimSlave) -> None:
        """End the session by asking the slave."""
        link = self.links.get(slave.name)
        if link is None or link.session.over:
            return
        link.session.parting(True)

        def done(answer: object) -> None:
            link.session.parting(False)
            gone = isinstance(answer, (SlaveSlaveNotConnected, SlaveMasterTokenInvalid))
            if gone or not isinstance(answer, (ResponseException, RequestException)):
                self._over(link, LossReason.DISCONNECTED)

        self._request(slave, lambda: slave.disconnect(link.token), done)

    def start_task(self, slave: SimSlave, task_id: str) -> None:
        """Hand over a task, where there is a session."""
        link = self.links.get(slave.name)
        if link is None or link.session.state not in (SessionState.LIVE, SessionState.SUSPECT):
            return
        task = SimTask(task_id)
        self._history.started(self._world.now, task_id, link.token)
        task.machine.start()
        link.tasks.add(task_id, task)
        offer = TaskOffer(task_id, {}, task_id.encode(), link.session.incarnation)

        def done(answer: object) -> None:
            if task.machine.status.ended:
                return
            if isinstance(answer, (ResponseException, RequestException)):
                link.tasks.close(task_id, by_result=False)
                if task.machine.fail_to_start(answer):
                    self._ended(task)
                if isinstance(answer, (SlaveSlaveNotConnected, SlaveMasterTokenInvalid)):
                    self._over(link, LossReason.DISCONNECTED)
                return
            task.machine.accept()

        self._request(slave, lambda: slave.new_task(link.token, offer), done)

    def _request(self, slave: SimSlave, handle: Callable[[], object], done: Callable[[object], None]) -> None:
        """A request with its tries: again where the transport failed, until its time is over."""
        deadline = self._world.now + CALL_SECONDS

        def attempt() -> None:
            self._world.call(self, slave, handle, answered, CALL_TIMEOUT)

        def answered(answer: object) -> None:
            if isinstance(answer, RequestException) and self._world.now + CALL_TIMEOUT < deadline:
                self._world.on(self, self._world.now + 0.2, attempt)
            else:
                done(answer)

        attempt()

    # What slaves call.

    def stream_opened(self, slave: SimSlave, stream: Stream) -> None:
        """A slave opens its heartbeat stream."""
        found = self.registry.find(stream.token)
        if found is None or found[1] is None or found[0].over:
            self._down(slave, stream, lambda: slave.told_that_it_is_over(stream.token))
            return
        found[1].heard_at = self._world.now
        stream.number = found[0].stream_opened(self._world.now)

    def beat(self, slave: SimSlave, stream: Stream, sequence: int) -> None:
        """A beat came."""
        found = self.registry.find(stream.token)
        if found is None or found[1] is None or not stream.number:
            return
        if found[0].beat(stream.number, sequence, self._world.now):
            found[1].heard_at = self._world.now
            newest = found[0].newest_beat
            self._down(slave, stream, lambda: slave.acknowledged(stream, newest))

    def stream_broken(self, stream: Stream) -> None:
        """A heartbeat stream has ended without a word."""
        found = self.registry.find(stream.token)
        if found is not None and found[1] is not None:
            self._do(found[1], found[0].stream_broken(stream.number))

    def _down(self, slave: SimSlave, stream: Stream, deliver: Callable[[], object]) -> None:
        if (self.name, slave.name) in self._world.cut:
            return
        stream.last_down = max(stream.last_down, self._world.now + self._world.delay())
        self._world.on(slave, stream.last_down, lambda: None if stream.broken else deliver())

    def report(self, token: str, result: TaskResult) -> Acknowledgement:
        """A result came."""
        found = self.registry.find(token)
        if found is None:
            raise MasterSlaveTokenInvalid("unknown")
        link = found[1]
        if link is None:
            return Acknowledgement.STALE
        task = link.tasks.get(result.task_id)
        if task is None:
            return link.tasks.acknowledge_again(result.task_id)
        acknowledgement = task.machine.finish(result)
        link.tasks.close(result.task_id, by_result=acknowledgement is Acknowledgement.RECORDED)
        if acknowledgement is Acknowledgement.RECORDED:
            self._ended(task)
        return acknowledgement

    # Ends.

    def judge_lease(self, name: str, token: str, expires_at: float) -> None:
        """Promise 5, before it comes to the test: a slave must not believe for longer than its master would."""
        found = self.registry.find(token)
        link = None if found is None else found[1]
        if link is not None and link.heard_at and expires_at > link.heard_at + self.tolerance:
            self._history.wrong(self._world.now, f"{name} may believe for longer than its master does")

    def _over(self, link: SimLink, reason: LossReason | None) -> None:
        """A session has ended. `reason` is None where it had never begun."""
        link.session.end()
        self.registry.retire(link.token)
        if self.links.get(link.slave.name) is link:
            del self.links[link.slave.name]
        if reason is not None:
            self._history.lost(self._world.now, link.slave.name, reason)
            if reason is LossReason.SILENT and link.slave.up and link.slave.believes_in(link.token):
                self._history.wrong(self._world.now, f"{link.slave.name} still believes in a session that is lost")
        for task in link.tasks.take_all():
            if task.machine.lose(TaskLost(reason or LossReason.DISCONNECTED, "lost")):
                self._ended(task)
        stream = link.slave.stream
        if stream is not None and stream.token == link.token:
            self._down(link.slave, stream, lambda: link.slave.told_that_it_is_over(link.token))

    def _ended(self, task: SimTask) -> None:
        self._history.ended(self._world.now, task.id, task.machine.status, task.machine.result)
