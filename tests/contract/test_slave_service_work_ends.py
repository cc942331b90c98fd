"""SlaveService.Work: how a stream ends that its master closes, that a newer one replaces, or whose session is over."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import grpc
import pytest

from interaction.v1 import master_service_pb2 as master_messages
from tests.contract.conftest import Call, MakeSlave, Worker
from tests.contract.recording_master import Failure
from tests.contract.slave_programs import WAIT
from tests.contract.wire import (
    FORBIDDEN,
    GONE,
    NOT_CONNECTED,
    SUM,
    TOKEN_INVALID,
    Caller,
    new_token,
    refused,
    refused_or_done,
)
from tests.contract.work import Stream, assert_nothing_is_left, kind_of, patient, served, to_it

OK = (grpc.StatusCode.OK, "")
REPLACED = (grpc.StatusCode.ABORTED, "")  # a status without a reason
CLOSING = master_messages.HeartbeatResponse(closing=master_messages.HeartbeatClosing(reason="enough"))
WAITS = {"wait": 1}
slave = pytest.fixture(patient)
stream = pytest.fixture(to_it)


# The master closes its side.


@served
def test_a_stream_that_the_master_closes_ends_and_another_may_be_opened(caller: Caller) -> None:
    caller.connect()
    for _ in range(3):
        stream = Stream(caller)
        task = stream.task(SUM)
        assert stream.value(task) == {"sum": 3}
        stream.acknowledge(task)
        stream.close()
        assert stream.end() == OK
    assert_nothing_is_left(caller)


@served
def test_a_stream_on_which_nothing_was_said_ends_too(caller: Caller) -> None:
    caller.connect()
    stream = Stream(caller)
    stream.close()
    assert stream.end() == OK


def test_a_result_without_an_acknowledgement_is_reported_when_the_stream_has_ended(stream: Stream) -> None:
    tasks = [stream.task({"a": number, "b": 0}) for number in range(5)]
    stream.results(5)
    stream.acknowledge(tasks[1], tasks[3])
    stream.close()
    assert stream.end() == OK
    reports = {report.result.task_id: report for report in (stream.caller.report() for _ in range(3))}
    assert reports.keys() == {tasks[0], tasks[2], tasks[4]}
    assert json.loads(reports[tasks[4]].result.result.json) == {"sum": 4}
    assert_nothing_is_left(stream.caller)


def test_a_stream_on_which_no_result_is_acknowledged_is_given_up(call: Call, make_slave: MakeSlave) -> None:
    """Its master may be gone without a word, and another connection of its may be well."""
    caller = call(make_slave(Worker, backlog=99, request_timeout=0.5))
    caller.connect()
    stream = Stream(caller)
    tasks = {stream.task({"a": number, "b": 0}) for number in range(5)}
    stream.results(5)
    assert {caller.report().result.task_id for _ in tasks} == tasks
    assert stream.end() == REPLACED
    assert_nothing_is_left(caller)


def test_a_task_that_ends_after_the_stream_is_reported(stream: Stream, slave: Worker) -> None:
    running, waiting = stream.task(WAITS), stream.task(SUM)
    for task in (running, waiting):
        stream.next("accepted", task)
    stream.close()
    assert stream.end() == OK
    slave.go_on.set()
    assert {stream.caller.report().result.task_id for _ in range(2)} == {running, waiting}
    assert slave.ran == [WAITS, SUM]


def test_a_task_that_ends_after_the_stream_goes_by_the_next_one_where_there_is_one(
    stream: Stream, slave: Worker
) -> None:
    task = stream.task(WAITS)
    stream.next("accepted", task)
    stream.close()
    assert stream.end() == OK
    second = Stream(stream.caller)
    quick = second.task(SUM)
    second.next("accepted", quick)  # so it is there
    slave.go_on.set()
    assert {one.task_id for one in second.results(2)} == {task, quick}


# A newer one takes its place.


@served
def test_a_second_stream_ends_the_first(caller: Caller) -> None:
    caller.connect()
    first = Stream(caller)
    task = first.task(SUM)
    first.result(task)
    second = Stream(caller)
    assert first.end() == REPLACED
    second.find("accepted", second.task(SUM, task))
    second.find("result", second.task({"a": 2, "b": 2}))


def gathered(stream: Stream, wanted: set[str]) -> set[str]:
    """The tasks whose results come by either road, until those that are wanted have."""
    found: set[str] = set()
    while not wanted <= found:
        probe = stream.task({"a": "probe", "b": "s"})  # wakes the reader
        while (outcome := stream.outcome()).task_id != probe or kind_of(outcome) != "result":
            if kind_of(outcome) == "result":
                found.add(outcome.task_id)
        stream.acknowledge(probe)
        while not stream.caller.master.reports.empty():
            found.add(stream.caller.report().result.task_id)
    return found


def test_what_the_first_stream_left_is_said_by_the_second_or_by_a_call(stream: Stream, slave: Worker) -> None:
    said = stream.task(SUM)
    stream.result(said)
    unsaid = stream.task(WAITS)
    stream.next("accepted", unsaid)
    second = Stream(stream.caller)
    assert stream.end() == REPLACED
    slave.go_on.set()
    assert gathered(second, {said, unsaid}) == {said, unsaid}
    second.acknowledge(said, unsaid)
    second.close()
    assert second.end() == OK
    assert [data for data in slave.ran if data.get("a") != "probe"] == [SUM, WAITS]


# The session ends.


def disconnected(caller: Caller) -> None:
    caller.disconnect()


def ended_by_master(caller: Caller) -> None:
    caller.master.beat_answers.append(CLOSING)


def refused_its_report(caller: Caller) -> None:
    caller.master.report_answers.append(Failure(FORBIDDEN, "SLAVE_TOKEN_INVALID"))
    caller.new_task({"echo": "x" * 5_000_000})  # too large for the stream


def without_an_acknowledgement(caller: Caller) -> None:
    caller.master.silent = True


ENDS: dict[str, Callable[[Caller], None]] = {
    "disconnected": disconnected,
    "closed by the master": ended_by_master,
    "its report is refused": refused_its_report,
    "its lease is over": without_an_acknowledgement,
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_the_end_of_the_session_ends_its_stream(slave: Worker, call: Call, end: Callable[[Caller], None]) -> None:
    caller = call(slave)
    caller.connect(lease=20.0 if end is refused_its_report else 0.6, max_message_bytes=64 * 1024 * 1024)
    stream = Stream(caller)
    task = stream.task(WAITS) if end is not refused_its_report else stream.task(SUM)
    stream.outcome(task)
    end(caller)
    assert stream.end() == NOT_CONNECTED
    slave.go_on.set()
    assert Stream(caller).end() in (NOT_CONNECTED, TOKEN_INVALID)
    caller.master.obey()
    caller.connect()
    second = Stream(caller)
    assert second.value(second.task({"a": 2, "b": 2})) == {"sum": 4}


def test_the_results_of_a_session_that_is_resumed_go_on_and_its_stream_ends(stream: Stream, slave: Worker) -> None:
    caller = stream.caller
    said = stream.task(SUM)
    stream.result(said)
    runs, waits = stream.task(WAITS), stream.task({"a": 2, "b": 2})
    stream.find("accepted", runs, waits)
    held = caller.connect(caller.token).held
    assert {(task.task_id, task.ended) for task in held} == {(said, True), (runs, False), (waits, False)}
    assert stream.end() in (NOT_CONNECTED, TOKEN_INVALID)
    report = caller.report()
    assert (report.result.task_id, report.token) == (said, caller.token)
    second = Stream(caller)
    second.find("accepted", second.task(WAITS, runs))
    slave.go_on.set()
    assert {one.task_id for one in second.results(2)} == {runs, waits}
    assert slave.ran == [SUM, WAITS, {"a": 2, "b": 2}]


def test_a_token_of_an_older_session_opens_no_stream(stream: Stream) -> None:
    caller, old = stream.caller, stream.caller.token
    caller.connect(old)
    for token in (old, new_token()):
        assert Stream(caller, token=token).end() == TOKEN_INVALID
    assert refused(caller.new_task, SUM, token=old) == TOKEN_INVALID
    second = Stream(caller)
    assert second.value(second.task(SUM)) == {"sum": 3}


def test_a_slave_that_shuts_down_takes_no_task(stream: Stream, slave: Worker) -> None:
    """It waits for the acknowledgement of what it has reported, and what comes meanwhile could only be lost."""
    caller, task = stream.caller, stream.task(SUM)
    stream.result(task)
    closing = threading.Thread(target=slave.shutdown)
    closing.start()
    while (refusal := refused_or_done(lambda: caller.new_task({"a": 0, "b": 0}))) is None:
        pass
    assert refusal == (GONE, "SYSTEM_SHUTTING_DOWN")
    late = stream.task({"a": 2, "b": 2})
    while (outcome := stream.outcome()).task_id != late:
        pass
    assert outcome.refused.reason == "SYSTEM_SHUTTING_DOWN"
    stream.acknowledge(task)
    closing.join(WAIT)
    assert {"a": 2, "b": 2} not in slave.ran
