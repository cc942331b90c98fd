"""A master on its user's loop, behind its facade."""

from __future__ import annotations

import asyncio
import logging

from interaction.aio.connection import SlaveConnectionProxy
from interaction.aio.loop import LoopRunner
from interaction.aio.task import Task
from interaction.config import MasterOptions
from interaction.master.hooks import MasterHooks
from interaction.master.service import MasterService

_log = logging.getLogger("interaction.aio")


class LoopService(MasterService[SlaveConnectionProxy, Task]):
    """Its end waits for callbacks on the loop, where the plain one's waits for threads."""

    def __init__(self, options: MasterOptions, hooks: MasterHooks) -> None:
        super().__init__(options, hooks, SlaveConnectionProxy)

    async def join_here(self) -> None:
        """As `join()`."""
        self.check_may_wait()
        await super().join_here()
        for runner in list(self._runners):
            assert isinstance(runner, LoopRunner), "its connections have no other"
            await runner.idle()
        if self._closing_journal is not None:
            await asyncio.to_thread(self._closing_journal.join)

    def exit(self) -> None:
        """The process ends, and the loop has ended before the master was shut down."""
        _log.warning("the loop of the master at port %d has ended before its shutdown(); use `async with`", self.port)
        if self._server is not None:
            self._server.leave_alone()
