"""The fast road, from a slave's end: what the master says on a stream, and what it makes of whatever the slave does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Queue
from typing import Any

import grpc
import pytest

from interaction import Master, RequestException, SlaveConnectionProxy, Task, TaskStatus
from interaction.core.batch import LARGEST
from interaction.core.journal import Entry
from interaction.core.road import MOST_BREAKS
from interaction.exception import (
    JournalError,
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
from interaction.journal.store import Store
from interaction.master import fast_road
from interaction.v1 import slave_service_pb2 as messages
from interaction.v1.payload_pb2 import Payload
from interaction.v1.task_pb2 import TASK_RESULT_STATUS_FAILED, TaskError, TaskResult
from tests.contract.conftest import CHANNEL, MakeMaster, MakePool, without_and_with_a_journal
from tests.contract.hands import in_background
from tests.contract.recording_master import Failure
from tests.contract.scripted_slave import (
    INCARNATION,
    ScriptedSlave,
    WorkStream,
    assert_lost,
    completed,
    ended,
)
from tests.contract.slave_programs import WAIT
from tests.contract.wire import GONE, NO_STATE, new_id

master_options = pytest.fixture(params=[False, True], ids=["", "journal"])(without_and_with_a_journal)

BROKEN = Failure(GONE)
Start = Callable[..., "Future[Task]"]


@pytest.fixture
def scripted(scripted: ScriptedSlave) -> ScriptedSlave:
    """It has the fast road."""
    scripted.features = ["work"]
    return scripted


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a task on a thread: `start()` waits until the slave has said what becomes of it."""
    with ThreadPoolExecutor(64) as threads:

        def start(connection: SlaveConnectionProxy, data: Mapping[str, Any] | None = None) -> Future[Task]:
            return threads.submit(connection.new_task({"a": 1} if data is None else data).start)

        yield start


def handed_over(scripted: ScriptedSlave) -> messages.NewTaskRequest:
    """The next task that comes by a call."""
    return messages.NewTaskRequest.FromString(scripted.tasks.get(timeout=WAIT)[0])


def assert_goes_on(connection: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start, work: WorkStream) -> None:
    """The stream is of use."""
    assert connection.is_connected
    starting = start(connection)
    task_id = work.task()
    work.complete(task_id, '{"on":1}')
    assert starting.result(WAIT).join(WAIT).result == {"on": 1}
    while work.acknowledged() != task_id:
        pass
    assert scripted.works.empty()
    assert scripted.tasks.empty()


# What the master says.


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


# What the slave says.


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


# Streams that break, or end.


@pytest.mark.parametrize(
    "how",
    [BROKEN, Failure(grpc.StatusCode.INTERNAL), Failure(grpc.StatusCode.ABORTED), None],
    ids=["unavailable", "internal", "aborted", "ok"],
)
def test_a_task_whose_stream_ends_before_it_was_answered_goes_by_a_call(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start, how: Failure | None
) -> None:
    starting = start(linked)
    work = scripted.work()
    task_id = work.task()
    work.end(how)
    again = handed_over(scripted)
    assert (again.task.id, again.task.data.json, again.incarnation) == (task_id, '{"a":1}', INCARNATION)
    task = starting.result(WAIT)
    assert task.status is TaskStatus.STARTED
    scripted.report(completed(task_id, '{"n":1}'))
    assert task.join(WAIT).result == {"n": 1}
    starting = start(linked)
    work = scripted.work()  # another one, for the next
    request = work.requests.get(timeout=WAIT)
    assert request is not None
    assert request.incarnation == INCARNATION
    work.complete(request.tasks[0].id)
    starting.result(WAIT)
    assert scripted.tasks.empty()


def test_a_task_that_was_accepted_before_its_stream_broke_is_not_handed_over_again(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start
) -> None:
    starting = start(linked)
    work = scripted.work()
    task_id = work.task()
    work.accept(task_id)
    task = starting.result(WAIT)
    work.end(BROKEN)
    assert scripted.arrivals.get(timeout=WAIT) == (task_id, work)
    for _ in range(2):
        starting = start(linked)
        other, _ = scripted.arrivals.get(timeout=WAIT)
        assert other != task_id
        scripted.report(completed(other))
        starting.result(WAIT)
    assert task.status is TaskStatus.STARTED
    scripted.report(completed(task_id, '{"n":1}'))
    assert task.join(WAIT).result == {"n": 1}


def test_a_refusal_by_the_call_that_a_break_has_made_necessary_is_what_start_raises(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start
) -> None:
    starting = start(linked)
    work = scripted.work()
    work.task()
    scripted.task_answers.append(Failure(grpc.StatusCode.PERMISSION_DENIED, "TASK_REFUSED"))
    work.end(BROKEN)
    with pytest.raises(SlaveTaskRefused):
        starting.result(WAIT)


def test_after_breaks_without_an_answer_tasks_go_by_calls(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start
) -> None:
    """Something between lets no stream pass."""
    for _ in range(MOST_BREAKS):
        starting = start(linked)
        work = scripted.work()
        work.task()
        work.end(BROKEN)
        scripted.report(completed(handed_over(scripted).task.id))
        starting.result(WAIT)
    for _ in range(3):
        starting = start(linked)
        scripted.report(completed(handed_over(scripted).task.id))
        starting.result(WAIT)
    assert scripted.works.empty()


def test_breaks_after_answers_are_no_reason_to_give_streams_up(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start
) -> None:
    streams = 0
    while streams < 2 * MOST_BREAKS:
        starting = start(linked)
        task_id, work = scripted.arrivals.get(timeout=WAIT)
        if work is None:
            scripted.report(completed(task_id))
        else:
            streams += 1
            work.accept(task_id)
            work.end(BROKEN)
        starting.result(WAIT)


def test_a_slave_that_does_not_serve_what_it_announced_gets_calls(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start
) -> None:
    scripted.work_answers.extend([Failure(grpc.StatusCode.UNIMPLEMENTED)] * 9)
    for _ in range(5):
        starting = start(linked)
        scripted.report(completed(handed_over(scripted).task.id))
        assert starting.result(WAIT).join(WAIT).status is TaskStatus.COMPLETED
    assert 1 <= scripted.works.qsize() <= MOST_BREAKS  # gRPC may hide why, where a message was on its way meanwhile


def test_a_slave_whose_session_is_over_by_its_own_words_loses_it(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start
) -> None:
    starting = start(linked)
    work = scripted.work()
    work.task()
    scripted.task_answers.append(Failure(NO_STATE, "SLAVE_NOT_CONNECTED"))
    work.end(Failure(NO_STATE, "SLAVE_NOT_CONNECTED"))
    with pytest.raises(SlaveSlaveNotConnected):
        starting.result(WAIT)
    assert not linked.is_connected


def test_a_task_whose_result_came_by_a_call_is_not_handed_over_again(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start
) -> None:
    starting = start(linked)
    task_id, work = scripted.arrivals.get(timeout=WAIT)
    scripted.report(completed(task_id))
    assert starting.result(WAIT).join(WAIT).status is TaskStatus.COMPLETED
    assert work is not None
    work.end(BROKEN)
    for _ in range(2):
        starting = start(linked)
        other, _ = scripted.arrivals.get(timeout=WAIT)
        assert other != task_id
        scripted.report(completed(other))
        starting.result(WAIT)


# No answer.


class Recording(Master):
    """Keeps what gets to the error hook."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.errors: list[RequestException] = []

    def _error_new_task(self, error: RequestException) -> Any:
        self.errors.append(error)
        return "no task"


def test_a_task_without_an_answer_has_failed_to_start_when_its_time_is_over(
    make_master: MakeMaster, scripted: ScriptedSlave, start: Start
) -> None:
    master = make_master(Recording, request_timeout=0.5, request_retries=3)
    connection = master.new_connection("conn", "127.0.0.1", scripted.port)
    connection.connect()
    task = connection.new_task({"a": 1})
    assert task.start() == "no task"
    assert task.join(WAIT).status is TaskStatus.START_FAILED
    assert [error.code for error in master.errors] == ["DEADLINE_EXCEEDED"]
    assert task.error is master.errors[0]
    work = scripted.work()
    task_id = work.task()
    work.complete(task_id)  # too late
    assert work.acknowledged() == task_id
    assert task.status is TaskStatus.START_FAILED
    assert_goes_on(connection, scripted, start, work)
    assert scripted.tasks.empty()


def test_a_break_gives_no_more_time_for_an_answer(
    make_master: MakeMaster, scripted: ScriptedSlave, start: Start
) -> None:
    """The call that takes the stream's place ends when the stream's answer would have been too late."""
    master = make_master(Recording, request_timeout=1.0, request_retries=100)
    connection = master.new_connection("conn", "127.0.0.1", scripted.port)
    connection.connect()
    scripted.task_answers.extend([Failure(GONE)] * 100)
    starting = start(connection)
    work = scripted.work()
    work.task()
    work.end(BROKEN)
    assert starting.result(WAIT) == "no task"  # type: ignore[comparison-overlap]
    assert master.errors


@pytest.mark.parametrize("when", ["before the answer", "when it is accepted"])
def test_the_end_of_the_session_ends_its_stream_and_its_tasks(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start, when: str
) -> None:
    starting = start(linked)
    work = scripted.work()
    task_id = work.task()
    if when != "before the answer":
        work.accept(task_id)
        task = starting.result(WAIT)
    linked.disconnect()
    work.closed()
    if when == "before the answer":
        with pytest.raises(RequestException, match="was disconnected"):
            starting.result(WAIT)
    else:
        assert_lost(task, LossReason.DISCONNECTED)
    assert scripted.tasks.empty()


def arrived(scripted: ScriptedSlave) -> WorkStream:
    """The stream by which the next task has come."""
    work = scripted.work()
    work.task()
    return work


def interrupted(task: Task, when: Callable[[], object], then: Callable[[], object] = lambda: None) -> None:
    """Start a task, and be interrupted by Ctrl-C meanwhile."""

    def interrupt() -> None:
        when()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    with pytest.raises(KeyboardInterrupt) as caught:
        task.start()
    then()
    interrupting.join(WAIT)
    assert task.join(WAIT).status is TaskStatus.START_FAILED
    assert task.error is caught.value


def test_who_starts_a_task_may_be_interrupted(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start
) -> None:
    """Nobody waits for the task any more, and all else goes on."""
    works: list[WorkStream] = []
    task = linked.new_task({"a": 1})
    interrupted(task, lambda: works.append(arrived(scripted)))
    (work,) = works
    work.accept(task.id)
    work.complete(task.id)
    assert work.acknowledged() == task.id
    assert_goes_on(linked, scripted, start, work)
    assert task.status is TaskStatus.START_FAILED


def test_a_task_that_nobody_waits_for_any_more_is_not_handed_over_when_its_stream_breaks(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start
) -> None:
    works: list[WorkStream] = []
    task = linked.new_task({"a": 1})
    interrupted(task, lambda: works.append(arrived(scripted)))
    works[0].end(BROKEN)
    assert scripted.arrivals.get(timeout=WAIT)[0] == task.id
    for _ in range(2):
        starting = start(linked)
        other, _ = scripted.arrivals.get(timeout=WAIT)
        assert other != task.id
        scripted.report(completed(other))
        starting.result(WAIT)


def test_a_task_that_nobody_waits_for_any_more_is_not_sent_when_it_is_written_down(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    if linked._home.options.journal is None:
        return
    begun, go_on, apply = threading.Event(), threading.Event(), Store.apply

    def slow(store: Store, entries: Sequence[Entry]) -> None:
        begun.set()
        assert go_on.wait(WAIT)
        apply(store, entries)

    task = linked.new_task({"a": 1})
    with monkeypatch.context() as patched:
        patched.setattr(Store, "apply", slow)
        interrupted(task, lambda: begun.wait(WAIT), go_on.set)
    starting = start(linked)
    other, _ = scripted.arrivals.get(timeout=WAIT)
    assert other != task.id
    scripted.report(completed(other))
    starting.result(WAIT)


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


# The journal.


def test_a_result_that_can_not_be_written_down_ends_the_stream_and_may_come_by_a_call(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    starting = start(linked)
    work = scripted.work()
    task_id = work.task()
    work.accept(task_id)
    task = starting.result(WAIT)
    journaled = linked._home.options.journal is not None

    def full(*_: object) -> None:
        raise JournalError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(Store, "apply", full)
        work.complete(task_id, '{"n":1}')
        if not journaled:
            assert work.acknowledged() == task_id
            return
        work.closed()  # without an acknowledgement
        assert task.status is TaskStatus.STARTED
        with pytest.raises(grpc.RpcError) as caught:
            scripted.report(completed(task_id, '{"n":1}'))
        assert isinstance(caught.value, grpc.Call)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        with pytest.raises(JournalError):
            linked.new_task({"a": 2}).start()
    scripted.report(completed(task_id, '{"n":1}'))
    assert task.join(WAIT).result == {"n": 1}
    start(linked)
    work = scripted.work()
    work.complete(work.task())


def test_a_result_that_can_not_be_written_down_says_all_the_same_that_its_task_was_accepted(
    linked: SlaveConnectionProxy, scripted: ScriptedSlave, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`start()` does not wait until the disk has room."""
    starting = start(linked)
    work = scripted.work()
    task_id = work.task()
    if linked._home.options.journal is None:
        work.complete(task_id)
        starting.result(WAIT)
        return

    def full(*_: object) -> None:
        raise JournalError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(Store, "apply", full)
        work.complete(task_id, '{"n":1}')
        assert starting.result(WAIT).status is TaskStatus.STARTED
    scripted.report(completed(task_id, '{"n":1}'))
    assert starting.result().join(WAIT).result == {"n": 1}
