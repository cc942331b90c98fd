"""A slave whose loop stands still is kept alive by its pacemaker; one that is stopped, killed or gone is not."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme

from interaction import TLS, Master, TaskStatus
from interaction.certs import fleet
from interaction.exception import LossReason, TaskLost
from tests.contract.conftest import CHANNEL, ROOT, MakeMaster, MakeSlave, Worker
from tests.contract.holding import (
    HOLD,
    TOLERANCE,
    WAIT,
    Holder,
    children_of,
    connect,
    exists,
    has_loaded,
    holders,
    holding,
    strict_master,
    wait_until,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the pacemaker needs Linux")
holder = pytest.fixture(holders)
strict = pytest.fixture(strict_master)


def test_a_task_that_holds_the_gil_does_not_cost_the_slave(strict: Master, holder: Callable[..., Holder]) -> None:
    slave = holder()
    connection = connect(strict, slave, loaded=True)
    for _ in range(2):
        task = holding(connection, slave)
        assert task.join(WAIT).status is TaskStatus.COMPLETED
        assert task.result["held"] >= HOLD
        assert connection.is_connected
    connection.disconnect()
    said, errors = slave.end()
    assert said == "", "it has not lost its connection"
    assert "its pacemaker beats for this slave" in errors


def test_a_task_that_takes_the_gil_at_once_is_known_to_be_started(
    strict: Master, holder: Callable[..., Holder]
) -> None:
    """The answer to its master is sent before it runs."""
    slave = holder()
    connection = connect(strict, slave)
    for _ in range(5):
        began = time.monotonic()
        task = connection.new_task({"hold": 1.0}).start()
        assert time.monotonic() - began < 0.9
        assert task.join(WAIT).status is TaskStatus.COMPLETED


def test_without_a_pacemaker_it_does(strict: Master, holder: Callable[..., Holder]) -> None:
    """So the tests here test it."""
    slave = holder("--no-pacemaker")
    task = holding(connect(strict, slave), slave)
    assert task.join(WAIT).status is TaskStatus.LOST
    assert isinstance(task.error, TaskLost)
    assert task.error.reason is LossReason.SILENT
    assert slave.line().startswith("lost")


def test_a_task_that_holds_the_gil_again_and_again(strict: Master, holder: Callable[..., Holder]) -> None:
    """The loop runs for a moment between two holds: enough for a beat, and hardly for its answer."""
    slave = holder()
    connection = connect(strict, slave, loaded=True)
    task = holding(connection, slave, hold=0.9, times=8)
    assert task.join(WAIT).status is TaskStatus.COMPLETED
    assert connection.is_connected
    connection.disconnect()
    assert slave.end()[0] == ""


def test_the_slave_goes_on_beating_itself_afterwards(strict: Master, holder: Callable[..., Holder]) -> None:
    slave = holder()
    connection = connect(strict, slave, loaded=True)
    assert holding(connection, slave).join(WAIT).status is TaskStatus.COMPLETED
    os.kill(slave.pacemaker(), signal.SIGKILL)
    lost = time.monotonic() + 3 * TOLERANCE
    while time.monotonic() < lost:
        assert connection.is_connected
        assert connection.new_task({"hold": 0.0}).start().join(WAIT).status is TaskStatus.COMPLETED


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "holding the GIL"])
def test_a_slave_that_is_stopped_is_lost_all_the_same(
    strict: Master, holder: Callable[..., Holder], busy: bool
) -> None:
    slave = holder()
    connection = connect(strict, slave, loaded=True)
    if busy:
        task = holding(connection, slave, hold=3 * HOLD)
        time.sleep(TOLERANCE)  # the pacemaker beats meanwhile: there is nothing to observe of it from here
    else:
        task = connection.new_task({"hold": 0.0})
    slave.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    wait_until(lambda: not connection.is_connected)
    assert 0.5 * TOLERANCE < time.monotonic() - began < 2 * TOLERANCE + 1.0
    if busy:
        assert task.join(WAIT).status is TaskStatus.LOST
        assert isinstance(task.error, TaskLost)
        assert task.error.reason is LossReason.SILENT
    else:
        slave.process.send_signal(signal.SIGCONT)
        assert slave.line().startswith("lost"), "it lets go, too"


def test_a_slave_that_is_killed_while_its_pacemaker_beats_is_known_at_once(
    make_master: MakeMaster, holder: Callable[..., Holder]
) -> None:
    master = make_master(Master, heartbeat_tolerance=6.0)
    slave = holder()
    task = holding(connect(master, slave, loaded=True), slave, hold=60.0)
    time.sleep(3.0)  # half of the lease is 2 s
    pacemaker = slave.pacemaker()
    slave.process.kill()
    began = time.monotonic()
    assert task.join(WAIT).status is TaskStatus.LOST
    assert time.monotonic() - began < 1.0
    assert isinstance(task.error, TaskLost)
    assert task.error.reason is LossReason.EXITED
    wait_until(lambda: not exists(pacemaker), 1.0)


@pytest.mark.parametrize("mutual", [False, True])
def test_it_beats_by_tls(make_master: MakeMaster, holder: Callable[..., Holder], tmp_path: Path, mutual: bool) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    files = {"certificate": tmp_path / "me.pem", "key": tmp_path / "me.key", "authority": tmp_path / "ca.pem"}
    files["certificate"].write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    files["key"].write_bytes(issued.private_key_pem.bytes())
    files["authority"].write_bytes(authority.cert_pem.bytes())
    tls = TLS.from_files(
        certificate=files["certificate"], key=files["key"], authority=files["authority"], mutual=mutual
    )
    master = make_master(Master, tls=tls, heartbeat_tolerance=TOLERANCE, request_timeout=30.0)
    slave = holder("--tls", str(tmp_path), *(["--mutual"] if mutual else []))
    connection = connect(master, slave, https=True, loaded=True)
    assert holding(connection, slave).join(WAIT).status is TaskStatus.COMPLETED
    assert connection.is_connected


def test_it_beats_by_the_slaves_own_certificate(
    make_master: MakeMaster, holder: Callable[..., Holder], tmp_path: Path
) -> None:
    """Where certificates say who, nobody but the session's slave is heard."""
    certs = fleet.create(tmp_path / "certs")
    own = fleet.new_slave(certs, "one")
    for name, called in (("certificate", "me.pem"), ("key", "me.key"), ("authority", "ca.pem")):
        (tmp_path / called).write_bytes((own / f"{name}.pem").read_bytes())
    master = make_master(
        Master,
        tls=TLS.from_folder(certs),
        heartbeat_tolerance=TOLERANCE,
        heartbeat_check_span=0.1,
        request_timeout=30.0,
    )
    slave = holder("--tls", str(tmp_path), "--mutual")
    connection = connect(master, slave, loaded=True)
    assert holding(connection, slave).join(WAIT).status is TaskStatus.COMPLETED
    assert connection.is_connected


def test_a_master_that_ended_the_session_meanwhile_is_heard(
    make_master: MakeMaster, holder: Callable[..., Holder]
) -> None:
    """The slave learns why, from its pacemaker or itself, rather than that its lease is over."""
    master = make_master(Master, heartbeat_tolerance=TOLERANCE, request_timeout=30.0)
    slave = holder()
    holding(connect(master, slave, loaded=True), slave)
    time.sleep(1.5)  # the pacemaker beats by now
    master.shutdown()
    assert slave.line().startswith("lost: the master shuts down")


MASTER = f"""
import sys
from interaction import Master
with Master("127.0.0.1", 0, channel={CHANNEL}, heartbeat_tolerance={TOLERANCE}) as master:
    with master.new_connection("conn", "127.0.0.1", int(sys.argv[1])) as connection:
        print("connected", flush=True)
        sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_loop_that_runs_is_not_said_to_have_stood_still(
    make_slave: MakeSlave, stack: ExitStack, caplog: pytest.LogCaptureFixture, number: signal.Signals
) -> None:
    """Before, an idle slave whose master was killed gave the alarm of one whose task holds the GIL."""
    caplog.set_level(logging.INFO)
    slave = make_slave(Worker, pacemaker=True)
    command = [sys.executable, "-c", MASTER, str(slave.port)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    stack.callback(process.communicate)
    stack.callback(process.kill)
    assert process.stdout is not None
    assert process.stdout.readline() == "connected\n"
    wait_until(lambda: any(has_loaded(child) for child in children_of(os.getpid()) if child != process.pid))
    process.send_signal(number)
    assert slave.lost_connection.wait(WAIT)
    assert any("its pacemaker beats for this slave, too" in message for message in caplog.messages)
    warned = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert [message for message in warned if "lost the connection" not in message] == []
