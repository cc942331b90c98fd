"""Slaves whose tasks run in a child process: of a module, so that the child can import them.

python -m tests.contract.isolated_slave [reap]   prints its port; SIGTERM drains it
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interaction import Slave, TaskFail


class Isolated(Slave):
    """Does what a task says, `do`."""

    def __init__(self, *args: Any, fail_in: str = "", queue: Any = None, **options: Any) -> None:
        self.constructed_in = os.getpid()
        if fail_in and not os.path.exists(fail_in):
            raise ValueError("no model to load")
        super().__init__(*args, isolation="process", **options)
        self.queue = queue
        self.asked: list[Mapping[str, Any]] = []

    def _before_task(self, data: Mapping[str, Any]) -> dict[str, Any]:
        self.asked.append(data)
        return {"asked_in": os.getpid()}

    def _process_task(self, task: Mapping[str, Any]) -> Any:
        return getattr(self, f"do_{task['do']}")(task)

    def do_tell(self, task: Mapping[str, Any]) -> dict[str, Any]:
        return {"pid": os.getpid(), "constructed_in": self.constructed_in, "asked": len(self.asked)}

    def do_environment(self, task: Mapping[str, Any]) -> dict[str, Any]:
        shown = Path("/proc/self/environ").read_bytes() if sys.platform == "linux" else b""
        return {"names": list(os.environ), "proc": shown.decode(errors="replace")}

    def do_secrets(self, task: Mapping[str, Any]) -> dict[str, Any]:
        secret = self._interaction.options.secret
        return {"keys": [] if secret is None else [key.decode() for key in secret.keys]}

    def do_put(self, task: Mapping[str, Any]) -> None:
        self.queue.put(task["value"])

    def do_echo(self, task: Mapping[str, Any]) -> Any:
        return task["value"]

    def do_fail(self, task: Mapping[str, Any]) -> None:
        raise TaskFail({"because": "told to"}, "told to fail")

    def do_raise(self, task: Mapping[str, Any]) -> None:
        raise KeyError("nothing")

    def do_exit(self, task: Mapping[str, Any]) -> None:
        os._exit(3)

    def do_crash(self, task: Mapping[str, Any]) -> None:
        ctypes.string_at(0)

    def do_kill(self, task: Mapping[str, Any]) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def do_hold(self, task: Mapping[str, Any]) -> None:
        ctypes.PyDLL(None).usleep(int(task["seconds"] * 1e6))

    def do_return_much(self, task: Mapping[str, Any]) -> Any:
        result = b"1" * 20_000_000
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 10_000_000, resource.RLIM_INFINITY))
        return {"much": result}

    def do_close(self, task: Mapping[str, Any]) -> None:
        os.closerange(3, 256)  # as who makes a daemon of himself
        time.sleep(task["seconds"])

    def do_wait(self, task: Mapping[str, Any]) -> dict[str, Any]:
        print("running", os.getpid(), flush=True)
        time.sleep(task["seconds"])
        return {"waited": task["seconds"]}

    def do_call(self, task: Mapping[str, Any]) -> Any:
        return getattr(self, task["method"])()


def shut_down_at_end_of_input(slave: Slave) -> None:
    sys.stdin.read()
    slave.shutdown()


def reap() -> None:
    """Wait for any child, as an init does, and a library that means only its own."""
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            time.sleep(0.001)


def main() -> None:
    """Serve until a SIGTERM, or the end of the input."""
    if "reap" in sys.argv:
        threading.Thread(target=reap, daemon=True).start()
    slave = Isolated("127.0.0.1", 0, channel=7)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell ignores in the background
    slave.drain_at_sigterm()
    slave.start()
    print(slave.port, flush=True)
    threading.Thread(target=shut_down_at_end_of_input, args=[slave], daemon=True).start()
    try:
        slave.join()
    finally:
        slave.close()


if __name__ == "__main__":
    main()
