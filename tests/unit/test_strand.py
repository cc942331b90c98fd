"""Strands: users' code runs in order, one at a time, on a thread that goes when it is not needed."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import weakref
from collections.abc import Callable

import pytest

from interaction.rpc import loop as shared_loop
from interaction.rpc import reserve
from interaction.rpc import strand as module
from interaction.rpc.strand import Strand, on_a_strand

WAIT = 10.0


@pytest.fixture
def strand() -> Strand:
    return Strand("test-strand")


def test_work_runs_in_the_order_in_which_it_came_one_at_a_time(strand: Strand) -> None:
    order: list[int] = []
    at_once: list[int] = []

    def work(number: int) -> None:
        at_once.append(number)
        order.append(number)
        assert at_once == [number]
        at_once.remove(number)

    for number in range(200):
        strand.submit(lambda number=number: work(number))  # type: ignore[misc]
    assert strand.join(WAIT)
    assert order == list(range(200))


def test_work_from_many_threads_all_runs(strand: Strand) -> None:
    done: list[int] = []

    def submit(first: int) -> None:
        for number in range(first, first + 100):
            strand.submit(lambda number=number: done.append(number))  # type: ignore[misc]

    threads = [threading.Thread(target=submit, args=(100 * n,)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert strand.join(WAIT)
    assert sorted(done) == list(range(500))


@pytest.mark.parametrize("error", [ValueError("oops"), SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_what_work_raises_is_logged_and_the_next_runs(
    strand: Strand, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    done = threading.Event()

    def fail() -> None:
        raise error

    with caplog.at_level(logging.ERROR, logger="interaction"):
        strand.submit(fail)
        strand.submit(done.set)
        assert strand.join(WAIT)
    assert done.is_set()
    assert type(error).__name__ in caplog.text


def test_join_gives_up_after_its_timeout(strand: Strand) -> None:
    go_on = threading.Event()
    strand.submit(lambda: go_on.wait(WAIT))
    assert not strand.join(0.05)
    go_on.set()
    assert strand.join(WAIT)


def test_a_strand_that_never_worked_has_ended(strand: Strand) -> None:
    assert strand.join(0.0)


def test_a_strand_works_again_after_it_was_joined(strand: Strand) -> None:
    for _ in range(3):
        done = threading.Event()
        strand.submit(done.set)
        assert strand.join(WAIT)
        assert done.is_set()


def test_no_thread_is_left_after_a_join(strand: Strand) -> None:
    threads: list[threading.Thread] = []
    strand.submit(lambda: threads.append(threading.current_thread()))
    assert strand.join(WAIT)
    (thread,) = threads
    assert thread.daemon
    assert thread.name == "test-strand"
    assert not thread.is_alive()


def test_a_strand_that_would_wait_for_itself_says_so(strand: Strand) -> None:
    errors: list[str] = []

    def join() -> None:
        with pytest.raises(RuntimeError) as caught:
            strand.join()
        errors.append(str(caught.value))

    strand.submit(join)
    assert strand.join(WAIT)
    assert "test-strand" in errors[0]


def test_one_strand_may_wait_for_another(strand: Strand) -> None:
    other, done = Strand("other"), threading.Event()
    other.submit(done.set)
    waited: list[bool] = []
    strand.submit(lambda: waited.append(other.join(WAIT)))
    assert strand.join(WAIT)
    assert waited == [True]


def test_code_can_tell_whether_it_is_on_a_strand(strand: Strand) -> None:
    told: list[bool] = []
    strand.submit(lambda: told.append(on_a_strand()))
    assert strand.join(WAIT)
    assert told == [True]
    assert not on_a_strand()


def test_what_work_held_is_let_go_when_it_has_run(strand: Strand) -> None:
    class Data:
        pass

    data, done = Data(), threading.Event()
    alive = weakref.ref(data)
    strand.submit(lambda data=data: None)  # type: ignore[misc]
    strand.submit(done.set)
    del data
    assert done.wait(WAIT)
    gc.collect()
    assert alive() is None
    assert strand.join(WAIT)


# A thread that lasts.


def test_a_lasting_strand_does_all_its_work_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_IDLE_SECONDS", 0.0)  # by which the thread of any other would be gone
    strand = Strand("test-strand", lasting=True)
    seen: list[threading.Thread] = []
    try:
        for _ in range(3):
            done = threading.Event()
            strand.submit(lambda: seen.append(threading.current_thread()))
            strand.submit(done.set)
            assert done.wait(WAIT)
        assert len(set(seen)) == 1
    finally:
        assert strand.join(WAIT)
    assert not seen[0].is_alive()


def test_a_lasting_strand_that_is_to_rest_ends_its_thread() -> None:
    strand = Strand("test-strand", lasting=True)
    threads: list[threading.Thread] = []
    strand.start()
    strand.submit(lambda: threads.append(threading.current_thread()))
    strand.rest()
    assert strand.join(WAIT)
    assert not threads[0].is_alive()


# Where no thread can be had.


class Limit:
    """No thread can be started while `refused` is positive, which counts down."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, refused: int) -> None:
        self.refused = refused
        start = threading.Thread.start

        def limited(thread: threading.Thread) -> None:
            if self.refused > 0:
                self.refused -= 1
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", limited)
        monkeypatch.setattr(reserve, "_idle", [])  # where Python 3.12.1 has some in reserve, none is free


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Limit]:
    return lambda refused: Limit(monkeypatch, refused)


def test_work_waits_for_a_thread_that_can_be_had_and_the_next_work_too(
    strand: Strand, limit: Callable[[int], Limit], caplog: pytest.LogCaptureFixture
) -> None:
    shared_loop.acquire("test")
    try:
        limit(3)
        done = [threading.Event(), threading.Event()]
        for one in done:
            strand.submit(one.set)
        assert all(one.wait(WAIT) for one in done)
        assert strand.join(WAIT)
    finally:
        shared_loop.release("test")
    assert "can't start new thread" in caplog.text
    assert len(caplog.records) == 1  # not once each time


def test_work_from_a_loop_waits_for_a_thread_on_that_loop(strand: Strand, limit: Callable[[int], Limit]) -> None:
    done = threading.Event()

    async def main() -> None:
        limit(2)
        strand.submit(done.set)
        while not done.is_set():
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(main(), WAIT))
    assert strand.join(WAIT)


def test_where_nobody_can_ask_again_who_submits_is_told_and_the_work_is_not_lost(
    strand: Strand, limit: Callable[[int], Limit]
) -> None:
    done = threading.Event()
    limit(1)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        strand.submit(done.set)
    strand.submit(lambda: None)
    assert done.wait(WAIT)
    assert strand.join(WAIT)


def test_who_joins_does_the_work_where_no_thread_can_be_had_any_more(
    strand: Strand, limit: Callable[[int], Limit]
) -> None:
    told: list[bool] = []
    limit(1000)
    with pytest.raises(RuntimeError):
        strand.submit(lambda: told.append(on_a_strand()))
    assert strand.join(WAIT)
    assert told == [True]
    assert not on_a_strand()


def test_of_many_who_submit_at_once_none_starts_a_second_worker(strand: Strand) -> None:
    at_work, most, done = [0], [0], [0]

    def work() -> None:
        at_work[0] += 1
        most[0] = max(most[0], at_work[0])
        done[0] += 1
        at_work[0] -= 1

    def submit() -> None:
        for _ in range(200):
            strand.submit(work)
            strand.rest()  # ends the thread as soon as it can: each submit may have to start one

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert strand.join(WAIT)
    assert (most[0], done[0]) == (1, 1600)
