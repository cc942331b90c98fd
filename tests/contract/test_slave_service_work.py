"""SlaveService.Work, every slave that serves it: tasks go out on a stream, and what became of them comes back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import grpc
import pytest

from interaction.core.batch import LARGEST
from interaction.core.outcomes import QUICK
from interaction.slave import TaskRefuse
from interaction.v1.payload_pb2 import Payload
from interaction.v1.task_pb2 import TASK_RESULT_STATUS_COMPLETED, TASK_RESULT_STATUS_FAILED
from tests.contract.conftest import Call, MakeSlave, Worker
from tests.contract.slave_programs import NODE, WAIT, SlaveProgram
from tests.contract.wire import SUM, Caller, new_id
from tests.contract.work import Stream, connected, kind_of, many, served, task_of

NOT_SERVED = (grpc.StatusCode.UNIMPLEMENTED, "")
stream = pytest.fixture(connected)


# Who serves it.


@served
def test_the_features_name_it(caller: Caller) -> None:
    assert "work" in caller.ping().features
    assert "work" in caller.connect().features


@pytest.mark.parametrize("program", [NODE], indirect=True, ids=["node"])
def test_a_slave_whose_features_lack_it_does_not_serve_it(caller: Caller, program: SlaveProgram) -> None:
    assert "work" not in caller.ping().features
    assert "work" not in caller.connect().features
    assert Stream(caller).end() == NOT_SERVED
    caller.new_task(SUM)
    assert caller.value() == {"sum": 3}


def test_a_slave_that_is_told_not_to_serves_none(call: Call, make_slave: MakeSlave) -> None:
    caller = call(make_slave(Worker, fast_road=False))
    assert not caller.ping().features
    assert not caller.connect().features
    assert Stream(caller).end() == NOT_SERVED
    caller.new_task(SUM)
    assert caller.value() == {"sum": 3}


# Tasks, and their outcomes.


@served
def test_a_result_says_what_the_task_gave(stream: Stream) -> None:
    for number in range(3):
        task = stream.task({"a": number, "b": 1})
        result = stream.result(task).result
        assert result.status == TASK_RESULT_STATUS_COMPLETED
        assert json.loads(result.result.json) == {"sum": number + 1}
        assert not result.HasField("error")
        stream.acknowledge(task)


@served
@pytest.mark.parametrize("data", [{}, {"a": 1}, None, Payload(), Payload(buffers=[b"x"])], ids=str)
def test_a_failing_task_says_why_and_the_next_one_runs(stream: Stream, program: SlaveProgram, data: Any) -> None:
    result = stream.result(stream.task(data)).result
    assert result.status == TASK_RESULT_STATUS_FAILED
    program.implementation.assert_says_why(result.error)
    assert stream.value(stream.task(SUM)) == {"sum": 3}


def test_tasks_come_many_in_a_message_and_run_in_their_order(make_slave: MakeSlave, call: Call) -> None:
    slave, stream = many(make_slave, call)
    tasks = [task_of({"a": number, "b": 0}) for number in range(100)]
    stream.say(*tasks)
    results = stream.results(100)
    assert [one.task_id for one in results] == [task.id for task in tasks]
    assert [json.loads(one.result.result.json) for one in results] == [{"sum": number} for number in range(100)]
    assert slave.ran == [{"a": number, "b": 0} for number in range(100)]


def test_outcomes_come_many_in_a_message(make_slave: MakeSlave, call: Call) -> None:
    """While the slave's first words are on their way, more are added to the next ones."""
    _, stream = many(make_slave, call)
    stream.say(*(task_of(SUM) for _ in range(100)))
    stream.results(100)
    assert len(stream.messages) < 100


def test_a_task_that_takes_long_is_accepted_at_once(make_slave: MakeSlave, call: Call) -> None:
    slave, stream = many(make_slave, call)
    task = stream.task({"wait": 1})
    stream.next("accepted", task)
    assert slave.running.wait(WAIT)
    slave.go_on.set()
    assert json.loads(stream.next("result", task).result.result.json) == {"waited": 1}


def test_a_task_that_takes_long_after_quick_ones_is_accepted_before_its_end(make_slave: MakeSlave, call: Call) -> None:
    slave, stream = many(make_slave, call)
    for _ in range(5):
        stream.result(stream.task(SUM))
    task = stream.task({"wait": 1})
    stream.next("accepted", task)  # not at once, but while it runs
    slave.go_on.set()
    stream.next("result", task)


def test_most_results_of_quick_tasks_say_themselves_that_they_were_accepted(make_slave: MakeSlave, call: Call) -> None:
    _, stream = many(make_slave, call)
    alone = 0
    for _ in range(100):
        task = stream.task(SUM)
        alone += kind_of(outcome := stream.outcome(task)) == "result"
        if kind_of(outcome) == "accepted":
            stream.next("result", task)
    assert alone > 10, f"a result follows within {QUICK} s as a rule, on a machine that is busy as well"


@served
def test_an_empty_message_changes_nothing(stream: Stream) -> None:
    stream.say()
    assert stream.value(stream.task(SUM)) == {"sum": 3}


@served
def test_a_result_that_was_acknowledged_is_not_reported_again(stream: Stream, caller: Caller) -> None:
    task = stream.task(SUM)
    stream.result(task)
    stream.acknowledge(task)
    stream.close()
    assert stream.end() == (grpc.StatusCode.OK, "")
    last = caller.new_task(SUM)
    assert caller.report().result.task_id == last


@served
def test_ids_of_nothing_may_be_acknowledged(stream: Stream, caller: Caller) -> None:
    task = stream.task(SUM)
    stream.result(task)
    stream.acknowledge("", "x", new_id(), "é" * 1000, *[new_id() for _ in range(10_000)])
    stream.close()
    assert stream.end() == (grpc.StatusCode.OK, "")
    assert caller.report().result.task_id == task


def test_an_acknowledgement_before_the_result_is_none(make_slave: MakeSlave, call: Call) -> None:
    slave, stream = many(make_slave, call)
    task = stream.task({"wait": 1})
    stream.next("accepted", task)
    stream.say(task_of({"wait": 1}, task), acknowledged=[task])
    stream.next("accepted", task)  # again: what came with it has been read
    slave.go_on.set()
    stream.next("result", task)
    stream.close()
    assert stream.end() == (grpc.StatusCode.OK, "")
    recorder = stream.caller.master
    assert recorder.reports.get(timeout=WAIT).result.task_id == task


# What is large.


def test_a_result_that_would_hold_up_the_others_goes_by_a_call(make_slave: MakeSlave, call: Call) -> None:
    slave = make_slave(Worker, backlog=99)
    caller = call(slave)
    caller.connect(max_message_bytes=64 * 1024 * 1024)
    stream = Stream(caller)
    large, small = task_of({"echo": "x" * LARGEST}), task_of(SUM)
    caller.new_task(Payload(json=large.data.json), large.id)  # what is large may go by a call as well
    stream.say(small)
    assert stream.value(small.id) == {"sum": 3}
    report = caller.report()
    assert report.result.task_id == large.id
    assert len(report.result.result.json) > LARGEST


def test_no_message_is_longer_than_the_master_reads(make_slave: MakeSlave, call: Call) -> None:
    slave = make_slave(Worker, backlog=99)
    caller = call(slave)
    caller.connect(max_message_bytes=100_000)
    stream = Stream(caller)
    tasks = [task_of({"echo": "x" * size}) for size in (70_000, 10, 40_000, 40_000, 70_000, *[20_000] * 20)]
    tasks.append(task_of({"echo": "x" * 100_000}))  # it fails: that much can't be carried
    stream.say(*tasks)
    ends = {one.task_id: one.result.status for one in stream.results(len(tasks))}
    assert ends.pop(tasks[-1].id) == TASK_RESULT_STATUS_FAILED
    assert set(ends.values()) == {TASK_RESULT_STATUS_COMPLETED}
    assert len(ends) == len(tasks) - 1
    assert max(one.ByteSize() for one in stream.messages) <= 100_000


class Verbose(Worker):
    """Says much about each task, and refuses those that can't be added."""

    def _before_task(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        words = {"words": "x" * 60_000}
        if "refuse" in data:
            raise TaskRefuse(words)
        if "fail" in data:
            raise KeyError("x" * 10_000)
        return words


@pytest.mark.parametrize("data", [SUM, {"refuse": True}, {"fail": True}], ids=["accepted", "refused", "raised"])
def test_what_the_user_says_counts_too(make_slave: MakeSlave, call: Call, data: dict[str, Any]) -> None:
    slave = make_slave(Verbose, backlog=99)
    caller = call(slave)
    caller.connect(max_message_bytes=100_000)
    stream = Stream(caller)
    stream.say(*(task_of(data) for _ in range(60)))
    for _ in range(60):
        while kind_of(outcome := stream.outcome()) == "result":
            pass
        said = outcome.refused.data if kind_of(outcome) == "refused" else outcome.accepted.data
        assert "fail" in data or len(json.loads(said.json)["words"]) == 60_000
    assert max(one.ByteSize() for one in stream.messages) <= 100_000
