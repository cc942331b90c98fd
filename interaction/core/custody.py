"""A master's whole side of one session: its state, its tasks from start to end, and what the end of it means for them.

An end of a task is decided here once, then written down, and only then does the task show it: between the two it is in
`_recording`. Where there is no journal the one follows the other at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from interaction.core.model import Acknowledgement, HeldTask, TaskResult
from interaction.core.registry import Ledger
from interaction.core.session import Session
from interaction.core.task import TaskStatus
from interaction.exception import (
    LossReason,
    RequestException,
    ResponseException,
    SlaveMasterTokenInvalid,
    SlaveSlaveNotConnected,
    SlaveSystemShuttingDown,
    TaskLost,
)


class Charge(Protocol):
    """A task in custody, as `core.task.TaskMachine` is behind it."""

    @property
    def id(self) -> str:
        """The task's id."""

    @property
    def status(self) -> TaskStatus:
        """Where it stands."""

    def finish(self, result: TaskResult) -> Acknowledgement:
        """Its result is written down."""


T = TypeVar("T", bound=Charge)


@dataclass(frozen=True)
class Ending(Generic[T]):
    """How a session ended. `reason` is None where it had never begun; `asked`: the master wanted it.

    `lost` are the tasks that were accepted, and each gets `error` once that is written; `unsent` those that were still
    on their way, which get `not_started`. Of either those are apart of which it is proven that they have not begun, and
    never will: `unbegun`, which get `not_begun`, and `untaken`, which get `not_taken`.
    """

    reason: LossReason | None
    message: str
    asked: bool
    error: TaskLost
    lost: Sequence[T] = ()
    unsent: Sequence[T] = ()
    unbegun: Sequence[T] = ()
    untaken: Sequence[T] = ()

    @property
    def not_begun(self) -> TaskLost:
        """For a task that its slave had taken."""
        return TaskLost(self.error.reason, f"{self.error.message}; the task had not begun", may_have_begun=False)

    @property
    def not_taken(self) -> ResponseException:
        """For one that it had not yet said to take."""
        return SlaveSlaveNotConnected(f"{self.error.message}; the task had not begun")

    @property
    def not_started(self) -> ResponseException | RequestException:
        """A slave has drained when what it took is acknowledged as ended: it did not take what was on its way."""
        if self.reason is LossReason.DRAINED:
            return SlaveSystemShuttingDown(f"{self.error.message}: it took the task no more")
        return RequestException(f"{self.error.message}; it is not known whether the slave took the task", "CANCELLED")

    @property
    def unfinished(self) -> Sequence[T]:
        """All tasks that the end of the session ends."""
        return [*self.lost, *self.unbegun, *self.unsent, *self.untaken]


class Custody(Generic[T]):
    """One session of a master's, with its tasks. Each event answers what is to be done about it."""

    def __init__(self, name: str, session: Session) -> None:
        self.name = name
        self.session = session
        self.over_because = ""
        self._tasks: Ledger[T] = Ledger()
        self._recording: dict[str, T] = {}  # whose results are being written down
        self._late_loss: TaskLost | None = None  # for those of them that can't be

    # Tasks.

    @property
    def busy(self) -> bool:
        """Whether any task has not ended."""
        return bool(self._tasks)

    def unanswered(self, task_id: str) -> T | None:
        """The task of that id where the slave is still to say whether it takes it."""
        task = self._tasks.get(task_id)
        return task if task is not None and task.status is TaskStatus.STARTING else None

    def hand_over(self, task: T) -> None:
        """A task is on its way to the slave."""
        self._tasks.add(task.id, task)

    def not_started(self, task: T, error: BaseException) -> tuple[bool, Ending[T] | None]:
        """It was refused, or got no answer. Says whether that is how it ends, and what else ends with it.

        Its result may have come all the same, or the end of the session has ended it.
        """
        starting = task.status is TaskStatus.STARTING and task.id not in self._recording
        ends = starting and self._tasks.get(task.id) is task
        if ends:
            self._tasks.close(task.id, by_result=False)
        ending = None
        if isinstance(error, (SlaveSlaveNotConnected, SlaveMasterTokenInvalid)):
            ending = self.end(LossReason.DISCONNECTED, f"the slave says: {error.message}", asked=False)
        return ends, ending

    def expects(self, task_id: str) -> bool:
        """Whether what the slave says of that task may change anything."""
        return self._tasks.get(task_id) is not None or task_id in self._recording

    def settled(self, task_id: str) -> Acknowledgement | None:
        """How a result of that task is answered, whatever it is; None where it may be its end."""
        return None if self.expects(task_id) else self._tasks.acknowledge_again(task_id)

    def report(self, result: TaskResult) -> T | Acknowledgement:
        """A result came: the answer, or the task that it ends, once it is `recorded`.

        While it is being recorded, the same comes again: who asks waits for the first.
        """
        task = self._recording.get(result.task_id) or self._tasks.get(result.task_id)
        if task is None:
            return self._tasks.acknowledge_again(result.task_id)
        self._recording[task.id] = task
        return task

    def recorded(self, result: TaskResult) -> Acknowledgement:
        """The result is written down, or there is nothing to write it in: its task ends."""
        acknowledgement = self._recording[result.task_id].finish(result)
        self._tasks.close(result.task_id, by_result=acknowledgement is Acknowledgement.RECORDED)
        del self._recording[result.task_id]
        return acknowledgement

    def not_recorded(self, task_id: str) -> TaskLost | None:
        """The result can't be written down: as if it had not come. A session that has ended meanwhile ends the task."""
        self._recording.pop(task_id, None)
        return self._late_loss

    # After a restart of the master.

    def adopt(self, tasks: Iterable[T]) -> None:
        """The session goes on after a restart of the master: these had not ended before."""
        for task in tasks:
            self._tasks.add(task.id, task)

    def missing(self, held: Sequence[HeldTask]) -> list[tuple[T, TaskLost]]:
        """The slave has said what it holds: what it does not hold is lost. Returns that, with the reason of each."""
        there = {task.task_id for task in held}
        message = f"the slave of connection {self.name!r} does not hold the task: it never came there, or was given up"
        missing = [task for task in self._tasks if task.id not in there and task.id not in self._recording]
        lost = [(task, TaskLost(LossReason.NOT_HELD, message)) for task in missing]
        self._tasks.close_lost([task.id for task in missing])
        return lost

    # The end.

    def disconnect_refused(self, error: ResponseException) -> Ending[T] | None:
        """The slave refuses to disconnect. One that has no such session any more has ended it."""
        if isinstance(error, (SlaveSlaveNotConnected, SlaveMasterTokenInvalid)):
            return self.end(LossReason.DISCONNECTED, f"the slave says: {error.message}", asked=True)
        return None

    def left(self, why: str, drained: bool) -> Ending[T] | None:
        """The slave has left."""
        message = f"the slave has left ({why[:200]})" if why else "the slave has left"
        return self.end(LossReason.DRAINED if drained else LossReason.DISCONNECTED, message, asked=False)

    def exited(self, stream: int, incarnation: str, begun: Collection[str] | None) -> Ending[T] | None:
        """A slave's witness says on that stream that its process has ended, and which tasks had begun; None: it does
        not know. Returns None where that changes nothing."""
        lose = self.session.exited(stream, incarnation)
        return None if lose is None else self.close(lose.reason, lose.message, asked=False, begun=begun)

    def end(self, reason: LossReason | None, message: str, *, asked: bool) -> Ending[T] | None:
        """The session ends, by the will of either side. None where it was over before."""
        self.session.end(reason)
        return self.close(reason, message, asked=asked)

    def close(
        self, reason: LossReason | None, message: str, *, asked: bool, begun: Collection[str] | None = None
    ) -> Ending[T] | None:
        """The session has ended, as it has decided itself: its tasks end with it. None where they have before.

        `begun` are the ids of all those that may have begun; None: any may.
        """
        if self._late_loss is not None:
            return None
        error = TaskLost(reason or LossReason.DISCONNECTED, f"connection {self.name!r} is lost: {message}")
        unfinished = [task for task in self._tasks if task.id not in self._recording]
        proven = [] if begun is None else [task for task in unfinished if task.id not in begun]
        doubtful = unfinished if begun is None else [task for task in unfinished if task.id in begun]
        ending = Ending(reason, message, asked, error, *_by_acceptance(doubtful), *_by_acceptance(proven))
        self._tasks.take_all()  # from here on nothing is raised: who is asked again has nothing to tell
        self.over_because, self._late_loss = message, error
        return ending


def _by_acceptance(tasks: Sequence[T]) -> tuple[list[T], list[T]]:
    """Those that were accepted, and those that are not known to be."""
    starting = TaskStatus.STARTING
    return [task for task in tasks if task.status is not starting], [task for task in tasks if task.status is starting]


def as_far_as_known(refusal: BaseException) -> BaseException:
    """What the owner of a task is told that was refused.

    A slave without the session may have run the task while it had that, if an earlier try came to it; a restarted one,
    in its former life; and one that shuts down refuses at its door, whatever it has taken.
    """
    doubtful = (SlaveSlaveNotConnected, SlaveMasterTokenInvalid, SlaveSystemShuttingDown)
    if isinstance(refusal, doubtful) and refusal.retried:
        return RequestException(f"{refusal.message}; it is not known whether the task was taken before", "ABORTED")
    return refusal
