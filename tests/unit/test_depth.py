"""How deep slaves' backlogs are filled, in virtual time: a pool, slaves at some distance, and tasks of some length."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

import pytest

from interaction.core.again import Failures
from interaction.core.depth import CAREFUL_STEP
from interaction.core.dispatch import Dispatcher, Job
from interaction.core.outcomes import QUICK
from interaction.core.task import TaskStatus


@dataclass
class Machine:
    """A slave: how long a task takes there, and how far away it is."""

    seconds: float | Callable[[int], float]
    slots: int = 1
    backlog: int = 16
    way: float = 0.0005  # seconds, one way
    from_when: float = 0.0
    ran: int = 0
    most: int = 0  # as many had it at once
    free_at: list[float] = field(default_factory=list)

    def time_of(self, number: int) -> float:
        return self.seconds(number) if callable(self.seconds) else self.seconds


class Numbered(Job):
    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def run(machines: Sequence[Machine], jobs: int) -> float:
    """Have them do that many jobs. Returns how long it took."""
    pool: Dispatcher[int, Numbered] = Dispatcher(0, Failures(False))
    events: list[tuple[float, int, Callable[[float], None]]] = []
    order = count()

    def at(moment: float, what: Callable[[float], None]) -> None:
        heapq.heappush(events, (moment, next(order), what))

    def hand_out(now: float) -> None:
        while (found := pool.next(now)) is not None:
            who, job = found
            machine = machines[who]
            machine.most = max(machine.most, pool._members[who].has)
            arrives = now + machine.way
            begins = max(arrives, heapq.heappop(machine.free_at))
            ends = begins + machine.time_of(job.number)
            heapq.heappush(machine.free_at, ends)
            accepted = arrives + machine.way if ends - arrives > QUICK else None

            def ended(
                now: float, job: Numbered = job, machine: Machine = machine, heard: float | None = accepted
            ) -> None:
                machine.ran += 1
                pool.ended(job, TaskStatus.COMPLETED, None, now, heard)
                hand_out(now)

            at(ends + machine.way, ended)

    def joins(now: float, who: int) -> None:
        machine = machines[who]
        machine.free_at = [now] * machine.slots
        pool.join(who, machine.slots, machine.backlog, now)
        hand_out(now)

    for number in range(jobs):
        pool.add(Numbered(number), 0.0)
    for who, machine in enumerate(machines):
        at(machine.from_when, lambda now, who=who: joins(now, who))  # type: ignore[misc]
    now = 0.0
    while events:
        now, _, what = heapq.heappop(events)
        what(now)
    assert sum(machine.ran for machine in machines) == jobs
    return now


@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize("seconds", [0.05, 0.5, 60.0])
def test_jobs_that_take_their_time_do_not_wait_in_a_backlog(seconds: float, slots: int) -> None:
    machine = Machine(seconds, slots=slots, backlog=50)
    run([machine], 100)
    assert machine.most <= slots + slots // 2


@pytest.mark.parametrize("seconds", [0.00002, 0.0002])
@pytest.mark.parametrize("way", [0.0002, 0.002, 0.02])
def test_jobs_that_take_no_time_fill_it(seconds: float, way: float) -> None:
    machine = Machine(seconds, backlog=500, way=way)
    run([machine], 20_000)
    assert machine.most >= min(500, 0.03 / seconds)


@pytest.mark.parametrize("seconds", [0.00005, 0.001, 0.01])
@pytest.mark.parametrize("way", [0.0002, 0.005, 0.05])
def test_a_slave_at_any_distance_is_kept_busy(seconds: float, way: float) -> None:
    jobs = int(20 / seconds)
    jobs = min(jobs, 50_000)
    machine = Machine(seconds, backlog=10_000, way=way)
    assert run([machine], jobs) <= 1.1 * jobs * seconds + 80 * way


def test_a_slave_that_is_not_known_yet_is_given_little_however_quick_it_is() -> None:
    """Whatever kills it takes with it what waits there: of a hundred jobs, few."""
    machine = Machine(0.00002, backlog=50)
    run([machine], 100)
    assert machine.most <= 1 + 100 // CAREFUL_STEP


def test_a_late_slave_finds_work() -> None:
    """Twenty jobs waited in the backlog of one, and another that came later had nothing to do."""
    first, late = Machine(0.1, backlog=20), Machine(0.1, backlog=20, from_when=0.35)
    run([first, late], 20)
    assert late.ran >= 7


@pytest.mark.parametrize("seconds", [0.002, 0.01, 0.05, 0.2])
def test_a_slave_that_is_slower_costs_little(seconds: float) -> None:
    """With all of a backlog of 16, 1.20 times the ideal."""
    machines = [Machine(seconds), Machine(4 * seconds)]
    jobs = 200
    ideal = jobs * seconds / 1.25
    assert run(machines, jobs) <= ideal * 1.02 + 4 * seconds + 0.06


def test_jobs_that_get_longer_are_not_piled_up() -> None:
    machine = Machine(lambda number: 0.0001 if number < 2000 else 0.5, backlog=64)
    other = Machine(0.5, backlog=64, from_when=0.3)
    run([machine, other], 2200)
    assert abs((machine.ran - 2000) - other.ran) <= 66, "what was there already, and no more"


def test_jobs_that_get_shorter_are_given_more_at_once() -> None:
    machine = Machine(lambda number: 0.5 if number < 20 else 0.0001, backlog=64)
    run([machine], 3000)
    assert machine.most == 65
