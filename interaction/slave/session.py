"""A session at the slave."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from functools import partial
from typing import Protocol

from interaction.address import Endpoint
from interaction.config import SlaveOptions
from interaction.core.lease import Lease
from interaction.core.model import ConnectOffer
from interaction.core.outbox import Outbox
from interaction.exception import SlaveSlaveNotConnected
from interaction.rpc.convert import SizedReport
from interaction.rpc.insist import attempt
from interaction.slave.heartbeat import Heart, Listener
from interaction.slave.pacemaker import Pacemaker
from interaction.slave.proof import Proof, client_for
from interaction.slave.reporter import Reporter


class SessionOwner(Listener, Protocol):
    """The desk."""

    def settled(self) -> None:
        """A result has left the outbox."""

    def unbelieved(self, why: str) -> None:
        """No result has been believed for as long as the lease."""


class Session:
    """What lives as long as one session at the slave does: all of it, or nothing.

    `proof`: that by which its master has proved itself, and whose heart goes on beating; without one it is resumed.
    """

    def __init__(
        self,
        owner: SessionOwner,
        offer: ConnectOffer,
        master: Endpoint,
        options: SlaveOptions,
        lease: Lease,
        outbox: Outbox[SizedReport],
        pacemaker: Pacemaker | None,
        proof: Proof | None,
    ) -> None:
        self.token = offer.token
        self.master_address = offer.master_address
        self.max_message_bytes = offer.max_message_bytes
        with ExitStack() as undo:
            self.client = client_for(offer, master, options) if proof is None else proof.client
            undo.callback(self._close)
            self.heart = Heart(self.client, lease, owner) if proof is None else proof.heart
            undo.callback(self.heart.stop)
            if pacemaker is not None:
                undo.callback(pacemaker.end)
                pacemaker.begin(offer, master, options, lease)
            self.heart.serve(owner, pacemaker)
            self.reporter = Reporter(
                outbox,
                offer.token,
                self.client,
                options.request_timeout,
                owner.settled,
                owner.ended,
                owner.unbelieved,
                lease,
            )
            undo.pop_all()
        self.closing: asyncio.Future[None] | None = None  # once it has stopped

    def stop(self, background: set[asyncio.Future[None]]) -> None:
        """It is over; what takes a while is in the background. Results that are not acknowledged stay in the outbox."""
        why = SlaveSlaveNotConnected("the session is over")
        attempt(self.heart.stop, partial(self.reporter.stop, why), self._close)
        if self.closing is not None:
            background.add(self.closing)
            self.closing.add_done_callback(background.discard)

    def leave(self, reason: str, patience: float, background: set[asyncio.Future[None]]) -> None:
        """Report nothing more, and in the background tell the master that it is over, within `patience` seconds."""
        attempt(partial(self.reporter.stop, SlaveSlaveNotConnected(reason)))
        leaving = asyncio.ensure_future(self._leave(reason, patience, background))
        background.add(leaving)
        leaving.add_done_callback(background.discard)

    async def _leave(self, reason: str, patience: float, background: set[asyncio.Future[None]]) -> None:
        try:
            await self.heart.leave(reason, patience, drained=False)
        finally:
            self.stop(background)

    def _close(self) -> None:
        self.closing = asyncio.ensure_future(self.client.close())
