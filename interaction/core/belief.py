"""Whether a slave's results are believed by their master, who goes on to acknowledge its beats.

A heartbeat stream outlives what it was opened by: a certificate, or a secret. What is reported goes by those of now.
Where these are not believed the master gets no result any more, though the session lives: for as long as a lease that
may be set right, and then the session is over.
"""

from __future__ import annotations


class Belief:
    """That of one session. Times are readings of one monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._since: float | None = None  # no report has been believed since then
        self._why = ""

    def refused(self, why: str, now: float) -> bool:
        """A report was not believed. Says whether that is news."""
        news = why != self._why
        self._why = why
        if self._since is None:
            self._since = now
        return news

    def kept(self) -> None:
        """A report was believed, whatever the master made of it."""
        self._since, self._why = None, ""

    def over(self, lease: float, now: float) -> bool:
        """Whether none has been believed for as long as the lease, in seconds."""
        return self._since is not None and now - self._since >= lease
