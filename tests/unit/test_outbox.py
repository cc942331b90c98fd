"""Where a slave keeps its results until they are acknowledged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from interaction.core.outbox import LONGEST_PAUSE, RETENTION, SHORTEST_PAUSE, Outbox

SESSION, SUCCESSOR = "A" * 43, "B" * 43


def filled(*task_ids: str, retries: int = 5, waiting: float = 1.0) -> Outbox[str]:
    outbox: Outbox[str] = Outbox(retries, waiting)
    for task_id in task_ids:
        outbox.put(task_id, SESSION, f"result of {task_id}", now=0.0)
    return outbox


def due(outbox: Outbox[str], now: float, session: str = SESSION) -> list[str]:
    return [entry.item for entry in outbox.take_due(session, now)]


def test_the_retention_is_what_the_contract_promises() -> None:
    assert RETENTION >= 600.0


def test_results_are_due_at_once_in_the_order_in_which_they_came() -> None:
    assert due(filled("b", "a", "c"), 0.0) == ["result of b", "result of a", "result of c"]


def test_what_is_in_flight_is_not_taken_again() -> None:
    outbox = filled("a")
    assert due(outbox, 0.0)
    assert due(outbox, 1e6) == []
    assert outbox.next_due(SESSION) is None


def test_what_stands_in_the_place_of_a_refused_result_is_not_replaced_again() -> None:
    outbox = filled("a")
    assert outbox.is_refused("a")
    outbox.replace("a", "a failure")
    assert not outbox.is_refused("a")
    assert due(outbox, 0.0) == ["a failure"]
    outbox.acknowledged("a")
    assert not outbox.is_refused("a")


def test_a_result_belongs_to_its_session() -> None:
    outbox = filled("a")
    assert due(outbox, 0.0, SUCCESSOR) == []
    assert outbox.next_due(SUCCESSOR) is None
    assert outbox.held(SUCCESSOR) == []


def test_the_first_result_of_a_task_is_the_one_that_counts() -> None:
    outbox = filled("a")
    outbox.put("a", SESSION, "another", now=1.0)
    assert due(outbox, 1.0) == ["result of a"]


def test_an_acknowledged_result_is_forgotten_and_a_second_acknowledgement_harmless() -> None:
    outbox = filled("a", "b")
    due(outbox, 0.0)
    for _ in range(2):
        outbox.acknowledged("a")
    outbox.failed("a", 1.0, 0.5)
    assert "a" not in outbox
    assert len(outbox) == 1
    assert outbox.held(SESSION) == ["b"]


def test_a_result_that_the_master_cannot_take_is_replaced() -> None:
    outbox = filled("a")
    due(outbox, 0.0)
    outbox.replace("a", "failed: too large")
    outbox.replace("unknown", "nothing")
    outbox.failed("a", 0.0, 0.0)
    assert due(outbox, 0.0) == ["failed: too large"]
    assert len(outbox) == 1


def test_a_full_outbox_says_so() -> None:
    outbox: Outbox[str] = Outbox(0, 1.0, capacity=2)
    outbox.put("a", SESSION, "", 0.0)
    assert not outbox.full
    outbox.put("b", SESSION, "", 0.0)
    assert outbox.full
    outbox.put("c", SESSION, "", 0.0)  # a result that is there is never turned away
    assert "c" in outbox


# Pauses.


def pauses(outbox: Outbox[str], chance: float, attempts: int) -> list[float]:
    now, found = 0.0, []
    for _ in range(attempts):
        assert due(outbox, now)
        outbox.failed("a", now, chance)
        again = outbox.next_due(SESSION)
        assert again is not None
        found.append(again - now)
        now = again
    return found


@pytest.mark.parametrize(
    ("retries", "waiting", "longest"),
    [
        (0, 1.0, [1.0, 2.0, 4.0, 5.0, 5.0]),
        (3, 1.0, [1.0, 1.0, 1.0, 1.0, 2.0, 4.0, 5.0]),
        (1, 0.0, [SHORTEST_PAUSE] * 2 + [2 * SHORTEST_PAUSE, 4 * SHORTEST_PAUSE]),
        (0, 60.0, [60.0, 60.0, 60.0]),
    ],
)
def test_the_pauses_are_the_waiting_and_then_double(retries: int, waiting: float, longest: list[float]) -> None:
    found = pauses(filled("a", retries=retries, waiting=waiting), 1.0, len(longest))
    assert found == pytest.approx(longest)


@given(st.floats(0, 1), st.integers(0, 10), st.floats(0, 20), st.integers(1, 60))
def test_every_pause_is_within_its_bounds(chance: float, retries: int, waiting: float, attempts: int) -> None:
    last = pauses(filled("a", retries=retries, waiting=waiting), chance, attempts)[-1]
    first = max(waiting, SHORTEST_PAUSE)
    assert 0 <= last <= max(first, LONGEST_PAUSE) * chance + 1e-6
    if attempts <= retries:
        assert last <= first * chance + 1e-6


def test_a_result_is_reported_until_it_is_acknowledged_however_often_that_fails() -> None:
    assert len(pauses(filled("a", retries=0, waiting=1.0), 1.0, 1000)) == 1000


# Retention.


def test_a_result_is_kept_for_the_whole_retention() -> None:
    outbox = filled("a")
    outbox.put("b", SESSION, "later", now=100.0)
    assert outbox.expire(RETENTION - 0.1) == []
    assert outbox.expire(RETENTION) == ["a"]
    assert outbox.held(SESSION) == ["b"]
    assert outbox.expire(RETENTION + 100.0) == ["b"]


def test_a_result_whose_report_is_under_way_is_not_given_up() -> None:
    outbox = filled("a")
    due(outbox, 0.0)
    assert outbox.expire(RETENTION) == []
    outbox.failed("a", RETENTION, 1.0)
    assert outbox.expire(RETENTION) == ["a"]


def test_a_session_that_cannot_be_resumed_takes_its_results_along() -> None:
    outbox = filled("a", "b")
    outbox.clear()
    assert len(outbox) == 0


# Resume.


def test_a_resumed_session_inherits_the_results_and_they_are_due_at_once() -> None:
    outbox = filled("waits", "in flight", "paused")
    due(outbox, 0.0)
    outbox.failed("paused", 0.0, 1.0)
    outbox.put("of another", "C" * 43, "", 0.0)
    outbox.hand_over(SESSION, SUCCESSOR, now=0.5)
    assert outbox.held(SESSION) == []
    assert outbox.held(SUCCESSOR) == ["waits", "in flight", "paused"]
    assert outbox.next_due(SUCCESSOR) == 0.5
    assert len(due(outbox, 0.5, SUCCESSOR)) == 3
    assert outbox.held("C" * 43) == ["of another"]


# The retention is for a master that has to come back. One that came back has the result held "until an
# answer has come", and when the lease of the resumed session runs out, its results are kept for 10 minutes again.
def test_a_resumed_session_begins_the_retention_anew() -> None:
    outbox = filled("a")
    outbox.hand_over(SESSION, SUCCESSOR, now=RETENTION - 1.0)
    assert outbox.expire(RETENTION) == []
    assert outbox.held(SUCCESSOR) == ["a"]


class AnyReports(RuleBasedStateMachine):
    """Nothing leaves the outbox but by an acknowledgement, or when its retention ends."""

    def __init__(self) -> None:
        super().__init__()
        self.outbox: Outbox[int] = Outbox(2, 0.5, retention=20.0)
        self.now = 0.0
        self.session = 0
        self.put_at: dict[str, float] = {}
        self.owner: dict[str, int] = {}
        self.in_flight: set[str] = set()

    def token(self) -> str:
        return f"{self.session:043}"

    def forget(self, task_id: str) -> None:
        del self.put_at[task_id], self.owner[task_id]
        self.in_flight.discard(task_id)

    @rule(task_id=st.sampled_from("abcdef"))
    def put(self, task_id: str) -> None:
        self.outbox.put(task_id, self.token(), 0, self.now)
        self.put_at.setdefault(task_id, self.now)
        self.owner.setdefault(task_id, self.session)

    @rule()
    def take(self) -> None:
        taken = {entry.task_id for entry in self.outbox.take_due(self.token(), self.now)}
        assert not taken & self.in_flight
        assert all(self.owner[task_id] == self.session for task_id in taken)
        self.in_flight |= taken

    @rule(data=st.data(), chance=st.floats(0, 1))
    def fail(self, data: st.DataObject, chance: float) -> None:
        if self.in_flight:
            task_id = data.draw(st.sampled_from(sorted(self.in_flight)))
            self.outbox.failed(task_id, self.now, chance)
            self.in_flight.remove(task_id)

    @rule(task_id=st.sampled_from("abcdef"))
    def acknowledge(self, task_id: str) -> None:
        self.outbox.acknowledged(task_id)
        if task_id in self.put_at:
            self.forget(task_id)

    @rule(seconds=st.floats(0, 12))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def expire(self) -> None:
        for task_id in self.outbox.expire(self.now):
            assert self.now >= self.put_at[task_id] + 20.0
            assert task_id not in self.in_flight
            self.forget(task_id)

    @rule(resume=st.booleans())
    def next_session(self, resume: bool) -> None:
        before, self.session = self.token(), self.session + 1
        if resume:
            self.outbox.hand_over(before, self.token(), self.now)
            inherited = [task_id for task_id, owner in self.owner.items() if owner == self.session - 1]
            self.owner.update(dict.fromkeys(inherited, self.session))
            self.in_flight -= set(inherited)

    @invariant()
    def what_was_put_is_there(self) -> None:
        assert len(self.outbox) == len(self.put_at)
        assert all(task_id in self.outbox for task_id in self.put_at)
        mine = [task_id for task_id, owner in self.owner.items() if owner == self.session]
        assert self.outbox.held(self.token()) == mine

    @invariant()
    def what_waits_has_a_time(self) -> None:
        waits = [task_id for task_id, owner in self.owner.items() if owner == self.session]
        assert (self.outbox.next_due(self.token()) is None) == (not set(waits) - self.in_flight)


TestAnyReports = AnyReports.TestCase
