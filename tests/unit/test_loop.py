"""The loop thread: one for all, as long as somebody uses it, and nothing waits for ever when it stops."""

from __future__ import annotations

import asyncio
import threading

import pytest

from interaction.exception import RequestException
from interaction.rpc.loop import CallersLoop, LoopThread, acquire, release

WAIT = 10.0


@pytest.fixture
def thread() -> LoopThread:
    thread = LoopThread()
    thread.start()
    return thread


async def forever() -> None:
    await asyncio.Event().wait()


async def name_of_the_thread() -> str:
    return threading.current_thread().name


def test_a_coroutine_runs_on_the_loops_thread(thread: LoopThread) -> None:
    try:
        assert thread.run(name_of_the_thread()) == "interaction-loop"
    finally:
        thread.stop()


def test_what_a_coroutine_raises_is_raised(thread: LoopThread) -> None:
    async def fail() -> None:
        raise KeyError("that one")

    try:
        with pytest.raises(KeyError, match="that one"):
            thread.run(fail())
    finally:
        thread.stop()


def test_who_would_wait_for_the_loop_on_the_loop_is_told(thread: LoopThread) -> None:
    async def run() -> None:
        thread.run(forever())

    try:
        with pytest.raises(RuntimeError, match="await it"):
            thread.run(run())
    finally:
        thread.stop()


def test_who_waits_when_the_loop_stops_gets_an_error(thread: LoopThread) -> None:
    running, errors = threading.Event(), []

    async def wait() -> None:
        running.set()
        await forever()

    def run() -> None:
        with pytest.raises(RequestException) as caught:
            thread.run(wait())
        errors.append(caught.value.code)

    waiting = threading.Thread(target=run)
    waiting.start()
    assert running.wait(WAIT)
    thread.stop()
    waiting.join(WAIT)
    assert errors == ["CANCELLED"]


def test_a_loop_that_has_stopped_refuses_and_calls_nothing(thread: LoopThread) -> None:
    called: list[int] = []
    thread.stop()
    thread.stop()
    with pytest.raises(RequestException):
        thread.run(forever())
    thread.call(called.append, 1)
    assert called == []


def test_a_loop_may_be_stopped_on_its_own_thread(thread: LoopThread) -> None:
    stopped = threading.Event()

    def stop() -> None:
        thread.stop()
        stopped.set()

    thread.call(stop)
    assert stopped.wait(WAIT)
    thread.stop(WAIT)


def test_all_users_share_one_loop_that_ends_with_the_last() -> None:
    first = acquire("one")
    second = acquire("two")
    assert first is second
    release("one")
    release("one")
    assert first.run(name_of_the_thread()) == "interaction-loop"
    release("two")
    assert first.loop.is_closed()
    again = acquire("one")
    try:
        assert again is not first
    finally:
        release("one")


def test_many_threads_may_come_and_go() -> None:
    def use() -> None:
        for _ in range(20):
            user = object()
            thread = acquire(user)
            try:
                assert thread.run(name_of_the_thread()) == "interaction-loop"
            finally:
                release(user)

    errors: list[BaseException] = []

    def noted() -> None:
        try:
            use()
        except BaseException as error:  # noqa: BLE001 - told below, on the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=noted) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(WAIT)
    assert errors == []


def test_a_loop_is_quiet_about_what_several_of_grpcs_do_to_each_other_and_about_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[str] = []

    async def main(heard_by_its_user: bool) -> None:
        loop = asyncio.get_running_loop()
        if heard_by_its_user:
            loop.set_exception_handler(lambda _, context: heard.append(context["message"]))
        for _ in range(2):  # of each master
            CallersLoop()
        poller = "Exception in callback PollerCompletionQueue._handle_events()"
        loop.call_exception_handler({"message": poller, "exception": BlockingIOError()})
        loop.call_exception_handler({"message": poller, "exception": KeyError()})
        loop.call_exception_handler({"message": "another", "exception": BlockingIOError()})

    asyncio.run(main(True))
    assert len(heard) == 2
    assert caplog.records == []
    asyncio.run(main(False))
    assert len(caplog.records) == 2
