"""How deep a `value` may nest, so that protobuf's libraries read it in every language: each stops somewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.protobuf import json_format, struct_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

from interaction.rpc import payload
from interaction.rpc.plain import MAX_VALUE_DEPTH
from interaction.v1 import error_pb2, master_service_pb2, slave_service_pb2
from interaction.v1.payload_pb2 import Payload

FEWEST = 100  # messages in one another that a library of protobuf's reads: C++, Java, Python, C#, Rust
OBJECT = 3  # messages that an object of google.protobuf.Value is: Struct, FieldsEntry, Value
Way = tuple[FieldDescriptor, ...]


def carriers(kind: Descriptor, way: Way = ()) -> Iterator[Way]:
    """The ways to each field that holds a payload, from a message that goes over the wire."""
    for field in kind.fields:
        if field.message_type is None or field in way:
            continue
        if field.message_type.full_name == Payload.DESCRIPTOR.full_name:
            yield (*way, field)
        else:
            yield from carriers(field.message_type, (*way, field))


def owner(way: Way) -> Descriptor:
    """The message that goes over the wire."""
    kind = way[0].containing_type
    assert kind is not None
    return kind


WAYS = {
    ".".join((owner(way).name, *(field.name for field in way))): way
    for file in (slave_service_pb2.DESCRIPTOR, master_service_pb2.DESCRIPTOR)
    for service in file.services_by_name.values()
    for method in service.methods
    for kind in (method.input_type, method.output_type)
    for way in carriers(kind)
}


def varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number % 128 + 128]) + varint(number >> 7)


def test_there_are_such_fields() -> None:
    assert {"NewTaskRequest.task.data", "ConnectResponse.data", "ReportResultRequest.result.result"} < set(WAYS)
    assert not error_pb2.DESCRIPTOR.message_types_by_name, "a refusal's data are a message of their own"


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {"a": value}], ids=["lists", "objects"])
def test_a_value_of_the_allowed_depth_is_read_whichever_field_carries_it(name: str, wrap: Callable[[Any], Any]) -> None:
    data: Any = "x"
    for _ in range(MAX_VALUE_DEPTH):
        data = wrap(data)
    value = struct_pb2.Value()
    json_format.ParseDict(data, value)
    content = Payload(value=value).SerializeToString()
    for field in reversed(WAYS[name]):
        content = bytes([field.number << 3 | 2]) + varint(len(content)) + content
    message: Any = GetMessageClass(owner(WAYS[name])).FromString(content)
    for field in WAYS[name]:
        inside = getattr(message, field.name)
        message = inside if hasattr(inside, "DESCRIPTOR") else inside[0]
    assert payload.decode(message, "data") == data


@pytest.mark.parametrize("name", WAYS)
def test_what_carries_a_value_leaves_room_for_it_in_every_library(name: str) -> None:
    outermost_and_way, value = 1 + len(WAYS[name]), 1
    assert outermost_and_way + value + OBJECT * MAX_VALUE_DEPTH < FEWEST


def test_a_value_is_never_written() -> None:
    """So what was read from JSON, and is deeper, can be sent on."""
    for data in ({}, [1.5], {"a": [None, b"x"]}):
        assert payload.encode(data, "data").message.WhichOneof("content") == "json"
