"""A session whose stream has broken: who is asked after, how often, and what comes of the answers."""

from __future__ import annotations

import pytest

from interaction.core.session import Probe, ProbeAnswer, Session, SessionState
from interaction.exception import LossReason
from tests.unit.sessions import MYSELF, NOBODY, RESTARTED, UNCERTAIN, live_session, reason_of, suspect_session


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
