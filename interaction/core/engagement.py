"""A session at its slave: who may open, resume and end it.

::

    FREE ── opened ──> OPEN ── disconnect: ask ──> CLOSING ── closed ──> FREE
                       ^  │ <──────── stays ─────────┘ │
                       │  └──────── lease_over ────────┴──> OVER ── opened for another: FREE for its master
                       └──────────── resumed ────────────────┘

A master that asks is at first only `asking`: until the user takes it, the session that was is as it was.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, unique

from interaction.core.lease import Lease
from interaction.core.model import ConnectAnswer, Data
from interaction.core.token import same_token
from interaction.exception import (
    ResponseException,
    SlaveMasterTokenInvalid,
    SlaveSlaveAlreadyConnected,
    SlaveSlaveNotConnected,
    SlaveSystemShuttingDown,
)

REMEMBERED_TOKENS = 64  # of ended sessions, and as many of refused ones: what bears one of them changes nothing


@unique
class EngagementState(Enum):
    """Where a slave stands with its master."""

    FREE = "free"
    OPEN = "open"
    CLOSING = "closing"  # the user is being asked whether to disconnect
    OVER = "over"  # the lease ran out: the session's master may still resume it


@unique
class Verdict(Enum):
    """Decision about a call."""

    ASK = "ask"  # ask the user, then tell the engagement
    WAIT = "wait"  # the same call is being decided: its answer is the answer
    REPEAT = "repeat"  # the same call was decided: `answer`
    RESUME = "resume"  # take the new token; nobody is asked


class Engagement:
    """The slave's side of its session. Times are readings of one monotonic clock, in seconds."""

    def __init__(self, heartbeat_span: float) -> None:
        self._span = heartbeat_span
        self.state = EngagementState.FREE
        self.token = ""  # of the session that is open, closing or over
        self.lease: Lease | None = None
        self.asking = ""  # the token of the Connect that the user is being asked about
        self.draining = False  # no new session is opened
        self._resumed = False
        self.farewell: Data = {}  # the answer to the Disconnect of the last ended session
        self._answer: ConnectAnswer | None = None  # to the Connect of `token`
        self._ended: deque[str] = deque(maxlen=REMEMBERED_TOKENS)
        self._refusals: deque[tuple[str, ResponseException]] = deque(maxlen=REMEMBERED_TOKENS)

    @property
    def open(self) -> bool:
        """Whether the slave takes tasks and beats."""
        return self.state in (EngagementState.OPEN, EngagementState.CLOSING)

    @property
    def certain(self) -> bool:
        """Whether the session's master is known to keep it.

        One that resumes it may have given it up while its call was on the way; the first acknowledged beat tells.
        """
        return self.lease is not None and (self.lease.confirmed or not self._resumed)

    def owns(self, token: str) -> bool:
        """Whether the token is that of the open session."""
        return self.open and same_token(token, self.token)

    def check(self, token: str) -> None:
        """Admit a call that needs the open session. Raises SlaveSlaveNotConnected or SlaveMasterTokenInvalid."""
        if not self.open:
            raise SlaveSlaveNotConnected("this slave has no session; connect first")
        if not same_token(token, self.token):
            raise SlaveMasterTokenInvalid("the token is not that of this slave's session")

    def connect(self, token: str, previous: str | None) -> Verdict:
        """A master wants to open a session, or with `previous` to resume one."""
        if self._refusal(token) is not None:
            return Verdict.REPEAT
        if any(same_token(token, ended) for ended in self._ended):
            raise SlaveMasterTokenInvalid("the session of this token has ended; connect with a new one")
        if self.asking and same_token(token, self.asking):
            return Verdict.WAIT
        if self.token and same_token(token, self.token):
            if self.open:
                return Verdict.REPEAT
            raise SlaveMasterTokenInvalid("the lease of this token's session is over; connect with a new one")
        if self.asking:
            raise SlaveSlaveAlreadyConnected("this slave is being asked by another master; try again later")
        if previous is not None and self.token and same_token(previous, self.token):
            return Verdict.RESUME
        if self.open:
            raise SlaveSlaveAlreadyConnected("this slave has a living session; its master must disconnect first")
        if self.draining:
            raise SlaveSystemShuttingDown("this slave drains: it takes no new master")
        self.asking = token
        return Verdict.ASK

    def answer_to(self, token: str) -> ConnectAnswer:
        """What was answered to a Connect that is repeated. Raises the refusal if it was one."""
        refusal = self._refusal(token)
        if refusal is not None:
            raise refusal.with_traceback(None)  # else each duplicate would make it longer
        assert self._answer is not None, "the session is open"
        return self._answer

    def opened(self, answer: ConnectAnswer, lease: float, now: float) -> None:
        """The user takes the connection. A session whose lease ran out is given up for it."""
        token, self.asking = self.asking, ""
        self._begin(token, answer, lease, now)
        self._resumed = False

    def refused(self, error: ResponseException) -> None:
        """The user refuses the connection. A duplicate of the call gets the same answer."""
        self._refusals.append((self.asking, error))
        self.asking = ""

    def not_opened(self, token: str, error: ResponseException) -> None:
        """The session could not be begun: it is refused, whatever there was of it."""
        if self.token and same_token(token, self.token):
            self.end()
        if self._refusal(token) is None:
            self._refusals.append((token, error))
        if same_token(token, self.asking):
            self.asking = ""

    def not_resumed(self, token: str, previous: str) -> None:
        """The session could not go on under that token: its lease is over, and its master may resume it again."""
        if self.token not in (token, previous):
            return
        if previous in self._ended:
            self._ended.remove(previous)
        self.state, self.token, self.lease, self._answer = EngagementState.OVER, previous, None, None

    def resumed(self, token: str, answer: ConnectAnswer, lease: float, now: float) -> None:
        """The session goes on under a new token."""
        self._begin(token, answer, lease, now)
        self._resumed = True

    def disconnect(self, token: str) -> Verdict:
        """The master wants to end the session. After its end, of whatever kind, there is nothing left to ask.

        A session whose lease ran out is given up for good: its results may be dropped.
        """
        if self.state is EngagementState.OVER and same_token(token, self.token):
            self.end()
        if self.state is EngagementState.FREE and self._ended and same_token(token, self._ended[-1]):
            return Verdict.REPEAT
        self.check(token)
        if self.state is EngagementState.CLOSING:
            return Verdict.WAIT
        self.state = EngagementState.CLOSING
        return Verdict.ASK

    def stays(self, token: str) -> None:
        """The user refuses the disconnection of this session."""
        if self.state is EngagementState.CLOSING and same_token(token, self.token):
            self.state = EngagementState.OPEN

    def closed(self, token: str, farewell: Data) -> bool:
        """The user agrees to the disconnection. False where this session was over already, or resumed meanwhile."""
        if not self.token or not same_token(token, self.token):
            return False
        self.end()
        self.farewell = farewell
        return True

    def lease_over(self, now: float) -> bool:
        """Whether the lease has just run out: the slave lets go, and only this session's master may come back to it."""
        if not self.open or self.lease is None or not self.lease.expired(now):
            return False
        self.state = EngagementState.OVER
        return True

    def end(self) -> None:
        """The session is over for good."""
        self._end_token()
        self.state, self.lease, self._answer, self.farewell = EngagementState.FREE, None, None, {}

    def _begin(self, token: str, answer: ConnectAnswer, lease: float, now: float) -> None:
        self._end_token()
        self.state, self.token, self._answer = EngagementState.OPEN, token, answer
        self.lease = Lease(lease, self._span, now)

    def _end_token(self) -> None:
        if self.token:
            self._ended.append(self.token)
            self.token = ""

    def _refusal(self, token: str) -> ResponseException | None:
        return next((error for refused, error in self._refusals if same_token(token, refused)), None)
