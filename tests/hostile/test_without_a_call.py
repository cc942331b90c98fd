"""Connections that have no call are ended, soon those that never say what they want; who works notices nothing."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from interaction import Master, Slave
from interaction.rpc import transport
from tests.contract.slave_programs import CHANNEL, WAIT
from tests.hostile.http2 import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PREFACE,
    SETTINGS,
    call_fields,
    fields,
    frame,
    message,
)
from tests.hostile.process import Adder

IDLE, HANDSHAKE = 1.0, 0.5
POLITE = PREFACE + frame(SETTINGS) + frame(SETTINGS, 1)
PINGS = 2 * frame(PING, 0, 0, bytes(8))  # more in so short a time would be an end of its own
CALL = frame(HEADERS, END_HEADERS, 1, fields(call_fields("/grpc.health.v1.Health/Check")))
WATCH = frame(HEADERS, END_HEADERS, 1, fields(call_fields("/grpc.health.v1.Health/Watch")))
EMPTY = frame(DATA, END_STREAM, 1, message(b""))


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "IDLE_SECONDS", IDLE)
    monkeypatch.setattr(transport, "HANDSHAKE_SECONDS", HANDSHAKE)


@pytest.fixture
def master() -> Iterator[Master]:
    with Master("127.0.0.1", 0, channel=CHANNEL) as master:
        yield master


@pytest.fixture
def slave() -> Iterator[Slave]:
    """Without the fast road: between two tasks its master has no call to it."""
    with Adder("127.0.0.1", 0, channel=CHANNEL, pacemaker=False, fast_road=False) as slave:
        yield slave


@pytest.fixture(params=["master", "slave"])
def port(request: pytest.FixtureRequest, master: Master, slave: Slave) -> int:
    return master.port if request.param == "master" else slave.port


def seconds_until_its_end(port: int, words: bytes, *, patience: float = WAIT) -> float | None:
    """After how many seconds a server ends a connection that has said that; None: not within `patience`."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=0.2) as connection:
        connection.sendall(words)
        while time.monotonic() < began + patience:
            try:
                if not connection.recv(65_536):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        else:
            return None
    return time.monotonic() - began


@pytest.mark.parametrize("words", [b"", PREFACE[:12], b"GET / HTTP/1.1"], ids=["nothing", "a part", "something else"])
def test_who_never_says_what_it_wants_is_let_go_soon(port: int, words: bytes) -> None:
    seconds = seconds_until_its_end(port, words)
    assert seconds is not None
    assert seconds < WAIT / 2


@pytest.mark.parametrize("words", [POLITE, POLITE + PINGS, POLITE + CALL + EMPTY], ids=["said", "pinged", "called"])
def test_who_has_no_call_any_more_is_let_go_after_a_while(port: int, words: bytes) -> None:
    seconds = seconds_until_its_end(port, words)
    assert seconds is not None
    assert seconds > IDLE / 2


def test_who_has_a_call_stays(port: int) -> None:
    assert seconds_until_its_end(port, POLITE + WATCH + EMPTY, patience=3 * IDLE) is None


def test_a_session_without_calls_from_its_master_goes_on(
    master: Master, slave: Slave, caplog: pytest.LogCaptureFixture
) -> None:
    with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
        for _ in range(2):
            assert connection.new_task({"a": 1, "b": 2}).start().join(WAIT).result == {"sum": 3}
            time.sleep(2 * IDLE)  # in which there is to be no call
        assert connection.is_connected
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
