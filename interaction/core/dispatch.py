"""Which job of a pool goes to which slave, and which is done again: least-loaded first, as many as there is place for.

Times are readings of one monotonic clock, in seconds.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from interaction.core.task import TaskStatus
from interaction.exception import (
    LossReason,
    RequestException,
    SlaveMasterTokenInvalid,
    SlaveSlaveNotConnected,
    SlaveSystemShuttingDown,
    SlaveTaskAlreadyExist,
    TaskLost,
)

# A slave that was full gets more when a quarter of its backlog is free: many in one message, not one by one.
BATCH_SHARE = 4
FIRST_REST, LONGEST_REST = 0.01, 1.0  # seconds that a slave which has no place, against what is known, is left alone
_SLACK = 64  # entries of a heap that may be out of date, beside as many as there are members

M = TypeVar("M")
J = TypeVar("J", bound="Job")

# A slave that answers so has not taken the task, and is about to leave.
_LEAVING = (SlaveSlaveNotConnected, SlaveMasterTokenInvalid, SlaveSystemShuttingDown)


class Job:
    """Something to be done, by a task or one after another. `retries_left` are those of its owner."""

    def __init__(self) -> None:
        self.retries_left = 0
        self.waits = False  # no slave has it
        self.member: _Member[Any] | None = None  # which slave has it, or had it last


@dataclass
class _Member(Generic[M]):
    """A slave, with the jobs that it has."""

    who: M
    slots: int
    places: int
    has: int = 0
    filling: bool = True  # it takes until it is full; then nothing until there is place for a batch
    turn: int = 0  # the number of its entry in the heap that holds; 0: none
    resting: bool = False
    rest: float = FIRST_REST  # how long the next one is

    def __post_init__(self) -> None:
        self.refilled_at = self.places - max(1, (self.places - self.slots) // BATCH_SHARE)


class Dispatcher(Generic[M, J]):
    """The jobs and the slaves of one pool."""

    def __init__(self, retries: int, *, retry_failed: bool) -> None:
        self._retries = retries
        self._retry_failed = retry_failed
        self.places = 0  # how many jobs all slaves together can have
        self._members: dict[M, _Member[M]] = {}
        self._waiting: deque[J] = deque()
        self._dropped = 0  # of those, how many do not wait any more
        self._ready: list[tuple[float, int, _Member[M]]] = []  # a heap: load and turn; what is out of date stays in it
        self._resting: list[tuple[float, int, _Member[M]]] = []  # a heap: when it has rested
        self._count = 0

    def __len__(self) -> int:
        return len(self._members)

    # Slaves.

    def join(self, who: M, slots: int, backlog: int) -> None:
        """A slave is there, or there again: what it had before does not count."""
        self.leave(who)
        member = self._members[who] = _Member(who, slots, slots + backlog)
        self.places += member.places
        self._offer(member)

    def leave(self, who: M) -> None:
        """A slave is gone; each job that it had will be told to have ended."""
        member = self._members.pop(who, None)
        if member is not None:
            self.places -= member.places
            member.turn = 0

    def _offer(self, member: _Member[M]) -> None:
        """Have a slave found by the load that it has now, where it takes jobs."""
        if member.has >= member.places:
            member.filling = False
        elif member.has <= member.refilled_at:
            member.filling = True
        member.turn = 0
        if not member.filling or member.resting or self._members.get(member.who) is not member:
            return
        self._count += 1
        member.turn = self._count
        heapq.heappush(self._ready, (member.has / member.slots, self._count, member))
        if len(self._ready) > 2 * len(self._members) + _SLACK:
            self._ready = [entry for entry in self._ready if entry[2].turn == entry[1]]
            heapq.heapify(self._ready)

    def _least_loaded(self) -> _Member[M] | None:
        """The slave at which a further job would wait for the fewest others. It has to be offered again."""
        while self._ready:
            _, turn, member = heapq.heappop(self._ready)
            if member.turn == turn:
                return member
        return None

    def _let_rest(self, member: _Member[M], seconds: float, now: float) -> None:
        if not member.resting:  # of many that it has refused at once the first one counts
            member.resting, member.rest = True, min(2 * member.rest, LONGEST_REST)
            self._count += 1
            heapq.heappush(self._resting, (now + seconds, self._count, member))

    def _wake(self, now: float) -> None:
        while self._resting and self._resting[0][0] <= now:
            member = heapq.heappop(self._resting)[2]
            member.resting = False
            self._offer(member)

    # Jobs.

    def add(self, job: J) -> None:
        """A job is to be done."""
        job.retries_left = self._retries
        job.waits = True
        self._waiting.append(job)

    def drop(self, job: J) -> bool:
        """Nobody wants a job any more. Says whether it is not done: no slave has it."""
        if not job.waits:
            return False
        job.waits = False
        self._dropped += 1
        if self._dropped > len(self._waiting) // 2 + _SLACK:
            self._waiting = deque(job for job in self._waiting if job.waits)
            self._dropped = 0
        return True

    def clear(self) -> list[J]:
        """No job that waits is to be done. Returns them."""
        waiting = [job for job in self._waiting if job.waits]
        for job in waiting:
            job.waits = False
        self._waiting.clear()
        self._dropped = 0
        return waiting

    @property
    def ready(self) -> bool:
        """Whether `next()` may have something to say."""
        return bool(self._waiting) and bool(self._ready or self._resting)

    def next(self, now: float) -> tuple[M, J] | None:
        """The next job, and the slave that it goes to; None while there is no job, or no place."""
        self._wake(now)
        while self._waiting and not self._waiting[0].waits:
            self._waiting.popleft()
            self._dropped -= 1
        member = self._least_loaded() if self._waiting else None
        if member is None:
            return None
        member.has += 1
        self._offer(member)
        job = self._waiting.popleft()
        job.waits, job.member = False, member
        return member.who, job

    def next_due(self) -> float | None:
        """When to ask again though nothing has happened: a slave has rested. None where nothing waits for that."""
        return self._resting[0][0] if self._waiting and self._resting else None

    def ended(self, job: J, status: TaskStatus, error: BaseException | None, now: float) -> bool:
        """The task of a job has ended. Says whether that is the job's end; else it waits again, before all others.

        What was LOST, or may have been taken by a slave that gave no answer, is done again as often as its owner
        allows; what FAILED, only where he says so. A task that was not taken, or was handed back, costs nothing.
        """
        member = job.member
        assert member is not None, "it was given to a slave"
        member.has -= 1
        again = False
        if _was_not_taken(status, error):
            self._let_rest(member, member.rest if isinstance(error, SlaveTaskAlreadyExist) else LONGEST_REST, now)
            again = True
        elif self._may_be_done_again(status, error):
            if status is TaskStatus.START_FAILED:  # it gave no answer, and may be lost: the others have their turn
                self._let_rest(member, LONGEST_REST, now)
            again = job.retries_left > 0
            job.retries_left = max(0, job.retries_left - 1)
        else:
            member.rest = FIRST_REST
        if again:
            job.waits = True
            self._waiting.appendleft(job)
        self._offer(member)
        return not again

    def _may_be_done_again(self, status: TaskStatus, error: BaseException | None) -> bool:
        if status is TaskStatus.START_FAILED:
            return isinstance(error, RequestException)
        return status is TaskStatus.LOST or (status is TaskStatus.FAILED and self._retry_failed)


def _was_not_taken(status: TaskStatus, error: BaseException | None) -> bool:
    """Whether it is certain that the task has not begun: its slave has said so."""
    if status is TaskStatus.START_FAILED:
        return isinstance(error, (SlaveTaskAlreadyExist, *_LEAVING))
    return isinstance(error, TaskLost) and error.reason is LossReason.RETURNED
