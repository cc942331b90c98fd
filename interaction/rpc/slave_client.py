"""SlaveService as a master calls it: models in, one slave's answers out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import grpc.aio

from interaction.address import Endpoint
from interaction.config import ASSUMED_MAX_MESSAGE_BYTES, MAX_BACKLOG, MAX_LABEL, MAX_LABELS, MAX_SLOTS
from interaction.core.model import ConnectAnswer, Data, HeldTask, Identity
from interaction.core.session import ProbeAnswer
from interaction.core.token import is_incarnation
from interaction.exception import PayloadError, RequestException, ResponseException
from interaction.rpc import convert, payload
from interaction.rpc.absence import Absence, absence_at, nobody_listens
from interaction.rpc.answers import Answerer
from interaction.rpc.encoded import Encoded
from interaction.rpc.handshake import Remedies, mismatch_at
from interaction.rpc.lines import Lines
from interaction.rpc.metadata import Metadata
from interaction.rpc.reading import lenient_channel
from interaction.rpc.retry import Policy, request
from interaction.rpc.signing import Signer
from interaction.rpc.status import slave_error
from interaction.rpc.work_call import WorkCall
from interaction.text import LONGEST_NAME, named, sentence
from interaction.tls import TLS
from interaction.v1 import payload_pb2, slave_service_pb2_grpc
from interaction.v1 import slave_service_pb2 as pb

PROBE_TIMEOUT = 1.0
_LOOK = 1.0  # seconds to find out why nobody answers
# More than any slave has (config.MAX_SLOTS and MAX_BACKLOG, twice, and its outbox); a million would hold up the loop.
MOST_HELD, MOST_FEATURES = 25_000, 100
_REMEDIES = Remedies(
    who="the slave",
    dial_by_tls="use new_connection(..., https=True), with its authority in Master(client_tls=) or Master(tls=)",
    dial_without="leave https=True out, or give it Slave(tls=)",
    permit_plain="give it Slave(tls=), or permit slaves without, by plain_peers=True in Master(client_tls=) or "
    "Master(tls=) and without https=True",
    trust="the authority in Master(client_tls=) or Master(tls=) has to be the one that signed it",
    expect="connect by a name that is in it, or say which one to expect: Master(client_tls=TLS(..., server_name=))",
    show="give Master(client_tls=) or Master(tls=) a certificate and key that the slave's authority signed",
)
_PATH = f"/{pb.DESCRIPTOR.services_by_name['SlaveService'].full_name}/"
_log = logging.getLogger("interaction.master")
_Answer = TypeVar("_Answer")


class SlaveClient:
    """The calls to one slave, made on the loop. They raise a SlaveResponseException or a RequestException, and end."""

    def __init__(self, endpoint: Endpoint, tls: TLS | None, signer: Signer, max_message_bytes: int) -> None:
        self._endpoint = endpoint
        self._tls = tls
        self._signer = signer
        self._slave = ""  # the incarnation that signatures name
        self._max_message_bytes = max_message_bytes
        self._peer = f"the slave at {endpoint}"
        self._lines = Lines(endpoint, tls, max_message_bytes)
        self._called_by: grpc.aio.Channel | None = None
        self._held_stub: slave_service_pb2_grpc.SlaveServiceAsyncStub | None = None

    @property
    def _stub(self) -> slave_service_pb2_grpc.SlaveServiceAsyncStub:
        channel = self._lines.newest()
        if channel is None:
            raise RequestException("the connection was closed meanwhile", "CANCELLED")
        if self._held_stub is None or channel is not self._called_by:
            self._called_by = channel
            self._held_stub = slave_service_pb2_grpc.SlaveServiceStub(lenient_channel(channel))
        return self._held_stub

    async def _request(self, call: Callable[[float], Awaitable[_Answer]], policy: Policy, token: str = "") -> _Answer:
        """Make a request. Whatever the slave answers, what is raised tells nothing of the token."""
        look = self._why_not if token else None
        answer: _Answer | None = await request(call, policy, lambda error: slave_error(error, self._peer, token), look)
        if answer is None:
            raise RequestException(f"{self._peer} answered with a message that can't be parsed", "DATA_LOSS")
        return answer

    async def _why_not(self, said: str) -> Absence | None:
        """Why a call has failed, of which gRPC has said that."""
        absence = await absence_at(self._endpoint, _LOOK)
        return absence or await mismatch_at(self._endpoint, self._tls, said, _REMEDIES, _LOOK)

    async def _ask_who(self, seconds: float) -> float:
        """Where calls are signed, learn for whom; returns the seconds that are left."""
        if not self._signer.signs:
            return seconds
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        answer: pb.SlaveServicePingResponse | None = await self._stub.Ping(
            pb.SlaveServicePingRequest(), timeout=seconds
        )
        if answer is None:
            raise RequestException(f"{self._peer} answered with a message that can't be parsed", "DATA_LOSS")
        self._slave = self._incarnation(answer.incarnation)
        return max(deadline - loop.time(), 0.0)

    async def ping(self, timeout: float) -> Identity:
        """Ask who is there, once."""
        policy = Policy(retries=0, waiting=0.0, timeout=timeout)
        answer = await self._request(
            lambda seconds: self._stub.Ping(pb.SlaveServicePingRequest(), timeout=seconds), policy
        )
        return Identity(
            self._incarnation(answer.incarnation),
            sentence(answer.language, LONGEST_NAME),
            sentence(answer.version, LONGEST_NAME),
            _read_features(answer.features),
        )

    async def probe(self) -> ProbeAnswer:
        """Find out who is there, within two seconds. Never raises."""
        # That is asked first: it is cheap, and of thousands that die at once all that is needed.
        if await nobody_listens(self._endpoint, PROBE_TIMEOUT):
            return ProbeAnswer(nobody=True)
        try:
            who = await self.ping(PROBE_TIMEOUT)
        except (ResponseException, RequestException):  # the network, or somebody who shuts down
            return ProbeAnswer()
        return ProbeAnswer(incarnation=who.incarnation)

    async def connect(
        self, token: str, previous: str | None, master_address: str, lease: float, data: bytes, policy: Policy
    ) -> ConnectAnswer:
        """Open a session, or with the token `previous` resume that one. `data` is packed (`convert.pack`)."""
        message = pb.ConnectRequest(
            master_address=master_address,
            lease=convert.to_duration(lease),
            data=convert.unpack(data).message,
            max_message_bytes=self._max_message_bytes,
        )
        terms = (convert.nanoseconds(message.lease), master_address)

        async def connect(seconds: float) -> pb.ConnectResponse:
            seconds = await self._ask_who(seconds)
            metadata = self._signer.metadata(f"{_PATH}Connect", token, previous, slave=self._slave, terms=terms)
            call = self._stub.Connect(message, timeout=seconds, metadata=metadata)
            return await self._answerer(metadata, token).answer(call)

        answer = await self._request(connect, policy, token)
        self._held_stub = None  # a third of what a connection is in Python, and the next call may be far
        for name, count, most in (
            ("held", len(answer.held), MOST_HELD),
            ("features", len(answer.features), MOST_FEATURES),
            ("labels", len(answer.labels), MAX_LABELS),
        ):
            if count > most:
                raise RequestException(f"{self._peer} answered with {count} {name}; {most} are taken", "INTERNAL")
        return ConnectAnswer(
            incarnation=self._incarnation(answer.incarnation),
            data=await self._read(answer.data),
            slots=min(answer.slots or 1, MAX_SLOTS),
            backlog=min(answer.backlog, MAX_BACKLOG),
            features=_read_features(answer.features),
            held=_read_held(answer.held),
            max_message_bytes=min(self._max_message_bytes, answer.max_message_bytes or ASSUMED_MAX_MESSAGE_BYTES),
            labels={sentence(key, MAX_LABEL): sentence(value, MAX_LABEL) for key, value in answer.labels.items()},
        )

    async def disconnect(self, token: str, data: Encoded, policy: Policy) -> Data:
        """End the session."""
        message = pb.DisconnectRequest(data=data.message)

        async def disconnect(seconds: float) -> pb.DisconnectResponse:
            if not self._slave:  # of a session from the journal
                seconds = await self._ask_who(seconds)
            metadata = self._signer.metadata(f"{_PATH}Disconnect", token, slave=self._slave)
            call = self._stub.Disconnect(message, timeout=seconds, metadata=metadata)
            return await self._answerer(metadata, token).answer(call)

        answer = await self._request(disconnect, policy, token)
        return await self._read(answer.data)

    async def leave(self, token: str, policy: Policy) -> None:
        """End a session that is not wanted after all. Where the slave does not hear it, its lease runs out."""
        try:
            await self.disconnect(token, payload.encode({}, "data"), policy)
        except (ResponseException, RequestException) as error:
            _log.info("%s was not told that its session is not wanted: %s", self._peer, error)

    async def new_task(self, token: str, incarnation: str, task_id: str, data: Encoded, policy: Policy) -> Data:
        """Hand over one task to the slave of this incarnation."""
        message = pb.NewTaskRequest(incarnation=incarnation)
        convert.write_task(message.task, task_id, data)

        async def new_task(seconds: float) -> pb.NewTaskResponse:
            metadata = self._signer.metadata(f"{_PATH}NewTask", token, slave=incarnation)
            call = self._stub.NewTask(message, timeout=seconds, metadata=metadata)
            return await self._answerer(metadata, token).answer(call)

        answer = await self._request(new_task, policy, token)
        return await self._read(answer.data)

    def work(self, token: str, incarnation: str, expects: Callable[[str], bool]) -> WorkCall:
        """Open the fast road to the slave of this incarnation. What it says of tasks is read where that is expected."""
        metadata = self._signer.metadata(f"{_PATH}Work", token, slave=incarnation)
        return WorkCall(self._stub, self._answerer(metadata, token), incarnation, self._peer, token, expects)

    def _answerer(self, metadata: Metadata, token: str) -> Answerer:
        return Answerer(self._signer, metadata, self._peer, lambda error: slave_error(error, self._peer, token))

    async def close(self) -> None:
        """End all calls and let go of the transport: gRPC's threads run for as long as a channel is held."""
        self._called_by = self._held_stub = None
        await self._lines.close()

    async def _read(self, message: payload_pb2.Payload) -> Data:
        try:
            return await convert.read_payload(payload.decode_mapping, message, "data")
        except PayloadError as error:
            raise RequestException(f"{self._peer} answered with data that can't be read: {error}", "INTERNAL") from None

    def _incarnation(self, text: str) -> str:
        if not is_incarnation(text):
            raise RequestException(f"{self._peer} answered with the incarnation {named(text)}", "INTERNAL")
        return text


def _read_features(features: Sequence[str]) -> tuple[str, ...]:
    """Of each name as much as a name may be; more names than a slave has are left out."""
    return tuple(sentence(name, LONGEST_NAME) for name in features[:MOST_FEATURES])


def _read_held(held: Sequence[pb.HeldTask]) -> tuple[HeldTask, ...]:
    """The tasks that a slave holds: what can't be one of this master's is none."""
    return tuple(HeldTask(task.task_id, task.ended) for task in held if convert.is_task_id(task.task_id))
