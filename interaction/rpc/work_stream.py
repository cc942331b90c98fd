"""SlaveService.Work as a slave serves it: one stream, read and written side by side."""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections.abc import AsyncIterator, Sequence
from functools import partial
from itertools import chain
from typing import Any, Protocol

import grpc
import grpc.aio

from interaction.core.model import Data, TaskOffer
from interaction.core.outcomes import Accepted, Refused
from interaction.exception import PayloadError, ResponseException, SlaveRequestInvalid, SlaveTaskDataInvalid
from interaction.rpc import convert, payload
from interaction.rpc.convert import SizedReport
from interaction.rpc.encoded import FAILURE_MESSAGE_BYTES, cut
from interaction.rpc.status import Context, abort, carried
from interaction.rpc.text_limit import Allowance, allowance_of
from interaction.text import named
from interaction.v1 import payload_pb2, task_pb2
from interaction.v1 import slave_service_pb2 as pb

_LONG = 64 * 1024  # bytes; a longer part stands in a digest with its checksum, which takes a tenth of the time
_IN_A_ROW = 8  # tasks of a message of many are read before others of the loop have their turn
Said = Accepted | Refused | SizedReport


class WorkHandler(Protocol):
    """What decides about one stream."""

    @property
    def room(self) -> int:
        """The longest message that the master reads, in bytes."""

    def acknowledged(self, task_ids: Sequence[str]) -> None:
        """The master has recorded these results."""

    def check(self, task_id: str, incarnation: str) -> None:
        """Raise a ResponseException where a task is not taken whatever it is: then it is not read."""

    def offer(self, offer: TaskOffer) -> None:
        """The master hands over a task."""

    def refuse(self, task_id: str, refusal: ResponseException) -> None:
        """A task that can't be read: say that it is not taken."""

    async def ready(self) -> None:
        """Wait until more tasks may come: what is said has to be read, too."""

    async def next(self) -> Sequence[Said]:
        """Wait for what is to be said next; nothing where the stream is to end."""

    def written(self, said: Sequence[Said]) -> None:
        """That has been sent."""

    def close(self) -> None:
        """The stream ends: nothing more is to be said on it."""


async def serve(
    requests: AsyncIterator[pb.WorkRequest],
    context: Context,
    handler: WorkHandler,
    ended: asyncio.Future[ResponseException | None],
) -> None:
    """Read and write until either side ends the stream. `ended` gives the slave's reason; None: it is given up."""
    reading = asyncio.ensure_future(_read(requests, handler))
    writing = asyncio.ensure_future(_write(context, handler))
    try:
        sides: list[asyncio.Future[Any]] = [reading, writing, ended]
        await asyncio.wait(sides, return_when=asyncio.FIRST_COMPLETED)
        handler.close()
        reading.cancel()
        await asyncio.wait({reading, writing})  # a write that is under way is not broken off: gRPC suffers from that
        writing.result()
        if ended.done():
            reason = ended.result()
            if reason is None:
                await context.abort(
                    grpc.StatusCode.ABORTED,
                    "given up: there is a newer stream, or what was said on it was not acknowledged",
                )
            await abort(context, reason)
        if not reading.cancelled():
            reading.result()  # raises what was wrong
    except ResponseException as refusal:
        await abort(context, refusal)
    except grpc.aio.InternalError:  # what was written could not be sent: the call is gone, as gRPC is about to notice
        raise asyncio.CancelledError from None
    finally:
        handler.close()
        reading.cancel()
        writing.cancel()


async def _read(requests: AsyncIterator[pb.WorkRequest], handler: WorkHandler) -> None:
    incarnation = None
    async for request in requests:
        if incarnation is None:
            incarnation = request.incarnation
        if request.acknowledged:
            handler.acknowledged(request.acknowledged)
        if request.tasks:
            alone = len(request.tasks) == 1
            size = 0 if alone else request.ByteSize()
            together = size > convert.LONG_TOGETHER
            allowance = allowance_of(len(request.tasks), size)
            for number, task in enumerate(request.tasks, 1):
                await handler.ready()
                if together and not number % _IN_A_ROW:
                    await asyncio.sleep(0)
                await _take(task, incarnation, handler, allowance, alone=alone, long=alone or together)


async def _take(
    task: task_pb2.Task,
    incarnation: str,
    handler: WorkHandler,
    allowance: Allowance | None,
    *,
    alone: bool,
    long: bool,
) -> None:
    """Read a task where it may be taken, beside the loop where that may be `long`. Raises SlaveRequestInvalid.

    `alone`: it is the only one of its message. `allowance`: what it shares with the others.
    """
    check_id(task)
    try:
        handler.check(task.id, incarnation)
        if long:
            read = partial(read_task, incarnation=incarnation, allowance=allowance)
            offer = await convert.read_one(read, task, task.data, alone=alone)
        else:
            offer = read_task(task, incarnation, allowance)
    except ResponseException as refusal:
        handler.refuse(task.id, refusal)
    else:
        handler.offer(offer)


async def _write(context: Context, handler: WorkHandler) -> None:
    while said := await handler.next():
        message = pb.WorkResponse()
        for one in said:
            _write_outcome(message.outcomes.add(), one, handler.room)
        await context.write(message)
        handler.written(said)


def size_of(said: Data | ResponseException) -> int:
    """How many bytes what the user says takes in an outcome, at most. What can't be carried is left out there."""
    words, data = (said.message, said.data) if isinstance(said, ResponseException) else ("", said)
    size = len(cut(words, FAILURE_MESSAGE_BYTES).encode())
    try:
        return size + (payload.encode(data, "data").size if data else 0)
    except PayloadError:
        return size


def _write_outcome(outcome: pb.WorkOutcome, said: Said, room: int) -> None:
    """Fill in an outcome where it stands in a message, as `convert.write_task` does."""
    outcome.task_id = said.task_id
    if isinstance(said, SizedReport):
        outcome.result.CopyFrom(said.message)
    elif isinstance(said, Refused):
        outcome.refused.CopyFrom(_refused(said.error, room))
    else:
        outcome.accepted.SetInParent()
        if said.data:
            outcome.accepted.data.CopyFrom(payload.encode(said.data, "data").message)


def _refused(error: ResponseException, room: int) -> pb.WorkRefused:
    message, data = carried(error, room)
    return pb.WorkRefused(reason=error.code.name, message=message, data=data)


def check_id(task: task_pb2.Task) -> None:
    """Raise SlaveRequestInvalid for what is no id."""
    if not convert.is_task_id(task.id):
        raise SlaveRequestInvalid(f"task.id: expected a UUID, not {named(task.id)}")


def read_task(task: task_pb2.Task, incarnation: str, allowance: Allowance | None = None) -> TaskOffer:
    """A task as a model. Raises SlaveTaskDataInvalid."""
    try:
        data, digest = _read_and_digest(task.data, "data", allowance)
    except PayloadError as error:
        raise SlaveTaskDataInvalid(str(error)) from None
    return TaskOffer(task.id, data, digest, incarnation)


def _read_and_digest(message: payload_pb2.Payload, root: str, allowance: Allowance | None) -> tuple[Data, bytes]:
    digest = _digest(message)  # first: it needs a copy of each part, when nothing else has been made of it
    return payload.decode_mapping(message, root, allowance), digest


def _digest(message: payload_pb2.Payload) -> bytes:
    """Stands for the content: it tells a task from another by the same id, which is its owner's mistake."""
    digest = hashlib.blake2b(digest_size=16)
    is_value = message.WhichOneof("content") == "value"
    content = message.value.SerializeToString(deterministic=True) if is_value else message.json.encode()
    for part in chain((content,), message.buffers):  # one by one: each of them is a copy
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part if len(part) <= _LONG else zlib.crc32(part).to_bytes(4, "big"))
    return digest.digest()
