"""A task as its owner sees it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from interaction.core.task import TaskStatus
from interaction.exception import RequestException
from interaction.master.base_task import BaseTask, Callback, Road
from interaction.rpc.strand import on_a_strand

__all__ = ["Callback", "Task", "TaskStatus"]


class _Changed:
    """A task's lock, and who waits for a change under it: a condition is made where somebody does, which in a pool,
    with its many tasks, nobody does."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._condition: threading.Condition | None = None

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def notify_all(self) -> None:
        """Something has changed. Called with the lock held, as `wait_for` is."""
        if self._condition is not None:
            self._condition.notify_all()

    def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait until it holds, or the timeout (seconds) passes. Says whether it holds."""
        if self._condition is None and not predicate():
            self._condition = threading.Condition(self._lock)
        return self._condition is None or self._condition.wait_for(predicate, timeout)


class Task(BaseTask):
    """A unit of work for one slave. Made by `connection.new_task(data)`; nothing is sent until `start()`.

    All members may be used from any thread, callbacks included.
    """

    def __init__(self, data: Mapping[str, Any] | None, road: Road) -> None:
        self._changed = _Changed()
        super().__init__(data, road, self._changed)

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
        hooks = self._road.hooks
        self.begin()
        try:
            self.send(hooks._before_new_task(self._data))
        except RequestException as error:
            self.fail_to_start(error)
        except BaseException as error:
            self.fail_to_start(error)
            raise
        self._wait_for_answer()
        failure = self.failure
        if isinstance(failure, RequestException):
            returned = hooks._error_new_task(failure)
        elif failure is not None:
            raise failure
        else:
            returned = hooks._after_new_task(200, True, 0, "The slave has accepted the task.", self._answer)
        return self if returned is None else returned

    def _wait_for_answer(self) -> None:
        try:
            with self._changed:
                self._changed.wait_for(lambda: self.status is not TaskStatus.STARTING)
        except BaseException as interrupt:
            self._road.withdraw(self, interrupt)
            raise

    def join(self, timeout: float | None = None) -> Task:
        """Wait until the task has ended and the callbacks that it had by then have run. Before `start()` it waits too.

        Called from a hook or a callback it waits for the end alone: callbacks may queue behind the caller.

        Args:
            timeout: seconds; None waits as long as it takes.

        Raises:
            TimeoutError: the timeout passed first. The task goes on.
        """
        with self._changed:
            if on_a_strand():
                done = self._changed.wait_for(lambda: self.status.ended, timeout)
            else:
                done = self._changed.wait_for(lambda: self._settled, timeout)
            if done and self._settled:
                self._forget()
        if not done:
            raise TimeoutError(f"task {self.id} has not ended within {timeout} s; it is {self.status.name}")
        return self
