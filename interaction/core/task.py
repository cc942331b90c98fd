"""A task at its master: which states it goes through, and that it ends once.

::

    IDLE ── start ──> STARTING ── accept ──> STARTED ── finish ──> COMPLETED | FAILED | CANCELLED
                         │  └───────────── finish ──────────────────┘  │
                         └── fail_to_start / lose ──> START_FAILED     └── lose ──> LOST

A result that hands the task back ends it as LOST: it had not begun.
"""

from __future__ import annotations

from enum import unique
from typing import Any

from interaction.core.model import Acknowledgement, ResultStatus, TaskResult
from interaction.exception import LossReason, TaskCancelled, TaskFailed, TaskLost
from interaction.exception.code import NamedNumber


@unique
class TaskStatus(NamedNumber):
    """Where a task stands. The values are DI-engine's; LOST and CANCELLED are new. `print()` shows the name."""

    IDLE = 0x00  # not started
    STARTING = 0x11  # on its way to the slave
    STARTED = 0x12  # accepted by the slave
    START_FAILED = 0x13  # refused, or not sent: it has ended without having been started
    COMPLETED = 0x21  # ended, and done
    FAILED = 0x22  # ended: it ran and failed
    LOST = 0x23  # ended: its slave is gone, or has handed it back
    CANCELLED = 0x24  # ended: it was asked to end

    @property
    def ended(self) -> bool:
        """Whether nothing changes any more."""
        return self is TaskStatus.START_FAILED or self >= TaskStatus.COMPLETED


STATUS_BY_RESULT = {
    ResultStatus.COMPLETED: TaskStatus.COMPLETED,
    ResultStatus.FAILED: TaskStatus.FAILED,
    ResultStatus.CANCELLED: TaskStatus.CANCELLED,
    ResultStatus.RETURNED: TaskStatus.LOST,
}


class TaskMachine:
    """The states of one task. Each event answers whether it changed something."""

    def __init__(self) -> None:
        self.status = TaskStatus.IDLE
        self.result: Any = None
        self.error: BaseException | None = None

    @classmethod
    def started(cls) -> TaskMachine:
        """A task that was started in an earlier life of the master. It may have been accepted, and counts as such."""
        machine = cls()
        machine.status = TaskStatus.STARTED
        return machine

    def start(self) -> None:
        """The owner starts the task. Raises ValueError where that has happened before."""
        if self.status is not TaskStatus.IDLE:
            raise ValueError("a task can be started once, and this one was started before")
        self.status = TaskStatus.STARTING

    def accept(self) -> bool:
        """The slave has accepted the task. Its result may have overtaken this."""
        if self.status is not TaskStatus.STARTING:
            return False
        self.status = TaskStatus.STARTED
        return True

    def fail_to_start(self, error: BaseException) -> bool:
        """The slave refused the task, or it could not be sent."""
        if self.status is not TaskStatus.STARTING:
            return False
        self.error = error  # first: who sees a status sees what belongs to it
        self.status = TaskStatus.START_FAILED
        return True

    def finish(self, result: TaskResult) -> Acknowledgement:
        """A result came. It implies that the task was accepted."""
        if self.status in (TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED):
            return Acknowledgement.DUPLICATE
        if self.status not in (TaskStatus.STARTING, TaskStatus.STARTED):
            return Acknowledgement.STALE
        self.result, self.error = result.value, _error_of(result)
        self.status = STATUS_BY_RESULT[result.status]
        return Acknowledgement.RECORDED

    def lose(self, error: BaseException) -> bool:
        """The slave is gone. A task that it has not yet accepted has failed to start."""
        if self.status is TaskStatus.STARTING:
            return self.fail_to_start(error)
        if self.status is not TaskStatus.STARTED:
            return False
        self.error = error
        self.status = TaskStatus.LOST
        return True


def _error_of(result: TaskResult) -> BaseException | None:
    if result.status is ResultStatus.COMPLETED:
        return None
    if result.status is ResultStatus.RETURNED:
        why = result.failure.message if result.failure else ""
        return TaskLost(
            LossReason.RETURNED, "the slave handed the task back, which had not begun" + (why and f": {why}")
        )
    if result.status is ResultStatus.CANCELLED:
        return TaskCancelled(result.failure.message if result.failure else "the task was cancelled")
    if result.failure is None:
        return TaskFailed("", "the slave reported a failure without saying why")
    return TaskFailed(result.failure.type, result.failure.message, result.failure.traceback)
