"""A slave's lease, and that it always ends before the master gives the slave up."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interaction.config import MIN_HEARTBEAT_SPAN, MIN_HEARTBEAT_TOLERANCE
from interaction.core.lease import Lease
from interaction.core.session import Lose, Session
from interaction.exception import LossReason

SHORTEST_LEASE, LONGEST_LEASE = 0.1, 86400.0  # the contract's


def test_a_lease_ends_after_its_duration_and_not_before() -> None:
    lease = Lease(10.0, 3.0, now=100.0)
    assert not lease.expired(109.9)
    assert lease.expired(110.0)


def test_beats_are_counted_from_1() -> None:
    lease = Lease(10.0, 3.0, now=0.0)
    assert [lease.beat(float(now)) for now in range(3)] == [1, 2, 3]


def test_the_lease_counts_from_the_sending_of_the_acknowledged_beat() -> None:
    lease = Lease(10.0, 3.0, now=0.0)
    first = lease.beat(2.0)
    lease.beat(5.0)
    lease.acknowledged(first)  # when that came does not matter
    assert lease.expires_at == 12.0


def test_an_acknowledgement_covers_all_beats_up_to_it() -> None:
    lease = Lease(10.0, 3.0, now=0.0)
    beats = [lease.beat(now) for now in (1.0, 2.0, 3.0)]
    lease.acknowledged(beats[2])
    assert lease.expires_at == 13.0
    lease.acknowledged(beats[0])
    assert lease.expires_at == 13.0


@pytest.mark.parametrize("sequence", [0, 2, 3, 4, 5, 2**64 - 1], ids=lambda sequence: f"sequence {sequence}")
def test_a_sequence_that_is_old_or_was_never_sent_renews_nothing(sequence: int) -> None:
    lease = Lease(10.0, 3.0, now=0.0)
    for now in (1.0, 2.0, 3.0):
        newest = lease.beat(now)
    lease.acknowledged(newest)
    lease.acknowledged(sequence)
    assert lease.expires_at == 13.0


def test_a_beat_without_an_acknowledgement_renews_nothing() -> None:
    lease = Lease(10.0, 3.0, now=0.0)
    for now in range(1, 10):
        lease.beat(float(now))
    assert lease.expired(10.0)


def test_a_lease_may_be_made_longer() -> None:
    lease = Lease(10.0, 3.0, now=0.0)
    lease.acknowledged(lease.beat(1.0), 20.0)
    assert lease.expires_at == 21.0
    lease.acknowledged(lease.beat(2.0))  # absent means as before
    assert lease.expires_at == 22.0


# "The lease from now on" (HeartbeatResponse.lease) counts from the sending of the last acknowledged beat: else a master
# that has shortened the lease would lose the slave while it still believes in the session (promise 5).
def test_a_lease_may_be_made_shorter() -> None:
    lease = Lease(10.0, 3.0, now=0.0)
    lease.acknowledged(lease.beat(1.0), 2.0)
    assert lease.expires_at == 3.0


def test_many_beats_without_an_acknowledgement_take_no_room_for_ever() -> None:
    lease = Lease(10.0, 3.0, now=0.0)
    for now in range(5000):
        newest = lease.beat(float(now))
    lease.acknowledged(newest)
    assert lease.expires_at == 4999.0 + 10.0


# The pause between two beats.


@given(
    st.floats(SHORTEST_LEASE, LONGEST_LEASE),
    st.floats(MIN_HEARTBEAT_SPAN, 1000.0),
    st.floats(0, 1),
)
def test_the_pause_is_the_span_or_a_third_of_the_lease_within_a_tenth(
    duration: float, span: float, chance: float
) -> None:
    wanted, lease = min(span, duration / 3), Lease(duration, span, 0.0)
    lease.acknowledged(lease.beat(0.0))
    assert wanted * 0.9 <= lease.pause(chance) * (1 + 1e-9)
    assert lease.pause(chance) <= wanted * 1.1 * (1 + 1e-9)


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_the_pause_is_never_longer_than_a_third_of_the_lease(chance: float) -> None:
    assert Lease(9.0, 100.0, 0.0).pause(chance) <= 3.0


def test_slaves_do_not_beat_in_step() -> None:
    lease = Lease(9.0, 1.0, 0.0)
    assert lease.pause(0.0) < lease.pause(0.5) < lease.pause(1.0)


def test_the_pause_follows_the_lease_that_was_granted_last() -> None:
    lease = Lease(90.0, 10.0, 0.0)
    lease.acknowledged(lease.beat(0.0), 3.0)
    assert lease.pause(1.0) == pytest.approx(1.0)


def test_the_least_tolerance_grants_a_lease_that_a_slave_takes() -> None:
    assert Session(MIN_HEARTBEAT_TOLERANCE).lease >= SHORTEST_LEASE


# Promise 5, under one virtual clock.


@dataclass(frozen=True)
class Step:
    """One beat: the chance that decides the pause after it, and how long each way takes it; None: it gets lost."""

    chance: float
    there: float | None
    back: float | None


@dataclass
class Ends:
    slave: float  # the slave let go
    master: float  # the master gave the slave up


def play(tolerance: float, span: float, connect_back: float, steps: list[Step]) -> Ends:
    """Run a session until both sides have ended it. Beats and acknowledgements may overtake each other."""
    session = Session(tolerance)
    lease = Lease(session.lease, span, now=0.0)
    session.opened("a" * 32, connect_back)  # the answer to Connect takes that long
    session.stream_opened(connect_back)
    events: list[tuple[float, int, str, int]] = [(0.0, 0, "send", 0)]
    order = 1
    while events:
        now, _, what, number = heapq.heappop(events)
        if now >= session.last_heard + tolerance:
            break  # before this event, the master's next look finds the slave silent
        arrives: tuple[float, int, str, int] | None = None
        if what == "send" and not lease.expired(now) and number < len(steps):
            step, sequence = steps[number], lease.beat(now)
            heapq.heappush(events, (now + lease.pause(step.chance), order, "send", number + 1))
            arrives = None if step.there is None else (now + step.there, order + 1, "beat", sequence)
        elif what == "beat" and now >= connect_back and session.beat(1, number, now):
            back = steps[number - 1].back
            arrives = None if back is None else (now + back, order + 1, "acknowledgement", session.newest_beat)
        elif what == "acknowledgement" and not lease.expired(now):  # else the slave has let go
            lease.acknowledged(number)
        if arrives is not None:
            heapq.heappush(events, arrives)
        order += 2
    silent_at = session.last_heard + tolerance
    decision = session.tick(silent_at + 1e-9)
    assert isinstance(decision, Lose)
    assert decision.reason is LossReason.SILENT
    return Ends(slave=lease.expires_at, master=silent_at)


delays = st.none() | st.floats(0, 1) | st.floats(0, 30)
steps = st.lists(st.builds(Step, st.floats(0, 1), delays, delays), max_size=40)


@settings(max_examples=300)
@given(st.floats(MIN_HEARTBEAT_TOLERANCE, 20), st.floats(MIN_HEARTBEAT_SPAN, 5), st.floats(0, 3), steps)
def test_the_slave_lets_go_before_the_master_gives_it_up(
    tolerance: float, span: float, connect_back: float, steps: list[Step]
) -> None:
    ends = play(tolerance, span, connect_back, steps)
    assert ends.slave < ends.master


def test_a_session_whose_beats_are_answered_lives_as_long_as_they_come() -> None:
    ends = play(15.0, 3.0, 0.01, [Step(0.5, 0.01, 0.01)] * 100)
    assert ends.slave == pytest.approx(99 * 3.0 + 10.0)
    assert ends.master == pytest.approx(99 * 3.0 + 15.01)


# What was granted counts from the first acknowledgement on.


@pytest.mark.parametrize("granted", [30.5, 300.0, 86400.0])
def test_a_lease_of_which_nothing_was_acknowledged_is_over_after_half_a_minute(granted: float) -> None:
    lease = Lease(granted, 3.0, 0.0)
    lease.beat(0.0)
    assert not lease.expired(29.9)
    assert lease.expired(30.0)


def test_a_shorter_lease_of_which_nothing_was_acknowledged_is_as_long_as_it_was_granted() -> None:
    assert Lease(10.0, 3.0, 0.0).expires_at == 10.0


def test_the_first_acknowledgement_makes_it_as_long_as_it_was_granted() -> None:
    lease = Lease(86400.0, 3.0, 0.0)
    lease.acknowledged(lease.beat(1.0))
    assert lease.expires_at == 86401.0


def test_a_lease_that_begins_anew_counts_from_there_and_stays_confirmed() -> None:
    lease = Lease(10.0, 3.0, 0.0)
    lease.acknowledged(lease.beat(1.0))
    late = lease.beat(2.0)
    lease.begin(4.0, 5.0)
    assert (lease.confirmed, lease.expires_at) == (True, 9.0)
    lease.acknowledged(late)
    assert lease.expires_at == 9.0, "what was sent before renews nothing"
    lease.acknowledged(lease.beat(6.0))
    assert lease.expires_at == 10.0
