"""A master and a slave in processes of their own, at work with one another while a hostile peer does its worst."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from queue import Queue
from threading import Thread

import pytest

from tests.contract.slave_programs import WAIT

ROOT = Path(__file__).parents[2]
MIB = 1 << 20


class Peer:
    """One process, known by its port, its memory and its log. What it writes to standard error is in the log too."""

    def __init__(self, role: str, log: Path, *arguments: str, program: str = "tests.hostile.process") -> None:
        self.role = role
        self._log = log
        self._log_begins = 0
        self._lines: Queue[str] = Queue()
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", program, role, str(log), *arguments],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        # A thread, for a line can't be waited for with a time limit otherwise.
        self._reader = Thread(target=self._read)
        self._reader.start()
        self.port = int(self.line())

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.strip())

    def line(self, timeout: float = WAIT) -> str:
        return self._lines.get(timeout=timeout)

    def say(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def memory(self) -> float:
        """The resident memory, in MiB."""
        return self._status("VmRSS")

    def peak(self) -> float:
        """The most that it has been, in MiB."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        """Count the peak from now on."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def _status(self, name: str) -> float:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) / 1024
        raise AssertionError(f"the system does not tell {name}")

    def forget_log(self) -> None:
        self._log_begins = self._log.stat().st_size

    def log(self) -> str:
        """What has been logged since the beginning, or since that was forgotten."""
        with self._log.open("rb") as log:
            log.seek(self._log_begins)
            return log.read().decode(errors="replace")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


class Pair:
    """A master and a slave with a session between them."""

    def __init__(self, master: Peer, slave: Peer) -> None:
        self.master = master
        self.slave = slave
        master.say(f"connect {slave.port}")
        assert master.line() == "connected"
        self._before: dict[str, float] = {}
        self.forget()

    def forget(self) -> None:
        """Nothing that happened until now counts."""
        self.works()
        for peer in (self.master, self.slave):
            peer.forget_peak()
            peer.forget_log()
            self._before[peer.role] = peer.memory()

    def peer(self, role: str) -> Peer:
        return self.master if role == "master" else self.slave

    def works(self, within: float = WAIT) -> float:
        """Have a task run. Returns the seconds that it took."""
        began = time.monotonic()
        self.master.say("run")
        assert self.master.line(within) == "COMPLETED {'sum': 3}"
        return time.monotonic() - began

    def token(self) -> str:
        """The session's token: what a thief would have."""
        self.master.say("token")
        return self.master.line()

    def grown(self, role: str) -> float:
        """By how many MiB its memory has peaked above what it was."""
        return self.peer(role).peak() - self._before[role]

    def assert_unharmed(self, most: float) -> None:
        """Both work, nothing was lost, no log has a traceback, and their memory grew by at most `most` MiB."""
        self.works()
        for peer in (self.master, self.slave):
            assert peer.process.poll() is None
            log = peer.log()
            assert "Traceback" not in log, f"the {peer.role}:\n{log[log.index('Traceback') - 300 :][:3000]}"
            assert "lost" not in log
            print(f"the {peer.role} grew by {self.grown(peer.role):.0f} MiB at most")
            assert self.grown(peer.role) < most, f"the {peer.role} grew by {self.grown(peer.role):.0f} MiB"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def make_pair(stack: ExitStack, tmp_path: Path) -> Callable[..., Pair]:
    def make(*arguments: str) -> Pair:
        peers = []
        for role in ("master", "slave"):
            peers.append(Peer(role, tmp_path / f"{role}.log", *arguments))
            stack.callback(peers[-1].close)
        return Pair(*peers)

    return make


@pytest.fixture(scope="module")
def lasting_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """One pair for all tests of a module, which must do it no harm."""
    folder = tmp_path_factory.mktemp("pair")
    with ExitStack() as stack:
        peers = []
        for role in ("master", "slave"):
            peers.append(Peer(role, folder / f"{role}.log"))
            stack.callback(peers[-1].close)
        yield Pair(*peers)


@pytest.fixture
def pair(lasting_pair: Pair) -> Pair:
    lasting_pair.forget()
    return lasting_pair


@pytest.fixture
def free_slave(stack: ExitStack, tmp_path: Path) -> int:
    """The port of a slave without a session."""
    slave = Peer("slave", tmp_path / "free.log")
    stack.callback(slave.close)
    return slave.port
