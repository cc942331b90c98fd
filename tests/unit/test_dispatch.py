"""The jobs and the slaves of a pool: who gets what, what is done again, and that nothing is lost or waits for ever."""

from __future__ import annotations

import pytest

from interaction.core.member import BATCH_SHARE
from interaction.core.task import TaskStatus
from tests.unit.dispatching import END, SILENCE, add, given, join, pool_of


def test_jobs_go_out_in_their_order_as_many_as_there_is_place_for() -> None:
    pool = pool_of(a=(1, 2))
    jobs = add(pool, 5)
    assert given(pool) == [("a", 0), ("a", 1), ("a", 2)]
    assert pool.ended(jobs[0], *END, 0.0)
    assert given(pool) == [("a", 3)]


def test_without_a_slave_they_wait() -> None:
    pool = pool_of()
    add(pool, 2)
    assert given(pool) == []
    join(pool, "a", 1, 0)
    assert given(pool) == [("a", 0)]


def test_places_are_slots_and_backlogs_of_those_who_are_there() -> None:
    pool = pool_of(a=(2, 10), b=(1, 0))
    assert (len(pool), pool.places) == (2, 13)
    join(pool, "b", 3, 1)  # there again, with more
    assert (len(pool), pool.places) == (2, 16)
    pool.leave("a", 0.0)
    pool.leave("a", 0.0)
    assert (len(pool), pool.places) == (1, 4)


def test_the_least_loaded_is_next_whatever_its_size() -> None:
    pool = pool_of(small=(1, 9), large=(4, 9))
    add(pool, 10)
    assert [who for who, _ in given(pool)].count("large") == 8


def test_who_has_finished_is_the_least_loaded_at_once() -> None:
    pool = pool_of(a=(1, 9), b=(1, 9))
    jobs = add(pool, 8)
    at = {name: who for who, name in given(pool)}
    for job in jobs:
        if at[job.name] == "a":
            assert pool.ended(job, *END, 0.0)
    add(pool, 4, first=8)
    assert [who for who, _ in given(pool)] == ["a"] * 4


def test_what_is_known_of_a_load_that_is_over_counts_no_more() -> None:
    pool = pool_of(a=(1, 9), b=(1, 9))
    at_a = [job for job in add(pool, 4) if (pool.next(0.0) or ("", job))[0] == "a"]
    for number in range(4, 8):
        pool.ended(at_a.pop(), *END, 0.0)
        at_a += add(pool, 1, first=number)
        assert given(pool) == [("a", number)]
    add(pool, 8, first=8)
    assert [len({who for who, _ in two}) for two in zip(*[iter(given(pool))] * 2, strict=True)] == [2, 2, 2, 2]


def test_a_slave_that_was_full_gets_a_batch_and_none_of_its_slots_is_idle_meanwhile() -> None:
    pool = pool_of(a=(2, 100))
    jobs = add(pool, 150)
    assert len(given(pool)) == 102
    for job in jobs[: 100 // BATCH_SHARE - 1]:
        pool.ended(job, *END, 0.0)
        assert given(pool) == []
    pool.ended(jobs[100 // BATCH_SHARE], *END, 0.0)
    assert len(given(pool)) == 100 // BATCH_SHARE


@pytest.mark.parametrize(("slots", "backlog"), [(1, 0), (3, 0), (1, 1), (1, 3), (2, 7), (64, 2)])
def test_a_small_backlog_is_filled_one_by_one(slots: int, backlog: int) -> None:
    pool = pool_of(a=(slots, backlog))
    jobs = add(pool, slots + backlog + 1)
    assert len(given(pool)) == slots + backlog
    pool.ended(jobs[0], *END, 0.0)
    assert given(pool) == [("a", slots + backlog)]


# What nobody wants any more.


def test_a_job_that_was_dropped_is_not_done() -> None:
    pool = pool_of()
    jobs = add(pool, 3)
    assert pool.drop(jobs[0])
    assert pool.drop(jobs[2])
    assert not pool.drop(jobs[2])
    join(pool, "a", 1, 9)
    assert given(pool) == [("a", 1)]
    assert not pool.drop(jobs[1])  # a slave has it
    assert given(pool) == []


def test_what_waits_is_cleared_and_no_more() -> None:
    pool = pool_of(a=(1, 0))
    jobs = add(pool, 4)
    given(pool)
    pool.drop(jobs[2])
    assert pool.clear() == [jobs[1], jobs[3]]
    assert not pool.drop(jobs[1])
    assert pool.ended(jobs[0], *END, 0.0)
    assert given(pool) == []


def test_what_was_dropped_takes_no_memory_for_long() -> None:
    pool = pool_of()
    kept = add(pool, 1)
    for number in range(10_000):
        (job,) = add(pool, 1, first=number)
        pool.drop(job)
    assert len(pool._queue) < 1000
    join(pool, "a", 1, 0)
    found = pool.next(0.0)
    assert found is not None
    assert found[1] is kept[0]


def test_entries_that_are_out_of_date_are_few() -> None:
    pool = pool_of(a=(1, 9), b=(1, 9))
    for number in range(10_000):
        (job,) = add(pool, 1, first=number)
        assert pool.next(0.0) is not None
        pool.ended(job, *END, 0.0)
    assert len(pool._ready) < 1000


def test_a_slave_that_gives_no_answer_rests_and_others_get_its_jobs() -> None:
    """It may be dead, and is the least loaded: it would use up all retries of a job before it is known as lost."""
    pool = pool_of(6, dead=(1, 0), living=(1, 0))
    add(pool, 1)
    first = pool.next(0.0)
    assert first is not None
    assert not pool.ended(first[1], TaskStatus.START_FAILED, SILENCE, 0.0)
    again = pool.next(0.0)
    assert again is not None
    assert again[0] != first[0]
