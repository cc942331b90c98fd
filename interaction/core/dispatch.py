"""Which job of a pool goes to which slave, and which is done again: least-loaded first, as many as it needs.

Times are readings of one monotonic clock, in seconds.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import Any, Generic, TypeVar

from interaction.core.again import Failures, may_have_killed, pause_after, was_not_taken
from interaction.core.member import FIRST_REST, Member
from interaction.core.patience import Patience
from interaction.core.task import TaskStatus
from interaction.exception import RequestException, SlaveTaskAlreadyExist

LONGEST_REST = 1.0  # seconds that a slave which has no place, against what is known, is left alone at most
SUSPECT = 2  # slaves that have died with a job: from then on it is done alone
_SLACK = 64  # entries of a heap that may be out of date, beside as many as there are members

M = TypeVar("M")
J = TypeVar("J", bound="Job")


class Job:
    """Something to be done, by a task or one after another. `retries_left` are those of its owner."""

    def __init__(self) -> None:
        self.retries_left = 0
        self.waits = False  # no slave has it
        self.member: Member[Any] | None = None  # which slave has it
        self.place = 0  # as how many that slave had with it when it was given
        self.since = 0.0  # when it was given to it; while it waits: when that began
        self.failures = 0
        self.deaths = 0  # slaves that have died with it


class Dispatcher(Generic[M, J]):
    """The jobs and the slaves of one pool. `wait` is how many seconds a job waits for a slave; None: any number.

    What is true of a job stands in the job, and changes in one step. All else is found for speed's sake: where anything
    was raised half-way through a decision, it is `in_doubt`, and made anew of that.
    """

    def __init__(self, retries: int, failures: Failures, wait: float | None = None) -> None:
        self._retries = retries
        self._failures = failures
        self._patience = Patience(wait)
        self.places = 0  # how many jobs all slaves together can have
        self.waiting = 0  # how many jobs no slave has
        self.in_doubt = False  # a decision is being made, or was left half-way
        self._jobs: dict[J, None] = {}  # all that have not ended, in the order in which they came
        self._members: dict[M, Member[M]] = {}
        self._queue: deque[J] = deque()
        self._dropped = 0  # of those, at most how many do not wait any more
        self._suspects: deque[J] = deque()  # jobs with which slaves have died: each is done alone
        self._ward: Member[M] | None = None  # the slave that is kept for them
        self._pausing: list[tuple[float, int, J]] = []  # a heap: jobs that have failed, and when they are done again
        self._ready: list[tuple[float, int, Member[M]]] = []  # a heap: load and turn; what is out of date stays in it
        self._resting: list[tuple[float, int, Member[M]]] = []  # a heap: when it has rested
        self._count = 0

    def __len__(self) -> int:
        return len(self._members)

    # Slaves.

    def join(self, who: M, slots: int, backlog: int, now: float) -> None:
        """A slave is there, or there again: what it had before does not count."""
        self.leave(who, now)
        if self.in_doubt:
            self._mend()
        self.in_doubt = True
        self._patience.found()
        member = self._members[who] = Member(who, slots, backlog)
        self.places += member.places
        self._offer(member)
        self.in_doubt = False

    def leave(self, who: M, now: float) -> None:
        """A slave is gone; each job that it had will be told to have ended."""
        if len(self._members) == 1 and who in self._members:
            self._patience.lacks(now)
        member = self._members.pop(who, None)
        if member is not None:
            self.places -= member.places
            member.turn = 0
            if self._ward is member:
                self._ward = None

    def _offer(self, member: Member[M]) -> None:
        """Have a slave found by the load that it has now, where it takes jobs."""
        member.turn = 0
        if not member.takes() or member is self._ward or self._members.get(member.who) is not member:
            return
        self._count += 1
        member.turn = self._count
        heapq.heappush(self._ready, (member.has / member.slots, self._count, member))
        if len(self._ready) > 2 * len(self._members) + _SLACK:
            self._ready = [entry for entry in self._ready if entry[2].turn == entry[1]]
            heapq.heapify(self._ready)

    def _least_loaded(self) -> Member[M] | None:
        """The slave at which a further job would wait for the fewest others. It has to be offered again."""
        while self._ready:
            _, turn, member = heapq.heappop(self._ready)
            if member.turn == turn:
                return member
        return None

    def _let_rest(self, member: Member[M], seconds: float, now: float) -> None:
        if member is self._ward:
            self._ward = None
        if not member.resting:  # of many that it has refused at once the first one counts
            member.resting, member.rest = True, min(2 * member.rest, LONGEST_REST)
            self._count += 1
            heapq.heappush(self._resting, (now + seconds, self._count, member))

    def _wake(self, now: float) -> None:
        while self._resting and self._resting[0][0] <= now:
            member = heapq.heappop(self._resting)[2]
            member.resting = False
            self._offer(member)
        while self._pausing and self._pausing[0][0] <= now:
            job = heapq.heappop(self._pausing)[2]
            if job.waits:
                self._queue_again(job)

    # Jobs.

    def add(self, job: J, now: float) -> None:
        """A job is to be done."""
        job.retries_left, job.since, job.waits = self._retries, now, True
        self._jobs[job] = None
        self.waiting += 1
        self._queue.append(job)

    def drop(self, job: J) -> bool:
        """Nobody wants a job any more. Says whether it is not done: no slave has it."""
        if not job.waits:
            return False
        job.waits = False
        del self._jobs[job]
        self.waiting -= 1
        self._dropped += 1
        if self._dropped > len(self._queue) // 2 + _SLACK:
            self._queue = deque(job for job in self._queue if job.waits)
            self._dropped = 0
        return True

    def clear(self) -> list[J]:
        """No job that waits is to be done. Returns them."""
        waiting = [job for job in self._jobs if job.waits]
        for job in waiting:
            job.waits = False
            del self._jobs[job]
        self._queue.clear()
        self._suspects.clear()
        self._pausing.clear()
        self._dropped = self.waiting = 0
        return waiting

    def _mend(self) -> None:
        """Something was raised half-way through a decision: find anew what is found for speed's sake."""
        self.in_doubt = True
        pausing = {id(job) for _, _, job in self._pausing}
        resting = {id(member) for _, _, member in self._resting}
        waiting = [job for job in self._jobs if job.waits]
        for member in self._members.values():
            member.has, member.turn, member.resting = 0, 0, id(member) in resting
        for job in self._jobs:
            if job.member is not None:
                job.member.has += 1
        ready = [job for job in waiting if id(job) not in pausing]
        self._queue = deque(job for job in ready if job.deaths < SUSPECT)
        self._suspects = deque(job for job in ready if job.deaths >= SUSPECT)
        self.waiting, self._dropped = len(waiting), 0
        self._ready.clear()
        for member in self._members.values():
            self._offer(member)
        self.in_doubt = False

    def next(self, now: float) -> tuple[M, J] | None:
        """The next job, and the slave that it goes to; None while there is no job, or no place."""
        if self.in_doubt:
            self._mend()
        self.in_doubt = True
        if self._resting or self._pausing:
            self._wake(now)
        found = self._next_suspect(now) if self._suspects or self._ward is not None else None
        if found is None:
            queue = self._queue
            while queue and not queue[0].waits:
                queue.popleft()
            member = self._least_loaded() if queue else None
            found = None if member is None else self._give(member, queue.popleft(), now)
        self.in_doubt = False
        return found

    def _give(self, member: Member[M], job: J, now: float) -> tuple[M, J]:
        member.has += 1
        self.waiting -= 1
        self._offer(member)
        job.waits, job.member, job.place, job.since = False, member, member.has, now  # nothing is raised any more
        return member.who, job

    def _first(self, jobs: deque[J]) -> J | None:
        while jobs and not jobs[0].waits:
            jobs.popleft()
        return jobs[0] if jobs else None

    def _next_suspect(self, now: float) -> tuple[M, J] | None:
        """A job with which slaves have died is done when its slave has nothing else: whether it is the cause or was
        beside it, no other job is there to die with it."""
        job, ward = self._first(self._suspects), self._ward
        if job is None:
            if ward is not None and not ward.has:
                self._ward = None
                self._offer(ward)
            return None
        if ward is None:
            ward = self._ward = self._least_loaded()
        if ward is None or ward.has:
            return None
        self._suspects.popleft()
        return self._give(ward, job, now)

    def next_due(self) -> float | None:
        """When to ask again though nothing has happened: for `next`, `given_up` or `warn`. None: not before it has."""
        if not self.waiting:
            return None
        dues = [heap[0][0] for heap in (self._resting, self._pausing) if heap]
        if not self._members:
            oldest = self._oldest()
            due = None if oldest is None else self._patience.due(oldest.since)
            dues += [] if due is None else [due]
        return min(dues, default=None)

    def _oldest(self) -> J | None:
        return self._first(self._suspects) or self._first(self._queue)

    def given_up(self, now: float) -> list[J]:
        """The jobs that have waited for a slave for long enough: they are not done any more."""
        if self._members:
            return []
        if self.in_doubt:
            self._mend()
        self.in_doubt = True
        self._wake(now)
        self.in_doubt = False
        late: list[J] = []
        for jobs in (self._suspects, self._queue):
            for job in jobs:
                if job.waits and not self._patience.over(job.since, now):
                    break
                late += [job] * job.waits
        for job in late:
            job.waits = False
            del self._jobs[job]
            self.waiting -= 1
        return late

    def warn(self, now: float) -> float | None:
        """For how many seconds jobs have waited for a slave, where that is to be told now. Says so once."""
        oldest = None if self._members else self._oldest()
        if oldest is None or not self._patience.warn(oldest.since, now):
            return None
        since = self._patience.waits_since(oldest.since)
        return None if since is None else now - since

    def ended(
        self,
        job: J,
        status: TaskStatus,
        error: BaseException | None,
        now: float,
        accepted_at: float | None = None,
    ) -> bool:
        """The task of a job has ended. Says whether that is the job's end; else it waits again, before all others.

        What was LOST, or may have been taken by a slave that gave no answer, is done again as often as its owner
        allows; what FAILED, only where he says so, and after a pause. A task that was not taken, or was handed back,
        costs nothing. `accepted_at`: when the slave was heard to have it, where that was before its end. Where this was
        left half-way it may be asked again, before the job is given again: it answers the same.
        """
        member = job.member
        if member is None:
            return not job.waits
        if self.in_doubt:
            self._mend()
        self.in_doubt = True
        again = pauses = costs = False
        rest, deaths = 0.0, job.deaths
        if was_not_taken(status, error):
            rest = member.rest if isinstance(error, SlaveTaskAlreadyExist) else LONGEST_REST
            again = True
        elif status is TaskStatus.LOST or (status is TaskStatus.START_FAILED and isinstance(error, RequestException)):
            if status is TaskStatus.START_FAILED:  # it gave no answer, and may be lost: the others have their turn
                rest = LONGEST_REST
            deaths += may_have_killed(error)
            again, costs = job.retries_left > 0, True
        else:
            member.rest = FIRST_REST
            if status in (TaskStatus.COMPLETED, TaskStatus.FAILED):
                member.depth.ended(job.place, job.since, accepted_at, now)
            if status is TaskStatus.FAILED and error in self._failures:
                again, costs = job.retries_left > 0, True
                pauses = again
        job.deaths, job.retries_left = deaths, max(0, job.retries_left - costs)
        job.since = now if again else job.since
        job.waits, job.member = again, None  # now it is decided
        member.has -= 1
        if rest:
            self._let_rest(member, rest, now)
        if again:
            self._do_again(job, now, pauses=pauses)
        else:
            del self._jobs[job]
        self._offer(member)
        self.in_doubt = False
        return not again

    def _do_again(self, job: J, now: float, *, pauses: bool) -> None:
        self.waiting += 1
        if pauses:
            job.failures += 1
            self._count += 1
            heapq.heappush(self._pausing, (now + pause_after(job.failures), self._count, job))
        else:
            self._queue_again(job)

    def _queue_again(self, job: J) -> None:
        if job.deaths >= SUSPECT:
            self._suspects.append(job)
        else:
            self._queue.appendleft(job)
