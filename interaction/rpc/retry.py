"""One request with its deadline and its retries."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import grpc.aio

from interaction.exception import RequestException, ResponseException
from interaction.rpc.absence import Absence
from interaction.text import one_line

T = TypeVar("T")
_log = logging.getLogger("interaction.master")
_TRANSIENT = ("UNAVAILABLE", "DEADLINE_EXCEEDED")  # the latter by a server between, while there is still time


@dataclass(frozen=True)
class Policy:
    """How long a request may take, and how often it is tried again after a transport failure.

    Every RPC is idempotent by its token or task id, so trying again is safe. `timeout` bounds all tries together.
    """

    retries: int
    waiting: float
    timeout: float


async def request(
    attempt: Callable[[float], Awaitable[T]],
    policy: Policy,
    translate: Callable[[grpc.aio.AioRpcError], ResponseException | RequestException],
    look: Callable[[str], Awaitable[Absence | None]] | None = None,
) -> T:
    """Call `attempt` with the seconds that are left, until it answers.

    Raises what `translate` makes of the last failure: a refusal at once, a transport failure after its retries; and
    RequestException where the channel has been closed meanwhile. `look` is told of a failure, and asked why nobody
    answers; where that is not to change it is not tried again, and the first time that it is, that is logged.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + policy.timeout
    retries = policy.retries
    while True:
        try:
            return await attempt(max(deadline - loop.time(), 0.0))
        except grpc.aio.AioRpcError as error:
            failure = translate(error)
        except grpc.aio.UsageError:
            raise RequestException("the connection was closed meanwhile", "CANCELLED") from None
        transient = isinstance(failure, RequestException) and failure.code in _TRANSIENT
        absence = None
        if look is not None and transient and failure.code == "UNAVAILABLE":
            absence = await look(failure.message)
        if absence is not None:
            failure, transient = RequestException(absence.why, "UNAVAILABLE"), not absence.final
        if not transient or retries == 0 or loop.time() + policy.waiting >= deadline:
            if isinstance(failure, ResponseException):
                failure.retried = retries < policy.retries
            raise failure
        if look is not None and retries == policy.retries:
            longest = min(retries * policy.waiting, deadline - loop.time())
            _log.warning("%s - trying again, for %.3g s at most", one_line(failure.message), longest)
        retries -= 1
        await asyncio.sleep(policy.waiting)
