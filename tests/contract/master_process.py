"""A master in a process of its own, on a journal: it does what a test tells it, and says what happens."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

from tests.contract.conftest import ROOT
from tests.contract.slave_programs import WAIT

TOLERANCE = 30.0


class MasterProcess:
    """A master in a process of its own, on a journal."""

    def __init__(self, journal: Path, port: int = 0, tolerance: float = TOLERANCE) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.contract.journaled_master", str(journal), str(port), str(tolerance)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lines: Queue[dict[str, Any]] = Queue()
        Thread(target=self._read, daemon=True).start()
        self.port: int = self.next("port")["port"]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(json.loads(line))

    def do(self, **command: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()

    def next(self, word: str) -> dict[str, Any]:
        """The next line, which must be about that."""
        line = self._lines.get(timeout=WAIT)
        assert word in line, line
        return line

    def any(self) -> dict[str, Any]:
        """The next line, whatever it is about."""
        return self._lines.get(timeout=WAIT)

    def ask(self, word: str, **command: Any) -> Any:
        self.do(**command)
        return self.next(word)[word]

    def connect(self, name: str, port: int) -> None:
        self.ask("connected", connect=name, port=port)

    def start(self, name: str, data: dict[str, Any], *, tell: bool = True) -> str:
        started: str = self.ask("started", start=name, data=data, tell=tell)
        return started

    def wait_for(self, tasks: dict[str, str]) -> None:
        """Ask until these are its tasks, with their statuses."""
        deadline = time.monotonic() + WAIT
        while (known := self.ask("tasks", tasks=False)) != tasks:
            assert time.monotonic() < deadline, known

    def said_more(self) -> list[dict[str, Any]]:
        """What it has said that nobody asked for, once it has answered one more time."""
        self.do(resumed=WAIT)
        more = []
        while "resumed" not in (line := self._lines.get(timeout=WAIT)):
            more.append(line)
        return more

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def end(self) -> int:
        """Let it end of itself."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._process.wait(WAIT)

    def close(self) -> None:
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()
