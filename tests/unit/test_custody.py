"""A session at its master with its tasks: who ends by what, and what waits for the journal."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from interaction.core.custody import Custody
from interaction.core.model import Acknowledgement, HeldTask, ResultStatus, TaskResult
from interaction.core.session import Session
from interaction.core.task import TaskMachine, TaskStatus
from interaction.exception import (
    LossReason,
    RequestException,
    ResponseException,
    SlaveMasterTokenInvalid,
    SlaveSlaveDisconnectionRefused,
    SlaveSlaveNotConnected,
    SlaveTaskRefused,
)


@dataclass
class Charge:
    """A task that is nothing but its state."""

    id: str
    machine: TaskMachine = field(default_factory=TaskMachine.started)

    @property
    def status(self) -> TaskStatus:
        return self.machine.status

    def accept(self) -> bool:
        return self.machine.accept()

    def fail_to_start(self, error: BaseException) -> bool:
        return self.machine.fail_to_start(error)

    def finish(self, result: TaskResult) -> Acknowledgement:
        return self.machine.finish(result)

    def lose(self, error: BaseException) -> bool:
        return self.machine.lose(error)


def starting(task_id: str) -> Charge:
    machine = TaskMachine()
    machine.start()
    return Charge(task_id, machine)


def result_of(task_id: str) -> TaskResult:
    return TaskResult(task_id, ResultStatus.COMPLETED, task_id.upper())


@pytest.fixture
def custody() -> Custody[Charge]:
    session = Session(3.0)
    session.opened("i", 0.0)
    return Custody("conn", session)


def test_a_result_ends_its_task_once_it_is_recorded(custody: Custody[Charge]) -> None:
    task = Charge("a")
    custody.hand_over(task)
    assert custody.report(result_of("a")) is task
    assert not task.status.ended
    assert custody.recorded(result_of("a")) is Acknowledgement.RECORDED
    assert task.status is TaskStatus.COMPLETED
    assert custody.report(result_of("a")) is Acknowledgement.DUPLICATE


def test_a_result_that_comes_again_while_it_is_being_recorded_waits_for_the_first(custody: Custody[Charge]) -> None:
    task = Charge("a")
    custody.hand_over(task)
    assert custody.report(result_of("a")) is custody.report(result_of("a")) is task


def test_what_can_not_be_recorded_may_come_again(custody: Custody[Charge]) -> None:
    task = Charge("a")
    custody.hand_over(task)
    custody.report(result_of("a"))
    assert custody.not_recorded("a") is None
    assert task.status is TaskStatus.STARTED
    assert custody.report(result_of("a")) is task


def test_a_result_of_an_unknown_task_is_stale(custody: Custody[Charge]) -> None:
    assert custody.report(result_of("a")) is Acknowledgement.STALE


def test_the_end_of_the_session_ends_its_tasks_but_those_whose_results_are_being_recorded(
    custody: Custody[Charge],
) -> None:
    running, recorded, unsent = Charge("a"), Charge("b"), starting("c")
    for task in (running, recorded, unsent):
        custody.hand_over(task)
    custody.report(result_of("b"))
    ending = custody.end(LossReason.EXITED, "gone", asked=False)
    assert ending is not None
    assert (ending.lost, ending.unsent) == ([running], [unsent])
    assert ending.error.reason is LossReason.EXITED
    assert "'conn'" in str(ending.error)
    assert custody.end(LossReason.SILENT, "again", asked=False) is None
    assert custody.recorded(result_of("b")) is Acknowledgement.RECORDED
    assert custody.report(result_of("a")) is Acknowledgement.STALE


def test_a_result_that_can_not_be_recorded_after_the_end_of_its_session_is_lost_as_the_others(
    custody: Custody[Charge],
) -> None:
    custody.hand_over(Charge("a"))
    custody.report(result_of("a"))
    ending = custody.end(LossReason.SILENT, "silent", asked=False)
    assert ending is not None
    assert ending.unfinished == []
    assert custody.not_recorded("a") is ending.error


def test_a_refused_start_is_how_the_task_ends_and_the_session_goes_on(custody: Custody[Charge]) -> None:
    task = starting("a")
    custody.hand_over(task)
    assert custody.not_started(task, SlaveTaskRefused()) == (True, None)
    assert custody.report(result_of("a")) is Acknowledgement.STALE
    assert not custody.session.over


def test_a_start_without_an_answer_whose_result_came_is_no_failure(custody: Custody[Charge]) -> None:
    early, late = starting("a"), starting("b")
    for task in (early, late):
        custody.hand_over(task)
        custody.report(result_of(task.id))
    custody.recorded(result_of("a"))
    assert custody.not_started(early, RequestException("late", "DEADLINE_EXCEEDED")) == (False, None)
    assert custody.not_started(late, RequestException("late", "DEADLINE_EXCEEDED")) == (False, None)


@pytest.mark.parametrize("refusal", [SlaveSlaveNotConnected(), SlaveMasterTokenInvalid()], ids=lambda error: error.code)
def test_a_slave_that_does_not_know_the_session_has_ended_it(
    custody: Custody[Charge], refusal: ResponseException
) -> None:
    running, task = Charge("a"), starting("b")
    for each in (running, task):
        custody.hand_over(each)
    ends, ending = custody.not_started(task, refusal)
    assert ends
    assert ending is not None
    assert (ending.reason, ending.asked, ending.unfinished) == (LossReason.DISCONNECTED, False, [running])


def test_a_refused_disconnection_ends_nothing_unless_there_is_nothing_to_end(custody: Custody[Charge]) -> None:
    assert custody.disconnect_refused(SlaveSlaveDisconnectionRefused()) is None
    ending = custody.disconnect_refused(SlaveSlaveNotConnected())
    assert ending is not None
    assert ending.asked


@pytest.mark.parametrize(("drained", "reason"), [(True, LossReason.DRAINED), (False, LossReason.DISCONNECTED)])
def test_a_slave_that_leaves(custody: Custody[Charge], drained: bool, reason: LossReason) -> None:
    ending = custody.left("x" * 1000, drained)
    assert ending is not None
    assert (ending.reason, ending.asked) == (reason, False)
    assert len(ending.message) < 300


def test_after_a_restart_what_the_slave_does_not_hold_is_lost(custody: Custody[Charge]) -> None:
    tasks = [Charge(name) for name in "abc"]
    custody.adopt(tasks)
    custody.report(result_of("b"))  # it comes before the slave has said what it holds
    missing = custody.missing([HeldTask("a", ended=False), HeldTask("x", ended=True)])
    assert [(task.id, error.reason) for task, error in missing] == [("c", LossReason.NOT_HELD)]
    assert custody.report(result_of("c")) is Acknowledgement.STALE
    assert custody.report(result_of("a")) is tasks[0]


def test_what_the_witness_of_a_slave_does_not_name_has_not_begun(custody: Custody[Charge]) -> None:
    begun, waiting, unanswered, on_its_way = Charge("a"), Charge("b"), starting("c"), starting("d")
    for task in (begun, waiting, unanswered, on_its_way):
        custody.hand_over(task)
    ending = custody.exited(custody.session.stream_opened(1.0), "i", {"a", "c", "somebody's"})
    assert ending is not None
    assert (ending.lost, ending.unbegun) == ([begun], [waiting])
    assert (ending.unsent, ending.untaken) == ([unanswered], [on_its_way])
    assert {task.id for task in ending.unfinished} == {"a", "b", "c", "d"}
    assert (ending.reason, ending.error.reason) == (LossReason.EXITED, LossReason.EXITED)
    assert ending.error.may_have_begun
    assert (ending.not_begun.reason, ending.not_begun.may_have_begun) == (LossReason.EXITED, False)
    assert str(ending.not_begun).endswith("; the task had not begun")
    assert isinstance(ending.not_taken, SlaveSlaveNotConnected)
    assert "not known" in str(ending.not_started)
    assert custody.report(result_of("b")) is Acknowledgement.STALE


def test_a_witness_that_does_not_know_what_had_begun_proves_nothing(custody: Custody[Charge]) -> None:
    task, on_its_way = Charge("a"), starting("b")
    for each in (task, on_its_way):
        custody.hand_over(each)
    ending = custody.exited(custody.session.stream_opened(1.0), "i", None)
    assert ending is not None
    assert (ending.lost, ending.unsent, ending.unbegun, ending.untaken) == ([task], [on_its_way], [], [])


def test_a_witness_that_comes_too_late_or_is_anothers_changes_nothing(custody: Custody[Charge]) -> None:
    custody.hand_over(Charge("a"))
    assert custody.exited(custody.session.stream_opened(1.0), "another", ()) is None
    assert not custody.session.over
    assert custody.end(LossReason.SILENT, "silent", asked=False) is not None
    assert custody.exited(custody.session.stream_opened(1.0), "i", ()) is None


def test_a_result_that_is_being_recorded_is_no_task_that_had_not_begun(custody: Custody[Charge]) -> None:
    custody.hand_over(Charge("a"))
    custody.report(result_of("a"))
    ending = custody.exited(custody.session.stream_opened(1.0), "i", ())
    assert ending is not None
    assert ending.unfinished == []
    assert custody.recorded(result_of("a")) is Acknowledgement.RECORDED
