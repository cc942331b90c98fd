"""A stream of the fast road in virtual time: what is sent comes in order, or the stream is broken.

Each of the two ends learns of a break in its own time: what is on its way to it until then may still come, and what
comes later does not. Where the network is cut what was sent waits, as in a kernel's buffers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from interaction.core.model import TaskResult
from interaction.core.outcomes import Accepted, Refused
from interaction.exception import RequestException
from tests.sim.world import Node, Work, World

if TYPE_CHECKING:
    from tests.sim.work import SimWork

WRITING = (0.005,) * 9 + (1.0,)  # seconds that a message may take to go out, until the next can
AGAIN = 0.3  # seconds after which what can't get through is tried again
BROKEN = RequestException("the stream is broken", "UNAVAILABLE")
Status = BaseException | None
Said = Accepted | Refused | TaskResult


class End:
    """One end of a stream: `gone` is called, once, when the other end or something between has ended it."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.life = node.life
        self.open = True
        self.gone: Callable[[Status], object] = lambda status: None
        self.due = 0.0  # when the last of what was sent to it arrives
        self.held: list[Work] = []  # what was sent to it and can't get through

    @property
    def lives(self) -> bool:
        """Whether its process is still the same."""
        return self.node.up and self.node.life == self.life


class Wire:
    """One stream, from a master to a slave."""

    def __init__(self, world: World, master: Node, slave: Node) -> None:
        self.master = End(master)
        self.slave = End(slave)
        self.heard: Callable[[Sequence[Said]], object] = lambda said: None  # the master's
        self.work: SimWork | None = None  # the slave's, once it is open there
        self._world = world

    def _other(self, end: End) -> End:
        return self.slave if end is self.master else self.master

    def send(self, target: End, deliver: Work) -> None:
        """Send something to that end."""
        if self._other(target).open:
            self._put(target, deliver)

    def _put(self, target: End, deliver: Work) -> None:
        source = self._other(target)
        if target.held or self._cut(source, target):
            if not target.held:
                self._world.at(self._world.now + AGAIN, partial(self._send_again, target))
            target.held.append(deliver)
            return
        if self._world.random.random() < self._world.weather.snap:
            self.snap()
            return
        target.due = max(target.due, self._world.now + self._world.delay())
        self._world.at(target.due, partial(self._arrive, target, deliver))

    def _cut(self, source: End, target: End) -> bool:
        return (source.node.name, target.node.name) in self._world.cut

    def _send_again(self, target: End) -> None:
        source = self._other(target)
        if not source.lives or not target.held:
            return
        if self._cut(source, target):
            if self._world.random.random() < 0.1:  # it has waited for too long
                target.held.clear()
                self.snap()
                return
            self._world.at(self._world.now + AGAIN, partial(self._send_again, target))
            return
        held, target.held = target.held, []
        for deliver in held:
            self._put(target, deliver)

    def _arrive(self, target: End, deliver: Work) -> None:
        node = target.node
        if target.lives and self._world.now < node.paused_until:
            self._world.on(node, self._world.now, partial(self._arrive, target, deliver))
        elif target.lives and target.open:
            deliver()
        else:
            self.end(self._other(target), BROKEN)

    def written_at(self) -> float:
        """When a message that is sent now has gone out."""
        return self._world.now + self._world.random.choice(WRITING) * self._world.random.random()

    # Its end.

    def close(self, end: End) -> None:
        """This end has had enough of it. It hears nothing more; the other learns of that."""
        end.open = False
        self.end(self._other(end), BROKEN)

    def finish(self, end: End, status: Status) -> None:
        """This end ends it with a status, which comes to the other after all that was sent before."""
        other = self._other(end)
        self.send(other, lambda: self._learn(other, status))
        end.open = False

    def snap(self) -> None:
        """Something between breaks it."""
        self.end(self.master, BROKEN)
        self.end(self.slave, BROKEN)

    def end(self, end: End, status: Status) -> None:
        """This end is to learn that the stream has ended, sooner or later."""
        if not end.open or not end.lives:
            return
        if self._cut(self._other(end), end):
            self._world.at(self._world.now + AGAIN, partial(self.end, end, status))
        else:
            self._world.on(end.node, self._world.now + self._world.delay(), partial(self._learn, end, status))

    def _learn(self, end: End, status: Status) -> None:
        if end.open:
            end.open = False
            end.gone(status)
