"""SlaveService as a master calls it: models in, one slave's answers out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from interaction.address import Endpoint
from interaction.config import ASSUMED_MAX_MESSAGE_BYTES, TLS
from interaction.core.model import ConnectAnswer, Data, HeldTask, Identity
from interaction.core.session import ProbeAnswer
from interaction.core.token import is_incarnation
from interaction.exception import PayloadError, RequestException, ResponseException
from interaction.rpc import convert, payload
from interaction.rpc.metadata import Metadata, call_metadata
from interaction.rpc.reading import lenient_channel
from interaction.rpc.retry import Policy, request
from interaction.rpc.status import slave_error
from interaction.rpc.transport import open_channel
from interaction.v1 import payload_pb2, slave_service_pb2_grpc, task_pb2
from interaction.v1 import slave_service_pb2 as pb

PROBE_TIMEOUT = 1.0
# Far more than any slave has; a million would hold up the loop.
MOST_HELD, MOST_FEATURES = 10_000, 100
_log = logging.getLogger("interaction.master")
_Answer = TypeVar("_Answer")


class SlaveClient:
    """The calls to one slave, made on the loop. They raise a SlaveResponseException or a RequestException, and end."""

    def __init__(self, endpoint: Endpoint, tls: TLS | None, channel: int, max_message_bytes: int) -> None:
        self._endpoint = endpoint
        self._channel_number = channel
        self._max_message_bytes = max_message_bytes
        self._peer = f"the slave at {endpoint}"
        self._channel = open_channel(endpoint, tls, max_message_bytes)
        self._stub = slave_service_pb2_grpc.SlaveServiceStub(lenient_channel(self._channel))

    async def _request(self, call: Callable[[float], Awaitable[_Answer]], policy: Policy, token: str = "") -> _Answer:
        """Make a request. Whatever the slave answers, what is raised tells nothing of the token."""
        answer: _Answer | None = await request(call, policy, lambda error: slave_error(error, self._peer, token))
        if answer is None:
            raise RequestException(f"{self._peer} answered with a message that can't be parsed", "DATA_LOSS")
        return answer

    def _metadata(self, token: str, previous: str | None = None) -> Metadata:
        return call_metadata(self._channel_number, token, previous)

    async def ping(self, timeout: float) -> Identity:
        """Ask who is there, once."""
        policy = Policy(retries=0, waiting=0.0, timeout=timeout)
        answer = await self._request(
            lambda seconds: self._stub.Ping(pb.SlaveServicePingRequest(), timeout=seconds), policy
        )
        return Identity(self._incarnation(answer.incarnation), answer.language, answer.version, tuple(answer.features))

    async def probe(self) -> ProbeAnswer:
        """Find out who is there, within a second. Never raises."""
        try:
            who = await self.ping(PROBE_TIMEOUT)
        except ResponseException:  # somebody is there, and shuts down
            return ProbeAnswer()
        except RequestException as error:
            unreachable = error.code == "UNAVAILABLE"
            return ProbeAnswer(nobody=unreachable and await self._nobody_listens())
        return ProbeAnswer(incarnation=who.incarnation)

    async def _nobody_listens(self) -> bool:
        """Whether the host itself says that the port is closed: all else may be the network."""
        try:
            dialling = asyncio.open_connection(self._endpoint.dialled_host, self._endpoint.port)
            _, writer = await asyncio.wait_for(dialling, PROBE_TIMEOUT)
        except ConnectionRefusedError:
            return True
        except (OSError, asyncio.TimeoutError):
            return False
        writer.close()
        return False

    async def connect(
        self, token: str, previous: str | None, master_address: str, lease: float, data: bytes, policy: Policy
    ) -> ConnectAnswer:
        """Open a session, or with the token `previous` resume that one. `data` is packed (`convert.pack`)."""
        message = pb.ConnectRequest(
            master_address=master_address,
            lease=convert.to_duration(lease),
            data=convert.unpack(data),
            max_message_bytes=self._max_message_bytes,
        )
        metadata = self._metadata(token, previous)
        answer = await self._request(
            lambda seconds: self._stub.Connect(message, timeout=seconds, metadata=metadata), policy, token
        )
        for name, told, most in (("held", answer.held, MOST_HELD), ("features", answer.features, MOST_FEATURES)):
            if len(told) > most:
                raise RequestException(f"{self._peer} answered with {len(told)} {name}; {most} are taken", "INTERNAL")
        return ConnectAnswer(
            incarnation=self._incarnation(answer.incarnation),
            data=await self._read(answer.data),
            slots=answer.slots or 1,
            backlog=answer.backlog,
            features=tuple(answer.features),
            held=_read_held(answer.held),
            max_message_bytes=min(self._max_message_bytes, answer.max_message_bytes or ASSUMED_MAX_MESSAGE_BYTES),
        )

    async def disconnect(self, token: str, data: payload_pb2.Payload, policy: Policy) -> Data:
        """End the session."""
        message, metadata = pb.DisconnectRequest(data=data), self._metadata(token)
        answer = await self._request(
            lambda seconds: self._stub.Disconnect(message, timeout=seconds, metadata=metadata), policy, token
        )
        return await self._read(answer.data)

    async def leave(self, token: str, policy: Policy) -> None:
        """End a session that is not wanted after all. Where the slave does not hear it, its lease runs out."""
        try:
            await self.disconnect(token, payload_pb2.Payload(), policy)
        except (ResponseException, RequestException) as error:
            _log.info("%s was not told that its session is not wanted: %s", self._peer, error)

    async def new_task(
        self, token: str, incarnation: str, task_id: str, data: payload_pb2.Payload, policy: Policy
    ) -> Data:
        """Hand over one task to the slave of this incarnation."""
        message = pb.NewTaskRequest(task=task_pb2.Task(id=task_id, data=data), incarnation=incarnation)
        metadata = self._metadata(token)
        answer = await self._request(
            lambda seconds: self._stub.NewTask(message, timeout=seconds, metadata=metadata), policy, token
        )
        return await self._read(answer.data)

    async def close(self) -> None:
        """End all calls and let go of the transport."""
        await self._channel.close()

    async def _read(self, message: payload_pb2.Payload) -> Data:
        try:
            return await convert.read_payload(payload.decode_mapping, message, "data")
        except PayloadError as error:
            raise RequestException(f"{self._peer} answered with data that can't be read: {error}", "INTERNAL") from None

    def _incarnation(self, text: str) -> str:
        if not is_incarnation(text):
            raise RequestException(f"{self._peer} answered with the incarnation {text!r:.60}", "INTERNAL")
        return text


def _read_held(held: Sequence[pb.HeldTask]) -> tuple[HeldTask, ...]:
    """The tasks that a slave holds: what can't be one of this master's is none."""
    return tuple(HeldTask(task.task_id, task.ended) for task in held if convert.is_task_id(task.task_id))
