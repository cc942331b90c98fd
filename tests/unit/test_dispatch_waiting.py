"""A pool's jobs where there is no slave: how long they wait, and what is told."""

from __future__ import annotations

import pytest

from interaction.core.again import Failures
from interaction.core.dispatch import Dispatcher
from interaction.core.patience import WARN_AFTER, WARN_EVERY
from tests.unit.dispatching import Named, Pool, add, given, join, pool_of


def patient(wait: float | None) -> Pool:
    return Dispatcher(0, Failures(False), wait)


def names(jobs: list[Named]) -> list[int]:
    return [job.name for job in jobs]


def test_without_a_slave_it_is_told_after_a_while_and_again() -> None:
    pool = patient(None)
    pool.add(Named(), 100.0)
    assert pool.next_due() == 100.0 + WARN_AFTER
    assert pool.warn(109.0) is None
    assert pool.warn(110.5) == pytest.approx(10.5)
    assert pool.warn(111.0) is None
    assert pool.next_due() == 110.5 + WARN_EVERY
    assert pool.warn(171.0) == pytest.approx(71.0)
    assert pool.given_up(1e9) == []
    join(pool, "a", 1, 0)
    assert given(pool) == [("a", 0)]
    assert pool.next_due() is None


def test_where_there_is_a_slave_waiting_is_not_told() -> None:
    pool = pool_of(a=(1, 0))
    add(pool, 2)
    given(pool)
    assert pool.next_due() is None
    assert pool.warn(1000.0) is None
    assert pool.given_up(1000.0) == []


def test_a_job_waits_for_a_slave_as_long_as_told_and_no_longer() -> None:
    pool = patient(5.0)
    for number, since in enumerate((0.0, 1.0, 7.0)):
        pool.add(Named(number), since)
    assert pool.next_due() == 5.0
    assert pool.given_up(4.9) == []
    assert names(pool.given_up(6.0)) == [0, 1]
    assert pool.waiting == 1
    assert pool.next_due() == 12.0
    join(pool, "a", 1, 0)
    assert given(pool, 8.0) == [("a", 2)]


def test_the_time_counts_from_the_last_slaves_end() -> None:
    pool = patient(5.0)
    join(pool, "a", 1, 0)
    for number in range(3):
        pool.add(Named(number), 0.0)
    assert given(pool) == [("a", 0)]
    assert pool.given_up(50.0) == []
    pool.leave("a", 50.0)
    assert pool.next_due() == 55.0
    assert names(pool.given_up(55.0)) == [1, 2]


def test_a_pool_that_does_not_wait_gives_up_at_once_what_is_queued() -> None:
    pool = patient(0.0)
    join(pool, "a", 1, 0)
    for number in range(3):
        pool.add(Named(number), 0.0)
    given(pool)
    pool.leave("a", 9.0)
    assert names(pool.given_up(9.0)) == [1, 2]
