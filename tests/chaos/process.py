"""A process of the chaos: one that tells what happens to it in lines of JSON, and that is gone at the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0  # seconds after which what has not come is taken for missing
Event: TypeAlias = "dict[str, Any]"


class Process:
    """`python -m module OPTIONS`, perhaps in a network namespace. Use it with `with`: whatever happens, it is reaped.

    It has said `ready` when the constructor returns. Standard error goes to a file that `errors()` reads.
    """

    def __init__(self, module: str, options: Mapping[str, object], namespace: str | None = None) -> None:
        inside = [] if namespace is None else ["ip", "netns", "exec", namespace]
        self.killed_at = 0.0
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [*inside, sys.executable, "-m", module, json.dumps(options)],
            cwd=ROOT,
            stdin=subprocess.PIPE,  # its end asks the process to end
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            start_new_session=True,  # Ctrl-C is for who started it, and ends it
        )
        self._changed = threading.Condition()
        self._events: list[Event] = []
        self._silent = False
        self._listener = threading.Thread(target=self._listen, name=f"listener-{self.pid}", daemon=True)
        self._listener.start()
        try:
            self.ready = self.take("ready")
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def port(self) -> int:
        return int(self.ready["port"])

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self._events.append(json.loads(line))
                self._changed.notify_all()
        with self._changed:
            self._silent = True
            self._changed.notify_all()

    def take(self, kind: str, timeout: float = PATIENCE, such: Callable[[Event], bool] = lambda event: True) -> Event:
        """The first event of that kind, and such, that was not taken yet. EOFError where the process ended without it.

        Raises TimeoutError where it does not come in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._silent or self._find(kind, such) is not None, timeout):
                raise TimeoutError(
                    f"process {self.pid} did not say {kind!r} within {timeout:g} s; {self.errors()[-2000:]}"
                )
            found = self._find(kind, such)
            if found is None:
                raise EOFError(f"process {self.pid} ended before it said {kind!r}: {self.errors()[-2000:]}")
            self._events.remove(found)
        return found

    def _find(self, kind: str, such: Callable[[Event], bool]) -> Event | None:
        return next((event for event in self._events if event["event"] == kind and such(event)), None)

    def take_all(self, kind: str) -> list[Event]:
        """Every event of that kind so far that was not taken yet."""
        with self._changed:
            taken = [event for event in self._events if event["event"] == kind]
            self._events = [event for event in self._events if event["event"] != kind]
        return taken

    def tell(self, command: str, **arguments: object) -> None:
        """Send a command."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
        self._process.stdin.flush()

    def ask(self, command: str, **arguments: object) -> Event:
        """Send a command, and wait for the event of the same name."""
        self.tell(command, **arguments)
        return self.take(command)

    def stop(self) -> None:
        """SIGSTOP; returns when the process stands still."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)

    def go_on(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL. One that has ended by itself is left alone."""
        self.killed_at = time.monotonic()
        self._process.kill()

    def finish(self, timeout: float = PATIENCE) -> int:
        """Ask it to end, and return its exit code."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        return self._process.wait(timeout)

    def errors(self) -> str:
        """What it wrote to standard error."""
        if self._errors.closed:
            return ""
        return Path(f"/proc/self/fd/{self._errors.fileno()}").read_text(errors="replace")

    def close(self) -> None:
        """See that it is gone."""
        self._process.kill()
        self._process.wait()
        self._listener.join(PATIENCE)
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
