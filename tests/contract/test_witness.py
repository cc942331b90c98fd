"""What had not begun when its slave died: another process, which lives on, knows it."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from interaction import Master, SlaveConnectionProxy, SlavePool, Task, TaskStatus
from interaction.core import session
from interaction.core.session import WITNESS_PATIENCE
from interaction.exception import LossReason, RequestException, SlaveSlaveNotConnected, TaskLost
from tests.contract.conftest import Call, MakeMaster, MakePool, MakeSlave, SlaveProcess, Worker, plain_and_aio
from tests.contract.hands import Hands, in_background, with_hands
from tests.contract.holding import children_of, exists, has_loaded, wait_until
from tests.contract.scripted_slave import Beats, ScriptedSlave
from tests.contract.slave_programs import WAIT
from tests.contract.wire import metadata_of

linux = pytest.mark.skipif(sys.platform != "linux", reason="the pacemaker needs Linux")
facade = pytest.fixture(params=["plain", "aio"])(plain_and_aio)
hands = pytest.fixture(with_hands)


def lost(task: Task) -> TaskLost:
    assert task.join(WAIT).status is TaskStatus.LOST
    assert isinstance(task.error, TaskLost)
    assert task.error.reason is LossReason.EXITED
    return task.error


# By the contract alone: any slave, and its witness.


@pytest.fixture
def witnessed(master: Master, scripted: ScriptedSlave) -> Iterator[SlaveConnectionProxy]:
    """A connection with a slave that has a witness, and beats."""
    scripted.features = ["witness"]
    connection = master.new_connection("conn", "127.0.0.1", scripted.port)
    connection.connect()
    beats = scripted.heartbeat()
    assert beats.beat(1) == 1
    yield connection
    beats.end()


def test_what_a_witness_does_not_name_had_not_begun(witnessed: SlaveConnectionProxy, scripted: ScriptedSlave) -> None:
    begun, waiting = (witnessed.new_task({"a": number}).start() for number in range(2))
    witness = scripted.heartbeat()
    witness.exited(begun.id, "not even an id")
    assert lost(begun).may_have_begun
    assert not lost(waiting).may_have_begun
    assert str(waiting.error).endswith("; the task had not begun")
    assert not witnessed.is_connected
    assert list(witness.call)[-1].HasField("closing"), "the master has ended the stream, with OK"


def test_a_witness_may_not_know_what_had_begun(witnessed: SlaveConnectionProxy, scripted: ScriptedSlave) -> None:
    task = witnessed.new_task({"a": 1}).start()
    witness = scripted.heartbeat()
    witness.exited(known=False)
    assert lost(task).may_have_begun


def test_the_witness_of_another_slave_changes_nothing(witnessed: SlaveConnectionProxy, scripted: ScriptedSlave) -> None:
    """One that was restarted had the session's token for a moment: what ran in it says nothing of the one before."""
    task = witnessed.new_task({"a": 1}).start()
    for incarnation in ("b" * 32, "nonsense"):
        beats = scripted.heartbeat()
        beats.exited(incarnation=incarnation)
        assert list(beats.call) == []
    assert scripted.pings.get(timeout=WAIT), "the master asks who is there"
    beats = scripted.heartbeat()
    assert beats.beat(2) == 2
    assert witnessed.is_connected
    assert task.status is TaskStatus.STARTED


def test_the_witness_of_a_session_that_is_over_changes_nothing(
    witnessed: SlaveConnectionProxy, scripted: ScriptedSlave, master: Master
) -> None:
    stub, token = scripted.master, scripted.token
    assert stub is not None
    task = witnessed.new_task({"a": 1}).start()
    witnessed.disconnect()
    assert task.join(WAIT).status is TaskStatus.LOST
    again = master.new_connection("again", "127.0.0.1", scripted.port)
    again.connect()
    other = again.new_task({"a": 1}).start()
    witness = Beats(stub, metadata_of(token))
    witness.exited()
    with pytest.raises(Exception, match="the session of this token is over"):
        next(witness.call)
    assert other.status is TaskStatus.STARTED


@pytest.mark.parametrize("answered", [False, True], ids=["unanswered", "begun"])
def test_what_was_on_its_way_to_a_slave_that_died_has_not_begun_either(
    make_master: MakeMaster, scripted: ScriptedSlave, answered: bool
) -> None:
    """The slave may have begun it before it said that it has it: then its witness names it."""
    scripted.features = ["work", "witness"]
    connection = make_master(Master).new_connection("conn", "127.0.0.1", scripted.port)
    connection.connect()
    beats = scripted.heartbeat()
    assert beats.beat(1) == 1
    starting = in_background(connection.new_task({"a": 1}).start)
    task_id = scripted.work().task()
    witness = scripted.heartbeat()
    witness.exited(*([task_id] if answered else []))
    error = starting.get(timeout=WAIT)
    if answered:
        assert isinstance(error, RequestException)
        assert "not known" in str(error)
    else:
        assert isinstance(error, SlaveSlaveNotConnected)
        assert "the task had not begun" in str(error)


# The real ones.


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Masters wait for witnesses as long as these take on a busy machine."""
    monkeypatch.setattr(session, "WITNESS_PATIENCE", WAIT)
    monkeypatch.setattr(session, "DOUBT", WAIT)


@linux
def test_a_witness_that_has_died_too_is_not_waited_for_longer_than_that(
    master: Master, slave_process: Callable[..., SlaveProcess]
) -> None:
    slave = slave_process("--backlog", "1")
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    tasks = [connection.new_task({"wait": 1}).start() for _ in range(2)]
    assert slave.line() == "running"
    os.kill(loaded(slave), signal.SIGKILL)
    began = time.monotonic()
    slave.kill()
    assert [lost(task).may_have_begun for task in tasks] == [True, True]
    assert WITNESS_PATIENCE / 2 < time.monotonic() - began < WITNESS_PATIENCE + 2.0
    assert not connection.is_connected


def loaded(process: SlaveProcess) -> int:
    """Its pacemaker, once that can speak at once."""
    wait_until(lambda: len(children_of(process.process.pid)) >= 1)

    def ready() -> list[int]:
        return [child for child in children_of(process.process.pid) if is_pacemaker(child) and has_loaded(child)]

    wait_until(lambda: bool(ready()))
    return ready()[0]


def is_pacemaker(process: int) -> bool:
    try:
        return b"pacemaker" in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False


def deadly(hands: Hands, slave_process: Callable[..., SlaveProcess], *options: str) -> list[SlaveProcess]:
    """Two slaves with a backlog, whose pacemakers are ready."""
    slaves = [slave_process("--backlog", "50", *options) for _ in range(2)]
    for number, slave in enumerate(slaves):
        hands.master.new_connection(str(number), "127.0.0.1", slave.port).connect()
    for slave in slaves:
        loaded(slave)
    return slaves


def ends_of(pool: SlavePool, poison: Mapping[str, Any], at: int, count: int) -> list[Any]:
    data: list[Mapping[str, Any]] = [{"seconds": 0.005, "a": number} for number in range(count)]
    data[at] = {"seconds": 0.5, **poison}  # by then the results before it have come home
    futures = [pool.submit(one) for one in data]
    return [future.exception(WAIT) or future.result() for future in futures]


@linux
@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("isolation", ["thread", "process"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
def test_a_task_that_kills_its_slave_takes_no_other_with_it(
    hands: Hands,
    make_pool: MakePool,
    slave_process: Callable[..., SlaveProcess],
    how: signal.Signals,
    isolation: str,
) -> None:
    """Quick ones wait in the backlog: of a hundred up to five were lost, as nobody knew that they had not begun."""
    deadly(hands, slave_process, "--isolation", isolation)
    ends = ends_of(make_pool(hands.master), {"kill": how}, 60, 100)
    assert [number for number, end in enumerate(ends) if isinstance(end, Exception)] == [60]
    died = ends[60]  # a RequestException where it began before its slave had said that it was taken
    assert isinstance(died, RequestException) or (isinstance(died, TaskLost) and died.may_have_begun)
    assert [end["sum"] for end in ends[:60] + ends[61:]] == [*range(60), *range(61, 100)]


@linux
@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("slots", [1, 3])
def test_what_begins_is_told_of_and_what_waits_is_not(
    master: Master, slave_process: Callable[..., SlaveProcess], slots: int
) -> None:
    slave = slave_process("--slots", str(slots), "--backlog", "4")
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    pacemaker = loaded(slave)
    for number in range(20):
        assert connection.new_task({"a": number}).start().join(WAIT).status is TaskStatus.COMPLETED
    tasks = [connection.new_task({"wait": 1}).start() for _ in range(slots + 4)]
    for _ in range(slots):
        assert slave.line() == "running"
    slave.send(signal.SIGKILL)
    assert [lost(task).may_have_begun for task in tasks] == [True] * slots + [False] * 4
    wait_until(lambda: not exists(pacemaker))


@linux
def test_a_slave_that_is_stopped_proves_nothing(
    make_master: MakeMaster, slave_process: Callable[..., SlaveProcess]
) -> None:
    master = make_master(Master, heartbeat_tolerance=3.0, heartbeat_check_span=0.1)
    slave = slave_process("--backlog", "4")
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    loaded(slave)
    tasks = [connection.new_task({"wait": 1}).start() for _ in range(3)]
    assert slave.line() == "running"
    slave.send(signal.SIGSTOP)
    for task in tasks:
        assert task.join(WAIT).status is TaskStatus.LOST
        assert isinstance(task.error, TaskLost)
        assert (task.error.reason, task.error.may_have_begun) == (LossReason.SILENT, True)


@linux
@pytest.mark.usefixtures("patient")
def test_one_session_after_another_has_its_own_witness(
    master: Master, slave_process: Callable[..., SlaveProcess]
) -> None:
    slave = slave_process("--backlog", "2")
    for number in range(3):
        connection = master.new_connection(str(number), "127.0.0.1", slave.port)
        connection.connect()
        loaded(slave)
        assert connection.new_task({"a": 1}).start().join(WAIT).status is TaskStatus.COMPLETED
        if number < 2:
            connection.disconnect()
    tasks = [connection.new_task({"wait": 1}).start() for _ in range(3)]
    assert slave.line() == "running"
    slave.kill()
    assert [lost(task).may_have_begun for task in tasks] == [True, False, False]


@linux
@pytest.mark.usefixtures("patient")
def test_a_task_that_its_user_was_asked_about_has_begun(
    master: Master, slave_process: Callable[..., SlaveProcess]
) -> None:
    slave = slave_process("--backlog", "2", "--asks")
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    loaded(slave)
    tasks = [connection.new_task({"wait": 1}).start() for _ in range(2)]
    assert slave.line() == "running"
    slave.kill()
    assert [lost(task).may_have_begun for task in tasks] == [True, True]


@linux
def test_a_slave_announces_its_witness_where_it_has_one(make_slave: MakeSlave, call: Call) -> None:
    for options, there in (({"backlog": 1}, True), ({}, False), ({"backlog": 1, "pacemaker": False}, False)):
        caller = call(make_slave(Worker, **{"pacemaker": True, **options}))
        assert ("witness" in caller.ping().features) is there
        assert ("witness" in caller.connect().features) is there


@linux
def test_it_leaves_no_descriptor_open(make_slave: MakeSlave) -> None:
    def shared() -> int:
        links = [os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if is_open(name)]
        return sum(bool(re.match("/memfd:interaction", link)) for link in links)

    before = shared()
    slaves = [make_slave(Worker, backlog=1, pacemaker=True) for _ in range(3)]
    assert shared() > before
    for slave in slaves:
        slave.close()
    assert shared() == before


def is_open(name: str) -> bool:
    return os.path.islink(f"/proc/self/fd/{name}")
