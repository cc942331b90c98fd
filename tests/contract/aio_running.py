"""What tests of interaction.aio share: a loop that complains of nothing, masters and pools on it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from interaction import aio
from tests.contract.conftest import CHANNEL, Worker
from tests.contract.slave_programs import WAIT

T = TypeVar("T")


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """`asyncio.run()` in debug mode. Raises AssertionError where the loop complains, or a task is left at the end."""
    complaints: list[str] = []

    async def watched() -> T:
        loop = asyncio.get_running_loop()
        loop.slow_callback_duration = 60.0  # the machine may be busy
        loop.set_exception_handler(lambda _, context: complaints.append(str(context)))
        result = await asyncio.wait_for(main(), 2 * WAIT)
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
        return result

    result = asyncio.run(watched(), debug=True)
    gc.collect()
    assert complaints == []
    return result


def new_master(kind: type[aio.Master] = aio.Master, **options: Any) -> aio.Master:
    return kind("127.0.0.1", 0, **{"channel": CHANNEL, "request_retries": 0, **options})


@asynccontextmanager
async def pool_of(slave: Worker, master: aio.Master | None = None) -> AsyncIterator[aio.SlavePool]:
    """A pool that has that slave."""
    async with (
        master or new_master() as master,
        master.new_connection("one", "127.0.0.1", slave.port),
        aio.SlavePool(master) as pool,
    ):
        yield pool


async def become(true: Callable[[], object]) -> None:
    """Wait until it is so."""
    while not true():
        await asyncio.sleep(0.001)
