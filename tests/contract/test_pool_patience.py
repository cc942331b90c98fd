"""A pool in which something is wrong: no slave, a task that kills its slave, one that fails, a mistake."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import pytest

from interaction import Master, SlavePool, aio
from interaction.core import again, patience
from interaction.exception import LossReason, NoSlave, TaskFailed, TaskLost
from tests.contract.conftest import MakePool, SlaveProcess, Worker, plain_and_aio
from tests.contract.hands import SUM, WAITS, Hands, in_background, started, with_hands
from tests.contract.slave_programs import WAIT

facade = pytest.fixture(params=["plain", "aio"])(plain_and_aio)
hands = pytest.fixture(with_hands)


# No slave.


@pytest.mark.parametrize("wait", [0.2, 0, False])
def test_what_is_queued_ends_when_there_has_been_no_slave_for_long_enough(
    hands: Hands, make_pool: MakePool, wait: float
) -> None:
    slave = hands.add("one")
    pool = make_pool(hands.master, wait_for_slaves=wait, names=["one", "two"])
    running, *queued = [pool.submit(WAITS) for _ in range(4)]
    assert slave.running.wait(WAIT)
    started(running)
    hands.add("other")
    hands.master["one"].disconnect()
    for future in queued:
        with pytest.raises(NoSlave, match=r"of the 1 that its master has none fits the names 'one', 'two'"):
            future.result(WAIT)
    assert isinstance(running.exception(WAIT), TaskLost)
    pool.close()


def test_a_task_waits_for_its_slave_as_long_as_told(hands: Hands, make_pool: MakePool) -> None:
    hands.add("cpu", labels={"gpu": "none"})
    pool = make_pool(hands.master, wait_for_slaves=0.2, labels={"gpu": "a100"})
    with pytest.raises(NoSlave, match=r"of the 1 that its master has none fits the labels {'gpu': 'a100'}"):
        pool.submit(SUM).result(WAIT)
    future = make_pool(hands.master, wait_for_slaves=WAIT, labels={"gpu": "a100"}).submit(SUM)
    hands.add("gpu", labels={"gpu": "a100"})
    assert future.result(WAIT) == {"sum": 3}


def test_the_end_of_a_pool_does_not_wait_for_ever_for_slaves_that_are_gone(hands: Hands, make_pool: MakePool) -> None:
    pool = make_pool(hands.master, wait_for_slaves=0.2)
    futures = [pool.submit(SUM) for _ in range(3)]
    in_background(pool.close).get(timeout=WAIT)
    assert {type(future.exception(WAIT)) for future in futures} == {NoSlave}


def test_a_task_that_was_lost_before_says_so(hands: Hands, make_pool: MakePool) -> None:
    slave = hands.add("one")
    future = make_pool(hands.master, retries=3, wait_for_slaves=0.1).submit(WAITS)
    assert slave.running.wait(WAIT)
    started(future)
    hands.master["one"].disconnect()
    error = future.exception(WAIT)
    assert isinstance(error, NoSlave)
    assert isinstance(error.__cause__, TaskLost)
    assert error.__cause__.reason is LossReason.DISCONNECTED


def test_what_waits_for_a_slave_is_told_and_told_again(
    hands: Hands, make_pool: MakePool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "WARN_AFTER", 0.1)
    monkeypatch.setattr(patience, "WARN_EVERY", 0.2)
    hands.add("one")
    pool = make_pool(hands.master, names=["two"], labels={"gpu": "a100"})
    with caplog.at_level(logging.WARNING, "interaction"):
        futures = [pool.submit(SUM) for _ in range(3)]
        told: list[str] = []
        while len(told) < 2:
            told = [record.getMessage() for record in caplog.records if "task(s) wait" in record.getMessage()]
            time.sleep(0.01)
    assert "3 task(s) wait for one" in told[0]
    assert "of the 1 that its master has none fits the names 'two' and the labels {'gpu': 'a100'}" in told[0]
    hands.add("two", labels={"gpu": "a100"})
    assert [future.result(WAIT) for future in futures] == [{"sum": 3}] * 3


# A task that kills its slave.


def poisoned(pool: SlavePool, poison: int, count: int, seconds: float) -> list[Any]:
    """What comes of so many tasks, one of which kills its slave."""
    data: list[Mapping[str, Any]] = [{"seconds": seconds, "number": number} for number in range(count)]
    data[poison] = {"exit": 9}
    futures = [pool.submit(one) for one in data]
    return [future.exception(WAIT) or future.result() for future in futures]


def two_deadly(hands: Hands, slave_process: Callable[..., SlaveProcess], count: int = 2) -> None:
    for number in range(count):
        process = slave_process("--backlog", "50")
        hands.master.new_connection(str(number), "127.0.0.1", process.port).connect()


def test_a_task_that_kills_its_slave_takes_no_other_with_it_that_has_not_begun(
    hands: Hands, make_pool: MakePool, slave_process: Callable[..., SlaveProcess]
) -> None:
    """Of a hundred tasks 48 innocent ones were lost, as they waited in its backlog."""
    two_deadly(hands, slave_process)
    ends = poisoned(make_pool(hands.master), 20, 100, 0.05)
    assert [number for number, end in enumerate(ends) if isinstance(end, Exception)] == [20]


def test_with_retries_no_other_is_lost_whatever_waits(
    hands: Hands, make_pool: MakePool, slave_process: Callable[..., SlaveProcess]
) -> None:
    """Quick tasks wait in the backlog of their slave, and which of them had begun is not known. They are done again,
    and those with which a second slave dies are done one by one."""
    two_deadly(hands, slave_process, 4)
    ends = poisoned(make_pool(hands.master, retries=2), 150, 300, 0.0)
    assert [number for number, end in enumerate(ends) if isinstance(end, Exception)] == [150]


# A task that fails.


class Failing(Worker):
    def _process_task(self, task: Mapping[str, Any]) -> Any:
        self.ran.append({**task, "at": time.monotonic()})
        raise {"value": ValueError, "reset": ConnectionResetError}[task["kind"]]("no")


def test_retries_of_what_fails_take_their_time(hands: Hands, make_pool: MakePool) -> None:
    slave = hands.add("one", kind=Failing)
    future = make_pool(hands.master, retries=3, retry_failed=True).submit({"kind": "value"})
    assert isinstance(future.exception(WAIT), TaskFailed)
    times = [one["at"] for one in slave.ran]
    assert len(times) == 4
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert all(pause >= again.pause_after(number + 1) - 0.01 for number, pause in enumerate(pauses))


@pytest.mark.parametrize("wanted", [OSError, "ConnectionResetError", (KeyError, ConnectionError)])
def test_what_is_done_again_is_what_its_owner_names(hands: Hands, make_pool: MakePool, wanted: Any) -> None:
    slave = hands.add("one", kind=Failing)
    pool = make_pool(hands.master, retries=1, retry_failed=wanted)
    for kind, times in (("value", 1), ("reset", 2)):
        slave.ran.clear()
        assert isinstance(pool.submit({"kind": kind}).exception(WAIT), TaskFailed)
        assert len(slave.ran) == times


# What has not begun moves.


def test_a_late_slave_finds_work(hands: Hands, make_pool: MakePool) -> None:
    first = hands.add("first", backlog=50)
    pool = make_pool(hands.master)
    futures = [pool.submit({"wait": number}) for number in range(20)]
    assert first.running.wait(WAIT)
    late = hands.add("late", backlog=50)
    late.go_on.set()
    assert [future.result(WAIT) for future in futures[1:]] == [{"waited": number} for number in range(1, 20)]
    first.go_on.set()
    assert futures[0].result(WAIT) == {"waited": 0}
    assert len(first.ran) == 1


# Mistakes.


def test_what_is_no_master_is_told(hands: Hands) -> None:
    slave = hands.add("one")
    connection = Master("127.0.0.1", 0).new_connection("one", "127.0.0.1", slave.port)
    pools: list[tuple[Callable[[Any], Any], str, Any]] = [
        (SlavePool, "interaction", aio.Master("127.0.0.1", 0)),
        (aio.SlavePool, "interaction.aio", Master("127.0.0.1", 0)),
    ]
    for pool, module, other in pools:
        with pytest.raises(TypeError, match=rf"^{module}\.SlavePool takes a master of {module}, not .*its own module"):
            pool(other)
        with pytest.raises(TypeError, match=r"give it the master of that connection, and names=\['one'\]$"):
            pool(connection)
        with pytest.raises(TypeError, match=rf"takes a master of {module}, not 'localhost'$"):
            pool("localhost")


def test_a_function_that_was_meant_as_the_work_is_told_who_does_that(hands: Hands, make_pool: MakePool) -> None:
    hands.add("one")
    pool = make_pool(hands.master)
    with pytest.raises(TypeError, match=r"returned 1\. The work itself is done by the slaves, in their _process_task"):
        list(pool.map(len, ["a", "b"]))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"done by the slaves"):
        list(pool.map(len))  # type: ignore[arg-type]

    async def work(item: str) -> str:
        return item

    with pytest.raises(TypeError, match=r"done by the slaves"):
        list(pool.map(work, ["a"]))  # type: ignore[arg-type]
    assert list(pool.map(lambda number: {"a": number, "b": 1}, [1])) == [{"sum": 2}]
