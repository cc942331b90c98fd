"""A slave of a pool, as the dispatcher sees it."""

from __future__ import annotations

from typing import Generic, TypeVar

from interaction.core.depth import Depth

# A slave that was full gets more when a quarter of what it may have beyond its slots is free: many in one message.
BATCH_SHARE = 4
FIRST_REST = 0.01  # seconds that a slave which has no place, against what is known, is left alone at first

M = TypeVar("M")


class Member(Generic[M]):
    """A slave, with the jobs that it has."""

    def __init__(self, who: M, slots: int, backlog: int) -> None:
        self.who = who
        self.slots = slots
        self.places = slots + backlog
        self.depth = Depth(slots, backlog)
        self.has = 0
        self.filling = True  # it takes until it is full; then nothing until there is place for a batch
        self.turn = 0  # the number of its entry in the heap that holds; 0: none
        self.resting = False
        self.rest = FIRST_REST  # how long the next one is

    def takes(self) -> bool:
        """Whether it is to be given a job."""
        extra = self.depth.extra
        room = self.slots + extra - self.has
        if room <= 0:
            self.filling = False
        elif room >= extra // BATCH_SHARE:
            self.filling = True
        return self.filling and not self.resting
