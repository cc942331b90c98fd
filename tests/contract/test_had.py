"""Who has read the end of a task has had it: the journal forgets the task. Who has only seen its status has not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from interaction import Master, SlaveConnectionProxy, Task, TaskStatus
from tests.contract.conftest import MakeMaster, MakeSlave, Worker, plain_and_aio
from tests.contract.holding import wait_until

facade = pytest.fixture(params=["plain", "aio"])(plain_and_aio)


@pytest.fixture
def master_options(tmp_path: Path) -> dict[str, Any]:
    return {"journal": f"sqlite:///{tmp_path / 'master.db'}"}


READS: dict[str, tuple[Mapping[str, Any], TaskStatus, Callable[[Task], Any]]] = {
    "the result": ({"a": 1, "b": 2}, TaskStatus.COMPLETED, lambda task: task.result),
    "what came with a failure": ({"a": 1}, TaskStatus.FAILED, lambda task: task.result),
    "why it failed": ({"a": 1}, TaskStatus.FAILED, lambda task: task.error),
    "that there is no result": ({"wait": 1}, TaskStatus.LOST, lambda task: task.result),
    "why it is lost": ({"wait": 1}, TaskStatus.LOST, lambda task: task.error),
    "get()": ({"a": 1, "b": 2}, TaskStatus.COMPLETED, lambda task: task.get()),
    "join()": ({"a": 1}, TaskStatus.FAILED, lambda task: task.join()),
}
NOT_READS: dict[str, tuple[Mapping[str, Any], TaskStatus, Callable[[Task], Any]]] = {
    "the status": ({"a": 1, "b": 2}, TaskStatus.COMPLETED, lambda task: (task.status, repr(task), task.task)),
    "that it did not fail": ({"a": 1, "b": 2}, TaskStatus.COMPLETED, lambda task: task.error),
    "that it is lost": ({"wait": 1}, TaskStatus.LOST, lambda task: (task.status, str(task))),
}


def ended(connection: SlaveConnectionProxy, slave: Worker, data: Mapping[str, Any], status: TaskStatus) -> Task:
    """A task that has come to that end, of which its owner has polled no more than the status."""
    task: Task = connection.new_task(data).start()
    if status is TaskStatus.LOST:
        connection.disconnect()
    wait_until(lambda: bool(task.status.ended))
    assert task.status is status
    return task


@pytest.mark.parametrize("what", READS)
def test_who_has_read_the_end_has_had_it(
    master: Master, slave: Worker, connection: SlaveConnectionProxy, what: str
) -> None:
    data, status, read = READS[what]
    task = ended(connection, slave, data, status)
    assert [one.id for one in master.tasks()] == [task.id]
    for _ in range(2):
        read(task)
    wait_until(lambda: master.tasks() == [])


@pytest.mark.parametrize("what", NOT_READS)
def test_who_has_not_read_it_has_not(
    master: Master, slave: Worker, connection: SlaveConnectionProxy, what: str
) -> None:
    data, status, look = NOT_READS[what]
    task = ended(connection, slave, data, status)
    look(task)
    assert [one.id for one in master.tasks()] == [task.id]
    assert [one.id for one in master.tasks()] == [task.id]  # nor has who lists them


def test_what_is_read_before_the_end_is_not_the_end(
    master: Master, slave: Worker, connection: SlaveConnectionProxy
) -> None:
    task = connection.new_task({"wait": 1}).start()
    assert (task.result, task.error) == (None, None)
    slave.go_on.set()
    wait_until(lambda: bool(task.status.ended))
    assert [one.id for one in master.tasks()] == [task.id]


def test_callbacks_run_once_all_the_same(master: Master, slave: Worker, connection: SlaveConnectionProxy) -> None:
    calls: list[Any] = []
    task = connection.new_task({"a": 1, "b": 2})
    task.on_complete(lambda *_: calls.append(task.result)).on_complete(lambda _, result: calls.append(result))
    task.start()
    wait_until(lambda: bool(task.status.ended))
    assert task.result == {"sum": 3}
    task.on_complete(lambda _, result: calls.append(result)).join(10)
    wait_until(lambda: len(calls) == 3)
    assert calls == [{"sum": 3}] * 3


def test_many_that_are_polled_leave_nothing(master: Master, make_slave: MakeSlave) -> None:
    slave = make_slave(Worker, backlog=200)
    connection = master.new_connection("many", "127.0.0.1", slave.port)
    connection.connect()
    tasks = [connection.new_task({"a": n, "b": 1}).start() for n in range(100)]
    left = dict(enumerate(tasks))

    def poll() -> bool:
        for number, task in list(left.items()):
            if task.status is TaskStatus.COMPLETED:
                assert task.result == {"sum": number + 1}
                del left[number]
        return not left

    wait_until(poll)
    wait_until(lambda: master.tasks() == [])


def test_a_slave_without_a_place_says_how_many_it_has_and_what_to_do(
    make_master: MakeMaster, make_slave: MakeSlave
) -> None:
    slave = make_slave(Worker, slots=1, backlog=1)
    with make_master(Master).new_connection("conn", "127.0.0.1", slave.port) as connection:
        for _ in range(2):
            connection.new_task({"wait": 1}).start()
        with pytest.raises(Exception, match=r"2 task\(s\) and no place") as caught:
            connection.new_task({"a": 1, "b": 2}).start()
        for word in ("1 at once (slots)", "1 beyond that (backlog)", "Slave(slots=, backlog=)", "SlavePool"):
            assert word in str(caught.value)
        slave.go_on.set()
