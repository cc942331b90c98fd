"""A session at its master: when its slave is suspected, asked after, and given up."""

from __future__ import annotations

import math
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from interaction.core.session import Lose, Probe, ProbeAnswer, Session, SessionState
from interaction.exception import LossReason

ME, ANOTHER = "a" * 32, "b" * 32
TOLERANCE = 15.0
MYSELF, RESTARTED, NOBODY, UNCERTAIN = ProbeAnswer(ME), ProbeAnswer(ANOTHER), ProbeAnswer(nobody=True), ProbeAnswer()


def live_session(tolerance: float = TOLERANCE, now: float = 0.0) -> Session:
    session = Session(tolerance)
    assert session.opened(ME, now) is None
    assert session.stream_opened(now) == 1
    assert session.state is SessionState.LIVE
    return session


def suspect_session() -> Session:
    session = live_session()
    assert session.stream_broken(1) == Probe()
    assert session.state is SessionState.SUSPECT
    return session


def reason_of(decision: Probe | Lose | None) -> LossReason | None:
    return decision.reason if isinstance(decision, Lose) else None


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


# Suspicion.


def test_a_suspect_that_answers_is_asked_again_and_again_with_patience() -> None:
    session = suspect_session()
    for _ in range(3):
        assert session.probed(MYSELF) == Probe(1.0, patient=True)
    assert reason_of(session.probed(NOBODY)) is LossReason.EXITED


def test_one_probe_goes_on_however_often_the_stream_breaks() -> None:
    session = suspect_session()
    for now in (1.0, 2.0):
        assert session.stream_broken(session.stream_opened(now)) == Probe()
    assert session.probed(MYSELF) is None
    assert session.probed(UNCERTAIN) is None
    assert session.probed(UNCERTAIN) == Probe(0.05)


def test_a_new_stream_acknowledges_its_own_beats_alone() -> None:
    """The slave may be another process, that counts from 1: Connect was tried again while it restarted."""
    session = Session(15.0)
    session.beat(session.stream_opened(0.0), 7, 0.0)
    stream = session.stream_opened(1.0)
    assert session.beat(stream, 1, 1.0)
    assert session.newest_beat == 1


def test_a_probe_that_found_out_nothing_is_made_again_after_growing_pauses() -> None:
    session = suspect_session()
    probes = [session.probed(UNCERTAIN) for _ in range(8)]
    pauses = [probe.after for probe in probes if isinstance(probe, Probe)]
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]
    assert session.tick(2.0) is None  # one probe at a time
    assert reason_of(session.probed(NOBODY)) is LossReason.EXITED


def test_pauses_between_probes_begin_anew_with_each_suspicion() -> None:
    session = suspect_session()
    session.probed(UNCERTAIN)
    session.probed(UNCERTAIN)
    stream = session.stream_opened(1.0)
    assert session.probed(UNCERTAIN) is None
    assert session.stream_broken(stream) == Probe()
    assert session.probed(UNCERTAIN) == Probe(0.05)


def test_nobody_is_asked_after_who_has_opened_a_stream_again() -> None:
    session = suspect_session()
    session.stream_opened(1.0)
    assert session.probed(UNCERTAIN) is None


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(MYSELF, None), (UNCERTAIN, None), (NOBODY, LossReason.EXITED), (RESTARTED, LossReason.RESTARTED)],
)
def test_what_a_probe_finds_about_a_suspect(answer: ProbeAnswer, reason: LossReason | None) -> None:
    session = suspect_session()
    assert reason_of(session.probed(answer)) is reason
    assert session.state is (SessionState.SUSPECT if reason is None else SessionState.OVER)


@pytest.mark.parametrize("answer", [MYSELF, UNCERTAIN, NOBODY])
def test_a_slave_that_is_back_before_the_probe_is_not_lost_by_it(answer: ProbeAnswer) -> None:
    session = suspect_session()
    session.stream_opened(1.0)
    assert session.probed(answer) is None
    assert session.state is SessionState.LIVE


def test_a_slave_that_is_still_there_has_the_whole_tolerance_to_come_back() -> None:
    session = suspect_session()
    session.probed(MYSELF)
    assert session.tick(14.9) is None
    session.probed(MYSELF)
    assert reason_of(session.tick(15.0)) is LossReason.SILENT


def test_a_probe_under_way_does_not_delay_silence() -> None:
    assert reason_of(suspect_session().tick(15.0)) is LossReason.SILENT


def test_a_stream_that_is_opened_again_ends_the_suspicion() -> None:
    session = suspect_session()
    assert session.stream_opened(14.0) == 2
    assert session.state is SessionState.LIVE
    assert session.tick(28.9) is None


def test_a_replaced_stream_means_nothing_any_more() -> None:
    session = live_session()
    assert session.stream_opened(1.0) == 2
    assert session.stream_broken(1) is None
    assert not session.beat(1, 99, 14.0)
    assert (session.state, session.newest_beat) == (SessionState.LIVE, 0)
    assert reason_of(session.tick(16.0)) is LossReason.SILENT


def test_a_stream_that_breaks_during_disconnect_is_asked_after_a_while_later() -> None:
    session = live_session()
    session.parting(True)
    assert session.stream_broken(1) == Probe(1.0)  # most likely the slave has answered, and its answer is on the way
    assert reason_of(session.probed(ProbeAnswer(nobody=True))) is LossReason.EXITED


def test_a_disconnection_that_came_to_nothing_leaves_the_suspicion() -> None:
    session = live_session()
    session.parting(True)
    session.stream_broken(1)
    session.parting(False)
    assert session.state is SessionState.SUSPECT
    assert reason_of(session.probed(NOBODY)) is LossReason.EXITED


def test_a_slave_that_falls_silent_during_disconnect_is_lost_all_the_same() -> None:
    session = live_session()
    session.parting(True)
    assert reason_of(session.tick(15.0)) is LossReason.SILENT


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

    def decided(self, decision: Probe | Lose | None) -> None:
        if self.was_over:
            assert decision is None
        self.probes += isinstance(decision, Probe)
        if isinstance(decision, Lose):
            self.ends += 1
            assert decision.message

    @rule(seconds=st.floats(0, 3))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def opened(self) -> None:
        if self.session.state in (SessionState.OPENING, SessionState.OVER):
            self.decided(self.session.opened(ME, self.now))

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

    @rule(answer=st.sampled_from([MYSELF, RESTARTED, NOBODY, UNCERTAIN]))
    def probed(self, answer: ProbeAnswer) -> None:
        if self.probes:
            self.probes -= 1
            self.decided(self.session.probed(answer))

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
