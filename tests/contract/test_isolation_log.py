"""Tasks in a child process: what ends one, or its process, is one line of the slave's log."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path

import pytest

from interaction import Master, SlaveConnectionProxy, TaskStatus
from tests.contract.conftest import MakeSlave
from tests.contract.holding import wait_until
from tests.contract.isolated_slave import Isolated
from tests.contract.isolation import do, error_of, to_it, with_a_child

isolated = pytest.fixture(with_a_child)
connection = pytest.fixture(to_it)


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the slave has warned of, and the errors."""
    return [
        f"{record.getMessage()} {record.exc_text or record.exc_info or ''}"
        for record in caplog.records
        if record.name == "interaction.slave" and record.levelno >= logging.WARNING
    ]


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("exit", "has failed: the process that runs the slave's tasks ended with exit code 3 while it ran this task"),
        ("kill", "has failed: the process that runs the slave's tasks ended by SIGKILL while it ran this task"),
        ("raise", "raised KeyError"),
    ],
)
def test_what_ends_a_task_is_one_line_of_the_log(
    connection: SlaveConnectionProxy, caplog: pytest.LogCaptureFixture, what: str, told: str
) -> None:
    """Of a child that died there were two."""
    do(connection, what)
    assert do(connection, "tell").status is TaskStatus.COMPLETED  # by a child that came after
    (line,) = warned(caplog)
    assert told in line


def test_a_child_that_dies_without_a_task_is_one_line_of_the_log(
    connection: SlaveConnectionProxy, caplog: pytest.LogCaptureFixture
) -> None:
    os.kill(do(connection, "tell").result["pid"], signal.SIGKILL)
    wait_until(lambda: "starting another" in caplog.text)
    assert do(connection, "tell").status is TaskStatus.COMPLETED
    (line,) = warned(caplog)
    assert "has ended by SIGKILL; starting another" in line


@pytest.mark.parametrize("task", [True, False], ids=["with a task", "idle"])
def test_a_constructor_that_raises_in_the_child_is_one_line_of_the_log(
    master: Master, make_slave: MakeSlave, tmp_path: Path, caplog: pytest.LogCaptureFixture, task: bool
) -> None:
    """Before, there were two for a task; and without one, none that said what was raised."""
    model = tmp_path / "model"
    model.touch()
    slave = make_slave(Isolated, fail_in=str(model))
    with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
        child = do(connection, "tell").result["pid"]
        model.unlink()
        os.kill(child, signal.SIGKILL)
        wait_until(lambda: "the next task tries again" in caplog.text)
        (ended, failed) = warned(caplog)
        assert "has ended by SIGKILL; starting another" in ended
        assert "no process for this slave's tasks can be had (the slave's constructor raised this: no model" in failed
        assert "ValueError: no model to load" in failed
        if task:
            assert error_of(do(connection, "tell")).type == "ValueError"
            model.touch()
            assert do(connection, "tell").status is TaskStatus.COMPLETED
            (line,) = warned(caplog)[2:]
            assert "raised ValueError" in line
