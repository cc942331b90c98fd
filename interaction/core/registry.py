"""A master's sessions, by token, and the tick that watches them all."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from interaction.core.model import Acknowledgement
from interaction.core.session import Lose, Probe, Session
from interaction.core.token import fingerprint

REMEMBERED_SESSIONS = 4096  # ended ones, so that what comes late is answered as stale
REMEMBERED_TASKS = 1024  # ended ones of a session, so that a duplicate is answered as such
TURN_SPAN = 0.02  # seconds between two probes that are patient: of many slaves each waits for its turn

T = TypeVar("T")


@dataclass
class _Entry(Generic[T]):
    """A living session."""

    session: Session
    owner: T
    slot: int = 0  # where it stands in the rota; 0 is looked at with the next tick


class Registry(Generic[T]):
    """Sessions by their tokens' fingerprints; `T` is what the master keeps for each (its connection).

    A tick does not look at all of them: each stands in a rota, in the slot of the time at which it would be silent, and
    is put there anew when that has come and it was heard meanwhile.
    """

    def __init__(self, check_span: float) -> None:
        self._check_span = check_span
        self._living: dict[bytes, _Entry[T]] = {}
        self._rota: dict[int, dict[bytes, None]] = {}  # by slot, each as long as a check span
        self._due: list[bytes] = []  # sessions that this tick is still to look at
        self._lost: list[tuple[T, Lose]] = []  # what it has decided
        self._next_turn = 0.0  # of a patient probe
        self._also: dict[bytes, bytes] = {}  # further tokens of living sessions
        self._ended: OrderedDict[bytes, None] = OrderedDict()  # no more than the keys: there are many
        self._last_tick: float | None = None

    def __len__(self) -> int:
        return len(self._living)

    def __iter__(self) -> Iterator[tuple[Session, T]]:
        return iter([(entry.session, entry.owner) for entry in self._living.values()])

    def add(self, token: str, session: Session, owner: T) -> None:
        """Know a session from now on: its slave may call before Connect has returned."""
        key = fingerprint(token)
        self._living[key] = _Entry(session, owner)
        self._put(key, 0)

    def also(self, token: str, successor: str) -> None:
        """The session of `token` is known by `successor` as well: it is being resumed under that."""
        self._also[fingerprint(successor)] = fingerprint(token)

    def find(self, token: str) -> T | None:
        """The owner of the living session of a token."""
        key = fingerprint(token)
        found = self._living.get(self._also.get(key, key))
        return None if found is None else found.owner

    def remembers(self, token: str) -> bool:
        """Whether a token is that of a session, living or ended not long ago."""
        return self.find(token) is not None or fingerprint(token) in self._ended

    def retire(self, token: str, *successors: str) -> None:
        """The session of `token` is over, by whatever further tokens it is known. Harmless when repeated."""
        key, further = fingerprint(token), [fingerprint(successor) for successor in successors]
        if key not in self._living:
            return
        for ended in (*further, key):
            self._remember(ended)
        self._rota.get(self._living[key].slot, {}).pop(key, None)
        for also in further:
            self._also.pop(also, None)
        del self._living[key]

    def _remember(self, key: bytes) -> None:
        self._ended[key] = None
        if len(self._ended) > REMEMBERED_SESSIONS:
            self._ended.popitem(last=False)

    def tick(self, now: float) -> list[tuple[T, Lose]]:
        """Time has passed: who is lost.

        A tick that comes late means that this process stood still. What the slaves said meanwhile waits unread, so that
        time is not held against them.
        """
        stall = 0.0 if self._last_tick is None else now - self._last_tick - self._check_span
        self._last_tick = now
        if stall > self._check_span:
            for entry in self._living.values():
                entry.session.excuse(stall, now)
        slot = int(now // self._check_span)
        for past in [one for one in self._rota if one <= slot]:
            self._due.extend(self._rota[past])
            del self._rota[past]
        while self._due:  # what raises is looked at again, with the next tick, and what is decided is told then
            loss = self._look_at(self._due[-1], now)
            if loss is not None:
                self._lost.append(loss)
            self._due.pop()
        lost, self._lost = self._lost, []
        return lost

    def _look_at(self, key: bytes, now: float) -> tuple[T, Lose] | None:
        entry = self._living.get(key)
        if entry is None:  # it has ended since
            return None
        decision = entry.session.tick(now)
        if decision is not None:
            return entry.owner, decision
        if not entry.session.over:
            entry.slot = int(entry.session.silent_at(now) // self._check_span)
            self._put(key, entry.slot)
        return None

    def _put(self, key: bytes, slot: int) -> None:
        self._rota.setdefault(slot, {})[key] = None

    def pause_before(self, probe: Probe, now: float) -> float:
        """Seconds until a probe is to be made. Those that are patient take turns."""
        if not probe.patient:
            return probe.after
        self._next_turn = max(self._next_turn + TURN_SPAN, now + probe.after)
        return self._next_turn - now


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

    def close_lost(self, task_ids: Sequence[str]) -> None:
        """These have ended otherwise than by their results."""
        for task_id in task_ids:
            if self._open.pop(task_id, None) is not None:
                self._closed[task_id] = Acknowledgement.STALE
        while len(self._closed) > REMEMBERED_TASKS:
            self._closed.popitem(last=False)

    def acknowledge_again(self, task_id: str) -> Acknowledgement:
        """How to answer a result whose task is not open."""
        return self._closed.get(task_id, Acknowledgement.STALE)

    def take_all(self) -> list[T]:
        """Close all tasks that are open, for the session is over. Returns them in the order in which they came."""
        tasks = list(self._open.values())
        self._closed.update((task_id, Acknowledgement.STALE) for task_id in self._open)
        while len(self._closed) > REMEMBERED_TASKS:
            self._closed.popitem(last=False)
        self._open.clear()
        return tasks
