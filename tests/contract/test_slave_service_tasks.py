"""SlaveService.NewTask, every implementation: which tasks are taken, once each, and what becomes of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from interaction.v1 import slave_service_pb2 as messages
from interaction.v1.payload_pb2 import Payload
from interaction.v1.task_pb2 import TASK_RESULT_STATUS_COMPLETED, TASK_RESULT_STATUS_FAILED
from tests.contract.slave_programs import WAIT, SlaveProgram
from tests.contract.wire import (
    NO_MAPPINGS,
    REQUEST_INVALID,
    SUM,
    TASK_ALREADY_EXIST,
    TASK_DATA_INVALID,
    Caller,
    failed,
    metadata_of,
    new_id,
    refusal_of,
    refused,
)

pytestmark = pytest.mark.timeout(60, func_only=True)  # the first build of a program has a limit of its own


def test_a_result_says_what_the_task_gave(caller: Caller) -> None:
    caller.connect()
    task = caller.new_task(SUM)
    report = caller.report()
    assert (report.result.task_id, report.token) == (task, caller.token)
    assert report.result.status == TASK_RESULT_STATUS_COMPLETED
    assert json.loads(report.result.result.json) == {"sum": 3}
    assert not report.result.HasField("error")
    assert 0 < report.seconds_left < 31  # it does not wait for an answer for ever


@pytest.mark.parametrize("data", [{}, {"a": 1}, None, Payload(), Payload(buffers=[b"x"])], ids=str)
def test_a_failing_task_says_why_and_the_next_one_runs(caller: Caller, program: SlaveProgram, data: Any) -> None:
    caller.connect()
    caller.new_task(data)
    result = caller.report().result
    assert result.status == TASK_RESULT_STATUS_FAILED
    program.implementation.assert_says_why(result.error)
    caller.new_task(SUM)
    assert caller.value() == {"sum": 3}


@pytest.mark.parametrize(
    "task_id",
    [
        "",
        "task 1",
        new_id().replace("-", ""),
        "{" + new_id() + "}",
        "urn:uuid:" + new_id(),
        new_id() + "\n",
        "C0FFEE00-0000-4000-8000-000000000000",
        "x" * 36,
    ],
    ids=lambda text: f"{text[:10]!r} of {len(text)}",
)
def test_an_id_that_is_no_uuid_in_its_usual_form_is_refused(caller: Caller, task_id: str) -> None:
    caller.connect()
    error = failed(caller.new_task, SUM, task_id)
    assert refusal_of(error) == REQUEST_INVALID
    assert "id" in str(error)


def test_a_task_is_required(caller: Caller) -> None:
    caller.connect()
    metadata = metadata_of(caller.token)
    assert refused(caller.stub.NewTask, messages.NewTaskRequest(), metadata=metadata, timeout=WAIT) == REQUEST_INVALID


@pytest.mark.parametrize("data", NO_MAPPINGS)
def test_data_that_is_no_mapping_is_refused_and_its_id_is_new_when_it_comes_again(
    caller: Caller, data: Payload
) -> None:
    caller.connect()
    task = new_id()
    assert refused(caller.new_task, data, task) == TASK_DATA_INVALID
    caller.new_task(SUM, task)
    assert caller.report().result.task_id == task


def test_a_task_asked_for_again_runs_once(caller: Caller) -> None:
    caller.connect()
    first = caller.new_task({"seconds": 0.2, **SUM})
    caller.new_task({"seconds": 0.2, **SUM}, first)  # while it runs
    assert caller.report().result.task_id == first
    caller.new_task({"seconds": 0.2, **SUM}, first)  # when it has ended
    second = caller.new_task({"seconds": 0.3, **SUM})
    assert caller.report().result.task_id == second  # so nothing of the first came in between


def test_an_id_that_comes_again_with_other_data_is_refused(caller: Caller) -> None:
    caller.connect()
    first = caller.new_task(SUM)
    assert refused(caller.new_task, {"a": 1, "b": 3}, first) == TASK_DATA_INVALID
    assert caller.value() == {"sum": 3}
    assert refused(caller.new_task, {"a": 1, "b": 3}, first) == TASK_DATA_INVALID
    caller.new_task(SUM, first)


def test_a_task_beyond_slots_and_backlog_is_refused_and_its_id_is_new_when_it_comes_again(caller: Caller) -> None:
    caller.connect()
    running = caller.new_task({"seconds": 0.5, **SUM})
    refused_id = new_id()
    assert refused(caller.new_task, {"a": 5, "b": 5}, refused_id) == TASK_ALREADY_EXIST
    caller.new_task({"seconds": 0.5, **SUM}, running)  # the first answer, although there is no place
    assert caller.report().result.task_id == running
    caller.new_task(SUM, refused_id)
    report = caller.report()
    assert (report.result.task_id, json.loads(report.result.result.json)) == (refused_id, {"sum": 3})


def test_the_ids_of_a_thousand_tasks_are_remembered(caller: Caller) -> None:
    caller.connect()
    ids = []
    for _ in range(1000):
        ids.append(caller.new_task(SUM))
        assert caller.report().result.task_id == ids[-1]
    caller.new_task(SUM, ids[0])
    assert refused(caller.new_task, {}, ids[0]) == TASK_DATA_INVALID
    last = caller.new_task({"seconds": 0.3, **SUM})
    assert caller.report().result.task_id == last
