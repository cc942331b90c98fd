"""Tasks that a slave has accepted, and that wait for a slot: what becomes of them when their session ends."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from interaction import Master, SlaveConnectionProxy, Task, TaskStatus
from interaction.exception import ResponseException, SlaveTaskAlreadyExist
from interaction.slave.work import WorkStream
from tests.contract.conftest import MakePool, MakeSlave, Worker
from tests.contract.hands import total
from tests.contract.recording_master import RecordingMaster
from tests.contract.slave_programs import WAIT
from tests.contract.wire import NO_PROXY, Caller, new_id, refused_or_done


@pytest.fixture(params=[True, False], ids=["fast-road", "calls"])
def slave(make_slave: MakeSlave, request: pytest.FixtureRequest) -> Worker:
    return make_slave(Worker, slots=1, backlog=2, fast_road=request.param)


def filled(connection: SlaveConnectionProxy, slave: Worker) -> list[TaskStatus]:
    """Have a task run, and two wait behind it. Returns their statuses once they have been accepted."""
    tasks = [connection.new_task({"wait": number}) for number in range(3)]
    for task in tasks:
        task.start()
    assert slave.running.wait(WAIT)
    with pytest.raises(SlaveTaskAlreadyExist):
        connection.new_task({"wait": 3}).start()
    return [task.status for task in tasks]


def test_tasks_that_wait_run_one_after_another(connection: SlaveConnectionProxy, slave: Worker) -> None:
    tasks = [connection.new_task({"wait": number}) for number in range(3)]
    for task in tasks:
        task.start()
    slave.go_on.set()
    assert [task.join(WAIT).result for task in tasks] == [{"waited": number} for number in range(3)]
    assert slave.ran == [{"wait": number} for number in range(3)]


def test_tasks_that_wait_are_not_run_when_their_session_has_ended(
    master: Master, connection: SlaveConnectionProxy, slave: Worker
) -> None:
    """Their owner knows them as lost, and may have them done elsewhere."""
    assert filled(connection, slave) == [TaskStatus.STARTED] * 3
    connection.disconnect()
    slave.go_on.set()
    with master.new_connection("again", "127.0.0.1", slave.port) as again:
        done: list[Task] = []
        while len(done) < 3:  # the places are free again when the first task has ended
            try:
                done.append(again.new_task({"echo": len(done)}).start().join(WAIT))
            except SlaveTaskAlreadyExist:
                continue
    assert slave.ran == [{"wait": 0}, *({"echo": number} for number in range(3))]


@pytest.fixture
def caller(slave: Worker, recorder: RecordingMaster) -> Iterator[Caller]:
    with grpc.insecure_channel(f"127.0.0.1:{slave.port}", NO_PROXY) as channel:
        yield Caller(channel, recorder)


def let_the_lease_run_out(caller: Caller, slave: Worker) -> list[str]:
    """A master is silent, and one task has ended by the time that the lease is over. Returns the two that wait."""
    caller.connect(lease=1.0)
    caller.new_task({"wait": 0})
    waiting = [caller.new_task({"echo": number}) for number in range(2)]
    caller.falls_silent()
    assert slave.lost_connection.wait(WAIT)
    slave.go_on.set()
    return waiting


def test_tasks_that_wait_go_on_when_their_master_comes_back(caller: Caller, slave: Worker) -> None:
    """The lease is over: he may have given them up."""
    waiting = let_the_lease_run_out(caller, slave)
    caller.master.obey()
    held = {task.task_id: task.ended for task in caller.connect(caller.token).held}
    assert [held.get(task_id) for task_id in waiting] == [False, False]
    assert {caller.report().result.task_id for _ in range(3)} == {*held}
    assert slave.ran == [{"wait": 0}, {"echo": 0}, {"echo": 1}]


def test_tasks_that_wait_do_not_go_on_until_the_master_that_comes_back_is_heard(caller: Caller, slave: Worker) -> None:
    """Its call may have been on the way for long, and it may have given them up meanwhile."""
    let_the_lease_run_out(caller, slave)
    slave.lost_connection.clear()
    caller.connect(caller.token, lease=1.0)
    assert caller.report().result.status
    assert slave.lost_connection.wait(WAIT), "its lease is over again"
    assert slave.ran == [{"wait": 0}]


def test_tasks_that_wait_are_not_run_when_another_master_comes(caller: Caller, slave: Worker) -> None:
    let_the_lease_run_out(caller, slave)
    caller.master.obey()
    caller.connect()
    last = new_id()
    while refused_or_done(lambda: caller.new_task({"echo": 2}, last)) is not None:  # until the places are free
        continue
    assert caller.report().result.task_id == last
    assert slave.ran == [{"wait": 0}, {"echo": 2}]


def test_a_slave_that_drains_without_a_master_does_not_wait_for_them(caller: Caller, slave: Worker) -> None:
    let_the_lease_run_out(caller, slave)
    slave.drain()
    assert slave.ran == [{"wait": 0}]


def test_a_slave_that_is_shut_down_does_not_begin_what_waits(connection: SlaveConnectionProxy, slave: Worker) -> None:
    assert filled(connection, slave) == [TaskStatus.STARTED] * 3
    slave.shutdown()
    slave.go_on.set()
    slave.join()
    assert slave.ran == [{"wait": 0}]


def test_a_long_backlog_is_never_said_to_be_full_while_its_master_keeps_to_it(
    master: Master, make_slave: MakeSlave, make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[str] = []
    refuse = WorkStream.refuse

    def noticed(stream: WorkStream, task_id: str, refusal: ResponseException) -> None:
        refused.append(refusal.message)
        refuse(stream, task_id, refusal)

    monkeypatch.setattr(WorkStream, "refuse", noticed)
    slave = make_slave(Worker, backlog=4000)
    master.new_connection("conn", "127.0.0.1", slave.port).connect()
    with make_pool(master) as pool:
        assert total(pool, 12_000) == sum(range(12_000)) + 12_000
    assert not refused
