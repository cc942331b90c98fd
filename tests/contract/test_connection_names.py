"""What a connection may be called, and where its slave may be."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from interaction import Master
from interaction.exception import SlaveSlaveAlreadyConnected
from tests.contract.conftest import MakeSlave, Worker, plain_and_aio, without_and_with_a_journal

master_options = pytest.fixture(params=[False, True], ids=["", "journal"])(without_and_with_a_journal)
facade = pytest.fixture(params=["plain", "aio"])(plain_and_aio)


def test_a_name_in_use_is_a_keyerror_here_and_at_connect(master: Master, make_slave: MakeSlave) -> None:
    one, other = make_slave(Worker), make_slave(Worker)
    early = master.new_connection("conn", "127.0.0.1", other.port)
    with master.new_connection("conn", "127.0.0.1", one.port) as connection:
        with pytest.raises(KeyError, match="conn"):
            master.new_connection("conn", "127.0.0.1", other.port)
        with pytest.raises(KeyError, match="conn"):
            early.connect()
        with pytest.raises(SlaveSlaveAlreadyConnected, match="conn"):
            connection.connect()
        assert master["conn"] is connection
        assert connection.is_connected
    early.connect()
    assert master["conn"] is early


def test_the_name_is_taken_while_a_connection_is_being_made(master: Master, make_slave: MakeSlave) -> None:
    asked, go_on = threading.Event(), threading.Event()

    class Slow(Worker):
        def _before_connection(self, data: Mapping[str, Any]) -> None:
            asked.set()
            assert go_on.wait(10)

    slow, other = make_slave(Slow), make_slave(Worker)
    first = master.new_connection("conn", "127.0.0.1", slow.port)
    second = master.new_connection("conn", "127.0.0.1", other.port)
    connecting = threading.Thread(target=first.connect)
    connecting.start()
    assert asked.wait(10)
    assert "conn" not in master  # it does not live yet
    with pytest.raises(KeyError, match="conn"):
        second.connect()
    go_on.set()
    connecting.join(10)
    assert master["conn"] is first


def test_the_host_may_be_the_one_that_means_any(master: Master, slave: Worker) -> None:
    with master.new_connection("conn", "0.0.0.0", slave.port) as connection:
        assert connection.new_task({"a": 1, "b": 2}).start().join(10).result == {"sum": 3}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((1.5, "127.0.0.1"), TypeError, "name"),
        (("conn", None), TypeError, "host"),
        (("conn", "not a host"), ValueError, "not a host"),
        (("conn", "unix:/tmp/socket"), ValueError, "unix"),
        (("conn", "127.0.0.1", "7236"), TypeError, "port"),
        (("conn", "127.0.0.1", 0), ValueError, "port"),
        (("conn", "127.0.0.1", 65536), ValueError, "port"),
    ],
)
def test_a_mistake_raises_where_it_is_made(
    master: Master, arguments: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        master.new_connection(*arguments)


def test_a_master_is_iterated_over_by_the_names_of_its_living_connections(
    master: Master, make_slave: MakeSlave
) -> None:
    assert (list(master), len(master), bool(master)) == ([], 0, True)
    one, two = (master.new_connection(name, "127.0.0.1", make_slave(Worker).port) for name in ("one", "two"))
    assert list(master) == []  # none is connected
    with one, two:
        assert sorted(master) == ["one", "two"]
        assert len(master) == 2
        assert {name: master[name] for name in master} == {"one": one, "two": two}
        for name in master:  # which may change what it goes over
            del master[name]
    assert (list(master), len(master), bool(master)) == ([], 0, True)


@pytest.mark.parametrize("number", [3, np.int64(3)])
def test_a_number_may_be_a_name(master: Master, slave: Worker, number: Any) -> None:
    with master.new_connection(number, "127.0.0.1", np.int64(slave.port)) as connection:
        assert connection.name == "3"
        assert number in master
        assert 3 in master
        assert master[number] is master["3"] is connection
        assert list(master) == ["3"]
        with pytest.raises(KeyError, match="3"):
            master.new_connection("3", "127.0.0.1", slave.port)
        del master[number]
    assert number not in master


@pytest.mark.parametrize("name", [None, True, np.bool_(True), 1.5, b"conn", ("a",)])
def test_what_is_no_name_is_refused(master: Master, name: Any) -> None:
    with pytest.raises(TypeError, match="name must be a string"):
        master.new_connection(name, "127.0.0.1", 1)
    assert name not in master


@pytest.mark.parametrize("port", [True, np.bool_(True), 1.0, "80", np.float64(1), np.array([1, 2])])
def test_what_is_no_port_is_refused(master: Master, port: Any) -> None:
    with pytest.raises(TypeError, match="port must be an integer"):
        master.new_connection("conn", "127.0.0.1", port)
