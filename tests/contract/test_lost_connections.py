"""A connection that is over says how, when, and what to do about it."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from interaction import Master, SlaveConnectionProxy
from interaction.exception import LossReason, SlaveSlaveConnectionRefused, SlaveSlaveNotConnected
from tests.contract.conftest import (
    MakeMaster,
    MakeSlave,
    SlaveProcess,
    Worker,
    plain_and_aio,
    without_and_with_a_journal,
)
from tests.contract.holding import wait_until

master_options = pytest.fixture(params=[False, True], ids=["", "journal"])(without_and_with_a_journal)
facade = pytest.fixture(params=["plain", "aio"])(plain_and_aio)

USES: dict[str, Callable[[SlaveConnectionProxy], Any]] = {
    "start": lambda connection: connection.new_task({"a": 1, "b": 2}).start(),
    "disconnect": lambda connection: connection.disconnect(),
    "slots": lambda connection: connection.slots,
    "backlog": lambda connection: connection.backlog,
    "labels": lambda connection: connection.labels,
}


def said_by(use: str, connection: SlaveConnectionProxy) -> str:
    with pytest.raises(SlaveSlaveNotConnected) as caught:
        USES[use](connection)
    return str(caught.value)


def end_of(connection: SlaveConnectionProxy) -> LossReason:
    wait_until(lambda: not connection.is_connected)
    reason = connection.lost_reason
    assert reason is not None  # at once
    return reason


@pytest.mark.parametrize("use", USES)
def test_each_use_says_how_and_when_it_was_lost(
    master: Master, slave_process: Callable[..., SlaveProcess], use: str
) -> None:
    slave = slave_process()
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    assert connection.lost_reason is None
    assert "is not connected; call connect()" in said_by(use, connection)
    connection.connect()
    assert connection.lost_reason is None
    before = time.strftime("%Y-%m-%d")
    slave.kill()
    assert end_of(connection) is LossReason.EXITED
    said = said_by(use, connection)
    found = re.fullmatch(
        r"connection 'conn' was lost at (\d{4}-\d\d-\d\d) \d\d:\d\d:\d\d, (\d+\.\d) s ago "
        r"\(EXITED: nobody listens at its address any more\); connect\(\) opens a new session",
        said,
    )
    assert found is not None, said
    assert found[1] in (before, time.strftime("%Y-%m-%d"))
    assert float(found[2]) < 30.0
    assert "EXITED" in repr(connection)


def test_the_end_of_either_side_is_told(master: Master, slave: Worker) -> None:
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    connection.disconnect()
    assert connection.lost_reason is LossReason.DISCONNECTED
    assert "ended at" in said_by("start", connection)
    assert "(DISCONNECTED: it was disconnected)" in said_by("start", connection)
    connection.connect()
    assert connection.lost_reason is None
    assert connection.new_task({"a": 1, "b": 2}).start().get(10) == {"sum": 3}
    slave.drain(10)
    assert end_of(connection) is LossReason.DRAINED
    assert "(DRAINED: the slave has left (the slave has drained))" in said_by("start", connection)


def test_a_connect_that_comes_to_nothing_forgets_how_the_last_session_ended(
    master: Master, make_slave: MakeSlave
) -> None:
    class Picky(Worker):
        takes = True

        def _before_connection(self, data: Any) -> None:
            if not self.takes:
                raise ValueError("not today")

    slave = make_slave(Picky)
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    connection.disconnect()
    slave.takes = False
    with pytest.raises(SlaveSlaveConnectionRefused):
        connection.connect()
    assert connection.lost_reason is None
    assert "is not connected; call connect()" in said_by("start", connection)


def test_silence_is_told(make_master: MakeMaster, slave_process: Callable[..., SlaveProcess]) -> None:
    master, slave = make_master(Master, heartbeat_tolerance=1.0, heartbeat_check_span=0.1), slave_process()
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    slave.send(signal.SIGSTOP)
    assert end_of(connection) is LossReason.SILENT
    assert "SILENT: no heartbeat came for 1." in said_by("start", connection)
