"""The process of the real master, with what its user would do: connect thousands, start tasks, and watch for losses."""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from bench.scale.process import answer_commands
from interaction import Master, SlaveConnectionProxy, TaskStatus
from interaction.exception import LossReason

THREADS = 64  # of the user, who connects and starts tasks from them


class WatchedMaster(Master):
    """A master that keeps count of the slaves that it has lost."""

    def __init__(self, tolerance: float) -> None:
        super().__init__("127.0.0.1", 0, heartbeat_tolerance=tolerance)
        self._lock = threading.Lock()
        self._losses: list[tuple[float, str, str]] = []

    def _lost_slave(self, name: str, reason: LossReason) -> None:
        with self._lock:
            self._losses.append((time.monotonic(), name, reason.name))

    def take_losses(self) -> list[tuple[float, str, str]]:
        """When who was lost why, since this was asked before."""
        with self._lock:
            taken, self._losses = self._losses, []
        return taken


class User:
    """What a user of the master does."""

    def __init__(self, tolerance: float) -> None:
        self.master = WatchedMaster(tolerance)
        self.master.start()
        self._connections: list[SlaveConnectionProxy] = []

    def connect(self, ports: Sequence[int], count: int) -> Mapping[str, object]:
        """Connect so many slaves, in turn at each port, from as many threads as there are."""
        connections = [
            self.master.new_connection(
                f"{ports[number % len(ports)]}/{number}", "127.0.0.1", ports[number % len(ports)]
            )
            for number in range(count)
        ]
        errors: Counter[str] = Counter()
        began = time.monotonic()

        def connect(connection: SlaveConnectionProxy) -> None:
            try:
                connection.connect()
            except Exception as error:  # noqa: BLE001 - it is told in the figures, whatever it is
                errors[f"{type(error).__name__}: {error}"] += 1

        with ThreadPoolExecutor(THREADS) as threads:
            for _ in threads.map(connect, connections):
                pass
        seconds = time.monotonic() - began
        self._connections = [connection for connection in connections if connection.is_connected]
        return {"seconds": seconds, "connected": len(self._connections), "errors": errors}

    def tasks(self, rate: float, seconds: float) -> Mapping[str, object]:
        """Start tasks at that rate, each at a slave drawn by lot, and wait for each from a thread."""
        living = [connection for connection in self._connections if connection.is_connected]
        drawn = random.Random(0)
        trips: list[float] = []
        wrong: Counter[str] = Counter()

        def run(connection: SlaveConnectionProxy) -> None:
            began = time.monotonic()
            try:
                task = connection.new_task({"a": 1, "b": 2}).start().join(60.0)
            except Exception as error:  # noqa: BLE001 - it is told in the figures, whatever it is
                wrong[f"{type(error).__name__}: {error}"] += 1
                return
            trips.append(time.monotonic() - began)
            if task.status is not TaskStatus.COMPLETED or task.result != {"sum": 3}:
                wrong[f"{task.status.name}: {task.error}"] += 1

        with ThreadPoolExecutor(THREADS) as threads:
            began = time.monotonic()
            for number in range(round(rate * seconds)):
                pause = began + number / rate - time.monotonic()
                if pause > 0:
                    time.sleep(pause)
                threads.submit(run, drawn.choice(living))
        return {"trips": sorted(trips), "wrong": wrong}

    def figures(self) -> Mapping[str, object]:
        """Losses since this was asked before, and how many slaves are connected."""
        connected = sum(connection.is_connected for connection in self._connections)
        return {"losses": self.master.take_losses(), "connected": connected}


if __name__ == "__main__":
    user = User(json.loads(sys.argv[1])["tolerance"])
    answer_commands({"port": user.master.port}, {"connect": user.connect, "tasks": user.tasks, "figures": user.figures})
