"""A session at its slave: who may open, resume and end it.

::

    FREE ── opened ──> OPEN ── disconnect: ask ──> CLOSING ── closed ──> FREE
                       ^  │ <──────── stays ─────────┘ │
                       │  └──────── lease_over ────────┴──> OVER ── opened for another: FREE for its master
                       └──────────── resumed ────────────────┘

A master that wants to open a session has a claim at first, and proves it by acknowledging a beat that went to its
address. Then the user is asked. Until he takes it, the session that was is as it was.
"""

from __future__ import annotations

from collections import Counter, deque
from enum import Enum, unique

from interaction.core.lease import Lease
from interaction.core.model import Body, ConnectAnswer, Data
from interaction.core.token import NotPickled, same_token
from interaction.exception import (
    ResponseException,
    SlaveMasterTokenInvalid,
    SlaveSlaveAlreadyConnected,
    SlaveSlaveNotConnected,
    SlaveSystemShuttingDown,
)

PROOF_SECONDS = 10.0  # that a claim has until its master has acknowledged a beat
CHANCE_SECONDS = 1.0  # after which one of too many has had its chance; an honest one needs some tens of milliseconds
RETURN_SECONDS = 2.0  # in which who has proved himself, and has hung up, may call again
MOST_CLAIMS = 32  # side by side: one of a stranger does not stand in another's way
BEAT_SHARE = 0.3  # of the lease that was granted: what proves a claim is acknowledged soon, if only it is sent
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

    PROVE = "prove"  # the newest claim: beat for it, and tell the engagement what came of that
    ASK = "ask"  # ask the user, then tell the engagement
    WAIT = "wait"  # the same call is being decided: its answer is the answer
    REPEAT = "repeat"  # the same call was decided: `answer`
    RESUME = "resume"  # take the new token; nobody is asked


class Claim(NotPickled):
    """A Connect that has opened nothing yet: its master has to prove itself, or has, and the user is being asked."""

    def __init__(self, token: str, granted: float, span: float, now: float, address: str = "") -> None:
        self.token = token
        self.granted = granted  # seconds of lease
        self.address = address  # of its master, as the call says
        self.since = now
        self.lease = Lease(PROOF_SECONDS, min(span, granted * BEAT_SHARE), now)  # of the session that it may come to
        self.cut_off = False  # its heartbeat stream is broken, and could not be opened again
        self.displaced: Claim | None = None  # the one that gave way to it
        self.given_way = False  # it has
        self._calls = 0  # that wait for the answer
        self._left_at = now  # when there were none any more

    @property
    def proved(self) -> bool:
        """Whether its master has acknowledged a beat."""
        return self.lease.confirmed

    def called(self) -> None:
        """A call waits for the answer."""
        self._calls += 1

    def hung_up(self, now: float) -> None:
        """It waits no more."""
        self._calls -= 1
        self._left_at = now

    @property
    def forsaken_at(self) -> float | None:
        """From when on nobody is there whom it could be for, unless he calls before; None while a call waits.

        Who has proved himself may call again, when a connection broke, for a moment, and as long as he can be reached.
        """
        if self._calls:
            return None
        return self._left_at if self.cut_off or not self.proved else self._left_at + RETURN_SECONDS

    def forsaken(self, now: float) -> bool:
        """Whether it is to be dropped for that."""
        return self.forsaken_at is not None and now >= self.forsaken_at


def crowded() -> SlaveSlaveAlreadyConnected:
    """What is said to a claim that finds no place, or gives its place to another."""
    return SlaveSlaveAlreadyConnected(f"{MOST_CLAIMS} others want this slave at this moment; try again later")


class Engagement(NotPickled):
    """The slave's side of its session. Times are readings of one monotonic clock, in seconds."""

    def __init__(self, heartbeat_span: float) -> None:
        self._span = heartbeat_span
        self.state = EngagementState.FREE
        self.token = ""  # of the session that is open, closing or over
        self.lease: Lease | None = None
        self.claims: list[Claim] = []
        self.asking: Claim | None = None  # the one that the user is being asked about
        self.draining = False  # no new session is opened
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
        """Whether the session's master is known to keep it: it has acknowledged a beat under this very token.

        One that resumes it may have given it up while its call was on the way.
        """
        return self.lease is not None and self.lease.confirmed

    def owns(self, token: str) -> bool:
        """Whether the token is that of the open session."""
        return self.open and same_token(token, self.token)

    def check(self, token: str) -> None:
        """Admit a call that needs the open session. Raises SlaveSlaveNotConnected or SlaveMasterTokenInvalid."""
        if not self.open:
            raise SlaveSlaveNotConnected("this slave has no session; connect first")
        if not same_token(token, self.token):
            raise SlaveMasterTokenInvalid("the token is not that of this slave's session")

    def connect(
        self, token: str, previous: str | None, lease: float, now: float, address: str = "", chance: float = 0.0
    ) -> Verdict:
        """A master wants to open a session, or with `previous` to resume one, and grants that lease, in seconds.

        Where there are as many claims as there may be, one gives way; `chance` is uniform in 0 to 1.
        """
        verdict = self.verdict_on(token, previous)
        if verdict is Verdict.PROVE:
            claim = Claim(token, lease, self._span, now, address)
            if len(self.claims) >= MOST_CLAIMS:
                claim.displaced = self._give_way(now, chance)
            self.claims.append(claim)
        return verdict

    def _give_way(self, now: float, chance: float) -> Claim:
        """One that is not proved makes room. Of those that name the same address more often than others name theirs it
        is the oldest if that has had its chance, else any: who comes again and again displaces himself."""
        unproved = [claim for claim in self.claims if not claim.proved]
        named = Counter(claim.address for claim in unproved)
        most = max(named.values())
        crowd = [claim for claim in unproved if named[claim.address] == most]
        had_its_chance = now >= crowd[0].since + CHANCE_SECONDS
        claim = crowd[0 if had_its_chance else int(chance * len(crowd))]
        claim.given_way = True
        self.drop(claim, None)
        return claim

    def verdict_on(self, token: str, previous: str | None) -> Verdict:
        """What `connect` will say, and raises. What the master has to say matters only where that is PROVE."""
        if self._refusal(token) is not None:
            return Verdict.REPEAT
        if any(same_token(token, ended) for ended in self._ended):
            raise SlaveMasterTokenInvalid("the session of this token has ended; connect with a new one")
        if self.claim_of(token) is not None:
            return Verdict.WAIT
        if self.token and same_token(token, self.token):
            if self.open:
                return Verdict.REPEAT
            raise SlaveMasterTokenInvalid("the lease of this token's session is over; connect with a new one")
        if self.asking is not None:
            raise SlaveSlaveAlreadyConnected("this slave is being asked by another master; try again later")
        if previous is not None and self.token and same_token(previous, self.token):
            return Verdict.RESUME
        if self.open:
            raise SlaveSlaveAlreadyConnected("this slave has a living session; its master must disconnect first")
        self._check_takes_masters()
        if len(self.claims) >= MOST_CLAIMS and all(claim.proved for claim in self.claims):
            raise crowded()
        return Verdict.PROVE

    def body_of(self, method: str, token: str, previous: str | None) -> Body:
        """What becomes of a call's message. Raises where the call is refused whatever that says."""
        if method == "Connect":
            return self._body_of_connect(token, previous)
        if method == "Disconnect":  # the user alone cares for what it says
            return Body.READ if self.verdict_on_end(token) is Verdict.ASK else Body.UNREAD
        self.check(token)
        return Body.READ

    def _body_of_connect(self, token: str, previous: str | None) -> Body:
        verdict = self.verdict_on(token, previous)
        if verdict is Verdict.REPEAT:
            self.answer_to(token)
        return Body.READ if verdict in (Verdict.REPEAT, Verdict.RESUME) else Body.IN_TURN

    def claim_of(self, token: str) -> Claim | None:
        """The claim of a Connect that is not answered yet."""
        return next((claim for claim in self.claims if same_token(token, claim.token)), None)

    def proved(self, claim: Claim) -> None:
        """The claim's master has acknowledged a beat: the user is to be asked.

        Raises SlaveSlaveAlreadyConnected or SlaveSystemShuttingDown where it is too late for that.
        """
        assert claim.proved, "a beat was acknowledged"
        if claim.given_way:
            raise crowded()
        if self.asking is not None or self.open:
            raise SlaveSlaveAlreadyConnected("another master was faster; try again later")
        self._check_takes_masters()
        self.asking = claim
        claim.lease.hold()  # while the user is asked

    def _check_takes_masters(self) -> None:
        if self.draining:
            raise SlaveSystemShuttingDown("this slave drains: it takes no new master")

    def drop(self, claim: Claim, error: ResponseException | None) -> None:
        """It comes to nothing. With the refusal `error` a duplicate gets the same; without one it is as if it had never
        come. Changes nothing where there is no such claim any more."""
        if claim not in self.claims:
            return
        self.claims.remove(claim)
        if self.asking is claim:
            self.asking = None
        if error is not None:
            self._refusals.append((claim.token, error))

    def answer_to(self, token: str) -> ConnectAnswer:
        """What was answered to a Connect that is repeated. Raises the refusal if it was one."""
        refusal = self._refusal(token)
        if refusal is not None:
            raise refusal.with_traceback(None)  # else each duplicate would make it longer
        assert self._answer is not None, "the session is open"
        return self._answer

    def opened(self, answer: ConnectAnswer, now: float) -> None:
        """The user takes the connection. A session whose lease ran out is given up for it."""
        claim = self.asking
        assert claim is not None, "the user was asked about it"
        self.drop(claim, None)
        claim.lease.begin(claim.granted, now)
        self._begin(claim.token, answer, claim.lease)

    def not_opened(self, token: str, error: ResponseException) -> None:
        """The session could not be begun: it is refused, whatever there was of it."""
        if self.token and same_token(token, self.token):
            self.end()
        claim = self.claim_of(token)
        if claim is not None:
            self.drop(claim, None)
        if self._refusal(token) is None:
            self._refusals.append((token, error))

    def not_resumed(self, token: str, previous: str) -> None:
        """The session could not go on under that token: its lease is over, and its master may resume it again."""
        if self.token not in (token, previous):
            return
        if previous in self._ended:
            self._ended.remove(previous)
        self.state, self.token, self.lease, self._answer = EngagementState.OVER, previous, None, None

    def resumed(self, token: str, answer: ConnectAnswer, lease: float, now: float) -> None:
        """The session goes on under a new token."""
        self._begin(token, answer, Lease(lease, self._span, now))

    def disconnect(self, token: str) -> Verdict:
        """The master wants to end the session. After its end, of whatever kind, there is nothing left to ask.

        A session whose lease ran out is given up for good: its results may be dropped.
        """
        verdict = self.verdict_on_end(token)
        if self.state is EngagementState.OVER:
            self.end()
        if verdict is Verdict.ASK:
            self.state = EngagementState.CLOSING
        return verdict

    def verdict_on_end(self, token: str) -> Verdict:
        """What `disconnect` will say, and raises."""
        over = self.state is EngagementState.OVER and same_token(token, self.token)
        ended = self.state is EngagementState.FREE and self._ended and same_token(token, self._ended[-1])
        if over or ended:
            return Verdict.REPEAT
        self.check(token)
        return Verdict.WAIT if self.state is EngagementState.CLOSING else Verdict.ASK

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

    def _begin(self, token: str, answer: ConnectAnswer, lease: Lease) -> None:
        self._end_token()
        self.state, self.token, self._answer, self.lease = EngagementState.OPEN, token, answer, lease

    def _end_token(self) -> None:
        if self.token:
            self._ended.append(self.token)
            self.token = ""

    def _refusal(self, token: str) -> ResponseException | None:
        return next((error for refused, error in self._refusals if same_token(token, refused)), None)
