"""A session at its master: when the slave is suspected, asked after, and given up.

::

    OPENING ── opened ──> LIVE ── stream_broken ──> SUSPECT ── probed: nobody, another ──> OVER
       │                   │ ^                        │  │
       │                   │ └──── stream_opened ─────┘  │
       └───── end ──────> OVER <── tick: silent, end ────┘

Where the slave has a witness, and tasks, a suspect that is not found is GONE first, until that has spoken or is late.

A suspect is asked after until its stream is open again, or it is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, unique

from interaction.exception import LossReason, RequestException

STREAM_GRACE = 0.5  # seconds after the opening within which a slave opens its heartbeat stream
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0  # seconds between two probes, doubled each time
ACKNOWLEDGED_SHARE = 1 / 3  # of the lease: acknowledged beats are no further apart, where the slave beats as often
NEXT_GAP = 1.25  # of the longest one of late: the next beat comes within that, jitter and all
WITNESS_PATIENCE = 0.75  # seconds that a slave's witness has to say what had begun, once nobody is found any more
DOUBT = 1.0  # seconds within which the end of a session follows the first sign of it: a probe, and its witness
MOST_REFUSALS = 10  # of calls by the token of one session that are told
LEASE_SHARE = 2 / 3  # of the tolerance: so the slave lets go of the session before the master does


@unique
class SessionState(Enum):
    """Where a session stands."""

    OPENING = "opening"  # Connect is under way
    LIVE = "live"
    SUSPECT = "suspect"  # the heartbeat stream is broken
    GONE = "gone"  # the slave is not there any more: what becomes of its tasks is about to be known
    OVER = "over"


@dataclass(frozen=True)
class Probe:
    """Decision: ask who is there, in so many seconds; where it is `patient`, later if many are to be asked."""

    after: float = 0.0
    patient: bool = False


@dataclass(frozen=True)
class Lose:
    """Decision: the slave is gone, and the session is over. The message has no subject: `the process has exited`."""

    reason: LossReason
    message: str


@dataclass(frozen=True)
class Await:
    """Decision: the slave is gone, and gets nothing more. After so many seconds its `witness_is_late`."""

    seconds: float


@dataclass(frozen=True)
class ProbeAnswer:
    """What a probe found: who answered, or that nobody listens, or (neither) nothing for certain."""

    incarnation: str | None = None
    nobody: bool = False


class Session:
    """One session at the master. Times are readings of one monotonic clock, in seconds."""

    def __init__(self, tolerance: float) -> None:
        self.tolerance = tolerance
        self.state = SessionState.OPENING
        self.reason: LossReason | None = None  # why it is over, known before it is; None where it had never begun
        self.incarnation = ""
        self.newest_beat = 0  # of the newest stream
        self.last_heard = 0.0  # until then nobody looks at it
        self._stream = 0  # streams are numbered; the newest one counts
        self._streaming = False
        self._acknowledged_at: float | None = None  # the newest beat of the stream that was
        self._longest_gap = 0.0  # between two beats, of late
        self._probes = 0  # under way
        self._next_pause = FIRST_PAUSE
        self._parting = False
        self._witnessed = False  # another process tells when the slave's has ended
        self._finding: Lose | None = None  # while it is GONE
        self._slave: frozenset[str] | None = None  # the names in its certificate, once it has called
        self._refused: set[str] = set()  # why calls by its token were

    @property
    def lease(self) -> float:
        """The lease that the slave is granted, in seconds."""
        return self.tolerance * LEASE_SHARE

    @property
    def over(self) -> bool:
        """Whether the session has ended: nothing that bears its token changes anything."""
        return self.state is SessionState.OVER

    @property
    def lives(self) -> bool:
        """Whether it has begun, and has not ended."""
        return self.state in (SessionState.LIVE, SessionState.SUSPECT, SessionState.GONE)

    def recognises(self, names: frozenset[str]) -> bool:
        """Whether who is known by these names is the session's slave: the first who called by its token, which nobody
        else was told. One name in common is enough: a certificate that is renewed may have got more of them."""
        if self._slave is None and names:
            self._slave = names
        return self._slave is not None and not self._slave.isdisjoint(names)

    def is_news(self, refusal: str) -> bool:
        """Whether it is to be told that a call by its token was refused so: of each kind the first, and not many."""
        if refusal in self._refused or len(self._refused) >= MOST_REFUSALS:
            return False
        self._refused.add(refusal)
        return True

    def opened(self, incarnation: str, now: float, *, witnessed: bool = False) -> Probe | None:
        """The slave has accepted Connect. `witnessed`: it has a witness."""
        if self.over:
            return None
        self._witnessed = witnessed
        self.state, self.incarnation, self.last_heard = SessionState.LIVE, incarnation, now
        broken_already = self._stream > 0 and not self._streaming
        return self._suspect() if broken_already else None

    def expect_stream(self) -> Probe | None:
        """`STREAM_GRACE` has passed since the opening. Where there is no stream, none breaks when the process dies."""
        if self.state is not SessionState.LIVE or self._streaming:
            return None
        self.state = SessionState.SUSPECT
        return self._probe(0.0, patient=True)

    def stream_opened(self, now: float) -> int:
        """The slave opened a heartbeat stream, which takes the place of an older one. Returns the stream's number.

        What is acknowledged on it are its own beats: a slave that was restarted while Connect was tried again counts
        from 1, and must not take the beats of its former life for its own.
        """
        self._stream += 1
        self.newest_beat = 0
        self._acknowledged_at, self._longest_gap = None, 0.0
        self._streaming = True
        self.last_heard = now
        if self.state is SessionState.SUSPECT:
            self.state = SessionState.LIVE
        return self._stream

    def beat(self, stream: int, sequence: int, now: float) -> bool:
        """A beat came; says whether it is to be acknowledged. One on a replaced stream, or after the end, is not.

        Nor is one of a slave that beats more often than it must, where the next will be in time: it has no less of its
        lease left, at any moment, than a slave that beats every third of it and is acknowledged each time.
        """
        if self.over or stream != self._stream:
            return False
        self.newest_beat = max(self.newest_beat, sequence)
        self._longest_gap = max(now - self.last_heard, 0.9 * self._longest_gap)
        self.last_heard = now
        if self._acknowledged_at is not None:
            next_at = now + NEXT_GAP * self._longest_gap
            if next_at <= self._acknowledged_at + self.lease * ACKNOWLEDGED_SHARE:
                return False
        self._acknowledged_at = now
        return True

    def stream_broken(self, stream: int) -> Probe | None:
        """A heartbeat stream ended without a word."""
        if stream != self._stream:
            return None
        self._streaming = False
        return self._suspect() if self.state is SessionState.LIVE else None

    def probed(self, answer: ProbeAnswer, *, busy: bool = False) -> Probe | Lose | Await | None:
        """A probe has ended. One that found out nothing is made again soon: a process that dies takes its moment.

        `busy`: the slave has tasks, of which its witness may tell whether they had begun.
        """
        self._probes -= 1
        if self.over or self.state is SessionState.GONE:
            return None
        if answer.incarnation is not None and answer.incarnation != self.incarnation:
            return self._not_found(LossReason.RESTARTED, "another process answers at its address", busy)
        if answer.nobody and self.state is SessionState.SUSPECT:
            return self._not_found(LossReason.EXITED, "nobody listens at its address any more", busy)
        if self.state is not SessionState.SUSPECT or self._probes:
            return None
        if answer.incarnation is not None:
            self._next_pause = FIRST_PAUSE
            return self._probe(LONGEST_PAUSE, patient=True)
        pause, self._next_pause = self._next_pause, min(2 * self._next_pause, LONGEST_PAUSE)
        return self._probe(pause)

    def _not_found(self, reason: LossReason, message: str, busy: bool) -> Lose | Await:
        if not (busy and self._witnessed and self.state is SessionState.SUSPECT):
            return self._lose(reason, message)
        self.state, self._finding = SessionState.GONE, Lose(reason, message)
        return Await(WITNESS_PATIENCE)

    def doubt(self, error: BaseException) -> float:
        """How many seconds it takes until it is known whether this failure of a call is the slave's death, of which its
        witness knows more."""
        broken = isinstance(error, RequestException) and error.code == "UNAVAILABLE"
        return DOUBT if self._witnessed and broken else 0.0

    def witness_is_late(self) -> Lose | None:
        """The seconds that it has have passed."""
        finding = self._finding
        if self.state is not SessionState.GONE or finding is None:
            return None
        return self._lose(finding.reason, finding.message)

    def exited(self, stream: int, incarnation: str) -> Lose | None:
        """On that stream the witness of a slave says that this has ended."""
        if self.over or stream != self._stream or incarnation != self.incarnation:
            return None
        return self._lose(LossReason.EXITED, "its process has ended")

    def tick(self, now: float) -> Lose | None:
        """Time has passed."""
        if self.over or self.state is SessionState.GONE or now < self.silent_at(now):
            return None
        silence = f"no heartbeat came for {now - self.last_heard:.1f} s"
        if not self._stream:
            silence += ", nor a first one: can the slave reach this master at its address? Its log may say why not"
        return self._lose(LossReason.SILENT, silence)

    def silent_at(self, now: float) -> float:
        """When `tick` will lose it, unless it is heard before then."""
        return (now if self.state is SessionState.OPENING else self.last_heard) + self.tolerance

    def parting(self, under_way: bool) -> None:
        """Disconnect is, or is no more, under way: a stream that breaks meanwhile is asked after a while later.

        Until then the slave's answer has most likely come. It may also have died without one.
        """
        self._parting = under_way

    def excuse(self, seconds: float, now: float) -> None:
        """The master itself stood still for that long: what it did not hear meanwhile is not the slave's silence."""
        self.last_heard = min(self.last_heard + seconds, now)

    def end(self, reason: LossReason | None) -> bool:
        """The session ends by the will of either side. False where it was over before."""
        if self.over:
            return False
        self.reason = reason
        self.state = SessionState.OVER
        return True

    def _suspect(self) -> Probe:
        self.state = SessionState.SUSPECT
        self._next_pause = FIRST_PAUSE
        return self._probe(LONGEST_PAUSE if self._parting else 0.0)

    def _probe(self, after: float, *, patient: bool = False) -> Probe:
        self._probes += 1
        return Probe(after, patient)

    def _lose(self, reason: LossReason, message: str) -> Lose:
        self.reason = reason
        self.state = SessionState.OVER
        return Lose(reason, message)
