"""A pool of slaves, over both facades: one task, where it goes, and how it ends."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import CancelledError
from queue import Queue
from typing import Any

import pytest

from interaction import Master, SlavePool, TaskRefuse, TaskStatus
from interaction.exception import (
    PayloadError,
    PayloadTooLarge,
    SlaveTaskRefused,
    TaskFailed,
    TaskLost,
)
from tests.contract.conftest import (
    MakeMaster,
    MakePool,
    MakeSlave,
    Worker,
    plain_and_aio,
)
from tests.contract.hands import (
    SUM,
    WAITS,
    Hands,
    started,
    with_hands,
)
from tests.contract.slave_programs import WAIT

facade = pytest.fixture(params=["plain", "aio"])(plain_and_aio)
hands = pytest.fixture(with_hands)


@pytest.fixture
def pool(hands: Hands, make_pool: MakePool) -> SlavePool:
    """Two slaves with a backlog."""
    hands.add("one", "two", backlog=3)
    return make_pool(hands.master)


# One task.


def test_a_result(hands: Hands, make_pool: MakePool) -> None:
    hands.add("one")
    future = make_pool(hands.master).submit(SUM)
    assert future.result(WAIT) == {"sum": 3}
    assert future.exception(WAIT) is None
    assert future.done()
    assert not future.cancelled()
    assert future.task is not None
    assert (future.task.status, future.task.task, future.task.result) == (TaskStatus.COMPLETED, SUM, {"sum": 3})


def test_without_data_it_is_an_empty_mapping(hands: Hands, make_pool: MakePool) -> None:
    slave = hands.add("one")
    assert isinstance(make_pool(hands.master).submit().exception(WAIT), TaskFailed)
    assert slave.ran == [{}]


def test_a_failure_is_raised(hands: Hands, make_pool: MakePool) -> None:
    hands.add("one")
    future = make_pool(hands.master).submit({"a": 1})
    with pytest.raises(TaskFailed, match="A or B not found"):
        future.result(WAIT)
    error = future.exception(WAIT)
    assert isinstance(error, TaskFailed)
    assert error.type == "TaskFail"
    assert future.task is not None
    assert future.task.result == {"message": "ab not found"}


def test_a_refusal_is_raised(hands: Hands, make_pool: MakePool) -> None:
    class Picky(Worker):
        def _before_task(self, data: Mapping[str, Any]) -> None:
            raise TaskRefuse({"picky": True})

    slave = hands.add("one", kind=Picky)
    with pytest.raises(SlaveTaskRefused) as caught:
        make_pool(hands.master, retries=3, retry_failed=True).submit(SUM).result(WAIT)
    assert caught.value.data == {"picky": True}
    assert slave.ran == []


@pytest.mark.parametrize(("data", "error"), [([1], TypeError), ({"a": {1, 2}}, PayloadError)])
def test_what_cant_be_sent_is_refused_where_it_is_submitted(
    hands: Hands, make_pool: MakePool, data: Any, error: type[Exception]
) -> None:
    slave = hands.add("one")
    pool = make_pool(hands.master)
    with pytest.raises(error):
        pool.submit(data)
    assert pool.submit(SUM).result(WAIT) == {"sum": 3}
    assert slave.ran == [SUM]


def test_the_masters_hook_makes_the_data(make_master: MakeMaster, make_slave: MakeSlave, make_pool: MakePool) -> None:
    class Doubling(Master):
        def _before_new_task(self, data: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
            assert data is not None
            if "stop" in data:
                raise LookupError("not today")
            return {key: 2 * value for key, value in data.items()}

    hands = Hands(make_master(Doubling), make_slave)
    hands.add("one")
    with make_pool(hands.master) as pool:
        future = pool.submit(SUM)
        assert future.result(WAIT) == {"sum": 6}
        assert future.task is not None
        assert future.task.task == SUM
        with pytest.raises(LookupError, match="not today"):
            pool.submit({"stop": 1}).result(WAIT)


def test_what_is_too_large_for_its_slave_is_an_error_of_that_task(hands: Hands, make_pool: MakePool) -> None:
    hands.add("small", max_message_bytes=100_000)
    pool = make_pool(hands.master, retries=3)
    large, quick = pool.submit({"echo": b"0" * 200_000}), pool.submit(SUM)
    with pytest.raises(PayloadTooLarge, match="200,0"):
        large.result(WAIT)
    assert quick.result(WAIT) == {"sum": 3}
    hands.add("large")
    assert make_pool(hands.master, names=["large"]).submit({"echo": b"0" * 200_000}).result(WAIT) == b"0" * 200_000


def test_results_that_nobody_reads_hold_nothing_up(hands: Hands, make_pool: MakePool) -> None:
    slave = hands.add("one", backlog=5)
    with make_pool(hands.master) as pool:
        for number in range(50):
            pool.submit({"a": number, "b": 0})
    assert len(slave.ran) == 50


# Where they go.


def test_each_goes_to_the_slave_with_the_least_to_do(hands: Hands, make_pool: MakePool) -> None:
    hands.add("one", "two", "three", backlog=4)
    pool = make_pool(hands.master)
    assert (len(pool), pool.places) == (3, 15)
    futures = [pool.submit(WAITS) for _ in range(3)]
    for slave in hands.slaves.values():
        assert slave.running.wait(WAIT)
    hands.go_on()
    assert [future.result(WAIT) for future in futures] == [{"waited": 1}] * 3


def test_slots_are_used_and_what_takes_its_time_does_not_wait_in_a_backlog(hands: Hands, make_pool: MakePool) -> None:
    inside: Queue[Any] = Queue()

    class Counting(Worker):
        def _process_task(self, task: Mapping[str, Any]) -> Any:
            inside.put(task)
            return super()._process_task(task)

    hands.add("one", kind=Counting, slots=2, backlog=3)
    pool = make_pool(hands.master)
    futures = [pool.submit({"wait": number}) for number in range(8)]
    assert {inside.get(timeout=WAIT)["wait"] for _ in range(2)} == {0, 1}
    assert all(future.task is not None for future in futures[:2])
    assert all(future.task is None for future in futures[2:])
    hands.go_on()
    assert [future.result(WAIT) for future in futures] == [{"waited": number} for number in range(8)]


def test_names_and_labels_say_who_may_be_used(hands: Hands, make_pool: MakePool) -> None:
    hands.add("cpu")
    hands.add("gpu-1", labels={"gpu": "a100", "zone": "b"})
    hands.add("gpu-2", labels={"gpu": "t4", "zone": "b"})
    for options, expected in (
        ({"names": ["cpu", "gpu-2", "nobody"]}, {"cpu", "gpu-2"}),
        ({"labels": {"zone": "b"}}, {"gpu-1", "gpu-2"}),
        ({"labels": {"zone": "b", "gpu": "a100"}}, {"gpu-1"}),
        ({"labels": {"zone": "b"}, "names": ["gpu-2", "cpu"]}, {"gpu-2"}),
        ({"labels": {}, "names": None}, {"cpu", "gpu-1", "gpu-2"}),
        ({"names": []}, set()),
    ):
        pool = make_pool(hands.master, **options)
        assert len(pool) == len(expected)
        for slave in hands.slaves.values():
            slave.ran.clear()
        if expected:
            assert len(list(pool.map([SUM] * 12))) == 12
            assert {name for name, slave in hands.slaves.items() if slave.ran} == expected
        pool.close()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"names": "one"}, TypeError, "names"),
        ({"names": [1]}, TypeError, "names"),
        ({"labels": {"gpus": 4}}, TypeError, "labels"),
        ({"labels": ["gpu"]}, TypeError, "labels"),
        ({"retries": -1}, ValueError, "retries"),
        ({"retries": True}, TypeError, "retries"),
        ({"retries": 1.0}, TypeError, "retries"),
        ({"retry_failed": lambda error: True}, TypeError, "retry_failed"),
        ({"retry_failed": [ValueError, int]}, TypeError, "retry_failed"),
        ({"wait_for_slaves": "long"}, TypeError, "wait_for_slaves"),
        ({"wait_for_slaves": None}, TypeError, "wait_for_slaves"),
        ({"wait_for_slaves": -1}, ValueError, "wait_for_slaves"),
        ({"wait_for_slaves": float("nan")}, ValueError, "wait_for_slaves"),
    ],
)
def test_a_mistake_is_an_error_at_once(
    master: Master, make_pool: MakePool, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make_pool(master, **options)


def test_a_master_that_does_not_run_has_no_pool(make_master: MakeMaster, make_pool: MakePool) -> None:
    master = make_master(Master)
    master.close()
    with pytest.raises(RuntimeError, match="shut down"):
        make_pool(master)


# The end.


def test_close_waits_for_all_and_then_takes_nothing_more(hands: Hands, pool: SlavePool) -> None:
    futures = [pool.submit(SUM) for _ in range(40)]
    pool.close()
    assert all(future.done() for future in futures)
    assert len(hands.ran()) == 40
    for call in (lambda: pool.submit(SUM), lambda: list(pool.map([SUM]))):
        with pytest.raises(RuntimeError, match="closed"):
            call()
    pool.close()
    pool.close(wait=False)
    assert hands.master["one"].new_task(SUM).start().join(WAIT).result == {"sum": 3}


def test_close_without_waiting_cancels_what_has_not_begun(hands: Hands, make_pool: MakePool) -> None:
    slave = hands.add("one")
    pool = make_pool(hands.master, retries=3)
    first, *others = [pool.submit(WAITS) for _ in range(5)]
    assert slave.running.wait(WAIT)
    pool.close(wait=False)
    assert all(future.cancelled() for future in others)
    for future in others:
        with pytest.raises(CancelledError):
            future.result(WAIT)
    assert not first.done()
    slave.go_on.set()
    assert first.result(WAIT) == {"waited": 1}
    assert slave.ran == [WAITS]


def test_what_is_lost_after_the_end_is_not_done_again(hands: Hands, make_pool: MakePool) -> None:
    slave = hands.add("one")
    pool = make_pool(hands.master, retries=3)
    future = pool.submit(WAITS)
    assert slave.running.wait(WAIT)
    started(future)
    other = hands.add("two")
    pool.close(wait=False)
    hands.master["one"].close()
    with pytest.raises((TaskLost, CancelledError)):
        future.result(WAIT)
    assert other.ran == []


def test_an_error_in_its_block_ends_a_pool_without_waiting(hands: Hands, make_pool: MakePool) -> None:
    pool = make_pool(hands.master)
    future = pool.submit(SUM)
    with pytest.raises(LookupError), pool:
        raise LookupError
    assert future.cancelled()


def test_what_was_cancelled_is_not_done_and_not_waited_for(hands: Hands, make_pool: MakePool) -> None:
    pool = make_pool(hands.master)
    futures = [pool.submit({"a": number, "b": 0}) for number in range(4)]
    assert futures[1].cancel()
    assert futures[1].cancelled()
    with pytest.raises(CancelledError):
        futures[1].result(WAIT)
    slave = hands.add("one")
    assert futures[3].result(WAIT) == {"sum": 3}
    assert [task["a"] for task in slave.ran] == [0, 2, 3]
    assert not futures[3].cancel()
    slave.close()
    waiting = pool.submit(SUM)
    assert waiting.cancel()
    pool.close()  # though there is no slave
