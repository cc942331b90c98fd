"""A slave whose loop stands still is kept alive by its pacemaker; one that is stopped, killed or gone is not."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from interaction import TLS, Master, SlaveConnectionProxy, Task, TaskStatus
from interaction.exception import LossReason, TaskLost
from tests.contract.conftest import CHANNEL, MakeMaster, MakeSlave, Worker

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the pacemaker needs Linux")

ROOT = Path(__file__).parents[2]
WAIT = 20.0
TOLERANCE = 3.0  # of which the lease is 2 s, and half of that is when the pacemaker begins
HOLD = 5.0


class Holder:
    """A slave in a process of its own, whose tasks hold the GIL. `said` is all that it has printed."""

    def __init__(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.gil_slave", "--channel", str(CHANNEL), *options],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.port = int(self.line())

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def pacemaker(self) -> int:
        """The process id of its pacemaker."""
        (child,) = children_of(self.process.pid)
        return child

    def end(self) -> tuple[str, str]:
        """End it by the end of its input, and return what it still printed, and its standard error."""
        return self.process.communicate(timeout=WAIT)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def children_of(process: int) -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal() and parent_of(int(name)) == process]


def parent_of(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:  # it has ended meanwhile
        return 0


def exists(process: int) -> bool:
    """Whether the process lives; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def has_loaded(process: int) -> bool:
    """Whether the pacemaker is ready to beat, as it is from the start where the lease is short."""
    return b"cygrpc" in Path(f"/proc/{process}/maps").read_bytes()


def ignored_by(process: int) -> set[int]:
    """The signals that the process ignores."""
    (mask,) = re.findall(r"^SigIgn:\s*([0-9a-f]+)", Path(f"/proc/{process}/status").read_text(), re.MULTILINE)
    return {number for number in range(1, 65) if int(mask, 16) >> (number - 1) & 1}


def wait_until(true: Callable[[], bool], seconds: float = WAIT) -> None:
    """Wait for what no event tells: another process's end, or its words in the log."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it does not come true"
        time.sleep(0.01)


@pytest.fixture
def holder(stack: ExitStack) -> Callable[..., Holder]:
    def make(*options: str) -> Holder:
        holder = Holder(*options)
        stack.callback(holder.close)
        return holder

    return make


@pytest.fixture
def strict(make_master: MakeMaster) -> Master:
    return make_master(Master, heartbeat_tolerance=TOLERANCE, heartbeat_check_span=0.1, request_timeout=30.0)


def connect(master: Master, holder: Holder, *, loaded: bool = False, **options: Any) -> SlaveConnectionProxy:
    connection = master.new_connection("conn", "127.0.0.1", holder.port, **options)
    connection.connect()
    if loaded:
        wait_until(lambda: len(children_of(holder.process.pid)) == 1 and has_loaded(holder.pacemaker()))
    return connection


def holding(connection: SlaveConnectionProxy, holder: Holder, **task: Any) -> Task:
    """A task that has the GIL by now, or will in a moment."""
    started = connection.new_task({"hold": HOLD, "announce": True, **task}).start()
    assert isinstance(started, Task)
    assert holder.line() == "holding"
    return started


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


# What becomes of the process, seen from a slave in this one.


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
