"""What a master writes down, so that one that starts on the same journal can go on: records, and how they change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from interaction.core.task import TaskStatus
from interaction.core.token import NotPickled
from interaction.exception import LossReason


@dataclass(frozen=True)
class SessionRecord(NotPickled):
    """A session that its slave has accepted, or one that is being resumed.

    `successor` is the token under which it is being resumed, empty where it is not: only one of the two is the slave's,
    and which one is known when it has answered. `data` is what `_before_connect` gave, ready to be sent.
    """

    name: str
    host: str
    port: int
    tls: bool
    token: str
    incarnation: str
    data: bytes
    successor: str = ""

    def __repr__(self) -> str:  # tokens do not belong in a log
        return f"SessionRecord({self.name!r}, {self.host}:{self.port})"


@dataclass(frozen=True)
class TaskRecord:
    """A task that was started in a session, and how it has ended.

    `status` is STARTED until then. `outcome` is the result as it came. A loss has none, but `reason` and `message`. The
    loss of a task which its slave has handed back came as a result.
    `delivered`: its callbacks have been called, or are about to be.
    """

    id: str
    connection: str
    data: bytes
    status: TaskStatus = TaskStatus.STARTED
    outcome: bytes = b""
    reason: str = ""
    message: str = ""
    delivered: bool = False


@dataclass(frozen=True)
class SessionKept:
    """A session is there, or has changed; one of the same name is replaced."""

    session: SessionRecord


@dataclass(frozen=True)
class SessionDropped(NotPickled):
    """A session is over. Its token is named, for another of the same name may follow it."""

    token: str = field(repr=False)


@dataclass(frozen=True)
class TaskKept:
    """A task is about to be sent."""

    task: TaskRecord


@dataclass(frozen=True)
class TaskEnded:
    """A task has ended; the fields are those of `TaskRecord`."""

    task_id: str
    status: TaskStatus
    outcome: bytes = b""
    reason: str = ""
    message: str = ""
    delivered: bool = False


@dataclass(frozen=True)
class TaskDelivered:
    """The callbacks of a task are about to be called."""

    task_id: str


@dataclass(frozen=True)
class TaskDropped:
    """Nobody needs to know of a task any more: it was not accepted, or its owner has had its end."""

    task_id: str


Entry = SessionKept | SessionDropped | TaskKept | TaskEnded | TaskDelivered | TaskDropped


@dataclass(frozen=True)
class Snapshot:
    """What a journal holds for a master that starts: its sessions, and in their order the tasks that have not ended."""

    sessions: Sequence[SessionRecord] = ()
    tasks: Sequence[TaskRecord] = ()

    def of(self, session: SessionRecord) -> list[TaskRecord]:
        """The tasks of a session."""
        return [task for task in self.tasks if task.connection == session.name]

    def orphans(self) -> list[TaskEnded]:
        """The ends of the tasks whose session is over: their results could not be written down before."""
        names = {session.name for session in self.sessions}
        message = "its session was over before its result could be written down"
        return [
            TaskEnded(task.id, TaskStatus.LOST, reason=LossReason.NOT_HELD.name, message=message)
            for task in self.tasks
            if task.connection not in names
        ]
