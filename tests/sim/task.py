"""A task of the application's: its end is told once, as the callbacks of a real one are called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from interaction.core.model import Acknowledgement, TaskResult
from interaction.core.task import TaskMachine, TaskStatus

Tell = Callable[["SimTask"], object]
Deliver = Callable[[str, Callable[[], object]], object]


class SimTask:
    """`tell` is the application's callback, once there is one; `deliver` writes down that it is called, and calls.

    `started` is called when `start()` returns with success.
    """

    def __init__(
        self,
        task_id: str,
        machine: TaskMachine,
        deliver: Deliver,
        tell: Tell | None = None,
        started: Callable[[str], object] = lambda task_id: None,
    ) -> None:
        self.id = task_id
        self.machine = machine
        self.marked = False
        self._deliver = deliver
        self._tell = tell
        self._started = started

    @property
    def status(self) -> TaskStatus:
        return self.machine.status

    @property
    def result(self) -> Any:
        return self.machine.result

    def mark(self) -> bool:
        """Its end is being written down: will it have been told?"""
        self.marked = self.marked or self._tell is not None
        return self.marked

    def attend(self, tell: Tell) -> None:
        """The application adds its callback."""
        self._tell = tell
        if self.status.ended:
            self._ended()

    def accept(self) -> None:
        if self.machine.accept():
            self._started(self.id)

    def fail_to_start(self, error: BaseException) -> None:
        if self.machine.fail_to_start(error):
            self._ended()

    def finish(self, result: TaskResult) -> Acknowledgement:
        starting = self.status is TaskStatus.STARTING
        acknowledgement = self.machine.finish(result)
        if acknowledgement is Acknowledgement.RECORDED:
            if starting:
                self._started(self.id)
            self._ended()
        return acknowledgement

    def lose(self, error: BaseException) -> None:
        if self.machine.lose(error):
            self._ended()

    def _ended(self) -> None:
        tell = self._tell
        if tell is None:
            return
        if self.marked or self.status is TaskStatus.START_FAILED:
            tell(self)
        else:
            self._deliver(self.id, lambda: tell(self))
