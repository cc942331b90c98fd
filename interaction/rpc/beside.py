"""Work beside the loop, as `asyncio.to_thread` has it done, also when the program has ended.

`concurrent.futures`, on which that stands, takes no work from then on; threads that the user has started live on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from interaction.rpc.strand import Strand

T = TypeVar("T")


async def beside(function: Callable[..., T], *args: object) -> T:
    """Call a function that may be called twice on another thread, and wait for what it returns or raises."""
    loop = asyncio.get_running_loop()
    try:
        running = loop.run_in_executor(None, partial(function, *args))
    except RuntimeError:  # no thread can be had, or the program has ended
        return await _on_a_strand(partial(function, *args))
    return await running


async def _on_a_strand(function: Callable[[], T]) -> T:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def call() -> None:
        tell: Callable[[], object]
        try:
            tell = partial(future.set_result, function())
        except Exception as error:  # noqa: BLE001 - who waits has it
            tell = partial(future.set_exception, error)
        loop.call_soon_threadsafe(lambda: None if future.done() else tell())

    Strand("interaction-beside").submit(call)
    return await future
