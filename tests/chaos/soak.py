"""A master and four slaves that work for an hour, and what they hold meanwhile and afterwards."""

from __future__ import annotations

import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from interaction import Master, RequestException, SlaveConnectionProxy, Task
from interaction.exception import SlaveResponseException, TaskLost
from tests.chaos.census import Holding, holding, mib_per_hour, settled
from tests.chaos.process import PATIENCE, Process

SLAVES = 4  # the first of them lives to the end
KINDS = {"small": 16, "large": 2, "failing": 1, "raising": 1}  # which kind of task comes how often
LARGE = 100 * 1024  # bytes
PAUSE = 0.05  # seconds between two tasks of a slave, on the average
CONNECTED, LIFE = 20.0, 60.0  # seconds that a connection, and a slave, lasts on the average
SPAN = 10.0  # seconds between two samples
WARM_UP = 1200.0  # seconds until the allocator has seen it all: a third of the time, where that is shorter
SHORTEST = 600.0  # seconds of samples below which a slope says nothing
SETTLING = 30.0  # seconds until what was let go of must be gone
MOST_MIB_PER_HOUR = 1.0


@dataclass
class Watched:
    """One process: what it held at the start and at the end, with nothing connected, and in between."""

    name: str
    start: Holding
    end: Holding | None = None
    samples: list[Holding] = field(default_factory=list)

    def slope(self, warm_up: float) -> float:
        """MiB/h, from so many seconds after the first sample."""
        return mib_per_hour([sample for sample in self.samples if sample.at >= self.samples[0].at + warm_up])

    def figures(self, warm_up: float) -> dict[str, object]:
        slope = self.slope(warm_up)
        return {
            "start": self.start.figures(),
            "end": None if self.end is None else self.end.figures(),
            "samples": [sample.figures() for sample in self.samples],
            "mib_per_hour": None if math.isnan(slope) else slope,
        }


@dataclass
class Counts:
    """What was done, and what of it went wrong."""

    tasks: Counter[str] = field(default_factory=Counter)  # by kind
    ended: Counter[str] = field(default_factory=Counter)  # by status
    connections: int = 0
    kills: int = 0
    hanging: int = 0
    doubled_callbacks: int = 0
    wrong_results: int = 0


class Soak:
    """Works for `minutes`. `watch` is called at each sample with the share of the time that is over."""

    def __init__(self, minutes: float, seed: int = 0, watch: Callable[[float], object] = lambda share: None) -> None:
        self._seconds = 60 * minutes
        self.warm_up = min(WARM_UP, self._seconds / 3)
        self._seed = seed
        self._watch = watch
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._number = 0
        self.counts = Counts()
        self.watched: list[Watched] = []

    def run(self) -> None:
        """Do it. After KeyboardInterrupt it ends early, with the figures so far."""
        with (
            Master("127.0.0.1", 0, request_retries=1, request_retry_waiting=0.1) as master,
            Process("tests.chaos.soak_slave", {}) as elder,
        ):
            self._turn(master, elder, random.Random(self._seed), "elder", time.monotonic() + 2.0)  # what is made once
            ours, theirs = Watched("master", holding()), Watched("slave", self._census(elder))
            ours.start, theirs.start = settled(holding, None, SETTLING), self._settled(elder, None)
            self.watched = [ours, theirs]
            with ThreadPoolExecutor(SLAVES) as threads:
                lives = [threads.submit(self._live, master, number, elder) for number in range(SLAVES)]
                try:
                    self._sample(elder, lives)
                finally:
                    self._over.set()
                for life in lives:
                    life.result()
            ours.end, theirs.end = settled(holding, ours.start, SETTLING), self._settled(elder, theirs.start)

    def _sample(self, elder: Process, lives: list[Any]) -> None:
        began = time.monotonic()
        with suppress(KeyboardInterrupt):
            while (left := began + self._seconds - time.monotonic()) > 0 and not any(life.done() for life in lives):
                for watched, held in zip(self.watched, (holding(), self._census(elder)), strict=True):
                    watched.samples.append(held)
                self._watch(1 - left / self._seconds)
                self._over.wait(min(SPAN, left))

    @staticmethod
    def _census(process: Process) -> Holding:
        return Holding(**process.ask("census")["holding"])

    def _settled(self, process: Process, wanted: Holding | None) -> Holding:
        return settled(lambda: self._census(process), wanted, SETTLING)

    def _live(self, master: Master, number: int, elder: Process) -> None:
        """One slave's time: it is connected and disconnected, and all but the first are killed and started again."""
        dice = random.Random(self._seed * SLAVES + number)
        while not self._over.is_set():
            if number == 0:
                self._turn(master, elder, dice, "slave-0", time.monotonic() + dice.expovariate(1 / CONNECTED))
                continue
            with Process("tests.chaos.soak_slave", {}) as mortal:
                death = threading.Timer(dice.expovariate(1 / LIFE), mortal.kill)
                death.start()
                while not mortal.killed_at and not self._over.is_set():
                    self._turn(
                        master, mortal, dice, f"slave-{number}", time.monotonic() + dice.expovariate(1 / CONNECTED)
                    )
                death.cancel()
                self.counts.kills += mortal.killed_at > 0

    def _turn(self, master: Master, process: Process, dice: random.Random, name: str, until: float) -> None:
        """One connection: opened, worked with, and closed."""
        connection = master.new_connection(name, "127.0.0.1", process.port)
        try:
            connection.connect()
        except (RequestException, SlaveResponseException):
            if not process.killed_at:
                raise
            return
        with self._lock:
            self.counts.connections += 1
        while time.monotonic() < until and connection.is_connected and not self._over.is_set():
            self._work(connection, dice)
            self._over.wait(dice.expovariate(1 / PAUSE))
        connection.close()

    def _work(self, connection: SlaveConnectionProxy, dice: random.Random) -> None:
        [kind] = dice.choices(list(KINDS), list(KINDS.values()))
        with self._lock:
            self._number += 1
            number = self._number
            self.counts.tasks[kind] += 1
        content = dice.randbytes(LARGE) if kind == "large" else None
        calls: list[int] = []
        task = connection.new_task({"number": number, "kind": kind, "content": content})
        task.on_complete(lambda data, result: calls.append(data["number"]))
        task.on_fail(lambda data, result: calls.append(data["number"]))
        with suppress(RequestException, SlaveResponseException, TaskLost):
            task.start()
            self._end(task, kind, number, content)
        with self._lock:
            self.counts.ended[task.status.name] += 1
            self.counts.doubled_callbacks += len(calls) > 1

    def _end(self, task: Task, kind: str, number: int, content: bytes | None) -> None:
        try:
            task.join(PATIENCE)
        except TimeoutError:
            with self._lock:
                self.counts.hanging += 1
            return
        if task.status.name == "LOST":
            return
        wanted: dict[str, tuple[str, Mapping[str, Any]]] = {
            "failing": ("FAILED", {"number": number}),
            "raising": ("FAILED", {"type": "ValueError", "message": f"task {number} raises, as it was told"}),
        }
        right = wanted.get(kind, ("COMPLETED", {"number": number, "content": content}))
        with self._lock:
            self.counts.wrong_results += (task.status.name, task.result) != right

    def figures(self) -> dict[str, object]:
        """All of it as JSON takes it."""
        processes = {watched.name: watched.figures(self.warm_up) for watched in self.watched}
        return {"seed": self._seed, "warm_up_seconds": self.warm_up, "counts": vars(self.counts), **processes}

    @property
    def violations(self) -> list[str]:
        """What went wrong, in sentences."""
        counts = self.counts
        wrong = {
            "tasks without an end": counts.hanging,
            "tasks whose callbacks ran twice": counts.doubled_callbacks,
            "tasks with a wrong result": counts.wrong_results,
        }
        sentences = [f"{what}: {number}" for what, number in wrong.items() if number]
        for watched in self.watched:
            sentences += self._leaks(watched)
        return sentences

    def _leaks(self, watched: Watched) -> list[str]:
        sentences = []
        if self._seconds - self.warm_up >= SHORTEST and not watched.slope(self.warm_up) < MOST_MIB_PER_HOUR:
            sentences.append(f"{watched.name}: its memory grows by {watched.slope(self.warm_up):.2f} MiB/h")
        for what in ("descriptors", "asyncio_tasks"):
            first, last = getattr(watched.start, what), getattr(watched.end, what, None)
            if last is None or last > first:
                sentences.append(f"{watched.name}: {what} were {first} at the start, and {last} at the end")
        return sentences
