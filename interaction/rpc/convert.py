"""What the messages of both services have in common, read into models and written from them."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar
from weakref import WeakValueDictionary

from google.protobuf import duration_pb2
from google.protobuf.message import DecodeError, Message

from interaction.core.model import Failure, ResultStatus, TaskOffer, TaskResult
from interaction.exception import PayloadError
from interaction.rpc import memory, payload
from interaction.rpc.beside import beside
from interaction.rpc.encoded import FAILURE_MESSAGE_BYTES, FAILURE_TRACEBACK_BYTES, Encoded, cut, cut_middle
from interaction.rpc.metadata import Credentials, read_metadata
from interaction.rpc.status import Context
from interaction.rpc.text_limit import Allowance
from interaction.text import LONGEST_NAME, lines, sentence
from interaction.v1 import payload_pb2, task_pb2

LANGUAGE = "python"
MAX_FAILURE_BYTES = 1024 * 1024  # of what says why a task failed; of longer words nothing is read
MIN_LEASE, MAX_LEASE = 0.1, 86400.0  # seconds

RESULT_STATUSES = {status.value: status for status in ResultStatus}

_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
# What takes so long to read that the loop's other work should not wait for it, in bytes:
LONG = 256 * 1024  # of JSON
LONG_VALUE = 16 * 1024  # of a protobuf value, which takes ten times as long
LONG_TOGETHER = 64 * 1024  # of a message of many parts
_PART = 4  # times less is long where more of the same message is read as well

T = TypeVar("T")
M = TypeVar("M", bound=Message)


async def read_message(read: Callable[[M], T], message: M) -> T:
    """Read a message of many parts with `read`: on another thread where that takes long."""
    if message.ByteSize() > LONG_TOGETHER:
        return await beside(read, message)
    return read(message)


async def read_one(read: Callable[[M], T], message: M, data: payload_pb2.Payload, *, alone: bool = True) -> T:
    """Read a message of a stream, holding this payload, with `read`: on another thread where there is much to parse.

    Buffers are only copied, and a stream carries no large ones: to ask how large they are takes as long. But the first
    array has NumPy loaded.
    """
    if _is_long(data, 1 if alone else _PART) or ("numpy" not in sys.modules and '"$ndarray"' in data.json):
        return await beside(read, message)
    return read(message)


def is_large(data: payload_pb2.Payload) -> bool:
    """Whether a payload of a call, which is what carries large buffers, is to be read beside the loop."""
    return bool(data.buffers) or _is_long(data)


class Turns:
    """One large reading at a time for a peer, which its token tells: the others have theirs beside it."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # who waits or reads holds his

    def of(self, token: str) -> asyncio.Lock:
        """To be held meanwhile."""
        return self._locks.setdefault(token, asyncio.Lock())


def _is_long(data: payload_pb2.Payload, part: int = 1) -> bool:
    if data.WhichOneof("content") == "value":
        return data.value.ByteSize() * part > LONG_VALUE
    return len(data.json) * part > LONG


async def read_payload(read: Callable[[payload_pb2.Payload, str], T], message: payload_pb2.Payload, root: str) -> T:
    """Read the data of a hook with `read`, as `read_one`: they come once a session. Raises PayloadError."""
    return await read_one(lambda message: read(message, root), message, message)


def is_task_id(text: str) -> bool:
    """Whether the text is a UUID in its usual form and lower case (RFC 9562)."""
    return _UUID.fullmatch(text) is not None


def brought(context: Context) -> Credentials:
    """The credentials that a guarded call brought."""
    return read_metadata(context.invocation_metadata() or ())


def to_duration(seconds: float) -> duration_pb2.Duration:
    """Seconds as a Duration."""
    duration = duration_pb2.Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration


def nanoseconds(duration: duration_pb2.Duration) -> int:
    """A Duration, exactly."""
    return duration.seconds * 10**9 + duration.nanos


def read_lease(duration: duration_pb2.Duration) -> float | None:
    """A lease in seconds; None for what can't be one."""
    seconds = duration.seconds + duration.nanos / 1e9
    return seconds if 0 <= duration.nanos < 10**9 and MIN_LEASE <= seconds <= MAX_LEASE else None


def write_result(task_id: str, status: ResultStatus, result: Encoded, failure: Failure | None) -> Report:
    """A task's end, ready to be sent: what can't be carried has been refused by now."""
    report = task_pb2.TaskResult(task_id=task_id, status=status.value)  # type: ignore[arg-type]  # an enum's number
    _copy(report.result, result)
    if failure is not None:
        report.error.type = cut(failure.type, LONGEST_NAME)
        report.error.message = cut(failure.message, FAILURE_MESSAGE_BYTES)
        report.error.traceback = cut_middle(failure.traceback, FAILURE_TRACEBACK_BYTES)
    return report


Report = task_pb2.TaskResult


class SizedReport(NamedTuple):
    """A task's end at its slave, and how many bytes it takes, or a few more."""

    message: Report
    size: int

    @property
    def task_id(self) -> str:
        """The task."""
        return self.message.task_id


def pack(message: Encoded | Report) -> bytes:
    """A message as it is written down."""
    return memory.packed(message.message if isinstance(message, Encoded) else message)


def unpack(content: bytes) -> Encoded:
    """Data that was written down, ready to be sent again. Raises PayloadError."""
    try:
        return Encoded(payload_pb2.Payload.FromString(content), len(content))
    except DecodeError:
        raise PayloadError("data", "what was written down can't be parsed") from None


def unpack_report(content: bytes) -> SizedReport:
    """A task's end that another process of this slave has packed."""
    return SizedReport(task_pb2.TaskResult.FromString(content), len(content))


def unpack_mapping(content: bytes) -> dict[str, Any]:
    """Data that was written down, as a mapping. Raises PayloadError."""
    return payload.decode_mapping(unpack(content).message, "data")


def unpack_result(content: bytes) -> TaskResult:
    """A task's end that was written down. One that can't be read is a failure that says so."""
    try:
        message = task_pb2.TaskResult.FromString(content)
        return _result_of(message, payload.decode(message.result, "result"))
    except (DecodeError, ValueError, KeyError) as error:  # the last: a status that is none
        failure = Failure("PayloadError", f"the slave's result can't be read: {error!r}")
        return TaskResult("", ResultStatus.FAILED, {}, failure)


def write_task(task: task_pb2.Task, task_id: str, data: Encoded) -> None:
    """Fill in a task where it stands in a message: one made beside it would be copied there three times."""
    task.id = task_id
    _copy(task.data, data)


def _copy(into: payload_pb2.Payload, data: Encoded) -> None:
    """Raises MemoryError."""
    memory.ensure(data.size)
    into.CopyFrom(data.message)
    memory.check_copied(into, data.message, data.size)


def pack_task(offer: TaskOffer, room: int) -> tuple[bytes, bytes]:
    """A task for another process of this slave, whose report may take `room` bytes: what it is, and its data.

    In two parts, since to put them together would take as much again as the data.
    """
    head = room.to_bytes(8, "big") + offer.task_id.encode()
    return head, payload.pack(offer.data, "data")


def unpack_task(head: bytes, content: bytes) -> tuple[TaskOffer, int]:
    """What `pack_task` has packed; the digest stays behind."""
    data = payload.decode_mapping(payload_pb2.Payload.FromString(content), "data", stays=True)
    return TaskOffer(head[8:].decode(), data, b""), int.from_bytes(head[:8], "big")


def read_result(message: task_pb2.TaskResult, allowance: Allowance | None = None) -> TaskResult:
    """A task's end as a model. Raises PayloadError."""
    return _result_of(message, payload.decode(message.result, "result", allowance))


def _result_of(message: task_pb2.TaskResult, value: Any) -> TaskResult:
    failure = None
    if message.HasField("error"):
        failure = _failure_of(message.error)
    return TaskResult(message.task_id, RESULT_STATUSES[message.status], value, failure)


def _failure_of(error: task_pb2.TaskError) -> Failure:
    """A peer's words, fit to be shown wherever they come to. Its data hold them as they were, where it sends them."""
    size = error.ByteSize()
    if size > MAX_FAILURE_BYTES:
        return Failure("", f"the slave's words on why it failed are left out: they take {size:,} bytes")
    traceback = cut_middle(error.traceback, FAILURE_TRACEBACK_BYTES)
    return Failure(sentence(error.type, LONGEST_NAME), sentence(error.message), lines(traceback))
