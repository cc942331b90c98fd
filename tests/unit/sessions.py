"""Sessions for tests: one that lives, one that is suspected, and why one was lost."""

from __future__ import annotations

from interaction.core.session import Await, Lose, Probe, ProbeAnswer, Session, SessionState
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


def reason_of(decision: Probe | Lose | Await | None) -> LossReason | None:
    return decision.reason if isinstance(decision, Lose) else None
