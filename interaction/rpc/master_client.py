"""MasterService as a slave calls it: models in, its master's answers out."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from interaction.address import Endpoint
from interaction.core.model import Acknowledgement
from interaction.exception import MasterResponseException, RequestException
from interaction.rpc import convert
from interaction.rpc.absence import absence_at
from interaction.rpc.answers import BY_MASTER, UNBELIEVED, Answerer
from interaction.rpc.handshake import Remedies, mismatch_at
from interaction.rpc.lines import Lines
from interaction.rpc.metadata import Metadata
from interaction.rpc.reading import lenient_channel, sentence
from interaction.rpc.signing import Signer
from interaction.rpc.status import master_error
from interaction.tls import TLS
from interaction.v1 import master_service_pb2 as pb
from interaction.v1 import master_service_pb2_grpc

_PATH = f"/{pb.DESCRIPTOR.services_by_name['MasterService'].full_name}/"
_LOOK = 1.0  # seconds to find out why nobody answers
_REPLACED = (grpc.StatusCode.ABORTED,)
_TOO_LONG = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.OUT_OF_RANGE)
_IS_IT_RIGHT = "does the master run, and is its address right (Master.my_address)?"
_REMEDIES = Remedies(
    who="the master",
    dial_by_tls="its address has to begin with https://, by Master(tls=) or Master(my_address=)",
    dial_without="leave https:// out of Master(my_address=), or give it Master(tls=)",
    permit_plain="give it Master(tls=), or permit masters without, by plain_peers=True in Slave(tls=) and without "
    "https:// in Master(my_address=)",
    trust="the authority in Slave(tls=) has to be the one that signed it",
    expect="Master(my_address=) has to be a name that is in it, or Slave(tls=TLS(..., server_name=)) has to name one",
    show="give Slave(tls=) a certificate and key that the master's authority signed",
)


@dataclass(frozen=True)
class BeatAnswer:
    """What the master said on the stream: an acknowledgement, and perhaps that it ends the session (`closing`: why)."""

    sequence: int
    lease: float | None
    closing: str | None


class HeartbeatCall:
    """One heartbeat stream. Raises a MasterResponseException or a RequestException when it fails."""

    def __init__(
        self,
        stub: master_service_pb2_grpc.MasterServiceAsyncStub,
        answerer: Answerer,
        peer: str,
        token: str,
    ) -> None:
        self._call: Any = stub.Heartbeat(metadata=answerer.sent)  # None once it was ended here
        self._answerer = answerer
        self._peer = peer
        self._token = token

    async def send(self, sequence: int) -> None:
        """Beat."""
        await self._write(pb.HeartbeatRequest(sequence=sequence))

    async def leave(self, sequence: int, reason: str, drained: bool) -> None:
        """Say that the slave leaves. The master ends the stream then."""
        leaving = pb.HeartbeatLeaving(reason=reason, drained=drained)
        await self._write(pb.HeartbeatRequest(sequence=sequence, leaving=leaving))
        await self._running().done_writing()

    async def exited(self, sequence: int, incarnation: str, begun: Sequence[str] | None) -> None:
        """Say that the slave's process has ended, and which tasks had begun; None: that is not known. The master then
        ends the stream."""
        exited = pb.HeartbeatExited(incarnation=incarnation, begun_known=begun is not None, begun=begun or ())
        await self._write(pb.HeartbeatRequest(sequence=sequence, exited=exited))
        await self._running().done_writing()

    async def receive(self) -> BeatAnswer | None:
        """The master's next word; None at the end of the stream."""
        try:
            doubt = None if self._answerer.believed else await self._answerer.doubt_stream(self._running())
            answer = None if doubt is not None else await self._running().read()
        except grpc.aio.AioRpcError as error:
            failure = self._failed(error)
        else:
            if doubt is None and self._answerer.believed:
                return self._read(answer)
            failure = doubt or self._answerer.unbelieved()
        raise failure  # not above: that error would come with it, and hold on to the call

    def _read(self, answer: object) -> BeatAnswer | None:
        if answer is None:
            raise RequestException(f"{self._peer} sent a message that can't be parsed", "DATA_LOSS")
        if not isinstance(answer, pb.HeartbeatResponse):  # grpc.aio.EOF
            return None
        lease = convert.read_lease(answer.lease) if answer.HasField("lease") else None
        closing = sentence(answer.closing.reason, self._token) if answer.HasField("closing") else None
        return BeatAnswer(answer.sequence, lease, closing)

    async def _write(self, message: pb.HeartbeatRequest) -> None:
        failure: MasterResponseException | RequestException
        try:
            await self._running().write(message)
        except asyncio.InvalidStateError:  # the stream has ended: `receive` says how
            failure = RequestException(f"{self._peer} ended the heartbeat stream", "CANCELLED")
        except grpc.aio.AioRpcError as error:
            failure = self._failed(error)
        else:
            return
        raise failure

    def _failed(self, error: grpc.aio.AioRpcError) -> MasterResponseException | RequestException:
        return self._answerer.doubt(error) or _failure(error, self._peer, self._token)

    def _running(self) -> Any:
        if self._call is None:
            raise RequestException(f"the heartbeat stream to {self._peer} is ended", "CANCELLED")
        return self._call

    @property
    def stands(self) -> bool:
        """Whether a master that is believed has taken the stream, and it has not ended."""
        return self._answerer.believed and self._call is not None and not self._call.done()

    def cancel(self) -> None:
        """End the stream at once, and let go of it: for as long as gRPC's call is held its channel dials on, even one
        that is closed, and the traceback of a failure holds whatever was there."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()


class MasterClient:
    """The calls to one master in one session. All are made on the loop."""

    def __init__(self, endpoint: Endpoint, tls: TLS | None, signer: Signer, token: str, max_message_bytes: int) -> None:
        self._endpoint = endpoint
        self._tls = tls
        self._peer = f"the master at {endpoint}"
        self._token = token
        self._signer = signer
        self._lines = Lines(endpoint, tls, max_message_bytes)
        self._called_by: grpc.aio.Channel | None = None
        self._held_stub: master_service_pb2_grpc.MasterServiceAsyncStub | None = None
        self._beating: HeartbeatCall | None = None  # the newest

    def dial_again(self) -> None:
        """Calls go by another connection from now on; those that are under way go on."""
        self._lines.dial_again()

    async def let_go(self) -> None:
        """End what goes by older connections."""
        await self._lines.let_go()

    @property
    def _stub(self) -> master_service_pb2_grpc.MasterServiceAsyncStub:
        channel = self._lines.newest()
        if channel is None:
            raise RequestException("the session is over", "CANCELLED")
        if self._held_stub is None or channel is not self._called_by:
            self._called_by = channel
            self._held_stub = master_service_pb2_grpc.MasterServiceStub(lenient_channel(channel))
        return self._held_stub

    def heartbeat(self) -> HeartbeatCall:
        """Open a heartbeat stream."""
        metadata = self._signer.metadata(f"{_PATH}Heartbeat", self._token)
        answerer = self._answerer(metadata, _REPLACED)
        self._beating = HeartbeatCall(self._stub, answerer, self._peer, self._token)
        return self._beating

    def _answerer(self, metadata: Metadata, meant: Collection[grpc.StatusCode]) -> Answerer:
        peer, token = self._peer, self._token
        return Answerer(self._signer, metadata, peer, lambda error: master_error(error, peer, token), meant)

    async def why_not(self, said: str) -> str | None:
        """Why a call has failed, of which gRPC has said that; None where it may be the network."""
        absence = await absence_at(self._endpoint, _LOOK, _IS_IT_RIGHT)
        absence = absence or await mismatch_at(self._endpoint, self._tls, said, _REMEDIES, _LOOK)
        return None if absence is None else absence.why

    async def unfit(self, said: str) -> str | None:
        """How TLS keeps calls from the master, of one of which gRPC has said that; None where that is not why."""
        absence = await mismatch_at(self._endpoint, self._tls, said, _REMEDIES, _LOOK)
        return None if absence is None else absence.why

    async def report(self, result: convert.Report, timeout: float) -> Acknowledgement:
        """Report how a task ended, once, within `timeout` seconds."""
        message = pb.ReportResultRequest()
        message.result.CopyFrom(result)
        try:
            metadata = self._signer.metadata(f"{_PATH}ReportResult", self._token)
            call = self._stub.ReportResult(message, timeout=timeout, metadata=metadata)
            answer: pb.ReportResultResponse | None = await self._answerer(metadata, self._too_long).answer(call)
        except grpc.aio.AioRpcError as error:
            failure: MasterResponseException | RequestException = _failure(error, self._peer, self._token)
        else:
            if answer is None:
                raise RequestException(f"{self._peer} answered with a message that can't be parsed", "DATA_LOSS")
            known = {kind.value: kind for kind in Acknowledgement}
            return known.get(answer.acknowledgement, Acknowledgement.RECORDED)
        raise failure

    @property
    def _too_long(self) -> Collection[grpc.StatusCode]:
        """What says that a result is too long comes from gRPC itself, or from a server between, and is never signed: it
        is believed while the master itself is there."""
        return () if self._beating is not None and self._beating.stands else _TOO_LONG

    async def close(self) -> None:
        """End all calls and let go of the transport: gRPC's threads run for as long as a channel is held."""
        self._called_by = self._held_stub = self._beating = None
        await self._lines.close()


def _failure(error: grpc.aio.AioRpcError, peer: str, token: str) -> MasterResponseException | RequestException:
    """What a failed call raises. A master that does not believe a signature or certificate has said nothing of the
    session: a secret or a clock may be set right, or that was another master."""
    failure = master_error(error, peer, token)
    if isinstance(failure, BY_MASTER):
        return RequestException(f"{peer} does not believe this slave: {failure.message}", UNBELIEVED)
    return failure
