"""One at a time, of each connection in its turn: who has opened a thousand calls waits longer, not the others."""

from __future__ import annotations

import asyncio
from collections import deque


class OneByOne:
    """A place for one. Used on the loop."""

    def __init__(self) -> None:
        self._taken = False
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # by connection; whose turn is next comes first

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for it."""
        return bool(self._waiting)

    async def take(self, connection: str, patience: float) -> bool:
        """Wait for it for at most so many seconds. Whether it was had: then it is to be given back."""
        if not self._taken:
            self._taken = True
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

    def give_back(self) -> None:
        """The next one's turn."""
        if not self._waiting:
            self._taken = False
            return
        connection = next(iter(self._waiting))
        turns = self._waiting.pop(connection)
        turns.popleft().set_result(None)
        if turns:
            self._waiting[connection] = turns  # behind the others

    def give_back_in(self, seconds: float) -> None:
        """The same, some time from now."""
        asyncio.get_running_loop().call_later(seconds, self.give_back)

    def _leave(self, connection: str, turn: asyncio.Future[None]) -> None:
        turns = self._waiting[connection]
        turns.remove(turn)
        if not turns:
            del self._waiting[connection]
