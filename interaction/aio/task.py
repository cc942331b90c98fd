"""A task, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from interaction.aio.loop import Change, in_callback, said
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

_Self = TypeVar("_Self", bound="Task")


class Task(BaseTask):
    """A unit of work for one slave, made by `connection.new_task(data)`. As `interaction.Task`, on the loop.

    Example::

        task = connection.new_task({"a": 1, "b": 2})
        await task.start()
        print(await task.get())  # the result; or raises why there is none
    """

    _awaits = True

    def __init__(self, data: Mapping[str, Any] | None, road: Road) -> None:
        self._changed = Change()
        super().__init__(data, road, self._changed)

    def _add(self: _Self, good: bool, callback: Callback) -> _Self:
        self._road.check_here()
        return super()._add(good, callback)

    async def start(self) -> Any:
        """Send the task to its slave, and return when the slave has accepted it.

        Returns and raises as `interaction.Task.start()` does. Where the caller is cancelled meanwhile, the task is
        START_FAILED.
        """
        self._road.check_here()
        hooks, starter = self._road.hooks, object()
        try:
            self.begin(starter)
            self.send(await said(hooks._before_new_task(self._data)))
            await self._changed.wait_for(lambda: self.status is not TaskStatus.STARTING)
        except RequestException as error:
            self.withdraw(starter, error)
        except BaseException as error:
            self.withdraw(starter, error)
            raise
        failure = self.failure
        if isinstance(failure, RequestException):
            returned = await said(hooks._error_new_task(failure.with_traceback(None)))
        elif failure is not None:
            raise failure.with_traceback(None)  # of the loop's dozen frames none is the caller's
        else:
            accepted = "The slave has accepted the task."
            returned = await said(hooks._after_new_task(200, True, 0, accepted, self._answer))
        return self if returned is None else returned

    async def join(self, timeout: float | None = None) -> Task:
        """Wait until the task has ended and the callbacks that it had by then have run. Before `start()` it waits too.

        How it has ended is not said: `get()` gives the result, or raises why there is none.
        In a callback it waits for the end alone: callbacks may queue behind the caller.

        Args:
            timeout: seconds; None waits as long as it takes.

        Raises:
            TimeoutError: the timeout passed first. The task, or a callback of its, goes on.
        """
        timeout = patience(timeout)
        self._road.check_here()
        clock, waits_for_callbacks = asyncio.get_running_loop().time, not in_callback()
        due = None if timeout is None else clock() + timeout
        if may_be_forgotten(self, timeout) and not await self._reached(self._begun, START_PATIENCE):
            warn_not_started(self, self._road.name)
        left = None if due is None else due - clock()

        def reached() -> bool:
            return self._settled if waits_for_callbacks else self.status.ended

        if not await self._reached(reached, left):
            check_reached(self, reached, timeout)
        if self._settled:
            self._forget()
        return self

    async def get(self, timeout: float | None = None) -> Any:
        """Wait as `join()` does, and return the result of a task that is COMPLETED.

        Raises as `interaction.Task.get()` does.
        """
        self._road.check_here()
        check_started(self)
        return outcome(await self.join(timeout))

    def _begun(self) -> bool:
        return self.status is not TaskStatus.IDLE

    async def _reached(self, condition: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until it is so, or the timeout (seconds) passes. Says whether it is."""
        try:
            await asyncio.wait_for(self._changed.wait_for(condition), timeout)
        except asyncio.TimeoutError:
            return condition()
        return True
