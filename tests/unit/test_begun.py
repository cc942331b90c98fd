"""What had begun at a slave that has died: what it writes down meanwhile, as another process reads it."""

from __future__ import annotations

import mmap
from uuid import uuid4

import pytest

from interaction.core.admission import Ticket
from interaction.core.begun import CELL, HEAD, Begun, number, read, size_for
from interaction.core.model import ConnectAnswer, TaskOffer
from interaction.core.outbox import Outbox
from interaction.core.tenancy import Tenancy, Turn
from tests.unit.claims import connect

TOKEN = "a" * 43


def ticket(task_id: str = "") -> Ticket:
    return Ticket(TaskOffer(task_id or str(uuid4()), {}, b""), TOKEN)


def memory_for(capacity: int) -> mmap.mmap:
    return mmap.mmap(-1, size_for(capacity))


@pytest.fixture
def memory() -> mmap.mmap:
    return memory_for(4)


def began(begun: Begun, *tickets: Ticket) -> list[str]:
    for one in tickets:
        begun.reserve(one)
        begun.begins(one)
    return [one.offer.task_id for one in tickets]


def test_what_begins_stands_there_and_what_only_waits_does_not(memory: mmap.mmap) -> None:
    begun = Begun(memory, ())
    assert read(memory) == (0, [])
    waiting = ticket()
    begun.reserve(waiting)
    assert read(memory) == (0, [])
    ids = began(begun, ticket(), ticket())
    session, told = read(memory)
    assert (session, sorted(told or ())) == (0, sorted(ids))
    begun.begins(waiting)
    begun.begins(waiting)
    assert sorted(read(memory)[1] or ()) == sorted([*ids, waiting.offer.task_id])


@pytest.mark.parametrize("session", [1, 255, 256, 2**40])
def test_it_says_which_session_it_is_about(memory: mmap.mmap, session: int) -> None:
    number(memory, session)
    assert read(memory) == (session, [])


def test_a_cell_is_another_tasks_only_when_the_result_is_acknowledged(memory: mmap.mmap) -> None:
    """Eight cells: of any number of tasks, those whose end the master may not know are told at every moment."""
    results: set[str] = set()
    begun = Begun(memory, results)
    running, unheard = ticket(), ticket()
    lasting = began(begun, running, unheard)
    unheard.ended = True
    results.add(unheard.offer.task_id)
    for _ in range(100):
        quick = ticket()
        (task_id,) = began(begun, quick)
        assert {*lasting, task_id} <= {*(read(memory)[1] or ())}
        quick.ended = True


def test_a_task_without_a_cell_means_that_nothing_is_known(memory: mmap.mmap) -> None:
    begun = Begun(memory, ())
    running = [ticket() for _ in range(9)]
    for one in running:
        begun.reserve(one)
    for one in running[:8]:
        begun.begins(one)
    assert len(read(memory)[1] or ()) == 8
    begun.begins(running[8])
    assert read(memory)[1] is None
    for one in running:
        one.ended = True
    began(begun, ticket())
    assert read(memory)[1] is None, "it may have begun, for ever"


def test_a_task_whose_cell_became_anothers_takes_nothing_from_that(memory: mmap.mmap) -> None:
    begun = Begun(memory, ())
    given_up = ticket()
    begun.reserve(given_up)
    given_up.ended = True
    others = [ticket() for _ in range(8)]
    told = began(begun, *others)
    assert given_up.cell in {one.cell for one in others}
    begun.begins(given_up)
    assert read(memory)[1] is None
    assert {bytes(memory[at : at + CELL]).decode() for at in range(HEAD, len(memory), CELL)} == {*told}


@pytest.mark.parametrize("before", [bytes(CELL), str(uuid4()).encode()], ids=["fresh", "used"])
def test_an_id_that_was_half_written_hides_no_other(before: bytes) -> None:
    """Whoever is killed in the middle of it has not begun that task; and what stood there was over."""
    for written in range(CELL + 1):
        memory = memory_for(4)
        (known,) = began(Begun(memory, ()), ticket())
        memory[HEAD : HEAD + CELL] = str(uuid4()).encode()[:written] + before[written:]
        assert known in (read(memory)[1] or ())


# A slave's tasks.


@pytest.fixture
def tenancy(memory: mmap.mmap) -> Tenancy[str]:
    tenancy = Tenancy("i" * 32, 3.0, Outbox[str](1, 1.0, capacity=2), slots=1, backlog=1)
    connect(tenancy.engagement, TOKEN, None)
    tenancy.opened(ConnectAnswer("i" * 32), 0.0)
    lease = tenancy.engagement.lease
    assert lease is not None
    lease.acknowledged(lease.beat(0.0))
    assert not tenancy.is_witnessed
    tenancy.witnessed(memory)
    assert tenancy.is_witnessed
    return tenancy


def taken(tenancy: Tenancy[str]) -> Ticket:
    one, fresh = tenancy.offer(TOKEN, TaskOffer(str(uuid4()), {}, b""))
    assert fresh
    tenancy.accepted(one, {}, 0.0)
    return one


def test_a_task_has_begun_when_its_turn_has_come(tenancy: Tenancy[str], memory: mmap.mmap) -> None:
    first, second = taken(tenancy), taken(tenancy)
    assert read(memory)[1] == []
    assert tenancy.turn(first, 1.0) is Turn.BEGIN
    assert read(memory)[1] == [first.offer.task_id]
    assert tenancy.drain() == [second]
    assert tenancy.turn(second, 1.0) is Turn.DROP
    assert read(memory)[1] == [first.offer.task_id]


def test_a_task_that_the_user_is_asked_about_has_begun(tenancy: Tenancy[str], memory: mmap.mmap) -> None:
    one, _ = tenancy.offer(TOKEN, TaskOffer(str(uuid4()), {}, b""))
    tenancy.asks(one)
    assert read(memory)[1] == [one.offer.task_id]


def test_a_result_that_waits_for_its_acknowledgement_is_told_of(tenancy: Tenancy[str], memory: mmap.mmap) -> None:
    unheard = taken(tenancy)
    tenancy.turn(unheard, 1.0)
    tenancy.finished(unheard, "report", 1.0)
    for _ in range(50):
        one = taken(tenancy)
        assert tenancy.turn(one, 1.0) is Turn.BEGIN
        assert {unheard.offer.task_id, one.offer.task_id} <= {*(read(memory)[1] or ())}
        tenancy.finished(one, "report", 1.0)
        tenancy.outbox.acknowledged(one.offer.task_id)


def test_without_a_witness_nothing_is_written_down() -> None:
    tenancy = Tenancy("i" * 32, 3.0, Outbox[str](1, 1.0), slots=1)
    connect(tenancy.engagement, TOKEN, None)
    tenancy.opened(ConnectAnswer("i" * 32), 0.0)
    one = taken(tenancy)
    tenancy.asks(one)
    assert one.cell == 0
