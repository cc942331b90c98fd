"""When a pacemaker, a process beside a slave, beats in the slave's place: while the slave's loop stands still.

::

    REST ── no pulse, or no acknowledgement, for too long ──> BEAT ── pulse, yielded ──> REST
      └────────── for almost that long ──> LOAD ──────────────^ └── lease over, ended ──> REST

The slave sends it a pulse with each beat and each acknowledgement. Moments are readings of one monotonic clock, in
seconds, which both processes read. It imports nothing beyond the core, for a process that waits should be small.
"""

from __future__ import annotations

from enum import Enum, unique

from interaction.core.lease import Lease

SILENCE_SHARE = 1 / 2  # of the lease without a pulse: then it beats. The slave pulses every third
LOAD_SHARE = 2 / 5  # of the lease without a pulse: then it gets ready
LOAD_PATIENCE = 0.8  # seconds that getting ready may take; where those shares leave less it is ready from the start
WATCH_SHARE = 1 / 12  # of the lease between two looks at a slave that is stopped


@unique
class Pace(Enum):
    """What a pacemaker is to do."""

    REST = "rest"
    LOAD = "load"  # get ready to beat
    BEAT = "beat"


def silent(lease: Lease, now: float) -> bool:
    """Whether its pacemaker has said nothing of which the slave that knows so much of its lease has not heard.

    It rests for that long after a pulse, and each acknowledgement is one. To hear it costs a system call.
    """
    return now < lease.renewed_at + lease.duration * SILENCE_SHARE


class Pacemaker:
    """One pacemaker, from its slave's first session to the last."""

    def __init__(self) -> None:
        self.lease: Lease | None = None  # of the session; None without one
        self._last_pulse = 0.0
        self._beating = False

    def begins(self, duration: float, span: float, now: float) -> None:
        """A session begins."""
        self.lease = Lease(duration, span, now)
        self._last_pulse, self._beating = now, False

    def ends(self) -> None:
        """The session is over."""
        self.lease, self._beating = None, False

    def pulse(self, sent_at: float, newest: int, renewed_at: float, duration: float) -> None:
        """The slave's loop runs: it beats itself, and this is what it knows."""
        if self.lease is not None:
            self.lease.adopt(newest, renewed_at, duration)
            self._last_pulse, self._beating = max(sent_at, self._last_pulse), False

    def yielded(self, now: float) -> None:
        """A newer stream has taken the place of this one's: the slave beats itself."""
        self._last_pulse, self._beating = max(now, self._last_pulse), False

    def pace(self, now: float, stopped: bool) -> Pace:
        """What to do now. A slave that is stopped (SIGSTOP) is not to be kept alive, only one that is busy."""
        lease = self.lease
        if lease is None or lease.expired(now):
            self._beating = False
            return Pace.REST
        if now >= self._due(lease):
            self._beating = True
        if self._beating and not stopped:
            return Pace.BEAT
        return Pace.LOAD if now >= self._load_at(lease) else Pace.REST

    def stands_still(self, now: float) -> bool:
        """Whether the slave's loop does, by its pulses: where it beats and they come, it is not acknowledged."""
        return self.lease is not None and now >= self._silent_at(self.lease)

    def next_look(self, now: float) -> float | None:
        """When `pace` may say something else, though nothing has happened; None for never."""
        lease = self.lease
        if lease is None or lease.expired(now):
            return None
        if self._beating:  # but for the signal that stops the slave
            return now + lease.duration * WATCH_SHARE
        coming = [moment for moment in (self._load_at(lease), self._due(lease)) if moment > now]
        return min(coming, default=now)

    def acknowledged(self, sequence: int, duration: float | None, now: float) -> None:
        """The master has acknowledged beats of this one. What comes when the lease is over revives nothing."""
        if self.lease is not None and not self.lease.expired(now):
            self.lease.acknowledged(sequence, duration)

    def _due(self, lease: Lease) -> float:
        return min(self._silent_at(lease), lease.doubtful_at)  # pulses or not

    def _silent_at(self, lease: Lease) -> float:
        return self._last_pulse + lease.duration * SILENCE_SHARE

    def _load_at(self, lease: Lease) -> float:
        if lease.duration * (SILENCE_SHARE - LOAD_SHARE) < LOAD_PATIENCE:
            return float("-inf")
        return self._due(lease) - lease.duration * (SILENCE_SHARE - LOAD_SHARE)
