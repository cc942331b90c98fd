"""What a pacemaker and a child process for tasks cost, beside a slave without either.

python -m tests.chaos.costs
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interaction import Master, Slave, SlaveConnectionProxy

ROUNDS = 500
TICKS = os.sysconf("SC_CLK_TCK")


class Bare(Slave):
    """Does nothing."""

    def _process_task(self, task: Mapping[str, Any]) -> Mapping[str, Any]:
        return task


def children() -> list[int]:
    """The processes that this one has started."""
    mine = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                parent = int(Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[1])
            except OSError:  # it has ended meanwhile
                continue
            if parent == os.getpid():
                mine.append(int(name))
    return mine


def figures_of(process: int) -> str:
    """Its memory and its time, as the system counts them."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    own = sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean", "Private_Dirty")))
    resident = next(int(line.split()[1]) for line in lines if line.startswith("Rss"))
    seconds = (int(fields[11]) + int(fields[12])) / TICKS
    what = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    name = "resource tracker" if b"resource_tracker" in b" ".join(what) else "child"
    return f"{name}: {resident / 1024:.0f} MB, {own / 1024:.0f} MB of its own; {1000 * seconds:.0f} ms of CPU"


def measure(title: str, *, lease: str = "", **options: Any) -> None:
    """Print what one kind of slave costs."""
    tolerance = 3.0 if lease == "short" else None
    began = time.perf_counter()
    with Bare("127.0.0.1", 0, **options) as slave, Master("127.0.0.1", 0, heartbeat_tolerance=tolerance) as master:
        started = time.perf_counter() - began
        with master.new_connection("slave", "127.0.0.1", slave.port) as connection:
            began = time.perf_counter()
            round_trip(connection)
            first = time.perf_counter() - began
            for _ in range(50):
                round_trip(connection)
            times = [round_trip(connection) for _ in range(ROUNDS)]
            print(f"{title}: start {1000 * started:.0f} ms, first task {1000 * first:.0f} ms, ", end="")
            print(f"round trip p50 {1000 * statistics.median(times):.2f} ms, ", end="")
            print(f"p99 {1000 * statistics.quantiles(times, n=100)[98]:.2f} ms")
            for process in children():
                print(f"    {figures_of(process)}")


def round_trip(connection: SlaveConnectionProxy) -> float:
    """Seconds from a task's start to its result."""
    began = time.perf_counter()
    connection.new_task({"a": 1}).start().join(60.0)
    return time.perf_counter() - began


def main() -> int:
    """Measure all kinds."""
    measure("thread, no pacemaker (once, to warm up)", pacemaker=False)
    measure("thread, no pacemaker", pacemaker=False)
    measure("thread, pacemaker that waits")
    measure("thread, pacemaker that is ready (lease of 2 s)", lease="short")
    measure("process", isolation="process")
    return 0


if __name__ == "__main__":
    sys.exit(main())
