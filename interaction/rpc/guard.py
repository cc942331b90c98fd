"""Channel and token are checked here, on each side, before any handler."""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeAlias, cast

import grpc
import grpc.aio

from interaction.core.model import Body
from interaction.exception import (
    MasterChannelInvalid,
    MasterChannelNotGiven,
    MasterRequestInvalid,
    MasterSlaveTokenInvalid,
    MasterSlaveTokenNotGiven,
    MasterSystemShuttingDown,
    ResponseException,
    SlaveChannelInvalid,
    SlaveChannelNotFound,
    SlaveMasterTokenInvalid,
    SlaveMasterTokenNotFound,
    SlaveRequestInvalid,
    SlaveSystemShuttingDown,
)
from interaction.rpc.letting_go import letting_go
from interaction.rpc.metadata import Credentials, read_metadata
from interaction.rpc.reading import lenient
from interaction.rpc.status import Context, abort
from interaction.rpc.strangers import Strangers, brief
from interaction.rpc.telling import name_of
from interaction.rpc.unproved import Unproved

_UNREADABLE = "the message can't be parsed"
_SHORT = object()  # in place of a message for which there is no memory
_log = logging.getLogger("interaction")
_DECIMAL = re.compile(r"-?[0-9]{1,19}")
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # generic for the type checker alone
_Admit: TypeAlias = Callable[[Context], Body]
_Read: TypeAlias = Callable[[], Awaitable[object]]
_Requests: TypeAlias = AsyncGenerator[object, None]
Brought: TypeAlias = Sequence[tuple[str, "str | bytes"]]


class Gatekeeper(Protocol):
    """Who is behind the guard."""

    @property
    def closing(self) -> bool:
        """Whether the service is shutting down."""

    def admit(self, method: str, token: str, previous: str | None) -> Body:
        """Admit a call with a well-formed token, or raise a ResponseException. Says what becomes of its message."""


@dataclass(frozen=True)
class Refusals:
    """How one side refuses."""

    closing: type[ResponseException]
    no_channel: type[ResponseException]
    wrong_channel: type[ResponseException]
    no_token: type[ResponseException]
    malformed_token: type[ResponseException]
    malformed_message: type[ResponseException]


BY_SLAVE = Refusals(
    SlaveSystemShuttingDown,
    SlaveChannelNotFound,
    SlaveChannelInvalid,
    SlaveMasterTokenNotFound,
    SlaveMasterTokenInvalid,
    SlaveRequestInvalid,
)
BY_MASTER = Refusals(
    MasterSystemShuttingDown,
    MasterChannelNotGiven,
    MasterChannelInvalid,
    MasterSlaveTokenNotGiven,
    MasterSlaveTokenInvalid,
    MasterRequestInvalid,
)


class Check(Protocol):
    """What else a call of the service, Ping apart, has to show: a proof of the secret, a certificate of the right role.

    It is asked for each call before a byte of the body is read, once channel and token are well-formed and before the
    gatekeeper says whether the token is known: so who fails it learns nothing of sessions.
    """

    def admit(self, method: str, metadata: Brought, context: Context) -> Callable[[], object] | None:
        """Admit a call of `method` (`Connect`, …), or raise a ResponseException. Never waits: it is on the loop.

        What it returns, if anything, is called once the gatekeeper has admitted the call, and may raise likewise.

        `metadata` is all that the call brought, as it came, keys in lower case. Of the `context` are meant
        `auth_context()`, where TLS has put the certificate, and `peer()`.
        """


class Guard(grpc.aio.ServerInterceptor):
    """Lets a call of `service` through to its handler, or answers with a refusal. Ping needs no metadata.

    Whatever can be refused by metadata, certificate or address is refused before the body is read: gRPC reads what a
    unary handler is given before anybody is asked, so unary methods are served as streams of one message, which is the
    same on the wire. `checks` are asked in their order. A refusal that comes before any of them is given to
    `sign_refusal`.

    No handler, those of health and reflection included, meets a message that can't be parsed.
    """

    def __init__(
        self,
        service: str,
        channel: int,
        refusals: Refusals,
        gatekeeper: Gatekeeper,
        checks: Sequence[Check] = (),
        sign_refusal: Callable[[str, Brought, Context], None] | None = None,
    ) -> None:
        self._service = service
        self._channel = channel
        self._refusals = refusals
        self._gatekeeper = gatekeeper
        self._checks = tuple(checks)
        self._sign_refusal = sign_refusal
        self._strangers = Strangers()
        self._guarded: dict[str, _Handler] = {}  # by method: what stands before each handler

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler | None:
        """Called by gRPC for each call, with the way to its handler."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        path = handler_call_details.method
        guarded = self._guarded.get(path)
        if guarded is None:
            service, _, method = path.lstrip("/").partition("/")
            malformed = self._refusals.malformed_message
            if service == self._service and method != "Ping":
                guarded = _guarded(handler, partial(self._admit, method), malformed)
            else:
                guarded = _open_to_all(handler, self._strangers, malformed, unread=method == "Ping")
            self._guarded[path] = guarded
        return guarded

    def _admit(self, method: str, context: Context) -> Body:
        """Admit a call, or raise a ResponseException."""
        metadata = cast(Brought, context.invocation_metadata() or ())
        brought = read_metadata(metadata)
        try:
            self._check(brought)
            lasts = [check.admit(method, metadata, context) for check in self._checks]
        except ResponseException:
            if self._sign_refusal is not None:
                self._sign_refusal(method, metadata, context)
            raise
        body = self._gatekeeper.admit(method, brought.token or "", brought.previous_token or None)
        for last in lasts:
            if last is not None:
                last()
        return body

    def _check(self, brought: Credentials) -> None:
        """Channel and token are well-formed. The order is the contract's."""
        if self._gatekeeper.closing:
            raise self._refusals.closing("shutting down")
        if brought.channel is None:
            raise self._refusals.no_channel("the call brings no metadata `channel`")
        if not _DECIMAL.fullmatch(brought.channel) or int(brought.channel) != self._channel:
            raise self._refusals.wrong_channel(
                f"the call's channel, {brought.channel!r:.32}, is not the channel here: give both sides the same one, "
                "Master(channel=) and Slave(channel=)"
            )
        if brought.token is None:
            raise self._refusals.no_token("the call brings no metadata `token`")
        if not brought.token:
            raise self._refusals.malformed_token("the call's token is malformed: 32 to 128 of 0-9, A-Z, a-z, _ and -")


def _guarded(handler: _Handler, admit: _Admit, malformed: type[ResponseException]) -> _Handler:
    """The same handler, met only by calls that are admitted and messages that can be parsed.

    For a message that can't be gRPC would log a traceback.
    """
    parse = cast(Callable[[bytes], object], handler.request_deserializer)
    read = lenient(parse, _SHORT)
    write = handler.response_serializer
    if handler.request_streaming:
        serve = _of_stream(cast(Callable[..., Any], handler.stream_stream), malformed)

        async def admit_stream(_: object, context: Context) -> None:
            await _let_in(admit, context)
            if signed := context.trailing_metadata():  # who has called may wait for it before anything else is said
                await _begin(context, signed)
            await serve(context.read, context)

        return grpc.stream_stream_rpc_method_handler(letting_go(admit_stream), read, write)
    answer = _of_one(cast(Callable[..., Any], handler.unary_unary), malformed)
    empty, unproved = parse(b""), Unproved()

    async def admit_one(_: object, context: Context) -> object:
        body = await _let_in(admit, context)
        if body is Body.IN_TURN:
            return await unproved.answered(answer, context)
        return await answer(empty if body is Body.UNREAD else await context.read(), context)

    return grpc.stream_unary_rpc_method_handler(letting_go(admit_one), read, write)


def _open_to_all(
    handler: _Handler, strangers: Strangers, malformed: type[ResponseException], *, unread: bool
) -> _Handler:
    """The same handler, for calls that need no token. `unread`: its message is empty, and nobody looks at it."""
    parse = cast(Callable[[bytes], object], handler.request_deserializer)
    read, write = brief(lenient(parse, _SHORT)), handler.response_serializer
    empty = parse(b"")
    if handler.request_streaming:  # reflection's
        serve = _of_stream(cast(Callable[..., Any], handler.stream_stream), malformed)

        async def each(_: object, context: Context) -> None:
            await serve(strangers.reader(context), context)

        return grpc.stream_stream_rpc_method_handler(letting_go(strangers.counted(each, lasts=True)), read, write)
    answer = _of_one(cast(Callable[..., Any], handler.unary_stream or handler.unary_unary), malformed)

    async def one(_: object, context: Context) -> object:
        # Health is the same whatever is asked for, unless there is no such thing.
        return await answer(empty if unread else await strangers.read_or(empty, context), context)

    if handler.response_streaming:
        return grpc.stream_stream_rpc_method_handler(letting_go(strangers.counted(one, lasts=True)), read, write)
    return grpc.stream_unary_rpc_method_handler(letting_go(strangers.counted(one, lasts=False)), read, write)


async def _let_in(admit: _Admit, context: Context) -> Body:
    """Nothing of the body has been read, and nothing is where the call is refused."""
    try:
        return admit(context)
    except ResponseException as refusal:
        await abort(context, refusal)
    except BaseException as error:  # noqa: BLE001 - it is raised
        raise _answerable(error)  # noqa: B904 - mostly it is the same


async def _begin(context: Context, metadata: grpc.aio.Metadata) -> None:
    try:
        await context.send_initial_metadata(metadata)
    except grpc.aio.InternalError:  # the call is gone, as gRPC is about to notice
        raise asyncio.CancelledError from None


def _of_one(
    behave: Callable[[Any, Context], Awaitable[Any]], malformed: type[ResponseException]
) -> Callable[[object, Context], Awaitable[object]]:
    async def check(request: object, context: Context) -> object:
        if request is grpc.aio.EOF:
            await abort(context, malformed("the call brings no message"))
        if request is None:
            await abort(context, malformed(_UNREADABLE))
        if request is _SHORT:
            await _abort_for_now(context)
        try:
            return await behave(request, context)
        except BaseException as error:  # noqa: BLE001 - it is raised
            raise _answerable(error)  # noqa: B904 - mostly it is the same

    return check


def _of_stream(
    behave: Callable[[Any, Context], Any], malformed: type[ResponseException]
) -> Callable[[_Read, Context], Awaitable[None]]:
    async def check(read: _Read, context: Context) -> None:
        try:
            answers = behave(_readable(read, malformed), context)
            if inspect.isasyncgen(answers):  # reflection's
                async for answer in answers:
                    await context.write(answer)
            else:
                await answers
        except malformed as refusal:
            await abort(context, refusal)
        except MemoryError:
            await _abort_for_now(context)
        except BaseException as error:  # noqa: BLE001 - it is raised
            raise _answerable(error)  # noqa: B904 - mostly it is the same

    return check


async def _readable(read: _Read, malformed: type[ResponseException]) -> _Requests:
    """What a stream brings. gRPC's own iterator holds itself, and the last message with it, once its call has ended."""
    while True:
        request = await read()
        if request is grpc.aio.EOF:
            return
        if request is None:
            raise malformed(_UNREADABLE)
        if request is _SHORT:
            raise MemoryError
        yield request
        del request  # while the next one is waited for


async def _abort_for_now(context: Context) -> None:
    """Answer as the transport does: whoever called tries again, and nothing is lost."""
    _log.warning("memory is short: a message can't be read; its sender is asked to try again")
    await context.abort(grpc.StatusCode.UNAVAILABLE, "memory is short here")


def _answerable(error: BaseException) -> BaseException:
    """What a handler may raise: gRPC answers UNKNOWN to any Exception, and to others not at all."""
    if isinstance(error, (Exception, asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit)):
        return error
    failure = RuntimeError(f"{name_of(error)} in a handler")
    failure.__cause__ = error
    return failure
