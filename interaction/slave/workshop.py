"""Where a slave's tasks run: in as many lanes as it has slots, each when its master knows that it was taken."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from interaction.core.admission import Ticket
from interaction.core.gate import Gate
from interaction.core.model import Data
from interaction.rpc.convert import SizedReport
from interaction.rpc.loop import Loop
from interaction.rpc.strand import Strand
from interaction.slave.worker import run_task

Done = Callable[[Ticket, "SizedReport | None"], object]  # None: it was not to be run any more
Ready = Callable[[Ticket], bool]  # waits, on the thread of a task, until it may begin; False: it is not to be run


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
    """Runs tasks on a thread of this process."""

    def __init__(self, process: Callable[[Data], Any], ready: Ready) -> None:
        self._ready = ready
        self._process = process
        self._strand = Strand("interaction-tasks", lasting=True)

    def start(self) -> None:
        """Have the thread ready: it lives as long as the slave. Raises RuntimeError where none can be had."""
        self._strand.start()

    def submit(self, ticket: Ticket, room: int, done: Done) -> None:
        """Run a task after those before it."""
        self._strand.submit(partial(self._run, ticket, room, done))

    def _run(self, ticket: Ticket, room: int, done: Done) -> None:
        done(ticket, run_task(self._process, ticket.offer, room) if self._ready(ticket) else None)

    def check_not_mine(self) -> None:
        """Raise RuntimeError in a task."""
        self._strand.check_not_mine()

    def stop(self) -> None:
        """A task that runs can't be ended: it is left alone, and its thread ends with it."""
        self._strand.rest()

    def join(self) -> None:
        """Wait for the tasks."""
        self._strand.join()


class Lanes:
    """Runs tasks in several workplaces, each in the first that is free, in the order in which they came."""

    def __init__(self, lanes: Sequence[Workplace]) -> None:
        self._lanes = lanes
        self._free = deque(lanes)
        self._waiting: deque[tuple[Ticket, int, Done]] = deque()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Get all of them ready. Where one can't be, the others are stopped."""
        try:
            for lane in self._lanes:
                lane.start()
        except BaseException:
            self.stop()
            raise

    def submit(self, ticket: Ticket, room: int, done: Done) -> None:
        """Run a task when there is a free lane."""
        with self._lock:
            if not self._free:
                self._waiting.append((ticket, room, done))
                return
            lane = self._free.popleft()
        self._run(lane, ticket, room, done)

    def _run(self, lane: Workplace, ticket: Ticket, room: int, done: Done) -> None:
        def ended(ticket: Ticket, report: SizedReport | None) -> None:
            with self._lock:
                following = self._waiting.popleft() if self._waiting else None
                if following is None:
                    self._free.append(lane)
            if following is not None:
                self._run(lane, *following)
            done(ticket, report)

        lane.submit(ticket, room, ended)

    def check_not_mine(self) -> None:
        """Raise RuntimeError in a task."""
        for lane in self._lanes:
            lane.check_not_mine()

    def stop(self) -> None:
        """The slave shuts down."""
        for lane in self._lanes:
            lane.stop()

    def join(self) -> None:
        """Wait for the tasks."""
        for lane in self._lanes:
            lane.join()


def workplace_of(lanes: Sequence[Workplace]) -> Workplace:
    """One or several lanes, as one workplace."""
    return lanes[0] if len(lanes) == 1 else Lanes(lanes)


class Workshop:
    """Gives tasks to the workplace, on the loop, each when the gate opens, and hands their reports to `finished`."""

    def __init__(self, workplace: Workplace, finished: Done) -> None:
        self._workplace = workplace
        self._finished = finished
        self._gate: Gate[Callable[[], None]] = Gate()

    def expect(self, task_id: str) -> None:
        """A task has come whose master is to be told first whether it is taken."""
        self._gate.expect(task_id)

    def told(self, task_id: str) -> None:
        """That is on its way, or there is nobody to tell."""
        begin = self._gate.told(task_id)
        if begin is not None:
            begin()

    def take(self, ticket: Ticket, room: int, loop: Loop) -> None:
        """The task was taken: run it soon."""
        begin = partial(self._workplace.submit, ticket, room, partial(loop.call, self._finished))
        if self._gate.take(ticket.offer.task_id, begin):
            begin()
