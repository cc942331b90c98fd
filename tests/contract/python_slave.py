"""The twin of examples/node/slave.js in Python: the same work and the same words, so that one suite fits both."""

from __future__ import annotations

import argparse
import os
import signal
import threading
from collections.abc import Mapping
from typing import Any

from interaction import Slave
from interaction.exception import LeaseExpired, MasterResponseException

MAX_MESSAGE_BYTES = 4 * 1024 * 1024


class Adder(Slave):
    """Adds."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.stopping = threading.Event()

    def _process_task(self, task: Mapping[str, Any]) -> Any:
        self.stopping.wait(task.get("seconds", 0))
        if "a" not in task or "b" not in task:
            raise TypeError("the data lacks a or b")
        return {"sum": task["a"] + task["b"]}

    def _lost_connection(self, master_address: str, error: Exception) -> None:
        if isinstance(error, LeaseExpired):
            print("session over: its lease ran out", flush=True)
        elif isinstance(error, MasterResponseException):
            print(f"session over: {error.code.name}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--channel", type=int, required=True)
    parser.add_argument("--isolation", default="thread")
    arguments = parser.parse_args()
    slave = Adder(
        "127.0.0.1",
        arguments.port,
        channel=arguments.channel,
        request_retry_waiting=0.1,  # so that no test waits long for the report that comes again
        max_message_bytes=MAX_MESSAGE_BYTES,
        isolation=arguments.isolation,
    )
    asked, ask = os.pipe()  # which a signal writes to at once: a handler runs when the main thread is next awake
    os.set_blocking(ask, False)
    signal.set_wakeup_fd(ask)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    slave.start()
    print(f"listening on 127.0.0.1:{slave.port}", flush=True)
    os.read(asked, 1)
    slave.shutdown()
    slave.stopping.set()
    slave.join()


if __name__ == "__main__":
    main()
