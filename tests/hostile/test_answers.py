"""A slave that answers its master with garbage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from interaction import Master, RequestException, SlaveConnectionProxy, TaskStatus
from interaction.config import MAX_BACKLOG, MAX_SLOTS
from interaction.exception import SlaveTaskRefused
from interaction.rpc.slave_client import MOST_FEATURES, MOST_HELD
from interaction.v1 import slave_service_pb2 as of_slave
from interaction.v1.payload_pb2 import Payload
from tests.contract.slave_programs import CHANNEL, WAIT
from tests.contract.wire import new_id
from tests.hostile.peers import GARBAGE, INCARNATION, Answer, AnyPeer, any_peer, clean_log, says


def failing(code: grpc.StatusCode, details: str, *trailers: tuple[str, bytes | str]) -> Answer:
    def fail(_: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_trailing_metadata(trailers)
        context.abort(code, details)
        return b""

    return fail


@pytest.fixture
def master() -> Iterator[Master]:
    with Master("127.0.0.1", 0, channel=CHANNEL, request_retries=0, request_timeout=WAIT) as master:
        yield master


@pytest.fixture
def connection(master: Master, peer: AnyPeer) -> SlaveConnectionProxy:
    connection = master.new_connection("peer", "127.0.0.1", peer.port)
    connection.connect()
    return connection


peer = pytest.fixture(any_peer)
log = pytest.fixture(autouse=True)(clean_log)


@pytest.mark.parametrize("garbage", GARBAGE)
def test_an_answer_to_connect_that_is_no_message_is_a_clear_error(
    master: Master, peer: AnyPeer, garbage: bytes
) -> None:
    good, peer.answers["Connect"] = peer.answers["Connect"], says(garbage)
    connection = master.new_connection("peer", "127.0.0.1", peer.port)
    with pytest.raises(RequestException, match="can't be parsed"):
        connection.connect()
    peer.answers["Connect"] = good
    connection.connect()
    assert connection.is_connected


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (of_slave.ConnectResponse(), "incarnation"),
        (of_slave.ConnectResponse(incarnation="A" * 32), "incarnation"),
        (of_slave.ConnectResponse(incarnation=INCARNATION, data=Payload(json="[")), "can't be read"),
        (of_slave.ConnectResponse(incarnation=INCARNATION, data=Payload(json="[1]")), "mapping"),
        (of_slave.ConnectResponse(incarnation=INCARNATION, held=[of_slave.HeldTask()] * (MOST_HELD + 1)), "held"),
        (of_slave.ConnectResponse(incarnation=INCARNATION, features=["x"] * (MOST_FEATURES + 1)), "features"),
    ],
    ids=["no incarnation", "capitals", "no JSON", "no mapping", "held", "features"],
)
def test_an_answer_to_connect_that_makes_no_sense_is_a_clear_error(
    master: Master, peer: AnyPeer, answer: of_slave.ConnectResponse, problem: str
) -> None:
    peer.answers["Connect"] = says(answer)
    with pytest.raises(RequestException, match=problem):
        master.new_connection("peer", "127.0.0.1", peer.port).connect()
    assert "peer" not in master


def test_a_million_held_tasks_do_not_hold_up_the_master(master: Master, peer: AnyPeer) -> None:
    held = of_slave.HeldTask(task_id=new_id()).SerializeToString()
    content = of_slave.ConnectResponse(incarnation=INCARNATION).SerializeToString()
    peer.answers["Connect"] = says(content + (b"\x32" + bytes([len(held)]) + held) * 1_000_000)
    with pytest.raises(RequestException, match="can't be parsed"):
        master.new_connection("peer", "127.0.0.1", peer.port).connect()
    assert master.ping()


def test_unknown_fields_and_ids_that_are_none_are_not_minded(master: Master, peer: AnyPeer) -> None:
    answer = of_slave.ConnectResponse(
        incarnation=INCARNATION, slots=2**32 - 1, backlog=2**32 - 1, labels={"": ""}, max_message_bytes=2**64 - 1
    )
    answer.held.add(task_id="no UUID")
    peer.answers["Connect"] = says(answer.SerializeToString() + b"\xfa\xff\xff\xff\x0f\x05bytes")
    connection = master.new_connection("peer", "127.0.0.1", peer.port)
    connection.connect()
    assert connection.is_connected
    assert (connection.slots, connection.backlog) == (MAX_SLOTS, MAX_BACKLOG)  # it gets no more than one of ours


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_in_answer_to_a_task_fails_its_start_alone(
    connection: SlaveConnectionProxy, peer: AnyPeer, garbage: bytes
) -> None:
    peer.answers["NewTask"] = says(garbage)
    task = connection.new_task({"a": 1})
    with pytest.raises(RequestException, match="can't be parsed"):
        task.start()
    assert task.status is TaskStatus.START_FAILED
    assert connection.is_connected
    peer.answers["Disconnect"] = says(garbage)
    with pytest.raises(RequestException, match="can't be parsed"):
        connection.disconnect()
    assert connection.is_connected


def details_of(*messages: Any, code: grpc.StatusCode = grpc.StatusCode.PERMISSION_DENIED, message: str = "x") -> bytes:
    status = Status(code=code.value[0], message=message)
    for one in messages:
        detail = AnyMessage()
        detail.Pack(one)
        status.details.append(detail)
    content: bytes = status.SerializeToString()
    return content


INFO = ErrorInfo(domain="interaction", reason="TASK_REFUSED")
DETAILS = "grpc-status-details-bin"


@pytest.mark.parametrize(
    "trailers",
    [
        [(DETAILS, b"\xff\xff\xff")],
        [(DETAILS, details_of(INFO, code=grpc.StatusCode.OK))],
        [(DETAILS, details_of(INFO, code=grpc.StatusCode.ABORTED))],
        [(DETAILS, b""), (DETAILS, b"\xff")],
        [(DETAILS, details_of(ErrorInfo(domain="elsewhere", reason="TASK_REFUSED")))],
        [(DETAILS, details_of(ErrorInfo(domain="interaction", reason="SUCCESS")))],
        [(DETAILS, details_of(ErrorInfo(domain="interaction", reason="__class__")))],
        [(DETAILS, details_of(ErrorInfo(domain="interaction", reason="CHANNEL_NOT_GIVEN")))],  # a master's
        [(DETAILS, Status(code=7, details=[AnyMessage(type_url=INFO.DESCRIPTOR.full_name)]).SerializeToString())],
        [
            (
                DETAILS,
                Status(
                    code=7, details=[AnyMessage(type_url="x/google.rpc.ErrorInfo", value=b"\xff\xff")]
                ).SerializeToString(),
            )
        ],
        [("x", "y" * 100)] * 500,
    ],
)
def test_details_of_a_status_that_make_no_sense_are_a_failure_of_the_transport(
    connection: SlaveConnectionProxy, peer: AnyPeer, trailers: list[tuple[str, bytes | str]]
) -> None:
    peer.answers["NewTask"] = failing(grpc.StatusCode.PERMISSION_DENIED, "no\nFAKE a line of a log\x1b[31m", *trailers)
    with pytest.raises(RequestException) as caught:
        connection.new_task({"a": 1}).start()
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert connection.is_connected


def test_a_refusal_whose_data_can_not_be_read_is_a_refusal(connection: SlaveConnectionProxy, peer: AnyPeer) -> None:
    details = details_of(INFO, Payload(json="["), message="no\nFAKE")
    peer.answers["NewTask"] = failing(grpc.StatusCode.PERMISSION_DENIED, "no\nFAKE", (DETAILS, details))
    with pytest.raises(SlaveTaskRefused) as caught:
        connection.new_task({"a": 1}).start()
    assert "unreadable" in (caught.value.data or {})
    assert caught.value.message == r"no\nFAKE"


def test_another_incarnation_at_every_ping_is_one_loss(master: Master, peer: AnyPeer) -> None:
    peer.answers["Ping"] = says(of_slave.SlaveServicePingResponse(incarnation="b" * 32))
    connection = master.new_connection("peer", "127.0.0.1", peer.port)
    task = connection.new_task({"a": 1})
    connection.connect()
    try:
        task.start()  # or the probe has found out before
    except RequestException:
        return
    assert task.join(WAIT).status is TaskStatus.LOST
