"""One timer for thousands of beats."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

TICK = 0.05  # seconds
_SLOTS = 2048  # the longest wait is that many ticks


class Wheel:
    """Calls what is due once a tick. All is called on the loop that runs when it is made."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._slots: list[list[Callable[[], object]]] = [[] for _ in range(_SLOTS)]
        self._cursor = 0
        self.latest = 0.0  # by how much a turn came late, at most
        self._due = self._loop.time() + TICK
        self._loop.call_at(self._due, self._turn)

    def after(self, seconds: float, work: Callable[[], object]) -> None:
        """Have `work` called in so many seconds, to a tick."""
        self._slots[(self._cursor + max(1, round(seconds / TICK))) % _SLOTS].append(work)

    def _turn(self) -> None:
        self.latest = max(self.latest, self._loop.time() - self._due)
        while self._due <= self._loop.time():
            self._due += TICK
            self._cursor = (self._cursor + 1) % _SLOTS
            due, self._slots[self._cursor] = self._slots[self._cursor], []
            for work in due:
                work()
        self._loop.call_at(self._due, self._turn)
