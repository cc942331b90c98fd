"""Many tasks that go by calls of their own, to a slave without the fast road: no more at once than servers bear."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from interaction import TaskStatus
from interaction.aio import Master
from interaction.master.delivery import MOST_CALLS
from interaction.rpc.slave_client import SlaveClient
from tests.contract.conftest import CHANNEL, MakeSlave, Worker

MANY = 2 * MOST_CALLS + 200


def test_calls_under_way_are_few_and_every_task_is_taken(
    make_slave: MakeSlave, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond a thousand the slave's server refused some (RST_STREAM), which then failed without having run."""
    new_task = SlaveClient.new_task
    under_way, most = 0, 0

    async def counted(*arguments: Any) -> Any:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        try:
            return await new_task(*arguments)
        finally:
            under_way -= 1

    monkeypatch.setattr(SlaveClient, "new_task", counted)
    slave: Worker = make_slave(Worker, fast_road=False, backlog=MANY)

    async def main() -> list[TaskStatus]:
        async with (
            Master("127.0.0.1", 0, channel=CHANNEL, request_timeout=30.0) as master,
            master.new_connection("conn", "127.0.0.1", slave.port) as connection,
        ):
            tasks = [connection.new_task({"a": 1, "b": 2}) for _ in range(MANY)]
            await asyncio.gather(*(task.start() for task in tasks))
            await asyncio.gather(*(task.join(30.0) for task in tasks))
            return [task.status for task in tasks]

    assert asyncio.run(main()) == [TaskStatus.COMPLETED] * MANY
    assert most == MOST_CALLS
