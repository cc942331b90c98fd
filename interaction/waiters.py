"""Waiting for what another thread does, without a lock that anybody could be left holding.

Python may run a signal handler or a `__del__` between any two steps of the main thread, and Ctrl-C may end any of them.
What is here, and what is built on it, takes a step that counts by one call into C: it can't be left half done, and who
interrupts it never finds a lock that only the interrupted code would give back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_here = threading.local()


def never_wait_here() -> None:
    """On this thread, the loop's, nothing is to be waited for from now on: it would wait for itself."""
    _here.never = True


def check_may_wait() -> None:
    """Raise RuntimeError where nothing is to be waited for: in a `__del__`, say, that happens to run on the loop."""
    if getattr(_here, "never", False):
        raise RuntimeError("this would wait for the loop on the loop's own thread; await it there instead")


class Waiters:
    """Threads that wait until something is so.

    Example::

        ended = Waiters()
        ended.wait_for(lambda: task.status.ended, timeout=5.0)  # here
        ended.notify_all()  # elsewhere, after each change
    """

    __slots__ = ("_bells",)

    def __init__(self) -> None:
        self._bells: list[threading.Lock] = []  # one for each who waits; held until it is rung

    def notify_all(self) -> None:
        """Something has changed: have who waits look again."""
        bells = self._bells
        while bells:
            try:
                bell = bells.pop()
            except IndexError:  # another thread has rung it
                return
            bell.release()

    def wait_for(self, reached: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait until it is so, or the timeout (seconds) passes. Says whether it is. Raises as `check_may_wait()`."""
        due = None if timeout is None else time.monotonic() + timeout
        while not reached():
            check_may_wait()
            bell = threading.Lock()
            bell.acquire()
            self._bells.append(bell)
            try:
                if reached():  # who made it so may have looked before the bell was there
                    return True
                left = -1.0 if due is None else min(max(due - time.monotonic(), 0.0), threading.TIMEOUT_MAX)
                if not bell.acquire(timeout=left):
                    return reached()
            finally:
                self._forget(bell)
        return True

    def _forget(self, bell: threading.Lock) -> None:
        try:
            self._bells.remove(bell)
        except ValueError:  # it was rung
            return
