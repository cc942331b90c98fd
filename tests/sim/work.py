"""The slave's end of one stream of the fast road, as `interaction.slave.work` has it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from interaction.core.model import Data, TaskOffer, TaskResult
from interaction.core.outbox import Entry
from interaction.core.outcomes import QUICK, Outcomes
from interaction.exception import ResponseException
from tests.sim.delivery import LIMIT, SIZES
from tests.sim.wire import Said, Wire

if TYPE_CHECKING:
    from tests.sim.slave import SimSlave

PATIENCE = 2.0  # seconds, as of a call
REFUSAL = 50  # bytes that an answer without a result counts for


class SimWork:
    """The stream of the session of that token."""

    def __init__(self, slave: SimSlave, token: str, wire: Wire) -> None:
        self.wire = wire
        self.outcomes: Outcomes[TaskResult] = Outcomes(LIMIT)
        self._slave = slave
        self._world = slave.world
        self._token = token
        self._free_at = 0.0  # when the next message can go out
        self._writing = self._flushing = self._watching = self.closed = False

    # What the master says.

    def heard(self, offers: Sequence[TaskOffer], acknowledged: Sequence[str]) -> None:
        """A message came."""
        for task_id in acknowledged:
            if self.outcomes.acknowledged(task_id, self._world.now):
                self._slave.outbox.acknowledged(task_id)
        for offer in offers:
            self._offer(offer)

    def _offer(self, offer: TaskOffer) -> None:
        intake = self._slave.intake
        if self.outcomes.keeps(offer.task_id, quick=self._slave.tenancy.tempo.quick):
            intake.gate.expect(offer.task_id)
        try:
            intake.offer(self._token, offer, partial(self._answer, offer.task_id))
        except ResponseException as refusal:
            self._answer(offer.task_id, refusal)

    def _answer(self, task_id: str, said: Data | ResponseException) -> None:
        if isinstance(said, ResponseException):
            self.outcomes.refused(task_id, said, REFUSAL)
        else:
            self.outcomes.accepted(task_id, said, REFUSAL)
        self._wake()

    # What is said to it.

    def report(self, entry: Entry[TaskResult]) -> bool:
        """Say how a task ended. False where that is to be said by a call."""
        size = self._world.random.choice(SIZES)
        if self.closed or not self.outcomes.takes(size):
            return False
        self.outcomes.ended(entry.task_id, entry.item, size, self._world.now)
        self._wake()
        if not self._watching:
            self._watch()
        return True

    def _watch(self) -> None:
        """Give the stream up where nothing moves on it."""
        stalled_at = None if self.closed else self.outcomes.stalled_at(PATIENCE)
        self._watching = stalled_at is not None
        if stalled_at is None:
            return
        if stalled_at <= self._world.now:
            self._slave.give_up(self)
        else:
            self._world.on(self._slave, stalled_at, self._watch)

    def _wake(self) -> None:
        if self.closed:
            return
        if self.outcomes.urgent:
            if not self._writing:
                self._writing = True
                self._world.on(self._slave, self._free_at, self._write)
        elif self.outcomes.waiting and not self._flushing:
            self._flushing = True
            self._world.on(self._slave, self._world.now + QUICK, self._flush)

    def _flush(self) -> None:
        self._flushing = False
        self.outcomes.flush()
        self._wake()

    def _write(self) -> None:
        self._writing = False
        if self.closed:
            return
        said: list[Said] = self.outcomes.take()
        self.wire.send(self.wire.master, lambda: self.wire.heard(said))
        self._free_at = self.wire.written_at()
        if any(not isinstance(one, TaskResult) for one in said):
            self._world.on(self._slave, self._free_at, lambda: self._sent(said))
        self._wake()

    def _sent(self, said: Sequence[Said]) -> None:
        for task_id in self.outcomes.sent(said, self._world.now):
            self._slave.intake.told(task_id)

    def close(self) -> None:
        """The stream ends: what it has not brought home is due again, and what was taken is run."""
        if self.closed:
            return
        self.closed = True
        kept, unacknowledged = self.outcomes.broken()
        for task_id in kept:
            self._slave.intake.told(task_id)
        for task_id in unacknowledged:
            self._slave.outbox.released(task_id, self._world.now)
        self._slave.work_over(self)
