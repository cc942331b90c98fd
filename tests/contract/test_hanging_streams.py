"""A connection on which nothing passes any more, and which nobody ends: the slave lives on by another."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import pytest

from interaction import Master, SlaveConnectionProxy, TaskStatus
from tests.contract.conftest import MakeMaster, MakeSlave, Worker
from tests.contract.frames import FrameWatch, frame_watch
from tests.contract.slave_programs import WAIT

TOLERANCE = 3.6  # of which the lease is 2.4 s
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the pacemaker needs Linux")


@pytest.fixture
def way() -> Iterator[FrameWatch]:
    """From the slave to its master."""
    with frame_watch(0) as way:
        yield way


@pytest.fixture
def watched(make_master: MakeMaster, way: FrameWatch) -> Master:
    master = make_master(
        Master, my_address=f"127.0.0.1:{way.port}", heartbeat_tolerance=TOLERANCE, heartbeat_check_span=0.1
    )
    way.target = master.port
    return master


def lives_on(connection: SlaveConnectionProxy, slave: Worker, seconds: float) -> None:
    lost = time.monotonic() + seconds
    while time.monotonic() < lost:
        assert connection.is_connected
        assert connection.new_task({"a": 1, "b": 2}).start().join(WAIT).status is TaskStatus.COMPLETED
        time.sleep(0.05)  # what is to be seen here is that nothing happens
    assert not slave.lost


@pytest.mark.parametrize(
    ("pacemaker", "fast_road"), [(False, True), (False, False), pytest.param(True, True, marks=LINUX)]
)
def test_a_connection_that_hangs_costs_no_session(
    watched: Master, way: FrameWatch, make_slave: MakeSlave, pacemaker: bool, fast_road: bool
) -> None:
    slave = make_slave(Worker, pacemaker=pacemaker, fast_road=fast_road, request_timeout=2.0)
    with watched.new_connection("conn", "127.0.0.1", slave.port) as connection:
        lives_on(connection, slave, 0.2)
        for _ in range(2):
            way.hang()
            lives_on(connection, slave, 1.5 * TOLERANCE)


def test_a_result_that_hangs_on_its_way_is_delivered_by_the_next_connection(
    watched: Master, way: FrameWatch, make_slave: MakeSlave
) -> None:
    slave = make_slave(Worker, fast_road=False)  # whose report may take 30 s
    with watched.new_connection("conn", "127.0.0.1", slave.port) as connection:
        task = connection.new_task({"wait": 1}).start()
        assert slave.running.wait(WAIT)
        way.hang()
        slave.go_on.set()
        began = time.monotonic()
        assert task.join(WAIT).status is TaskStatus.COMPLETED
        assert time.monotonic() - began < TOLERANCE
