"""The tasks of a master by their ids: those of this life, and those that its journal remembers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from weakref import WeakValueDictionary

from interaction.core.journal import TaskRecord
from interaction.core.task import TaskStatus
from interaction.exception import LossReason, PayloadError, TaskLost
from interaction.journal import Journal
from interaction.master.base_task import BaseTask
from interaction.rpc import convert

_log = logging.getLogger("interaction.master")


class Archive:
    """Any thread may ask; tasks are added on the loop. `revive` makes one of a record's id and data, not ended yet."""

    def __init__(self, revive: Callable[[TaskRecord, dict[str, object]], BaseTask]) -> None:
        self._revive = revive
        self._tasks: WeakValueDictionary[str, BaseTask] = WeakValueDictionary()
        self._reviving = threading.RLock()

    def add(self, task: BaseTask) -> None:
        """Know a task: it is being started."""
        self._tasks[task.id] = task

    def task(self, task_id: str, journal: Journal | None) -> BaseTask:
        """The task of that id. Raises KeyError for one that is not known (any more), and JournalError."""
        task = self._tasks.get(task_id)
        if task is not None:
            return task
        record = None if journal is None else journal.find(task_id)
        if record is None:
            raise KeyError(f"this master knows no task {task_id!r}, or its owner has had its end")
        return self.of_record(record)

    def tasks(self, journal: Journal | None) -> list[BaseTask]:
        """The tasks that were started and have not ended, and, with a journal, those whose end nobody has had.

        Raises JournalError.
        """
        records = [] if journal is None else journal.ended()
        known = [task for entry in self._tasks.valuerefs() if (task := entry()) is not None]  # the loop may add one
        running = [task for task in known if task.status is not TaskStatus.IDLE and not task.status.ended]
        ended = {task.id: task for task in map(self.of_record, records)}
        return [*ended.values(), *(task for task in running if task.id not in ended)]

    def of_record(self, record: TaskRecord) -> BaseTask:
        """The task of a record: the same object for the same id, as long as anybody holds it."""
        with self._reviving:
            known = self._tasks.get(record.id)
            if known is None:
                known = self._tasks[record.id] = self._revived(record)
            return known

    def _revived(self, record: TaskRecord) -> BaseTask:
        try:
            data = convert.unpack_mapping(record.data)
        except PayloadError as error:
            _log.error("what the journal has of task %s can't be read; its result may be: %s", record.id, error)
            data = {}
        task = self._revive(record, data).adopt(record.id, record.delivered)
        if record.reason:
            task.lose(TaskLost(LossReason[record.reason], record.message))
        elif record.status is not TaskStatus.STARTED:
            task.finish(convert.unpack_result(record.outcome))
        return task
