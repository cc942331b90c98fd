"""What is said of a session, task or slave that it does not concern is answered without a look at the data.

So whoever reaches a port, or has been taken over, can't have data read by the megabyte that change nothing.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from typing import Any

import pytest

from interaction import Master
from interaction.rpc import payload
from interaction.v1 import master_service_pb2 as master_messages
from interaction.v1.payload_pb2 import Payload
from interaction.v1.slave_service_pb2 import WorkAccepted, WorkOutcome, WorkRefused, WorkRequest
from interaction.v1.task_pb2 import TASK_RESULT_STATUS_COMPLETED, Task, TaskResult
from tests.contract.conftest import Call, MakeMaster, MakeSlave, Worker
from tests.contract.scripted_slave import Beats, ScriptedSlave, completed, started
from tests.contract.slave_programs import WAIT
from tests.contract.wire import (
    ALREADY_CONNECTED,
    NOT_CONNECTED,
    REQUEST_INVALID,
    TOKEN_INVALID,
    Caller,
    metadata_of,
    new_id,
    new_token,
    refused,
)

MARK = '{"marked":[1,2,3]}'
MARKED = Payload(json=MARK)
UNREADABLE = Payload(json="{")
STALE = master_messages.RESULT_ACKNOWLEDGEMENT_STALE
DUPLICATE = master_messages.RESULT_ACKNOWLEDGEMENT_DUPLICATE


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that are read: those that these tests send begin so."""
    texts: list[str] = []
    decode = payload.decode

    def noting(message: Payload, root: str, *allowance: Any, **options: Any) -> Any:
        if message.json[:9] in (MARK[:9], "{"):
            texts.append(message.json)
        return decode(message, root, *allowance, **options)

    monkeypatch.setattr(payload, "decode", noting)
    return texts


each = pytest.mark.parametrize("data", [MARKED, UNREADABLE], ids=["marked", "unreadable"])


# At a master.


@each
def test_a_result_that_changes_nothing_is_not_read(
    linked: Any, scripted: ScriptedSlave, beats: Beats, read: list[str], data: Payload
) -> None:
    """It was read first: three of 63 MB for unknown ids held the GIL until an innocent slave was lost."""
    task = started(linked)
    task_id = scripted.accepted_task()
    status = TASK_RESULT_STATUS_COMPLETED
    assert scripted.report(TaskResult(task_id=new_id(), status=status, result=data)) == STALE
    scripted.report(completed(task_id))
    task.join(WAIT)
    assert scripted.report(TaskResult(task_id=task_id, status=status, result=data)) == DUPLICATE
    other = started(linked)
    other_id = scripted.accepted_task()
    linked.disconnect()
    for late in (other_id, task_id, new_id()):
        assert scripted.report(TaskResult(task_id=late, status=status, result=data)) == STALE
    assert other.status.name == "LOST"
    assert read == []


def test_a_result_of_a_task_that_runs_is_read(
    linked: Any, scripted: ScriptedSlave, beats: Beats, read: list[str]
) -> None:
    task = started(linked)
    scripted.report(completed(scripted.accepted_task(), MARK))
    assert task.join(WAIT).result == {"marked": [1, 2, 3]}
    assert read == [MARK]


@each
def test_what_is_said_on_the_fast_road_of_a_task_that_nobody_has_is_not_read(
    make_master: MakeMaster, scripted: ScriptedSlave, read: list[str], data: Payload
) -> None:
    scripted.features = ["work"]
    connection = make_master(Master).new_connection("conn", "127.0.0.1", scripted.port)
    connection.connect()
    with ThreadPoolExecutor(1) as other:
        starting = other.submit(connection.new_task({"a": 1}).start)
        work = scripted.work()
        task_id = work.task()
        unknown = [new_id() for _ in range(4)]
        result = TaskResult(task_id=unknown[2], status=TASK_RESULT_STATUS_COMPLETED, result=data)
        work.say(
            WorkOutcome(task_id=unknown[0], accepted=WorkAccepted(data=data)),
            WorkOutcome(task_id=unknown[1], refused=WorkRefused(reason="TASK_REFUSED", data=data)),
            WorkOutcome(task_id=unknown[2], result=result),
        )
        work.complete(task_id)
        starting.result(WAIT).join(WAIT)
        assert {work.acknowledged(), work.acknowledged()} == {task_id, unknown[2]}
        work.say(
            WorkOutcome(
                task_id=task_id,
                result=TaskResult(task_id=task_id, status=TASK_RESULT_STATUS_COMPLETED, result=data),
            )
        )
        assert work.acknowledged() == task_id
    assert connection.is_connected
    assert read == []


# At a slave.


@each
def test_what_a_master_says_whom_the_slave_does_not_take_is_not_read(
    make_slave: MakeSlave, call: Call, read: list[str], data: Payload
) -> None:
    caller = call(make_slave(Worker, allowed_masters=["127.0.0.1"]))
    assert refused(caller.connect, address="192.0.2.1:1", data=data) == REQUEST_INVALID
    assert refused(caller.connect, address="nonsense://", data=data) == REQUEST_INVALID
    assert refused(caller.connect, lease=0.0, data=data) == REQUEST_INVALID
    assert refused(caller.disconnect, token=new_token(), data=data) == NOT_CONNECTED
    caller.connect()
    token = caller.token
    assert refused(caller.connect, data=data) == ALREADY_CONNECTED
    assert caller.connect(token=token, data=data).incarnation  # a duplicate, of which no notice is taken
    assert refused(caller.disconnect, token=new_token(), data=data) == TOKEN_INVALID
    caller.connect(token, data=data)  # resumed: nobody is asked
    caller.disconnect()
    caller.disconnect(data=data)  # a duplicate
    assert refused(caller.connect, token=token, data=data) == TOKEN_INVALID
    assert read == []


def test_what_a_master_says_whom_the_slave_may_take_is_read(make_slave: MakeSlave, call: Call, read: list[str]) -> None:
    caller = call(make_slave(Worker))
    token = new_token()
    assert refused(caller.connect, token=token, data=UNREADABLE) == REQUEST_INVALID
    caller.connect(token=token, data=MARKED)
    assert refused(caller.disconnect, data=UNREADABLE) == REQUEST_INVALID
    caller.disconnect(data=MARKED)
    assert read == ["{", MARK, "{", MARK]


@each
@pytest.mark.parametrize("fast_road", [False, True], ids=["call", "work"])
def test_a_task_that_has_no_place_or_is_for_another_slave_is_not_read(
    make_slave: MakeSlave, call: Call, read: list[str], data: Payload, fast_road: bool
) -> None:
    slave: Worker = make_slave(Worker)
    caller = call(slave)
    caller.connect()
    assert hand_over(caller, data, fast_road, incarnation="f" * 32) == "SLAVE_NOT_CONNECTED"
    running = caller.new_task({"wait": 1})
    try:
        assert slave.running.wait(WAIT)
        assert hand_over(caller, data, fast_road) == "TASK_ALREADY_EXIST"
        assert read == []
        # Of an id that is known it is to be found out whether it is the same task.
        assert hand_over(caller, data, fast_road, running) == "TASK_DATA_INVALID"
        assert read == [data.json]
    finally:
        slave.go_on.set()


def hand_over(caller: Caller, data: Payload, fast_road: bool, task_id: str = "", incarnation: str = "") -> str:
    """Hand over a task that is refused. Returns the reason."""
    task_id = task_id or new_id()
    if not fast_road:
        return refused(caller.new_task, data, task_id, incarnation=incarnation)[1]
    request = WorkRequest(tasks=[Task(id=task_id, data=data)], incarnation=incarnation)
    requests: Queue[WorkRequest | None] = Queue()
    requests.put(request)
    answers = caller.stub.Work(iter(requests.get, None), metadata=metadata_of(caller.token), timeout=WAIT)
    try:
        for answer in answers:
            for outcome in answer.outcomes:
                if outcome.task_id == task_id and outcome.HasField("refused"):
                    return outcome.refused.reason
    finally:
        requests.put(None)
    raise AssertionError("the stream has ended")


def test_of_a_message_with_more_tasks_than_there_are_places_the_others_are_not_read(
    make_slave: MakeSlave, call: Call, read: list[str]
) -> None:
    slave: Worker = make_slave(Worker, slots=2, backlog=1)
    caller = call(slave)
    caller.connect()
    waiting = Payload(json='{"wait":1}')
    tasks = [Task(id=new_id(), data=waiting) for _ in range(3)] + [Task(id=new_id(), data=MARKED) for _ in range(50)]
    requests: Queue[WorkRequest | None] = Queue()
    requests.put(WorkRequest(tasks=tasks))
    told: dict[str, str] = {}
    try:
        for answer in caller.stub.Work(iter(requests.get, None), metadata=metadata_of(caller.token), timeout=WAIT):
            told.update({outcome.task_id: outcome.WhichOneof("outcome") or "" for outcome in answer.outcomes})
            if len(told) == len(tasks):
                break
        assert [told[task.id] for task in tasks] == ["accepted"] * 3 + ["refused"] * 50
        assert read == []
    finally:
        slave.go_on.set()
        requests.put(None)
