"""A master and slaves, each in a process of its own, perhaps in a network of their own, under load."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.chaos.findings import Findings, executed_twice
from tests.chaos.network import Network
from tests.chaos.process import PATIENCE, Process
from tests.chaos.scene import CHECK_SPAN


class Distant:
    """Use it with `with`: what it started is ended. `findings` are complete after that.

    `options` are those of the program tests.chaos.master. Without a network all are on this machine's own.
    """

    def __init__(self, folder: Path, seed: int, slaves: int, network: Network | None = None, **options: object) -> None:
        self._log = folder / "executed"
        self._log.touch()
        self._network = network
        self._numbers = range(1, slaves + 1)
        self._options = {"seed": seed, "longest": 0.02, "heartbeat_check_span": CHECK_SPAN, **options}
        self._stack = ExitStack()
        self._began = time.monotonic()
        self.slaves: dict[str, Process] = {}
        self.findings = Findings(rounds=1)

    def _start(self, number: int) -> Process:
        host, namespace = self._place(number)
        return Process("tests.chaos.slave", {"log": str(self._log), "host": host}, namespace)

    def _place(self, number: int) -> tuple[str, str | None]:
        if self._network is None:
            return "127.0.0.1", None
        return self._network.address(number), self._network.namespace(number)

    def __enter__(self) -> Distant:
        with ExitStack() as stack:
            with ThreadPoolExecutor(len(self._numbers)) as threads:
                starting = [threads.submit(self._start, number) for number in self._numbers]
            for number, started in zip(self._numbers, starting, strict=True):
                self.slaves[f"slave-{number}"] = stack.enter_context(started.result())
            places = zip(self._numbers, self.slaves.items(), strict=True)
            slaves = [(name, self._place(number)[0], process.port) for number, (name, process) in places]
            host, namespace = self._place(0)
            options = {**self._options, "slaves": slaves, "host": host}
            self.master = stack.enter_context(Process("tests.chaos.master", options, namespace))
            for name in self.slaves:
                self.connected(name)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._stack:
            if error is None:
                self._report()
        self.findings.executed_twice = executed_twice([self._log])
        self.findings.seconds = time.monotonic() - self._began

    def _report(self) -> None:
        self.master.tell("report")
        told = self.master.take("report", 2 * PATIENCE)["findings"]
        counted = {name: Counter(told[name]) for name in ("ended", "reasons", "children")}
        found = Findings(**{**told, **counted})
        self.findings.add(found)
        code = self.master.finish()
        if code != 0:
            self.findings.wrong.append(f"the master's process ended with {code}: {self.master.errors()}")

    def connected(self, name: str, timeout: float = PATIENCE) -> None:
        """Wait until the master has connected to that slave once more."""
        self.master.take("connected", timeout, lambda event: event["name"] == name)

    def loss(self, name: str, timeout: float = PATIENCE) -> dict[str, Any]:
        """Wait until the master knows that slave as lost once more: `known_at` and `reason`."""
        return self.master.take("known", timeout, lambda event: event["name"] == name)

    def together(self, act: Callable[[str, Process], object]) -> None:
        """Have it done with every slave, side by side."""
        with ThreadPoolExecutor(len(self.slaves)) as threads:
            for acting in [threads.submit(act, name, process) for name, process in self.slaves.items()]:
                acting.result()
