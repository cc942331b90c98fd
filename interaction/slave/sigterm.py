"""SIGTERM, by which orchestrators end processes: the slaves that have asked for it drain."""

from __future__ import annotations

import os
import signal
import weakref
from types import FrameType
from typing import Protocol

from interaction.config import patience
from interaction.slave.farewell import Leaving, say_farewell


class Draining(Leaving, Protocol):
    """A slave's service."""

    def leave_well(self, timeout: float | None = None) -> bool:
        """Have it drain and shut down. Returns at once; False where it does not run in this process."""


_asking: weakref.WeakKeyDictionary[Draining, float | None] = weakref.WeakKeyDictionary()


def drain_at_sigterm(service: Draining, timeout: float | None) -> None:
    """As `Slave.drain_at_sigterm()`."""
    timeout = patience(timeout)
    signal.signal(signal.SIGTERM, _asked)
    _asking[service] = timeout


def _asked(number: int, frame: FrameType | None) -> None:
    """On the main thread, at any point of what runs there."""
    signal.signal(number, signal.SIG_DFL)
    leaving = {service: timeout for service, timeout in list(_asking.items()) if service.leave_well(timeout)}
    if not leaving:
        os.kill(os.getpid(), number)  # there is nothing to drain: this is the end
        return
    limits = [timeout for timeout in leaving.values() if timeout is not None]
    longest = max(limits) if len(limits) == len(leaving) else None
    say_farewell(list(leaving), "asked to end (SIGTERM)", longest, "SIGTERM again ends the process at once")
