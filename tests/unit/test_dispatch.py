"""The jobs and the slaves of a pool: who gets what, what is done again, and that nothing is lost or waits for ever."""

from __future__ import annotations

import pytest

from interaction.core.again import FIRST_PAUSE, LONGEST_PAUSE, Failures
from interaction.core.dispatch import LONGEST_REST, SUSPECT, Dispatcher, Job
from interaction.core.member import BATCH_SHARE, FIRST_REST
from interaction.core.patience import WARN_AFTER, WARN_EVERY
from interaction.core.task import TaskStatus
from interaction.exception import (
    JournalError,
    LossReason,
    PayloadTooLarge,
    RequestException,
    SlaveMasterTokenInvalid,
    SlaveSlaveNotConnected,
    SlaveSystemShuttingDown,
    SlaveTaskAlreadyExist,
    SlaveTaskRefused,
    TaskCancelled,
    TaskFailed,
    TaskLost,
)

LOST = TaskLost(LossReason.EXITED, "gone")
FAILED = TaskFailed("ValueError", "no")
SILENCE = RequestException("no answer", "DEADLINE_EXCEEDED")
FULL = SlaveTaskAlreadyExist("full")
END = (TaskStatus.COMPLETED, None)


class Named(Job):
    def __init__(self, name: int = 0) -> None:
        super().__init__()
        self.name = name


Pool = Dispatcher[str, Named]


def pool_of(retries: int = 0, *, retry_failed: bool = False, **slaves: tuple[int, int]) -> Pool:
    """A pool of slaves with so many slots, and such a backlog; each is known to be quick enough to have all of it."""
    pool: Pool = Dispatcher(retries, Failures(retry_failed))
    for who, (slots, backlog) in slaves.items():
        join(pool, who, slots, backlog)
    return pool


def join(pool: Pool, who: str, slots: int, backlog: int) -> None:
    pool.join(who, slots, backlog, 0.0)
    pool._members[who].depth.extra = backlog


def add(pool: Pool, count: int, first: int = 0) -> list[Named]:
    jobs = [Named(number) for number in range(first, first + count)]
    for job in jobs:
        pool.add(job, 0.0)
    return jobs


def given(pool: Pool, now: float = 0.0) -> list[tuple[str, int]]:
    """All that the pool hands out at that moment."""
    found = []
    while (one := pool.next(now)) is not None:
        found.append((one[0], one[1].name))
    return found


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


# How jobs end.


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


# What slaves have died with.


def test_jobs_with_which_slaves_have_died_are_done_one_at_a_time() -> None:
    """One of them may be why, and takes no other with it then."""
    pool = pool_of(5, a=(2, 4), b=(2, 4))
    jobs, at = add(pool, 6), {}
    for dead in ("a", "b"):
        at.update({name: who for who, name in given(pool)})
        pool.leave(dead, 0.0)
        for name in [name for name, who in at.items() if who == dead]:
            assert not pool.ended(jobs[name], TaskStatus.LOST, LOST, 0.0)
    suspects = [job for job in jobs if job.deaths >= SUSPECT]
    others = [job.name for job in jobs if job.deaths < SUSPECT]
    assert len(suspects) == 3
    join(pool, "c", 2, 4)
    for job in suspects:
        assert given(pool) == [("c", job.name)]
        assert pool.ended(job, *END, 0.0)
    assert sorted(name for _, name in given(pool)) == others


def died_twice(pool: Pool) -> Named:
    (job,) = add(pool, 1, first=99)
    for dead in ("x", "y"):
        join(pool, dead, 1, 0)
        assert given(pool) == [(dead, 99)]
        pool.leave(dead, 0.0)
        assert not pool.ended(job, TaskStatus.LOST, LOST, 0.0)
    return job


def test_a_suspect_waits_until_its_slave_has_nothing_else_and_others_go_on_elsewhere() -> None:
    pool = pool_of(9)
    suspect = died_twice(pool)
    join(pool, "a", 1, 1)
    join(pool, "b", 1, 1)
    jobs = add(pool, 6)
    first = given(pool)
    assert first[0] == ("a", 99) or first[0] == ("b", 99)
    ward = first[0][0]
    other = "b" if ward == "a" else "a"
    assert first[1:] == [(other, 0), (other, 1)]
    assert pool.ended(suspect, *END, 0.0)
    assert given(pool) == [(ward, 2), (ward, 3)], "it is as the others again"
    assert pool.ended(jobs[2], *END, 0.0)
    assert given(pool) == [(ward, 4)]


def test_a_slave_that_is_kept_for_suspects_may_leave_or_have_no_place() -> None:
    pool = pool_of(9)
    suspect = died_twice(pool)
    join(pool, "a", 1, 0)
    assert given(pool) == [("a", 99)]
    assert not pool.ended(suspect, TaskStatus.START_FAILED, FULL, 0.0)
    join(pool, "b", 1, 0)
    assert given(pool) == [("b", 99)]
    pool.leave("b", 0.0)
    assert not pool.ended(suspect, TaskStatus.LOST, LOST, 0.0)
    assert given(pool) == []
    assert given(pool, FIRST_REST) == [("a", 99)]


def test_a_suspect_that_fails_is_still_one_after_its_pause() -> None:
    pool = pool_of(9, retry_failed=True)
    suspect = died_twice(pool)
    join(pool, "a", 1, 1)
    assert given(pool) == [("a", 99)]
    assert not pool.ended(suspect, TaskStatus.FAILED, FAILED, 0.0)
    (job,) = add(pool, 1)
    assert given(pool) == [("a", 0)]
    assert given(pool, FIRST_PAUSE) == [], "it would be beside another"
    assert pool.ended(job, *END, FIRST_PAUSE)
    assert given(pool, FIRST_PAUSE) == [("a", 99)]


def test_what_was_lost_otherwise_is_no_suspect() -> None:
    pool = pool_of(9, a=(1, 1))
    jobs = add(pool, 2)
    for _ in range(3):
        assert len(given(pool)) == 2
        for job in reversed(jobs):
            assert not pool.ended(job, TaskStatus.LOST, TaskLost(LossReason.DISCONNECTED, "left"), 0.0)


def test_what_was_handed_back_costs_nothing_and_its_slave_rests() -> None:
    pool = pool_of(0, a=(1, 1))
    jobs = add(pool, 2)
    given(pool)
    assert not pool.ended(jobs[1], TaskStatus.LOST, TaskLost(LossReason.RETURNED, "it drains"), 0.0)
    assert jobs[1].deaths == 0
    join(pool, "b", 1, 0)
    assert given(pool) == [("b", 1)]
    assert pool.next_due() is None


# Where there is no slave.


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
