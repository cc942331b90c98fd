"""Channel and token are checked here, on each side, before any handler."""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, cast

import grpc
import grpc.aio

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
from interaction.rpc.metadata import Credentials, read_metadata
from interaction.rpc.reading import lenient
from interaction.rpc.status import Context, abort
from interaction.rpc.telling import name_of

_UNREADABLE = "the message can't be parsed"
_SHORT = object()  # in place of a message for which there is no memory
_log = logging.getLogger("interaction")
_DECIMAL = re.compile(r"-?[0-9]{1,19}")
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # generic for the type checker alone


class Gatekeeper(Protocol):
    """Who is behind the guard."""

    @property
    def closing(self) -> bool:
        """Whether the service is shutting down."""

    def admit(self, method: str, token: str) -> None:
        """Admit a call with a well-formed token, or raise a ResponseException."""


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


class Guard(grpc.aio.ServerInterceptor):
    """Lets a call of `service` through to its handler, or answers with a refusal. Ping needs no metadata.

    No handler, those of health and reflection included, meets a message that can't be parsed.
    """

    def __init__(self, service: str, channel: int, refusals: Refusals, gatekeeper: Gatekeeper) -> None:
        self._service = service
        self._channel = channel
        self._refusals = refusals
        self._gatekeeper = gatekeeper
        self._checked: dict[str, _Handler] = {}  # by method: handlers that are met by no message that can't be read

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler | None:
        """Called by gRPC for each call, with the way to its handler."""
        handler = await continuation(handler_call_details)
        service, _, method = handler_call_details.method.lstrip("/").partition("/")
        if handler is None:
            return None
        try:
            if service == self._service and method != "Ping":
                self._check(method, read_metadata(handler_call_details.invocation_metadata))
        except ResponseException as refusal:
            return _refusing(handler, refusal)
        except BaseException as error:  # noqa: BLE001 - it is raised
            raise _answerable(error)  # noqa: B904 - mostly it is the same
        known = self._checked.get(handler_call_details.method)
        if known is None:
            known = _checking(handler, self._refusals.malformed_message)
            self._checked[handler_call_details.method] = known
        return known

    def _check(self, method: str, brought: Credentials) -> None:
        """The order is the contract's."""
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
        self._gatekeeper.admit(method, brought.token)


def _checking(handler: _Handler, malformed: type[ResponseException]) -> _Handler:
    """The same handler; but a message that can't be parsed is refused, where gRPC would log a traceback."""
    read = lenient(cast(Callable[[bytes], object], handler.request_deserializer), _SHORT)
    write = handler.response_serializer
    if handler.request_streaming:
        behave = _of_stream(cast(Callable[..., Any], handler.stream_stream), malformed)
        return grpc.stream_stream_rpc_method_handler(behave, read, write)
    if handler.response_streaming:
        behave = _of_one(cast(Callable[..., Any], handler.unary_stream), malformed)
        return grpc.unary_stream_rpc_method_handler(behave, read, write)
    behave = _of_one(cast(Callable[..., Any], handler.unary_unary), malformed)
    return grpc.unary_unary_rpc_method_handler(behave, read, write)


def _of_one(behave: Callable[[Any, Context], Awaitable[Any]], malformed: type[ResponseException]) -> Callable[..., Any]:
    async def check(request: object, context: Context) -> object:
        if request is None:
            await abort(context, malformed(_UNREADABLE))
        if request is _SHORT:
            await _abort_for_now(context)
        try:
            return await behave(request, context)
        except BaseException as error:  # noqa: BLE001 - it is raised
            raise _answerable(error)  # noqa: B904 - mostly it is the same

    return check


def _of_stream(behave: Callable[[Any, Context], Any], malformed: type[ResponseException]) -> Callable[..., Any]:
    async def check(requests: AsyncIterator[object], context: Context) -> None:
        answers = behave(_readable(requests, malformed), context)
        try:
            if inspect.isasyncgen(answers):  # reflection's
                async for answer in answers:
                    await context.write(answer)
            else:
                await answers
        except malformed as refusal:
            await abort(context, refusal)
        except MemoryError:
            await _abort_for_now(context)
        except BaseException as error:  # noqa: BLE001 - as above
            raise _answerable(error)  # noqa: B904 - as above

    return check


async def _readable(
    requests: AsyncIterator[object], malformed: type[ResponseException]
) -> AsyncGenerator[object, None]:
    async for request in requests:
        if request is None:
            raise malformed(_UNREADABLE)
        if request is _SHORT:
            raise MemoryError
        yield request


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


def _refusing(handler: _Handler, refusal: ResponseException) -> _Handler:
    """A handler of the same form that refuses."""

    async def refuse(_: object, context: Context) -> None:
        await abort(context, refusal)

    if handler.request_streaming:
        return grpc.stream_stream_rpc_method_handler(refuse)
    return grpc.unary_unary_rpc_method_handler(refuse)
