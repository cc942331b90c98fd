"""A pacemaker that beats: a heartbeat stream of the slave's session, newer than the slave's own."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import Any, NoReturn

from interaction.address import Endpoint
from interaction.core.pacemaker import Pace
from interaction.exception import MasterResponseException, RequestException
from interaction.rpc.master_client import HeartbeatCall, MasterClient
from interaction.rpc.pacemaker.wire import Session, Wire, end
from interaction.rpc.signing import Signer
from interaction.secret import Secret
from interaction.tls import TLS

_FIRST_PAUSE = 0.05  # seconds before a broken stream is opened again; doubled each time
_LONGEST_PAUSE_SHARE = 1 / 12  # of the lease
_LINGER_SHARE = 1 / 6  # of the lease that a stream is kept without a beat, for the slave's own to take its place
_LAST_WORDS = 3.0  # seconds in which it is tried to tell that the slave has ended
_TEXT = 500  # characters of the master's that are handed on


def beat(wire: Wire) -> NoReturn:
    """Wait and beat in turns until the slave's process ends."""
    asyncio.run(Understudy(wire).run())
    raise AssertionError("it runs as long as the process does")


class Understudy:
    """Beats while the core says so."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._pacemaker = wire.pacemaker
        self._changed = asyncio.Event()
        self._testifying: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Never returns."""
        loop = asyncio.get_running_loop()
        loop.add_reader(0, self._heard)
        if self._wire.ended is not None:
            loop.add_reader(self._wire.ended, self._heard)
        while True:
            pace = self._wire.pace()
            if self._wire.over_with_slave:
                await self._slave_ended()
            elif pace is Pace.BEAT:
                assert self._wire.session is not None, "else it rests"
                await self._stand_in(self._wire.session)
            else:
                await self._pause_until(self._pacemaker.next_look(time.monotonic()))

    def _heard(self) -> None:
        self._wire.read()
        self._changed.set()
        if self._wire.over_with_slave:
            self._slave_ended()

    def _slave_ended(self) -> asyncio.Task[None]:
        if self._testifying is None:
            loop = asyncio.get_running_loop()
            for source in (0, self._wire.ended):
                if source is not None:
                    loop.remove_reader(source)
            self._testifying = asyncio.ensure_future(self._testify())
        return self._testifying

    async def _testify(self) -> None:
        """Tell the master that the slave has ended, and what had begun. That is the end of this process, too."""
        session = self._wire.session
        try:
            assert session is not None, "else there is nothing to say"
            await asyncio.wait_for(self._tell_end(session, self._wire.begun()), _LAST_WORDS)
        finally:
            end()

    async def _tell_end(self, session: Session, begun: list[str] | None) -> None:
        client, pause = _client(session), _FIRST_PAUSE
        while True:
            call = client.heartbeat()
            try:
                lease = self._pacemaker.lease
                await call.exited(1 if lease is None else lease.newest + 1, session.settings["incarnation"], begun)
                while await call.receive() is not None:
                    pass
                return
            except MasterResponseException:  # the session is over
                return
            except RequestException:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LAST_WORDS)

    async def _pause_until(self, moment: float | None) -> None:
        """Wait until that moment, or until something has come."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._changed.wait(), self._wire.patience(moment))
        self._changed.clear()

    def _wanted(self, session: Session) -> bool:
        return self._wire.pace() is Pace.BEAT and self._wire.session is session

    async def _stand_in(self, session: Session) -> None:
        # Said before the master ends the slave's own stream for this one.
        self._wire.say("took", session.number, self._pacemaker.stands_still(time.monotonic()))
        client = _client(session)
        pause = _FIRST_PAUSE
        try:
            while self._wanted(session):
                try:
                    await self._beat_on(client.heartbeat(), session)
                except RequestException as error:
                    if error.code == "ABORTED":
                        self._pacemaker.yielded(time.monotonic())
                except MasterResponseException as refusal:
                    self._over(session, "refused", refusal.code.name, refusal.message[:_TEXT])
                if self._wanted(session) and (lease := self._pacemaker.lease) is not None:
                    await self._pause_until(time.monotonic() + pause)
                    pause = min(2 * pause, lease.duration * _LONGEST_PAUSE_SHARE)
        finally:
            await client.close()

    async def _beat_on(self, call: HeartbeatCall, session: Session) -> None:
        """Beat on one stream until it ends, or is not wanted any more."""
        receiving = asyncio.ensure_future(self._receive(call, session))
        sending = asyncio.ensure_future(self._send(call, session))
        try:
            await asyncio.wait({receiving, sending}, return_when=asyncio.FIRST_COMPLETED)
            lease = self._pacemaker.lease
            if lease is not None and not receiving.done():  # a stream broken off would alarm the master
                await asyncio.wait({receiving}, timeout=lease.duration * _LINGER_SHARE)
            if receiving.done():
                receiving.result()
        finally:
            receiving.cancel()
            sending.cancel()
            call.cancel()

    async def _send(self, call: HeartbeatCall, session: Session) -> None:
        with contextlib.suppress(RequestException, MasterResponseException):  # `_receive` meets the same
            while self._wanted(session) and (lease := self._pacemaker.lease) is not None:
                await call.send(lease.beat(time.monotonic()))
                await self._pause_until(time.monotonic() + lease.pause(random.random()))  # noqa: S311 - not a secret

    async def _receive(self, call: HeartbeatCall, session: Session) -> None:
        while (answer := await call.receive()) is not None:
            lease = self._pacemaker.lease
            if lease is None or self._wire.session is not session:
                return
            self._pacemaker.acknowledged(answer.sequence, answer.lease, time.monotonic())
            self._wire.say("beat", session.number, lease.newest, lease.renewed_at, lease.duration)
            if answer.closing is not None:
                self._over(session, "closing", answer.closing[:_TEXT])
                return

    def _over(self, session: Session, kind: str, *why: str) -> None:
        """The master says that the session is over: the slave is told, and decides."""
        if self._wire.session is session:
            self._wire.say(kind, session.number, time.monotonic(), *why)
            self._wire.over()


def _client(session: Session) -> MasterClient:
    settings = session.settings
    host, port, secure = settings["master"]
    endpoint = Endpoint(host, port, secure)
    keys = settings["secret"]
    signer = Signer(settings["channel"], None if keys is None else Secret([key.encode() for key in keys]))
    return MasterClient(endpoint, tls_of(settings["tls"]), signer, settings["token"], settings["max_message_bytes"])


def tls_of(told: list[Any] | None) -> TLS | None:
    """What the slave told of its TLS; of its files what they hold by now: it may have another certificate since."""
    if told is None:
        return None
    *pems, files, mutual, server_name = told
    certificate, key, authority = (None if pem is None else pem.encode("latin-1") for pem in pems)
    then = TLS(certificate, key, authority, mutual, server_name)
    if files:
        with contextlib.suppress(OSError, ValueError):
            newest = TLS.from_files(mutual=mutual, server_name=server_name, **files)
            return then.succeeded_by(newest, "certificate")
    return then
