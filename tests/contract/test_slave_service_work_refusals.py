"""SlaveService.Work, every slave that serves it: what it does not take, and what comes twice."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import grpc
import pytest

from interaction.slave import TaskRefuse
from interaction.v1 import slave_service_pb2 as messages
from interaction.v1.payload_pb2 import Payload
from tests.contract.conftest import Call, MakeSlave, Worker
from tests.contract.slave_programs import WAIT, SlaveProgram
from tests.contract.test_slave_service_hooks import Asked
from tests.contract.wire import NO_MAPPINGS, NO_PROXY, REQUEST_INVALID, SUM, Caller, metadata_of, new_id, refused
from tests.contract.work import Stream, connected, kind_of, many, served, task_of

stream = pytest.fixture(connected)


# What is not taken.


@served
@pytest.mark.parametrize(
    "task_id",
    ["", "task 1", new_id().replace("-", ""), "C0FFEE00-0000-4000-8000-000000000000", "x" * 36, new_id() + "\n"],
    ids=lambda text: f"{text[:10]!r} of {len(text)}",
)
def test_an_id_that_is_no_uuid_ends_the_stream(stream: Stream, caller: Caller, task_id: str) -> None:
    before = task_of(SUM)
    stream.say(before, task_of(SUM, task_id), task_of(SUM))
    assert stream.end() == REQUEST_INVALID
    assert caller.report().result.task_id == before.id  # which was taken, and the last was not
    last = caller.new_task(SUM)
    assert caller.report().result.task_id == last


@served
def test_what_is_no_message_ends_the_stream(caller: Caller, program: SlaveProgram) -> None:
    caller.connect()
    with grpc.insecure_channel(program.address, NO_PROXY) as channel:
        work = channel.stream_stream("/interaction.v1.SlaveService/Work", bytes, bytes)
        call = work(iter([b"\xff\xff"]), metadata=metadata_of(caller.token), timeout=WAIT)
        assert refused(lambda: list(call)) == REQUEST_INVALID
    stream = Stream(caller)
    assert stream.value(stream.task(SUM)) == {"sum": 3}


@served
@pytest.mark.parametrize("data", NO_MAPPINGS)
def test_data_that_is_no_mapping_is_refused_and_its_id_is_new_when_it_comes_again(
    stream: Stream, data: Payload
) -> None:
    task = new_id()
    stream.say(task_of(data, task))
    refusal = stream.next("refused", task).refused
    assert refusal.reason == "TASK_DATA_INVALID"
    assert refusal.message
    stream.task(SUM, task)
    assert stream.value(task) == {"sum": 3}


def test_a_task_without_a_place_is_refused_and_its_id_is_new_when_it_comes_again(
    make_slave: MakeSlave, call: Call
) -> None:
    slave, stream = many(make_slave, call, backlog=1)
    running, waiting, further = (task_of(data) for data in ({"wait": 1}, {"a": 1, "b": 1}, SUM))
    stream.say(running, waiting, further)
    said = {outcome.task_id: outcome for outcome in (stream.outcome() for _ in range(3))}
    assert {kind_of(said[task.id]) for task in (running, waiting)} == {"accepted"}
    assert said[further.id].refused.reason == "TASK_ALREADY_EXIST"
    assert said[further.id].refused.message
    slave.go_on.set()
    assert [one.task_id for one in stream.results(2)] == [running.id, waiting.id]
    stream.say(further)
    assert stream.value(further.id) == {"sum": 3}
    assert slave.ran == [{"wait": 1}, {"a": 1, "b": 1}, SUM]


def test_what_the_user_says_comes_with_the_acceptance(make_slave: MakeSlave, call: Call) -> None:
    slave, stream = many(make_slave, call, Asked)
    assert isinstance(slave, Asked)
    slave.asked.clear()
    for times in range(1, 20):
        task = stream.task(SUM)
        accepted = stream.next("accepted", task).accepted
        assert json.loads(accepted.data.json) == {"times": times}
        stream.next("result", task)
    assert slave.asked == ["task"] * 19


def test_a_refusal_by_the_user_says_why(make_slave: MakeSlave, call: Call) -> None:
    slave, stream = many(make_slave, call, Asked)
    assert isinstance(slave, Asked)
    slave.refuse = "task"
    refusal = stream.next("refused", stream.task(SUM)).refused
    assert refusal.reason == "TASK_REFUSED"
    assert refusal.message
    assert json.loads(refusal.data.json) == {"times": 2}
    slave.refuse = ""
    assert stream.value(stream.task(SUM)) == {"sum": 3}
    assert slave.ran == [SUM]


class Refusing(Worker):
    """Refuses as a test says."""

    error: Exception = TaskRefuse()

    def _before_task(self, data: Mapping[str, Any]) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (KeyError("model"), "KeyError: 'model'"),
        (KeyError("é" * 10**5), "KeyError: 'ééé"),
        (TaskRefuse({"x": threading.Lock()}), ""),
        (TaskRefuse({"x": "x" * 10**6}), ""),
    ],
    ids=["another error", "too many words", "what can't be carried", "too much"],
)
def test_a_refusal_of_any_kind_gets_through(make_slave: MakeSlave, call: Call, error: Exception, message: str) -> None:
    slave, stream = many(make_slave, call, Refusing)
    assert isinstance(slave, Refusing)
    slave.error = error
    refusal = stream.next("refused", stream.task(SUM)).refused
    assert refusal.reason == "TASK_REFUSED"
    assert refusal.message.startswith(message)
    assert message or "what the refusal carries is left out" in refusal.message
    assert refusal.ByteSize() < 10_000
    assert slave.ran == []


@served
def test_a_task_for_a_slave_that_was_here_before_is_refused(caller: Caller) -> None:
    incarnation = caller.connect().incarnation
    stream = Stream(caller, incarnation="f" * 32)
    for _ in range(2):  # the stream is for that slave, whatever a later message says
        task = task_of(SUM)
        stream.say(task, incarnation="")
        assert stream.next("refused", task.id).refused.reason == "SLAVE_NOT_CONNECTED"
    stream = Stream(caller, incarnation=incarnation)
    assert stream.value(stream.task(SUM)) == {"sum": 3}


def test_a_slave_that_drains_takes_no_new_task_and_ends_those_that_it_has(make_slave: MakeSlave, call: Call) -> None:
    slave, stream = many(make_slave, call)
    running, waiting = task_of({"wait": 1}), task_of(SUM)
    stream.say(running, waiting)
    for _ in range(2):
        stream.next("accepted")
    drained: list[bool] = []
    draining = threading.Thread(target=lambda: drained.append(slave.drain()))
    draining.start()
    ended: set[str] = set()
    stream.task({"a": 0, "b": 0})
    while kind_of(outcome := stream.outcome()) != "refused":  # nothing else is to be seen of the beginning
        if kind_of(outcome) == "result":  # what has not begun may be handed back
            ended.add(outcome.task_id)
            stream.acknowledge(outcome.task_id)
        else:
            stream.task({"a": 0, "b": 0})
    assert outcome.refused.reason == "SYSTEM_SHUTTING_DOWN"
    slave.go_on.set()
    with suppress(grpc.RpcError):
        while True:
            outcome = stream.outcome()
            ended.add(outcome.task_id)
            stream.acknowledge(outcome.task_id)
    assert ended >= {running.id, waiting.id}
    draining.join(WAIT)
    assert drained == [True]


# Twice.


def test_a_task_that_comes_again_runs_once_and_every_one_is_followed_by_an_outcome(
    make_slave: MakeSlave, call: Call
) -> None:
    slave, stream = many(make_slave, call)
    task = task_of({"wait": 1})
    stream.say(task, task)
    stream.say(task)  # while it runs
    for _ in range(3):
        stream.next("accepted", task.id)
    slave.go_on.set()
    stream.next("result", task.id)
    stream.say(task)  # when it has ended, and its result is not acknowledged
    stream.next("accepted", task.id)
    stream.acknowledge(task.id)
    stream.say(task)  # and is
    stream.next("accepted", task.id)
    assert stream.value(stream.task(SUM)) == {"sum": 3}
    assert slave.ran == [{"wait": 1}, SUM]


def test_a_task_that_was_refused_by_the_user_is_refused_again_and_he_is_asked_once(
    make_slave: MakeSlave, call: Call
) -> None:
    slave, stream = many(make_slave, call, Asked)
    assert isinstance(slave, Asked)
    slave.refuse = "task"
    slave.asked.clear()
    task = task_of(SUM)
    for _ in range(3):
        stream.say(task)
        assert json.loads(stream.next("refused", task.id).refused.data.json) == {"times": 1}
    assert slave.asked == ["task"]


def test_an_id_that_comes_again_with_other_data_is_refused(make_slave: MakeSlave, call: Call) -> None:
    slave, stream = many(make_slave, call)
    task = stream.task({"wait": 1})
    stream.next("accepted", task)
    for ended in (False, True):
        stream.task({"wait": 2}, task)
        assert stream.next("refused", task).refused.reason == "TASK_DATA_INVALID"
        if not ended:
            slave.go_on.set()
            stream.next("result", task)
    assert slave.ran == [{"wait": 1}]


def test_what_comes_again_while_the_user_is_asked_waits_for_his_answer(make_slave: MakeSlave, call: Call) -> None:
    slave, stream = many(make_slave, call, Asked)
    assert isinstance(slave, Asked)
    slave.asked.clear()
    slave.being_asked.clear()
    slave.answer.clear()
    task = task_of(SUM)
    stream.say(task, task)
    assert slave.being_asked.wait(WAIT)
    by_call = stream.caller.stub.NewTask.future(
        messages.NewTaskRequest(task=task), metadata=stream.metadata, timeout=WAIT
    )
    stream.caller.ping()
    slave.answer.set()
    assert json.loads(by_call.result().data.json) == {"times": 1}
    for _ in range(2):
        assert json.loads(stream.next("accepted", task.id).accepted.data.json) == {"times": 1}
    stream.next("result", task.id)
    assert slave.asked == ["task"]
    assert slave.ran == [SUM]


@pytest.mark.parametrize("first", ["NewTask", "Work"])
def test_a_task_may_come_by_both_roads_and_runs_once(make_slave: MakeSlave, call: Call, first: str) -> None:
    slave, stream = many(make_slave, call)
    caller, task, data = stream.caller, new_id(), {"wait": 1}
    if first == "NewTask":
        caller.new_task(data, task)
    stream.task(data, task)
    stream.next("accepted", task)
    caller.new_task(data, task)
    assert refused(caller.new_task, {"wait": 2}, task)[1] == "TASK_DATA_INVALID"
    slave.go_on.set()
    stream.next("result", task)  # by the stream, as long as there is one
    caller.new_task(data, task)
    assert slave.ran == [{"wait": 1}]
    assert caller.master.reports.empty()
