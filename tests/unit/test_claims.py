"""Who wants a slave proves himself before anything else: what stands of him meanwhile, and for how long."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from interaction.core.engagement import CHANCE_SECONDS, MOST_CLAIMS, RETURN_SECONDS, Claim, Engagement, Verdict
from interaction.core.model import ConnectAnswer
from interaction.exception import (
    SlaveSlaveAlreadyConnected,
    SlaveSlaveConnectionRefused,
    SlaveSlaveNotConnected,
    SlaveSystemShuttingDown,
)
from tests.unit.claims import acknowledge, connect

LEASE = 10.0
A, B, C = ("A" * 43, "B" * 43, "C" * 43)
YES, NO = ConnectAnswer("f" * 32), SlaveSlaveConnectionRefused("no")
ASK, WAIT, REPEAT, RESUME = Verdict.ASK, Verdict.WAIT, Verdict.REPEAT, Verdict.RESUME


def over(engagement: Engagement) -> None:
    """A session whose lease ran out."""
    assert connect(engagement, A) is ASK
    engagement.opened(YES, now=0.0)
    assert engagement.lease_over(LEASE)


def claims(engagement: Engagement, token: str, now: float = 0.0, address: str = "", chance: float = 0.0) -> Claim:
    assert engagement.connect(token, None, LEASE, now, address, chance) is Verdict.PROVE
    claim = engagement.claim_of(token)
    assert claim is not None
    claim.called()
    return claim


def test_a_claim_opens_nothing_and_stands_in_nobodys_way() -> None:
    engagement = Engagement(3.0)
    stranger, master = claims(engagement, A), claims(engagement, B)
    with pytest.raises(SlaveSlaveNotConnected):
        engagement.check(A)
    assert engagement.connect(A, None, LEASE, 1.0) is WAIT
    acknowledge(master)
    engagement.proved(master)
    engagement.opened(YES, now=1.0)
    assert engagement.owns(B)
    acknowledge(stranger)
    with pytest.raises(SlaveSlaveAlreadyConnected):
        engagement.proved(stranger)
    engagement.drop(stranger, None)
    assert engagement.owns(B)


def test_the_user_is_asked_about_one_at_a_time() -> None:
    engagement = Engagement(3.0)
    first, second = claims(engagement, A), claims(engagement, B)
    for claim in (first, second):
        acknowledge(claim)
    engagement.proved(first)
    with pytest.raises(SlaveSlaveAlreadyConnected):
        engagement.proved(second)
    with pytest.raises(SlaveSlaveAlreadyConnected):
        engagement.connect(C, None, LEASE, 1.0)
    engagement.drop(second, None)
    assert engagement.asking is first
    engagement.drop(first, NO)
    assert connect(engagement, C) is ASK


def full(engagement: Engagement, now: float, address: Callable[[int], str] = str) -> list[Claim]:
    return [claims(engagement, f"{number:043}", now, address(number)) for number in range(MOST_CLAIMS)]


def test_where_there_are_as_many_claims_as_there_may_be_the_oldest_that_had_its_chance_gives_way() -> None:
    engagement = Engagement(3.0)
    made = full(engagement, 0.0)
    acknowledge(made[0])
    newest = claims(engagement, A, CHANCE_SECONDS, chance=0.9)
    assert newest.displaced is made[1]
    assert (made[1].given_way, made[2].given_way) == (True, False)
    assert engagement.claims == [made[0], *made[2:], newest]
    assert connect(engagement, made[1].token) is ASK, "it may come again"


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999999])
def test_where_none_has_had_its_chance_any_gives_way_but_one_that_is_proved(chance: float) -> None:
    engagement = Engagement(3.0)
    made = full(engagement, 0.0)
    for claim in made[:-3]:
        acknowledge(claim)
    newest = claims(engagement, A, CHANCE_SECONDS - 0.1, chance=chance)
    assert newest.displaced is made[-3:][int(chance * 3)]
    assert len(engagement.claims) == MOST_CLAIMS


def test_where_all_are_proved_none_gives_way() -> None:
    engagement = Engagement(3.0)
    for claim in full(engagement, 0.0):
        acknowledge(claim)
    with pytest.raises(SlaveSlaveAlreadyConnected):
        engagement.connect(A, None, LEASE, 5.0)
    engagement.drop(engagement.claims[3], None)
    assert claims(engagement, A).displaced is None


@pytest.mark.parametrize("now", [0.5, 5.0])
def test_who_names_one_address_again_and_again_displaces_nobody_else(now: float) -> None:
    engagement = Engagement(3.0)
    master = claims(engagement, B, address="master:1")
    other = claims(engagement, C, address="other:1")
    for number in range(1000):
        claims(engagement, f"{number:043}", now, address="silent:1", chance=number / 1000)
    assert engagement.claims[:2] == [master, other]
    acknowledge(master)
    engagement.proved(master)


def test_a_claim_that_gave_way_changes_nothing_any_more() -> None:
    engagement = Engagement(3.0)
    made = full(engagement, 0.0)
    claims(engagement, A, 2.0)
    assert made[0].given_way
    acknowledge(made[0])
    engagement.drop(made[0], NO)
    with pytest.raises(SlaveSlaveAlreadyConnected):
        engagement.proved(made[0])
    assert engagement.asking is None
    assert connect(engagement, made[0].token) is ASK


def test_a_claim_has_ten_seconds_whatever_lease_it_brings() -> None:
    claim = claims(Engagement(3.0), A, now=5.0)
    assert not claim.lease.expired(14.9)
    assert claim.lease.expired(15.0)


def test_the_lease_of_a_session_counts_from_its_opening_and_goes_on_counting_beats() -> None:
    engagement = Engagement(3.0)
    claim = claims(engagement, A)
    acknowledge(claim, 0.5)
    engagement.proved(claim)
    assert not claim.lease.expired(20.0), "the user is being asked"
    engagement.opened(YES, now=20.0)
    assert engagement.lease is claim.lease
    assert (engagement.lease.expires_at, engagement.lease.beat(21.0)) == (30.0, 2)
    assert engagement.certain


def test_what_came_to_nothing_before_the_user_was_asked_may_come_again_and_what_was_refused_may_not() -> None:
    engagement = Engagement(3.0)
    engagement.drop(claims(engagement, A), None)
    engagement.drop(claims(engagement, A), NO)
    assert connect(engagement, A) is REPEAT
    engagement.drop(Claim(B, LEASE, 3.0, 0.0), NO)
    assert connect(engagement, B) is ASK, "that was no claim of this slave's"


def test_a_claim_that_nobody_waits_for_is_forsaken_at_once_and_a_moment_later_once_it_is_proved() -> None:
    claim = claims(Engagement(3.0), A)
    assert not claim.forsaken(1.0)
    claim.hung_up(1.0)
    assert claim.forsaken(1.0)
    acknowledge(claim)
    assert not claim.forsaken(1.0 + RETURN_SECONDS - 0.1), "its master may call again"
    assert claim.forsaken_at == 1.0 + RETURN_SECONDS
    assert claim.forsaken(1.0 + RETURN_SECONDS)
    claim.cut_off = True
    assert claim.forsaken(1.0), "it can't be reached"
    claim.called()
    assert not claim.forsaken(100.0), "it is there"
    claim.called()
    claim.hung_up(5.0)
    assert not claim.forsaken(100.0), "one of its calls is"


def test_a_claim_is_no_hindrance_to_the_master_that_resumes() -> None:
    engagement = Engagement(3.0)
    over(engagement)
    stranger = claims(engagement, B)
    assert connect(engagement, C, A) is RESUME
    engagement.resumed(C, YES, LEASE, now=11.0)
    assert not engagement.certain
    acknowledge(stranger)
    with pytest.raises(SlaveSlaveAlreadyConnected):
        engagement.proved(stranger)
    assert engagement.owns(C)


def test_a_slave_that_drains_asks_about_nobody_who_has_proved_himself_meanwhile() -> None:
    engagement = Engagement(3.0)
    claim = claims(engagement, A)
    acknowledge(claim)
    engagement.draining = True
    with pytest.raises(SlaveSystemShuttingDown):
        engagement.proved(claim)


def test_what_an_acknowledgement_says_of_the_lease_counts_more_than_what_was_granted() -> None:
    engagement = Engagement(3.0)
    claim = claims(engagement, A)
    claim.lease.acknowledged(claim.lease.beat(0.0), 4.0)
    engagement.proved(claim)
    engagement.opened(YES, now=20.0)
    assert claim.lease.expires_at == 24.0


@pytest.mark.parametrize(("granted", "latest"), [(0.6, 0.2), (10.0, 3.31), (86400.0, 3.31)])
def test_beats_go_to_a_claims_address_as_often_as_in_the_session_that_it_asks_for(
    granted: float, latest: float
) -> None:
    engagement = Engagement(3.0)
    engagement.connect(A, None, granted, 0.0)
    lease = engagement.claims[0].lease
    assert lease.pause(1.0) < latest
    acknowledge(engagement.claims[0])
    engagement.proved(engagement.claims[0])
    assert lease.pause(1.0) < latest
