"""After a restart on a journal: the way back to every slave. Whom to call and when to give up, the core decides."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from interaction.config import MasterOptions
from interaction.core.recovery import Recovery, Refused, meaning_of
from interaction.exception import JournalError, LossReason, PayloadError, RequestException, ResponseException
from interaction.master.link import Link
from interaction.master.notes import Notes
from interaction.rpc.insist import attempt, insist
from interaction.rpc.repeated import LOUD_EVERY, Repeated
from interaction.rpc.retry import Policy
from interaction.rpc.telling import log_exception

_log = logging.getLogger("interaction.master")
_SOON = 0.02  # seconds after which it goes on where something of our own was raised


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
        self._unbelieved: Repeated[Link] = Repeated()

    def __len__(self) -> int:
        return len(self._recovery)

    async def run(self) -> None:
        """Come back to all of them."""
        attempt(self._say)
        goes_on = True
        try:
            while goes_on:
                try:
                    goes_on = await self._turn()
                except asyncio.CancelledError:
                    raise
                except BaseException as error:  # noqa: BLE001 - else nobody would come back to any of them
                    log_exception(_log, logging.ERROR, error, "a look at the sessions to resume has failed; it goes on")
                    await asyncio.sleep(_SOON)
        finally:
            for call in self._calls:
                call.cancel()

    def _say(self) -> None:
        if len(self._recovery):
            _log.info("resuming the sessions of the journal: %s", self._recovery)

    async def _turn(self) -> bool:
        """Do what is due, and wait until something is. False where nothing is left."""
        due = self._recovery.next_due(self._loop.time())
        if due is None:
            return False
        self._changed.clear()
        self._step()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._changed.wait(), max(due - self._loop.time(), 0.0))
        return True

    def _step(self) -> None:
        now = self._loop.time()
        for link in self._recovery.take_due(now):
            call = asyncio.ensure_future(self._come_back(link))
            self._calls.add(call)
            call.add_done_callback(partial(insist, self._called, link))
        if self._recovery.held_back(now) and now >= self._loud_at:
            self._loud_at = now + LOUD_EVERY
            _log.error("%s look lost at once: none of them is given up while they are so many", self._recovery)
        for link in self._recovery.given_up(now):
            why = "it could not be resumed after a restart of its master"
            insist(partial(link.end, LossReason.SILENT, why, asked=False))

    def _called(self, link: Link, call: asyncio.Task[None]) -> None:
        """One try is over. What it has come to is told to the core."""
        error = None if call.cancelled() else call.exception()
        if error is not None:  # of our own: else nobody would come back to it, or give it up
            log_exception(_log, logging.ERROR, error, "%s: could not be resumed; trying again", link.name)
        if link.session.over:
            self._recovery.settled(link)
        else:
            self._recovery.failed(link, self._loop.time(), random.random())  # noqa: S311 - not a secret
        self._calls.discard(call)
        self._changed.set()

    async def _come_back(self, link: Link) -> None:
        """One try."""
        try:
            if not link.session.over:
                await self._resume(link)
        except (RequestException, JournalError, PayloadError) as error:
            _log.info("connection %r: not resumed yet: %s", link.name, error)
        except ResponseException as refusal:
            self._refused(link, refusal)

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
            link.resumed(record, answer)
            self._recovery.settled(link)

    def _restarted(self, link: Link) -> None:
        link.end(LossReason.RESTARTED, "another process answers at its address", asked=False)

    def _refused(self, link: Link, refusal: ResponseException) -> None:
        meaning = meaning_of(refusal, tried_before=link in self._inherited)
        if meaning is Refused.NEXT:
            self._inherited.discard(link)
            link.record = replace(link.record, token=link.record.successor, successor="")
        elif meaning is Refused.OVER:
            link.end(LossReason.DISCONNECTED, f"the slave says: {refusal.message}", asked=False)
        elif meaning is Refused.UNBELIEVED:
            level = (
                logging.WARNING if self._unbelieved.is_news(link, refusal.message, self._loop.time()) else logging.INFO
            )
            _log.log(level, "connection %r: not resumed yet: %s", link.name, refusal.message)
        else:
            _log.info("connection %r: not resumed yet: %s", link.name, refusal.message)
            link.end_stream("its master was restarted, and can't resume it", disown=True)
