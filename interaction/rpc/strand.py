"""Threads for users' code: hooks, callbacks and tasks, which may block, and may call the facade."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

_log = logging.getLogger("interaction.strand")
_IDLE_SECONDS = 1.0  # how long a thread without work is kept for the next
_here = threading.local()


class Strand:
    """Runs what it is given in order, one at a time, on a thread of its own that exists while there is work.

    The thread is a daemon: code that never returns does not keep the process alive.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._work: deque[Callable[[], object]] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._resting = False  # somebody waits for the end: no thread is kept

    def submit(self, work: Callable[[], object]) -> None:
        """Have `work` called after all that was submitted before. What it raises is logged."""
        with self._changed:
            self._work.append(work)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            else:
                self._changed.notify_all()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until all work is done and its thread ends; False where the timeout (seconds) passes first.

        Raises:
            RuntimeError: called from the strand's own work, which would wait for itself.
        """
        self.check_not_mine()
        with self._changed:
            self._resting = True
            self._changed.notify_all()
            thread = self._thread
        if thread is None:
            return True
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
        with self._changed:
            self._changed.wait_for(lambda: bool(self._work) or self._resting, _IDLE_SECONDS)
            if not self._work:
                self._thread = None
                return None
            return self._work.popleft()


def on_a_strand() -> bool:
    """Whether the caller is users' code that a strand runs: a hook, a callback or a task."""
    return getattr(_here, "strand", None) is not None
