"""Which tasks a slave takes: each id once, as many as there are places, and always the same answer to the same call."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count

from interaction.core.model import Data, TaskOffer
from interaction.core.token import NotPickled
from interaction.exception import (
    ResponseException,
    SlaveSystemShuttingDown,
    SlaveTaskAlreadyExist,
    SlaveTaskDataInvalid,
    SlaveTaskRefused,
)

# Ended or refused ones of the session, so that a duplicate gets the same answer. Those whose results wait in the outbox
# may be as many as it holds and twice the places; and then a thousand.
REMEMBERED_TASKS = 2048


@dataclass
class Ticket(NotPickled):
    """One task at the slave. `answer` is None while the user is being asked; `taken_at` is when he said yes."""

    offer: TaskOffer
    session: str = field(repr=False)  # its token
    answer: Data | ResponseException | None = None
    taken_at: float = 0.0
    begun: bool = False
    ended: bool = False
    cell: int = 0  # as of `core.begun`; 0: none
    returned: bool = False  # it never begins, and is to be handed back
    _claims: Iterator[int] = field(default_factory=count, repr=False)

    def claim(self) -> bool:
        """Decide what becomes of a task that was taken: it begins, or is handed back. Says whether that is decided
        here; only the first decides. From any thread: one call that nothing can come between."""
        return next(self._claims) == 0

    def claim_back(self) -> bool:
        """Decide that it is handed back, unless it has begun. Says whether that is so, also when it is asked again."""
        self.returned = self.returned or next(self._claims) == 0
        return self.returned and not self.ended


class Admission:
    """The tasks of one slave.

    A task keeps its place until it has ended, also when its session is over before: its thread can't be taken from it.
    """

    def __init__(self, slots: int = 1, backlog: int = 0) -> None:
        self.slots = slots
        self.backlog = backlog
        self.draining = False  # no new task is taken
        self._places: dict[int, Ticket] = {}  # by the ticket's own id: two sessions may use one task id
        self._known: dict[str, Ticket] = {}  # of this session, by task id
        self._settled: deque[Ticket] = deque()  # those of them that have ended, oldest first

    def offer(self, offer: TaskOffer, session: str, *, outbox_full: bool = False) -> tuple[Ticket, bool]:
        """A master hands over a task. Returns its ticket, and whether the user is to be asked about it.

        Raises:
            SlaveTaskDataInvalid: the id is known, with other content.
            SlaveTaskAlreadyExist: there is no place.
            SlaveSystemShuttingDown: the slave drains.
        """
        known = self._known.get(offer.task_id)
        if known is not None:
            if known.offer.digest != offer.digest:
                raise SlaveTaskDataInvalid(f"task {offer.task_id} is known here with other data; ids are used once")
            return known, False
        self.check(offer.task_id, outbox_full=outbox_full)
        ticket = Ticket(offer, session)
        self._known[offer.task_id] = ticket
        self._places[id(ticket)] = ticket
        return ticket, True

    def check(self, task_id: str, *, outbox_full: bool) -> None:
        """Raise what `offer` raises whatever the task's content is."""
        if task_id in self._known:
            return
        self.check_not_draining()
        if len(self._places) >= self.slots + self.backlog:
            raise SlaveTaskAlreadyExist(
                f"this slave has {len(self._places)} task(s) and no place for a further one: it runs {self.slots} at "
                f"once (slots) and takes {self.backlog} beyond that (backlog). Give Slave(slots=, backlog=) more, or "
                "wait for a task to end, as a SlavePool does"
            )
        if outbox_full:
            raise SlaveTaskAlreadyExist("this slave's results wait for their acknowledgement, and its outbox is full")

    def check_not_draining(self) -> None:
        """Raise SlaveSystemShuttingDown where no task is taken any more."""
        if self.draining:
            raise SlaveSystemShuttingDown("this slave drains: it takes no new task")

    def accepted(self, ticket: Ticket, answer: Data, now: float) -> None:
        """The user takes the task: it may run."""
        ticket.answer, ticket.taken_at = answer, now

    def refused(self, ticket: Ticket, error: ResponseException) -> None:
        """The task is not taken. Only what the user decided is remembered: any other reason may pass."""
        ticket.answer = error
        self.ended(ticket)
        if not isinstance(error, SlaveTaskRefused):
            self._forget(ticket)

    def ended(self, ticket: Ticket) -> None:
        """The task has come to its end: its place is free. What comes after that changes nothing."""
        if ticket.ended:
            return
        ticket.ended = True
        ticket.offer = replace(ticket.offer, data={})  # it is remembered, and its data may be large
        self._places.pop(id(ticket), None)
        if self._known.get(ticket.offer.task_id) is ticket:
            self._settled.append(ticket)
            if len(self._settled) > REMEMBERED_TASKS + 2 * (self.slots + self.backlog):
                self._forget(self._settled.popleft())

    def _forget(self, ticket: Ticket) -> None:
        if self._known.get(ticket.offer.task_id) is ticket:
            del self._known[ticket.offer.task_id]

    def new_session(self) -> None:
        """Another session begins: ids of the last one mean nothing in it."""
        self._known.clear()
        self._settled.clear()

    def hand_over(self, session: str, successor: str) -> None:
        """The session was resumed under a new token.

        A task that the user is still being asked about stays behind: whoever handed it over is gone, and nobody would
        learn of a refusal. It will not be taken.
        """
        for ticket in (*self._known.values(), *self._places.values()):
            if ticket.session == session and ticket.answer is not None:
                ticket.session = successor

    @property
    def busy(self) -> bool:
        """Whether a task waits or runs, or the user is being asked about one."""
        return bool(self._places)

    @property
    def at_work(self) -> bool:
        """Whether a task runs, or the user is being asked about one."""
        return any(ticket.begun or ticket.answer is None for ticket in self._places.values())

    @property
    def begun(self) -> list[str]:
        """The ids of the tasks that run, or that the user is being asked about. From any thread."""
        places = list(self._places.values())
        return [ticket.offer.task_id for ticket in places if ticket.begun or ticket.answer is None]

    def unbegun(self, session: str) -> list[Ticket]:
        """The session's tasks that were taken and will not begin any more: they are handed back."""
        taken = [ticket for ticket in self._places.values() if ticket.answer is not None]
        return [ticket for ticket in taken if ticket.session == session and ticket.claim_back()]

    def running(self, session: str) -> list[str]:
        """The ids of the session's tasks that were taken, and wait or run."""
        taken = (ticket for ticket in self._places.values() if ticket.answer is not None)
        return [ticket.offer.task_id for ticket in taken if ticket.session == session]
