"""Threads for users' code: hooks, callbacks and tasks, which may block, and may call the facade."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

_log = logging.getLogger("interaction.strand")
_IDLE_SECONDS = 1.0  # how long a thread without work is kept for the next
_here = threading.local()


class Strand:
    """Runs what it is given in order, one at a time, on a thread of its own that exists while there is work.

    The thread is a daemon: code that never returns does not keep the process alive.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._work: SimpleQueue[Callable[[], object] | None] = SimpleQueue()  # None: look whether to end
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._resting = False  # somebody waits for the end: no thread is kept

    def submit(self, work: Callable[[], object]) -> None:
        """Have `work` called after all that was submitted before. What it raises is logged."""
        with self._lock:
            self._work.put(work)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until all work is done and its thread ends; False where the timeout (seconds) passes first.

        Raises:
            RuntimeError: called from the strand's own work, which would wait for itself.
        """
        self.check_not_mine()
        with self._lock:
            self._resting = True
            thread = self._thread
        if thread is None:
            return True
        self._work.put(None)
        thread.join(timeout)
        return not thread.is_alive()

    def check_not_mine(self) -> None:
        """Raise RuntimeError in the strand's own work."""
        if getattr(_here, "strand", None) is self:
            raise RuntimeError(f"code that runs on {self._name} can't wait for its own end; shutdown() does not wait")

    def _run(self) -> None:
        _here.strand = self
        while (work := self._next()) is not None:
            try:
                work()
            except BaseException:  # noqa: BLE001 - users' code raises what it likes, sys.exit() included; it is logged
                _log.exception("%s: an exception in user code", self._name)
            del work  # else its data would live until the next comes

    def _next(self) -> Callable[[], object] | None:
        while True:
            try:
                work = self._work.get(timeout=0.0 if self._resting else _IDLE_SECONDS)
            except Empty:
                with self._lock:
                    if self._work.empty():
                        self._thread = None
                        return None
            else:
                if work is not None:
                    return work


def on_a_strand() -> bool:
    """Whether the caller is users' code that a strand runs: a hook, a callback or a task."""
    return getattr(_here, "strand", None) is not None
