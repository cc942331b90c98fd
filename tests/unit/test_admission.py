"""Which tasks a slave takes: each id once, as many as there are places, always the same answer."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from interaction.core.admission import Admission, Ticket
from interaction.core.model import TaskOffer
from interaction.exception import (
    ResponseException,
    SlaveMasterTokenInvalid,
    SlaveSlaveNotConnected,
    SlaveTaskAlreadyExist,
    SlaveTaskDataInvalid,
    SlaveTaskRefused,
)

SESSION, SUCCESSOR = "A" * 43, "B" * 43
REFUSAL = SlaveTaskRefused("no", {"why": "busy"})


def offer(task_id: str, content: bytes = b"content") -> TaskOffer:
    return TaskOffer(task_id, {"data": content}, content)


def taken(admission: Admission, task_id: str, session: str = SESSION) -> Ticket:
    ticket, fresh = admission.offer(offer(task_id), session)
    assert fresh
    admission.accepted(ticket, {"taken": task_id}, now=0.0)
    return ticket


@pytest.mark.parametrize(("slots", "backlog"), [(1, 0), (1, 2), (3, 0), (2, 5)])
def test_there_are_as_many_places_as_slots_and_backlog(slots: int, backlog: int) -> None:
    admission = Admission(slots, backlog)
    tickets = [taken(admission, str(number)) for number in range(slots + backlog)]
    with pytest.raises(SlaveTaskAlreadyExist):
        admission.offer(offer("one more"), SESSION)
    admission.ended(tickets[0])
    taken(admission, "one more")
    with pytest.raises(SlaveTaskAlreadyExist):
        admission.offer(offer("and another"), SESSION)


def test_the_data_of_a_task_that_has_ended_are_let_go() -> None:
    """It is remembered for its duplicates; thousands of such, with arrays, would fill the memory."""
    admission = Admission()
    ticket = taken(admission, "a")
    assert ticket.offer == offer("a")
    admission.ended(ticket)
    assert ticket.offer.data == {}
    again, fresh = admission.offer(offer("a"), SESSION)
    assert (again, fresh) == (ticket, False)
    assert again.answer == {"taken": "a"}
    with pytest.raises(SlaveTaskDataInvalid):
        admission.offer(offer("a", b"other"), SESSION)


def test_a_task_has_its_place_from_the_question_on() -> None:
    admission = Admission()
    admission.offer(offer("a"), SESSION)
    with pytest.raises(SlaveTaskAlreadyExist):
        admission.offer(offer("b"), SESSION)


def test_a_refused_task_gives_its_place_back() -> None:
    admission = Admission()
    ticket, _ = admission.offer(offer("a"), SESSION)
    admission.refused(ticket, REFUSAL)
    taken(admission, "b")


def test_the_end_of_a_task_frees_one_place_however_often_it_is_told() -> None:
    admission = Admission()
    first = taken(admission, "a")
    admission.ended(first)
    taken(admission, "b")
    admission.ended(first)
    with pytest.raises(SlaveTaskAlreadyExist):
        admission.offer(offer("c"), SESSION)


def test_a_full_outbox_stops_new_tasks_and_no_repeated_ones() -> None:
    admission = Admission(slots=2)
    ticket = taken(admission, "a")
    assert admission.offer(offer("a"), SESSION, outbox_full=True) == (ticket, False)
    with pytest.raises(SlaveTaskAlreadyExist):
        admission.offer(offer("b"), SESSION, outbox_full=True)
    taken(admission, "b")


# The same id.


def test_the_user_is_asked_once_about_a_task() -> None:
    admission = Admission()
    ticket, fresh = admission.offer(offer("a"), SESSION)
    assert fresh
    assert ticket.answer is None
    assert admission.offer(offer("a"), SESSION) == (ticket, False)
    admission.accepted(ticket, {"yes": 1}, now=0.0)
    admission.ended(ticket)
    again, fresh = admission.offer(offer("a"), SESSION)
    assert (again.answer, fresh) == ({"yes": 1}, False)


def test_a_refusal_by_the_user_is_repeated() -> None:
    admission = Admission()
    ticket, _ = admission.offer(offer("a"), SESSION)
    admission.refused(ticket, REFUSAL)
    again, fresh = admission.offer(offer("a"), SESSION)
    assert again.answer is REFUSAL
    assert not fresh


# A session may end while the user is asked, and be resumed: the task that comes again must not hear of the gap.
@pytest.mark.parametrize("error", [SlaveSlaveNotConnected("gone"), SlaveMasterTokenInvalid("another's")], ids=str)
def test_an_id_that_was_answered_with_another_error_is_new(error: ResponseException) -> None:
    admission = Admission()
    ticket, _ = admission.offer(offer("a"), SESSION)
    admission.refused(ticket, error)
    again, fresh = admission.offer(offer("a"), SESSION)
    assert (again.answer, fresh) == (None, True)


def test_an_id_that_found_no_place_is_new_when_it_comes_again() -> None:
    admission = Admission()
    ticket = taken(admission, "a")
    with pytest.raises(SlaveTaskAlreadyExist):
        admission.offer(offer("b"), SESSION)
    admission.ended(ticket)
    taken(admission, "b")


@pytest.mark.parametrize("ended", [False, True], ids=["running", "ended"])
def test_an_id_with_other_data_is_refused(ended: bool) -> None:
    admission = Admission(slots=2)
    ticket = taken(admission, "a")
    if ended:
        admission.ended(ticket)
    with pytest.raises(SlaveTaskDataInvalid):
        admission.offer(offer("a", b"other"), SESSION)
    assert admission.offer(offer("a"), SESSION) == (ticket, False)


def test_the_thousand_last_ids_are_remembered_and_the_oldest_forgotten() -> None:
    admission = Admission()
    for number in range(3000):
        admission.ended(taken(admission, str(number)))
    for number in range(2000, 3000):
        assert not admission.offer(offer(str(number)), SESSION)[1]
    assert admission.offer(offer("0"), SESSION)[1]


def test_a_task_that_runs_is_never_forgotten() -> None:
    admission = Admission(slots=2)
    ticket = taken(admission, "long")
    for number in range(3000):
        admission.ended(taken(admission, str(number)))
    assert admission.offer(offer("long"), SESSION) == (ticket, False)


# Sessions.


def test_a_task_of_an_ended_session_keeps_its_place() -> None:
    admission = Admission()
    ticket = taken(admission, "a")
    admission.new_session()
    with pytest.raises(SlaveTaskAlreadyExist):
        admission.offer(offer("b"), SUCCESSOR)
    admission.ended(ticket)
    taken(admission, "b", SUCCESSOR)


def test_an_id_of_another_session_means_nothing() -> None:
    admission = Admission(slots=2)
    first = taken(admission, "a")
    admission.new_session()
    second, fresh = admission.offer(offer("a", b"other"), SUCCESSOR)
    assert fresh
    admission.accepted(second, {}, now=0.0)
    admission.ended(first)
    assert admission.running(SUCCESSOR) == ["a"]
    assert admission.offer(offer("a", b"other"), SUCCESSOR) == (second, False)


def test_a_resumed_session_inherits_its_tasks_and_their_answers() -> None:
    admission = Admission(slots=2, backlog=1)
    admission.ended(taken(admission, "done"))
    taken(admission, "running")
    admission.offer(offer("asked"), SESSION)
    admission.hand_over(SESSION, SUCCESSOR)
    assert admission.running(SESSION) == []
    assert admission.running(SUCCESSOR) == ["running"]
    for task_id, session in (("done", SUCCESSOR), ("running", SUCCESSOR), ("asked", SESSION)):
        ticket, fresh = admission.offer(offer(task_id), SUCCESSOR)
        assert (ticket.session, fresh) == (session, False)


def test_a_task_of_an_older_session_is_not_inherited() -> None:
    admission = Admission(slots=2)
    taken(admission, "old")
    admission.new_session()
    taken(admission, "new", SUCCESSOR)
    admission.hand_over(SUCCESSOR, "C" * 43)
    assert admission.running("C" * 43) == ["new"]
    assert admission.running(SESSION) == ["old"]


class AnyOffers(RuleBasedStateMachine):
    """Masters offer tasks again and again, with few ids and contents; users answer; tasks end; sessions change."""

    def __init__(self) -> None:
        super().__init__()
        self.admission = Admission()
        self.session = 0
        self.open: list[Ticket] = []  # asked about, waiting or running, of whatever session
        self.known: dict[str, Ticket] = {}  # of this session

    @initialize(slots=st.integers(1, 3), backlog=st.integers(0, 2))
    def places(self, slots: int, backlog: int) -> None:
        self.admission = Admission(slots, backlog)

    def token(self) -> str:
        return f"{self.session:043}"

    @rule(task_id=st.sampled_from("abcdef"), content=st.sampled_from([b"1", b"1", b"2"]), full=st.booleans())
    def offer(self, task_id: str, content: bytes, full: bool) -> None:
        known = self.known.get(task_id)
        try:
            ticket, fresh = self.admission.offer(offer(task_id, content), self.token(), outbox_full=full)
        except SlaveTaskDataInvalid:
            assert known is not None
            assert known.offer.digest != content
        except SlaveTaskAlreadyExist:
            assert known is None
            assert full or len(self.open) == self.admission.slots + self.admission.backlog
        else:
            assert fresh is (known is None)
            assert ticket is known or (fresh and not full)
            if fresh:
                self.known[task_id] = ticket
                self.open.append(ticket)

    @rule(data=st.data(), takes=st.booleans())
    def answer(self, data: st.DataObject, takes: bool) -> None:
        asked = [ticket for ticket in self.open if ticket.answer is None]
        if asked:
            ticket = data.draw(st.sampled_from(asked))
            if takes:
                self.admission.accepted(ticket, {}, now=0.0)
            else:
                self.admission.refused(ticket, REFUSAL)
                self.open.remove(ticket)

    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        running = [ticket for ticket in self.open if ticket.answer is not None]
        if running:
            ticket = data.draw(st.sampled_from(running))
            self.admission.ended(ticket)
            self.open.remove(ticket)

    @rule(resume=st.booleans())
    def next_session(self, resume: bool) -> None:
        before = self.token()
        self.session += 1
        if resume:
            self.admission.hand_over(before, self.token())
        else:
            self.admission.new_session()
            self.known.clear()

    @invariant()
    def no_more_places_are_taken_than_there_are(self) -> None:
        assert len(self.open) <= self.admission.slots + self.admission.backlog

    @invariant()
    def what_runs_is_what_was_taken(self) -> None:
        taken = [ticket for ticket in self.open if ticket.answer is not None]
        mine = [ticket.offer.task_id for ticket in taken if ticket.session == self.token()]
        assert sorted(self.admission.running(self.token())) == sorted(mine)


TestAnyOffers = AnyOffers.TestCase
