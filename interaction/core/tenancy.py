"""A slave's whole side of the contract: its session, its tasks and its results, decided together.

The parts know nothing of each other: who holds the session stands in `engagement`, which tasks have a place in
`admission`, which results wait in `outbox`. What one event means for all three is decided here.
"""

from __future__ import annotations

from enum import Enum, unique
from typing import TYPE_CHECKING, Generic, TypeVar

from interaction.core.admission import Admission, Ticket
from interaction.core.begun import Begun
from interaction.core.engagement import Engagement, Verdict
from interaction.core.model import ConnectAnswer, Data, HeldTask, TaskOffer
from interaction.core.outbox import Outbox
from interaction.core.outcomes import Tempo
from interaction.exception import ResponseException, SlaveSlaveNotConnected

if TYPE_CHECKING:
    from interaction.core.begun import Memory

T = TypeVar("T")


@unique
class Turn(Enum):
    """Decision about a task that was taken, when there is a slot for it."""

    BEGIN = "begin"
    WAIT = "wait"  # the session's master may have given the task up, and may come back for it
    DROP = "drop"  # its session is over, or it was handed back: nobody wants it any more


class Tenancy(Generic[T]):
    """One slave, from its first session to its last. `T` is what is reported of a task that has ended.

    Times are readings of one monotonic clock, in seconds.
    """

    def __init__(
        self, incarnation: str, heartbeat_span: float, outbox: Outbox[T], *, slots: int = 1, backlog: int = 0
    ) -> None:
        self.incarnation = incarnation
        self.engagement = Engagement(heartbeat_span)
        self.admission = Admission(slots, backlog)
        self.outbox = outbox
        self.tempo = Tempo()
        self._begun: Begun | None = None  # where somebody can tell what has begun when this process has died

    def witnessed(self, memory: Memory) -> None:
        """From now on it is written there which tasks have begun."""
        self._begun = Begun(memory, self.outbox.ids)

    @property
    def is_witnessed(self) -> bool:
        """Whether that is so."""
        return self._begun is not None

    # Draining.

    def drain(self) -> list[Ticket]:
        """Take no new task and no new master from now on, and begin nothing.

        Returns the tasks of the session that were taken and had not begun: each is to be `handed_back`, and until it is
        it is returned again.
        """
        self.admission.draining = self.engagement.draining = True
        return self.admission.unbegun(self.engagement.token) if self.engagement.token else []

    @property
    def drained(self) -> bool:
        """Whether all that was taken has ended, and nothing waits that the session's master could still acknowledge.

        Tasks that wait for a master to resume the session don't count.
        """
        if self.engagement.open:
            return not self.admission.busy and not len(self.outbox)
        return not self.admission.at_work

    # Sessions.

    def opened(self, answer: ConnectAnswer, now: float) -> None:
        """The user takes the connection: nothing of an older session can be asked for any more."""
        self.engagement.opened(answer, now)
        self.admission.new_session()
        self.outbox.clear()

    def not_opened(self, token: str, error: ResponseException) -> None:
        """What was to open this session has failed half-way: as if the user had refused it."""
        self.engagement.not_opened(token, error)

    def not_resumed(self, token: str, previous: str, now: float) -> None:
        """What was to resume the session has failed half-way: as if its lease had run out. It may be tried again."""
        self.admission.hand_over(token, previous)
        self.outbox.hand_over(token, previous, now)
        self.engagement.not_resumed(token, previous)

    def held(self) -> list[HeldTask]:
        """The session's tasks that have no acknowledged result: those that wait or run, then those that have ended."""
        token = self.engagement.token
        unfinished = [HeldTask(task_id, ended=False) for task_id in self.admission.running(token)]
        return unfinished + [HeldTask(task_id, ended=True) for task_id in self.outbox.held(token)]

    def resumed(self, token: str, answer: ConnectAnswer, lease: float, now: float) -> None:
        """The session goes on under a new token, with its tasks and results."""
        previous = self.engagement.token
        self.admission.hand_over(previous, token)
        self.outbox.hand_over(previous, token, now)
        self.engagement.resumed(token, answer, lease, now)

    def disconnect(self, token: str) -> Verdict:
        """The master wants to end the session. Where it has ended already, what was kept for a resume is dropped."""
        verdict = self.engagement.disconnect(token)
        if verdict is Verdict.REPEAT:
            self.outbox.clear()
        return verdict

    def closed(self, token: str, farewell: Data) -> bool:
        """The user agrees to the disconnection. False where that session was over already, or resumed meanwhile."""
        closed = self.engagement.closed(token, farewell)
        if closed:
            self.outbox.clear()
        return closed

    def ended_by_master(self, token: str) -> bool:
        """The master says that this session is over, or believes nothing of it. False where it was over before."""
        if not self.engagement.owns(token):
            return False
        self.engagement.end()
        self.outbox.clear()
        return True

    # Tasks.

    def offer(self, token: str, offer: TaskOffer) -> tuple[Ticket, bool]:
        """A master hands over a task. Returns its ticket, and whether the user is to be asked about it.

        A slave may have been restarted while Connect was tried again: then it has the session of a token under which
        its former life ran tasks, and must not run them again.

        Raises what `Engagement.check` and `Admission.offer` raise.
        """
        self._check_session(token, offer.incarnation)
        return self.admission.offer(offer, self.engagement.token, outbox_full=self.outbox.full)

    def may_ask(self, ticket: Ticket) -> bool:
        """Whether the user may be asked about a task: not before its session's master has proved itself."""
        return self.engagement.certain or not self.engagement.owns(ticket.session)

    def check(self, token: str, task_id: str, incarnation: str) -> None:
        """Raise what `offer` raises whatever the task's content is: only of others that is worth to be read."""
        self._check_session(token, incarnation)
        self.admission.check(task_id, outbox_full=self.outbox.full)

    def _check_session(self, token: str, incarnation: str) -> None:
        self.engagement.check(token)
        if incarnation and incarnation != self.incarnation:
            raise SlaveSlaveNotConnected("this slave was restarted: the task is for the one that was here before")

    def asks(self, ticket: Ticket) -> None:
        """The user is about to be asked about a task: that runs code of his, and counts as its beginning."""
        if self._begun is not None:
            self._begun.reserve(ticket)
            self._begun.begins(ticket)

    def accepted(self, ticket: Ticket, answer: Data, now: float) -> None:
        """The user takes the task: it may run.

        Raises:
            SlaveSlaveNotConnected, SlaveMasterTokenInvalid: its session has ended meanwhile; then it is refused.
            SlaveSystemShuttingDown: the slave drains, likewise.
        """
        try:
            self.engagement.check(ticket.session)
            self.admission.check_not_draining()
        except ResponseException as refusal:
            self.admission.refused(ticket, refusal)
            raise
        self.admission.accepted(ticket, answer, now)
        if self._begun is not None:
            self._begun.reserve(ticket)

    def turn(self, ticket: Ticket, now: float) -> Turn:
        """There is a slot for a task that was taken. One that its owner may know as lost is not begun.

        May be called from any thread. What that has said counts, unless it is BEGIN, only if the loop says the same.
        """
        engagement = self.engagement
        if ticket.ended or not engagement.token or ticket.session != engagement.token:
            return Turn.DROP
        lease = engagement.lease
        if not engagement.open or not engagement.certain or lease is None or lease.expired(now):
            return Turn.WAIT
        if not ticket.claim():
            return Turn.DROP
        if self._begun is not None:
            self._begun.begins(ticket)
        ticket.begun = True
        return Turn.BEGIN

    def finished(self, ticket: Ticket, report: T, now: float) -> bool:
        """A task has ended. Says whether its result is wanted: that of a session that has ended for good is not.

        Where this has failed half-way it may be done again: the result is kept before the task's place is free.
        """
        ended = ticket.ended
        wanted = self.handed_back(ticket, report, now)
        if not ended:
            self.tempo.ended(ticket.taken_at, now)
        return wanted

    def handed_back(self, ticket: Ticket, report: T, now: float) -> bool:
        """A task has not begun and never will, as the report says: its place is free. As `finished`."""
        wanted = bool(self.engagement.token) and ticket.session == self.engagement.token
        if not ticket.ended:
            if wanted:
                self.outbox.put(ticket.offer.task_id, ticket.session, report, now)
            self.admission.ended(ticket)
        return wanted
