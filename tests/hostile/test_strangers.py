"""Strangers at a slave that nothing guards: what they name does not answer for them, and its master has it soon."""

from __future__ import annotations

import itertools
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import grpc
import pytest

from interaction import Master, RequestException
from interaction.core.engagement import MOST_CLAIMS
from interaction.v1 import slave_service_pb2 as messages
from interaction.v1 import slave_service_pb2_grpc as services
from interaction.v1.task_pb2 import Task
from tests.contract.conftest import CHANNEL, Worker
from tests.contract.slave_programs import WAIT
from tests.contract.wire import NO_PROXY, SUM, duration_of, metadata_of, new_id, new_token, payload_of
from tests.hostile.callers import flood, seconds_until_connected

A_DAY = 86400.0
SOON = 5.0  # seconds; 1 on a machine that has nothing else to do


class Host(Worker):
    """Writes down when its user is asked, and may take its time for an answer."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.asked: list[Mapping[str, Any]] = []
        self.being_asked = threading.Event()
        self.answer = threading.Event()
        self.answer.set()

    def _before_connection(self, data: Mapping[str, Any]) -> None:
        self.asked.append(data)
        self.being_asked.set()
        self.answer.wait(WAIT)


@pytest.fixture
def host() -> Iterator[Host]:
    with Host("127.0.0.1", 0, channel=CHANNEL, pacemaker=False) as host:
        try:
            yield host
        finally:
            host.answer.set()


@pytest.fixture
def master() -> Iterator[Master]:
    with Master("127.0.0.1", 0, channel=CHANNEL, request_retries=0) as master:
        yield master


@pytest.fixture
def stub(host: Host) -> Iterator[services.SlaveServiceStub]:
    with grpc.insecure_channel(f"127.0.0.1:{host.port}", NO_PROXY) as channel:
        yield services.SlaveServiceStub(channel)


@pytest.fixture
def black_hole() -> Iterator[str]:
    """An address that takes connections, and says nothing; so do others of this machine at its port."""
    with socket.create_server(("0.0.0.0", 0), backlog=512) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def ask(stub: services.SlaveServiceStub, token: str, address: str, patience: float = WAIT) -> grpc.Future[Any]:
    request = messages.ConnectRequest(master_address=address, lease=duration_of(A_DAY))
    return stub.Connect.future(request, metadata=metadata_of(token), timeout=patience)


def hand_over(stub: services.SlaveServiceStub, token: str) -> grpc.Future[Any]:
    request = messages.NewTaskRequest(task=Task(id=new_id(), data=payload_of(SUM)))
    return stub.NewTask.future(request, metadata=metadata_of(token), timeout=WAIT)


def has_it(master: Master, host: Host) -> float:
    """Its master connects and has a task done. Returns the seconds that this took."""
    began = time.monotonic()
    with master.new_connection("conn", "127.0.0.1", host.port) as connection:
        assert connection.new_task(SUM).start().join(WAIT).result == {"sum": 3}
    return time.monotonic() - began


def test_who_names_the_real_master_has_nothing_run_and_nobody_asked(
    host: Host, master: Master, stub: services.SlaveServiceStub
) -> None:
    for _ in range(20):
        token = new_token()
        calls = [ask(stub, token, f"127.0.0.1:{master.port}"), *(hand_over(stub, token) for _ in range(3))]
        assert [call.exception() is None for call in calls] == [False] * 4
    assert (host.ran, host.asked) == ([], [])
    assert has_it(master, host) < SOON
    assert (len(host.ran), len(host.asked)) == (1, 1)


def test_who_names_an_address_that_says_nothing_stands_in_nobodys_way(
    host: Host, master: Master, stub: services.SlaveServiceStub, black_hole: str
) -> None:
    calls = [ask(stub, new_token(), black_hole) for _ in range(7)]
    assert has_it(master, host) < SOON
    assert [call.exception() is None for call in calls] == [False] * 7
    assert len(host.ran) == 1


def test_who_takes_all_places_and_waits_has_them_for_ten_seconds(
    host: Host, master: Master, stub: services.SlaveServiceStub, black_hole: str
) -> None:
    began = time.monotonic()
    calls = [ask(stub, new_token(), black_hole, 60.0) for _ in range(MOST_CLAIMS)]
    assert [call.exception() is None for call in calls] == [False] * MOST_CLAIMS
    assert time.monotonic() - began < 31.0
    assert has_it(master, host) < SOON


def test_who_hangs_up_has_no_place_any_more(
    host: Host, master: Master, stub: services.SlaveServiceStub, black_hole: str
) -> None:
    with ExitStack() as stack:
        calls = [ask(stub, new_token(), black_hole, 60.0) for _ in range(MOST_CLAIMS)]
        stack.callback(lambda: [call.cancel() for call in calls])
        time.sleep(0.2)  # they come, or they don't
    began = time.monotonic()
    while time.monotonic() - began < SOON:
        try:
            has_it(master, host)
        except Exception:  # noqa: BLE001 - it is told of those who hang up in its own time
            time.sleep(0.05)
        else:
            break
    assert len(host.ran) == 1


@pytest.mark.parametrize("addresses", ["one", "many"])
def test_those_who_come_again_and_again_keep_the_slave_from_nobody(
    host: Host, master: Master, black_hole: str, addresses: str
) -> None:
    port = black_hole.rpartition(":")[2]
    names = itertools.cycle([f"127.0.0.{number}:{port}" for number in range(1, 200 if addresses == "many" else 2)])
    with flood(host.port, lambda: next(names)):
        assert seconds_until_connected(master, host.port, 4 * SOON) < 2 * SOON
    assert len(host.asked) == 1


def test_what_strangers_cause_is_logged_a_few_times_a_minute(
    host: Host, stub: services.SlaveServiceStub, caplog: pytest.LogCaptureFixture
) -> None:
    closed = socket.socket()
    closed.bind(("127.0.0.1", 0))
    try:
        for _ in range(20):
            assert ask(stub, new_token(), f"127.0.0.1:{closed.getsockname()[1]}").exception() is not None
    finally:
        closed.close()
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert 1 <= len(lines) <= 3
    assert "nobody listens at 127.0.0.1" in lines[0]


def fails(connect: Callable[[], object]) -> None:
    with pytest.raises(RequestException):
        connect()


def test_a_master_that_shuts_down_while_its_slave_is_asked_leaves_it_free(host: Host, master: Master) -> None:
    host.answer.clear()
    with Master("127.0.0.1", 0, channel=CHANNEL, request_retries=0) as first:
        connection = first.new_connection("conn", "127.0.0.1", host.port)
        connecting = threading.Thread(target=fails, args=(connection.connect,))
        connecting.start()
        assert host.being_asked.wait(WAIT)
    connecting.join(WAIT)
    host.answer.set()  # which nobody wants any more
    assert has_it(master, host) < SOON
    assert len(host.asked) == 2
    assert host.lost == [], "there was no session"
