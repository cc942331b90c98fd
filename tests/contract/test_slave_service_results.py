"""SlaveService, every implementation: how a result gets to the master, whatever fails on its way."""

from __future__ import annotations

import grpc
import pytest

from interaction.v1 import master_service_pb2 as master_messages
from interaction.v1.task_pb2 import TASK_RESULT_STATUS_COMPLETED, TASK_RESULT_STATUS_FAILED
from tests.contract.recording_master import Failure
from tests.contract.wire import FULL, GONE, ILLEGAL, SUM, Caller

pytestmark = pytest.mark.timeout(60, func_only=True)  # the first build of a program has a limit of its own


UNFIT = [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.OUT_OF_RANGE]  # what libraries say of what is too long
FAILURES = [code for code in grpc.StatusCode if code not in (*UNFIT, grpc.StatusCode.OK)]


def assert_nothing_has_changed(caller: Caller, times: int) -> None:
    """The same result is reported that often."""
    reports = [caller.report() for _ in range(times)]
    assert {report.result.SerializeToString() for report in reports} == {reports[0].result.SerializeToString()}
    assert reports[0].result.status == TASK_RESULT_STATUS_COMPLETED


@pytest.mark.parametrize(
    "failure",
    [
        *(Failure(code) for code in FAILURES),
        Failure(GONE, "SYSTEM_SHUTTING_DOWN", "another.example"),
        Failure(GONE, "REASON_OF_TOMORROW"),
        Failure(grpc.StatusCode.PERMISSION_DENIED, "CHANNEL_INVALID"),
    ],
    ids=lambda failure: f"{failure.code.name} {failure.reason}".strip(),
)
def test_a_result_is_reported_until_it_is_acknowledged_whatever_failed(caller: Caller, failure: Failure) -> None:
    caller.master.report_answers.extend([failure] * 3)
    caller.connect()
    caller.new_task(SUM)
    assert_nothing_has_changed(caller, 4)


def test_a_result_that_was_answered_is_not_reported_again(caller: Caller, resumes: bool) -> None:
    answers: list[Failure | int] = [
        *master_messages.ResultAcknowledgement.values(),
        99,  # a kind of tomorrow
        Failure(ILLEGAL, "TASK_DATA_INVALID"),
    ]
    caller.master.report_answers.extend(answers)
    caller.connect()
    tasks, results = [], []
    for _ in answers:
        tasks.append(caller.new_task(SUM))
        results.append(caller.report().result.task_id)
    tasks.append(caller.new_task({"seconds": 0.5, **SUM}))  # longer than the pause before a retry
    results.append(caller.report().result.task_id)
    assert results == tasks
    if resumes:
        assert {task.task_id for task in caller.connect(caller.token).held} <= {tasks[-1]}


def test_a_result_that_the_master_cannot_read_at_all_comes_again_as_failed_once(caller: Caller) -> None:
    """The task has not ended there: forgotten here, it would run for ever in its owner's eyes."""
    unread, gone = Failure(ILLEGAL, "REQUEST_INVALID"), Failure(GONE)
    caller.master.report_answers.extend([gone, unread, gone, unread])
    caller.connect()
    task = caller.new_task(SUM)
    assert_nothing_has_changed(caller, 2)
    for _ in range(2):
        result = caller.report().result
        assert (result.task_id, result.status) == (task, TASK_RESULT_STATUS_FAILED)
        assert result.error.message
    following = caller.new_task({"seconds": 0.5, **SUM})  # longer than the pause before a retry
    assert caller.report().result.task_id == following


@pytest.mark.parametrize("code", UNFIT, ids=lambda code: code.name)
def test_a_result_that_is_thrice_said_not_to_fit_comes_again_as_failed(caller: Caller, code: grpc.StatusCode) -> None:
    caller.master.report_answers.extend([Failure(code)] * 3 + [Failure(GONE), Failure(code), Failure(code)])
    caller.connect()
    task = caller.new_task(SUM)
    assert_nothing_has_changed(caller, 3)
    for _ in range(4):
        result = caller.report().result
        assert (result.task_id, result.status) == (task, TASK_RESULT_STATUS_FAILED)
        assert code.name in f"{result.error.type} {result.error.message}"


def test_a_result_that_is_only_now_and_then_said_not_to_fit_is_reported_as_it_is(caller: Caller) -> None:
    """A server that has too much to do says the same."""
    full, gone = Failure(FULL), Failure(GONE)
    caller.master.report_answers.extend([full, full, gone, full, full])
    caller.connect()
    caller.new_task(SUM)
    assert_nothing_has_changed(caller, 6)


def test_a_result_longer_than_the_master_reads_is_reported_as_failed_from_the_start(caller: Caller) -> None:
    caller.connect(max_message_bytes=100_000)
    caller.new_task({"a": "x" * 40_000, "b": ""})
    assert len(caller.value()["sum"]) == 40_000
    task = caller.new_task({"a": "x" * 60_000, "b": "x" * 60_000})
    result = caller.report().result
    assert (result.task_id, result.status) == (task, TASK_RESULT_STATUS_FAILED)
    assert result.error.type
    assert result.error.message
    assert result.ByteSize() < 100_000
