"""The tasks of one session, on the loop: out by the fast road or by calls, and their ends back by either."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Protocol

from interaction.core.custody import Custody, Ending, as_far_as_known
from interaction.core.model import Acknowledgement, ConnectAnswer, Outcome, TaskResult
from interaction.core.road import Road
from interaction.core.session import Session
from interaction.exception import JournalError, RequestException, ResponseException
from interaction.master.base_task import BaseTask
from interaction.master.fast_road import FastRoad, Packed
from interaction.master.notes import Notes
from interaction.rpc.convert import Report
from interaction.rpc.encoded import ENVELOPE_BYTES, Encoded
from interaction.rpc.insist import attempt, insist
from interaction.rpc.retry import Policy
from interaction.rpc.slave_client import SlaveClient

MOST_CALLS = 500  # NewTask under way at once on one connection: gRPC's servers refuse some of a thousand and more
Answer = Callable[[Acknowledgement | JournalError], object]


class DeliveryOwner(Protocol):
    """The link."""

    session: Session

    @property
    def name(self) -> str:
        """The connection's name."""

    @property
    def token(self) -> str:
        """The session's token."""

    def over(self, ending: Ending[BaseTask] | None) -> None:
        """The session has ended so."""

    def is_over(self) -> RequestException:
        """That the session is over, as an exception."""


class Delivery:
    """What is between a session's tasks and its slave. `policy` is that of each request."""

    def __init__(
        self, owner: DeliveryOwner, custody: Custody[BaseTask], client: SlaveClient, notes: Notes, policy: Policy
    ) -> None:
        self._owner = owner
        self._custody = custody
        self._client = client
        self._notes = notes
        self._policy = policy
        self._closed = False
        self._fast: FastRoad | None = None
        self._calls: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Semaphore(MOST_CALLS)
        self._recording: dict[str, list[Answer]] = {}  # by task id: who waits for a result's acknowledgement

    def opened(self, answer: ConnectAnswer) -> None:
        """The session is open, or open again."""
        if self._fast is not None:
            self._fast.close()
            self._fast = None
        if "work" in answer.features:
            road: Road[Packed] = Road(answer.max_message_bytes - ENVELOPE_BYTES, self._policy.timeout)
            token, expects = self._owner.token, self._custody.expects  # the `repr` of a partial would show the token
            self._fast = FastRoad(self, road, lambda: self._client.work(token, answer.incarnation, expects))

    @property
    def busy(self) -> bool:
        """Whether a task is on its way or runs."""
        return self._custody.busy

    # Tasks.

    def send(self, task: BaseTask, data: Encoded) -> None:
        """Hand over a task. It learns what comes of that, now or later."""
        if self._owner.session.over:
            task.fail_to_start(self._owner.is_over())
            return
        self._custody.hand_over(task)
        self._notes.started(task.id, self._owner.name, data, partial(self._written, task, data))

    def _written(self, task: BaseTask, data: Encoded, failure: JournalError | None) -> None:
        if failure is not None:
            self.not_started(task, failure)
        elif self._wanted(task) and (self._fast is None or not self._fast.send(task, data)):
            self._call(task, data, self._policy)

    def _wanted(self, task: BaseTask) -> bool:
        """Whether it is still to be handed over: its session may be over, and who started it interrupted."""
        return self._custody.unanswered(task.id) is not None

    def call(self, task: BaseTask, data: Encoded, deadline: float, sent: bool) -> None:
        """Hand over by a call what the fast road has left over, unless it has ended otherwise meanwhile.

        `sent`: it may have come to the slave before.
        """
        if not self._wanted(task):
            return
        left = max(deadline - asyncio.get_running_loop().time(), 0.0)
        self._call(task, data, replace(self._policy, timeout=left), sent)

    def _call(self, task: BaseTask, data: Encoded, policy: Policy, sent: bool = False) -> None:
        calling = asyncio.ensure_future(self._new_task(task, data, policy, sent))
        self._calls.add(calling)
        calling.add_done_callback(partial(insist, self._called, task))

    def _called(self, task: BaseTask, calling: asyncio.Task[None]) -> None:
        self._calls.discard(calling)
        error = None if calling.cancelled() else calling.exception()
        if error is not None:
            self.broke(task, error)

    async def _new_task(self, task: BaseTask, data: Encoded, policy: Policy, sent: bool) -> None:
        owner = self._owner
        try:
            async with self._turn:
                answer = await self._client.new_task(owner.token, owner.session.incarnation, task.id, data, policy)
        except (ResponseException, RequestException) as error:
            if isinstance(error, ResponseException):
                error.retried = error.retried or sent
            seconds = owner.session.doubt(error)
            if seconds and not self._closed:  # a cancellation may have been lost on the way here
                await asyncio.sleep(seconds)  # which the end of the session ends, and the task with it
            self.not_started(task, error)
        else:
            task.accept(answer)

    def not_started(self, task: BaseTask, error: BaseException) -> None:
        """A task was refused, or got no answer."""
        ends, ending = self._custody.not_started(task, error)
        if ending is not None:
            insist(self._owner.over, ending)
        if ends:
            insist(self._notes.not_started, task.id, partial(task.fail_to_start, as_far_as_known(error)))

    def broke(self, task: BaseTask, error: BaseException) -> None:
        """Something of our own was raised on the way of a task to its slave: that is its end, unless it has begun."""
        self.not_started(task, error)
        if task.id not in self._recording:
            task.fail_to_start(error)

    def withdraw(self, task: BaseTask, error: BaseException) -> None:
        """Who started a task was interrupted, and does not wait for the slave's answer; it may not have come here."""
        if self._custody.unanswered(task.id) is None:
            task.fail_to_start(error)
        else:
            self.not_started(task, error)

    def outcome(self, outcome: Outcome, report: Report | None, recorded: Callable[[str], object]) -> None:
        """The slave says on the fast road what became of a task; `recorded` is called when a result is written down.

        Where it can't be written the stream is to end: the slave reports it again, by calls and with pauses.
        """
        if outcome.result is not None:
            assert report is not None, "it came with the result"
            self.report(outcome.result, report, partial(self._answer_to_road, outcome.task_id, recorded))
            return
        task = self._custody.unanswered(outcome.task_id)
        if task is None:
            return
        if outcome.refused is not None:
            self.not_started(task, outcome.refused)
        else:
            task.accept(outcome.accepted or {})

    def _answer_to_road(
        self, task_id: str, recorded: Callable[[str], object], answer: Acknowledgement | JournalError
    ) -> None:
        if isinstance(answer, Acknowledgement):
            recorded(task_id)
        elif self._fast is not None:
            self._fast.hang_up()

    # Results.

    def report(self, result: TaskResult, report: Report, answer: Answer) -> None:
        """The slave reports how a task ended. Where it can't be written down the answer says so: as if it had not."""
        task = self._custody.report(result)
        if isinstance(task, Acknowledgement):
            answer(task)
        elif task.id in self._recording:  # the same came before
            self._recording[task.id].append(answer)
        else:
            self._recording[task.id] = [answer]
            try:
                self._notes.ended(task, result, report, partial(self._recorded, task, result))
            except BaseException:
                if task.id in self._recording:  # as if it had not come: the slave reports it again
                    insist(self._not_recorded, task)
                raise

    def _recorded(self, task: BaseTask, result: TaskResult, failure: JournalError | None) -> None:
        answers = self._recording.get(task.id)
        if answers is None:  # it was said before
            return
        said: list[Acknowledgement | JournalError]
        if failure is None:
            said = [self._custody.recorded(result), *[Acknowledgement.DUPLICATE] * (len(answers) - 1)]
            del self._recording[task.id]
        else:
            said = [failure] * len(answers)
            self._not_recorded(task)
        attempt(*(partial(answer, word) for answer, word in zip(answers, said, strict=True)))

    def _not_recorded(self, task: BaseTask) -> None:
        lost = self._custody.not_recorded(task.id)
        self._recording.pop(task.id, None)
        if lost is not None:
            self._notes.lost([(task, lost)])
        else:
            task.accept({})  # nobody waits for the disk to know that

    def close(self) -> None:
        """The session is over, or left alone: nothing more goes out."""
        self._closed = True
        for call in self._calls:
            call.cancel()
        if self._fast is not None:
            insist(self._fast.close)
