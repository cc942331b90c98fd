"""SlaveService, every implementation: tasks, their data, and how their results get to the master."""

from __future__ import annotations

import json
from typing import Any

import grpc
import pytest

from interaction.v1 import master_service_pb2 as master_messages
from interaction.v1 import slave_service_pb2 as messages
from interaction.v1.payload_pb2 import Payload
from interaction.v1.task_pb2 import TASK_RESULT_STATUS_COMPLETED, TASK_RESULT_STATUS_FAILED
from tests.contract.recording_master import Failure
from tests.contract.slave_programs import WAIT, SlaveProgram
from tests.contract.wire import (
    FULL,
    GONE,
    ILLEGAL,
    NO_MAPPINGS,
    NOT_CONNECTED,
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
    refused_or_done,
    value_of,
)

pytestmark = pytest.mark.timeout(60, func_only=True)  # the first build of a program has a limit of its own

DEFAULT_MAX_MESSAGE_BYTES = 4 * 1024 * 1024


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


# What stands in a payload.


@pytest.mark.parametrize(
    ("a", "b", "total"),
    [
        (0.1, 0.2, 0.30000000000000004),
        (2**52, 1, 2**52 + 1),
        (-3, 3, 0),
        (0.5, 0.25, 0.75),
        (5e-324, 0, 5e-324),
        (1.7976931348623157e308, 0, 1.7976931348623157e308),
        ('é "quoted" \\ \n\x00', "日本 🙂 \u2028", 'é "quoted" \\ \n\x00日本 🙂 \u2028'),
        ("$", "$$", "$$$"),
    ],
)
@pytest.mark.parametrize("form", [lambda data: data, value_of], ids=["json", "value"])
def test_numbers_and_texts_arrive_exactly(caller: Caller, form: Any, a: Any, b: Any, total: Any) -> None:
    caller.connect()
    caller.new_task(form({"a": a, "b": b}))
    assert caller.value() == {"sum": total}


def test_a_number_without_a_fraction_in_a_value_is_an_integer(caller: Caller) -> None:
    caller.connect()
    caller.new_task(value_of({"a": 1.0, "b": 2.0}))
    assert caller.report().result.result.json.replace(" ", "") == '{"sum":3}'


@pytest.mark.parametrize("name", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("form", [lambda data: data, value_of], ids=["json", "value"])
def test_numbers_that_json_lacks_are_read_and_written(caller: Caller, form: Any, name: str) -> None:
    caller.connect()
    caller.new_task(form({"a": {"$number": name}, "b": 1, "c": [{"$number": name}]}))
    assert caller.value() == {"sum": {"$number": name}}


RESERVED = [
    {"$number": "5"},
    {"$number": 5},
    {"$number": "NaN", "x": 1},
    {"$integer": "0x1f"},
    {"$bytes": "0"},
    {"$ndarray": {}},
    {"$": 0},
    {"$other": 0},
    {"$a": 1, "$$a": 2},
]


@pytest.mark.parametrize("other", RESERVED, ids=str)
@pytest.mark.parametrize("form", [lambda data: data, value_of], ids=["json", "value"])
def test_other_objects_with_a_key_that_begins_with_a_dollar_are_refused(
    caller: Caller, form: Any, other: dict[str, Any]
) -> None:
    caller.connect()
    assert refused(caller.new_task, form({"c": [other], **SUM})) == TASK_DATA_INVALID


@pytest.mark.parametrize("json_text", ["1e400", '"\\ud800"', '"\\ude42\\ud83d"'])
def test_what_no_double_and_no_text_can_hold_is_refused(caller: Caller, json_text: str) -> None:
    caller.connect()
    assert refused(caller.new_task, Payload(json=f'{{"c": {json_text}, "a": 1, "b": 2}}')) == TASK_DATA_INVALID


@pytest.mark.parametrize("key", ["$$bytes", "$$", "$$$", "$$other", "a$"])
def test_keys_that_begin_with_two_dollars_are_read(caller: Caller, key: str) -> None:
    caller.connect()
    caller.new_task({"c": {key: 0}, **SUM})
    assert caller.value() == {"sum": 3}


@pytest.mark.parametrize(
    ("json_text", "buffers", "total"),
    [
        ('{"a": {"$bytes": 0}, "b": {"$bytes": 1}}', [b"x", b"y"], {"$bytes": 0}),
        (
            '{"a": {"$ndarray": {"buffer": 0, "dtype": "|u1", "shape": [1]}}, "b": 1}',
            [b"\1"],
            {"$ndarray": {"buffer": 0, "dtype": "|u1", "shape": [1]}},
        ),
        ('{"a": {"$integer": "-1' + "0" * 20 + '"}, "b": 0}', [], -(16**20)),
    ],
    ids=["bytes", "ndarray", "integer"],
)
def test_what_a_slave_cannot_hold_it_refuses_and_never_takes_for_a_mapping(
    caller: Caller, program: SlaveProgram, json_text: str, buffers: list[bytes], total: Any
) -> None:
    data = Payload(json=json_text, buffers=buffers)
    if program.implementation.holds(lambda: refused_or_done(lambda: caller.connect(data=data)) is None):
        refused_or_done(caller.disconnect)
        caller.connect(data=data)
        caller.new_task(data)
        assert caller.value() == {"sum": total}
        caller.disconnect(data=data)
    else:
        assert refused(caller.connect, data=data) == REQUEST_INVALID
        caller.connect()
        assert refused(caller.new_task, data) == TASK_DATA_INVALID
        assert refused(caller.disconnect, data=data) == REQUEST_INVALID


def test_payloads_of_the_allowed_depth_are_read(caller: Caller) -> None:
    caller.connect()
    caller.new_task(Payload(json='{"a": 1, "b": 2, "c": ' + "[" * 199 + "]" * 199 + "}"))
    assert caller.value() == {"sum": 3}
    assert refused(caller.new_task, Payload(json='{"c": ' + "[" * 200 + "]" * 200 + "}")) == TASK_DATA_INVALID
    nested: dict[str, Any] = {}
    for _ in range(29):
        nested = {"c": nested}
    caller.new_task(value_of({**SUM, **nested}))
    assert caller.value() == {"sum": 3}
    assert refused(caller.new_task, value_of({"c": {**SUM, **nested}})) == TASK_DATA_INVALID


def test_a_message_as_long_as_the_slave_says_is_read_and_a_longer_one_harms_nothing(caller: Caller) -> None:
    limit = caller.connect().max_message_bytes or DEFAULT_MAX_MESSAGE_BYTES
    caller.new_task({**SUM, "c": "x" * (limit - 200)})
    assert caller.value() == {"sum": 3}
    assert refused(caller.new_task, {**SUM, "c": "x" * limit}) == (FULL, "")
    caller.new_task(SUM)
    assert caller.value() == {"sum": 3}


def test_a_task_for_a_slave_that_was_here_before_is_refused(caller: Caller) -> None:
    incarnation = caller.connect().incarnation
    assert refused(caller.new_task, SUM, incarnation="f" * 32) == NOT_CONNECTED
    caller.new_task(SUM, incarnation=incarnation)
    assert caller.value() == {"sum": 3}


# How a result gets to the master.


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
    ],
    ids=lambda failure: f"{failure.code.name} {failure.reason}".strip(),
)
def test_a_result_is_reported_until_it_is_acknowledged_whatever_failed(caller: Caller, failure: Failure) -> None:
    caller.master.report_answers.extend([failure] * 3)
    caller.connect()
    caller.new_task(SUM)
    assert_nothing_has_changed(caller, 4)


def test_a_result_that_was_answered_is_not_reported_again(caller: Caller) -> None:
    answers: list[Failure | int] = [
        *master_messages.ResultAcknowledgement.values(),
        99,  # a kind of tomorrow
        Failure(ILLEGAL, "TASK_DATA_INVALID"),
        Failure(ILLEGAL, "REQUEST_INVALID"),
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
    assert {task.task_id for task in caller.connect(caller.token).held} <= {tasks[-1]}


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
