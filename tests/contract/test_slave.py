"""The slave: its rows of the facade's table."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest

from interaction import Master, RequestException, Slave, SlaveConnectionProxy, TaskFail, TaskRefuse, TaskStatus
from interaction.exception import (
    LossReason,
    MasterSystemShuttingDown,
    SlaveErrorCode,
    SlaveRequestInvalid,
    SlaveSystemShuttingDown,
    SlaveTaskRefused,
    TaskFailed,
    TaskLost,
)
from tests.contract.conftest import ROOT, MakeMaster, MakeSlave, Worker

WAIT = 10.0


def test_a_slave_that_leaves_its_task_to_the_facade_fails_it(master: Master, make_slave: MakeSlave) -> None:
    class Later(Slave):
        def _process_task(self, task: Mapping[str, Any]) -> Any:
            return super()._process_task(task)

    with master.new_connection("conn", "127.0.0.1", make_slave(Later).port) as connection:
        task = connection.new_task({}).start().join(WAIT)
    assert task.status is TaskStatus.FAILED
    assert isinstance(task.error, TaskFailed)
    assert task.error.type == "NotImplementedError"


class BadText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "name", "message"),
    [
        (ZeroDivisionError("by zero"), "ZeroDivisionError", "by zero"),
        (KeyError("missing"), "KeyError", "'missing'"),
        (SystemExit(3), "SystemExit", "3"),
        (KeyboardInterrupt(), "KeyboardInterrupt", ""),
        (BadText(), "BadText", "(its text can't be had: str() of it raises RuntimeError)"),
        (ValueError("\ud800 and \x00"), "ValueError", "? and \\x00"),  # as it may stand in a log
    ],
)
def test_any_exception_fails_the_task_and_the_slave_takes_its_next(
    master: Master, make_slave: MakeSlave, error: BaseException, name: str, message: str
) -> None:
    class Failing(Slave):
        def _process_task(self, task: Mapping[str, Any]) -> Any:
            if "fail" in task:
                raise error
            return "fine"

    with master.new_connection("conn", "127.0.0.1", make_slave(Failing).port) as connection:
        task = connection.new_task({"fail": True}).start().join(WAIT)
        assert task.status is TaskStatus.FAILED
        assert isinstance(task.error, TaskFailed)
        assert (task.error.type, task.error.message) == (name, message)
        assert "_process_task" in task.error.traceback
        assert task.result["type"] == name  # a plain result, for on_fail
        assert connection.new_task({}).start().join(WAIT).result == "fine"


@pytest.mark.parametrize(
    ("fail", "result", "message"),
    [
        (TaskFail({"message": "ab not found"}, "A or B"), {"message": "ab not found"}, "A or B"),
        (TaskFail([1, None]), [1, None], "the task has failed"),
        (TaskFail(), {}, "the task has failed"),
        (TaskFail, {}, "the task has failed"),
        (TaskFail(0, ""), 0, ""),
    ],
)
def test_a_declared_failure_carries_result_and_message(
    master: Master, make_slave: MakeSlave, fail: Any, result: Any, message: str
) -> None:
    class Failing(Slave):
        def _process_task(self, task: Mapping[str, Any]) -> Any:
            raise fail

    with master.new_connection("conn", "127.0.0.1", make_slave(Failing).port) as connection:
        task = connection.new_task({}).start().join(WAIT)
    assert (task.status, task.result) == (TaskStatus.FAILED, result)
    assert isinstance(task.error, TaskFailed)
    assert (task.error.type, task.error.message, task.error.traceback) == ("TaskFail", message, "")


@pytest.mark.parametrize("way", ["return", "fail"])
def test_a_result_that_cant_be_carried_fails_the_task_with_its_path(
    master: Master, make_slave: MakeSlave, way: str
) -> None:
    class Odd(Slave):
        def _process_task(self, task: Mapping[str, Any]) -> Any:
            if "a" in task:
                return task["a"]
            if way == "fail":
                raise TaskFail({"x": [threading.Lock()]})
            return {"x": [threading.Lock()]}

    with master.new_connection("conn", "127.0.0.1", make_slave(Odd).port) as connection:
        task = connection.new_task({}).start().join(WAIT)
        assert task.status is TaskStatus.FAILED
        assert isinstance(task.error, TaskFailed)
        assert task.error.type == "PayloadError"
        assert "result['x'][0]" in task.error.message
        assert connection.new_task({"a": 1}).start().join(WAIT).result == 1


@pytest.mark.parametrize("value", [None, {}])
def test_none_arrives_as_an_empty_mapping(master: Master, make_slave: MakeSlave, value: Any) -> None:
    class Silent(Slave):
        def _process_task(self, task: Mapping[str, Any]) -> Any:
            return value

    with master.new_connection("conn", "127.0.0.1", make_slave(Silent).port) as connection:
        assert connection.new_task({}).start().join(WAIT).result == {}


@pytest.mark.parametrize("value", [0, False, "", [], 1.5, "text", [None], b"bytes"])
def test_a_result_may_be_any_value(connection: SlaveConnectionProxy, value: Any) -> None:
    task = connection.new_task({"echo": value}).start().join(WAIT)
    assert task.result == value
    assert type(task.result) is type(value)


def test_a_refused_task(master: Master, make_slave: MakeSlave) -> None:
    class Picky(Worker):
        def _before_task(self, data: Mapping[str, Any]) -> None:
            if data["a"] == 0:
                raise TaskRefuse({"because": data})

    slave = make_slave(Picky)
    with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
        task = connection.new_task({"a": 0, "b": 1})
        with pytest.raises(SlaveTaskRefused) as caught:
            task.start()
        error = caught.value
        assert (error.code, error.status_code, error.success) == (SlaveErrorCode.TASK_REFUSED, 403, False)
        assert error.data == {"because": {"a": 0, "b": 1}}
        assert (task.status, task.error) == (TaskStatus.START_FAILED, error)
        assert connection.new_task({"a": 1, "b": 1}).start().join(WAIT).result == {"sum": 2}
    assert slave.ran == [{"a": 1, "b": 1}]


def test_any_other_exception_in_before_task_refuses_with_its_type_and_message(
    master: Master, make_slave: MakeSlave
) -> None:
    class Broken(Worker):
        def _before_task(self, data: Mapping[str, Any]) -> None:
            raise ZeroDivisionError("a bug in here")

    with (
        master.new_connection("conn", "127.0.0.1", make_slave(Broken).port) as connection,
        pytest.raises(SlaveTaskRefused, match="ZeroDivisionError: a bug in here"),
    ):
        connection.new_task({}).start()


def test_what_a_hook_returns_that_is_no_mapping_is_nothing(master: Master, make_slave: MakeSlave) -> None:
    class Chatty(Worker):
        def _before_connection(self, data: Mapping[str, Any]) -> Any:
            return True

        def _before_task(self, data: Mapping[str, Any]) -> Any:
            return [1, 2]

    with master.new_connection("conn", "127.0.0.1", make_slave(Chatty).port) as connection:
        assert connection.new_task({"a": 1, "b": 1}).start().join(WAIT).result == {"sum": 2}


def test_a_slow_hook_of_the_slave_stops_no_heartbeat(make_master: MakeMaster, make_slave: MakeSlave) -> None:
    asked, go_on = threading.Event(), threading.Event()

    class Thinking(Worker):
        def _before_task(self, data: Mapping[str, Any]) -> None:
            asked.set()
            assert go_on.wait(WAIT)

    master = make_master(Master, heartbeat_tolerance=0.3, heartbeat_check_span=0.1)
    slave = make_slave(Thinking)
    with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
        task = connection.new_task({"a": 1, "b": 1})
        starting = threading.Thread(target=task.start)
        starting.start()
        assert asked.wait(WAIT)
        assert not slave.lost_connection.wait(1.0)  # more than three tolerances
        assert connection.is_connected
        go_on.set()
        starting.join(WAIT)
        assert task.join(WAIT).result == {"sum": 2}


def test_closing_a_connected_slave_tells_the_master_at_once(
    connection: SlaveConnectionProxy, master: Master, slave: Worker
) -> None:
    failed: list[Any] = []
    task = connection.new_task({"wait": 1}).on_fail(lambda data, result: failed.append(data))
    task.start()
    assert slave.running.wait(WAIT)
    begun = time.monotonic()
    slave.shutdown()
    task.join(WAIT)
    assert time.monotonic() - begun < 2  # the tolerance is 15 s
    assert task.status is TaskStatus.LOST
    assert isinstance(task.error, TaskLost)
    assert task.error.reason is LossReason.DISCONNECTED
    assert "conn" not in master
    assert failed == [{"wait": 1}]


def test_a_masters_end_frees_the_slave_at_once(make_master: MakeMaster, slave: Worker) -> None:
    first = make_master(Master)
    first.new_connection("conn", "127.0.0.1", slave.port).connect()
    first.close()
    assert slave.lost_connection.wait(2)
    assert len(slave.lost) == 1
    address, error = slave.lost[0]
    assert address == f"127.0.0.1:{first.port}"
    assert isinstance(error, MasterSystemShuttingDown)
    with make_master(Master).new_connection("conn", "127.0.0.1", slave.port) as connection:
        assert connection.new_task({"a": 1, "b": 1}).start().join(WAIT).result == {"sum": 2}
    assert len(slave.lost) == 1  # a disconnection is no loss


@pytest.mark.parametrize("hook", ["_before_connection", "_before_task", "_process_task"])
def test_a_slaves_code_may_shut_it_down_but_not_wait_for_itself(
    master: Master, make_slave: MakeSlave, hook: str
) -> None:
    errors: list[BaseException] = []

    class Leaving(Worker):
        pass

    def leave(self: Leaving, data: Mapping[str, Any]) -> Any:
        for wait in (self.close, self.join):
            try:
                wait()
            except RuntimeError as error:
                errors.append(error)
        assert self.ping()
        self.shutdown()
        return {}

    setattr(Leaving, hook, leave)
    slave = make_slave(Leaving)
    connection = master.new_connection("conn", "127.0.0.1", slave.port)

    def work() -> None:
        connection.connect()
        connection.new_task({"a": 1, "b": 1}).start().join(WAIT)

    if hook == "_process_task":
        work()
    else:
        with pytest.raises((RequestException, SlaveSystemShuttingDown)):
            work()
    slave.join()
    assert not slave.ping()
    assert len(errors) == 2


def test_only_allowed_masters_are_dialled(make_master: MakeMaster, make_slave: MakeSlave) -> None:
    slave = make_slave(Worker, allowed_masters=["127.0.0.0/8", "trainer.example"])
    with make_master(Master).new_connection("conn", "127.0.0.1", slave.port) as connection:
        assert connection.is_connected
    for address in ("10.1.2.3:7235", "localhost:7235"):
        with pytest.raises(SlaveRequestInvalid, match="not among the masters"):
            make_master(Master, my_address=address).new_connection("conn", "127.0.0.1", slave.port).connect()
    assert slave.ping()


def test_tasks_keep_coming_to_one_thread_and_see_what_hooks_left(master: Master, make_slave: MakeSlave) -> None:
    class Learner(Slave):
        def _before_connection(self, data: Mapping[str, Any]) -> None:
            self.model = dict(data)
            self.threads: set[int] = set()

        def _process_task(self, task: Mapping[str, Any]) -> Any:
            self.threads.add(threading.get_ident())
            self.model["steps"] = self.model.get("steps", 0) + 1
            return {"steps": self.model["steps"], "threads": len(self.threads)}

    with master.new_connection("conn", "127.0.0.1", make_slave(Learner).port) as connection:
        results = [connection.new_task({}).start().join(WAIT).result for _ in range(20)]
    assert results[-1] == {"steps": 20, "threads": 1}


def test_a_slaves_interrupt_ends_it_without_a_word_of_ours() -> None:
    """A script with a slave in a `with` block ends at Ctrl-C like any other."""
    script = """
import signal, interaction
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs in the background without it
class Slave(interaction.Slave):
    def _process_task(self, task):
        return task
with Slave("127.0.0.1", 0) as slave:
    try:
        print(slave.port, flush=True)
        signal.pause()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert int(process.stdout.readline())
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=WAIT)
        finally:
            process.kill()
    assert (process.returncode, out, err) == (0, "interrupted\n", "")
