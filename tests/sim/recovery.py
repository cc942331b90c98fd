"""The end of a master process, and its next life on the same disk."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from interaction.core.journal import SessionKept, Snapshot, TaskRecord
from interaction.core.model import ConnectAnswer, ResultStatus, TaskResult
from interaction.core.recovery import Recovery, Refused, meaning_of
from interaction.core.task import STATUS_BY_RESULT, TaskMachine
from interaction.exception import JournalError, LossReason, ResponseException, TaskLost
from tests.sim.journal import Disk
from tests.sim.link import SimLink
from tests.sim.master import SimMaster
from tests.sim.slave import SimSlave
from tests.sim.task import SimTask
from tests.sim.world import CALL_TIMEOUT

_RESULT_BY_STATUS = {status: result for result, status in STATUS_BY_RESULT.items()}


def kill(master: SimMaster, slaves: list[SimSlave]) -> None:
    """SIGKILL: its sockets close, and what was not on the disk is gone."""
    assert master.disk is not None, "a master without a journal is not killed"
    master.up = False
    master.history.killed(master.world.now, master.disk.tasks)
    for slave in slaves:
        slave.break_stream()
    for link in master.links.values():
        link.delivery.killed()


class Restarted:
    """What a master does in the first moments of a life that is not its first."""

    def __init__(self, master: SimMaster, slaves: list[SimSlave]) -> None:
        master.start()
        master.prepare()
        assert master.disk is not None, "without a journal there is nothing to come back to"
        self._master = master
        self._world = master.world
        by_name = {slave.name: slave for slave in slaves}
        master.disk.apply(master.disk.load().orphans())
        snapshot = master.disk.load()
        links = [master.link_to(by_name[record.name], record) for record in snapshot.sessions]
        self._inherited = {link.token for link in links if link.record.successor}
        self._adopt(master.disk, snapshot, links)
        self._round = 0
        self._by_token = {link.token: link for link in links}
        self._recovery = Recovery({link.tokens[0]: link.session for link in links}, self._world.now)
        begins = self._world.now + self._world.random.choice((0.0, 0.3))  # slaves may call before they are called
        self._world.on(master, begins, self._step)

    def _adopt(self, disk: Disk, snapshot: Snapshot, links: list[SimLink]) -> None:
        """The application has a look at all tasks, some time later: ends come before and after that."""
        tasks = []
        for link in links:
            of_link = [
                SimTask(task.id, TaskMachine.started(), self._master.deliver) for task in snapshot.of(link.record)
            ]
            link.custody.adopt(of_link)
            tasks.extend(of_link)
        ended = [self._ended(record) for record in disk.ended()]
        look = self._world.now + self._world.random.choice((0.0, 3.0))
        for task in [*tasks, *ended]:
            self._world.on(self._master, look, lambda task=task: task.attend(self._master.told))  # type: ignore[misc]

    def _revived(self, record: TaskRecord) -> SimTask:
        return SimTask(record.id, TaskMachine.started(), self._master.deliver)

    def _ended(self, record: TaskRecord) -> SimTask:
        task = self._revived(record)
        if record.reason:
            task.lose(TaskLost(LossReason[record.reason], "lost"))
        else:
            value = float(record.outcome)
            task.finish(TaskResult(record.id, _RESULT_BY_STATUS.get(record.status, ResultStatus.FAILED), value))
        return task

    # The way back to the slaves.

    def _step(self) -> None:
        now = self._world.now
        for token in self._recovery.take_due(now):
            self._call(self._by_token[token])
        for token in self._recovery.given_up(now):
            link = self._by_token[token]
            self._master.over(link, link.custody.end(LossReason.SILENT, "not resumed", asked=False))
        due = self._recovery.next_due(now)
        self._round += 1
        if due is not None:
            self._world.on(self._master, max(due, now + 0.01), partial(self._again, self._round))

    def _again(self, number: int) -> None:
        if number == self._round:
            self._step()

    def _call(self, link: SimLink) -> None:
        def found(answer: object) -> None:
            if isinstance(answer, str) and answer != link.record.incarnation:
                self._restarted(link)
            elif isinstance(answer, str) and not link.session.over:
                self._name_successor(link)
                return
            self._called(link)

        self._world.call(self._master, link.slave, lambda: link.slave.incarnation, found, CALL_TIMEOUT)

    def _restarted(self, link: SimLink) -> None:
        self._master.over(link, link.custody.end(LossReason.RESTARTED, "another", asked=False))

    def _name_successor(self, link: SimLink) -> None:
        if link.record.successor:
            self._connect(link, None)
            return
        record = replace(link.record, successor=self._master.draw(link.slave))

        def written(failure: JournalError | None) -> None:
            if failure is None:
                link.record = record
            self._connect(link, failure)

        self._master.write([SessionKept(record)], written)

    def _connect(self, link: SimLink, failure: JournalError | None) -> None:
        if failure is not None or link.session.over:
            self._called(link)
            return
        master, slave, record = self._master, link.slave, link.record
        if record.successor not in link.tokens:
            master.also(link, record.successor)

        def answered(answer: object) -> None:
            if link.session.over:
                self._called(link)
            elif isinstance(answer, ConnectAnswer):
                self._accepted(link, answer)
            else:
                self._refused(link, answer)

        lease = link.session.lease
        self._world.call(
            master, slave, lambda: slave.connect(record.successor, record.token, lease), answered, CALL_TIMEOUT
        )

    def _accepted(self, link: SimLink, answer: ConnectAnswer) -> None:
        record = replace(link.record, token=link.record.successor, successor="")
        if answer.incarnation != record.incarnation:
            self._restarted(link)
            self._called(link)
            return

        def written(failure: JournalError | None) -> None:
            if failure is None and not link.session.over:
                self._recovery.settled(link.tokens[0])
                link.record = record
                missing = link.custody.missing(answer.held)
                for task, _ in missing if not link.slave.forgetful else ():
                    self._master.history.not_held(self._world.now, task.id, link.slave.name, answer.incarnation)
                self._master.lose(missing)
                self._master.opened(link, answer)
                self._master.history.counts["resumed"] += 1
            self._called(link)

        self._master.write([SessionKept(record)], written)

    def _refused(self, link: SimLink, answer: object) -> None:
        if isinstance(answer, ResponseException):
            meaning = meaning_of(answer, tried_before=link.tokens[0] in self._inherited)
            if meaning is Refused.FREE:
                self._master.end_stream(link)
            elif meaning is Refused.NEXT:
                self._inherited.discard(link.tokens[0])
                link.record = replace(link.record, token=link.record.successor, successor="")
            elif meaning is Refused.OVER:
                self._master.over(link, link.custody.end(LossReason.DISCONNECTED, "over", asked=False))
        self._called(link)

    def _called(self, link: SimLink) -> None:
        token = link.tokens[0]
        if link.session.over:
            self._recovery.settled(token)
        else:
            self._recovery.failed(token, self._world.now, self._world.random.random())
        self._step()
