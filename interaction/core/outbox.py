"""Where a slave keeps each result until its master has acknowledged it."""

from __future__ import annotations

from collections.abc import KeysView
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from interaction.core.token import NotPickled

RETENTION = 600.0  # seconds that a result waits for a master that resumes its session
CAPACITY = 1000  # beside one for each place; the contract asks for 250
UNFIT = ("RESOURCE_EXHAUSTED", "OUT_OF_RANGE")  # how gRPC's libraries say that a message is too long
UNFIT_ANSWERS = 3  # in a row, until that is believed: a server that has too much to do says RESOURCE_EXHAUSTED, too
SHORTEST_PAUSE = 0.05
LONGEST_PAUSE = 5.0

T = TypeVar("T")


@dataclass
class Entry(NotPickled, Generic[T]):
    """One result. `session` is the token of the session that it belongs to; `item` is what is to be reported."""

    task_id: str
    session: str = field(repr=False)
    item: T
    kept_until: float
    due_at: float
    attempts: int = 0
    unfit: int = 0  # how often in a row it was answered that it is too long
    replaced: bool = False  # it is reported as failed, since its master could not take it as it was


class Outbox(Generic[T]):
    """Results by task id, in the order in which they came. `waiting` and all other durations are in seconds."""

    def __init__(self, retries: int, waiting: float, *, retention: float = RETENTION, capacity: int = CAPACITY) -> None:
        self._retries = retries
        self._waiting = max(waiting, SHORTEST_PAUSE)
        self._retention = retention
        self._capacity = capacity
        self._entries: dict[str, Entry[T]] = {}
        self._resting: dict[str, Entry[T]] = {}  # those that are not in flight

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._entries

    @property
    def ids(self) -> KeysView[str]:
        """Those of the tasks whose results wait, now and later."""
        return self._entries.keys()

    @property
    def full(self) -> bool:
        """Whether no further task may be taken: each may still bring a result."""
        return len(self._entries) >= self._capacity

    def put(self, task_id: str, session: str, item: T, now: float) -> None:
        """A task has ended. The first result of a task is the one that counts."""
        if task_id not in self._entries:
            entry = Entry(task_id, session, item, now + self._retention, now)
            self._entries[task_id] = self._resting[task_id] = entry

    def take_due(self, session: str, now: float) -> list[Entry[T]]:
        """The results to report now in this session; each stays in flight until `acknowledged` or `failed`."""
        due = [entry for entry in self._resting.values() if entry.session == session and entry.due_at <= now]
        for entry in due:
            del self._resting[entry.task_id]
        return due

    def next_due(self, session: str) -> float | None:
        """When the next result of this session is to be reported; None where none waits for that."""
        waiting = (entry.due_at for entry in self._resting.values() if entry.session == session)
        return min(waiting, default=None)

    def acknowledged(self, task_id: str) -> None:
        """The master has answered: the result may be forgotten. A second answer changes nothing."""
        self._entries.pop(task_id, None)
        self._resting.pop(task_id, None)

    def released(self, task_id: str, now: float) -> None:
        """The stream broke by which a result went: it is due again at once."""
        entry = self._entries.get(task_id)
        if entry is not None:
            entry.due_at = now
            self._resting[task_id] = entry

    def failed(self, task_id: str, now: float, chance: float) -> None:
        """Reporting got no answer: the result is due again after a pause, with full jitter (`chance` is 0 to 1).

        The first `retries` pauses are at most `waiting`, and then they double up to the longest.
        """
        entry = self._entries.get(task_id)
        if entry is None:
            return
        doublings = min(max(entry.attempts - self._retries, 0), 16)
        longest = min(max(LONGEST_PAUSE, self._waiting), self._waiting * 2**doublings)
        entry.attempts += 1
        entry.due_at = now + longest * chance
        self._resting[task_id] = entry

    def does_not_get_through(self, task_id: str, code: str) -> bool:
        """Reporting was answered with that status, and no reason. Says whether to `replace` the result for it.

        Any other failure may be the network's, whatever its name: a library may call a broken connection UNKNOWN.
        """
        entry = self._entries.get(task_id)
        if entry is None:
            return False
        entry.unfit = entry.unfit + 1 if code in UNFIT else 0
        return entry.unfit == UNFIT_ANSWERS

    def is_refused(self, task_id: str) -> bool:
        """The master can't read the report at all, and the task has not ended there. Says whether to `replace` it: what
        was written in its place is not replaced again."""
        entry = self._entries.get(task_id)
        return entry is not None and not entry.replaced

    def replace(self, task_id: str, item: T) -> None:
        """The master can't take the result as it is: from now on report this in its place."""
        entry = self._entries.get(task_id)
        if entry is not None:
            entry.item, entry.replaced = item, True

    def hand_over(self, session: str, successor: str, now: float) -> None:
        """The session was resumed under a new token: its results are due at once, and their retention begins anew."""
        for entry in self._entries.values():
            if entry.session == session:
                entry.session, entry.due_at, entry.kept_until = successor, now, now + self._retention
                self._resting[entry.task_id] = entry

    def clear(self) -> None:
        """The session can't be resumed any more: nobody will take its results."""
        self._entries.clear()
        self._resting.clear()

    def expire(self, now: float) -> list[str]:
        """Give up what has waited for the whole retention. Returns the ids."""
        gone = [entry.task_id for entry in self._resting.values() if now >= entry.kept_until]
        for task_id in gone:
            del self._entries[task_id], self._resting[task_id]
        return gone

    def held(self, session: str) -> list[str]:
        """The ids of the tasks whose results wait in this session."""
        return [entry.task_id for entry in self._entries.values() if entry.session == session]
