"""A master that was taken over puts words that mean harm into every text of the contract. What its slave shows of them
is on one line, not too long, and nothing that a terminal obeys: by calls, by the fast road, on the heartbeat stream,
and in a status's words. So is what the slave refuses it with."""

from __future__ import annotations

from collections.abc import Iterator
from queue import Queue
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from interaction import Slave
from interaction.v1 import master_service_pb2 as of_master
from interaction.v1 import slave_service_pb2 as of_slave
from interaction.v1.payload_pb2 import Payload
from interaction.v1.slave_service_pb2_grpc import SlaveServiceStub
from interaction.v1.task_pb2 import Task
from tests.contract.slave_programs import CHANNEL, WAIT
from tests.contract.wire import NO_PROXY, duration_of, metadata_of, new_id, new_token
from tests.hostile.peers import AnyPeer, acknowledging, any_peer
from tests.hostile.test_answers import DETAILS, INFO, details_of, failing
from tests.hostile.words import NASTY, SHORT, Path, assert_fit, assert_log_fit, assert_one_line, cases, put

peer = pytest.fixture(any_peer)


class Adder(Slave):
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.lost: Queue[tuple[str, Exception]] = Queue()

    def _process_task(self, task: Any) -> Any:
        return {"sum": task["a"] + task["b"]}

    def _lost_connection(self, master_address: str, error: Exception) -> None:
        self.lost.put((master_address, error))


@pytest.fixture(params=["thread", "process"])
def slave(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[Adder]:
    """Whatever comes, its log is fit to be read."""
    caplog.set_level("DEBUG", "interaction")
    slave = Adder("127.0.0.1", 0, channel=CHANNEL, request_retry_waiting=0.05, isolation=request.param)
    slave.start()
    try:
        yield slave
    finally:
        slave.shutdown()  # and no more: a master that acknowledges nothing is not waited for
        slave.join()
    assert_log_fit(caplog.records)


@pytest.fixture
def stub(slave: Adder) -> Iterator[SlaveServiceStub]:
    with grpc.insecure_channel(f"127.0.0.1:{slave.port}", NO_PROXY) as channel:
        yield SlaveServiceStub(channel)


def connect(stub: SlaveServiceStub, peer: AnyPeer) -> Any:
    """Open a session. Returns the metadata of its calls."""
    metadata = metadata_of(new_token())
    request = of_slave.ConnectRequest(master_address=f"127.0.0.1:{peer.port}", lease=duration_of(20.0))
    stub.Connect(request, metadata=metadata, timeout=WAIT)
    return metadata


def a_task() -> Task:
    return Task(id=new_id(), data=Payload(json='{"a": 1, "b": 2}'))


CALLS = {
    of_slave.ConnectRequest: "Connect",
    of_slave.DisconnectRequest: "Disconnect",
    of_slave.NewTaskRequest: "NewTask",
    of_slave.CancelTaskRequest: "CancelTask",
    of_slave.SlaveServicePingRequest: "Ping",
}


@pytest.mark.parametrize(("kind", "path"), cases(*CALLS))
def test_what_a_master_calls_with(
    slave: Adder, stub: SlaveServiceStub, peer: AnyPeer, kind: type[Message], path: Path
) -> None:
    metadata = metadata_of(new_token()) if kind is of_slave.ConnectRequest else connect(stub, peer)
    request = kind()
    if isinstance(request, of_slave.ConnectRequest):
        request.lease.CopyFrom(duration_of(20.0))
    elif isinstance(request, of_slave.NewTaskRequest):
        request.task.CopyFrom(a_task())
    put(request, path, NASTY)
    with pytest.raises(grpc.RpcError) as refused:
        getattr(stub, CALLS[kind])(request, metadata=metadata, timeout=WAIT)
    assert isinstance(refused.value, grpc.Call)
    assert_one_line(refused.value.details())


@pytest.mark.parametrize(("_", "path"), cases(of_slave.WorkRequest))
def test_what_a_master_says_by_the_fast_road(
    slave: Adder, stub: SlaveServiceStub, peer: AnyPeer, _: object, path: Path
) -> None:
    metadata = connect(stub, peer)
    request = of_slave.WorkRequest(tasks=[a_task()])
    put(request, path, NASTY)
    call = stub.Work(iter([request]), metadata=metadata, timeout=WAIT)
    try:
        for outcome in next(call).outcomes:
            assert_one_line(outcome.refused.message)
    except grpc.RpcError:
        assert_one_line(call.details())
    finally:
        call.cancel()


@pytest.mark.parametrize(("_", "path"), cases(of_master.HeartbeatResponse))
def test_what_a_master_says_when_it_ends_the_session(
    slave: Adder, stub: SlaveServiceStub, peer: AnyPeer, _: object, path: Path
) -> None:
    closing = of_master.HeartbeatResponse(sequence=1)
    put(closing, path, NASTY)

    def beats(requests: Iterator[bytes]) -> Iterator[bytes]:
        beat = acknowledging(requests)
        yield next(beat)
        next(requests)
        yield closing.SerializeToString()

    peer.beats = beats
    connect(stub, peer)
    address, error = slave.lost.get(timeout=WAIT)
    assert_one_line(address)
    assert_fit(error)


CODES = [grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL]


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("reason", ["SLAVE_TOKEN_INVALID", SHORT, ""])
def test_the_words_of_a_status(
    slave: Adder, stub: SlaveServiceStub, peer: AnyPeer, code: grpc.StatusCode, reason: str
) -> None:
    """In answer to a result, which is then reported again or not; and to the beats."""
    info = type(INFO)(domain="interaction", reason=reason)
    info.metadata[SHORT] = SHORT
    details = details_of(info, Payload(json="["), code=code, message=NASTY[:3000])
    refusal, reported = failing(code, NASTY[:3000], *([(DETAILS, details)] if reason else [])), Queue[None]()

    def refuse(content: bytes, context: grpc.ServicerContext) -> bytes:
        reported.put(None)
        return refusal(content, context)

    peer.answers["ReportResult"] = refuse
    metadata = connect(stub, peer)
    stub.NewTask(of_slave.NewTaskRequest(task=a_task()), metadata=metadata, timeout=WAIT)
    reported.get(timeout=WAIT)
    stub.Disconnect(of_slave.DisconnectRequest(), metadata=metadata, timeout=WAIT)


def test_no_text_of_a_master_is_left_out() -> None:
    """What a master answers has words only where these tests put theirs."""
    silent = [of_master.MasterServicePingResponse, of_master.ReportResultResponse]
    assert [case.id for case in cases(*silent)] == [
        f"MasterServicePingResponse.{name}" for name in ("language", "version", "features")
    ], "nobody reads these: no slave calls Ping"
