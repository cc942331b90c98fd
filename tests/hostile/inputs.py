"""What a broken or hostile peer might send: random in structure, then damaged."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any, cast

import grpc
import grpc.aio
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from interaction.rpc.reading import lenient
from interaction.v1.payload_pb2 import Payload

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
