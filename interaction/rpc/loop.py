"""One asyncio loop on one thread per process, shared by every master and slave in it.

Several grpc.aio loops in one process disturb each other a little, so there is one, beside those that users of
`interaction.aio` bring. It starts with the first user and stops with the last. Users' code never runs on it.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from interaction.exception import RequestException

T = TypeVar("T")

_EXIT_PATIENCE = 2.0  # seconds that the interpreter's exit waits for the loop to end


class _Complaints:
    """Takes a loop's complaints, and passes them on to whom took them before: all but one.

    One socket wakes all grpc.aio loops of a process, and who finds it read by another one raises. Nothing is amiss:
    that other loop does what there is to do.
    """

    def __init__(self, before: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None) -> None:
        self._before = before

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if isinstance(context.get("exception"), BlockingIOError) and "PollerCompletionQueue" in context["message"]:
            return
        if self._before is None:
            loop.default_exception_handler(context)
        else:
            self._before(loop, context)


class Loop:
    """An event loop, as what runs on it is called from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.pid = os.getpid()
        self._gate = threading.Lock()  # what comes before `_stopping` is set is run or cancelled; nothing comes after
        self._stopping = False
        self._mail: list[tuple[Callable[..., object], tuple[object, ...]]] = []
        if not isinstance(loop.get_exception_handler(), _Complaints):
            loop.set_exception_handler(_Complaints(loop.get_exception_handler()))

    def call(self, function: Callable[..., object], *args: object) -> bool:
        """Have a function called on the loop, soon, from any thread. A loop that has stopped calls nothing: False."""
        with self._gate:
            if self._stopping:
                return False
            self._mail.append((function, args))
            if len(self._mail) == 1:  # waking the loop costs a system call: once for all that comes until it is awake
                self.loop.call_soon_threadsafe(self._deliver)
            return True

    def _deliver(self) -> None:
        with self._gate:
            mail, self._mail = self._mail, []
        for function, args in mail:
            try:
                function(*args)
            except Exception as error:  # noqa: BLE001 - as the loop itself does: the others are called all the same
                self.loop.call_exception_handler({"message": "a call from another thread failed", "exception": error})

    def check_process(self) -> None:
        """Raise RuntimeError in a child that was forked after the loop started: the loop stayed with the parent."""
        if self.pid != os.getpid():
            raise RuntimeError(
                "this object was started before the process forked, and lives on in the parent; "
                "create and start masters and slaves after the fork, or use the start method 'spawn'"
            )


class CallersLoop(Loop):
    """The running loop, which is its user's: `interaction.aio` lives on it."""

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop())
        self._thread = threading.get_ident()

    def call(self, function: Callable[..., object], *args: object) -> bool:
        """As `Loop.call()`; on the loop itself the function is called at once."""
        if threading.get_ident() == self._thread:
            function(*args)
            return True
        try:
            return super().call(function, *args)
        except RuntimeError:  # its user has closed it
            self._stopping = True
            return False


class LoopThread(Loop):
    """A loop that runs on a thread. Use :func:`acquire` and :func:`release`; this class keeps no count of its users."""

    def __init__(self) -> None:
        super().__init__(asyncio.new_event_loop())
        self._thread = threading.Thread(target=self._run, name="interaction-loop", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
            while tasks := asyncio.all_tasks(self.loop):
                self.loop.run_until_complete(_cancelled(tasks))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
        finally:
            self.loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and wait for what it returns or raises.

        Raises:
            RuntimeError: called on the loop's own thread, which would wait for itself, or in a forked child.
            RequestException: the loop was stopped before the coroutine ended.
        """
        if threading.current_thread() is self._thread or self.pid != os.getpid():
            work.close()
            self.check_process()
            raise RuntimeError("this would wait for the loop on the loop's own thread; await it there instead")
        with self._gate:
            if self._stopping:
                work.close()
                raise RequestException("the master or slave was shut down meanwhile", "CANCELLED")
            future = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise RequestException("the master or slave was shut down meanwhile", "CANCELLED") from None
        except BaseException:
            future.cancel()  # where the wait was interrupted nobody will take the result
            raise

    def stop(self, patience: float | None = None) -> None:
        """End the loop, cancel what runs on it, and wait for its thread (from that thread itself, don't wait)."""
        if self.pid != os.getpid() or self.loop.is_closed():
            return
        with self._gate:
            if not self._stopping:
                self.loop.call_soon_threadsafe(self.loop.stop)
                self._stopping = True
        if threading.current_thread() is not self._thread:
            self._thread.join(patience)


async def _cancelled(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


_lock = threading.Lock()
_shared: LoopThread | None = None
_users = 0
_first_pid: int | None = None  # the process in which a loop was first started


def acquire() -> LoopThread:
    """The process's loop, started where it does not run. Each call needs one :func:`release`.

    Raises:
        RuntimeError: this process was forked from one in which a loop ran.
    """
    global _shared, _users, _first_pid
    with _lock:
        if _first_pid not in (None, os.getpid()):  # gRPC's threads stayed with the parent, and its locks may be held
            raise RuntimeError(
                "a master or slave ran in this process before it forked, and gRPC does not survive that; "
                "start none before the fork, or use the start method 'spawn'"
            )
        if _shared is None:
            _shared, _users, _first_pid = LoopThread(), 0, os.getpid()
        _users += 1
        return _shared


def release() -> None:
    """One user less; the loop stops with the last."""
    global _shared, _users
    with _lock:
        _users -= 1
        last = _shared if _users == 0 else None
        if last is not None:
            _shared = None
    if last is not None:
        last.stop()


def _stop_at_exit() -> None:
    if _shared is not None:
        _shared.stop(_EXIT_PATIENCE)


atexit.register(_stop_at_exit)
