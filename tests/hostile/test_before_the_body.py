"""What metadata, certificate or address refuse is refused before the body: not a byte of it is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from interaction.core.model import Body
from interaction.exception import SlaveSlaveConnectionRefused
from interaction.rpc.guard import BY_SLAVE, Brought, Check, Guard
from interaction.rpc.status import Context
from interaction.v1 import slave_service_pb2 as pb
from tests.contract.slave_programs import WAIT
from tests.contract.wire import NO_PROXY, metadata_of, new_token
from tests.hostile.conftest import Pair
from tests.hostile.http2 import Connection, Field

SLAVE, MASTER = "/interaction.v1.SlaveService/", "/interaction.v1.MasterService/"
GUARDED = [
    *(("slave", SLAVE + method) for method in ("Connect", "Disconnect", "NewTask", "Work", "CancelTask")),
    *(("master", MASTER + method) for method in ("Heartbeat", "ReportResult")),
]
CHANNEL, TOKEN = (b"channel", b"7"), (b"token", b"t" * 43)
REFUSED: dict[str, tuple[Field, ...]] = {
    "nothing": (),
    "another channel": ((b"channel", b"8"), TOKEN),
    "no token": (CHANNEL,),
    "no such token": (CHANNEL, (b"token", b"short")),
    "nobody's token": (CHANNEL, TOKEN),
}


@pytest.mark.parametrize(
    ("brought", "role", "path"),
    [(brought, role, path) for brought in REFUSED for role, path in GUARDED],
)
def test_who_is_refused_by_metadata_is_answered_before_the_body(pair: Pair, brought: str, role: str, path: str) -> None:
    with Connection(pair.peer(role).port) as connection:
        connection.open(1, path, *REFUSED[brought])  # and no body follows
        connection.until_end_of(1)
    pair.assert_unharmed(16)


class Gatekeeper:
    closing = False

    def __init__(self, asked: list[str]) -> None:
        self.asked = asked

    def admit(self, method: str, token: str, previous: str | None) -> Body:
        self.asked.append(f"gatekeeper {method}")
        return Body.READ


class Proof:
    """A check that wants something of each kind: of the metadata, and of the connection."""

    def __init__(self, asked: list[str], name: str) -> None:
        self._asked = asked
        self._name = name

    def admit(self, method: str, metadata: Brought, context: Context) -> None:
        assert context.auth_context()["security_level"] == [b"TSI_SECURITY_NONE"]
        assert context.peer().startswith("ipv4:127.0.0.1:")
        self._asked.append(f"{self._name} {method}")
        if (self._name, "good") not in metadata:
            raise SlaveSlaveConnectionRefused(f"the call brings no good {self._name}")


async def new_task(request: pb.NewTaskRequest, context: Context) -> pb.NewTaskResponse:
    return pb.NewTaskResponse()


async def work(requests: AsyncIterator[pb.WorkRequest], context: Context) -> None:
    await context.write(pb.WorkResponse())


HANDLERS: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
    "NewTask": grpc.unary_unary_rpc_method_handler(
        new_task, pb.NewTaskRequest.FromString, pb.NewTaskResponse.SerializeToString
    ),
    "Work": grpc.stream_stream_rpc_method_handler(work, pb.WorkRequest.FromString, pb.WorkResponse.SerializeToString),
}


@asynccontextmanager
async def served(asked: list[str], *checks: Check) -> AsyncIterator[int]:
    guard = Guard("interaction.v1.SlaveService", 7, BY_SLAVE, Gatekeeper(asked), checks)
    server = grpc.aio.server(interceptors=[guard])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("interaction.v1.SlaveService", HANDLERS),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)


def each_end(port: int, method: str, *brought: tuple[str, str]) -> Iterator[grpc.StatusCode]:
    """How a call ends that sends its headers alone, and one that sends a message, too."""
    metadata = (*metadata_of(new_token()), *brought)
    with Connection(port, WAIT) as connection:
        connection.open(1, SLAVE + method, *((key.encode(), value.encode()) for key, value in metadata))
        connection.until_end_of(1)
    with grpc.insecure_channel(f"127.0.0.1:{port}", NO_PROXY) as channel:
        call = channel.stream_stream(SLAVE + method, bytes, bytes)(iter([b""]), metadata=metadata, timeout=WAIT)
        yield call.code()


@pytest.mark.parametrize("method", ["NewTask", "Work"])
@pytest.mark.parametrize("good", [(), ("secret",), ("role",)])
def test_who_fails_a_check_is_refused_before_the_body_and_before_the_token_is_looked_up(
    method: str, good: tuple[str, ...]
) -> None:
    async def run() -> None:
        asked: list[str] = []
        async with served(asked, Proof(asked, "secret"), Proof(asked, "role")) as port:
            ends = await asyncio.to_thread(list, each_end(port, method, *((name, "good") for name in good)))
        assert ends == [grpc.StatusCode.PERMISSION_DENIED]
        each = [f"secret {method}", f"role {method}"] if good == ("secret",) else [f"secret {method}"]
        assert asked == 2 * each

    asyncio.run(run())


@pytest.mark.parametrize("method", ["NewTask", "Work"])
def test_who_passes_all_checks_is_served(method: str) -> None:
    async def run() -> None:
        asked: list[str] = []
        async with served(asked, Proof(asked, "secret"), Proof(asked, "role")) as port:
            channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", NO_PROXY)
            metadata = (*metadata_of(new_token()), ("secret", "good"), ("role", "good"))
            call = channel.stream_stream(SLAVE + method, bytes, bytes)(iter([b""]), metadata=metadata, timeout=WAIT)
            assert await call.read() == b""
            assert await call.code() is grpc.StatusCode.OK
            await channel.close()
        assert asked == [f"secret {method}", f"role {method}", f"gatekeeper {method}"]

    asyncio.run(run())


def test_a_call_without_a_message_is_refused_and_not_left_waiting() -> None:
    async def run() -> None:
        async with served([]) as port:
            channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", NO_PROXY)
            call = channel.stream_stream(SLAVE + "NewTask", bytes, bytes)(
                iter([]), metadata=metadata_of(new_token()), timeout=WAIT
            )
            assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
            await channel.close()

    asyncio.run(run())
