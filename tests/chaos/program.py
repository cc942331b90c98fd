"""What the programs of the chaos have in common: they tell in lines of JSON, and are told in lines of JSON."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc.aio._utils

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
    rest = b""
    while part := os.read(0, 65536):  # a child of multiprocessing's would wait for the lock of who reads sys.stdin
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            yield json.loads(line)


def log_errors() -> None:
    """Errors go to standard error, but for one that gRPC makes of its own mistake.

    Without a free descriptor it says so with an address in binary, and each time logs that it can't read that.
    """
    logging.basicConfig(level="ERROR")
    logging.getLogger("grpc._cython.cygrpc").addFilter(lambda record: "Invalid encoding" not in str(record.msg))


_true = SimpleNamespace(time=time.time, time_ns=time.time_ns)


def move_clock(seconds: float) -> None:
    """Let the Python code of this process see another time of the day: the machine's clock stays as it is.

    The Python half of gRPC keeps the machine's: it hands deadlines by the wall clock to the other half, in C, which
    sees the machine's clock and takes the difference at once.
    """
    vars(grpc.aio._utils)["time"] = _true
    time.time = lambda: _true.time() + seconds
    time.time_ns = lambda: _true.time_ns() + int(seconds * 1e9)


def resident_bytes() -> int:
    """The process's memory that is in RAM."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> int:
    """How many file descriptors the process holds."""
    return len(os.listdir("/proc/self/fd")) - 1  # the listing itself holds one
