"""A session that fails half-way: one that was to open leaves the slave free, one that was to resume is resumable."""

from __future__ import annotations

import pytest

from interaction.core.admission import Ticket
from interaction.core.engagement import Engagement, EngagementState, Verdict
from interaction.core.model import ConnectAnswer, HeldTask, TaskOffer
from interaction.core.outbox import Outbox
from interaction.core.tenancy import Tenancy, Turn
from interaction.exception import (
    SlaveMasterTokenInvalid,
    SlaveSlaveAlreadyConnected,
    SlaveSlaveConnectionRefused,
    SlaveSlaveNotConnected,
)
from tests.unit.claims import connect, refuse

A, B, C = ("A" * 43, "B" * 43, "C" * 43)
ANSWER = ConnectAnswer("i" * 32)
BROKEN, NO = SlaveSlaveConnectionRefused("the slave itself has failed"), SlaveSlaveConnectionRefused("no")


@pytest.fixture
def tenancy() -> Tenancy[str]:
    return Tenancy("i" * 32, 3.0, Outbox[str](1, 1.0), slots=3)


@pytest.fixture
def opened(tenancy: Tenancy[str]) -> Tenancy[str]:
    connect(tenancy.engagement, A, None)
    tenancy.opened(ANSWER, 0.0)
    return tenancy


def is_refused(engagement: Engagement, token: str, error: SlaveSlaveConnectionRefused) -> bool:
    assert connect(engagement, token, None) is Verdict.REPEAT
    with pytest.raises(SlaveSlaveConnectionRefused) as refused:
        engagement.answer_to(token)
    return refused.value is error


def taken(tenancy: Tenancy[str], name: str, session: str = A) -> Ticket:
    ticket, _ = tenancy.offer(session, TaskOffer(name, {}, name.encode()))
    tenancy.accepted(ticket, {}, 0.0)
    return ticket


# A session that was to be opened.


def test_a_connect_that_fails_before_the_user_has_answered_leaves_the_slave_free(tenancy: Tenancy[str]) -> None:
    assert connect(tenancy.engagement, A, None) is Verdict.ASK
    tenancy.not_opened(A, BROKEN)
    assert tenancy.engagement.state is EngagementState.FREE
    assert is_refused(tenancy.engagement, A, BROKEN)
    assert connect(tenancy.engagement, B, None) is Verdict.ASK


def test_a_connect_that_fails_after_the_session_was_opened_ends_it(opened: Tenancy[str]) -> None:
    opened.not_opened(A, BROKEN)
    assert (opened.engagement.state, opened.engagement.lease) == (EngagementState.FREE, None)
    with pytest.raises(SlaveSlaveNotConnected):
        opened.offer(A, TaskOffer("late", {}, b"late"))
    assert is_refused(opened.engagement, A, BROKEN)
    assert connect(opened.engagement, B, None) is Verdict.ASK


def test_what_is_said_twice_of_a_connect_that_failed_is_said_once(opened: Tenancy[str]) -> None:
    opened.not_opened(A, BROKEN)
    opened.not_opened(A, SlaveSlaveConnectionRefused("another"))
    assert is_refused(opened.engagement, A, BROKEN)


def test_a_connect_that_fails_after_the_users_refusal_stays_refused_with_his_words(tenancy: Tenancy[str]) -> None:
    connect(tenancy.engagement, A, None)
    refuse(tenancy.engagement, NO)
    tenancy.not_opened(A, BROKEN)
    assert is_refused(tenancy.engagement, A, NO)


def test_a_connect_that_fails_leaves_the_session_alone_that_has_come_meanwhile(opened: Tenancy[str]) -> None:
    opened.not_opened(B, BROKEN)
    assert opened.engagement.owns(A)
    assert connect(opened.engagement, A, None) is Verdict.REPEAT
    assert opened.engagement.answer_to(A) is ANSWER


def test_a_connect_that_fails_leaves_the_question_alone_that_is_about_another(tenancy: Tenancy[str]) -> None:
    connect(tenancy.engagement, B, None)
    tenancy.not_opened(A, BROKEN)
    assert tenancy.engagement.asking is tenancy.engagement.claim_of(B)
    with pytest.raises(SlaveSlaveAlreadyConnected):
        connect(tenancy.engagement, C, None)


def test_a_connect_for_a_session_whose_lease_is_over_leaves_that_to_its_master_when_it_fails(
    opened: Tenancy[str],
) -> None:
    assert opened.engagement.lease_over(10.0)
    assert connect(opened.engagement, B, None) is Verdict.ASK
    opened.not_opened(B, BROKEN)
    assert connect(opened.engagement, C, A) is Verdict.RESUME


# A session that was to be resumed.


@pytest.mark.parametrize("how_far", ["not begun", "resumed"])
@pytest.mark.parametrize("again", [B, C], ids=["the same token", "another token"])
def test_a_resume_that_fails_may_be_tried_again_and_finds_all_that_was_there(
    opened: Tenancy[str], how_far: str, again: str
) -> None:
    running, ended = taken(opened, "running"), taken(opened, "ended")
    assert opened.finished(ended, "report", 0.5)
    assert connect(opened.engagement, B, A) is Verdict.RESUME
    if how_far == "resumed":
        opened.resumed(B, ANSWER, 10.0, 1.0)
    opened.not_resumed(B, A, 1.5)
    assert (opened.engagement.state, opened.engagement.token) == (EngagementState.OVER, A)
    assert opened.held() == [HeldTask("running", ended=False), HeldTask("ended", ended=True)]
    assert connect(opened.engagement, again, A) is Verdict.RESUME
    opened.resumed(again, ANSWER, 10.0, 2.0)
    assert opened.held() == [HeldTask("running", ended=False), HeldTask("ended", ended=True)]
    assert opened.finished(running, "report", 2.5)
    assert [entry.task_id for entry in opened.outbox.take_due(again, 2.5)] == ["ended", "running"]


def test_nothing_begins_and_nobody_is_admitted_while_a_resume_has_failed(opened: Tenancy[str]) -> None:
    waits = taken(opened, "waits")
    connect(opened.engagement, B, A)
    opened.resumed(B, ANSWER, 10.0, 1.0)
    opened.not_resumed(B, A, 1.5)
    assert opened.turn(waits, 2.0) is Turn.WAIT
    for token in (A, B):
        with pytest.raises(SlaveSlaveNotConnected):
            opened.engagement.check(token)
    with pytest.raises(SlaveMasterTokenInvalid):
        connect(opened.engagement, A, None)


def test_a_failed_resume_may_be_taken_back_twice(opened: Tenancy[str]) -> None:
    connect(opened.engagement, B, A)
    opened.resumed(B, ANSWER, 10.0, 1.0)
    for _ in range(2):
        opened.not_resumed(B, A, 1.5)
    assert connect(opened.engagement, C, A) is Verdict.RESUME


def test_a_failed_resume_changes_nothing_of_the_session_that_has_come_meanwhile(opened: Tenancy[str]) -> None:
    connect(opened.engagement, B, A)
    opened.resumed(B, ANSWER, 10.0, 1.0)
    connect(opened.engagement, C, B)
    opened.resumed(C, ANSWER, 10.0, 2.0)
    running = taken(opened, "running", C)
    opened.not_resumed(B, A, 2.5)
    assert opened.engagement.owns(C)
    assert opened.held() == [HeldTask("running", ended=False)]
    assert opened.finished(running, "report", 3.0)


def test_a_resume_that_fails_after_the_master_has_disconnected_brings_nothing_back(opened: Tenancy[str]) -> None:
    connect(opened.engagement, B, A)
    opened.resumed(B, ANSWER, 10.0, 1.0)
    assert opened.disconnect(B) is Verdict.ASK
    assert opened.closed(B, {})
    opened.not_resumed(B, A, 1.5)
    assert opened.engagement.state is EngagementState.FREE
    assert connect(opened.engagement, C, A) is Verdict.ASK


def test_a_failed_resume_keeps_results_as_long_as_a_lease_that_ran_out_does(opened: Tenancy[str]) -> None:
    assert opened.finished(taken(opened, "ended"), "report", 0.5)
    connect(opened.engagement, B, A)
    opened.resumed(B, ANSWER, 10.0, 1.0)
    assert [entry.task_id for entry in opened.outbox.take_due(B, 1.0)] == ["ended"]  # it was on its way
    opened.not_resumed(B, A, 100.0)
    assert opened.outbox.expire(699.0) == []
    assert opened.outbox.expire(701.0) == ["ended"]
