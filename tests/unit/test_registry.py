"""All sessions of a master and the tick that watches them; the tasks of one session."""

from __future__ import annotations

from typing import TypeVar

import pytest

from interaction.core.model import Acknowledgement
from interaction.core.registry import REMEMBERED_SESSIONS, REMEMBERED_TASKS, TURN_SPAN, Ledger, Registry
from interaction.core.session import Lose, Probe, Session
from interaction.exception import LossReason

T = TypeVar("T")

TOLERANCE, SPAN = 5.0, 1.0


def token(number: int) -> str:
    return f"{number:043}"


def live_session(now: float = 0.0) -> Session:
    session = Session(TOLERANCE)
    session.opened("a" * 32, now)
    session.stream_opened(now)
    return session


def watched(session: Session) -> Registry[str]:
    """A registry with one session, that has ticked at 0, 1 and 2."""
    registry: Registry[str] = Registry(SPAN)
    registry.add(token(1), session, "slave")
    for now in (0.0, 1.0, 2.0):
        assert registry.tick(now) == []
    return registry


def losses(decisions: list[tuple[T, Lose]]) -> list[tuple[T, LossReason]]:
    return [(owner, decision.reason) for owner, decision in decisions]


# Tokens.


def test_a_session_is_found_by_its_token_alone() -> None:
    registry: Registry[str] = Registry(SPAN)
    session = Session(TOLERANCE)
    registry.add(token(1), session, "slave")
    assert registry.find(token(1)) == "slave"
    assert registry.find(token(2)) is None
    assert list(registry) == [(session, "slave")]


def test_an_ended_session_is_remembered_without_its_owner() -> None:
    registry: Registry[str] = Registry(SPAN)
    session = Session(TOLERANCE)
    registry.add(token(1), session, "slave")
    registry.retire(token(1))
    assert registry.find(token(1)) is None
    assert registry.remembers(token(1))
    assert len(registry) == 0
    assert list(registry) == []


def test_retiring_twice_or_an_unknown_token_changes_nothing() -> None:
    registry: Registry[str] = Registry(SPAN)
    registry.add(token(1), Session(TOLERANCE), "slave")
    registry.retire(token(2))
    assert len(registry) == 1
    for _ in range(2):
        registry.retire(token(1))
    assert not registry.remembers(token(2))
    assert registry.remembers(token(1))


def test_the_memory_of_ended_sessions_is_bounded() -> None:
    registry: Registry[str] = Registry(SPAN)
    for number in range(REMEMBERED_SESSIONS + 1):
        registry.add(token(number), Session(TOLERANCE), "slave")
        registry.retire(token(number))
    assert not registry.remembers(token(0))
    assert registry.remembers(token(1))
    assert registry.remembers(token(REMEMBERED_SESSIONS))


def test_a_session_that_is_being_resumed_is_known_by_either_token() -> None:
    registry: Registry[str] = Registry(SPAN)
    session = Session(TOLERANCE)
    registry.add(token(1), session, "slave")
    registry.also(token(1), token(2))
    assert registry.find(token(1)) == registry.find(token(2)) == "slave"
    assert list(registry) == [(session, "slave")], "it is one session"
    registry.retire(token(1), token(2))
    assert registry.find(token(2)) is None
    assert registry.remembers(token(1))
    assert registry.remembers(token(2))


def test_a_session_may_be_retired_while_all_are_looked_at() -> None:
    registry: Registry[int] = Registry(SPAN)
    for number in range(3):
        registry.add(token(number), Session(TOLERANCE), number)
    for _, number in registry:
        registry.retire(token(number))
    assert len(registry) == 0


# Ticks.


def test_a_tick_tells_what_is_to_be_done_about_which_slave() -> None:
    registry: Registry[str] = Registry(SPAN)
    silent, suspect, well = live_session(0.0), live_session(4.0), live_session(4.0)
    for number, (session, owner) in enumerate([(silent, "silent"), (suspect, "suspect"), (well, "well")]):
        registry.add(token(number), session, owner)
    registry.tick(4.0)
    suspect.stream_broken(1)
    decisions = dict(registry.tick(5.0))
    assert decisions.keys() == {"silent"}  # the probe that the broken stream began is under way
    assert losses(list(decisions.items())) == [("silent", LossReason.SILENT)]
    assert registry.tick(6.0) == []


def test_a_retired_session_is_not_watched() -> None:
    session = live_session()
    registry = watched(session)
    registry.retire(token(1))
    assert registry.tick(100.0) == []
    assert not session.over


def test_the_first_tick_holds_nothing_against_anybody_late_or_not() -> None:
    registry: Registry[str] = Registry(SPAN)
    registry.add(token(1), live_session(now=999.0), "slave")
    assert registry.tick(1000.0) == []


@pytest.mark.parametrize("late", [4.0, 20.0, 86400.0])
def test_a_tick_that_comes_late_does_not_hold_the_time_against_slaves(late: float) -> None:
    session = live_session()
    registry = watched(session)
    session.beat(1, 1, 2.0)
    assert registry.tick(3.0 + late) == []
    assert not session.over


def test_a_slave_that_is_silent_after_a_late_tick_is_lost_within_the_tolerance() -> None:
    session = live_session()
    registry = watched(session)
    session.beat(1, 1, 2.0)
    assert registry.tick(22.0) == []
    ticks = [losses(registry.tick(22.0 + second)) for second in range(1, 6)]
    assert [("slave", LossReason.SILENT)] in ticks


# The stall must not be added to a `last_heard` that lies after it: a slave that was heard just before the late tick,
# and is cut off then, would be lost only a whole stall later (promise 4).
def test_a_slave_that_was_heard_after_the_stall_is_lost_within_the_tolerance() -> None:
    session = live_session()
    registry = watched(session)
    session.beat(1, 1, 22.0)
    assert registry.tick(22.0) == []
    ticks = [losses(registry.tick(22.0 + second)) for second in range(1, 7)]
    assert [("slave", LossReason.SILENT)] in ticks


# As above, for a session that did not exist during the stall.
def test_a_session_that_began_after_the_stall_is_owed_nothing_for_it() -> None:
    registry: Registry[str] = Registry(SPAN)
    registry.tick(0.0)
    registry.add(token(1), live_session(now=99.0), "slave")
    assert registry.tick(100.0) == []
    ticks = [losses(registry.tick(100.0 + second)) for second in range(1, 6)]
    assert [("slave", LossReason.SILENT)] in ticks


class Watched(Session):
    """A session that counts how often it is looked at."""

    looks = 0

    def tick(self, now: float) -> Lose | None:
        self.looks += 1
        return super().tick(now)


class Short(Session):
    """A session for which memory is short once, as it is looked at."""

    broken = False

    def tick(self, now: float) -> Lose | None:
        if not self.broken and now > TOLERANCE:
            self.broken = True
            raise MemoryError
        return super().tick(now)


def test_a_tick_that_is_broken_off_loses_nobody_and_no_decision() -> None:
    registry: Registry[int] = Registry(SPAN)
    for number, kind in enumerate([Session, Short, Session, Short, Session]):
        session = kind(TOLERANCE)
        session.opened("a" * 32, 0.0)
        session.stream_opened(0.0)
        registry.add(token(number), session, number)
    for now in (0.0, 1.0, 2.0, 3.0, 4.0):
        assert registry.tick(now) == []
    for now in (5.5, 6.0):
        with pytest.raises(MemoryError):
            registry.tick(now)
    assert sorted(losses(registry.tick(6.5))) == [(number, LossReason.SILENT) for number in range(5)]
    assert registry.tick(7.0) == []


def test_a_session_that_has_ended_since_a_tick_was_broken_off_is_not_looked_at() -> None:
    registry: Registry[str] = Registry(SPAN)
    session = Short(TOLERANCE)
    session.opened("a" * 32, 0.0)
    registry.add(token(1), session, "slave")
    with pytest.raises(MemoryError):
        registry.tick(TOLERANCE + 0.5)
    registry.retire(token(1))
    assert registry.tick(TOLERANCE + 1.0) == []


def test_a_tick_looks_at_few_of_many_that_beat() -> None:
    registry: Registry[int] = Registry(SPAN)
    sessions = [Watched(TOLERANCE) for _ in range(100)]
    for number, session in enumerate(sessions):
        session.opened("a" * 32, number / 100)
        registry.add(token(number), session, number)
    for second in range(1, 101):
        for session in sessions:
            session.last_heard = second - 0.5
        assert registry.tick(float(second)) == []
    looks = [session.looks for session in sessions]
    assert max(looks) <= 100 / (TOLERANCE - SPAN) + 1
    assert [len(registry.tick(101.0 + second)) for second in range(5)] == [0, 0, 0, 0, len(sessions)]


@pytest.mark.parametrize("began", [0.0, 0.3, 7.9])
def test_a_slave_is_lost_with_the_first_tick_after_the_tolerance(began: float) -> None:
    registry: Registry[str] = Registry(SPAN)
    registry.add(token(1), Session(TOLERANCE), "opening")
    registry.add(token(2), live_session(began), "slave")
    ticks = [began + 0.7 * number for number in range(12)]
    lost = [now for now in ticks if losses(registry.tick(now))]
    assert lost == [next(now for now in ticks if now - began >= TOLERANCE)]


# Probes.


def test_patient_probes_take_turns_and_others_do_not_wait_for_them() -> None:
    registry: Registry[str] = Registry(SPAN)
    pauses = [registry.pause_before(Probe(1.0, patient=True), 50.0) for _ in range(3)]
    assert pauses == pytest.approx([1.0, 1.0 + TURN_SPAN, 1.0 + 2 * TURN_SPAN])
    assert registry.pause_before(Probe(), 50.0) == 0.0
    assert registry.pause_before(Probe(0.05), 50.0) == 0.05
    assert registry.pause_before(Probe(1.0, patient=True), 60.0) == pytest.approx(1.0)


# Tasks.


@pytest.mark.parametrize(
    ("by_result", "again"), [(True, Acknowledgement.DUPLICATE), (False, Acknowledgement.STALE)], ids=["result", "loss"]
)
def test_a_late_result_is_answered_by_how_its_task_ended(by_result: bool, again: Acknowledgement) -> None:
    ledger: Ledger[str] = Ledger()
    ledger.add("a", "task")
    assert ledger.get("a") == "task"
    ledger.close("a", by_result=by_result)
    assert ledger.get("a") is None
    assert ledger.acknowledge_again("a") is again


def test_the_first_end_of_a_task_is_the_one_that_counts() -> None:
    ledger: Ledger[str] = Ledger()
    ledger.add("a", "task")
    ledger.close("a", by_result=True)
    ledger.close("a", by_result=False)
    assert ledger.acknowledge_again("a") is Acknowledgement.DUPLICATE


def test_a_result_of_an_unknown_task_is_stale() -> None:
    ledger: Ledger[str] = Ledger()
    ledger.close("a", by_result=True)
    assert ledger.acknowledge_again("a") is Acknowledgement.STALE


def test_the_end_of_a_session_gives_back_its_unfinished_tasks_in_order() -> None:
    ledger: Ledger[str] = Ledger()
    for name in "abcd":
        ledger.add(name, name.upper())
    ledger.close("b", by_result=True)
    assert len(ledger) == 3
    assert ledger.take_all() == ["A", "C", "D"]
    assert ledger.take_all() == []
    assert ledger.acknowledge_again("a") is Acknowledgement.STALE
    assert ledger.acknowledge_again("b") is Acknowledgement.DUPLICATE


def test_the_memory_of_ended_tasks_is_bounded() -> None:
    ledger: Ledger[int] = Ledger()
    for number in range(REMEMBERED_TASKS + 1):
        ledger.add(str(number), number)
        ledger.close(str(number), by_result=True)
    assert ledger.acknowledge_again("0") is Acknowledgement.STALE
    assert ledger.acknowledge_again("1") is Acknowledgement.DUPLICATE
