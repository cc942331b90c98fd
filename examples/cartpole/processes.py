"""Slave processes on this machine, ended whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGE = __package__ or "cartpole"
HOME = Path(__file__).resolve().parents[PACKAGE.count(".") + 1]  # where `python -m` finds the package
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
PATIENCE = 3.0  # seconds until a slave that was asked to end is killed


class SlaveError(Exception):
    """A slave process that is of no use, said in a sentence for people."""


class SlaveProcess:
    """One slave in a process of its own."""

    def __init__(self, name: str, channel: int) -> None:
        self.name = name
        self._port: int | None = None
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, and a module of this package
            [sys.executable, "-m", f"{PACKAGE}.slave", "--port", "0", "--channel", str(channel)],
            cwd=HOME,
            env={**os.environ, **ONE_THREAD},  # the slaves share the cores among them already
            stdin=subprocess.PIPE,  # its end, which also our death brings, is the slave's end
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # the terminal's Ctrl-C is for the master, who then ends its slaves
        )

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def port(self) -> int:
        """The port that the slave listens at, once it does. Raises SlaveError where it never did."""
        if self._port is None:
            assert self._process.stdout is not None, "it is piped"
            line = self._process.stdout.readline()
            if not line.strip().isdigit():
                raise SlaveError(f"{self.name} ended before it listened; what it printed above says why.")
            self._port = int(line)
        return self._port

    def freeze(self) -> None:
        """Stop the process where it stands."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End the process at once, without a word to anybody."""
        self._process.kill()
        self._process.wait()

    def ask_to_end(self) -> None:
        """End the slave's standard input, at which it ends itself."""
        assert self._process.stdin is not None, "it is piped"
        self._process.stdin.close()

    def end(self) -> None:
        """Wait for the end, and bring it about where it does not come."""
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
        finally:
            assert self._process.stdout is not None, "it is piped"
            self._process.stdout.close()


@contextmanager
def slave_processes(count: int, channel: int) -> Iterator[list[SlaveProcess]]:
    """Start slaves that listen, named slave-1, slave-2, ...; at the end of the block they end."""
    processes: list[SlaveProcess] = []
    try:
        for number in range(1, count + 1):
            processes.append(SlaveProcess(f"slave-{number}", channel))
        for process in processes:  # they all start at the same time; now wait for each
            assert process.port
        yield processes
    finally:
        for process in processes:
            process.ask_to_end()
        for process in processes:
            process.end()
