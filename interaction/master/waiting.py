"""What those are told who wait for the end of a task: its result, why there is none, and what keeps it from ending."""

from __future__ import annotations

import logging
from typing import Any

from interaction.core.task import TaskStatus
from interaction.master.base_task import BaseTask

START_PATIENCE = 5.0  # seconds that somebody waits for the end of what is not started, until that is told

_log = logging.getLogger("interaction.master")


def check_started(task: BaseTask) -> None:
    """Raise RuntimeError where nobody has started it."""
    if task.status is TaskStatus.IDLE:
        raise RuntimeError(f"task {task.id} has not been started: call start() before get()")


def may_be_forgotten(task: BaseTask, timeout: float | None) -> bool:
    """Whether it is not started, and who waits for it waits so long that this is to be told."""
    return task.status is TaskStatus.IDLE and (timeout is None or timeout > START_PATIENCE)


def warn_not_started(task: BaseTask, connection: str) -> None:
    """Tell it."""
    _log.warning(
        "task %s of connection %r has not been started, and its end is waited for: call start()", task.id, connection
    )


def not_ended(task: BaseTask, timeout: float | None) -> TimeoutError:
    """That it has not ended, as an exception."""
    remedy = ": call start()" if task.status is TaskStatus.IDLE else ""
    return TimeoutError(f"task {task.id} has not ended within {timeout} s; it is {task.status.name}{remedy}")


def outcome(task: BaseTask) -> Any:
    """The result of a task that has ended. Raises why there is none."""
    error = task.error
    if error is None:
        return task.result
    if task.status is not TaskStatus.START_FAILED:  # which has a traceback of its own, from start()
        error = error.with_traceback(None)  # else it would grow with each who asks
    try:
        raise error
    finally:
        del error  # it holds this frame
