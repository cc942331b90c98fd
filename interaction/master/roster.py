"""All links of a master, on the loop: who calls, who is living under which name, and the tick that watches them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from interaction.core.model import Acknowledgement, Body, TaskResult
from interaction.core.registry import Registry
from interaction.core.session import Probe
from interaction.exception import LossReason, MasterSlaveTokenInvalid, RequestException, SlaveSlaveAlreadyConnected
from interaction.master.heartbeat import HeartbeatStream
from interaction.master.link import Link
from interaction.rpc.convert import Report
from interaction.rpc.insist import attempt, insist
from interaction.rpc.telling import log_exception

T = TypeVar("T")
U = TypeVar("U", contravariant=True)
_log = logging.getLogger("interaction.master")
_MOST_PROBES = 64  # at once: of thousands that are lost in one moment the others' heartbeats feel little
_MOST_TURNS = 64  # Connects at once
_LONGEST_TURN = 1.0  # seconds after which a slow one makes room, and goes on
_PATIENCE = 0.1  # seconds that a shutdown waits for farewells under way


class Names(Generic[T]):
    """Which names are in use: from before `connect()` sends anything until its session is over.

    They are taken and freed on the loop alone; any thread may look.
    """

    def __init__(self) -> None:
        self._holders: dict[str, T] = {}

    def take(self, name: str, holder: T) -> None:
        """Reserve a name. Raises as `check_free()` does."""
        self.check_free(name, holder)
        self._holders[name] = holder

    def check_free(self, name: str, holder: T | None = None) -> None:
        """Raise KeyError where the name is in use, and SlaveSlaveAlreadyConnected where it is that holder's own."""
        found = self._holders.get(name)
        if found is not None and found is holder:
            raise SlaveSlaveAlreadyConnected(f"connection {name!r} is connected already, or is about to be")
        if found is not None:
            raise KeyError(f"the name {name!r} is in use by a connection of this master; choose another one")

    def free(self, name: str, holder: T) -> None:
        """Give a name back, if it is still the holder's."""
        if self._holders.get(name) is holder:
            del self._holders[name]

    def holders(self) -> list[T]:
        """All who have a name."""
        return list(self._holders.values())

    def holder(self, name: str) -> T | None:
        """Who has the name."""
        return self._holders.get(name)


class Watcher(Protocol[U]):
    """Who wants to know which connections are living. What it is told may be repeated, where it has raised before."""

    def joined(self, connection: U) -> None:
        """A connection is there, or there again."""

    def left(self, connection: U) -> None:
        """A connection is over."""

    def closed(self, error: BaseException) -> None:
        """No connection will come any more."""


class Roster(Generic[T]):
    """What the master's service calls, and where its links live."""

    def __init__(self, names: Names[T], check_span: float) -> None:
        self.abandoned = False  # the sessions are left to the next master on the same journal
        self.closing = False
        self._names = names
        self._check_span = check_span
        self._registry: Registry[Link] = Registry(check_span)
        self._holders: dict[Link, T] = {}
        self._watchers: list[Watcher[T]] = []
        self._background: set[asyncio.Future[object]] = set()
        self._watching: asyncio.Task[None] | None = None
        self._probing = asyncio.Semaphore(_MOST_PROBES)
        self._turns = asyncio.Semaphore(_MOST_TURNS)

    def start(self) -> None:
        """Watch the links from now on."""
        self._watching = asyncio.ensure_future(self._watch())
        self._watching.add_done_callback(self._done)

    async def stop(self) -> None:
        """End all sessions, and tell the slaves: those who have just connected as soon as they can be told."""
        if self.abandoned:
            self._leave_all()
            return
        streams = [asyncio.ensure_future(link.streaming()) for _, link in self._registry]
        if streams:
            _, late = await asyncio.wait(streams, timeout=_PATIENCE)
            for stream in late:
                stream.cancel()
        self.closing = True
        if self._watching is not None:
            self._watching.cancel()
        for _, link in self._registry:
            link.end(LossReason.DISCONNECTED, "the master shuts down")
        for watcher in self._watchers:
            insist(watcher.closed, RequestException("the master was shut down", "CANCELLED"))

    def _leave_all(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        for _, link in self._registry:
            link.abandon()

    async def settle(self) -> None:
        """Wait for what was begun in the background, not long."""
        if self._background:
            _, late = await asyncio.wait(self._background, timeout=_PATIENCE)
            for work in late:
                work.cancel()
            if late:
                await asyncio.wait(late, timeout=_PATIENCE)

    def add(self, link: Link, holder: T) -> None:
        """Know a link: its slave may call before Connect has returned."""
        self._holders[link] = holder
        self._registry.add(link.token, link.session, link)

    def watch(self, watcher: Watcher[T]) -> None:
        """Tell of the connections that are there, and of those that come and go."""
        self._watchers.append(watcher)
        for link, holder in list(self._holders.items()):
            if link.session.lives:
                insist(watcher.joined, holder)

    def unwatch(self, watcher: Watcher[T]) -> None:
        """Tell nothing any more."""
        if watcher in self._watchers:
            self._watchers.remove(watcher)

    def also(self, link: Link, token: str) -> None:
        """A link is known by another token as well: that under which it is being resumed."""
        link.tokens.append(token)
        self._registry.also(link.tokens[0], token)

    # What links tell.

    def link_opened(self, link: Link) -> None:
        """A session has begun, or goes on."""
        for watcher in self._watchers:
            insist(watcher.joined, self._holders[link])

    def link_gone(self, link: Link) -> None:
        """A session is about to end."""
        for watcher in self._watchers:
            insist(watcher.left, self._holders[link])

    def link_over(self, link: Link) -> None:
        """A session has ended. Harmless when repeated."""
        self._registry.retire(*link.tokens)
        holder = self._holders.get(link)
        if holder is not None:
            self._names.free(link.name, holder)
            del self._holders[link]
            for watcher in self._watchers:
                insist(watcher.left, holder)

    async def turn_to_connect(self, link: Link) -> None:
        """Wait until it is its turn, which ends when its heartbeat is there: gRPC takes new streams one by one.

        Without this, thousands that connect at once are answered, and then lost for want of their first beats.
        """
        await self._turns.acquire()
        self.in_background(self._end_turn(link))

    async def _end_turn(self, link: Link) -> None:
        try:
            await asyncio.wait_for(link.streaming(), _LONGEST_TURN)
        except asyncio.TimeoutError:
            _log.info("connection %r: connecting takes a while; others go on", link.name)
        finally:
            self._turns.release()

    def ask_after(self, link: Link, probe: Probe) -> None:
        """Find out who is there, and tell the link."""
        loop = asyncio.get_running_loop()
        loop.call_later(self._registry.pause_before(probe, loop.time()), self._ask_after, link)

    def _ask_after(self, link: Link) -> None:
        if not link.session.over and not self.abandoned:
            self.in_background(self._probe(link))

    async def _probe(self, link: Link) -> None:
        async with self._probing:
            if not link.session.over:
                link.do(link.session.probed(await link.client.probe(), busy=link.custody.busy))

    def in_background(self, work: Awaitable[object]) -> None:
        """Have something done without waiting for it. What it raises is logged."""
        future = asyncio.ensure_future(work)
        self._background.add(future)
        future.add_done_callback(self._done)

    def _done(self, future: asyncio.Future[Any]) -> None:
        self._background.discard(future)
        error = None if future.cancelled() else future.exception()
        if error is not None:
            _log.error("work in the background failed", exc_info=error)

    # What slaves call. The guard has checked the channel.

    def admit(self, method: str, token: str, previous: str | None) -> Body:
        """Admit a call by a token that names a session, living or ended not long ago."""
        if not self._registry.remembers(token):
            raise MasterSlaveTokenInvalid("the token names no session of this master")
        link = self._registry.find(token)
        if method == "Heartbeat" and link is not None and link.disowned == token:
            raise MasterSlaveTokenInvalid("its master was restarted, and can't resume the session of this token")
        return Body.UNREAD if self.is_over(token) else Body.READ

    def is_over(self, token: str) -> bool:
        """Whether no session lives by that token."""
        return self._registry.find(token) is None

    def recognises(self, token: str, names: frozenset[str]) -> bool:
        """Whether who is known by these names is the slave of that session; of one that is over nothing is asked any
        more."""
        link = self._registry.find(token)
        return link is None or link.session.recognises(names)

    def disbelieved(self, token: str, why: str) -> None:
        """A call by the token of a session was refused for its certificate: it is told once, for it may be the slave's,
        whose results then don't come."""
        link = self._registry.find(token)
        if link is not None and link.session.is_news(why):
            _log.warning("a call for the session with %r is refused: %s", link.name, why)

    def open_heartbeat(self, token: str, end: Callable[[str | None], None]) -> HeartbeatStream:
        """A slave opens a heartbeat stream."""
        link = self._registry.find(token)
        if link is None:
            raise MasterSlaveTokenInvalid("the session of this token is over")
        return link.open_heartbeat(token, end)

    def settled(self, token: str, task_id: str) -> Acknowledgement | None:
        """How a result is answered that need not be read."""
        link = self._registry.find(token)
        return Acknowledgement.STALE if link is None else link.custody.settled(task_id)

    async def report(self, token: str, result: TaskResult, report: Report) -> Acknowledgement:
        """A slave reports how a task ended. What comes after the end of its session is stale."""
        link = self._registry.find(token)
        return Acknowledgement.STALE if link is None else await link.report(result, report)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                for link, decision in self._registry.tick(loop.time()):
                    attempt(partial(link.do, decision))
            except Exception as error:  # noqa: BLE001 - else nobody would be found silent any more
                log_exception(_log, logging.ERROR, error, "a look at the sessions has failed; the next one follows")
            await asyncio.sleep(self._check_span)
