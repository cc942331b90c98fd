"""A task, as far as it is the same for the plain facade and for `interaction.aio`."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Protocol, TypeVar

from interaction.core.model import Acknowledgement, Data, TaskResult
from interaction.core.task import TaskMachine, TaskStatus
from interaction.master.hooks import MasterHooks
from interaction.master.ids import new_id
from interaction.rpc import payload
from interaction.rpc.coroutines import check_callback, refuse_left
from interaction.rpc.encoded import Encoded
from interaction.rpc.insist import as_work, insist
from interaction.rpc.telling import log_exception

Callback = Callable[[Mapping[str, Any], Any], object]
_Self = TypeVar("_Self", bound="BaseTask")
_log = logging.getLogger("interaction.master")


class Changes(Protocol):
    """Who waits for a change of a task."""

    def notify_all(self) -> None:
        """Something has changed."""


class Runner(Protocol):
    """Where the callbacks of a connection's tasks run."""

    def submit(self, work: Callable[[], object]) -> None:
        """Have `work` called after all that was submitted before."""

    def join(self, timeout: float | None = None) -> bool:
        """Wait until all of it has been called; False where the timeout (seconds) passes first."""

    def check_not_mine(self) -> None:
        """Raise RuntimeError in such work, which would wait for itself."""


class Road(Protocol):
    """How tasks get to one slave: the connection."""

    @property
    def name(self) -> str:
        """The connection's name."""

    @property
    def max_message_bytes(self) -> int:
        """The longest message that both sides take."""

    @property
    def runner(self) -> Runner:
        """Where callbacks run."""

    @property
    def diary(self) -> Diary:
        """Where ends are written down."""

    @property
    def hooks(self) -> MasterHooks:
        """The user's hooks."""

    def check_here(self) -> None:
        """Raise RuntimeError where the master lives on its user's loop, and another one runs here."""

    def hand_over(self, task: BaseTask, data: Encoded) -> None:
        """Have the task sent; it learns what comes of that. Raises where there is no connection."""

    def withdraw(self, task: BaseTask, error: BaseException) -> None:
        """Nobody waits any more for the slave's answer."""


class Diary(Protocol):
    """Where it is written down that a task's owner has had its end: no later life of the master tells him again."""

    @property
    def keeps(self) -> bool:
        """Whether anything is written down."""

    def delivering(self, task_id: str, then: Callable[[], object]) -> None:
        """Callbacks are to be called; `then` is called, on any thread, when that is written down."""

    def had(self, task_id: str) -> None:
        """The owner has had the end: the callbacks have run, `join()` has returned, or he has read the result."""


class BaseTask:
    """What a task knows, what its connection tells it, and its callbacks.

    Its state is changed on the loop alone, and callbacks are called by the runner alone. Its owner's threads only add
    callbacks, and look: no lock is needed, and none can be held by who is interrupted.
    """

    _awaits = False  # whether callbacks may be coroutine functions

    def __init__(self, data: Mapping[str, Any] | None, road: Road, changes: Changes) -> None:
        self.id = new_id()
        self._data: Mapping[str, Any] = {} if data is None else data
        self._road = road
        self._machine = TaskMachine()
        self._answer: Data = {}  # what the slave said when it accepted the task
        self.accepted_at: float | None = None  # when that was heard; None where its end was heard first
        self._callbacks: list[tuple[bool, Callback]] = []  # whether for the good end, and what to call
        self._watcher: Callable[[BaseTask], object] | None = None
        self._changes = changes
        self._starters: list[object] = []  # who wanted to start it: the first one does
        self._handed_over = False  # the loop may have it
        self._settled = False  # it has ended, and the callbacks that were there have run
        self._marking = False  # it is being written down that callbacks are called
        self._marked = False  # it is written down
        self._had = False  # it is written down that the owner has had the end

    def adopt(self: _Self, task_id: str, delivered: bool) -> _Self:
        """This is a task that an earlier life of the master started. Returns itself."""
        self.id, self._marked, self._machine = task_id, delivered, TaskMachine.started()
        return self

    def __repr__(self) -> str:
        return f"<Task {self.id} {self.status.name}>"

    @property
    def status(self) -> TaskStatus:
        """Where the task stands."""
        return self._machine.status

    @property
    def task(self) -> Mapping[str, Any]:
        """The task data, as the owner gave it."""
        return self._data

    @property
    def result(self) -> Any:
        """What the slave returned, or gave with its failure; None until the task has ended, and without a result.

        `get()` gives a good result alone. Who reads it after the end has had the end: a journal forgets it.
        """
        if self._in_the_journal:
            self._forget()
        return self._machine.result

    @property
    def error(self) -> BaseException | None:
        """Why the task has no good result; None while it runs, and when it is COMPLETED.

        FAILED: a `TaskFailed`. LOST: a `TaskLost`, with its reason. CANCELLED: a `TaskCancelled`. START_FAILED: what
        `start()` met. Who reads that it is not None has had the end.
        """
        error = self._machine.error
        if error is not None and self._in_the_journal:
            self._forget()
        return error

    @property
    def _in_the_journal(self) -> bool:
        """Whether it has ended so that a journal keeps that, until its owner has had it."""
        return self.status.ended and self.status is not TaskStatus.START_FAILED

    def on_complete(self: _Self, callback: Callback) -> _Self:
        """Call `callback(task data, result)` when the task is COMPLETED; soon, where it is already.

        Callbacks run once, in the order in which they were added, one after another for all tasks of a connection, on a
        thread of the connection's (those of `interaction.aio` on its loop, where they may be coroutine functions). One
        that raises is logged, and disturbs nothing else.
        """
        return self._add(True, callback)

    def on_fail(self: _Self, callback: Callback) -> _Self:
        """Call `callback(task data, result)` when the task is FAILED, LOST or CANCELLED; else as `on_complete`."""
        return self._add(False, callback)

    def _add(self: _Self, good: bool, callback: Callback) -> _Self:
        check_callback(callback, awaited=self._awaits)
        self._callbacks.append((good, callback))
        if self.status.ended:
            self._deliver()
        return self

    def _concerns(self, good: bool) -> bool:
        if self.status is TaskStatus.START_FAILED:
            return False
        return good is (self.status is TaskStatus.COMPLETED)

    # Starting.

    def begin(self, starter: object) -> None:
        """The owner starts it. Raises ValueError where somebody has before; `starter` is an object of this call's."""
        self._starters.append(starter)
        if self._starters[0] is not starter:
            raise ValueError(f"a task can be started once, and task {self.id} was started before")
        self._machine.start()

    def send(self, data: Mapping[str, Any] | None) -> None:
        """Hand it over with that data. Raises what `start()` does."""
        encoded = payload.encode_mapping(data, "data", self._road.max_message_bytes)
        self._handed_over = True
        self._road.hand_over(self, encoded)

    def withdraw(self, starter: object, error: BaseException) -> None:
        """That start was not finished, wherever it was: the task is START_FAILED, unless it has ended, soon."""
        if self._starters[:1] != [starter]:  # it was another's, or had not begun
            return
        if self.status is TaskStatus.IDLE:
            self._machine.start()
        if self._handed_over:
            self._road.withdraw(self, error)
        else:
            self.fail_to_start(error)

    @property
    def failure(self) -> BaseException | None:
        """Why it was not started, if it was not."""
        return self.error if self.status is TaskStatus.START_FAILED else None

    # What the connection tells the task, on the loop.

    def accept(self, answer: Data) -> None:
        """The slave has accepted it, and said that to it."""
        if self.status is TaskStatus.STARTING:
            self._answer = answer
            self.accepted_at = time.monotonic()  # the loop's own clock
            self._machine.accept()
            self._changes.notify_all()

    def fail_to_start(self, error: BaseException) -> None:
        """It was not sent, or refused."""
        if self._machine.fail_to_start(error):
            insist(self._end)

    def finish(self, result: TaskResult) -> Acknowledgement:
        """A result came."""
        acknowledgement = self._machine.finish(result)
        if acknowledgement is Acknowledgement.RECORDED:
            insist(self._end)
        return acknowledgement

    def lose(self, error: BaseException) -> None:
        """The slave is gone."""
        if self._machine.lose(error):
            insist(self._end)

    def mark(self) -> bool:
        """Its end is being written down. Says whether its owner will have had it."""
        self._marked = self._marked or bool(self._callbacks) or self._watcher is not None
        return self._marked

    def watch(self, watcher: Callable[[BaseTask], object]) -> None:
        """Call `watcher` when it has ended, where that happens: it takes the end for the owner. Before it is sent."""
        self._watcher = watcher

    def _end(self) -> None:
        """Wake who waits, and have the callbacks run. A callback that comes from now on is seen to by who adds it.

        Harmless when repeated from the middle.
        """
        concerned = any(self._concerns(good) for good, _ in self._callbacks)
        unconcerned = bool(self._callbacks) and not concerned
        if concerned:
            self._deliver()
        else:
            self._settled = True
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            insist(watcher, self)
        if unconcerned or watcher is not None:
            self._forget()
        self._changes.notify_all()

    def _deliver(self) -> None:
        """Have the callbacks called, once it is written down that they are. Harmless when repeated."""
        if self._marked or not self._road.diary.keeps:
            self._road.runner.submit(as_work(self._road.runner.submit, self._call_back))
        elif not self._marking:
            written = as_work(self._road.runner.submit, self._written)
            self._road.diary.delivering(self.id, partial(self._road.runner.submit, written))
            self._marking = True

    def _written(self) -> Awaitable[object] | None:
        self._marked = True
        return self._call_back()

    def _call_back(self) -> Awaitable[object] | None:
        """Call the callbacks that are there. It runs at the runner, one thing at a time: so they keep their order."""
        said = self._call_next()
        if said is not None:
            return self._go_on(said)
        self._settle()
        return None

    async def _go_on(self, said: Awaitable[object] | None) -> None:
        try:
            while said is not None:
                await said
                said = self._call_next()
        except asyncio.CancelledError:
            self._road.runner.submit(self._call_back)  # the others run all the same
            raise
        self._settle()

    def _call_next(self) -> Awaitable[object] | None:
        """Call callbacks until none is left, or one is to be awaited."""
        said = None
        while self._callbacks and said is None:
            if self._concerns(self._callbacks[0][0]):
                said = self._call_first()
            else:
                self._callbacks.pop(0)
        return said

    def _call_first(self) -> Awaitable[object] | None:
        _, callback = self._callbacks.pop(0)  # and now it is called, whatever else may be raised here
        try:
            said = callback(self._data, self._machine.result)
            if self._awaits and inspect.isawaitable(said):
                return self._await(said)
            refuse_left(said, "the callback")
        except BaseException as error:  # noqa: BLE001 - users' code raises what it likes, sys.exit() included
            self._raised(error)
        return None

    async def _await(self, said: Awaitable[object]) -> None:
        try:
            await said
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - as above
            self._raised(error)

    def _raised(self, error: BaseException) -> None:
        log_exception(_log, logging.ERROR, error, "a callback of task %s raised", self.id)

    def _settle(self) -> None:
        self._settled = True
        self._changes.notify_all()
        self._forget()

    def _forget(self) -> None:
        """The owner has had the end."""
        if not self._had:
            self._had = True
            self._road.diary.had(self.id)
