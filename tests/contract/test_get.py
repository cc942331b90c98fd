"""`task.get()`: the result, or why there is none; and what happens to those who wait for a task that is not started."""

from __future__ import annotations

import asyncio
import logging
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from interaction import Master, RequestException, SlaveConnectionProxy, Task, TaskFail, TaskRefuse, TaskStatus, aio
from interaction.aio import task as aio_task
from interaction.exception import (
    LossReason,
    PayloadError,
    SlaveSlaveNotConnected,
    SlaveTaskAlreadyExist,
    SlaveTaskRefused,
    TaskFailed,
    TaskLost,
)
from interaction.master import task as plain_task
from interaction.master import waiting
from tests.contract.conftest import (
    MakeMaster,
    MakeSlave,
    SlaveProcess,
    Worker,
    plain_and_aio,
    without_and_with_a_journal,
)

master_options = pytest.fixture(params=[False, True], ids=["", "journal"])(without_and_with_a_journal)
facade = pytest.fixture(params=["plain", "aio"])(plain_and_aio)
WAIT = 20.0


def test_a_good_result_is_returned_as_often_as_it_is_asked_for(connection: SlaveConnectionProxy) -> None:
    task = connection.new_task({"a": 1, "b": 2}).start()
    assert [task.get(WAIT), task.get(), task.get(0)] == [{"sum": 3}] * 3


@pytest.mark.parametrize("value", [None, 0, [], "text", b"bytes"], ids=repr)
def test_any_result_is_returned(connection: SlaveConnectionProxy, value: Any) -> None:
    assert connection.new_task({"echo": value}).start().get(WAIT) == ({} if value is None else value)


def test_callbacks_have_run_when_it_returns(connection: SlaveConnectionProxy) -> None:
    calls: list[Any] = []
    task = connection.new_task({"a": 1, "b": 2}).on_complete(lambda _, result: calls.append(result))
    assert [task.start().get(WAIT)] == calls


@pytest.mark.parametrize("fail", [TaskFail({"looks": "like a result"}, "declared"), ValueError("no such layer")])
def test_a_failure_is_raised_and_no_result_is_returned(master: Master, make_slave: MakeSlave, fail: Exception) -> None:
    class Failing(Worker):
        def _process_task(self, task: Mapping[str, Any]) -> Any:
            raise fail

    with master.new_connection("conn", "127.0.0.1", make_slave(Failing).port) as connection:
        task = connection.new_task().start()
        for _ in range(2):
            with pytest.raises(TaskFailed) as caught:
                task.get(WAIT)
            assert caught.value is task.error
            assert (caught.value.__cause__ is None) is isinstance(fail, TaskFail)


def test_a_loss_is_raised(master: Master, slave_process: Callable[..., SlaveProcess]) -> None:
    slave = slave_process()
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    task = connection.new_task({"wait": 1}).start()
    slave.kill()
    with pytest.raises(TaskLost) as caught:
        task.get(WAIT)
    assert caught.value.reason is LossReason.EXITED


def test_what_runs_on_is_a_timeout_error_and_goes_on(connection: SlaveConnectionProxy, slave: Worker) -> None:
    task = connection.new_task({"wait": 1}).start()
    with pytest.raises(TimeoutError, match=r"0\.05 s; it was STARTED"):
        task.get(timeout=0.05)
    slave.go_on.set()
    assert task.get(WAIT) == {"waited": 1}


def test_what_was_never_started_is_a_runtime_error_at_once(connection: SlaveConnectionProxy) -> None:
    task = connection.new_task({"a": 1, "b": 2})
    with pytest.raises(RuntimeError, match=r"had not been started .*: call start\(\)"):
        task.get()
    assert task.start().get(WAIT) == {"sum": 3}


class Hooked(Master):
    def _before_new_task(self, data: Mapping[str, Any] | None = None) -> Mapping[str, Any] | None:
        if data is not None and "raise" in data:
            raise ZeroDivisionError("a bug in a hook")
        return data


class Picky(Worker):
    def _before_task(self, data: Mapping[str, Any]) -> None:
        if "refuse" in data:
            raise TaskRefuse()
        if "accident" in data:
            raise ZeroDivisionError("a bug at the slave")


STARTS_THAT_FAIL: dict[str, tuple[Any, type[BaseException]]] = {
    "refused": ({"refuse": 1}, SlaveTaskRefused),
    "an accident in the slave's hook": ({"accident": 1}, SlaveTaskRefused),
    "an accident in the master's hook": ({"raise": 1}, ZeroDivisionError),
    "no mapping": ([1], TypeError),
    "can't be carried": ({"lock": object()}, PayloadError),
    "no place": ({"a": 1, "b": 2}, SlaveTaskAlreadyExist),
    "not connected": ({"a": 1, "b": 2}, SlaveSlaveNotConnected),
    "nobody there": ({"a": 1, "b": 2}, RequestException),
}


@pytest.mark.parametrize("kind", STARTS_THAT_FAIL)
def test_who_waits_for_what_could_not_be_started_is_told_at_once(
    make_master: MakeMaster, make_slave: MakeSlave, kind: str
) -> None:
    data, expected = STARTS_THAT_FAIL[kind]
    master, slave = make_master(Hooked, request_timeout=0.5), make_slave(Picky)
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    task = connection.new_task(data)
    if kind == "no place":
        connection.new_task({"wait": 1}).start()
    elif kind == "not connected":
        connection.disconnect()
    elif kind == "nobody there":
        slave.shutdown()
    waiting = threading.Thread(target=task.join, args=[WAIT], daemon=True)
    waiting.start()
    with pytest.raises((expected, SlaveSlaveNotConnected) if kind == "nobody there" else expected) as caught:
        task.start()
    assert task.status is TaskStatus.START_FAILED
    assert task.join() is task
    for _ in range(2):
        with pytest.raises(type(caught.value)) as again:
            task.get()
        assert again.value is caught.value
    waiting.join(WAIT)
    assert not waiting.is_alive()
    if kind.endswith("master's hook"):
        assert "_before_new_task" in "".join(traceback.format_tb(again.value.__traceback__))


def test_in_a_callback_it_waits_for_the_end_alone(connection: SlaveConnectionProxy) -> None:
    got: list[Any] = []
    task = connection.new_task({"a": 1, "b": 2})
    task.on_complete(lambda *_: got.append(task.get(WAIT))).start().join(WAIT)
    assert got == [{"sum": 3}]


def test_an_error_that_is_raised_often_does_not_grow(connection: SlaveConnectionProxy) -> None:
    task = connection.new_task({"a": 1}).start()
    lengths = set()
    for _ in range(4):
        with pytest.raises(TaskFailed) as caught:
            task.get(WAIT)
        lengths.add(len(traceback.extract_tb(caught.value.__traceback__)))
    assert len(lengths) == 1


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (waiting, plain_task, aio_task):
        monkeypatch.setattr(module, "START_PATIENCE", 0.1)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.parametrize("timeout", [None, WAIT])
def test_who_waits_for_what_is_not_started_is_told_in_the_log_once_and_goes_on_waiting(
    connection: SlaveConnectionProxy, caplog: pytest.LogCaptureFixture, impatient: None, timeout: float | None
) -> None:
    told = threading.Event()

    class Told(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "start()" in record.getMessage():
                told.set()

    handler = Told()
    logging.getLogger("interaction.master").addHandler(handler)
    try:
        task: Task = connection.new_task({"a": 1, "b": 2})
        waiting = threading.Thread(target=task.join, args=[timeout], daemon=True)
        waiting.start()
        assert told.wait(WAIT)
    finally:
        logging.getLogger("interaction.master").removeHandler(handler)
    assert waiting.is_alive()
    task.start()
    waiting.join(WAIT)
    assert not waiting.is_alive()
    (line,) = warnings(caplog)
    assert task.id in line
    assert "'conn'" in line


def test_who_waits_shortly_or_for_what_is_started_is_told_nothing(
    connection: SlaveConnectionProxy, slave: Worker, caplog: pytest.LogCaptureFixture, impatient: None
) -> None:
    idle = connection.new_task()
    with pytest.raises(TimeoutError, match=r"it was IDLE then: call start\(\)"):
        idle.join(0.05)
    task = connection.new_task({"wait": 1}).start()
    with pytest.raises(TimeoutError):
        task.join(0.3)
    slave.go_on.set()
    task.join(WAIT)
    assert warnings(caplog) == []


def test_a_wait_that_is_cancelled_leaves_the_task_alone(slave: Worker) -> None:
    async def main() -> None:
        async with (
            aio.Master("127.0.0.1", 0, channel=slave.channel) as master,
            master.new_connection("conn", "127.0.0.1", slave.port) as connection,
        ):
            task = connection.new_task({"wait": 1})
            await task.start()
            getting = asyncio.ensure_future(task.get())
            await asyncio.sleep(0)
            getting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await getting
            slave.go_on.set()
            assert await task.get(WAIT) == {"waited": 1}

    asyncio.run(main())
