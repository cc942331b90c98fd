"""Slaves with a backlog are killed and started again at random under `map()`: every item has exactly one result."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from queue import Queue
from typing import Any

import pytest

from interaction import Master, RequestException
from interaction.exception import SlaveResponseException
from tests.contract.conftest import MakeMaster, MakePool, SlaveProcess, plain_and_aio, without_and_with_a_journal

facade = pytest.fixture(params=["plain", "aio"])(plain_and_aio)
master_options = pytest.fixture(params=[False, True], ids=["", "journal"])(without_and_with_a_journal)
ITEMS = 1500
KILLS = 6
PAUSE = 0.002  # seconds that a task takes, so that it may be killed in the middle


class Killer:
    """Kills one of the slaves now and then, and starts another one in its place."""

    def __init__(self, master: Master, slave_process: Callable[..., SlaveProcess], chance: random.Random) -> None:
        self._master = master
        self._start = slave_process
        self._chance = chance
        self._processes: dict[str, SlaveProcess] = {}
        self._number = 0
        for _ in range(3):
            self._add()

    def _add(self) -> None:
        self._number += 1
        slots, backlog = self._chance.choice([("1", "0"), ("1", "20"), ("3", "5")])
        process = self._start("--slots", slots, "--backlog", backlog)
        name = f"slave-{self._number}"
        self._master.new_connection(name, "127.0.0.1", process.port).connect()
        self._processes[name] = process

    def strike(self) -> None:
        """Kill one, or take leave of it; another one comes."""
        name = self._chance.choice(list(self._processes))
        process = self._processes.pop(name)
        if self._chance.random() < 0.7:
            process.kill()
        else:
            try:
                self._master[name].close()
            except (KeyError, RequestException, SlaveResponseException):
                process.kill()
        self._add()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", [1])
def test_every_item_has_exactly_one_result(
    make_master: MakeMaster, make_pool: MakePool, slave_process: Callable[..., SlaveProcess], seed: int
) -> None:
    chance = random.Random(seed)
    master = make_master(Master)
    killer = Killer(master, slave_process, chance)
    pool = make_pool(master, retries=KILLS)
    strikes: Queue[bool] = Queue()  # as results come, so that it is the same on any machine

    def items() -> Iterator[Mapping[str, Any]]:
        for number in range(ITEMS):
            yield {"a": number, "b": 1, "seconds": PAUSE}

    def strike() -> None:
        while strikes.get():
            killer.strike()

    thread = threading.Thread(target=strike)
    thread.start()
    given = []
    try:
        for result in pool.map(items(), ordered=chance.random() < 0.5, in_flight=chance.choice([None, 10, 300])):
            given.append(result["sum"])
            if len(given) % (ITEMS // (KILLS + 1)) == 0 and len(given) < ITEMS:
                strikes.put(True)
    finally:
        strikes.put(False)
        thread.join()
    assert sorted(given) == list(range(1, ITEMS + 1))
    deadline = time.monotonic() + 10.0
    while len(pool) != 3 and time.monotonic() < deadline:  # the last one that was killed may not be known as lost yet
        threading.Event().wait(0.02)
    assert len(pool) == 3
