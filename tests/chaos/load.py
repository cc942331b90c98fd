"""Work for slaves without a pause, and what became of each task."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from interaction import Master, RequestException, SlaveConnectionProxy, Task, TaskStatus
from interaction.exception import LossReason, SlaveResponseException, TaskLost
from tests.chaos.findings import Findings

HANGING = 30.0  # seconds after which a task without an end is one that hangs


@dataclass
class Record:
    """One task, and what its callbacks saw."""

    number: int
    slave: str
    task: Task
    calls: int = 0
    ended_at: float = 0.0
    seen: tuple[TaskStatus, Any] | None = None  # status and result in the first callback


class Load:
    """Gives tasks to slaves, each as long as `longest` seconds at most, and remembers them."""

    def __init__(self, seed: int, longest: float = 0.02, padding: int = 0) -> None:
        self.records: list[Record] = []
        self._longest = longest
        self._padding = bytes(padding)
        self._dice = random.Random(seed)
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._progress = threading.Condition()
        self._done: Counter[str] = Counter()  # good ends, by slave
        self.hanging = 0

    def stop(self) -> None:
        """Give no more."""
        self._over.set()

    def work(self, connection: SlaveConnectionProxy, over: threading.Event) -> None:
        """Give one task after the other, until it is over, or the connection is no more."""
        while not (over.is_set() or self._over.is_set()) and connection.is_connected:
            record = self._new(connection)
            try:
                record.task.start()
            except (RequestException, SlaveResponseException, TaskLost):
                continue
            try:
                record.task.join(HANGING)
            except TimeoutError:
                with self._lock:
                    self.hanging += 1
                return

    def _new(self, connection: SlaveConnectionProxy) -> Record:
        with self._lock:
            number, seconds = len(self.records), self._dice.uniform(0.0, self._longest)
            task = connection.new_task({"number": number, "seconds": seconds, "padding": self._padding})
            record = Record(number, connection.name, task)
            self.records.append(record)
        task.on_complete(lambda data, result: self._completed(record, result))
        task.on_fail(lambda data, result: self._called(record, result))
        return record

    def completes(self, slave: str, timeout: float = HANGING) -> bool:
        """Wait until the slave has completed one more task; False where it does not, in time."""
        with self._progress:
            before = self._done[slave]
            return self._progress.wait_for(lambda: self._done[slave] > before, timeout)

    def _completed(self, record: Record, result: Any) -> None:
        self._called(record, result)
        with self._progress:
            self._done[record.slave] += 1
            self._progress.notify_all()

    def _called(self, record: Record, result: Any) -> None:
        with self._lock:
            record.calls += 1
            if record.seen is None:
                record.ended_at, record.seen = time.monotonic(), (record.task.status, result)

    def findings(self) -> Findings:
        """Wait for what is under way, and judge."""
        self.stop()
        found = Findings(tasks=len(self.records), hanging=self.hanging)
        deadline = time.monotonic() + HANGING
        for record in self.records:
            try:
                record.task.join(max(deadline - time.monotonic(), 0.0))
            except TimeoutError:
                found.hanging += 1
                continue
            self._judge(record, found)
        return found

    def _judge(self, record: Record, found: Findings) -> None:
        task = record.task
        found.ended[task.status.name] += 1
        if isinstance(task.error, TaskLost):
            found.reasons[task.error.reason.name] += 1
        found.doubled_callbacks += record.calls > 1
        if task.status is TaskStatus.START_FAILED:
            found.wrong_results += task.result is not None or record.calls > 0
            return
        if record.seen is None:
            found.wrong.append(f"task {record.number} has ended, and no callback was called")
        elif record.seen != (task.status, task.result):
            found.stale_accepted += 1
        completed = task.status is TaskStatus.COMPLETED
        wanted = {"number": record.number, "padding": self._padding} if completed else None
        found.wrong_results += task.result != wanted


class Mourning(Master):
    """Tells who waits for it that a slave is lost, and when that was known."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._changed = threading.Condition()
        self._losses: dict[str, list[tuple[float, LossReason]]] = {}

    def _lost_slave(self, name: str, reason: LossReason) -> None:
        with self._changed:
            self._losses.setdefault(name, []).append((time.monotonic(), reason))
            self._changed.notify_all()

    def loss(self, name: str, timeout: float = HANGING) -> tuple[float, LossReason] | None:
        """When and why the slave of that name was lost, once for each loss; None where it is not, in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: bool(self._losses.get(name)), timeout):
                return None
            return self._losses[name].pop(0)


def quick(kind: Callable[..., Mourning] = Mourning, **options: Any) -> Mourning:
    """A master that gives up soon on who does not answer."""
    return kind(**{"host": "127.0.0.1", "port": 0, "request_retries": 2, "request_retry_waiting": 0.1, **options})
