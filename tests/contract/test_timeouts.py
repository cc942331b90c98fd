"""A timeout of the user's: what is no number of seconds is told at once, wherever one is taken."""

from __future__ import annotations

import asyncio
import math
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from interaction import Master, Slave, SlaveConnectionProxy, SlavePool, aio
from interaction.config import patience
from tests.contract.conftest import CHANNEL, Worker
from tests.contract.slave_programs import WAIT
from tests.contract.wire import SUM

WRONG: list[tuple[object, type[Exception]]] = [
    ("1", TypeError),
    ([1], TypeError),
    (1j, TypeError),
    (True, TypeError),
    (math.nan, ValueError),
    (np.float32("nan"), ValueError),
]


@pytest.mark.parametrize(("given", "error"), WRONG, ids=repr)
def test_each_call_that_takes_a_timeout_says_what_is_wrong_with_it(
    given: Any, error: type[Exception], master: Master, slave: Worker, connection: SlaveConnectionProxy
) -> None:
    task = connection.new_task(SUM)
    task.start().join(WAIT)
    calls: list[Callable[[Any], object]] = [task.join, task.get, master.wait_until_resumed]
    with SlavePool(master) as pool:
        future = pool.submit(SUM)
        calls += [future.result, future.exception]
        for call in calls:
            with pytest.raises(error, match=r"^timeout must be a number of seconds"):
                call(given)
        assert future.result(WAIT) == {"sum": 3}
    before = signal.getsignal(signal.SIGTERM)
    for leave in (slave.drain_at_sigterm, slave.drain):
        with pytest.raises(error, match=r"^timeout must be a number of seconds"):
            leave(given)
    assert signal.getsignal(signal.SIGTERM) is before
    assert slave.ping()


def test_whatever_is_a_number_of_seconds_is_taken() -> None:
    assert patience(None) is None
    assert patience(math.inf) is None
    assert [patience(value) for value in (0, 1.5, -1, np.float32(0.5), np.int64(2))] == [0.0, 1.5, -1.0, 0.5, 2.0]


@pytest.mark.parametrize(
    ("host", "remedy"),
    [
        ("127.0.0.1:7236", "such as '127.0.0.1'; the port, 7236, is given by itself"),
        ("http://learner:7235/", "such as 'learner'; the port, 7235, is given by itself"),
        ("https://learner", "such as 'learner'"),
    ],
)
def test_who_gives_more_than_a_host_is_told_where_the_rest_belongs(host: str, remedy: str) -> None:
    with pytest.raises(ValueError, match="is no host: expected a name or an IP address alone, ") as said:
        Slave(host, 7236)
    assert str(said.value).endswith(remedy)


@pytest.mark.parametrize(("given", "error"), WRONG, ids=repr)
def test_the_calls_of_aio_say_it_too(given: Any, error: type[Exception], slave: Worker) -> None:
    async def ask() -> None:
        async with aio.Master("127.0.0.1", 0, channel=CHANNEL) as master:
            connection = master.new_connection("one", "127.0.0.1", slave.port)
            await connection.connect()
            task = await connection.new_task(SUM).start()
            for call in (task.join, task.get, master.wait_until_resumed):
                with pytest.raises(error, match=r"^timeout must be a number of seconds"):
                    await call(given)
            assert await task.get(WAIT) == {"sum": 3}
            await connection.disconnect()

    asyncio.run(ask())
