"""A master's side of the fast road to one slave: what goes out next, what has no answer yet, what a break leaves over.

A task leaves here with its answer: accepted, refused, or ended at once. Results that are recorded are acknowledged with
the next message, whatever that is for.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from interaction.core.batch import Queue
from interaction.exception import RequestException

ACKNOWLEDGE_AT = 200  # so many go out at once
ACKNOWLEDGE_WITHIN = 0.02  # seconds, where nothing else goes out meanwhile
_ACKNOWLEDGEMENT = 38  # bytes: a UUID and its field
IDLE = 10.0  # seconds without a task after which the stream is closed
QUIET = 3  # times IDLE without a word while a task runs, after which an empty message goes out
MOST_BREAKS = 3  # streams in a row that broke without an answer: something between does not let them pass

T = TypeVar("T")


@dataclass
class Awaited(Generic[T]):
    """A task without an answer, which is given up at `deadline`."""

    task: T
    deadline: float
    sent: bool = False  # it may have come to the slave


class Road(Generic[T]):
    """One session's fast road; its stream may break and be opened again. `timeout` (seconds) is for each answer."""

    def __init__(self, limit: int, timeout: float) -> None:
        self.usable = True
        self.closing = False  # nobody needs the stream: nothing more goes out on it
        self._timeout = timeout
        self._queue: Queue[str] = Queue(limit)
        self._awaited: dict[str, Awaited[T]] = {}  # in the order of their deadlines
        self._acknowledged: deque[str] = deque()
        self._hurry = False  # the acknowledgements have waited long enough
        self._used = False  # since the last look
        self._quiet = 0  # looks in a row at which it was not
        self._sign_of_life = False  # an empty message is to go out
        self._breaks = 0

    def takes(self, size: int) -> bool:
        """Whether a task of that many bytes goes this way."""
        return self.usable and not self.closing and self._queue.takes(size)

    def offer(self, task_id: str, task: T, size: int, now: float) -> None:
        """A task is to be sent."""
        self._awaited[task_id] = Awaited(task, now + self._timeout)
        self._queue.put(size, task_id)

    def recorded(self, task_id: str) -> None:
        """A result that came this way was recorded: the slave may forget it."""
        self._acknowledged.append(task_id)

    def hurry(self) -> None:
        """The acknowledgements have waited long enough."""
        self._hurry = True

    @property
    def pending(self) -> bool:
        """Whether a task, many acknowledgements or an empty message are to go out at once."""
        return (
            bool(self._queue) or self._sign_of_life or len(self._acknowledged) >= (1 if self._hurry else ACKNOWLEDGE_AT)
        )

    def take(self) -> tuple[list[T], list[str]]:
        """The next message: tasks, and the ids of the results that it acknowledges, which are all that were recorded.

        So a slave has never more tasks and results than places. Where they would fill a message, no task goes beside.
        """
        count = min(len(self._acknowledged), max(self._queue.limit // _ACKNOWLEDGEMENT, 1))
        acknowledged = [self._acknowledged.popleft() for _ in range(count)]
        ids = [] if self._acknowledged else self._queue.take(count * _ACKNOWLEDGEMENT)
        sent = [self._awaited[task_id] for task_id in ids if task_id in self._awaited]
        for awaited in sent:
            awaited.sent = True
        self._hurry = bool(self._acknowledged)
        self._sign_of_life = False
        self._used = bool(ids or acknowledged) or self._used
        return [awaited.task for awaited in sent], acknowledged

    def look(self, *, busy: bool) -> bool:
        """`IDLE` has passed. Says whether the stream is closed: nothing went over it meanwhile, or is to.

        `busy`: a task has not ended. While nothing is said of it an empty message now and then shows whoever stands
        between that the stream is in use, and whether the slave's machine is still there.
        """
        quiet = not (self._used or self._queue or self._acknowledged)
        self.closing = quiet and not busy
        self._quiet = self._quiet + 1 if quiet else 0
        self._sign_of_life = busy and self._quiet > 0 and self._quiet % QUIET == 0
        self._used = False
        return self.closing

    def answered(self, task_id: str) -> None:
        """The slave has said what became of a task: accepted, refused, or ended."""
        self._breaks = 0
        self._used = True
        self._awaited.pop(task_id, None)

    def ended(self, why: BaseException | None) -> list[Awaited[T]]:
        """The stream has ended, with that status. Returns the tasks without an answer, to be handed over by calls: the
        id makes it safe. Results that were not acknowledged are reported again by the slave.
        """
        if not self.closing:
            self._breaks += 1
        refused = isinstance(why, RequestException) and why.code == "UNIMPLEMENTED"
        self.usable = not refused and self._breaks < MOST_BREAKS
        self.closing = self._hurry = self._used = self._sign_of_life = False
        left = list(self._awaited.values())
        self._awaited.clear()
        self._queue.clear()
        self._acknowledged.clear()
        return left

    @property
    def next_deadline(self) -> float | None:
        """When the next task without an answer is given up."""
        for awaited in self._awaited.values():
            return awaited.deadline
        return None

    def overdue(self, now: float) -> list[T]:
        """Give up the tasks that have waited for too long."""
        late = []
        for task_id, awaited in self._awaited.items():
            if awaited.deadline > now:
                break
            late.append(task_id)
        return [self._awaited.pop(task_id).task for task_id in late]
