"""A slave's side of one stream of the fast road: what it says about tasks, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from interaction.core.batch import FULL, Queue
from interaction.core.model import Data
from interaction.exception import ResponseException

QUICK = 0.005  # seconds: a result that follows so soon says itself that its task was accepted
UNSAID = 4 * FULL  # bytes that wait for a master which does not read them: until then no further task is taken from it

T = TypeVar("T")


@dataclass(frozen=True)
class Accepted:
    """A task is accepted; `data` is for its owner."""

    task_id: str
    data: Data


@dataclass(frozen=True)
class Refused:
    """A task is not accepted."""

    task_id: str
    error: ResponseException


class Tempo:
    """Whether tasks have been quick of late. Times are readings of one monotonic clock, in seconds."""

    def __init__(self) -> None:
        self.quick = False
        self._ended_at = 0.0

    def ended(self, taken_at: float, now: float) -> None:
        """A task has ended that was taken then. It may have waited for the one before it."""
        self.quick = now - max(taken_at, self._ended_at) < QUICK
        self._ended_at = now


class Outcomes(Generic[T]):
    """What is to be said on one stream, in the order in which it happened; `T` is a result.

    A bare acceptance waits up to `QUICK` for its result, which says the same, or for anything else that goes out. A
    task that is not likely to be quick is kept, and begins when it has been sent that it is accepted.
    `limit` is the longest message that the master reads, in bytes, without its envelope.
    """

    def __init__(self, limit: int) -> None:
        self._urgent: Queue[Accepted | Refused | T] = Queue(limit)
        self._bare: dict[str, Accepted] = {}
        self._kept: dict[str, None] = {}  # ids of tasks that wait until it was said what becomes of them
        self._over = False  # what still comes was sent before that
        self._unacknowledged: dict[str, None] = {}  # ids of results that were said, or are to be
        self._moved_at = 0.0  # when one of them was said or acknowledged last, or the first of them came

    def takes(self, size: int) -> bool:
        """Whether a result of that many bytes goes this way."""
        return self._urgent.takes(size)

    def keeps(self, task_id: str, *, quick: bool) -> bool:
        """A task has come; `quick`: as tasks are of late, its result will follow at once. Says whether to keep it."""
        if quick or self._over or task_id in self._kept:
            return False
        self._kept[task_id] = None
        return True

    def accepted(self, task_id: str, data: Data, size: int) -> None:
        """A task is accepted."""
        outcome = Accepted(task_id, data)
        if task_id not in self._kept and not data:
            self._bare[task_id] = outcome
        else:
            self._urgent.put(size, outcome)

    def refused(self, task_id: str, error: ResponseException, size: int) -> None:
        """A task is refused."""
        self._urgent.put(size, Refused(task_id, error))

    def ended(self, task_id: str, result: T, size: int, now: float) -> None:
        """A task has ended: its result is in flight until it is acknowledged, or the stream breaks."""
        self._bare.pop(task_id, None)
        if not self._unacknowledged:
            self._moved_at = now
        self._unacknowledged[task_id] = None
        self._urgent.put(size, result)

    def acknowledged(self, task_id: str, now: float) -> bool:
        """The master has recorded a result. Says whether it was one of this stream's."""
        if task_id not in self._unacknowledged:
            return False
        del self._unacknowledged[task_id]
        self._moved_at = now
        return True

    def stalled_at(self, patience: float) -> float | None:
        """When to give the stream up, as a call that gets no answer for `patience` seconds: results wait for their
        acknowledgement, and nothing moves. None while none waits."""
        return self._moved_at + patience if self._unacknowledged else None

    @property
    def urgent(self) -> bool:
        """Whether something is to go out at once."""
        return bool(self._urgent)

    @property
    def crowded(self) -> bool:
        """Whether so much is to go out that nothing more is to be read."""
        return self._urgent.size > UNSAID

    @property
    def waiting(self) -> bool:
        """Whether there are bare acceptances that wait."""
        return bool(self._bare)

    @property
    def settled(self) -> bool:
        """Whether all results of this stream have been acknowledged."""
        return not self._unacknowledged

    def flush(self) -> None:
        """The bare acceptances have waited long enough."""
        for outcome in self._bare.values():
            self._urgent.put(0, outcome)
        self._bare.clear()

    def take(self) -> list[Accepted | Refused | T]:
        """The next message. Bare acceptances ride along."""
        self.flush()
        return self._urgent.take()

    def sent(self, said: Sequence[Accepted | Refused | T], now: float) -> list[str]:
        """A message has gone out. Returns the ids of the tasks that were kept for it."""
        self._moved_at = now
        answered = []
        for one in said:
            if isinstance(one, (Accepted, Refused)) and one.task_id in self._kept:
                del self._kept[one.task_id]
                answered.append(one.task_id)
        return answered

    def broken(self) -> tuple[list[str], list[str]]:
        """The stream has ended: the ids of the tasks that were kept, and of the results that were not acknowledged."""
        left = list(self._kept), list(self._unacknowledged)
        self._over = True
        self._kept.clear()
        self._unacknowledged.clear()
        return left
