"""A session at the slave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from interaction.address import Endpoint
from interaction.config import SlaveOptions
from interaction.core.lease import Lease
from interaction.core.model import ConnectOffer
from interaction.core.outbox import Outbox
from interaction.exception import MasterResponseException, SlaveSlaveNotConnected
from interaction.rpc.convert import SizedReport
from interaction.rpc.insist import attempt
from interaction.rpc.master_client import MasterClient
from interaction.rpc.signing import Signer
from interaction.slave.heartbeat import Heart
from interaction.slave.pacemaker import Pacemaker
from interaction.slave.reporter import Reporter


class Session:
    """What lives as long as one session at the slave does: all of it, or nothing.

    `renewed`, `lease_over` and `ended` are those of its heart, and `settled` is called as a reporter's `acknowledged`.
    """

    def __init__(
        self,
        offer: ConnectOffer,
        master: Endpoint,
        options: SlaveOptions,
        lease: Lease,
        outbox: Outbox[SizedReport],
        pacemaker: Pacemaker | None,
        renewed: Callable[[], object],
        lease_over: Callable[[], None],
        ended: Callable[[MasterResponseException, float], None],
        settled: Callable[[], object],
    ) -> None:
        self.token = offer.token
        self.master_address = offer.master_address
        self.max_message_bytes = offer.max_message_bytes
        with ExitStack() as undo:
            signer = Signer(options.channel, options.secret)
            self.client = MasterClient(master, options.tls, signer, offer.token, options.max_message_bytes)
            undo.callback(self._close)
            if pacemaker is not None:
                undo.callback(pacemaker.end)
                pacemaker.begin(offer, master, options, lease)
            self.heart = Heart(self.client, lease, renewed, lease_over, ended, pacemaker)
            undo.callback(self.heart.stop)
            self.reporter = Reporter(outbox, offer.token, self.client, options.request_timeout, settled, ended)
            undo.pop_all()
        self.closing: asyncio.Future[None] | None = None  # once it has stopped

    def stop(self, background: set[asyncio.Future[None]]) -> None:
        """It is over; what takes a while is in the background. Results that are not acknowledged stay in the outbox."""
        why = SlaveSlaveNotConnected("the session is over")
        attempt(self.heart.stop, partial(self.reporter.stop, why), self._close)
        if self.closing is not None:
            background.add(self.closing)
            self.closing.add_done_callback(background.discard)

    def _close(self) -> None:
        self.closing = asyncio.ensure_future(self.client.close())
