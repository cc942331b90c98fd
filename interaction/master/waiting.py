"""What those are told who wait for the end of a task: its result, why there is none, and what keeps it from ending."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from interaction.core.task import TaskStatus
from interaction.master.base_task import BaseTask

START_PATIENCE = 5.0  # seconds that somebody waits for the end of what is not started, until that is told

_log = logging.getLogger("interaction.master")


def check_started(task: BaseTask) -> None:
    """Raise RuntimeError where nobody has started it."""
    if task.status is TaskStatus.IDLE:
        raise RuntimeError(
            f"task {task.id} had not been started when its result was asked for: call start() before get()"
        )


def may_be_forgotten(task: BaseTask, timeout: float | None) -> bool:
    """Whether it is not started, and who waits for it waits so long that this is to be told."""
    return task.status is TaskStatus.IDLE and (timeout is None or timeout > START_PATIENCE)


def warn_not_started(task: BaseTask, connection: str) -> None:
    """Tell it."""
    _log.warning(
        "task %s of connection %r has not been started, and its end is waited for: call start()", task.id, connection
    )


def check_reached(task: BaseTask, reached: Callable[[], bool], timeout: float | None) -> None:
    """Raise TimeoutError, which says what was waited for in vain, unless that has come about since.

    What it says stays true: it is read when the task has long gone on.
    """
    status = task.status  # before the last look
    if reached():
        return
    if status.ended:
        raise TimeoutError(f"task {task.id} is {status.name}, but its callbacks had not all run within {timeout} s")
    remedy = ": call start()" if status is TaskStatus.IDLE else ""
    raise TimeoutError(f"task {task.id} had not ended within {timeout} s; it was {status.name} then{remedy}")


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
