"""MasterService as a master serves it: messages in, models to a plain handler, and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from typing import Protocol

import grpc
import grpc.aio

from interaction.config import MasterOptions
from interaction.core.model import Acknowledgement, Failure, ResultStatus, TaskResult
from interaction.core.signature import Checker
from interaction.exception import (
    JournalError,
    MasterRequestInvalid,
    MasterTaskDataInvalid,
    PayloadError,
    ResponseException,
)
from interaction.rpc import certificates, convert, payload, signing
from interaction.rpc.beside import beside
from interaction.rpc.guard import BY_MASTER, Check, Gatekeeper, Guard
from interaction.rpc.reading import sentence
from interaction.rpc.server import Server
from interaction.rpc.signing import SignatureCheck
from interaction.rpc.status import Context, abort
from interaction.rpc.transport import QUIET_SERVER_OPTIONS
from interaction.text import named
from interaction.v1 import master_service_pb2 as pb
from interaction.v1 import master_service_pb2_grpc
from interaction.version import __version__

MOST_BEGUN = 100_000  # tasks of which a slave's witness may say that they had begun: of more, nothing is believed
SERVICE = pb.DESCRIPTOR.services_by_name["MasterService"].full_name


class HeartbeatHandler(Protocol):
    """What decides about one heartbeat stream."""

    def beat(self, sequence: int) -> int | None:
        """A beat came. Returns the newest sequence, to acknowledge; None for no acknowledgement."""

    def leaving(self, reason: str, drained: bool) -> None:
        """The slave leaves. Nothing follows."""

    def exited(self, incarnation: str, begun: Collection[str] | None) -> None:
        """The slave of that incarnation has ended, and these tasks had begun; None: it is not known which. `broken`
        follows."""

    def broken(self) -> None:
        """The stream ended without a word. Nothing follows."""


class MasterHandler(Gatekeeper, Protocol):
    """What decides, behind the service. Each method may raise a ResponseException: the call is refused with it."""

    def recognises(self, token: str, names: frozenset[str]) -> bool:
        """Whether who is known by these names in their certificate is the slave of that session."""

    def disbelieved(self, token: str, why: str) -> None:
        """Somebody has called by that token, with a certificate that is refused."""

    def open_heartbeat(self, token: str, end: Callable[[str | None], None]) -> HeartbeatHandler:
        """A slave opens a heartbeat stream. `end` ends it: None says that a newer one has taken its place, a text that
        the session is over, and why."""

    def is_over(self, token: str) -> bool:
        """Whether that session has ended: what comes for it is stale, and unread."""

    def settled(self, token: str, task_id: str) -> Acknowledgement | None:
        """How a result of that task is answered whatever it is, and so unread; None where it may be its end."""

    async def report(self, token: str, result: TaskResult, report: convert.Report) -> Acknowledgement:
        """A slave reports how a task ended: read, and as it came. May raise JournalError: as if it had not come."""


def master_server(options: MasterOptions, checker: Checker, handler: MasterHandler) -> Server:
    """A server for a master's handler. `checker` checks the signatures."""
    signatures = SignatureCheck(SERVICE, checker, signing.BY_MASTER)
    checks: list[Check] = [*certificates.by_master(options.tls, handler), signatures]
    guard = Guard(SERVICE, options.channel, BY_MASTER, handler, checks, signatures.sign_refusal)
    servicer = MasterServicer(handler)

    def add(server: grpc.aio.Server) -> None:
        master_service_pb2_grpc.add_MasterServiceServicer_to_server(servicer, server)

    return Server(options, SERVICE, guard, add, QUIET_SERVER_OPTIONS)


class MasterServicer(master_service_pb2_grpc.MasterServiceServicer):
    """Turns messages into models. The guard has checked channel and token before."""

    def __init__(self, handler: MasterHandler) -> None:
        self._handler = handler
        self._turns = convert.Turns()

    async def Ping(self, request: pb.MasterServicePingRequest, context: Context) -> pb.MasterServicePingResponse:  # noqa: N802
        """Say who is here."""
        return pb.MasterServicePingResponse(language=convert.LANGUAGE, version=__version__)

    async def Heartbeat(self, requests: AsyncIterator[pb.HeartbeatRequest], context: Context) -> None:  # type: ignore[override]  # noqa: N802
        """Acknowledge beats until either side ends the stream."""
        stream = _Stream(context)
        try:
            handler = self._handler.open_heartbeat(convert.brought(context).token or "", stream.end)
        except ResponseException as refusal:
            await abort(context, refusal)
        await stream.serve(requests, handler)

    async def ReportResult(self, request: pb.ReportResultRequest, context: Context) -> pb.ReportResultResponse:  # noqa: N802
        """Record one result."""
        message = request.result
        token = convert.brought(context).token or ""
        if self._handler.is_over(token):
            return pb.ReportResultResponse(acknowledgement=Acknowledgement.STALE.value)  # type: ignore[arg-type]
        try:
            if not convert.is_task_id(message.task_id):
                raise MasterRequestInvalid(f"result.task_id: expected a UUID, not {named(message.task_id)}")
            if message.status not in convert.RESULT_STATUSES:
                raise MasterRequestInvalid(f"result.status: {message.status} is no status of a result")
            try:
                read = await self._read(token, message)
                acknowledgement = (
                    await self._handler.report(token, read, message) if isinstance(read, TaskResult) else read
                )
            except PayloadError as error:
                # The task has ended, whatever it gave: its owner learns that, and the slave what was wrong.
                failure = Failure("PayloadError", f"the slave's result can't be read: {error}")
                result = TaskResult(message.task_id, ResultStatus.FAILED, {}, failure)
                unread = convert.write_result(message.task_id, result.status, payload.encode({}, "result"), failure)
                await self._handler.report(token, result, unread)
                raise MasterTaskDataInvalid(str(error)) from None
        except ResponseException as refusal:
            await abort(context, refusal)
        except JournalError:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the master can't write the result down now; try again")
        return pb.ReportResultResponse(acknowledgement=acknowledgement.value)  # type: ignore[arg-type]  # an enum's number

    async def _read(self, token: str, message: convert.Report) -> TaskResult | Acknowledgement:
        """A result, or how it is answered unread. Raises PayloadError."""
        settled = self._handler.settled(token, message.task_id)
        if settled is not None:
            return settled
        if not convert.is_large(message.result):
            return convert.read_result(message)
        async with self._turns.of(token):  # while it waited the same may have come
            settled = self._handler.settled(token, message.task_id)
            return await beside(convert.read_result, message) if settled is None else settled


def _begun(exited: pb.HeartbeatExited) -> Collection[str] | None:
    return frozenset(exited.begun) if exited.begun_known and len(exited.begun) <= MOST_BEGUN else None


class _Stream:
    """One heartbeat stream, in one task, that may be cancelled while it reads: gRPC suffers from a cancelled write."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._task = asyncio.current_task()
        self._reading = False
        self._ending: tuple[str | None] | None = None  # the master ends it, and why
        self._left = False  # the slave has said that it leaves

    def end(self, reason: str | None) -> None:
        """End the stream by the master's will."""
        if self._ending is None:
            self._ending = (reason,)
            if self._reading and self._task is not None:
                self._task.cancel()

    async def serve(self, requests: AsyncIterator[pb.HeartbeatRequest], handler: HeartbeatHandler) -> None:
        """Acknowledge beats until either side ends the stream."""
        try:
            if self._ending is None:
                await self._acknowledge(requests, handler)
        except asyncio.CancelledError:
            if self._ending is None:  # the connection is gone
                raise
        finally:
            self._reading = False
            if not self._left:
                handler.broken()
        if self._ending is not None:
            await self._say_why(*self._ending)

    async def _acknowledge(self, requests: AsyncIterator[pb.HeartbeatRequest], handler: HeartbeatHandler) -> None:
        self._reading = True
        async for request in requests:
            self._reading = False
            if request.HasField("leaving"):
                self._left = True
                handler.leaving(sentence(request.leaving.reason), request.leaving.drained)
                return
            if request.HasField("exited"):
                handler.exited(request.exited.incarnation, _begun(request.exited))
                return
            newest = handler.beat(request.sequence)
            if newest is not None:
                await self._context.write(pb.HeartbeatResponse(sequence=newest))
            if self._ending is not None:
                return
            self._reading = True

    async def _say_why(self, reason: str | None) -> None:
        if reason is None:
            await self._context.abort(grpc.StatusCode.ABORTED, "a newer stream has taken this one's place")
        await self._context.write(pb.HeartbeatResponse(closing=pb.HeartbeatClosing(reason=reason)))
