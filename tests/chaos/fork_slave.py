"""A slave whose tasks start processes in every way that Python has.

python -m tests.chaos.fork_slave OPTIONS

Options: `log`, the file for the tasks; `port`; `pacemaker`, `isolation`. It tells `ready`, and `children` for each
task: the way, and how each child has ended. A child of each slave's first task lives on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from interaction import Slave
from tests.chaos.children import keep_one, start_some
from tests.chaos.program import commands, log_errors, options, say

OPTIONS = options()


class Forking(Slave):
    """Starts processes."""

    def __init__(self) -> None:
        told = {name: OPTIONS[name] for name in ("pacemaker", "isolation") if name in OPTIONS}
        super().__init__("127.0.0.1", OPTIONS.get("port", 0), **told)
        self._executed = os.open(OPTIONS["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._keeps = False

    def _process_task(self, task: Mapping[str, Any]) -> dict[str, Any]:
        os.write(self._executed, f"{task['number']}\n".encode())  # one write: whole lines from all processes
        if not self._keeps:
            self._keeps = True
            keep_one()
        start_some(task["number"])
        return {"number": task["number"], "padding": task["padding"]}


def main() -> None:
    """Serve until the end of the input."""
    log_errors()
    with Forking() as slave:
        say("ready", port=slave.port)
        for _ in commands():
            pass


if __name__ == "__main__":
    main()
