"""Calls that need no token: whoever reaches the port may make them, so there are few at once, and each costs little.

gRPC puts a message together, however long, before Python sees a byte of it, and it can't be told a limit for one method
alone. While nobody asks for a message it takes what its window has room for, and no more. So Ping is answered unread,
and who asks for health or reflection has a moment for a short message, one at a time, the others after it; and where it
did not come, the next one is asked for once gRPC has let go of what there was of it. That is at the end of its call: a
message that was asked for can't be left for later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc
import grpc.aio

from interaction.rpc.insist import insist
from interaction.rpc.one_by_one import OneByOne
from interaction.rpc.status import Context

MOST_BYTES = 1024  # of a message
MOST_CALLS = 256  # at once
MOST_STREAMS = 64  # of these, that may last
_LOOKS, _MOMENT = 4, 0.005  # seconds between looks for a message: a loop which stood still looks again all the same
_PAUSE = 0.2  # seconds; gRPC lets go of a message once its call has ended
PATIENCE = 3.0  # seconds to wait for the others' messages; ten that ask by reflection, and hold their streams, take two
HEALTH_PATIENCE = 0.5  # of who asks for health: a probe gives up after a second, and may have the process killed
_BUSY, _LATE, _LONG = object(), object(), object()  # in place of a message: not read; not there in time; too long
_TOO_SLOW = "without a token a message has to come with its call"
_NEXT_TOO_SLOW = "without a token a message has to follow the answer before it at once: send it on a new stream"

T = TypeVar("T")
_Behave = Callable[[Any, Context], Awaitable[Any]]


class Strangers:
    """The calls without a token at one server."""

    def __init__(self) -> None:
        self._calls = 0
        self._streams = 0
        self._place = OneByOne()

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
        """A call's message; `otherwise` where others' are read all the time."""
        message = await self._read(context, HEALTH_PATIENCE)
        if message is _LATE:  # gRPC still reads it: the end of the call ends that, and an answer may have to wait
            await _abort(context, _TOO_SLOW)
        return otherwise if message is _BUSY else message

    def reader(self, context: Context) -> Callable[[], Awaitable[object]]:
        """What reads a call's messages, one after the other, as long as each comes in time."""
        too_slow = _TOO_SLOW

        async def read() -> object:
            nonlocal too_slow
            message = await self._read(context, PATIENCE)
            if message is _BUSY:
                await _abort(context, "others' messages are read all the time; try again")
            if message is _LATE:
                await _abort(context, too_slow)
            too_slow = _NEXT_TOO_SLOW
            return message

        return read

    async def _read(self, context: Context, patience: float) -> object:
        """The next message, grpc.aio.EOF, _BUSY, or _LATE."""
        if not await self._place.take(context.peer(), patience):
            return _BUSY
        message: object = _LATE
        reading: asyncio.Future[object] | None = None
        try:
            reading = asyncio.ensure_future(context.read())
            for _ in range(_LOOKS):
                await asyncio.wait((reading,), timeout=_MOMENT)
            if reading.done():
                message = reading.result()
        finally:
            insist(self._place.give_back, _PAUSE if message is _LATE else 0.0)
            if reading is not None:
                reading.cancel()
        if message is _LONG:
            await _abort(context, f"without a token a message has at most {MOST_BYTES} bytes")
        return message


async def _abort(context: Context, why: str) -> None:
    await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, why)


def brief(read: Callable[[bytes], T]) -> Callable[[bytes], T | object]:
    """What reads a stranger's message."""
    return lambda content: read(content) if len(content) <= MOST_BYTES else _LONG
