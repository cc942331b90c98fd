"""Feeds every decoder with what a broken or hostile peer might send: random in structure, then damaged. One input can
be made again from its decoder's name, the seed and its number."""

from __future__ import annotations

import json
import random
import resource
import time
import zlib
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import grpc
import grpc.aio
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from interaction.address import parse_address
from interaction.core.model import ResultStatus
from interaction.core.token import is_token
from interaction.exception import PayloadError, RequestException, ResponseException
from interaction.rpc import convert, payload, work_stream
from interaction.rpc.guard import BY_MASTER, BY_SLAVE, Guard
from interaction.rpc.metadata import read_metadata
from interaction.rpc.reading import lenient, sentence
from interaction.rpc.slave_client import _read_held
from interaction.rpc.slave_server import SlaveServicer
from interaction.rpc.status import master_error, slave_error
from interaction.v1 import master_service_pb2, slave_service_pb2, task_pb2
from interaction.v1.payload_pb2 import Payload

MOST_SECONDS = 1.0  # of processor time for one input, which is a few KiB at most
MOST_GROWTH = 256  # MiB in a chunk of inputs

Metadata = list[tuple[str, str | bytes]]
TOKEN = "abcdefghijklmnopqrstuvwxyz0123456789_-ABCDE"
UUID = "00000000-0000-4000-8000-000000000001"
WORDS = [
    *("", "a", UUID, TOKEN, "7", "-7", "NaN", "Infinity", "-1f", "0x", "_", "1e999", "9" * 30, "9" * 4400),
    *("$", "$$", "$bytes", "$ndarray", "$number", "$integer", "$$bytes", "buffer", "dtype", "shape"),
    *("<f4", ">i2", "|b1", "<U0", "|S0", "<M8[0s]", "<M8[25s]", "O", "|V8", "<c16", "<f16", "<U999999999", "<m8"),
    *("localhost", "127.0.0.1", "::1", "[::1]", "[fe80::1%eth0]", "grpc://", "http://", "https://", "unix:", "@", "é"),
    *("\x00", "\n", "\x1b[0m", "\u202e", "\U0001f600", "TASK_REFUSED", "interaction", "__class__", "]", "%", "host:1"),
]
TOKENS = [b"[", b"{", b'{"a":', b'"', b"\\ud800", b"\\u0024", b"\x0b", b"\x0a\x7f"]
NUMBERS = [0, 1, 2, 3, 7, 127, 128, 255, 256, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**63, 2**64 - 1]


# What is made.


def text(chance: random.Random) -> str:
    pieces = [chance.choice(WORDS) for _ in range(chance.choice((1, 1, 1, 2, 3)))]
    if chance.random() < 0.2:
        pieces.append("".join(chr(chance.choice((chance.randrange(128), chance.randrange(0xD800)))) for _ in range(4)))
    return "".join(pieces)


def value(chance: random.Random, depth: int = 0) -> Any:
    """Data as JSON has it, with the forms that stand for bytes, arrays and numbers, rightly and wrongly used."""
    kind = chance.randrange(8 if depth < 5 else 5)
    if kind < 5:
        number = chance.choice(NUMBERS) * chance.choice((1, 1, -1))
        return (None, chance.random() < 0.5, number, chance.uniform(-9, 9) * 10 ** chance.randrange(300), text(chance))[
            kind
        ]
    if kind == 5:
        return [value(chance, depth + 1) for _ in range(chance.randrange(4))]
    if kind == 6:
        return {text(chance): value(chance, depth + 1) for _ in range(chance.randrange(4))}
    form: Any = {
        "buffer": chance.randrange(-1, 4),
        "dtype": text(chance),
        "shape": [chance.choice(NUMBERS[:9] + NUMBERS[-3:]) for _ in range(chance.randrange(4))],
    }
    if chance.random() < 0.3:
        form[chance.choice(list(form))] = value(chance, depth + 2)
    name = chance.choice(("$bytes", "$ndarray", "$number", "$integer", "$$x"))
    return {name: form if chance.random() < 0.6 else chance.choice((0, 1, -1, "NaN", "ff", "zz", None, 1.5))}


def damaged(chance: random.Random, content: bytes) -> bytes:
    """The content with a few pieces of it changed, doubled, moved or gone."""
    work = bytearray(content)
    for _ in range(chance.choice((0, 1, 1, 1, 2, 4))):
        start = chance.randrange(len(work) + 1)
        end = min(len(work), start + chance.choice((0, 1, 1, 2, 8, 64)))
        piece = (
            b"",
            bytes([chance.randrange(256)]),
            chance.randbytes(chance.randrange(9)),
            bytes(work[start:end]) * chance.choice((2, 3, 50)),
            chance.choice(WORDS).encode(),
            b"\xff" * chance.randrange(11),
            chance.choice(TOKENS) * chance.choice((1, 1, 300)),
        )[chance.randrange(7)]
        work[start:end] = piece
    return bytes(work[:65_536])


def message(chance: random.Random, kind: type[Message], depth: int = 0) -> Message:
    """A message with any of its fields set to anything."""
    made = kind()
    for field in made.DESCRIPTOR.fields:
        if chance.random() < 0.6 and depth < 8:
            fill(chance, made, cast(FieldDescriptor, field), depth)
    return made


def fill(chance: random.Random, made: Message, field: FieldDescriptor, depth: int) -> None:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return
    many = chance.choice((0, 1, 2, 5)) if field.is_repeated else 1
    for _ in range(many):
        if field.message_type is None:
            content = scalar(chance, field)
            if field.is_repeated:
                getattr(made, field.name).append(content)
            else:
                setattr(made, field.name, content)
            continue
        inner = getattr(made, field.name)
        part = message(chance, GetMessageClass(field.message_type), depth + 1)
        (inner.add() if field.is_repeated else inner).CopyFrom(part)


def scalar(chance: random.Random, field: FieldDescriptor) -> Any:
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        if field.type == FieldDescriptor.TYPE_BYTES:
            return chance.randbytes(chance.choice((0, 1, 8, 24)))
        return json.dumps(value(chance)) if field.name == "json" else text(chance)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return chance.random() < 0.5
    if field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE:
        return chance.choice((0.0, 1.5, float("nan"), float("inf"), -1e308, float(2**53)))
    bits = 64 if field.cpp_type in (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64) else 32
    signed = field.cpp_type not in (FieldDescriptor.CPPTYPE_UINT64, FieldDescriptor.CPPTYPE_UINT32)
    number = chance.choice(NUMBERS) % 2 ** (bits - signed)
    return -number if signed and chance.random() < 0.3 else number


def wire(kind: type[Message]) -> Callable[[random.Random], bytes]:
    return lambda chance: message(chance, kind).SerializeToString()


def json_text(chance: random.Random) -> bytes:
    return json.dumps(value(chance), ensure_ascii=chance.random() < 0.5).encode()


def json_payload(chance: random.Random, written: bytes) -> Payload:
    buffers = [chance.randbytes(chance.choice((0, 1, 4, 8, 24))) for _ in range(chance.randrange(3))]
    return Payload(json=damaged(chance, written).decode("utf-8", "replace"), buffers=buffers)


def metadata(chance: random.Random, nothing: bytes = b"") -> Metadata:
    made: Metadata = []
    for _ in range(chance.randrange(6)):
        key = chance.choice(("channel", "channel", "token", "token", "previous-token", "token-bin", "Channel", "x"))
        plain = damaged(chance, chance.choice((b"7", b"8", TOKEN.encode(), b"007", b"9" * 25, text(chance).encode())))
        made.append((key, plain if chance.random() < 0.2 else plain.decode("latin-1")))
    return made


def address(chance: random.Random, nothing: bytes) -> str:
    scheme = chance.choice(("", "", "grpc://", "http://", "https://", "ftp://", "//"))
    host = chance.choice(("localhost", "10.0.0.1", "[::1]", "[fe80::1%eth0]", "a.b-c.example", text(chance)))
    tail = chance.choice(("", ":1", ":7235", ":65536", ":-1", ":٣", "/", ":7/", "/x", "?q", "#f", ":7:7"))
    return damaged(chance, f"{scheme}{host}{tail}".encode()).decode("utf-8", "replace")


def details(chance: random.Random) -> bytes:
    """What may stand in grpc-status-details-bin."""
    status = cast(Status, message(chance, Status))
    if chance.random() < 0.8:
        status.code = grpc.StatusCode.PERMISSION_DENIED.value[0]
        for detail in status.details:
            inner: Message = (
                json_payload(chance, json_text(chance)) if chance.random() < 0.5 else message(chance, ErrorInfo)
            )
            if isinstance(inner, ErrorInfo) and chance.random() < 0.7:
                inner.domain, inner.reason = "interaction", chance.choice(("TASK_REFUSED", "SUCCESS", text(chance)))
            detail.type_url = "type.googleapis.com/" + inner.DESCRIPTOR.full_name
            detail.value = damaged(chance, inner.SerializeToString())
    content: bytes = status.SerializeToString()
    return content


def failure(chance: random.Random, details: bytes) -> grpc.aio.AioRpcError:
    """How a call failed, as a peer may have it fail."""
    trailers = [("grpc-status-details-bin", damaged(chance, details))]
    status = lenient(Status.FromString)(details)
    words = status.message if status is not None and chance.random() < 0.7 else text(chance)
    return grpc.aio.AioRpcError(
        grpc.StatusCode.PERMISSION_DENIED, grpc.aio.Metadata(), grpc.aio.Metadata(*trailers), details=words
    )


# What reads it. Whatever is raised is a crash.


class _Gatekeeper:
    closing = False

    def admit(self, method: str, token: str) -> None:
        assert is_token(token)


_GUARDS = [Guard("x", 7, refusals, _Gatekeeper()) for refusals in (BY_SLAVE, BY_MASTER)]


class _Context:
    def __init__(self, brought: Metadata) -> None:
        self._brought = brought

    def invocation_metadata(self) -> Metadata:
        return self._brought


def done(work: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine returns that has nothing to wait for."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits for something")


def read_payload(message: Payload) -> None:
    with suppress(PayloadError):
        payload.decode(message, "data")


def read_value(content: bytes) -> None:
    message = lenient(Payload.FromString)(content)
    if message is not None:
        read_payload(message)


def check_metadata(brought: Metadata) -> None:
    found = read_metadata(brought)
    for token in (found.token, found.previous_token):
        assert not token or is_token(token)
    for guard in _GUARDS:
        try:
            guard._check("NewTask", found)
        except ResponseException:
            continue
        assert found.channel is not None
        assert int(found.channel) == 7


def check_address(address: str) -> None:
    try:
        endpoint = parse_address(address, 7235)
    except ValueError:
        return
    assert 1 <= endpoint.port <= 65535
    assert parse_address(str(endpoint), 1) == endpoint
    assert endpoint.target.startswith(("dns:///", "ipv4:", "ipv6:"))


def read_messages(content: bytes) -> None:
    for kind in _MESSAGES:
        lenient(kind.FromString)(content)


_MESSAGES: list[type[Message]] = [
    *(slave_service_pb2.ConnectRequest, slave_service_pb2.DisconnectRequest, slave_service_pb2.NewTaskRequest),
    *(slave_service_pb2.WorkRequest, slave_service_pb2.CancelTaskRequest, slave_service_pb2.ConnectResponse),
    *(master_service_pb2.HeartbeatRequest, master_service_pb2.HeartbeatResponse),
    *(master_service_pb2.ReportResultRequest, slave_service_pb2.WorkResponse),
]


def read_result(content: bytes) -> None:
    message = lenient(task_pb2.TaskResult.FromString)(content)
    if message is None or message.status not in {status.value for status in ResultStatus}:
        return
    try:
        result = convert.read_result(message)
    except PayloadError:
        return
    assert isinstance(result.status, ResultStatus)


def read_task(content: bytes) -> None:
    message = lenient(slave_service_pb2.NewTaskRequest.FromString)(content)
    if message is None:
        return
    try:
        offer = work_stream.read_task(message.task, message.incarnation)
    except ResponseException:
        return
    assert len(offer.task_id) == 36
    assert isinstance(offer.data, dict)


def read_offer(made: tuple[bytes, Metadata]) -> None:
    content, brought = made
    message = lenient(slave_service_pb2.ConnectRequest.FromString)(content)
    if message is None:
        return
    try:
        offer, _ = done(
            SlaveServicer(cast(Any, None), 1, fast_road=True)._read_offer(message, cast(Any, _Context(brought)))
        )
    except ResponseException:
        return
    assert convert.MIN_LEASE <= offer.lease <= convert.MAX_LEASE
    assert offer.max_message_bytes > 0


def read_failure(error: grpc.aio.AioRpcError) -> None:
    for translate in (slave_error, master_error):
        raised = translate(error, "the peer", TOKEN)
        assert isinstance(raised, (ResponseException, RequestException))
        told = raised.message if isinstance(raised, ResponseException) else str(raised)
        assert told.isprintable()
        assert TOKEN not in told


def read_answer(content: bytes) -> None:
    message = lenient(slave_service_pb2.ConnectResponse.FromString)(content)
    if message is not None:
        assert all(len(held.task_id) == 36 for held in _read_held(message.held))


def read_beat(content: bytes) -> None:
    message = lenient(master_service_pb2.HeartbeatResponse.FromString)(content)
    if message is not None:
        lease = convert.read_lease(message.lease)
        assert lease is None or convert.MIN_LEASE <= lease <= convert.MAX_LEASE
        assert sentence(message.closing.reason).isprintable()


@dataclass(frozen=True)
class Decoder:
    """How the structure of an input is made, how an input is made of it, and what reads that."""

    structure: Callable[[random.Random], bytes]
    vary: Callable[[random.Random, bytes], Any]
    read: Callable[[Any], None]


def none(_: random.Random) -> bytes:
    return b""


DECODERS: dict[str, Decoder] = {
    "json": Decoder(json_text, json_payload, read_payload),
    "value": Decoder(wire(Payload), damaged, read_value),
    "metadata": Decoder(none, metadata, check_metadata),
    "address": Decoder(none, address, check_address),
    "messages": Decoder(lambda chance: wire(chance.choice(_MESSAGES))(chance), damaged, read_messages),
    "result": Decoder(wire(task_pb2.TaskResult), damaged, read_result),
    "task": Decoder(wire(slave_service_pb2.NewTaskRequest), damaged, read_task),
    "offer": Decoder(
        wire(slave_service_pb2.ConnectRequest),
        lambda chance, content: (damaged(chance, content), metadata(chance)),
        read_offer,
    ),
    "status": Decoder(details, failure, read_failure),
    "answer": Decoder(wire(slave_service_pb2.ConnectResponse), damaged, read_answer),
    "beat": Decoder(wire(master_service_pb2.HeartbeatResponse), damaged, read_beat),
}
VARIANTS = 10  # inputs of one structure: to make it takes far longer than to damage it


@dataclass(frozen=True)
class Crash:
    """An input at which a decoder did something else than its documented error."""

    decoder: str
    seed: int
    number: int
    problem: str


def chance_of(name: str, seed: int, number: int) -> random.Random:
    return random.Random((zlib.crc32(name.encode()) << 96) + (seed << 64) + number)


@lru_cache(1)
def structure(name: str, seed: int, number: int) -> bytes:
    return DECODERS[name].structure(chance_of(f"structure of {name}", seed, number))


def made(name: str, seed: int, number: int) -> Any:
    """An input."""
    return DECODERS[name].vary(chance_of(name, seed, number), structure(name, seed, number // VARIANTS))


def tried(name: str, seed: int, numbers: range) -> list[Crash]:
    """Feed a decoder with these inputs."""
    crashes, read = [], DECODERS[name].read
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in numbers:
        content = made(name, seed, number)
        began = time.process_time()
        try:
            read(content)
        except Exception as error:  # noqa: BLE001 - any is what is looked for
            crashes.append(Crash(name, seed, number, f"{type(error).__name__}: {error}"[:300]))
        seconds = time.process_time() - began
        if seconds > MOST_SECONDS:
            crashes.append(Crash(name, seed, number, f"took {seconds:.1f} s"))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    if grown > MOST_GROWTH:
        crashes.append(Crash(name, seed, numbers.start, f"these {len(numbers)} inputs took {grown:.0f} MiB"))
    return crashes
