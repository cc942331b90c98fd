"""What a call brought is let go of with the call, however it ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from grpc.aio import AbortError

from interaction.rpc.status import Context

_Serve = Callable[[Any, Context], Awaitable[Any]]


def letting_go(serve: _Serve) -> _Serve:
    """The same handler, of which nothing is left once it has raised.

    gRPC keeps what ended a call with the call; that has a traceback, which has the frames, which have the message and
    the call: a circle, in memory until Python looks for such, and that may be a hundred long messages later.
    """

    async def served(requests: object, context: Context) -> object:
        try:
            return await serve(requests, context)
        except BaseException as error:  # noqa: BLE001 - it is raised
            del requests, context  # of this frame, which is in the traceback that begins here
            raise _bare(error)  # noqa: B904 - it is the same

    return served


def _bare(error: BaseException) -> BaseException:
    """The same without the frames that it came through. An accident keeps them, for the log: nothing keeps that."""
    if not isinstance(error, AbortError):
        return error
    last: BaseException = error
    while (came_from := last.__context__) is not None:  # a refusal, say, which may be remembered, to be repeated
        last.__context__ = None
        last = came_from.with_traceback(None)
    return error.with_traceback(None)
