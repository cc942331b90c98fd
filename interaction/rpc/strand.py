"""Threads for users' code: hooks, callbacks and tasks, which may block, and may call the facade."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

from interaction.rpc import reserve
from interaction.rpc.loop import call_later
from interaction.rpc.telling import log_exception
from interaction.waiters import Waiters

_log = logging.getLogger("interaction.strand")
_IDLE_SECONDS = 1.0  # how long a thread without work is kept for the next
_RETRY_SECONDS = 0.1  # after which a thread that could not be had is asked for again
_here = threading.local()


class Strand:
    """Runs what it is given in order, one at a time, on a thread of its own that exists while there is work.

    The thread is a daemon: code that never returns does not keep the process alive. A `lasting` one is kept until
    `rest()` or `join()`, so that all work runs on the same thread: `threading.local`, sqlite3 and CUDA want that.

    Nobody holds a lock while work is submitted: a signal handler, a `__del__` or Ctrl-C in the middle of that leaves
    nothing half done. Where no thread can be had, for a limit of the system, it is asked for again until there is one.

    Example::

        strand = Strand("callbacks")
        strand.submit(lambda: print("one"))
        strand.submit(lambda: print("two"))
        strand.join()
    """

    def __init__(self, name: str, *, lasting: bool = False) -> None:
        self._name = name
        self._work: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._turn = threading.Lock()  # held by the one thread that works
        self._ended = Waiters()  # until it is given back
        self._thread: threading.Thread | None = None  # which has it, or had it last, of those that are the strand's own
        self._idle: float | None = None if lasting else _IDLE_SECONDS  # how long a thread without work is kept
        self._asked_again = 0.0  # when, on the monotonic clock, a thread is surely asked for again; 0.0: there are some

    def start(self) -> None:
        """Have the thread ready. Raises RuntimeError where none can be had."""
        self._work.put(_nothing)
        self._new_thread()

    def submit(self, work: Callable[[], object]) -> None:
        """Have `work` called after all that was submitted before. What it raises is logged.

        Raises:
            RuntimeError: no thread can be had, and nothing runs in this process that could ask for one again.
        """
        self._work.put(work)
        self._see_to_it()

    def successor(self) -> Strand:
        """Another one, that has what waits here: for who waits no longer for what runs here, and does not end."""
        other = Strand(self._name)
        self._idle = 0.0
        with suppress(Empty):
            while True:
                other.submit(self._work.get_nowait())
        return other

    def rest(self) -> None:
        """Keep no thread without work from now on."""
        self._idle = 0.0
        if self._turn.locked():  # it may be waiting for work
            self._work.put(_nothing)

    def join(self, timeout: float | None = None) -> bool:
        """Wait until all work is done and its thread ends; False where the timeout (seconds) passes first.

        Where no thread can be had any more, as when the interpreter ends, the work is done here.

        Raises:
            RuntimeError: called from the strand's own work, which would wait for itself.
        """
        self.check_not_mine()
        self.rest()
        due = None if timeout is None else time.monotonic() + timeout
        while self._turn.locked() or not self._work.empty():
            if not self._turn.locked():
                self._see_to_the_rest()
            left = None if due is None else due - time.monotonic()
            if not self._ended.wait_for(lambda: not self._turn.locked(), left):
                return False
        thread = self._thread
        if thread is not None:
            thread.join(None if due is None else max(due - time.monotonic(), 0.0))
        return thread is None or not thread.is_alive()

    def check_not_mine(self) -> None:
        """Raise RuntimeError in the strand's own work."""
        if getattr(_here, "strand", None) is self:
            advice = "shutdown() and close(wait=False) don't wait"
            raise RuntimeError(f"code that runs on {self._name} can't wait for its own end; {advice}")

    def _see_to_it(self) -> None:
        """Have a thread work, unless one does: who ends its work looks once more whether there is some."""
        if self._turn.locked() or self._work.empty():
            return
        try:
            self._new_thread()
        except RuntimeError as error:
            self._ask_again(error)
        else:
            self._asked_again = 0.0

    def _see_to_the_rest(self) -> None:
        try:
            self._new_thread()
        except RuntimeError:
            before = getattr(_here, "strand", None)
            self._run(None)
            _here.strand = before

    def _new_thread(self) -> None:
        thread = threading.Thread(target=lambda: self._run(thread), name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if not reserve.run(lambda: self._run(None)):
                raise

    def _ask_again(self, error: RuntimeError) -> None:
        now = time.monotonic()
        if now < self._asked_again:
            return
        if not self._asked_again:
            _log.warning("%s: %s; what is to run there waits until there is one", self._name, error)
        try:
            asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._see_to_it)
        except RuntimeError:  # not on a loop
            if not call_later(_RETRY_SECONDS, self._see_to_it):
                raise error from None
        self._asked_again = now + 0.9 * _RETRY_SECONDS  # not before: this thread may be interrupted

    def _run(self, thread: threading.Thread | None) -> None:
        _here.strand = self
        while self._turn.acquire(blocking=False):  # else another one works
            self._thread = thread
            try:
                self._work_off()
            finally:
                self._turn.release()
                self._ended.notify_all()
            if self._work.empty():  # who submitted while the turn was taken relies on this look
                return

    def _work_off(self) -> None:
        while True:
            try:
                idle = self._idle
                # Python 3.10 may wait for ever with a timeout of 0; a patched queue refuses one where it may not wait
                work = self._work.get_nowait() if idle == 0.0 else self._work.get(timeout=idle)
            except Empty:
                return
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - users' code raises what it likes, sys.exit() included
                log_exception(_log, logging.ERROR, error, "%s: an exception in user code", self._name)
            del work  # else its data would live until the next comes


def _nothing() -> None:
    """Have a thread that waits look again whether it is to end."""


def on_a_strand() -> bool:
    """Whether the caller is users' code that a strand runs: a hook, a callback or a task."""
    return getattr(_here, "strand", None) is not None
