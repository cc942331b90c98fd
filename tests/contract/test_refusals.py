"""What a slave refuses, and how it meets its master."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from interaction import Master
from interaction.exception import (
    SlaveChannelInvalid,
    SlaveErrorCode,
    SlaveSlaveAlreadyConnected,
    SlaveSlaveConnectionRefused,
    SlaveSlaveDisconnectionRefused,
    SlaveTaskRefused,
)
from interaction.rpc.status import MAX_REFUSAL_BYTES
from interaction.slave import ConnectionRefuse, DisconnectionRefuse, TaskRefuse
from tests.contract.conftest import MakeMaster, MakeSlave, Worker, plain_and_aio

facade = pytest.fixture(params=["plain", "aio"])(plain_and_aio)


def test_the_wrong_channel(make_master: MakeMaster, slave: Worker) -> None:
    master = make_master(Master, channel=8)
    with pytest.raises(SlaveChannelInvalid) as caught, master.new_connection("conn", "127.0.0.1", slave.port):
        pytest.fail("not reached")
    error = caught.value
    assert (error.success, error.status_code, error.code) == (False, 403, SlaveErrorCode.CHANNEL_INVALID)
    assert error.message
    assert error.data == {}
    assert "conn" not in master


def test_a_slave_has_one_master_at_a_time(make_master: MakeMaster, slave: Worker) -> None:
    one, other = make_master(Master), make_master(Master)
    with one.new_connection("conn", "127.0.0.1", slave.port) as connection:
        with pytest.raises(SlaveSlaveAlreadyConnected) as caught:
            other.new_connection("conn", "127.0.0.1", slave.port).connect()
        assert (caught.value.status_code, caught.value.code) == (400, SlaveErrorCode.SLAVE_ALREADY_CONNECTED)
        assert connection.new_task({"a": 1, "b": 2}).start().join(10).result == {"sum": 3}
    with other.new_connection("conn", "127.0.0.1", slave.port) as connection:
        assert connection.is_connected


def test_a_refused_connection(master: Master, make_slave: MakeSlave) -> None:
    class Shy(Worker):
        def _before_connection(self, data: Mapping[str, Any]) -> None:
            raise ConnectionRefuse({"reason": ["not", "you"], "bytes": b"\x00"})

    connection = master.new_connection("conn", "127.0.0.1", make_slave(Shy).port)
    with pytest.raises(SlaveSlaveConnectionRefused) as caught:
        connection.connect()
    error = caught.value
    assert (error.status_code, error.code) == (403, SlaveErrorCode.SLAVE_CONNECTION_REFUSED)
    assert error.data == {"reason": ["not", "you"], "bytes": b"\x00"}
    assert error.message
    assert "conn" not in master
    assert not connection.is_connected


def test_a_refused_disconnection_leaves_the_connection(master: Master, make_slave: MakeSlave) -> None:
    class Clinging(Worker):
        cling = True

        def _before_disconnection(self, data: Mapping[str, Any]) -> None:
            if self.cling:
                raise DisconnectionRefuse({"stay": True})

    slave = make_slave(Clinging)
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()

    def delete() -> None:
        del master["conn"]

    for end in (connection.disconnect, connection.close, delete):
        with pytest.raises(SlaveSlaveDisconnectionRefused) as caught:
            end()
        assert caught.value.data == {"stay": True}
        assert connection.is_connected
        assert "conn" in master
    assert connection.new_task({"a": 1, "b": 2}).start().join(10).result == {"sum": 3}
    slave.cling = False
    connection.disconnect()
    assert not connection.is_connected


@pytest.mark.parametrize("hook", ["_before_connection", "_before_disconnection"])
def test_any_other_exception_in_a_slaves_hook_refuses_with_its_type_and_message(
    master: Master, make_slave: MakeSlave, hook: str
) -> None:
    class Broken(Worker):
        pass

    def fail(self: Broken, data: Mapping[str, Any]) -> None:
        raise ZeroDivisionError("a bug in here")

    setattr(Broken, hook, fail)
    connection = master.new_connection("conn", "127.0.0.1", make_slave(Broken).port)
    if hook == "_before_disconnection":
        connection.connect()
    expected = SlaveSlaveConnectionRefused if hook == "_before_connection" else SlaveSlaveDisconnectionRefused
    with pytest.raises(expected, match="ZeroDivisionError: a bug in here"):
        connection.connect() if hook == "_before_connection" else connection.disconnect()


@pytest.mark.parametrize("fast_road", [True, False], ids=["work", "calls"])
def test_a_refusal_carries_data_up_to_its_limit_and_tells_where_they_are_longer(
    master: Master, make_slave: MakeSlave, fast_road: bool
) -> None:
    longest = MAX_REFUSAL_BYTES - len('{"x":""}') - 4  # a field's tag, and its length in three bytes

    class Talkative(Worker):
        def _before_task(self, task: Mapping[str, Any]) -> None:
            raise TaskRefuse({"x": "x" * task["length"]})

    with master.new_connection("conn", "127.0.0.1", make_slave(Talkative, fast_road=fast_road).port) as connection:
        for length, carried in ((longest, True), (longest + 1, False), (10 * longest, False)):
            with pytest.raises(SlaveTaskRefused) as caught:
                connection.new_task({"length": length}).start()
            assert caught.value.data == ({"x": "x" * length} if carried else {})
            assert ("is left out" in caught.value.message) is not carried


@pytest.mark.parametrize("data", [{"x": object()}, {"x": b"0" * 200_000}, [1, 2]])
def test_a_refusal_whose_data_cant_be_carried_is_a_refusal_all_the_same(
    master: Master, make_slave: MakeSlave, data: Any
) -> None:
    class Clumsy(Worker):
        def _before_connection(self, data_: Mapping[str, Any]) -> None:
            raise ConnectionRefuse(data)

    with pytest.raises(SlaveSlaveConnectionRefused, match="left out") as caught:
        master.new_connection("conn", "127.0.0.1", make_slave(Clumsy).port).connect()
    assert caught.value.data == {}
