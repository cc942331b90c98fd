"""Malformed messages of every kind, on every call: a clean status, no traceback in a log, nothing changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TypeAlias

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Value

from interaction.v1.master_service_pb2 import ReportResultRequest
from interaction.v1.payload_pb2 import Payload
from interaction.v1.slave_service_pb2 import ConnectRequest, NewTaskRequest, WorkRequest
from interaction.v1.task_pb2 import Task, TaskResult
from tests.contract.scripted_slave import completed
from tests.contract.slave_programs import WAIT
from tests.contract.wire import NO_PROXY, metadata_of, new_id, new_token
from tests.hostile.conftest import MIB, Pair
from tests.hostile.http2 import Connection, message

SLAVE, MASTER = "/interaction.v1.SlaveService/", "/interaction.v1.MasterService/"
HEALTH, REFLECTION = "/grpc.health.v1.Health/", "/grpc.reflection.v1alpha.ServerReflection/"
UNARY = [
    *(("slave", SLAVE + method) for method in ("Ping", "Connect", "Disconnect", "NewTask", "CancelTask")),
    *(("master", MASTER + method) for method in ("Ping", "ReportResult")),
    *((role, HEALTH + "Check") for role in ("slave", "master")),
]
STREAMS = [
    ("slave", SLAVE + "Work"),
    ("master", MASTER + "Heartbeat"),
    *((role, HEALTH + "Watch") for role in ("slave", "master")),
    *((role, REFLECTION + "ServerReflectionInfo") for role in ("slave", "master")),
]
INTERNALS = ("Traceback", "File ", "Error", "Exception", ".py", "google.protobuf")
each_call = pytest.mark.parametrize(("role", "path"), [*UNARY, *STREAMS])
Call: TypeAlias = "grpc.UnaryUnaryMultiCallable[bytes, bytes]"  # generic for the type checker alone
Raw: TypeAlias = Callable[[str, str, bytes], tuple[grpc.StatusCode, str]]


@pytest.fixture
def raw(pair: Pair) -> Iterator[Raw]:
    """Send bytes to a method, with metadata in good form and a token that nobody has."""
    with (
        grpc.insecure_channel(f"127.0.0.1:{pair.slave.port}", NO_PROXY) as to_slave,
        grpc.insecure_channel(f"127.0.0.1:{pair.master.port}", NO_PROXY) as to_master,
    ):
        channels = {"slave": to_slave, "master": to_master}

        def send(role: str, path: str, content: bytes) -> tuple[grpc.StatusCode, str]:
            call = channels[role].stream_stream(path, bytes, bytes)  # on the wire a unary call is one, too
            answers = call(iter([content]), metadata=metadata_of(new_token()), timeout=WAIT)
            return ended(answers), answers.details() or ""

        yield send


def ended(answers: Iterator[bytes]) -> grpc.StatusCode:
    """How a call ends that is given up after its first answer."""
    assert isinstance(answers, grpc.Call)
    with suppress(grpc.RpcError):
        next(answers, None)
        answers.cancel()
    code: grpc.StatusCode = answers.code()
    return code


def varint(number: int) -> bytes:
    written = bytearray()
    while number >= 128:
        written.append(number % 128 + 128)
        number >>= 7
    return bytes([*written, number])


def nested(levels: int, field: int = 1) -> bytes:
    """A message in a message in a message."""
    content = b""
    for _ in range(levels):
        content = bytes([field << 3 | 2]) + varint(len(content)) + content
    return content


def deep_value(levels: int) -> bytes:
    """A list in a list in a list, as google.protobuf.Value."""
    content = b""
    for _ in range(levels):
        content = b"\x0a" + varint(len(content)) + content
        content = b"\x32" + varint(len(content)) + content
    return b"\x1a" + varint(len(content) + 1 + len(varint(len(content)))) + b"\x12" + varint(len(content)) + content


CORRUPT = [
    b"\xff" * 3,
    b"\x0a",  # a field of bytes, and then nothing
    b"\x0a\x7fshort",
    b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # of 2^64 - 1 bytes
    b"\x08",  # a number, and then nothing
    b"\x08" + b"\xff" * 11,  # a number of too many bytes
    b"\x00",  # field 0
    b"\x0b" * 200,  # groups that nobody closes
    b"\x0c",  # the end of a group that nobody opened
    b"\x0e\x0f",  # wire types that there are none of
]


@each_call
def test_what_is_no_message_is_refused_without_a_word_of_the_inside(pair: Pair, raw: Raw, role: str, path: str) -> None:
    for content in CORRUPT:
        code, details = raw(role, path, content)
        assert code in (
            grpc.StatusCode.INVALID_ARGUMENT,  # REQUEST_INVALID
            grpc.StatusCode.PERMISSION_DENIED,  # the token was looked at first
            grpc.StatusCode.FAILED_PRECONDITION,  # and, for a Connect, that there is a session
            grpc.StatusCode.UNIMPLEMENTED,  # Work, CancelTask
            *([grpc.StatusCode.OK, grpc.StatusCode.CANCELLED] if path.endswith("/Ping") else []),  # it reads nothing
        ), content
        assert not any(word in details for word in INTERNALS), details
    pair.assert_unharmed(32)


@each_call
def test_strange_but_well_formed_messages_get_a_clean_status(pair: Pair, raw: Raw, role: str, path: str) -> None:
    strange = [
        b"",
        nested(90),
        nested(20_000),
        deep_value(40),
        deep_value(5_000),
        b"\xfa\xff\xff\xff\x0f\x05bytes" * 1_000,  # the largest field that there is, unknown
        b"".join(varint(number << 3) + b"\x01" for number in range(20, 2_000)),
        b"\x0a\x04\xff\xfe\xc0\x80",  # a string that is no UTF-8
        b"\x08\x01\x0d\x00\x00\x00\x00\x09" + bytes(8),  # wire types that the fields do not have
        b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" * 100,
    ]
    for content in strange:
        code, details = raw(role, path, content)
        assert code not in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.DEADLINE_EXCEEDED)
        assert not any(word in (details or "") for word in INTERNALS), details
    pair.assert_unharmed(32)


def test_one_byte_more_than_the_limit_is_refused(make_pair: Callable[..., Pair]) -> None:
    pair = make_pair(str(MIB))
    filler = b"\x7a" + varint(MIB - 4) + bytes(MIB - 4)  # field 15, which is unknown
    assert len(filler) == MIB
    for role, path in [*UNARY, *STREAMS]:
        if path.endswith("/Ping") or path.startswith((HEALTH, REFLECTION)):
            continue  # these have a smaller one
        mine = path in (SLAVE + "NewTask", SLAVE + "CancelTask", MASTER + "ReportResult")
        metadata = metadata_of(pair.token() if mine else new_token())
        with grpc.insecure_channel(f"127.0.0.1:{pair.peer(role).port}", NO_PROXY) as channel:
            fits, too_long = (
                ended(channel.stream_stream(path, bytes, bytes)(iter([content]), metadata=metadata, timeout=WAIT))
                for content in (filler, filler + b"x")
            )
        assert fits is not grpc.StatusCode.RESOURCE_EXHAUSTED, path
        # What is refused for its token is so before its message has come.
        early = [grpc.StatusCode.PERMISSION_DENIED] if path in (SLAVE + "Disconnect", SLAVE + "Work") else []
        early += [grpc.StatusCode.PERMISSION_DENIED] if path == MASTER + "Heartbeat" else []
        early += [grpc.StatusCode.FAILED_PRECONDITION] if path == SLAVE + "Connect" else []
        assert too_long in (grpc.StatusCode.RESOURCE_EXHAUSTED, *early), path
    pair.assert_unharmed(64)


@pytest.mark.parametrize("role", ["master", "slave"])
def test_metadata_that_are_no_text_leave_no_trace_in_the_log(pair: Pair, role: str) -> None:
    path = SLAVE + "NewTask" if role == "slave" else MASTER + "ReportResult"
    canary = b"CANARY" * 7
    with Connection(pair.peer(role).port) as connection:
        for stream, value in enumerate((canary + b"\xff", b"\xc3\x28" + canary, "tökén".encode() + canary, b"\x80"), 1):
            connection.open(2 * stream - 1, path, (b"channel", b"7"), (b"token", value))
            connection.data(2 * stream - 1, message(b""))
            connection.until_end_of(2 * stream - 1)
    pair.assert_unharmed(32)
    assert "CANARY" not in pair.peer(role).log()


IDS = ["", "x", "0" * 36, new_id().upper(), "{" + new_id() + "}", new_id() + "\0", new_id()[:-1] + "é", "9" * 100_000]


@pytest.mark.timeout(120)
def test_malformed_fields_change_nothing_in_a_living_session(pair: Pair) -> None:
    """With the session's own token: what a broken master or slave might send."""
    token = pair.token()
    tasks = [NewTaskRequest(task=Task(id=one)) for one in IDS]
    tasks += [
        NewTaskRequest(task=Task(id=new_id(), data=data))
        for data in (
            Payload(json="[" * 100_000),
            Payload(json=""),
            Payload(json='{"a": {"$bytes": 0}}'),
            Payload(value=Value(number_value=float("nan"))),
        )
    ]
    tasks.append(NewTaskRequest(task=Task(id=new_id()), incarnation="x" * 100_000))
    results = [ReportResultRequest(result=completed(one)) for one in IDS]
    results += [
        ReportResultRequest(result=TaskResult(task_id=new_id(), status=status))  # type: ignore[arg-type]
        for status in (0, 99, -1, 2**31 - 1)
    ]
    with (
        grpc.insecure_channel(f"127.0.0.1:{pair.slave.port}", NO_PROXY) as to_slave,
        grpc.insecure_channel(f"127.0.0.1:{pair.master.port}", NO_PROXY) as to_master,
    ):
        for channel, path, requests in (
            (to_slave, SLAVE + "NewTask", tasks),
            (to_master, MASTER + "ReportResult", results),
        ):
            call: Call = channel.unary_unary(path, bytes, bytes)
            for request in requests:
                ended = call.future(request.SerializeToString(), metadata=metadata_of(token), timeout=WAIT)
                assert ended.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION)
                assert len(ended.details()) < 1_000
    pair.assert_unharmed(64)


@pytest.mark.parametrize(
    "lease",
    [
        Duration(),
        Duration(seconds=-5),
        Duration(nanos=99_999_999),
        Duration(seconds=86_400, nanos=1),
        Duration(seconds=10**18),
        Duration(seconds=-(2**63)),
        Duration(seconds=2**63 - 1, nanos=2**31 - 1),
        Duration(seconds=10, nanos=-1),
        Duration(seconds=10, nanos=10**9),
        Duration(seconds=-1, nanos=2**31 - 1),
    ],
    ids=lambda lease: f"{lease.seconds} s {lease.nanos} ns",
)
def test_a_lease_that_is_none_is_refused(free_slave: int, lease: Duration) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{free_slave}", NO_PROXY) as channel:
        call = channel.unary_unary(SLAVE + "Connect", ConnectRequest.SerializeToString, bytes)
        request = ConnectRequest(master_address="127.0.0.1:1", lease=lease)
        ended = call.future(request, metadata=metadata_of(new_token()), timeout=WAIT)
        assert ended.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "lease" in ended.details()


def test_a_million_acknowledgements_on_a_stream_that_is_not_served_are_refused(pair: Pair, raw: Raw) -> None:
    request = WorkRequest(acknowledged=[new_id()] * 1_000_000)
    code, _ = raw("slave", SLAVE + "Work", request.SerializeToString())
    assert code is grpc.StatusCode.PERMISSION_DENIED
    pair.assert_unharmed(160)


@pytest.mark.parametrize("role", ["master", "slave"])
def test_reflection_is_asked_for_nonsense(pair: Pair, raw: Raw, role: str) -> None:
    nonsense = [bytes([field << 3 | 2, 5]) + b"a/b.c" for field in (1, 3, 4, 5, 6, 7)]
    nonsense += [b"\x2a\x0a\x0a\x05a.b.c\x10\xff\xff\x7f"[:12], b"\x22\x00", b"\x1a\x00", b"\x32\x00", b"\x3a\x00"]
    for content in nonsense:
        code, details = raw(role, REFLECTION + "ServerReflectionInfo", content)
        assert code in (grpc.StatusCode.CANCELLED, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OK), content
        assert not any(word in (details or "") for word in INTERNALS), details
    pair.assert_unharmed(32)


@pytest.mark.parametrize("role", ["master", "slave"])
def test_calls_that_end_in_the_middle_of_a_message_disturb_nobody(pair: Pair, role: str) -> None:
    path = SLAVE + "Connect" if role == "slave" else MASTER + "Heartbeat"
    broken = (b"", b"\x00", b"\x00\x00\x00\x00\x09abc", b"\x07\x00\x00\x00\x00", b"\xff" * 9)
    with Connection(pair.peer(role).port) as connection:
        for number in range(1, 1_001, 2):
            connection.open(number, path, (b"channel", b"7"), (b"token", b"t" * 43))
            connection.data(number, broken[number // 2 % len(broken)])
        connection.until_ping()  # a unary call without a message gets no answer from gRPC: its deadline ends it
        pair.works()
    pair.assert_unharmed(32)
