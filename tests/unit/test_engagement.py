"""A session at its slave: who may open, resume and end it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from interaction.core.engagement import Engagement, EngagementState, Verdict
from interaction.core.model import Body, ConnectAnswer
from interaction.exception import (
    SlaveMasterTokenInvalid,
    SlaveResponseException,
    SlaveSlaveAlreadyConnected,
    SlaveSlaveConnectionRefused,
    SlaveSlaveNotConnected,
)
from tests.unit.claims import connect, refuse

LEASE = 10.0
A, B, C, D = ("A" * 43, "B" * 43, "C" * 43, "D" * 43)
YES, NO = ConnectAnswer("f" * 32), SlaveSlaveConnectionRefused("no")
ASK, WAIT, REPEAT, RESUME = Verdict.ASK, Verdict.WAIT, Verdict.REPEAT, Verdict.RESUME
NOT_CONNECTED, TOKEN, ALREADY = SlaveSlaveNotConnected, SlaveMasterTokenInvalid, SlaveSlaveAlreadyConnected


def opening(engagement: Engagement) -> None:
    assert connect(engagement, A, None) is ASK


def opened(engagement: Engagement) -> None:
    opening(engagement)
    engagement.opened(YES, now=0.0)


def refused(engagement: Engagement) -> None:
    opening(engagement)
    refuse(engagement, NO)


def closing(engagement: Engagement) -> None:
    opened(engagement)
    assert engagement.disconnect(A) is ASK


def ended(engagement: Engagement) -> None:
    closing(engagement)
    engagement.closed(A, {"bye": 1})


def over(engagement: Engagement) -> None:
    opened(engagement)
    assert engagement.lease_over(LEASE)


def new(_: Engagement) -> None:
    pass


CALLS: dict[str, Callable[[Engagement], Verdict | None]] = {
    "connect A": lambda engagement: connect(engagement, A, None),
    "connect B": lambda engagement: connect(engagement, B, None),
    "connect B, previous A": lambda engagement: connect(engagement, B, A),
    "connect B, previous C": lambda engagement: connect(engagement, B, C),
    "disconnect A": lambda engagement: engagement.disconnect(A),
    "disconnect B": lambda engagement: engagement.disconnect(B),
    "task of A": lambda engagement: engagement.check(A),
    "task of B": lambda engagement: engagement.check(B),
}
Answer = Verdict | type[SlaveResponseException] | None
# The session that each state is about is A's. The answers stand in the order of the calls above.
TABLE: dict[Callable[[Engagement], None], list[Answer]] = {
    new: [ASK, ASK, ASK, ASK, NOT_CONNECTED, NOT_CONNECTED, NOT_CONNECTED, NOT_CONNECTED],
    opening: [WAIT, ALREADY, ALREADY, ALREADY, NOT_CONNECTED, NOT_CONNECTED, NOT_CONNECTED, NOT_CONNECTED],
    refused: [REPEAT, ASK, ASK, ASK, NOT_CONNECTED, NOT_CONNECTED, NOT_CONNECTED, NOT_CONNECTED],
    opened: [REPEAT, ALREADY, RESUME, ALREADY, ASK, TOKEN, None, TOKEN],
    closing: [REPEAT, ALREADY, RESUME, ALREADY, WAIT, TOKEN, None, TOKEN],
    ended: [TOKEN, ASK, ASK, ASK, REPEAT, NOT_CONNECTED, NOT_CONNECTED, NOT_CONNECTED],
    over: [TOKEN, ASK, RESUME, ASK, REPEAT, NOT_CONNECTED, NOT_CONNECTED, NOT_CONNECTED],
}


def answer_of(engagement: Engagement, call: str) -> Answer:
    try:
        return CALLS[call](engagement)
    except SlaveResponseException as error:
        return type(error)


@pytest.mark.parametrize("state", TABLE, ids=lambda state: state.__name__)
@pytest.mark.parametrize("call", CALLS)
def test_every_call_in_every_state(state: Callable[[Engagement], None], call: str) -> None:
    engagement = Engagement(3.0)
    state(engagement)
    assert answer_of(engagement, call) is TABLE[state][list(CALLS).index(call)]


# Connect.


def test_a_repeated_connect_gets_the_first_answer() -> None:
    engagement = Engagement(3.0)
    opened(engagement)
    assert connect(engagement, A, None) is REPEAT
    assert engagement.answer_to(A) is YES
    assert connect(engagement, A, B) is REPEAT  # "whatever else it brings"
    assert engagement.state is EngagementState.OPEN


def test_a_repeated_connect_gets_the_first_refusal() -> None:
    engagement = Engagement(3.0)
    refused(engagement)
    assert connect(engagement, A, None) is REPEAT
    with pytest.raises(SlaveSlaveConnectionRefused):
        engagement.answer_to(A)
    assert not engagement.open


def test_a_master_that_was_refused_may_ask_again_with_a_new_token() -> None:
    engagement = Engagement(3.0)
    refused(engagement)
    assert connect(engagement, B, None) is ASK
    engagement.opened(YES, now=1.0)
    assert engagement.owns(B)
    assert not engagement.owns(A)


def test_another_master_is_turned_away_without_a_trace() -> None:
    engagement = Engagement(3.0)
    opened(engagement)
    for previous in (None, C, D):
        with pytest.raises(SlaveSlaveAlreadyConnected):
            connect(engagement, B, previous)
    assert engagement.owns(A)


# Disconnect.


def test_a_repeated_disconnect_gets_the_first_answer() -> None:
    engagement = Engagement(3.0)
    ended(engagement)
    assert engagement.disconnect(A) is REPEAT
    assert engagement.farewell == {"bye": 1}


def test_a_disconnection_that_the_user_refuses_leaves_the_session() -> None:
    engagement = Engagement(3.0)
    closing(engagement)
    engagement.check(A)  # it takes tasks while the user is asked
    engagement.stays(A)
    assert engagement.state is EngagementState.OPEN
    assert engagement.disconnect(A) is ASK


@pytest.mark.parametrize("end", [opened, over], ids=["ended by the master", "lease over"])
def test_the_last_session_may_be_disconnected_however_it_ended(end: Callable[[Engagement], None]) -> None:
    engagement = Engagement(3.0)
    end(engagement)
    if engagement.open:
        engagement.end()
    assert engagement.disconnect(A) is REPEAT
    assert engagement.farewell == {}
    assert connect(engagement, B, A) is ASK  # it can't be resumed any more


def test_the_last_session_is_the_last_one_that_was_open() -> None:
    engagement = Engagement(3.0)
    ended(engagement)
    connect(engagement, B, None)
    refuse(engagement, NO)
    assert engagement.disconnect(A) is REPEAT
    assert answer_of(engagement, "disconnect B") is NOT_CONNECTED


def test_the_last_session_may_be_disconnected_while_the_next_is_decided() -> None:
    engagement = Engagement(3.0)
    ended(engagement)
    connect(engagement, B, None)
    assert engagement.disconnect(A) is REPEAT
    assert connect(engagement, B, None) is WAIT


def test_what_was_refused_was_no_session() -> None:
    engagement = Engagement(3.0)
    ended(engagement)
    for token in (B, C):
        connect(engagement, token, None)
        refuse(engagement, NO)
    assert engagement.disconnect(A) is REPEAT
    assert answer_of(engagement, "disconnect B") is NOT_CONNECTED


# Resume.


@pytest.mark.parametrize("state", [opened, closing, over], ids=lambda state: state.__name__)
def test_a_resumed_session_goes_on_under_the_new_token_alone(state: Callable[[Engagement], None]) -> None:
    engagement = Engagement(3.0)
    state(engagement)
    assert connect(engagement, B, A) is RESUME
    engagement.resumed(B, YES, LEASE, now=20.0)
    assert (engagement.state, engagement.token) == (EngagementState.OPEN, B)
    assert engagement.lease is not None
    assert engagement.lease.expires_at == 30.0
    assert answer_of(engagement, "task of A") is TOKEN
    assert answer_of(engagement, "disconnect A") is TOKEN
    assert answer_of(engagement, "connect A") is TOKEN
    assert connect(engagement, B, A) is REPEAT
    assert engagement.owns(B)


def test_a_token_resumes_once() -> None:
    engagement = Engagement(3.0)
    opened(engagement)
    connect(engagement, B, A)
    engagement.resumed(B, YES, LEASE, now=1.0)
    with pytest.raises(SlaveSlaveAlreadyConnected):
        connect(engagement, C, A)
    assert connect(engagement, C, B) is RESUME


def test_an_answer_that_comes_after_the_resume_closes_nothing() -> None:
    engagement = Engagement(3.0)
    closing(engagement)
    engagement.resumed(B, YES, LEASE, now=1.0)
    assert engagement.disconnect(B) is ASK
    engagement.stays(A)
    assert engagement.state is EngagementState.CLOSING
    assert not engagement.closed(A, {"bye": 1})
    assert engagement.owns(B)


# A Connect that is refused has opened nothing: a stranger's changes nothing (promise 6).
def test_a_connect_that_the_user_refuses_leaves_the_session_that_can_be_resumed() -> None:
    engagement = Engagement(3.0)
    over(engagement)
    connect(engagement, B, None)
    refuse(engagement, NO)
    assert connect(engagement, C, A) is RESUME


# The lease.


def test_the_lease_ends_the_session_once() -> None:
    engagement = Engagement(3.0)
    opened(engagement)
    assert not engagement.lease_over(9.9)
    assert engagement.open
    assert engagement.lease_over(10.0)
    assert not engagement.open
    assert not engagement.lease_over(11.0)


def test_the_lease_ends_the_session_also_while_the_user_is_asked_for_its_end() -> None:
    engagement = Engagement(3.0)
    closing(engagement)
    assert engagement.lease_over(10.0)
    engagement.stays(A)
    assert not engagement.open


@pytest.mark.parametrize("state", [new, opening, refused, ended, over], ids=lambda state: state.__name__)
def test_without_an_open_session_no_lease_can_end(state: Callable[[Engagement], None]) -> None:
    engagement = Engagement(3.0)
    state(engagement)
    before = engagement.state
    assert not engagement.lease_over(1e9)
    assert engagement.state is before


def test_what_a_call_says_is_read_where_it_matters_alone() -> None:
    """What anybody may have sent is read one at a time; what the session's master sends at once."""
    engagement = Engagement(1.0)
    assert engagement.body_of("Connect", "a" * 43, None) is Body.IN_TURN
    opened(engagement)
    token = engagement.token
    assert engagement.body_of("Connect", token, None) is Body.READ
    assert engagement.body_of("Connect", "b" * 43, token) is Body.READ
    for method in ("NewTask", "Work", "Disconnect"):
        assert engagement.body_of(method, token, None) is Body.READ
    for method, refusal in (
        ("Connect", SlaveSlaveAlreadyConnected),
        ("Disconnect", SlaveMasterTokenInvalid),
        ("NewTask", SlaveMasterTokenInvalid),
    ):
        with pytest.raises(refusal):
            engagement.body_of(method, "b" * 43, None)
    engagement.end()
    assert engagement.body_of("Disconnect", token, None) is Body.UNREAD
    with pytest.raises(SlaveMasterTokenInvalid):
        engagement.body_of("Connect", token, None)
