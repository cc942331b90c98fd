"""Whatever raises in the middle of a decision about a pool's jobs: no job and no place is lost."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from interaction.core.again import Failures
from interaction.core.dispatch import Dispatcher, Job
from interaction.core.task import TaskStatus
from interaction.exception import LossReason, SlaveTaskAlreadyExist, TaskFailed, TaskLost

KILLED = TaskLost(LossReason.EXITED, "gone")
END = (TaskStatus.COMPLETED, None)
PATIENCE = 5.0


class Named(Job):
    def __init__(self, name: int) -> None:
        super().__init__()
        self.name = name


class Broken(Exception):
    """Raised at a call."""


class Story:
    """A pool of two slaves, and eight jobs, with something of everything. Each step may be broken off, and is made
    again then, as its caller does."""

    def __init__(self) -> None:
        self.pool: Dispatcher[str, Named] = Dispatcher(3, Failures(True), PATIENCE)
        self.jobs = [Named(number) for number in range(8)]
        self.given: Counter[int] = Counter()
        self.ended: set[int] = set()
        self.at: dict[int, str] = {}
        self.now = 0.0

    def insist(self, step: Callable[[], object]) -> None:
        with suppress(Broken):
            step()
            return
        step()

    def give(self) -> None:
        while (found := self.pool.next(self.now)) is not None:
            self.given[found[1].name] += 1
            self.at[found[1].name] = found[0]

    def end(self, name: int, status: TaskStatus, error: BaseException | None) -> None:
        said: list[bool] = []
        self.insist(lambda: said.append(self.pool.ended(self.jobs[name], status, error, self.now)))
        del self.at[name]
        if said[0]:
            self.ended.add(name)

    def tell(self) -> None:
        pool = self.pool
        self.insist(lambda: pool.join("a", 1, 1, self.now))
        for job in self.jobs[:7]:
            pool.add(job, self.now)
        self.insist(lambda: pool.join("b", 2, 0, self.now))
        self.insist(self.give)
        first, second, third = sorted(self.at)[:3]
        self.end(first, TaskStatus.FAILED, TaskFailed("ValueError", "no"))
        self.end(second, TaskStatus.START_FAILED, SlaveTaskAlreadyExist("full"))
        self.insist(lambda: pool.drop(self.jobs[6]))
        self.insist(lambda: pool.leave("b", self.now))
        self.end(third, TaskStatus.LOST, KILLED)
        self.insist(lambda: pool.join("b", 2, 0, self.now))
        self.insist(self.give)
        if third in self.at:
            self.end(third, TaskStatus.LOST, KILLED)  # from now on it is done alone
        self.finish()
        for who in list(pool._members):
            self.insist(lambda who=who: pool.leave(who, self.now))  # type: ignore[misc]
        pool.add(self.jobs[7], self.now)
        self.now += PATIENCE + 20.0
        late: list[Named] = []
        self.insist(lambda: late.extend(pool.given_up(self.now)))
        assert late == [self.jobs[7]]

    def finish(self) -> None:
        for _ in range(40):
            self.now += 0.5
            self.insist(self.give)
            for name in list(self.at):
                self.end(name, *END)


def test_no_job_is_lost_whatever_call_of_a_decision_raises() -> None:
    calls = counted(Story().tell)
    assert sum(calls.values()) > 100
    every = [(name, number) for name in sorted(calls) for number in range(1, calls[name] + 1)]
    for name, number in every:
        story = Story()
        broken_at(story.tell, name, number)
        what = f"{name}, its call {number}"
        assert story.ended == set(range(6)), what
        assert story.pool.waiting == 0, what
        assert not story.pool._jobs, what
        assert all(member.has == 0 for member in story.pool._members.values()), what


def counted(work: Callable[[], None]) -> Counter[str]:
    calls: Counter[str] = Counter()

    def see(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and concerned(frame):
            calls[frame.f_code.co_name] += 1

    watched(work, see)
    return calls


def broken_at(work: Callable[[], None], name: str, number: int) -> None:
    calls: Counter[str] = Counter()

    def see(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and concerned(frame):
            calls[frame.f_code.co_name] += 1
            if frame.f_code.co_name == name and calls[name] == number:
                raise Broken(name)

    watched(work, see)


def watched(work: Callable[[], None], see: Callable[[FrameType, str, object], None]) -> None:
    before = sys.getprofile()
    sys.setprofile(see)
    try:
        work()
    finally:
        sys.setprofile(before)


# What its callers call again where it has raised; `add`, and a second `leave`, raise to who calls.
STEPS = {"_give", "_offer", "takes", "_least_loaded", "_let_rest", "_wake", "_first", "_next_suspect", "_do_again"}
STEPS |= {"_queue_again", "pause_after", "was_not_taken", "may_have_killed", "found", "lacks", "over", "__contains__"}


def concerned(frame: FrameType) -> bool:
    return "/core/" in frame.f_code.co_filename and frame.f_code.co_name in STEPS
