"""When a message leaves Python and when it arrives there, noted where gRPC writes and reads it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import grpc
import grpc.aio

Stamp = tuple[float, str]  # seconds of the clock that all processes of a machine share, and what happened
WRITTEN, READ = "written", "read"
_MOST = 100_000

_stamps: list[Stamp] = []


def stamp(what: str) -> None:
    """Note that something happens now."""
    if len(_stamps) < _MOST:
        _stamps.append((time.perf_counter(), what))


def take() -> list[Stamp]:
    """What was noted since this was asked before."""
    taken = list(_stamps)
    del _stamps[: len(taken)]
    return taken


def install() -> None:
    """Note every message with a task or a result, from now on, in this process."""
    from grpc.aio import _channel  # where its channels come from, which take the functions that write and read

    for name in ("unary_unary", "stream_stream"):
        setattr(_channel.Channel, name, _calling(getattr(_channel.Channel, name)))
        handler = f"{name}_rpc_method_handler"
        setattr(grpc, handler, _handling(getattr(grpc, handler)))


def _calling(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def method(
        channel: Any, path: str, request_serializer: Any = None, response_deserializer: Any = None, **more: Any
    ) -> Any:
        return original(channel, path, _writes(request_serializer), _reads(response_deserializer), **more)

    return method


def _handling(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def handler(behaviour: Any, request_deserializer: Any = None, response_serializer: Any = None) -> Any:
        return original(behaviour, _reads(request_deserializer), _writes(response_serializer))

    return handler


def _writes(serialise: Any) -> Any:
    def write(message: Any) -> Any:
        content = serialise(message)
        if (what := content_of(message)) is not None:
            stamp(f"{what} {WRITTEN}")
        return content

    return None if serialise is None else write


def _reads(parse: Any) -> Any:
    def read(content: Any) -> Any:
        began = time.perf_counter()
        message = parse(content)
        if (what := content_of(message)) is not None:
            _stamps.append((began, f"{what} {READ}"))
        return message

    return None if parse is None else read


def content_of(message: Any) -> str | None:
    """Whether a message carries a task or a result; None for all others."""
    kind = type(message).__name__
    if kind == "NewTaskRequest" or (kind == "WorkRequest" and message.tasks):
        return "task"
    if kind == "ReportResultRequest":
        return "result"
    if kind == "WorkResponse" and any(outcome.HasField("result") for outcome in message.outcomes):
        return "result"
    return None


def threads() -> Mapping[str, object]:
    """The threads of this process, by the numbers that the system gives them."""
    return {str(thread.native_id): thread.name for thread in threading.enumerate()}
