"""A slave's lease: how long it may believe in its session.

The lease counts from the *sending* of the last beat that was acknowledged, so that the slave always lets go of the
session before its master does, whatever the network adds to either direction.
"""

from __future__ import annotations

from collections import deque

UNPROVED = 30.0  # seconds that a slave keeps a session whose master has acknowledged nothing, whatever was granted
FOR_NOW = 86400.0  # seconds, while it is held
DOUBT_SHARE = 3 / 4  # of the lease without an acknowledgement: then a stream may hang, and another is tried
JITTER = 0.1  # of the time between two beats, either way, so that slaves do not beat in step


class Lease:
    """The lease of one session at the slave. Times are readings of one monotonic clock, in seconds."""

    def __init__(self, duration: float, span: float, now: float) -> None:
        self._granted = duration
        self._told: float | None = None  # the last that came with an acknowledgement
        self._held = False
        self._span = span
        self._renewed_at = now
        self.confirmed = False  # the master has acknowledged a beat: it knows the session
        self._newest = 0
        self._sent: deque[tuple[int, float]] = deque()  # beats without an acknowledgement, oldest first

    @property
    def duration(self) -> float:
        """How long it is, in seconds."""
        if self._held:
            return FOR_NOW
        return self._granted if self.confirmed else min(self._granted, UNPROVED)

    @property
    def newest(self) -> int:
        """The sequence of the newest beat."""
        return self._newest

    @property
    def renewed_at(self) -> float:
        """When the newest beat was sent that has been acknowledged; before the first, when the lease began."""
        return self._renewed_at

    @property
    def doubtful_at(self) -> float:
        """When a heartbeat stream that is open, and brings no acknowledgement, is not to be relied upon any more."""
        return self._renewed_at + self.duration * DOUBT_SHARE

    @property
    def expires_at(self) -> float:
        """When the slave must let go of the session."""
        return self._renewed_at + self.duration

    def beat(self, now: float) -> int:
        """A beat is being sent; returns its sequence."""
        self._newest += 1
        if len(self._sent) == 1000:  # far more than a lease holds: the oldest can't renew it any more
            self._sent.popleft()
        self._sent.append((self._newest, now))
        return self._newest

    def acknowledged(self, sequence: int, duration: float | None = None) -> None:
        """The master has acknowledged all beats up to `sequence`, and may have granted another duration.

        A sequence that was not sent changes nothing; one that was acknowledged before renews nothing.
        """
        if sequence > self._newest:
            return
        if duration is not None:
            self._granted = self._told = duration
        while self._sent and self._sent[0][0] <= sequence:
            self._renewed_at, self.confirmed = max(self._renewed_at, self._sent.popleft()[1]), True

    def adopt(self, newest: int, renewed_at: float, duration: float) -> None:
        """Somebody else on this machine has beaten for the same session, up to `newest`, and this is what it knows."""
        self._newest = max(self._newest, newest)
        if renewed_at > self._renewed_at:
            self._renewed_at, self._granted, self.confirmed = renewed_at, duration, True

    def hold(self) -> None:
        """It is not over before it has begun: something else limits the time until then."""
        self._held = True

    def begin(self, duration: float, now: float) -> None:
        """It counts from now, and is that long, unless an acknowledgement has said otherwise."""
        self._held, self._renewed_at = False, max(self._renewed_at, now)
        self._granted = duration if self._told is None else self._told

    def expired(self, now: float) -> bool:
        """Whether the slave must let go of the session."""
        return now >= self.expires_at

    def pause(self, chance: float) -> float:
        """Seconds until the next beat, never more than a third of the lease; `chance` is uniform in 0 to 1."""
        return min(self._span * (1 + JITTER * (2 * chance - 1)), self.duration / 3 * (1 - JITTER * (1 - chance)))
