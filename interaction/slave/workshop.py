"""Where a slave's tasks run: in as many lanes as it has slots, each when its master knows that it was taken."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from interaction.core.admission import Ticket
from interaction.core.gate import Gate
from interaction.core.model import Data, TaskOffer
from interaction.rpc.convert import SizedReport
from interaction.rpc.insist import insist, insist_here
from interaction.rpc.loop import Loop
from interaction.rpc.strand import Strand
from interaction.rpc.telling import log_exception
from interaction.slave.worker import broken_report, run_task

Done = Callable[[Ticket, "SizedReport | None"], object]  # None: it was not to be run any more
Ready = Callable[[Ticket], bool]  # waits, on the thread of a task, until it may begin; False: it is not to be run
_log = logging.getLogger("interaction.slave")


class Stopped(Exception):
    """The slave shuts down: there is nobody left to tell how a task ends."""


class Run:
    """One task from when it was taken until its end, of which it is the one owner: whatever is raised becomes that end.

    `done` is called once, where it ran, with its report of at most `room` bytes.
    """

    __slots__ = ("_done", "_freed", "room", "ticket")

    def __init__(self, ticket: Ticket, room: int, done: Done) -> None:
        self.ticket = ticket
        self.room = room
        self._done = [done]  # who ends it takes that out
        self._freed: Callable[[], object] | None = None

    def __del__(self) -> None:
        """Nobody has it any more: an exception from another thread, say, has come between two lines of the above."""
        if getattr(self, "_done", None):
            self.fail(RuntimeError("whoever was to run it has let go of it"))

    def then(self, freed: Callable[[], object]) -> None:
        """Call this when it has ended, too."""
        self._freed = freed

    def do(self, ready: Ready, process: Callable[[TaskOffer, int], SizedReport]) -> None:
        """Run it, on the thread of tasks. Raises nothing but Stopped."""
        try:
            if self._done:  # else it could not be begun when it was to, and has ended with that
                self.end(process(self.ticket.offer, self.room) if ready(self.ticket) else None)
        except Stopped:
            self.leave()
            raise
        except BaseException as error:  # noqa: BLE001 - what users' code raises has become a report: this is our own
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """It ends with that. Raises nothing."""
        log_exception(_log, logging.ERROR, error, "task %s could not be run to its end", self.ticket.offer.task_id)
        insist_here(lambda: self.end(broken_report(self.ticket.offer.task_id, error)))

    def leave(self) -> None:
        """The slave has shut down, and nobody is left to be told of an end: there is none."""
        self._done.clear()

    def end(self, report: SizedReport | None) -> None:
        """It has ended so, unless it has before."""
        done = self._done.pop() if self._done else None
        if done is not None:
            insist_here(lambda: done(self.ticket, report))
            if self._freed is not None:
                insist_here(self._freed)


class Workplace(Protocol):
    """What runs one task after another, off the loop."""

    def start(self) -> None:
        """Get ready, off the loop. Raises what `Slave.start()` raises."""

    def submit(self, run: Run) -> None:
        """Run a task after those before it. Where this raises, the caller ends it."""

    def check_not_mine(self) -> None:
        """Raise RuntimeError in a task."""

    def stop(self) -> None:
        """The slave shuts down."""

    def join(self, timeout: float | None = None) -> bool:
        """Wait until all that was submitted has ended; False where the timeout (seconds) passes first."""


class ThreadWorkplace:
    """Runs tasks on a thread of this process."""

    def __init__(self, process: Callable[[Data], Any], ready: Ready) -> None:
        self._ready = ready
        self._process = process
        self._strand = Strand("interaction-tasks", lasting=True)

    def start(self) -> None:
        """Have the thread ready: it lives as long as the slave. Raises RuntimeError where none can be had."""
        self._strand.start()

    def submit(self, run: Run) -> None:
        """Run a task after those before it."""
        self._strand.submit(partial(run.do, self._ready, self._report))

    def _report(self, offer: TaskOffer, room: int) -> SizedReport:
        return run_task(self._process, offer, room)

    def check_not_mine(self) -> None:
        """Raise RuntimeError in a task."""
        self._strand.check_not_mine()

    def stop(self) -> None:
        """A task that runs can't be ended: it is left alone, and its thread ends with it."""
        self._strand.rest()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the tasks."""
        return self._strand.join(timeout)


class Lanes:
    """Runs tasks in several workplaces, each in the first that is free, in the order in which they came."""

    def __init__(self, lanes: Sequence[Workplace]) -> None:
        self._lanes = lanes
        self._free = deque(lanes)
        self._waiting: deque[Run] = deque()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Get all of them ready. Where one can't be, the others are stopped."""
        try:
            for lane in self._lanes:
                lane.start()
        except BaseException:
            self.stop()
            raise

    def submit(self, run: Run) -> None:
        """Run a task when there is a free lane."""
        with self._lock:
            if not self._free:
                self._waiting.append(run)
                return
            lane = self._free.popleft()
        self._begin(lane, run)

    def _begin(self, lane: Workplace, run: Run | None) -> None:
        """Have a free lane run this, or else what comes next."""
        while run is not None:
            try:
                run.then(partial(self._freed, lane))
                lane.submit(run)
                return
            except BaseException as error:  # noqa: BLE001 - such as a RuntimeError: can't start new thread
                run.then(lambda: None)
                run.fail(error)
            run = self._next(lane)

    def _freed(self, lane: Workplace) -> None:
        self._begin(lane, self._next(lane))

    def _next(self, lane: Workplace) -> Run | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._free.append(lane)
            return None

    def check_not_mine(self) -> None:
        """Raise RuntimeError in a task."""
        for lane in self._lanes:
            lane.check_not_mine()

    def stop(self) -> None:
        """The slave shuts down."""
        for lane in self._lanes:
            lane.stop()
        with self._lock:
            for run in self._waiting:
                run.leave()
            self._waiting.clear()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the tasks; the timeout is each lane's."""
        return all(lane.join(timeout) for lane in self._lanes)


def workplace_of(lanes: Sequence[Workplace]) -> Workplace:
    """One or several lanes, as one workplace."""
    return lanes[0] if len(lanes) == 1 else Lanes(lanes)


class Workshop:
    """Gives tasks to the workplace, on the loop, each when the gate opens, and hands their reports to `finished`."""

    def __init__(self, workplace: Workplace, finished: Done) -> None:
        self._workplace = workplace
        self._finished = finished
        self._gate: Gate[Run] = Gate()

    def expect(self, task_id: str) -> None:
        """A task has come whose master is to be told first whether it is taken."""
        self._gate.expect(task_id)

    def told(self, task_id: str) -> None:
        """That is on its way, or there is nobody to tell."""
        run = self._gate.told(task_id)
        if run is not None:
            self._begin(run)

    def take(self, ticket: Ticket, room: int, loop: Loop) -> None:
        """The task was taken: run it soon."""
        run = Run(ticket, room, partial(loop.call, insist, self._finished))
        if self._gate.take(ticket.offer.task_id, run):
            self._begin(run)

    def _begin(self, run: Run) -> None:
        try:
            self._workplace.submit(run)
        except BaseException as error:  # noqa: BLE001 - such as a RuntimeError: can't start new thread
            run.fail(error)
