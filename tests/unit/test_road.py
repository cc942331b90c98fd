"""A master's side of the fast road: what goes out, what has no answer, and what a stream leaves over."""

from __future__ import annotations

import pytest

from interaction.core.road import ACKNOWLEDGE_AT, MOST_BREAKS, QUIET, Awaited, Road
from interaction.exception import RequestException

BROKEN = RequestException("the wire was cut", "UNAVAILABLE")


@pytest.fixture
def road() -> Road[str]:
    return Road(limit=1000, timeout=5.0)


def offered(road: Road[str], *task_ids: str, now: float = 0.0) -> Road[str]:
    for task_id in task_ids:
        road.offer(task_id, f"task {task_id}", 10, now)
    return road


def test_what_has_queued_up_goes_out_in_one_message(road: Road[str]) -> None:
    assert not road.pending
    assert offered(road, "a", "b").pending
    assert road.take() == (["task a", "task b"], [])
    assert not road.pending


def test_a_task_waits_for_its_answer_and_no_longer_than_the_timeout(road: Road[str]) -> None:
    offered(road, "a", now=1.0)
    offered(road, "b", now=2.0)
    assert road.next_deadline == 6.0
    road.answered("a")
    assert road.overdue(6.5) == []
    assert road.overdue(7.0) == ["task b"]
    assert road.next_deadline is None
    assert road.take() == ([], []), "what was given up is not sent any more"


def test_acknowledgements_ride_along_and_are_hurried_when_nothing_else_goes_out(road: Road[str]) -> None:
    road.recorded("a")
    assert not road.pending
    offered(road, "b")
    assert road.take() == (["task b"], ["a"])
    road.recorded("b")
    road.hurry()
    assert road.pending
    assert road.take() == ([], ["b"])
    road.recorded("c")
    assert not road.pending, "the next ones have not waited yet"


def test_many_acknowledgements_go_out_at_once(road: Road[str]) -> None:
    for number in range(ACKNOWLEDGE_AT):
        assert not road.pending
        road.recorded(str(number))
    assert road.pending


def test_a_task_goes_out_with_or_after_the_acknowledgement_of_all_that_was_recorded(road: Road[str]) -> None:
    """However many they are: a message is no longer than the slave reads."""
    ids = [str(number) for number in range(60)]  # 38 bytes each, of 1,000
    for task_id in ids:
        road.recorded(task_id)
    offered(road, "a", "b")
    taken = []
    while road.pending:
        taken.append(road.take())
    assert [tasks for tasks, _ in taken] == [[], [], ["task a", "task b"]]
    assert [len(acknowledged) for _, acknowledged in taken] == [26, 26, 8]
    assert [one for _, acknowledged in taken for one in acknowledged] == ids


def test_a_task_that_fills_a_message_waits_for_the_acknowledgements_before_it(road: Road[str]) -> None:
    road.recorded("z")
    road.offer("a", "task a", 1000, 0.0)
    assert road.take() == ([], ["z"])
    assert road.pending
    assert road.take() == (["task a"], [])


def test_a_break_leaves_over_what_has_no_answer_sent_or_not(road: Road[str]) -> None:
    offered(road, "a", "b")
    road.take()
    offered(road, "c")
    road.recorded("z")
    road.answered("b")
    assert road.ended(BROKEN) == [Awaited("task a", 5.0, sent=True), Awaited("task c", 5.0, sent=False)]
    assert not road.pending
    assert road.next_deadline is None
    assert road.takes(10), "another stream may be opened"


def test_a_road_on_which_nothing_ever_comes_through_is_given_up(road: Road[str]) -> None:
    for left in range(MOST_BREAKS, 0, -1):
        assert road.usable, f"{left} tries left"
        road.ended(BROKEN if left % 2 else None)
    assert not road.takes(10)


def test_an_answer_shows_that_streams_pass(road: Road[str]) -> None:
    for _ in range(2 * MOST_BREAKS):
        offered(road, "a")
        road.answered("a")
        road.ended(BROKEN)
    assert road.usable


def test_a_slave_that_serves_no_streams_is_asked_once(road: Road[str]) -> None:
    road.ended(RequestException("what is that?", "UNIMPLEMENTED"))
    assert not road.takes(10)


def test_a_stream_that_nobody_needs_is_closed_and_takes_nothing_more(road: Road[str]) -> None:
    offered(road, "a")
    assert not road.look(busy=False), "something is to go out"
    road.take()
    assert not road.look(busy=False), "something has gone out"
    road.answered("a")
    assert not road.look(busy=False), "something has come"
    assert not road.look(busy=True), "a task runs"
    road.recorded("a")
    assert not road.look(busy=False), "an acknowledgement is to go out"
    road.take()
    road.look(busy=False)
    assert road.look(busy=False)
    assert not road.takes(10)
    for _ in range(MOST_BREAKS):
        assert road.ended(None) == []
        assert road.takes(10), "it was no break"
        road.look(busy=False)


def test_a_stream_on_which_nothing_is_said_of_a_running_task_brings_an_empty_message_now_and_then(
    road: Road[str],
) -> None:
    offered(road, "a")
    road.take()
    road.answered("a")
    road.look(busy=True)
    for _ in range(2):
        for _ in range(QUIET):
            assert not road.pending
            assert not road.look(busy=True)
        assert road.pending
        assert road.take() == ([], [])
    for _ in range(QUIET + 1):
        offered(road, "b")
        road.take()
        road.look(busy=True)
        assert not road.pending, "something has been said"


def test_what_is_too_large_does_not_go_this_way(road: Road[str]) -> None:
    assert road.takes(1000)
    assert not road.takes(1001)
