"""Ids of tasks: random UUIDs, drawn many at a time.

A call of the system for each would cost more than all else that a task takes, for it lets other threads run meanwhile.
"""

from __future__ import annotations

import os

_AT_ONCE = 256
_drawn: list[str] = []  # each is taken by one call into C: by one thread, whoever interrupts it


def new_id() -> str:
    """A UUID of version 4, in its usual form (RFC 9562)."""
    while True:
        try:
            return _drawn.pop()
        except IndexError:
            _draw()


def _draw() -> None:
    digits = os.urandom(16 * _AT_ONCE).hex()
    ids = []
    for start in range(0, len(digits), 32):
        one = digits[start : start + 32]
        variant = "89ab"[int(one[16], 16) & 3]
        ids.append(f"{one[:8]}-{one[8:12]}-4{one[13:16]}-{variant}{one[17:20]}-{one[20:]}")
    _drawn.extend(ids)


if hasattr(os, "register_at_fork"):  # a forked child draws its own
    os.register_at_fork(after_in_child=_drawn.clear)
