"""Connections: the rows `new_connection`, `name in master ...` and `connection.connect()/...` of the facade's table."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from interaction import Master, RequestException, SlaveConnectionProxy, TaskStatus
from interaction.exception import (
    LossReason,
    SlaveErrorCode,
    SlaveSlaveAlreadyConnected,
    SlaveSlaveNotConnected,
    TaskLost,
)
from tests.contract.conftest import (
    MakeMaster,
    MakeSlave,
    SlaveProcess,
    Worker,
    plain_and_aio,
    without_and_with_a_journal,
)

master_options = pytest.fixture(params=[False, True], ids=["", "journal"])(without_and_with_a_journal)
facade = pytest.fixture(params=["plain", "aio"])(plain_and_aio)


def test_a_connection_lives_from_connect_to_disconnect(master: Master, slave: Worker) -> None:
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    assert not connection.is_connected
    assert "conn" not in master
    connection.connect()
    assert connection.is_connected
    assert "conn" in master
    assert master["conn"] is connection
    connection.disconnect()
    assert not connection.is_connected
    assert "conn" not in master
    with pytest.raises(KeyError, match="conn"):
        master["conn"]


def test_with_connects_and_disconnects(master: Master, slave: Worker) -> None:
    with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
        assert connection.is_connected
        assert master["conn"] is connection
    assert not connection.is_connected
    assert "conn" not in master


def test_start_and_close_do_the_same(master: Master, slave: Worker) -> None:
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.start()
    assert connection.is_connected
    connection.close()
    assert not connection.is_connected
    connection.close()  # harmless


def test_connecting_again_after_a_disconnection_works(master: Master, slave: Worker) -> None:
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    for number in range(3):
        connection.connect()
        assert connection.new_task({"a": number, "b": 1}).start().join(10).result == {"sum": number + 1}
        connection.disconnect()


def test_del_disconnects(master: Master, slave: Worker) -> None:
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    del master["conn"]
    assert not connection.is_connected
    assert "conn" not in master
    with master.new_connection("conn", "127.0.0.1", slave.port):  # the slave is free
        pass
    with pytest.raises(KeyError, match="conn"):
        del master["conn"]


def test_nothing_is_sent_before_connect(master: Master) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        nobody.settimeout(0.2)
        master.new_connection("conn", "127.0.0.1", nobody.getsockname()[1])
        with pytest.raises(TimeoutError):
            nobody.accept()


def test_connect_and_disconnect_return_what_the_after_hooks_return(
    make_master: MakeMaster, make_slave: MakeSlave
) -> None:
    calls: list[tuple[Any, ...]] = []

    class Talker(Master):
        def _before_connect(self) -> Mapping[str, Any]:
            return {"hello": [1, 2]}

        def _after_connect(self, *arguments: Any) -> Any:
            calls.append(arguments)
            return "connected"

        def _before_disconnect(self) -> Mapping[str, Any]:
            return {"bye": None}

        def _after_disconnect(self, *arguments: Any) -> Any:
            calls.append(arguments)
            return "disconnected"

    class Listener(Worker):
        def _before_connection(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
            return {"heard": data}

        def _before_disconnection(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
            return {"heard": data}

    connection = make_master(Talker).new_connection("conn", "127.0.0.1", make_slave(Listener).port)
    assert connection.connect() == "connected"
    assert connection.disconnect() == "disconnected"
    assert [(*call[:3], call[4]) for call in calls] == [
        (200, True, SlaveErrorCode.SUCCESS, {"heard": {"hello": [1, 2]}}),
        (200, True, SlaveErrorCode.SUCCESS, {"heard": {"bye": None}}),
    ]
    assert all(isinstance(call[3], str) and call[3] for call in calls)


def test_without_hooks_connect_and_disconnect_return_none(master: Master, slave: Worker) -> None:
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    assert connection.connect() is None
    assert connection.disconnect() is None


@pytest.mark.parametrize("hook", ["_before_connect", "_before_disconnect"])
def test_an_exception_before_a_request_cancels_it_and_reaches_the_caller(
    make_master: MakeMaster, slave: Worker, hook: str
) -> None:
    class Careful(Master):
        stop = False

    def refuse(self: Careful) -> None:
        if self.stop:
            raise LookupError("not today")

    setattr(Careful, hook, refuse)
    master = make_master(Careful)
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    if hook == "_before_disconnect":
        connection.connect()
    master.stop = True
    with pytest.raises(LookupError, match="not today"):
        connection.connect() if hook == "_before_connect" else connection.disconnect()
    assert connection.is_connected is (hook == "_before_disconnect")
    master.stop = False
    if hook == "_before_connect":
        connection.connect()
    assert connection.new_task({"a": 1, "b": 1}).start().join(10).result == {"sum": 2}


def test_data_that_is_no_mapping_or_cant_be_carried_is_refused_before_anything_is_sent(
    make_master: MakeMaster, slave: Worker
) -> None:
    class Wrong(Master):
        data: Any = None

        def _before_connect(self) -> Any:
            return self.data

    master = make_master(Wrong)
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    master.data = [1]
    with pytest.raises(TypeError, match="mapping"):
        connection.connect()
    master.data = {"a": {"b": {1}}}
    with pytest.raises(ValueError, match=r"data\['a'\]\['b'\]"):
        connection.connect()
    master.data = None
    connection.connect()
    assert connection.is_connected


def test_what_needs_a_connection_says_so(master: Master, slave: Worker) -> None:
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    with pytest.raises(SlaveSlaveNotConnected, match="conn"):
        connection.disconnect()
    task = connection.new_task({"a": 1, "b": 2})
    with pytest.raises(SlaveSlaveNotConnected, match="conn"):
        task.start()
    assert task.join(1).status is TaskStatus.START_FAILED


def test_what_needs_a_running_master_says_so(slave: Worker) -> None:
    master = Master("127.0.0.1", 0)
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    with pytest.raises(RuntimeError, match="not been started"):
        connection.connect()
    with master:
        pass
    with pytest.raises(RuntimeError, match="shut down"):
        connection.connect()


def test_a_disconnection_ends_unfinished_tasks_as_lost(connection: SlaveConnectionProxy, slave: Worker) -> None:
    failed: list[Any] = []
    task = connection.new_task({"wait": 1}).on_fail(lambda data, result: failed.append((data, result)))
    task.start()
    assert slave.running.wait(10)
    connection.disconnect()
    assert task.join(10).status is TaskStatus.LOST
    assert isinstance(task.error, TaskLost)
    assert task.error.reason is LossReason.DISCONNECTED
    assert failed == [({"wait": 1}, None)]


def delete(master: Master, connection: SlaveConnectionProxy) -> None:
    del master[connection.name]


def close(master: Master, connection: SlaveConnectionProxy) -> None:
    connection.close()


@pytest.mark.parametrize("end", [delete, close])
def test_the_entry_of_a_frozen_slave_goes_all_the_same_and_soon(
    make_master: MakeMaster,
    slave_process: Callable[..., SlaveProcess],
    end: Callable[[Master, SlaveConnectionProxy], object],
) -> None:
    import signal

    master, process = make_master(Master, request_timeout=30.0), slave_process()
    connection = master.new_connection("conn", "127.0.0.1", process.port)
    connection.connect()
    process.send(signal.SIGSTOP)
    begun = time.monotonic()
    end(master, connection)
    assert time.monotonic() - begun < 5  # the request's own deadline is 30 s
    assert "conn" not in master
    assert not connection.is_connected


def test_the_end_of_a_with_block_whose_slave_is_gone_is_no_error(
    master: Master, slave_process: Callable[..., SlaveProcess]
) -> None:
    process = slave_process()
    with master.new_connection("conn", "127.0.0.1", process.port) as connection:
        process.kill()
    assert not connection.is_connected
    assert "conn" not in master


def test_disconnecting_from_a_slave_that_is_gone_is_a_transport_failure(
    master: Master, slave_process: Callable[..., SlaveProcess]
) -> None:
    process = slave_process()
    connection = master.new_connection("conn", "127.0.0.1", process.port)
    connection.connect()
    process.kill()
    with pytest.raises((RequestException, SlaveSlaveNotConnected)):  # the loss may be known already
        connection.disconnect()


def test_connect_and_disconnect_twice(master: Master, slave: Worker) -> None:
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    with pytest.raises(SlaveSlaveAlreadyConnected, match="'conn' is connected already"):
        connection.connect()
    assert connection.is_connected
    connection.disconnect()
    with pytest.raises(SlaveSlaveNotConnected):
        connection.disconnect()
    connection.connect()
    assert connection.is_connected
