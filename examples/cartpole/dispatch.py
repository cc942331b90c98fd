"""Plays a list of tasks on whatever slaves live: one thread for each slave, and a lost task goes to another slave.

A pool in a later release of `interaction` will do this; whoever copies the example should then drop this file.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from interaction import RequestException, SlaveConnectionProxy, Task
from interaction.exception import SlaveResponseException, TaskFailed, TaskLost

TaskData = Mapping[str, Any]


@dataclass(frozen=True)
class Played:
    """A task that came to its result, after `attempts` in the last of which `slave` took `seconds` for it."""

    slave: str
    seconds: float
    attempts: int
    result: Any


@dataclass(frozen=True)
class Loss:
    """A slave that is gone, and took the task with it that it was playing."""

    slave: str
    reason: str
    message: str


class NoSlaveLeft(Exception):
    """There are tasks, and nobody to play them."""


@dataclass(frozen=True)
class _Job:
    place: int
    data: TaskData
    attempts: int = 1


class Dispatch:
    """Plays tasks on the slaves of some connections.

    Args:
        connections: of slaves that play one task at a time. They are closed by whoever opened them.
        started, played, lost: called at each of these events, on the threads that play.
    """

    def __init__(
        self,
        connections: Sequence[SlaveConnectionProxy],
        started: Callable[[SlaveConnectionProxy, Task], object],
        played: Callable[[Played], object],
        lost: Callable[[Loss], object],
    ) -> None:
        self._living = list(connections)
        self._started, self._played, self._lost = started, played, lost

    def play(self, tasks: Sequence[TaskData]) -> list[Any]:
        """The result of each task, in the order of the tasks, whoever played it and whenever.

        Raises:
            NoSlaveLeft: the last slave is gone.
            TaskFailed: a task raised at its slave.
        """
        results: list[Any] = [None] * len(tasks)
        todo = deque(_Job(place, data) for place, data in enumerate(tasks))
        while todo:  # once more where a slave was lost after the others had found nothing left to do
            if not self._living:
                raise NoSlaveLeft(f"All slaves are gone, with {len(todo)} tasks left to play.")
            with ThreadPoolExecutor(len(self._living)) as threads:
                try:
                    for serving in [threads.submit(self._serve, one, todo, results) for one in tuple(self._living)]:
                        serving.result()
                except BaseException:
                    todo.clear()  # each thread ends after the task that it plays
                    raise
        return results

    def _serve(self, connection: SlaveConnectionProxy, todo: deque[_Job], results: list[Any]) -> None:
        """Have one slave play what there is to do, until there is nothing, or the slave is gone."""
        while True:
            try:
                job = todo.popleft()
            except IndexError:
                return
            began = time.perf_counter()
            task = connection.new_task(job.data)
            try:
                task.start()
                self._started(connection, task)
                result = task.get()
            except TaskFailed:
                todo.clear()
                raise
            except (TaskLost, RequestException, SlaveResponseException) as error:  # the slave is gone
                self._living.remove(connection)
                todo.appendleft(_Job(job.place, job.data, job.attempts + 1))
                reason = error.reason.name if isinstance(error, TaskLost) else type(error).__name__
                self._lost(Loss(connection.name, reason, str(error)))
                return
            results[job.place] = result
            self._played(Played(connection.name, time.perf_counter() - began, job.attempts, result))
