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
        self._within: FrameType | None = None  # the frame of the `with`

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            return
        self._within = sys._getframe(1)
        signal.signal(signal.SIGINT, self._asked)

    def _asked(self, number: int, frame: FrameType | None) -> None:
        if not self._active(frame):  # its end was interrupted before this was no handler any more
            signal.signal(number, signal.default_int_handler)
            raise KeyboardInterrupt
        if self._interrupted:
            signal.signal(number, signal.SIG_DFL)  # a third ends the process as it is
            raise KeyboardInterrupt if interactive() else Interrupted
        self._interrupted = True
        self._first()

    def _active(self, frame: FrameType | None) -> bool:
        """Whether what is interrupted runs in this context."""
        while frame is not None and frame is not self._within:
            frame = frame.f_back
        return frame is not None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._within is None:
            return
        try:
            if isinstance(error, KeyboardInterrupt):
                self._second()
        finally:
            self._within = None  # first: what comes now interrupts as ever
            signal.signal(signal.SIGINT, signal.default_int_handler)


def say(line: str) -> None:
    """Tell who is at the terminal, at whatever point the program is: Ctrl-C is answered wherever the log goes."""
    try:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError, RuntimeError):  # there is none, or it is closed, or in use
        _log.info("%s", line)
