"""After a restart of the master: how it comes back to its slaves, at what pace, and when it gives one up.

For twice the lease nobody is given up who has not said himself that the session is over. Then those are who have not
come back; but not while most of the slaves look lost at once: it is rather the network, or they too were restarted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, unique
from typing import Generic, TypeVar

from interaction.core.outbox import RETENTION
from interaction.core.session import Session
from interaction.exception import (
    ResponseException,
    SlaveCertificateInvalid,
    SlaveMasterTokenInvalid,
    SlaveSignatureInvalid,
    SlaveSignatureNotFound,
    SlaveSignatureStale,
    SlaveSlaveAlreadyConnected,
)

IN_FLIGHT = 200  # Connects at once
QUIET_LEASES = 2.0
LOST_SHARE = 0.55  # more than this share of the slaves looks lost: none of them is given up
FEW = 3  # slaves: of fewer than that any share says little
SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds between two tries, doubled each time

_UNBELIEVED = (SlaveSignatureNotFound, SlaveSignatureInvalid, SlaveSignatureStale, SlaveCertificateInvalid)
T = TypeVar("T")


@unique
class Refused(Enum):
    """What a refused Connect means for the session that it was to resume."""

    FREE = "free"  # it can't resume: tell it that its session is over, and ask again
    NEXT = "next"  # the slave knows that token, and its lease is over: resume from there under another one
    OVER = "over"  # there is nothing to resume
    UNBELIEVED = "unbelieved"  # secrets, clocks or certificates do not fit: that says nothing of the session: ask again


def meaning_of(refusal: ResponseException, *, tried_before: bool) -> Refused:
    """What a slave's refusal says. `tried_before`: its token was sent in an earlier life of the master's."""
    if isinstance(refusal, SlaveSlaveAlreadyConnected):  # or it has another master, who may leave it in time
        return Refused.FREE
    if isinstance(refusal, SlaveMasterTokenInvalid) and tried_before:
        return Refused.NEXT
    if isinstance(refusal, _UNBELIEVED):
        return Refused.UNBELIEVED
    return Refused.OVER


@dataclass
class _Absent:
    """A slave that has not come back yet. Under its old token it may beat all the same."""

    session: Session
    due_at: float
    in_flight: bool = False
    pause: float = SHORTEST_PAUSE

    @property
    def silent_at(self) -> float:
        """When it was not heard for the whole tolerance."""
        return self.session.last_heard + self.session.tolerance


class Recovery(Generic[T]):
    """The sessions that a master found in its journal, until the fate of each is decided. `T` is what it keeps of each.

    Times are readings of one monotonic clock, in seconds.
    """

    def __init__(self, sessions: Mapping[T, Session], now: float) -> None:
        self._absent = {owner: _Absent(session, now) for owner, session in sessions.items()}
        self._all = len(self._absent)
        for session in sessions.values():
            session.last_heard = now
        lease = max((session.lease for session in sessions.values()), default=0.0)
        self._quiet_until = now + QUIET_LEASES * lease
        self._patient_until = now + max(RETENTION, QUIET_LEASES * lease)  # by then no slave has any results left

    def __len__(self) -> int:
        return len(self._absent)

    def __contains__(self, owner: T) -> bool:
        return owner in self._absent

    def __str__(self) -> str:
        return f"{len(self._absent)} of {self._all} slaves"

    def take_due(self, now: float) -> list[T]:
        """Whom to call now; each is in flight until it has `failed` or is `settled`."""
        room = IN_FLIGHT - sum(absent.in_flight for absent in self._absent.values())
        due = [owner for owner, absent in self._absent.items() if not absent.in_flight and absent.due_at <= now]
        for owner in due[:room]:
            self._absent[owner].in_flight = True
        return due[:room]

    def failed(self, owner: T, now: float, chance: float) -> None:
        """A call led to nothing: the next comes after a pause, with jitter (`chance` is 0 to 1)."""
        absent = self._absent.get(owner)
        if absent is not None:
            absent.in_flight = False
            absent.due_at = now + absent.pause * (0.5 + chance / 2)
            absent.pause = min(2 * absent.pause, LONGEST_PAUSE)

    def settled(self, owner: T) -> None:
        """The session is resumed, or over."""
        self._absent.pop(owner, None)

    def next_due(self, now: float) -> float | None:
        """When to look again, unless something happens before; None where all is settled."""
        if not self._absent:
            return None
        room = sum(absent.in_flight for absent in self._absent.values()) < IN_FLIGHT
        calls = [absent.due_at for absent in self._absent.values() if room and not absent.in_flight]
        patient = self._patient_until if self.held_back(now) else self._quiet_until
        return min([*calls, *(max(patient, absent.silent_at) for absent in self._absent.values())])

    def held_back(self, now: float) -> bool:
        """Whether slaves look lost and are not given up, because they are so many."""
        if self._all < FEW or not self._quiet_until <= now < self._patient_until:
            return False
        return sum(absent.silent_at <= now for absent in self._absent.values()) > LOST_SHARE * self._all

    def given_up(self, now: float) -> list[T]:
        """Who is to be given up now: the sessions of these are over. Whoever beats is not."""
        if now < self._quiet_until or self.held_back(now):
            return []
        gone = [owner for owner, absent in self._absent.items() if absent.silent_at <= now]
        for owner in gone:
            del self._absent[owner]
        return gone
