"""Slaves in processes of their own, one for each implementation of the contract: installed, started, always ended."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import NoReturn

import pytest

from interaction.v1.task_pb2 import TaskError
from tests.installing import NODE_EXAMPLE, ROOT

CHANNEL = 7
WAIT = 20.0  # seconds, for what comes at once or never


@dataclass(frozen=True)
class Implementation:
    """One implementation. `source` is the file of its work, and `holds_all` says that it reads all of a payload.

    Of one that is not ours neither is known, nor its language; one that runs already has an address, and no command.
    """

    name: str
    language: str | None
    command: tuple[str, ...]
    folder: Path
    source: str | None
    holds_all: bool | None
    address: str = ""

    def assert_says_why(self, error: TaskError) -> None:
        """What the contract says of it is for people; what ours say is known."""
        if self.source is not None:
            assert (error.type, error.message) == ("TypeError", "the data lacks a or b")
            assert self.source in error.traceback

    def holds(self, tried: Callable[[], bool]) -> bool:
        """Whether it can hold what some languages can't. Where that is not known it is tried."""
        return tried() if self.holds_all is None else self.holds_all


_PYTHON = (sys.executable, "-m", "tests.contract.python_slave")
PYTHON = Implementation("python", "python", _PYTHON, ROOT, "python_slave.py", True)
ISOLATED = Implementation("isolated", "python", (*_PYTHON, "--isolation", "process"), ROOT, "python_slave.py", True)
NODE = Implementation("node", "node", ("node", "slave.js"), NODE_EXAMPLE, "slave.js", False)


class SlaveProgram:
    """A running slave on a free port, known by its process, its port and what it prints."""

    def __init__(self, implementation: Implementation) -> None:
        self.implementation = implementation
        self.free = False  # whether the next test may have it
        self._lines: Queue[str] = Queue()
        self.process = subprocess.Popen(
            [*implementation.command, "--port", "0", "--channel", str(CHANNEL)],
            cwd=implementation.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )
        assert self.process.stdout is not None
        # A thread, for a line can't be waited for with a time limit otherwise.
        self._reader = Thread(target=_move, args=(self.process.stdout, self._lines))
        self._reader.start()
        try:
            self.port = int(self.wait_for(r"listening on 127\.0\.0\.1:(\d+)")[1])
            self.address = f"127.0.0.1:{self.port}"
        except BaseException:
            self.close()
            raise

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first line from here on that the pattern matches."""
        seen = []
        try:
            while True:
                seen.append(self._lines.get(timeout=WAIT))
                if found := re.search(pattern, seen[-1]):
                    return found
        except Empty:
            pytest.fail(f"the slave printed no line {pattern!r}, but:\n{''.join(seen)}")

    def forget_lines(self) -> None:
        """Wait for none of the lines that have been printed so far."""
        while not self._lines.empty():
            self._lines.get()

    def output(self) -> str:
        """Wait until it has ended, and return the lines that nobody has waited for."""
        self.process.wait(WAIT)
        self._reader.join(WAIT)
        return "".join(self._lines.queue)

    def close(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


class RunningSlave:
    """A slave that somebody else has started, and that is known by its address alone."""

    def __init__(self, implementation: Implementation) -> None:
        self.implementation = implementation
        self.address = implementation.address
        self.free = False

    @property
    def process(self) -> NoReturn:
        """What a test needs that stops or ends it."""
        pytest.skip("the slave is no process of this suite's")

    @property
    def output(self) -> NoReturn:
        """What a test needs that looks at what it prints."""
        pytest.skip("the slave is no process of this suite's")


def _move(output: Iterable[str], lines: Queue[str]) -> None:
    for line in output:
        lines.put(line)


@contextmanager
def running_slave(implementation: Implementation) -> Iterator[SlaveProgram]:
    """Start a slave, and kill it at the end."""
    program = SlaveProgram(implementation)
    try:
        yield program
    finally:
        program.close()


class Programs:
    """A slave of each implementation that goes from test to test, for starting a process takes longer than a test."""

    def __init__(self) -> None:
        self._free: dict[Implementation, SlaveProgram] = {}

    @contextmanager
    def lend(self, implementation: Implementation) -> Iterator[SlaveProgram]:
        """A slave for one test. It is kept for the next where the test has said that it is free again."""
        if implementation.address:
            yield RunningSlave(implementation)  # type: ignore[misc]  # it has what tests ask for, or skips them
            return
        program = self._free.pop(implementation, None) or SlaveProgram(implementation)
        program.free = False
        program.forget_lines()
        try:
            yield program
        finally:
            if program.free:
                self._free[implementation] = program
            else:
                program.close()

    def close(self) -> None:
        """Kill all."""
        for program in self._free.values():
            program.close()
