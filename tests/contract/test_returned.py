"""What a slave that leaves has accepted and not begun: it hands that back, and a pool has it done elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from interaction import Master, SlaveConnectionProxy, Task, TaskStatus
from interaction.exception import LossReason, TaskLost
from interaction.v1.task_pb2 import TASK_RESULT_STATUS_COMPLETED, TASK_RESULT_STATUS_RETURNED, TaskError, TaskResult
from tests.contract.conftest import Call, MakeMaster, MakePool, MakeSlave, Worker, plain_and_aio
from tests.contract.hands import Hands, in_background, with_hands
from tests.contract.scripted_slave import ScriptedSlave, ended
from tests.contract.slave_programs import WAIT
from tests.contract.work import Stream

facade = pytest.fixture(params=["plain", "aio"])(plain_and_aio)
hands = pytest.fixture(with_hands)
RECORDED, DUPLICATE = 1, 2
leave = pytest.mark.parametrize("leave", [Worker.drain, Worker.shutdown], ids=["drain", "shutdown"])


def filled(connection: SlaveConnectionProxy, slave: Worker, count: int) -> list[Task]:
    """Have a task run, and others wait behind it."""
    tasks = [connection.new_task({"wait": number}) for number in range(count)]
    for task in tasks:
        task.start()
    assert slave.running.wait(WAIT)
    return tasks


def reason_of(task: Task) -> LossReason:
    assert task.status is TaskStatus.LOST
    assert isinstance(task.error, TaskLost)
    return task.error.reason


@pytest.mark.parametrize("fast_road", [True, False], ids=["fast-road", "calls"])
@pytest.mark.parametrize("slots", [1, 2])
@leave
def test_what_waits_at_a_slave_that_leaves_is_handed_back_at_once(
    make_master: MakeMaster,
    make_slave: MakeSlave,
    leave: Callable[[Worker], object],
    slots: int,
    fast_road: bool,
) -> None:
    master, slave = make_master(Master), make_slave(Worker, slots=slots, backlog=3, fast_road=fast_road)
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    tasks = filled(connection, slave, slots + 3)
    left = in_background(lambda: leave(slave))
    for task in tasks[slots:]:
        assert reason_of(task.join(WAIT)) is LossReason.RETURNED
        assert "had not begun" in str(task.error)
    if leave is Worker.drain:
        assert all(task.status is TaskStatus.STARTED for task in tasks[:slots])
    slave.go_on.set()
    assert left.get(timeout=WAIT) in (True, None)
    if leave is Worker.drain:
        assert [task.join(WAIT).result for task in tasks[:slots]] == [{"waited": number} for number in range(slots)]
    assert len(slave.ran) == slots


def test_a_child_process_does_not_run_what_was_handed_back(make_master: MakeMaster, make_slave: MakeSlave) -> None:
    master, slave = make_master(Master), make_slave(Sleeper, backlog=2, isolation="process")
    with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
        tasks = [connection.new_task({"seconds": 0.5}) for _ in range(3)]
        for task in tasks:
            task.start()
        done = in_background(slave.drain)
        returned = [task for task in tasks if task.join(WAIT).status is TaskStatus.LOST]
        assert done.get(timeout=WAIT) is True
        assert len(returned) >= 2, "at most one had begun"
        assert {reason_of(task) for task in returned} == {LossReason.RETURNED}


class Sleeper(Worker):
    def _process_task(self, task: Mapping[str, Any]) -> Any:
        self.go_on.wait(task["seconds"])


@leave
def test_a_pool_has_it_done_elsewhere_and_that_costs_no_retry(
    hands: Hands, make_pool: MakePool, leave: Callable[[Worker], object]
) -> None:
    leaving = hands.add("leaving", backlog=20)
    waiting = filled(hands.master["leaving"], leaving, 5)
    pool = make_pool(hands.master, retries=0)
    futures = [pool.submit({"echo": number}) for number in range(10)]
    hands.add("staying", backlog=20)
    left = in_background(lambda: leave(leaving))
    assert [future.result(WAIT) for future in futures] == list(range(10))
    leaving.go_on.set()
    left.get(timeout=WAIT)
    assert leaving.ran == [{"wait": 0}]
    assert [reason_of(task.join(WAIT)) for task in waiting[1:]] == [LossReason.RETURNED] * 4


# By the contract alone.


def test_a_slave_says_by_calls_what_it_hands_back(make_slave: MakeSlave, call: Call) -> None:
    slave = make_slave(Worker, backlog=2)
    caller = call(slave)
    caller.connect()
    running, *waiting = (caller.new_task({"wait": number}) for number in range(3))
    assert slave.running.wait(WAIT)
    done = in_background(slave.drain)
    said = {(result := caller.report().result).task_id: result for _ in waiting}
    assert {*said} == {*waiting}
    assert {result.status for result in said.values()} == {TASK_RESULT_STATUS_RETURNED}
    assert all(result.error.message for result in said.values())
    slave.go_on.set()
    last = caller.report().result
    assert (last.task_id, last.status) == (running, TASK_RESULT_STATUS_COMPLETED)
    assert done.get(timeout=WAIT) is True


def test_a_slave_says_on_its_stream_what_it_hands_back(make_slave: MakeSlave, call: Call) -> None:
    slave = make_slave(Worker, backlog=2)
    caller = call(slave)
    caller.connect()
    stream = Stream(caller)
    running, *waiting = (stream.task({"wait": number}) for number in range(3))
    assert slave.running.wait(WAIT)
    stream.find("accepted", running, *waiting)
    done = in_background(slave.drain)
    for task_id in waiting:
        assert stream.result(task_id).result.status == TASK_RESULT_STATUS_RETURNED
    stream.acknowledge(*waiting)
    slave.go_on.set()
    assert stream.value(running) == {"waited": 0}
    stream.acknowledge(running)
    assert done.get(timeout=WAIT) is True


def returned(task_id: str) -> TaskResult:
    return TaskResult(task_id=task_id, status=TASK_RESULT_STATUS_RETURNED, error=TaskError(message="I drain"))


@pytest.mark.parametrize("road", ["calls", "fast-road"])
def test_a_master_takes_back_what_a_slave_of_any_language_hands_back(
    make_master: MakeMaster, scripted: ScriptedSlave, road: str
) -> None:
    scripted.features = ["work"] if road == "fast-road" else []
    connection = make_master(Master).new_connection("conn", "127.0.0.1", scripted.port)
    connection.connect()
    assert scripted.heartbeat().beat(1) == 1
    if road == "calls":
        task = connection.new_task({"a": 1}).start()
        assert scripted.report(returned(task.id)) == RECORDED
        assert scripted.report(returned(task.id)) == DUPLICATE
    else:
        starting = in_background(connection.new_task({"a": 1}).start)
        work = scripted.work()
        task_id = work.task()
        work.say(ended(returned(task_id)))
        assert work.acknowledged() == task_id
        task = starting.get(timeout=WAIT)
    assert reason_of(task.join(WAIT)) is LossReason.RETURNED
    assert "I drain" in str(task.error)
    assert task.result == {}
    assert connection.is_connected


def test_a_master_that_was_killed_knows_that_a_task_was_handed_back(
    make_master: MakeMaster, scripted: ScriptedSlave, tmp_path: Path
) -> None:
    journal = f"sqlite:///{tmp_path / 'master.db'}"
    first = make_master(Master, journal=journal)
    connection = first.new_connection("conn", "127.0.0.1", scripted.port)
    connection.connect()
    task_id = connection.new_task({"a": 1}).start().id
    assert scripted.report(returned(task_id)) == RECORDED
    first.close()
    (task,) = make_master(Master, journal=journal).tasks()
    assert task.id == task_id
    assert reason_of(task) is LossReason.RETURNED


def test_what_was_on_its_way_to_a_slave_that_has_drained_is_done_elsewhere_at_no_cost(
    scripted: ScriptedSlave, make_master: MakeMaster, make_slave: MakeSlave, make_pool: MakePool
) -> None:
    """It has said that every result of what it took is acknowledged: so it has not taken this one."""
    scripted.features = ["work"]
    master: Master = make_master()
    master.new_connection("leaving", "127.0.0.1", scripted.port).connect()
    beats = scripted.heartbeat()
    beats.beat(1)
    other: Worker = make_slave()
    future = make_pool(master).submit({"a": 1, "b": 2})  # no retries
    scripted.work().task()  # it has come there, and is not answered
    master.new_connection("other", "127.0.0.1", other.port).connect()
    beats.leave("drained", drained=True)
    assert future.result(WAIT) == {"sum": 3}
