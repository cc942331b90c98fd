"""Who has answered a call: under a secret nobody is believed who does not know it, whatever is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Generator
from typing import Any, Protocol, TypeVar

import grpc
import grpc.aio

from interaction.exception import (
    MasterCertificateInvalid,
    MasterSignatureInvalid,
    MasterSignatureNotGiven,
    MasterSignatureStale,
    RequestException,
    ResponseException,
    SlaveCertificateInvalid,
    SlaveSignatureInvalid,
    SlaveSignatureNotFound,
    SlaveSignatureStale,
)
from interaction.rpc.metadata import Metadata
from interaction.rpc.signing import Signer

UNBELIEVED = "UNAUTHENTICATED"  # the code of the RequestException where either side does not believe the other
BY_MASTER = (MasterSignatureNotGiven, MasterSignatureInvalid, MasterSignatureStale, MasterCertificateInvalid)
# What a server says that does not know the secret, or whose caller does not: it says nothing of sessions and tasks.
_OF_CALLS_ALONE = (
    SlaveSignatureNotFound,
    SlaveSignatureInvalid,
    SlaveSignatureStale,
    SlaveCertificateInvalid,
    *BY_MASTER,
)
_LAST_WORD = 1.0  # seconds in which a stream that is refused is over
_Answer = TypeVar("_Answer")
_Given = TypeVar("_Given", covariant=True)
Translate = Callable[[grpc.aio.AioRpcError], "ResponseException | RequestException"]


class AnotherAnswers(RequestException):
    """Somebody answers who does not show that they know the secret: it is as if nobody had."""


class _UnaryCall(Protocol[_Given]):
    def __await__(self) -> Generator[Any, None, _Given]: ...

    def initial_metadata(self) -> Awaitable[Any]: ...

    def trailing_metadata(self) -> Awaitable[Any]: ...


class Answerer:
    """Who answers one call, which brought `sent`. `peer` names the one that it was meant for.

    `meant` are statuses that say more than that a call has failed: they are nobody's to give who is not believed.
    """

    def __init__(
        self,
        signer: Signer,
        sent: Metadata,
        peer: str,
        translate: Translate,
        meant: Collection[grpc.StatusCode] = (),
    ) -> None:
        self._signer = signer
        self.sent = sent
        self._peer = peer
        self._translate = translate
        self._meant = meant
        self.believed = not signer.signs

    async def answer(self, call: _UnaryCall[_Answer]) -> _Answer:
        """The answer to a call of one message. Raises RequestException where it is not believed, or AioRpcError."""
        try:
            answer = await call
        except grpc.aio.AioRpcError as error:
            doubt = self.doubt(error)
            if doubt is None:
                raise
        else:
            if self.believed or self._told(await call.trailing_metadata(), await call.initial_metadata()):
                return answer
            doubt = self.unbelieved()
        del call  # which the traceback would hold
        raise doubt

    async def doubt_stream(self, call: grpc.aio.StreamStreamCall[Any, Any]) -> RequestException | None:
        """Wait until it is known who has taken a stream. What is to be raised where it is somebody who is not believed;
        of one that has failed `read` says how."""
        if self.believed or self._told(await call.initial_metadata()):
            return None
        ending = asyncio.ensure_future(call.code())
        try:
            await asyncio.wait({ending}, timeout=_LAST_WORD)
            failed = ending.done() and ending.result() is not grpc.StatusCode.OK
        finally:
            ending.cancel()
        return None if failed else self.unbelieved()

    def doubt(self, error: grpc.aio.AioRpcError) -> RequestException | None:
        """What is to be raised in the place of a failure that only who is believed can decide."""
        if self.believed or self._told(error.trailing_metadata(), error.initial_metadata()):
            return None
        failure = self._translate(error)
        decided = isinstance(failure, ResponseException) and not isinstance(failure, _OF_CALLS_ALONE)
        return self.unbelieved() if decided or error.code() in self._meant else None

    def unbelieved(self) -> RequestException:
        """That somebody else answers."""
        return AnotherAnswers(
            f"who answers as {self._peer} does not show that they know the secret, and is not believed: is that its "
            "address, and no other program at its port? Else give both sides the same secret, INTERACTION_SECRET in "
            "the environment of both or secret= (of several the first one signs: the other side needs it, too)",
            UNBELIEVED,
        )

    def _told(self, *metadata: Any) -> bool:
        self.believed = any(self._signer.believes(self.sent, came) for came in metadata)
        return self.believed
