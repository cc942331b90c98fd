"""Threads that are there before they are needed, for the versions of Python that start none when the program has ended.

These are 3.12.0 and 3.12.1: there no thread can be started once the main thread has come to its end, however long other
threads live on, and callbacks, hooks and tasks still need one.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue

NEEDED = (3, 12, 0) <= sys.version_info[:3] < (3, 12, 2)
_SIZE = 8

_idle: list[SimpleQueue[Callable[[], object]]] = []  # one for each thread that waits for work
_there = False


def prepare() -> None:
    """Have them there, where this Python needs them: called with each start."""
    global _there
    if not NEEDED or _there:
        return
    _there = True
    for _ in range(_SIZE):
        threading.Thread(target=_serve, name="interaction-reserve", daemon=True).start()


def run(work: Callable[[], object]) -> bool:
    """Have `work`, which raises nothing, done by one that has nothing to do. False where there is none."""
    try:
        bell = _idle.pop()
    except IndexError:
        return False
    bell.put(work)
    return True


def _forget() -> None:
    """In a forked child: the threads stayed with the parent."""
    global _there
    _there = False
    _idle.clear()


def _serve() -> None:
    bell: SimpleQueue[Callable[[], object]] = SimpleQueue()
    while True:
        _idle.append(bell)
        work = bell.get()
        work()
        del work


os.register_at_fork(after_in_child=_forget)
