"""The master's end of the fast road to one slave, as `interaction.master.fast_road` has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol

from interaction.core.model import TaskOffer
from interaction.core.road import ACKNOWLEDGE_WITHIN, Road
from interaction.exception import RequestException
from tests.sim.task import SimTask
from tests.sim.wire import Said, Status, Wire
from tests.sim.world import World

if TYPE_CHECKING:
    from tests.sim.slave import SimSlave

Packed = tuple[SimTask, TaskOffer]


class RoadOwner(Protocol):
    """The delivery."""

    world: World
    slave: SimSlave

    @property
    def token(self) -> str:
        """The session's token."""

    @property
    def busy(self) -> bool:
        """Whether a task is on its way or runs."""

    def outcome(self, said: Said, recorded: Callable[[str], object]) -> None:
        """The slave says what became of a task."""

    def not_started(self, task: SimTask, error: BaseException) -> None:
        """A task got no answer in time."""

    def call(self, task: SimTask, offer: TaskOffer, deadline: float) -> None:
        """Hand over by a call what the stream has left over."""

    def count(self, what: str) -> None:
        """Something happened that runs should be about."""


class SimRoad:
    """`idle` is how long a stream waits for the next task before it is closed, in seconds."""

    def __init__(self, owner: RoadOwner, road: Road[Packed], idle: float) -> None:
        self.road = road
        self.wire: Wire | None = None
        self._owner = owner
        self._world = owner.world
        self._master = owner.slave.master
        self._idle = idle
        self._free_at = 0.0  # when the next message can go out
        self._finished = False  # nothing more goes out on this stream
        self._closed = False
        self._timers: set[Callable[[], None]] = set()  # one of a kind

    def send(self, task: SimTask, offer: TaskOffer, size: int) -> bool:
        """Send a task. False where it has to go by a call."""
        if not self.road.takes(size):
            return False
        self.road.offer(task.id, (task, offer), size, self._world.now)
        if self.wire is None:
            self._open()
        self._ring()
        deadline = self.road.next_deadline
        if deadline is not None:
            self._at(deadline, self._overdue)
        self._owner.count("sent by a stream")
        return True

    def _open(self) -> None:
        wire = self.wire = Wire(self._world, self._master, self._owner.slave)
        wire.heard, wire.master.gone = self._heard, partial(self._ended, wire)
        self._finished = False
        self._at(self._world.now + self._idle, self._look)
        self._owner.count("streams")

    def hang_up(self) -> None:
        """End the stream at once; it may be opened again."""
        wire = self.wire
        if wire is not None and wire.master.open:
            wire.close(wire.master)
            status = RequestException("it was hung up", "CANCELLED")
            self._world.on(self._master, self._world.now, partial(self._ended, wire, status))

    def close(self) -> None:
        """The session is over."""
        self._closed = True
        if self.wire is not None:
            self.wire.close(self.wire.master)

    # What goes out.

    def _ring(self) -> None:
        if self.road.pending or self.road.closing:
            self._at(self._free_at, self._write)

    def _write(self) -> None:
        wire = self.wire
        if wire is None or self._finished:
            return
        if self.road.pending:
            tasks, acknowledged = self.road.take()
            offers = [offer for _, offer in tasks]
            slave, token = self._owner.slave, self._owner.token
            wire.send(wire.slave, lambda: slave.heard(token, wire, offers, acknowledged))
            self._free_at = wire.written_at()
            self._ring()
        elif self.road.closing:
            self._finished = True
            wire.send(wire.slave, lambda: self._owner.slave.half_closed(wire))

    # What comes in.

    def _heard(self, said: Sequence[Said]) -> None:
        for one in said:
            self.road.answered(one.task_id)
            self._owner.outcome(one, self._recorded)

    def _recorded(self, task_id: str) -> None:
        self.road.recorded(task_id)
        if self.road.pending:
            self._ring()
        else:
            self._at(self._world.now + ACKNOWLEDGE_WITHIN, self._acknowledge_now)

    def _ended(self, wire: Wire, status: Status) -> None:
        if wire is not self.wire or self._closed:
            return
        self.wire = None
        self._owner.count("streams closed" if self.road.closing else "streams broken")
        for awaited in self.road.ended(status):
            self._owner.count("left over by a stream")
            self._owner.call(*awaited.task, awaited.deadline)

    # Timers.

    def _at(self, moment: float, what: Callable[[], None]) -> None:
        if what not in self._timers:
            self._timers.add(what)
            self._world.on(self._master, moment, partial(self._due, what))

    def _due(self, what: Callable[[], None]) -> None:
        self._timers.remove(what)
        if not self._closed:
            what()

    def _acknowledge_now(self) -> None:
        self.road.hurry()
        self._ring()

    def _overdue(self) -> None:
        for task, _ in self.road.overdue(self._world.now):
            self._owner.not_started(task, RequestException("late", "DEADLINE_EXCEEDED"))
        deadline = self.road.next_deadline
        if deadline is not None:
            self._at(deadline, self._overdue)

    def _look(self) -> None:
        if self.wire is None:
            return
        if not self.road.look(busy=self._owner.busy):
            self._at(self._world.now + self._idle, self._look)
        self._ring()
