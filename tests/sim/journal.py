"""A journal in virtual time: what is on its disk outlives the master, and what is on its way there does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from interaction.core.journal import (
    Entry,
    SessionDropped,
    SessionKept,
    SessionRecord,
    Snapshot,
    TaskDelivered,
    TaskDropped,
    TaskEnded,
    TaskKept,
    TaskRecord,
)
from interaction.core.task import TaskStatus
from interaction.exception import JournalError
from tests.sim.world import Node, World

SLOWEST = (0.02, 0.5)  # seconds that a commit may take, on a good disk and on a bad one
Done = Callable[[JournalError | None], object]


class Disk:
    """Records in dicts, as the store keeps them in tables."""

    def __init__(self) -> None:
        self.sessions: dict[str, SessionRecord] = {}  # by token
        self.tasks: dict[str, TaskRecord] = {}

    def apply(self, entries: Sequence[Entry]) -> None:
        """Write all of the entries."""
        for entry in entries:
            self._apply(entry)

    def _apply(self, entry: Entry) -> None:
        match entry:
            case SessionKept(session):
                self.sessions = {t: known for t, known in self.sessions.items() if known.name != session.name}
                self.sessions[session.token] = session
            case SessionDropped(token):
                self.sessions.pop(token, None)
            case TaskKept(task):
                assert task.id not in self.tasks
                self.tasks[task.id] = task
            case TaskDropped(task_id):
                self.tasks.pop(task_id, None)
            case TaskDelivered(task_id):
                if task_id in self.tasks:
                    self.tasks[task_id] = replace(self.tasks[task_id], delivered=True)
            case TaskEnded():
                if entry.task_id in self.tasks:
                    changed = {name: value for name, value in vars(entry).items() if name != "task_id"}
                    self.tasks[entry.task_id] = replace(self.tasks[entry.task_id], **changed)

    def load(self) -> Snapshot:
        """The sessions, and the tasks that have not ended."""
        unfinished = [task for task in self.tasks.values() if task.status is TaskStatus.STARTED]
        return Snapshot(list(self.sessions.values()), unfinished)

    def ended(self) -> list[TaskRecord]:
        """The tasks that have ended, and whose end nobody has had."""
        return [task for task in self.tasks.values() if task.status is not TaskStatus.STARTED and not task.delivered]


class SimJournal:
    """The way to the disk, in order, for one life of the master."""

    def __init__(self, world: World, master: Node, disk: Disk) -> None:
        self.full_until = 0.0
        self._world = world
        self._master = master
        self._disk = disk
        self._begins = self._ends = 0.0  # of the commit that comes next, or that is under way
        self._slowest = world.random.choice(SLOWEST)
        self._owed: list[Entry] = []

    @property
    def owing(self) -> bool:
        """Whether something has happened that could not be written down yet."""
        return bool(self._owed)

    def write(self, entries: Sequence[Entry], done: Done) -> None:
        """Write all of the entries or none, and say so a moment after."""
        self._commit(lambda: self._written(entries, done, must=False))

    def keep(self, entries: Sequence[Entry], done: Done) -> None:
        """Write what has happened already: where that can't be, later."""
        self._commit(lambda: self._written(entries, done, must=True))

    def _commit(self, work: Callable[[], object]) -> None:
        if self._world.now >= self._begins:  # what comes from now on goes into the next one, together
            self._begins = max(self._world.now, self._ends)
            self._ends = self._begins + self._slowest * self._world.random.random()
        self._world.on(self._master, self._ends, work)

    def _written(self, entries: Sequence[Entry], done: Done, *, must: bool) -> None:
        failure = None
        if self._world.now < self.full_until:
            failure = JournalError("full")
            self._owed.extend(entries if must else ())
            self._world.on(self._master, self.full_until, lambda: self._commit(self._pay))
        else:
            self._pay()
            self._disk.apply(entries)
        self._world.on(
            self._master, self._world.now + self._slowest * self._world.random.random(), lambda: done(failure)
        )

    def _pay(self) -> None:
        if self._world.now >= self.full_until:
            self._disk.apply(self._owed)
            self._owed.clear()
