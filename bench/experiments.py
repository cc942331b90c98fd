"""What is measured: each experiment opens its systems, and asks them in turn, over and over."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from bench.bars import MIB
from bench.catalogue import SYSTEMS, missing
from bench.measure import Book, percentile
from bench.process import Failed, Process
from bench.settings import PEERS, Plan

MICRO = 1e6
PAYLOADS = (100, 1024, 10 * 1024, 100 * 1024, MIB)  # bytes
SLAVES = (1, 2, 4, 8)
IN_FLIGHT = (1, 10, 100, 1_000, 10_000)
_LONGEST_BURST = 5.0  # seconds, beyond which a level is not tried
_FEW = 3  # repeats are enough for each point of a curve
_WINDOWS = 40  # into which a long run is cut


class Stage:
    """The systems of an experiment, each in processes of its own; use it with `with`. One that fails is left out."""

    def __init__(self, plan: Plan, book: Book, tell: Callable[[str], None], names: Sequence[str]) -> None:
        self._book = book
        self._tell = tell
        self._names = [name for name in names if name not in PEERS or name in plan.peers]
        self._stack = ExitStack()
        self.open: dict[str, Process] = {}

    def start(self, workers: int, **options: dict[str, Any]) -> Stage:
        """Start all that are there; `options` are more of them, by system."""
        for name in self._names:
            if (sentence := missing(name)) is not None:
                self._book.misses(sentence)
                continue
            self._tell(f"  starting {SYSTEMS[name].label}")
            arguments = {"system": name, "workers": workers, **options.get(name, {})}
            try:
                self.open[name] = self._stack.enter_context(Process("bench.driver", arguments))
            except Failed as failure:
                self._fails(name, failure)
        return self

    def each(self, measure: Callable[[str, Process], object]) -> None:
        """Measure each system, one after the other."""
        for name, process in list(self.open.items()):
            try:
                measure(name, process)
            except Failed as failure:
                self._fails(name, failure)

    def _fails(self, name: str, failure: Failed) -> None:
        self._book.failures.append(f"{SYSTEMS[name].label} failed: {failure}")
        self._tell(f"  {SYSTEMS[name].label} failed: {failure}")
        if name in self.open:
            del self.open[name]

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()


class Experiments:
    """All experiments of a run, which write down what they find."""

    def __init__(self, plan: Plan, book: Book, tell: Callable[[str], None]) -> None:
        self._plan = plan
        self._book = book
        self._tell = tell

    def _stage(self, *names: str) -> Stage:
        return Stage(self._plan, self._book, self._tell, names)

    def roundtrip(self) -> None:
        """One task after the other."""
        ours = ("facade-unary", "facade", "aio", "pool", "aio-pool")
        with self._stage("grpc-unary", "grpc-stream", "grpc-work", *ours, *PEERS) as stage:
            stage.start(workers=1).each(partial(self._round_trips, False))  # to warm up
            for _ in range(self._plan.repeats):
                stage.each(partial(self._round_trips, True))

    def _round_trips(self, counts: bool, name: str, process: Process, experiment: str = "roundtrip") -> None:
        seconds = process.ask("round_trips", seconds=self._plan.seconds)["seconds"]
        if counts:
            self._book.add(experiment, "p50", "µs", name, percentile(seconds, 50) * MICRO)
            self._book.add(experiment, "p99", "µs", name, percentile(seconds, 99) * MICRO)

    def throughput(self) -> None:
        """Many tasks at once."""
        ours = ("facade-unary", "facade", "pool-unary", "pool", "aio-pool")
        with self._stage("grpc-unary", "grpc-stream", *ours, *PEERS) as stage:
            self._throughput("throughput", stage.start(self._plan.workers))

    def slaves(self) -> None:
        """The same, for more and more slaves."""
        for workers in SLAVES:
            self._tell(f" {workers} slaves")
            with self._stage("pool", *PEERS) as stage:
                self._throughput("slaves", stage.start(workers), float(workers))

    def journal(self) -> None:
        """What it costs to write every task down."""
        with self._stage("facade", "facade-journal", "pool", "pool-journal") as stage:
            self._throughput("journal", stage.start(self._plan.workers))

    def secret(self) -> None:
        """What it costs that each call is signed, by either road."""
        names = [f"{name}{end}" for name in ("facade", "facade-unary") for end in ("", "-secret")]
        with self._stage(*names) as stage:
            stage.start(workers=1).each(partial(self._round_trips, False, experiment="secret"))  # to warm up
            for _ in range(self._plan.repeats):
                stage.each(partial(self._round_trips, True, experiment="secret"))
        with self._stage("pool", "pool-secret", "pool-unary", "pool-unary-secret") as stage:
            self._throughput("secret", stage.start(self._plan.workers))

    def _throughput(self, experiment: str, stage: Stage, x: float | None = None) -> None:
        counts: dict[str, int] = {}  # tasks of a sample

        def measure(name: str, process: Process) -> None:
            if name not in counts:
                counts[name] = self._count(process)
                return
            count, before = counts[name], process.cost()
            seconds = process.ask("burst", count=count)["seconds"]
            cpu = process.cost().cpu - before.cpu
            self._book.add(experiment, "throughput", "tasks/s", name, count / seconds, x)
            self._book.add(experiment, "cpu", "µs/task", name, cpu / count * MICRO, x)

        repeats = self._plan.repeats if x is None else min(self._plan.repeats, _FEW)
        for _ in range(1 + repeats):
            stage.each(measure)

    def _count(self, process: Process) -> int:
        """How many tasks take as long as a sample should; to find that out warms it up."""
        count = 100
        while True:
            seconds: float = process.ask("burst", count=count)["seconds"]
            if seconds > self._plan.seconds / 4:
                return max(100, round(count * 2 * self._plan.seconds / seconds))
            count *= 4

    def payload(self) -> None:
        """A NumPy array there and back."""
        names = ("grpc-unary", "grpc-stream", "grpc-work", "facade-unary", "facade", "aio")
        with self._stage(*names, *PEERS) as stage:
            stage.start(workers=1, celery={"serializer": "pickle"})
            for size in PAYLOADS:
                self._tell(f" {size:,} bytes")

                stage.each(partial(self._payload, size, False))  # to warm up
                for _ in range(self._plan.repeats):
                    stage.each(partial(self._payload, size, True))

    def _payload(self, size: int, counts: bool, name: str, process: Process) -> None:
        seconds = process.ask("payloads", size=size, seconds=self._plan.seconds / 2)["seconds"]
        if counts:
            self._book.add("payload", "p50", "µs", name, percentile(seconds, 50) * MICRO, float(size))

    def inflight(self) -> None:
        """So many tasks at once, and the next when all of them have ended."""
        with self._stage("pool", "aio-pool", *PEERS) as stage:
            stage.start(self._plan.workers)
            costs: dict[str, float] = {}  # seconds of one task, at the level before
            for level in IN_FLIGHT:
                self._tell(f" {level:,} in flight")
                for _ in range(min(self._plan.repeats, _FEW)):
                    stage.each(partial(self._in_flight, level, costs))

    def _in_flight(self, level: int, costs: dict[str, float], name: str, process: Process) -> None:
        if level * costs.get(name, 0.0) > _LONGEST_BURST:
            return
        times: list[float] = []
        until = time.monotonic() + self._plan.seconds / 2
        while not times or time.monotonic() < until:
            times.append(process.ask("burst", count=level)["seconds"])
        costs[name] = percentile(times, 50) / level
        self._book.add("inflight", "cost", "µs/task", name, costs[name] * MICRO, float(level))

    def growth(self) -> None:
        """Very many tasks, one window of them after the other, through one pool."""
        with self._stage("pool") as stage:
            stage.start(self._plan.workers).each(self._growth)

    def _growth(self, name: str, process: Process) -> None:
        window = max(1, self._plan.tasks // _WINDOWS)
        process.ask("burst", count=1000)  # to warm up
        for done in range(window, self._plan.tasks + 1, window):
            before = process.cost()
            seconds = process.ask("burst", timeout=600.0, count=window)["seconds"]
            after = process.cost()
            self._book.add("growth", "time", "µs/task", name, seconds / window * MICRO, float(done))
            self._book.add("growth", "cpu", "µs/task", name, (after.cpu - before.cpu) / window * MICRO, float(done))
            self._book.add("growth", "memory", "MiB", name, after.memory / MIB, float(done))

    def memory(self) -> None:
        """What each system takes, with all its processes: after its first tasks, and after many more."""
        for name in ("grpc-stream", "facade", "pool", "aio-pool", *PEERS):
            with self._stage(name) as stage:
                stage.start(self._plan.workers).each(self._memory)

    def _memory(self, name: str, process: Process) -> None:
        before = process.cost()
        self._book.add("memory", "at first", "MiB", name, before.memory / MIB)
        self._book.add("memory", "processes", "", name, before.processes)
        count = self._count(process)
        for _ in range(self._plan.repeats):
            process.ask("burst", count=count)
        after = process.cost()
        self._book.add("memory", "after tasks", "MiB", name, after.memory / MIB)
        time.sleep(2.0)  # what it does while there is nothing to do
        self._book.add("memory", "idle", "cores", name, process.cost().cores_since(after))
