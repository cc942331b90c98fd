"""A task as its owner sees it."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from interaction.core.model import Acknowledgement, Data, TaskResult
from interaction.core.task import TaskMachine, TaskStatus
from interaction.exception import RequestException
from interaction.master.hooks import MasterHooks
from interaction.rpc import payload
from interaction.rpc.payload import Encoded
from interaction.rpc.strand import Strand, on_a_strand

__all__ = ["Callback", "Road", "Task", "TaskStatus"]

Callback = Callable[[Mapping[str, Any], Any], object]
_log = logging.getLogger("interaction.master")


class Road(Protocol):
    """How tasks get to one slave."""

    @property
    def max_message_bytes(self) -> int:
        """The longest message that the slave reads."""

    def hand_over(self, task: Task, data: Encoded) -> Data:
        """Send the task, and wait until the slave has answered. Raises what the request came to."""


class Diary(Protocol):
    """Where it is written down that a task's owner has had its end: no later life of the master tells him again."""

    def delivering(self, task_id: str, then: Callable[[], object]) -> None:
        """Callbacks are to be called; `then` is called, on any thread, when that is written down."""

    def had(self, task_id: str) -> None:
        """The owner has had the end: the callbacks have run, or `join()` has returned."""


class Task:
    """A unit of work for one slave. Made by `connection.new_task(data)`; nothing is sent until `start()`.

    All members may be used from any thread, callbacks included.
    """

    def __init__(
        self, data: Mapping[str, Any] | None, hooks: MasterHooks, road: Road, strand: Strand, diary: Diary
    ) -> None:
        self.id = str(uuid.uuid4())
        self._data: Mapping[str, Any] = {} if data is None else data
        self._hooks = hooks
        self._road = road
        self._strand = strand
        self._diary = diary
        self._machine = TaskMachine()
        self._callbacks: list[tuple[bool, Callback]] = []  # whether for the good end, and what to call
        self._changed = threading.Condition()
        self._settled = False  # it has ended, and the callbacks that were there have run
        self._marked = False  # it is written down that callbacks are called
        self._had = False  # it is written down that the owner has had the end

    def adopt(self, task_id: str, delivered: bool) -> Task:
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
        """What the slave returned, or gave with its failure; None until the task has ended, and without a result."""
        return self._machine.result

    @property
    def error(self) -> BaseException | None:
        """Why the task has no good result; None while it runs, and when it is COMPLETED.

        FAILED: a `TaskFailed`. LOST: a `TaskLost`, with its reason. CANCELLED: a `TaskCancelled`. START_FAILED: what
        `start()` met.
        """
        return self._machine.error

    def start(self) -> Any:
        """Send the task to its slave, and return when the slave has accepted it.

        Returns:
            What `_after_new_task` (or an overridden `_error_new_task`) returned if that is not None, else the task.

        Raises:
            ValueError: it was started before.
            TypeError: the data is no mapping.
            PayloadError: the data can't be carried. Nothing was sent.
            SlaveResponseException: the slave refused, by the class of its code.
            RequestException: the slave did not answer.
            JournalError: the task can't be written down. Nothing was sent.
            RuntimeError: the connection is not there.

        After an exception the task is START_FAILED, no callback runs, and `error` is that exception.
        """
        with self._changed:
            self._machine.start()
        try:
            data = self._hooks._before_new_task(self._data)
            encoded = payload.encode_mapping(data, "data", self._road.max_message_bytes)
            answer = self._road.hand_over(self, encoded)
        except RequestException as error:
            self.fail_to_start(error)
            returned = self._hooks._error_new_task(error)
        except BaseException as error:
            self.fail_to_start(error)
            raise
        else:
            returned = self._hooks._after_new_task(200, True, 0, "The slave has accepted the task.", answer)
        return self if returned is None else returned

    def join(self, timeout: float | None = None) -> Task:
        """Wait until the task has ended and the callbacks that it had by then have run. Before `start()` it waits too.

        Called from a hook or a callback it waits for the end alone: callbacks may queue behind the caller.

        Args:
            timeout: seconds; None waits as long as it takes.

        Raises:
            TimeoutError: the timeout passed first. The task goes on.
        """
        with self._changed:
            if on_a_strand():
                done = self._changed.wait_for(lambda: self.status.ended, timeout)
            else:
                done = self._changed.wait_for(lambda: self._settled, timeout)
            if done and self._settled:
                self._forget()
        if not done:
            raise TimeoutError(f"task {self.id} has not ended within {timeout} s; it is {self.status.name}")
        return self

    def on_complete(self, callback: Callback) -> Task:
        """Call `callback(task data, result)` when the task is COMPLETED; soon, where it is already.

        Callbacks run once, in the order in which they were added, one after another for all tasks of a connection, on a
        thread of the connection's. One that raises is logged, and disturbs nothing else.
        """
        return self._add(True, callback)

    def on_fail(self, callback: Callback) -> Task:
        """Call `callback(task data, result)` when the task is FAILED, LOST or CANCELLED; else as `on_complete`."""
        return self._add(False, callback)

    def _add(self, good: bool, callback: Callback) -> Task:
        if not callable(callback):
            raise TypeError(f"a callback must be callable, not {callback!r}")
        with self._changed:
            if not self.status.ended:
                self._callbacks.append((good, callback))
            elif self._concerns(good):
                self._deliver([partial(self._call, callback), self._forget])
        return self

    def _concerns(self, good: bool) -> bool:
        if self.status is TaskStatus.START_FAILED:
            return False
        return good is (self.status is TaskStatus.COMPLETED)

    # What the connection tells the task, from any thread.

    def accept(self) -> None:
        """The slave has accepted it."""
        with self._changed:
            self._machine.accept()

    def fail_to_start(self, error: BaseException) -> None:
        """It was not sent, or refused."""
        with self._changed:
            if self._machine.fail_to_start(error):
                self._end()

    def finish(self, result: TaskResult) -> Acknowledgement:
        """A result came."""
        with self._changed:
            acknowledgement = self._machine.finish(result)
            if acknowledgement is Acknowledgement.RECORDED:
                self._end()
            return acknowledgement

    def lose(self, error: BaseException) -> None:
        """The slave is gone."""
        with self._changed:
            if self._machine.lose(error):
                self._end()

    def mark(self) -> bool:
        """Its end is being written down. Says whether its callbacks will have had it."""
        with self._changed:
            self._marked = self._marked or bool(self._callbacks)
            return self._marked

    def _end(self) -> None:
        """Wake who waits, and have the callbacks run. Called once, with the lock held."""
        calls = [partial(self._call, callback) for good, callback in self._callbacks if self._concerns(good)]
        unconcerned = bool(self._callbacks) and not calls
        self._callbacks.clear()
        if calls:
            self._deliver([*calls, self._settle])
        else:
            self._settled = True
        if unconcerned:
            self._forget()
        self._changed.notify_all()

    def _deliver(self, calls: Sequence[Callable[[], object]]) -> None:
        """Have users' code called, once it is written down that it is."""
        if self._marked:
            self._submit(calls)
        else:
            self._diary.delivering(self.id, partial(self._submit, calls))

    def _submit(self, calls: Sequence[Callable[[], object]]) -> None:
        self._marked = True
        for call in calls:
            self._strand.submit(call)

    def _call(self, callback: Callback) -> None:
        try:
            callback(self._data, self.result)
        except BaseException:  # noqa: BLE001 - users' code raises what it likes, sys.exit() included; it is logged
            _log.exception("a callback of task %s raised", self.id)

    def _settle(self) -> None:
        with self._changed:
            self._settled = True
            self._changed.notify_all()
        self._forget()

    def _forget(self) -> None:
        """The owner has had the end."""
        if not self._had:
            self._had = True
            self._diary.had(self.id)
