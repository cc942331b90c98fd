"""A slave of the soak. It answers `census` with what its process holds.

python -m tests.chaos.soak_slave OPTIONS
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from interaction import Slave, TaskFail
from tests.chaos.census import holding
from tests.chaos.program import commands, say


class Steady(Slave):
    """Does what a task names."""

    def _process_task(self, task: Mapping[str, Any]) -> Any:
        if task["kind"] == "failing":
            raise TaskFail({"number": task["number"]}, "as it was told")
        if task["kind"] == "raising":
            raise ValueError(f"task {task['number']} raises, as it was told")
        return {"number": task["number"], "content": task.get("content")}


if __name__ == "__main__":
    logging.getLogger("interaction").addHandler(logging.NullHandler())  # a task that raises is no news here
    with Steady("127.0.0.1", 0) as slave:
        say("ready", port=slave.port)
        for _ in commands():
            say("census", holding=holding().figures())
