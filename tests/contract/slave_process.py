"""A slave for tests that kill it: prints its port, and a line when a task that waits has begun."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from interaction import Slave


class WaitingSlave(Slave):
    def _process_task(self, task: Mapping[str, Any]) -> Any:
        time.sleep(task.get("seconds", 0.0))
        if "exit" in task:
            os._exit(task["exit"])
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
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--backlog", type=int, default=0)
    arguments = parser.parse_args()
    options = {"channel": arguments.channel, "slots": arguments.slots, "backlog": arguments.backlog}
    with WaitingSlave("127.0.0.1", arguments.port, arguments.heartbeat_span, **options) as slave:
        print(slave.port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
