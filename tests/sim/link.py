"""What a simulated master keeps of one session."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interaction.core.custody import Custody
from interaction.core.journal import SessionRecord
from interaction.core.session import Session
from tests.sim.task import SimTask

if TYPE_CHECKING:
    from tests.sim.delivery import SimDelivery
    from tests.sim.slave import SimSlave
    from tests.sim.stream import Stream


@dataclass
class SimLink:
    """One session of the master's with one slave."""

    record: SessionRecord
    slave: SimSlave
    session: Session
    tokens: list[str]
    custody: Custody[SimTask]
    delivery: SimDelivery = field(init=False)
    stream: Stream | None = None  # the newest heartbeat of it
    heard_at: float = 0.0  # when anything of the slave's last came through, for the judge

    @property
    def token(self) -> str:
        """The session's token."""
        return self.record.token
