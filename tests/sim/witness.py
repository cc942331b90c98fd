"""The witness of a simulated slave: another process, that knows what had begun when the slave's has died."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interaction.core import begun

if TYPE_CHECKING:
    from tests.sim.slave import SimSlave

SECONDS = (0.01, 0.1, 0.9)  # from the slave's death until its witness speaks


class SimWitness:
    """That of one process of a slave's, if that has one. `token` is of the session that it knows of; empty: of none."""

    def __init__(self, slave: SimSlave, places: int) -> None:
        self.token = ""
        self._slave = slave
        self._memory = bytearray(begun.size_for(places))
        if slave.witnessed:
            slave.tenancy.witnessed(self._memory)

    def begun(self) -> list[str] | None:
        """What it knows to have begun."""
        return begun.read(self._memory)[1]

    def testify(self) -> None:
        """The slave has died: tell its master soon, as long as messages arrive."""
        slave, token, incarnation, ids = self._slave, self.token, self._slave.incarnation, self.begun()
        world, master = slave.world, slave.master
        if token and slave.witnessed:
            soon = world.now + world.random.choice(SECONDS)
            world.at(soon, lambda: world.send(slave, master, lambda: master.exited(token, incarnation, ids)))
