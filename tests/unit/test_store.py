"""What a journal keeps its records in: one suite for every store."""

from __future__ import annotations

import pytest

from interaction.core.journal import (
    SessionDropped,
    SessionKept,
    SessionRecord,
    Snapshot,
    TaskDelivered,
    TaskDropped,
    TaskEnded,
    TaskKept,
    TaskRecord,
)
from interaction.core.task import TaskStatus
from tests.unit.journals import OTHER, SESSION, TASKS, Kept, any_store, kept

store = pytest.fixture(params=["sqlite", "simulated"])(any_store)


def test_a_store_is_empty_at_first(store: Kept) -> None:
    assert kept(store) == ([], [])
    assert store.ended() == []


def test_records_come_back_as_they_were(store: Kept) -> None:
    store.apply([SessionKept(SESSION), SessionKept(OTHER), *map(TaskKept, TASKS)])
    assert kept(store) == ([SESSION, OTHER], TASKS)


def test_a_session_takes_the_place_of_one_of_the_same_name(store: Kept) -> None:
    again = SessionRecord("conn", "host", 7236, True, "w" * 43, "i" * 32, b"")
    store.apply([SessionKept(SESSION)])
    store.apply([SessionKept(again), SessionDropped(SESSION.token)])
    assert kept(store) == ([again], [])


def test_a_task_that_has_ended_is_there_until_its_end_was_delivered(store: Kept) -> None:
    first, second, third, fourth = (task.id for task in TASKS)
    store.apply(list(map(TaskKept, TASKS)))
    store.apply([TaskEnded(first, TaskStatus.COMPLETED, b"result")])
    store.apply([TaskEnded(second, TaskStatus.LOST, reason="SILENT", message="why")])
    store.apply([TaskEnded(third, TaskStatus.FAILED, b"x", delivered=True), TaskDropped(fourth)])
    assert kept(store) == ([], [])
    assert store.ended() == [
        TaskRecord(first, "conn", b"\0", TaskStatus.COMPLETED, b"result"),
        TaskRecord(second, "conn", b"\1", TaskStatus.LOST, b"", "SILENT", "why"),
    ]
    store.apply([TaskDelivered(first), TaskDropped(second)])
    assert store.ended() == []


def test_what_is_said_of_a_task_that_is_not_there_changes_nothing(store: Kept) -> None:
    task_id = TASKS[0].id
    store.apply([TaskEnded(task_id, TaskStatus.COMPLETED), TaskDelivered(task_id), TaskDropped(task_id)])
    store.apply([SessionDropped("x" * 43)])
    assert kept(store) == ([], [])


def test_tasks_without_a_session_are_orphans() -> None:
    snapshot = Snapshot([OTHER], [TASKS[0], TaskRecord("z" * 36, "other", b"")])
    assert [end.task_id for end in snapshot.orphans()] == [TASKS[0].id]
    assert [task.id for task in snapshot.of(OTHER)] == ["z" * 36]
