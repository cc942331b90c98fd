"""What a message may hold, looked at before protobuf parses it.

protobuf makes an object of two bytes, and takes 40 and more for it; and a text may take four times its bytes as soon
as it is a string of Python's. So of what is longer than 512 KiB the fields are counted, and texts that are longer than
any that is read are left out.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from enum import Enum, unique
from typing import NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from interaction.config import MAX_JSON_BYTES
from interaction.v1 import payload_pb2

MOST_FIELDS = 150_000  # of all levels; 100,000 ids of tasks that had begun are the most that anybody has to say
_LEFT_OUT = f"\x01{secrets.token_hex(16)}:"  # what stands for a payload's text that is too long begins so, and its size
# follows. No JSON begins so, and no peer can write it.
_LIGHT = 512 * 1024  # bytes; what is shorter can't take more than some tens of MiB
_LONGEST = MAX_JSON_BYTES  # of texts
_KEPT = 4096  # bytes of another text that is too long
_VARINT, _FIXED64, _BYTES, _GROUP, _END_GROUP, _FIXED32 = range(6)
_PAYLOAD = payload_pb2.Payload.DESCRIPTOR
_JSON_TAG = _PAYLOAD.fields_by_name["json"].number << 3 | _BYTES
_CONTENT = [_PAYLOAD.fields_by_name[name].number for name in ("json", "value")]


class _Field(NamedTuple):
    """A field as it stands in a message: where it begins, where its content does, and where both end."""

    begin: int
    start: int
    end: int
    tag: int
    kind: FieldDescriptor | None


@unique
class _Shape(Enum):
    READ = "as it is"
    TOO_LONG = "without a text or some"
    TOO_MANY = "not at all"


def bounded(content: bytes, kind: Descriptor) -> bytes | None:
    """A message as it came, or without texts that are too long; None for one of too many fields.

    What is broken is left to the parser to refuse.
    """
    if len(content) <= _LIGHT:
        return content
    shape = _shape_of(content, kind)
    if shape is _Shape.TOO_MANY:
        return None
    return content if shape is _Shape.READ else _shortened(content, 0, len(content), kind)


def left_out(text: str) -> int:
    """How many bytes the text had that this stands for; 0 where it stands for none."""
    return int(text[len(_LEFT_OUT) :]) if text.startswith(_LEFT_OUT) else 0


def _shape_of(content: bytes, kind: Descriptor) -> _Shape:  # noqa: C901 - one loop, with few calls: it is not to last
    """How it is to be read. This runs on the loop, and a field costs 0.5 µs."""
    shape, found, position, end = _Shape.READ, 0, 0, len(content)
    outer: list[tuple[int, Descriptor]] = []  # the messages that this one stands in: their ends and kinds
    known = kind.fields_by_number
    try:
        while found <= MOST_FIELDS:
            while position >= end:
                if not outer:
                    return shape
                end, kind = outer.pop()
                known = kind.fields_by_number
            found += 1
            tag = content[position]
            position += 1
            if tag >= 128:
                tag, position = _varint(content, position - 1)
            wire = tag & 7
            if wire == _BYTES:
                length, position = _varint(content, position)
                field = known.get(tag >> 3) if length else None
                inside = None if field is None else field.message_type
                if length > _LONGEST and field is not None and _is_text(field, kind):
                    shape = _Shape.TOO_LONG
                elif inside is not None:
                    outer.append((end, kind))
                    end, kind, known = min(end, position + length), inside, inside.fields_by_number
                    continue
                position += length
            elif wire == _VARINT:
                _, position = _varint(content, position)
            elif wire in (_FIXED64, _FIXED32):
                position += 8 if wire == _FIXED64 else 4
            elif wire not in (_GROUP, _END_GROUP):
                return shape
    except IndexError:  # it ends in the middle
        return shape
    return _Shape.TOO_MANY


def _is_text(field: FieldDescriptor, of: Descriptor) -> bool:
    """Whether a field of a message of that kind is read as text, which a payload's `value` is, too."""
    return field.type == FieldDescriptor.TYPE_STRING or (of is _PAYLOAD and field.number in _CONTENT)


def _shortened(content: bytes, start: int, end: int, kind: Descriptor) -> bytes:
    """A part of a message that is too long somewhere, without that."""
    parts = []
    for field in _fields(content, start, end, kind):
        inside = None if field.kind is None else field.kind.message_type
        tag, new = field.tag, None
        too_long = field.end - field.start > _LONGEST and tag & 7 == _BYTES
        if too_long and field.kind is not None and _is_text(field.kind, kind):
            if kind is _PAYLOAD:
                tag, new = _JSON_TAG, f"{_LEFT_OUT}{field.end - field.start}".encode()
            else:
                new = content[field.start : field.start + _KEPT].decode("utf-8", "ignore").encode()
        elif too_long and inside is not None:
            new = _shortened(content, field.start, field.end, inside)
        parts.append(
            content[field.begin : field.end] if new is None else written_number(tag) + written_number(len(new)) + new
        )
    return b"".join(parts)


def _fields(content: bytes, position: int, end: int, kind: Descriptor) -> Iterator[_Field]:
    """The fields of one message, as far as it can be read."""
    known = kind.fields_by_number
    try:
        while position < end:
            begin = position
            tag, start = _varint(content, position)
            position, wire = start, tag & 7
            if wire == _BYTES:
                length, start = _varint(content, start)
                position = start + length
            elif wire == _VARINT:
                _, position = _varint(content, start)
            elif wire in (_FIXED64, _FIXED32):
                position += 8 if wire == _FIXED64 else 4
            elif wire not in (_GROUP, _END_GROUP):
                return
            if position > end:
                return
            yield _Field(begin, start, position, tag, known.get(tag >> 3))
    except IndexError:  # it ends in the middle
        return


def _varint(content: bytes, position: int) -> tuple[int, int]:
    """A number, and the position behind it. Raises IndexError for what is none."""
    first = content[position]
    if first < 128:
        return first, position + 1
    number, shift = first & 127, 7
    while shift < 70:
        position += 1
        byte = content[position]
        number |= (byte & 127) << shift
        if byte < 128:
            return number, position + 1
        shift += 7
    raise IndexError


def written_number(number: int) -> bytes:
    """A number as it is written."""
    written = bytearray()
    while number >= 128:
        written.append(number & 127 | 128)
        number >>= 7
    return bytes([*written, number])
