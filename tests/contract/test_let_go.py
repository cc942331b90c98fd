"""What a session had of gRPC's goes with its end, not when the collector comes by: sockets, and the threads behind."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from interaction import Master, Slave
from tests.contract.conftest import MakeSlave, plain_and_aio
from tests.contract.holding import wait_until

facade = pytest.fixture(params=["plain", "aio"])(plain_and_aio)


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def transports() -> int:
    """How many of gRPC's channels there are in this process, which has masters and slaves alike."""
    return sum(type(thing).__name__ == "AioChannel" for thing in gc.get_objects())


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("by", ["task", "work", "nothing"])
@pytest.mark.parametrize("end", ["disconnect", "close", "the slave leaves"])
def test_no_transport_of_a_session_that_is_over_is_left(
    master: Master, make_slave: MakeSlave, by: str, end: str
) -> None:
    before = transports()
    slave: Slave = make_slave(fast_road=by == "work")
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    if by != "nothing":
        connection.new_task({"a": 1, "b": 2}).start().join(10.0)
    assert transports() > before
    if end == "the slave leaves":
        slave.shutdown()
        wait_until(lambda: not connection.is_connected)
    elif end == "close":
        connection.close()
    else:
        connection.disconnect()
    wait_until(lambda: transports() == before)
