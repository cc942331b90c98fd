"""Where a slave's tasks run: one after another, each when its master knows that it was taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from interaction.core.admission import Ticket
from interaction.core.model import Data
from interaction.rpc.convert import Report
from interaction.rpc.loop import LoopThread
from interaction.rpc.strand import Strand
from interaction.slave.worker import run_task

Done = Callable[[Ticket, Report], None]


class Workplace(Protocol):
    """What runs one task after another, off the loop."""

    def start(self) -> None:
        """Get ready, off the loop. Raises what `Slave.start()` raises."""

    def submit(self, ticket: Ticket, room: int, done: Done) -> None:
        """Run a task after those before it. `done` is called where it ran, with its report of at most `room` bytes."""

    def check_not_mine(self) -> None:
        """Raise RuntimeError in a task."""

    def stop(self) -> None:
        """The slave shuts down."""

    def join(self) -> None:
        """Wait until all that was submitted has ended."""


class ThreadWorkplace:
    """Runs tasks on a thread of this process. `ready`, where it is set, is called there before each."""

    def __init__(self, process: Callable[[Data], Any]) -> None:
        self.ready: Callable[[], None] | None = None
        self._process = process
        self._strand = Strand("interaction-tasks")

    def start(self) -> None:
        """There is nothing to get ready."""

    def submit(self, ticket: Ticket, room: int, done: Done) -> None:
        """Run a task after those before it."""
        self._strand.submit(partial(self._run, ticket, room, done))

    def _run(self, ticket: Ticket, room: int, done: Done) -> None:
        if self.ready is not None:
            self.ready()
        done(ticket, run_task(self._process, ticket.offer, room))

    def check_not_mine(self) -> None:
        """Raise RuntimeError in a task."""
        self._strand.check_not_mine()

    def stop(self) -> None:
        """A task that runs can't be ended: it is left alone."""

    def join(self) -> None:
        """Wait for the tasks."""
        self._strand.join()


class Workshop:
    """Gives tasks to the workplace, on the loop, and hands their reports to `finished`, there too.

    A task that holds the GIL from its first moment on would hold up the answer to its master as well, which waits for
    that no longer than its request's timeout. So each is kept until the calls by which it came have ended.
    """

    def __init__(self, workplace: Workplace, finished: Done) -> None:
        self._workplace = workplace
        self._finished = finished
        self._calls: Counter[str] = Counter()  # calls that are under way, by task id
        self._kept: dict[str, Callable[[], None]] = {}

    def called(self, task_id: str) -> None:
        """A call that hands over this task has come."""
        self._calls[task_id] += 1

    def answered(self, task_id: str) -> None:
        """Such a call has ended: its answer is on its way, or there is nobody to get one."""
        self._calls[task_id] -= 1
        if self._calls[task_id] <= 0:
            del self._calls[task_id]
        if task_id in self._kept:
            self._kept.pop(task_id)()

    def take(self, ticket: Ticket, room: int, thread: LoopThread) -> None:
        """The task was taken: run it soon."""
        begin = partial(self._workplace.submit, ticket, room, partial(thread.call, self._finished))
        if ticket.offer.task_id in self._calls:
            self._kept[ticket.offer.task_id] = begin
        else:
            begin()
