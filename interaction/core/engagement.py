"""A session at its slave: who may open, resume and end it.

::

    FREE ── connect: ask ──> OPENING ── opened ──> OPEN ── disconnect: ask ──> CLOSING ── closed ──> FREE
      ^                         │                  ^  │                           │
      └──────── refused ────────┘    resumed ──────┤  ├── lease_over ──> OVER ──┐ └── stays ──> OPEN
                                                   └──┼─────────────────────────┘
      FREE <───────────────── end ────────────────────┘
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
)

REMEMBERED_TOKENS = 64  # of ended sessions: what bears one of them changes nothing


@unique
class EngagementState(Enum):
    """Where a slave stands with its master."""

    FREE = "free"
    OPENING = "opening"  # the user is being asked whether to connect
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
        self.token = ""  # of the session that is opening, open, closing or over
        self.lease: Lease | None = None
        self.answer: ConnectAnswer | ResponseException | None = None  # to the Connect of `token`
        self.farewell: Data = {}  # the answer to the Disconnect of the last ended session
        self._ended: deque[str] = deque(maxlen=REMEMBERED_TOKENS)

    @property
    def open(self) -> bool:
        """Whether the slave takes tasks and beats."""
        return self.state in (EngagementState.OPEN, EngagementState.CLOSING)

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
        if any(same_token(token, ended) for ended in self._ended):
            raise SlaveMasterTokenInvalid("the session of this token has ended; connect with a new one")
        mine = bool(self.token) and same_token(token, self.token)
        if mine and self.state is EngagementState.OPENING:
            return Verdict.WAIT
        if mine and self.state is EngagementState.OVER:
            raise SlaveMasterTokenInvalid("the lease of this token's session is over; connect with a new one")
        if mine:
            return Verdict.REPEAT
        resumable = self.open or self.state is EngagementState.OVER
        if previous is not None and resumable and same_token(previous, self.token):
            return Verdict.RESUME
        if self.open or self.state is EngagementState.OPENING:
            raise SlaveSlaveAlreadyConnected("this slave has a living session; its master must disconnect first")
        self._end_token()
        self.state, self.token = EngagementState.OPENING, token
        return Verdict.ASK

    def opened(self, answer: ConnectAnswer, lease: float, now: float) -> None:
        """The user takes the connection."""
        self.state, self.answer = EngagementState.OPEN, answer
        self.lease = Lease(lease, self._span, now)

    def refused(self, error: ResponseException) -> None:
        """The user refuses the connection. A duplicate of the call gets the same answer."""
        self.state, self.answer = EngagementState.FREE, error

    def resumed(self, token: str, answer: ConnectAnswer, lease: float, now: float) -> None:
        """The session goes on under a new token."""
        self._end_token()
        self.token = token
        self.opened(answer, lease, now)

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

    def stays(self) -> None:
        """The user refuses the disconnection."""
        if self.state is EngagementState.CLOSING:
            self.state = EngagementState.OPEN

    def closed(self, farewell: Data) -> None:
        """The user agrees to the disconnection."""
        self.end()
        self.farewell = farewell

    def lease_over(self, now: float) -> bool:
        """Whether the lease has just run out: the slave lets go, and only this session's master may come back to it."""
        if not self.open or self.lease is None or not self.lease.expired(now):
            return False
        self.state = EngagementState.OVER
        return True

    def end(self) -> None:
        """The session is over for good."""
        self._end_token()
        self.state, self.lease, self.answer, self.farewell = EngagementState.FREE, None, None, {}

    def _end_token(self) -> None:
        if self.token:
            self._ended.append(self.token)
            self.token = ""
