"""A master here, slaves in processes of their own, and work for all of them."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType

from interaction import SlaveConnectionProxy
from tests.chaos.findings import Findings, executed_twice
from tests.chaos.load import Load, Mourning, quick
from tests.chaos.process import Process

CHECK_SPAN = 0.2
GRACE = 0.5  # seconds beyond tolerance and check span within which a loss must be known


class Seat:
    """One slave of the scene: its process, its chances, and the way to it."""

    def __init__(self, scene: Scene, name: str, process: Process, seed: int, port: int | None = None) -> None:
        self.scene = scene
        self.name = name
        self.process = process
        self.dice = random.Random(seed)
        self.port = process.port if port is None else port

    @contextmanager
    def working(self) -> Iterator[SlaveConnectionProxy]:
        """Connected, and given one task after the other meanwhile. At the end the connection is closed."""
        connection = self.scene.master.new_connection(self.name, "127.0.0.1", self.port)
        connection.connect()
        over = threading.Event()
        worker = threading.Thread(target=self.scene.load.work, args=(connection, over), name=f"work-{self.name}")
        worker.start()
        try:
            yield connection
        finally:
            over.set()
            worker.join()
            connection.close()


class Scene:
    """Use it with `with`: what it started is ended. `findings` are complete after that."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        *,
        slaves: int,
        options: Mapping[str, object] | None = None,
        longest: float = 0.02,
        padding: int = 0,
        make_master: Callable[[], Mourning] = quick,
    ) -> None:
        self._log = folder / "executed"
        self._log.touch()
        self._seed = seed
        self._slaves = slaves
        self._options = options or {}
        self._stack = ExitStack()
        self._began = time.monotonic()
        self.load = Load(seed, longest, padding)
        self.master = make_master()
        self.seats: list[Seat] = []
        self.findings = Findings(rounds=1)

    def process(self, **options: object) -> Process:
        """One more slave process, which the caller ends."""
        return Process("tests.chaos.slave", {"log": str(self._log), **self._options, **options})

    def __enter__(self) -> Scene:
        with ExitStack() as stack:
            stack.enter_context(self.master)
            with ThreadPoolExecutor(max(self._slaves, 1)) as threads:
                starting = [threads.submit(self.process) for _ in range(self._slaves)]
            for number, started in enumerate(starting):
                process = stack.enter_context(started.result())
                self.seats.append(Seat(self, f"slave-{number}", process, self._seed * 1000 + number))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._stack:
            self.load.stop()
            if error is None:
                self.findings.add(self.load.findings())
        self.findings.executed_twice = executed_twice([self._log])
        self.findings.seconds = time.monotonic() - self._began

    def together(self, act: Callable[[Seat], object]) -> None:
        """Have it done with every seat, side by side."""
        with ThreadPoolExecutor(len(self.seats)) as threads:
            for acting in [threads.submit(act, seat) for seat in self.seats]:
                acting.result()
