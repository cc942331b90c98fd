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
    def __init__(self, *arguments: Any, process: int, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.process = process  # the slave's

    def _process_task(self, task: Mapping[str, Any]) -> Any:
        time.sleep(task.get("seconds", 0.0))
        if "exit" in task:
            os._exit(task["exit"])
        if "kill" in task:
            os.kill(self.process, task["kill"])
            threading.Event().wait(60)  # where it is another process
        if "wait" in task:
            print("running", flush=True)
            threading.Event().wait(60)
        return {"sum": task.get("a", 0) + task.get("b", 0)}

    def _lost_connection(self, master_address: str, error: Exception) -> None:
        print(f"lost {type(error).__name__}", flush=True)


class AskedSlave(WaitingSlave):
    def _before_task(self, task: Mapping[str, Any]) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--channel", type=int, default=7)
    parser.add_argument("--heartbeat-span", type=float, default=None)
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--backlog", type=int, default=0)
    parser.add_argument("--isolation", default="thread")
    parser.add_argument("--asks", action="store_true")
    told = parser.parse_args()
    kind = AskedSlave if told.asks else WaitingSlave
    with kind(
        "127.0.0.1",
        told.port,
        told.heartbeat_span,
        channel=told.channel,
        slots=told.slots,
        backlog=told.backlog,
        isolation=told.isolation,
        process=os.getpid(),
    ) as slave:
        print(slave.port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
