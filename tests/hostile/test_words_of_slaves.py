"""A slave that was taken over puts words that mean harm into every text of the contract. What its master shows of them
is on one line, not too long, and nothing that a terminal obeys: by calls, by the fast road, and in a status's words."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Queue
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from interaction import Master, RequestException, SlaveConnectionProxy
from interaction import Task as OwnedTask
from interaction.exception import LossReason, ResponseException, TaskException, TaskFailed
from interaction.v1 import master_service_pb2 as of_master
from interaction.v1 import slave_service_pb2 as of_slave
from interaction.v1.payload_pb2 import Payload
from interaction.v1.task_pb2 import (
    TASK_RESULT_STATUS_CANCELLED,
    TASK_RESULT_STATUS_FAILED,
    TASK_RESULT_STATUS_RETURNED,
    TaskError,
    TaskResult,
    TaskResultStatus,
)
from tests.contract.slave_programs import CHANNEL, WAIT
from tests.contract.wire import NO_PROXY, metadata_of
from tests.hostile.peers import INCARNATION, AnyPeer, says, served
from tests.hostile.test_answers import DETAILS, INFO, details_of, failing
from tests.hostile.words import NASTY, SHORT, Path, assert_fit, assert_log_fit, assert_one_line, cases, name_of, put

ENDS = [TASK_RESULT_STATUS_FAILED, TASK_RESULT_STATUS_CANCELLED, TASK_RESULT_STATUS_RETURNED]


class EvilSlave(AnyPeer):
    """Answers as a test says, and notes what it is told. With the feature `work` it says `outcomes` by that road."""

    def __init__(self, *features: str) -> None:
        super().__init__()
        self.features = features
        self.tasks: Queue[str] = Queue()
        self.outcomes: Queue[bytes] = Queue()
        self.over: Queue[None] = Queue()  # a stream of the fast road has ended
        self.connected = of_slave.ConnectResponse(incarnation=INCARNATION, features=features)
        self.refusal: Any = None  # in place of an answer, from the first task on
        self._session: tuple[str, str] | None = None
        self.answers |= {"Connect": self._connect, "NewTask": self._new_task, "Disconnect": self._disconnect}

    def _connect(self, content: bytes, context: grpc.ServicerContext) -> bytes:
        token = str(dict(context.invocation_metadata())["token"])
        self._session = of_slave.ConnectRequest.FromString(content).master_address, token
        return self.connected.SerializeToString()

    def _new_task(self, content: bytes, context: grpc.ServicerContext) -> bytes:
        self.tasks.put(of_slave.NewTaskRequest.FromString(content).task.id)
        return b"" if self.refusal is None else self.refusal(content, context)

    def _disconnect(self, content: bytes, context: grpc.ServicerContext) -> bytes:
        return b"" if self.refusal is None else self.refusal(content, context)

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        if call.method.endswith("/Work"):
            return grpc.stream_stream_rpc_method_handler(self._work)
        return super().service(call)

    def _work(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        context.add_callback(lambda: self.over.put(None))
        threading.Thread(target=self._read, args=[requests], daemon=True).start()
        outcome = self.outcomes.get(timeout=WAIT)
        yield outcome or self.refusal(b"", context)

    def _read(self, requests: Iterator[bytes]) -> None:
        try:
            for content in requests:
                for task in of_slave.WorkRequest.FromString(content).tasks:
                    self.tasks.put(task.id)
        except Exception:  # noqa: BLE001 - gRPC's, which is of no class: the stream broke
            pass

    @contextmanager
    def calling(self, method: str) -> Iterator[Any]:
        """A call to its master, and the metadata for it."""
        assert self._session is not None, "connected"
        address, token = self._session
        with grpc.insecure_channel(address, NO_PROXY) as channel:
            kind = channel.stream_stream if method == "Heartbeat" else channel.unary_unary
            call: Any = kind(f"/interaction.v1.MasterService/{method}")
            yield lambda said: call(said, metadata=metadata_of(token), timeout=WAIT)


class Watching(Master):
    def __init__(self) -> None:
        super().__init__("127.0.0.1", 0, channel=CHANNEL, request_retries=0, request_timeout=WAIT)
        self.lost: Queue[tuple[str, LossReason]] = Queue()

    def _lost_slave(self, name: str, reason: LossReason) -> None:
        self.lost.put((name, reason))


@pytest.fixture
def master(caplog: pytest.LogCaptureFixture) -> Iterator[Watching]:
    """Whatever comes, its log is fit to be read."""
    caplog.set_level("DEBUG", "interaction")
    with Watching() as master:
        yield master
    assert_log_fit(caplog.records)


@pytest.fixture
def evil() -> Iterator[EvilSlave]:
    with served(EvilSlave()) as slave:
        yield slave


@pytest.fixture
def fast() -> Iterator[EvilSlave]:
    with served(EvilSlave("work")) as slave:
        yield slave


def tried(call: Any) -> BaseException | None:
    """What it raises, if it does, is fit to be shown."""
    try:
        call()
    except (RequestException, ResponseException) as error:
        assert_fit(error)
        return error
    return None


def shown(connection: SlaveConnectionProxy) -> None:
    assert_one_line(repr(connection))
    assert_one_line(connection.lost_reason)
    for name, value in connection.labels.items() if connection.is_connected else ():
        assert_one_line(name)
        assert_one_line(value)


def connection_to(master: Master, slave: EvilSlave) -> SlaveConnectionProxy:
    return master.new_connection("evil", "127.0.0.1", slave.port)


def started(connection: SlaveConnectionProxy, slave: EvilSlave) -> tuple[OwnedTask, str]:
    """A task, and its id; by the fast road it is not accepted yet."""
    task = connection.new_task({"a": 1})
    starting = threading.Thread(target=tried, args=[task.start], daemon=True)
    starting.start()
    task_id = slave.tasks.get(timeout=WAIT)
    if not slave.features:
        starting.join(WAIT)
    return task, task_id


@pytest.mark.parametrize(("kind", "path"), cases(of_slave.SlaveServicePingResponse, of_slave.ConnectResponse))
def test_what_a_slave_says_of_itself(master: Watching, evil: EvilSlave, kind: type[Message], path: Path) -> None:
    connection = connection_to(master, evil)
    if kind is of_slave.ConnectResponse:
        put(evil.connected, path, NASTY)
    else:
        who = of_slave.SlaveServicePingResponse(incarnation=INCARNATION)
        put(who, path, NASTY)
        evil.answers["Ping"] = says(who)
    if tried(connection.connect) is None:
        tried(connection.new_task({"a": 1}).start)
        shown(connection)
        tried(connection.disconnect)
    shown(connection)


@pytest.mark.parametrize(("kind", "path"), cases(of_master.HeartbeatRequest))
def test_what_a_slave_says_when_it_leaves(master: Watching, evil: EvilSlave, kind: type[Message], path: Path) -> None:
    connection = connection_to(master, evil)
    connection.connect()
    task, _ = started(connection, evil)
    request = of_master.HeartbeatRequest(sequence=1)
    put(request, path, NASTY)
    with evil.calling("Heartbeat") as call:
        call(iter([request.SerializeToString()])).code()
    if name_of(path) == "leaving.reason":
        assert master.lost.get(timeout=WAIT)[0] == "evil"
        assert_fit(task.join(WAIT).error)
        tried(connection.new_task({"a": 2}).start)
    shown(connection)


def of_task(path: Path, task_id: str, status: TaskResultStatus.ValueType) -> TaskResult:
    result = TaskResult(task_id=task_id, status=status, result=Payload(json="{}"), error=TaskError(message="no"))
    put(result, path, NASTY)
    return result


@pytest.mark.parametrize("status", ENDS)
@pytest.mark.parametrize(("_", "path"), cases(TaskResult))
def test_how_a_slave_says_that_a_task_has_ended(
    master: Watching, evil: EvilSlave, status: TaskResultStatus.ValueType, _: object, path: Path
) -> None:
    connection = connection_to(master, evil)
    connection.connect()
    task, task_id = started(connection, evil)
    request = of_master.ReportResultRequest(result=of_task(path, task_id, status))
    with evil.calling("ReportResult") as call:
        if name_of(path) == "task_id":
            with pytest.raises(grpc.RpcError) as refused:
                call(request.SerializeToString())
            assert isinstance(refused.value, grpc.Call)
            assert_one_line(refused.value.details())
        else:
            call(request.SerializeToString())
            assert_fit(task.join(WAIT).error)
            with pytest.raises(TaskException) as raised:
                task.get(WAIT)
            assert_fit(raised.value)
    shown(connection)


@pytest.mark.parametrize("status", ENDS)
@pytest.mark.parametrize(("_", "path"), cases(of_slave.WorkResponse))
def test_what_a_slave_says_by_the_fast_road(
    master: Watching, fast: EvilSlave, status: TaskResultStatus.ValueType, _: object, path: Path
) -> None:
    connection = connection_to(master, fast)
    connection.connect()
    task, task_id = started(connection, fast)
    kind = path[1].name
    outcome = of_slave.WorkOutcome(task_id=task_id)
    if kind == "refused":
        outcome.refused.reason = "TASK_REFUSED"
    elif kind == "result":
        outcome.result.CopyFrom(of_task(path[2:], task_id, status))
    response = of_slave.WorkResponse(outcomes=[outcome])
    if kind != "result":
        put(response, path, NASTY)
    fast.outcomes.put(response.SerializeToString())
    if path[-1].name in ("task_id", "reason"):  # by which it can't be known what is meant
        fast.over.get(timeout=WAIT)
        tried(connection.disconnect)
    assert_fit(task.join(WAIT).error)
    shown(connection)


CODES = [grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL]


@pytest.mark.parametrize("road", ["call", "fast"])
@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("reason", ["TASK_REFUSED", SHORT, ""])
def test_the_words_of_a_status(master: Watching, road: str, code: grpc.StatusCode, reason: str) -> None:
    info = type(INFO)(domain="interaction", reason=reason)
    info.metadata[SHORT] = SHORT
    details = details_of(info, Payload(json="["), code=code, message=NASTY[:3000])
    refusal = failing(code, NASTY[:3000], *([(DETAILS, details)] if reason else []))
    with served(EvilSlave("work") if road == "fast" else EvilSlave()) as slave:
        connection = connection_to(master, slave)
        connection.connect()
        slave.refusal = refusal
        if road == "fast":
            slave.outcomes.put(b"")
        task, _ = started(connection, slave)
        if road == "fast":
            slave.over.get(timeout=WAIT)
        tried(connection.disconnect)
        slave.refusal = None
        tried(connection.disconnect)
        assert_fit(task.join(WAIT).error)
        shown(connection)


def test_what_happened_and_where_is_told_as_it_was_where_it_does_no_harm(master: Watching, evil: EvilSlave) -> None:
    """And the data of a task stay as they are, whatever is in them."""
    connection = connection_to(master, evil)
    connection.connect()
    task, task_id = started(connection, evil)
    error = TaskError(
        type="Ошибка",
        message="第一行\u3000second\nthird \u0646\u200c\u0627 👩\u200d🚀 \u00a0!",
        traceback="Traceback:\n\tline \u202e1\nlast",
    )
    result = TaskResult(task_id=task_id, status=TASK_RESULT_STATUS_FAILED, error=error)
    result.result.json = '{"text": "\\u001b[2J\\r\\n\\u202e"}'
    with evil.calling("ReportResult") as call:
        call(of_master.ReportResultRequest(result=result).SerializeToString())
    failure = task.join(WAIT).error
    assert isinstance(failure, TaskFailed)
    assert str(failure) == "Ошибка: 第一行\u3000second\\nthird \u0646\u200c\u0627 👩\u200d🚀 \u00a0!"
    assert failure.traceback == "Traceback:\n    line \\u202e1\nlast"
    assert str(failure.__cause__) == "at the slave:\n  | Traceback:\n  |     line \\u202e1\n  | last"
    assert task.result == {"text": "\x1b[2J\r\n\u202e"}
