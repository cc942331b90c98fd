"""How many jobs a slave is handed beyond those that it runs at once: as many as keep it busy for a moment, and no more.

What waits in a slave's backlog can't go to a slave that is idle, and may be in doubt when its slave dies. So a backlog
is used only as far as it hides the way between two tasks. Times are readings of one monotonic clock, in seconds.
"""

from __future__ import annotations

HORIZON = 0.03  # seconds of work that wait at a slave, beside what the way there and back takes
LONGEST_WAY = 0.25  # seconds
CAREFUL = 32  # jobs beyond its slots, up to which a slave is given one more after each `CAREFUL_STEP` quick ones
CAREFUL_STEP = 8
_MEMORY = 16  # jobs that an average is about
_KEEP = 1 - 1 / _MEMORY


class Depth:
    """What is known of the pace of one slave. `extra` is how many jobs it is handed beyond its slots: 0 at first, more
    as jobs end quickly, slowly at first and then one with each, and fewer at once where they are not quick."""

    def __init__(self, slots: int, backlog: int) -> None:
        self.extra = 0
        self._quick = 0  # jobs that have ended since it was given one more
        self._slots = slots
        self._backlog = backlog
        self._stayed = 0.0  # seconds that jobs were at the slave: those of late count most
        self._rounds = 0.0  # how often all slots had to get free for them
        self._way = 0.0  # seconds from a job's handing over until it is known to be there

    def ended(self, place: int, given_at: float, accepted_at: float | None, now: float) -> None:
        """A job has ended, which was the slave's `place`-th when it was given. `accepted_at`: when the slave was heard
        to have it; None where its end was heard first, as that of a quick one is."""
        self._stayed *= _KEEP
        if accepted_at is not None:
            self._stayed += now - accepted_at
            way = min(accepted_at - given_at, LONGEST_WAY)
            self._way += (way - self._way) / _MEMORY
        self._rounds = self._rounds * _KEEP + (place / self._slots if place > self._slots else 1.0)
        self._quick += 1
        extra = self.extra
        if extra >= CAREFUL or self._quick >= CAREFUL_STEP:
            extra, self._quick = extra + 1, 0
        if extra > self._backlog:
            extra = self._backlog
        moment = (HORIZON + 2 * self._way) * self._slots * self._rounds
        self.extra = int(moment / self._stayed) if self._stayed * extra > moment else extra
