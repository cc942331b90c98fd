"""One heartbeat stream of a session, as the master's service calls it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Protocol

from interaction.core.session import Await, Lose, Probe, Session

LATE = -1  # the number of a stream that bears a token under which the session is no more


class StreamOwner(Protocol):
    """Whose stream it is."""

    def left(self, why: str, drained: bool) -> None:
        """The slave has left."""

    def exited(self, number: int, incarnation: str, begun: Collection[str] | None) -> None:
        """On the stream of that number the slave's witness says that it has ended."""

    def do(self, decision: Probe | Lose | Await | None) -> None:
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

    def exited(self, incarnation: str, begun: Collection[str] | None) -> None:
        """The slave's process has ended."""
        self._owner.exited(self._number, incarnation, begun)

    def broken(self) -> None:
        """The stream ended without a word."""
        self._owner.do(self._session.stream_broken(self._number))
