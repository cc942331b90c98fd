"""The heartbeat of one session at its slave: beats, acknowledgements, and the end of the lease."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable

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

_log = logging.getLogger("interaction.slave")
_FIRST_PAUSE = 0.05  # seconds before a broken stream is opened again; doubled each time
_LONGEST_PAUSE = 5.0


class Heart:
    """Beats until the session ends. `renewed` is called when the lease was renewed; `lease_over` when it is over;
    `ended` when the master ends the session, with the moment at which that was heard."""

    def __init__(
        self,
        client: MasterClient,
        lease: Lease,
        renewed: Callable[[], object],
        lease_over: Callable[[], None],
        ended: Callable[[MasterResponseException, float], None],
        pacemaker: Pacemaker | None,
    ) -> None:
        self._client = client
        self._lease = lease
        self._lease_renewed = renewed
        self._lease_over = lease_over
        self._ended = ended
        self._pacemaker = pacemaker
        self._stopped = False
        self._loop = asyncio.get_running_loop()
        self._leaving = False
        self._farewell = ""
        self._drained = False
        self._no_pause = asyncio.Event()  # there is a reason not to wait for the next beat
        self._beating = asyncio.ensure_future(self._beat())
        self._beating.add_done_callback(_forget)
        self._watching = self._loop.call_at(lease.expires_at, insist, self._watch)
        if pacemaker is not None:
            pacemaker.heard = self.hear

    def stop(self) -> None:
        """Beat no more. Neither callback is called from now on."""
        self._stopped = True
        self._beating.cancel()
        self._watching.cancel()
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
                self._ended(_closed(reason), heard_at)
            elif kind == "refused":
                heard_at, name, message = said
                self._ended(MASTER_EXCEPTIONS[MasterErrorCode[name]](message), heard_at)
            elif kind == "took":
                _log.warning("its pacemaker beats for this slave, whose loop stood still (in a task?) or was not heard")

    def catch_up(self) -> None:
        """Take in what the pacemaker may have said: before a decision that is made for each task."""
        if not silent(self._lease, self._loop.time()):
            self.hear()

    async def leave(self, reason: str, patience: float, *, drained: bool) -> None:
        """Tell the master that the slave leaves, and wait until it has ended the stream, at most `patience` seconds."""
        self._farewell, self._drained, self._leaving = reason, drained, True
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
            self._lease_over()
        else:
            self._watching = self._loop.call_at(self._lease.expires_at, insist, self._watch)

    def _acknowledged(self, answer: BeatAnswer) -> None:
        shorter = answer.lease is not None and answer.lease < self._lease.duration
        self._lease.acknowledged(answer.sequence, answer.lease)
        self._pulse()
        self._renewed(shorter)

    def _renewed(self, shorter: bool) -> None:
        self._lease_renewed()
        if shorter:
            self._no_pause.set()
            self._watching.cancel()
            self._watching = self._loop.call_at(self._lease.expires_at, insist, self._watch)

    def _pulse(self) -> None:
        if self._pacemaker is not None:
            self._pacemaker.pulse(self._lease)

    async def _beat(self) -> None:
        """Keep a stream open, and open it again where it breaks."""
        pause = _FIRST_PAUSE
        while not self._leaving:
            acknowledged = self._lease.expires_at
            try:
                if await self._beat_on(self._client.heartbeat()) or self._leaving:
                    return
                _log.info("the heartbeat stream has ended; opening it again")
            except RequestException as error:
                if error.code == "ABORTED" and self._was_replaced():
                    return
                _log.info("the heartbeat stream is broken; opening it again: %s", error)
            except MasterResponseException as refusal:
                self._ended(refusal, self._loop.time())
                return
            except Exception as error:  # noqa: BLE001 - a slave that does not beat is given up
                log_exception(_log, logging.ERROR, error, "the heartbeat has failed; it goes on")
            if self._lease.expires_at > acknowledged:  # it worked for a while
                pause = _FIRST_PAUSE
            pause = min(pause, self._lease.duration / 6)
            await self._pause(pause * random.uniform(0.5, 1.0))  # noqa: S311 - not a secret
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _was_replaced(self) -> bool:
        """Whether the newer stream is somebody else's, and there for good, rather than the pacemaker's."""
        self.hear()
        if self._pacemaker is not None and not self._pacemaker.took_over:
            self._pacemaker.end()
        return self._pacemaker is None or not self._pacemaker.took_over

    async def _beat_on(self, call: HeartbeatCall) -> bool:
        """Beat on one stream until it ends; True where the master has ended the session."""
        sending = asyncio.ensure_future(self._send(call))
        sending.add_done_callback(_forget)
        try:
            while (answer := await call.receive()) is not None:
                self._acknowledged(answer)
                if answer.closing is not None:
                    self._ended(_closed(answer.closing), self._loop.time())
                    return True
            return False
        finally:
            sending.cancel()
            call.cancel()  # changes nothing where it has ended

    async def _send(self, call: HeartbeatCall) -> None:
        try:
            while not self._leaving:  # a write that is cancelled would end the stream: none is
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


def _forget(task: asyncio.Task[None]) -> None:
    """A task that was cancelled keeps where it stood, with the call and its socket: let go of that now."""
    with contextlib.suppress(asyncio.CancelledError):
        task.result()


def _closed(reason: str) -> MasterSystemShuttingDown:
    return MasterSystemShuttingDown(reason or "the master ended the session")
