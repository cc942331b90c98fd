"""Calls that need no token, by whoever reaches the port: short messages, few at once, and nobody waits for a body."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from interaction.rpc.strangers import MOST_BYTES, MOST_STREAMS
from tests.contract.holding import wait_until
from tests.contract.slave_programs import WAIT
from tests.contract.wire import NO_PROXY
from tests.hostile import bodies
from tests.hostile.bodies import PATHS, packed, poured
from tests.hostile.conftest import Pair
from tests.hostile.http2 import DATA, Connection, frame, message

CHECK, WATCH, REFLECT = bodies.COMMON
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
either = pytest.mark.parametrize("role", ["master", "slave"])


def ended(port: int, path: str, *contents: bytes) -> grpc.StatusCode:
    """How a call ends, whatever is answered before."""
    with grpc.insecure_channel(f"127.0.0.1:{port}", NO_PROXY) as channel:
        call = channel.stream_stream(path, bytes, bytes)(iter(contents), timeout=WAIT)
        with suppress(grpc.RpcError):
            deque(call, maxlen=0)  # while an answer is unread the end is not told
        code: grpc.StatusCode = call.code()
        return code


def until_messages_are_read(port: int) -> None:
    """After one that came late none is for a moment, and health is told without."""
    nonsense = HealthCheckRequest(service="nonsense").SerializeToString()
    wait_until(lambda: ended(port, CHECK, nonsense) is grpc.StatusCode.NOT_FOUND)


@either
def test_ping_is_answered_before_its_body(pair: Pair, role: str) -> None:
    with Connection(pair.peer(role).port) as connection:
        connection.open(1, PATHS[role][0])  # and no body follows
        connection.until_end_of(1)
    pair.assert_unharmed(16)


@either
@pytest.mark.parametrize("path", [CHECK, WATCH, REFLECT])
def test_a_message_without_a_token_may_be_short_alone(pair: Pair, role: str, path: str) -> None:
    port = pair.peer(role).port
    until_messages_are_read(port)
    field = 1 if path != REFLECT else 3  # the service, or a file's name
    for length, long in ((MOST_BYTES - 3, False), (MOST_BYTES - 2, True)):
        content = bytes([field << 3 | 2]) + bytes([length % 128 + 128, length // 128]) + b"x" * length
        assert len(content) == MOST_BYTES + long
        if path == WATCH and not long:
            continue  # it would go on
        assert (ended(port, path, content) is EXHAUSTED) == long
    pair.assert_unharmed(16)


@either
@pytest.mark.parametrize("path", [CHECK, WATCH, REFLECT])
def test_nobody_waits_for_a_message_that_does_not_come(pair: Pair, role: str, path: str) -> None:
    until_messages_are_read(pair.peer(role).port)
    with Connection(pair.peer(role).port) as connection:
        connection.open(1, path)
        connection.send(frame(DATA, 0, 1, message(bytes(10))[:-1]))  # all but a byte
        connection.until_end_of(1)
    pair.assert_unharmed(16)


@either
def test_health_is_told_of_each_service_by_name(pair: Pair, role: str) -> None:
    until_messages_are_read(pair.peer(role).port)
    with grpc.insecure_channel(f"127.0.0.1:{pair.peer(role).port}", NO_PROXY) as channel:
        check = channel.unary_unary(CHECK, HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString)
        for name in ("", f"interaction.v1.{role.capitalize()}Service"):
            assert check(HealthCheckRequest(service=name), timeout=WAIT).status == HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as raised:
            check(HealthCheckRequest(service="nonsense"), timeout=WAIT)
        assert raised.value.code() is grpc.StatusCode.NOT_FOUND


@either
def test_health_is_told_while_others_dawdle(pair: Pair, role: str) -> None:
    with ExitStack() as stack:
        channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{pair.peer(role).port}", NO_PROXY))
        check = channel.unary_unary(CHECK, bytes, HealthCheckResponse.FromString)
        connection = stack.enter_context(Connection(pair.peer(role).port))
        for stream in range(1, 401, 2):
            connection.open(stream, CHECK)  # no body follows
            if stream % 40 == 1:
                assert check(b"", timeout=WAIT).status == HealthCheckResponse.SERVING
    pair.assert_unharmed(32)


@either
def test_streams_without_a_token_are_few_whoever_opens_them(pair: Pair, role: str) -> None:
    """They are counted for the server, not for a connection; and when they have gone there is room again."""
    port = pair.peer(role).port

    def watches(stack: ExitStack) -> Iterator[str]:
        for _ in range(MOST_STREAMS + 5):
            channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{port}", NO_PROXY))
            call = channel.unary_stream(WATCH, bytes, HealthCheckResponse.FromString)(b"", timeout=WAIT)
            stack.callback(call.cancel)
            with suppress(grpc.RpcError):
                assert next(call).status == HealthCheckResponse.SERVING
                yield "served"
                continue
            assert call.code() is EXHAUSTED
            yield "refused"

    with ExitStack() as stack:
        assert sorted(watches(stack)) == ["refused"] * 5 + ["served"] * MOST_STREAMS
        assert ended(port, REFLECT, b"") is EXHAUSTED
        pair.works()
    with ExitStack() as stack:
        assert "served" in watches(stack)
    pair.assert_unharmed(64)


@either
def test_no_body_without_a_token_costs_memory(make_pair: Callable[..., Pair], role: str) -> None:
    """The short form of a figure: 256 streams of 64 MiB, on each call, and 256 that would unpack to as much."""
    pair, bomb = make_pair(), packed()
    for path, metadata, content in bodies.floods(PATHS[role], bomb):
        found = poured(pair, role, path, content, *metadata, streams=256)
        print(found)
        assert found.grown < bodies.MOST_GROWTH, str(found)
        assert found.slowest < 10 * bodies.MOST_SECONDS, str(found)  # it shares the machine
    pair.assert_unharmed(bodies.MOST_GROWTH)
