"""The master's end of the fast road, where its session ends in the same moment as its stream."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from typing import Any, cast

from interaction.core.road import Road
from interaction.exception import RequestException
from interaction.master.base_task import BaseTask
from interaction.master.fast_road import FastRoad, Packed, RoadOwner
from interaction.rpc.encoded import Encoded
from interaction.rpc.payload import encode
from interaction.rpc.work_call import WorkCall


class Stream:
    """It takes nothing, and who reads while it is cancelled hears that it broke: as with gRPC, now and then."""

    def __init__(self) -> None:
        self.sending = asyncio.Event()

    async def send(self, tasks: Sequence[tuple[str, Encoded]], acknowledged: Sequence[str]) -> None:
        self.sending.set()
        await asyncio.Event().wait()

    async def receive(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise RequestException("it broke", "UNAVAILABLE") from None

    def cancel(self) -> None:
        """It has ended."""


class Owner:
    busy = True


class Task:
    id = "00000000-0000-4000-8000-000000000001"


def test_a_stream_that_breaks_as_its_session_ends_is_nothing_to_complain_of() -> None:
    complaints: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        stream = Stream()
        road: Road[Packed] = Road(1_000_000, 10.0)
        fast = FastRoad(cast(RoadOwner, Owner()), road, lambda: cast(WorkCall, stream))
        assert fast.send(cast(BaseTask, Task()), encode({}, "data"))
        await stream.sending.wait()
        fast.close()
        while len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0)

    asyncio.run(main())
    gc.collect()
    assert complaints == []
