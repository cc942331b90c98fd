"""A pool's jobs with which slaves have died: they are done alone."""

from __future__ import annotations

from interaction.core.again import FIRST_PAUSE
from interaction.core.dispatch import SUSPECT
from interaction.core.member import FIRST_REST
from interaction.core.task import TaskStatus
from interaction.exception import LossReason, SlaveSlaveNotConnected, TaskLost
from tests.unit.dispatching import END, FAILED, FULL, LOST, Named, Pool, add, given, join, pool_of


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


def test_what_had_not_begun_when_its_slave_died_costs_nothing() -> None:
    """However many slaves die with it: it is not the cause."""
    pool = pool_of(0, a=(1, 3))
    jobs = add(pool, 4)
    given(pool)
    for number in range(SUSPECT + 1):
        pool.leave(str(number) if number else "a", 0.0)
        error = TaskLost(LossReason.EXITED, "gone", may_have_begun=False)
        assert not pool.ended(jobs[1], TaskStatus.LOST, error, 0.0)
        assert not pool.ended(jobs[2], TaskStatus.START_FAILED, SlaveSlaveNotConnected("gone"), 0.0)
        join(pool, str(number + 1), 2, 0)
        assert {job for _, job in given(pool)} == {1, 2}
    assert pool.ended(jobs[0], TaskStatus.LOST, LOST, 0.0)
    assert [job.deaths for job in jobs] == [1, 0, 0, 0]
