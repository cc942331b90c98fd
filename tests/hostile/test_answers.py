"""Peers that answer with garbage: whoever asked gets one clear error, logs no traceback, and goes on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from interaction import Master, RequestException, Slave, SlaveConnectionProxy, TaskStatus
from interaction.config import MAX_BACKLOG, MAX_SLOTS
from interaction.exception import LeaseExpired, SlaveTaskRefused
from interaction.rpc.slave_client import MOST_FEATURES, MOST_HELD
from interaction.v1 import master_service_pb2 as of_master
from interaction.v1 import slave_service_pb2 as of_slave
from interaction.v1.payload_pb2 import Payload
from interaction.v1.slave_service_pb2_grpc import SlaveServiceStub
from interaction.v1.task_pb2 import Task
from tests.contract.slave_programs import CHANNEL, WAIT
from tests.contract.wire import NO_PROXY, duration_of, metadata_of, new_id, new_token

INCARNATION = "a" * 32
GARBAGE = [b"\xff\xff\xff", b"\x0a\x02\xff\xfe", b"\x0a\x7fshort"]
Answer = Callable[[bytes, grpc.ServicerContext], bytes]
Beats = Callable[[Iterator[bytes]], Iterator[bytes]]


class AnyPeer(grpc.GenericRpcHandler):
    """A server of every method: it answers with the bytes that a test says."""

    def __init__(self) -> None:
        self.port = 0
        self.calls: Queue[str] = Queue()
        self.answers: dict[str, Answer] = {
            "Ping": says(of_slave.SlaveServicePingResponse(incarnation=INCARNATION)),
            "Connect": says(of_slave.ConnectResponse(incarnation=INCARNATION)),
            "Disconnect": says(of_slave.DisconnectResponse()),
            "NewTask": says(of_slave.NewTaskResponse()),
            "ReportResult": says(of_master.ReportResultResponse(acknowledgement=1)),  # type: ignore[arg-type]
        }
        self.beats: Beats = acknowledging

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        method = call.method.rpartition("/")[2]
        self.calls.put(method)
        if method == "Heartbeat":
            return grpc.stream_stream_rpc_method_handler(lambda requests, _: self.beats(requests))
        return grpc.unary_unary_rpc_method_handler(lambda request, context: self.answers[method](request, context))


def says(message: Any) -> Answer:
    content: bytes = message if isinstance(message, bytes) else message.SerializeToString()
    return lambda _, __: content


def acknowledging(requests: Iterator[bytes]) -> Iterator[bytes]:
    for request in requests:
        sequence = of_master.HeartbeatRequest.FromString(request).sequence
        yield of_master.HeartbeatResponse(sequence=sequence).SerializeToString()


def failing(code: grpc.StatusCode, details: str, *trailers: tuple[str, bytes | str]) -> Answer:
    def fail(_: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_trailing_metadata(trailers)
        context.abort(code, details)
        return b""

    return fail


@pytest.fixture
def peer() -> Iterator[AnyPeer]:
    peer = AnyPeer()
    with ThreadPoolExecutor(8) as threads:
        server = grpc.server(threads, options=[("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers((peer,))
        peer.port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield peer
        finally:
            server.stop(grace=None).wait()


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Whatever a peer answers, no log has a traceback, and no line that the peer has written."""
    caplog.set_level(logging.DEBUG)
    yield caplog
    for record in caplog.records:
        if record.name != "grpc._server":  # the peer's own
            assert record.exc_info is None, record.getMessage()
            assert "\n" not in record.getMessage()


@pytest.fixture
def master() -> Iterator[Master]:
    with Master("127.0.0.1", 0, channel=CHANNEL, request_retries=0, request_timeout=WAIT) as master:
        yield master


@pytest.fixture
def connection(master: Master, peer: AnyPeer) -> SlaveConnectionProxy:
    connection = master.new_connection("peer", "127.0.0.1", peer.port)
    connection.connect()
    return connection


class Listener(Slave):
    def __init__(self) -> None:
        super().__init__("127.0.0.1", 0, channel=CHANNEL, request_retry_waiting=0.05)
        self.ran: list[object] = []
        self.lost: Queue[Exception] = Queue()

    def _process_task(self, task: Any) -> Any:
        self.ran.append(task)
        return task

    def _lost_connection(self, master_address: str, error: Exception) -> None:
        self.lost.put(error)


@pytest.fixture
def slave() -> Iterator[Listener]:
    with Listener() as slave:
        yield slave


class Caller:
    """Calls the slave in the name of the peer, which is its master."""

    def __init__(self, channel: grpc.Channel, address: str) -> None:
        self._stub = SlaveServiceStub(channel)
        self._address = address
        self.token = new_token()

    def connect(self, lease: float) -> None:
        request = of_slave.ConnectRequest(master_address=self._address, lease=duration_of(lease))
        self._stub.Connect(request, metadata=metadata_of(self.token), timeout=WAIT)

    def new_task(self) -> None:
        request = of_slave.NewTaskRequest(task=Task(id=new_id(), data=Payload(json='{"a": 1}')))
        self._stub.NewTask(request, metadata=metadata_of(self.token), timeout=WAIT)

    def disconnect(self) -> None:
        self._stub.Disconnect(of_slave.DisconnectRequest(), metadata=metadata_of(self.token), timeout=WAIT)


@pytest.fixture
def caller(slave: Listener, peer: AnyPeer) -> Iterator[Caller]:
    with grpc.insecure_channel(f"127.0.0.1:{slave.port}", NO_PROXY) as channel:
        yield Caller(channel, f"127.0.0.1:{peer.port}")


# A slave that answers its master with garbage.


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
    with pytest.raises(RequestException, match="1000000 held"):
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
    assert caught.value.message == "no FAKE"


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


# A master that answers its slave with garbage.


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_on_the_heartbeat_stream_renews_no_lease(
    caller: Caller, peer: AnyPeer, slave: Listener, garbage: bytes
) -> None:
    peer.beats = lambda requests: (garbage for _ in requests)
    caller.connect(lease=0.5)
    assert isinstance(slave.lost.get(timeout=WAIT), LeaseExpired)
    peer.beats = acknowledging
    caller.token = new_token()
    caller.connect(lease=5.0)
    caller.disconnect()


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff", b"\x0a\x7fshort"])
def test_garbage_in_answer_to_a_result_does_not_lose_it(
    caller: Caller, peer: AnyPeer, slave: Listener, garbage: bytes
) -> None:
    reports: Queue[bytes] = Queue()
    good, again = peer.answers["ReportResult"], iter([garbage, garbage])

    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        reports.put(request)
        return next(again, None) or good(request, context)

    peer.answers["ReportResult"] = answer
    caller.connect(lease=10.0)
    caller.new_task()
    three = [of_master.ReportResultRequest.FromString(reports.get(timeout=WAIT)) for _ in range(3)]
    assert {report.result.result.json for report in three} == {'{"a":1}'}
    caller.disconnect()


@pytest.mark.parametrize(
    "answer",
    [
        *(of_master.HeartbeatResponse(sequence=1, lease=lease) for lease in (Duration(), Duration(seconds=-5))),
        of_master.HeartbeatResponse(sequence=1, lease=Duration(seconds=10**18)),
        of_master.HeartbeatResponse(sequence=1, lease=Duration(nanos=1)),
        of_master.HeartbeatResponse(sequence=1, lease=Duration(seconds=2**63 - 1, nanos=2**31 - 1)),
        of_master.HeartbeatResponse(sequence=2**64 - 1),
        of_master.HeartbeatResponse(),
    ],
    ids=lambda answer: str(answer).replace("\n", " "),
)
def test_an_acknowledgement_that_makes_no_sense_changes_nothing(
    caller: Caller, peer: AnyPeer, slave: Listener, answer: of_master.HeartbeatResponse
) -> None:
    """Neither does the session end, nor is the lease that was granted another one."""
    silent, beaten = threading.Event(), threading.Event()

    def beats(requests: Iterator[bytes]) -> Iterator[bytes]:
        for request in requests:
            yield answer.SerializeToString()
            if not silent.is_set():
                yield from acknowledging(iter([request]))
            beaten.set()

    peer.beats = beats
    caller.connect(lease=2.0)
    assert beaten.wait(WAIT)
    caller.new_task()
    silent.set()
    assert isinstance(slave.lost.get(timeout=WAIT), LeaseExpired)


def test_a_flood_of_acknowledgements_is_read_and_forgotten(caller: Caller, peer: AnyPeer, slave: Listener) -> None:
    done = threading.Event()

    def beats(requests: Iterator[bytes]) -> Iterator[bytes]:
        first = of_master.HeartbeatResponse(sequence=1).SerializeToString()
        for _ in range(20_000):
            yield first
        done.set()
        yield from acknowledging(requests)

    peer.beats = beats
    caller.connect(lease=30.0)
    assert done.wait(WAIT)
    caller.new_task()
    caller.disconnect()
    assert slave.ran == [{"a": 1}]


@pytest.mark.timeout(60)
def test_a_master_that_ends_every_stream_at_once_is_not_asked_without_pause(
    caller: Caller, peer: AnyPeer, slave: Listener
) -> None:
    peer.beats = lambda _: iter(())
    caller.connect(lease=1.5)
    assert isinstance(slave.lost.get(timeout=WAIT), LeaseExpired)
    streams = sum(call == "Heartbeat" for call in list(peer.calls.queue))
    assert 2 <= streams <= 30


def test_the_token_that_a_master_repeats_is_not_logged(
    caller: Caller, peer: AnyPeer, slave: Listener, log: pytest.LogCaptureFixture
) -> None:
    reported = threading.Event()

    def tell(_: bytes, context: grpc.ServicerContext) -> bytes:
        reported.set()
        context.abort(grpc.StatusCode.UNAVAILABLE, f"no route for token {caller.token}")
        return b""

    peer.answers["ReportResult"] = tell
    caller.connect(lease=10.0)
    caller.new_task()
    assert reported.wait(WAIT)
    closing = of_master.HeartbeatResponse(closing=of_master.HeartbeatClosing(reason=f"bye {caller.token}\nFAKE"))
    peer.beats = lambda _: iter([closing.SerializeToString()])
    slave.shutdown()
    ours = [record.getMessage() for record in log.records if record.name.startswith("interaction")]
    assert any("(the token)" in line for line in ours)
    assert not any(caller.token in line for line in ours)
