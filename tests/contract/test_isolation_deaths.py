"""Tasks in a child process: how the child dies, how it is replaced, and that it ends with its slave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from interaction import Master, SlaveConnectionProxy, TaskStatus
from interaction.slave import service
from interaction.slave.process import ProcessWorkplace
from tests.contract.conftest import ROOT, MakeSlave
from tests.contract.holding import exists, wait_until
from tests.contract.isolated_slave import Isolated
from tests.contract.isolation import WAIT, Process, do, error_of, in_a_process, to_it, with_a_child
from tests.contract.test_drain import wait_until_it_drains

isolated = pytest.fixture(with_a_child)
connection = pytest.fixture(to_it)
process = pytest.fixture(in_a_process)


@pytest.mark.parametrize(
    ("what", "how"), [("exit", "with exit code 3"), ("crash", "by SIGSEGV"), ("kill", "by SIGKILL")]
)
def test_a_child_that_dies_fails_its_task_and_is_replaced(
    connection: SlaveConnectionProxy, what: str, how: str
) -> None:
    first = do(connection, "tell").result["pid"]
    error = error_of(do(connection, what))
    assert error.type == "ProcessDied"
    assert how in error.message
    second = do(connection, "tell").result["pid"]
    assert second != first
    assert connection.is_connected


def test_a_child_that_dies_between_two_tasks_costs_none(connection: SlaveConnectionProxy) -> None:
    first = do(connection, "tell").result["pid"]
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{first}").exists())  # the slave has seen it
    assert do(connection, "tell").result["pid"] != first


def test_the_child_ends_with_the_slave_also_in_a_task(connection: SlaveConnectionProxy, isolated: Isolated) -> None:
    child = do(connection, "tell").result["pid"]
    connection.new_task({"do": "hold", "seconds": 600}).start()
    isolated.shutdown()
    wait_until(lambda: not exists(child))


@pytest.mark.skipif(sys.platform != "linux", reason="that a task holds the GIL is overcome by Linux' prctl")
def test_the_child_ends_with_the_slaves_process_though_its_task_never_returns(master: Master, process: Process) -> None:
    connection = master.new_connection("conn", "127.0.0.1", process.port)
    connection.connect()
    child = do(connection, "tell").result["pid"]
    task = connection.new_task({"do": "hold", "seconds": 600}).start()
    process.process.kill()
    wait_until(lambda: not exists(child))
    assert task.join(WAIT).status is TaskStatus.LOST


@pytest.mark.parametrize("how", ["SIGCHLD is ignored", "somebody else waits for any child"])
@pytest.mark.parametrize("what", ["exit", "kill"])
def test_a_child_that_dies_is_replaced_where_its_exit_code_is_not_to_be_had(
    master: Master, stack: ExitStack, how: str, what: str
) -> None:
    ignored = how == "SIGCHLD is ignored"  # it is inherited
    process = Process(*[] if ignored else ["reap"], ignore_sigchld=ignored)
    stack.callback(process.close)
    connection = master.new_connection("conn", "127.0.0.1", process.port)
    connection.connect()
    children = [do(connection, "tell").result["pid"]]
    for _ in range(3):
        error = error_of(do(connection, what))
        assert error.type == "ProcessDied"
        assert "while it ran this task" in error.message
        assert not ignored or "an exit code that is not known" in error.message
        children.append(do(connection, "tell").result["pid"])
    assert len(set(children)) == 4
    wait_until(lambda: not any(exists(child) for child in children[:-1]))


def test_a_child_that_closes_its_connection_to_the_slave_fails_its_task_and_is_replaced(
    connection: SlaveConnectionProxy,
) -> None:
    first = do(connection, "tell").result["pid"]
    error = error_of(do(connection, "close", seconds=600.0))
    assert error.type == "ProcessDied"
    assert "closed its connection to the slave while it ran this task" in error.message
    assert do(connection, "tell").result["pid"] != first
    wait_until(lambda: not exists(first))


class Unlucky(ProcessWorkplace):
    """A workplace in which what is named fails once."""

    fails = ""
    failed = False

    def __getattribute__(self, name: str) -> Any:
        if name == Unlucky.fails and not Unlucky.failed:
            Unlucky.failed = True
            raise MemoryError("no memory for that")
        return super().__getattribute__(name)


@pytest.mark.parametrize("fails", ["_ready", "_report", "_spawn", "_replace", "_stopping", "_changed"])
def test_the_thread_that_starts_the_children_outlives_whatever_is_raised_there(
    master: Master, make_slave: MakeSlave, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    monkeypatch.setattr(service, "ProcessWorkplace", Unlucky)
    monkeypatch.setattr(Unlucky, "fails", "")
    monkeypatch.setattr(Unlucky, "failed", False)
    slave = make_slave(Isolated)
    with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
        do(connection, "tell")
        Unlucky.fails = fails
        for what in ("kill", "tell", "kill", "tell"):
            assert do(connection, what).status in (TaskStatus.COMPLETED, TaskStatus.FAILED)
        assert Unlucky.failed
        assert do(connection, "tell").status is TaskStatus.COMPLETED


@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["the slave", "the whole group"])
def test_draining_waits_for_the_task(master: Master, process: Process, send: Callable[[int, int], None]) -> None:
    connection = master.new_connection("conn", "127.0.0.1", process.port)
    connection.connect()
    task = connection.new_task({"do": "wait", "seconds": 1.0}).start()
    child = int(process.line().removeprefix("running "))
    send(process.process.pid, signal.SIGTERM)
    assert task.join(WAIT).result == {"waited": 1.0}
    process.process.wait(WAIT)
    wait_until(lambda: not exists(child))


def test_the_second_ctrl_c_ends_both(master: Master, process: Process) -> None:
    connection = master.new_connection("conn", "127.0.0.1", process.port)
    connection.connect()
    task = connection.new_task({"do": "wait", "seconds": 600.0}).start()
    child = int(process.line().removeprefix("running "))
    os.killpg(process.process.pid, signal.SIGINT)
    wait_until_it_drains(connection)
    assert exists(child)
    os.killpg(process.process.pid, signal.SIGINT)
    assert task.join(WAIT).status is TaskStatus.LOST
    process.process.wait(WAIT)
    wait_until(lambda: not exists(child))


def test_a_slave_that_nobody_closed_leaves_no_child(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from interaction import Slave\n"
        "class Mine(Slave):\n"
        "    def _process_task(self, task): ...\n"
        'if __name__ == "__main__":\n'
        '    slave = Mine("127.0.0.1", 0, isolation="process")\n'
        "    slave.start()\n"
        "    print(slave.ping(), flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, str(script)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "True\n"
            process.terminate()
            process.communicate(timeout=WAIT)  # to the end of all that could print
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="a limit, and how much is used")
def test_a_result_for_which_the_child_has_no_memory_fails_as_that(connection: SlaveConnectionProxy) -> None:
    """It was blamed on the slave's message, in which a buffer was left out, or the child died by SIGSEGV."""
    child = do(connection, "tell").result["pid"]
    error = error_of(do(connection, "return_much"))
    assert error.type == "MemoryError"
    assert error.message.startswith("the result can't be written: memory is short")
    assert do(connection, "tell").result["pid"] == child
