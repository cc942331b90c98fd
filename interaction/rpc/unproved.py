"""Messages of callers whom nothing has proved: whoever reaches a free slave may say that he is its master.

gRPC can't be told a limit for them, so few are read at a time, and of the long ones one is looked at; the others wait.
Those that send nothing are done with soon: the master may be behind them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import Message

from interaction.rpc.insist import insist
from interaction.rpc.one_by_one import OneByOne
from interaction.rpc.status import Context

PLACES = 3
SECONDS = 10.0  # that a message has
SHARE = 0.1  # of these where another one waits
LONG = 1024 * 1024  # bytes
_LOOK = 0.05  # seconds between looks: they are counted, for a loop which stood still looks again all the same
_PAUSE = 0.05  # seconds; gRPC lets go of a message once its call has ended


class Unproved:
    """Those of one method at one server."""

    def __init__(self) -> None:
        self._place = OneByOne(PLACES)
        self._long = False  # one is looked at

    async def answered(self, answer: Callable[[object, Context], Awaitable[Any]], context: Context) -> Any:
        """What `answer` says to a call's message."""
        message = await self._read(context)
        if not isinstance(message, Message) or message.ByteSize() <= LONG:
            return await answer(message, context)
        if self._long:
            await _abort(context, f"another caller's message of more than {LONG} bytes is looked at; try again")
        self._long = True
        try:
            return await answer(message, context)
        finally:
            self._long = False

    async def _read(self, context: Context) -> object:
        if not await self._place.take(context.peer(), SECONDS):
            await _abort(context, "other callers' messages are read all the time; try again")
        reading: asyncio.Future[object] | None = None
        looks = 0
        try:
            reading = asyncio.ensure_future(context.read())
            while not reading.done() and looks * _LOOK < (SHARE if self._place.wanted else SECONDS):
                await asyncio.wait((reading,), timeout=_LOOK)
                looks += 1
        finally:
            came = reading is None or reading.done()
            insist(self._place.give_back, 0.0 if came else _PAUSE)
            if reading is not None:
                reading.cancel()
        if reading.cancelled() or not reading.done():
            await _abort(context, f"the message did not come within {SECONDS:g} s, or {SHARE:g} s while others wait")
        return reading.result()


async def _abort(context: Context, why: str) -> None:
    """The same call may be made again."""
    await context.abort(grpc.StatusCode.UNAVAILABLE, why)
