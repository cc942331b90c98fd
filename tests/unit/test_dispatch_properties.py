"""The pool's dispatcher against a plain model of it: slaves come and go, and jobs end in every way."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from interaction.core.again import Failures, pause_after
from interaction.core.dispatch import LONGEST_REST, SUSPECT, Dispatcher, Job
from interaction.core.member import BATCH_SHARE, FIRST_REST
from interaction.core.task import TaskStatus
from interaction.exception import (
    LossReason,
    RequestException,
    SlaveSystemShuttingDown,
    SlaveTaskAlreadyExist,
    SlaveTaskRefused,
    TaskCancelled,
    TaskFailed,
    TaskLost,
)

RETRIES = 3
FINAL: list[tuple[TaskStatus, BaseException | None]] = [
    (TaskStatus.COMPLETED, None),
    (TaskStatus.CANCELLED, TaskCancelled("told to")),
    (TaskStatus.START_FAILED, SlaveTaskRefused("no")),
]
COSTS: list[tuple[TaskStatus, BaseException]] = [
    (TaskStatus.LOST, TaskLost(LossReason.EXITED, "gone")),
    (TaskStatus.START_FAILED, RequestException("no answer", "DEADLINE_EXCEEDED")),
]
FULL = (TaskStatus.START_FAILED, SlaveTaskAlreadyExist("full"))
LEAVING = (TaskStatus.START_FAILED, SlaveSystemShuttingDown("drained"))
FAILED = (TaskStatus.FAILED, TaskFailed("ValueError", "no"))
ENDS = [*FINAL, *COSTS, FAILED, FULL, LEAVING]


@dataclass(eq=False)
class Slave:
    """One session of a slave."""

    who: int
    slots: int
    backlog: int
    jobs: list[Work] = field(default_factory=list)
    here: bool = True
    rest: float = FIRST_REST
    rests_until: float | None = None
    extra: int = 0  # how many jobs it may have beyond its slots, as its pace is

    @property
    def places(self) -> int:
        return self.slots + self.backlog

    @property
    def has_room(self) -> bool:
        """It has place for a batch, or one slot or more is idle."""
        most = self.slots + self.extra
        return len(self.jobs) <= most - max(1, self.extra // BATCH_SHARE) or len(self.jobs) < self.slots


class Work(Job):
    """One job, and what the model knows of it."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.at: Slave | None = None
        self.costs = 0
        self.ends = 0
        self.kills = 0
        self.fails = 0


class Machine(RuleBasedStateMachine):
    """`retry_failed` is on; a pool without it is the same with fewer reasons."""

    def __init__(self) -> None:
        super().__init__()
        self.pool: Dispatcher[int, Work] = Dispatcher(RETRIES, Failures(True))
        self.now = 0.0
        self.all: list[Work] = []
        self.waiting: list[Work] = []  # in order
        self.suspects: list[Work] = []  # in order
        self.pausing: list[tuple[float, int, Work]] = []
        self.members: dict[int, Slave] = {}
        self.sessions: list[Slave] = []
        self.counted = 0

    # Slaves.

    @rule(who=st.integers(0, 3), slots=st.integers(1, 3), backlog=st.sampled_from([0, 0, 1, 3, 8, 12]))
    def join(self, who: int, slots: int, backlog: int) -> None:
        """A slave is there, or there again."""
        if who in self.members:
            self.members[who].here = False
        slave = self.members[who] = Slave(who, slots, backlog)
        self.sessions.append(slave)
        self.pool.join(who, slots, backlog, self.now)

    @rule(number=st.integers(0, 3))
    @precondition(lambda self: self.members)
    def leave(self, number: int) -> None:
        """Its jobs will be told to be lost, now or later."""
        slave = list(self.members.values())[number % len(self.members)]
        slave.here = False
        del self.members[slave.who]
        self.pool.leave(slave.who, self.now)

    # Jobs.

    @rule(count=st.integers(1, 20))
    def add(self, count: int) -> None:
        for _ in range(count):
            work = Work(len(self.all))
            self.all.append(work)
            self.waiting.append(work)
            self.pool.add(work, self.now)

    @rule(number=st.integers(0, 1000))
    @precondition(lambda self: self.all)
    def drop(self, number: int) -> None:
        work = self.all[number % len(self.all)]
        pausing = [entry for entry in self.pausing if entry[2] is work]
        assert self.pool.drop(work) is (work in self.waiting or work in self.suspects or bool(pausing))
        if pausing:
            self.pausing.remove(pausing[0])
            work.ends += 1
        for line in (self.waiting, self.suspects):
            if work in line:
                line.remove(work)
                work.ends += 1

    @rule(most=st.sampled_from([1, 100]))
    def hand_out(self, most: int) -> None:
        for _ in range(most):
            if not self._hand_out():
                return

    def _hand_out(self) -> bool:
        for slave in self.members.values():
            if slave.rests_until is not None and slave.rests_until <= self.now:
                slave.rests_until = None
        for slave in self.members.values():
            slave.extra = self.pool._members[slave.who].depth.extra
            assert 0 <= slave.extra <= slave.backlog
        for entry in sorted(entry for entry in self.pausing if entry[0] <= self.now):
            self.pausing.remove(entry)
            self._queue_again(entry[2])
        awake = [slave for slave in self.members.values() if slave.rests_until is None]
        rooms = {slave.who: len(slave.jobs) / slave.slots for slave in awake if slave.has_room}
        found = self.pool.next(self.now)
        if self.pool._ward is not None:  # for suspects alone
            rooms.pop(self.pool._ward.who, None)
        if found is None:
            assert not self.waiting or not rooms, "a job waits though there is place for it"
            assert not self.suspects or not any(not slave.jobs for slave in awake if self.pool._ward is None)
            return False
        who, work = found
        slave = self.members[who]
        assert slave in awake
        assert all(other.kills < SUSPECT for other in slave.jobs), "it is beside a suspect"
        if work.kills >= SUSPECT:
            assert work is self.suspects.pop(0)
            assert not slave.jobs, "a suspect is not alone"
        else:
            assert len(slave.jobs) < slave.slots + slave.extra
            assert len(slave.jobs) / slave.slots <= min(rooms.values(), default=float("inf")), "another had less to do"
            assert work is self.waiting.pop(0)
        slave.jobs.append(work)
        work.at = slave
        return True

    @rule(
        session=st.integers(0, 100),
        count=st.integers(1, 9),
        how=st.sampled_from([*FINAL, *COSTS, FAILED, FULL, LEAVING]),
    )
    @precondition(lambda self: any(slave.jobs for slave in self.sessions))
    def end(self, session: int, count: int, how: tuple[TaskStatus, BaseException | None]) -> None:
        """Some jobs of one slave end so."""
        busy = [slave for slave in self.sessions if slave.jobs]
        for work in busy[session % len(busy)].jobs[:count]:
            self._end(work, how)

    def _end(self, work: Work, how: tuple[TaskStatus, BaseException | None]) -> None:
        slave = work.at
        assert slave is not None
        final = self.pool.ended(work, *how, self.now)
        slave.jobs.remove(work)
        work.at = None
        if how in (FULL, LEAVING):
            assert not final
            if slave.rests_until is None:
                slave.rests_until = self.now + (slave.rest if how is FULL else LONGEST_REST)
                slave.rest = min(2 * slave.rest, LONGEST_REST)
        elif how in FINAL:
            assert final
            slave.rest = FIRST_REST
        else:
            work.costs += 1
            work.kills += how in COSTS
            assert final is (work.costs > RETRIES)
            if how[0] is TaskStatus.START_FAILED and slave.rests_until is None:
                slave.rests_until = self.now + LONGEST_REST
                slave.rest = min(2 * slave.rest, LONGEST_REST)
        if final:
            work.ends += 1
        elif how is FAILED:
            work.fails += 1
            self.counted += 1
            self.pausing.append((self.now + pause_after(work.fails), self.counted, work))
        else:
            self._queue_again(work)

    def _queue_again(self, work: Work) -> None:
        if work.kills >= SUSPECT:
            self.suspects.append(work)
        else:
            self.waiting.insert(0, work)

    @rule()
    def time_passes(self) -> None:
        """Until the pool wants to be asked again."""
        rests = [slave.rests_until for slave in self.members.values() if slave.rests_until is not None]
        if not (self.waiting or self.suspects):
            rests = []
        rests += [at for at, _, _ in self.pausing]
        due = self.pool.next_due()
        if rests:
            assert due is not None, "nobody would ask again"
            assert due <= min(rests), "too late"
        if due is not None:
            self.now = max(self.now, due)

    # What always holds.

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        where = Counter(work.number for work in [*self.waiting, *self.suspects])
        where.update(work.number for _, _, work in self.pausing)
        assert self.pool.waiting == where.total()
        where.update(work.number for slave in self.sessions for work in slave.jobs)
        where.update({work.number: work.ends for work in self.all})
        assert all(where[work.number] == 1 for work in self.all)

    @invariant()
    def its_places_are_those_of_its_slaves(self) -> None:
        assert len(self.pool) == len(self.members)
        assert self.pool.places == sum(slave.places for slave in self.members.values())

    def teardown(self) -> None:
        """Whatever has happened: where slaves do their work every job comes to its end."""
        self.join(0, 1, 0)
        for _ in range(10_000):
            if all(work.ends == 1 for work in self.all):
                return
            self.time_passes()
            while self._hand_out():
                pass
            for slave in self.sessions:
                for work in list(slave.jobs):
                    self._end(work, FINAL[0] if slave.here else COSTS[0])
        raise AssertionError("a job waits for ever")


TestDispatcher = Machine.TestCase
TestDispatcher.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
