"""What lets one master hold thousands: a connection is given back when it says nothing, and Connects take turns."""

from __future__ import annotations

import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from interaction import Master, SlaveConnectionProxy, TaskStatus
from interaction.master import roster
from interaction.rpc import transport
from interaction.v1.master_service_pb2 import RESULT_ACKNOWLEDGEMENT_RECORDED
from tests.contract.conftest import MakeMaster
from tests.contract.scripted_slave import ScriptedSlave, completed, scripted_slave, started
from tests.contract.slave_programs import WAIT

IDLE = "grpc.client_idle_timeout_ms"
ESTABLISHED = "01"


def connections_to(port: int) -> int:
    """How many TCP connections of this machine lead to that port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[2].endswith(f":{port:04X}") and row[3] == ESTABLISHED for row in rows)


@pytest.mark.skipif(sys.platform != "linux", reason="the table of connections is read from /proc")
def test_a_connection_without_calls_is_given_back_and_the_next_call_opens_one(
    monkeypatch: pytest.MonkeyPatch, make_master: MakeMaster, scripted: ScriptedSlave
) -> None:
    options = tuple((name, 1_000 if name == IDLE else value) for name, value in transport._CHANNEL_OPTIONS)
    assert (IDLE, 1_000) in options
    monkeypatch.setattr(transport, "_CHANNEL_OPTIONS", options)
    connection: SlaveConnectionProxy = make_master().new_connection("conn", "127.0.0.1", scripted.port)
    connection.connect()
    beats = scripted.heartbeat()
    assert beats.beat(1) == 1
    for number in range(2):
        deadline = time.monotonic() + WAIT
        while connections_to(scripted.port):
            assert time.monotonic() < deadline, "it is kept"
            threading.Event().wait(0.05)  # nothing tells when a socket of gRPC's is closed
        assert connection.is_connected
        task = started(connection)
        assert scripted.report(completed(scripted.accepted_task(), str(number))) == RESULT_ACKNOWLEDGEMENT_RECORDED
        assert task.join(WAIT).status is TaskStatus.COMPLETED


def test_slaves_that_do_not_answer_hold_nobody_up_for_long(make_master: MakeMaster) -> None:
    master: Master = make_master(request_timeout=WAIT)
    with ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=roster._MOST_TURNS))
        threads = stack.enter_context(ThreadPoolExecutor(roster._MOST_TURNS))
        stack.callback(master.shutdown)  # before the threads are waited for
        held_up: list[SlaveConnectionProxy] = []
        for number in range(roster._MOST_TURNS):
            held_up.append(master.new_connection(f"silent-{number}", "127.0.0.1", silent.getsockname()[1]))
            threads.submit(held_up[-1].connect)
        slave = stack.enter_context(scripted_slave())
        began = time.monotonic()
        master.new_connection("conn", "127.0.0.1", slave.port).connect()
        assert time.monotonic() - began < WAIT / 2
        assert not any(connection.is_connected for connection in held_up)
