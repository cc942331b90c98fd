"""How many jobs a slave is handed beyond those that it runs at once: as many as keep it busy for a moment, and no more.

What waits in a slave's backlog has not begun, can't go to a slave that is idle, and is in doubt when its slave dies. So
a backlog is used only as far as it hides the way between two tasks. Times are readings of one monotonic clock, in
seconds.
"""

from __future__ import annotations

HORIZON = 0.03  # seconds of work that wait at a slave, beside what the way there and back takes
LONGEST_WAY = 0.25  # seconds
_MEMORY = 16  # jobs that an average is about


class Depth:
    """What is known of the pace of one slave. `extra` is how many jobs it is handed beyond its slots: 0 at first, one
    more with each job that has ended while its jobs are quick, and fewer at once where they are not."""

    def __init__(self, slots: int, backlog: int) -> None:
        self.extra = 0
        self._slots = slots
        self._backlog = backlog
        self._stayed = 0.0  # seconds that jobs were at the slave: those of late count most
        self._rounds = 0.0  # how often all slots had to get free for them
        self._way = 0.0  # seconds from a job's handing over until it is known to be there

    def ended(self, place: int, given_at: float, accepted_at: float | None, now: float) -> None:
        """A job has ended, which was the slave's `place`-th when it was given. `accepted_at`: when the slave was heard
        to have it; None where its end was heard first, as that of a quick one is."""
        keep = 1 - 1 / _MEMORY
        self._stayed *= keep
        if accepted_at is not None:
            self._stayed += now - accepted_at
            way = min(accepted_at - given_at, LONGEST_WAY)
            self._way += (way - self._way) / _MEMORY
        self._rounds = self._rounds * keep + max(place / self._slots, 1.0)
        most, moment = float(self._backlog), (HORIZON + 2 * self._way) * self._slots * self._rounds
        if self._stayed * most > moment:
            most = moment / self._stayed
        self.extra = min(self.extra + 1, int(most))
