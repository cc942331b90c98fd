"""Slave processes that work without a pause, and are killed at any moment; and what became of their tasks."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from interaction import RequestException, TaskStatus
from interaction.exception import LossReason, SlaveResponseException
from tests.chaos.findings import Findings
from tests.chaos.load import Record
from tests.chaos.process import Process
from tests.chaos.scene import Scene

LIFE = 0.4  # seconds that a slave lives on the average, once it works


def kill_slaves(folder: Path, seed: int) -> Findings:
    """A dozen kills."""
    return Kills(folder, 12, 3, seed).run()


class Kills:
    """`kills` kills in all, of `slaves` slaves that work side by side. `watch` is called after each, with the count."""

    def __init__(
        self, folder: Path, kills: int, slaves: int, seed: int, watch: Callable[[int], object] = lambda kills: None
    ) -> None:
        self._scene = Scene(folder, seed, slaves=0)
        self._left = kills
        self._slaves = slaves
        self._watch = watch
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def run(self) -> Findings:
        """Do it, and look at what is left."""
        with self._scene as scene, ThreadPoolExecutor(self._slaves) as threads:
            try:
                for life in [threads.submit(self._live, f"slave-{number}") for number in range(self._slaves)]:
                    life.result()
            except BaseException:
                self._left = 0  # those that live are the last
                raise
        found = scene.findings
        others = {reason: number for reason, number in found.reasons.items() if reason != LossReason.EXITED.name}
        if others:
            found.is_wrong(f"slaves that were killed were lost otherwise than as EXITED: {others}")
        return found

    def _live(self, name: str) -> None:
        """One slave after the other, each until it is killed."""
        while True:
            with self._lock:
                if self._left == 0:
                    return
                self._left -= 1
                lives = self._random.expovariate(1 / LIFE)
            with self._scene.process() as process:
                self._kill(name, process, lives)
            with self._lock:
                self._scene.findings.hits += 1
                self._watch(self._scene.findings.hits)

    def _kill(self, name: str, process: Process, lives: float) -> None:
        scene = self._scene
        death = threading.Timer(lives, process.kill)
        death.start()
        try:
            connection = scene.master.new_connection(name, "127.0.0.1", process.port)
            with suppress(RequestException, SlaveResponseException):  # it may be dead before
                connection.connect()
                scene.load.work(connection, threading.Event())
                if scene.master.loss(name) is None:
                    scene.findings.is_wrong(f"{name} was killed, and is not lost")
        finally:
            death.cancel()
        hit = self._last_of(name)
        if hit is not None and hit.task.status is TaskStatus.LOST and hit.ended_at >= process.killed_at:
            with self._lock:
                scene.findings.known_after.append(hit.ended_at - process.killed_at)

    def _last_of(self, name: str) -> Record | None:
        return next((record for record in reversed(self._scene.load.records) if record.slave == name), None)
