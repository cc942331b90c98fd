"""What happened in a run, and the judge of it: the promise, line by line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field

from interaction.core.task import TaskStatus
from interaction.exception import LossReason


@dataclass
class TaskStory:
    """All that a run knows of one task."""

    started_at: float
    token: str
    incarnation: str
    executions: list[float] = field(default_factory=list)
    ends: list[tuple[float, TaskStatus]] = field(default_factory=list)
    value: object = None  # what its execution gave
    result: object = None  # what its owner has
    accepted: bool = False  # `start()` has returned
    unbegun: bool = False  # his master was told by a witness that it had not begun
    unborn: bool = False  # the master was killed in `start()`, before anything was written down


class History:
    """Written by the nodes while a run goes on. `violations` says in sentences what must not be."""

    def __init__(self) -> None:
        self.tasks: dict[str, TaskStory] = {}
        self.losses: list[tuple[float, str, LossReason]] = []
        self.disconnections: dict[str, list[float]] = defaultdict(list)  # by slave: when one was asked for
        self.answered: set[str] = set()  # the tokens of which a master has acknowledged a beat
        self.violations: list[str] = []
        self.counts: dict[str, int] = defaultdict(int)

    def wrong(self, now: float, sentence: str) -> None:
        """Something happened that must not."""
        self.violations.append(f"{now:.3f} s: {sentence}")

    def started(self, now: float, task_id: str, token: str, incarnation: str) -> None:
        """The owner has started a task in a session with that process."""
        self.tasks[task_id] = TaskStory(now, token, incarnation)

    def accepted(self, task_id: str) -> None:
        """Its `start()` has returned."""
        self.tasks[task_id].accepted = True

    def killed(self, now: float, written: Collection[str]) -> None:
        """The master is killed; these tasks are in its journal. A start that had not returned may leave no trace."""
        for task_id, story in list(self.tasks.items()):
            if story.ends or task_id in written:
                continue
            if story.accepted:
                self.wrong(now, f"task {task_id} was started, and is not in the journal")
            story.unborn = True

    def executed(self, now: float, task_id: str, value: object) -> None:
        """A slave's user runs a task."""
        story = self.tasks[task_id]
        story.executions.append(now)
        story.value = value
        self.counts["executions"] += 1
        if len(story.executions) > 1:
            self.wrong(now, f"task {task_id} was executed again")
        lost = [status for _, status in story.ends if status is TaskStatus.LOST]
        if story.unborn:
            self.wrong(now, f"task {task_id} runs, and was never written down")
        if story.unbegun:
            self.wrong(now, f"task {task_id} began after a witness had said that it never would")
        if lost:
            self.wrong(now, f"task {task_id} began after its owner knew it as lost")

    def not_begun(self, now: float, task_id: str) -> None:
        """A slave has died, and its master knows from a witness that the task had not begun."""
        story = self.tasks[task_id]
        story.unbegun = True
        self.counts["not begun"] += 1
        if story.executions:
            self.wrong(now, f"task {task_id} was said not to have begun, and had")

    def not_held(self, now: float, task_id: str, slave: str, incarnation: str) -> None:
        """A slave that can resume does not hold the task. `incarnation` is of its process at this moment."""
        story = self.tasks[task_id]
        ends = [at for at, lost, _ in self.losses if lost == slave] + self.disconnections[slave]
        there = story.incarnation == incarnation and all(at < story.started_at for at in ends)
        if story.accepted and there:
            self.wrong(now, f"task {task_id} was accepted by {slave}, which was never lost, and does not hold it")

    def ended(self, now: float, task_id: str, status: TaskStatus, result: object, *, returned: bool = False) -> None:
        """The owner's task has come to an end, and its callbacks are called: once for each time that this is.

        `returned`: he was told that it had not begun.
        """
        story = self.tasks[task_id]
        story.ends.append((now, status))
        story.result = result
        self.counts[status.name] += 1
        if returned:
            self.counts["RETURNED"] += 1
            if story.executions:
                self.wrong(now, f"task {task_id} was handed back, and had begun")
        if len(story.ends) > 1:
            self.wrong(now, f"task {task_id} ended twice: {[end.name for _, end in story.ends]}")
        if status is TaskStatus.COMPLETED and (not story.executions or result != story.value):
            self.wrong(now, f"task {task_id} has the result {result!r}, and its execution gave {story.value!r}")

    def lost(self, now: float, slave: str, reason: LossReason) -> None:
        """The master has lost a slave."""
        self.losses.append((now, slave, reason))
        self.counts[reason.name] += 1

    def look_again(self, now: float, task_id: str, status: TaskStatus) -> None:
        """The owner looks at a task whose end he has had."""
        told = self.tasks[task_id].ends[-1][1]
        if status is not told:
            self.wrong(now, f"task {task_id} has ended as {told.name}, and is {status.name} now")

    def finish(self, now: float, cut_off: set[str]) -> None:
        """The run is over, and the network has been well for long: nothing may be left hanging.

        `cut_off` are tasks that were about to be told when the master was killed: their end is in the journal.
        """
        self.counts["cut off"] += sum(not self.tasks[task_id].ends for task_id in cut_off)
        for task_id, story in self.tasks.items():
            if not story.ends and not story.unborn and task_id not in cut_off:
                self.wrong(now, f"task {task_id}, started at {story.started_at:.3f} s, has no end: join() hangs")
