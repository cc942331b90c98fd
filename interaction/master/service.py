"""A master behind its facade: its server, its roster, and what its connections need of it."""

from __future__ import annotations

import logging
import weakref

from interaction.address import Endpoint, is_any, parse_address
from interaction.config import DEFAULT_MASTER_PORT, MasterOptions
from interaction.master.connection import SlaveConnectionProxy
from interaction.master.hooks import MasterHooks
from interaction.master.roster import Names, Roster
from interaction.rpc.loop import LoopThread
from interaction.rpc.master_server import master_server
from interaction.rpc.server import Server
from interaction.rpc.service import Service
from interaction.rpc.strand import Strand
from interaction.rpc.transport import address_seen_from

_log = logging.getLogger("interaction.master")


class MasterService(Service):
    """One master. `hooks` are its user's."""

    options: MasterOptions

    def __init__(self, options: MasterOptions, hooks: MasterHooks) -> None:
        super().__init__(options, type(hooks).__name__, _log)
        self.hooks = hooks
        self.names: Names[SlaveConnectionProxy] = Names()
        self.strands: weakref.WeakSet[Strand] = weakref.WeakSet()  # of the connections
        self._roster: Roster[SlaveConnectionProxy] = Roster(self.names, options.heartbeat_check_span)
        self._server: Server | None = None

    # What connections need.

    def running(self) -> tuple[LoopThread, Roster[SlaveConnectionProxy]]:
        """The loop and the roster. Raises RuntimeError unless the master runs."""
        return self.check_running(), self._roster

    def address_for(self, endpoint: Endpoint | None) -> str:
        """The address by which the slave at `endpoint` reaches this master; None: a slave in general."""
        options = self.options
        tls = options.tls is not None
        if options.my_address is not None:
            told = parse_address(options.my_address, self.port or DEFAULT_MASTER_PORT)
            return str(Endpoint(told.host, told.port, told.tls or tls))
        host = options.host
        if is_any(host):
            host = address_seen_from(None if endpoint is None else endpoint.dialled_host)
        return str(Endpoint(host, self.port, tls))

    # The service's life.

    async def _open(self, thread: LoopThread) -> int:
        server = master_server(self.options, self._roster)
        port = await server.start()
        self._server = server
        self._roster.start()
        return port

    async def _close(self) -> None:
        await self._roster.stop()
        if self._server is not None:
            await self._server.stop()
        await self._roster.settle()

    def check_may_wait(self) -> None:
        """Raise RuntimeError on a thread that `join()` would wait for."""
        for strand in self.strands:
            strand.check_not_mine()

    def _join_strands(self) -> None:
        for strand in list(self.strands):
            strand.join()
