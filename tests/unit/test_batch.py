"""Natural batching: what has queued up goes out in messages of a bounded length, in order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from interaction.core.batch import FULL, LARGEST, Queue

FRAME = 64  # what an item may take beside its bytes; a message is allowed as much for each


def test_what_has_queued_up_is_one_message() -> None:
    queue: Queue[str] = Queue(1000)
    assert queue.take() == []
    for item in "abc":
        queue.put(10, item)
    assert queue.take() == ["a", "b", "c"]
    assert queue.take() == []


def test_what_does_not_fit_waits_for_the_next_message() -> None:
    queue: Queue[str] = Queue(1000)
    for item in "abcd":
        queue.put(400, item)
    assert [queue.take(), queue.take(), queue.take()] == [["a", "b"], ["c", "d"], []]


def test_what_is_too_long_for_any_message_goes_alone() -> None:
    queue: Queue[str] = Queue(1000)
    for size, item in ((1, "a"), (5000, "b"), (1, "c")):
        queue.put(size, item)
    assert [queue.take(), queue.take(), queue.take()] == [["a"], ["b"], ["c"]]


def test_a_message_is_full_long_before_it_is_as_long_as_the_peer_reads() -> None:
    """What comes next does not wait long behind it."""
    queue: Queue[int] = Queue(2**31)
    for number in range(10):
        queue.put(FULL // 4, number)
    assert len(queue.take()) < 5


def test_how_long_a_thing_may_be_to_go_this_way() -> None:
    assert Queue[str](1000).takes(1000)
    assert not Queue[str](1000).takes(1001)
    assert Queue[str](2**31).takes(LARGEST)
    assert not Queue[str](2**31).takes(LARGEST + 1)
    assert not Queue[str](-20_000).takes(0), "a peer that reads next to nothing"


def test_a_queue_that_was_cleared_is_as_new() -> None:
    queue: Queue[str] = Queue(1000)
    queue.put(10, "a")
    queue.clear()
    assert (len(queue), queue.size, queue.take()) == (0, 0, [])


@given(st.lists(st.integers(0, 3000) | st.none(), max_size=60), st.integers(-100, 5000))
def test_everything_goes_out_once_in_order_in_messages_that_fit(steps: list[int | None], limit: int) -> None:
    """None takes a message. The size tells what has not gone out."""
    queue: Queue[tuple[int, int]] = Queue(limit)
    put: list[tuple[int, int]] = []
    gone: list[tuple[int, int]] = []

    def take() -> None:
        message = queue.take()
        gone.extend(message)
        assert message or not len(queue)
        assert len(message) < 2 or sum(size + FRAME for size, _ in message) <= max(limit, 0)

    for number, size in enumerate(steps):
        if size is None:
            take()
        else:
            put.append((size, number))
            queue.put(size, put[-1])
        assert len(queue) == len(put) - len(gone)
        assert queue.size >= sum(size for size, _ in put) - sum(size for size, _ in gone)
        assert bool(queue.size) is bool(len(queue))
    while len(queue):
        take()
    assert gone == put
