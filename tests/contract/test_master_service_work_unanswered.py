"""The fast road, from a slave's end: tasks without an answer, whose time, session or starter's patience ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from interaction import Master, RequestException, SlaveConnectionProxy, Task, TaskStatus
from interaction.core.journal import Entry
from interaction.exception import LossReason
from interaction.journal.store import Store
from tests.contract.conftest import MakeMaster, without_and_with_a_journal
from tests.contract.master_work import BROKEN, Start, assert_goes_on, starting, with_the_fast_road
from tests.contract.recording_master import Failure
from tests.contract.scripted_slave import ScriptedSlave, WorkStream, assert_lost, completed
from tests.contract.slave_programs import WAIT
from tests.contract.wire import GONE

master_options = pytest.fixture(params=[False, True], ids=["", "journal"])(without_and_with_a_journal)
scripted = pytest.fixture(with_the_fast_road)
start = pytest.fixture(starting)


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
