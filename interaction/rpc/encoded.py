"""Data ready to be sent, and the room that messages have."""

from __future__ import annotations

from typing import NamedTuple

from interaction.exception import PayloadTooLarge
from interaction.v1 import payload_pb2

# What a message holds beside its payload: an id, a status, and a failure's texts, which are cut to these bytes.
FAILURE_MESSAGE_BYTES = 4 * 1024
FAILURE_TRACEBACK_BYTES = 16 * 1024
_LEFT_OUT = b"\n  ... (left out: it is too long)\n"
ENVELOPE_BYTES = FAILURE_MESSAGE_BYTES + FAILURE_TRACEBACK_BYTES + 4 * 1024


class Encoded(NamedTuple):
    """Data ready to be sent, opaque outside this package, and how many bytes they take.

    protobuf would find the size by writing all of it, which costs as much as sending it.
    """

    message: payload_pb2.Payload
    size: int


def check_size(size: int, root: str, max_message_bytes: int) -> None:
    """Raise PayloadTooLarge where a message of that many bytes does not hold so much."""
    limit = max_message_bytes - ENVELOPE_BYTES
    if size > limit:
        raise PayloadTooLarge(root, size, limit)


def field_size(length: int) -> int:
    """How many bytes a string or bytes take in a message: a tag of one byte, the length in groups of 7 bits, and they
    themselves (protobuf.dev, Encoding)."""
    return 1 + max(1, (length.bit_length() + 6) // 7) + length


def cut_middle(text: str, max_bytes: int) -> str:
    """The text, or its beginning and its end, which is where a traceback says what happened."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= max_bytes:
        return encoded.decode()
    first = max_bytes // 4
    last = max_bytes - first - len(_LEFT_OUT)
    return (encoded[:first] + _LEFT_OUT + encoded[-last:]).decode("utf-8", "ignore")


def cut(text: str, max_bytes: int) -> str:
    """The text, or its beginning where it is longer than that many bytes of UTF-8."""
    encoded = text.encode("utf-8", "replace")
    return (encoded if len(encoded) <= max_bytes else encoded[: max_bytes - 3] + b"...").decode("utf-8", "ignore")
