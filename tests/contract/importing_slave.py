"""A program that does with its environment what programs do when they are imported, and tells what came of that.

python -m tests.contract.importing_slave   starts a slave with isolation="process", gives it tasks, and prints JSON
"""

from __future__ import annotations

import json
import multiprocessing
import multiprocessing.resource_tracker
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interaction import Master, Slave
from interaction.secret import VARIABLE

KEPT = dict(os.environ)  # as a module of settings does
STARTED = subprocess.run(["sh", "-c", f"echo ${VARIABLE}"], capture_output=True, text=True).stdout.strip()


def known() -> dict[str, Any]:
    return {"kept": VARIABLE in KEPT, "started": STARTED, "now": VARIABLE in os.environ}


class Importing(Slave):
    def _process_task(self, task: Mapping[str, Any]) -> Any:
        if "end" in task:
            os._exit(1)
        return {"process": os.getpid(), "known": known()}


def put(queue: Any) -> None:
    queue.put(os.environ.get(VARIABLE))


def main() -> None:
    """Tell what each process knows."""
    told: dict[str, Any] = {"slave": known()}
    with (
        Importing("127.0.0.1", 0, isolation="process", pacemaker=False) as slave,
        Master("127.0.0.1", 0) as master,
        master.new_connection("one", "127.0.0.1", slave.port) as connection,
    ):
        for name in ("first", "second"):
            result = connection.new_task({}).start().join(30).result
            told[name], told[f"{name} process"] = result["known"], result["process"]
            connection.new_task({"end": 1}).start().join(30)
        spawning = multiprocessing.get_context("spawn")
        queue = spawning.SimpleQueue()
        process = spawning.Process(target=put, args=(queue,))
        process.start()
        told["of the user's own"] = queue.get()
        process.join()
        tracker: Any = multiprocessing.resource_tracker._resource_tracker
        if os.path.exists("/proc/self"):
            environment = Path(f"/proc/{tracker._pid}/environ").read_bytes()
            told["resource tracker"] = VARIABLE.encode() in environment
    print(json.dumps(told))


if __name__ == "__main__":
    main()
