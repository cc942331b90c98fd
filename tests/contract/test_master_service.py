"""MasterService, from the contract alone: a master in this process, and a slave that is a script."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from interaction import Master, RequestException, SlaveConnectionProxy, Task, TaskStatus
from interaction.exception import LossReason, SlaveSlaveNotConnected, TaskFailed, TaskLost
from interaction.v1 import master_service_pb2 as messages
from interaction.v1 import master_service_pb2_grpc as services
from interaction.v1 import slave_service_pb2 as slave_messages
from interaction.v1.payload_pb2 import Payload
from interaction.v1.task_pb2 import TASK_RESULT_STATUS_FAILED, TaskError, TaskResult
from tests.contract.conftest import MakeMaster
from tests.contract.recording_master import Failure
from tests.contract.scripted_slave import Beats, ScriptedSlave, completed, scripted_slave
from tests.contract.slave_programs import WAIT
from tests.contract.wire import (
    CHANNEL_GIVEN,
    FORBIDDEN,
    GONE,
    ILLEGAL,
    NO_PROXY,
    NO_STATE,
    NOBODY,
    REQUEST_INVALID,
    TASK_DATA_INVALID,
    Metadata,
    Refusal,
    failed,
    metadata_of,
    new_id,
    new_token,
    refusal_of,
    refused,
)

NO_CHANNEL, WRONG_CHANNEL = (ILLEGAL, "CHANNEL_NOT_GIVEN"), (FORBIDDEN, "CHANNEL_INVALID")
NO_TOKEN, WRONG_TOKEN = (NOBODY, "SLAVE_TOKEN_NOT_GIVEN"), (FORBIDDEN, "SLAVE_TOKEN_INVALID")
TOKEN = ("token", "t" * 64)
RECORDED = messages.RESULT_ACKNOWLEDGEMENT_RECORDED
DUPLICATE = messages.RESULT_ACKNOWLEDGEMENT_DUPLICATE
STALE = messages.RESULT_ACKNOWLEDGEMENT_STALE


@pytest.fixture
def scripted() -> Iterator[ScriptedSlave]:
    with scripted_slave() as slave:
        yield slave


@pytest.fixture
def linked(master: Master, scripted: ScriptedSlave) -> SlaveConnectionProxy:
    connection = master.new_connection("conn", "127.0.0.1", scripted.port)
    connection.connect()
    return connection


@pytest.fixture
def beats(linked: SlaveConnectionProxy, scripted: ScriptedSlave) -> Beats:
    """The heartbeat stream of the scripted slave, with its first beat acknowledged."""
    beats = scripted.heartbeat()
    assert beats.beat(1) == 1
    return beats


def started(connection: SlaveConnectionProxy) -> Task:
    task = connection.new_task({"a": 1})
    task.start()
    return task


def assert_lost(task: Task, reason: LossReason) -> None:
    task.join(WAIT)
    assert task.status is TaskStatus.LOST
    assert isinstance(task.error, TaskLost)
    assert task.error.reason is reason


# What a call must bring.


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ((), NO_CHANNEL),
        ((TOKEN,), NO_CHANNEL),
        ((("channel", ""), TOKEN), WRONG_CHANNEL),
        ((("channel", "8"), TOKEN), WRONG_CHANNEL),
        ((("channel", "seven"), TOKEN), WRONG_CHANNEL),
        ((("channel", "9" * 5000), TOKEN), WRONG_CHANNEL),
        ((("channel", "18446744073709551623"), TOKEN), WRONG_CHANNEL),
        ((CHANNEL_GIVEN,), NO_TOKEN),
        ((CHANNEL_GIVEN, ("token", "")), WRONG_TOKEN),
        ((CHANNEL_GIVEN, ("token", "short")), WRONG_TOKEN),
        ((CHANNEL_GIVEN, ("token", "t" * 129)), WRONG_TOKEN),
        ((CHANNEL_GIVEN, ("token", "t" * 63 + "!")), WRONG_TOKEN),
        ((CHANNEL_GIVEN, TOKEN), WRONG_TOKEN),
    ],
    ids=lambda value: str(value)[:40],
)
@pytest.mark.parametrize("method", ["Heartbeat", "ReportResult"])
def test_channel_and_token_are_checked_before_anything_else(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, method: str, metadata: Metadata, expected: Refusal
) -> None:
    stub = scripted.master
    assert stub is not None
    if method == "Heartbeat":
        assert refused(lambda: next(Beats(stub, metadata).call)) == expected
    else:
        request = messages.ReportResultRequest()
        assert refused(stub.ReportResult, request, metadata=metadata, timeout=WAIT) == expected
    assert linked.is_connected


def test_ping_needs_no_metadata(master: Master) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{master.port}", NO_PROXY) as channel:
        answer = services.MasterServiceStub(channel).Ping(messages.MasterServicePingRequest(), timeout=WAIT)
    assert (answer.language, list(answer.features)) == ("python", [])


def test_a_master_that_shuts_down_refuses_with_that(make_master: MakeMaster, scripted: ScriptedSlave) -> None:
    master = make_master(Master)
    master.new_connection("conn", "127.0.0.1", scripted.port).connect()
    beats = scripted.heartbeat()
    assert beats.beat(1) == 1
    master.shutdown()
    assert next(beats.call).HasField("closing")  # the slave is told, on its stream
    with pytest.raises(StopIteration):
        next(beats.call)


# Connect.


def test_what_a_master_sends_with_connect(make_master: MakeMaster, scripted: ScriptedSlave) -> None:
    class Greets(Master):
        def _before_connect(self) -> dict[str, str]:
            return {"from": "me"}

    master = make_master(Greets, heartbeat_tolerance=30.0, max_message_bytes=1 << 20)
    master.new_connection("conn", "127.0.0.1", scripted.port).connect()
    content, metadata = scripted.connects.get(timeout=WAIT)
    request = slave_messages.ConnectRequest.FromString(content)
    assert request.master_address == f"127.0.0.1:{master.port}"
    assert request.lease.ToMilliseconds() == 20_000
    assert request.max_message_bytes == 1 << 20
    assert request.data.json == '{"from":"me"}'
    assert dict(metadata)["channel"] == "7"
    assert len(str(dict(metadata)["token"])) >= 43  # 256 bits


def test_each_session_has_a_token_of_its_own(linked: SlaveConnectionProxy, scripted: ScriptedSlave) -> None:
    linked.disconnect()
    linked.connect()
    (_, first), (_, second) = scripted.connects.get(timeout=WAIT), scripted.connects.get(timeout=WAIT)
    assert first != second


def test_connect_is_tried_again_with_the_same_token(make_master: MakeMaster, scripted: ScriptedSlave) -> None:
    scripted.connect_answers.extend([Failure(GONE), Failure(GONE)])
    master = make_master(Master, request_retries=2)
    master.new_connection("conn", "127.0.0.1", scripted.port).connect()
    first, *others = [scripted.connects.get(timeout=WAIT) for _ in range(3)]
    assert others == [first, first]


@pytest.mark.parametrize("incarnation", ["x", "A" * 32, "a" * 33, "-" * 32])
def test_a_slave_with_a_malformed_incarnation_is_no_slave(
    master: Master, scripted: ScriptedSlave, incarnation: str
) -> None:
    scripted.connect_answers.append(slave_messages.ConnectResponse(incarnation=incarnation))
    with pytest.raises(RequestException, match="incarnation"):
        master.new_connection("conn", "127.0.0.1", scripted.port).connect()
    assert "conn" not in master


@pytest.mark.parametrize(
    "data", [Payload(json="{"), Payload(json="[1]"), Payload(json='{"$bytes":1}')], ids=lambda payload: payload.json
)
def test_an_answer_that_cannot_be_read_is_a_failed_request(
    master: Master, scripted: ScriptedSlave, data: Payload
) -> None:
    scripted.connect_answers.append(slave_messages.ConnectResponse(data=data))
    with pytest.raises(RequestException, match="data"):
        master.new_connection("conn", "127.0.0.1", scripted.port).connect()
    assert "conn" not in master


def test_a_beat_may_come_before_connect_has_returned(master: Master, scripted: ScriptedSlave) -> None:
    acknowledged: list[int] = []
    scripted.before_connect_answer = lambda: acknowledged.append(scripted.heartbeat().beat(1))
    master.new_connection("conn", "127.0.0.1", scripted.port).connect()
    assert acknowledged == [1]


# Heartbeat.


def test_each_beat_is_acknowledged_with_the_newest_sequence(beats: Beats) -> None:
    assert [beats.beat(sequence) for sequence in (2, 3, 3, 2, 7, 5)] == [2, 3, 3, 3, 7, 7]


def test_a_newer_stream_takes_the_place_of_an_older_one(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, beats: Beats
) -> None:
    newer = scripted.heartbeat()
    assert newer.beat(2) == 2
    error = failed(lambda: next(beats.call))
    assert refusal_of(error) == (grpc.StatusCode.ABORTED, "")
    assert newer.beat(3) == 3
    assert linked.is_connected


def test_a_stream_that_ends_is_asked_after_and_may_come_again(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, beats: Beats
) -> None:
    beats.end()
    scripted.pings.get(timeout=WAIT)
    assert scripted.heartbeat().beat(2) == 2
    assert linked.is_connected
    task = started(linked)
    assert scripted.report(completed(scripted.accepted_task(), '{"x":1}')) == RECORDED
    assert task.join(WAIT).result == {"x": 1}


def test_a_slave_that_answers_as_another_was_restarted(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, beats: Beats
) -> None:
    task = started(linked)
    scripted.incarnation = "b" * 32
    beats.end()
    assert_lost(task, LossReason.RESTARTED)
    assert not linked.is_connected


def test_a_slave_that_is_there_but_beats_no_more_is_silent(make_master: MakeMaster, scripted: ScriptedSlave) -> None:
    master = make_master(Master, heartbeat_tolerance=0.6, heartbeat_check_span=0.1)
    connection = master.new_connection("conn", "127.0.0.1", scripted.port)
    connection.connect()
    task = started(connection)
    beats = scripted.heartbeat()
    assert beats.beat(1) == 1
    assert_lost(task, LossReason.SILENT)
    assert next(beats.call).HasField("closing")  # where it does hear, it hears why


def test_a_slave_that_never_opens_a_stream_is_asked_after_and_then_silent(
    make_master: MakeMaster, scripted: ScriptedSlave
) -> None:
    master = make_master(Master, heartbeat_tolerance=1.5, heartbeat_check_span=0.1)
    connection = master.new_connection("conn", "127.0.0.1", scripted.port)
    connection.connect()
    task = started(connection)
    scripted.pings.get(timeout=WAIT)
    assert_lost(task, LossReason.SILENT)


def test_a_slave_that_dies_before_its_stream_is_open_is_lost_soon(master: Master) -> None:
    with scripted_slave() as slave:
        connection = master.new_connection("conn", "127.0.0.1", slave.port)
        connection.connect()
        task = started(connection)
    assert_lost(task, LossReason.EXITED)  # the tolerance is 15 s


def test_a_slave_that_leaves_is_disconnected(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, beats: Beats
) -> None:
    task = started(linked)
    beats.leave("for lunch")
    assert_lost(task, LossReason.DISCONNECTED)
    assert "for lunch" in str(task.error)
    with pytest.raises(StopIteration):
        next(beats.call)
    assert refused(lambda: next(scripted.heartbeat().call)) == WRONG_TOKEN


# NewTask.


def test_a_task_is_handed_over_again_unchanged(make_master: MakeMaster, scripted: ScriptedSlave) -> None:
    connection = make_master(Master, request_retries=3).new_connection("conn", "127.0.0.1", scripted.port)
    connection.connect()
    scripted.task_answers.extend([Failure(GONE), Failure(grpc.StatusCode.DEADLINE_EXCEEDED)])
    started(connection)
    first, *others = [scripted.tasks.get(timeout=WAIT) for _ in range(3)]
    assert others == [first, first]


def test_a_slave_without_the_session_ends_it(linked: SlaveConnectionProxy, scripted: ScriptedSlave) -> None:
    running, other = started(linked), linked.new_task({})
    scripted.task_answers.append(Failure(NO_STATE, "SLAVE_NOT_CONNECTED"))
    with pytest.raises(SlaveSlaveNotConnected):
        other.start()
    assert other.status is TaskStatus.START_FAILED
    assert_lost(running, LossReason.DISCONNECTED)
    assert not linked.is_connected


def test_a_result_may_overtake_the_answer(linked: SlaveConnectionProxy, scripted: ScriptedSlave, beats: Beats) -> None:
    scripted.before_task_answer.append(completed(json='{"early":true}'))
    ends: list[Any] = []
    task = linked.new_task({"a": 1}).on_complete(lambda *end: ends.append(end))
    assert task.start().join(WAIT).result == {"early": True}
    assert scripted.acknowledgements.get(timeout=WAIT) == RECORDED
    assert ends == [({"a": 1}, {"early": True})]


# ReportResult.


def test_a_result_is_recorded_once(linked: SlaveConnectionProxy, scripted: ScriptedSlave, beats: Beats) -> None:
    ends: list[Any] = []
    task = started(linked).on_complete(lambda *end: ends.append(end)).on_fail(lambda *end: ends.append(end))
    task_id = scripted.accepted_task()
    assert scripted.report(completed(task_id, '{"n":1}')) == RECORDED
    for late in (completed(task_id, '{"n":2}'), TaskResult(task_id=task_id, status=TASK_RESULT_STATUS_FAILED)):
        assert scripted.report(late) == DUPLICATE
    task.join(WAIT)
    assert (task.status, ends) == (TaskStatus.COMPLETED, [({"a": 1}, {"n": 1})])


def test_results_that_come_at_once_are_recorded_once(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, beats: Beats
) -> None:
    task = started(linked)
    task_id, together = scripted.accepted_task(), threading.Barrier(8)
    answers: list[int] = []

    def report() -> None:
        together.wait(WAIT)
        answers.append(scripted.report(completed(task_id)))

    threads = [threading.Thread(target=report) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert sorted(answers) == [RECORDED] + [DUPLICATE] * 7
    assert task.join(WAIT).status is TaskStatus.COMPLETED


def test_a_result_of_an_unknown_task_is_stale(scripted: ScriptedSlave, beats: Beats) -> None:
    assert scripted.report(completed(new_id())) == STALE


def test_a_result_of_an_ended_session_is_stale(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, beats: Beats
) -> None:
    task = started(linked)
    task_id = scripted.accepted_task()
    linked.disconnect()
    assert scripted.report(completed(task_id)) == STALE
    assert_lost(task, LossReason.DISCONNECTED)


def test_another_sessions_task_is_out_of_reach(
    master: Master, linked: SlaveConnectionProxy, scripted: ScriptedSlave, beats: Beats
) -> None:
    task = started(linked)
    with scripted_slave() as other:
        master.new_connection("other", "127.0.0.1", other.port).connect()
        assert other.report(completed(scripted.accepted_task())) == STALE
    assert task.status is TaskStatus.STARTED


def test_a_failure_says_what_it_was(linked: SlaveConnectionProxy, scripted: ScriptedSlave, beats: Beats) -> None:
    task = started(linked)
    error = TaskError(type="Oops", message="that hurt", traceback="line 1")
    result = TaskResult(task_id=scripted.accepted_task(), status=TASK_RESULT_STATUS_FAILED, error=error)
    assert scripted.report(result) == RECORDED
    assert task.join(WAIT).status is TaskStatus.FAILED
    assert isinstance(task.error, TaskFailed)
    assert (task.error.type, task.error.message, task.error.traceback) == ("Oops", "that hurt", "line 1")


@pytest.mark.parametrize("json", ["{", "nonsense", '{"$bytes":3}', "[" * 100_000], ids=lambda text: text[:10])
def test_a_result_that_cannot_be_read_fails_its_task(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, beats: Beats, json: str
) -> None:
    task = started(linked)
    task_id = scripted.accepted_task()
    assert refused(scripted.report, completed(task_id, json)) == TASK_DATA_INVALID
    assert task.join(WAIT).status is TaskStatus.FAILED
    assert "can't be read" in str(task.error)
    assert scripted.report(completed(task_id)) == DUPLICATE


@pytest.mark.parametrize(
    "change",
    [{"task_id": ""}, {"task_id": "1"}, {"task_id": "x" * 36}, {"status": 0}, {"status": 99}],
    ids=lambda change: str(change)[:30],
)
def test_a_malformed_report_changes_nothing(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, beats: Beats, change: dict[str, Any]
) -> None:
    task = started(linked)
    result = completed(scripted.accepted_task())
    for name, value in change.items():
        setattr(result, name, value)
    assert refused(scripted.report, result) == REQUEST_INVALID
    assert task.status is TaskStatus.STARTED


def test_a_token_of_nobody_changes_nothing(linked: SlaveConnectionProxy, scripted: ScriptedSlave, beats: Beats) -> None:
    task = started(linked)
    task_id = scripted.accepted_task()
    assert scripted.master is not None
    request = messages.ReportResultRequest(result=completed(task_id))
    for _ in range(3):
        assert refused(scripted.master.ReportResult, request, metadata=metadata_of(new_token())) == WRONG_TOKEN
    assert task.status is TaskStatus.STARTED
    assert scripted.report(completed(task_id)) == RECORDED
