"""SlaveService as a slave serves it: messages in, models to a plain handler, and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Protocol

import grpc
import grpc.aio

from interaction.address import Endpoint
from interaction.config import ASSUMED_MAX_MESSAGE_BYTES, SlaveOptions
from interaction.core.model import ConnectAnswer, ConnectOffer, Data, Identity, TaskOffer
from interaction.core.signature import claim_of
from interaction.exception import PayloadError, ResponseException, SlaveRequestInvalid, SlaveSignatureInvalid
from interaction.rpc import certificates, convert, payload, signing
from interaction.rpc.beside import beside
from interaction.rpc.guard import BY_SLAVE, Check, Gatekeeper, Guard
from interaction.rpc.insist import insist
from interaction.rpc.server import Server
from interaction.rpc.signing import SignatureCheck, checker_of
from interaction.rpc.status import Context, abort
from interaction.rpc.transport import QUIET_SERVER_OPTIONS
from interaction.rpc.work_stream import WorkHandler, check_id, read_task, serve
from interaction.v1 import payload_pb2, slave_service_pb2_grpc
from interaction.v1 import slave_service_pb2 as pb

SERVICE = pb.DESCRIPTOR.services_by_name["SlaveService"].full_name


class SlaveHandler(Gatekeeper, Protocol):
    """What decides, behind the service. Each method may raise a ResponseException: the call is refused with it."""

    def identity(self) -> Identity:
        """Who is here."""

    def asks_to_connect(self, token: str, previous: str | None) -> bool:
        """Whether what a master has to say, who wants to connect, is to be read: the user is asked."""

    async def connect(self, offer: ConnectOffer, master: Endpoint) -> ConnectAnswer:
        """A master wants to open or resume a session."""

    def asks_to_disconnect(self, token: str) -> bool:
        """The same of one that wants to disconnect."""

    async def disconnect(self, token: str, data: Data) -> Data:
        """The master wants to end the session."""

    def check_task(self, token: str, task_id: str, incarnation: str) -> None:
        """Raise where a task is not taken whatever it is: then it is not read."""

    async def new_task(self, token: str, offer: TaskOffer) -> Data:
        """The master hands over a task."""

    def told(self, task_id: str) -> None:
        """A call of `new_task` has ended: its answer, if there is one, has been sent."""

    def open_work(self, token: str, end: Callable[[ResponseException | None], None]) -> WorkHandler:
        """The master opens a stream. `end` ends it: None says that a newer one has taken its place."""


def slave_server(options: SlaveOptions, handler: SlaveHandler) -> Server:
    """A server for a slave's handler."""
    checker = checker_of(options.secret, "slave", handler.identity().incarnation)
    signatures = SignatureCheck(SERVICE, checker, signing.BY_SLAVE)
    checks: list[Check] = [*certificates.by_slave(options.tls), signatures]
    guard = Guard(SERVICE, options.channel, BY_SLAVE, handler, checks, signatures.sign_refusal)
    servicer = SlaveServicer(handler, options)
    trusted = options.tls is not None and options.tls.mutual  # a stranger does not get as far as to open a stream
    return Server(
        options,
        SERVICE,
        guard,
        lambda server: slave_service_pb2_grpc.add_SlaveServiceServicer_to_server(servicer, server),
        () if trusted else QUIET_SERVER_OPTIONS,
    )


class SlaveServicer(slave_service_pb2_grpc.SlaveServiceServicer):
    """Turns messages into models. The guard has checked channel and token before."""

    def __init__(self, handler: SlaveHandler, options: SlaveOptions) -> None:
        self._handler = handler
        self._options = options
        self._turns = convert.Turns()

    async def Ping(self, request: pb.SlaveServicePingRequest, context: Context) -> pb.SlaveServicePingResponse:  # noqa: N802
        """Say who is here."""
        who = self._handler.identity()
        return pb.SlaveServicePingResponse(
            incarnation=who.incarnation, language=who.language, version=who.version, features=who.features
        )

    async def Connect(self, request: pb.ConnectRequest, context: Context) -> pb.ConnectResponse:  # noqa: N802
        """Open or resume a session."""
        try:
            offer, master = await self._read_offer(request, context)
            answer = await self._handler.connect(offer, master)
            return pb.ConnectResponse(
                incarnation=answer.incarnation,
                slots=answer.slots,
                backlog=answer.backlog,
                features=answer.features,
                held=[pb.HeldTask(task_id=held.task_id, ended=held.ended) for held in answer.held],
                data=payload.encode(answer.data, "data", offer.max_message_bytes).message,
                max_message_bytes=self._options.max_message_bytes,
                labels=answer.labels,
            )
        except ResponseException as refusal:
            await abort(context, refusal)

    async def _read_offer(self, request: pb.ConnectRequest, context: Context) -> tuple[ConnectOffer, Endpoint]:
        credentials = convert.brought(context)
        if self._options.secret is not None:
            _check_terms(credentials.signature or "", request)
        try:
            master = self._options.master_at(request.master_address)
        except ValueError as error:
            raise SlaveRequestInvalid(f"master_address: {error}") from None
        lease = convert.read_lease(request.lease)
        if lease is None:
            raise SlaveRequestInvalid(f"lease: expected {convert.MIN_LEASE} to {convert.MAX_LEASE:.0f} seconds")
        token, previous = credentials.token or "", credentials.previous_token or None
        asks = self._handler.asks_to_connect(token, previous)
        return ConnectOffer(
            token=token,
            previous_token=previous,
            master_address=request.master_address,
            lease=lease,
            data=await _read_words(request.data) if asks else {},
            max_message_bytes=request.max_message_bytes or ASSUMED_MAX_MESSAGE_BYTES,
        ), master

    async def Disconnect(self, request: pb.DisconnectRequest, context: Context) -> pb.DisconnectResponse:  # noqa: N802
        """End the session."""
        try:
            token = convert.brought(context).token or ""
            data = await _read_words(request.data) if self._handler.asks_to_disconnect(token) else {}
            answer = await self._handler.disconnect(token, data)
            return pb.DisconnectResponse(data=payload.encode(answer, "data").message)
        except ResponseException as refusal:
            await abort(context, refusal)

    async def NewTask(self, request: pb.NewTaskRequest, context: Context) -> pb.NewTaskResponse:  # noqa: N802
        """Take one task."""
        try:
            task, token = request.task, convert.brought(context).token or ""
            check_id(task)
            self._handler.check_task(token, task.id, request.incarnation)
            offer = await self._read_task(token, request)
            context.add_done_callback(partial(insist, self._told, offer.task_id))  # type: ignore[arg-type]  # a protocol of a private name
            answer = await self._handler.new_task(token, offer)
            return pb.NewTaskResponse(data=payload.encode(answer, "data").message)
        except ResponseException as refusal:
            await abort(context, refusal)

    async def _read_task(self, token: str, request: pb.NewTaskRequest) -> TaskOffer:
        """A task that may be taken. Raises a ResponseException."""
        task = request.task
        if not convert.is_large(task.data):
            return read_task(task, request.incarnation)
        async with self._turns.of(token):
            self._handler.check_task(token, task.id, request.incarnation)  # others may have come while it waited
            return await beside(read_task, task, request.incarnation)

    def _told(self, task_id: str, context: object) -> None:
        self._handler.told(task_id)

    async def Work(self, requests: AsyncIterator[pb.WorkRequest], context: Context) -> None:  # type: ignore[override]  # noqa: N802
        """Take tasks, and say what became of them, until either side ends the stream."""
        ended: asyncio.Future[ResponseException | None] = asyncio.get_running_loop().create_future()

        def end(reason: ResponseException | None) -> None:
            if not ended.done():
                ended.set_result(reason)

        if not self._options.fast_road:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "this slave's features lack `work`")
        try:
            handler = self._handler.open_work(convert.brought(context).token or "", end)
        except ResponseException as refusal:
            await abort(context, refusal)
        try:
            await serve(requests, context, handler, ended)
        finally:
            handler.close()

    async def CancelTask(self, request: pb.CancelTaskRequest, context: Context) -> pb.CancelTaskResponse:  # noqa: N802
        """Not served yet, and not among the features."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "this slave's features lack `cancel`")
        raise AssertionError("abort returned")


async def _read_words(message: payload_pb2.Payload) -> Data:
    """What a master has to say. Raises SlaveRequestInvalid."""
    try:
        return await convert.read_payload(payload.decode_mapping, message, "data")
    except PayloadError as error:
        raise SlaveRequestInvalid(str(error)) from None


def _check_terms(signature: str, request: pb.ConnectRequest) -> None:
    """Refuse a message whose address or lease is not what was signed. The guard has checked the signature."""
    claim = claim_of(signature)
    if claim is None or (claim.lease, claim.address) != (convert.nanoseconds(request.lease), request.master_address):
        raise SlaveSignatureInvalid("the message's address or lease is not what the signature says")
