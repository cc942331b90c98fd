"""SlaveService.Work: a stream may break at any moment, and every task on it is run once and comes to its end."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator

import grpc
import pytest

from tests.contract.conftest import Call, MakeSlave, Worker
from tests.contract.recording_master import Failure, RecordingMaster
from tests.contract.slave_programs import WAIT
from tests.contract.test_slave_service_hooks import Asked
from tests.contract.wire import GONE, NO_PROXY, SUM, Caller
from tests.contract.work import Stream, accepted, assert_nothing_is_left, kind_of, patient, running, task_of, to_it

WAITS = {"wait": 1}
slave = pytest.fixture(patient)
stream = pytest.fixture(to_it)


@pytest.fixture
def own_channel(slave: Worker, recorder: RecordingMaster) -> Iterator[Caller]:
    """A caller whose connection may be closed."""
    channel = grpc.insecure_channel(f"127.0.0.1:{slave.port}", [*NO_PROXY, ("grpc.use_local_subchannel_pool", 1)])
    caller = Caller(channel, recorder)
    caller.connect()
    yield caller
    channel.close()


def sent(stream: Stream, slave: Worker, task: str) -> None:
    """The task may have come there, or not."""


def ended(stream: Stream, slave: Worker, task: str) -> None:
    slave.go_on.set()
    stream.result(task)


MOMENTS: dict[str, Callable[[Stream, Worker, str], None]] = {
    "sent": sent,
    "accepted": accepted,
    "running": running,
    "ended": ended,
}


@pytest.mark.parametrize("how", ["cancelled", "cut"])
@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_a_stream_may_break_at_any_moment(
    own_channel: Caller, call: Call, slave: Worker, moment: Callable[[Stream, Worker, str], None], how: str
) -> None:
    """The task is handed over again by a call, is run once, and its result is reported, once."""
    stream = Stream(own_channel)
    task = stream.task(WAITS)
    moment(stream, slave, task)
    if how == "cancelled":
        stream.cut()
    else:
        own_channel.channel.close()
    caller = call(slave)
    caller.token = own_channel.token
    caller.new_task(WAITS, task)
    slave.go_on.set()
    report = caller.report()
    assert report.result.task_id == task
    assert json.loads(report.result.result.json) == {"waited": 1}
    caller.new_task(WAITS, task)
    assert_nothing_is_left(caller)
    assert slave.ran == [WAITS, {"a": 0, "b": 0}]


def test_a_task_that_the_user_is_asked_about_survives_the_stream(make_slave: MakeSlave, call: Call) -> None:
    slave = make_slave(Asked, backlog=9)
    caller = call(slave)
    caller.connect()
    slave.asked.clear()
    slave.being_asked.clear()
    slave.answer.clear()
    stream = Stream(caller)
    task = stream.task(SUM)
    assert slave.being_asked.wait(WAIT)
    stream.cut()
    stream.end()
    second = Stream(caller)
    second.task(SUM, task)
    caller.ping()
    slave.answer.set()
    assert json.loads(second.next("accepted", task).accepted.data.json) == {"times": 1}
    assert second.value(task) == {"sum": 3}
    assert (slave.asked, slave.ran) == (["task"], [SUM])


def test_a_task_whose_stream_broke_while_the_user_was_asked_runs_all_the_same(
    make_slave: MakeSlave, call: Call
) -> None:
    """Nobody hands it over again: the slave has no way to know that nobody wants it."""
    slave = make_slave(Asked)
    caller = call(slave)
    caller.connect()
    slave.being_asked.clear()
    slave.answer.clear()
    stream = Stream(caller)
    task = stream.task(SUM)
    assert slave.being_asked.wait(WAIT)
    stream.cut()
    stream.end()
    slave.answer.set()
    assert caller.report().result.task_id == task
    assert slave.ran == [SUM]


class Owner:
    """Owns tasks, and keeps the rules of a master: what has no outcome is sent again, until all have ended."""

    def __init__(self, caller: Caller, seed: int) -> None:
        self.caller = caller
        self.chance = random.Random(seed)
        self.tasks = {task.id: task for task in (task_of({"a": number, "b": 0}) for number in range(200))}
        self.unanswered = dict(self.tasks)
        self.ends: set[str] = set()

    def use_a_stream(self) -> None:
        """For a while. What comes is acknowledged, or is not."""
        stream, chance = Stream(self.caller), self.chance
        for _ in range(chance.randrange(1, 12)):
            unanswered = list(self.unanswered.values())
            stream.say(*chance.sample(unanswered, min(len(unanswered), chance.randrange(1, 5))))
            if not unanswered or chance.random() < 0.2:
                break
            outcome = stream.outcome()
            if kind_of(outcome) == "refused":
                assert outcome.refused.reason == "TASK_ALREADY_EXIST"
            else:
                self.unanswered.pop(outcome.task_id, None)
            if kind_of(outcome) == "result":
                self.ends.add(outcome.task_id)
                if chance.random() < 0.5:
                    stream.acknowledge(outcome.task_id)
        chance.choice((stream.cut, stream.close))()
        if chance.random() < 0.5:
            stream.end()

    def hear_reports(self) -> None:
        """Those that are there; and where nothing is left to be sent, those that are to come."""
        reports = self.caller.master.reports
        while not reports.empty() or (not self.unanswered and len(self.ends) < len(self.tasks)):
            task_id = reports.get(timeout=WAIT).result.task_id
            self.ends.add(task_id)
            self.unanswered.pop(task_id, None)


@pytest.mark.parametrize("seed", range(3))
def test_tasks_survive_streams_that_break_again_and_again(make_slave: MakeSlave, call: Call, seed: int) -> None:
    slave = make_slave(Worker, slots=2, backlog=8, request_retry_waiting=0.05)
    caller = call(slave)
    caller.connect()
    caller.master.report_answers.extend([Failure(GONE)] * 20)
    owner = Owner(caller, seed)
    while len(owner.ends) < len(owner.tasks):
        owner.use_a_stream()
        owner.hear_reports()
    assert owner.ends == owner.tasks.keys()
    assert sorted(data["a"] for data in slave.ran) == list(range(200))
