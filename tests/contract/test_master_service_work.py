"""The fast road, from a slave's end: what the master says on a stream, and when it opens and closes one."""

from __future__ import annotations

import pytest

from interaction import Master, SlaveConnectionProxy, TaskStatus
from interaction.core.batch import LARGEST
from interaction.master import fast_road
from interaction.v1 import slave_service_pb2 as messages
from tests.contract.conftest import CHANNEL, MakeMaster, MakePool, without_and_with_a_journal
from tests.contract.hands import in_background
from tests.contract.master_work import Start, assert_goes_on, handed_over, starting, with_the_fast_road
from tests.contract.scripted_slave import INCARNATION, ScriptedSlave, completed, ended
from tests.contract.slave_programs import WAIT

master_options = pytest.fixture(params=[False, True], ids=["", "journal"])(without_and_with_a_journal)
scripted = pytest.fixture(with_the_fast_road)
start = pytest.fixture(starting)


def test_a_task_goes_by_a_stream_that_opens_with_it(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start
) -> None:
    assert scripted.works.empty()
    first = start(linked)
    work = scripted.work()
    assert dict(work.metadata) == {"channel": str(CHANNEL), "token": scripted.token}
    request = work.requests.get(timeout=WAIT)
    assert request is not None
    (task,) = request.tasks
    assert (task.data.json, list(request.acknowledged), request.incarnation) == ('{"a":1}', [], INCARNATION)
    work.complete(task.id)
    assert first.result(WAIT).id == task.id
    assert_goes_on(linked, scripted, start, work)


def test_many_tasks_go_by_one_stream_once_each(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start
) -> None:
    starting = [start(linked, {"number": number}) for number in range(50)]
    work = scripted.work()
    ids = [work.task() for _ in range(50)]
    work.say(*(ended(completed(task_id, f'"{task_id}"')) for task_id in ids))
    tasks = [one.result(WAIT) for one in starting]
    assert {task.id for task in tasks} == set(ids)
    assert all(task.join(WAIT).result == task.id for task in tasks)
    assert {work.acknowledged() for _ in ids} == set(ids)
    assert scripted.works.empty()


def test_a_result_is_acknowledged_soon_though_nothing_else_is_to_be_said(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start
) -> None:
    starting = start(linked)
    work = scripted.work()
    task_id = work.task()
    work.complete(task_id)
    request = work.requests.get(timeout=WAIT)
    assert request is not None
    assert (list(request.tasks), list(request.acknowledged), request.incarnation) == ([], [task_id], "")
    assert starting.result(WAIT).status is TaskStatus.COMPLETED


def test_an_acknowledgement_rides_along_with_the_next_task(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_road, "ACKNOWLEDGE_WITHIN", 3600.0)
    starting = start(linked)
    work = scripted.work()
    first = work.task()
    work.complete(first)
    starting.result(WAIT).join(WAIT)
    start(linked)
    request = work.requests.get(timeout=WAIT)
    assert request is not None
    assert list(request.acknowledged) == [first]
    (second,) = request.tasks
    work.complete(second.id)


def test_a_message_with_tasks_acknowledges_all_that_was_recorded_before(
    master: Master, scripted: ScriptedSlave, make_pool: MakePool
) -> None:
    """So a slave never has more tasks and results than it has places, however large its backlog is."""
    places, most = 4001, 9_000
    scripted.connect_answers.append(messages.ConnectResponse(slots=1, backlog=places - 1))
    master.new_connection("conn", "127.0.0.1", scripted.port).connect()
    pool = make_pool(master)
    mapped = in_background(lambda: len(list(pool.map({"a": number} for number in range(most)))))
    work = scripted.work()
    held: set[str] = set()
    done = most_held = 0
    while done < most:
        request = work.requests.get(timeout=WAIT)
        assert request is not None
        held.difference_update(request.acknowledged)
        held.update(task.id for task in request.tasks)
        most_held = max(most_held, len(held))
        if request.tasks:
            work.say(*(ended(completed(task.id)) for task in request.tasks))
            done += len(request.tasks)
    assert mapped.get(timeout=WAIT) == most
    assert most_held <= places
    while held:
        held.discard(work.acknowledged())


def test_what_is_large_goes_by_a_call_beside_the_stream(
    make_master: MakeMaster, scripted: ScriptedSlave, start: Start
) -> None:
    scripted.connect_answers.append(messages.ConnectResponse(max_message_bytes=64 * 1024 * 1024))
    connection = make_master(Master).new_connection("conn", "127.0.0.1", scripted.port)
    connection.connect()
    small = start(connection)
    work = scripted.work()
    work.accept(work.task())
    small.result(WAIT)
    connection.new_task({"x": "x" * (LARGEST + 1)}).start()
    assert len(handed_over(scripted).task.data.json) > LARGEST
    assert_goes_on(connection, scripted, start, work)


# A stream that nobody needs.


def test_an_idle_stream_is_closed_and_another_opens_with_the_next_task(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_road, "IDLE", 0.1)
    streams = 0
    while streams < 3:
        starting = start(linked)
        task_id, work = scripted.arrivals.get(timeout=WAIT)
        scripted.report(completed(task_id))
        starting.result(WAIT)
        if work is not None:
            streams += 1
            work.closed()
            work.end()


def test_a_stream_is_not_closed_while_a_task_runs(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_road, "IDLE", 0.05)
    starting = start(linked)
    work = scripted.work()
    task_id = work.task()
    work.accept(task_id)
    task = starting.result(WAIT)
    for _ in range(3):  # and shows now and then that it is in use
        assert work.requests.get(timeout=WAIT) == messages.WorkRequest()
    work.complete(task_id)
    task.join(WAIT)
    assert work.acknowledged() == task_id
    work.closed()


def test_a_slave_that_does_not_end_a_stream_that_was_closed_gets_calls(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_road, "IDLE", 0.05)
    starting = start(linked)
    work = scripted.work()
    work.complete(work.task())
    starting.result(WAIT)
    work.closed()
    starting = start(linked)
    task_id = handed_over(scripted).task.id
    scripted.report(completed(task_id, '{"n":1}'))
    assert starting.result(WAIT).join(WAIT).result == {"n": 1}
