"""How a master that wants a slave proves itself: it acknowledges a beat, at its address and under its token."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from typing import Any, TypeVar

from interaction.address import Endpoint
from interaction.config import SlaveOptions
from interaction.core.engagement import Claim
from interaction.core.model import ConnectOffer
from interaction.exception import MasterResponseException, ResponseException, SlaveSlaveConnectionRefused
from interaction.rpc.insist import attempt
from interaction.rpc.master_client import MasterClient
from interaction.rpc.signing import Signer
from interaction.slave.heartbeat import Heart

_T = TypeVar("_T")
_UNHEARD = "no heartbeat was acknowledged within {:g} s: is its address right (Master.my_address)?"


def client_for(offer: ConnectOffer, master: Endpoint, options: SlaveOptions) -> MasterClient:
    """The way to the master of a session."""
    signer = Signer(options.channel, options.secret)
    return MasterClient(master, options.tls, signer, offer.token, options.max_message_bytes)


class Proof:
    """That of one claim, on the loop: beats go to its master until it is stopped, or a session takes over its heart.

    `changed` is called when the claim may be forsaken, `warn` with what is to be logged.
    """

    def __init__(
        self,
        claim: Claim,
        offer: ConnectOffer,
        master: Endpoint,
        options: SlaveOptions,
        changed: Callable[[], object],
        warn: Callable[..., object],
    ) -> None:
        self.claim = claim
        self._master_address = offer.master_address
        self._changed = changed
        self._proved = asyncio.Event()
        self._over: asyncio.Future[ResponseException] = asyncio.get_running_loop().create_future()
        self._patience = claim.lease.duration
        with ExitStack() as undo:
            self.client = client_for(offer, master, options)
            undo.callback(self._close)
            self.heart = Heart(self.client, claim.lease, self, warn)
            undo.pop_all()
        self._taken_over = False

    async def proved(self) -> None:
        """Wait until its master has acknowledged a beat. Raises as `while_it_lasts`."""
        await self.while_it_lasts(self._proved.wait())

    async def while_it_lasts(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Wait for that. Raises the refusal that the claim has come to meanwhile, and then what is late is dropped."""
        doing = asyncio.ensure_future(work)
        try:
            both: set[asyncio.Future[Any]] = {doing, self._over}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if self._over.done():
                raise self._over.result()
            return doing.result()
        finally:
            doing.cancel()
            doing.add_done_callback(_forget)

    def end(self, refusal: ResponseException) -> None:
        """The claim comes to nothing."""
        if not self._over.done():
            self._over.set_result(refusal)

    def taken_over(self) -> None:
        """A session has its heart now."""
        self._taken_over = True

    def stop(self, background: set[asyncio.Future[None]]) -> None:
        """Beat no more, unless for a session; what takes a while is in the background. May be repeated."""
        if self._taken_over:
            return
        self._taken_over = True
        attempt(self.heart.stop, lambda: self._close(background))

    def _close(self, background: set[asyncio.Future[None]] | None = None) -> None:
        closing = asyncio.ensure_future(self.client.close())
        if background is not None:
            background.add(closing)
            closing.add_done_callback(background.discard)

    # What the heart tells.

    def renewed(self) -> None:
        """Something was acknowledged: a beat that was sent, if all is right."""
        if self.claim.proved:
            self.claim.cut_off = False
            self._proved.set()

    def lease_over(self) -> None:
        """None was, for too long."""
        self._unreachable(self.heart.unheard.why or _UNHEARD.format(self._patience))

    def ended(self, error: MasterResponseException, heard_at: float) -> None:
        """The master knows nothing of it, or has given it up."""
        self.end(SlaveSlaveConnectionRefused(f"the master at {self._master_address} does not want it: {error}"))

    def failing(self, why: str | None) -> None:
        """No stream can be opened."""
        self.claim.cut_off = True
        if why is not None and not self.claim.proved:
            self._unreachable(why)
        self._changed()

    def _unreachable(self, why: str) -> None:
        self.end(SlaveSlaveConnectionRefused(f"the slave can't reach the master at {self._master_address}: {why}"))


def _forget(doing: asyncio.Future[Any]) -> None:
    if not doing.cancelled():
        doing.exception()
