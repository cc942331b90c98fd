"""What one event means for a slave's session, tasks and results together."""

from __future__ import annotations

from threading import Thread

import pytest

from interaction.core.model import ConnectAnswer, HeldTask, TaskOffer
from interaction.core.outbox import Outbox
from interaction.core.tenancy import Tenancy, Turn
from interaction.exception import SlaveMasterTokenInvalid, SlaveSystemShuttingDown
from tests.unit.claims import connect

FIRST, SECOND = "a" * 43, "b" * 43
ANSWER = ConnectAnswer("i" * 32)


def offer(name: str) -> TaskOffer:
    return TaskOffer(name, {}, name.encode())


@pytest.fixture
def tenancy() -> Tenancy[str]:
    tenancy = Tenancy("i" * 32, 3.0, Outbox[str](1, 1.0), slots=3)
    connect(tenancy.engagement, FIRST, None)
    tenancy.opened(ANSWER, 0.0)
    return tenancy


def resume(tenancy: Tenancy[str]) -> None:
    connect(tenancy.engagement, SECOND, FIRST)
    tenancy.resumed(SECOND, ANSWER, 10.0, 1.0)


def test_a_resumed_session_goes_on_with_its_tasks_and_results(tenancy: Tenancy[str]) -> None:
    running, ended = (tenancy.offer(FIRST, offer(name))[0] for name in ("running", "ended"))
    for ticket in (running, ended):
        tenancy.accepted(ticket, {}, now=0.0)
    assert tenancy.finished(ended, "report", 0.5)
    assert tenancy.held() == [HeldTask("running", ended=False), HeldTask("ended", ended=True)]
    resume(tenancy)
    assert tenancy.held() == [HeldTask("running", ended=False), HeldTask("ended", ended=True)]
    assert tenancy.finished(running, "report", 2.0)
    assert [entry.task_id for entry in tenancy.outbox.take_due(SECOND, 2.0)] == ["ended", "running"]


def test_a_task_that_the_user_is_asked_about_is_not_held_and_is_not_taken_after_a_resume(tenancy: Tenancy[str]) -> None:
    """Found by the simulation (seed 37806): a refusal would reach nobody, and the task would never end."""
    asked, _ = tenancy.offer(FIRST, offer("asked"))
    assert tenancy.held() == []
    resume(tenancy)
    assert tenancy.held() == []
    with pytest.raises(SlaveMasterTokenInvalid):
        tenancy.accepted(asked, {}, now=0.0)
    assert not tenancy.admission.busy
    again, fresh = tenancy.offer(SECOND, offer("asked"))
    assert fresh, "handed over again in the session that goes on, it is new"
    tenancy.accepted(again, {}, now=0.0)
    assert tenancy.held() == [HeldTask("asked", ended=False)]


def test_a_task_that_waits_for_a_slot_is_not_begun_after_the_end_of_its_session(tenancy: Tenancy[str]) -> None:
    """Found by the simulation: its owner knows it as lost, and may have it done elsewhere."""
    ticket, _ = tenancy.offer(FIRST, offer("waiting"))
    tenancy.accepted(ticket, {}, now=0.0)
    tenancy.disconnect(FIRST)
    assert tenancy.turn(ticket, 1.0) is Turn.BEGIN, "the user may refuse"
    tenancy.closed(FIRST, {})
    assert tenancy.turn(ticket, 1.0) is Turn.DROP
    assert not tenancy.handed_back(ticket, "returned", 1.0)
    assert not tenancy.admission.busy


def test_a_task_that_waits_for_a_slot_waits_for_its_master_when_the_lease_is_over(tenancy: Tenancy[str]) -> None:
    ticket, _ = tenancy.offer(FIRST, offer("waiting"))
    tenancy.accepted(ticket, {}, now=0.0)
    assert tenancy.turn(ticket, 10.5) is Turn.WAIT, "nobody has noticed yet"
    assert tenancy.engagement.lease_over(10.5)
    assert tenancy.turn(ticket, 10.5) is Turn.WAIT
    assert tenancy.held() == [HeldTask("waiting", ended=False)]
    assert tenancy.drained, "it is not known whether its master comes back"
    connect(tenancy.engagement, SECOND, FIRST)
    tenancy.resumed(SECOND, ANSWER, 10.0, 12.0)
    assert tenancy.turn(ticket, 12.5) is Turn.WAIT, "the call may have come when its master had given up (seed 13567)"
    lease = tenancy.engagement.lease
    assert lease is not None
    lease.acknowledged(lease.beat(12.6))
    assert tenancy.turn(ticket, 13.0) is Turn.BEGIN
    assert tenancy.engagement.lease_over(30.0)
    assert not tenancy.drained, "it runs"


def test_a_task_that_waits_for_its_master_is_dropped_when_another_one_comes(tenancy: Tenancy[str]) -> None:
    ticket, _ = tenancy.offer(FIRST, offer("waiting"))
    tenancy.accepted(ticket, {}, now=0.0)
    assert tenancy.engagement.lease_over(10.5)
    connect(tenancy.engagement, SECOND, None)
    tenancy.opened(ANSWER, 12.0)
    assert tenancy.turn(ticket, 12.5) is Turn.DROP


def test_what_has_not_begun_is_handed_back_when_the_slave_drains(tenancy: Tenancy[str]) -> None:
    running, waiting, asked = (tenancy.offer(FIRST, offer(name))[0] for name in ("running", "waiting", "asked"))
    for ticket in (running, waiting):
        tenancy.accepted(ticket, {}, now=0.0)
    assert tenancy.turn(running, 0.5) is Turn.BEGIN
    assert tenancy.drain() == [waiting]
    assert tenancy.drain() == [waiting], "until it is handed back: that may have failed half-way"
    assert tenancy.turn(waiting, 0.6) is Turn.DROP, "its slot is free before it is told"
    assert tenancy.handed_back(waiting, "returned", 0.6)
    assert tenancy.handed_back(waiting, "returned", 0.7), "told again, and counted once"
    assert tenancy.drain() == [], "once"
    assert tenancy.turn(waiting, 20.0) is Turn.DROP, "also when the lease is over"
    assert tenancy.held() == [HeldTask("running", ended=False), HeldTask("waiting", ended=True)]
    with pytest.raises(SlaveSystemShuttingDown):
        tenancy.accepted(asked, {}, now=0.7)
    assert tenancy.finished(running, "report", 0.8)
    assert [(entry.task_id, entry.item) for entry in tenancy.outbox.take_due(FIRST, 1.0)] == [
        ("waiting", "returned"),
        ("running", "report"),
    ]
    assert not tenancy.drained, "not acknowledged"
    for name in ("waiting", "running"):
        tenancy.outbox.acknowledged(name)
    assert tenancy.drained


def test_a_task_is_begun_or_handed_back_and_never_both(tenancy: Tenancy[str]) -> None:
    """A thread begins it, and the loop drains."""
    for number in range(300):
        ticket = tenancy.admission.offer(offer(str(number)), FIRST)[0]
        tenancy.admission.accepted(ticket, {}, 0.0)
        begun: list[Turn] = []
        thread = Thread(target=lambda ticket=ticket, begun=begun: begun.append(tenancy.turn(ticket, 1.0)))
        thread.start()
        returned = tenancy.admission.unbegun(FIRST)
        thread.join()
        assert (begun == [Turn.BEGIN]) is (returned == [])
        tenancy.admission.ended(ticket)


def test_a_slave_without_a_session_has_nothing_to_hand_back(tenancy: Tenancy[str]) -> None:
    ticket, _ = tenancy.offer(FIRST, offer("waiting"))
    tenancy.accepted(ticket, {}, now=0.0)
    tenancy.closed(FIRST, {})
    assert tenancy.drain() == []


def test_nothing_is_asked_or_begun_of_a_resumed_session_until_its_new_address_has_answered(
    tenancy: Tenancy[str],
) -> None:
    waiting, _ = tenancy.offer(FIRST, offer("waiting"))
    tenancy.accepted(waiting, {}, now=0.0)
    resume(tenancy)
    asked, _ = tenancy.offer(SECOND, offer("asked"))
    assert (tenancy.turn(waiting, 1.5), tenancy.may_ask(asked)) == (Turn.WAIT, False)
    lease = tenancy.engagement.lease
    assert lease is not None
    lease.acknowledged(lease.beat(1.5))
    assert (tenancy.turn(waiting, 2.0), tenancy.may_ask(asked)) == (Turn.BEGIN, True)
