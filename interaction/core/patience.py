"""How long jobs wait where there is no slave for them: when that is told, and when they are given up.

Times are readings of one monotonic clock, in seconds.
"""

from __future__ import annotations

WARN_AFTER, WARN_EVERY = 10.0, 60.0


class Patience:
    """Of one pool. `most` is how many seconds a job waits for a slave; None: as long as it takes."""

    def __init__(self, most: float | None) -> None:
        self._most = most
        self._lacks_since: float | None = float("-inf")  # since when there is no slave; None: there is one
        self._warned_at = float("-inf")

    def found(self) -> None:
        """There is a slave."""
        self._lacks_since, self._warned_at = None, float("-inf")

    def lacks(self, now: float) -> None:
        """There is none any more."""
        self._lacks_since = now

    def waits_since(self, since: float) -> float | None:
        """Since when a job that was submitted then has waited for a slave; None where it waits for a place."""
        return None if self._lacks_since is None else max(self._lacks_since, since)

    def due(self, since: float) -> float | None:
        """When something is to be done about a job that was submitted then and waits."""
        waits_since = self.waits_since(since)
        if waits_since is None:
            return None
        warns_at = max(waits_since + WARN_AFTER, self._warned_at + WARN_EVERY)
        return warns_at if self._most is None else min(warns_at, waits_since + self._most)

    def over(self, since: float, now: float) -> bool:
        """Whether a job that was submitted then has waited long enough."""
        waits_since = self.waits_since(since)
        return waits_since is not None and self._most is not None and now >= waits_since + self._most

    def warn(self, since: float, now: float) -> bool:
        """Whether it is to be told now that jobs wait, the oldest of them since then. Says so once."""
        waits_since = self.waits_since(since)
        if waits_since is None or now < max(waits_since + WARN_AFTER, self._warned_at + WARN_EVERY):
            return False
        self._warned_at = now
        return True
