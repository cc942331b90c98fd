"""One heartbeat stream of a session, as the master's service calls it."""

from __future__ import annotations

import asyncio
from typing import Protocol

from interaction.core.session import Lose, Probe, Session

LATE = -1  # the number of a stream that bears a token under which the session is no more


class StreamOwner(Protocol):
    """Whose stream it is."""

    def left(self, why: str, drained: bool) -> None:
        """The slave has left."""

    def do(self, decision: Probe | Lose | None) -> None:
        """Carry out what the core has decided."""


class HeartbeatStream:
    """The stream of that number."""

    def __init__(self, owner: StreamOwner, session: Session, number: int) -> None:
        self._owner = owner
        self._session = session
        self._number = number

    def beat(self, sequence: int) -> int | None:
        """A beat came: what to acknowledge."""
        counts = self._session.beat(self._number, sequence, asyncio.get_running_loop().time())
        return self._session.newest_beat if counts else None

    def leaving(self, reason: str, drained: bool) -> None:
        """The slave leaves."""
        if self._number != LATE:
            self._owner.left(reason, drained)

    def broken(self) -> None:
        """The stream ended without a word."""
        self._owner.do(self._session.stream_broken(self._number))
