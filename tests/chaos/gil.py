"""Slaves whose tasks hold Python's global interpreter lock for longer than any lease: is one of them lost?

python -m tests.chaos.gil --seconds 60 --slaves 4 --rounds 3      at the default tolerance, or --tolerance SECONDS
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interaction import Master, RequestException, SlaveConnectionProxy, Task, TaskStatus
from interaction.exception import LossReason, ResponseException, TaskLost

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0  # seconds beyond what a task takes


@dataclass
class Held:
    """What came of it. `reasons` are those of the losses, `let_go` the slaves that lost their master."""

    tasks: int = 0
    completed: int = 0
    reasons: list[str] = field(default_factory=list)
    let_go: int = 0


class Losses(Master):
    """Writes down its losses."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.reasons: list[str] = []

    def _lost_slave(self, name: str, reason: LossReason) -> None:
        self.reasons.append(reason.name)


def hold(seconds: float, slaves: int, rounds: int, tolerance: float | None, *options: str) -> Held:
    """Have so many slaves hold their GIL for so long, all at once, again and again. `options` go to each slave."""
    command = [sys.executable, "-m", "tests.chaos.gil_slave", *options]
    processes = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(slaves)
    ]
    held = Held()
    try:
        with Losses("127.0.0.1", 0, heartbeat_tolerance=tolerance) as master:
            connections = [_connect(master, number, process) for number, process in enumerate(processes)]
            for _ in range(rounds):
                tasks = [connection.new_task({"hold": seconds}) for connection in connections]
                held.tasks += len(tasks)
                for task in _started(tasks):
                    held.completed += task.join(seconds + PATIENCE).status is TaskStatus.COMPLETED
            held.reasons = master.reasons
            for connection in connections:
                if connection.is_connected:
                    connection.disconnect()
    finally:
        for process in processes:
            said, _ = process.communicate()  # the end of its input ends it
            held.let_go += said.count("lost")
    return held


def _connect(master: Master, number: int, process: subprocess.Popen[str]) -> SlaveConnectionProxy:
    assert process.stdout is not None
    connection = master.new_connection(f"slave-{number}", "127.0.0.1", int(process.stdout.readline()))
    connection.connect()
    return connection


def _started(tasks: list[Task]) -> list[Task]:
    """Those of them that could be started."""
    started = []
    for task in tasks:
        with suppress(RequestException, ResponseException, TaskLost):
            task.start()
            started.append(task)
    return started


def main() -> int:
    """Print the figures. Returns an exit code: 0 where no slave was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.gil", allow_abbrev=False)
    parser.add_argument("--seconds", type=float, default=60.0, help="for which each task holds the GIL (%(default)s)")
    parser.add_argument("--slaves", type=int, default=4, help="that do so at once (%(default)s)")
    parser.add_argument("--rounds", type=int, default=1, help="how often (%(default)s)")
    parser.add_argument("--tolerance", type=float, help="the master's heartbeat_tolerance (its default)")
    parser.add_argument("--without", action="store_true", help="without pacemakers, to see what they are for")
    told = parser.parse_args()
    began = time.monotonic()
    options = ["--no-pacemaker"] if told.without else []
    held = hold(told.seconds, told.slaves, told.rounds, told.tolerance, *options)
    print(f"tasks that held the GIL for {told.seconds:g} s: {held.tasks}, of which completed: {held.completed}")
    print(f"slaves lost: {len(held.reasons)} {' '.join(held.reasons)}".rstrip())
    print(f"slaves that let go of their master: {held.let_go}")
    print(f"time: {time.monotonic() - began:.0f} s")
    return 0 if held == Held(held.tasks, held.tasks) else 1


if __name__ == "__main__":
    sys.exit(main())
