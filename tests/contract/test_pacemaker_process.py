"""The pacemaker's process: when it is there, what it has of its slave, and that it ends with it."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from interaction import Master
from tests.contract.conftest import MakeSlave, Worker
from tests.contract.holding import (
    WAIT,
    Holder,
    children_of,
    connect,
    exists,
    has_loaded,
    holders,
    ignored_by,
    strict_master,
    wait_until,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the pacemaker needs Linux")
holder = pytest.fixture(holders)
strict = pytest.fixture(strict_master)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_its_slave(strict: Master, holder: Callable[..., Holder], number: signal.Signals) -> None:
    slave = holder()
    connect(strict, slave)
    wait_until(lambda: len(children_of(slave.process.pid)) == 1)
    pacemaker = slave.pacemaker()
    slave.process.send_signal(number)
    slave.process.wait(WAIT)
    wait_until(lambda: not exists(pacemaker), 1.0)


def test_it_ends_with_its_slave_though_a_fork_of_it_lives_on(strict: Master, holder: Callable[..., Holder]) -> None:
    slave = holder()
    connection = connect(strict, slave)
    wait_until(lambda: len(children_of(slave.process.pid)) == 1)
    pacemaker = slave.pacemaker()
    fork = connection.new_task({"keep": 60}).start().join(WAIT).result["pid"]
    try:
        slave.process.kill()
        slave.process.wait()
        wait_until(lambda: not exists(pacemaker))
        assert exists(fork)
    finally:
        os.kill(fork, signal.SIGKILL)


def test_ctrl_c_and_a_supervisors_signals_pass_it_by(strict: Master, holder: Callable[..., Holder]) -> None:
    slave = holder()
    connect(strict, slave)
    wait_until(lambda: len(children_of(slave.process.pid)) == 1)
    pacemaker = slave.pacemaker()
    assert os.getpgid(pacemaker) != os.getpgid(slave.process.pid)
    wait_until(lambda: {signal.SIGINT, signal.SIGTERM, signal.SIGHUP} <= ignored_by(pacemaker))


def test_it_inherits_no_sockets_and_shows_no_secret(master: Master, holder: Callable[..., Holder]) -> None:
    slave = holder()
    connect(master, slave)
    wait_until(lambda: len(children_of(slave.process.pid)) == 1)
    pacemaker = slave.pacemaker()
    links = []
    for descriptor in Path(f"/proc/{pacemaker}/fd").iterdir():
        with suppress(FileNotFoundError):  # it was open while the interpreter read a file, and is closed now
            links.append(os.readlink(descriptor))
    assert links
    assert not [link for link in links if link.startswith("socket:")]
    arguments = Path(f"/proc/{pacemaker}/cmdline").read_bytes().split(b"\0")
    assert arguments[1:3] == [b"-I", b"-S"]
    assert arguments[4:] == [str(slave.process.pid).encode(), b""], "behind the program"


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The pacemakers that are started."""
    started: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def record(*args: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(start(*args, **options))
        return started[-1]

    monkeypatch.setattr("interaction.slave.pacemaker.subprocess.Popen", record)
    yield started
    assert all(process.returncode is not None for process in started), "each was waited for"


def test_there_is_one_for_all_sessions_and_none_before_the_first(
    master: Master, make_slave: MakeSlave, processes: list[subprocess.Popen[bytes]]
) -> None:
    slave = make_slave(Worker, pacemaker=True)
    assert not processes
    for _ in range(3):
        with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
            assert connection.new_task({"a": 1, "b": 2}).start().join(WAIT).result == {"sum": 3}
    assert len(processes) == 1
    assert processes[0].poll() is None
    slave.close()
    assert processes[0].returncode == -signal.SIGKILL


def test_it_can_be_switched_off(
    master: Master, make_slave: MakeSlave, processes: list[subprocess.Popen[bytes]]
) -> None:
    slave = make_slave(Worker, pacemaker=False)
    with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
        assert connection.new_task({"a": 1, "b": 2}).start().join(WAIT).result == {"sum": 3}
    assert not processes


def test_one_that_dies_is_told_of_once_and_replaced_with_the_next_session(
    master: Master,
    make_slave: MakeSlave,
    processes: list[subprocess.Popen[bytes]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    slave = make_slave(Worker, pacemaker=True)
    caplog.set_level(logging.WARNING, "interaction.slave")
    for number in range(1, 3):
        with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
            assert connection.new_task({"a": 1, "b": 2}).start().join(WAIT).result == {"sum": 3}
            assert len(processes) == number
            os.kill(processes[-1].pid, signal.SIGKILL)
            wait_until(lambda: processes[-1].returncode is not None)
            assert connection.new_task({"a": 1, "b": 2}).start().join(WAIT).result == {"sum": 3}
    told = [record.getMessage() for record in caplog.records if "pacemaker" in record.getMessage()]
    assert len(told) == 1
    assert "has ended (signal 9)" in told[0]


def test_where_it_cant_be_started_the_slave_works_without(
    master: Master, make_slave: MakeSlave, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    slave = make_slave(Worker, pacemaker=True)
    for _ in range(2):
        with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
            assert connection.new_task({"a": 1, "b": 2}).start().join(WAIT).result == {"sum": 3}
    told = [record.getMessage() for record in caplog.records if "pacemaker" in record.getMessage()]
    assert len(told) == 1
    assert "there is no Python interpreter to run it" in told[0]


def test_one_that_has_nothing_to_do_is_small(
    master: Master, make_slave: MakeSlave, processes: list[subprocess.Popen[bytes]]
) -> None:
    slave = make_slave(Worker, pacemaker=True)
    with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
        assert connection.new_task({"a": 1, "b": 2}).start().join(WAIT).result == {"sum": 3}
        wait_until(lambda: not has_loaded(processes[0].pid))
        size = Path(f"/proc/{processes[0].pid}/statm").read_text().split()[1]
        assert int(size) * os.sysconf("SC_PAGE_SIZE") < 20e6
    slave.close()
