"""Ctrl-C while the main thread waits for a slave: the first lets it finish, the second ends it at once."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType

from interaction.rpc.exit import interactive

_log = logging.getLogger("interaction")


class Interrupted(SystemExit, KeyboardInterrupt):
    """The second Ctrl-C. Who catches KeyboardInterrupt has it; a program that does not ends without a traceback."""

    def __init__(self) -> None:
        super().__init__(128 + signal.SIGINT)  # the exit code


class Interrupts:
    """A context in which Ctrl-C calls `first`, and then raises from within, when `second` has been called.

    Only on the main thread, and where nobody else has a handler for it. All calls are on the main thread, `first` at
    any point of what runs there.
    """

    def __init__(self, first: Callable[[], object], second: Callable[[], object]) -> None:
        self._first = first
        self._second = second
        self._interrupted = False
        self._installed = False

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._asked)
            self._installed = True

    def _asked(self, number: int, frame: FrameType | None) -> None:
        if self._interrupted:
            signal.signal(number, signal.SIG_DFL)  # a third ends the process as it is
            raise KeyboardInterrupt if interactive() else Interrupted
        self._interrupted = True
        self._first()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._installed:
            return
        try:
            if isinstance(error, KeyboardInterrupt):
                self._second()
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def say(line: str) -> None:
    """Tell who is at the terminal, at whatever point the program is: Ctrl-C is answered wherever the log goes."""
    try:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError, RuntimeError):  # there is none, or it is closed, or in use
        _log.info("%s", line)
