"""What the programs of the chaos have in common: they tell in lines of JSON, and are told in lines of JSON."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_pen = threading.Lock()


def options() -> dict[str, Any]:
    """What the program was started with."""
    given: dict[str, Any] = json.loads(sys.argv[1])
    return given


def say(event: str, **fields: object) -> None:
    """Tell what happens, and when: `at` is the machine's monotonic clock, which all processes share."""
    line = json.dumps({"event": event, "at": time.monotonic(), **fields}) + "\n"
    with _pen:
        sys.stdout.write(line)
        sys.stdout.flush()


def commands() -> Iterator[dict[str, Any]]:
    """What the program is told, until whoever started it lets go of it."""
    for line in sys.stdin:
        yield json.loads(line)


def move_clock(seconds: float) -> None:
    """Let this process see another time of the day: for Python's code, the machine's clock stays as it is."""
    true_time, true_time_ns = time.time, time.time_ns
    time.time = lambda: true_time() + seconds
    time.time_ns = lambda: true_time_ns() + int(seconds * 1e9)


def resident_bytes() -> int:
    """The process's memory that is in RAM."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> int:
    """How many file descriptors the process holds."""
    return len(os.listdir("/proc/self/fd")) - 1  # the listing itself holds one
