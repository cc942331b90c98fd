"""A task's callbacks run in order, however long it takes to write down that they run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from interaction import aio
from interaction.core.model import ResultStatus, TaskResult
from interaction.master.base_task import BaseTask
from interaction.master.hooks import MasterHooks
from interaction.master.task import Task


class Queue:
    """A runner: calls, when it is told, what it was given."""

    def __init__(self) -> None:
        self.work: list[Callable[[], object]] = []

    def submit(self, work: Callable[[], object]) -> None:
        self.work.append(work)

    def join(self, timeout: float | None = None) -> bool:
        while self.work:
            self.work.pop(0)()
        return True

    def check_not_mine(self) -> None: ...


class Paper:
    """A diary that is slow: what is to be written is written when it is told."""

    def __init__(self, keeps: bool) -> None:
        self.keeps = keeps
        self.unwritten: list[Callable[[], object]] = []

    def delivering(self, task_id: str, then: Callable[[], object]) -> None:
        assert self.keeps
        self.unwritten.append(then)

    def had(self, task_id: str) -> None: ...


class Road:
    """The connection of one task."""

    name = "conn"
    max_message_bytes = 1 << 20
    hooks = MasterHooks()

    def __init__(self, keeps: bool) -> None:
        self.runner = Queue()
        self.diary = Paper(keeps)

    def check_here(self) -> None: ...

    def hand_over(self, task: BaseTask, data: Any) -> None: ...

    def withdraw(self, task: BaseTask, error: BaseException) -> None: ...


def ended(road: Road, kind: type[Task | aio.Task]) -> Task | aio.Task:
    task = kind({"a": 1}, road)
    task.begin(object())
    task.accept({})
    task.finish(TaskResult(task.id, ResultStatus.COMPLETED, 3))
    return task


@pytest.mark.parametrize("kind", [Task, aio.Task])
def test_nothing_overtakes_what_waits_for_the_journal(kind: type[Task | aio.Task]) -> None:
    road = Road(keeps=True)
    task = ended(road, kind)
    calls: list[int] = []
    task.on_complete(lambda *_: calls.append(1))
    task.on_complete(lambda *_: calls.append(2))
    road.runner.join()
    assert not calls, "before it is written down"
    (written,) = road.diary.unwritten
    written()
    task.on_complete(lambda *_: calls.append(3))  # while the first are on their way
    road.runner.join()
    task.on_complete(lambda *_: calls.append(4))
    road.runner.join()
    assert calls == [1, 2, 3, 4]
    assert len(road.diary.unwritten) == 1, "it is written down once"


@pytest.mark.parametrize("kind", [Task, aio.Task])
def test_without_a_journal_callbacks_wait_for_nothing(kind: type[Task | aio.Task]) -> None:
    road = Road(keeps=False)
    task = ended(road, kind)
    calls: list[int] = []
    task.on_complete(lambda *_: calls.append(1))
    assert road.runner.work  # at once
    road.runner.join()
    assert calls == [1]
