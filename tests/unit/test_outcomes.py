"""A slave's side of a stream of the fast road, and when the tasks that it brings begin."""

from __future__ import annotations

import pytest

from interaction.core.gate import Gate
from interaction.core.outcomes import QUICK, Accepted, Outcomes, Refused, Tempo
from interaction.exception import SlaveTaskRefused

NO = SlaveTaskRefused("no")


@pytest.fixture
def outcomes() -> Outcomes[str]:
    return Outcomes(1000)


def test_the_result_of_a_quick_task_says_that_it_was_accepted(outcomes: Outcomes[str]) -> None:
    assert not outcomes.keeps("a", quick=True)
    outcomes.accepted("a", {}, 0)
    assert not outcomes.urgent
    assert outcomes.waiting
    outcomes.ended("a", "result", 10, 0.0)
    assert outcomes.take() == ["result"]


def test_a_bare_acceptance_goes_with_what_goes_or_when_it_has_waited(outcomes: Outcomes[str]) -> None:
    outcomes.keeps("a", quick=True)
    outcomes.accepted("a", {}, 0)
    outcomes.refused("b", NO, 10)
    assert outcomes.take() == [Refused("b", NO), Accepted("a", {})]
    outcomes.accepted("c", {}, 0)
    outcomes.flush()
    assert outcomes.urgent
    assert outcomes.take() == [Accepted("c", {})]


def test_an_acceptance_that_says_something_does_not_wait(outcomes: Outcomes[str]) -> None:
    outcomes.accepted("a", {"gpu": 0}, 10)
    assert outcomes.take() == [Accepted("a", {"gpu": 0})]


def test_a_task_that_may_take_long_begins_when_its_master_was_told(outcomes: Outcomes[str]) -> None:
    assert outcomes.keeps("a", quick=False)
    assert not outcomes.keeps("a", quick=False), "the same again"
    outcomes.accepted("a", {}, 0)
    said = outcomes.take()
    assert said == [Accepted("a", {})]
    assert outcomes.sent(said, 0.0) == ["a"]
    assert outcomes.sent(said, 0.0) == []


def test_a_task_that_is_refused_is_not_kept(outcomes: Outcomes[str]) -> None:
    outcomes.keeps("a", quick=False)
    outcomes.refused("a", NO, 10)
    assert outcomes.sent(outcomes.take(), 0.0) == ["a"]


def test_a_break_leaves_over_what_was_kept_and_what_was_not_acknowledged(outcomes: Outcomes[str]) -> None:
    outcomes.keeps("a", quick=False)
    for task_id in ("b", "c"):
        outcomes.ended(task_id, "result", 10, 0.0)
    assert not outcomes.settled
    assert outcomes.acknowledged("b", 0.0)
    assert not outcomes.acknowledged("x", 0.0), "it came by another road"
    assert outcomes.broken() == (["a"], ["c"])
    assert outcomes.settled
    assert not outcomes.acknowledged("c", 0.0), "what comes late is not this stream's"


def test_a_stream_on_which_nothing_moves_is_given_up_after_a_while(outcomes: Outcomes[str]) -> None:
    """Its peer may be gone without a word, or read and never acknowledge."""
    assert outcomes.stalled_at(5.0) is None
    for moment, task_id in ((1.0, "a"), (2.0, "b"), (3.0, "c")):
        outcomes.ended(task_id, "result", 10, moment)
    assert outcomes.stalled_at(5.0) == 6.0, "what waits behind it is no sign of life"
    outcomes.sent(outcomes.take(), 4.0)
    assert outcomes.stalled_at(5.0) == 9.0
    outcomes.acknowledged("b", 7.0)
    outcomes.acknowledged("x", 8.0)
    assert outcomes.stalled_at(5.0) == 12.0
    outcomes.acknowledged("a", 9.0)
    outcomes.acknowledged("c", 9.0)
    assert outcomes.stalled_at(5.0) is None
    outcomes.ended("d", "result", 10, 20.0)
    assert outcomes.stalled_at(5.0) == 25.0


def test_a_gate_keeps_what_is_taken_until_its_master_was_told() -> None:
    gate: Gate[str] = Gate()
    assert gate.take("a", "task a"), "nobody is to be told"
    gate.expect("b")
    assert not gate.take("b", "task b")
    assert gate.told("b") == "task b"
    assert gate.told("b") is None
    gate.expect("c")
    assert gate.told("c") is None, "there was nobody to tell before it was taken"
    assert gate.take("c", "task c")


def test_a_gate_opens_for_a_task_that_came_twice_when_one_answer_is_out() -> None:
    gate: Gate[str] = Gate()
    gate.expect("a")
    gate.expect("a")
    gate.take("a", "task a")
    assert gate.told("a") == "task a"
    assert gate.told("a") is None


def test_tasks_are_quick_as_long_as_the_last_one_was() -> None:
    tempo = Tempo()
    assert not tempo.quick
    tempo.ended(1.0, 1.0 + QUICK / 2)
    assert tempo.quick
    tempo.ended(1.0, 1.0 + QUICK)
    assert tempo.quick, "it waited for the one before it"
    tempo.ended(1.0, 2.0)
    assert not tempo.quick


def test_a_task_that_comes_when_the_stream_has_ended_is_not_kept(outcomes: Outcomes[str]) -> None:
    """Nothing is said of it here any more: it would wait for ever."""
    outcomes.broken()
    assert not outcomes.keeps("a", quick=False)


def test_a_task_that_came_twice_before_it_was_answered_begins_once() -> None:
    outcomes: Outcomes[str] = Outcomes(65536)
    assert outcomes.keeps("a", quick=False)
    assert not outcomes.keeps("a", quick=False)
    for _ in range(2):
        outcomes.accepted("a", {}, 10)
    assert outcomes.sent(outcomes.take(), 0.0) == ["a"]
