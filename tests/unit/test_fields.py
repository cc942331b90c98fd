"""Messages of very many fields, or of texts that are too long, are not given to protobuf as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import Message

from interaction.config import MAX_JSON_BYTES
from interaction.exception import PayloadTooLarge
from interaction.rpc import payload
from interaction.rpc.fields import MOST_FIELDS, bounded
from interaction.rpc.reading import lenient
from interaction.v1 import master_service_pb2, payload_pb2, slave_service_pb2, task_pb2

MIB = 1 << 20
ID = "f" * 36
LONG = MAX_JSON_BYTES + 1


def varint(number: int) -> bytes:
    written = bytearray()
    while number >= 128:
        written.append(number % 128 + 128)
        number >>= 7
    return bytes([*written, number])


def within(*numbers: int, content: bytes) -> bytes:
    """The content, in fields in fields of these numbers."""
    for number in reversed(numbers):
        content = bytes([number << 3 | 2]) + varint(len(content)) + content
    return content


def parsed(kind: type[Message], content: bytes) -> Message | None:
    return lenient(kind.FromString)(content)


BOMBS: dict[str, tuple[Any, Callable[[int], bytes]]] = {
    "tasks": (slave_service_pb2.WorkRequest, lambda n: b"\x0a\x00" * n),
    "acknowledged": (slave_service_pb2.WorkRequest, lambda n: b"\x12\x00" * n),
    "outcomes": (slave_service_pb2.WorkResponse, lambda n: b"\x0a\x00" * n),
    "values": (slave_service_pb2.NewTaskRequest, lambda n: within(1, 2, 2, 6, content=b"\x0a\x00" * n)),
    "fields of a value": (
        slave_service_pb2.NewTaskRequest,
        lambda n: within(1, 2, 2, 5, content=b"".join(within(1, 1, content=b"%x" % key) for key in range(n // 2))),
    ),
    "buffers": (master_service_pb2.ReportResultRequest, lambda n: within(1, 3, content=b"\x1a\x00" * n)),
    "labels": (
        slave_service_pb2.ConnectResponse,
        lambda n: b"".join(within(5, 1, content=b"%x" % key) for key in range(n // 2)),
    ),
    "begun": (master_service_pb2.HeartbeatRequest, lambda n: within(3, content=b"\x1a\x00" * n)),
    "unknown": (slave_service_pb2.ConnectRequest, lambda n: b"\x7a\x00" * n),
    "groups": (slave_service_pb2.ConnectRequest, lambda n: b"\x7b\x7c" * n),
    "numbers": (slave_service_pb2.ConnectRequest, lambda n: b"\x28\x01" * n),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_message_of_very_many_fields_is_not_parsed(name: str) -> None:
    """64 MiB of two bytes each took 1.3 GiB before anybody had looked at them."""
    kind, of = BOMBS[name]
    assert parsed(kind, of(800_000)) is None
    assert bounded(of(800_000), kind.DESCRIPTOR) is None
    assert parsed(kind, of(MOST_FIELDS // 2)) is not None


def test_a_value_below_1_mib_is_counted() -> None:
    """A list of `{"": null}` takes 540 bytes for each six that came."""
    unit = within(1, 5, content=b"\x0a\x00")

    def of(size: int) -> bytes:
        return within(1, 2, 2, 6, content=unit * (size // len(unit)))

    assert parsed(slave_service_pb2.NewTaskRequest, of(MIB - 100)) is None
    assert parsed(slave_service_pb2.NewTaskRequest, of(500_000)) is not None


def test_fields_are_counted_to_the_last() -> None:
    def read(fields: int) -> Message | None:
        # of 8 bytes each, so that it is looked at
        return parsed(slave_service_pb2.WorkRequest, within(2, content=b"123456") * fields)

    assert read(MOST_FIELDS) is not None
    assert read(MOST_FIELDS + 1) is None


def test_what_is_large_passes_as_it_is() -> None:
    request = slave_service_pb2.NewTaskRequest()
    request.task.id = ID
    request.task.data.json = '{"a":{"$bytes":0},"b":"' + "x" * (MAX_JSON_BYTES - 30) + '"}'
    request.task.data.buffers.extend([bytes(20 * MIB), b"x" * 100])
    content = request.SerializeToString()
    assert bounded(content, request.DESCRIPTOR) is content
    assert parsed(slave_service_pb2.NewTaskRequest, content) == request


@pytest.mark.parametrize("letter", ["x", "🙂"])
def test_of_a_payload_whose_text_is_too_long_the_rest_is_read(letter: str) -> None:
    """Such a text takes four times its bytes as soon as it is looked at."""
    text = '"' + letter * (LONG // len(letter.encode())) + '"'
    request = master_service_pb2.ReportResultRequest()
    request.result.task_id, request.result.status = ID, task_pb2.TASK_RESULT_STATUS_COMPLETED
    request.result.result.json = text
    request.result.result.buffers.append(b"buffer")
    read = parsed(master_service_pb2.ReportResultRequest, request.SerializeToString())
    assert isinstance(read, master_service_pb2.ReportResultRequest)
    assert (read.result.task_id, read.result.status) == (ID, 1)
    assert list(read.result.result.buffers) == [b"buffer"]
    with pytest.raises(PayloadTooLarge, match="go in buffers") as caught:
        payload.decode(read.result.result, "result")
    assert caught.value.size == len(text.encode())


def test_one_text_that_is_too_long_hinders_no_other_task() -> None:
    good, bad = payload_pb2.Payload(json='{"a":1}'), payload_pb2.Payload(json=" " * LONG)
    value = payload_pb2.Payload()
    value.value.struct_value.fields["x"].string_value = "x" * LONG
    tasks = [task_pb2.Task(id=ID, data=data) for data in (good, bad, good, value, good)]
    read = parsed(
        slave_service_pb2.WorkRequest,
        slave_service_pb2.WorkRequest(tasks=tasks, acknowledged=[ID], incarnation="a" * 32).SerializeToString(),
    )
    assert isinstance(read, slave_service_pb2.WorkRequest)
    assert (list(read.acknowledged), read.incarnation) == ([ID], "a" * 32)
    for task, data in zip(read.tasks, (good, bad, good, value, good), strict=True):
        assert task.id == ID
        if data is good:
            assert payload.decode(task.data, "data") == {"a": 1}
        else:
            with pytest.raises(PayloadTooLarge):
                payload.decode(task.data, "data")


def test_other_texts_are_cut() -> None:
    request = slave_service_pb2.NewTaskRequest(incarnation="é" * LONG)
    request.task.id = "🙂" * LONG
    request.task.data.json = "{}"
    read = parsed(slave_service_pb2.NewTaskRequest, request.SerializeToString())
    assert isinstance(read, slave_service_pb2.NewTaskRequest)
    assert 0 < len(read.incarnation) < 5000
    assert 0 < len(read.task.id) < 5000
    assert read.task.data.json == "{}"


@pytest.mark.parametrize(
    "content",
    [
        b"\xff" * 2 * MIB,
        b"\x0a" * (2 * MIB + 1),
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" + bytes(2 * MIB),
        within(1, 2, content=bytes(2 * MIB))[:-5],
        within(1, content=b"\x0a\xff\x7f") + bytes(2 * MIB),
        b"\x0e\x0f" + bytes(2 * MIB),
        within(1, 2, 2, 6, 1, 6, 1, 6, 1, content=b"\x0b" * 100) * 20_000,
    ],
    ids=range(7),
)
def test_what_is_broken_is_left_to_protobuf(content: bytes) -> None:
    assert parsed(slave_service_pb2.NewTaskRequest, content) is None
