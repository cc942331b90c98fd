"""A hook that takes too long: who asked is refused, what it says later is dropped, and others go on without it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from interaction import Master, SlaveConnectionProxy
from interaction.exception import (
    SlaveSlaveConnectionRefused,
    SlaveSlaveDisconnectionRefused,
    SlaveTaskRefused,
)
from tests.contract.conftest import MakeMaster, MakeSlave, Worker
from tests.contract.slave_programs import WAIT
from tests.contract.wire import SUM

LIMIT = 0.5


class Slow(Worker):
    """Its hooks take as long as the test wants, each the first time that it is called."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.slow = ""
        self.threads: list[threading.Thread] = []
        self.go_on_hook = threading.Event()
        self.said = threading.Event()

    def _maybe(self, hook: str) -> None:
        if self.slow == hook:
            self.slow = ""
            self.threads.append(threading.current_thread())
            self.go_on_hook.wait(WAIT)
            self.said.set()

    def _before_connection(self, data: Mapping[str, Any]) -> None:
        self._maybe("connect")

    def _before_disconnection(self, data: Mapping[str, Any]) -> None:
        self._maybe("disconnect")

    def _before_task(self, data: Mapping[str, Any]) -> None:
        self._maybe("task")

    def _lost_connection(self, master_address: str, error: Exception) -> None:
        super()._lost_connection(master_address, error)
        self._maybe("lost")


@pytest.fixture
def slow(make_slave: MakeSlave) -> Iterator[Slow]:
    slow = make_slave(Slow, hook_timeout=LIMIT)
    try:
        yield slow
    finally:
        slow.go_on_hook.set()


def connection_to(master: Master, slow: Slow, name: str = "conn") -> SlaveConnectionProxy:
    return master.new_connection(name, "127.0.0.1", slow.port)


def all_is_well(connection: SlaveConnectionProxy, slow: Slow) -> None:
    """What the late hook says changes nothing."""
    before = len(slow.ran)
    slow.go_on_hook.set()
    assert slow.said.wait(WAIT)
    assert connection.new_task(SUM).start().join(WAIT).result == {"sum": 3}
    assert len(slow.ran) == before + 1
    connection.disconnect()


def told_once(log: pytest.LogCaptureFixture, hook: str) -> None:
    lines = [record.getMessage() for record in log.records if record.levelno == logging.WARNING]
    assert lines.count(f"{hook} takes longer than 0.5 s: it is waited for no more, and others go on") == 1


def test_a_connection_is_refused_and_the_next_master_is_not_held_up(
    make_master: MakeMaster, slow: Slow, caplog: pytest.LogCaptureFixture
) -> None:
    slow.slow = "connect"
    with pytest.raises(SlaveSlaveConnectionRefused, match=r"_before_connection took longer than 0\.5 s.*hook_timeout"):
        connection_to(make_master(Master), slow).connect()
    other = connection_to(make_master(Master), slow)
    other.connect()
    told_once(caplog, "_before_connection")
    assert slow.threads[0].is_alive()
    all_is_well(other, slow)


def test_a_task_is_refused_and_those_that_wait_behind_it_are_asked_about(
    make_master: MakeMaster, make_slave: MakeSlave, caplog: pytest.LogCaptureFixture
) -> None:
    slow = make_slave(Slow, hook_timeout=LIMIT, backlog=5)
    connection = connection_to(make_master(Master), slow)
    connection.connect()
    slow.slow = "task"
    tasks = [connection.new_task(SUM) for _ in range(4)]
    starting = [threading.Thread(target=start, args=(task,)) for task in tasks]
    for thread in starting:
        thread.start()
    for thread in starting:
        thread.join(WAIT)
    refused = [task for task in tasks if isinstance(task.error, SlaveTaskRefused)]
    assert len(refused) == 1
    assert "_before_task took longer than 0.5 s" in str(refused[0].error)
    assert [task.join(WAIT).result for task in tasks if task not in refused] == [{"sum": 3}] * 3
    told_once(caplog, "_before_task")
    all_is_well(connection, slow)


def start(task: Any) -> None:
    try:
        task.start()
    except SlaveTaskRefused as refusal:
        assert "hook_timeout" in str(refusal)  # noqa: PT017 - one of several


def test_a_disconnection_is_refused_and_the_session_goes_on(make_master: MakeMaster, slow: Slow) -> None:
    connection = connection_to(make_master(Master), slow)
    connection.connect()
    slow.slow = "disconnect"
    with pytest.raises(SlaveSlaveDisconnectionRefused, match="_before_disconnection took longer"):
        connection.disconnect()
    all_is_well(connection, slow)


def test_a_lost_connection_that_is_told_for_ever_keeps_no_master_away(
    make_master: MakeMaster, slow: Slow, caplog: pytest.LogCaptureFixture
) -> None:
    slow.slow = "lost"
    first = make_master(Master)
    connection_to(first, slow).connect()
    first.shutdown()
    assert slow.lost_connection.wait(WAIT)
    connection = connection_to(make_master(Master), slow)
    connection.connect()
    told_once(caplog, "_lost_connection")
    all_is_well(connection, slow)


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan"), "1"])
def test_a_limit_that_is_none_is_refused(timeout: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="hook_timeout"):
        Slow("127.0.0.1", 0, hook_timeout=timeout)
