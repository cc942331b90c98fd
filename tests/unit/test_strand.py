"""Strands: users' code runs in order, one at a time, on a thread that goes when it is not needed."""

from __future__ import annotations

import gc
import logging
import threading
import weakref

import pytest

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
