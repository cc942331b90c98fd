"""The life of a master and of a slave: start, ping, shutdown, join."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from enum import Enum
from typing import Any, TypeVar

from google.protobuf.internal import api_implementation

from interaction.address import Endpoint, join_host
from interaction.config import ServiceOptions
from interaction.exception import JournalError, RequestException, ResponseException
from interaction.rpc import exit as process_end
from interaction.rpc import exposure, forks, reserve
from interaction.rpc import loop as shared_loop
from interaction.rpc.insist import insist, see_through
from interaction.rpc.loop import CallersLoop, Loop, LoopThread
from interaction.rpc.patches import check_unpatched
from interaction.rpc.ping import answers
from interaction.rpc.watch import Watch
from interaction.waiters import Waiters

_T = TypeVar("_T")
_LOOK = 1.0  # seconds between two looks of the main thread for signals
_EXIT_PATIENCE = 10.0  # seconds that the end of the process waits for one to be shut down


class _State(Enum):
    NEW = "new"
    STARTING = "starting"
    RUNNING = "running"
    STOPPED = "stopped"


class Service:
    """Start and end of a server on the shared loop, behind a facade. All methods may be called from any thread.

    A subclass gives `_open`, `_close`, `_exposed` and `_join_strands`, and may raise in `check_may_wait`. `name` is
    that of the facade's class, for messages.
    """

    stays = False  # whether it keeps its process alive until it is shut down

    def __init__(self, options: ServiceOptions, name: str, log: logging.Logger) -> None:
        self.options = options
        self.port = options.port
        self._name = name
        self._advice = "start(), or use `with`"
        self._log = log
        self._state = _State.NEW
        self._transition = threading.RLock()
        self._is_down = False
        self._down = Waiters()
        self._joining: list[asyncio.Future[None]] = []  # who waits for the end on the loop
        self._loop: Loop | None = None
        self._watch = Watch(options.each_tls)
        self._leaving: set[asyncio.Task[None]] = set()  # what is done before the end
        self._exiting: asyncio.Task[None] | None = None

    @property
    def mine(self) -> bool:
        """Whether this process started it, rather than one that it was forked from."""
        return self._loop is not None and self._loop.pid == os.getpid()

    @property
    def started(self) -> bool:
        """Whether it was started, whatever has become of it since."""
        return self._state is not _State.NEW

    @property
    def runs(self) -> bool:
        """Whether it was started, and is not shut down."""
        return self._state is _State.RUNNING

    def start(self) -> None:
        """As `Facade.start()`."""
        reserve.prepare()
        failure = None
        with self._transition:
            self._check_new()
            try:
                thread = shared_loop.acquire(self)
                forks.enter(self)
                thread.run(self._open_on(thread), to_the_end=True)  # gRPC leaves a server half started behind
            except BaseException as error:  # also Ctrl-C, at any step
                self.shutdown()
                shared_loop.release(self)
                forks.leave(self)
                if not isinstance(error, Exception):
                    raise
                failure = error.with_traceback(None)  # of the loop's dozen frames none is the caller's
        if failure is not None:
            raise failure

    async def start_here(self) -> None:
        """As `start()`, on the running loop, which is the caller's."""
        self._check_new()
        forks.enter(self)
        self._state = _State.STARTING
        try:
            await self._open_on(CallersLoop())
        except BaseException:
            self._state = _State.NEW
            forks.leave(self)
            raise

    def _check_new(self) -> None:
        check_unpatched(self._name)
        if api_implementation.Type() == "python":  # tens of times slower, and more lenient about what it reads
            raise RuntimeError(
                "protobuf runs in pure Python here: unset PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION, or install a "
                "protobuf wheel for this platform"
            )
        if self._state is not _State.NEW:
            was = "was stopped" if self._state is _State.STOPPED else "was started before"
            raise RuntimeError(f"this {self._name} {was} and can't be started again; create another one")
        exposure.check(self.options, self._name, self._exposed())

    async def _open_on(self, loop: Loop) -> None:
        """On the loop, which nobody interrupts: either it runs then, or nothing of it does."""
        await self._watch.check()
        self.port = await self._open(loop)
        self._watch.start()
        self._loop = loop
        self._state = _State.RUNNING
        process_end.running.add(self)
        exposure.tell(self._log, self.options, self._name, self.port, self._exposed())

    def shutdown(self) -> None:
        """As `Facade.shutdown()`."""
        with self._transition:
            if self._state is _State.RUNNING and self._loop is not None:
                self._loop.check_process()
                assert isinstance(self._loop, LoopThread), "the facade's own"
                try:
                    self._loop.run(self._close_on(), to_the_end=True)
                except RequestException:  # the loop was stopped before
                    self._state = _State.STOPPED
                    self._stopped()
        self._let_go_when_down()

    def _let_go_when_down(self) -> None:
        """Wait for the end, which may be on its way by other means."""
        if self._state is _State.STOPPED:
            while not self._down.wait_for(self._has_ended, _LOOK):
                pass  # where a signal came as this began to wait, Python runs its handler only afterwards
            shared_loop.release(self)

    def _has_ended(self) -> bool:
        return self._is_down

    def leave(self, first: Callable[[], Awaitable[object]]) -> bool:
        """Have the loop do that, and then shut this down. Returns at once; False where it does not run.

        May be called from a signal handler, at any point, and starts no thread.
        """
        loop = self._loop
        return self.mine and loop is not None and self.runs and loop.call(self._leave, first)

    def _leave(self, first: Callable[[], Awaitable[object]]) -> None:
        leaving = asyncio.ensure_future(self._leave_after(first))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def _leave_after(self, first: Callable[[], Awaitable[object]]) -> None:
        try:
            await first()
        except Exception:  # noqa: BLE001 - it is asked to end, and does
            self._log.exception("%s did not leave as it should", self._name)
        await self._close_on()
        shared_loop.release(self)

    async def shutdown_here(self) -> None:
        """As `shutdown()`, where it was started by `start_here()`."""
        if self._state is not _State.RUNNING or self._loop is None:
            return
        await self._close_on()

    async def _close_on(self) -> None:
        """On the loop. It is not interrupted either."""
        if self._state is not _State.RUNNING:  # another thread was faster
            return
        self._state = _State.STOPPED
        self._watch.stop()
        for leaving in self._leaving - {asyncio.current_task()}:
            leaving.cancel()
        try:
            await see_through(self._close)
        finally:
            insist(self._stopped)

    def _stopped(self) -> None:
        process_end.running.discard(self)
        forks.leave(self)
        self._is_down = True
        self._down.notify_all()
        for down in self._joining:
            if not down.done():
                down.set_result(None)
        self._log.info("%s at %s is shut down", self._name, join_host(self.options.host, self.port))

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine on the loop's thread, and wait for it."""
        assert isinstance(self._loop, LoopThread), "the facade's own"
        try:
            return self._loop.run(work)
        except (RequestException, ResponseException, JournalError) as error:
            failure = error.with_traceback(None)  # of the loop's dozen frames none is the caller's
        raise failure

    def exit(self) -> None:
        """The process ends, and nobody has shut this down."""
        loop = self._loop
        if loop is None or not loop.call(self._exit):
            return
        if not self._down.wait_for(self._has_ended, _EXIT_PATIENCE):
            self._log.warning("%s is not shut down within %g s, and is left as it is", self._name, _EXIT_PATIENCE)

    def settle(self, patience: float) -> None:
        """Wait for users' code when this is shut down as the process ends, at most so many seconds."""
        late = self._join_strands(patience) if self._is_down else []
        if late:
            self._log.warning("the process ends before all of its user's code: %s", ", ".join(late))

    def _exit(self) -> None:
        self._exiting = asyncio.ensure_future(self._close_on())

    def join(self) -> None:
        """As `Facade.join()`."""
        self.check_may_wait()
        if not self.started:
            self._warn_not_started()
            return
        self._running_loop().check_process()
        thread = threading.current_thread()
        process_end.joining.add(thread)
        try:
            while not self._down.wait_for(self._has_ended, _LOOK):
                pass  # as above
        finally:
            process_end.joining.discard(thread)
        self._let_go_when_down()
        self._join_strands(None)

    def _warn_not_started(self) -> None:
        self._log.warning(
            "%s.join() returns at once: this %s has not been started; call %s", self._name, self._name, self._advice
        )

    def stay(self) -> None:
        """Wait for the end, which nobody else waits for: the program has ended."""
        self.join()

    async def join_here(self) -> None:
        """Wait until it is shut down, where it was started by `start_here()`."""
        if not self.started:
            self._warn_not_started()
        elif not self._is_down:
            down: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._joining.append(down)
            await down

    def ping(self) -> bool:
        """As `Facade.ping()`."""
        return self._answers() and self._run(self.ping_here())

    async def ping_here(self) -> bool:
        """As `ping()`, on the loop."""
        return self._answers() and await answers(Endpoint(self.options.host, self.port, self.options.tls is not None))

    def _answers(self) -> bool:
        if self._state is not _State.RUNNING or self._loop is None:
            return False
        self._loop.check_process()
        return True

    def _running_loop(self) -> Loop:
        """The loop. Raises RuntimeError unless the service runs, or did."""
        if self._loop is None or self._state is _State.STARTING:
            raise RuntimeError(f"this {self._name} has not been started; call {self._advice}")
        return self._loop

    def check_running(self) -> Loop:
        """The loop. Raises RuntimeError unless the service runs."""
        loop = self._running_loop()
        loop.check_process()
        if self._state is not _State.RUNNING:
            raise RuntimeError(f"this {self._name} is shut down; create another one")
        return loop

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine on the loop's thread, and wait for it. Raises RuntimeError unless the service runs."""
        try:
            self.check_running()
        except RuntimeError:
            work.close()
            raise
        return self._run(work)

    def _exposed(self) -> str | None:
        """What those can do who reach it from another machine, and ought not to; and the remedy."""
        raise NotImplementedError

    async def _open(self, loop: Loop) -> int:
        """Start serving; returns the port."""
        raise NotImplementedError

    async def _close(self) -> None:
        """Stop serving."""
        raise NotImplementedError

    def check_may_wait(self) -> None:
        """Raise RuntimeError on a thread that `join()` would wait for."""
        raise NotImplementedError

    def _join_strands(self, patience: float | None) -> list[str]:
        """Wait for users' code, at most so many seconds. Returns what has not come to its end."""
        raise NotImplementedError
