"""A simulated heartbeat stream: ordered, and broken for both ends where it breaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.sim.world import Work

if TYPE_CHECKING:
    from tests.sim.slave import SimSlave


@dataclass(eq=False)
class Stream:
    """One of them, from a slave to the master, or to nobody where that is `dead`."""

    token: str
    dead: bool = False
    number: int = 0
    broken: bool = False
    last_up: float = 0.0
    last_down: float = 0.0

    def open(self, slave: SimSlave, not_opened: Work) -> None:
        """It is opened, or finds nobody."""
        self.up(slave, lambda: slave.master.stream_opened(slave, self), not_opened)

    def beat(self, slave: SimSlave, sequence: int) -> None:
        """A beat goes out."""
        self.up(slave, lambda: slave.master.beat(slave, self, sequence))

    def up(self, slave: SimSlave, deliver: Work, not_there: Work | None = None) -> None:
        """A message on it: in order, or not at all."""
        world, master = slave.world, slave.master
        if (slave.name, master.name) in world.cut:
            return
        self.last_up = max(self.last_up, world.now + world.delay())
        if master.up and not self.dead:
            world.on(master, self.last_up, lambda: None if self.broken else deliver())
        elif not_there is not None:
            world.on(slave, self.last_up, not_there)

    def break_for(self, slave: SimSlave) -> None:
        """It is no more; the master notices, where it can hear."""
        if self.broken:
            return
        self.broken = True
        world, master = slave.world, slave.master
        if (slave.name, master.name) not in world.cut:
            world.on(master, world.now + world.delay(), lambda: master.stream_broken(self))
