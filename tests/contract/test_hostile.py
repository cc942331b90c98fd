"""Peers that are broken, or mean harm: a clean status, nothing changed, and the process goes on."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TypeAlias

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interaction import Master, SlaveConnectionProxy
from interaction.v1 import master_service_pb2, slave_service_pb2, task_pb2
from interaction.v1.payload_pb2 import Payload
from tests.contract.conftest import Worker
from tests.contract.scripted_slave import Beats, ScriptedSlave, completed, started
from tests.contract.slave_programs import WAIT
from tests.contract.wire import CHANNEL_GIVEN, NO_PROXY, metadata_of, new_id, new_token
from tests.hostile.http2 import WINDOW_UPDATE, Connection, frame, message

SLAVE, MASTER = "/interaction.v1.SlaveService/", "/interaction.v1.MasterService/"
UNARY = [
    *(SLAVE + method for method in ("Ping", "Connect", "Disconnect", "NewTask", "CancelTask")),
    *(MASTER + method for method in ("Ping", "ReportResult")),
]
Call: TypeAlias = "grpc.UnaryUnaryMultiCallable[bytes, bytes]"  # generic for the type checker alone


@pytest.fixture
def channels(slave: Worker, master: Master) -> Iterator[dict[str, grpc.Channel]]:
    with (
        grpc.insecure_channel(f"127.0.0.1:{slave.port}", NO_PROXY) as to_slave,
        grpc.insecure_channel(f"127.0.0.1:{master.port}", NO_PROXY) as to_master,
    ):
        yield {SLAVE: to_slave, MASTER: to_master}


def raw(channels: dict[str, grpc.Channel], path: str) -> Call:
    """A call that sends bytes as they are."""
    channel = channels[SLAVE if path.startswith(SLAVE) else MASTER]
    return channel.unary_unary(path, request_serializer=bytes, response_deserializer=bytes)


def ends_cleanly(call: Call, content: bytes, *metadata: tuple[str, str | bytes]) -> grpc.StatusCode:
    """Make the call. Whatever its end, it says nothing of the inside."""
    ended = call.future(content, metadata=metadata, timeout=WAIT)
    code, details = ended.code(), ended.details() or ""
    assert "Traceback" not in details
    assert 'File "' not in details
    return code


def assert_alive(master: Master, slave: Worker) -> None:
    with master.new_connection("alive", "127.0.0.1", slave.port) as connection:
        assert connection.new_task({"a": 1, "b": 2}).start().join(WAIT).result == {"sum": 3}


VALID = [
    slave_service_pb2.ConnectRequest(master_address="127.0.0.1:1", data=Payload(json="{}")).SerializeToString(),
    slave_service_pb2.NewTaskRequest(task=task_pb2.Task(id=new_id(), data=Payload(json="{}"))).SerializeToString(),
    master_service_pb2.ReportResultRequest(result=completed(new_id())).SerializeToString(),
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Bytes of any kind, or a message with a part of it replaced."""
    if draw(st.booleans()):
        return draw(st.binary(max_size=200))
    content = bytearray(draw(st.sampled_from(VALID)))
    start = draw(st.integers(0, len(content)))
    content[start : start + draw(st.integers(0, 8))] = draw(st.binary(max_size=8))
    return bytes(content)


@pytest.mark.parametrize("path", UNARY, ids=lambda path: path.rpartition(".")[2])
def test_whatever_is_sent_gets_a_clean_status(
    channels: dict[str, grpc.Channel], master: Master, slave: Worker, path: str
) -> None:
    call = raw(channels, path)

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(damaged(), st.sampled_from([(), metadata_of("t" * 43)]))
    def send(content: bytes, metadata: tuple[tuple[str, str], ...]) -> None:
        code = ends_cleanly(call, content, *metadata)
        assert code not in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL)

    send()
    assert slave.ran == []


@pytest.mark.parametrize("path", UNARY, ids=lambda path: path.rpartition(".")[2])
@pytest.mark.parametrize(
    "metadata",
    [
        (CHANNEL_GIVEN, ("token", "x" * 300_000)),
        (CHANNEL_GIVEN, *((f"flood-{number}", "x" * 1000) for number in range(300))),
        (CHANNEL_GIVEN, ("token", new_token()), ("token-bin", b"\x00\xff")),
        (CHANNEL_GIVEN, *(("token", new_token()) for _ in range(50))),
    ],
    ids=["long", "many", "binary", "repeated"],
)
def test_a_flood_of_metadata_gets_a_clean_status(
    channels: dict[str, grpc.Channel],
    master: Master,
    slave: Worker,
    path: str,
    metadata: tuple[tuple[str, str | bytes], ...],
) -> None:
    code = ends_cleanly(raw(channels, path), b"", *metadata)
    assert code is grpc.StatusCode.OK or code not in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED)
    assert_alive(master, slave)


@pytest.mark.parametrize(
    "greeting",
    [b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x00" * 64, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ids=["nothing", "HTTP/1.1", "zeros", "HTTP/2"],
)
def test_connections_that_say_nothing_or_nonsense_disturb_nobody(
    master: Master, slave: Worker, greeting: bytes
) -> None:
    with ExitStack() as stack:
        for port in (master.port, slave.port):
            for _ in range(200):
                connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=WAIT))
                connection.sendall(greeting)
        assert_alive(master, slave)
    assert_alive(master, slave)


def test_a_peer_that_never_reads_is_not_read_for_ever(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, beats: Beats, slave: Worker, master: Master
) -> None:
    for sequence in range(2, 20_000):
        beats.send(sequence)
    assert_alive(master, slave)
    task = started(linked)
    scripted.report(completed(scripted.accepted_task()))
    assert task.join(WAIT).result == {}


def test_a_heartbeat_stream_that_is_opened_a_thousand_times_is_one_stream(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, beats: Beats
) -> None:
    streams = [beats]
    for sequence in range(2, 1_002):
        streams.append(scripted.heartbeat())
        assert streams[-1].beat(sequence) == sequence
    assert {stream.call.code() for stream in streams[:-1]} == {grpc.StatusCode.ABORTED}
    task = started(linked)
    scripted.report(completed(scripted.accepted_task()))
    assert task.join(WAIT).result == {}


@pytest.mark.timeout(120)
def test_thirty_thousand_beats_at_once_are_read_and_others_are_served(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, master: Master, slave: Worker
) -> None:
    request = master_service_pb2.HeartbeatRequest
    metadata = ((b"channel", b"7"), (b"token", scripted.token.encode()))
    with Connection(master.port) as connection:
        connection.open(1, MASTER + "Heartbeat", *metadata)
        for stream in (0, 1):
            connection.send(frame(WINDOW_UPDATE, 0, stream, (2**30).to_bytes(4, "big")))  # all answers are welcome
        for thousand in range(30):
            numbers = range(1_000 * thousand + 1, 1_000 * (thousand + 1) + 1)
            beats = b"".join(message(request(sequence=number).SerializeToString()) for number in numbers)
            connection.data(1, beats, end=False)
        connection.data(1, message(request(sequence=2**64 - 1).SerializeToString()), end=False)
        assert_alive(master, slave)
        assert linked.is_connected
        connection.data(1, message(b"\xff\xff"), end=False)  # at last, what is no beat
        connection.until_end_of(1)
