"""A slave for tests that kill it: prints its port, and a line when a task that waits has begun."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Mapping
from typing import Any

from interaction import Slave


class WaitingSlave(Slave):
    def _process_task(self, task: Mapping[str, Any]) -> Any:
        if "wait" in task:
            print("running", flush=True)
            threading.Event().wait(60)
        return {"sum": task.get("a", 0) + task.get("b", 0)}

    def _lost_connection(self, master_address: str, error: Exception) -> None:
        print(f"lost {type(error).__name__}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--channel", type=int, default=7)
    parser.add_argument("--heartbeat-span", type=float, default=None)
    arguments = parser.parse_args()
    with WaitingSlave("127.0.0.1", arguments.port, arguments.heartbeat_span, channel=arguments.channel) as slave:
        print(slave.port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
