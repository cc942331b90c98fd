"""Slave processes that work without a pause, and are killed at any moment; and what became of their tasks."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interaction import Master, RequestException, SlaveConnectionProxy, Task, TaskStatus
from interaction.exception import LossReason, SlaveResponseException, TaskLost

ROOT = Path(__file__).resolve().parents[2]
HANGING = 30.0  # seconds after which a task without an end is one that hangs
SHORTEST, LONGEST = 0.0, 0.02  # seconds that a task takes
LIFE = 0.4  # seconds that a slave lives on the average, once it works


@dataclass
class Outcome:
    """What is known at the end. `known_after` are the seconds from each kill to the callback of the task it hit."""

    kills: int = 0
    tasks: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    known_after: list[float] = field(default_factory=list)
    hanging: int = 0
    doubled_callbacks: int = 0
    executed_twice: int = 0
    wrong_results: int = 0
    seconds: float = 0.0

    def figures(self) -> dict[str, object]:
        """All of it as JSON takes it; `known_after` by its percentiles."""
        percentiles = {f"p{round(100 * share)}": self.percentile(share) for share in (0.5, 0.9, 0.99, 1.0)}
        return {**vars(self), "known_after": percentiles}

    def percentile(self, share: float) -> float:
        """Of `known_after`; NaN where no kill hit a task."""
        ordered = sorted(self.known_after)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else float("nan")


class Process:
    """One slave process."""

    def __init__(self, log: Path) -> None:
        self.killed_at = 0.0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.slave", str(log)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the master, which ends this
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        """SIGKILL."""
        self.killed_at = time.monotonic()
        self._process.kill()

    def close(self) -> None:
        """See that it is gone."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


class Mourning(Master):
    """Tells who waits for it that a slave is lost."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.lost: dict[str, threading.Event] = {}

    def _lost_slave(self, name: str, reason: LossReason) -> None:
        self.lost[name].set()


class Kills:
    """`kills` kills in all, of `slaves` slaves that work side by side. `watch` is called after each, with the count."""

    def __init__(
        self, folder: Path, kills: int, slaves: int, seed: int, watch: Callable[[int], object] = lambda kills: None
    ) -> None:
        self._log = folder / "executed"
        self._log.touch()
        self._left = kills
        self._slaves = slaves
        self._watch = watch
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._tasks: list[Task] = []
        self._calls: Counter[int] = Counter()
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """Do it, and look at what is left."""
        began = time.monotonic()
        with Mourning("127.0.0.1", 0, request_retries=2, request_retry_waiting=0.1) as master:
            with ThreadPoolExecutor(self._slaves) as threads:
                try:
                    for life in [threads.submit(self._live, master, f"slave-{n}") for n in range(self._slaves)]:
                        life.result()
                except BaseException:
                    self._left = 0  # those that live are the last
                    raise
            self._wait_for_all()
        self.outcome.seconds = time.monotonic() - began
        self._judge()
        return self.outcome

    def _live(self, master: Mourning, name: str) -> None:
        """One slave after the other, each until it is killed."""
        while True:
            with self._lock:
                if self._left == 0:
                    return
                self._left -= 1
                lives = self._random.expovariate(1 / LIFE)
            process = Process(self._log)
            death = threading.Timer(lives, process.kill)
            lost = master.lost[name] = threading.Event()
            try:
                connection = master.new_connection(name, "127.0.0.1", process.port)
                with suppress(RequestException):
                    connection.connect()
                    death.start()
                    self._work(connection, process)
                    if not lost.wait(HANGING):
                        self._hang()
            finally:
                death.cancel()
                process.close()
            with self._lock:
                self.outcome.kills += 1
                self._watch(self.outcome.kills)

    def _hang(self) -> None:
        with self._lock:
            self.outcome.hanging += 1

    def _work(self, connection: SlaveConnectionProxy, process: Process) -> None:
        while True:
            with self._lock:
                number, seconds = len(self._tasks), self._random.uniform(SHORTEST, LONGEST)
                task = connection.new_task({"number": number, "seconds": seconds})
                self._tasks.append(task)
            task.on_complete(lambda data, result: self._called(data["number"], None))
            task.on_fail(lambda data, result: self._called(data["number"], process))
            try:
                task.start()
            except (RequestException, SlaveResponseException, TaskLost):
                return
            task.join(HANGING)
            if task.status is not TaskStatus.COMPLETED:
                return

    def _called(self, number: int, lost: Process | None) -> None:
        now = time.monotonic()
        with self._lock:
            self._calls[number] += 1
            if lost is not None and lost.killed_at:
                self.outcome.known_after.append(now - lost.killed_at)

    def _wait_for_all(self) -> None:
        deadline = time.monotonic() + HANGING
        for task in self._tasks:
            try:
                task.join(max(deadline - time.monotonic(), 0.0))
            except TimeoutError:
                self.outcome.hanging += 1

    def _judge(self) -> None:
        outcome = self.outcome
        outcome.tasks = len(self._tasks)
        for number, task in enumerate(self._tasks):
            outcome.ended[task.status.name] += 1
            if isinstance(task.error, TaskLost):
                outcome.reasons[task.error.reason.name] += 1
            outcome.doubled_callbacks += self._calls[number] > 1
            wanted = {"number": number} if task.status is TaskStatus.COMPLETED else None
            outcome.wrong_results += task.result != wanted
        executed = Counter(self._log.read_text().split())
        outcome.executed_twice = sum(count > 1 for count in executed.values())

    @property
    def unexpected(self) -> list[str]:
        """What went wrong, in sentences."""
        outcome = self.outcome
        counts = {
            "tasks without an end": outcome.hanging,
            "tasks whose callbacks ran twice": outcome.doubled_callbacks,
            "tasks that were executed twice": outcome.executed_twice,
            "tasks with another's result": outcome.wrong_results,
            "losses that are not EXITED": sum(
                number for reason, number in outcome.reasons.items() if reason != LossReason.EXITED.name
            ),
        }
        return [f"{what}: {number}" for what, number in counts.items() if number]
