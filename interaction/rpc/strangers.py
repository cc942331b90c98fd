"""Calls that need no token: whoever reaches the port may make them, so there are few at once, and each costs little.

gRPC puts a message together, however long, before Python sees a byte of it, and it can't be told a limit for one method
alone. While nobody asks for a message it takes what its window has room for, and no more. So Ping is answered unread,
and who asks for health or reflection has a moment for a short message, one at a time; and where it did not come, the
next one is asked for once gRPC has let go of what there was of it.
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
_LOOKS, _MOMENT = 4, 0.005  # seconds between looks for a message: a loop which stood still looks again all the same
_PAUSE = 0.2  # seconds; gRPC lets go of a message once its call has ended
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
        message: object = _LATE
        reading = asyncio.ensure_future(context.read())
        self._reading = True
        try:
            for _ in range(_LOOKS):
                await asyncio.wait((reading,), timeout=_MOMENT)
            if reading.done():
                message = reading.result()
        finally:
            self._reading = message is _LATE
            if self._reading:
                asyncio.get_running_loop().call_later(_PAUSE, self._read_again)
            reading.cancel()
        if message is _LONG:
            await _abort(context, f"without a token a message has at most {MOST_BYTES} bytes")
        return message

    def _read_again(self) -> None:
        self._reading = False


async def _abort(context: Context, why: str) -> None:
    await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, why)


def brief(read: Callable[[bytes], T]) -> Callable[[bytes], T | object]:
    """What reads a stranger's message."""
    return lambda content: read(content) if len(content) <= MOST_BYTES else _LONG
