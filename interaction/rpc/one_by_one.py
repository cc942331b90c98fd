"""One at a time, or a few, of each connection in its turn: a thousand calls of one keep nobody else waiting."""

from __future__ import annotations

import asyncio
from collections import deque

from interaction.rpc.insist import insist


class OneByOne:
    """A place for one, or so many places. Used on the loop."""

    def __init__(self, places: int = 1) -> None:
        self._free = places
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # by connection; whose turn is next comes first

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for it."""
        return bool(self._waiting)

    async def take(self, connection: str, patience: float) -> bool:
        """Wait for it for at most so many seconds. Whether it was had: then it is to be given back."""
        if self._free:
            self._free -= 1
            return True
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(connection, deque()).append(turn)
        try:
            await asyncio.wait((turn,), timeout=patience)
        except BaseException:
            if turn.done():
                self.give_back()
            else:
                self._leave(connection, turn)
            raise
        if turn.done():
            return True
        self._leave(connection, turn)
        return False

    def give_back(self, pause: float = 0.0) -> None:
        """The next one's turn, so many seconds from now."""
        if pause > 0:
            asyncio.get_running_loop().call_later(pause, insist, self.give_back)
        elif not self._waiting:
            self._free += 1
        else:
            connection = next(iter(self._waiting))
            turns = self._waiting.pop(connection)
            turn = turns.popleft()
            if turns:
                self._waiting[connection] = turns  # behind the others
            turn.set_result(None)

    def _leave(self, connection: str, turn: asyncio.Future[None]) -> None:
        turns = self._waiting[connection]
        turns.remove(turn)
        if not turns:
            del self._waiting[connection]
