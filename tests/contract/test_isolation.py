"""Tasks in a child process: what they share with the slave, how they can die, and what is left of them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy
import pytest

from interaction import Master, Slave, SlaveConnectionProxy, Task, TaskStatus
from interaction.exception import TaskFailed
from interaction.slave import service
from interaction.slave.process import ProcessWorkplace
from tests.contract.conftest import MakeMaster, MakeSlave
from tests.contract.holding import exists, wait_until
from tests.contract.isolated_slave import Isolated
from tests.contract.test_drain import wait_until_it_drains

ROOT = Path(__file__).parents[2]
WAIT = 30.0


@pytest.fixture
def isolated(make_slave: MakeSlave) -> Isolated:
    return make_slave(Isolated)


@pytest.fixture
def connection(master: Master, isolated: Isolated) -> SlaveConnectionProxy:
    connection = master.new_connection("conn", "127.0.0.1", isolated.port)
    connection.connect()
    return connection


def do(connection: SlaveConnectionProxy, what: str, **more: Any) -> Task:
    task: Task = connection.new_task({"do": what, **more}).start().join(WAIT)
    return task


def error_of(task: Task) -> TaskFailed:
    assert task.status is TaskStatus.FAILED
    assert isinstance(task.error, TaskFailed)
    return task.error


def test_tasks_run_in_one_child_and_hooks_in_the_slave(connection: SlaveConnectionProxy, isolated: Isolated) -> None:
    results = [do(connection, "tell").result for _ in range(3)]
    (child,) = {result["pid"] for result in results}
    assert child != os.getpid()
    assert [result["constructed_in"] for result in results] == [child] * 3
    assert [result["asked"] for result in results] == [0] * 3
    assert len(isolated.asked) == 3


def test_what_can_be_carried_arrives_as_it_was_sent(connection: SlaveConnectionProxy) -> None:
    value = {"bytes": b"\0\xff", "large": 2**100, "nested": [{"text": "é"}, None, 1.5]}
    assert do(connection, "echo", value=value).result == value
    array = numpy.arange(300_000, dtype=numpy.float32)
    assert numpy.array_equal(do(connection, "echo", value=array).result, array)


def test_a_task_fails_as_it_does_on_a_thread(connection: SlaveConnectionProxy) -> None:
    failed = do(connection, "fail")
    assert (failed.status, failed.result) == (TaskStatus.FAILED, {"because": "told to"})
    raised = error_of(do(connection, "raise"))
    assert (raised.type, raised.message) == ("KeyError", "'nothing'")
    assert "_process_task" in raised.traceback


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


def test_a_constructor_that_raises_in_the_child_fails_the_tasks_until_it_does_not(
    master: Master, make_slave: MakeSlave, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    model.touch()
    slave = make_slave(Isolated, fail_in=str(model))
    model.unlink()
    with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
        first = connection.new_task({"do": "tell"}).start().join(WAIT)
        if first.status is TaskStatus.COMPLETED:  # the child was quicker than the test
            do(connection, "kill")
        for _ in range(2):
            error = error_of(do(connection, "tell"))
            assert error.type == "ValueError"
            assert error.message == "the slave's constructor raised this: no model to load"
        model.touch()
        assert do(connection, "tell").status is TaskStatus.COMPLETED


class Unsendable(Slave):
    def __init__(self, lock: Any) -> None:
        super().__init__("127.0.0.1", 0, isolation="process")

    def _process_task(self, task: Mapping[str, Any]) -> Any:
        raise AssertionError("it is not started")


def test_arguments_that_cant_be_sent_to_the_child_are_one_clear_error() -> None:
    slave = Unsendable(threading.Lock())
    with pytest.raises(TypeError, match=r"isolation='process' constructs Unsendable .* can't be sent there: .*lock"):
        slave.start()
    assert not slave.ping()


def test_another_isolation_is_refused() -> None:
    with pytest.raises(ValueError, match="isolation must be 'thread' or 'process', not 'fiber'"):
        Slave(isolation="fiber")


@pytest.mark.parametrize("method", ["start", "shutdown", "join", "close", "ping", "drain"])
def test_the_slave_cant_be_reached_in_the_child(connection: SlaveConnectionProxy, method: str) -> None:
    error = error_of(do(connection, "call", method=method))
    assert error.type == "RuntimeError"
    assert "this process runs the tasks of Isolated" in error.message


def test_a_task_that_holds_the_gil_is_no_matter(make_master: MakeMaster, isolated: Isolated) -> None:
    master = make_master(Master, heartbeat_tolerance=3.0)
    with master.new_connection("conn", "127.0.0.1", isolated.port) as connection:
        assert do(connection, "hold", seconds=5.0).status is TaskStatus.COMPLETED


def test_the_child_ends_with_the_slave_also_in_a_task(connection: SlaveConnectionProxy, isolated: Isolated) -> None:
    child = do(connection, "tell").result["pid"]
    connection.new_task({"do": "hold", "seconds": 600}).start()
    isolated.shutdown()
    wait_until(lambda: not exists(child))


class Process:
    """A slave in a process of its own."""

    def __init__(self, *arguments: str, ignore_sigchld: bool = False) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.contract.isolated_slave", *arguments],
            preexec_fn=(lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN)) if ignore_sigchld else None,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.port = int(self.line())

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def process(stack: ExitStack) -> Process:
    process = Process()
    stack.callback(process.close)
    return process


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


UNGUARDED = """
import sys
from interaction import Slave
class Mine(Slave):
    def _process_task(self, task): ...
slave = Mine("127.0.0.1", 0, channel=7, isolation="process")
slave.start()
print(slave.port, flush=True)
sys.stdin.read()
"""
FAILING = """
import sys
from interaction import Slave
class Mine(Slave):
    def _process_task(self, task): ...
if __name__ == "__mp_main__":
    raise ValueError("nothing to import here")
if __name__ == "__main__":
    with Mine("127.0.0.1", 0, channel=7, isolation="process") as slave:
        print(slave.port, flush=True)
        sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("text", "cause", "errors"),
    [
        (
            UNGUARDED,
            "which starts the slave again there: the script has to start it behind `if __name__ ==",
            "Unguarded",
        ),
        (
            FAILING,
            "exit code 1 before it was ready for a task; what it wrote to the slave's standard error",
            "nothing to",
        ),
    ],
    ids=["no guard", "another reason"],
)
def test_a_script_that_cant_be_read_once_more_is_the_cause_that_is_told(
    master: Master, tmp_path: Path, text: str, cause: str, errors: str
) -> None:
    script = tmp_path / "script.py"
    script.write_text(text)
    process = subprocess.Popen(
        [sys.executable, str(script)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        assert process.stdout is not None
        connection = master.new_connection("conn", "127.0.0.1", int(process.stdout.readline()))
        connection.connect()
        error = error_of(connection.new_task({}).start().join(WAIT))
        assert error.type == "ProcessDied"
        assert cause in error.message
        process.terminate()
        assert errors in process.communicate(timeout=WAIT)[1]
    finally:
        process.kill()
        process.communicate()


def test_an_argument_that_the_child_cant_read_is_the_cause_that_is_told(master: Master, make_slave: MakeSlave) -> None:
    slave = make_slave(Isolated, fail_in=Unreadable())
    with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
        for _ in range(2):
            error = error_of(do(connection, "tell"))
            assert error.type == "LookupError"
            assert error.message == (
                "the slave's class and arguments can't be read in the process of its tasks: no such model"
            )


class Unreadable(str):
    def __reduce__(self) -> tuple[Any, ...]:
        return raise_it, ("no such model",)


def raise_it(message: str) -> None:
    raise LookupError(message)


def test_what_is_only_sent_while_a_child_starts_is_sent(master: Master, make_slave: MakeSlave) -> None:
    """Queues and locks of multiprocessing."""
    queue = multiprocessing.get_context("spawn").Queue()
    slave = make_slave(Isolated, queue=queue)
    with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
        assert do(connection, "put", value=5).status is TaskStatus.COMPLETED
    assert queue.get(timeout=WAIT) == 5
    queue.close()
    queue.join_thread()


START = """
from interaction import Slave
class Mine(Slave):
    def _process_task(self, task):
        return {}
"""
RUN = """
with Mine("127.0.0.1", 0, isolation="process") as slave:
    print(slave.ping())
"""


@pytest.mark.parametrize("way", ["-c", "standard input", "interactive"])
def test_where_a_child_cant_import_the_class_start_says_so(way: str) -> None:
    options = {"-c": ["-c", START + RUN], "standard input": ["-"], "interactive": ["-i", "-q"]}[way]
    text = "" if way == "-c" else START + RUN if way == "standard input" else START + "\n" + RUN + "\n"
    done = subprocess.run(
        [sys.executable, *options], cwd=ROOT, input=text, capture_output=True, text=True, timeout=WAIT
    )
    assert "True" not in done.stdout
    (said,) = [line for line in done.stderr.splitlines() if line.removeprefix(">>> ").startswith("RuntimeError: ")]
    assert "once more" in said
    assert "file" in said


def test_a_class_of_a_module_is_constructed_also_for_a_program_that_is_no_file() -> None:
    script = "from tests.contract.isolated_slave import Isolated\nwith Isolated('127.0.0.1', 0) as it: print(it.ping())"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=WAIT, check=True
    )
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_in_a_daemon_of_multiprocessings_start_says_so(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        f"import multiprocessing\n{START}\n"
        "def work():\n"
        "    Mine('127.0.0.1', 0, isolation='process').start()\n"
        "if __name__ == '__main__':\n"
        "    process = multiprocessing.get_context('spawn').Process(target=work, daemon=True)\n"
        "    process.start()\n"
        "    process.join()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(script)], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=WAIT
    )
    assert "RuntimeError: Mine(isolation='process') needs a child process, and this process is a daemon" in done.stderr
    assert "daemon=False" in done.stderr
