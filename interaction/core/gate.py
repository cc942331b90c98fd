"""When a task that was taken begins: once its master has been told so, or can't be."""

from __future__ import annotations

from collections import Counter
from typing import Generic, TypeVar

T = TypeVar("T")


class Gate(Generic[T]):
    """The tasks of one slave that were taken and have not begun; `T` is what begins.

    A task that holds the GIL from its first moment on would hold up the answer to its master as well, which waits for
    that no longer than its request's timeout.
    """

    def __init__(self) -> None:
        self._answers: Counter[str] = Counter()  # that are due, by task id: the same task may come twice
        self._kept: dict[str, T] = {}

    def expect(self, task_id: str) -> None:
        """A task has come whose master is to be told first."""
        self._answers[task_id] += 1

    def told(self, task_id: str) -> T | None:
        """Its master was told, or can't be. Returns what begins now."""
        self._answers[task_id] -= 1
        if self._answers[task_id] <= 0:
            del self._answers[task_id]
        return self._kept.pop(task_id, None)

    def take(self, task_id: str, task: T) -> bool:
        """A task was taken. Says whether it begins at once."""
        if task_id not in self._answers:
            return True
        self._kept[task_id] = task
        return False
