"""Accidents in users' code: the master's screen shows where at the slave, and the slave's log has it once."""

from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from interaction import Master, TaskFail
from interaction.exception import RemoteTraceback, SlaveResponseException, TaskException, TaskFailed
from tests.contract.conftest import MakeMaster, MakePool, MakeSlave, Worker, plain_and_aio
from tests.contract.holding import wait_until
from tests.contract.isolated_slave import Isolated

facade = pytest.fixture(params=["plain", "aio"])(plain_and_aio)
WAIT = 30.0


class Clumsy(Worker):
    """Has accidents, where it is told to."""

    def _accident(self, data: Mapping[str, Any], where: str) -> None:
        if data.get("in") == where:
            raise ValueError("no such layer")

    def _before_connection(self, data: Mapping[str, Any]) -> None:
        self._accident(data, "_before_connection")

    def _before_disconnection(self, data: Mapping[str, Any]) -> None:
        self._accident(data, "_before_disconnection")

    def _before_task(self, data: Mapping[str, Any]) -> None:
        self._accident(data, "_before_task")

    def _process_task(self, task: Mapping[str, Any]) -> Any:
        self._accident(task, "_process_task")
        if task.get("in") == "TaskFail":
            raise TaskFail({"no": "accident"})
        return {}


def screen(error: BaseException | None) -> str:
    """What Python shows where that is raised and nobody catches it."""
    assert error is not None
    try:
        raise error
    except BaseException:  # noqa: BLE001 - whatever it is, it is shown
        return traceback.format_exc()


def accidents(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno >= logging.WARNING]


def shows_where(shown: str, file: str) -> None:
    assert file in shown
    assert '  |     raise ValueError("no such layer")' in shown or "KeyError: 'nothing'" in shown
    assert shown.index("direct cause") > shown.index("  |   File ")
    assert shown.rstrip().splitlines()[-1].startswith("interaction.exception.task.TaskFailed: ")


@pytest.mark.parametrize("pool", [False, True], ids=["task", "pool"])
@pytest.mark.parametrize("isolation", ["thread", "process"])
@pytest.mark.parametrize("fast_road", [False, True], ids=["calls", "stream"])
def test_an_uncaught_accident_shows_its_place_at_the_slave_and_is_logged_there_once(
    master: Master,
    make_slave: MakeSlave,
    make_pool: MakePool,
    caplog: pytest.LogCaptureFixture,
    isolation: str,
    pool: bool,
    fast_road: bool,
) -> None:
    slave = make_slave(Clumsy if isolation == "thread" else Isolated, fast_road=fast_road)
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    data = {"in": "_process_task", "do": "raise"}
    error = make_pool(master).submit(data).exception(WAIT) if pool else connection.new_task(data).start().join().error
    assert isinstance(error, TaskFailed)
    assert isinstance(error.__cause__, RemoteTraceback)
    shows_where(screen(error), "test_accidents.py" if isolation == "thread" else "isolated_slave.py")
    (record,) = accidents(caplog)
    assert (record.name, record.levelno) == ("interaction.slave", logging.ERROR)
    assert error.type in record.getMessage()
    assert "isolated_slave.py" in caplog.text or "test_accidents.py" in caplog.text
    assert "Traceback" in caplog.text


def test_it_is_there_after_a_restart_of_the_master_too(make_slave: MakeSlave, tmp_path: Path) -> None:
    slave, journal = make_slave(Clumsy), f"sqlite:///{tmp_path / 'master.db'}"
    master = Master("127.0.0.1", 0, channel=slave.channel, journal=journal)
    master.start()
    try:
        connection = master.new_connection("conn", "127.0.0.1", slave.port)
        connection.connect()
        task = connection.new_task({"in": "_process_task"}).start()
        wait_until(lambda: bool(task.status.ended))
    finally:
        master._interaction.exit()  # as its process does
        master.shutdown()
        master.join()  # lets go of the loop and the journal, as the end of the process would
    with Master("127.0.0.1", 0, channel=slave.channel, journal=journal) as master:
        shows_where(screen(master.task(task.id).error), "test_accidents.py")


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_what_a_task_declares_is_no_accident(
    master: Master, make_slave: MakeSlave, caplog: pytest.LogCaptureFixture, isolation: str
) -> None:
    slave = make_slave(Clumsy if isolation == "thread" else Isolated)
    with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
        error = connection.new_task({"in": "TaskFail", "do": "fail"}).start().join(WAIT).error
    assert isinstance(error, TaskFailed)
    assert error.__cause__ is None
    assert accidents(caplog) == []


def test_a_long_traceback_shows_its_end(master: Master, make_slave: MakeSlave) -> None:
    steps: dict[str, Any] = {}
    for number in range(200):  # frames that differ: Python shows those that don't as one
        exec(f"def step_{number}(task, rest): rest[0](task, rest[1:])", steps)

    class Deep(Worker):
        def _process_task(self, task: Mapping[str, Any]) -> Any:
            calls = [steps[f"step_{number}"] for number in range(200)] + [self.bottom]
            calls[0](task, calls[1:])

        def bottom(self, task: Mapping[str, Any], rest: list[Any]) -> None:
            raise ValueError("\u00e9" * 6000 + "at the bottom of it")

    with master.new_connection("conn", "127.0.0.1", make_slave(Deep).port) as connection:
        error = connection.new_task({}).start().join(WAIT).error
    shown = screen(error)
    assert "at the bottom of it" in shown
    assert "  | Traceback (most recent call last)" in shown
    assert "left out" in shown
    assert isinstance(error, TaskFailed)
    assert error.traceback.endswith("at the bottom of it\n")


@pytest.mark.parametrize("hook", ["_before_connection", "_before_disconnection", "_before_task"])
def test_an_accident_in_a_slaves_hook_is_logged_once_with_its_traceback(
    make_master: MakeMaster, make_slave: MakeSlave, caplog: pytest.LogCaptureFixture, hook: str
) -> None:
    class Telling(Master):
        def _before_connect(self) -> dict[str, str]:
            return {"in": hook}

        _before_disconnect = _before_connect

    connection = make_master(Telling).new_connection("conn", "127.0.0.1", make_slave(Clumsy).port)

    def all_of_them() -> None:
        connection.connect()
        connection.new_task({"in": hook}).start()
        connection.disconnect()

    with pytest.raises(SlaveResponseException, match="ValueError: no such layer"):
        all_of_them()
    (record,) = accidents(caplog)
    assert (record.name, record.levelno) == ("interaction.slave", logging.ERROR)
    assert record.getMessage() == f"{hook} raised ValueError: refused"
    assert "test_accidents.py" in caplog.text


def test_the_cause_survives_what_errors_go_through() -> None:
    error = TaskFailed("ValueError", "no such layer", 'Traceback\n  File "slave.py", line 3\nValueError: no such layer')
    again = pickle.loads(pickle.dumps(error))
    assert str(again.__cause__) == str(error.__cause__)
    assert "slave.py" in screen(again)


def test_a_peers_traceback_forges_no_line_and_obeys_no_terminal() -> None:
    shown = screen(TaskFailed("Oops", "bad", "one\nERROR root: forged\r\x1b[2Jtwo\u2028three\ttab"))
    for line in shown.splitlines():
        assert not line.startswith(("ERROR", "\x1b", "two", "three"))
    assert "\x1b" not in shown
    assert "  | ERROR root: forged" in shown


def test_no_accident_at_the_slave_hides_the_masters_own_place() -> None:
    shown = screen(TaskFailed("ValueError", "no such layer", "Traceback ..."))
    assert shown.count("test_accidents.py") == 1  # where it is raised here
    assert issubclass(TaskFailed, TaskException)
