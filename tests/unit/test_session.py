"""A session at its master: when its slave is suspected, asked after, and given up."""

from __future__ import annotations

import math
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from interaction.core.session import Await, Lose, Probe, ProbeAnswer, Session, SessionState
from interaction.exception import LossReason
from tests.unit.sessions import (
    ANOTHER,
    ME,
    MYSELF,
    NOBODY,
    RESTARTED,
    TOLERANCE,
    UNCERTAIN,
    live_session,
    reason_of,
)


@pytest.mark.parametrize("tolerance", [0.2, 1.0, 15.0, 3600.0])
def test_the_lease_is_two_thirds_of_the_tolerance(tolerance: float) -> None:
    assert Session(tolerance).lease == pytest.approx(tolerance * 2 / 3)


# Opening.


def test_nobody_is_given_up_while_connect_is_under_way() -> None:
    session = Session(TOLERANCE)
    assert session.tick(1e9) is None
    assert session.state is SessionState.OPENING


def test_a_slave_may_beat_before_connect_has_returned() -> None:
    session = Session(TOLERANCE)
    stream = session.stream_opened(0.9)
    assert session.beat(stream, 1, 0.9)
    assert session.opened(ME, 1.0) is None
    assert session.state is SessionState.LIVE


def test_a_stream_that_broke_before_connect_returned_is_asked_after() -> None:
    session = Session(TOLERANCE)
    assert session.stream_broken(session.stream_opened(0.9)) is None
    assert session.opened(ME, 1.0) == Probe()
    assert session.state is SessionState.SUSPECT


def test_a_connect_that_returns_after_the_end_opens_nothing() -> None:
    session = Session(TOLERANCE)
    assert session.end(LossReason.DISCONNECTED)
    assert session.opened(ME, 1.0) is None
    assert session.state is SessionState.OVER


# Silence.


@pytest.mark.parametrize(("tolerance", "heard"), [(15.0, 0.0), (0.25, 1024.0), (2.0, 7.5)])
def test_a_slave_is_silent_at_exactly_the_tolerance(tolerance: float, heard: float) -> None:
    session = live_session(tolerance, heard)
    assert session.tick(math.nextafter(heard + tolerance, 0.0)) is None
    assert session.state is SessionState.LIVE
    assert reason_of(session.tick(heard + tolerance)) is LossReason.SILENT
    assert session.over


def test_a_slave_that_never_opened_a_stream_is_silent_too() -> None:
    session = Session(TOLERANCE)
    session.opened(ME, 1.0)
    assert session.tick(15.5) is None
    assert reason_of(session.tick(16.0)) is LossReason.SILENT


def test_each_beat_starts_the_tolerance_anew() -> None:
    session = live_session()
    for now in (5.0, 19.0, 33.0):
        session.beat(1, int(now), now)
        assert session.tick(now + 14.9) is None
    assert reason_of(session.tick(48.0)) is LossReason.SILENT


def test_the_newest_beat_is_what_is_acknowledged() -> None:
    session = live_session()
    for sequence in (1, 4, 2):
        session.beat(1, sequence, 1.0)
    assert session.newest_beat == 4


# Acknowledgements.


def beats(session: Session, moments: list[float]) -> list[float]:
    """The moments of those beats that are acknowledged."""
    return [now for sequence, now in enumerate(moments) if session.beat(1, sequence + 1, now)]


@pytest.mark.parametrize(("tolerance", "span"), [(45.0, 10.0), (45.0, 9.0), (15.0, 3.0), (0.9, 0.2)])
def test_a_slave_that_beats_no_more_often_than_it_must_is_always_acknowledged(tolerance: float, span: float) -> None:
    moments = [span * number for number in range(20)]
    assert beats(live_session(tolerance), moments) == moments


@given(
    tolerance=st.floats(0.2, 120.0),
    shares=st.lists(st.floats(0.9, 1.1), min_size=2, max_size=200),
    span=st.floats(0.001, 0.3),
)
def test_a_slave_that_beats_more_often_is_acknowledged_every_third_of_its_lease(
    tolerance: float, shares: list[float], span: float
) -> None:
    session = live_session(tolerance)
    third, gap = session.lease / 3, session.lease * span
    moments = list(accumulate((gap * share for share in shares), initial=0.0))
    acknowledged = beats(session, moments)
    apart = [late - early for early, late in pairwise([*acknowledged, moments[-1]])]
    assert acknowledged[0] == 0.0, "the slave learns that the stream works"
    assert max(apart) <= max(third, gap * 1.1) * (1 + 1e-9)
    if span < 0.1:
        assert len(acknowledged) <= 2 + moments[-1] / (third - 2.5 * gap)


def test_what_came_late_is_acknowledged_until_the_beats_are_regular_again() -> None:
    session = live_session(45.0)
    assert beats(session, [0.0, 3.0, 6.0, 14.9, 14.9, 15.0, 18.0, 21.0]) == [0.0, 14.9, 14.9, 18.0, 21.0]


def test_the_first_beat_on_a_stream_is_acknowledged() -> None:
    session = live_session(45.0)
    assert beats(session, [1.0, 1.1, 1.2]) == [1.0]
    assert session.beat(session.stream_opened(1.3), 4, 1.3)


def test_what_the_master_missed_while_it_stood_still_is_excused() -> None:
    session = live_session()
    session.beat(1, 1, 10.0)
    session.excuse(20.0, now=40.0)
    assert session.tick(44.9) is None
    assert reason_of(session.tick(45.0)) is LossReason.SILENT


# The end.


def test_a_session_ends_once() -> None:
    session = live_session()
    assert session.end(LossReason.DISCONNECTED)
    assert not session.end(LossReason.DRAINED)
    assert session.reason is LossReason.DISCONNECTED


def test_a_session_knows_why_it_is_over() -> None:
    session = live_session()
    assert session.reason is None
    assert reason_of(session.tick(1000.0)) is session.reason is LossReason.SILENT
    assert not session.end(LossReason.DISCONNECTED)
    assert session.reason is LossReason.SILENT


class AnySequenceOfEvents(RuleBasedStateMachine):
    """A session is lost at most once, and after its end nothing that happens means anything."""

    def __init__(self) -> None:
        super().__init__()
        self.session = Session(2.0)
        self.now = 0.0
        self.ends = 0
        self.was_over = False
        self.streams = 0
        self.probes = 0  # under way

    def decided(self, decision: Probe | Lose | Await | None) -> None:
        if self.was_over:
            assert decision is None
        self.probes += isinstance(decision, Probe)
        if isinstance(decision, Lose):
            self.ends += 1
            assert decision.message

    @rule(seconds=st.floats(0, 3))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(witnessed=st.booleans())
    def opened(self, witnessed: bool) -> None:
        if self.session.state in (SessionState.OPENING, SessionState.OVER):
            self.decided(self.session.opened(ME, self.now, witnessed=witnessed))

    @rule()
    def stream_opened(self) -> None:
        self.streams += 1
        assert self.session.stream_opened(self.now) == self.streams

    @rule(back=st.integers(0, 3))
    def stream_broken(self, back: int) -> None:
        self.decided(self.session.stream_broken(max(self.streams - back, 1)))

    @rule(back=st.integers(0, 3), sequence=st.integers(1, 100))
    def beat(self, back: int, sequence: int) -> None:
        stream = max(self.streams - back, 1)
        counts = stream == self.streams and not self.was_over
        acknowledged = self.session.beat(stream, sequence, self.now)
        assert counts or not acknowledged
        if counts:
            assert self.session.last_heard == self.now

    @rule(answer=st.sampled_from([MYSELF, RESTARTED, NOBODY, UNCERTAIN]), busy=st.booleans())
    def probed(self, answer: ProbeAnswer, busy: bool) -> None:
        if self.probes:
            self.probes -= 1
            self.decided(self.session.probed(answer, busy=busy))

    @rule(back=st.integers(0, 2), who=st.sampled_from([ME, ANOTHER]))
    def exited(self, back: int, who: str) -> None:
        decision = self.session.exited(self.streams - back, who)
        assert decision is None or (who == ME and not back)
        self.decided(decision)

    @rule()
    def witness_is_late(self) -> None:
        gone = self.session.state is SessionState.GONE
        decision = self.session.witness_is_late()
        assert (decision is not None) is gone
        self.decided(decision)

    @rule()
    def tick(self) -> None:
        self.decided(self.session.tick(self.now))

    @rule(under_way=st.booleans())
    def parting(self, under_way: bool) -> None:
        self.session.parting(under_way)

    @rule()
    def end(self) -> None:
        assert self.session.end(LossReason.DISCONNECTED) is not self.was_over
        self.ends += not self.was_over

    @invariant()
    def a_suspect_is_asked_after(self) -> None:
        assert self.probes or self.session.state is not SessionState.SUSPECT

    @invariant()
    def it_ends_once_and_stays_so(self) -> None:
        self.was_over = self.session.over
        assert self.ends == self.was_over


TestAnySequenceOfEvents = AnySequenceOfEvents.TestCase
