"""What a slave that leaves waits for, and what it says meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from interaction.core.tenancy import Tenancy
from interaction.rpc.convert import SizedReport

_log = logging.getLogger("interaction.slave")
_FIRST_WORD, _NEXT_WORD = 10.0, 60.0  # seconds after which the log says what a drain waits for, and says it again
_NAMED = 5  # tasks, in that


class Departure:
    """Waits, on the loop. `changed` is set where something has come to its end that may be waited for."""

    def __init__(self, tenancy: Tenancy[SizedReport], changed: asyncio.Event) -> None:
        self._tenancy = tenancy
        self._changed = changed

    @property
    def begun(self) -> list[str]:
        """The ids of the tasks that run, or that the user is being asked about. From any thread."""
        return self._tenancy.admission.begun

    async def drained(self, timeout: float | None) -> bool:
        """Wait until all that was taken has come to its end. False where that took more than `timeout` seconds."""
        telling = asyncio.ensure_future(self._tell())
        try:
            await self.wait_until(lambda: self._tenancy.drained, timeout)
        finally:
            telling.cancel()
        if self._tenancy.drained:
            return True
        _log.warning("not drained within %g s; left behind: %s", timeout, self._unfinished())
        return False

    async def wait_until(self, done: Callable[[], bool], timeout: float | None) -> None:
        """Wait until it is so, at most `timeout` seconds."""

        async def settle() -> None:
            while not done():
                self._changed.clear()
                await self._changed.wait()

        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(settle(), timeout)

    async def _tell(self) -> None:
        pause = _FIRST_WORD
        while True:
            await asyncio.sleep(pause)
            pause = _NEXT_WORD
            _log.warning("still draining; waits for %s", self._unfinished())

    def _unfinished(self) -> str:
        begun = self.begun
        tasks = [f"task {task_id}" for task_id in begun[:_NAMED]]
        if len(begun) > _NAMED:
            tasks.append(f"{len(begun) - _NAMED} more")
        return ", ".join(tasks) or f"the acknowledgement of {len(self._tenancy.outbox)} result(s)"
