"""A master's sessions, by token, and the tick that watches them all."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, TypeVar

from interaction.core.model import Acknowledgement
from interaction.core.session import Lose, Probe, Session
from interaction.core.token import fingerprint

REMEMBERED_SESSIONS = 4096  # ended ones, so that what comes late is answered as stale
REMEMBERED_TASKS = 1024  # ended ones of a session, so that a duplicate is answered as such

T = TypeVar("T")


class Registry(Generic[T]):
    """Sessions by their tokens' fingerprints; `T` is what the master keeps for each (its connection)."""

    def __init__(self, check_span: float) -> None:
        self._check_span = check_span
        self._living: dict[bytes, tuple[Session, T]] = {}
        self._also: dict[bytes, bytes] = {}  # further tokens of living sessions
        self._ended: OrderedDict[bytes, None] = OrderedDict()  # no more than the keys: there are many
        self._last_tick: float | None = None

    def __len__(self) -> int:
        return len(self._living)

    def __iter__(self) -> Iterator[tuple[Session, T]]:
        return iter(list(self._living.values()))

    def add(self, token: str, session: Session, owner: T) -> None:
        """Know a session from now on: its slave may call before Connect has returned."""
        self._living[fingerprint(token)] = (session, owner)

    def also(self, token: str, successor: str) -> None:
        """The session of `token` is known by `successor` as well: it is being resumed under that."""
        self._also[fingerprint(successor)] = fingerprint(token)

    def find(self, token: str) -> T | None:
        """The owner of the living session of a token."""
        key = fingerprint(token)
        found = self._living.get(self._also.get(key, key))
        return None if found is None else found[1]

    def remembers(self, token: str) -> bool:
        """Whether a token is that of a session, living or ended not long ago."""
        return self.find(token) is not None or fingerprint(token) in self._ended

    def retire(self, token: str, *successors: str) -> None:
        """The session of `token` is over, by whatever further tokens it is known."""
        key = fingerprint(token)
        if self._living.pop(key, None) is None:
            return
        for also in map(fingerprint, successors):
            self._also.pop(also, None)
            self._remember(also)
        self._remember(key)

    def _remember(self, key: bytes) -> None:
        self._ended[key] = None
        if len(self._ended) > REMEMBERED_SESSIONS:
            self._ended.popitem(last=False)

    def tick(self, now: float) -> list[tuple[T, Probe | Lose]]:
        """Time has passed: what is to be done about which session.

        A tick that comes late means that this process stood still. What the slaves said meanwhile waits unread, so that
        time is not held against them.
        """
        stall = 0.0 if self._last_tick is None else now - self._last_tick - self._check_span
        self._last_tick = now
        decisions = []
        for session, owner in self:
            if stall > self._check_span:
                session.excuse(stall, now)
            decision = session.tick(now)
            if decision is not None:
                decisions.append((owner, decision))
        return decisions


class Ledger(Generic[T]):
    """The tasks of one session that have not ended, and which have: `T` is the task."""

    def __init__(self) -> None:
        self._open: dict[str, T] = {}
        self._closed: OrderedDict[str, Acknowledgement] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[T]:
        return iter(list(self._open.values()))

    def add(self, task_id: str, task: T) -> None:
        """A task is on its way to the slave."""
        self._open[task_id] = task

    def get(self, task_id: str) -> T | None:
        """The task, unless it has ended or is not known."""
        return self._open.get(task_id)

    def close(self, task_id: str, *, by_result: bool) -> None:
        """A task has ended, by its result or otherwise."""
        if self._open.pop(task_id, None) is not None:
            self._closed[task_id] = Acknowledgement.DUPLICATE if by_result else Acknowledgement.STALE
            if len(self._closed) > REMEMBERED_TASKS:
                self._closed.popitem(last=False)

    def acknowledge_again(self, task_id: str) -> Acknowledgement:
        """How to answer a result whose task is not open."""
        return self._closed.get(task_id, Acknowledgement.STALE)

    def take_all(self) -> list[T]:
        """Close all tasks that are open, for the session is over. Returns them in the order in which they came."""
        tasks = list(self._open.values())
        for task_id in list(self._open):
            self.close(task_id, by_result=False)
        return tasks
