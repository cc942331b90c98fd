"""A master or a slave in a process of its own, with everything in its log: hostile peers do their worst to it.

python -m tests.hostile.process master|slave|both LOG [MAX_MESSAGE_BYTES]

Prints its port; of both the slave's, then the master's. A master reads a command a line, and answers each:
`connect PORT`, `run` (a task), `token`. With DESCRIPTORS in its environment it may open no more than that many.
"""

from __future__ import annotations

import logging
import os
import resource
import sys
from collections.abc import Mapping
from typing import Any

from interaction import Master, Slave, SlaveConnectionProxy
from tests.contract.slave_programs import CHANNEL


class Adder(Slave):
    def _process_task(self, task: Mapping[str, Any]) -> dict[str, int]:
        return {"sum": task["a"] + task["b"]}


def obey(master: Master) -> None:
    connection: SlaveConnectionProxy | None = None
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        if command == "connect":
            connection = master.new_connection("adder", "127.0.0.1", int(argument))
            connection.connect()
            print("connected", flush=True)
        elif command == "token":
            assert connection is not None, "connected first"
            print(connection._link.token, flush=True)  # type: ignore[union-attr]  # what a thief would have
        elif command == "run":
            assert connection is not None, "connected first"
            task = connection.new_task({"a": 1, "b": 2}).start().join(60)
            print(task.status.name, task.result, flush=True)


def main() -> None:
    role, log, *limit = sys.argv[1:]
    if few := os.environ.get("DESCRIPTORS"):
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(few), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    logging.basicConfig(filename=log, level=logging.DEBUG, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    most = int(limit[0]) if limit else None
    if role == "master":
        with Master("127.0.0.1", 0, channel=CHANNEL, heartbeat_tolerance=60, max_message_bytes=most) as master:
            print(master.port, flush=True)
            obey(master)
    elif role == "both":
        with Adder("127.0.0.1", 0, channel=CHANNEL) as slave, Master("127.0.0.1", 0, channel=CHANNEL) as master:
            print(slave.port, flush=True)
            print(master.port, flush=True)
            obey(master)
    else:
        with Adder("127.0.0.1", 0, channel=CHANNEL, max_message_bytes=most, request_timeout=5.0) as slave:
            print(slave.port, flush=True)
            sys.stdin.read()


if __name__ == "__main__":
    main()
