"""What reads what a peer sends, each decoder by itself. Whatever is raised is a crash."""

from __future__ import annotations

from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, cast

import grpc
import grpc.aio
from google.protobuf.message import Message

from interaction.address import parse_address
from interaction.config import SlaveOptions
from interaction.core.model import Body, ResultStatus
from interaction.core.token import is_token
from interaction.exception import PayloadError, RequestException, ResponseException
from interaction.rpc import convert, payload, work_stream
from interaction.rpc.guard import BY_MASTER, BY_SLAVE, Guard
from interaction.rpc.metadata import read_metadata
from interaction.rpc.reading import lenient, sentence
from interaction.rpc.slave_client import _read_held
from interaction.rpc.slave_server import SlaveServicer
from interaction.rpc.status import master_error, slave_error
from interaction.text import one_line
from interaction.v1 import master_service_pb2, slave_service_pb2, task_pb2
from interaction.v1.payload_pb2 import Payload
from tests.hostile.inputs import TOKEN, Metadata


class _Gatekeeper:
    closing = False

    def admit(self, method: str, token: str, previous: str | None) -> Body:
        assert is_token(token)
        return Body.READ


_GUARDS = [Guard("x", 7, refusals, _Gatekeeper()) for refusals in (BY_SLAVE, BY_MASTER)]


class _Context:
    def __init__(self, brought: Metadata) -> None:
        self._brought = brought

    def invocation_metadata(self) -> Metadata:
        return self._brought


class _Asked:
    """A slave whose user is asked about every master."""

    def asks_to_connect(self, token: str, previous: str | None) -> bool:
        return True


def done(work: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine returns that has nothing to wait for."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits for something")


def read_payload(message: Payload) -> None:
    with suppress(PayloadError):
        payload.decode(message, "data")


def read_value(content: bytes) -> None:
    message = lenient(Payload.FromString)(content)
    if message is not None:
        read_payload(message)


def check_metadata(brought: Metadata) -> None:
    found = read_metadata(brought)
    for token in (found.token, found.previous_token):
        assert not token or is_token(token)
    for guard in _GUARDS:
        try:
            guard._check(found)
        except ResponseException:
            continue
        assert found.channel is not None
        assert int(found.channel) == 7


def check_address(address: str) -> None:
    try:
        endpoint = parse_address(address, 7235)
    except ValueError:
        return
    assert 1 <= endpoint.port <= 65535
    assert parse_address(str(endpoint), 1) == endpoint
    assert endpoint.target.startswith(("dns:///", "ipv4:", "ipv6:"))


def read_messages(content: bytes) -> None:
    for kind in MESSAGES:
        lenient(kind.FromString)(content)


MESSAGES: list[type[Message]] = [
    *(slave_service_pb2.ConnectRequest, slave_service_pb2.DisconnectRequest, slave_service_pb2.NewTaskRequest),
    *(slave_service_pb2.WorkRequest, slave_service_pb2.CancelTaskRequest, slave_service_pb2.ConnectResponse),
    *(master_service_pb2.HeartbeatRequest, master_service_pb2.HeartbeatResponse),
    *(master_service_pb2.ReportResultRequest, slave_service_pb2.WorkResponse),
]


OPTIONS = SlaveOptions("127.0.0.1", 0, 0, 0, 1.0, 1.0, 1 << 16, None, True, 3.0, None, "thread", False)


def read_result(content: bytes) -> None:
    message = lenient(task_pb2.TaskResult.FromString)(content)
    if message is None or message.status not in {status.value for status in ResultStatus}:
        return
    try:
        result = convert.read_result(message)
    except PayloadError:
        return
    assert isinstance(result.status, ResultStatus)


def read_task(content: bytes) -> None:
    message = lenient(slave_service_pb2.NewTaskRequest.FromString)(content)
    if message is None:
        return
    try:
        work_stream.check_id(message.task)
        offer = work_stream.read_task(message.task, message.incarnation)
    except ResponseException:
        return
    assert len(offer.task_id) == 36
    assert isinstance(offer.data, dict)


def read_offer(made: tuple[bytes, Metadata]) -> None:
    content, brought = made
    message = lenient(slave_service_pb2.ConnectRequest.FromString)(content)
    if message is None:
        return
    try:
        servicer = SlaveServicer(cast(Any, _Asked()), OPTIONS)
        offer, _ = done(servicer._read_offer(message, cast(Any, _Context(brought))))
    except ResponseException:
        return
    assert convert.MIN_LEASE <= offer.lease <= convert.MAX_LEASE
    assert offer.max_message_bytes > 0


def read_failure(error: grpc.aio.AioRpcError) -> None:
    for translate in (slave_error, master_error):
        raised = translate(error, "the peer", TOKEN)
        assert isinstance(raised, (ResponseException, RequestException))
        told = raised.message if isinstance(raised, ResponseException) else str(raised)
        assert one_line(told) == told
        assert TOKEN not in told


def read_answer(content: bytes) -> None:
    message = lenient(slave_service_pb2.ConnectResponse.FromString)(content)
    if message is not None:
        assert all(len(held.task_id) == 36 for held in _read_held(message.held))


def read_beat(content: bytes) -> None:
    message = lenient(master_service_pb2.HeartbeatResponse.FromString)(content)
    if message is not None:
        lease = convert.read_lease(message.lease)
        assert lease is None or convert.MIN_LEASE <= lease <= convert.MAX_LEASE
        told = sentence(message.closing.reason)
        assert one_line(told) == told
