"""What happened in a run, and the judge of it: the promise, line by line."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from interaction.core.task import TaskStatus
from interaction.exception import LossReason


@dataclass
class TaskStory:
    """All that a run knows of one task."""

    started_at: float
    token: str
    executions: list[float] = field(default_factory=list)
    ends: list[tuple[float, TaskStatus]] = field(default_factory=list)
    value: object = None  # what its execution gave
    result: object = None  # what its owner has


class History:
    """Written by the nodes while a run goes on. `violations` says in sentences what must not be."""

    def __init__(self) -> None:
        self.tasks: dict[str, TaskStory] = {}
        self.losses: list[tuple[float, str, LossReason]] = []
        self.violations: list[str] = []
        self.counts: dict[str, int] = defaultdict(int)

    def wrong(self, now: float, sentence: str) -> None:
        """Something happened that must not."""
        self.violations.append(f"{now:.3f} s: {sentence}")

    def started(self, now: float, task_id: str, token: str) -> None:
        """The owner has started a task in a session."""
        self.tasks[task_id] = TaskStory(now, token)

    def executed(self, now: float, task_id: str, value: object) -> None:
        """A slave's user runs a task."""
        story = self.tasks[task_id]
        story.executions.append(now)
        story.value = value
        self.counts["executions"] += 1
        if len(story.executions) > 1:
            self.wrong(now, f"task {task_id} was executed again")
        lost = [status for _, status in story.ends if status is TaskStatus.LOST]
        if lost:
            self.wrong(now, f"task {task_id} began after its owner knew it as lost")

    def ended(self, now: float, task_id: str, status: TaskStatus, result: object) -> None:
        """The owner's task has come to an end, and its callbacks are called: once for each time that this is."""
        story = self.tasks[task_id]
        story.ends.append((now, status))
        story.result = result
        self.counts[status.name] += 1
        if len(story.ends) > 1:
            self.wrong(now, f"task {task_id} ended twice: {[end.name for _, end in story.ends]}")
        if status is TaskStatus.COMPLETED and (not story.executions or result != story.value):
            self.wrong(now, f"task {task_id} has the result {result!r}, and its execution gave {story.value!r}")

    def lost(self, now: float, slave: str, reason: LossReason) -> None:
        """The master has lost a slave."""
        self.losses.append((now, slave, reason))
        self.counts[reason.name] += 1

    def finish(self, now: float) -> None:
        """The run is over, and the network has been well for long: nothing may be left hanging."""
        for task_id, story in self.tasks.items():
            if not story.ends:
                self.wrong(now, f"task {task_id}, started at {story.started_at:.3f} s, has no end: join() hangs")
