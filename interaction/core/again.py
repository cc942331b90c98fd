"""Which of a pool's jobs are worth another try, and how long that waits."""

from __future__ import annotations

from collections.abc import Collection

from interaction.core.task import TaskStatus
from interaction.exception import (
    LossReason,
    RequestException,
    SlaveCertificateInvalid,
    SlaveMasterTokenInvalid,
    SlaveSignatureInvalid,
    SlaveSignatureNotFound,
    SlaveSignatureStale,
    SlaveSlaveNotConnected,
    SlaveSystemShuttingDown,
    SlaveTaskAlreadyExist,
    TaskFailed,
    TaskLost,
)

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0  # seconds; each pause of a job is twice as long as the one before

# A slave that answers so has not taken the task, and is about to leave.
_LEAVING = (SlaveSlaveNotConnected, SlaveMasterTokenInvalid, SlaveSystemShuttingDown)
# A slave that answers so has not read the task: the secrets or the clocks differ, or it takes no such certificate.
_UNBELIEVED = (SlaveSignatureNotFound, SlaveSignatureInvalid, SlaveSignatureStale, SlaveCertificateInvalid)

Kind = str | type[BaseException]
Wanted = bool | Kind | Collection[Kind]


class Failures:
    """What its user wants done again: all failures, none, or those of some types.

    A type is named as the slave names it (`error.type`); an exception class stands for its name, and for those of its
    subclasses that are known here. `TaskFail` is a failure that the slave declared.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._all = wanted is True
        kinds = () if isinstance(wanted, bool) else (wanted,) if isinstance(wanted, (str, type)) else wanted
        if not isinstance(kinds, Collection) or not all(map(_is_kind, kinds)):
            raise TypeError(
                "retry_failed must be a boolean, or the types of failures: names or exception classes, such as "
                f"(ConnectionError, 'OutOfMemoryError'); not {wanted!r:.80}"
            )
        self._kinds = tuple(kinds)

    def __bool__(self) -> bool:
        return self._all or bool(self._kinds)

    def __contains__(self, error: object) -> bool:
        if not isinstance(error, TaskFailed):
            return False
        return self._all or any(error.type in _names_of(kind) for kind in self._kinds)


def _is_kind(kind: object) -> bool:
    return isinstance(kind, str) or (isinstance(kind, type) and issubclass(kind, BaseException))


def _names_of(kind: Kind) -> set[str]:
    if isinstance(kind, str):
        return {kind}
    return {kind.__name__}.union(*map(_names_of, type.__subclasses__(kind)))


def pause_after(failures: int) -> float:
    """How long a job waits that has failed so often, in seconds."""
    return min(FIRST_PAUSE * 2.0 ** min(failures - 1, 16), LONGEST_PAUSE)


def was_not_taken(status: TaskStatus, error: BaseException | None) -> bool:
    """Whether it is certain that the task has not begun: its slave has said so, or who saw that die."""
    if status is TaskStatus.START_FAILED:
        return isinstance(error, (SlaveTaskAlreadyExist, *_LEAVING, *_UNBELIEVED))
    return isinstance(error, TaskLost) and not error.may_have_begun


def may_have_killed(error: BaseException | None) -> bool:
    """Whether a slave that had this job has died, so that the job may be why."""
    if isinstance(error, TaskLost):
        return error.reason in (LossReason.EXITED, LossReason.RESTARTED)
    return isinstance(error, RequestException)
