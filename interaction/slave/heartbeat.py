"""The heartbeat of one session at its slave: beats, acknowledgements, and the end of the lease."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from interaction.core.lease import Lease
from interaction.core.pacemaker import silent
from interaction.exception import (
    MasterErrorCode,
    MasterResponseException,
    MasterSystemShuttingDown,
    RequestException,
)
from interaction.exception.master import MASTER_EXCEPTIONS
from interaction.rpc.insist import insist
from interaction.rpc.master_client import BeatAnswer, HeartbeatCall, MasterClient
from interaction.rpc.telling import log_exception
from interaction.slave.pacemaker import Pacemaker
from interaction.slave.unheard import Unheard

_log = logging.getLogger("interaction.slave")
_FIRST_PAUSE = 0.05  # seconds before a broken stream is opened again; doubled each time
_LONGEST_PAUSE = 5.0
_LOOK_SHARE = 1 / 12  # of the lease, in which what has come is read by a loop that goes on


class Listener(Protocol):
    """Who wants to know of a heartbeat."""

    def renewed(self) -> None:
        """The lease was renewed."""

    def lease_over(self) -> None:
        """The lease is over."""

    def ended(self, error: MasterResponseException, heard_at: float) -> None:
        """The master ends the session, and that was heard then."""

    def failing(self, why: str | None) -> None:
        """A stream has come to nothing, not even one acknowledgement. `why`: where it was found out."""


class _Nobody:
    """Whom nothing is told any more."""

    def renewed(self) -> None: ...

    def lease_over(self) -> None: ...

    def ended(self, error: MasterResponseException, heard_at: float) -> None: ...

    def failing(self, why: str | None) -> None: ...


_NOBODY = _Nobody()


class Heart:
    """Beats until it is stopped."""

    def __init__(
        self,
        client: MasterClient,
        lease: Lease,
        listener: Listener,
        warn: Callable[..., object] = _log.warning,
    ) -> None:
        self._client = client
        self._lease = lease
        self._listener = listener
        self._pacemaker: Pacemaker | None = None
        self.unheard = Unheard(client, self._found_out, warn)
        self._stopped = False
        self._loop = asyncio.get_running_loop()
        self._leaving = False
        self._farewell = ""
        self._drained = False
        self._no_pause = asyncio.Event()  # there is a reason not to wait for the next beat
        self._stream: _Stream | None = None  # the newest
        self._older: _Stream | None = None  # open without an acknowledgement: kept until the newest has one
        self._doubted = False  # whether there has ever been an older one
        self._lease_changed: asyncio.Future[None] = self._loop.create_future()  # what its length is
        self._letting_go: asyncio.Task[None] | None = None
        self._beating = asyncio.ensure_future(self._beat())
        self._beating.add_done_callback(_forget)
        self._watching = self._loop.call_at(lease.expires_at, insist, self._watch)

    def serve(self, listener: Listener, pacemaker: Pacemaker | None) -> None:
        """A session has begun, whose heart this is from now on; its lease has another length."""
        self._listener, self._pacemaker = listener, pacemaker
        self.unheard.warn = _log.warning
        if pacemaker is not None:
            pacemaker.heard = self.hear
        self._watch_again()

    def stop(self) -> None:
        """Beat no more. The listener hears nothing from now on."""
        self._stopped = True
        self._beating.cancel()
        self._let_go_of_older()
        self._stream = None  # it holds on to gRPC
        self._watching.cancel()
        self.unheard.stop()
        if self._pacemaker is not None:
            self._pacemaker.end()

    def hear(self) -> None:
        """Take in what the pacemaker has said by now: before it is decided whether the lease is over."""
        for kind, *said in [] if self._pacemaker is None else self._pacemaker.hear():
            if self._stopped:
                return
            if kind == "beat":
                newest, renewed_at, duration = said
                shorter = duration < self._lease.duration
                self._lease.adopt(newest, renewed_at, duration)
                self._renewed(shorter)
            elif kind == "closing":
                heard_at, reason = said
                self._listener.ended(_closed(reason), heard_at)
            elif kind == "refused":
                heard_at, name, message = said
                self._listener.ended(MASTER_EXCEPTIONS[MasterErrorCode[name]](message), heard_at)
            elif kind == "took":
                (stood_still,) = said
                if stood_still:
                    _log.warning("its pacemaker beats for this slave, whose loop stood still (in a task?)")
                else:
                    _log.info("its pacemaker beats for this slave, too, whose own beats are not acknowledged")

    def catch_up(self) -> None:
        """Take in what the pacemaker may have said: before a decision that is made for each task."""
        if not silent(self._lease, self._loop.time()):
            self.hear()

    async def leave(self, reason: str, patience: float, *, drained: bool) -> None:
        """Tell the master that the slave leaves, and wait until it has ended the stream, at most `patience` seconds."""
        self._farewell, self._drained, self._leaving = reason, drained, True
        self._listener = _NOBODY  # the session is over, and there may be another
        self._no_pause.set()
        _, late = await asyncio.wait({self._beating}, timeout=patience)
        if late:
            _log.info("the master did not hear in time that this slave leaves")

    def _watch(self) -> None:
        """The lease may be over; each acknowledgement moves its end."""
        self.hear()
        if self._stopped:
            return
        if self._lease.expired(self._loop.time()):
            self._listener.lease_over()
        else:
            self._watch_again()

    def _watch_again(self) -> None:
        self._watching.cancel()
        if not self._lease_changed.done():
            self._lease_changed.set_result(None)
        self._lease_changed = self._loop.create_future()
        self._watching = self._loop.call_at(self._lease.expires_at, insist, self._watch)

    def _acknowledged(self, answer: BeatAnswer) -> bool:
        """Take in an answer; whether it renewed the lease."""
        self.unheard.stop()
        shorter, before = answer.lease is not None and answer.lease < self._lease.duration, self._lease.renewed_at
        self._lease.acknowledged(answer.sequence, answer.lease)
        self._pulse()
        self._renewed(shorter)
        return self._lease.renewed_at > before

    def _renewed(self, shorter: bool) -> None:
        self._listener.renewed()
        if shorter:
            self._no_pause.set()
            self._watch_again()

    def _pulse(self) -> None:
        if self._pacemaker is not None:
            self._pacemaker.pulse(self._lease)

    async def _beat(self) -> None:
        """Keep a stream open, and open it again where it breaks."""
        pause = _FIRST_PAUSE
        while not self._leaving:
            acknowledged = self._lease.renewed_at
            try:
                if await self._beat_on(_Stream(self._client.heartbeat())) or self._leaving:
                    return
                if self._older is self._stream:
                    _log.info("nothing is acknowledged on the heartbeat stream; opening another")
                    self._client.dial_again()
                    continue
                _log.info("the heartbeat stream has ended; opening it again")
            except RequestException as error:
                if error.code == "ABORTED" and self._was_replaced():
                    return
                _log.info("the heartbeat stream is broken; opening it again: %s", error)
                self.unheard.failed(error)
            except MasterResponseException as refusal:
                self._listener.ended(refusal, self._loop.time())
                return
            except Exception as error:  # noqa: BLE001 - a slave that does not beat is given up
                log_exception(_log, logging.ERROR, error, "the heartbeat has failed; it goes on")
            if self._lease.renewed_at > acknowledged:  # it worked for a while
                pause = _FIRST_PAUSE
            else:
                self._listener.failing(None)
            pause = min(pause, self._lease.duration / 6)
            await self._pause(pause * random.uniform(0.5, 1.0))  # noqa: S311 - not a secret
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _found_out(self, why: str) -> None:
        if not self._stopped:
            self._listener.failing(why)

    def _was_replaced(self) -> bool:
        """Whether the newer stream is somebody else's, and there for good, rather than the pacemaker's or its own.

        What hangs on its way may come late: to the master the older stream is then the newer one.
        """
        self.hear()
        if self._doubted:
            return False
        if self._pacemaker is not None and not self._pacemaker.took_over:
            self._pacemaker.end()
        return self._pacemaker is None or not self._pacemaker.took_over

    async def _beat_on(self, stream: _Stream) -> bool:
        """Beat on one stream until it ends, or hangs and is the older; True where the master has ended the session."""
        self._stream = stream
        receiving = asyncio.ensure_future(self._receive(stream))
        sending = asyncio.ensure_future(self._send(stream))
        stream.tasks = receiving, sending
        receiving.add_done_callback(_heard)
        sending.add_done_callback(_forget)
        try:
            if await self._hangs(receiving):
                self._older, self._doubted = stream, True
                return False
            return receiving.result()
        finally:
            if self._older is not stream:
                stream.end()

    async def _hangs(self, receiving: asyncio.Task[bool]) -> bool:
        """Wait until the stream has ended (False), or stays open without acknowledgements.

        What this loop has not read because it stood still is no such thing. Only one stream is ever doubted.
        """
        while True:
            now, doubtful_at = self._loop.time(), self._lease.doubtful_at
            look = self._lease.duration * _LOOK_SHARE
            due = max(doubtful_at, now + look)
            either: set[asyncio.Future[Any]] = {receiving, self._lease_changed}
            await asyncio.wait(either, timeout=due - now, return_when=asyncio.FIRST_COMPLETED)
            if receiving.done():
                return False
            self.hear()
            now = self._loop.time()
            if self._lease.doubtful_at <= now < due + look and self._older is None and not self._leaving:
                return True

    async def _receive(self, stream: _Stream) -> bool:
        """Take in what the master says until it ends the stream; True where it has ended the session."""
        try:
            while (answer := await stream.call.receive()) is not None:
                if self._acknowledged(answer) and stream is self._stream:
                    self._let_go_of_older()
                if answer.closing is not None:
                    self._listener.ended(_closed(answer.closing), self._loop.time())
                    return True
        except (RequestException, MasterResponseException) as error:
            if stream is self._stream:
                raise
            _log.debug("the older heartbeat stream has ended: %s", error)
            if isinstance(error, MasterResponseException) and not self._stopped:
                self._listener.ended(error, self._loop.time())
        return False

    def _let_go_of_older(self) -> None:
        older, self._older = self._older, None
        if older is not None:
            older.end()
            self._letting_go = asyncio.ensure_future(self._client.let_go())

    async def _send(self, stream: _Stream) -> None:
        call = stream.call
        try:
            while not self._leaving:  # a write that is cancelled would end the stream: none is
                if stream is not self._stream:  # beats go by the newest
                    return
                if self._over():  # `_watch` is about to notice
                    return
                sequence = self._lease.beat(self._loop.time())
                self._pulse()
                await call.send(sequence)
                await self._pause(self._lease.pause(random.random()))  # noqa: S311 - not a secret
            await call.leave(self._lease.beat(self._loop.time()), self._farewell, self._drained)
        except (RequestException, MasterResponseException) as error:  # `receive` meets the same, and deals with it
            _log.debug("a beat could not be sent: %s", error)

    def _over(self) -> bool:
        """Whether no beat may be sent any more: the process stood still, and nobody has beaten in its place."""
        if self._lease.expired(self._loop.time()):
            self.hear()
        return self._stopped or self._lease.expired(self._loop.time())

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._no_pause.wait(), seconds)
        self._no_pause.clear()


class _Stream:
    """A heartbeat stream, and what reads and writes on it."""

    def __init__(self, call: HeartbeatCall) -> None:
        self.call = call
        self.tasks: Sequence[asyncio.Task[Any]] = ()

    def end(self) -> None:
        """End it at once; changes nothing where it has ended."""
        tasks, self.tasks = self.tasks, ()  # with what ends them they hold on to this, and so to gRPC
        for task in tasks:
            task.cancel()
        self.call.cancel()


def _forget(task: asyncio.Task[None]) -> None:
    """A task that was cancelled keeps where it stood, with the call and its socket: let go of that now."""
    with contextlib.suppress(asyncio.CancelledError):
        task.result()


def _heard(task: asyncio.Task[bool]) -> None:
    """The same, of one whose failure is another's: where nobody is there any more to hear it, that is no news."""
    if not task.cancelled():
        task.exception()


def _closed(reason: str) -> MasterSystemShuttingDown:
    return MasterSystemShuttingDown(reason or "the master ended the session")
