"""Ctrl-C, or something else that runs in the main thread, at a chosen line of the package."""

from __future__ import annotations

import contextlib
import dis
import linecache
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import interaction

POP_EXCEPT = dis.opmap["POP_EXCEPT"]
PACKAGE = str(Path(interaction.__file__).parent)


def at_line(number: int, then: Callable[[], object], call: Callable[[], object]) -> int:
    """Make a call, and do `then` before its n-th line that is the package's. Returns how many lines came up to that.

    Only what this thread runs counts. `then` may raise: that comes out of the line, as Ctrl-C does. Python comes back
    to a `with` as it leaves it, and handles no signal between that and the `__exit__` of a lock: nothing is done there.
    Nor is anything done where an `except` is about to be left, for no signal is handled there either, and what is
    raised there stays the thread's current exception for ever.
    """
    seen = 0
    entered: set[tuple[FrameType, int]] = set()

    def local(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal seen
        if event == "line":
            if linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip().startswith("with "):
                if (frame, frame.f_lineno) in entered:
                    return local
                entered.add((frame, frame.f_lineno))
            seen += 1
            if seen >= number and frame.f_code.co_code[frame.f_lasti] != POP_EXCEPT:
                sys.settrace(None)
                then()
        return local

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        return local if frame.f_code.co_filename.startswith(PACKAGE) else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return seen


def interrupt() -> None:
    """As Ctrl-C does."""
    raise KeyboardInterrupt


def interrupted_at(number: int, call: Callable[[], object]) -> bool:
    """Make a call that is interrupted at its n-th line. False: it had fewer, and has come to its end."""
    interrupted = True
    with contextlib.suppress(KeyboardInterrupt):
        interrupted = at_line(number, interrupt, call) >= number
    assert sys.exc_info() == (None, None, None), "an exception stayed the thread's current one"
    return interrupted
