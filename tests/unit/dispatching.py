"""Pools and jobs for tests of the dispatcher."""

from __future__ import annotations

from interaction.core.again import Failures
from interaction.core.dispatch import Dispatcher, Job
from interaction.core.task import TaskStatus
from interaction.exception import LossReason, RequestException, SlaveTaskAlreadyExist, TaskFailed, TaskLost

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
