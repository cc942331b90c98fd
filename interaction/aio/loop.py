"""Waiting and being called on one loop, where the plain facade has threads."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from typing import TypeVar

from interaction.rpc.insist import insist
from interaction.rpc.loop import CallersLoop
from interaction.rpc.telling import log_exception
from interaction.waiters import Waiters

T = TypeVar("T")
_log = logging.getLogger("interaction.aio")


async def said(answer: Awaitable[T] | T) -> T:
    """What a hook has said, which may be a coroutine function."""
    return await answer if inspect.isawaitable(answer) else answer


def check_loop(owner: CallersLoop | None, name: str) -> None:
    """Raise RuntimeError where another loop runs than that of `owner`, on which a call would wait for ever."""
    if owner is None:  # not started
        return
    owner.check_process()
    running = running_loop()
    if running is owner.loop:
        return
    here = "no event loop runs" if running is None else "another one runs"
    advice = "call it there (with pytest, give the fixture and the test the same loop)"
    if owner.loop.is_closed():
        advice = "and that loop is closed: use `async with`, which ends all before its loop ends"
    raise RuntimeError(f"this {name} lives on the event loop on which it was started, and {here} here: {advice}")


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The running loop, if one runs on this thread."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class Change:
    """Wakes who waits for a change. All happens on the loop: nobody has to be kept out."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[None], None] = {}

    def notify_all(self) -> None:
        """Something has changed."""
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    async def wait_for(self, reached: Callable[[], bool]) -> None:
        """Wait until it is so."""
        while not reached():
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting[future] = None
            try:
                await future
            finally:
                del self._waiting[future]


class LoopRunner:
    """Calls callbacks on the loop in order; one that is a coroutine function is waited for before the next."""

    def __init__(self) -> None:
        self._loop: CallersLoop | None = None
        self._work: deque[Callable[[], object]] = deque()
        self._running: asyncio.Future[None] | None = None  # a callback that is being waited for
        self._scheduled = False
        self._change = Change()
        self._open: deque[None] = deque()  # an entry for each that was submitted, and not called to its end
        self._idle = Waiters()  # for the thread that closes the journal

    def attach(self) -> None:
        """Call on the running loop from now on: before the master is started that may be another one than later."""
        if self._loop is None or self._loop.loop is not asyncio.get_running_loop():
            self._loop = CallersLoop()

    def submit(self, work: Callable[[], object]) -> None:
        """Have `work` called soon, after all that was submitted before. From any thread."""
        assert self._loop is not None, "attached"
        self._open.append(None)
        taken = False
        try:
            taken = self._loop.call(self._take, work)
        finally:
            if not taken:
                self._open.pop()
                self._idle.notify_all()

    def _take(self, work: Callable[[], object]) -> None:
        self._work.append(work)
        insist(self._schedule)

    def _schedule(self) -> None:
        if not self._scheduled and self._running is None:
            asyncio.get_running_loop().call_soon(insist, self._run)
            self._scheduled = True

    def _run(self) -> None:
        self._scheduled = False
        while self._work:
            try:
                answer = self._work.popleft()()
            except BaseException as error:  # noqa: BLE001 - users' code raises what it likes, sys.exit() included
                log_exception(_log, logging.ERROR, error, "an exception in user code")
            else:
                if inspect.isawaitable(answer):
                    self._running = asyncio.ensure_future(self._wait(answer))
                    self._running.add_done_callback(partial(insist, self._waited))
                    return
            insist(self._called)

    async def _wait(self, answer: Awaitable[object]) -> None:
        _runner.set(self)
        try:
            await answer
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - as above
            log_exception(_log, logging.ERROR, error, "an exception in user code")

    def _waited(self, running: asyncio.Future[None]) -> None:
        if self._running is running:
            self._running = None
            if not running.cancelled():
                running.exception()
            insist(self._called)
        self._schedule()

    def _called(self) -> None:
        self._open.pop()
        if not self._open:
            insist(self._idle.notify_all)
            insist(self._change.notify_all)

    async def idle(self) -> None:
        """Wait until all has been called."""
        await self._change.wait_for(lambda: not self._open)

    def join(self, timeout: float | None = None) -> bool:
        """Wait until all has been called; False where the timeout (seconds) passes first. Not on the loop."""
        return self._idle.wait_for(lambda: not self._open, timeout)

    def check_not_mine(self) -> None:
        """Raise RuntimeError in a callback that is a coroutine function: it would wait for its own end."""
        if _runner.get() is self:
            raise RuntimeError("a callback can't wait for its own end; shutdown() and close(wait=False) don't wait")


_runner: ContextVar[LoopRunner | None] = ContextVar("_runner", default=None)  # whose callback this is


def in_callback() -> bool:
    """Whether the caller is a callback, behind which others may queue."""
    return _runner.get() is not None
