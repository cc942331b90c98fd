"""Masters that prove themselves at once, and users who refuse."""

from __future__ import annotations

from interaction.core.engagement import Claim, Engagement, Verdict
from interaction.exception import ResponseException


def acknowledge(claim: Claim, now: float = 0.0) -> None:
    """The claim's master acknowledges a beat."""
    claim.lease.acknowledged(claim.lease.beat(now))


def connect(
    engagement: Engagement, token: str, previous: str | None = None, *, lease: float = 10.0, now: float = 0.0
) -> Verdict:
    """A master connects, and answers for itself where that is asked."""
    verdict = engagement.connect(token, previous, lease, now)
    if verdict is not Verdict.PROVE:
        return verdict
    claim = engagement.claims[-1]
    acknowledge(claim, now)
    engagement.proved(claim)
    return Verdict.ASK


def refuse(engagement: Engagement, error: ResponseException) -> None:
    """The user refuses whom he is being asked about."""
    assert engagement.asking is not None
    engagement.drop(engagement.asking, error)
