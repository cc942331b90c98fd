"""The slave in JavaScript under the eyes of the bare contract: generated stubs, and no facade."""

from __future__ import annotations

import json
import re
import secrets
import signal
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from interaction.v1 import master_service_pb2 as master_messages
from interaction.v1 import slave_service_pb2 as messages
from interaction.v1 import slave_service_pb2_grpc as services
from interaction.v1.payload_pb2 import Payload
from interaction.v1.task_pb2 import TASK_RESULT_STATUS_COMPLETED, TASK_RESULT_STATUS_FAILED, Task, TaskResult

from .recording_master import RecordingMaster, recording_master
from .tools import WAIT, NodeSlave

Metadata = tuple[tuple[str, str], ...]


class Caller:
    """Calls the slave as a master does, with the token of its newest session."""

    def __init__(self, channel: grpc.Channel, master: RecordingMaster) -> None:
        self.stub = services.SlaveServiceStub(channel)
        self.master = master
        self.token = ""

    def metadata(self) -> Metadata:
        return (("channel", "7"), ("token", self.token))

    def connect(self, lease: float = 10.0, previous: str = "", token: str = "") -> messages.ConnectResponse:
        self.token = token or secrets.token_hex(32)
        request = messages.ConnectRequest(master_address=self.master.address)
        request.lease.FromMilliseconds(int(lease * 1000))
        metadata = (*self.metadata(), ("previous-token", previous)) if previous else self.metadata()
        return self.stub.Connect(request, metadata=metadata, timeout=WAIT)

    def disconnect(self) -> messages.DisconnectResponse:
        return self.stub.Disconnect(messages.DisconnectRequest(), metadata=self.metadata(), timeout=WAIT)

    def new_task(self, data: Payload | dict[str, Any], task_id: str = "") -> str:
        payload = data if isinstance(data, Payload) else Payload(json=json.dumps(data))
        task = Task(id=task_id or str(uuid4()), data=payload)
        self.stub.NewTask(messages.NewTaskRequest(task=task), metadata=self.metadata(), timeout=WAIT)
        return task.id

    def result(self) -> TaskResult:
        return self.master.results.get(timeout=WAIT)


def refusal(caught: pytest.ExceptionInfo[grpc.RpcError]) -> tuple[grpc.StatusCode, str]:
    """The status and the reason of a failed call."""
    error = caught.value
    assert isinstance(error, grpc.Call)
    status = rpc_status.from_call(error)
    assert status is not None, f"no details: {error}"
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "interaction"
    assert status.code == error.code().value[0]
    return error.code(), info.reason


@pytest.fixture
def master() -> Iterator[RecordingMaster]:
    with recording_master() as master:
        yield master


@pytest.fixture
def caller(node_slave: NodeSlave, master: RecordingMaster) -> Iterator[Caller]:
    options = [("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(f"127.0.0.1:{node_slave.port}", options) as channel:
        yield Caller(channel, master)


def test_ping_needs_no_metadata_and_always_answers_the_same(caller: Caller) -> None:
    first = caller.stub.Ping(messages.SlaveServicePingRequest(), timeout=WAIT)
    assert re.fullmatch("[0-9a-f]{32}", first.incarnation)
    assert first.language == "node"
    assert caller.stub.Ping(messages.SlaveServicePingRequest(), timeout=WAIT) == first


CHANNEL, TOKEN = ("channel", "7"), ("token", "x" * 32)
ILLEGAL, FORBIDDEN = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.PERMISSION_DENIED
NOBODY, NO_STATE = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.parametrize(
    ("metadata", "code", "reason"),
    [
        ((), ILLEGAL, "CHANNEL_NOT_FOUND"),
        ((TOKEN,), ILLEGAL, "CHANNEL_NOT_FOUND"),
        ((("channel", "8"),), FORBIDDEN, "CHANNEL_INVALID"),
        ((("channel", "seven"), TOKEN), FORBIDDEN, "CHANNEL_INVALID"),
        ((CHANNEL, CHANNEL, TOKEN), FORBIDDEN, "CHANNEL_INVALID"),
        ((CHANNEL,), NOBODY, "MASTER_TOKEN_NOT_FOUND"),
        ((CHANNEL, TOKEN), NO_STATE, "SLAVE_NOT_CONNECTED"),
    ],
)
def test_what_stands_in_the_metadata_is_checked_in_order(
    caller: Caller, metadata: Metadata, code: grpc.StatusCode, reason: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        caller.stub.Disconnect(messages.DisconnectRequest(), metadata=metadata, timeout=WAIT)
    assert refusal(caught) == (code, reason)
    with pytest.raises(grpc.RpcError) as caught:
        caller.stub.NewTask(messages.NewTaskRequest(), metadata=metadata, timeout=WAIT)
    assert refusal(caught) == (code, reason)


def test_another_token_than_the_sessions_is_invalid(caller: Caller) -> None:
    caller.connect()
    caller.token = secrets.token_hex(32)
    for call in (caller.disconnect, lambda: caller.new_task({})):
        with pytest.raises(grpc.RpcError) as caught:
            call()
        assert refusal(caught) == (FORBIDDEN, "MASTER_TOKEN_INVALID")


@pytest.mark.parametrize("token", ["short", "x" * 129, "with spaces in it, and long enough"])
def test_a_malformed_token_opens_no_session(caller: Caller, token: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        caller.connect(token=token)
    assert refusal(caught) == (FORBIDDEN, "MASTER_TOKEN_INVALID")


@pytest.mark.parametrize("address", ["", "unix:/tmp/x", "ftp://host:1", "host:port", "a b:1", "xds:///master"])
def test_an_address_that_is_none_is_refused(caller: Caller, address: str) -> None:
    caller.master.address = address
    with pytest.raises(grpc.RpcError) as caught:
        caller.connect()
    assert refusal(caught) == (ILLEGAL, "REQUEST_INVALID")


def test_connect_asked_twice_answers_the_same_and_opens_one_session(caller: Caller) -> None:
    first = caller.connect()
    assert caller.connect(token=caller.token) == first
    assert caller.master.streams.get(timeout=WAIT)["token"] == caller.token
    caller.new_task({"a": 1, "b": 2})
    assert caller.result().status == TASK_RESULT_STATUS_COMPLETED
    assert caller.master.streams.empty()


def test_a_living_session_stands_in_the_way_of_another(caller: Caller) -> None:
    caller.connect()
    for previous in ("", "y" * 32):
        with pytest.raises(grpc.RpcError) as caught:
            caller.connect(previous=previous)
        assert refusal(caught) == (NO_STATE, "SLAVE_ALREADY_CONNECTED")


def test_a_task_asked_for_twice_runs_once(caller: Caller) -> None:
    caller.connect()
    first = caller.new_task({"a": 1, "b": 2})
    assert caller.result().task_id == first
    caller.new_task({"a": 1, "b": 2}, first)
    second = caller.new_task({"a": 3, "b": 4})
    assert caller.result().task_id == second  # so nothing of the first came in between
    caller.disconnect()
    assert caller.master.results.empty()


def test_an_id_that_comes_back_with_other_data_is_refused(caller: Caller) -> None:
    caller.connect()
    first = caller.new_task({"a": 1, "b": 2})
    with pytest.raises(grpc.RpcError) as caught:
        caller.new_task({"a": 1, "b": 3}, first)
    assert refusal(caught) == (ILLEGAL, "TASK_DATA_INVALID")


@pytest.mark.parametrize("data", [Payload(json="{"), Payload(json=""), Payload(json="[1]"), Payload(json='"text"')])
def test_data_that_is_no_mapping_is_refused(caller: Caller, data: Payload) -> None:
    caller.connect()
    with pytest.raises(grpc.RpcError) as caught:
        caller.new_task(data)
    assert refusal(caught) == (ILLEGAL, "TASK_DATA_INVALID")


def test_an_id_that_is_no_uuid_is_refused(caller: Caller) -> None:
    caller.connect()
    with pytest.raises(grpc.RpcError) as caught:
        caller.new_task({}, "task 1")
    assert refusal(caught) == (ILLEGAL, "REQUEST_INVALID")


def test_one_task_at_a_time(caller: Caller) -> None:
    caller.connect()
    running = caller.new_task({"seconds": 60})
    with pytest.raises(grpc.RpcError) as caught:
        caller.new_task({"a": 1, "b": 2})
    assert refusal(caught) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TASK_ALREADY_EXIST")
    caller.new_task({"seconds": 60}, running)  # the first answer, although there is no place


def test_data_may_come_as_a_protobuf_value(caller: Caller) -> None:
    caller.connect()
    data = Payload()
    data.value.struct_value.update({"a": "é", "b": "日本"})
    caller.new_task(data)
    assert json.loads(caller.result().result.json) == {"sum": "é日本"}


def test_a_failing_task_says_why(caller: Caller) -> None:
    caller.connect()
    caller.new_task({})
    result = caller.result()
    assert result.status == TASK_RESULT_STATUS_FAILED
    assert (result.error.type, result.error.message) == ("TypeError", "the data lacks a or b")
    assert "slave.js" in result.error.traceback


def test_a_result_is_reported_until_it_is_acknowledged(caller: Caller) -> None:
    caller.master.failures.extend([(grpc.StatusCode.UNAVAILABLE, ""), (grpc.StatusCode.DEADLINE_EXCEEDED, "")])
    caller.connect()
    task = caller.new_task({"a": 1, "b": 2})
    reports = [caller.result() for _ in range(3)]
    assert [report.task_id for report in reports] == [task] * 3
    assert {report.status for report in reports} == {TASK_RESULT_STATUS_COMPLETED}


def test_a_result_that_the_master_cannot_read_is_not_reported_again(caller: Caller) -> None:
    caller.master.failures.append((ILLEGAL, "TASK_DATA_INVALID"))
    caller.connect()
    tasks = [caller.new_task({"a": 1, "b": 2})]
    results = [caller.result()]
    tasks.append(caller.new_task({"seconds": 0.5, "a": 3, "b": 4}))  # longer than the pause before a retry
    results.append(caller.result())
    assert [result.task_id for result in results] == tasks


def test_beats_count_on_and_acknowledgements_keep_the_session(caller: Caller) -> None:
    caller.connect(lease=1.2)
    assert [caller.master.beats.get(timeout=WAIT).sequence for _ in range(7)] == list(range(1, 8))  # two leases
    caller.new_task({"a": 1, "b": 2})


def test_a_broken_stream_is_opened_again_and_the_beats_count_on(caller: Caller) -> None:
    caller.master.beat_answers.extend([None, (grpc.StatusCode.UNAVAILABLE, "")])
    caller.connect()
    assert [caller.master.beats.get(timeout=WAIT).sequence for _ in range(3)] == [1, 2, 3]
    assert [caller.master.streams.get(timeout=WAIT)["token"] for _ in range(3)] == [caller.token] * 3


@pytest.mark.parametrize(
    "end",
    [
        (grpc.StatusCode.UNAVAILABLE, "SYSTEM_SHUTTING_DOWN"),
        (FORBIDDEN, "SLAVE_TOKEN_INVALID"),
        master_messages.HeartbeatResponse(closing=master_messages.HeartbeatClosing(reason="enough")),
    ],
)
def test_the_master_can_end_the_session(caller: Caller, node_slave: NodeSlave, end: Any) -> None:
    caller.master.beat_answers.append(end)
    caller.connect()
    node_slave.wait_for("session over")
    with pytest.raises(grpc.RpcError) as caught:
        caller.new_task({})
    assert refusal(caught) == (NO_STATE, "SLAVE_NOT_CONNECTED")
    caller.connect()


def test_without_acknowledgements_the_lease_ends_and_the_session_can_be_resumed(
    caller: Caller, node_slave: NodeSlave
) -> None:
    caller.master.silent = True
    caller.connect(lease=0.5)
    running = caller.new_task({"seconds": 1.5, "a": 1, "b": 2})
    node_slave.wait_for("session over: its lease ran out")
    with pytest.raises(grpc.RpcError) as caught:
        caller.new_task({})
    assert refusal(caught) == (NO_STATE, "SLAVE_NOT_CONNECTED")
    caller.master.silent = False
    answer = caller.connect(previous=caller.token)
    assert [task.task_id for task in answer.held] == [running]
    assert caller.result().task_id == running


def test_a_result_that_found_no_master_is_reported_to_the_one_that_resumes(
    caller: Caller, node_slave: NodeSlave
) -> None:
    caller.master.silent = True
    caller.master.failures.extend([(grpc.StatusCode.UNAVAILABLE, "")] * 100)
    caller.connect(lease=1.0)
    ended = caller.new_task({"a": 1, "b": 2})
    node_slave.wait_for("session over: its lease ran out")
    caller.master.silent = False
    caller.master.failures.clear()
    while not caller.master.results.empty():
        caller.master.results.get()
    answer = caller.connect(previous=caller.token)
    assert [(task.task_id, task.ended) for task in answer.held] == [(ended, True)]
    assert caller.result().task_id == ended


def test_a_living_session_can_be_resumed_by_its_token(caller: Caller) -> None:
    caller.connect()
    running = caller.new_task({"seconds": 2.0, "a": 1, "b": 2})
    answer = caller.connect(previous=caller.token)
    assert [(task.task_id, task.ended) for task in answer.held] == [(running, False)]
    tokens = {caller.master.streams.get(timeout=WAIT)["token"], caller.master.streams.get(timeout=WAIT)["token"]}
    assert caller.token in tokens
    assert caller.result().task_id == running


def test_disconnect_asked_twice_succeeds_twice(caller: Caller) -> None:
    caller.connect()
    caller.disconnect()
    caller.disconnect()
    with pytest.raises(grpc.RpcError) as caught:
        caller.new_task({})
    assert refusal(caught) == (NO_STATE, "SLAVE_NOT_CONNECTED")
    caller.connect()
    caller.new_task({"a": 1, "b": 2})
    assert caller.result().status == TASK_RESULT_STATUS_COMPLETED


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_slave_that_is_asked_to_stop_says_that_it_leaves(
    caller: Caller, node_slave: NodeSlave, number: signal.Signals
) -> None:
    caller.connect()
    assert caller.master.beats.get(timeout=WAIT).sequence == 1
    node_slave.process.send_signal(number)
    leaving = caller.master.beats.get(timeout=WAIT)
    assert (leaving.sequence, leaving.leaving.reason) == (2, "the slave shuts down")
    assert node_slave.process.wait(timeout=WAIT) == 0
