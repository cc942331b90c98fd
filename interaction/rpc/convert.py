"""What the messages of both services have in common, read into models and written from them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, TypeVar

from google.protobuf import duration_pb2
from google.protobuf.message import DecodeError, Message

from interaction.core.model import Failure, ResultStatus, TaskOffer, TaskResult
from interaction.exception import PayloadError
from interaction.rpc import payload
from interaction.rpc.metadata import Credentials, read_metadata
from interaction.rpc.status import Context
from interaction.v1 import payload_pb2, task_pb2

LANGUAGE = "python"
MIN_LEASE, MAX_LEASE = 0.1, 86400.0  # seconds

RESULT_STATUSES = frozenset(status.value for status in ResultStatus)

_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_LARGE = 256 * 1024  # bytes; reading more takes so long that the loop's other work should not wait for it

T = TypeVar("T")
M = TypeVar("M", bound=Message)


async def read_message(read: Callable[[M], T], message: M) -> T:
    """Read a message with `read`, on another thread where it is large."""
    if message.ByteSize() > _LARGE:
        return await asyncio.to_thread(read, message)
    return read(message)


async def read_payload(read: Callable[[payload_pb2.Payload, str], T], message: payload_pb2.Payload, root: str) -> T:
    """Read a payload with `read`, on another thread where it is large. Raises PayloadError."""
    if message.ByteSize() > _LARGE:
        return await asyncio.to_thread(read, message, root)
    return read(message, root)


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


def read_lease(duration: duration_pb2.Duration) -> float | None:
    """A lease in seconds; None for what can't be one."""
    seconds = duration.seconds + duration.nanos / 1e9
    return seconds if 0 <= duration.nanos < 10**9 and MIN_LEASE <= seconds <= MAX_LEASE else None


def write_result(task_id: str, status: ResultStatus, result: payload_pb2.Payload, failure: Failure | None) -> Report:
    """A task's end, ready to be sent: what can't be carried has been refused by now."""
    error = None
    if failure is not None:
        error = task_pb2.TaskError(
            type=payload.cut(failure.type, 256),
            message=payload.cut(failure.message, payload.FAILURE_MESSAGE_BYTES),
            traceback=payload.cut(failure.traceback, payload.FAILURE_TRACEBACK_BYTES),
        )
    return task_pb2.TaskResult(task_id=task_id, status=status.value, result=result, error=error)  # type: ignore[arg-type]  # an enum's number


Report = task_pb2.TaskResult


def pack(message: payload_pb2.Payload | Report) -> bytes:
    """A message as it is written down."""
    return message.SerializeToString()


def unpack(content: bytes) -> payload_pb2.Payload:
    """Data that was written down, ready to be sent again. Raises PayloadError."""
    try:
        return payload_pb2.Payload.FromString(content)
    except DecodeError:
        raise PayloadError("data", "what was written down can't be parsed") from None


def unpack_mapping(content: bytes) -> dict[str, Any]:
    """Data that was written down, as a mapping. Raises PayloadError."""
    return payload.decode_mapping(unpack(content), "data")


def unpack_result(content: bytes) -> TaskResult:
    """A task's end that was written down. One that can't be read is a failure that says so."""
    try:
        message = task_pb2.TaskResult.FromString(content)
        return _result_of(message, payload.decode(message.result, "result"))
    except (DecodeError, ValueError) as error:
        failure = Failure("PayloadError", f"the slave's result can't be read: {error}")
        return TaskResult("", ResultStatus.FAILED, {}, failure)


def pack_task(offer: TaskOffer, room: int) -> bytes:
    """A task for another process of this slave, whose report may take `room` bytes."""
    task = task_pb2.Task(id=offer.task_id, data=payload.encode(offer.data, "data"))
    return room.to_bytes(8, "big") + task.SerializeToString()


def unpack_task(content: bytes) -> tuple[TaskOffer, int]:
    """What `pack_task` has packed; the digest stays behind."""
    task = task_pb2.Task.FromString(content[8:])
    return TaskOffer(task.id, payload.decode_mapping(task.data, "data"), b""), int.from_bytes(content[:8], "big")


def read_result(message: task_pb2.TaskResult) -> TaskResult:
    """A task's end as a model. Raises PayloadError."""
    return _result_of(message, payload.decode(message.result, "result"))


def _result_of(message: task_pb2.TaskResult, value: Any) -> TaskResult:
    failure = None
    if message.HasField("error"):
        failure = Failure(message.error.type, message.error.message, message.error.traceback)
    return TaskResult(message.task_id, ResultStatus(message.status), value, failure)
