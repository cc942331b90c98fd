"""The project itself: one task after the other, by the plain facade and from asynchronous code; and its pool."""

from __future__ import annotations

import asyncio
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench import stamps
from bench.process import Process
from bench.system import AsyncSystem, Data, PlainSystem, System, check, task
from interaction import Master, SlaveConnectionProxy, SlavePool, aio


def _slaves(system: System, options: Data) -> list[Process]:
    """Start a slave for each worker."""
    return [system.stack.enter_context(Process("bench.slave", options)) for _ in range(system.workers)]


class Facade(PlainSystem):
    """`connection.new_task(data).start().join()`; where there are many, from one thread for each slave."""

    def __init__(self, workers: int, journal: bool = False, secret: str | None = None, **slave: Any) -> None:
        super().__init__(workers)
        self._journal = journal
        self._secret = () if secret is None else (secret,)
        self._slave = {"secret": self._secret, **slave}  # the slaves' options

    def open(self) -> None:
        """Start slaves and master, and connect them."""
        self.connect()
        self.round_trip(0)

    def connect(self) -> None:
        """Start slaves and master, and connect them."""
        self.slaves = _slaves(self, self._slave)
        url = None
        if self._journal:
            folder = self.stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-journal-"))
            url = f"sqlite:///{Path(folder) / 'master.db'}"
        self.master = self.stack.enter_context(Master("127.0.0.1", 0, journal=url, secret=self._secret))
        self.connections = [
            self.stack.enter_context(self.master.new_connection(f"slave-{number}", "127.0.0.1", slave.ready["port"]))
            for number, slave in enumerate(self.slaves)
        ]

    def round_trip(self, number: int) -> None:
        """One task."""
        self._one(self.connections[0], number)

    @staticmethod
    def _one(connection: SlaveConnectionProxy, number: int) -> None:
        done = connection.new_task(task(number)).start().join()
        check(number, done.result)

    def many(self, count: int) -> None:
        """One after the other at each slave."""

        def some(first: int) -> None:
            for number in range(first, count, self.workers):
                self._one(self.connections[first], number)

        with ThreadPoolExecutor(self.workers) as users:
            for _ in users.map(some, range(self.workers)):
                pass

    def carry(self, content: Any) -> None:
        """As a task's data, and as its result."""
        done = self.connections[0].new_task({"content": content}).start().join()
        assert done.result["content"].nbytes == content.nbytes

    def processes(self) -> Data:
        """The threads of master and slave."""
        return {
            "master": {"pid": os.getpid(), "threads": stamps.threads()},
            "slave": {"pid": self.slaves[0].pid, "threads": self.slaves[0].ask("threads")},
        }


class StampedFacade(Facade):
    """Notes when a task is started, comes and goes, and is joined."""

    def connect(self) -> None:
        """From the first message on."""
        stamps.install()
        super().connect()

    def round_trip(self, number: int) -> None:
        """One task."""
        stamps.stamp("started")
        super().round_trip(number)
        stamps.stamp("joined")

    def stamps(self) -> Data:
        """What was noted in both processes since this was asked before."""
        return {"stamps": [*stamps.take(), *self.slaves[0].ask("stamps")["stamps"]]}


class Pool(Facade):
    """`SlavePool(master)`: many tasks by its `map`, a single one by its `submit`."""

    def connect(self) -> None:
        """Put a pool over the connections."""
        super().connect()
        self._pool = self.stack.enter_context(SlavePool(self.master))

    def round_trip(self, number: int) -> None:
        """One task."""
        check(number, self._pool.submit(task(number)).result())

    def many(self, count: int) -> None:
        """All that there are."""
        for number, result in enumerate(self._pool.map(map(task, range(count)), ordered=True)):
            check(number, result)


class Aio(AsyncSystem):
    """`interaction.aio`, without a pool."""

    def __init__(self, workers: int, **slave: Any) -> None:
        super().__init__(workers)
        self._slave = slave  # the slaves' options

    def open(self) -> None:
        """Start slaves and master, and connect them."""
        self._slaves = _slaves(self, self._slave)
        self.run(self._open())
        self.stack.callback(lambda: self.run(self._close()))

    async def _open(self) -> None:
        self._master = aio.Master("127.0.0.1", 0)
        await self._master.start()
        self._connections: list[aio.SlaveConnectionProxy] = []
        for number, slave in enumerate(self._slaves):
            connection = self._master.new_connection(f"slave-{number}", "127.0.0.1", slave.ready["port"])
            await connection.connect()
            self._connections.append(connection)
        await self._one(self._connections[0], 0)

    async def _close(self) -> None:
        await self._master.close()

    async def round_trip(self, number: int) -> None:
        """One task."""
        await self._one(self._connections[0], number)

    @staticmethod
    async def _one(connection: aio.SlaveConnectionProxy, number: int) -> None:
        given = connection.new_task(task(number))
        await given.start()
        await given.join()
        check(number, given.result)

    async def many(self, count: int) -> None:
        """One after the other at each slave."""

        async def some(first: int) -> None:
            for number in range(first, count, self.workers):
                await self._one(self._connections[first], number)

        await asyncio.gather(*map(some, range(self.workers)))

    async def carry(self, content: Any) -> None:
        """As a task's data, and as its result."""
        given = self._connections[0].new_task({"content": content})
        await given.start()
        await given.join()
        assert given.result["content"].nbytes == content.nbytes


class AioPool(Aio):
    """`interaction.aio.SlavePool(master)`: many tasks by its `map`, a single one by its `submit`."""

    async def _open(self) -> None:
        await super()._open()
        self._pool = aio.SlavePool(self._master)

    async def _close(self) -> None:
        await self._pool.close()
        await super()._close()

    async def round_trip(self, number: int) -> None:
        """One task."""
        check(number, await self._pool.submit(task(number)))

    async def many(self, count: int) -> None:
        """All that there are."""
        number = 0
        async for result in self._pool.map(map(task, range(count)), ordered=True):
            check(number, result)
            number += 1
