"""A session at its slave, under any interleaving of its masters, its user and time."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from interaction.core.engagement import Engagement, EngagementState, Verdict
from interaction.core.model import ConnectAnswer
from interaction.exception import (
    SlaveMasterTokenInvalid,
    SlaveResponseException,
    SlaveSlaveConnectionRefused,
    SlaveSlaveNotConnected,
)
from tests.unit.claims import connect, refuse

LEASE = 10.0
YES, NO = ConnectAnswer("f" * 32), SlaveSlaveConnectionRefused("no")
ASK, REPEAT, RESUME = Verdict.ASK, Verdict.REPEAT, Verdict.RESUME

ALL_TOKENS = [letter * 43 for letter in "ABCDEF"]
tokens = st.sampled_from(ALL_TOKENS)


class SeveralMasters(RuleBasedStateMachine):
    """Masters connect, resume and disconnect with old and new tokens, in any interleaving."""

    def __init__(self) -> None:
        super().__init__()
        self.engagement = Engagement(3.0)
        self.now = 0.0
        self.session = ""  # the open session's token
        self.lapsed = ""  # that of a session whose lease ran out: it may be resumed until another is opened
        self.asked = ""  # that of the Connect that the user is being asked about
        self.refused: set[str] = set()
        self.ended: set[str] = set()

    def end(self, token: str) -> None:
        self.ended.add(token)
        self.session = "" if self.session == token else self.session
        self.lapsed = "" if self.lapsed == token else self.lapsed

    def where(self) -> tuple[EngagementState, str]:
        return self.engagement.state, self.engagement.token

    @rule(token=tokens, previous=st.none() | tokens)
    def connect(self, token: str, previous: str | None) -> None:
        before = self.where()
        try:
            verdict = connect(self.engagement, token, previous)
        except SlaveResponseException:
            assert self.where() == before
            return
        assert token not in self.ended, "an ended token opened something"
        if verdict is RESUME:
            assert previous
            assert previous in (self.session, self.lapsed)
            self.engagement.resumed(token, YES, LEASE, self.now)
            self.end(previous)
            self.session = token
        elif verdict is ASK:
            assert not self.session
            assert not self.asked
            self.asked = token
        else:
            assert token in (self.asked, self.session) or token in self.refused
            assert self.where() == before

    @precondition(lambda self: self.asked)
    @rule(takes=st.booleans())
    def user_answers_connect(self, takes: bool) -> None:
        if takes:
            self.engagement.opened(YES, self.now)
            if self.lapsed:
                self.end(self.lapsed)
            self.session = self.asked
        else:
            refuse(self.engagement, NO)
            self.refused.add(self.asked)
        self.asked = ""

    @rule(token=tokens)
    def disconnect(self, token: str) -> None:
        before = self.where()
        try:
            verdict = self.engagement.disconnect(token)
        except SlaveResponseException:
            assert self.where() == before
            return
        if verdict is not REPEAT:
            assert token == self.session
        elif token == self.lapsed:
            self.end(token)
        else:
            assert token != self.session
            assert self.where() == before

    @precondition(lambda self: self.engagement.state is EngagementState.CLOSING)
    @rule(agrees=st.booleans())
    def user_answers_disconnect(self, agrees: bool) -> None:
        if agrees:
            self.engagement.closed(self.session, {})
            self.end(self.session)
        else:
            self.engagement.stays(self.session)

    @precondition(lambda self: self.session)
    @rule()
    def master_ends_it(self) -> None:
        self.engagement.end()
        self.end(self.session)

    @rule(seconds=st.floats(0, 15))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        if self.engagement.lease_over(self.now):
            assert self.session
            self.session, self.lapsed = "", self.session

    @invariant()
    def one_session_at_most_is_open_and_none_that_ended(self) -> None:
        assert [token for token in ALL_TOKENS if self.engagement.owns(token)] == [self.session] * bool(self.session)
        assert self.engagement.open is bool(self.session)
        for token in self.ended:
            with pytest.raises((SlaveSlaveNotConnected, SlaveMasterTokenInvalid)):
                self.engagement.check(token)


TestSeveralMasters = SeveralMasters.TestCase
TestSeveralMasters.settings = settings(max_examples=100, stateful_step_count=40)
