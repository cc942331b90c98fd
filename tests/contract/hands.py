"""A master and its slaves for the tests of pools."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from queue import Queue
from typing import Any

from interaction import Master, SlavePool, TaskStatus
from tests.contract.conftest import MakeSlave, Worker

SUM = {"a": 1, "b": 2}
WAITS = {"wait": 1}


class Hands:
    """A master with slaves of this process, by their names."""

    def __init__(self, master: Master, make_slave: MakeSlave) -> None:
        self.master = master
        self.slaves: dict[str, Worker] = {}
        self._make_slave = make_slave

    def add(self, *names: str, kind: type[Worker] = Worker, **options: Any) -> Worker:
        """Connect a new slave under each of the names. Returns the last."""
        for name in names:
            slave = self.slaves[name] = self._make_slave(kind, **options)
            self.master.new_connection(name, "127.0.0.1", slave.port).connect()
        return slave

    def ran(self) -> list[Mapping[str, Any]]:
        """All that was run, by whomever."""
        return [task for slave in self.slaves.values() for task in slave.ran]

    def go_on(self) -> None:
        for slave in self.slaves.values():
            slave.go_on.set()


def with_hands(master: Master, make_slave: MakeSlave) -> Hands:
    """As a fixture: no slave yet."""
    return Hands(master, make_slave)


def in_background(work: Callable[[], Any]) -> Queue[Any]:
    """What it returns or raises, to come."""
    answer: Queue[Any] = Queue()

    def call() -> None:
        try:
            answer.put(work())
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            answer.put(error)

    threading.Thread(target=call, daemon=True).start()
    return answer


def started(future: Any) -> None:
    """Wait until the slave has said that it has accepted the task."""
    while future.task is None or future.task.status is TaskStatus.STARTING:
        threading.Event().wait(0.001)


def sums(first: int = 0) -> Iterator[Mapping[str, Any]]:
    return ({"a": number, "b": 1} for number in count(first))


def data_of(number: int) -> Mapping[str, Any]:
    return {"a": number, "b": 1}


def total(pool: SlavePool, most: int) -> int:
    return sum(one["sum"] for one in pool.map(sums_up_to(most)))


def sums_up_to(most: int) -> Iterator[Mapping[str, Any]]:
    return (data_of(number) for number in range(most))


def close(results: Iterator[Any]) -> None:
    results.close()  # type: ignore[attr-defined]  # it is a generator
