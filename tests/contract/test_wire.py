"""The services as a stranger meets them: raw stubs against a Python master and a Python slave, from the contract alone."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator, Mapping
from concurrent import futures
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2, struct_pb2
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from interaction import Master
from interaction.v1 import master_service_pb2 as mpb
from interaction.v1 import master_service_pb2_grpc, payload_pb2, slave_service_pb2_grpc, task_pb2
from interaction.v1 import slave_service_pb2 as spb
from tests.contract.conftest import CHANNEL, MakeMaster, MakeSlave, Worker

WAIT = 10.0


def new_token() -> str:
    return secrets.token_hex(32)


def metadata(token: str, channel: str = str(CHANNEL), **more: str) -> list[tuple[str, str]]:
    return [("channel", channel), ("token", token), *((key.replace("_", "-"), value) for key, value in more.items())]


def reason(error: grpc.RpcError) -> str:
    status = rpc_status.from_call(error)
    assert status is not None, f"no details: {error}"
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "interaction"
    return str(info.reason)


class RecordingMaster(master_service_pb2_grpc.MasterServiceServicer):
    """A master that only listens: beats are acknowledged, results kept."""

    def __init__(self) -> None:
        self.results: list[mpb.ReportResultRequest] = []
        self.unavailable = 0  # how many reports are not answered

    def Heartbeat(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[mpb.HeartbeatResponse]:
        for request in requests:
            yield mpb.HeartbeatResponse(sequence=request.sequence)

    def ReportResult(self, request: mpb.ReportResultRequest, context: grpc.ServicerContext) -> mpb.ReportResultResponse:
        if self.unavailable:
            self.unavailable -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        self.results.append(request)
        return mpb.ReportResultResponse(acknowledgement=mpb.RESULT_ACKNOWLEDGEMENT_RECORDED)


@pytest.fixture
def recording_master() -> Iterator[tuple[RecordingMaster, str]]:
    servicer = RecordingMaster()
    server = grpc.server(futures.ThreadPoolExecutor(8))
    master_service_pb2_grpc.add_MasterServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield servicer, f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


@pytest.fixture
def stub(slave: Worker) -> Iterator[slave_service_pb2_grpc.SlaveServiceStub]:
    with grpc.insecure_channel(f"127.0.0.1:{slave.port}") as channel:
        yield slave_service_pb2_grpc.SlaveServiceStub(channel)


@pytest.fixture
def master_stub(master: Master) -> Iterator[master_service_pb2_grpc.MasterServiceStub]:
    with grpc.insecure_channel(f"127.0.0.1:{master.port}") as channel:
        yield master_service_pb2_grpc.MasterServiceStub(channel)


def connect_request(address: str, seconds: int = 5) -> spb.ConnectRequest:
    return spb.ConnectRequest(master_address=address, lease=duration_pb2.Duration(seconds=seconds))


def task_request(data: Mapping[str, Any], task_id: str | None = None) -> spb.NewTaskRequest:
    value = struct_pb2.Value()
    value.struct_value.update(dict(data))
    return spb.NewTaskRequest(
        task=task_pb2.Task(id=task_id or str(uuid.uuid4()), data=payload_pb2.Payload(value=value))
    )


CALLS = {
    "Connect": spb.ConnectRequest(),
    "Disconnect": spb.DisconnectRequest(),
    "NewTask": spb.NewTaskRequest(),
    "CancelTask": spb.CancelTaskRequest(),
}
BAD_METADATA: list[tuple[list[tuple[str, str]], str, grpc.StatusCode]] = [
    ([], "CHANNEL_NOT_FOUND", grpc.StatusCode.INVALID_ARGUMENT),
    ([("channel", "")], "CHANNEL_NOT_FOUND", grpc.StatusCode.INVALID_ARGUMENT),
    ([("token", "t" * 64)], "CHANNEL_NOT_FOUND", grpc.StatusCode.INVALID_ARGUMENT),
    ([("channel", "8"), ("token", "t" * 64)], "CHANNEL_INVALID", grpc.StatusCode.PERMISSION_DENIED),
    ([("channel", "seven"), ("token", "t" * 64)], "CHANNEL_INVALID", grpc.StatusCode.PERMISSION_DENIED),
    ([("channel", "9" * 5000), ("token", "t" * 64)], "CHANNEL_INVALID", grpc.StatusCode.PERMISSION_DENIED),
    ([("channel", "7")], "MASTER_TOKEN_NOT_FOUND", grpc.StatusCode.UNAUTHENTICATED),
    ([("channel", "7"), ("token", "")], "MASTER_TOKEN_INVALID", grpc.StatusCode.PERMISSION_DENIED),
    ([("channel", "7"), ("token", "short")], "MASTER_TOKEN_INVALID", grpc.StatusCode.PERMISSION_DENIED),
    ([("channel", "7"), ("token", "t" * 129)], "MASTER_TOKEN_INVALID", grpc.StatusCode.PERMISSION_DENIED),
]


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize(("brought", "expected", "code"), BAD_METADATA)
def test_a_slave_checks_channel_and_token_before_anything_else(
    stub: slave_service_pb2_grpc.SlaveServiceStub,
    slave: Worker,
    method: str,
    brought: list[tuple[str, str]],
    expected: str,
    code: grpc.StatusCode,
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        getattr(stub, method)(CALLS[method], metadata=brought, timeout=WAIT)
    assert (reason(caught.value), caught.value.code()) == (expected, code)
    assert slave.ran == []


@pytest.mark.parametrize(
    ("brought", "expected"),
    [
        ([], "CHANNEL_NOT_GIVEN"),
        ([("channel", "8"), ("token", "t" * 64)], "CHANNEL_INVALID"),
        ([("channel", "7"), ("channel", "7"), ("token", "t" * 64)], "CHANNEL_NOT_GIVEN"),
        ([("channel", "7")], "SLAVE_TOKEN_NOT_GIVEN"),
        ([("channel", "7"), ("token", "short")], "SLAVE_TOKEN_INVALID"),
        ([("channel", "7"), ("token", "t" * 64)], "SLAVE_TOKEN_INVALID"),
    ],
)
@pytest.mark.parametrize("method", ["Heartbeat", "ReportResult"])
def test_a_master_checks_channel_and_token_before_anything_else(
    master_stub: master_service_pb2_grpc.MasterServiceStub, method: str, brought: list[tuple[str, str]], expected: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        if method == "Heartbeat":
            next(master_stub.Heartbeat(iter([mpb.HeartbeatRequest(sequence=1)]), metadata=brought, timeout=WAIT))
        else:
            master_stub.ReportResult(mpb.ReportResultRequest(), metadata=brought, timeout=WAIT)
    assert reason(caught.value) in (expected, "CHANNEL_INVALID" if len(brought) == 3 else expected)


def test_a_ping_needs_no_metadata(
    stub: slave_service_pb2_grpc.SlaveServiceStub, master_stub: master_service_pb2_grpc.MasterServiceStub
) -> None:
    first, second = (stub.Ping(spb.SlaveServicePingRequest(), timeout=WAIT) for _ in range(2))
    assert len(first.incarnation) == 32
    assert first == second
    assert (first.language, list(first.features)) == ("python", [])
    assert master_stub.Ping(mpb.MasterServicePingRequest(), timeout=WAIT).language == "python"


def test_a_session_by_hand(
    stub: slave_service_pb2_grpc.SlaveServiceStub, recording_master: tuple[RecordingMaster, str], slave: Worker
) -> None:
    servicer, address = recording_master
    token = new_token()
    answer = stub.Connect(connect_request(address), metadata=metadata(token), timeout=WAIT)
    assert (answer.slots, answer.backlog, answer.max_message_bytes) == (1, 0, 64 * 1024 * 1024)
    servicer.unavailable = 1  # the first report is lost, and comes again
    request = task_request({"a": 1, "b": 2})
    for _ in range(3):  # a duplicate gets the same answer, and runs nothing
        assert stub.NewTask(request, metadata=metadata(token), timeout=WAIT) == spb.NewTaskResponse(
            data=payload_pb2.Payload(json="{}")
        )
    stub.Disconnect  # noqa: B018 - the slave flushes its report before it agrees to nothing: wait for the report itself
    while not servicer.results:
        stub.Ping(spb.SlaveServicePingRequest(), timeout=WAIT)
    result = servicer.results[0].result
    assert (result.task_id, result.status) == (request.task.id, task_pb2.TASK_RESULT_STATUS_COMPLETED)
    assert result.result.json == '{"sum":3}'
    assert slave.ran == [{"a": 1, "b": 2}]
    for _ in range(2):
        stub.Disconnect(spb.DisconnectRequest(), metadata=metadata(token), timeout=WAIT)
    assert len(servicer.results) == 1


def test_connect_twice_with_one_token_asks_the_user_once(
    make_slave: MakeSlave, recording_master: tuple[RecordingMaster, str]
) -> None:
    asked: list[Any] = []

    class Asked(Worker):
        def _before_connection(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
            asked.append(data)
            return {"times": len(asked)}

    with grpc.insecure_channel(f"127.0.0.1:{make_slave(Asked).port}") as channel:
        stub = slave_service_pb2_grpc.SlaveServiceStub(channel)
        token = new_token()
        both = [
            stub.Connect.future(connect_request(recording_master[1]), metadata=metadata(token), timeout=WAIT)
            for _ in range(2)
        ]
        answers = [one.result() for one in both]
        answers.append(stub.Connect(connect_request(recording_master[1]), metadata=metadata(token), timeout=WAIT))
    assert len(asked) == 1
    assert [answer.data.json for answer in answers] == ['{"times":1}'] * 3


def refused(call: Any, request: Any, brought: list[tuple[str, str]]) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        call(request, metadata=brought, timeout=WAIT)
    return reason(caught.value)


def test_an_older_token_changes_nothing(
    stub: slave_service_pb2_grpc.SlaveServiceStub, recording_master: tuple[RecordingMaster, str], slave: Worker
) -> None:
    _, address = recording_master
    old, new = new_token(), new_token()
    assert refused(stub.NewTask, task_request({}), metadata(old)) == "SLAVE_NOT_CONNECTED"
    assert refused(stub.Disconnect, spb.DisconnectRequest(), metadata(old)) == "SLAVE_NOT_CONNECTED"
    stub.Connect(connect_request(address), metadata=metadata(old), timeout=WAIT)
    assert refused(stub.Connect, connect_request(address), metadata(new)) == "SLAVE_ALREADY_CONNECTED"
    stub.Disconnect(spb.DisconnectRequest(), metadata=metadata(old), timeout=WAIT)
    stub.Connect(connect_request(address), metadata=metadata(new), timeout=WAIT)
    assert refused(stub.Connect, connect_request(address), metadata(old)) == "MASTER_TOKEN_INVALID"
    assert refused(stub.NewTask, task_request({}), metadata(old)) == "MASTER_TOKEN_INVALID"
    assert refused(stub.Disconnect, spb.DisconnectRequest(), metadata(old)) == "MASTER_TOKEN_INVALID"
    assert slave.ran == []


def test_only_the_holder_of_its_token_resumes_a_session(
    stub: slave_service_pb2_grpc.SlaveServiceStub, recording_master: tuple[RecordingMaster, str], slave: Worker
) -> None:
    servicer, address = recording_master
    first, second = new_token(), new_token()
    stub.Connect(connect_request(address), metadata=metadata(first), timeout=WAIT)
    request = task_request({"wait": 1})
    stub.NewTask(request, metadata=metadata(first), timeout=WAIT)
    assert slave.running.wait(WAIT)
    wrong = metadata(second, previous_token=new_token())
    assert refused(stub.Connect, connect_request(address), wrong) == "SLAVE_ALREADY_CONNECTED"
    resumed = stub.Connect(connect_request(address), metadata=metadata(second, previous_token=first), timeout=WAIT)
    assert [(held.task_id, held.ended) for held in resumed.held] == [(request.task.id, False)]
    assert refused(stub.NewTask, task_request({}), metadata(first)) == "MASTER_TOKEN_INVALID"
    slave.go_on.set()
    while not servicer.results:
        stub.Ping(spb.SlaveServicePingRequest(), timeout=WAIT)
    assert servicer.results[0].result.task_id == request.task.id
    assert len(slave.ran) == 1


def test_a_session_whose_lease_is_over_may_be_resumed_with_its_results(
    stub: slave_service_pb2_grpc.SlaveServiceStub, recording_master: tuple[RecordingMaster, str], slave: Worker
) -> None:
    servicer, address = recording_master
    first, second = new_token(), new_token()
    nobody = connect_request("127.0.0.1:1")
    nobody.lease.FromMilliseconds(300)
    stub.Connect(nobody, metadata=metadata(first), timeout=WAIT)
    request = task_request({"a": 1, "b": 2})
    stub.NewTask(request, metadata=metadata(first), timeout=WAIT)
    assert slave.lost_connection.wait(WAIT)
    assert refused(stub.NewTask, task_request({}), metadata(first)) == "SLAVE_NOT_CONNECTED"
    resumed = stub.Connect(connect_request(address), metadata=metadata(second, previous_token=first), timeout=WAIT)
    assert [(held.task_id, held.ended) for held in resumed.held] == [(request.task.id, True)]
    while not servicer.results:
        stub.Ping(spb.SlaveServicePingRequest(), timeout=WAIT)
    assert servicer.results[0].result.result.json == '{"sum":3}'


@pytest.mark.parametrize(
    "change",
    [
        {"master_address": ""},
        {"master_address": "unix:/tmp/socket"},
        {"master_address": "dns:///localhost:1"},
        {"master_address": "ftp://localhost:1"},
        {"master_address": "http://user@localhost:1"},
        {"master_address": "localhost:0"},
        {"master_address": "x" * 10_000},
        {"lease": duration_pb2.Duration()},
        {"lease": duration_pb2.Duration(seconds=-5)},
        {"lease": duration_pb2.Duration(seconds=10**11)},
        {"data": payload_pb2.Payload(json="[1]")},
        {"data": payload_pb2.Payload(json="{")},
        {"data": payload_pb2.Payload(json='{"$bytes": 3}', buffers=[b""])},
        {"data": payload_pb2.Payload(json="[" * 100_000)},
    ],
    ids=lambda change: str(change)[:40],
)
def test_a_malformed_connect_is_refused_and_changes_nothing(
    stub: slave_service_pb2_grpc.SlaveServiceStub, recording_master: tuple[RecordingMaster, str], change: Any
) -> None:
    request = connect_request(recording_master[1])
    for name, value in change.items():
        request.ClearField(name)
        if isinstance(value, str):
            setattr(request, name, value)
        else:
            getattr(request, name).CopyFrom(value)
    token = new_token()
    assert refused(stub.Connect, request, metadata(token)) == "REQUEST_INVALID"
    stub.Connect(connect_request(recording_master[1]), metadata=metadata(token), timeout=WAIT)


def test_malformed_tasks_are_refused(
    stub: slave_service_pb2_grpc.SlaveServiceStub, recording_master: tuple[RecordingMaster, str], slave: Worker
) -> None:
    token = new_token()
    stub.Connect(connect_request(recording_master[1]), metadata=metadata(token), timeout=WAIT)
    for task_id in ("", "1", "not-a-uuid", "{" + str(uuid.uuid4()) + "}", uuid.uuid4().hex, "x" * 36):
        request = task_request({}, task_id or "-")
        request.task.id = task_id
        assert refused(stub.NewTask, request, metadata(token)) == "REQUEST_INVALID"
    bad = spb.NewTaskRequest(task=task_pb2.Task(id=str(uuid.uuid4()), data=payload_pb2.Payload(json="nonsense")))
    assert refused(stub.NewTask, bad, metadata(token)) == "TASK_DATA_INVALID"
    known = task_request({"wait": 1})
    stub.NewTask(known, metadata=metadata(token), timeout=WAIT)
    other = task_request({"wait": 2}, known.task.id)
    assert refused(stub.NewTask, other, metadata(token)) == "TASK_DATA_INVALID"
    assert slave.running.wait(WAIT)
    assert slave.ran == [{"wait": 1}]


def test_what_is_not_served_is_unimplemented_and_not_among_the_features(
    stub: slave_service_pb2_grpc.SlaveServiceStub, recording_master: tuple[RecordingMaster, str]
) -> None:
    token = new_token()
    answer = stub.Connect(connect_request(recording_master[1]), metadata=metadata(token), timeout=WAIT)
    assert list(answer.features) == []
    with pytest.raises(grpc.RpcError) as caught:
        stub.CancelTask(spb.CancelTaskRequest(task_id=str(uuid.uuid4())), metadata=metadata(token), timeout=WAIT)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    with pytest.raises(grpc.RpcError) as caught:
        next(stub.Work(iter([spb.WorkRequest()]), metadata=metadata(token), timeout=WAIT))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("side", ["slave", "master"])
def test_health_and_reflection_are_served(master: Master, slave: Worker, side: str) -> None:
    service = {"slave": "interaction.v1.SlaveService", "master": "interaction.v1.MasterService"}[side]
    port = {"slave": slave.port, "master": master.port}[side]
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for name in ("", service):
            health = health_pb2_grpc.HealthStub(channel).Check(  # type: ignore[attr-defined]  # made at run time
                health_pb2.HealthCheckRequest(service=name), timeout=WAIT
            )
            assert health.status == health_pb2.HealthCheckResponse.SERVING
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        (answer,) = stub.ServerReflectionInfo(iter([request]), timeout=WAIT)
        names = {found.name for found in answer.list_services_response.service}
        assert {service, "grpc.health.v1.Health"} <= names


def test_reflection_can_be_turned_off(make_master: MakeMaster) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{make_master(Master, reflection=False).port}") as channel:
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            list(stub.ServerReflectionInfo(iter([request]), timeout=WAIT))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_tokens_never_get_into_a_log(
    make_master: MakeMaster, make_slave: MakeSlave, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    draw = secrets.token_urlsafe

    def record(size: int | None = None) -> str:
        drawn.append(draw(size))
        return drawn[-1]

    monkeypatch.setattr(secrets, "token_urlsafe", record)
    caplog.set_level("DEBUG", logger="interaction")
    master, slave = make_master(Master), make_slave(Worker)
    with master.new_connection("conn", "127.0.0.1", slave.port) as connection:
        connection.new_task({"a": "canary-in-the-data"}).start().join(WAIT)
    master.close()
    slave.close()
    assert len(drawn) == 1
    assert len(drawn[0]) >= 43  # 256 bits
    text = "\n".join(record.getMessage() + str(record.exc_info) for record in caplog.records)
    assert "connected" in text
    assert drawn[0] not in text
    assert "canary" not in text
