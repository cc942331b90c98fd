"""A task as its owner sees it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from interaction.config import patience
from interaction.core.task import TaskStatus
from interaction.exception import RequestException
from interaction.master.base_task import BaseTask, Callback, Road
from interaction.master.waiting import (
    START_PATIENCE,
    check_reached,
    check_started,
    may_be_forgotten,
    outcome,
    warn_not_started,
)
from interaction.rpc import forks
from interaction.rpc.strand import on_a_strand
from interaction.waiters import Waiters, check_may_wait

__all__ = ["Callback", "Task", "TaskStatus"]

_UNDO_PATIENCE = 2.0  # seconds that a start which was interrupted waits until it is undone


class Task(BaseTask):
    """A unit of work for one slave. Made by `connection.new_task(data)`; nothing is sent until `start()`.

    All members may be used from any thread, callbacks included.

    Example::

        task = connection.new_task({"a": 1, "b": 2})
        task.start()
        print(task.get())  # the result; or raises why there is none
    """

    def __init__(self, data: Mapping[str, Any] | None, road: Road) -> None:
        self._waiters = Waiters()
        super().__init__(data, road, self._waiters)

    def start(self) -> Any:
        """Send the task to its slave, and return when the slave has accepted it.

        Returns:
            What `_after_new_task` (or an overridden `_error_new_task`) returned if that is not None, else the task.

        Raises:
            ValueError: it was started before.
            TypeError: the data is no mapping.
            PayloadError: the data can't be carried. Nothing was sent.
            SlaveResponseException: the slave refused, by the class of its code.
            RequestException: the slave did not answer.
            JournalError: the task can't be written down. Nothing was sent.
            RuntimeError: the connection is not there.

        After an exception the task is START_FAILED, no callback runs, and `error` is that exception.
        """
        check_may_wait()
        hooks, starter = self._road.hooks, object()
        try:
            self.begin(starter)
            self.send(hooks._before_new_task(self._data))
            self._waiters.wait_for(self._answered)
        except RequestException as error:
            self._give_up(starter, error)
        except BaseException as error:  # also Ctrl-C, at any step
            self._give_up(starter, error)
            raise
        failure = self.failure
        if isinstance(failure, RequestException):
            returned = hooks._error_new_task(failure.with_traceback(None))
        elif failure is not None:
            raise failure.with_traceback(None)  # of the loop's dozen frames none is the caller's
        else:
            returned = hooks._after_new_task(200, True, 0, "The slave has accepted the task.", self._answer)
        return self if returned is None else returned

    def _answered(self) -> bool:
        return self.status is not TaskStatus.STARTING

    def _give_up(self, starter: object, error: BaseException) -> None:
        self.withdraw(starter, error)
        self._waiters.wait_for(self._answered, _UNDO_PATIENCE)

    def join(self, timeout: float | None = None) -> Task:
        """Wait until the task has ended and the callbacks that it had by then have run. Before `start()` it waits too.

        How it has ended is not said: `get()` gives the result, or raises why there is none.
        Called from a hook or a callback it waits for the end alone: callbacks may queue behind the caller.

        Args:
            timeout: seconds; None waits as long as it takes.

        Raises:
            TimeoutError: the timeout passed first. The task, or a callback of its, goes on.
            RuntimeError: in a forked child, where its end never comes.
        """
        timeout = patience(timeout)
        forks.check_may_wait(self._settled)
        due = None if timeout is None else time.monotonic() + timeout
        if may_be_forgotten(self, timeout) and not self._waiters.wait_for(self._begun, START_PATIENCE):
            warn_not_started(self, self._road.name)
        reached = self._ended if on_a_strand() else self._done
        if not self._waiters.wait_for(reached, None if due is None else due - time.monotonic()):
            check_reached(self, reached, timeout)
        if self._settled:
            self._forget()
        return self

    def get(self, timeout: float | None = None) -> Any:
        """Wait as `join()` does, and return the result of a task that is COMPLETED.

        Args:
            timeout: seconds; None waits as long as it takes.

        Raises:
            TaskFailed: it ran and failed: why, and as its cause the slave's traceback. `result` is what came with that.
            TaskLost, TaskCancelled: its slave is gone; it was asked to end.
            TimeoutError: the timeout passed first. The task, or a callback of its, goes on.
            RuntimeError: it has not been started.
            Exception: what `start()` has met, where it is START_FAILED.
        """
        check_started(self)
        return outcome(self.join(timeout))

    def _begun(self) -> bool:
        return self.status is not TaskStatus.IDLE

    def _ended(self) -> bool:
        return self.status.ended

    def _done(self) -> bool:
        return self._settled
