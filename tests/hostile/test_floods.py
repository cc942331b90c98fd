"""Too much of everything, by whoever can reach the port: the others are served, and memory is bounded."""

from __future__ import annotations

import socket
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import grpc
import pytest

from interaction.v1.slave_service_pb2 import ConnectRequest
from tests.contract.slave_programs import WAIT
from tests.contract.wire import NO_PROXY, duration_of, metadata_of, new_token
from tests.hostile.conftest import MIB, Pair
from tests.hostile.http2 import (
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    Connection,
    call_fields,
    fields,
    frame,
    message,
)

CHANNEL = (b"channel", b"7")
TOKEN = (b"token", b"t" * 43)
PATHS = {"slave": "/interaction.v1.SlaveService/", "master": "/interaction.v1.MasterService/"}
GUARDED = {"slave": "NewTask", "master": "ReportResult"}
WATCH = "/grpc.health.v1.Health/Watch"

either = pytest.mark.parametrize("role", ["master", "slave"])


def guarded(role: str) -> str:
    return PATHS[role] + GUARDED[role]


@contextmanager
def held_open(port: int, greetings: list[bytes]) -> Iterator[None]:
    """A connection for each greeting, that says it and no more."""
    with ExitStack() as stack:
        for greeting in greetings:
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=WAIT))
            connection.sendall(greeting)
        yield


HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(190)  # TLS, of the client
BROKEN_FRAMES = [
    frame(kind, flags, stream, content)
    for kind in (*range(CONTINUATION + 1), 77)
    for flags, stream, content in ((0, 0, b""), (255, 1, b"\xff" * 7), (0, 2**31 - 1, b"\x00" * 300))
]


@either
@pytest.mark.parametrize(
    "greetings",
    [
        [b""] * 200,
        [PREFACE[:12]] * 200,  # and then never the rest
        [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"] * 100,
        [b"POST /interaction.v1.SlaveService/Ping HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\n\r\n"] * 50,
        [HELLO] * 100,
        [bytes(range(256)) * 400] * 50,
        [PREFACE + frame(SETTINGS) + broken for broken in BROKEN_FRAMES],
        [PREFACE + frame(SETTINGS) + frame(HEADERS, END_HEADERS, 1, bytes([number]) * 50) for number in range(256)],
        [PREFACE + frame(SETTINGS) + frame(GOAWAY, 0, 0, bytes(8) + b"so long")] * 100,
        [PREFACE + frame(SETTINGS) + (frame(GOAWAY, 0, 0, b"\x7f\xff\xff\xff\x00\x00\x00\x0bcalm")) * 50] * 20,
        [PREFACE + frame(SETTINGS, 0, 0, b"\x00\x03\x00\x00\x00\x00") * 1000] * 10,
        [PREFACE + frame(SETTINGS) + frame(PING, 0, 0, bytes(8)) * 5000] * 10,
    ],
    ids=lambda greetings: f"{len(greetings)} of {greetings[0][:40]!r}",
)
def test_greetings_of_any_kind_disturb_nobody(pair: Pair, role: str, greetings: list[bytes]) -> None:
    with held_open(pair.peer(role).port, greetings):
        pair.works()
    pair.assert_unharmed(64)


@either
def test_streams_that_are_opened_and_cancelled_at_once_cost_nothing_that_lasts(pair: Pair, role: str) -> None:
    block = fields([*call_fields(guarded(role)), CHANNEL, TOKEN])
    with Connection(pair.peer(role).port) as connection:
        for first in range(0, 10_000, 100):
            streams = range(2 * first + 1, 2 * first + 201, 2)
            try:
                connection.send(
                    b"".join(
                        frame(HEADERS, END_HEADERS, stream, block) + frame(RST_STREAM, 0, stream, CANCEL)
                        for stream in streams
                    )
                )
            except OSError:
                break  # the server has had enough of it, which is its right
        pair.works()
    pair.assert_unharmed(192)


@either
def test_streams_that_stay_open_are_limited(pair: Pair, role: str) -> None:
    with Connection(pair.peer(role).port) as connection:
        for stream in range(1, 20_001, 2):
            connection.open(stream, WATCH)
            connection.send(frame(DATA, END_STREAM, stream, message(b"")))
        connection.until_ping()
        pair.works()
    pair.assert_unharmed(64)


@either
def test_a_client_that_never_reads_is_not_written_to_for_ever(pair: Pair, role: str) -> None:
    """Its window is closed from the start: no answer can be sent."""
    ping = PATHS[role] + "Ping"
    with Connection(pair.peer(role).port) as connection:
        connection.send(frame(SETTINGS, 0, 0, b"\x00\x04\x00\x00\x00\x00"))  # INITIAL_WINDOW_SIZE 0
        for stream in range(1, 4_001, 2):
            connection.open(stream, ping)
            connection.send(frame(DATA, END_STREAM, stream, message(b"")))
        pair.works()
    pair.assert_unharmed(96)


@either
@pytest.mark.parametrize("kind", ["large", "many", "continued"])
def test_metadata_without_end_are_not_kept(pair: Pair, role: str, kind: str) -> None:
    port = pair.peer(role).port
    for _ in range(20):
        with Connection(port) as connection:
            try:
                if kind == "large":
                    connection.open(1, guarded(role), CHANNEL, (b"token", b"t" * 15_000))
                    connection.data(1, message(b""))
                    connection.until_end_of(1)
                elif kind == "many":
                    for stream in range(1, 21, 2):
                        connection.open(stream, guarded(role), *((b"x-%d" % n, b"y" * 50) for n in range(200)))
                    connection.until_ping()
                else:
                    connection.open(1, guarded(role), flags=0)
                    for _ in range(2_000):
                        connection.send(frame(CONTINUATION, 0, 1, fields([(b"x", b"y" * 8_000)])))
            except (OSError, EOFError):
                pass  # cut off
    pair.works()
    pair.assert_unharmed(192)  # 320 MB were sent in vain, in pieces that fragment the heap; more of it adds nothing


@either
def test_a_message_that_unpacks_to_more_than_may_be_read_is_not_unpacked(
    make_pair: Callable[..., Pair], role: str
) -> None:
    pair = make_pair(str(MIB))
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(bytes(MIB)) for _ in range(512)) + packer.flush()
    assert len(bomb) < MIB
    for path in (guarded(role), PATHS[role] + "Ping", "/grpc.health.v1.Health/Check"):
        with Connection(pair.peer(role).port) as connection:
            connection.open(1, path, CHANNEL, TOKEN, (b"grpc-encoding", b"gzip"))
            connection.data(1, message(bomb, compressed=True))
            connection.until_end_of(1)
    pair.assert_unharmed(64)


@pytest.mark.timeout(120)
def test_a_thousand_connects_at_once_open_no_session_beside_the_living_one(pair: Pair) -> None:
    request = ConnectRequest(master_address="127.0.0.1:1", lease=duration_of(10))
    path = PATHS["slave"] + "Connect"
    with ExitStack() as stack:
        calls = []
        for _ in range(10):
            channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{pair.slave.port}", NO_PROXY))
            connect = channel.unary_unary(path, ConnectRequest.SerializeToString, bytes)
            calls += [connect.future(request, metadata=metadata_of(new_token()), timeout=60) for _ in range(100)]
        codes = {call.code() for call in calls}
    assert codes == {grpc.StatusCode.FAILED_PRECONDITION}
    pair.assert_unharmed(96)


@either
def test_a_slow_client_that_sends_byte_by_byte_holds_nobody_up(pair: Pair, role: str) -> None:
    words = (
        PREFACE
        + frame(SETTINGS)
        + frame(HEADERS, END_HEADERS, 1, fields([*call_fields(guarded(role)), CHANNEL, TOKEN]))
    )
    with ExitStack() as stack:
        slow = [
            stack.enter_context(socket.create_connection(("127.0.0.1", pair.peer(role).port), timeout=WAIT))
            for _ in range(100)
        ]
        for position in range(40):
            for connection in slow:
                connection.sendall(words[position : position + 1])
        pair.works()
    pair.assert_unharmed(64)
