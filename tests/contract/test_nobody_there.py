"""Nobody at the other end: told while it is tried again, and in the end with the remedy, and not with our insides."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from interaction import Master, RequestException, TaskStatus
from interaction.address import Endpoint
from interaction.exception import SlaveChannelInvalid
from interaction.rpc import absence
from tests.contract.conftest import MakeMaster, MakeSlave, Worker, plain_and_aio
from tests.contract.holding import wait_until
from tests.contract.slave_programs import WAIT

facade = pytest.fixture(params=["plain", "aio"])(plain_and_aio)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port at which nobody listens, and nobody else will meanwhile."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def shown(error: BaseException) -> str:
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


def assert_short(error: BaseException) -> None:
    """Of our files there are but those of the facade, and no other error is told with it."""
    text = shown(error)
    ours = [line for line in text.splitlines() if "/interaction/" in line and "/tests/" not in line]
    assert not any("/rpc/" in line and "service.py" not in line for line in ours), text
    assert len(ours) <= 5, text
    assert "During handling" not in text
    assert "direct cause" not in text


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_a_closed_port_is_told_with_the_remedy(make_master: MakeMaster, closed_port: int, host: str) -> None:
    master = make_master(Master)
    connection = master.new_connection("conn", host, closed_port)
    with pytest.raises(RequestException) as said:
        connection.connect()
    assert str(said.value) == f"nobody listens at {host}:{closed_port}: is the slave started, is the port right?"
    assert said.value.code == "UNAVAILABLE"
    assert_short(said.value)
    assert "conn" not in master


def test_one_line_tells_that_it_is_tried_again(
    make_master: MakeMaster, closed_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    master = make_master(Master, request_retries=3, request_retry_waiting=0.05)
    with pytest.raises(RequestException, match="nobody listens"):
        master.new_connection("conn", "127.0.0.1", closed_port).connect()
    told = [record for record in caplog.records if "trying again" in record.getMessage()]
    assert [(record.name, record.levelno) for record in told] == [("interaction.master", logging.WARNING)]
    assert f"nobody listens at 127.0.0.1:{closed_port}" in told[0].getMessage()


def test_a_slave_that_starts_late_is_found(make_master: MakeMaster, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
    master = make_master(Master, request_retries=400, request_retry_waiting=0.05, request_timeout=WAIT)
    connection = master.new_connection("conn", "127.0.0.1", port)
    connecting = threading.Thread(target=connection.connect)
    slave = Worker("127.0.0.1", port, channel=7, pacemaker=False)
    connecting.start()
    try:
        wait_until(lambda: "trying again" in caplog.text)
        slave.start()
        connecting.join(WAIT)
        assert connection.is_connected
    finally:
        connecting.join(WAIT)
        slave.close()


def test_an_unknown_host_is_told_at_once(make_master: MakeMaster, monkeypatch: pytest.MonkeyPatch) -> None:
    known = socket.getaddrinfo

    def lookup(host: Any, *arguments: Any, **options: Any) -> Any:
        if host == "no-such-host.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return known(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)  # what a resolver without a network says may be something else
    master = make_master(Master, request_retries=1000, request_retry_waiting=1.0, request_timeout=600.0)
    began = time.monotonic()
    with pytest.raises(RequestException, match=r"^'no-such-host\.invalid' is no host that this machine knows") as said:
        master.new_connection("conn", "no-such-host.invalid", 7236).connect()
    assert time.monotonic() - began < WAIT
    assert_short(said.value)


def test_a_refusal_is_short_too(make_master: MakeMaster, make_slave: MakeSlave) -> None:
    slave = make_slave(Worker)
    with pytest.raises(SlaveChannelInvalid) as said:
        make_master(Master, channel=8).new_connection("conn", "127.0.0.1", slave.port).connect()
    assert_short(said.value)


def test_a_refused_task_is_short_too(make_master: MakeMaster, make_slave: MakeSlave) -> None:
    slave = make_slave(Worker)
    with make_master(Master).new_connection("conn", "127.0.0.1", slave.port) as connection:
        connection.new_task({"wait": 1}).start()
        assert slave.running.wait(WAIT)
        task = connection.new_task({"a": 1})
        with pytest.raises(Exception, match="task") as said:
            task.start()
        assert task.status is TaskStatus.START_FAILED
        assert_short(said.value)
        slave.go_on.set()


@pytest.mark.parametrize("road", [True, False], ids=["work", "unary"])
def test_a_task_for_nobody_is_told_as_well(make_master: MakeMaster, make_slave: MakeSlave, road: bool) -> None:
    """The slave's server has gone, and its master does not know yet."""
    slave = make_slave(Worker, fast_road=road)
    master = make_master(Master, heartbeat_tolerance=60.0)
    connection = master.new_connection("conn", "127.0.0.1", slave.port)
    connection.connect()
    slave.close()
    with pytest.raises((RequestException, Exception)) as said:
        connection.new_task({"a": 1, "b": 2}).start()
    assert_short(said.value)


def test_what_is_open_or_silent_is_no_absence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for host in ("127.0.0.1", "localhost"):
            assert asyncio.run(absence.absence_at(Endpoint(host, port), WAIT)) is None
            assert not asyncio.run(absence.nobody_listens(Endpoint(host, port), WAIT))
    assert asyncio.run(absence.absence_at(Endpoint("127.0.0.1", port), 0.0)) is None  # there was no time to look


def test_a_slave_at_localhost_whose_process_has_gone_is_known_to_have_exited(closed_port: int) -> None:
    """`localhost` is two addresses, and each refuses in words of its own."""
    assert asyncio.run(absence.nobody_listens(Endpoint("localhost", closed_port), WAIT))
    assert not asyncio.run(absence.nobody_listens(Endpoint("no-such-host.invalid", closed_port), WAIT))
