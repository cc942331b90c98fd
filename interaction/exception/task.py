"""Why a task has no good result, and why a slave let go of its master."""

from __future__ import annotations

from interaction.exception.code import LossReason
from interaction.text import quoted


class TaskException(Exception):
    """Why a task has no good result."""


class RemoteTraceback(Exception):
    """Where a task has failed at its slave: the `__cause__` of a `TaskFailed`, which Python shows with it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"at the slave:\n{quoted(self.text)}"


class TaskFailed(TaskException):
    """The task ran and failed. Where it was an accident, its cause (`__cause__`) shows the slave's traceback.

    Attributes:
        type: the name of the exception's class at the slave; ``TaskFail`` for a failure that the slave declared.
        message: what happened, on one line: line breaks and other control characters are shown as their escapes.
        traceback: where, as the slave's language writes it, line by line; empty for a declared failure.
    """

    def __init__(self, type: str, message: str, traceback: str = "") -> None:
        super().__init__(type, message, traceback)
        self.type = type
        self.message = message
        self.traceback = traceback
        if traceback:
            self.__cause__ = RemoteTraceback(traceback)

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.type else self.message


class TaskLost(TaskException):
    """The task's slave is gone, and nobody knows how far the task had come; or it is known that the task had not begun.

    Attributes:
        reason: a :class:`LossReason`. RETURNED: the task had not begun, and never will there.
        message: what happened, in a sentence that names the connection.
        may_have_begun: False where it is certain that the task had not begun: its slave has handed it back, or has died
            and left that behind. Started again, it is not done twice. Read from a journal, False for RETURNED alone.
    """

    def __init__(self, reason: LossReason, message: str, *, may_have_begun: bool = True) -> None:
        super().__init__(reason, message)
        self.may_have_begun = may_have_begun and reason is not LossReason.RETURNED
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return self.message


class TaskCancelled(TaskException):
    """The task was asked to end."""


class NoSlave(TaskException, RuntimeError):
    """A pool has no slave for the task, and does not wait for one (any longer). Where the task was lost with a slave
    before, that is the cause."""


class LeaseExpired(Exception):
    """A slave heard nothing from its master for a whole lease, or was not believed by it, and let go of the session."""
