"""`map()` of a pool, over both facades: lazily, in order or as results get ready, and to its end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError
from functools import partial
from itertools import count
from typing import Any

import pytest

from interaction import SlavePool
from interaction.exception import (
    PayloadError,
    TaskFailed,
)
from tests.contract.conftest import (
    MakePool,
    plain_and_aio,
)
from tests.contract.hands import (
    SUM,
    WAITS,
    Hands,
    close,
    data_of,
    in_background,
    sums,
    total,
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


def test_map_gives_the_results_in_order(pool: SlavePool) -> None:
    results = pool.map({"a": number, "b": 1} for number in range(300))
    assert [one["sum"] for one in results] == list(range(1, 301))


def test_map_makes_the_data_of_items(pool: SlavePool) -> None:
    assert [one["sum"] for one in pool.map(data_of, range(40))] == list(range(1, 41))
    assert [one["sum"] for one in pool.map(data_of, iter([5]), ordered=False)] == [6]


def test_map_of_nothing_gives_nothing(pool: SlavePool) -> None:
    assert list(pool.map([])) == []
    assert list(pool.map(data_of, (), ordered=False)) == []


def test_map_gives_what_is_ready(hands: Hands, make_pool: MakePool) -> None:
    hands.add("one", "two")
    pool = make_pool(hands.master)
    results = pool.map([WAITS, SUM, SUM], ordered=False, in_flight=3)
    assert next(results) == {"sum": 3}
    assert next(results) == {"sum": 3}
    hands.go_on()
    assert list(results) == [{"waited": 1}]


def test_map_waits_for_what_is_next_in_order(hands: Hands, make_pool: MakePool) -> None:
    hands.add("one", "two")
    pool = make_pool(hands.master)
    answers = in_background(lambda: list(pool.map([WAITS, SUM])))
    while SUM not in hands.ran():
        threading.Event().wait(0.001)
    assert answers.empty()
    hands.go_on()
    assert answers.get(timeout=WAIT) == [{"waited": 1}, {"sum": 3}]


@pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "as completed"])
@pytest.mark.parametrize("in_flight", [1, 3, 50])
def test_map_takes_items_as_results_are_taken(pool: SlavePool, ordered: bool, in_flight: int) -> None:
    taken = 0

    def items() -> Iterator[Mapping[str, Any]]:
        nonlocal taken
        for data in sums():
            taken += 1
            yield data

    results = pool.map(items(), ordered=ordered, in_flight=in_flight)
    for given in range(1, 20):
        next(results)
        assert given <= taken < given + in_flight + 1
    close(results)


def test_map_has_twice_its_places_under_way(pool: SlavePool) -> None:
    taken: list[int] = []
    assert pool.places == 8

    def make(number: int) -> Mapping[str, Any]:
        taken.append(number)
        return data_of(number)

    results = pool.map(make, count())
    next(results)
    assert len(taken) == 16
    close(results)


def test_map_with_one_in_flight_runs_one_at_a_time(pool: SlavePool, hands: Hands) -> None:
    results = pool.map(sums(), in_flight=1)
    for number in range(1, 10):
        assert next(results)["sum"] == number
        assert len(hands.ran()) == number
    close(results)


@pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "as completed"])
def test_an_iterable_that_raises_does_so_after_what_came_before(pool: SlavePool, ordered: bool) -> None:
    def broken() -> Iterator[Mapping[str, Any]]:
        yield from (data_of(number) for number in range(30))
        raise LookupError("no more")

    given: list[Any] = []
    with pytest.raises(LookupError, match="no more"):
        given.extend(pool.map(broken(), ordered=ordered))
    assert sorted(one["sum"] for one in given) == list(range(1, 31))
    assert pool.submit(SUM).result(WAIT) == {"sum": 3}


def test_data_that_cant_be_sent_are_raised_after_what_came_before(pool: SlavePool) -> None:
    given: list[Any] = []
    with pytest.raises(PayloadError, match="data"):
        given.extend(pool.map([SUM, SUM, {"a": object()}, SUM]))
    assert given == [{"sum": 3}] * 2


def test_a_tasks_error_is_raised_in_its_turn_and_what_has_not_begun_is_not_done(hands: Hands, pool: SlavePool) -> None:
    given: list[Any] = []
    with pytest.raises(TaskFailed):
        given.extend(pool.map([SUM, {"a": 1}, *[WAITS] * 20], in_flight=22))
    assert given == [{"sum": 3}]
    hands.go_on()
    pool.close()
    assert len(hands.ran()) <= 2 + pool.places


def test_errors_are_given_in_their_place_where_that_is_wanted(pool: SlavePool) -> None:
    items = [SUM, {"a": 1}, SUM, {"b": 1}]
    given = list(pool.map(items, return_errors=True))
    assert [one if isinstance(one, dict) else type(one) for one in given] == [
        {"sum": 3},
        TaskFailed,
        {"sum": 3},
        TaskFailed,
    ]
    unordered = list(pool.map(items * 10, return_errors=True, ordered=False))
    assert sum(isinstance(one, TaskFailed) for one in unordered) == 20


def test_what_has_not_begun_is_not_done_where_the_iteration_ends_early(hands: Hands, make_pool: MakePool) -> None:
    slave = hands.add("one")
    pool = make_pool(hands.master)
    results = pool.map([SUM, WAITS, *[SUM] * 20], in_flight=20)
    assert next(results) == {"sum": 3}
    close(results)
    assert slave.running.wait(WAIT)
    slave.go_on.set()
    pool.close()
    assert slave.ran == [SUM, WAITS]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (({"a": 1},), {}, TypeError, "iterable of task data"),
        ((5,), {}, TypeError, "iterable of task data"),
        (([SUM], [1]), {}, TypeError, "function"),
        (([SUM],), {"in_flight": 0}, ValueError, "in_flight"),
        (([SUM],), {"in_flight": True}, TypeError, "in_flight"),
        (([SUM],), {"in_flight": 2.5}, TypeError, "in_flight"),
    ],
)
def test_arguments_of_map_that_cant_be(
    pool: SlavePool, arguments: tuple[Any, ...], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        list(pool.map(*arguments, **options))


def test_several_maps_at_once(pool: SlavePool) -> None:
    answers = [in_background(partial(total, pool, 100)) for _ in range(4)]
    assert [answer.get(timeout=WAIT) for answer in answers] == [5050] * 4


@pytest.mark.parametrize("options", [{}, {"ordered": False}, {"return_errors": True}], ids=str)
def test_a_map_whose_pool_is_closed_meanwhile_ends(hands: Hands, make_pool: MakePool, options: dict[str, Any]) -> None:
    begun = threading.Event()

    def items() -> Iterator[Mapping[str, Any]]:
        for data in sums():
            yield data
            begun.set()

    pool = make_pool(hands.master)
    answers = in_background(lambda: list(pool.map(items(), **options)))
    assert begun.wait(WAIT)
    pool.close(wait=False)
    assert isinstance(answers.get(timeout=WAIT), (CancelledError, RuntimeError, asyncio.CancelledError))
