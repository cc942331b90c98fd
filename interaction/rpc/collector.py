"""Large texts are parsed without Python's cyclic collector, which takes most of the time of it and finds nothing.

It belongs to the whole process, so: one thread at a time switches it off, and never the main one, on which a signal's
handler may raise between any two steps; where it is off already it stays off; and a child that is forked meanwhile has
it on again. What is parsed in C lets no other thread run, unless it has floats in it: who calls `gc.disable()` then has
it undone at the end of the parse.
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_switching = threading.Lock()  # taken without waiting alone
_is_off = False  # by us


def without_collector(parse: Callable[[str], T], text: str) -> T:
    """Call a function of one argument; where that can be had, without the collector."""
    global _is_off
    on_main = threading.current_thread() is threading.main_thread()
    if on_main or not gc.isenabled() or not _switching.acquire(blocking=False):
        return parse(text)
    try:
        _is_off = True
        gc.disable()
        return parse(text)
    finally:
        gc.enable()
        _is_off = False
        _switching.release()


def _after_fork() -> None:
    global _switching, _is_off
    if _is_off:  # by a thread that is not here
        gc.enable()
    _switching, _is_off = threading.Lock(), False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
