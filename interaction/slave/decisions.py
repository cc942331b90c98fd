"""What a slave's user is being asked, each question once, and what becomes of it where something else is raised."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from interaction.exception import ResponseException, SlaveSystemShuttingDown
from interaction.rpc.insist import insist
from interaction.rpc.telling import log_exception, name_of, text_of

_log = logging.getLogger("interaction.slave")
_P = ParamSpec("_P")
_T = TypeVar("_T")
Undo = Callable[[str, BaseException], object]  # takes back what there is of the decision about this token


class Decisions:
    """Those that are being made, by the token that they are about."""

    def __init__(self) -> None:
        self._deciding: dict[str, asyncio.Task[Any]] = {}
        self._stopped = False

    def begin(
        self,
        token: str,
        undo: Undo,
        decide: Callable[_P, Coroutine[Any, Any, _T]],
        *arguments: _P.args,
        **named: _P.kwargs,
    ) -> asyncio.Task[_T]:
        """Come to a decision, whether or not the call that asked for it lives to hear it. Where anything but a refusal
        is raised on the way, it is undone."""
        deciding = asyncio.ensure_future(decide(*arguments, **named))
        self._deciding[token] = deciding
        # No partial, whose `repr` would show the token, and that of the task would show it.
        deciding.add_done_callback(lambda done: insist(self._decided, token, undo, done))
        return deciding

    def under_way(self, token: str) -> asyncio.Task[Any]:
        """The one about this token."""
        return self._deciding[token]

    def _decided(self, token: str, undo: Undo, deciding: asyncio.Task[Any]) -> None:
        """A refusal that nobody heard is no accident; anything else that was raised is."""
        if self._deciding.get(token) is deciding:  # else somebody asks anew
            del self._deciding[token]
        error = None if deciding.cancelled() else deciding.exception()
        if error is not None and not isinstance(error, ResponseException):
            log_exception(_log, logging.ERROR, error, "a decision has failed, and is undone")
            undo(token, error)

    async def heard(self, deciding: asyncio.Task[_T], refusal: type[ResponseException]) -> _T:
        """The decision, once it has been made. Raises a ResponseException."""
        try:
            return await asyncio.shield(deciding)
        except asyncio.CancelledError:
            if self._stopped and deciding.cancelled():
                raise SlaveSystemShuttingDown("shutting down") from None
            raise
        except GeneratorExit:
            raise
        except BaseException as error:  # noqa: BLE001 - as a refusal
            raise failed(refusal, error) from None

    def stop(self) -> None:
        """The slave shuts down: who waits for the user's answer is told that there will be none."""
        self._stopped = True
        for deciding in list(self._deciding.values()):
            deciding.cancel()


def failed(refusal: type[ResponseException], error: BaseException) -> ResponseException:
    """What a master is told where something of the slave's own was raised: that, unless it is an answer already."""
    if isinstance(error, ResponseException):
        return error
    return refusal(f"the slave itself has failed: {name_of(error)}: {text_of(error)}")
