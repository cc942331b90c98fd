"""Memory for the copies that protobuf makes of what is large: it does not say where there was none.

Where an allocation fails (by a limit: RLIMIT_AS, `ulimit -v`) it leaves out that part, or ends the process by SIGSEGV;
as it reads, it calls the message broken.
"""

from __future__ import annotations

import mmap

from google.protobuf.message import EncodeError, Message

from interaction.v1 import payload_pb2

_LONG = 128 * 1024  # what is shorter comes from what malloc has, as what Python itself needs


def ensure(size: int) -> None:
    """Raise MemoryError where that many bytes are not to be had. Costs microseconds: none of them is touched."""
    if size <= _LONG:
        return
    try:
        mmap.mmap(-1, size + _LONG).close()
    except OSError:  # what was freed before may do
        try:
            bytes(size + _LONG)
        except MemoryError:
            raise _short(size) from None


def is_to_be_had(size: int) -> bool:
    """Whether `ensure` would not raise."""
    try:
        ensure(size)
    except MemoryError:
        return False
    return True


def check_copied(copy: payload_pb2.Payload, original: payload_pb2.Payload, size: int) -> None:
    """Raise MemoryError where something of it was left out."""
    if size <= _LONG:
        return
    whole = copy.WhichOneof("content") == original.WhichOneof("content")
    if not whole or len(copy.buffers) != len(original.buffers):
        raise _short(size)


def packed(message: Message) -> bytes:
    """A message as it is written. Raises MemoryError."""
    try:
        return message.SerializeToString()
    except EncodeError:  # nothing else keeps one of ours from it
        raise MemoryError("memory is short: there is none for the message as it is written") from None


def _short(size: int) -> MemoryError:
    return MemoryError(f"memory is short: there is none for a copy of {size:,} bytes")
