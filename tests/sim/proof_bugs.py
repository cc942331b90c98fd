"""Bugs in how a slave finds out whether who wants it can answer for himself; see `bugs.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from interaction.core.engagement import MOST_CLAIMS, Claim, Engagement, Verdict
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

    def connecting(token: str, previous: str | None, lease: float, now: float, *more: Any) -> Verdict:
        if engagement.claims and engagement.claim_of(token) is None:
            raise SlaveSlaveAlreadyConnected("another is being looked at")
        return connect(token, previous, lease, now, *more)

    put(engagement, "connect", connecting)


def a_flood_keeps_its_places(slave: SimSlave) -> None:
    """Where there are as many claims as there may be, who comes next is turned away."""
    engagement = slave.tenancy.engagement
    verdict_on = engagement.verdict_on

    def verdict(token: str, previous: str | None) -> Verdict:
        found = verdict_on(token, previous)
        if found is Verdict.PROVE and len(engagement.claims) >= MOST_CLAIMS:
            raise SlaveSlaveAlreadyConnected("there are others")
        return found

    put(engagement, "verdict_on", verdict)


def the_oldest_gives_way(slave: SimSlave) -> None:
    """Whatever it names: who comes often enough displaces everybody."""
    engagement = slave.tenancy.engagement

    def give_way(now: float, chance: float) -> Claim:
        claim = next(claim for claim in engagement.claims if not claim.proved)
        claim.given_way = True
        engagement.drop(claim, None)
        return claim

    put(engagement, "_give_way", give_way)


def waits_for_ever_for_who_has_hung_up(slave: SimSlave) -> None:
    """Who has proved himself may come again whenever he likes."""
    each_claim(slave.tenancy.engagement, lambda claim: setattr(claim, "__class__", Patient))


class Patient(Claim):
    """It is forsaken only where it was not proved."""

    @property
    def forsaken_at(self) -> float | None:
        """As it was once."""
        return None if self.proved and not self.cut_off else super().forsaken_at


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

    def connecting(token: str, previous: str | None, lease: float, now: float, *more: Any) -> Verdict:
        verdict = connect(token, previous, lease, now, *more)
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
        a_flood_keeps_its_places,
        the_oldest_gives_way,
        waits_for_ever_for_who_has_hung_up,
        asked_for_nobody,
        resumed_is_as_good_as_proved,
    )
}
