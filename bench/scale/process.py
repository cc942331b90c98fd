"""A process of the measurement, which answers each line of JSON with one; and what it has cost."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_TICKS = os.sysconf("SC_CLK_TCK")
Answer = dict[str, Any]


@dataclass(frozen=True)
class Cost:
    """What a process has used until one moment."""

    at: float  # seconds of the monotonic clock
    cpu: float  # seconds of processor time
    resident: int  # bytes
    descriptors: int
    threads: int

    def cores_since(self, before: Cost) -> float:
        """How many processors it has kept busy since."""
        return (self.cpu - before.cpu) / (self.at - before.at)


class Process:
    """`python -m module`, which answers commands. Use it with `with`: whatever happens, it is reaped."""

    def __init__(self, module: str, **options: object) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, json.dumps(options)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for who started it, and ends it
        )
        try:
            self.ready = self._answer(30.0)
        except BaseException:
            self.kill()
            raise

    def ask(self, command: str, timeout: float = 60.0, **arguments: object) -> Answer:
        """Send a command, and wait for its answer. Raises TimeoutError, and EOFError where the process ends."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"command": command, **arguments}).encode() + b"\n")
        self._process.stdin.flush()
        return self._answer(timeout)

    def _answer(self, timeout: float) -> Answer:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], timeout)
        if not ready:
            raise TimeoutError(f"process {self._process.pid} does not answer within {timeout:g} s")
        line = self._process.stdout.readline()
        if not line:
            raise EOFError(f"process {self._process.pid} ended without an answer; what it printed says why")
        answer: Answer = json.loads(line)
        return answer

    def cost(self) -> Cost:
        """What it has used so far."""
        folder = Path("/proc") / str(self._process.pid)
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        return Cost(
            at=time.monotonic(),
            cpu=(int(fields[11]) + int(fields[12])) / _TICKS,
            resident=int(status["VmRSS"].split()[0]) * 1024,
            descriptors=sum(1 for _ in (folder / "fd").iterdir()),
            threads=int(status["Threads"]),
        )

    def kill(self) -> None:
        """SIGKILL, and reap it. Harmless where it has ended."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()


def answer_commands(ready: Mapping[str, object], commands: Mapping[str, Callable[..., Mapping[str, object]]]) -> None:
    """In the process itself: say `ready`, and answer each command until there is nobody to ask."""
    print(json.dumps(ready), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(commands[asked.pop("command")](**asked)), flush=True)
