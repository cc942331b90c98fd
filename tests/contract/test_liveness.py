"""Who is alive: lines 1, 2, 4 and 5 of the promise, as far as one machine's processes can break them."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from interaction import Master, RequestException, SlaveConnectionProxy, Task, TaskStatus
from interaction.exception import LeaseExpired, LossReason, SlaveSystemShuttingDown, TaskLost
from tests.contract.conftest import MakeMaster, MakeSlave, SlaveProcess, Worker, plain_and_aio

facade = pytest.fixture(params=["plain", "aio"])(plain_and_aio)
WAIT = 20.0
StartProcess = Callable[..., SlaveProcess]


def running_task(connection: SlaveConnectionProxy, process: SlaveProcess) -> tuple[Task, list[Any]]:
    """A task that runs in the process, and what its callbacks are called with."""
    calls: list[Any] = []
    task = connection.new_task({"wait": 1})
    task.on_complete(lambda *_: calls.append("complete")).on_fail(lambda data, result: calls.append((data, result)))
    task.start()
    assert process.line() == "running"
    return task, calls


def assert_lost(task: Task, reason: LossReason, calls: list[Any]) -> None:
    assert task.status is TaskStatus.LOST
    assert isinstance(task.error, TaskLost)
    assert task.error.reason is reason
    assert "conn" in str(task.error)
    assert task.result is None
    assert calls == [({"wait": 1}, None)]


def test_a_process_that_dies_is_lost_within_a_second(master: Master, slave_process: StartProcess) -> None:
    process = slave_process()
    connection = master.new_connection("conn", "127.0.0.1", process.port)
    connection.connect()
    task, calls = running_task(connection, process)
    process.kill()
    begun = time.monotonic()
    task.join(WAIT)
    assert time.monotonic() - begun < 1.0  # heartbeat_tolerance is 15 s
    assert_lost(task, LossReason.EXITED, calls)
    assert "conn" not in master
    assert not connection.is_connected


def test_a_process_that_restarts_at_the_same_port_is_lost(master: Master, slave_process: StartProcess) -> None:
    process = slave_process()
    connection = master.new_connection("conn", "127.0.0.1", process.port)
    connection.connect()
    task, calls = running_task(connection, process)
    process.kill()
    again = slave_process("--port", str(process.port))
    task.join(WAIT)
    assert isinstance(task.error, TaskLost)
    assert_lost(task, task.error.reason, calls)
    assert task.error.reason in (LossReason.EXITED, LossReason.RESTARTED)  # as the probe was quicker or not
    with master.new_connection("conn", "127.0.0.1", again.port) as new:
        assert new.new_task({"a": 1, "b": 2}).start().join(WAIT).result == {"sum": 3}


def test_a_frozen_process_is_lost_after_the_tolerance(make_master: MakeMaster, slave_process: StartProcess) -> None:
    master = make_master(Master, heartbeat_tolerance=1.0, heartbeat_check_span=0.1)
    process = slave_process()
    connection = master.new_connection("conn", "127.0.0.1", process.port)
    connection.connect()
    task, calls = running_task(connection, process)
    process.send(signal.SIGSTOP)
    begun = time.monotonic()
    task.join(WAIT)
    assert 0.5 < time.monotonic() - begun < 3.0
    assert_lost(task, LossReason.SILENT, calls)
    process.send(signal.SIGCONT)
    assert process.line() == "lost LeaseExpired"  # it let go, too
    with master.new_connection("conn", "127.0.0.1", process.port) as again:
        assert again.is_connected  # and is free for the next


def test_a_slave_whose_master_dies_lets_go_after_its_lease(slave: Worker) -> None:
    import subprocess
    import sys

    script = f"""
import sys, interaction
master = interaction.Master("127.0.0.1", 0, heartbeat_tolerance=0.9, channel=7)
master.start()
master.new_connection("conn", "127.0.0.1", {slave.port}).connect()
print("connected", flush=True)
sys.stdin.read()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="."
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "connected\n"
        process.kill()
        begun = time.monotonic()
        assert slave.lost_connection.wait(WAIT)
        assert time.monotonic() - begun < 0.9  # a lease is two thirds of the tolerance
    finally:
        process.kill()
        process.communicate()
    assert [type(error) for _, error in slave.lost] == [LeaseExpired]
    assert slave.lost[0][0].startswith("127.0.0.1:")


def test_a_frozen_master_has_not_lost_its_slaves_when_it_goes_on(make_slave: MakeSlave) -> None:
    """What it did not hear while it stood still is not held against them."""
    import subprocess
    import sys

    slave = make_slave(Worker)
    script = f"""
import sys, interaction
master = interaction.Master("127.0.0.1", 0, heartbeat_tolerance=30.0, heartbeat_check_span=0.1, channel=7)
master.start()
connection = master.new_connection("conn", "127.0.0.1", {slave.port})
connection.connect()
print("connected", flush=True)
sys.stdin.readline()
print(connection.new_task({{"a": 1, "b": 2}}).start().join(10).result, flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="."
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "connected\n"
        process.send_signal(signal.SIGSTOP)
        assert not slave.lost_connection.wait(1.0)
        process.send_signal(signal.SIGCONT)
        process.stdin.write("go on\n")
        process.stdin.flush()
        assert process.stdout.readline() == "{'sum': 3}\n"
    finally:
        process.kill()
        process.communicate()


def test_a_busy_slave_is_not_lost(make_master: MakeMaster, slave: Worker) -> None:
    master = make_master(Master, heartbeat_tolerance=0.3, heartbeat_check_span=0.1)
    with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
        task = connection.new_task({"wait": 1}).start()
        assert slave.running.wait(WAIT)
        assert not slave.lost_connection.wait(1.5)  # five tolerances
        assert connection.is_connected
        slave.go_on.set()
        assert task.join(WAIT).status is TaskStatus.COMPLETED


def test_an_idle_connection_lives_on(make_master: MakeMaster, slave: Worker) -> None:
    master = make_master(Master, heartbeat_tolerance=0.2, heartbeat_check_span=0.1)
    with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
        assert not slave.lost_connection.wait(2.0)  # ten tolerances
        assert connection.new_task({"a": 1, "b": 2}).start().join(WAIT).result == {"sum": 3}


def test_a_slave_lost_while_a_task_is_being_started_fails_the_start(
    master: Master, make_slave: MakeSlave, slave_process: StartProcess
) -> None:
    """Nobody is left waiting: neither who starts the task, nor who joins it."""
    asked, go_on = threading.Event(), threading.Event()

    class Thinking(Worker):
        def _before_task(self, data: Any) -> None:
            asked.set()
            go_on.wait(WAIT)

    slave = make_slave(Thinking)
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    task = connection.new_task({"a": 1, "b": 1})
    raised: list[BaseException] = []

    def start() -> None:
        try:
            task.start()
        except (RequestException, SlaveSystemShuttingDown) as error:
            raised.append(error)

    starting = threading.Thread(target=start)
    starting.start()
    assert asked.wait(WAIT)
    slave.shutdown()
    starting.join(WAIT)
    assert task.join(WAIT).status is TaskStatus.START_FAILED
    assert len(raised) == 1
    go_on.set()


def test_many_slaves_die_and_each_loss_is_its_own(master: Master, slave_process: StartProcess) -> None:
    processes = [slave_process() for _ in range(3)]
    connections = [
        master.new_connection(f"conn-{number}", "127.0.0.1", process.port) for number, process in enumerate(processes)
    ]
    for connection in connections:
        connection.connect()
    tasks = [running_task(*pair) for pair in zip(connections, processes, strict=True)]
    for process in processes[:2]:
        process.kill()
    for task, calls in tasks[:2]:
        assert_lost(task.join(WAIT), LossReason.EXITED, calls)
    assert connections[2].is_connected
    assert tasks[2][0].status is TaskStatus.STARTED


@pytest.mark.parametrize("tolerance", [0.2, 1.0])
def test_a_master_that_closes_ends_its_tasks(make_master: MakeMaster, slave: Worker, tolerance: float) -> None:
    master = make_master(Master, heartbeat_tolerance=tolerance)
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    task = connection.new_task({"wait": 1}).start()
    master.shutdown()
    assert task.join(WAIT).status is TaskStatus.LOST
    assert isinstance(task.error, TaskLost)
    assert task.error.reason is LossReason.DISCONNECTED
