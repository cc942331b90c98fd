"""A master that is killed and started again on its journal: sessions, running tasks and results are there."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from interaction import Master, SlaveConnectionProxy
from interaction.exception import JournalError
from tests.contract.conftest import ROOT, Worker
from tests.contract.master_process import MasterProcess
from tests.contract.recording_master import Failure
from tests.contract.scripted_slave import ScriptedSlave
from tests.contract.slave_programs import NODE, PYTHON, WAIT, SlaveProgram
from tests.contract.wire import NO_STATE

SHORT = 3.0


MakeProcess = Callable[..., MasterProcess]


@pytest.fixture
def on_journal(stack: ExitStack, tmp_path: Path) -> MakeProcess:
    """Starts a master on the one journal of the test."""

    def make(port: int = 0, **options: Any) -> MasterProcess:
        process = MasterProcess(tmp_path / "master.db", port, **options)
        stack.callback(process.close)
        return process

    return make


@pytest.fixture
def first(on_journal: MakeProcess, slave: Worker) -> MasterProcess:
    master = on_journal()
    master.connect("conn", slave.port)
    return master


def test_a_task_that_still_runs_is_adopted_and_ends(
    first: MasterProcess, on_journal: MakeProcess, slave: Worker
) -> None:
    task = first.start("conn", {"wait": 1})
    first.kill()
    second = on_journal(first.port)
    assert second.ask("tasks", tasks=True) == {task: "STARTED"}
    assert second.ask("resumed", resumed=WAIT) == ["conn"]
    slave.go_on.set()
    assert second.next("completed") == {"completed": task, "data": {"wait": 1}, "result": {"waited": 1}}
    assert slave.ran == [{"wait": 1}]
    assert slave.lost == []


def test_a_result_that_was_computed_meanwhile_is_collected(
    first: MasterProcess, on_journal: MakeProcess, slave: Worker
) -> None:
    task = first.start("conn", {"wait": 1})
    first.kill()
    slave.go_on.set()
    second = on_journal(first.port)
    second.ask("resumed", resumed=WAIT)
    second.ask("tasks", tasks=True)
    assert second.next("completed")["completed"] == task
    assert slave.ran == [{"wait": 1}]


def test_the_session_goes_on_and_takes_tasks(first: MasterProcess, on_journal: MakeProcess, slave: Worker) -> None:
    first.kill()
    second = on_journal(first.port)
    assert second.ask("resumed", resumed=WAIT) == ["conn"]
    second.start("conn", {"a": 1, "b": 2})
    assert second.next("completed")["result"] == {"sum": 3}
    assert slave.lost == []


def test_it_is_killed_again_and_again(first: MasterProcess, on_journal: MakeProcess, slave: Worker) -> None:
    task = first.start("conn", {"wait": 1})
    master = first
    for _ in range(3):
        master.kill()
        master = on_journal(master.port)
        assert master.ask("resumed", resumed=WAIT) == ["conn"]
    slave.go_on.set()
    master.ask("tasks", tasks=True)
    assert master.next("completed")["completed"] == task


def test_a_slave_whose_lease_is_over_is_resumed_by_a_master_at_another_port(
    on_journal: MakeProcess, slave: Worker
) -> None:
    first = on_journal(tolerance=SHORT)
    first.connect("conn", slave.port)
    task = first.start("conn", {"wait": 1})
    first.kill()
    assert slave.lost_connection.wait(WAIT)
    slave.go_on.set()
    second = on_journal()
    assert second.port != first.port
    assert second.ask("resumed", resumed=WAIT) == ["conn"]
    second.ask("tasks", tasks=True)
    assert second.next("completed")["completed"] == task


def test_callbacks_are_called_once_whatever_becomes_of_the_master(
    first: MasterProcess, on_journal: MakeProcess
) -> None:
    task = first.start("conn", {"a": 1, "b": 2})
    assert first.next("completed")["completed"] == task
    first.kill()
    second = on_journal(first.port)
    assert second.ask("tasks", tasks=True) == {}
    assert second.said_more() == []


def test_an_end_that_nobody_had_is_there_until_somebody_has_it(first: MasterProcess, on_journal: MakeProcess) -> None:
    task = first.start("conn", {"a": 1, "b": 2}, tell=False)
    first.wait_for({task: "COMPLETED"})
    failing = first.start("conn", {"nothing": 0}, tell=False)
    first.kill()
    second = on_journal(first.port)
    second.ask("resumed", resumed=WAIT)
    second.kill()
    third = on_journal(first.port)
    third.ask("resumed", resumed=WAIT)
    assert third.ask("tasks", tasks=True).keys() == {task, failing}
    assert third.next("completed")["completed"] == task
    assert third.next("failed")["failed"] == failing
    third.kill()
    fourth = on_journal(first.port)
    assert fourth.ask("tasks", tasks=True) == {}


def test_what_a_pool_has_begun_goes_on_and_is_not_run_again(
    first: MasterProcess, on_journal: MakeProcess, slave: Worker
) -> None:
    first.do(submit={"a": 1, "b": 2})
    assert {"had": {"sum": 3}} in [first.any(), first.any()]
    first.ask("submitted", submit={"wait": 1})
    assert slave.running.wait(WAIT)
    first.ask("submitted", submit={"never": "begun"})
    first.kill()
    second = on_journal(first.port)
    assert second.ask("resumed", resumed=WAIT) == ["conn"]
    (task,) = second.ask("tasks", tasks=True)
    slave.go_on.set()
    assert second.next("completed") == {"completed": task, "data": {"wait": 1}, "result": {"waited": 1}}
    second.ask("submitted", submit={"a": 3, "b": 4})  # the next one's pool has the slave
    assert second.next("had") == {"had": {"sum": 7}}
    assert slave.ran == [{"a": 1, "b": 2}, {"wait": 1}, {"a": 3, "b": 4}]


def test_a_slave_that_died_meanwhile_is_lost_and_its_tasks_too(
    on_journal: MakeProcess, slave_process: Callable[..., Any]
) -> None:
    slave, first = slave_process(), on_journal(tolerance=1.0)
    first.connect("conn", slave.port)
    task = first.start("conn", {"wait": 1})
    first.kill()
    slave.kill()
    second = on_journal(first.port, tolerance=1.0)
    assert second.ask("tasks", tasks=True) == {task: "STARTED"}
    assert second.next("failed")["status"] == "LOST"
    assert second.next("lost") == {"lost": "conn", "reason": "SILENT"}
    assert second.ask("resumed", resumed=WAIT) == []


def test_a_slave_that_was_restarted_meanwhile_is_lost(
    on_journal: MakeProcess, slave_process: Callable[..., Any]
) -> None:
    slave, first = slave_process(), on_journal()
    first.connect("conn", slave.port)
    first.start("conn", {"wait": 1})
    first.kill()
    slave.kill()
    again = slave_process("--port", str(slave.port))
    second = on_journal(first.port)
    second.ask("tasks", tasks=True)
    said = [second.any() for _ in range(2)]  # in either order: the callback may have been added too late
    assert {"lost": "conn", "reason": "RESTARTED"} in said
    assert "LOST" in [line.get("status") for line in said]
    second.connect("conn", again.port)


def test_a_session_that_was_ended_is_not_resumed(first: MasterProcess, on_journal: MakeProcess, slave: Worker) -> None:
    first.ask("disconnected", disconnect="conn")
    first.kill()
    second = on_journal(first.port)
    assert second.ask("resumed", resumed=WAIT) == []
    second.connect("conn", slave.port)


def test_shutting_down_ends_the_sessions_for_good(first: MasterProcess, on_journal: MakeProcess, slave: Worker) -> None:
    first.start("conn", {"wait": 1}, tell=False)
    assert first.end() == 0
    assert slave.lost_connection.wait(WAIT)
    second = on_journal(first.port)
    assert second.ask("resumed", resumed=WAIT) == []
    assert list(second.ask("tasks", tasks=False).values()) == ["LOST"]


ENDS_BY_ITSELF = """
import sys
import time
from interaction import Master
master = Master("127.0.0.1", 0, channel=7, journal=sys.argv[1])
master.start()
connection = master.new_connection("conn", "127.0.0.1", int(sys.argv[2]))
connection.connect()
connection.new_task({"wait": 1}).start()
raise SystemExit("nobody closes it")
"""


def test_a_process_that_ends_without_closing_leaves_its_sessions_to_the_next(
    on_journal: MakeProcess, slave: Worker, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", ENDS_BY_ITSELF, f"sqlite:///{tmp_path / 'master.db'}", str(slave.port)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=WAIT * 2)
    assert ended.stderr == "nobody closes it\n"
    assert slave.lost == []
    second = on_journal()
    assert second.ask("resumed", resumed=WAIT) == ["conn"]
    slave.go_on.set()
    second.ask("tasks", tasks=True)
    assert second.next("completed")["result"] == {"waited": 1}


def test_a_master_that_can_not_start_lets_go_of_its_journal(tmp_path: Path, slave: Worker) -> None:
    url = f"sqlite:///{tmp_path / 'master.db'}"
    with pytest.raises(OSError, match=str(slave.port)):
        Master("127.0.0.1", slave.port, journal=url).start()
    with Master("127.0.0.1", 0, journal=url) as master:
        assert master.ping()
        with pytest.raises(JournalError, match="in use by another master"):
            Master("127.0.0.1", 0, journal=url).start()
        assert master.tasks() == []
        with pytest.raises(KeyError, match="no task 'x'"):
            master.task("x")


def test_without_a_journal_there_are_the_tasks_that_run(connection: SlaveConnectionProxy, slave: Worker) -> None:
    master, idle, task = connection._home.hooks, connection.new_task({}), connection.new_task({"wait": 1})
    assert isinstance(master, Master)
    assert master.tasks() == []
    task.start()
    assert master.tasks() == [task]
    assert master.task(task.id) is task
    assert master.wait_until_resumed(0.0) == [connection]
    slave.go_on.set()
    task.join(WAIT)
    assert master.tasks() == []
    assert idle not in master.tasks()


def test_a_name_is_in_use_while_its_session_is_being_resumed(tmp_path: Path, slave_process: Callable[..., Any]) -> None:
    url = f"sqlite:///{tmp_path / 'master.db'}"
    process = slave_process()
    script = ENDS_BY_ITSELF.replace("raise SystemExit", "import os; os._exit(0); raise SystemExit")
    subprocess.run([sys.executable, "-c", script, url, str(process.port)], cwd=ROOT, timeout=WAIT * 2, check=True)
    process.send(signal.SIGSTOP)  # it answers nobody
    with Master("127.0.0.1", 0, channel=7, journal=url) as master:
        assert "conn" not in master
        with pytest.raises(KeyError, match="in use"):
            master.new_connection("conn", "127.0.0.1", process.port)
        with pytest.raises(TimeoutError, match="1 session"):
            master.wait_until_resumed(0.1)
        process.send(signal.SIGCONT)
        assert [connection.name for connection in master.wait_until_resumed(WAIT)] == ["conn"]
        assert master["conn"].is_connected


@pytest.mark.parametrize("program", [PYTHON, NODE], ids=["python", "node"], indirect=True)
def test_slaves_in_any_language_are_resumed(on_journal: MakeProcess, program: SlaveProgram) -> None:
    first = on_journal()
    first.connect("conn", program.port)
    task = first.start("conn", {"a": 1, "b": 2, "seconds": 1.0}, tell=False)
    first.kill()
    second = on_journal(first.port)
    assert second.ask("resumed", resumed=WAIT) == ["conn"]
    second.ask("tasks", tasks=True)
    assert second.next("completed") == {
        "completed": task,
        "data": {"a": 1, "b": 2, "seconds": 1.0},
        "result": {"sum": 3},
    }
    second.ask("disconnected", disconnect="conn")


def test_a_slave_that_can_not_resume_is_connected_anew_without_its_tasks(
    on_journal: MakeProcess, scripted: ScriptedSlave
) -> None:
    first = on_journal()
    first.connect("conn", scripted.port)
    assert scripted.heartbeat().beat(1) == 1
    task = first.start("conn", {"a": 1})
    first.kill()
    scripted.connect_answers.extend([Failure(NO_STATE, "SLAVE_ALREADY_CONNECTED")] * 2)
    second = on_journal(first.port)
    second.ask("tasks", tasks=True)
    said = second.next("failed")
    assert (said["failed"], said["status"]) == (task, "LOST")
    assert "does not hold" in said["error"]
    assert second.ask("resumed", resumed=WAIT) == ["conn"]


def test_a_start_that_failed_can_be_tried_again(tmp_path: Path, slave: Worker) -> None:
    url = f"sqlite:///{tmp_path / 'master.db'}"
    script = ENDS_BY_ITSELF.replace("raise SystemExit", "import os; os._exit(0); raise SystemExit")
    subprocess.run([sys.executable, "-c", script, url, str(slave.port)], cwd=ROOT, timeout=WAIT * 2, check=True)
    with socket.create_server(("127.0.0.1", 0)) as other:
        master = Master("127.0.0.1", other.getsockname()[1], channel=7, journal=url)
        with pytest.raises(OSError, match=r"port|Address|bind"):
            master.start()
    with master:
        assert [connection.name for connection in master.wait_until_resumed(WAIT)] == ["conn"]
        slave.go_on.set()
        assert [task.join(WAIT).result for task in master.tasks()] == [{"waited": 1}]
