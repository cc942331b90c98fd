"""The channels to one endpoint. There is one, until it hangs, or this side has another certificate to show."""

from __future__ import annotations

import asyncio

import grpc.aio

from interaction.address import Endpoint
from interaction.rpc.transport import open_channel
from interaction.tls import TLS

_MOST = 3  # of which the older ones are kept for calls that are under way: streams may last for months


class Lines:
    """Calls go by the newest channel; those that are under way end where they began. Used on the loop."""

    __slots__ = ("_closing", "_endpoint", "_max_message_bytes", "_open", "_shown", "_tls")

    def __init__(self, endpoint: Endpoint, tls: TLS | None, max_message_bytes: int) -> None:
        self._endpoint = endpoint
        self._tls = tls
        self._max_message_bytes = max_message_bytes
        self._shown: TLS | None = None
        self._open: list[grpc.aio.Channel] = []  # the newest is the last; none once it is closed
        self._closing: list[asyncio.Future[None]] = []
        self.dial_again()

    def newest(self) -> grpc.aio.Channel | None:
        """The channel to call by; None once it is closed."""
        if self._tls is not None and self._tls.current is not self._shown and self._open:
            self.dial_again()
        return self._open[-1] if self._open else None

    def dial_again(self) -> None:
        """Calls go by another connection from now on."""
        self._shown = None if self._tls is None else self._tls.current
        self._open.append(open_channel(self._endpoint, self._tls, self._max_message_bytes))
        if len(self._open) > _MOST:
            self._closing = [closing for closing in self._closing if not closing.done()]
            self._closing.append(asyncio.ensure_future(self._open.pop(0).close()))

    async def let_go(self) -> None:
        """End what goes by older connections."""
        while len(self._open) > 1:
            await self._open.pop(0).close()

    async def close(self) -> None:
        """End all calls, and let go of the transport."""
        channels, self._open = self._open, []
        for channel in channels:
            await channel.close()
        if self._closing:
            await asyncio.wait(self._closing)
