"""After a restart on a journal: the way back to every slave. Whom to call and when to give up, the core decides."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Callable
from dataclasses import replace

from interaction.config import MasterOptions
from interaction.core.recovery import Recovery, Refused, meaning_of
from interaction.exception import JournalError, LossReason, PayloadError, RequestException, ResponseException
from interaction.master.link import Link
from interaction.master.notes import Notes
from interaction.rpc.retry import Policy
from interaction.rpc.telling import log_exception

_log = logging.getLogger("interaction.master")
_LOUD_EVERY = 60.0  # seconds between two warnings that say the same


class Comeback:
    """The sessions that the journal knew, until each of them is resumed or over.

    `address_for` gives the address that a slave is told, and `also` makes a further token of a link known.
    """

    def __init__(
        self,
        links: list[Link],
        options: MasterOptions,
        notes: Notes,
        address_for: Callable[[Link], str],
        also: Callable[[Link, str], object],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._notes = notes
        self._address_for = address_for
        self._also = also
        # One try: when to make the next is decided here. It may be as long as a busy slave needs.
        self._policy = Policy(0, 0.0, min(options.request_timeout, 5.0))
        self._recovery: Recovery[Link] = Recovery({link: link.session for link in links}, self._loop.time())
        self._inherited = {link for link in links if link.record.successor}  # tried in an earlier life
        self._changed = asyncio.Event()
        self._calls: set[asyncio.Task[None]] = set()
        self._loud_at = self._loop.time()

    def __len__(self) -> int:
        return len(self._recovery)

    async def run(self) -> None:
        """Come back to all of them."""
        if len(self._recovery):
            _log.info("resuming the sessions of the journal: %s", self._recovery)
        try:
            while (due := self._recovery.next_due(self._loop.time())) is not None:
                self._changed.clear()
                self._step()
                await self._wait(due)
        finally:
            for call in self._calls:
                call.cancel()

    async def _wait(self, due: float) -> None:
        try:
            await asyncio.wait_for(self._changed.wait(), max(due - self._loop.time(), 0.0))
        except asyncio.TimeoutError:
            return

    def _step(self) -> None:
        now = self._loop.time()
        for link in self._recovery.take_due(now):
            call = asyncio.ensure_future(self._come_back(link))
            self._calls.add(call)
            call.add_done_callback(self._called)
        if self._recovery.held_back(now) and now >= self._loud_at:
            self._loud_at = now + _LOUD_EVERY
            _log.error("%s look lost at once: none of them is given up while they are so many", self._recovery)
        for link in self._recovery.given_up(now):
            link.end(LossReason.SILENT, "it could not be resumed after a restart of its master", asked=False)

    def _called(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        self._changed.set()
        error = None if call.cancelled() else call.exception()
        if error is not None:
            _log.error("a session could not be resumed", exc_info=error)

    async def _come_back(self, link: Link) -> None:
        """One try. What it comes to is told to the core."""
        try:
            if not link.session.over:
                await self._resume(link)
        except (RequestException, JournalError, PayloadError) as error:
            _log.info("connection %r: not resumed yet: %s", link.name, error)
        except ResponseException as refusal:
            self._refused(link, refusal)
        except Exception as error:  # noqa: BLE001 - else nobody would come back to it, or give it up
            log_exception(_log, logging.ERROR, error, "%s: could not be resumed; trying again", link.name)
        if link.session.over or link not in self._recovery:
            self._recovery.settled(link)
        else:
            self._recovery.failed(link, self._loop.time(), random.random())  # noqa: S311 - not a secret

    async def _resume(self, link: Link) -> None:
        who = await link.client.ping(self._policy.timeout)
        if who.incarnation != link.record.incarnation:
            self._restarted(link)
            return
        if not link.record.successor:
            record = replace(link.record, successor=secrets.token_urlsafe(32))
            await self._notes.session(record)
            link.record = record
        record = link.record
        if record.successor not in link.tokens:
            self._also(link, record.successor)
        answer = await link.client.connect(
            record.successor, record.token, self._address_for(link), link.session.lease, record.data, self._policy
        )
        if link.session.over:
            return
        if answer.incarnation != record.incarnation:
            self._restarted(link)
            await link.client.leave(record.successor, self._policy)
            return
        record = replace(record, token=record.successor, successor="")
        await self._notes.session(record)
        if not link.session.over:
            self._recovery.settled(link)
            link.resumed(record, answer)

    def _restarted(self, link: Link) -> None:
        link.end(LossReason.RESTARTED, "another process answers at its address", asked=False)

    def _refused(self, link: Link, refusal: ResponseException) -> None:
        meaning = meaning_of(refusal, tried_before=link in self._inherited)
        if meaning is Refused.NEXT:
            self._inherited.discard(link)
            link.record = replace(link.record, token=link.record.successor, successor="")
        elif meaning is Refused.OVER:
            link.end(LossReason.DISCONNECTED, f"the slave says: {refusal.message}", asked=False)
        else:
            _log.info("connection %r: not resumed yet: %s", link.name, refusal.message)
            link.end_stream("its master was restarted, and can't resume it")
