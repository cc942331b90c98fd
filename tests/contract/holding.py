"""Slaves in processes of their own, whose tasks hold the GIL, and a look at processes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from interaction import Master, SlaveConnectionProxy, Task
from tests.contract.conftest import CHANNEL, MakeMaster

ROOT = Path(__file__).parents[2]
WAIT = 20.0
TOLERANCE = 3.0  # of which the lease is 2 s, and half of that is when the pacemaker begins
HOLD = 5.0


class Holder:
    """A slave in a process of its own, whose tasks hold the GIL. `said` is all that it has printed."""

    def __init__(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.gil_slave", "--channel", str(CHANNEL), *options],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.port = int(self.line())

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def pacemaker(self) -> int:
        """The process id of its pacemaker."""
        (child,) = children_of(self.process.pid)
        return child

    def end(self) -> tuple[str, str]:
        """End it by the end of its input, and return what it still printed, and its standard error."""
        return self.process.communicate(timeout=WAIT)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def children_of(process: int) -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal() and parent_of(int(name)) == process]


def parent_of(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:  # it has ended meanwhile
        return 0


def exists(process: int) -> bool:
    """Whether the process lives; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def has_loaded(process: int) -> bool:
    """Whether the pacemaker is ready to beat, as it is from the start where the lease is short."""
    return b"cygrpc" in Path(f"/proc/{process}/maps").read_bytes()


def ignored_by(process: int) -> set[int]:
    """The signals that the process ignores."""
    (mask,) = re.findall(r"^SigIgn:\s*([0-9a-f]+)", Path(f"/proc/{process}/status").read_text(), re.MULTILINE)
    return {number for number in range(1, 65) if int(mask, 16) >> (number - 1) & 1}


def wait_until(true: Callable[[], bool], seconds: float = WAIT) -> None:
    """Wait for what no event tells: another process's end, or its words in the log."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it does not come true"
        time.sleep(0.01)


def holders(stack: ExitStack) -> Callable[..., Holder]:
    def make(*options: str) -> Holder:
        holder = Holder(*options)
        stack.callback(holder.close)
        return holder

    return make


def strict_master(make_master: MakeMaster) -> Master:
    return make_master(Master, heartbeat_tolerance=TOLERANCE, heartbeat_check_span=0.1, request_timeout=30.0)


def connect(master: Master, holder: Holder, *, loaded: bool = False, **options: Any) -> SlaveConnectionProxy:
    connection = master.new_connection("conn", "127.0.0.1", holder.port, **options)
    connection.connect()
    if loaded:
        wait_until(lambda: len(children_of(holder.process.pid)) == 1 and has_loaded(holder.pacemaker()))
    return connection


def holding(connection: SlaveConnectionProxy, holder: Holder, **task: Any) -> Task:
    """A task that has the GIL by now, or will in a moment."""
    started = connection.new_task({"hold": HOLD, "announce": True, **task}).start()
    assert isinstance(started, Task)
    assert holder.line() == "holding"
    return started
