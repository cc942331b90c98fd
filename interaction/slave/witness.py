"""Memory that a slave shares with its pacemaker, which so knows what had begun when the slave has died."""

from __future__ import annotations

import logging
import mmap
import os
import sys
import weakref

from interaction.config import SlaveOptions
from interaction.core import begun
from interaction.core.outbox import CAPACITY

_log = logging.getLogger("interaction.slave")


class Witness:
    """That memory. The descriptor is for the pacemaker's process, and for no other that this one starts."""

    def __init__(self, size: int) -> None:
        self.descriptor = os.memfd_create("interaction-begun")
        self._close = weakref.finalize(self, os.close, self.descriptor)
        os.ftruncate(self.descriptor, size)
        self.memory = mmap.mmap(self.descriptor, size)

    def session(self, number: int) -> None:
        """From now on it is about the pacemaker's session of that number."""
        if not self.memory.closed:
            begun.number(self.memory, number)

    def close(self) -> None:
        """The slave is shut down."""
        self.memory.close()
        self._close()


def witness_for(options: SlaveOptions) -> Witness | None:
    """One for a slave of those options; None where it would be of little use, or can't be had.

    Without a backlog a slave has hardly a task that has not begun.
    """
    if not (options.pacemaker and options.backlog) or sys.platform != "linux":
        return None
    try:
        return Witness(begun.size_for(CAPACITY + 2 * (options.slots + options.backlog)))
    except OSError as error:
        _log.warning("if this slave dies it will not be known what had begun: no memory to share: %s", error)
        return None
