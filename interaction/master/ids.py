"""Ids of tasks: random UUIDs, drawn many at a time.

A call of the system for each would cost more than all else that a task takes, for it lets other threads run meanwhile.
"""

from __future__ import annotations

import os
import threading

_AT_ONCE = 256
_drawn: list[str] = []
_lock = threading.Lock()


def new_id() -> str:
    """A UUID of version 4, in its usual form (RFC 9562)."""
    with _lock:
        if not _drawn:
            _draw()
        return _drawn.pop()


def _draw() -> None:
    digits = os.urandom(16 * _AT_ONCE).hex()
    for start in range(0, len(digits), 32):
        one = digits[start : start + 32]
        variant = "89ab"[int(one[16], 16) & 3]
        _drawn.append(f"{one[:8]}-{one[8:12]}-4{one[13:16]}-{variant}{one[17:20]}-{one[20:]}")


def _forget() -> None:
    """A forked child draws its own."""
    global _lock
    _lock = threading.Lock()
    _drawn.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
