"""One stream of SlaveService.Work, made of the generated stub alone: as a master has it, message by message."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from queue import Queue
from typing import Any

import grpc
import pytest

from interaction.v1 import slave_service_pb2 as messages
from interaction.v1.payload_pb2 import Payload
from interaction.v1.task_pb2 import Task
from tests.contract.conftest import Call, MakeSlave, Worker
from tests.contract.slave_programs import ISOLATED, PYTHON, WAIT
from tests.contract.wire import Caller, metadata_of, new_id, payload_of, refusal_of

served = pytest.mark.parametrize("program", [PYTHON, ISOLATED], indirect=True, ids=lambda one: one.name)


def task_of(data: Payload | dict[str, Any] | None, task_id: str | None = None) -> Task:
    return Task(id=new_id() if task_id is None else task_id, data=payload_of(data))


def kind_of(outcome: messages.WorkOutcome) -> str:
    return outcome.WhichOneof("outcome") or ""


class Stream:
    """A stream of the caller's session. What the slave says is read when the test asks for it."""

    def __init__(self, caller: Caller, *, incarnation: str = "", token: str = "") -> None:
        self.caller = caller
        self._requests: Queue[messages.WorkRequest | None] = Queue()
        self._incarnation = incarnation
        self._said: deque[messages.WorkOutcome] = deque()
        self.messages: list[messages.WorkResponse] = []  # as they came
        self.metadata = metadata_of(token or caller.token)
        self.call = caller.stub.Work(iter(self._requests.get, None), metadata=self.metadata, timeout=WAIT)

    # What the master says.

    def say(self, *tasks: Task, acknowledged: Sequence[str] = (), incarnation: str = "") -> None:
        """Send a message."""
        first, self._incarnation = self._incarnation, ""
        self._requests.put(
            messages.WorkRequest(tasks=tasks, acknowledged=acknowledged, incarnation=incarnation or first)
        )

    def task(self, data: Payload | dict[str, Any] | None, task_id: str | None = None) -> str:
        """Hand over one task. Returns its id."""
        task = task_of(data, task_id)
        self.say(task)
        return task.id

    def acknowledge(self, *task_ids: str) -> None:
        self.say(acknowledged=task_ids)

    def close(self) -> None:
        """Say that nothing more will be said."""
        self._requests.put(None)

    def cut(self) -> None:
        """Break it."""
        self.call.cancel()

    # What the slave says.

    def outcome(self, task_id: str | None = None) -> messages.WorkOutcome:
        """The next outcome, which must be that task's if one is named."""
        while not self._said:
            self.messages.append(next(self.call))
            self._said.extend(self.messages[-1].outcomes)
        outcome = self._said.popleft()
        assert kind_of(outcome), "an outcome says something"
        assert task_id in (None, outcome.task_id)
        if kind_of(outcome) == "result":
            assert outcome.result.task_id == outcome.task_id
        return outcome

    def next(self, kind: str, task_id: str | None = None) -> messages.WorkOutcome:
        """The next outcome, which must be of that kind."""
        outcome = self.outcome(task_id)
        assert kind_of(outcome) == kind, outcome
        return outcome

    def result(self, task_id: str) -> messages.WorkOutcome:
        """The task's result, before which it may have been accepted, once."""
        outcome = self.outcome(task_id)
        return self.next("result", task_id) if kind_of(outcome) == "accepted" else outcome

    def value(self, task_id: str) -> Any:
        """What the task gave."""
        return json.loads(self.result(task_id).result.result.json)

    def find(self, kind: str, *task_ids: str) -> None:
        """Read until an outcome of that kind has come for each of these tasks, whatever else comes."""
        missing = set(task_ids)
        while missing:
            outcome = self.outcome()
            if kind_of(outcome) == kind:
                missing.discard(outcome.task_id)

    def results(self, count: int) -> list[messages.WorkOutcome]:
        """The next results, in the order in which they come; a task is accepted before its result, and at most once."""
        found: list[messages.WorkOutcome] = []
        accepted: set[str] = set()
        while len(found) < count:
            outcome = self.outcome()
            if kind_of(outcome) == "accepted":
                assert outcome.task_id not in accepted | {one.task_id for one in found}
                accepted.add(outcome.task_id)
            else:
                assert kind_of(outcome) == "result"
                found.append(outcome)
        return found

    def end(self) -> tuple[grpc.StatusCode, str]:
        """Read to the end; the status and its reason. What was said until then is forgotten."""
        try:
            for _ in self.call:
                pass
        except grpc.RpcError as error:
            return refusal_of(error)
        return self.call.code(), ""


def connected(caller: Caller) -> Stream:
    """Of a session that is open."""
    caller.connect()
    return Stream(caller)


def many(make_slave: MakeSlave, call: Call, kind: type[Worker] = Worker, **options: Any) -> tuple[Worker, Stream]:
    """A slave that takes many tasks, and a stream to it."""
    slave = make_slave(kind, **{"backlog": 99, **options})
    return slave, connected(call(slave))


def patient(make_slave: MakeSlave) -> Worker:
    """Takes a hundred tasks, and reports again soon."""
    return make_slave(Worker, backlog=99, request_retry_waiting=0.05)


def to_it(call: Call, slave: Worker) -> Stream:
    return connected(call(slave))


def assert_nothing_is_left(caller: Caller) -> None:
    """The next report is that of the next task: nothing comes in between."""
    last = caller.new_task({"a": 0, "b": 0})
    assert caller.report().result.task_id == last


def accepted(stream: Stream, slave: Worker, task: str) -> None:
    stream.next("accepted", task)


def running(stream: Stream, slave: Worker, task: str) -> None:
    stream.next("accepted", task)
    assert slave.running.wait(WAIT)
