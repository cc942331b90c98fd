"""A process of the measurement, which answers each line of JSON with one; what it and its children cost; their end."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MARK = "INTERACTION_BENCH"  # in the environment of a process that was started here, and of all its children
_TICKS = os.sysconf("SC_CLK_TCK")
_PATIENCE = 20.0  # seconds that a process may take to end by itself
Answer = dict[str, Any]
Command = Callable[..., Mapping[str, object]]


@dataclass(frozen=True)
class Cost:
    """What a process and all its children have used until one moment. Linux only."""

    at: float  # seconds of the monotonic clock
    cpu: float  # seconds of processor time
    memory: int  # bytes; a page that several share counts once
    processes: int

    def cores_since(self, before: Cost) -> float:
        """How many processors they have kept busy since."""
        return (self.cpu - before.cpu) / (self.at - before.at)


class Failed(Exception):
    """A process did not do what it was asked; the message says why."""


class Process:
    """`python -m module OPTIONS`, which answers commands. Use it with `with`: it is gone at the end, children and all.

    One that starts others by this class, such as a driver its slaves, counts them as its own.
    """

    def __init__(self, module: str, options: Mapping[str, object], patience: float = 120.0) -> None:
        inherited = os.environ.get(MARK)
        self._mark = inherited or uuid.uuid4().hex
        self._outermost = inherited is None
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, json.dumps(options)],
            cwd=ROOT,
            env={"GRPC_VERBOSITY": "ERROR", **os.environ, MARK: self._mark, "PYTHONPATH": path},
            stdin=subprocess.PIPE,  # its end asks the process to end
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for who started it, and ends it
        )
        try:
            self.ready = self._answer(patience)
        except BaseException:
            self.close(0.0)
            raise

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def ask(self, command: str, timeout: float = 120.0, **arguments: object) -> Answer:
        """Send a command, and wait for its answer. Raises Failed."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"command": command, **arguments}).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Failed(f"process {self.pid} has ended; what it printed says why") from None
        return self._answer(timeout)

    def _answer(self, timeout: float) -> Answer:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], timeout)
        if not ready:
            raise Failed(f"process {self.pid} does not answer within {timeout:g} s")
        line = self._process.stdout.readline()
        if not line:
            raise Failed(f"process {self.pid} ended without an answer; what it printed says why")
        answer: Answer = json.loads(line)
        if "failed" in answer:
            raise Failed(answer["failed"])
        return answer

    def cost(self) -> Cost:
        """What it and its children have used so far."""
        at, cpu, memory, processes = time.monotonic(), 0.0, 0, 0
        for pid in marked(self._mark):
            with suppress(OSError):  # it has ended meanwhile
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                memory += next(int(line.split()[1]) * 1024 for line in rollup if line.startswith("Pss:"))
                cpu += (int(fields[11]) + int(fields[12])) / _TICKS
                processes += 1
        return Cost(at, cpu, memory, processes)

    def close(self, patience: float = _PATIENCE) -> None:
        """Ask it to end, and see that it and its children are gone."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        if self._outermost:
            for pid in marked(self._mark):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def marked(mark: str) -> Iterator[int]:
    """The processes with that mark in their environment."""
    wanted = f"{MARK}={mark}".encode()
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with suppress(OSError):  # it has ended meanwhile, or is somebody else's
                if wanted in Path(f"/proc/{name}/environ").read_bytes().split(b"\0"):
                    yield int(name)


def answer_commands(ready: Mapping[str, object], commands: Mapping[str, Command]) -> None:
    """In the process itself: say `ready`, and answer each command until there is nobody to ask.

    What else is printed meanwhile goes to standard error.
    """
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        print(json.dumps(ready), file=answers, flush=True)
        for line in sys.stdin:
            asked = json.loads(line)
            try:
                answer = commands[asked.pop("command")](**asked)
            except Exception as error:  # noqa: BLE001 - who asked is told, whatever it is
                answer = {"failed": f"{type(error).__name__}: {error}"}
            print(json.dumps(answer), file=answers, flush=True)
