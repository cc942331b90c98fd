"""A master whose every decision is the core's; what is around it here stands for threads, gRPC and the application."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from interaction.core.custody import Custody, Ending
from interaction.core.journal import (
    Entry,
    SessionDropped,
    SessionKept,
    SessionRecord,
    TaskDelivered,
    TaskDropped,
    TaskEnded,
)
from interaction.core.model import Acknowledgement, ConnectAnswer, TaskResult
from interaction.core.registry import Registry
from interaction.core.session import STREAM_GRACE, Await, Lose, Probe, ProbeAnswer, Session, SessionState
from interaction.core.task import TaskMachine, TaskStatus
from interaction.exception import (
    JournalError,
    LossReason,
    MasterSlaveTokenInvalid,
    RequestException,
    ResponseException,
    TaskLost,
)
from tests.sim.delivery import SimDelivery
from tests.sim.history import History
from tests.sim.journal import Disk, SimJournal
from tests.sim.link import SimLink
from tests.sim.task import SimTask
from tests.sim.world import CALL_SECONDS, World

if TYPE_CHECKING:
    from tests.sim.slave import SimSlave
    from tests.sim.stream import Stream

PROBE_TIMEOUT = 1.0


class SimMaster:
    """The master process. With a `disk` it has a journal, and can be killed: for its next life see `recovery.py`."""

    def __init__(
        self,
        world: World,
        history: History,
        tolerance: float,
        check_span: float,
        disk: Disk | None = None,
        idle: float = 3.0,
    ) -> None:
        self.name = "master"
        self.up = True
        self.life = 0
        self.paused_until = 0.0
        self.tolerance = tolerance
        self.disk = disk
        self.world = world
        self.history = history
        self.idle = idle  # seconds after which a stream of tasks is closed that nobody needs
        self.prepare: Callable[[], object] = lambda: None  # called at the start of each life but the first
        self._check_span = check_span
        self._drawn = 0
        self.start()

    def start(self) -> None:
        """A new process, that knows nothing but what is on its disk."""
        self.up, self.life, self.paused_until = True, self.life + 1, 0.0
        self.links: dict[str, SimLink] = {}  # by the slave's name
        self.ended: list[SimTask] = []  # whose ends were told
        self.registry: Registry[SimLink] = Registry(self._check_span)
        self.journal = None if self.disk is None else SimJournal(self.world, self, self.disk)
        self._tick()

    def _tick(self) -> None:
        for link, decision in self.registry.tick(self.world.now):
            self.do(link, decision)
        self.world.on(self, self.world.now + self._check_span, self._tick)

    def do(self, link: SimLink, decision: Probe | Lose | Await | None) -> None:
        """Carry out what the core has decided."""
        if isinstance(decision, Probe):
            pause = self.registry.pause_before(decision, self.world.now)
            self.world.on(self, self.world.now + pause, lambda: self._probe(link))
        elif isinstance(decision, Await):
            late = self.world.now + decision.seconds
            self.world.on(self, late, lambda: self.do(link, link.session.witness_is_late()))
        elif isinstance(decision, Lose):
            self.over(link, link.custody.close(decision.reason, decision.message, asked=False))

    def _probe(self, link: SimLink) -> None:
        def done(answer: object) -> None:
            if isinstance(answer, str):
                found = ProbeAnswer(incarnation=answer)
            else:
                found = ProbeAnswer(nobody=isinstance(answer, RequestException) and answer.code == "UNAVAILABLE")
            self.do(link, link.session.probed(found, busy=link.custody.busy))
            gone = link.session.over or link.session.state is SessionState.GONE
            if isinstance(answer, str) and answer != link.session.incarnation and not gone:
                self.history.wrong(self.world.now, f"{link.slave.name} was seen to have restarted, and is not lost")

        self.world.call(self, link.slave, lambda: link.slave.incarnation, done, PROBE_TIMEOUT)

    # The journal, where there is one.

    def write(self, entries: Sequence[Entry], done: Callable[[JournalError | None], object]) -> None:
        """Have it written down, or not; then go on."""
        if self.journal is None:
            done(None)
        else:
            self.journal.write(entries, done)

    def keep(self, entries: Sequence[Entry], then: Callable[[], object]) -> None:
        """Have it written down, now or later; then go on."""
        if self.journal is None:
            then()
        else:
            self.journal.keep(entries, lambda _: then())

    def deliver(self, task_id: str, then: Callable[[], object]) -> None:
        """The end of a task is about to be told."""
        self.keep([TaskDelivered(task_id)], then)

    # What the application does.

    def draw(self, slave: SimSlave) -> str:
        """A token that was never drawn before."""
        self._drawn += 1
        return f"{slave.name}{self._drawn:040}"

    def link_to(self, slave: SimSlave, record: SessionRecord) -> SimLink:
        """Know a session from now on."""
        session = Session(self.tolerance)
        link = SimLink(record, slave, session, [record.token], Custody(slave.name, session))
        link.delivery = SimDelivery(self, link)
        self.links[slave.name] = link
        self.registry.add(link.token, session, link)
        if record.successor:  # it may be the slave's already
            self.also(link, record.successor)
        return link

    def also(self, link: SimLink, token: str) -> None:
        """Know a session by another token as well."""
        link.tokens.append(token)
        self.registry.also(link.tokens[0], token)

    def connect(self, slave: SimSlave) -> None:
        """Open a session, unless there is one."""
        if slave.name in self.links:
            return
        token = self.draw(slave)
        link = self.link_to(slave, SessionRecord(slave.name, "host", 1, False, token, "", b""))

        def done(answer: object) -> None:
            if not isinstance(answer, ConnectAnswer):
                self.over(link, link.custody.end(None, "not made", asked=True))
                return
            record = replace(link.record, incarnation=answer.incarnation)
            self.write([SessionKept(record)], partial(self._connected, link, record, answer))

        self.world.request(self, slave, lambda: slave.connect(token, None, link.session.lease), done)

    def _connected(
        self, link: SimLink, record: SessionRecord, answer: ConnectAnswer, failure: JournalError | None
    ) -> None:
        if failure is None and not link.session.over:
            link.record = record
            self.opened(link, answer)
            return
        self.keep([SessionDropped(link.token)], lambda: None)
        self.over(link, link.custody.end(None, "not made", asked=True))
        self.world.request(self, link.slave, lambda: link.slave.disconnect(link.token), lambda answer: None)

    def opened(self, link: SimLink, answer: ConnectAnswer) -> None:
        """The slave has accepted, or has taken the session up again."""
        link.heard_at = self.world.now
        link.delivery.opened(answer)
        witnessed = "witness" in answer.features
        self.do(link, link.session.opened(answer.incarnation, self.world.now, witnessed=witnessed))
        self.world.on(self, self.world.now + STREAM_GRACE, lambda: self.do(link, link.session.expect_stream()))

    def disconnect(self, slave: SimSlave) -> None:
        """End the session by asking the slave."""
        link = self.links.get(slave.name)
        if link is None or link.session.state not in (SessionState.LIVE, SessionState.SUSPECT):
            return
        link.session.parting(True)
        self.history.disconnections[slave.name].append(self.world.now + CALL_SECONDS)

        def done(answer: object) -> None:
            link.session.parting(False)
            if isinstance(answer, ResponseException):
                self.over(link, link.custody.disconnect_refused(answer))
            elif not isinstance(answer, RequestException):
                self.over(link, link.custody.end(LossReason.DISCONNECTED, "disconnected", asked=True))

        self.world.request(self, slave, lambda: slave.disconnect(link.token), done)

    def start_task(self, slave: SimSlave, task_id: str) -> None:
        """Hand over a task, where there is a session."""
        link = self.links.get(slave.name)
        if link is None or link.session.state not in (SessionState.LIVE, SessionState.SUSPECT):
            return
        task = SimTask(task_id, TaskMachine(), self.deliver, self.told, self.history.accepted)
        self.history.started(self.world.now, task_id, link.token, link.session.incarnation)
        task.machine.start()
        link.delivery.start(task)

    # What slaves call.

    def stream_opened(self, slave: SimSlave, stream: Stream) -> None:
        """A slave opens its heartbeat stream."""
        link = self.registry.find(stream.token)
        if link is None or link.session.over:
            self._judge_stranger(stream.token)
            self._down(slave, stream, lambda: slave.told_that_it_is_over(stream.token))
            return
        if stream.token in link.tokens[: link.tokens.index(link.token)]:
            return
        link.heard_at = self.world.now
        stream.number, link.stream = link.session.stream_opened(self.world.now), stream

    def beat(self, slave: SimSlave, stream: Stream, sequence: int) -> None:
        """A beat came."""
        link = self.registry.find(stream.token)
        if link is None or not stream.number:
            return
        acknowledged = link.session.beat(stream.number, sequence, self.world.now)
        if link.session.last_heard == self.world.now:
            link.heard_at = self.world.now
        if acknowledged:
            newest = link.session.newest_beat
            self.history.answered.add(stream.token)
            self._down(slave, stream, lambda: slave.acknowledged(stream, newest))

    def stream_broken(self, stream: Stream) -> None:
        """A heartbeat stream has ended without a word."""
        link = self.registry.find(stream.token)
        if link is not None and stream.number:
            self.do(link, link.session.stream_broken(stream.number))

    def exited(self, token: str, incarnation: str, begun: Sequence[str] | None) -> None:
        """The witness of a slave opens a stream, to say that this has ended, and what had begun."""
        link = self.registry.find(token)
        if link is None or token in link.tokens[: link.tokens.index(link.token)]:
            return
        link.heard_at = self.world.now
        number = link.session.stream_opened(self.world.now)
        self.over(link, link.custody.exited(number, incarnation, begun))
        self.do(link, link.session.stream_broken(number))

    def left(self, stream: Stream, drained: bool) -> None:
        """A slave has left."""
        link = self.registry.find(stream.token)
        if link is not None and stream.number:
            self.over(link, link.custody.left("bye", drained))

    def _down(self, slave: SimSlave, stream: Stream, deliver: Callable[[], object]) -> None:
        if (self.name, slave.name) in self.world.cut:
            return
        stream.last_down = max(stream.last_down, self.world.now + self.world.delay())
        self.world.on(slave, stream.last_down, lambda: None if stream.broken else deliver())

    def report(self, token: str, result: TaskResult) -> object:
        """A result came."""
        if not self.registry.remembers(token):
            self._judge_stranger(token)
            raise MasterSlaveTokenInvalid("unknown")
        link = self.registry.find(token)
        if link is None:
            return Acknowledgement.STALE
        return link.delivery.report(result)

    def _judge_stranger(self, token: str) -> None:
        """A slave that beats or reports is told that its session is over: it must be."""
        for link in self.links.values():
            if token in (link.record.token, link.record.successor) and not link.session.over:
                self.history.wrong(self.world.now, f"{link.slave.name} is told that its session is over")

    # Ends.

    def judge_lease(self, name: str, token: str, expires_at: float) -> None:
        """Promise 5, before it comes to the test: a slave must not believe for longer than its master would."""
        link = self.registry.find(token) if self.up else None
        if link is not None and link.session.lives and expires_at > link.heard_at + self.tolerance:
            self.history.wrong(self.world.now, f"{name} may believe for longer than its master does")

    def over(self, link: SimLink, ending: Ending[SimTask] | None) -> None:
        """A session has ended."""
        if ending is None:
            return
        self.registry.retire(*link.tokens)
        if self.links.get(link.slave.name) is link:
            del self.links[link.slave.name]
        self.end_stream(link)
        link.delivery.close()
        if ending.reason is None:
            return
        self.history.lost(self.world.now, link.slave.name, ending.reason)
        same = link.slave.up and link.slave.incarnation == link.session.incarnation  # else a late Connect met another
        if ending.reason is LossReason.SILENT and same and link.slave.believes_in(link.token):
            self.history.wrong(self.world.now, f"{link.slave.name} still believes in a session that is lost")

        def tell() -> None:
            for task in (*ending.lost, *ending.unsent):
                task.lose(ending.error)
            for task in ending.untaken:
                task.fail_to_start(ending.not_taken)
            for task in ending.unbegun:
                task.lose(ending.not_begun)

        for task in (*ending.unbegun, *ending.untaken):
            self.history.not_begun(self.world.now, task.id)
        lost = [loss_of(task, ending.error) for task in ending.lost]
        lost += [loss_of(task, ending.not_begun) for task in ending.unbegun]
        unsent = [TaskDropped(task.id) for task in (*ending.unsent, *ending.untaken)]
        self.keep([SessionDropped(link.token), *lost, *unsent], tell)

    def end_stream(self, link: SimLink) -> None:
        """Tell the slave that the session it beats for is over."""
        if (stream := link.stream) is not None:
            self._down(link.slave, stream, lambda: link.slave.told_that_it_is_over(stream.token))

    def lose(self, losses: Sequence[tuple[SimTask, TaskLost]]) -> None:
        """These tasks are lost, and the session is not."""

        def tell() -> None:
            for task, error in losses:
                task.lose(error)

        self.keep([loss_of(task, error) for task, error in losses], tell)

    def told(self, task: SimTask) -> None:
        """The application's callback. Then its owner has had the end."""
        error = task.machine.error
        returned = isinstance(error, TaskLost) and error.reason is LossReason.RETURNED
        self.history.ended(self.world.now, task.id, task.status, task.result, returned=returned)
        self.ended.append(task)
        self.keep([TaskDropped(task.id)], lambda: None)


def loss_of(task: SimTask, error: TaskLost) -> TaskEnded:
    """What is written down of a loss."""
    return TaskEnded(task.id, TaskStatus.LOST, reason=error.reason.name, delivered=task.mark())
