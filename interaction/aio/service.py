"""A master on its user's loop, behind its facade."""

from __future__ import annotations

import asyncio
import logging

from interaction.aio.connection import SlaveConnectionProxy
from interaction.aio.loop import LoopRunner, check_loop
from interaction.aio.task import Task
from interaction.config import MasterOptions
from interaction.master.hooks import MasterHooks
from interaction.master.service import MasterService
from interaction.rpc.loop import CallersLoop

_log = logging.getLogger("interaction.aio")


class LoopService(MasterService[SlaveConnectionProxy, Task]):
    """Its end waits for callbacks on the loop, where the plain one's waits for threads."""

    def __init__(self, options: MasterOptions, hooks: MasterHooks) -> None:
        super().__init__(options, hooks, SlaveConnectionProxy)
        self._advice = "`await start()`, or use `async with`"

    def check_here(self) -> None:
        """Raise RuntimeError on another loop than that on which the master was started."""
        check_loop(self._loop if isinstance(self._loop, CallersLoop) else None, self._name)

    def new_connection(self, name: object, host: object, port: object, https: bool) -> SlaveConnectionProxy:
        """As `Master.new_connection()`."""
        self.check_here()
        return super().new_connection(name, host, port, https)

    def tasks(self) -> list[Task]:
        """As `Master.tasks()`."""
        self.check_here()
        return super().tasks()

    def task(self, task_id: str) -> Task:
        """As `Master.task()`."""
        self.check_here()
        return super().task(task_id)

    async def shutdown_here(self) -> None:
        """As `shutdown()`."""
        self.check_here()
        await super().shutdown_here()

    async def ping_here(self) -> bool:
        """As `ping()`."""
        self.check_here()
        return await super().ping_here()

    async def resumed_here(self, timeout: float | None) -> list[SlaveConnectionProxy]:
        """As `wait_until_resumed()`."""
        self.check_here()
        return await super().resumed_here(timeout)

    async def join_here(self) -> None:
        """As `join()`."""
        self.check_here()
        self.check_may_wait()
        await super().join_here()
        for runner in list(self._runners):
            assert isinstance(runner, LoopRunner), "its connections have no other"
            await runner.idle()
        if self._closing_journal is not None:
            await asyncio.to_thread(self._closing_journal.join)

    def exit(self) -> None:
        """The process ends, and the loop has ended before the master was shut down."""
        if self.options.journal is None:  # else the next master on it goes on
            _log.warning(
                "the loop of the master at port %d has ended before its shutdown(); use `async with`", self.port
            )
        if self._server is not None:
            self._server.leave_alone()
