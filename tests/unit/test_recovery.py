"""The way back after a restart of the master: pace, patience, and whom it gives up when."""

from __future__ import annotations

import pytest

from interaction.core.recovery import FEW, IN_FLIGHT, LONGEST_PAUSE, Recovery, Refused, meaning_of
from interaction.core.session import Session
from interaction.exception import (
    ResponseException,
    SlaveCertificateInvalid,
    SlaveMasterTokenInvalid,
    SlaveSignatureInvalid,
    SlaveSignatureNotFound,
    SlaveSignatureStale,
    SlaveSlaveAlreadyConnected,
    SlaveSlaveConnectionRefused,
    SlaveSystemShuttingDown,
)

TOLERANCE, QUIET, PATIENCE = 3.0, 4.0, 600.0  # the lease is 2 s


def sessions(number: int) -> dict[str, Session]:
    return {f"slave-{n}": Session(TOLERANCE) for n in range(number)}


@pytest.mark.parametrize(
    ("refusal", "before", "meaning"),
    [
        (SlaveSlaveAlreadyConnected(), False, Refused.FREE),
        (SlaveSlaveAlreadyConnected(), True, Refused.FREE),
        (SlaveMasterTokenInvalid(), True, Refused.NEXT),
        (SlaveMasterTokenInvalid(), False, Refused.OVER),
        (SlaveSlaveConnectionRefused(), False, Refused.OVER),
        (SlaveSystemShuttingDown(), True, Refused.OVER),
        (SlaveCertificateInvalid(), False, Refused.UNBELIEVED),
        (SlaveSignatureNotFound(), False, Refused.UNBELIEVED),
        (SlaveSignatureInvalid(), True, Refused.UNBELIEVED),
        (SlaveSignatureStale(), False, Refused.UNBELIEVED),
    ],
)
def test_what_a_refusal_means(refusal: ResponseException, before: bool, meaning: Refused) -> None:
    assert meaning_of(refusal, tried_before=before) is meaning


def test_no_more_than_so_many_are_called_at_once() -> None:
    recovery = Recovery(sessions(IN_FLIGHT + 50), 0.0)
    first = recovery.take_due(0.0)
    assert len(first) == IN_FLIGHT
    assert recovery.take_due(0.0) == []
    for owner in first[:20]:
        recovery.settled(owner)
    assert len(recovery.take_due(0.0)) == 20


def test_a_call_that_led_to_nothing_is_made_again_after_growing_pauses() -> None:
    recovery, now, pauses = Recovery(sessions(1), 0.0), 0.0, []
    for _ in range(10):
        assert recovery.take_due(now) == ["slave-0"]
        assert recovery.take_due(now) == []
        recovery.failed("slave-0", now, chance=1.0)
        due = min(recovery._absent["slave-0"].due_at, 1e9)
        pauses.append(due - now)
        assert recovery.take_due(due - 0.001) == []
        now = due
    assert pauses == sorted(pauses)
    assert pauses[0] == pytest.approx(0.1)
    assert pauses[-1] == pytest.approx(LONGEST_PAUSE)


def test_nobody_is_given_up_within_twice_the_lease() -> None:
    recovery = Recovery(sessions(2), 100.0)
    assert recovery.given_up(100.0 + QUIET - 0.01) == []
    assert recovery.given_up(100.0 + QUIET) == ["slave-0", "slave-1"]
    assert len(recovery) == 0
    assert recovery.next_due(200.0) is None


def test_whoever_beats_under_the_old_token_is_not_given_up() -> None:
    known = sessions(2)
    recovery = Recovery(known, 0.0)
    known["slave-1"].last_heard = 3.5
    assert recovery.given_up(QUIET) == ["slave-0"]
    recovery.take_due(QUIET)
    assert recovery.next_due(QUIET) == pytest.approx(3.5 + TOLERANCE)
    assert recovery.given_up(3.5 + TOLERANCE) == ["slave-1"]


def test_who_came_back_or_ended_is_not_given_up() -> None:
    recovery = Recovery(sessions(3), 0.0)
    recovery.settled("slave-0")
    assert "slave-0" not in recovery
    assert recovery.given_up(QUIET) == []  # two of three: too many at once
    recovery.settled("slave-1")
    assert recovery.given_up(QUIET) == ["slave-2"]


@pytest.mark.parametrize(("number", "absent", "held"), [(20, 11, False), (20, 12, True), (FEW, 2, True), (2, 2, False)])
def test_while_most_look_lost_at_once_nobody_is_given_up(number: int, absent: int, held: bool) -> None:
    recovery = Recovery(sessions(number), 0.0)
    for n in range(number - absent):
        recovery.settled(f"slave-{n}")
    assert not recovery.held_back(QUIET - 0.01)
    assert recovery.held_back(QUIET) is held
    assert len(recovery.given_up(QUIET)) == (0 if held else absent)


def test_patience_ends_when_no_slave_has_results_left() -> None:
    recovery = Recovery(sessions(10), 0.0)
    assert recovery.given_up(PATIENCE - 0.1) == []
    recovery.take_due(PATIENCE - 0.1)
    assert recovery.next_due(PATIENCE - 0.1) == pytest.approx(PATIENCE)
    assert len(recovery.given_up(PATIENCE)) == 10


def test_nothing_to_come_back_to() -> None:
    recovery: Recovery[str] = Recovery({}, 0.0)
    assert recovery.next_due(0.0) is None
    assert recovery.given_up(1e9) == []
