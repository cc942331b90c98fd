"""A master that answers its slave with garbage."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import Queue
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from interaction import Slave
from interaction.exception import LeaseExpired
from interaction.v1 import master_service_pb2 as of_master
from interaction.v1 import slave_service_pb2 as of_slave
from interaction.v1.payload_pb2 import Payload
from interaction.v1.slave_service_pb2_grpc import SlaveServiceStub
from interaction.v1.task_pb2 import Task
from tests.contract.slave_programs import CHANNEL, WAIT
from tests.contract.wire import NO_PROXY, duration_of, metadata_of, new_id, new_token
from tests.hostile.peers import GARBAGE, AnyPeer, Beats, acknowledging, any_peer, clean_log

peer = pytest.fixture(any_peer)
log = pytest.fixture(autouse=True)(clean_log)


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


def proving_itself_first(then: Beats) -> Beats:
    """The first beat of all is acknowledged: without that no session begins."""
    first = iter([True])

    def beats(requests: Iterator[bytes]) -> Iterator[bytes]:
        if next(first, False):
            yield from acknowledging(iter([next(requests)]))
        yield from then(requests)

    return beats


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_on_the_heartbeat_stream_renews_no_lease(
    caller: Caller, peer: AnyPeer, slave: Listener, garbage: bytes
) -> None:
    peer.beats = proving_itself_first(lambda requests: (garbage for _ in requests))
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
    while peer.calls.get(timeout=WAIT) != "ReportResult":  # what has not begun when its session ends is dropped
        pass
    caller.disconnect()
    assert slave.ran == [{"a": 1}]


@pytest.mark.timeout(60)
def test_a_master_that_ends_every_stream_at_once_is_not_asked_without_pause(
    caller: Caller, peer: AnyPeer, slave: Listener
) -> None:
    peer.beats = proving_itself_first(lambda _: iter(()))
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
