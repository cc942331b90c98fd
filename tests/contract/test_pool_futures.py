"""The futures of a plain pool are those of `concurrent.futures`; Ctrl-C; the progress bar."""

from __future__ import annotations

import asyncio
import logging
import signal
import subprocess
import sys
import threading
import traceback
from concurrent.futures import FIRST_COMPLETED, Future, as_completed, wait
from queue import Queue
from typing import Any

import pytest

from interaction import SlavePool
from interaction.exception import TaskLost
from tests.contract.conftest import ROOT, MakePool, MakeSlave, Worker
from tests.contract.hands import SUM, WAITS, Hands, in_background, started, sums_up_to, with_hands
from tests.contract.slave_programs import WAIT

hands = pytest.fixture(with_hands)


def test_wait_and_as_completed(hands: Hands, make_pool: MakePool) -> None:
    hands.add("one", "two")
    pool = make_pool(hands.master)
    slow, quick = pool.submit(WAITS), pool.submit(SUM)
    done, others = wait([slow, quick], WAIT, FIRST_COMPLETED)
    assert (done, others) == ({quick}, {slow})
    first = next(as_completed([slow, quick], WAIT))
    assert first is quick
    hands.go_on()
    assert wait([slow, quick], WAIT).not_done == set()
    assert {future.result() == {"sum": 3} for future in as_completed([slow, quick])} == {True, False}


def test_wrap_future(hands: Hands, make_pool: MakePool) -> None:
    hands.add("one", backlog=3)
    pool = make_pool(hands.master)

    async def main() -> list[Any]:
        futures = [asyncio.wrap_future(pool.submit({"a": number, "b": 1})) for number in range(10)]
        return await asyncio.gather(*futures)

    assert [one["sum"] for one in asyncio.run(main(), debug=True)] == list(range(1, 11))


def test_callbacks_run_on_a_thread_of_their_own_and_may_use_the_facade(hands: Hands, make_pool: MakePool) -> None:
    hands.add("one")
    pool = make_pool(hands.master)
    answers: Queue[Any] = Queue()

    def follow(future: Future[Any]) -> None:
        answers.put(threading.current_thread().name)
        again = pool.submit({"a": future.result()["sum"], "b": 1})
        answers.put(again.result(WAIT))
        answers.put(hands.master["one"].new_task(SUM).start().join(WAIT).result)

    future = pool.submit(SUM)
    future.add_done_callback(follow)
    assert answers.get(timeout=WAIT) == "interaction-pool"
    assert answers.get(timeout=WAIT) == {"sum": 4}
    assert answers.get(timeout=WAIT) == {"sum": 3}
    future.add_done_callback(lambda _: answers.put(threading.current_thread().name))  # it has ended
    assert answers.get(timeout=WAIT) == "interaction-pool"


def test_a_callback_that_raises_disturbs_nothing(
    hands: Hands, make_pool: MakePool, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(future: Future[Any]) -> None:
        raise SystemExit(1)

    hands.add("one")
    called = threading.Event()
    future = make_pool(hands.master).submit(SUM)
    future.add_done_callback(broken)
    future.add_done_callback(lambda _: called.set())
    assert called.wait(WAIT)
    assert [record.levelno for record in caplog.records if record.exc_info] == [logging.ERROR]


def test_close_waits_for_callbacks_and_not_in_one_of_them(hands: Hands, make_pool: MakePool) -> None:
    before = set(threading.enumerate())
    hands.add("one")
    pool = make_pool(hands.master)
    begun, go_on, answers = threading.Event(), threading.Event(), Queue[Any]()

    def callback(future: Future[Any]) -> None:
        begun.set()
        assert go_on.wait(WAIT)
        try:
            pool.close()
        except RuntimeError as error:
            answers.put(error)
        pool.close(wait=False)
        answers.put("called")

    pool.submit(SUM).add_done_callback(callback)
    closed = in_background(pool.close)
    assert begun.wait(WAIT)
    assert closed.empty()
    go_on.set()
    assert closed.get(timeout=WAIT) is None
    assert "own end" in str(answers.get_nowait())
    assert answers.get_nowait() == "called"
    assert not {thread for thread in threading.enumerate() if thread.name == "interaction-pool"} - before


def test_who_waits_for_a_future_that_is_cancelled_is_woken(hands: Hands, make_pool: MakePool) -> None:
    pool = make_pool(hands.master)
    future = pool.submit(SUM)
    waiting = in_background(lambda: wait([future]).done)
    called = threading.Event()
    future.add_done_callback(lambda _: called.set())
    assert future.cancel()
    assert future.cancel()
    assert called.wait(WAIT)
    assert waiting.get(timeout=WAIT) == {future}
    assert next(as_completed([future], WAIT)) is future


def test_an_interrupted_close_cancels_what_has_not_begun(
    hands: Hands, make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    slave = hands.add("one")
    pool = make_pool(hands.master)
    first, second = pool.submit(WAITS), pool.submit(SUM)
    assert slave.running.wait(WAIT)
    started(first)
    main = threading.get_ident()
    join = pool._crew.join

    async def interrupted() -> None:
        signal.pthread_kill(main, signal.SIGINT)
        await join()

    monkeypatch.setattr(pool._crew, "join", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pool.close()
    assert wait([second], WAIT).done == {second}
    assert second.cancelled()
    slave.go_on.set()
    assert first.result(WAIT) == {"waited": 1}
    pool.close()


def test_each_task_that_is_lost_has_an_error_of_its_own(hands: Hands, make_pool: MakePool) -> None:
    """Raised again and again, one error would gather the tracebacks of all, and what their frames hold."""
    slave = hands.add("one", slots=5)
    pool = make_pool(hands.master)
    futures = [pool.submit(WAITS) for _ in range(5)]
    for future in futures:
        started(future)
    assert slave.running.wait(WAIT)
    hands.master["one"].close()
    lengths = set()
    for future in futures:
        with pytest.raises(TaskLost) as caught:
            future.result(WAIT)
        lengths.add(len(traceback.extract_tb(caught.value.__traceback__)))
    assert len(lengths) == 1


# Ctrl-C.

FOR_EVER = """
import itertools, signal, sys
from interaction import Master, SlavePool
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell ignores in the background
port, ordered, wait = int(sys.argv[1]), sys.argv[2] == "ordered", sys.argv[3] == "wait"
data = ({"wait": 1} if wait and n == 20 else {"a": n, "b": 1} for n in itertools.count())
with Master("127.0.0.1", 0, channel=7) as master, master.new_connection("one", "127.0.0.1", port):
    with SlavePool(master, retries=3) as pool:
        for number, _ in enumerate(pool.map(data, ordered=ordered)):
            if number == 10:
                print("running", flush=True)
"""


@pytest.mark.parametrize("ordered", ["ordered", "as completed"])
@pytest.mark.parametrize("wait", ["", "wait"])
def test_ctrl_c_ends_it(make_slave: MakeSlave, ordered: str, wait: str) -> None:
    slave = make_slave(Worker, backlog=2)
    command = [sys.executable, "-W", "error", "-c", FOR_EVER, str(slave.port), ordered, wait]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        if wait:
            assert slave.running.wait(WAIT)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=WAIT)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGINT
    assert errors.count("Traceback") == 1
    assert errors.endswith("KeyboardInterrupt\n")
    assert slave.lost == []  # it was told


# The progress bar.


@pytest.fixture
def pool(hands: Hands, make_pool: MakePool) -> SlavePool:
    hands.add("one", backlog=3)
    return make_pool(hands.master)


@pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "as completed"])
def test_progress_is_shown_on_standard_error(
    pool: SlavePool, capsys: pytest.CaptureFixture[str], ordered: bool
) -> None:
    assert len(list(pool.map(list(sums_up_to(40)), progress=True, ordered=ordered))) == 40
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "40/40" in shown.err
    assert len(list(pool.map(sums_up_to(7), progress=True))) == 7
    assert "7/?" in capsys.readouterr().err


def test_progress_of_what_is_broken_off(pool: SlavePool, capsys: pytest.CaptureFixture[str]) -> None:
    results = pool.map(dict, [SUM, SUM, {}, SUM], progress=True)
    with pytest.raises(Exception, match="A or B not found"):
        list(results)
    assert "3/4" in capsys.readouterr().err


def test_without_rich_it_says_what_to_install_at_once(pool: SlavePool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)
    with pytest.raises(ImportError, match=r"pip install '\.\[progress\]'"):
        pool.map([SUM], progress=True)
    assert list(pool.map([SUM])) == [{"sum": 3}]
