"""The tasks of one session of the simulated master, as `interaction.master.delivery` has them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from interaction.core.journal import TaskDropped, TaskEnded, TaskKept, TaskRecord
from interaction.core.model import Acknowledgement, ConnectAnswer, TaskOffer, TaskResult
from interaction.core.outcomes import Refused
from interaction.core.road import Road
from interaction.core.task import STATUS_BY_RESULT
from interaction.exception import JournalError, RequestException, ResponseException
from tests.sim.road import Packed, SimRoad
from tests.sim.task import SimTask
from tests.sim.wire import BROKEN, Said
from tests.sim.world import CALL_SECONDS, Later

if TYPE_CHECKING:
    from tests.sim.link import SimLink
    from tests.sim.master import SimMaster

LIMIT = 1000  # bytes of a message on a stream
SIZES = (10, 10, 10, 400, 2 * LIMIT)  # bytes that a task or a result may have; the last goes by a call


class SimDelivery:
    """What is between a session's tasks and its slave."""

    def __init__(self, master: SimMaster, link: SimLink) -> None:
        self.world = master.world
        self.slave = link.slave
        self.fast: SimRoad | None = None
        self._master = master
        self._link = link
        self._custody = link.custody
        self._recording: dict[str, Later] = {}  # by task id

    @property
    def token(self) -> str:
        """The session's token."""
        return self._link.token

    @property
    def busy(self) -> bool:
        """Whether a task is on its way or runs."""
        return self._custody.busy

    def count(self, what: str) -> None:
        """Something happened that runs should be about."""
        self._master.history.counts[what] += 1

    def opened(self, answer: ConnectAnswer) -> None:
        """The session is open."""
        if self.fast is not None:
            self.fast.close()
            self.fast = None
        if "work" in answer.features:
            road: Road[Packed] = Road(LIMIT, CALL_SECONDS)
            self.fast = SimRoad(self, road, self._master.idle)

    # Tasks.

    def start(self, task: SimTask) -> None:
        """Hand over a task."""
        offer = TaskOffer(task.id, {"task": task.id}, task.id.encode(), self._link.session.incarnation)
        self._custody.hand_over(task)
        kept = TaskKept(TaskRecord(task.id, self.slave.name, b""))
        self._master.write([kept], partial(self._written, task, offer))

    def _written(self, task: SimTask, offer: TaskOffer, failure: JournalError | None) -> None:
        size = self.world.random.choice(SIZES)
        if failure is not None:
            self.not_started(task, failure)
        elif not self._link.session.over and (self.fast is None or not self.fast.send(task, offer, size)):
            self.call(task, offer, self.world.now + CALL_SECONDS)

    def call(self, task: SimTask, offer: TaskOffer, deadline: float) -> None:
        """Hand it over by a call."""

        def done(answer: object) -> None:
            if self._link.session.over:  # which has ended the call, and ends the task
                return
            if isinstance(answer, (ResponseException, RequestException)):
                known = self.world.now + self._link.session.doubt(answer)
                self.world.on(self._master, known, partial(self._no_answer, task, answer))
            else:
                task.accept()

        self.world.request(self._master, self.slave, lambda: self.slave.new_task(self.token, offer), done, deadline)

    def _no_answer(self, task: SimTask, error: BaseException) -> None:
        if not self._link.session.over:
            self.not_started(task, error)

    def not_started(self, task: SimTask, error: BaseException) -> None:
        """It was refused, or got no answer."""
        ends, ending = self._custody.not_started(task, error)
        self._master.over(self._link, ending)
        if ends:
            self.count(f"refused with {error.code.name}" if isinstance(error, ResponseException) else "no answer")
            self._master.keep([TaskDropped(task.id)], lambda: task.fail_to_start(error))

    def outcome(self, said: Said, recorded: Callable[[str], object]) -> None:
        """The slave says on the fast road what became of a task."""
        if isinstance(said, TaskResult):
            self.count("results by a stream")
            self._answer(said.task_id, self.report(said), recorded)
            return
        task = self._custody.unanswered(said.task_id)
        if task is None:
            return
        if isinstance(said, Refused):
            self.not_started(task, said.error)
        else:
            task.accept()

    def _answer(self, task_id: str, answer: object, recorded: Callable[[str], object]) -> None:
        if isinstance(answer, Later):
            answer.listeners.append(lambda given: self._answer(task_id, given, recorded))
        elif isinstance(answer, Acknowledgement):
            self.count(f"acknowledged {answer.name}")
            recorded(task_id)
        elif self.fast is not None:
            self.fast.hang_up()

    # Results.

    def report(self, result: TaskResult) -> Acknowledgement | Later:
        """The slave reports how a task ended."""
        task = self._custody.report(result)
        if isinstance(task, Acknowledgement):
            return task
        if self._master.journal is None:
            return self._custody.recorded(result)
        if task.id not in self._recording:
            self._recording[task.id] = Later()
            outcome = str(result.value).encode()
            ended = TaskEnded(task.id, STATUS_BY_RESULT[result.status], outcome, delivered=task.mark())
            self._master.write([ended], partial(self._recorded, task, result))
        return self._recording[task.id]

    def _recorded(self, task: SimTask, result: TaskResult, failure: JournalError | None) -> None:
        later = self._recording.pop(task.id)
        if failure is None:
            later.give(self._custody.recorded(result))
            return
        lost = self._custody.not_recorded(task.id)
        if lost is not None:
            self._master.lose([(task, lost)])
        later.give(RequestException("not written", "UNAVAILABLE"))

    def killed(self) -> None:
        """Its process is no more."""
        if self.fast is not None and self.fast.wire is not None:
            self.fast.wire.end(self.fast.wire.slave, BROKEN)

    def close(self) -> None:
        """The session is over."""
        if self.fast is not None:
            self.fast.close()
