"""interaction.aio: who waits is cancelled, and what is left of what he waited for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from typing import Any

import pytest

import interaction
from interaction import TaskStatus
from tests.contract.aio_running import become, new_master, run
from tests.contract.conftest import MakeSlave, Worker
from tests.contract.hands import SUM, WAITS
from tests.contract.slave_programs import WAIT


class Thinking(Worker):
    """Thinks about what it is asked until it is told to go on."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.asked = threading.Event()
        self.thinks_about = "tasks"

    def _think(self, about: str) -> None:
        if about == self.thinks_about:
            self.asked.set()
            assert self.go_on.wait(WAIT)

    def _before_task(self, data: Mapping[str, Any]) -> None:
        self._think("tasks")

    def _before_connection(self, data: Mapping[str, Any]) -> None:
        self._think("connections")

    def _before_disconnection(self, data: Mapping[str, Any]) -> None:
        self._think("disconnections")


def test_a_start_that_is_cancelled(make_slave: MakeSlave) -> None:
    slave = make_slave(Thinking, backlog=1)

    async def main() -> None:
        async with new_master() as master, master.new_connection("one", "127.0.0.1", slave.port) as connection:
            task = connection.new_task(SUM).on_fail(lambda *_: pytest.fail("it has not begun"))
            starting = asyncio.create_task(task.start())
            await become(slave.asked.is_set)
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
            assert (await task.join(WAIT)).status is TaskStatus.START_FAILED
            assert isinstance(task.error, asyncio.CancelledError)
            slave.go_on.set()
            another = connection.new_task({"a": 2, "b": 2})
            await another.start()
            assert (await another.join(WAIT)).result == {"sum": 4}
            assert task.status is TaskStatus.START_FAILED

    run(main)


def test_a_join_that_is_cancelled_or_times_out_leaves_the_task_alone(slave: Worker) -> None:
    async def main() -> None:
        async with new_master() as master, master.new_connection("one", "127.0.0.1", slave.port) as connection:
            task = connection.new_task(WAITS)
            with pytest.raises(TimeoutError, match="IDLE"):
                await task.join(0.01)
            await task.start()
            for _ in range(3):
                with pytest.raises(TimeoutError, match=r"0\.01"):
                    await task.join(0.01)
            joining = asyncio.create_task(task.join())
            await asyncio.sleep(0)
            joining.cancel()
            with pytest.raises(asyncio.CancelledError):
                await joining
            assert task._changed._waiting == {}
            slave.go_on.set()
            assert (await task.join(WAIT)).result == {"waited": 1}

    run(main)


def test_a_connect_that_is_cancelled_leaves_name_and_slave_free(make_slave: MakeSlave) -> None:
    slave = make_slave(Thinking)
    slave.thinks_about = "connections"

    async def main() -> None:
        async with new_master() as master:
            connection = master.new_connection("one", "127.0.0.1", slave.port)
            connecting = asyncio.create_task(connection.connect())
            await become(slave.asked.is_set)
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
            assert not connection.is_connected
            slave.thinks_about = ""
            slave.go_on.set()
            while not connection.is_connected:
                try:
                    await connection.connect()
                except interaction.exception.SlaveSlaveAlreadyConnected:
                    await asyncio.sleep(0.01)
            await connection.close()

    run(main)


@pytest.mark.parametrize("end", ["disconnect", "close"])
def test_an_end_that_is_cancelled_can_be_tried_again(make_slave: MakeSlave, end: str) -> None:
    slave = make_slave(Thinking)
    slave.thinks_about = "disconnections"

    async def main() -> None:
        async with new_master() as master, master.new_connection("one", "127.0.0.1", slave.port) as connection:
            ending = asyncio.create_task(getattr(connection, end)())
            await become(slave.asked.is_set)
            ending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await ending
            slave.go_on.set()
        async with new_master() as other, other.new_connection("one", "127.0.0.1", slave.port) as connection:
            assert connection.is_connected

    run(main)
