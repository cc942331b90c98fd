"""A master, or an innocent slave, beside a slave that was taken over; each in a process of its own.

python -m tests.hostile.beside slave LOG
python -m tests.hostile.beside master LOG EVIL INNOCENT...

Each prints its port. The master connects the slaves at these ports, has the innocent ones work without a pause, and
gives tasks to the evil one too, as long as it has it. A line on standard input ends the work; either then says in JSON
what has come of it.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Mapping
from threading import Event, Thread
from typing import Any

from interaction import Master, RequestException, Slave, SlaveConnectionProxy, TaskStatus
from interaction.exception import LossReason, ResponseException
from tests.contract.slave_programs import CHANNEL

PATIENCE = 60.0  # seconds for a task that takes some milliseconds
EVIL = "evil"


class Innocent(Slave):
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.let_go: list[str] = []

    def _process_task(self, task: Mapping[str, Any]) -> dict[str, Any]:
        return {"sum": task["a"] + task["b"]}

    def _lost_connection(self, master_address: str, error: Exception) -> None:
        self.let_go.append(str(error))


class Host(Master):
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.lost: list[tuple[str, str]] = []

    def _lost_slave(self, name: str, reason: LossReason) -> None:
        self.lost.append((name, reason.name))


class Work:
    """What an innocent slave does for its master."""

    def __init__(self, master: Host, name: str, port: int) -> None:
        self.ends: Counter[str] = Counter()
        self.slowest = 0.0
        self._connection = master.new_connection(name, "127.0.0.1", port)
        self._connection.connect()

    def go_on(self, over: Event) -> None:
        number = 0
        while not over.wait(0.02):
            number += 1
            began = time.monotonic()
            try:
                task = self._connection.new_task({"a": number, "b": 1}).start().join(PATIENCE)
            except (RequestException, ResponseException) as error:
                self.ends[type(error).__name__] += 1
                continue
            self.slowest = max(self.slowest, time.monotonic() - began)
            right = task.status is not TaskStatus.COMPLETED or task.result == {"sum": number + 1}
            self.ends[task.status.name if right else "WRONG"] += 1


def feed(master: Host, port: int, over: Event) -> None:
    """Give tasks to the evil one, and connect it again where it is lost, as its owner would who knows nothing."""
    connection: SlaveConnectionProxy | None = None
    while not over.wait(0.1):
        try:
            if connection is None or not connection.is_connected:
                connection = master.new_connection(EVIL, "127.0.0.1", port)
                connection.connect()
            task = connection.new_task({"a": 1, "b": 2})
            task.on_fail(lambda _, error: logging.info("it failed: %s", error))
            task.start()
        except (RequestException, ResponseException, ValueError) as error:
            logging.info("the evil one: %s", error)


def obey_master(evil: int, innocent: list[int]) -> None:
    over = Event()
    with Host("127.0.0.1", 0, channel=CHANNEL) as master:
        works = [Work(master, f"innocent-{port}", port) for port in innocent]
        threads = [Thread(target=feed, args=[master, evil, over])]
        threads += [Thread(target=work.go_on, args=[over]) for work in works]
        for thread in threads:
            thread.start()
        print(master.port, flush=True)
        sys.stdin.readline()
        over.set()
        for thread in threads:
            thread.join()
        print(
            json.dumps(
                {
                    "lost": [name for name, _ in master.lost if name != EVIL],
                    "evil": Counter(reason for name, reason in master.lost if name == EVIL),
                    "ends": sum((work.ends for work in works), Counter()),
                    "slowest": max(work.slowest for work in works),
                }
            ),
            flush=True,
        )
        sys.stdin.read()  # its end is another loss, and not to be counted


def obey_slave() -> None:
    with Innocent("127.0.0.1", 0, channel=CHANNEL) as slave:
        print(slave.port, flush=True)
        sys.stdin.readline()
        print(json.dumps(slave.let_go), flush=True)
        sys.stdin.read()


def main() -> None:
    role, log, *ports = sys.argv[1:]
    logging.basicConfig(filename=log, level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    if role == "slave":
        obey_slave()
    else:
        evil, *innocent = map(int, ports)
        obey_master(evil, innocent)


if __name__ == "__main__":
    main()
