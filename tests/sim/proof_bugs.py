"""Bugs in how a slave finds out whether who wants it can answer for himself; see `bugs.py`."""

from __future__ import annotations

from collections.abc import Callable

from interaction.core.engagement import Claim, Engagement, Verdict
from interaction.exception import SlaveSlaveAlreadyConnected
from tests.sim.planting import each_slave, nothing, put
from tests.sim.run import Plant
from tests.sim.slave import SimSlave


def believes_whoever_calls(slave: SimSlave) -> None:
    """A claim counts as proved when it is made."""
    each_claim(slave.tenancy.engagement, lambda claim: believe(slave, claim))


def believe(slave: SimSlave, claim: Claim) -> None:
    """Go on as if a beat had been acknowledged."""
    claim.lease.confirmed = True
    slave.world.on(slave, slave.now, lambda: slave.openings._proved(claim) if claim in slave.openings.since else None)


def a_claim_is_never_over(slave: SimSlave) -> None:
    """Who proves nothing has all the time in the world."""
    each_claim(slave.tenancy.engagement, lambda claim: claim.lease.hold())


def a_claim_outlives_who_made_it(slave: SimSlave) -> None:
    """It is not noticed that nobody waits for the answer any more."""
    put(slave.openings, "_look_at", nothing)


def one_claim_at_a_time(slave: SimSlave) -> None:
    """A stranger's claim stands in the way of the master's."""
    engagement = slave.tenancy.engagement
    connect = engagement.connect

    def connecting(token: str, previous: str | None, lease: float, now: float) -> Verdict:
        if engagement.claims and engagement.claim_of(token) is None:
            raise SlaveSlaveAlreadyConnected("another is being looked at")
        return connect(token, previous, lease, now)

    put(engagement, "connect", connecting)


def asked_for_nobody(slave: SimSlave) -> None:
    """What the user says is taken, though the master has given the claim up while he was asked."""
    openings = slave.openings

    def told(token: str) -> None:
        if openings._engagement.claim_of(token) is not None:
            openings.told.add(token)

    put(openings, "over", told)


def resumed_is_as_good_as_proved(slave: SimSlave) -> None:
    """Tasks of a session that is resumed begin before its new address has acknowledged anything."""
    slave.tenancy.engagement.__class__ = Sure


class Sure(Engagement):
    """It takes every session for one that its master keeps."""

    certain = True


def each_claim(engagement: Engagement, change: Callable[[Claim], object]) -> None:
    """A bug in every claim."""
    connect = engagement.connect

    def connecting(token: str, previous: str | None, lease: float, now: float) -> Verdict:
        verdict = connect(token, previous, lease, now)
        if verdict is Verdict.PROVE:
            change(engagement.claims[-1])
        return verdict

    put(engagement, "connect", connecting)


PROOF_BUGS: dict[str, Plant] = {
    bug.__name__: each_slave(bug)
    for bug in (
        believes_whoever_calls,
        a_claim_is_never_over,
        a_claim_outlives_who_made_it,
        one_claim_at_a_time,
        asked_for_nobody,
        resumed_is_as_good_as_proved,
    )
}
