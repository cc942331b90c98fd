"""A program with slaves in a process of its own, which a test watches, tells tasks to go on, and sends signals to."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

from interaction import Master, SlaveConnectionProxy, Task
from interaction.exception import LossReason, RequestException
from tests.contract.conftest import CHANNEL, ROOT, MakeMaster
from tests.contract.slave_programs import WAIT

GRACE = 6.0  # seconds that a process may take beyond what it is told to wait, on a busy machine; a task hangs for ever

_HEAD = f"""
import logging, os, signal, sys, threading, time
import interaction

class Working(interaction.Slave):
    def _process_task(self, task):
        print("running", flush=True)
        if "leave" in task:
            self.shutdown()
        while not os.path.exists(task.get("until", "/")):
            time.sleep(0.01)
        return {{"done": True}}

class Hesitating(Working):
    def _before_task(self, task):
        print("asked", flush=True)
        threading.Event().wait()

def launch(kind=Working, **options):
    slave = kind("127.0.0.1", 0, channel={CHANNEL}, **options)
    slave.start()
    print(slave.port, flush=True)
    return slave

if __name__ == "__main__":
    logging.basicConfig()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs in the background without it
"""


class Program:
    """A script that runs: a `Working` task ends when the file `until` is there; `launch()` prints its slave's port."""

    def __init__(self, folder: Path, script: str, *arguments: str, interpreter: str = sys.executable) -> None:
        self._lines: Queue[str] = Queue()  # of what it prints
        self._words: Queue[str] = Queue()  # of its standard error
        self.until = str(folder / "go-on")
        path = folder / "program.py"
        path.write_text(_HEAD + textwrap.indent(textwrap.dedent(script), "    "))
        self.process = subprocess.Popen(
            [interpreter, *arguments, str(path)],
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._output: list[str] = []
        self._errors: list[str] = []
        self._readers = [Thread(target=self._read_lines), Thread(target=self._read_errors)]
        for reader in self._readers:
            reader.start()

    def _read_lines(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._output.append(line)
            self._lines.put(line.rstrip())

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._errors.append(line)
            self._words.put(line.rstrip())

    def line(self) -> str:
        """The next line that it prints."""
        return self._lines.get(timeout=WAIT)

    def wait_for(self, text: str) -> str:
        """Wait for a line with that text that it prints."""
        while text not in (line := self.line()):
            pass
        return line

    def wait_for_word(self, text: str) -> None:
        """Wait for a line with that text on its standard error."""
        while text not in self._words.get(timeout=WAIT):
            pass

    def said(self) -> str:
        """What it has printed so far."""
        return "".join(self._output)

    def say(self, line: str) -> None:
        """Type a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def stop_talking(self) -> None:
        """End what is typed."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def go_on(self) -> None:
        """Let its tasks end."""
        Path(self.until).touch()

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> None:
        self.process.send_signal(number)

    def end(self, timeout: float = WAIT) -> tuple[int, str]:
        """Wait for its end. Returns its exit code, and what it wrote to its standard error."""
        code = self.process.wait(timeout)
        for reader in self._readers:
            reader.join(WAIT)
        return code, "".join(self._errors)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join(WAIT)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


class Losing(Master):
    """Writes down whom it loses."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.losses: Queue[tuple[str, LossReason]] = Queue()

    def _lost_slave(self, name: str, reason: LossReason) -> None:
        self.losses.put((name, reason))

    def connected(self, program: Program, name: str = "conn") -> SlaveConnectionProxy:
        """A connection to the slave whose port the program prints next."""
        connection = self.new_connection(name, "127.0.0.1", int(program.line()))
        connection.connect()
        return connection

    def at_work(self, program: Program) -> Task:
        """A task that the slave runs whose port the program prints next, until that is to `go_on()`."""
        task: Task = self.connected(program).new_task({"until": program.until}).start()
        program.wait_for("running")
        return task

    def lost(self) -> LossReason:
        """Why the next slave is gone."""
        return self.losses.get(timeout=WAIT)[1]


def shut_down_by_a_task(connection: SlaveConnectionProxy) -> None:
    """Have a task of the slave's shut it down, whose end is lost with it, and its start as well where that is late."""
    with suppress(RequestException):
        connection.new_task({"leave": True}).start().join(WAIT)


Run = Callable[..., Program]


def running(tmp_path: Path, stack: ExitStack) -> Run:
    """Runs a script, which is ended whatever the test does."""

    def run(script: str, *arguments: str) -> Program:
        program = Program(tmp_path, script, *arguments)
        stack.callback(program.close)
        return program

    return run


def losing_slaves(make_master: MakeMaster) -> Losing:
    return make_master(Losing)
