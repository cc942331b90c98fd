"""A slave whose tasks hold the GIL: it prints its port, and a line when it lost its master.

python -m tests.chaos.gil_slave [--no-pacemaker] [--channel NUMBER] [--tls FOLDER [--mutual]]
"""

from __future__ import annotations

import argparse
import ctypes
import logging
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interaction import TLS, Slave

LIBC = ctypes.PyDLL(None)  # unlike CDLL, it keeps the GIL while it calls


class Holder(Slave):
    """Holds the GIL for as long as a task says, as often as it says."""

    def _process_task(self, task: Mapping[str, Any]) -> dict[str, Any]:
        if task.get("announce"):
            print("holding", flush=True)
        if "keep" in task:
            return {"pid": keep(task["keep"])}
        began = time.monotonic()
        for _ in range(task.get("times", 1)):
            LIBC.usleep(int(task["hold"] * 1e6))
        return {"held": time.monotonic() - began}

    def _lost_connection(self, master_address: str, error: Exception) -> None:
        print(f"lost: {error}", flush=True)


def keep(seconds: float) -> int:
    """Have a process keep open what is open here, for so long, as a fork would; gRPC does not always survive one."""
    opened = [int(name) for name in os.listdir("/proc/self/fd")]
    passed = [number for number in opened if number > 2 and os.path.exists(f"/proc/self/fd/{number}")]
    return subprocess.Popen(["sleep", str(seconds)], stdin=subprocess.DEVNULL, stdout=2, pass_fds=passed).pid


def main() -> None:
    """Serve until the end of the input."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--no-pacemaker", action="store_true")
    parser.add_argument("--channel", type=int, default=0)
    parser.add_argument("--tls", type=Path, help="a folder with me.pem, me.key and ca.pem")
    parser.add_argument("--mutual", action="store_true")
    told = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    tls = None
    if told.tls is not None:
        names = {"certificate": "me.pem", "key": "me.key", "authority": "ca.pem"}
        tls = TLS.from_files(**{what: told.tls / name for what, name in names.items()}, mutual=told.mutual)
    with Holder("127.0.0.1", 0, channel=told.channel, tls=tls, pacemaker=not told.no_pacemaker) as slave:
        print(slave.port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
