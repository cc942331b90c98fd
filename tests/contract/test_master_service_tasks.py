"""MasterService, from the contract alone: tasks that are handed over, and results that come back."""

from __future__ import annotations

import threading
from typing import Any

import grpc
import pytest

from interaction import Master, SlaveConnectionProxy, SlavePool, TaskStatus
from interaction.exception import LossReason, RequestException, SlaveSlaveNotConnected, TaskFailed
from interaction.v1 import master_service_pb2 as messages
from interaction.v1 import slave_service_pb2 as slave_messages
from interaction.v1.task_pb2 import TASK_RESULT_STATUS_FAILED, TaskError, TaskResult
from tests.contract.conftest import MakeMaster, without_and_with_a_journal
from tests.contract.recording_master import Failure
from tests.contract.scripted_slave import Beats, ScriptedSlave, assert_lost, completed, scripted_slave, started
from tests.contract.slave_programs import WAIT
from tests.contract.wire import (
    FORBIDDEN,
    GONE,
    NO_STATE,
    REQUEST_INVALID,
    TASK_DATA_INVALID,
    metadata_of,
    new_id,
    new_token,
    refused,
)

master_options = pytest.fixture(params=[False, True], ids=["", "journal"])(without_and_with_a_journal)


WRONG_TOKEN = (FORBIDDEN, "SLAVE_TOKEN_INVALID")
RECORDED = messages.RESULT_ACKNOWLEDGEMENT_RECORDED
DUPLICATE = messages.RESULT_ACKNOWLEDGEMENT_DUPLICATE
STALE = messages.RESULT_ACKNOWLEDGEMENT_STALE


# NewTask.


def test_a_task_is_handed_over_again_unchanged(make_master: MakeMaster, scripted: ScriptedSlave) -> None:
    connection = make_master(Master, request_retries=3).new_connection("conn", "127.0.0.1", scripted.port)
    connection.connect()
    scripted.task_answers.extend([Failure(GONE), Failure(grpc.StatusCode.DEADLINE_EXCEEDED)])
    started(connection)
    first, *others = [scripted.tasks.get(timeout=WAIT) for _ in range(3)]
    assert others == [first, first]


def test_a_task_names_the_slave_that_it_is_for(linked: SlaveConnectionProxy, scripted: ScriptedSlave) -> None:
    started(linked)
    request = slave_messages.NewTaskRequest.FromString(scripted.tasks.get(timeout=WAIT)[0])
    assert request.incarnation == scripted.incarnation


def test_a_slave_without_the_session_ends_it(linked: SlaveConnectionProxy, scripted: ScriptedSlave) -> None:
    running, other = started(linked), linked.new_task({})
    scripted.task_answers.append(Failure(NO_STATE, "SLAVE_NOT_CONNECTED"))
    with pytest.raises(SlaveSlaveNotConnected):
        other.start()
    assert other.status is TaskStatus.START_FAILED
    assert_lost(running, LossReason.DISCONNECTED)
    assert not linked.is_connected


@pytest.mark.parametrize(
    ("refusal", "ends_the_session"),
    [
        (Failure(NO_STATE, "SLAVE_NOT_CONNECTED"), True),
        (Failure(FORBIDDEN, "MASTER_TOKEN_INVALID"), True),
        (Failure(GONE, "SYSTEM_SHUTTING_DOWN"), False),
    ],
    ids=lambda value: value.reason if isinstance(value, Failure) else "",
)
def test_who_refuses_a_task_that_may_have_come_before_does_not_prove_that_it_never_ran(
    make_master: MakeMaster, scripted: ScriptedSlave, refusal: Failure, ends_the_session: bool
) -> None:
    """A slave that was restarted meanwhile may have run it in its former life: a pool did it elsewhere at no cost."""
    master = make_master(Master, request_retries=3)
    connection = master.new_connection("conn", "127.0.0.1", scripted.port)
    connection.connect()
    scripted.task_answers.extend([Failure(GONE), refusal])
    task = connection.new_task({})
    with pytest.raises(RequestException, match="not known whether the task was taken before") as said:
        task.start()
    assert said.value.code == "ABORTED"
    assert task.status is TaskStatus.START_FAILED
    assert connection.is_connected is not ends_the_session


def test_a_pool_does_not_do_elsewhere_what_may_have_been_taken(
    make_master: MakeMaster, scripted: ScriptedSlave
) -> None:
    master = make_master(Master, request_retries=3)
    connection = master.new_connection("conn", "127.0.0.1", scripted.port)
    connection.connect()
    scripted.task_answers.extend([Failure(GONE), Failure(FORBIDDEN, "MASTER_TOKEN_INVALID")])
    with SlavePool(master) as pool, scripted_slave() as other:
        future = pool.submit({})
        with pytest.raises(RequestException, match="not known whether"):
            future.result(WAIT)
        second = master.new_connection("second", "127.0.0.1", other.port)
        second.connect()
        assert other.tasks.empty()


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
