"""Tasks in a child process: what they share with the slave, and what not."""

from __future__ import annotations

import os

import numpy
import pytest

from interaction import Master, Slave, SlaveConnectionProxy, TaskStatus
from tests.contract.conftest import MakeMaster
from tests.contract.isolated_slave import Isolated
from tests.contract.isolation import do, error_of, to_it, with_a_child

isolated = pytest.fixture(with_a_child)
connection = pytest.fixture(to_it)


def test_tasks_run_in_one_child_and_hooks_in_the_slave(connection: SlaveConnectionProxy, isolated: Isolated) -> None:
    results = [do(connection, "tell").result for _ in range(3)]
    (child,) = {result["pid"] for result in results}
    assert child != os.getpid()
    assert [result["constructed_in"] for result in results] == [child] * 3
    assert [result["asked"] for result in results] == [0] * 3
    assert len(isolated.asked) == 3


def test_what_can_be_carried_arrives_as_it_was_sent(connection: SlaveConnectionProxy) -> None:
    value = {"bytes": b"\0\xff", "large": 2**100, "nested": [{"text": "é"}, None, 1.5]}
    assert do(connection, "echo", value=value).result == value
    array = numpy.arange(300_000, dtype=numpy.float32)
    assert numpy.array_equal(do(connection, "echo", value=array).result, array)


def test_a_task_fails_as_it_does_on_a_thread(connection: SlaveConnectionProxy) -> None:
    failed = do(connection, "fail")
    assert (failed.status, failed.result) == (TaskStatus.FAILED, {"because": "told to"})
    raised = error_of(do(connection, "raise"))
    assert (raised.type, raised.message) == ("KeyError", "'nothing'")
    assert "_process_task" in raised.traceback


def test_another_isolation_is_refused() -> None:
    with pytest.raises(ValueError, match="isolation must be 'thread' or 'process', not 'fiber'"):
        Slave(isolation="fiber")


@pytest.mark.parametrize("method", ["start", "shutdown", "join", "close", "ping", "drain"])
def test_the_slave_cant_be_reached_in_the_child(connection: SlaveConnectionProxy, method: str) -> None:
    error = error_of(do(connection, "call", method=method))
    assert error.type == "RuntimeError"
    assert "this process runs the tasks of Isolated" in error.message


def test_a_task_that_holds_the_gil_is_no_matter(make_master: MakeMaster, isolated: Isolated) -> None:
    master = make_master(Master, heartbeat_tolerance=3.0)
    with master.new_connection("conn", "127.0.0.1", isolated.port) as connection:
        assert do(connection, "hold", seconds=5.0).status is TaskStatus.COMPLETED
