"""A slave of the measurement. `python -m bench.slave OPTIONS`, by which its constructor is called.

With the option `stamps`, that is not the constructor's, it notes when messages and tasks come and go.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from bench import stamps
from bench.process import answer_commands
from interaction import Slave


class Adder(Slave):
    """Does nothing, or gives back what it was sent."""

    def _process_task(self, task: Mapping[str, Any]) -> Any:
        if "content" in task:
            return {"content": task["content"]}
        return {"sum": task["a"] + task["b"]}


class StampedAdder(Adder):
    """Notes when."""

    def _process_task(self, task: Mapping[str, Any]) -> Any:
        stamps.stamp("task begins")
        result = super()._process_task(task)
        stamps.stamp("task ends")
        return result


def main() -> None:
    """Serve until there is nobody to ask."""
    options = json.loads(sys.argv[1])
    kind = Adder
    if options.pop("stamps", False):
        stamps.install()
        kind = StampedAdder
    with kind("127.0.0.1", 0, **options) as slave:
        answer_commands({"port": slave.port}, {"threads": stamps.threads, "stamps": lambda: {"stamps": stamps.take()}})


if __name__ == "__main__":
    main()
