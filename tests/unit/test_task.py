"""A task at its master: every event in every state, and that it ends once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from interaction.core.model import Acknowledgement, Failure, ResultStatus, TaskResult
from interaction.core.task import STATUS_BY_RESULT, TaskMachine, TaskStatus
from interaction.exception import LossReason, TaskCancelled, TaskFailed, TaskLost

REFUSED = ConnectionError("the slave refused")
GONE = TaskLost(LossReason.SILENT, "connection 'a' is lost")
RESULTS = {
    "complete": TaskResult("id", ResultStatus.COMPLETED, {"sum": 3}),
    "fail": TaskResult("id", ResultStatus.FAILED, {"got": 1}, Failure("KeyError", "'b'", "Traceback ...")),
    "cancel": TaskResult("id", ResultStatus.CANCELLED, {}),
    "return": TaskResult("id", ResultStatus.RETURNED, {}, Failure("", "the slave drains")),
}
ENDED = {
    TaskStatus.START_FAILED,
    TaskStatus.COMPLETED,
    TaskStatus.FAILED,
    TaskStatus.LOST,
    TaskStatus.CANCELLED,
}


def start(machine: TaskMachine) -> str:
    try:
        machine.start()
    except ValueError:
        return "ValueError"
    return "started"


def finish_with(result: TaskResult) -> Callable[[TaskMachine], object]:
    return lambda machine: machine.finish(result)


EVENTS: dict[str, Callable[[TaskMachine], object]] = {
    "start": start,
    "accept": TaskMachine.accept,
    "fail_to_start": lambda machine: machine.fail_to_start(REFUSED),
    "lose": lambda machine: machine.lose(GONE),
    **{name: finish_with(result) for name, result in RESULTS.items()},
}
WAY_TO = {
    "IDLE": [],
    "STARTING": ["start"],
    "STARTED": ["start", "accept"],
    "START_FAILED": ["start", "fail_to_start"],
    "COMPLETED": ["start", "accept", "complete"],
    "FAILED": ["start", "accept", "fail"],
    "LOST": ["start", "accept", "lose"],
    "CANCELLED": ["start", "accept", "cancel"],
}
RECORDED, DUPLICATE, STALE = Acknowledgement.RECORDED, Acknowledgement.DUPLICATE, Acknowledgement.STALE
# What each event answers, and the state after it where that is another one.
TABLE: dict[str, dict[str, tuple[object, str] | object]] = {
    "IDLE": {
        "start": ("started", "STARTING"),
        "accept": False,
        "fail_to_start": False,
        "complete": STALE,
        "fail": STALE,
        "cancel": STALE,
        "return": STALE,
        "lose": False,
    },
    "STARTING": {
        "start": "ValueError",
        "accept": (True, "STARTED"),
        "fail_to_start": (True, "START_FAILED"),
        "complete": (RECORDED, "COMPLETED"),
        "fail": (RECORDED, "FAILED"),
        "cancel": (RECORDED, "CANCELLED"),
        "return": (RECORDED, "LOST"),
        "lose": (True, "START_FAILED"),
    },
    "STARTED": {
        "start": "ValueError",
        "accept": False,
        "fail_to_start": False,
        "complete": (RECORDED, "COMPLETED"),
        "fail": (RECORDED, "FAILED"),
        "cancel": (RECORDED, "CANCELLED"),
        "return": (RECORDED, "LOST"),
        "lose": (True, "LOST"),
    },
    **{
        state: {
            "start": "ValueError",
            "accept": False,
            "fail_to_start": False,
            "complete": DUPLICATE,
            "fail": DUPLICATE,
            "cancel": DUPLICATE,
            "return": DUPLICATE,
            "lose": False,
        }
        for state in ("COMPLETED", "FAILED", "CANCELLED")
    },
    **{
        state: {
            "start": "ValueError",
            "accept": False,
            "fail_to_start": False,
            "complete": STALE,
            "fail": STALE,
            "cancel": STALE,
            "return": STALE,
            "lose": False,
        }
        for state in ("START_FAILED", "LOST")
    },
}


def machine_in(state: str) -> TaskMachine:
    machine = TaskMachine()
    for event in WAY_TO[state]:
        EVENTS[event](machine)
    assert machine.status is TaskStatus[state]
    return machine


@pytest.mark.parametrize("state", WAY_TO)
@pytest.mark.parametrize("event", EVENTS)
def test_every_event_in_every_state(state: str, event: str) -> None:
    expected = TABLE[state][event]
    answer, after = expected if isinstance(expected, tuple) else (expected, state)
    machine = machine_in(state)
    before = (machine.result, machine.error)
    assert EVENTS[event](machine) == answer
    assert machine.status is TaskStatus[after]
    if after == state:
        assert (machine.result, machine.error) == before


def test_the_table_is_complete() -> None:
    assert TABLE.keys() == WAY_TO.keys() == TaskStatus.__members__.keys()
    assert all(row.keys() == EVENTS.keys() for row in TABLE.values())


def test_the_statuses_keep_the_numbers_of_di_engine() -> None:
    assert {status.name: status.value for status in TaskStatus} == {
        "IDLE": 0x00,
        "STARTING": 0x11,
        "STARTED": 0x12,
        "START_FAILED": 0x13,
        "COMPLETED": 0x21,
        "FAILED": 0x22,
        "LOST": 0x23,
        "CANCELLED": 0x24,
    }


@pytest.mark.parametrize("status", TaskStatus)
def test_a_status_knows_whether_it_is_an_end(status: TaskStatus) -> None:
    assert status.ended is (status in ENDED)


def test_a_result_that_overtakes_its_acceptance_ends_the_task() -> None:
    machine = machine_in("STARTING")
    assert machine.finish(RESULTS["complete"]) is RECORDED
    assert not machine.accept()
    assert (machine.status, machine.result, machine.error) == (TaskStatus.COMPLETED, {"sum": 3}, None)


def test_a_failure_says_what_the_slave_said() -> None:
    machine = machine_in("FAILED")
    assert machine.result == {"got": 1}
    assert isinstance(machine.error, TaskFailed)
    assert (machine.error.type, machine.error.message, machine.error.traceback) == ("KeyError", "'b'", "Traceback ...")


@pytest.mark.parametrize("state", ["STARTING", "STARTED"])
def test_a_task_that_is_handed_back_is_lost_and_says_that_it_had_not_begun(state: str) -> None:
    machine = machine_in(state)
    assert machine.finish(RESULTS["return"]) is RECORDED
    assert machine.status is TaskStatus.LOST
    assert isinstance(machine.error, TaskLost)
    assert machine.error.reason is LossReason.RETURNED
    assert str(machine.error) == "the slave handed the task back, which had not begun: the slave drains"


def test_a_failure_without_a_reason_is_a_failure() -> None:
    machine = machine_in("STARTED")
    assert machine.finish(TaskResult("id", ResultStatus.FAILED, None)) is RECORDED
    assert machine.status is TaskStatus.FAILED
    assert isinstance(machine.error, TaskFailed)
    assert machine.error.message


def test_a_cancelled_task_says_so() -> None:
    assert isinstance(machine_in("CANCELLED").error, TaskCancelled)


def test_a_lost_task_says_why() -> None:
    assert machine_in("LOST").error is GONE


def test_a_task_that_never_reached_its_slave_says_what_it_met() -> None:
    assert machine_in("START_FAILED").error is REFUSED
    machine = machine_in("STARTING")
    machine.lose(GONE)
    assert machine.error is GONE


class AnySequenceOfEvents(RuleBasedStateMachine):
    """Whatever comes in whatever order, one end counts and stays."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = TaskMachine()
        self.recorded = 0
        self.end: tuple[TaskStatus, Any, BaseException | None] | None = None

    @rule()
    def start(self) -> None:
        idle = self.machine.status is TaskStatus.IDLE
        assert start(self.machine) == ("started" if idle else "ValueError")

    @precondition(lambda self: self.machine.status is not TaskStatus.IDLE)
    @rule(event=st.sampled_from(["accept", "fail_to_start", "lose"]))
    def happen(self, event: str) -> None:
        before = self.machine.status
        assert EVENTS[event](self.machine) is (self.machine.status is not before)

    @rule(result=st.sampled_from(sorted(RESULTS)))
    def finish(self, result: str) -> None:
        before = self.machine.status
        acknowledgement = self.machine.finish(RESULTS[result])
        if acknowledgement is RECORDED:
            self.recorded += 1
            assert self.machine.status is STATUS_BY_RESULT[RESULTS[result].status]
        else:
            never_had_one = before in (TaskStatus.IDLE, TaskStatus.LOST, TaskStatus.START_FAILED)
            assert acknowledgement is (STALE if never_had_one else DUPLICATE)

    @invariant()
    def at_most_one_result_is_recorded(self) -> None:
        assert self.recorded <= 1

    @invariant()
    def the_end_never_changes(self) -> None:
        now = (self.machine.status, self.machine.result, self.machine.error)
        if self.end is not None:
            assert now == self.end
            assert now[2] is self.end[2]
        elif self.machine.status in ENDED:
            self.end = now


TestAnySequenceOfEvents = AnySequenceOfEvents.TestCase
