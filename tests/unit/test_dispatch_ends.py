"""A pool's jobs: what becomes of them when they end, fail, are lost or were not taken."""

from __future__ import annotations

import pytest

from interaction.core.again import FIRST_PAUSE, LONGEST_PAUSE
from interaction.core.dispatch import LONGEST_REST
from interaction.core.member import FIRST_REST
from interaction.core.task import TaskStatus
from interaction.exception import (
    JournalError,
    PayloadTooLarge,
    SlaveMasterTokenInvalid,
    SlaveSignatureInvalid,
    SlaveSignatureNotFound,
    SlaveSignatureStale,
    SlaveSlaveNotConnected,
    SlaveSystemShuttingDown,
    SlaveTaskRefused,
    TaskCancelled,
)
from tests.unit.dispatching import END, FAILED, FULL, LOST, SILENCE, Named, add, given, join, pool_of


@pytest.mark.parametrize(
    ("status", "error"),
    [
        END,
        (TaskStatus.FAILED, FAILED),
        (TaskStatus.CANCELLED, TaskCancelled("told to")),
        (TaskStatus.START_FAILED, SlaveTaskRefused("no")),
        (TaskStatus.START_FAILED, PayloadTooLarge("data", 2, 1)),
        (TaskStatus.START_FAILED, JournalError("full")),
    ],
)
def test_what_has_ended_is_not_done_again(status: TaskStatus, error: BaseException | None) -> None:
    pool = pool_of(5, a=(1, 0))
    (job,) = add(pool, 1)
    given(pool)
    assert pool.ended(job, status, error, 0.0)
    assert given(pool) == []


@pytest.mark.parametrize(
    ("status", "error"),
    [(TaskStatus.LOST, LOST), (TaskStatus.START_FAILED, SILENCE)],
)
def test_what_is_lost_or_may_have_been_taken_is_done_again_as_often_as_told(
    status: TaskStatus, error: BaseException
) -> None:
    pool = pool_of(2, a=(1, 0), b=(1, 0), c=(1, 0))
    (job,) = add(pool, 1)
    ends = []
    for _ in range(3):
        assert len(given(pool)) == 1
        ends.append(pool.ended(job, status, error, 0.0))
    assert ends == [False, False, True]
    assert given(pool) == []


def test_what_has_failed_is_done_again_only_where_told() -> None:
    pool = pool_of(1, retry_failed=True, a=(1, 0))
    (job,) = add(pool, 1)
    given(pool)
    assert not pool.ended(job, TaskStatus.FAILED, FAILED, 0.0)
    assert given(pool, FIRST_PAUSE) == [("a", 0)]
    assert pool.ended(job, TaskStatus.FAILED, FAILED, 0.0)


def test_what_is_done_again_goes_before_what_has_not_begun() -> None:
    pool = pool_of(1, a=(1, 0), b=(1, 0))
    jobs = add(pool, 4)
    assert {who for who, _ in given(pool)} == {"a", "b"}
    pool.leave("a", 0.0)
    assert not pool.ended(jobs[0], TaskStatus.LOST, LOST, 0.0)
    assert pool.ended(jobs[1], *END, 0.0)
    assert given(pool) == [("b", 0)]


@pytest.mark.parametrize(
    ("error", "rest"),
    [
        (FULL, FIRST_REST),
        (SlaveSystemShuttingDown("drained"), LONGEST_REST),
        (SlaveSlaveNotConnected("over"), LONGEST_REST),
        (SlaveMasterTokenInvalid("over"), LONGEST_REST),
        (SlaveSignatureStale("the clocks differ"), LONGEST_REST),
        (SlaveSignatureInvalid("another secret"), LONGEST_REST),
        (SlaveSignatureNotFound("no secret"), LONGEST_REST),
    ],
)
def test_what_was_not_taken_costs_nothing_and_its_slave_rests(error: BaseException, rest: float) -> None:
    pool = pool_of(a=(1, 4), b=(1, 0))
    jobs = add(pool, 2)
    at = dict(given(pool))
    assert not pool.ended(jobs[at["a"]], TaskStatus.START_FAILED, error, 10.0)
    assert given(pool, 10.0) == []  # b is full
    assert pool.next_due() == 10.0 + rest
    assert given(pool, 10.0 + 0.9 * rest) == []
    assert given(pool, 10.0 + rest) == [("a", at["a"])]
    assert pool.next_due() is None


def test_a_slave_that_has_no_place_rests_longer_each_time_until_it_has() -> None:
    pool = pool_of(a=(1, 0))
    (job,) = add(pool, 1)
    now, rests = 0.0, []
    for _ in range(9):
        given(pool, now)
        pool.ended(job, TaskStatus.START_FAILED, FULL, now)
        due = pool.next_due()
        assert due is not None
        rests.append(round(due - now, 6))
        now = due
    assert rests == [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0]
    given(pool, now)
    pool.ended(job, *END, now)
    (job,) = add(pool, 1)
    given(pool, now)
    pool.ended(job, TaskStatus.START_FAILED, FULL, now)
    assert pool.next_due() == now + FIRST_REST


def test_many_that_are_refused_at_once_make_it_rest_once() -> None:
    pool = pool_of(a=(1, 99))
    jobs = add(pool, 100)
    given(pool)
    for job in jobs:
        pool.ended(job, TaskStatus.START_FAILED, FULL, 0.0)
    assert pool.next_due() == FIRST_REST
    assert len(given(pool, FIRST_REST)) == 100
    pool.ended(jobs[0], TaskStatus.START_FAILED, FULL, FIRST_REST)
    assert pool.next_due() == pytest.approx(3 * FIRST_REST)


def test_who_rests_soonest_is_asked_first() -> None:
    pool = pool_of(a=(1, 0), b=(1, 0))
    jobs = add(pool, 2)
    at = dict(given(pool))
    pool.ended(jobs[at["a"]], TaskStatus.START_FAILED, SlaveSystemShuttingDown("drained"), 0.0)
    assert pool.next_due() == LONGEST_REST
    pool.ended(jobs[at["b"]], TaskStatus.START_FAILED, FULL, 0.0)
    assert pool.next_due() == FIRST_REST


def test_who_has_left_while_it_rested_gets_nothing() -> None:
    pool = pool_of(a=(1, 0))
    (job,) = add(pool, 1)
    given(pool)
    pool.ended(job, TaskStatus.START_FAILED, FULL, 0.0)
    pool.leave("a", 0.0)
    assert given(pool, 100.0) == []


def test_who_is_there_again_has_nothing_of_what_it_had_before() -> None:
    """With a journal, the ends of a session's tasks are told when they are written: the next session may be there."""
    pool = pool_of(a=(1, 0))
    add(pool, 3)
    (old,) = [job for who, job in [pool.next(0.0) or ("", Named())]]
    pool.leave("a", 0.0)
    join(pool, "a", 1, 0)
    assert given(pool) == [("a", 1)]
    assert pool.ended(old, TaskStatus.LOST, LOST, 0.0)
    assert given(pool) == []  # it still has one


# What has failed.


def test_what_has_failed_is_done_again_after_pauses_that_grow() -> None:
    """Two hundred retries took 0.2 s."""
    pool = pool_of(200, retry_failed=True, a=(1, 0))
    (job,) = add(pool, 1)
    now, pauses = 0.0, []
    for _ in range(9):
        assert given(pool, now) == [("a", 0)]
        assert not pool.ended(job, TaskStatus.FAILED, FAILED, now)
        assert given(pool, now) == []
        due = pool.next_due()
        assert due is not None
        pauses.append(round(due - now, 6))
        now = due
    assert pauses == [FIRST_PAUSE, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, LONGEST_PAUSE, LONGEST_PAUSE]


def test_others_go_on_while_one_pauses_and_one_that_nobody_wants_is_forgotten() -> None:
    pool = pool_of(1, retry_failed=True, a=(1, 0))
    jobs = add(pool, 3)
    for job in jobs[:2]:
        given(pool)
        assert not pool.ended(job, TaskStatus.FAILED, FAILED, 0.0)
    assert pool.drop(jobs[1])
    assert pool.waiting == 2
    assert given(pool) == [("a", 2)]
    assert pool.ended(jobs[2], *END, 0.0)
    assert given(pool, FIRST_PAUSE) == [("a", 0)]
    assert pool.waiting == 0
    assert pool.next_due() is None


def test_what_pauses_is_cleared_too() -> None:
    pool = pool_of(1, retry_failed=True, a=(1, 0))
    jobs = add(pool, 2)
    given(pool)
    assert not pool.ended(jobs[0], TaskStatus.FAILED, FAILED, 0.0)
    assert {job.name for job in pool.clear()} == {0, 1}
    assert given(pool, 100.0) == []
