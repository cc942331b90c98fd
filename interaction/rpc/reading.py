"""What peers send: a message that can't be parsed is None to its reader, and their words are fit for a log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import grpc.aio
from google.protobuf.message import DecodeError

from interaction.rpc import memory
from interaction.rpc.fields import bounded
from interaction.text import LONGEST_SENTENCE
from interaction.text import sentence as one_sentence

T = TypeVar("T")
U = TypeVar("U")


def lenient(parse: Callable[[bytes], T], short: U | None = None) -> Callable[[bytes], T | U | None]:
    """The same, but None for a message that can't be parsed, or is of too many fields, and `short` where memory is why.

    What is read is bounded by what came: memory that is not there for it is this side's shortage, which passes, and
    never the message's fault.
    """
    kind = getattr(getattr(parse, "__self__", None), "DESCRIPTOR", None)  # of `Message.FromString`

    def parsed(content: bytes) -> T | U | None:
        try:
            read = content if kind is None else bounded(content, kind)
            return None if read is None else parse(read)
        except MemoryError:
            return short
        except DecodeError:  # which protobuf raises in place of the other
            return None if memory.is_to_be_had(len(content)) else short

    return parsed


def lenient_channel(channel: grpc.aio.Channel) -> grpc.aio.Channel:
    """What stubs are made on, so that an answer that can't be parsed is None."""
    return cast(grpc.aio.Channel, _LenientChannel(channel))


class _LenientChannel:
    """The two kinds of calls that this project's stubs make."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    def unary_unary(
        self, path: str, request_serializer: Any, response_deserializer: Callable[[bytes], Any], **options: Any
    ) -> Any:
        return self._channel.unary_unary(path, request_serializer, lenient(response_deserializer), **options)

    def stream_stream(
        self, path: str, request_serializer: Any, response_deserializer: Callable[[bytes], Any], **options: Any
    ) -> Any:
        return self._channel.stream_stream(path, request_serializer, lenient(response_deserializer), **options)


def sentence(text: str, secret: str = "") -> str:
    """A peer's words as they may stand in a message and in a log: on one line, not too long, and without `secret`."""
    told = text[: LONGEST_SENTENCE + 1 + len(secret)]
    return one_sentence(told.replace(secret, "(the token)") if secret else told)
