"""One asyncio loop on one thread per process, shared by every master and slave in it.

Several grpc.aio loops in one process disturb each other a little, so there is one, beside those that users of
`interaction.aio` bring. It starts with the first user and stops with the last. Users' code never runs on it.
"""

from __future__ import annotations

import asyncio
import atexit
import inspect
import os
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Generic, TypeVar

from interaction.exception import RequestException
from interaction.rpc import forks
from interaction.waiters import Waiters, check_may_wait, never_wait_here

T = TypeVar("T")

_EXIT_PATIENCE = 2.0  # seconds that the interpreter's exit waits for the loop to end
_GRPC_PATIENCE = 0.1  # seconds that the end of a loop waits for gRPC's calls to come to theirs
_UNDO_PATIENCE = 2.0  # seconds that who was interrupted waits for the end of what it had begun


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
    """An event loop, as what runs on it is called from any thread.

    No lock is held meanwhile, and each step that counts is one call into C: a signal handler, a `__del__` or Ctrl-C in
    the middle of a call leaves nothing half done, and may call the loop itself.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.pid = os.getpid()
        self._stopping = False  # what is called before this is set is called or cancelled; nothing comes after
        self._mail: deque[partial[object]] = deque()
        self._ring: list[bool] | None = None  # who has last wanted to wake the loop; not empty: it will wake
        if not isinstance(loop.get_exception_handler(), _Complaints):
            loop.set_exception_handler(_Complaints(loop.get_exception_handler()))

    def call(self, function: Callable[..., object], *args: object) -> bool:
        """Have a function called on the loop, soon, from any thread. A loop that has stopped calls nothing: False."""
        if self._stopping:
            return False
        letter = partial(function, *args)
        self._mail.append(letter)
        self._wake()
        return not self._stopping or not self._withdrawn(letter)

    def _wake(self) -> None:
        """Have the mail delivered. Waking the loop costs a system call: once for all that comes until it is awake."""
        ring = self._ring
        if ring:
            return
        ring = self._ring = []  # who finds it empty wakes the loop himself: this thread may be interrupted here
        try:
            self.loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:
            if not self.loop.is_closed():
                raise
            self._stopping = True
        ring.append(True)

    def _withdrawn(self, letter: partial[object]) -> bool:
        """Take a letter back. False: it was delivered."""
        try:
            self._mail.remove(letter)
        except ValueError:
            return False
        return True

    def _deliver(self) -> None:
        self._ring = None  # what is written from now on wakes the loop again
        for _ in range(len(self._mail)):
            try:
                letter = self._mail.popleft()
            except IndexError:  # some were withdrawn
                return
            try:
                letter()
            except Exception as error:  # noqa: BLE001 - as the loop itself does: the others are called all the same
                self.loop.call_exception_handler({"message": "a call from another thread failed", "exception": error})
            except BaseException:  # Ctrl-C, where the loop is the main thread's
                self._wake()
                raise

    def check_process(self) -> None:
        """Raise RuntimeError in a child that was forked after the loop started: the loop stayed with the parent."""
        if self.pid != os.getpid():
            raise RuntimeError(
                "this object was started before the process forked, and lives on in the parent alone; a child that is "
                "to have its own has to be started by the method 'spawn' (multiprocessing.get_context('spawn'))"
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
        return super().call(function, *args)


class _Call(Generic[T]):
    """A coroutine that a thread has run on the loop, and waits for."""

    __slots__ = ("_dropped", "_ended", "_task", "_work")

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self._work = work
        self._task: asyncio.Task[T] | None = None
        self._dropped = False  # it has not begun, and will not
        self._ended = Waiters()

    def begin(self) -> None:
        """On the loop. Harmless when repeated."""
        if self._task is not None:
            return
        self._task = asyncio.get_running_loop().create_task(self._work)
        self._task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[T]) -> None:
        if not task.cancelled():
            task.exception()  # where the wait was interrupted nobody will take it
        self._ended.notify_all()

    def cancel(self) -> None:
        """On the loop: nobody will take the result."""
        if self._task is not None:
            self._task.cancel()
        else:
            self.drop()

    def drop(self) -> None:
        """It is not begun any more."""
        self._work.close()
        self._dropped = True
        self._ended.notify_all()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended, or the timeout (seconds) passes. Says whether it has."""
        return self._ended.wait_for(lambda: self._dropped or (self._task is not None and self._task.done()), timeout)

    def result(self) -> T:
        """What it returned, or raised. It has ended."""
        assert self._task is not None, "it was waited for"
        return self._task.result()


class LoopThread(Loop):
    """A loop that runs on a thread. Use :func:`acquire` and :func:`release`; this class keeps no count of its users."""

    def __init__(self) -> None:
        self._ready = False
        self._changed = Waiters()
        self._ran = False  # it only tidies up now
        self._beside = ThreadPoolExecutor(thread_name_prefix="asyncio")
        self._thread = threading.Thread(target=self._run, name="interaction-loop", daemon=True)

    def start(self) -> None:
        """Return when it runs. Harmless when repeated: also where it was interrupted. Raises RuntimeError."""
        try:
            self._thread.start()
        except RuntimeError:
            if self._thread.ident is None:  # no thread can be had; else it was started before
                raise
        self._changed.wait_for(lambda: self._ready)

    def _run(self) -> None:
        super().__init__(asyncio.new_event_loop())  # here, where nobody interrupts
        self.loop.set_default_executor(self._beside)
        self._ready = True
        self._changed.notify_all()
        asyncio.set_event_loop(self.loop)
        never_wait_here()
        try:
            self.loop.run_forever()
            self._ran = True
            self.loop.run_until_complete(_let_grpc_end())
            while tasks := asyncio.all_tasks(self.loop):
                self.loop.run_until_complete(_cancelled(tasks))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self._beside.shutdown()  # the loop's own way to do this needs a thread, which may not be had any more
        finally:
            self.loop.close()

    def run(self, work: Coroutine[Any, Any, T], *, to_the_end: bool = False) -> T:
        """Run a coroutine on the loop and wait for what it returns or raises.

        Where the wait is interrupted the coroutine is cancelled, unless it is to run `to_the_end`; who is interrupted
        waits for its end, not long.

        Raises:
            RuntimeError: called on the loop's own thread, which would wait for itself, or in a forked child.
            RequestException: the loop was stopped before the coroutine ended.
        """
        try:
            self.check_process()
            check_may_wait()
        except RuntimeError:
            work.close()
            raise
        call = _Call(work)
        try:
            begins = self.call(call.begin)
            if begins:
                call.wait()
            else:
                call.drop()
        except BaseException:  # Ctrl-C: what was begun is to have come to its end when the caller goes on
            if self.call(call.begin if to_the_end else call.cancel):
                call.wait(_UNDO_PATIENCE)
            raise
        try:
            if begins:
                return call.result()
        except asyncio.CancelledError:
            pass
        raise RequestException("the master or slave was shut down meanwhile", "CANCELLED")

    def stop(self, patience: float | None = None) -> None:
        """End the loop, cancel what runs on it, and wait for its thread (from that thread itself, don't wait)."""
        if self.pid != os.getpid() or self.loop.is_closed():
            return
        self._stopping = True
        try:
            self.loop.call_soon_threadsafe(self._stop)
        except RuntimeError:  # another thread has stopped it meanwhile
            if not self.loop.is_closed():
                raise
        if threading.get_ident() != self._thread.ident:
            self._thread.join(patience)

    def _stop(self) -> None:
        if not self._ran:
            self.loop.stop()


async def _let_grpc_end() -> None:
    """Wait, not long, for what is gRPC's own: it prints a traceback where it is cancelled, also in its last moment."""
    own = {task for task in asyncio.all_tasks() if not inspect.iscoroutine(task.get_coro())}
    if own:
        await asyncio.wait(own, timeout=_GRPC_PATIENCE)


async def _cancelled(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


_lock = threading.RLock()  # a signal handler may start a master while this thread starts another
_shared: LoopThread | None = None
_users: dict[object, LoopThread] = {}


def acquire(user: object) -> LoopThread:
    """The process's loop, started where it does not run. It stops when each user has called :func:`release`.

    Raises:
        RuntimeError: this process was forked from one that used gRPC.
    """
    global _shared
    forks.check()
    with _lock:
        thread = _shared = _shared or LoopThread()
        thread.start()
        _users[user] = thread
        return thread


def release(user: object) -> None:
    """One user less; the loop stops with the last. Harmless when repeated: also where it was interrupted."""
    global _shared
    with _lock:
        thread = _users.get(user)
        if any(other is thread for key, other in _users.items() if key is not user):
            _users.pop(user, None)
            return
        if _shared is thread:
            _shared = None
    if thread is not None:
        thread.stop()
    _users.pop(user, None)


def call_later(seconds: float, function: Callable[[], object]) -> bool:
    """Have a function called on the process's loop, after so long. False where none runs."""
    thread = _shared
    return thread is not None and thread.call(thread.loop.call_later, seconds, function)


def _stop_at_exit() -> None:
    if _shared is not None:
        _shared.stop(_EXIT_PATIENCE)


atexit.register(_stop_at_exit)
