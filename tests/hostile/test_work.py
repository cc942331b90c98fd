"""A master with a good token that misuses the fast road: the slave's memory is bounded, and others are served."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from queue import Queue

import grpc
import pytest

from interaction.v1.payload_pb2 import Payload
from interaction.v1.slave_service_pb2 import WorkRequest
from interaction.v1.slave_service_pb2_grpc import SlaveServiceStub
from interaction.v1.task_pb2 import Task
from tests.contract.slave_programs import WAIT
from tests.contract.wire import NO_PROXY, metadata_of, new_id
from tests.hostile.conftest import MIB, Pair
from tests.hostile.http2 import SETTINGS, Connection, frame, message

WORK = "/interaction.v1.SlaveService/Work"
CLOSED_WINDOW = frame(SETTINGS, 0, 0, b"\x00\x04\x00\x00\x00\x00")  # INITIAL_WINDOW_SIZE 0: no answer can be sent
UNREADABLE = Payload(json="{")  # refused, each with a sentence


@pytest.fixture
def stub(pair: Pair) -> Iterator[SlaveServiceStub]:
    with grpc.insecure_channel(f"127.0.0.1:{pair.slave.port}", NO_PROXY) as channel:
        yield SlaveServiceStub(channel)


def opened(connection: Connection, stream: int, token: str) -> None:
    connection.open(stream, WORK, (b"channel", b"7"), (b"token", token.encode()))


def flood(connection: Connection, request: WorkRequest) -> int:
    """Send the same again and again, until the peer lets no more come. Returns the bytes that it let."""
    content, sent = message(request.SerializeToString()), 0
    with suppress(TimeoutError):
        while sent < 500 * MIB:
            connection.data(1, content, end=False)
            sent += len(content)
    return sent


@pytest.mark.timeout(120)
def test_a_master_that_never_reads_is_not_read_for_ever(pair: Pair) -> None:
    """Every task is refused, and the refusals have nowhere to go."""
    with Connection(pair.slave.port, timeout=5.0) as connection:
        connection.send(CLOSED_WINDOW)
        opened(connection, 1, pair.token())
        sent = flood(connection, WorkRequest(tasks=[Task(id=new_id(), data=UNREADABLE) for _ in range(1_000)]))
        print(f"{sent // MIB} MiB were taken")  # gRPC alone takes some 32 before anybody reads
        pair.works()
    assert sent < 300 * MIB
    pair.assert_unharmed(sent // MIB + 100)


def test_streams_that_are_never_read_give_way_to_one_another(pair: Pair) -> None:
    request = WorkRequest(tasks=[Task(id=new_id(), data=UNREADABLE) for _ in range(100)])
    with Connection(pair.slave.port) as connection:
        connection.send(CLOSED_WINDOW)
        token = pair.token()
        for stream in range(1, 401, 2):
            opened(connection, stream, token)
            connection.data(stream, message(request.SerializeToString()), end=False)
        connection.until_ping()
        pair.works()
    pair.assert_unharmed(96)


def test_a_stream_that_is_opened_a_thousand_times_is_one_stream(pair: Pair, stub: SlaveServiceStub) -> None:
    metadata = metadata_of(pair.token())
    task = Task(id=new_id(), data=UNREADABLE)
    calls = []
    for _ in range(1_000):
        requests: Queue[WorkRequest] = Queue()
        requests.put(WorkRequest(tasks=[task]))
        calls.append(stub.Work(iter(requests.get, None), metadata=metadata, timeout=60))
        # A result that the master had no time to acknowledge is said by each, too.
        while task.id not in [outcome.task_id for outcome in next(calls[-1]).outcomes]:
            pass
    calls[-1].cancel()
    for call in calls[:-1]:
        with pytest.raises(grpc.RpcError) as caught:
            list(call)
        assert isinstance(caught.value, grpc.Call)
        assert caught.value.code() is grpc.StatusCode.ABORTED
    pair.assert_unharmed(96)


@pytest.mark.timeout(120)
def test_a_message_of_very_many_tasks_does_not_stop_the_slave(pair: Pair, stub: SlaveServiceStub) -> None:
    """20,000 of them are 1 MB, and each gets its answer."""
    tasks = [Task(id=new_id(), data=UNREADABLE) for _ in range(20_000)]
    requests: Queue[WorkRequest | None] = Queue()
    requests.put(WorkRequest(tasks=tasks))
    call = stub.Work(iter(requests.get, None), metadata=metadata_of(pair.token()), timeout=60)
    answered = 0
    for response in call:
        assert {outcome.refused.reason for outcome in response.outcomes} == {"TASK_DATA_INVALID"}
        answered += len(response.outcomes)
        if answered == len(tasks):
            requests.put(None)
    assert answered == len(tasks)
    pair.assert_unharmed(256)


def test_a_hundred_thousand_acknowledgements_are_read_and_a_million_are_not(pair: Pair, stub: SlaveServiceStub) -> None:
    request = WorkRequest(acknowledged=[new_id()] * 100_000)
    said = list(stub.Work(iter([request]), metadata=metadata_of(pair.token()), timeout=WAIT))
    assert all(outcome.HasField("result") for response in said for outcome in response.outcomes)  # of a task before it
    request = WorkRequest(acknowledged=[new_id()] * 1_000_000)
    with pytest.raises(grpc.RpcError) as caught:
        list(stub.Work(iter([request]), metadata=metadata_of(pair.token()), timeout=WAIT))
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    pair.assert_unharmed(192)
