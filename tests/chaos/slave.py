"""A slave to be killed: it writes down each task that it begins, so that one that began twice is seen.

python -m tests.chaos.slave LOG      prints its port
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from typing import Any

from interaction import Slave


class Doomed(Slave):
    """Takes as long as a task says."""

    def __init__(self, log: str) -> None:
        super().__init__("127.0.0.1", 0)
        self._executed = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def _process_task(self, task: Mapping[str, Any]) -> dict[str, Any]:
        os.write(self._executed, f"{task['number']}\n".encode())  # one write: whole lines from all processes
        threading.Event().wait(task["seconds"])
        return {"number": task["number"]}


if __name__ == "__main__":
    with Doomed(sys.argv[1]) as slave:
        print(slave.port, flush=True)
        sys.stdin.read()
