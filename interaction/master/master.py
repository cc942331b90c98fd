"""The master."""

from __future__ import annotations

import logging
import weakref

from interaction.address import Endpoint, check_host, is_any, parse_address
from interaction.config import (
    DEFAULT_CHANNEL,
    DEFAULT_HEARTBEAT_CHECK_SPAN,
    DEFAULT_HEARTBEAT_TOLERANCE,
    DEFAULT_MASTER_PORT,
    DEFAULT_MAX_MESSAGE_BYTES,
    DEFAULT_REQUEST_RETRIES,
    DEFAULT_REQUEST_RETRY_WAITING,
    DEFAULT_REQUEST_TIMEOUT,
    DEFAULT_SLAVE_PORT,
    GLOBAL_HOST,
    TLS,
    MasterOptions,
    given,
)
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


class Master(Service, MasterHooks):
    """Hands tasks to slaves, knows which of them are alive, and gets every result back.

    Args:
        host: where the server listens. None means `0.0.0.0`.
        port: its port; 0 binds a free one, readable as `port` after `start()`. None means 7235.
        heartbeat_tolerance: a slave that is not heard for that many seconds is lost. None means 15.0, minimum 0.2.
        heartbeat_check_span: seconds between two checks of that. None means 1.0, minimum 0.1.
        request_retries: how often a request is tried again after a transport failure. None means 5; 0 means 0.
        request_retry_waiting: seconds before each retry. None means 1.0.
        channel: an integer that master and slaves must share; a label, not a secret. None means 0.
        my_address: where slaves reach this master: `host:port`, or a URL. None means the bound host if it is a specific
            one, else this machine's address on the route to the slave.
        request_timeout: seconds until a request ends, with all its retries. None means 30.0.
        max_message_bytes: the longest message that is taken. None means 64 MiB.
        tls: the server's TLS. None means none.
        client_tls: the TLS by which slaves are dialled that were added with `https=True`. None means the authorities
            of `tls`, or without that the system's.
        reflection: whether to serve gRPC server reflection, which grpcurl needs.

    Raises:
        TypeError, ValueError: an argument that can't be; the message names it.
    """

    _options: MasterOptions

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        heartbeat_tolerance: float | None = None,
        heartbeat_check_span: float | None = None,
        request_retries: int | None = None,
        request_retry_waiting: float | None = None,
        channel: int | None = None,
        my_address: str | None = None,
        *,
        request_timeout: float | None = None,
        max_message_bytes: int | None = None,
        tls: TLS | None = None,
        client_tls: TLS | None = None,
        reflection: bool = True,
    ) -> None:
        options = MasterOptions(
            host=given(host, GLOBAL_HOST),
            port=given(port, DEFAULT_MASTER_PORT),
            channel=given(channel, DEFAULT_CHANNEL),
            request_retries=given(request_retries, DEFAULT_REQUEST_RETRIES),
            request_retry_waiting=given(request_retry_waiting, DEFAULT_REQUEST_RETRY_WAITING),
            request_timeout=given(request_timeout, DEFAULT_REQUEST_TIMEOUT),
            max_message_bytes=given(max_message_bytes, DEFAULT_MAX_MESSAGE_BYTES),
            tls=tls,
            reflection=reflection,
            heartbeat_tolerance=given(heartbeat_tolerance, DEFAULT_HEARTBEAT_TOLERANCE),
            heartbeat_check_span=given(heartbeat_check_span, DEFAULT_HEARTBEAT_CHECK_SPAN),
            my_address=my_address,
            client_tls=client_tls if client_tls is not None else tls,
        )
        super().__init__(options, _log)
        self._names: Names[SlaveConnectionProxy] = Names()
        self._roster: Roster[SlaveConnectionProxy] = Roster(self._names, options.heartbeat_check_span)
        self._server: Server | None = None
        self._strands: weakref.WeakSet[Strand] = weakref.WeakSet()

    @property
    def my_address(self) -> str:
        """Where slaves reach this master: `host:port`, behind `https://` where it serves TLS.

        Where the server listens everywhere and no address was given, this is the machine's address on its default
        route; each slave is told the address on the route to it.
        """
        return self.address_for(None)

    def new_connection(
        self, name: str, host: str, port: int | None = None, https: bool = False
    ) -> SlaveConnectionProxy:
        """Create a connection to a slave. Nothing is sent until its `connect()`.

        Args:
            name: unique among the living connections of this master.
            host: the slave's host name or address; `0.0.0.0` is this machine.
            port: its port. None means 7236.
            https: dial by TLS.

        Raises:
            KeyError: the name is in use by a living connection.
            TypeError, ValueError: host or port can't be.
        """
        if not isinstance(name, str):
            raise TypeError(f"name must be a string, not {name!r}")
        if not isinstance(host, str):
            raise TypeError(f"host must be a string, not {host!r}")
        number = given(port, DEFAULT_SLAVE_PORT)
        if isinstance(number, bool) or not isinstance(number, int):
            raise TypeError(f"port must be an integer, not {number!r}")
        if not 1 <= number <= 65535:
            raise ValueError(f"port must be 1 to 65535, not {number}")
        self._names.check_free(name)
        connection = SlaveConnectionProxy(name, Endpoint(check_host(host), number, https), self)
        self._strands.add(connection.strand)
        return connection

    def __contains__(self, name: object) -> bool:
        """Whether a living connection has the name."""
        connection = self._names.holder(name) if isinstance(name, str) else None
        return connection is not None and connection.is_connected

    def __getitem__(self, name: str) -> SlaveConnectionProxy:
        """The living connection of that name. Raises KeyError."""
        connection = self._names.holder(name)
        if connection is None or not connection.is_connected:
            raise KeyError(f"this master has no living connection {name!r}")
        return connection

    def __delitem__(self, name: str) -> None:
        """Close the living connection of that name, as its `close()` does. Raises KeyError."""
        self[name].close()

    # What connections need.

    @property
    def options(self) -> MasterOptions:
        """The options that this master was made with."""
        return self._options

    @property
    def hooks(self) -> MasterHooks:
        """The hooks: this object's own."""
        return self

    @property
    def names(self) -> Names[SlaveConnectionProxy]:
        """The names in use."""
        return self._names

    def running(self) -> tuple[LoopThread, Roster[SlaveConnectionProxy]]:
        """The loop and the roster. Raises RuntimeError unless the master runs."""
        return self._check_running(), self._roster

    def address_for(self, endpoint: Endpoint | None) -> str:
        """The address by which the slave at `endpoint` reaches this master; None: a slave in general."""
        options = self._options
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
        server = master_server(self._options, self._roster)
        port = await server.start()
        self._server = server
        self._roster.start()
        return port

    async def _close(self) -> None:
        await self._roster.stop()
        if self._server is not None:
            await self._server.stop()
        await self._roster.settle()

    def _check_may_wait(self) -> None:
        for strand in self._strands:
            strand.check_not_mine()

    def _join_strands(self) -> None:
        for strand in list(self._strands):
            strand.join()
