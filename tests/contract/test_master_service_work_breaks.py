"""The fast road, from a slave's end: streams that break or end, also because nothing can be written down."""

from __future__ import annotations

import grpc
import pytest

from interaction import SlaveConnectionProxy, TaskStatus
from interaction.core.road import MOST_BREAKS
from interaction.exception import JournalError, RequestException, SlaveTaskRefused
from interaction.journal.store import Store
from tests.contract.conftest import without_and_with_a_journal
from tests.contract.master_work import BROKEN, Start, handed_over, starting, with_the_fast_road
from tests.contract.recording_master import Failure
from tests.contract.scripted_slave import INCARNATION, ScriptedSlave, completed
from tests.contract.slave_programs import WAIT
from tests.contract.wire import NO_STATE

master_options = pytest.fixture(params=[False, True], ids=["", "journal"])(without_and_with_a_journal)
scripted = pytest.fixture(with_the_fast_road)
start = pytest.fixture(starting)


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
    with pytest.raises(RequestException, match="not known whether the task was taken before"):
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
