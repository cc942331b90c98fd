"""What one event means for a slave's session, tasks and results together."""

from __future__ import annotations

import pytest

from interaction.core.model import ConnectAnswer, HeldTask, TaskOffer
from interaction.core.outbox import Outbox
from interaction.core.tenancy import Tenancy
from interaction.exception import SlaveMasterTokenInvalid

FIRST, SECOND = "a" * 43, "b" * 43
ANSWER = ConnectAnswer("i" * 32)


def offer(name: str) -> TaskOffer:
    return TaskOffer(name, {}, name.encode())


@pytest.fixture
def tenancy() -> Tenancy[str]:
    tenancy = Tenancy("i" * 32, 3.0, Outbox[str](1, 1.0), slots=3)
    tenancy.engagement.connect(FIRST, None)
    tenancy.opened(ANSWER, 10.0, 0.0)
    return tenancy


def resume(tenancy: Tenancy[str]) -> None:
    tenancy.engagement.connect(SECOND, FIRST)
    tenancy.resumed(SECOND, ANSWER, 10.0, 1.0)


def test_a_resumed_session_goes_on_with_its_tasks_and_results(tenancy: Tenancy[str]) -> None:
    running, ended = (tenancy.offer(FIRST, offer(name))[0] for name in ("running", "ended"))
    for ticket in (running, ended):
        tenancy.accepted(ticket, {})
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
        tenancy.accepted(asked, {})
    assert not tenancy.admission.busy
    again, fresh = tenancy.offer(SECOND, offer("asked"))
    assert fresh, "handed over again in the session that goes on, it is new"
    tenancy.accepted(again, {})
    assert tenancy.held() == [HeldTask("asked", ended=False)]
