"""A pool whose slaves, and whose master, come and go: with a journal and without."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest

from interaction import Master, SlavePool, TaskFail
from interaction.exception import (
    LossReason,
    NoSlave,
    RequestException,
    TaskFailed,
    TaskLost,
)
from tests.contract.conftest import (
    MakeMaster,
    MakePool,
    MakeSlave,
    SlaveProcess,
    Worker,
    plain_and_aio,
    without_and_with_a_journal,
)
from tests.contract.hands import (
    SUM,
    WAITS,
    Hands,
    in_background,
    started,
    sums_up_to,
    total,
    with_hands,
)
from tests.contract.slave_programs import WAIT

facade = pytest.fixture(params=["plain", "aio"])(plain_and_aio)
hands = pytest.fixture(with_hands)


master_options = pytest.fixture(params=[False, True], ids=["", "journal"])(without_and_with_a_journal)


@pytest.fixture
def pool(hands: Hands, make_pool: MakePool) -> SlavePool:
    """Two slaves with a backlog."""
    hands.add("one", "two", backlog=3)
    return make_pool(hands.master)


def test_without_a_slave_tasks_wait_for_one(hands: Hands, make_pool: MakePool) -> None:
    pool = make_pool(hands.master)
    assert len(pool) == 0
    futures = [pool.submit(SUM) for _ in range(3)]
    answers = in_background(lambda: list(pool.map([SUM] * 40)))
    assert not any(future.done() for future in futures)
    assert futures[0].task is None
    hands.add("one")
    assert [future.result(WAIT) for future in futures] == [{"sum": 3}] * 3
    assert answers.get(timeout=WAIT) == [{"sum": 3}] * 40


def test_without_a_slave_it_is_an_error_where_that_is_wanted(hands: Hands, make_pool: MakePool) -> None:
    pool = make_pool(hands.master, wait_for_slaves=False)
    with pytest.raises(NoSlave, match="no connection of its master is connected"):
        pool.submit(SUM)
    with pytest.raises(RuntimeError, match="wait_for_slaves=True, or seconds"):
        list(pool.map([SUM]))
    hands.add("one")
    assert pool.submit(SUM).result(WAIT) == {"sum": 3}


def test_a_slave_that_joins_is_used_at_once(hands: Hands, make_pool: MakePool) -> None:
    hands.add("one")
    pool = make_pool(hands.master)
    futures = [pool.submit(WAITS) for _ in range(3)]
    for name in ("two", "three"):
        assert hands.add(name).running.wait(WAIT)
    hands.go_on()
    assert [future.result(WAIT) for future in futures] == [{"waited": 1}] * 3
    assert len(pool) == 3


def test_a_slave_that_leaves_gets_nothing_more(hands: Hands, pool: SlavePool) -> None:
    hands.master["one"].disconnect()
    assert (len(pool), pool.places) == (1, 4)
    assert len(list(pool.map([SUM] * 30))) == 30
    assert hands.slaves["one"].ran == []
    hands.master.new_connection("again", "127.0.0.1", hands.slaves["one"].port).connect()
    assert len(pool) == 2
    assert len(list(pool.map([SUM] * 30))) == 30
    assert hands.slaves["one"].ran


def test_a_task_whose_slave_leaves_is_lost(hands: Hands, make_pool: MakePool) -> None:
    slave = hands.add("one")
    future = make_pool(hands.master).submit(WAITS)
    assert slave.running.wait(WAIT)
    started(future)
    hands.master["one"].disconnect()
    error = future.exception(WAIT)
    assert isinstance(error, TaskLost)
    assert error.reason is LossReason.DISCONNECTED


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_what_is_lost_is_done_again_exactly_as_often_as_told(
    hands: Hands, make_pool: MakePool, slave_process: Callable[..., SlaveProcess], retries: int
) -> None:
    pool = make_pool(hands.master, retries=retries)
    future = pool.submit(WAITS)
    for number in range(retries + 1):
        assert not future.done()
        process = slave_process()
        hands.master.new_connection(f"p{number}", "127.0.0.1", process.port).connect()
        assert process.line() == "running"
        started(future)
        process.kill()
        while len(pool):
            threading.Event().wait(0.001)
    last = hands.add("last")
    error = future.exception(WAIT)
    assert isinstance(error, TaskLost)
    assert error.reason is LossReason.EXITED
    assert f"p{retries}" in str(error)
    assert pool.submit(SUM).result(WAIT) == {"sum": 3}
    assert last.ran == [SUM]


def test_what_is_lost_is_done_by_another_slave(
    hands: Hands, make_pool: MakePool, slave_process: Callable[..., SlaveProcess]
) -> None:
    process = slave_process("--backlog", "5")
    hands.master.new_connection("p", "127.0.0.1", process.port).connect()
    pool = make_pool(hands.master, retries=1)
    futures = [pool.submit({"wait": number}) for number in range(6)]
    assert process.line() == "running"
    slave = hands.add("one")
    slave.go_on.set()
    process.kill()
    assert [future.result(WAIT) for future in futures] == [{"waited": number} for number in range(6)]


def test_slaves_that_are_lost_in_one_moment_cost_a_task_one_retry(
    make_master: MakeMaster, make_slave: MakeSlave, make_pool: MakePool, slave_process: Callable[..., SlaveProcess]
) -> None:
    hands = Hands(make_master(Master, heartbeat_tolerance=2.5, heartbeat_check_span=1.0), make_slave)
    names = [f"p{number}" for number in range(3)]
    pool = make_pool(hands.master, retries=1, names=[*names, "last"])
    clock, *processes = (slave_process("--backlog", "20", "--heartbeat-span", "0.2") for _ in range(4))
    for name, process in zip(names, processes, strict=True):
        hands.master.new_connection(name, "127.0.0.1", process.port).connect()
    futures = [pool.submit(WAITS) for _ in range(3)]
    for process, future in zip(processes, futures, strict=True):
        assert process.line() == "running"
        started(future)
    tick = hands.master.new_connection("clock", "127.0.0.1", clock.port)
    tick.connect()
    clock.send(signal.SIGSTOP)
    while (
        tick.is_connected
    ):  # it is lost when the master looks, which it does once a second: half way all others are due
        threading.Event().wait(0.01)
    for process in processes:
        process.send(signal.SIGSTOP)
    while len(pool):
        threading.Event().wait(0.01)
    hands.add("last").go_on.set()
    assert [future.result(WAIT) for future in futures] == [{"waited": 1}] * 3


def test_what_fails_is_done_again_only_where_told(hands: Hands, make_pool: MakePool) -> None:
    class Moody(Worker):
        def _process_task(self, task: Mapping[str, Any]) -> Any:
            self.ran.append(task)
            if len(self.ran) % 3:
                raise TaskFail({"mood": len(self.ran)})
            return len(self.ran)

    slave = hands.add("one", kind=Moody)
    with pytest.raises(TaskFailed):
        make_pool(hands.master, retries=5).submit(SUM).result(WAIT)
    assert len(slave.ran) == 1
    with pytest.raises(TaskFailed):
        make_pool(hands.master).submit(SUM).result(WAIT)
    assert len(slave.ran) == 2
    slave.ran.clear()
    assert make_pool(hands.master, retries=2, retry_failed=True).submit(SUM).result(WAIT) == 3


def test_a_slave_that_is_busy_with_somebody_elses_task_is_waited_for(hands: Hands, make_pool: MakePool) -> None:
    slave = hands.add("one")
    pool = make_pool(hands.master)
    task = hands.master["one"].new_task(WAITS).start()
    assert slave.running.wait(WAIT)
    future = pool.submit(SUM)
    with pytest.raises(TimeoutError):
        future.result(0.1)
    slave.go_on.set()
    assert task.join(WAIT).result == {"waited": 1}
    assert future.result(WAIT) == {"sum": 3}


def test_several_pools_may_share_slaves(hands: Hands, pool: SlavePool, make_pool: MakePool) -> None:
    pools = [pool, make_pool(hands.master), make_pool(hands.master)]
    answers = [in_background(partial(total, one, 100)) for one in pools]
    assert [answer.get(timeout=WAIT) for answer in answers] == [5050] * 3


def test_a_slave_that_drains_finishes_what_it_has_and_gets_nothing_more(hands: Hands, make_pool: MakePool) -> None:
    slave = hands.add("one", backlog=2)
    pools = [make_pool(hands.master) for _ in range(3)]  # which know nothing of each other, and so fill the backlog
    pool = pools[0]
    had = [one.submit(WAITS) for one in pools]
    assert slave.running.wait(WAIT)
    for future in had:
        started(future)
    drained = in_background(slave.drain)
    other = hands.add("two")
    futures = [pool.submit(SUM) for _ in range(20)]
    other.go_on.set()
    assert [future.result(WAIT) for future in futures] == [{"sum": 3}] * 20
    hands.go_on()
    assert [future.result(WAIT) for future in had] == [{"waited": 1}] * 3
    assert drained.get(timeout=WAIT) is True
    assert len(other.ran) == 22, "what had not begun, too"
    assert slave.ran == [WAITS]


def test_a_connection_that_is_closed_while_it_works(hands: Hands, pool: SlavePool) -> None:
    """Each item has one result, or says that it was lost."""
    results = pool.map(sums_up_to(200), return_errors=True, ordered=False)
    given = [next(results) for _ in range(50)]
    hands.master["one"].close()
    given.extend(results)
    assert len(given) == 200
    done = [one["sum"] for one in given if isinstance(one, dict)]
    assert len(done) == len(set(done))
    assert all(isinstance(one, (dict, TaskLost, RequestException)) for one in given)
    assert len(done) >= 200 - 4


# The end.


@pytest.mark.parametrize("retries", [0, 2])
def test_a_master_that_shuts_down_ends_all(hands: Hands, make_pool: MakePool, retries: int) -> None:
    slave = hands.add("one", backlog=1)
    pool = make_pool(hands.master, retries=retries)
    futures = [pool.submit(WAITS) for _ in range(5)]
    assert slave.running.wait(WAIT)
    results = in_background(lambda: list(pool.map([SUM, SUM])))
    closed = in_background(pool.close)
    hands.master.shutdown()
    for future in futures:
        assert isinstance(future.exception(WAIT), (TaskLost, RequestException, RuntimeError))
    assert isinstance(results.get(timeout=WAIT), (TaskLost, RequestException, RuntimeError))
    assert closed.get(timeout=WAIT) is None
    pool.close()
    with pytest.raises(RuntimeError, match=r"closed|shut down"):
        pool.submit(SUM)


def test_a_pool_may_be_closed_after_its_master(hands: Hands, make_pool: MakePool) -> None:
    pool = make_pool(hands.master)
    waiting = pool.submit(SUM)
    hands.master.shutdown()
    assert isinstance(waiting.exception(WAIT), RequestException)
    with pytest.raises(RuntimeError, match="shut down"):
        pool.submit(SUM)
    pool.close()


def test_each_end_was_had_by_its_future(hands: Hands, make_pool: MakePool) -> None:
    hands.add("one", backlog=3)
    pool = make_pool(hands.master, retries=1)
    futures = [pool.submit(SUM) for _ in range(10)]
    failing = pool.submit({})
    assert [future.result(WAIT) for future in futures] == [{"sum": 3}] * 10
    assert isinstance(failing.exception(WAIT), TaskFailed)
    assert hands.master.tasks() == []
    assert futures[0].task is not None
    assert hands.master.task(futures[0].task.id) is futures[0].task
