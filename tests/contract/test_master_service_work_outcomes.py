"""The fast road, from a slave's end: what the master makes of whatever the slave says, and of nonsense."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from typing import Any

import pytest

from interaction import Master, SlaveConnectionProxy, TaskStatus
from interaction.exception import (
    LossReason,
    ResponseException,
    SlaveErrorCode,
    SlaveSlaveNotConnected,
    SlaveSystemShuttingDown,
    SlaveTaskAlreadyExist,
    SlaveTaskDataInvalid,
    SlaveTaskRefused,
    TaskFailed,
)
from interaction.v1 import slave_service_pb2 as messages
from interaction.v1.payload_pb2 import Payload
from interaction.v1.task_pb2 import TASK_RESULT_STATUS_FAILED, TaskError, TaskResult
from tests.contract.conftest import MakeMaster, without_and_with_a_journal
from tests.contract.master_work import Start, assert_goes_on, handed_over, starting, with_the_fast_road
from tests.contract.scripted_slave import INCARNATION, ScriptedSlave, assert_lost, completed, ended
from tests.contract.slave_programs import WAIT
from tests.contract.wire import new_id

master_options = pytest.fixture(params=[False, True], ids=["", "journal"])(without_and_with_a_journal)
scripted = pytest.fixture(with_the_fast_road)
start = pytest.fixture(starting)


def test_a_result_says_that_its_task_was_accepted(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start
) -> None:
    starting = start(linked)
    work = scripted.work()
    work.complete(work.task(), '{"n":1}')
    task = starting.result(WAIT)
    assert task.join(WAIT).result == {"n": 1}
    assert task.status is TaskStatus.COMPLETED


def test_a_task_that_is_accepted_is_started_until_its_result_comes(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start
) -> None:
    ends: list[Any] = []
    task = linked.new_task({"a": 1}).on_complete(lambda *end: ends.append(end)).on_fail(lambda *end: ends.append(end))
    with ThreadPoolExecutor(1) as thread:
        starting = thread.submit(task.start)
        work = scripted.work()
        task_id = work.task()
        statuses = [task.status]
        work.accept(task_id)
        assert starting.result(WAIT) is task
    assert [*statuses, task.status] == [TaskStatus.STARTING, TaskStatus.STARTED]
    work.complete(task_id, '{"n":1}')
    assert task.join(WAIT).result == {"n": 1}
    assert ends == [({"a": 1}, {"n": 1})]


def test_what_the_slaves_user_says_gets_to_the_hook(
    make_master: MakeMaster, scripted: ScriptedSlave, start: Start
) -> None:
    said: Queue[Any] = Queue()

    class Listening(Master):
        def _after_new_task(self, *arguments: Any) -> None:
            said.put(arguments)

    connection = make_master(Listening).new_connection("conn", "127.0.0.1", scripted.port)
    connection.connect()
    starting = start(connection)
    work = scripted.work()
    work.accept(work.task(), '{"gpu":0}')
    starting.result(WAIT)
    status_code, success, code, message, data = said.get(timeout=WAIT)
    assert (status_code, success, code, data) == (200, True, SlaveErrorCode.SUCCESS, {"gpu": 0})
    assert message


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("TASK_REFUSED", SlaveTaskRefused),
        ("TASK_ALREADY_EXIST", SlaveTaskAlreadyExist),
        ("TASK_DATA_INVALID", SlaveTaskDataInvalid),
        ("SYSTEM_SHUTTING_DOWN", SlaveSystemShuttingDown),
    ],
)
def test_a_refusal_is_what_start_raises(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start, reason: str, error: type[ResponseException]
) -> None:
    starting = start(linked)
    work = scripted.work()
    work.refuse(work.task(), reason, '{"why":[1]}', "not now")
    with pytest.raises(error, match="not now") as caught:
        starting.result(WAIT)
    assert (caught.value.code.name, caught.value.data) == (reason, {"why": [1]})
    assert_goes_on(linked, scripted, start, work)


def test_a_slave_without_the_session_ends_it(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start
) -> None:
    first = start(linked)
    work = scripted.work()
    work.accept(work.task())
    running = first.result(WAIT)
    other = start(linked)
    work.refuse(work.task(), "SLAVE_NOT_CONNECTED")
    with pytest.raises(SlaveSlaveNotConnected):
        other.result(WAIT)
    assert_lost(running, LossReason.DISCONNECTED)
    assert not linked.is_connected


def test_a_refusal_whose_data_can_not_be_read_says_so(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start
) -> None:
    starting = start(linked)
    work = scripted.work()
    work.refuse(work.task(), "TASK_REFUSED", "{")
    with pytest.raises(SlaveTaskRefused) as caught:
        starting.result(WAIT)
    assert "unreadable" in caught.value.data
    assert_goes_on(linked, scripted, start, work)


@pytest.mark.parametrize("json", ["{", "nonsense", '{"$bytes":3}', "[" * 100_000], ids=lambda text: text[:10])
def test_a_result_that_cannot_be_read_fails_its_task(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start, json: str
) -> None:
    starting = start(linked)
    work = scripted.work()
    task_id = work.task()
    work.complete(task_id, json)
    task = starting.result(WAIT).join(WAIT)
    assert task.status is TaskStatus.FAILED
    assert "can't be read" in str(task.error)
    assert work.acknowledged() == task_id
    assert_goes_on(linked, scripted, start, work)


def test_a_failure_says_what_it_was(linked: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start) -> None:
    starting = start(linked)
    work = scripted.work()
    error = TaskError(type="Oops", message="that hurt", traceback="line 1")
    work.say(ended(TaskResult(task_id=work.task(), status=TASK_RESULT_STATUS_FAILED, error=error)))
    task = starting.result(WAIT).join(WAIT)
    assert task.status is TaskStatus.FAILED
    assert isinstance(task.error, TaskFailed)
    assert (task.error.type, task.error.message, task.error.traceback) == ("Oops", "that hurt", "line 1")


def test_a_result_that_comes_again_is_acknowledged_again_and_changes_nothing(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start
) -> None:
    ends: list[Any] = []
    starting = start(linked)
    work = scripted.work()
    task_id = work.task()
    again = [ended(completed(task_id, f'{{"n":{number}}}')) for number in range(1, 4)]
    work.say(again[0], again[1])
    task = starting.result(WAIT)
    task.on_complete(lambda data, result: ends.append(result)).join(WAIT)
    assert [work.acknowledged() for _ in range(2)] == [task_id] * 2
    work.say(again[2])
    assert work.acknowledged() == task_id
    assert task.result == {"n": 1}
    assert_goes_on(linked, scripted, start, work)
    assert ends == [{"n": 1}]


def test_a_result_may_come_by_both_roads_and_counts_once(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start
) -> None:
    starting = start(linked)
    work = scripted.work()
    task_id = work.task()
    scripted.report(completed(task_id, '{"n":1}'))
    work.complete(task_id, '{"n":2}')
    assert starting.result(WAIT).join(WAIT).result == {"n": 1}
    assert work.acknowledged() == task_id
    assert_goes_on(linked, scripted, start, work)


def test_results_of_tasks_that_nobody_knows_are_acknowledged(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start
) -> None:
    """The slave may forget them."""
    starting = start(linked)
    work, unknown = scripted.work(), new_id()
    task_id = work.task()
    work.complete(unknown)
    assert work.acknowledged() == unknown
    work.complete(task_id)
    starting.result(WAIT)
    assert work.acknowledged() == task_id


def test_what_is_said_of_a_task_too_late_means_nothing(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start
) -> None:
    starting = start(linked)
    work = scripted.work()
    task_id = work.task()
    work.accept(task_id)
    task = starting.result(WAIT)
    work.refuse(task_id, "TASK_REFUSED")  # what was accepted can't be refused
    work.accept(task_id)
    work.accept(new_id())
    work.refuse(new_id(), "TASK_REFUSED")
    work.complete(task_id, '{"n":1}')
    assert task.join(WAIT).result == {"n": 1}
    work.accept(task_id)
    work.refuse(task_id, "TASK_REFUSED")
    assert work.acknowledged() == task_id
    assert_goes_on(linked, scripted, start, work)
    assert task.status is TaskStatus.COMPLETED


# Nonsense.


def nonsense(task_id: str) -> Mapping[str, messages.WorkOutcome]:
    other, unreadable = completed(new_id()), Payload(json="{")
    outcome, unknown = messages.WorkOutcome, completed(task_id)
    unknown.status = 99  # type: ignore[assignment]
    nothing = TaskResult(task_id=task_id, result=Payload(json="{}"))
    return {
        "nothing": outcome(task_id=task_id),
        "no id": ended(completed("")),
        "an id that is none": outcome(task_id="x", accepted=messages.WorkAccepted()),
        "a long id": outcome(task_id="x" * 100_000, accepted=messages.WorkAccepted()),
        "no reason": outcome(task_id=task_id, refused=messages.WorkRefused()),
        "an unknown reason": outcome(task_id=task_id, refused=messages.WorkRefused(reason="NO_FUN")),
        "no refusal": outcome(task_id=task_id, refused=messages.WorkRefused(reason="SUCCESS")),
        "a result of another": outcome(task_id=task_id, result=other),
        "a result of no status": outcome(task_id=task_id, result=nothing),
        "a result of an unknown status": outcome(task_id=task_id, result=unknown),
        "unreadable words": outcome(task_id=task_id, accepted=messages.WorkAccepted(data=unreadable)),
    }


@pytest.mark.parametrize("what", nonsense(""))
def test_after_nonsense_the_stream_is_ended_and_the_task_goes_by_a_call(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start, what: str
) -> None:
    starting = start(linked)
    work = scripted.work()
    task_id = work.task()
    work.say(nonsense(task_id)[what])
    work.closed()
    again = handed_over(scripted)
    assert (again.task.id, again.task.data.json, again.incarnation) == (task_id, '{"a":1}', INCARNATION)
    task = starting.result(WAIT)
    scripted.report(completed(task_id, '{"n":1}'))
    assert task.join(WAIT).result == {"n": 1}
    assert linked.is_connected
    start(linked)
    work = scripted.work()
    work.complete(work.task())


def test_an_empty_message_means_nothing(linked: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start) -> None:
    starting = start(linked)
    work = scripted.work()
    task_id = work.task()
    for _ in range(3):
        work.say()
    work.complete(task_id)
    assert starting.result(WAIT).status is TaskStatus.COMPLETED
