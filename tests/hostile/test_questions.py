"""Who asks for health or reflection as people and probes do: several at once, one after the other, slowly."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from tests.contract.slave_programs import WAIT
from tests.contract.wire import NO_PROXY
from tests.hostile.bodies import COMMON
from tests.hostile.conftest import Pair

USERS = 10
either = pytest.mark.parametrize("role", ["master", "slave"])
QUESTION = ServerReflectionRequest(list_services="")


def reflect(channel: grpc.Channel, questions: Iterator[ServerReflectionRequest]) -> Any:
    call = channel.stream_stream(
        COMMON[2], ServerReflectionRequest.SerializeToString, ServerReflectionResponse.FromString
    )
    return call(questions, timeout=WAIT)


def asked(port: int, questions: Callable[[], Iterator[ServerReflectionRequest]]) -> tuple[int, grpc.StatusCode, str]:
    """How many answers came, and how the stream ended."""
    options = [*NO_PROXY, ("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        call, answers = reflect(channel, questions()), 0
        try:
            for _ in call:
                answers += 1
        except grpc.RpcError:
            pass
        return answers, call.code(), call.details()


def at_once() -> Iterator[ServerReflectionRequest]:
    yield QUESTION
    yield QUESTION


@either
def test_many_who_ask_by_reflection_at_once_are_all_answered(pair: Pair, role: str) -> None:
    with ThreadPoolExecutor(USERS) as threads:
        found = Counter(threads.map(lambda _: asked(pair.peer(role).port, at_once)[:2], range(USERS)))
    assert found == {(2, grpc.StatusCode.OK): USERS}
    pair.assert_unharmed(32)


@either
def test_many_who_hold_their_streams_as_grpcurl_does_are_all_answered(pair: Pair, role: str) -> None:
    def ask(_: int) -> int:
        done = threading.Event()

        def one() -> Iterator[ServerReflectionRequest]:
            yield QUESTION
            done.wait(WAIT)

        with grpc.insecure_channel(
            f"127.0.0.1:{pair.peer(role).port}", [*NO_PROXY, ("grpc.use_local_subchannel_pool", 1)]
        ) as channel:
            call = reflect(channel, one())
            try:
                return len(next(call).list_services_response.service)
            finally:
                done.set()
                call.cancel()

    with ThreadPoolExecutor(USERS) as threads:
        assert list(threads.map(ask, range(USERS))) == [3] * USERS
    pair.assert_unharmed(32)


@either
def test_a_question_that_is_not_answered_is_told_why(pair: Pair, role: str) -> None:
    def slowly() -> Iterator[ServerReflectionRequest]:
        yield QUESTION
        time.sleep(0.3)  # what a person, or a slow line, takes
        yield QUESTION

    answers, code, why = asked(pair.peer(role).port, slowly)
    assert (answers, code) == (1, grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert "new stream" in why
    pair.assert_unharmed(32)


@either
def test_many_who_ask_for_a_service_that_is_not_there_are_told_so(pair: Pair, role: str) -> None:
    def ask(_: int) -> grpc.StatusCode:
        with grpc.insecure_channel(
            f"127.0.0.1:{pair.peer(role).port}", [*NO_PROXY, ("grpc.use_local_subchannel_pool", 1)]
        ) as channel:
            check = channel.unary_unary(COMMON[0], HealthCheckRequest.SerializeToString, bytes)
            error = check.future(HealthCheckRequest(service="nonsense"), timeout=WAIT).exception()
            assert isinstance(error, grpc.RpcError)
            return error.code()

    with ThreadPoolExecutor(USERS) as threads:
        found = Counter(threads.map(ask, range(5 * USERS)))
    assert found == {grpc.StatusCode.NOT_FOUND: 5 * USERS}
    pair.assert_unharmed(32)
