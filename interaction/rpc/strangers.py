"""Calls that need no token: whoever reaches the port may make them, so there are few at once, and each costs little.

gRPC puts a message together, however long, before Python sees a byte of it, and it can't be told a limit for one method
alone. While nobody asks for a message it takes what its window has room for, and no more. So Ping is answered unread,
and who asks for health or reflection has a moment for a short message, one at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar

import grpc
import grpc.aio

from interaction.rpc.status import Context

MOST_BYTES = 1024  # of a message
MOST_CALLS = 256  # at once
MOST_STREAMS = 64  # of these, that may last
_MOMENT = 0.025  # seconds; twice that long a message is waited for, so that a loop which stood still looks again
_BUSY, _LATE, _LONG = object(), object(), object()  # in place of a message: not read; not there in time; too long
_TOO_SLOW = "without a token a message has to come with its call"

T = TypeVar("T")
_Behave = Callable[[Any, Context], Awaitable[Any]]


class Strangers:
    """The calls without a token at one server."""

    def __init__(self) -> None:
        self._calls = 0
        self._streams = 0
        self._reading = False

    def counted(self, behave: _Behave, *, lasts: bool) -> _Behave:
        """The same, but refused where there are as many calls as there may be."""

        async def count(requests: object, context: Context) -> object:
            if self._calls >= MOST_CALLS or (lasts and self._streams >= MOST_STREAMS):
                await _abort(context, "too many calls without a token at once")
            self._calls += 1
            self._streams += lasts
            try:
                return await behave(requests, context)
            finally:
                self._calls -= 1
                self._streams -= lasts

        return count

    async def read_or(self, otherwise: T, context: Context) -> T | object:
        """A call's message; `otherwise` where another one's is read just now."""
        message = await self._read(context)
        if message is _LATE:  # gRPC still reads it: the end of the call ends that, and an answer may have to wait
            await _abort(context, _TOO_SLOW)
        return otherwise if message is _BUSY else message

    async def each(self, context: Context) -> AsyncGenerator[object, None]:
        """A call's messages, as long as each comes in time."""
        message = await self._read(context)
        if message in (_BUSY, _LATE):
            await _abort(
                context, _TOO_SLOW if message is _LATE else "another one's message is read just now; try again"
            )
        while message not in (grpc.aio.EOF, _BUSY, _LATE):
            yield message
            message = await self._read(context)

    async def _read(self, context: Context) -> object:
        """The next message, grpc.aio.EOF, _BUSY, or _LATE."""
        if self._reading:
            return _BUSY
        self._reading = True
        reading = asyncio.ensure_future(context.read())
        try:
            for _ in range(2):
                await asyncio.wait((reading,), timeout=_MOMENT)
            message: object = reading.result() if reading.done() else _LATE
        finally:
            self._reading = False
            reading.cancel()
        if message is _LONG:
            await _abort(context, f"without a token a message has at most {MOST_BYTES} bytes")
        return message


async def _abort(context: Context, why: str) -> None:
    await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, why)


def brief(read: Callable[[bytes], T]) -> Callable[[bytes], T | object]:
    """What reads a stranger's message."""
    return lambda content: read(content) if len(content) <= MOST_BYTES else _LONG
