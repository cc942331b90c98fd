"""A slave whose tasks hold the GIL: it prints its port, and a line when it lost its master.

python -m tests.chaos.gil_slave [--no-pacemaker] [--span SECONDS]
"""

from __future__ import annotations

import argparse
import ctypes
import sys
import time
from collections.abc import Mapping
from typing import Any

from interaction import Slave

LIBC = ctypes.PyDLL(None)  # unlike CDLL, it keeps the GIL while it calls


class Holder(Slave):
    """Holds the GIL for as long as a task says, as often as it says."""

    def _process_task(self, task: Mapping[str, Any]) -> dict[str, Any]:
        if task.get("announce"):
            print("holding", flush=True)
        began = time.monotonic()
        for _ in range(task.get("times", 1)):
            LIBC.usleep(int(task["hold"] * 1e6))
        return {"held": time.monotonic() - began}

    def _lost_connection(self, master_address: str, error: Exception) -> None:
        print(f"lost: {error}", flush=True)


def main() -> None:
    """Serve until the end of the input."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--no-pacemaker", action="store_true")
    parser.add_argument("--span", type=float)
    told = parser.parse_args()
    with Holder("127.0.0.1", 0, told.span, pacemaker=not told.no_pacemaker) as slave:
        print(slave.port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
