"""One stream of the fast road at the slave: tasks come in, and what became of them goes out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial

from interaction.core.model import Data, TaskOffer
from interaction.core.outbox import Entry, Outbox
from interaction.core.outcomes import QUICK, Outcomes, Tempo
from interaction.exception import ResponseException
from interaction.rpc.convert import SizedReport
from interaction.rpc.encoded import ENVELOPE_BYTES
from interaction.rpc.insist import attempt, insist, or_else
from interaction.rpc.telling import log_exception
from interaction.rpc.work_stream import Said, size_of
from interaction.slave.intake import Intake

_log = logging.getLogger("interaction.slave")

_ANSWER = 1024  # bytes that an answer without a result counts for, beside its data


class WorkStream:
    """The stream of the session of that token. `end` ends it; `settled` is called when a result was acknowledged, and
    `over` when the stream has ended, with the results in the outbox that are due again."""

    def __init__(
        self,
        token: str,
        limit: int,
        intake: Intake,
        tempo: Tempo,
        outbox: Outbox[SizedReport],
        end: Callable[[ResponseException | None], None],
        settled: Callable[[], object],
        over: Callable[[WorkStream], object],
    ) -> None:
        self.end = end
        self.room = limit
        self._token = token
        self._intake = intake
        self._tempo = tempo
        self._outbox = outbox
        self._settled = settled
        self._over = over
        self._loop = asyncio.get_running_loop()
        self._outcomes: Outcomes[SizedReport] = Outcomes(limit - ENVELOPE_BYTES)
        self._wanted: asyncio.Future[None] | None = None  # the writer waits
        self._relieved: asyncio.Future[None] | None = None  # the reader waits
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    # What the master says.

    def acknowledged(self, task_ids: Sequence[str]) -> None:
        """The master has recorded these results."""
        now = self._loop.time()
        for task_id in task_ids:
            if self._outcomes.acknowledged(task_id, now):
                try:
                    self._outbox.acknowledged(task_id)
                except BaseException:  # noqa: BLE001 - it is done again, and the others are acknowledged
                    insist(self._acknowledge, task_id)
        self._settled()

    def _acknowledge(self, task_id: str) -> None:
        self._outbox.acknowledged(task_id)
        self._settled()

    def check(self, task_id: str, incarnation: str) -> None:
        """Raise a ResponseException where a task is not taken whatever it is."""
        self._intake.check(self._token, task_id, incarnation)

    def offer(self, offer: TaskOffer) -> None:
        """The master hands over a task."""
        if self._outcomes.keeps(offer.task_id, quick=self._tempo.quick):
            self._intake.workshop.expect(offer.task_id)
        try:
            answer = partial(or_else, self._break, self._answer, offer.task_id)  # what breaks it is said by calls
            self._intake.offer(self._token, offer, answer)
        except ResponseException as refusal:
            self.refuse(offer.task_id, refusal)

    def _answer(self, task_id: str, said: Data | ResponseException) -> None:
        if isinstance(said, ResponseException):
            self.refuse(task_id, said)
            return
        self._outcomes.accepted(task_id, said, _ANSWER + size_of(said))
        self._wake()

    def refuse(self, task_id: str, refusal: ResponseException) -> None:
        """A task is not taken."""
        self._outcomes.refused(task_id, refusal, _ANSWER + size_of(refusal))
        self._wake()

    # What is said to it.

    def report(self, entry: Entry[SizedReport]) -> bool:
        """Say how a task ended. False where that is to be said by a call."""
        size = entry.item.size
        if self._closed or not self._outcomes.takes(size):
            return False
        try:
            self._outcomes.ended(entry.task_id, entry.item, size, self._loop.time())
            self._wake()
        except BaseException as error:  # noqa: BLE001 - it is reported by a call
            self._break(error)
            return False
        return True

    def _break(self, error: BaseException) -> None:
        """Something of our own was raised: what is to be said here is said by calls."""
        log_exception(_log, logging.ERROR, error, "a stream of tasks has failed, and is ended")
        attempt(partial(self.end, None), self.close)

    @property
    def settled(self) -> bool:
        """Whether all that was reported here is acknowledged."""
        return self._outcomes.settled

    def stalled_at(self, patience: float) -> float | None:
        """When it is to be given up, unless something moves on it; None while nothing waits for its acknowledgement."""
        return self._outcomes.stalled_at(patience)

    async def ready(self) -> None:
        """Wait until the master has read so much that it may hand over more."""
        while self._outcomes.crowded and not self._closed:
            self._relieved = self._loop.create_future()
            await self._relieved

    async def next(self) -> Sequence[Said]:
        """Wait for what is to be said next; nothing where the stream is to end."""
        while not self._closed and not self._outcomes.urgent:
            self._wanted = self._loop.create_future()
            await self._wanted
        return [] if self._closed else self._outcomes.take()

    def written(self, said: Sequence[Said]) -> None:
        """That has been sent: tasks that are accepted thereby may begin."""
        for task_id in self._outcomes.sent(said, self._loop.time()):
            insist(self._intake.workshop.told, task_id)
        _settle(self._relieved)

    def _wake(self) -> None:
        if self._outcomes.urgent:
            _settle(self._wanted)
        elif self._outcomes.waiting and self._timer is None:
            self._timer = self._loop.call_later(QUICK, insist, self._flush)

    def _flush(self) -> None:
        self._timer = None
        try:
            self._outcomes.flush()
            self._wake()
        except BaseException as error:  # noqa: BLE001 - as above
            self._break(error)

    def close(self) -> None:
        """The stream ends: what it has not brought home is due again, and what was taken is run."""
        if self._closed:
            return
        self._closed = True
        attempt(self._wake_up)
        insist(self._give_back)

    def _wake_up(self) -> None:
        """Nobody has to wait any more."""
        if self._timer is not None:
            self._timer.cancel()
        for waits in (self._wanted, self._relieved):
            _settle(waits)

    def _give_back(self) -> None:
        kept, unacknowledged = self._outcomes.broken()
        for task_id in kept:
            insist(self._intake.workshop.told, task_id)
        for task_id in unacknowledged:
            insist(self._outbox.released, task_id, self._loop.time())
        insist(self._over, self)


def _settle(waits: asyncio.Future[None] | None) -> None:
    if waits is not None and not waits.done():
        waits.set_result(None)
