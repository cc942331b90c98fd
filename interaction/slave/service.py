"""A slave behind its facade: its server and its desk."""

from __future__ import annotations

import asyncio
import logging
import secrets
from functools import partial
from typing import Any

from interaction.config import SlaveOptions
from interaction.rpc.loop import Loop
from interaction.rpc.server import Server
from interaction.rpc.service import Service
from interaction.rpc.slave_server import slave_server
from interaction.slave.child import check_not_in_child
from interaction.slave.desk import Desk
from interaction.slave.process import ProcessWorkplace
from interaction.slave.user import SlaveHooks

Arguments = tuple[tuple[Any, ...], dict[str, Any]]  # those of a constructor

_log = logging.getLogger("interaction.slave")


class SlaveService(Service):
    """One slave. `hooks` are its user's, and `default` is the class of those that are not overridden."""

    options: SlaveOptions

    def __init__(self, options: SlaveOptions, hooks: SlaveHooks, default: type[SlaveHooks], made_of: Arguments) -> None:
        super().__init__(options, type(hooks).__name__, _log)
        self.made_of = made_of
        self._kind = type(hooks)
        process = partial(ProcessWorkplace, self._kind, *made_of)
        self._desk = Desk(hooks, options, secrets.token_hex(16), default, process)
        self._server: Server | None = None

    def start(self) -> None:
        """As `Facade.start()`."""
        check_not_in_child(self._kind)
        super().start()

    def shutdown(self) -> None:
        """As `Facade.shutdown()`."""
        check_not_in_child(self._kind)
        super().shutdown()

    def join(self) -> None:
        """As `Facade.join()`."""
        check_not_in_child(self._kind)
        super().join()

    def ping(self) -> bool:
        """As `Facade.ping()`."""
        check_not_in_child(self._kind)
        return super().ping()

    def drain(self, timeout: float | None) -> bool:
        """As `Slave.drain()`, without the end."""
        check_not_in_child(self._kind)
        self.check_may_wait()
        return self.run(self._drain(timeout))

    async def _drain(self, timeout: float | None) -> bool:
        assert self._server is not None, "it runs"
        await self._server.drain()
        return await self._desk.drain(timeout)

    def _exposed(self) -> str | None:
        tls = self.options.tls
        if tls is not None and tls.mutual:
            return None
        what = "without TLS: others can read everything, and while it is free connect to it and have it work"
        if tls is not None:
            what = "with TLS that is not mutual: while it is free, others can connect to it and have it work"
        return f'{what}. Slave(tls=TLS(..., mutual=True)) keeps them out; on one machine Slave("127.0.0.1") is enough'

    async def _open(self, loop: Loop) -> int:
        self._desk.start(loop)
        await asyncio.to_thread(self._desk.workplace.start)
        server = slave_server(self.options, self._desk)
        try:
            port = await server.start()
        except BaseException:
            self._desk.workplace.stop()
            raise
        self._server = server
        return port

    async def _close(self) -> None:
        await self._desk.shut_down()
        if self._server is not None:
            await self._server.stop()

    def check_may_wait(self) -> None:
        """Raise RuntimeError on a thread that `join()` would wait for."""
        self._desk.hooks_strand.check_not_mine()
        self._desk.workplace.check_not_mine()

    def _join_strands(self) -> None:
        self._desk.hooks_strand.join()
        self._desk.workplace.join()
