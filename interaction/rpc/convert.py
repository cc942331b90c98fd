"""What the messages of both services have in common, read into models and written from them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import TypeVar

from google.protobuf import duration_pb2

from interaction.core.model import Failure, ResultStatus, TaskOffer, TaskResult
from interaction.rpc import payload
from interaction.rpc.metadata import Credentials, read_metadata
from interaction.rpc.status import Context
from interaction.v1 import payload_pb2, task_pb2

LANGUAGE = "python"

_LARGE = 256 * 1024  # bytes; reading more takes so long that the loop's other work should not wait for it

T = TypeVar("T")


async def read_payload(read: Callable[[payload_pb2.Payload, str], T], message: payload_pb2.Payload, root: str) -> T:
    """Read a payload with `read`, on another thread where it is large. Raises PayloadError."""
    if message.ByteSize() > _LARGE:
        return await asyncio.to_thread(read, message, root)
    return read(message, root)


def is_task_id(text: str) -> bool:
    """Whether the text is a UUID in its usual form and lower case (RFC 9562)."""
    try:
        return len(text) == 36 and str(uuid.UUID(text)) == text
    except ValueError:
        return False


def brought(context: Context) -> Credentials:
    """The credentials that a guarded call brought."""
    return read_metadata(context.invocation_metadata() or ())


def to_duration(seconds: float) -> duration_pb2.Duration:
    """Seconds as a Duration."""
    duration = duration_pb2.Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration


def from_duration(duration: duration_pb2.Duration) -> float:
    """A Duration as seconds."""
    return duration.seconds + duration.nanos / 1e9


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


def pack_task(offer: TaskOffer, room: int) -> bytes:
    """A task for another process of this slave, whose report may take `room` bytes."""
    task = task_pb2.Task(id=offer.task_id, data=payload.encode(offer.data, "data"))
    return room.to_bytes(8, "big") + task.SerializeToString()


def unpack_task(content: bytes) -> tuple[TaskOffer, int]:
    """What `pack_task` has packed; the digest stays behind."""
    task = task_pb2.Task.FromString(content[8:])
    return TaskOffer(task.id, payload.decode_mapping(task.data, "data"), b""), int.from_bytes(content[:8], "big")


async def read_result(message: task_pb2.TaskResult) -> TaskResult:
    """A task's end as a model. Raises PayloadError."""
    failure = None
    if message.HasField("error"):
        failure = Failure(message.error.type, message.error.message, message.error.traceback)
    value = await read_payload(payload.decode, message.result, "result")
    return TaskResult(message.task_id, ResultStatus(message.status), value, failure)
