"""A session at its master whose slave has a witness: what is waited for when it dies, and whom to believe."""

from __future__ import annotations

import pytest

from interaction.core.session import WITNESS_PATIENCE, Await, ProbeAnswer, Session, SessionState
from interaction.exception import LossReason, RequestException, SlaveTaskRefused
from tests.unit.sessions import ANOTHER, ME, NOBODY, RESTARTED, TOLERANCE, live_session, reason_of, suspect_session


def witnessed_session() -> Session:
    session = Session(TOLERANCE)
    session.opened(ME, 0.0, witnessed=True)
    session.stream_opened(0.0)
    session.stream_broken(1)
    return session


@pytest.mark.parametrize(
    ("found", "reason"), [(NOBODY, LossReason.EXITED), (RESTARTED, LossReason.RESTARTED)], ids=["nobody", "another"]
)
def test_a_witness_is_waited_for_where_there_are_tasks(found: ProbeAnswer, reason: LossReason) -> None:
    session = witnessed_session()
    assert session.probed(found, busy=True) == Await(WITNESS_PATIENCE)
    assert session.state is SessionState.GONE
    assert session.lives
    assert not session.over
    assert session.probed(found, busy=True) is None, "it has all its time"
    assert session.tick(1e9) is None
    assert reason_of(session.witness_is_late()) is reason
    assert session.over
    assert session.witness_is_late() is None


def test_nobody_is_waited_for_who_has_nothing_to_say() -> None:
    assert reason_of(witnessed_session().probed(NOBODY, busy=False)) is LossReason.EXITED
    assert reason_of(suspect_session().probed(NOBODY, busy=True)) is LossReason.EXITED


def test_a_witness_ends_the_session_of_its_slave_whatever_is_known_of_that() -> None:
    gone = witnessed_session()
    gone.probed(NOBODY, busy=True)
    for session in (live_session(), suspect_session(), witnessed_session(), gone):
        stream = session.stream_opened(1.0)
        assert reason_of(session.exited(stream, ME)) is LossReason.EXITED
        assert session.exited(stream, ME) is None
        assert session.stream_broken(stream) is None
        assert session.witness_is_late() is None


def test_the_witness_of_another_slave_or_on_an_older_stream_is_none() -> None:
    """A slave that was restarted may have had the session's token: what it ran says nothing of who was there before."""
    session = live_session()
    assert session.exited(session.stream_opened(1.0), ANOTHER) is None
    assert session.exited(session.stream_opened(1.0) - 1, ME) is None
    assert session.state is SessionState.LIVE
    assert Session(TOLERANCE).exited(0, ANOTHER) is None, "nobody knows yet who it is"


def test_a_call_that_found_nobody_waits_for_what_the_witness_says() -> None:
    broken, late = RequestException("no", "UNAVAILABLE"), RequestException("no", "DEADLINE_EXCEEDED")
    session = witnessed_session()
    assert session.doubt(broken) > WITNESS_PATIENCE
    assert session.doubt(late) == session.doubt(SlaveTaskRefused()) == 0.0
    assert suspect_session().doubt(broken) == 0.0


def test_a_slave_that_is_gone_does_not_come_back() -> None:
    session = witnessed_session()
    session.probed(NOBODY, busy=True)
    stream = session.stream_opened(1.0)
    assert session.state is SessionState.GONE
    assert session.stream_broken(stream) is None
    assert reason_of(session.witness_is_late()) is LossReason.EXITED
