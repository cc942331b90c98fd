"""What somebody waits for is done, whatever is raised on the way: it is tried again until it does not raise.

What is done so has to be harmless when it is done again from the middle.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import chain, repeat
from typing import Any, TypeVar

from interaction.rpc.telling import log_exception

_PAUSES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)  # seconds before each further try, and then always the longest
_LONGEST_PAUSE = 1.0
_TRIES = 3
_log = logging.getLogger("interaction")
T = TypeVar("T")


def insist(step: Callable[..., object], *arguments: object) -> None:
    """Have it done, on the running loop: now, or soon. Raises nothing."""
    try:
        step(*arguments)
    except BaseException as error:  # noqa: BLE001 - such as a MemoryError
        _later(error, step, arguments, 0)


def _later(error: BaseException, step: Callable[..., object], arguments: tuple[object, ...], tries: int) -> None:
    log_exception(_log, logging.ERROR, error, "what has to be done has failed; trying again")
    pause = _PAUSES[tries] if tries < len(_PAUSES) else _LONGEST_PAUSE
    asyncio.get_running_loop().call_later(pause, _again, step, arguments, tries + 1)


def _again(step: Callable[..., object], arguments: tuple[object, ...], tries: int) -> None:
    try:
        step(*arguments)
    except BaseException as error:  # noqa: BLE001 - as above
        _later(error, step, arguments, tries)


def or_else(otherwise: Callable[[BaseException], object], step: Callable[..., object], *arguments: object) -> None:
    """Try it, on the running loop; where it raises, insist on the other. Raises nothing."""
    try:
        step(*arguments)
    except BaseException as error:  # noqa: BLE001 - as above
        log_exception(_log, logging.ERROR, error, "something has failed, and is dealt with otherwise")
        insist(otherwise, error)


def as_work(submit: Callable[[Callable[[], T]], object], step: Callable[[], T]) -> Callable[[], T | None]:
    """A step as work for a strand or the like: where it raises, it is submitted again."""
    return partial(_work, submit, step, 0)


def _work(submit: Callable[[Callable[[], T]], object], step: Callable[[], T], tries: int) -> T | None:
    try:
        return step()
    except BaseException as error:  # noqa: BLE001 - as above
        log_exception(_log, logging.ERROR, error, "what has to be done has failed; trying again")
    pause = _PAUSES[tries] if tries < len(_PAUSES) else _LONGEST_PAUSE
    again: Callable[[], Any] = partial(_work, submit, step, tries + 1)
    try:
        asyncio.get_running_loop().call_later(pause, insist, submit, again)
    except RuntimeError:  # a thread, which may wait
        time.sleep(pause)
        insist_here(lambda: submit(again))
    return None


def insist_here(step: Callable[[], object]) -> None:
    """Do it, on a thread that may wait. Raises nothing."""
    for pause in chain(_PAUSES, repeat(_LONGEST_PAUSE)):
        try:
            step()
            return
        except BaseException as error:  # noqa: BLE001 - as above
            log_exception(_log, logging.ERROR, error, "what has to be done has failed; trying again")
        time.sleep(pause)


def attempt(*steps: Callable[[], object]) -> None:
    """Do each of them, whatever the others raise, which is logged."""
    for step in steps:
        try:
            step()
        except BaseException as error:  # noqa: BLE001 - as above
            log_exception(_log, logging.ERROR, error, "a step of several has failed; the others are done")


async def see_through(*steps: Callable[[], Awaitable[object]]) -> None:
    """Do each of them, which take a while, whatever the others raise. That is logged, and the step is tried again, a
    few times: somebody waits for the end of this."""
    for step in steps:
        for pause in _PAUSES[:_TRIES]:
            try:
                await step()
                break
            except asyncio.CancelledError:
                raise
            except BaseException as error:  # noqa: BLE001 - as above
                log_exception(_log, logging.ERROR, error, "a step of several has failed; the others are done")
            await asyncio.sleep(pause)
